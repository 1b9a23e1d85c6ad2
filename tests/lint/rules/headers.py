# SPDX-License-Identifier: Apache-2.0
"""Every header compiles alone, without config.h."""
import concurrent.futures
import os
import shutil
import subprocess
import tempfile

import lib

PACKAGES = ["libevent", "libfabric", "libprotobuf-c", "openssl", "sqlite3", "slirp", "libseccomp",
            "cunit"]


def package_flags():
    flags = []
    for package in PACKAGES:
        out = subprocess.run(["pkg-config", "--cflags", package], capture_output=True, text=True)
        flags += out.stdout.split() if out.returncode == 0 else []
    return sorted(set(flags))


def generate(root, files, out):
    """The headers that the build makes from .proto files."""
    protos = [f for f in files if f.endswith(".proto")]
    if not protos:
        return
    if shutil.which("protoc-c") is None:
        raise lib.Skip("protoc-c is missing: apt-get install protobuf-c-compiler")
    subprocess.run(["protoc-c", "--c_out=" + out, "-I", "."] + protos, cwd=root, check=True)


def check(root, files):
    compiler = os.environ.get("CC", "gcc").split()
    headers = [f for f in files if f.endswith(".h")]
    if shutil.which(compiler[0]) is None:
        raise lib.Skip(compiler[0] + " is missing")
    with tempfile.TemporaryDirectory() as out:
        generate(root, files, out)
        command = compiler + ["-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Werror",
                              "-Wno-unused-function", "-fsyntax-only", "-I.", "-I" + out]
        command += package_flags()

        def alone(header):
            # Through an including file: a header as the main file gets warnings of its own.
            line = f'#include "{header}"\nextern int lint_not_empty;\n'
            run = subprocess.run(command + ["-x", "c", "-"], input=line, cwd=root,
                                 capture_output=True, text=True)
            first = [x for x in run.stderr.splitlines() if "error:" in x][:1]
            return f"{header}:1: does not compile alone: {first}" if run.returncode else None

        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            return [r for r in pool.map(alone, headers) if r]
