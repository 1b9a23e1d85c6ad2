# SPDX-License-Identifier: Apache-2.0
"""integration.py [--long] [CASE...]: machines over several hosts, see README.md.

To be run under tests/lib/rig.sh. The last line is "N passed, N failed, N skipped". Nothing sleeps
for a fixed time but where a time is what is tested; what must happen within a bound is measured.
"""
import os
import re
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True  # the source may be read-only
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, f"{HERE}/../lib")
from client import run_cases, until  # noqa: E402
from rig import SRC, Rig  # noqa: E402


# --- guests without an operating system ------------------------------------------------------

RV = f"{SRC}/tests/engine/rv"
CC = os.environ.get("RV_CC", "riscv64-linux-gnu-gcc")
OBJCOPY = os.environ.get("RV_OBJCOPY", "riscv64-linux-gnu-objcopy")
CFLAGS = ["-O2", "-Wall", "-Werror", "-march=rv64gc", "-mabi=lp64d", "-mcmodel=medany",
          "-ffreestanding", "-nostdlib", "-static", "-fno-pie", "-fno-stack-protector",
          "-fno-tree-loop-distribute-patterns", "-Wl,--build-id=none",
          "-Wl,--no-warn-rwx-segments", "-DSTACK_BYTES=16384", f"-I{SRC}"]
built = tempfile.TemporaryDirectory(prefix="mb-bare-")


def bare(name):
    """A kernel out of rv/NAME.c; the path of the file."""
    to = f"{built.name}/{name}"
    if not os.path.exists(to):
        subprocess.run([CC, *CFLAGS, "-T", f"{RV}/link.ld", f"{HERE}/rv/image.S", f"{RV}/start.S",
                        f"{RV}/trap.S", f"{RV}/rt.c", f"{HERE}/rv/{name}.c", "-o", f"{to}.elf"],
                       check=True)
        subprocess.run([OBJCOPY, "-O", "binary", f"{to}.elf", to], check=True)
    return to


def spin(rig, name, hosts, *args):
    """A machine that is at work on all hosts at once; 128 MiB and a vCPU on each."""
    vm = rig.machine(name, bare("spin"), *args, hosts=hosts, vcpus=hosts,
                     memory=f"{hosts * 128}M")
    vm.console_path = vm.keep_console()
    sums(vm, 2)
    return vm


def sums(vm, more):
    """Wait until the guest has printed `more` new sums, each above the one before."""
    def read():
        with open(vm.console_path, errors="replace") as f:
            return [int(n) for n in re.findall(r"^sum (\d+)\r?$", f.read(), re.M)]
    before = len(read())
    until("the guest goes on", lambda: len(read()) >= before + more)
    got = read()
    assert all(a < b for a, b in zip(got, got[1:])), got


def case_spin():
    with Rig(hosts=3) as rig:
        vm = spin(rig, "x", 3)
        stats = vm.stats()
        assert all(s["page.fetched"] > 20 and s["page.sent"] > 20 for s in stats), stats
        vm.stop()
        assert vm.show()["reason"] == "request"


def main():
    cases = [(n[5:], f) for n, f in globals().items() if n.startswith("case_")]
    wanted = [a for a in sys.argv[1:] if a != "--long"]
    return run_cases(cases, wanted, "tests/lib/rig.sh 4 python3 tests/integration/integration.py")


if __name__ == "__main__":
    sys.exit(main())
