#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Machines of users who have logged in: scopes, services, lingering."""

import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import logins
import lab
import tap

lab.need("result", "trivial")
alice, bob, carol, dave = (logins.User(name) for name in ("alice", "bob", "carol", "dave"))
everyone = (alice, bob, carol, dave)


@tap.case("the lab host is a multi-user machine")
def host():
    state = subprocess.run(["systemctl", "is-system-running"], stdout=subprocess.PIPE, text=True).stdout
    tap.is_(state, "running\n", "systemctl is-system-running")
    failed = subprocess.run(["systemctl", "--failed", "--plain", "--no-legend"], stdout=subprocess.PIPE, text=True)
    tap.is_(failed.stdout, "", "no failed unit")
    for user in everyone:
        result = user.sh(
            "id -un; echo $XDG_RUNTIME_DIR; systemctl --user is-system-running --wait; echo $XDG_SESSION_ID"
        )
        lines = result.out.split()
        tap.is_(lines[:3], [user.name, user.runtime, "running"], f"{user.name} logs in and has a user manager", result)
        tap.ok(len(lines) == 4, f"{user.name} has a session of logind", result)
    result = alice.sh(
        "cgroup=/sys/fs/cgroup$(sed -n s/^0:://p /proc/self/cgroup); echo $cgroup; test -w $cgroup/cgroup.procs"
    )
    tap.like(result.out, rf"\A{alice.slice}/session-\w+\.scope$", "a session is a scope of the system's", result)
    tap.is_(result.status, 1, "whose cgroup is not the user's", result)
    result = alice.sh("unshare --map-auto --map-root-user -fpm --mount-proc sh -c 'mount -t tmpfs x /mnt && echo $$'")
    tap.is_(result.out, "1\n", "user namespaces, and a fresh proc in them", result)


@tap.case("login(1) on a terminal, with a password, and a machine from there", timeout=60)
def at_a_terminal():
    subprocess.run(["chpasswd"], input="alice:her password\n", text=True, check=True)
    tap.cleanup(subprocess.run, ["usermod", "--password", "*", "alice"])
    terminal = lab.Terminal(logins.Getty(), ["login"])
    prompt = r"alice@lab:~\$ (\x1b\[[0-9;?]*[a-zA-Z])*\Z"
    terminal.expect("login: ")
    terminal.send("alice\r")
    terminal.expect("Password: ")
    terminal.send("not hers\r")
    terminal.expect("Login incorrect")
    terminal.expect("login: ")
    terminal.send("alice\r")
    terminal.expect("Password: ")
    terminal.send("her password\r")
    terminal.expect(prompt)
    terminal.send("echo session'='$(loginctl show-session -P Service -P TTY $XDG_SESSION_ID)\r")
    session = terminal.expect(r"session=(.*?)\r")[1]
    tap.like(session, r"\A(login pts/\d+|pts/\d+ login)\Z", "a session of login(1) there")
    terminal.expect(prompt)
    terminal.send(f"{lab.BOOT} -q --name at-a-terminal result; echo status'='$?\r")
    terminal.expect(r"demo login: ")
    tap.is_(alice.scope("at-a-terminal"), "active", "the user manager has made a scope for a machine from there")
    terminal.send("root\r")
    terminal.expect(lab.Machine.PROMPT)
    terminal.send("systemctl poweroff\r")
    tap.is_(terminal.expect(r"status=(\d+)\r", 30)[1], "0", "which powers off")
    terminal.expect(prompt)
    terminal.send("exit\r")
    terminal.wait()
    alice.nothing_left("after it")


@tap.case("the exit status passes through a login")
def statuses():
    for status in (0, 7, 255):
        result = alice.boot("trivial", "--", str(status))
        tap.is_((result.status, result.err), (status, ""), f"status {status}", result)
    alice.nothing_left("after short ones")


def boots(machine, unit):
    """What every machine must do, however it was started; unit is where its supervisor must be."""
    machine.login()
    tap.is_(machine.output("systemctl is-system-running --wait"), "running", f"{machine.name}: it is running")
    tap.is_(machine.output("systemctl --failed --plain --no-legend"), "", f"{machine.name}: without a failed unit")
    tap.like(machine.cgroup(), unit, f"{machine.name}: the supervisor's cgroup is in its unit")


@tap.case("from a login session: the user manager makes a scope", timeout=60)
def scope():
    machine = logins.Machine(alice, "from-login")
    boots(machine, r"\A(app\.slice/)?nixuser-from-login\.scope(/|\Z)")
    tap.is_(alice.scope("from-login"), "active", "the scope is one of the user's")
    again = alice.boot("--name", "from-login", "result")
    tap.is_(again.status, lab.UNAVAILABLE, "a second start of the name is refused", again)
    tap.like(again.err, r"\Anixuser-boot: .*from-login.*runs already.*\n\Z", "with one line", again)
    tap.is_(alice.scope("from-login"), "active", "and the first has not noticed")
    tap.is_(machine.output("echo alive"), "alive", "and lives")
    tap.is_(machine.power_off(), 0, "poweroff is exit status 0")
    tap.is_(alice.scope("from-login"), "inactive", "the scope is gone")
    alice.nothing_left("after poweroff")


WITNESS = "systemd-run -q --unit witness -p ExecStop='/bin/sh -c \"echo stopped cleanly >/dev/console\"' sleep 100000"


@tap.case("two machines of one session, each in a scope of its own", timeout=60)
def two():
    machines = [logins.Machine(alice, name).login() for name in ("one", "two")]
    machines[0].output(WITNESS)
    tap.is_([alice.scope(machine.name) for machine in machines], ["active"] * 2, "both scopes are active")
    shown = len(machines[0].terminal.log)
    result = alice.sh("systemctl --user stop nixuser-one.scope", timeout=60)
    tap.is_(result.status, 0, "systemctl stop of one scope", result)
    machines[0].terminal.wait(30)
    tap.like(machines[0].terminal.log[shown:], "stopped cleanly", "in order: its services are stopped, not killed")
    tap.is_([alice.scope(machine.name) for machine in machines], ["inactive", "active"], "ends this one only")
    machines[1].terminal.send("\x1d\x1d\x1d")
    machines[1].terminal.wait(20)
    alice.nothing_left("after both")


@tap.case("as a service of the user manager, with a terminal", timeout=60)
def service():
    run = ["systemd-run", "--user", "--quiet", "--pty", "--wait", "--collect"]
    run += ["--unit=as-service", "-p", "Delegate=yes"]
    machine = logins.Machine(alice, "as-service", prefix=run)
    boots(machine, r"\Aapp\.slice/as-service\.service(/|\Z)")
    tap.is_(alice.scope("as-service"), "inactive", "no scope is made where a cgroup is delegated already")
    tap.is_(machine.power_off(), 0, "poweroff is exit status 0")
    alice.nothing_left("after the service")


@tap.case("as a service of a user who lingers and has logged out", timeout=90)
def lingers():
    alice.log_out()
    alice.linger(True)
    tap.cleanup(alice.log_out)
    run = "systemd-run --user --quiet --unit=lingers -p Delegate=yes -p KillMode=mixed -p Type=notify"
    result = alice.sh(f"{run} {lab.BOOT} --name lingers result", timeout=60)
    tap.is_(result.status, 0, "it says that it is ready", result)
    tap.until(lambda: not sessions(alice), 20, "the end of the session")
    tap.is_(len(alice.boots()), 1, "it runs on when the session has ended")
    reached = "journalctl --user -o cat -u lingers | grep 'Reached target.*multi-user.target'"
    tap.until(lambda: alice.sh(reached).status == 0, 20, "what its console showed, in the user's journal")
    tap.ok(True, "its console is in the user's journal")
    result = alice.sh("systemctl --user stop lingers; systemctl --user show -P Result lingers", timeout=60)
    tap.is_(result.out.strip(), "success", "stopping the service is a clean end", result)
    alice.nothing_left("after the service")


def sessions(user):
    """Without the one of the user manager itself."""
    out = subprocess.run(["loginctl", "list-sessions", "--no-legend"], stdout=subprocess.PIPE, text=True).stdout
    return [line for line in out.splitlines() if f" {user.name} " in line and " manager" not in line]


@tap.case("logging out ends what is not lingering", timeout=90)
def logs_out():
    machine = logins.Machine(alice, "logs-out").login()
    machine.output(WITNESS.replace("/dev/console", "/run/host/unix-export/witness; sleep 1"))
    witness = f"{alice.runtime}/nixuser/logs-out/unix-export/witness"
    subprocess.run(["loginctl", "terminate-session", *(line.split()[0] for line in sessions(alice))], check=True)
    tap.until(lambda: os.path.exists(witness) or not alice.boots(), 30, "the end of the machine", interval=0.001)
    tap.ok(os.path.exists(witness), "in order: its services are stopped, not killed")
    machine.terminal.wait(30)
    tap.until(lambda: not os.path.isdir(alice.slice), 40, "the end of the user manager")
    alice.nothing_left("after logging out")


@tap.case("a lost connection stops the machine", timeout=60)
def lost():
    machine = logins.Machine(alice, "lost").login()
    machine.terminal.process.kill()
    tap.until(lambda: not alice.boots(), 30, "the end of the machine")
    alice.nothing_left("after a lost connection")


@tap.case("kill -9 leaves nothing", timeout=90)
def killed():
    for name, victim in {
        "the supervisor": lambda machine: machine.pid,
        "nixuser-launch": lambda machine: machine.launcher(),
        "PID 1": lambda machine: machine.payload(),
    }.items():
        machine = logins.Machine(alice, "killed").login()
        machine.output("setsid -f sleep 1234")
        os.kill(victim(machine), signal.SIGKILL)
        tap.ok(machine.terminal.wait(10) != 0, f"{name}: not a success")
        alice.nothing_left(f"after kill -9 of {name}")
        tap.until(lambda: alice.scope("killed") == "inactive", 5, "the end of the scope")
        tap.ok(True, f"{name}: the scope is gone")


# ---- walls


@tap.case("users without a range of their own are refused, with the reason", timeout=30)
def refused():
    for user, reason in ((carol, "no subordinate|no range|subuid"), (dave, "overlap")):
        result = user.boot("trivial")
        tap.is_(result.status, lab.NOT_PERMITTED, f"{user.name}: refused", result)
        tap.like(result.err, reason, f"{user.name}: says why", result)
        user.nothing_left("after a refusal")


@tap.case("one user's machines do not depend on another's", timeout=90)
def several():
    machines = [logins.Machine(user, "same-name") for user in (alice, bob)]
    for machine in machines:
        machine.login()
    identifiers = {machine.output("cat /etc/machine-id") for machine in machines}
    tap.is_(len(identifiers), 2, "the same name, two machines")
    bob.log_out()
    tap.is_(machines[0].output("systemctl is-system-running --wait"), "running", "bob's leaving leaves alice's")
    bob.nothing_left("after his leaving")
    tap.is_(machines[0].power_off(), 0, "alice's ends")
    alice.nothing_left("after it")


@tap.case("the lab host has no failed unit after all this")
def afterwards():
    failed = subprocess.run(["systemctl", "--failed", "--plain", "--no-legend"], stdout=subprocess.PIPE, text=True)
    tap.is_(failed.stdout, "", "none of the system's")
    result = alice.sh("systemctl --user --failed --plain --no-legend")
    tap.is_(result.out, "", "none of alice's", result)


tap.main()
