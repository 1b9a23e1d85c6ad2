# SPDX-License-Identifier: Apache-2.0
"""A suite of unit tests is listed in a fragment, so that it is run and not only kept."""
import re

import lib


def check(root, files):
    listed = set()
    for path in files:
        if path.endswith(".mk"):
            listed.update(re.findall(r"tests/[\w./-]+\.c", lib.text(root, path)))
    return [f"{f}:1: in no .mk file" for f in files
            if f.startswith("tests/unit/") and f.endswith("_ut.c") and f not in listed]
