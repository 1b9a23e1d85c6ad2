# SPDX-License-Identifier: Apache-2.0
"""Lines of at most 100 columns, 120 in tables; a tab goes to the next multiple of 8."""
import lib

LIMITS = {".c": 100, ".h": 100, ".proto": 100, ".py": 100, ".pml": 100, ".def": 120}


def check(root, files):
    bad = []
    for path in files:
        limit = next((n for end, n in LIMITS.items() if path.endswith(end)), None)
        if limit is None:
            continue
        for i, line in enumerate(lib.text(root, path).splitlines(), 1):
            width = len(line.expandtabs(8))
            if width > limit:
                bad.append(f"{path}:{i}: {width} columns")
    return bad
