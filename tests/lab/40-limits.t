#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Limits of the unit that a machine runs in hold for the machine, and only for it."""

import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import logins
import lab
import tap

lab.need("result")
alice, bob = logins.User("alice"), logins.User("bob")

MEBIBYTE = 1 << 20
MEMORY, TASKS, CPU = 192, 150, 80  # MiB, processes, percent of one processor
LIMITS = [f"MemoryMax={MEMORY}M", "MemorySwapMax=0", f"TasksMax={TASKS}", f"CPUQuota={CPU}%"]
PROPERTIES = [word for limit in ["Delegate=yes", *LIMITS] for word in ("-p", limit)]

with open("/sys/fs/cgroup/cgroup.controllers") as file:
    missing = {"cpu", "memory", "pids"} - set(file.read().split())
if missing:
    # Where the computer's own systemd keeps them in cgroup v1, a lab host that is only namespaces has none.
    reason = f"cgroup v2 does not have {', '.join(sorted(missing))} here; 'make check-vm' has a kernel where it does"
    (tap.bail_out if "NIXUSER_TEST_VM" in os.environ else tap.skip_all)(reason)


class Group:
    """The cgroup of the unit that a machine runs in."""

    def __init__(self, user, pid):
        with open(f"/proc/{pid}/cgroup") as file:
            path = re.search(r"^0::(.*?\.(service|scope))(/(supervisor|payload).*)?$", file.read(), re.M)[1]
        self.path = "/sys/fs/cgroup" + path

    def read(self, name):
        with open(f"{self.path}/{name}") as file:
            return file.read().strip()

    def count(self, name, key):
        """A number in a file with a name and a number on each line."""
        return dict(line.split() for line in self.read(name).splitlines()).get(key, "0")

    def check(self, what):
        limits = [self.read("memory.max"), self.read("pids.max"), self.read("cpu.max")]
        wanted = [str(MEMORY * MEBIBYTE), str(TASKS), f"{CPU * 1000} 100000"]
        tap.is_(limits, wanted, f"{what}: memory.max, pids.max and cpu.max of its cgroup")
        return self


def others_live(when):
    for user in (alice, bob):
        result = user.sh("echo alive")
        tap.is_(result.out, "alive\n", f"{user.name} can log in {when}", result)


def too_many_processes(machine, group):
    """One that starts processes until it cannot: what is left of the limit is the machine's own."""
    machine.output("busybox sh -c 'while sleep 4711 & do :; done' 2>/tmp/bomb & sleep 1")
    tap.until(lambda: int(group.count("pids.events", "max")) > 0, 60, "the limit of processes to be reached")
    others_live("while it holds as many processes as it may")
    tap.ok(int(group.read("pids.current")) <= TASKS, "it has not more of them", group.read("pids.current"))
    machine.output("kill %1; wait")
    tap.like(machine.output("busybox killall sleep; cat /tmp/bomb"), "can't fork", "which it was told")


def too_much_memory(machine, group):
    status, output = machine.run("tail /dev/zero", timeout=60)
    tap.is_(status, 137, "a process that takes all memory is killed", output)
    tap.ok(int(group.count("memory.events", "oom_kill")) > 0, "by the limit of the unit", group.read("memory.events"))
    peak = int(group.read("memory.peak"))
    tap.ok(0 < peak <= MEMORY * MEBIBYTE, "which it did not pass", peak)
    others_live("after that")


def too_much_work(machine, group):
    machine.output("for i in 1 2; do busybox sh -c 'while :; do :; done' & done")
    before, started = int(group.count("cpu.stat", "usage_usec")), time.monotonic()
    time.sleep(tap.patience(1))
    used = (int(group.count("cpu.stat", "usage_usec")) - before) / (time.monotonic() - started) / 10_000
    tap.ok(0 < used < CPU * 1.25, f"two loops get {CPU} percent of a processor", used)
    tap.ok(int(group.count("cpu.stat", "nr_throttled")) > 0, "because they are throttled", group.read("cpu.stat"))
    machine.output("kill %1 %2; wait")


@tap.case("a service with limits", timeout=240)
def service():
    run = ["systemd-run", "--user", "--quiet", "--pty", "--wait", "--collect", "--unit=limits", *PROPERTIES]
    machine = logins.Machine(alice, "limits", prefix=run).login(timeout=120)
    group = Group(alice, machine.pid).check("a service")
    tap.like(group.path, r"/limits\.service\Z", "the machine is in it")
    too_much_memory(machine, group)
    too_many_processes(machine, group)
    too_much_work(machine, group)
    tap.is_(machine.output("systemctl is-system-running"), "running", "the machine has come through all of it")
    tap.is_(machine.power_off(), 0, "poweroff is exit status 0")
    alice.nothing_left("after the service")


@tap.case("a scope with limits", timeout=120)
def scope():
    run = ["systemd-run", "--user", "--quiet", "--scope", "--collect", "--unit=limits", *PROPERTIES]
    machine = logins.Machine(alice, "limits", prefix=run).login(timeout=120)
    group = Group(alice, machine.pid).check("a scope")
    tap.like(group.path, r"/limits\.scope\Z", "the machine is in it")
    too_many_processes(machine, group)
    tap.is_(machine.power_off(), 0, "poweroff is exit status 0")
    alice.nothing_left("after the scope")


@tap.case("a unit file with limits", timeout=120)
def unit_file():
    unit = logins.Unit(alice, "lab-limits", f"{lab.BOOT} --name limits %h/result", *LIMITS)
    result = alice.sh(f"systemctl --user start {unit.name}", timeout=100)
    tap.is_(result.status, 0, "it starts", result)
    (pid,) = alice.boots()
    group = Group(alice, pid).check("a unit file")
    tap.ok(0 < int(group.read("memory.peak")) <= MEMORY * MEBIBYTE, "memory.peak", group.read("memory.peak"))
    result = alice.sh(f"systemctl --user stop {unit.name}; systemctl --user show -P Result {unit.name}", timeout=60)
    tap.is_(result.out.strip(), "success", "it stops", result)
    alice.nothing_left("after the unit")


@tap.case("the host has noticed nothing")
def afterwards():
    failed = subprocess.run(["systemctl", "--failed", "--plain", "--no-legend"], stdout=subprocess.PIPE, text=True)
    tap.is_(failed.stdout, "", "no failed unit")
    kernel = subprocess.run(["journalctl", "-k", "-b", "-o", "cat", "--no-pager"], stdout=subprocess.PIPE, text=True)
    killed = re.findall(r"[Oo]ut of memory: Killed process \d+ \((\S+)\)", kernel.stdout)
    tap.is_(set(killed), {"tail"}, "the kernel has killed nothing else for lack of memory")


tap.main()
