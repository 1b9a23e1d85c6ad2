# SPDX-License-Identifier: Apache-2.0
"""control.py BUILD [CASE...]: coordinator, agents, command line and fake slices over loopback.

Each case is a function; the last line is "N passed, N failed, N skipped". Nothing sleeps for a
fixed time: what is waited for is a condition with a limit, and what must happen within a bound is
measured.
"""
import contextlib
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import termios
import time

sys.dont_write_bytecode = True  # the source may be read-only
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from client import GONE, Client, run_cases, until  # noqa: E402

BUILD = os.path.abspath(sys.argv[1])
CLI = f"{BUILD}/mirrorball"
FAKE = f"{BUILD}/tests/control/fake-slice"


def pattern(n, channel):
    period = 256 * 251
    one = bytes((k * 7 + k // 251 + channel * 101) & 255 for k in range(period))
    return (one * (n // period + 1))[:n]


class Lab(Client):
    """A coordinator and agents, each with its own directories, below one temporary directory."""

    def __init__(self, hosts=("a", "b")):
        self.dir = tempfile.mkdtemp(prefix="mb-control-")
        super().__init__(BUILD, f"{self.dir}/pki", "127.0.0.1:0")
        self.hosts = hosts
        self.agents = {}
        self.coordinator = None
        self.init("--dir", self.pki).ok()
        for h in hosts:
            self.init("--dir", self.pki, "--host", h).ok()
        with open(f"{self.dir}/kernel", "wb") as f:
            f.write(b"kernel")

    def __enter__(self):
        self.start_coordinator()
        for h in self.hosts:
            self.start_agent(h)
        self.wait_online(*self.hosts)
        return self

    def __exit__(self, *_):
        pids = self.slice_pids()
        for p in [self.coordinator, *self.agents.values()]:
            if p is not None and p.poll() is None:
                p.kill()
                p.wait()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if sys.exc_info()[0] is not None:
            for name in sorted(os.listdir(self.dir)):
                if name.endswith(".log"):
                    with open(f"{self.dir}/{name}", errors="replace") as f:
                        print(f"--- {name}\n" + "".join(f.readlines()[-25:]))
        shutil.rmtree(self.dir)

    def start_coordinator(self):
        path = f"{self.dir}/address"
        if os.path.exists(path):
            os.unlink(path)
        with open(f"{self.dir}/coordinator.log", "ab") as log:
            self.coordinator = subprocess.Popen(
                [f"{BUILD}/mirrorball-coordinator", "--listen", self.address, "--address-file",
                 path, "--pki", self.pki, "--state-dir", f"{self.dir}/state"], stderr=log)
        until("the coordinator listens",
              lambda: os.path.exists(path) or self.coordinator.poll() is not None)
        with open(path) as f:
            self.address = f.read().strip()

    def start_agent(self, name, slice_program=FAKE):
        with open(f"{self.dir}/agent.{name}.log", "ab") as log:
            self.agents[name] = subprocess.Popen(
                [f"{BUILD}/mirrorball-agent", "--coordinator", self.address, "--pki", self.pki,
                 "--identity", name, "--fabric", "127.0.0.1",
                 "--run-dir", f"{self.dir}/run.{name}", "--log-dir",
                 f"{self.dir}/log.{name}", "--slice-program", slice_program, "--memory", "4G"],
                stderr=log)

    def kill(self, p, sig=signal.SIGKILL):
        p.send_signal(sig)
        p.wait()

    def create(self, name, *args, hosts=2, vcpus=4, memory="1G"):
        return self.cli("vm", "create", name, "--hosts", str(hosts), "--vcpus", str(vcpus),
                        "--memory", memory, "--kernel", f"{self.dir}/kernel", *args)

    def running(self, name, *args, **kw):
        self.create(name, *args, **kw).ok()
        self.cli("vm", "start", name).ok()
        return self.show(name)

    def slice_pids(self):
        """Of the fake slices that an agent of this lab has started: by their log file."""
        pids = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{pid}/fd/1").startswith(self.dir + "/log."):
                    pids.append(int(pid))
        return pids

    def run_dirs(self):
        return [d for h in self.hosts for d in os.listdir(f"{self.dir}/run.{h}")]

    def clean(self):
        until("no slice is left", lambda: not self.slice_pids() and not self.run_dirs(), 10)


def ends(lab, vm, reason, within, since):
    """The VM has ended for this reason on all slices, and everything is gone."""
    until(f"{vm} ends", lambda: lab.state(vm) in GONE, within + 5)
    took = time.monotonic() - since
    assert took <= within, f"took {took:.2f} s"
    info = lab.show(vm)
    assert info["reason"] == reason, info
    for s in info["slices"]:
        assert s["status"]["reason"] == reason, info
    lab.clean()
    return info


# --- cases -----------------------------------------------------------------------------------

def case_init():
    with tempfile.TemporaryDirectory() as d:
        pki = f"{d}/pki"
        out = subprocess.run([CLI, "init", "--dir", pki], stdout=-1, check=True).stdout.decode()
        assert re.search(r"until 20\d\d-", out) and "undo:" in out, out
        for f in os.listdir(pki):
            assert stat.S_IMODE(os.stat(f"{pki}/{f}").st_mode) == 0o600, f
        before = {f: open(f"{pki}/{f}", "rb").read() for f in os.listdir(pki)}
        again = subprocess.run([CLI, "init", "--dir", pki], stderr=-1)
        assert again.returncode == 1 and b"overwritten" in again.stderr, again.stderr
        assert before == {f: open(f"{pki}/{f}", "rb").read() for f in os.listdir(pki)}
        bad = subprocess.run([CLI, "init", "--dir", pki, "--host", "../x"], stderr=-1)
        assert bad.returncode == 2 and b"is no name" in bad.stderr, bad.stderr


def case_life():
    with Lab() as lab:
        info = lab.running("x", "--append", "console=ttyS0", "--disk",
                           f"{lab.dir}/kernel,nonpersistent")
        assert info["state"] == "running", info
        assert [s["part"]["host"] for s in info["slices"]] == ["a", "b"], info
        assert [s["part"]["vcpus"] for s in info["slices"]] == [2, 2]
        assert [s["part"]["memory_bytes"] >> 20 for s in info["slices"]] == [512, 512]
        assert len(lab.slice_pids()) == 2
        assert sorted(s["status"]["pid"] for s in info["slices"]) == sorted(lab.slice_pids())
        with open(f"{lab.dir}/log.a/x.0.log") as f:
            log = f.read()
        assert "descriptor kernel, 6 bytes" in log and "descriptor disk0, 6 bytes" in log, log
        with open(f"{lab.dir}/log.b/x.1.log") as f:
            assert "descriptor kernel" not in f.read()
        assert b"running" in lab.cli("vm", "list").ok().out
        stats = json.loads(lab.cli("vm", "stats", "x", "--output", "json").ok().out)
        names = {s["name"]: s["value"] for s in stats["slices"][1]["stats"]}
        assert names["fault.read"] == 101 and names["clock.skew"] == -42, names
        pages = json.loads(lab.cli("vm", "pages", "x", "--top", "5", "--output", "json").ok().out)
        assert [(p["weight"], p["home"], p["address"]) for p in pages["pages"]] == [
            (10000 - i, i % 2, 0x80200000 + i * 4096) for i in range(5)], pages
        pages = lab.cli("vm", "pages", "x", "--top", "256", "--output", "json").ok()
        assert len(json.loads(pages.out)["pages"]) == 256
        with open(f"{lab.dir}/map", "w", encoding="ascii") as f:
            f.write("ffffffff80000000 T _start\nffffffff80001000 T spin\n"
                    "ffffffff80003000 B _end\n")
        text = lab.cli("vm", "pages", "x", "--top", "2", "--system-map", f"{lab.dir}/map").ok()
        text = text.out.decode().split("\n")
        assert text[1].split()[:4] == ["0x80200000", "0", "0", "private"], text
        assert text[2].endswith(" spin"), text
        lab.cli("vm", "pages", "x", "--system-map", f"{lab.dir}/kernel").refused(
            "no addresses of _start and _end", status=2)
        lab.cli("vm", "pages", "x", "--top", "257").refused("--top is 1 to 256", status=2)
        assert lab.host("a")["memory_used_bytes"] == 512 << 20
        lab.cli("vm", "start", "x").refused("is running")
        lab.cli("vm", "destroy", "x").refused("stop it first")
        lab.cli("vm", "stop", "x").ok()
        assert lab.show("x")["reason"] == "request"
        lab.clean()
        first = info["incarnation"]
        lab.cli("vm", "start", "x").ok()
        assert lab.show("x")["incarnation"] != first
        lab.cli("vm", "stop", "x").ok()
        lab.cli("vm", "destroy", "x").ok()
        lab.cli("vm", "show", "x").refused("there is no VM x")
        lab.clean()
        audit = json.loads(lab.cli("audit", "list", "--output", "json").ok().out)["entries"]
        assert [e["what"] for e in audit if e["object"] == "x" and e["result"] == "ok"] == [
            "VM_CREATE", "VM_START", "VM_STOP", "VM_START", "VM_STOP", "VM_DESTROY"], audit


def case_create_refusals():
    with Lab() as lab:
        lab.create("x", memory="300M").refused("multiples of 128 MiB", "512 MiB")
        lab.create("x", hosts=3, vcpus=2, memory="384M").refused(
            "2 vCPUs can not be spread over 3 hosts")
        lab.create("x", "--uffd", "magic").refused("--uffd", status=2)
        lab.create("-x").refused(status=2)
        lab.cli("vm", "create", "x", "--memory", "lots").refused("number of bytes", status=2)
        lab.create("x", hosts=3, vcpus=3, memory="384M").ok()
        lab.cli("vm", "start", "x").refused("3 hosts are wanted and 2 fit")
        lab.create("big", memory="64G").ok()
        lab.cli("vm", "start", "big").refused("a has 4096 MiB free, 32768 are needed")
        lab.create("x").refused("there is a VM x already")
        lab.create("d", "--disk", f"{lab.dir}/kernel").ok()
        lab.create("e", "--disk", f"{lab.dir}/kernel").refused("belongs to VM d")


def case_start_failures():
    with Lab() as lab:
        for step in ("prepare", "connect", "start"):
            lab.create(step, "--option", f"refuse={step}").ok()
            lab.cli("vm", "start", step).refused(f"asked to refuse {step}")
            assert lab.state(step) == "failed", lab.show(step)
            lab.clean()
        lab.cli("vm", "create", "k", "--kernel", "/nowhere/kernel", "--memory", "128M").ok()
        lab.cli("vm", "start", "k").refused("/nowhere/kernel", "No such file")
        lab.clean()
        disk = f"{lab.dir}/disk"
        with open(disk, "wb") as f:
            f.truncate(1 << 20)
        lab.running("d1", "--disk", disk, hosts=1, vcpus=1)
        lab.create("d2", "--disk", f"{disk},nonpersistent", hosts=1, vcpus=1).ok()
        lab.cli("vm", "start", "d2").refused("in use by another VM")
        lab.cli("vm", "stop", "d1").ok()
        lab.cli("vm", "start", "d2").ok()


def case_exec():
    with Lab() as lab:
        lab.running("x")
        n = 10_000_000
        r = lab.cli("vm", "exec", "x", "--", "both", str(n), "5")
        assert r.status == 5, r.status
        assert r.out == pattern(n, 0)
        assert r.err.encode(errors="replace") is not None
        p = lab.popen("vm", "exec", "x", "--", "both", str(n), "0")
        out, err = p.communicate(timeout=60)
        assert p.returncode == 0 and out == pattern(n, 0) and err == pattern(n, 1)
        assert lab.cli("vm", "exec", "x", "status 9").status == 9
        several = [lab.popen("vm", "exec", "x", "--", "out", "30000", str(i)) for i in range(1, 6)]
        for i, p in enumerate(several, 1):
            out, _ = p.communicate(timeout=60)
            assert p.returncode == i and out == pattern(30000, 0), (i, p.returncode, len(out))


def case_exec_broken_off():
    """What a command that nobody waits for any more leaves behind does not reach the next one."""
    with Lab() as lab:
        lab.running("x")
        p = lab.popen("vm", "exec", "x", "--", "both", "20000000", "1")
        assert p.stdout.read(1000) == pattern(1000, 0)
        p.kill()
        p.communicate()
        r = lab.cli("vm", "exec", "x", "--", "out", "5000", "2")
        assert r.status == 2 and r.out == pattern(5000, 0), (r.status, len(r.out), r.err)
        r = lab.cli("vm", "exec", "--timeout", "1", "x", "--", "hang")
        r.refused("not finished in time", status=203)


def case_exec_slow_reader():
    """A reader that does not read holds the guest up and nothing else; no byte is lost."""
    with Lab() as lab:
        lab.running("x")
        n = 3_000_000
        slow = lab.popen("vm", "exec", "x", "--", "out", str(n), "0")
        until("its first bytes", lambda: select.select([slow.stdout], [], [], 0)[0])
        assert lab.state("x") == "running"
        assert lab.cli("vm", "stats", "x").ok()
        out, _ = slow.communicate(timeout=60)
        assert out == pattern(n, 0) and slow.returncode == 0


def case_guest_ends():
    with Lab() as lab:
        for command, status, reason in (("panic", 201, "panic"), ("power-off", 204, "power-off"),
                                        ("error", 204, "error")):
            vm = command
            lab.running(vm)
            waiter = lab.popen("vm", "wait", vm)
            start = time.monotonic()
            r = lab.cli("vm", "exec", vm, "--", command)
            assert r.status == status, (command, r.status, r.err)
            out, _ = waiter.communicate(timeout=20)
            assert waiter.returncode == 0 and reason in out.decode(), out
            ends(lab, vm, reason, 5, start)


def case_reboot():
    with Lab() as lab:
        first = lab.running("x")["incarnation"]
        waiter = lab.popen("vm", "wait", "x")
        assert lab.cli("vm", "exec", "x", "--", "reboot").status == 204
        until("the next incarnation runs", lambda: (
            lambda i: i["state"] == "running" and i["incarnation"] != first)(lab.show("x")))
        assert waiter.poll() is None, "a reboot is not the end"
        assert lab.cli("vm", "exec", "x", "--", "status", "4").status == 4
        lab.cli("vm", "stop", "x").ok()
        waiter.communicate(timeout=20)
        lab.clean()
        lab.running("y", "--stop-on-reboot")
        lab.cli("vm", "exec", "y", "--", "reboot")
        until("it has stopped", lambda: lab.state("y") == "stopped")
        assert lab.show("y")["reason"] == "reboot"
        lab.clean()


def case_console_bytes():
    with Lab() as lab:
        lab.running("x")
        p = lab.popen("vm", "console", "x", stdin=subprocess.PIPE)
        greeting = b"fake guest\r\n"
        assert p.stdout.read(len(greeting)) == greeting
        data, got = pattern(10_000_000, 0), 0
        for at in range(0, len(data), 65536):
            chunk = data[at:at + 65536]
            p.stdin.write(chunk)
            p.stdin.flush()
            assert p.stdout.read(len(chunk)) == chunk, f"at {at}"
            got += len(chunk)
        assert got == len(data)
        stats = json.loads(lab.cli("vm", "stats", "x", "--output", "json").ok().out)
        dropped = [s["value"] for s in stats["slices"][0]["stats"]
                   if s["name"] == "console.dropped"]
        assert dropped == [0], dropped
        lab.cli("vm", "stop", "x").ok()
        _, err = p.communicate(timeout=20)
        assert p.returncode == 0 and b"stopped by admin" in err, (p.returncode, err)


def case_console_tty():
    with Lab() as lab:
        lab.running("x")
        master, slave = pty.openpty()
        before = termios.tcgetattr(slave)
        p = lab.popen("vm", "console", "x", stdin=slave, stdout=slave, stderr=slave)
        seen = b""

        def reads(want):
            nonlocal seen
            if select.select([master], [], [], 0)[0]:
                seen += os.read(master, 4096)
            return want in seen

        until("the greeting", lambda: reads(b"fake guest"))
        assert not termios.tcgetattr(slave)[3] & termios.ICANON, "not raw"
        os.write(master, b"\x03hello")  # Ctrl-C is the guest's
        until("the echo", lambda: reads(b"\x03hello"))
        os.write(master, b"\x1d")
        until("it leaves", lambda: reads(b"left the console") and p.poll() is not None)
        assert p.returncode == 0 and termios.tcgetattr(slave) == before
        p = lab.popen("vm", "console", "x", stdin=slave, stdout=slave, stderr=slave)
        until("raw", lambda: reads(b"") and not termios.tcgetattr(slave)[3] & termios.ICANON)
        p.terminate()
        until("it ends", lambda: p.poll() is not None)
        assert termios.tcgetattr(slave) == before, "the terminal stays raw after SIGTERM"
        assert lab.state("x") == "running"
        os.close(master)
        os.close(slave)


def case_agent_restarts():
    with Lab() as lab:
        before = {s["part"]["slice"]: s["status"]["pid"] for s in lab.running("x")["slices"]}
        for sig in (signal.SIGKILL, signal.SIGTERM):
            lab.kill(lab.agents["a"], sig)
            until("it is seen", lambda: not lab.host("a")["online"])
            info = lab.show("x")
            assert info["state"] == "running" and not info["slices"][0]["known"], info
            assert sorted(lab.slice_pids()) == sorted(before.values()), "slices have gone"
            lab.cli("vm", "exec", "x", "true").refused("agent of host a", status=200)
            start = time.monotonic()
            lab.start_agent("a")
            until("show is right", lambda: lab.show("x")["slices"][0]["known"], 10)
            assert time.monotonic() - start < 10
            after = {s["part"]["slice"]: s["status"]["pid"] for s in lab.show("x")["slices"]}
            assert after == before
            assert lab.cli("vm", "exec", "x", "--", "status", "3").status == 3
        lab.cli("vm", "stop", "x").ok()
        lab.clean()


def case_coordinator_restarts():
    with Lab() as lab:
        before = lab.running("x")
        lab.running("gone", hosts=1, vcpus=1)
        for sig in (signal.SIGKILL, signal.SIGTERM):
            lab.kill(lab.coordinator, sig)
            assert len(lab.slice_pids()) == 3
            start = time.monotonic()
            lab.start_coordinator()
            until("show is right", lambda: (lambda i: i["state"] == "running" and all(
                s["known"] and s["status"]["state"] == "running"
                for s in i["slices"]))(lab.show("x")), 10)
            assert time.monotonic() - start < 10
            assert lab.show("x")["incarnation"] == before["incarnation"]
            assert lab.cli("vm", "exec", "x", "--", "out", "100000", "3").status == 3
        # What ends while it is away is known afterwards.
        pid = lab.show("gone")["slices"][0]["status"]["pid"]
        lab.kill(lab.coordinator)
        os.kill(pid, signal.SIGKILL)
        until("the slice is gone", lambda: len(lab.slice_pids()) == 2)
        lab.start_coordinator()
        until("its end is known", lambda: lab.state("gone") in GONE, 10)
        assert lab.show("gone")["reason"] == "lost-slice", lab.show("gone")
        assert "killed by signal 9" in lab.show("gone")["text"], lab.show("gone")
        lab.cli("vm", "stop", "x").ok()
        lab.clean()


def case_slice_killed():
    with Lab(("a", "b", "c")) as lab:
        info = lab.running("x", hosts=3, vcpus=3, memory="384M")

        def busy():
            p = lab.popen("vm", "exec", "x", "--", "out", "50000000", "0")
            assert p.stdout.read(1000) == pattern(1000, 0)
            return p

        running = busy()
        for victim in (1, 0):
            pid = info["slices"][victim]["status"]["pid"]
            start = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            until("it ends", lambda: lab.state("x") in GONE, 5)
            assert time.monotonic() - start < 1.0, time.monotonic() - start
            info = ends(lab, "x", "lost-slice", 5, start)
            assert f"slice {victim}" in info["text"] and "signal 9" in info["text"], info["text"]
            _, err = running.communicate(timeout=30)
            assert running.returncode == 202, (running.returncode, err)
            lab.cli("vm", "start", "x").ok()
            info = lab.show("x")
            running = busy()
        running.kill()
        running.communicate()


def case_slice_dies_without_agent():
    with Lab() as lab:
        info = lab.running("x")
        lab.kill(lab.agents["b"])
        os.kill(info["slices"][1]["status"]["pid"], signal.SIGKILL)
        start = time.monotonic()
        lab.start_agent("b")
        until("its end is known", lambda: lab.state("x") in GONE, 10)
        assert "while the agent was away" in lab.show("x")["text"]
        ends(lab, "x", "lost-slice", 15, start)


def case_slice_stopped():
    """A slice that does not run for a while is no reason to do anything."""
    with Lab() as lab:
        pid = lab.running("x")["slices"][1]["status"]["pid"]
        os.kill(pid, signal.SIGSTOP)
        r = lab.cli("vm", "stats", "x", "--output", "json")  # waits for it as long as it ever would
        assert r.status == 0 and lab.state("x") == "running"
        os.kill(pid, signal.SIGCONT)
        assert lab.cli("vm", "exec", "x", "--", "status", "0").status == 0
        os.kill(pid, signal.SIGSTOP)
        lab.cli("vm", "stop", "x").ok()  # one that does not answer is killed
        lab.clean()


def case_roles():
    with Lab() as lab:
        lab.init("--dir", lab.pki, "--user", "vic", "--role", "viewer").ok()
        lab.init("--dir", lab.pki, "--user", "oli", "--role", "operator").ok()
        lab.create("x").ok()
        lab.cli("vm", "start", "x", identity="vic").refused("vic is a viewer", "operator")
        lab.cli("vm", "list", identity="vic").ok()
        lab.cli("vm", "start", "x", identity="oli").ok()
        lab.cli("vm", "exec", "x", "true", identity="vic").refused("vic is a viewer", status=200)
        lab.cli("vm", "stop", "x", identity="vic").refused("vic is a viewer")
        lab.cli("vm", "destroy", "x", identity="oli").refused("oli is a operator", "admin")
        assert lab.cli("vm", "exec", "x", "--", "status", "6", identity="oli").status == 6
        lab.cli("vm", "list", identity="a").refused("VM_LIST to a agent")
        audit = json.loads(lab.cli("audit", "list", "--output", "json").ok().out)["entries"]
        destroys = [(e["who"], e["result"]) for e in audit if e["what"] == "VM_DESTROY"]
        assert destroys == [("oli", "denied")], destroys


def case_strangers():
    with Lab() as lab:
        other = f"{lab.dir}/other"
        lab.init("--dir", other).ok()
        lab.cli("vm", "list", pki=other).refused("certificate", "mirrorball init")
        # A peer whose certificate we would accept, but whose CA the coordinator does not know.
        mixed = f"{lab.dir}/mixed"
        os.mkdir(mixed)
        shutil.copy(f"{lab.pki}/ca.crt", mixed)
        for f in ("admin.crt", "admin.key"):
            shutil.copy(f"{other}/{f}", mixed)
        lab.cli("vm", "list", pki=mixed).refused("mirrorball init")
        lab.cli("vm", "list", identity="nobody").refused("nobody.crt", "No such file")
        # An agent is no coordinator, whatever it listens as.
        host, port = lab.address.split(":")
        for junk in (b"GET / HTTP/1.1\r\n\r\n", os.urandom(5000), b""):
            with socket.create_connection((host, int(port))) as s:
                with contextlib.suppress(OSError):
                    s.sendall(junk)
                    s.shutdown(socket.SHUT_WR)
                    while s.recv(4096):
                        pass
        assert lab.coordinator.poll() is None
        lab.cli("vm", "list").ok()


def case_versions():
    with Lab() as lab:
        def odd(major):
            p = subprocess.run([f"{BUILD}/tests/control/odd-peer", lab.address, lab.pki, "admin",
                                str(major)], stdout=-1, timeout=30)
            return p.returncode, p.stdout.decode()
        assert odd(1) == (0, "")
        status, text = odd(99)
        assert status == 3, (status, text)
        assert "version 1" in text and "99" in text and "same release" in text, text


def case_hosts():
    with Lab() as lab:
        shown = json.loads(lab.cli("host", "show", "a", "--output", "json").ok().out)
        assert shown["online"] and shown["memory_bytes"] == 4 << 30, shown
        assert shown["fabric"] == "127.0.0.1", shown
        assert {"kernel", "userfaultfd", "kvm"} <= {f["name"] for f in shown["features"]}
        lab.cli("host", "remove", "a").refused("is connected")
        lab.kill(lab.agents["b"])
        until("it is seen", lambda: not lab.host("b")["online"])
        lab.create("x").ok()
        lab.cli("vm", "start", "x").refused("b is not connected")
        lab.cli("host", "remove", "b").ok()
        lab.cli("host", "show", "b").refused("there is no host b")
        lab.start_agent("b")
        lab.wait_online("b")


def case_bad_slice_program():
    with Lab() as lab:
        lab.kill(lab.agents["b"])
        lab.start_agent("b", slice_program="/bin/false")
        lab.wait_online("b")
        until("it is the new one", lambda: lab.host("b")["online"])
        lab.create("x").ok()
        lab.cli("vm", "start", "x").refused("slice 1", "ended with status 1", "log.b/x.1.log")
        assert lab.state("x") == "failed"
        lab.clean()
        lab.kill(lab.agents["b"])
        lab.start_agent("b", slice_program="/nowhere/slice")
        lab.wait_online("b")
        lab.cli("vm", "start", "x").refused("cannot start /nowhere/slice")
        lab.clean()


def main():
    cases = [(n[5:], f) for n, f in globals().items() if n.startswith("case_")]
    return run_cases(cases, sys.argv[2:], f"python3 {sys.argv[0]} {BUILD}")


if __name__ == "__main__":
    sys.exit(main())
