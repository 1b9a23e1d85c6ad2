# SPDX-License-Identifier: Apache-2.0
"""Calls that have a better one, or that only main() may make."""
import re

import lib

EVERYWHERE = {
    "strcpy": "snprintf or memcpy", "strcat": "snprintf", "sprintf": "snprintf",
    "vsprintf": "vsnprintf", "gets": "fgets", "strtok": "strcspn", "alloca": "malloc",
    "atoi": "strtol with its errors", "atol": "strtol with its errors",
    "atoll": "strtoll with its errors", "atof": "strtod with its errors",
    "system": "fork and exec", "popen": "fork and exec", "assert": "CHECK",
}
IN_TESTS = {name: "wait for a condition" for name in ("sleep", "usleep", "nanosleep")}
OUTSIDE_MAIN = {"exit": "return an error", "abort": "CHECK"}
# Runs inside the guest, without the project's library.
GUEST = "deploy/guest/"


def banned_in(path):
    banned = dict(EVERYWHERE)
    if path.startswith("tests/"):
        banned.update(IN_TESTS)
    name = path.rsplit("/", 1)[-1]
    if not name.endswith("main.c") and not path.startswith(("base/check.c", GUEST, "tests/")):
        banned.update(OUTSIDE_MAIN)
    return banned


def check(root, files):
    bad = []
    for path in filter(lib.is_c, files):
        banned = banned_in(path)
        source = lib.code(lib.text(root, path))
        # Not a member: ops->exit(x) is somebody else's.
        call = re.compile(r"(?<![\w>.])(" + "|".join(banned) + r")\s*\(")
        for m in call.finditer(source):
            bad.append(f"{path}:{lib.line_of(source, m.start())}: {m.group(1)}(): "
                       f"{banned[m.group(1)]} instead")
    return bad
