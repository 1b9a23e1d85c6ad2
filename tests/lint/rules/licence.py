# SPDX-License-Identifier: Apache-2.0
"""The SPDX line stands first in every source file, after #! where there is one."""
import re

import lib

SOURCES = (".c", ".h", ".def", ".mk", ".proto", ".sh", ".py", ".ac", ".am", ".pml", ".s", ".S",
           ".ld", ".1", ".5", ".7", ".8", ".service", ".script")
LINE = re.compile(r"SPDX-License-Identifier: Apache-2\.0\b")


def is_source(path, lines):
    if path.startswith("tests/fuzz/corpora/"):
        return False
    return path.endswith(SOURCES) or bool(lines) and lines[0].startswith("#!")


def check(root, files):
    bad = []
    for path in files:
        lines = lib.text(root, path).split("\n", 4)[:4]
        if not is_source(path, lines):
            continue
        # A line for another program may come before it: #!, or a word to shellcheck.
        first = [x for x in lines if not x.startswith(("#!", "# shellcheck"))][:1]
        if not first or not LINE.search(first[0]):
            bad.append(f"{path}:1: no SPDX line")
    return bad
