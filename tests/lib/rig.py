# SPDX-License-Identifier: Apache-2.0
"""A rig: the real coordinator, an agent for each host, and machines over them.

To be run under tests/lib/rig.sh, which makes the hosts:

    with Rig(hosts=2) as rig:
        vm = rig.linux("x", "--net", "user", vcpus=2)   # described and started
        print(vm.run("numactl --hardware").text())      # in the guest; fails unless its status is 0
        vm.run("taskset -c 1 sha256sum /dev/vda", limit=120)
        rig.on(1, "iptables", "-A", "INPUT", "-s", rig.address_of(2), "-j", "DROP")
        vm.power_off()
        rig.nothing_left()                               # also done at the end

One boot costs half a minute, so a case asks many things of a guest. Guest n of rig.linux has one
NUMA node per host; CPUs are spread evenly, in order.
"""
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

from client import GONE, Client, finish, until

SRC = os.environ.get("MB_SRC") or os.path.abspath(f"{os.path.dirname(__file__)}/../..")
BUILD = os.path.abspath(os.environ.get("MB_BUILD", f"{SRC}/build-check"))
PREFIX = "10.77.0"  # NET_PREFIX of deploy/lib/net.sh
CENTRE = f"{PREFIX}.254"
PORT = 7440
UIDS = (2000000, 2000999)
BOOT_S = 240  # until the guest serves its first command, on a loaded machine
# What a kernel says when a processor is too slow, a message was lost or memory was not coherent.
BAD = ("failed to come online|soft lockup|hard lockup|rcu.*stall|BUG:|Oops|Unable to handle|"
       "hung_task|WARNING:")


def pids():
    """All processes of this world."""
    return {int(p) for p in os.listdir("/proc") if p.isdigit()}


def command(pid):
    with contextlib.suppress(OSError):
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return f.read().replace(b"\0", b" ").decode(errors="replace").strip()
    return "?"


def alive(pid):
    """It runs: a zombie does not."""
    with contextlib.suppress(OSError):
        with open(f"/proc/{pid}/stat", "rb") as f:
            return f.read().rsplit(b")", 1)[1].split()[0] != b"Z"
    return False


class Machine:
    """One VM of a rig."""

    def __init__(self, rig, name):
        self.rig, self.name = rig, name
        self.console = None

    def show(self):
        return self.rig.show(self.name)

    def stats(self):
        return self.rig.stats(self.name)

    def start(self):
        self.rig.cli("vm", "start", self.name, limit=120).ok()

    def keep_console(self):
        """Its console goes to a file from now on, which begins anew; the path of the file."""
        path = f"{self.rig.logs}/{self.name}.console"
        with open(path, "wb") as f:
            self.console = self.rig.popen("vm", "console", self.name, stdout=f, stderr=f)
        return path

    def popen(self, text, limit=BOOT_S, **kw):
        return self.rig.popen("vm", "exec", self.name, "--timeout", str(limit), "--", text, **kw)

    def exec(self, text, limit=BOOT_S):
        """Run a command in the guest, which may still be booting; its Result."""
        return finish(self.popen(text, limit), limit + 30)

    def run(self, text, limit=BOOT_S):
        return self.exec(text, limit).ok()

    def healthy(self):
        """The guest's kernel complains of nothing."""
        found = self.exec(f"dmesg | grep -E '{BAD}'").text()
        assert found == "", f"the guest's kernel complains: {found}"

    def pid(self, index):
        return self.show()["slices"][index]["status"]["pid"]

    def pids(self):
        return [s["status"]["pid"] for s in self.show()["slices"]]

    def log(self, index):
        """The log of its slice with that index."""
        return self.rig.slice_log(self.show()["slices"][index]["part"]["host"], self.name, index)

    def reasons(self):
        """Why each slice has ended, in its own words in its log; None for one that runs."""
        found = []
        for s in self.show()["slices"]:
            log = self.rig.slice_log(s["part"]["host"], self.name, s["part"]["slice"])
            m = re.search(r"the VM has ended, reason (.*)", log)
            found.append(m and m.group(1).strip())
        return found

    def stop(self):
        self.rig.cli("vm", "stop", self.name).ok()
        self.gone()

    def power_off(self, limit=60):
        """From inside, and wait until it is off."""
        self.exec("poweroff -f; sleep 60", limit)
        until("the guest is off", lambda: self.rig.state(self.name) in GONE, limit)
        assert self.show()["reason"] == "power-off", self.show()
        self.gone()

    def gone(self):
        self.rig.no_slices()
        if self.console is not None:
            self.console.communicate(timeout=20)
            self.console = None


class Rig(Client):
    """Hosts 1 to `hosts`, all of one rig below one temporary directory."""

    def __init__(self, hosts=2, memory="4G", cpus=4):
        self.dir = tempfile.mkdtemp(prefix="mb-rig-")
        os.chmod(self.dir, 0o711)  # slices of other users pass through, and list nothing
        super().__init__(BUILD, f"{self.dir}/pki", f"{CENTRE}:{PORT}")
        self.hosts, self.memory, self.cpus = hosts, memory, cpus
        self.logs = f"{self.dir}/logs"
        self.tmp = f"{self.dir}/tmp"
        self.daemons, self.machines = {}, []
        self.undo = []  # functions that give back what a case has taken, called at the very end
        self.before = pids()
        self.namespaces = sorted(os.listdir("/run/netns"))
        for d in (self.logs, self.tmp, f"{self.dir}/state"):
            os.mkdir(d)
        os.chmod(self.tmp, 0o1777)
        self.init("--dir", self.pki).ok()
        for i in range(1, hosts + 1):
            self.init("--dir", self.pki, "--host", f"host{i}").ok()
            os.mkdir(f"{self.dir}/host{i}", 0o711)

    def __enter__(self):
        self.start_coordinator()
        for i in range(1, self.hosts + 1):
            self.start_agent(i)
        self.wait_online(*[f"host{i}" for i in range(1, self.hosts + 1)])
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self.end()
        finally:
            self.wreck(kind is not None or sys.exc_info()[0] is not None)

    # --- hosts and daemons ---

    @staticmethod
    def address_of(i):
        return f"{PREFIX}.{i}"

    @staticmethod
    def inside(i, args):
        """The command that runs `args` on host i; 0 is the centre."""
        return [*([f"nsenter", f"--net=/run/netns/host{i}", "--"] if i else []), *args]

    def on(self, i, *args):
        """Run a program on host i; its Result, whose status has to be 0."""
        p = subprocess.Popen(self.inside(i, args), stdout=-1, stderr=-1, stdin=subprocess.DEVNULL)
        return finish(p).ok()

    def cut(self, a, b):
        """From now on no packet passes between two hosts, in either direction; all else does."""
        for i, other in ((a, b), (b, a)):
            for chain, side in (("INPUT", "-s"), ("OUTPUT", "-d")):
                rule = [chain, side, self.address_of(other), "-j", "DROP"]
                self.on(i, "iptables", "-A", *rule)
                self.undo.append(lambda i=i, rule=rule: self.on(i, "iptables", "-D", *rule))

    def spawn(self, name, i, *args):
        with open(f"{self.logs}/{name}.log", "ab") as log:
            self.daemons[name] = subprocess.Popen(
                self.inside(i, args), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=dict(os.environ, TMPDIR=self.tmp), start_new_session=True)

    def start_coordinator(self):
        self.spawn("coordinator", 0, f"{BUILD}/mirrorball-coordinator", "--listen", self.address,
                   "--pki", self.pki, "--state-dir", f"{self.dir}/state")
        until("the coordinator answers", lambda: self.cli("host", "list").status == 0)

    def start_agent(self, i):
        self.spawn(f"agent{i}", i, f"{BUILD}/mirrorball-agent", "--coordinator", self.address,
                   "--pki", self.pki, "--identity", f"host{i}", "--fabric", self.address_of(i),
                   "--run-dir", f"{self.dir}/host{i}", "--log-dir", f"{self.logs}/host{i}",
                   "--slice-program", f"{BUILD}/mirrorball-slice", "--uids",
                   f"{UIDS[0]}-{UIDS[1]}", "--memory", self.memory, "--cpus", str(self.cpus))

    def kill(self, name, sig=signal.SIGKILL):
        """End a daemon, "coordinator" or "agent2"; its status."""
        p = self.daemons.pop(name)
        p.send_signal(sig)
        return p.wait(timeout=20)

    # --- machines ---

    def machine(self, name, kernel, *args, hosts=None, vcpus=2, memory="512M"):
        """Describe a machine and start it."""
        self.cli("vm", "create", name, "--hosts", str(hosts or self.hosts), "--vcpus", str(vcpus),
                 "--memory", memory, "--kernel", kernel, *args).ok()
        vm = Machine(self, name)
        self.machines.append(vm)
        vm.start()
        return vm

    def linux(self, name, *args, append="", **kw):
        """A machine with Debian's kernel that serves commands. Its console is kept."""
        guest = guest_dir()
        vm = self.machine(name, f"{guest}/Image", "--initrd", f"{guest}/initrd", "--append",
                          f"earlycon=sbi console=ttyS0 quiet mirrorball.exec {append}".strip(),
                          *args, **kw)
        vm.keep_console()
        return vm

    def slices(self):
        """The processes of all slices: those of the name that is theirs alone."""
        return [p for p in pids() - self.before if command(p).split(" ")[0].endswith("-slice")]

    def slice_log(self, host, vm, index):
        with open(f"{self.logs}/{host}/{vm}.{index}.log", errors="replace") as f:
            return f.read()

    def no_slices(self, limit=10):
        until("no slice is left", lambda: not self.slices(), limit)

    # --- the end ---

    def nothing_left(self):
        """Of machines that have ended: no process, no file, no name in a run directory."""
        self.no_slices()
        ours = {p.pid for p in self.daemons.values()}
        ours |= {vm.console.pid for vm in self.machines if vm.console is not None}
        left = [f"{p} {command(p)}" for p in pids() - self.before - ours]
        assert not left, f"still running: {left}"
        for i in range(1, self.hosts + 1):
            run = f"{self.dir}/host{i}"
            until(f"{run} is empty", lambda: not os.listdir(run), 5)
        for d in (self.tmp, "/dev/shm"):
            assert not os.listdir(d), f"left in {d}: {os.listdir(d)}"
        assert sorted(os.listdir("/run/netns")) == self.namespaces

    def end(self):
        """Stop what runs, end all daemons in order; nothing is left."""
        for vm in self.machines:
            if self.state(vm.name) not in GONE:
                vm.stop()
            vm.gone()
        self.nothing_left()
        for name in sorted(self.daemons):  # agents come before the coordinator
            assert self.daemons[name].poll() is None, f"{name} has ended by itself"
            status = self.kill(name, signal.SIGTERM)
            assert status == 0, f"{name} ended with status {status}"
        left = [f"{p} {command(p)}" for p in pids() - self.before]
        assert not left, f"still running: {left}"

    def wreck(self, failed):
        """However it went: kill and remove everything; after a failure, show the logs' ends."""
        for p in [*self.daemons.values(), *(vm.console for vm in self.machines if vm.console)]:
            p.kill()
            p.wait()
        for pid in self.slices():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for fn in reversed(self.undo):
            fn()
        if failed:
            for top, _, files in sorted(os.walk(self.logs)):
                for f in sorted(files):
                    with open(f"{top}/{f}", errors="replace") as log:
                        print(f"--- {os.path.relpath(top, self.logs)}/{f}\n" +
                              "".join(log.readlines()[-25:]))
        shutil.rmtree(self.dir)


def guest_dir():
    """The guest image's directory; made when there is none."""
    cache = os.environ.get("MB_CACHE_DIR")
    args = ["--cache-dir", cache] if cache else []
    return subprocess.run([f"{SRC}/deploy/guest/build", *args], stdout=-1,
                          check=True).stdout.decode().strip()
