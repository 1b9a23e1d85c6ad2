# SPDX-License-Identifier: Apache-2.0
"""integration.py [--long] [CASE...]: machines over several hosts, see README.md.

To be run under tests/lib/rig.sh. The last line is "N passed, N failed, N skipped". Nothing sleeps
for a fixed time but where a time is what is tested; what must happen within a bound is measured.
"""
import contextlib
import gzip
import hashlib
import http.server
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True  # the source may be read-only
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, f"{HERE}/../lib")
from client import GONE, run_cases, until  # noqa: E402
from rig import CENTRE, SRC, UIDS, Rig, alive  # noqa: E402


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


# --- failures, over guests without an operating system ---------------------------------------

LEASE_S = 5.0  # T, the default


def all_ended(vm, since, within):
    """All slices have stopped, for one reason, `within` seconds after `since`; the reason."""
    until("all slices stop", lambda: all(vm.reasons()), within + 10)
    took = time.monotonic() - since
    reasons = set(vm.reasons())
    print(f"    {vm.name}: all slices stopped after {took:.2f} s: {reasons}")
    assert len(reasons) == 1, reasons
    assert took <= within, f"took {took:.2f} s, not {within}"
    return reasons.pop()


def shown_lost(rig, vm, text):
    """What the coordinator says of it: lost, on all slices alike; and nothing is left."""
    until("show is right", lambda: rig.state(vm.name) in GONE, 10)
    info = vm.show()
    assert info["reason"] == "lost-slice" and text in info["text"], info
    for s in info["slices"]:
        assert s["status"]["reason"] == "lost-slice", info
    vm.gone()
    rig.nothing_left()


def case_slice_killed():
    """-9: all others stop within a second, whichever it was; and the machine starts again."""
    with Rig(hosts=3) as rig:
        vm = spin(rig, "x", 3)
        for victim in (1, 0):
            pids = vm.pids()
            start = time.monotonic()
            os.kill(pids[victim], signal.SIGKILL)
            until("all slices are gone", lambda: not any(alive(p) for p in pids), 5)
            took = time.monotonic() - start
            print(f"    slice {victim} killed: all gone after {took:.2f} s")
            assert took < 1.0, f"took {took:.2f} s"
            reasons = {r for i, r in enumerate(vm.reasons()) if i != victim}
            assert len(reasons) == 1, reasons
            shown_lost(rig, vm, f"slice {victim}")
            if victim != 0:
                vm.start()
                vm.keep_console()
                sums(vm, 2)


def case_host_cut_off():
    """One host's cable is out: it can reach nobody, not even the coordinator."""
    with Rig(hosts=2) as rig:
        vm = spin(rig, "x", 2)
        start = time.monotonic()
        rig.on(0, "ip", "link", "set", "mb0h2", "down")
        all_ended(vm, start, 2 * LEASE_S)
        rig.on(0, "ip", "link", "set", "mb0h2", "up")
        shown_lost(rig, vm, "slice 0 and slice 1")


def stopped_for(pid, seconds):
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(seconds)  # the time is what is tested
    finally:
        os.kill(pid, signal.SIGCONT)


def case_host_cut_off_of_three():
    """The same, and each of those that stay knows of another connection that is lost."""
    with Rig(hosts=3) as rig:
        vm = spin(rig, "x", 3)
        # No two slices send and look in the same moment, or it would be no wonder.
        for i, seconds in ((0, 0.1), (2, 0.3)):
            stopped_for(vm.pid(i), seconds)
        start = time.monotonic()
        rig.on(0, "ip", "link", "set", "mb0h2", "down")
        all_ended(vm, start, 2 * LEASE_S)
        rig.on(0, "ip", "link", "set", "mb0h2", "up")
        shown_lost(rig, vm, "slice 0 and slice 1")


def case_pair_cut():
    """A and B lose each other while C sees both."""
    with Rig(hosts=3) as rig:
        vm = spin(rig, "x", 3)
        start = time.monotonic()
        rig.cut(1, 2)
        reason = all_ended(vm, start, 2 * LEASE_S)
        assert "slice 0 and slice 1" in reason, reason
        shown_lost(rig, vm, "slice 0 and slice 1")


def case_pair_cut_leader():
    """The same between the two that do not lead, who have to tell the first."""
    with Rig(hosts=3) as rig:
        vm = spin(rig, "x", 3)
        start = time.monotonic()
        rig.cut(2, 3)
        reason = all_ended(vm, start, 2 * LEASE_S)
        assert "slice 1 and slice 2" in reason, reason
        shown_lost(rig, vm, "slice 1 and slice 2")


def case_slice_stopped_too_long():
    """A slice that stands still for longer than T is lost, and knows it when it goes on."""
    with Rig(hosts=3) as rig:
        vm = spin(rig, "x", 3)
        start = time.monotonic()
        stopped_for(vm.pid(2), 1.5 * LEASE_S)
        all_ended(vm, start, 2 * LEASE_S)
        shown_lost(rig, vm, "slice 2")


def case_nobody_there():
    """No agent and no coordinator lives when a slice dies: the others end by themselves, and what
    comes back later finds out and cleans up."""
    with Rig(hosts=3) as rig:
        vm = spin(rig, "x", 3)
        daemons = list(rig.daemons)
        pids = vm.pids()
        for name in daemons:
            rig.kill(name)
        vm.console.wait(timeout=20)
        assert all(alive(p) for p in pids)
        start = time.monotonic()
        os.kill(pids[1], signal.SIGKILL)
        until("the others stop", lambda: all(
            "the VM has ended" in rig.slice_log(f"host{i}", "x", i - 1) for i in (1, 3)), 5)
        assert time.monotonic() - start < 1.0, time.monotonic() - start
        rig.start_coordinator()
        for i in range(1, 4):
            rig.start_agent(i)
        shown_lost(rig, vm, "slice")


def case_orphans_are_stopped():
    """The guest outlives agents and coordinator, and ends when they are back and told so."""
    with Rig(hosts=2) as rig:
        vm = spin(rig, "x", 2)
        pids = vm.pids()
        for name in list(rig.daemons):
            rig.kill(name)
        vm.console.wait(timeout=20)
        rig.start_coordinator()
        for i in (1, 2):
            rig.start_agent(i)
        start = time.monotonic()
        until("show is right", lambda: right(vm, pids), 10)
        print(f"    show is right {time.monotonic() - start:.2f} s after all came back")
        before = vm.stats()[1]["vcpu.instructions"]
        until("the guest goes on", lambda: vm.stats()[1]["vcpu.instructions"] > before)
        s = vm.stats()[1]
        assert s["vcpu.tlb.fills"] > 0 and s["vcpu.code.ns"] > 0, s
        assert s["vcpu.tlb.fill.rate"] == s["vcpu.tlb.fills"] * 10**6 // s["vcpu.instructions"], s
        vm.stop()


def right(vm, pids):
    """`vm show` has it right: running, with the slices that it always had."""
    info = vm.show()
    return info["state"] == "running" and all(
        s["known"] and s["status"]["state"] == "running" and s["status"]["pid"] == pid
        for s, pid in zip(info["slices"], pids))


def case_sandbox():
    """Each thread of each slice is confined: a filter, no new privileges, a user of its own."""
    with Rig(hosts=2) as rig:
        vm = spin(rig, "x", 2)
        uids = set()
        for pid in vm.pids():
            tasks = os.listdir(f"/proc/{pid}/task")
            assert len(tasks) >= 3, tasks  # main, service, a vCPU
            for t in tasks:
                with open(f"/proc/{pid}/task/{t}/status") as f:
                    status = dict(line.split(":\t", 1) for line in f.read().splitlines()
                                  if ":\t" in line)
                assert status["Seccomp"] == "2" and status["NoNewPrivs"] == "1", status
                assert int(status["CapEff"], 16) == 0, status
                uids.update(map(int, status["Uid"].split()))
        assert len(uids) == 1 and UIDS[0] <= min(uids) <= UIDS[1], uids
        vm.stop()


# --- Debian's kernel over two hosts, its devices used from the host that has none --------------

FAR = "taskset -c 1"  # the CPU of node 1; devices are on slice 0, node 0
DISK_BYTES, THROWN_BYTES, OVERLAY_BYTES = 32 << 20, 8 << 20, 4 << 20
SERVER = "192.0.2.1"  # TEST-NET-1 of RFC 5737


def digest(data):
    return hashlib.sha256(data).hexdigest()


class Debian:
    """The one guest that the cases below share, because it takes most of a minute to boot."""

    def __init__(self):
        self.rig, self.vm, self.sum = None, None, None

    def get(self):
        if self.vm is not None and self.rig.state("debian") == "running":
            return self.vm
        self.end()
        self.rig = Rig(hosts=2).__enter__()
        self.disk, self.thrown = f"{self.rig.dir}/disk", f"{self.rig.dir}/thrown"
        with open(self.disk, "wb") as f:
            f.truncate(DISK_BYTES)
        with open(self.thrown, "wb") as f:
            f.write(os.urandom(THROWN_BYTES))
        self.vm = self.rig.linux("debian", "--net", "user", "--disk", self.disk, "--disk",
                                 f"{self.thrown},nonpersistent", "--option",
                                 f"overlay-limit={OVERLAY_BYTES}", vcpus=2)
        nodes = self.vm.run("numactl --hardware").text()
        assert "node 0 cpus: 0\n" in nodes and "node 1 cpus: 1\n" in nodes, nodes
        return self.vm

    def thrown_sum(self):
        """Of the non-persistent image, as the host has it."""
        with open(self.thrown, "rb") as f:
            return digest(f.read())

    def end(self):
        rig, self.rig, self.vm = self.rig, None, None
        if rig is not None:
            rig.__exit__(None)


debian = Debian()


@contextlib.contextmanager
def far_work(vm, interrupts=True):
    """What happens inside was done by slice 1 with devices of slice 0: its vCPU has executed and
    stored to device registers by message, and their interrupts have come back the same way."""
    before = vm.stats()
    yield
    grown = [{k: s[k] - b[k] for k in b} for s, b in zip(vm.stats(), before)]
    far, near = grown[1], grown[0]
    print(f"    slice 1: {far['vcpu.instructions']} instructions, {far['device.stores']} stores, "
          f"{far['device.loads']} loads; interrupts from slice 0: {near['interrupt.out']}")
    assert far["vcpu.instructions"] > 1000 and far["device.stores"] > 0, grown
    assert not interrupts or near["interrupt.out"] > 0, grown


def case_disk():
    vm = debian.get()
    with far_work(vm):
        debian.sum = vm.run(f"""set -e
            {FAR} mke2fs -q -t ext4 /dev/vda
            mkdir -p /mnt
            {FAR} mount -t ext4 /dev/vda /mnt
            {FAR} dd if=/dev/urandom of=/mnt/data bs=64k count=32 2>/dev/null
            {FAR} sync
            echo 3 >/proc/sys/vm/drop_caches
            {FAR} sha256sum </mnt/data""").text().split()[0]
    vm.healthy()


def case_nonpersistent_disk():
    """Its changes are seen in the guest, from the other node, and by nobody on the host."""
    vm = debian.get()
    before = debian.thrown_sum()
    with open(debian.thrown, "rb") as f:
        image = bytearray(f.read())
    # Whole blocks, and a sector in the middle of one.
    image[1 << 20:2 << 20] = bytes(1 << 20)
    image[(5 << 20) + 512:(5 << 20) + 1024] = bytes(512)
    with far_work(vm):
        got = vm.run(f"""set -e
            {FAR} dd if=/dev/zero of=/dev/vdb bs=1M seek=1 count=1 conv=notrunc,fsync 2>/dev/null
            {FAR} dd if=/dev/zero of=/dev/vdb bs=512 seek=10241 count=1 conv=notrunc,fsync \
                2>/dev/null
            echo 3 >/proc/sys/vm/drop_caches
            {FAR} sha256sum </dev/vdb""").text().split()[0]
    assert got == digest(image), "the guest does not read what it wrote"
    assert debian.thrown_sum() == before, "the image has changed"


def case_random_numbers():
    vm = debian.get()
    with far_work(vm):
        words = vm.run(f"cat /sys/class/misc/hw_random/rng_current; for i in 1 2 3 4; do "
                       f"{FAR} head -c 64 /dev/hwrng | xxd -p -c 64; done").text().split()
    assert words[0] == "virtio_rng.0", words
    assert all(len(w) == 128 for w in words[1:]) and len(set(words[1:])) == 4, words
    ones = sum(bin(int(w, 16)).count("1") for w in words[1:])
    assert 850 < ones < 1200, ones  # of 2048, 1024 expected, 7.7 standard deviations


@contextlib.contextmanager
def server(data):
    """Serves `data` at the centre on every address, also one that the hosts have a route to."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    with contextlib.ExitStack() as undo, \
            http.server.ThreadingHTTPServer(("0.0.0.0", 8000), Handler) as s:
        for host, args in ((0, ["addr", "{}", f"{SERVER}/32", "dev", "lo"]),
                           (1, ["route", "{}", f"{SERVER}/32", "via", CENTRE])):
            debian.rig.on(host, "ip", *[a.format("add") for a in args])
            undo.callback(debian.rig.on, host, "ip", *[a.format("del") for a in args])
        thread = threading.Thread(target=s.serve_forever)
        thread.start()
        undo.callback(thread.join)
        undo.callback(s.shutdown)
        yield


def case_download():
    vm = debian.get()
    data = os.urandom(1 << 20)
    with server(data):
        with far_work(vm, interrupts=False):  # the card's go to CPU 0
            got = vm.run(f"{FAR} wget -q -O - http://{SERVER}:8000/data | sha256sum").text()
        assert got.split()[0] == digest(data), "the download differs"
        # The same server, at an address of the network that the slices talk over.
        for address in (CENTRE, "10.0.2.2"):
            r = vm.exec(f"wget -q -T 4 -O /dev/null http://{address}:8000/data")
            assert r.status not in (0, 203), f"the guest reaches {address}"


def case_reboot():
    """A reset in place on both hosts: disks keep what was written, also the one that is not kept
    for ever."""
    vm = debian.get()
    if debian.sum is None:
        case_disk()
    first = vm.show()["incarnation"]
    pids = vm.pids()
    vdb = vm.run("sha256sum </dev/vdb").text()
    assert vm.exec("sync; umount /mnt; reboot -f; sleep 60").status == 204
    got = vm.run(f"""set -e
        {FAR} e2fsck -fn /dev/vda >&2
        mkdir -p /mnt
        {FAR} mount -t ext4 /dev/vda /mnt
        {FAR} sha256sum </mnt/data
        {FAR} sha256sum </dev/vdb""").text().splitlines()
    assert got[0].split()[0] == debian.sum, "the file differs after the reboot"
    assert got[1] + "\n" == vdb, "the non-persistent disk differs after the reboot"
    assert vm.pids() == pids and vm.show()["incarnation"] == first
    assert [s["guest.resets"] for s in vm.stats()] == [1, 0], vm.stats()  # the leader counts
    vm.healthy()


def case_overlay_full():
    """A write that finds no room fails in the guest, and that is all."""
    vm = debian.get()
    before = debian.thrown_sum()
    r = vm.exec(f"{FAR} dd if=/dev/zero of=/dev/vdb bs=1M seek=2 count=6 conv=notrunc,fsync")
    assert r.status == 1 and "Input/output error" in r.err, (r.status, r.err)
    log = vm.run("dmesg").text()
    assert re.search(r"I/O error, dev vdb, sector \d+ op 0x1:\(WRITE\)|lost async page write", log)
    # What is there already can be written, and read; and other disks know nothing of it.
    vm.run(f"""set -e
        {FAR} dd if=/dev/urandom of=/dev/vdb bs=4096 seek=256 count=16 conv=notrunc,fsync
        {FAR} dd if=/dev/urandom of=/tmp/x bs=4096 count=16
        {FAR} sha256sum /dev/vdb""")
    assert debian.thrown_sum() == before, "the image has changed"
    vm.healthy()


AWAY_S = 3.0  # how long agents and coordinator are gone


def counting(vm):
    """Start a loop on the other node that writes down the time of the guest, ten times a second."""
    # Without a fork: a hundred pages between hosts each time would be what is measured.
    loop = "while :; do read -r t rest </proc/uptime; echo $t; read -r -t 0.1 -u 3; done"
    vm.run(f"""mkfifo /tmp/never
        {FAR} bash -c 'exec 3<>/tmp/never; {loop}' >/tmp/count 2>&1 </dev/null &
        echo $! >/tmp/pid
        until [ -s /tmp/count ]; do sleep 0.1; done""")


def counted(vm, seconds):
    """The loop was never held up while they were away, and went on all the time."""
    times = [float(t) for t in vm.run("cat /tmp/count").text().split()]
    gap, at = max((b - a, a) for a, b in zip(times, times[1:]))
    print(f"    {len(times)} times, {times[0]} to {times[-1]} s; longest gap {gap:.2f} s, at {at}")
    assert times[-1] - times[0] > seconds, "the guest stood still"
    assert gap < AWAY_S, f"the guest stood still for {gap} s"


def case_restarts():
    """Agents and coordinator are killed and come back: the guest goes on, and so do they."""
    vm = debian.get()
    rig = debian.rig
    pids = vm.pids()
    counting(vm)
    for names in (["agent1"], ["agent2"], ["coordinator"], ["agent1", "agent2", "coordinator"]):
        for name in names:
            rig.kill(name)
        time.sleep(AWAY_S)  # time that the guest has to itself
        if "coordinator" not in names:
            assert not right(vm, pids), "nobody has noticed"
        assert all(alive(p) for p in pids)
        back = time.monotonic()
        for name in names:
            if name == "coordinator":
                rig.start_coordinator()
            else:
                rig.start_agent(int(name[-1]))
        until("show is right", lambda: right(vm, pids), 10)
        took = time.monotonic() - back
        print(f"    {' '.join(names)}: show is right {took:.2f} s after the start")
        assert vm.run("echo here").out == b"here\n"
    counted(vm, 4 * AWAY_S)
    vm.run("kill $(cat /tmp/pid)")
    vm.keep_console()
    vm.healthy()


def case_slice_stopped():
    """Each slice in turn stands still for less than T: nothing happens."""
    vm = debian.get()
    for i, pid in enumerate(vm.pids()):
        stopped_for(pid, 0.6 * LEASE_S)
        assert vm.run(f"echo {i}").out == b"%d\n" % i
    assert vm.show()["state"] == "running"
    vm.healthy()


def case_power_off():
    """The disk's image as the host finds it afterwards."""
    vm = debian.get()
    if debian.sum is None:
        case_disk()
    before = debian.thrown_sum()
    vm.run("umount /mnt; sync")
    vm.power_off()
    subprocess.run(["e2fsck", "-fn", debian.disk], check=True)
    p = subprocess.run(["debugfs", "-R", "cat /data", debian.disk], stdout=-1, check=True)
    assert digest(p.stdout) == debian.sum, "the file on the host differs"
    assert debian.thrown_sum() == before, "the image has changed"
    debian.rig.nothing_left()
    debian.end()


def case_own_host_and_cut():
    """With net-open the guest reaches the host that its card is on; then its hosts lose each
    other, and nothing of a real guest goes on either."""
    with Rig(hosts=2) as rig:
        data = os.urandom(1 << 20)
        with open(f"{rig.tmp}/data", "wb") as f:
            f.write(data)
        rig.spawn("server", 1, "python3", "-m", "http.server", "--bind", "127.0.0.1",
                  "--directory", rig.tmp, "8000")
        vm = rig.linux("x", "--net", "user", "--option", "net-open=1", vcpus=2)
        got = vm.run(f"{FAR} wget -q -O - http://10.0.2.2:8000/data | sha256sum").text()
        assert got.split()[0] == digest(data), "the download differs"
        rig.kill("server", signal.SIGTERM)
        os.unlink(f"{rig.tmp}/data")
        busy = vm.popen(f"while :; do {FAR} sha256sum /sbin/e2fsck; done")
        assert busy.stdout.read(10)
        start = time.monotonic()
        rig.cut(1, 2)
        all_ended(vm, start, 2 * LEASE_S)
        busy.communicate(timeout=20)
        assert busy.returncode == 202, busy.returncode
        shown_lost(rig, vm, "slice 0 and slice 1")


# --- mistakes and full disks -----------------------------------------------------------------

def refused(rig, name, kernel, *args, parts, memory="256M", initrd=None):
    """A machine with that kernel is described, and its start refused for a reason with `parts`."""
    extra = ["--initrd", initrd] if initrd else []
    rig.cli("vm", "create", name, "--hosts", "2", "--vcpus", "2", "--memory", memory, "--kernel",
            kernel, *extra, *args).ok()
    rig.cli("vm", "start", name).refused(*parts)
    assert rig.state(name) == "failed", rig.show(name)
    rig.nothing_left()
    rig.cli("vm", "destroy", name).ok()


def case_wrong_files():
    with Rig(hosts=2) as rig:
        def file(name, data):
            path = f"{rig.dir}/{name}"
            with open(path, "wb") as f:
                f.write(data)
            return path
        with open(bare("spin"), "rb") as f:
            image = f.read()
        good = bare("spin")
        refused(rig, "text", file("text", b"#!/bin/sh\n" * 100), parts=["not a flat RISC-V"])
        refused(rig, "short", file("short", image[:40]), parts=["shorter than an image header"])
        refused(rig, "packed", file("packed", gzip.compress(image)), parts=["zcat"])
        refused(rig, "empty", file("empty", b""), parts=["kernel", "not a regular, non-empty"])
        refused(rig, "folder", rig.tmp, parts=["neither a file nor a block device"])
        huge = bytearray(image)
        huge[16:24] = (1 << 40).to_bytes(8, "little")
        refused(rig, "huge", file("huge", bytes(huge)), parts=["kernel: needs", "memory"])
        big = f"{rig.dir}/big"
        with open(big, "wb") as f:
            f.truncate(300 << 20)
        refused(rig, "initrd", good, initrd=big, parts=["initrd: 300 MiB do not fit"])
        refused(rig, "disk", good, "--disk", file("nothing", b""), parts=["disk 0", "nothing"])
        refused(rig, "cpu", good, "--cpu", "magic", parts=["magic", "svadu"])


class Full:
    """A small file system on a directory, with room that can be taken away and given back."""

    def __init__(self, rig, path, size="1M"):
        self.path = path
        rig.undo.append(lambda: subprocess.run(["umount", "--lazy", path], check=True))
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0711", "tmpfs", path],
                       check=True)

    def fill(self):
        """No byte and no name is left."""
        with contextlib.suppress(OSError), open(f"{self.path}/filler", "wb", buffering=0) as f:
            while True:
                f.write(bytes(4096))
        with contextlib.suppress(OSError):
            for i in range(1000):
                os.mknod(f"{self.path}/filler{i}")

    def free(self):
        for f in os.listdir(self.path):
            if f.startswith("filler"):
                os.unlink(f"{self.path}/{f}")


def case_full_state_directory():
    """The coordinator says what it could not store, lives, and goes on when there is room."""
    rig = Rig(hosts=2)
    disk = Full(rig, f"{rig.dir}/state")
    with rig:
        vm = spin(rig, "x", 2)
        disk.fill()
        args = ["vm", "create", "y", "--memory", "256M", "--kernel", bare("spin")]
        until("the store is full", lambda: rig.cli(*args).status != 0 or
              rig.cli("vm", "destroy", "y").status != 0)
        rig.cli("vm", "create", "z", "--memory", "256M", "--kernel", bare("spin")).refused("full")
        sums(vm, 2)
        vm.stop()  # what runs can be stopped all the same
        disk.free()
        rig.cli("vm", "create", "z", "--memory", "256M", "--kernel", bare("spin")).ok()
        assert rig.show("x")["reason"] == "request", rig.show("x")


def case_full_run_directory():
    """A host without room for a slice refuses it, and says where and why."""
    rig = Rig(hosts=2)
    disk = Full(rig, f"{rig.dir}/host2", "1M,nr_inodes=20")
    with rig:
        disk.fill()
        rig.cli("vm", "create", "x", "--hosts", "2", "--vcpus", "2", "--memory", "256M",
                "--kernel", bare("spin")).ok()
        rig.cli("vm", "start", "x").refused("cannot make", "host2", "no space left")
        disk.free()
        rig.nothing_left()
        rig.cli("vm", "destroy", "x").ok()
        spin(rig, "x", 2).stop()


LONG = {"own_host_and_cut", "pair_cut_leader", "slice_stopped_too_long"}


def main():
    cases = [(n[5:], f) for n, f in globals().items() if n.startswith("case_")]
    wanted = [a for a in sys.argv[1:] if a != "--long"]
    if not wanted and "--long" not in sys.argv:
        cases = [(n, f) for n, f in cases if n not in LONG]
    try:
        return run_cases(cases, wanted,
                         "tests/lib/rig.sh 4 python3 tests/integration/integration.py")
    finally:
        debian.end()
        built.cleanup()


if __name__ == "__main__":
    sys.exit(main())
