#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How machines end, alone and beside others; and that nothing stays behind, whatever is killed."""

import os
import signal
import time

import lab
import tap

lab.need("result", "trivial")
ivan, judy = lab.claim("ivan", "judy")

# A machine that is up in milliseconds and stays until it is killed or its input ends.
SLEEPER = "echo up; exec sleep 100000"


@tap.case("systemctl exit N is the exit status", timeout=60)
def exit_status():
    machine = lab.Machine(ivan, name="life-exit").login()
    machine.terminal.send("systemctl exit 7\r")
    tap.is_(machine.terminal.wait(60), 7, "systemctl exit 7")


@tap.case("a reboot is status 133, a halt is 0", timeout=90)
def reboot():
    for command, status in (("systemctl reboot", 133), ("systemctl halt", 0)):
        machine = lab.Machine(ivan, name="life-reboot").login()
        machine.terminal.send(command + "\r")
        tap.is_(machine.terminal.wait(60), status, command)


@tap.case("three machines of two users at once", timeout=120)
def several():
    before = lab.leftovers(ivan, judy)
    first = lab.Machine(ivan, name="life-first")
    second = lab.Machine(ivan, name="life-second")
    third = lab.Machine(judy, name="life-first")  # a name is a user's own
    machines = (first, second, third)
    for machine in machines:
        machine.login(90)
    for machine in machines:
        tap.is_(machine.output("systemctl is-system-running --wait"), "running", "a machine runs")
        machine.output("sleep 4711 & disown")
    tap.is_([machine.output("pgrep -c -x sleep") for machine in machines], ["1"] * 3, "none sees another's processes")
    identifiers = {machine.output("cat /etc/machine-id") for machine in machines}
    tap.is_(len(identifiers), 3, "each has its own machine-id", identifiers)
    namespaces = {
        os.readlink(f"/proc/{machine.payload()}/ns/{kind}")
        for machine in machines
        for kind in ("pid", "user", "mnt", "uts", "ipc", "net", "cgroup")
    }
    tap.is_(len(namespaces), 21, "each has its own seven namespaces")
    again = ivan.boot("--name", "life-first", "result")
    tap.is_(again.status, lab.UNAVAILABLE, "a second one of the same name is refused", again)
    tap.like(again.err, r"\Anixuser-boot: .*life-first.*\n\Z", "with a line that names it", again)
    os.kill(first.pid, signal.SIGKILL)
    first.terminal.wait()
    tap.is_(
        [machine.output("echo alive") for machine in (second, third)], ["alive"] * 2, "killing one leaves the others"
    )
    again = lab.Machine(ivan, name="life-first").login()
    tap.is_(again.output("echo alive"), "alive", "its name is free again")
    tap.is_([machine.power_off() for machine in (again, second, third)], [0] * 3, "each powers off")
    before.check("after three machines")


def clean_stop(name, stop, status):
    """A request to stop must reach systemd: a unit's ExecStop= runs."""
    before = lab.leftovers(ivan)
    machine = lab.Machine(ivan, "-q", name="life-" + name).login()
    machine.output(
        "systemd-run -q --unit witness -p ExecStop='/bin/sh -c \"echo stopped cleanly >/dev/console\"' sleep 100000"
    )
    typed = len(machine.terminal.log)  # which has the words of the command itself
    stop(machine)
    tap.is_(machine.terminal.wait(60), status, f"{name}: exit status")
    # The getty's hangup may discard the former; systemd's last word comes after all of them.
    tap.like(machine.terminal.log[typed:], r"stopped cleanly|Powering off\.", f"{name}: the machine's services were stopped, not killed")
    before.check(f"after {name}")


@tap.case("SIGTERM to the supervisor powers off cleanly", timeout=60)
def term():
    clean_stop("sigterm", lambda machine: os.kill(machine.pid, signal.SIGTERM), 0)


@tap.case("SIGINT to the supervisor powers off cleanly", timeout=60)
def interrupt():
    clean_stop("sigint", lambda machine: os.kill(machine.pid, signal.SIGINT), 0)


@tap.case("a second SIGTERM does not wait", timeout=60)
def impatient():
    before = lab.leftovers(ivan)
    machine = lab.Machine(ivan, "-q", name="life-impatient").login()
    machine.output("systemd-run -q --unit stubborn -p TimeoutStopSec=80 -p ExecStop='sleep 70' sleep 100000")
    os.kill(machine.pid, signal.SIGTERM)
    machine.terminal.expect("Stopping .*stubborn")
    os.kill(machine.pid, signal.SIGTERM)
    started = time.monotonic()
    status = machine.terminal.wait(30)
    tap.ok(time.monotonic() - started < 5 and status != 0, "it is killed", f"status {status}")
    before.check("after it")


@tap.case("--stop-timeout kills a machine that does not stop", timeout=60)
def stop_timeout():
    lab.probe(ivan, "stubborn", "trap '' 37; " + SLEEPER)
    before = lab.leftovers(ivan)
    terminal = lab.Terminal(ivan, [lab.BOOT, "-q", "--stop-timeout", "1", "stubborn"])
    terminal.expect("up")
    os.kill(terminal.pid, signal.SIGTERM)
    tap.ok(terminal.wait(10) != 0, "status says so")
    tap.like(terminal.log, "nixuser-boot: .*did not", "and a line")
    before.check("after it")


@tap.case("a closed terminal window stops the machine", timeout=60)
def hangup():
    before = lab.leftovers(ivan)
    machine = lab.Machine(ivan, name="life-hangup").login()
    machine.terminal.hang_up()
    tap.is_(machine.terminal.process.wait(60), 0, "it powers off, and is not killed")
    before.check("after it")


def killed(name, victim, machine):
    before = lab.leftovers(ivan)
    machine = machine()
    pid = victim(machine)
    pids = [machine.pid, machine.launcher(), machine.payload()]
    os.kill(pid, signal.SIGKILL)
    status = machine.terminal.wait(5)
    tap.ok(status != 0, f"{name}: not a success", f"status {status}")
    machine.terminal.process.end()
    before.check(f"within a second of kill -9 of {name}")
    tap.is_([pid for pid in pids if lab.exists(pid)], [], f"{name}: supervisor, launcher and payload are gone")


VICTIMS = {
    "the supervisor": lambda machine: machine.pid,
    "nixuser-launch": lambda machine: machine.launcher(),
    "the payload": lambda machine: machine.payload(),
}


@tap.case("kill -9 of a part of a full machine", timeout=120)
def kill_full():
    for name, victim in VICTIMS.items():

        def machine():
            started = lab.Machine(ivan, name="life-killed").login()
            started.output("systemctl is-system-running --wait; for i in 1 2 3 4 5; do setsid sleep 1234 & done")
            return started

        killed(name, victim, machine)


@tap.case("kill -9 of a part of a small machine", timeout=60)
def kill_small():
    lab.probe(ivan, "sleeper", "sleep 1234 & " + SLEEPER)
    for name, victim in VICTIMS.items():

        def machine():
            started = lab.Machine(ivan, closure="sleeper")
            started.terminal.expect("up")
            return started

        killed(name + " of a small one", victim, machine)


# Until there is a nixuser-launch, nobody but the supervisor knows what it made: an empty runtime directory and empty
# cgroups may stay then. No process may, and the next start of the machine must take over what it finds and remove it.
STAGES = {
    "at once": lambda pid: True,
    "with a helper": lambda pid: lab.children(pid),
    "with a runtime directory": lambda pid: os.path.exists(ivan.runtime + "/nixuser/sleeper"),
    "with a cgroup": lambda pid: any(path.endswith("/nixuser-sleeper") for path, _, _ in os.walk(ivan.cgroup)),
    "with a launcher": lambda pid: lab.children(pid, "nixuser-launch"),
    "with a payload": lambda pid: any(lab.children(child) for child in lab.children(pid, "nixuser-launch")),
}


@tap.case("kill -9 of the supervisor at any stage of the start", timeout=60)
def kill_early():
    lab.probe(ivan, "sleeper", SLEEPER)
    before = lab.leftovers(ivan)
    for name, reached in STAGES.items():
        for _ in range(3):
            process = ivan.start([lab.BOOT, "sleeper"], stdin=-3, stdout=-3, stderr=-3)
            tap.until(lambda: reached(process.pid) or process.popen.poll() is not None, 5, name, interval=0)
            process.kill()
            process.wait()
            empty = () if name in ("with a launcher", "with a payload") else ("files", "cgroups")
            tap.is_(before.settled(ignore=empty), {}, f"killed {name}: nothing left that must not be")
            again = ivan.boot("--name", "sleeper", "trivial", "--", "3", cgroup=process.cgroup)
            tap.is_(again.status, 3, f"killed {name}: the next start works", again)
            before.check(f"after the next start, killed {name}")
            process.end()


@tap.case("SIGTERM at any stage of the start", timeout=120)
def term_early():
    for name, reached in {
        "with children": lambda pid: lab.children(pid),
        "with a payload": lambda pid: any(lab.children(child) for child in lab.children(pid, "nixuser-launch")),
    }.items():
        before = lab.leftovers(ivan)
        process = ivan.start([lab.BOOT, "--name", "life-early", "result"], stdin=-3, stdout=-1, stderr=-1)
        tap.until(lambda: reached(process.pid), 5, name, interval=0)
        process.kill(signal.SIGTERM)
        out, err = process.popen.communicate(timeout=40)
        tap.is_((process.popen.returncode, err), (0, b""), f"{name}: powers off", out)
        process.end()
        before.check(f"after SIGTERM {name}")


@tap.case("many starts in a row leave nothing", timeout=60)
def many():
    before = lab.leftovers(ivan)
    statuses = {ivan.boot("trivial", "--", "9").status for _ in range(50)}
    tap.is_(statuses, {9}, "fifty starts")
    before.check("after them")


@tap.case("two starts of one name at the same time: one of them", timeout=60)
def race():
    lab.probe(ivan, "short", "echo up; sleep 0.3")
    for _ in range(5):
        both = [ivan.start([lab.BOOT, "short"], stdin=-3, stdout=-1, stderr=-1) for _ in range(2)]
        ends = [process.popen.communicate(timeout=20) for process in both]
        statuses = sorted(process.popen.returncode for process in both)
        tap.is_(statuses, [0, lab.UNAVAILABLE], "one runs, one is refused", ends)
        for process in both:
            process.end()


tap.main()
