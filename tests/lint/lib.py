# SPDX-License-Identifier: Apache-2.0
"""What the rules have in common."""
import os
import re
import subprocess


class Skip(Exception):
    """This machine lacks what the rule needs; the text says what."""


def walk(root):
    """All files below `root`, as sorted relative paths."""
    found = []
    for folder, folders, files in os.walk(root):
        folders[:] = [f for f in folders if f not in (".git", "autom4te.cache", "__pycache__")
                      and not (folder == str(root) and f.startswith("build"))]
        found += [os.path.relpath(os.path.join(folder, f), root) for f in files]
    return sorted(found)


def tracked(root):
    """The project's files, also those not yet committed; planted violations are not its own."""
    try:
        out = subprocess.run(["git", "-C", str(root), "ls-files", "-z", "-co",
                              "--exclude-standard"], capture_output=True, check=True).stdout
        found = sorted(set(out.decode().split("\0")) - {""})
    except (OSError, subprocess.CalledProcessError):
        found = walk(root)  # a source tarball
    return [f for f in found if not f.startswith("tests/lint/selftest/")
            and os.path.isfile(os.path.join(root, f))]


def text(root, path):
    with open(os.path.join(root, path), encoding="utf-8", errors="replace") as f:
        return f.read()


def is_c(path):
    return path.endswith((".c", ".h"))


TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def code(source):
    """C source with comments and the contents of literals blanked; lines keep their numbers."""
    def blank(match):
        s = match.group(0)
        if s[0] in "\"'":
            return s[0] + " " * (len(s) - 2) + s[0]
        return re.sub(r"[^\n]", " ", s)
    return TOKEN.sub(blank, source)


def line_of(source, offset):
    return source.count("\n", 0, offset) + 1
