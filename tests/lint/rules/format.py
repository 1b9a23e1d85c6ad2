# SPDX-License-Identifier: Apache-2.0
"""C files are as clang-format 14 writes them."""
import re
import shutil
import subprocess

import lib

VIOLATION = re.compile(r"^(.+?):(\d+):\d+: error: code should be clang-formatted", re.M)


def program():
    for name in ("clang-format-14", "clang-format"):
        if shutil.which(name):
            version = subprocess.run([name, "--version"], capture_output=True, text=True).stdout
            if re.search(r"version 14\.", version):
                return name
    raise lib.Skip("clang-format 14 is missing: apt-get install clang-format-14")


def check(root, files):
    name = program()
    sources = [f for f in files if lib.is_c(f)]
    bad = {}
    for i in range(0, len(sources), 50):
        run = subprocess.run([name, "--dry-run", "-Werror", "--style=file"] + sources[i:i + 50],
                             cwd=root, capture_output=True, text=True)
        for path, line in VIOLATION.findall(run.stderr):
            bad.setdefault(path, f"{path}:{line}: run clang-format -i")
    return list(bad.values())
