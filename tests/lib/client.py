# SPDX-License-Identifier: Apache-2.0
"""What tests in Python share: the command line program, waiting for conditions, running cases."""
import json
import os
import signal
import subprocess
import sys
import time
import traceback

GONE = ("stopped", "failed")


def until(what, fn, limit=20.0):
    """Wait until fn() is true; the seconds it took."""
    start = time.monotonic()
    while True:
        value = fn()
        if value:
            return time.monotonic() - start
        if time.monotonic() - start > limit:
            raise AssertionError(f"not within {limit} s: {what}")
        time.sleep(0.02)


class Result:
    """A program that has ended: its status, its stdout as bytes and its stderr as text."""

    def __init__(self, p, out, err):
        self.status, self.out, self.err = p.returncode, out, err.decode(errors="replace")

    def ok(self):
        assert self.status == 0, f"status {self.status}: {self.err}{self.text()[-2000:]}"
        return self

    def text(self):
        return self.out.decode(errors="replace")

    def refused(self, *parts, status=1):
        assert self.status == status, f"status {self.status}, not {status}: {self.err}"
        for part in parts:
            assert part in self.err, f"'{part}' is not in: {self.err}"
        return self


def finish(p, limit=60):
    out, err = p.communicate(timeout=limit)
    return Result(p, out, err)


class Client:
    """`mirrorball` against one coordinator."""

    def __init__(self, build, pki, address):
        self.program, self.pki, self.address = f"{build}/mirrorball", pki, address

    def init(self, *args):
        return finish(subprocess.Popen([self.program, "init", *args], stdout=-1, stderr=-1))

    def popen(self, *args, identity="admin", pki=None, **kw):
        env = dict(os.environ, MIRRORBALL_PKI=pki or self.pki, MIRRORBALL_IDENTITY=identity,
                   MIRRORBALL_COORDINATOR=self.address)
        kw.setdefault("stdin", subprocess.DEVNULL)
        kw.setdefault("stdout", subprocess.PIPE)
        kw.setdefault("stderr", subprocess.PIPE)
        return subprocess.Popen([self.program, *args], env=env, **kw)

    def cli(self, *args, limit=60, **kw):
        return finish(self.popen(*args, **kw), limit)

    def show(self, vm):
        return json.loads(self.cli("vm", "show", vm, "--output", "json").ok().out)

    def state(self, vm):
        return self.show(vm)["state"]

    def stats(self, vm):
        """The counters of each slice, by name."""
        got = json.loads(self.cli("vm", "stats", vm, "--output", "json").ok().out)
        return [{s["name"]: s["value"] for s in one["stats"]} for one in got["slices"]]

    def host(self, name):
        hosts = json.loads(self.cli("host", "list", "--output", "json").ok().out)["hosts"]
        return next((h for h in hosts if h["name"] == name), {"online": False})

    def wait_online(self, *names):
        until(f"{names} online", lambda: all(self.host(n)["online"] for n in names))


def run_cases(cases, wanted, again):
    """Run those of `cases`, pairs of name and function, that are wanted (all when none is named);
    the status of the program. `again` is the command that repeats one, without its name."""
    # Told to end, a case still gives back what it has taken.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    passed = failed = 0
    for name in set(wanted) - {n for n, _ in cases}:
        failed += 1
        print(f"FAIL  there is no case {name}")
    for name, fn in cases:
        if wanted and name not in wanted:
            continue
        start = time.monotonic()
        try:
            fn()
            passed += 1
            print(f"ok    {name} ({time.monotonic() - start:.1f}s)", flush=True)
        except Exception:  # a broken case must not hide the others
            failed += 1
            traceback.print_exc(file=sys.stdout)
            print(f"FAIL  {name}; again: {again} {name}", flush=True)
    print(f"{passed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0
