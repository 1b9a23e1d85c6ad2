# SPDX-License-Identifier: Apache-2.0
"""Every folder of the first level, and every one below tests/, begins with a README.md."""

EXEMPT = ("m4", "build-aux")


def folders(files):
    found = set()
    for path in files:
        parts = path.split("/")[:-1]
        if not parts or parts[0].startswith(".") or parts[0] in EXEMPT:
            continue
        found.add(parts[0])
        if parts[0] == "tests" and len(parts) > 1:
            found.add("/".join(parts[:2]))
    return sorted(found)


def check(root, files):
    have = set(files)
    return [f"{f}/README.md:1: missing" for f in folders(files) if f + "/README.md" not in have]
