# SPDX-License-Identifier: Apache-2.0
"""Who may include whom. Includes name the folder; *_int.h is for its own folder and its tests."""
import re

import lib

SEAM = ["dsm/dsm.h"]
ALLOWED = {
    "base": ["base/"],
    "proto": ["base/", "proto/"],
    "dsm": ["base/", "proto/", "dsm/"],
    "vcpu": ["base/", "proto/ids.h", "proto/rv64_map.h", "vcpu/"] + SEAM,
    "vio": ["base/", "proto/", "vio/"] + SEAM,
    "node-agent": ["base/", "proto/", "dsm/", "vcpu/", "vio/", "node-agent/"],
    "coordinator": ["base/", "proto/", "coordinator/"],
}
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+"([^"]+)"', re.M)


def why_not(path, name):
    parts = path.split("/")
    if name == "config.h":
        return None
    if "/" not in name:
        # Programs for the guest's bare metal have no include path of ours.
        return None if parts[0] == "tests" else "include with the folder"
    if name.endswith("_int.h"):
        owner = name.split("/")[0]
        tests = parts[0] == "tests" and owner in parts[1:]
        if parts[0] != owner and not tests:
            return f"{name} is private to {owner}"
    allowed = ALLOWED.get(parts[0])
    if allowed is not None and not any(name == a or a.endswith("/") and name.startswith(a)
                                       for a in allowed):
        return f"{parts[0]} must not include {name}"
    return None


def check(root, files):
    bad = []
    for path in files:
        if not path.endswith((".c", ".h", ".def")) or "/" not in path:
            continue
        source = lib.text(root, path)
        for m in INCLUDE.finditer(source):
            why = why_not(path, m.group(1))
            if why:
                bad.append(f"{path}:{lib.line_of(source, m.start())}: {why}")
    return bad
