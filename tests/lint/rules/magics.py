# SPDX-License-Identifier: Apache-2.0
"""Object magics (names ending in _MAGIC) are unique, and OBJ_INIT uses a name."""
import re

import lib

DEFINE = re.compile(r"^[ \t]*#[ \t]*define[ \t]+(\w+_MAGIC)[ \t]+\(?(?:UINT\d+_C\()?(\w+)", re.M)
INIT = re.compile(r"\bOBJ_(?:INIT|CHECK|FINI)\s*\([^;]*,\s*(\w+)\s*\)\s*;")


def check(root, files):
    bad, seen = [], {}
    for path in filter(lib.is_c, files):
        source = lib.code(lib.text(root, path))
        for m in DEFINE.finditer(source):
            where = f"{path}:{lib.line_of(source, m.start())}"
            try:
                value = int(m.group(2).rstrip("uUlL"), 0)
            except ValueError:
                continue
            if value in seen:
                bad.append(f"{where}: {m.group(1)} is also the value at {seen[value]}")
            seen.setdefault(value, where)
        for m in INIT.finditer(source):
            if m.group(1)[0].isdigit():
                bad.append(f"{path}:{lib.line_of(source, m.start())}: name the magic")
    return bad
