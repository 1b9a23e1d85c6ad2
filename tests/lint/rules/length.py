# SPDX-License-Identifier: Apache-2.0
"""Functions of at most 100 lines and C files of at most 900.

A longer one says why in the comment above it (a file: in its first comment) with the words
"One long ...", as in "One long switch: ...".
"""
import re

import lib

FUNCTION_LINES, FILE_LINES = 100, 900
EXCUSE = re.compile(r"\bOne long \w+:")


def functions(lines):
    """(first line of the body, last) of each function, from the braces in column 0."""
    start = None
    for i, line in enumerate(lines):
        if line == "{":
            start = i
        elif line.startswith("}") and start is not None:
            yield start, i
            start = None


def excused(lines, at):
    """Look in the comment above the signature of the body that begins at `at`."""
    above = "\n".join(lines[max(0, at - 12):at])
    return EXCUSE.search(above.rsplit("\n}", 1)[-1]) is not None


def check(root, files):
    bad = []
    for path in filter(lib.is_c, files):
        lines = lib.text(root, path).splitlines()
        if len(lines) > FILE_LINES and not EXCUSE.search("\n".join(lines[:20])):
            bad.append(f"{path}:{FILE_LINES}: {len(lines)} lines in one file")
        for start, end in functions(lines):
            if end - start + 1 > FUNCTION_LINES and not excused(lines, start):
                bad.append(f"{path}:{start + 1}: {end - start + 1} lines in one function")
    return bad
