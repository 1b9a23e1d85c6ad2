# SPDX-License-Identifier: Apache-2.0
"""A .def table begins with a comment that shows each of its macros with the fields: NAME(a, b)."""
import re

import lib

ROW = re.compile(r"^([A-Z][A-Z0-9_]*)\(", re.M)


def check(root, files):
    bad = []
    for path in files:
        if not path.endswith(".def"):
            continue
        source = lib.text(root, path)
        comments = " ".join(re.findall(r"/\*.*?\*/", source, re.S))
        rows = lib.code(source)
        seen = set(re.findall(r"^#define (\w+)\(", rows, re.M))  # shorthands of this table
        for m in ROW.finditer(rows):
            if m.group(1) in seen:
                continue
            seen.add(m.group(1))
            if not re.search(r"\b" + m.group(1) + r"\(\w+", comments):
                bad.append(f"{path}:{lib.line_of(rows, m.start())}: no comment shows the fields "
                           f"of {m.group(1)}()")
    return bad
