# SPDX-License-Identifier: Apache-2.0
"""No path of a machine on which somebody develops, and no name of a package mirror."""
import re

import lib

# In two parts, or this file would be the first find.
PATTERN = re.compile(r"(?<![\w.$}])/(?:work|home)" + r"/\w|\b(?:deb|ftp|archive|security)\."
                     r"(?:\w+\.)?debian" + r"\.org\b")


def check(root, files):
    bad = []
    for path in files:
        if path.startswith("tests/fuzz/corpora/"):
            continue
        source = lib.text(root, path)
        for m in PATTERN.finditer(source):
            bad.append(f"{path}:{lib.line_of(source, m.start())}: {m.group(0)}")
    return bad
