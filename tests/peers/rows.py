# SPDX-License-Identifier: MIT
"""The rows of README's comparison: for each a probe, whose answer is the cell of the tool it is called for.

A probe ends with an exception when it cannot tell. Answers are short, and the same wherever nothing has changed.
"""

import os
import pwd
import signal
import socket
import subprocess
import time

import speed
import tools
import lab
import tap
from tools import Boot, Machine, Podman

rows = []
PORT = 8099


def row(title, timeout=60):
    def register(probe):
        rows.append((title, timeout, probe))
        return probe

    return register


# ---- who may do what


@row("version")
def version(tool):
    return tool.version()


@row("programs with privilege")
def privileged(tool):
    """Setuid and setgid ones, and those with file capabilities, among the files that an installation puts there."""
    found = []
    for path in tool.files():
        if os.stat(path).st_mode & 0o6000:
            found.append(f"{os.path.basename(path)}: setuid root")
        with_capabilities = subprocess.run(["getcap", path], stdout=subprocess.PIPE, text=True, check=True).stdout
        if with_capabilities:
            found.append(f"{os.path.basename(path)}: {with_capabilities.split()[-1]}")
    return ", ".join(sorted(found)) or "none"


@row("root's processes beside it")
def of_root(tool):
    """Those that were not there before, and stay; but for sshd's, which the login needs."""
    before = set(roots())
    Machine(tool).login()
    found = set(roots()) - before
    time.sleep(1)
    names = {roots()[pid] for pid in found & set(roots())}
    return ", ".join(sorted(names - {"ssh", "sshd-session"})) or "none"


def roots():
    """{pid: name} of the programs that run as the host's root, in the host's user namespace."""
    found = {}
    ours = os.readlink("/proc/self/ns/user")
    for process in lab.processes():
        try:
            with open(f"/proc/{process.pid}/cmdline") as file:
                command = file.read().split("\0")[0].split(" ")[0].rstrip(":")
            if command and 0 in process.uids and os.readlink(f"/proc/{process.pid}/ns/user") == ours:
                found[process.pid] = os.path.basename(command)
        except (FileNotFoundError, ProcessLookupError):
            pass  # it ended
    return found


@row("for a user without subordinate ids")
def without_ids(tool):
    """carol has none; nor has root."""
    poor = tool if tool.user.name == "root" else type(tool)("carol")
    if poor.user.subuid:
        raise AssertionError(f"{poor.user.name} has subordinate ids")
    if poor is not tool:
        poor.prepare()
    machine = Machine(poor)
    try:
        machine.login(20)
        return system_state(machine)
    except lab.EndOfFile:
        if machine.terminal.wait() == lab.NOT_PERMITTED and "no subordinate ids" in machine.terminal.log:
            return "refused"
        raise
    except tap.TimedOut:
        state = system_state(machine)
        return f"{state}, without a login prompt"


def system_state(machine):
    """By the tool's own way into the machine, since there may be no login."""
    tool = machine.tool
    result = tool.user.run([*tool.into, "/run/current-system/sw/bin/systemctl", "is-system-running", "--wait"])
    if not result.out:
        raise AssertionError(str(result))
    return result.out.strip()


@row("the machine's root is")
def root_is(tool):
    found = owner(Machine(tool))
    if isinstance(tool, Podman):
        tool.remove()
        found += "; with --uidmap " + owner(Machine(tool, options=tool.mapped))
    return found


def owner(machine):
    """Whose uid the machine's root has on the host."""
    user = machine.user
    if machine.login().output("id -u") != "0":
        raise AssertionError("who logged in is not the machine's root")
    uid = os.stat(f"/proc/{machine.payload()}").st_uid
    if uid == user.uid:
        return "the host's root" if uid == 0 else "you"
    if user.has_uid(uid):
        return "a subordinate id of yours"
    if uid in {entry.pw_uid for entry in pwd.getpwall()}:
        raise AssertionError(f"the machine's root is {uid}, which is another's")
    return "a transient id"


# ---- the console


@row("console login of the demo")
def console(tool):
    """All that is expected of a terminal, or what is missing."""
    machine = Machine(tool)
    terminal = machine.terminal
    missing = []
    terminal.expect("login: ", 60)
    terminal.send("nobody-of-that-name\r")
    terminal.expect("Password: ")
    terminal.send("my-secret\r")
    terminal.expect("Login incorrect")
    if "my-secret" in terminal.log:
        missing.append("a password that is not shown")
    machine.login()
    if machine.output("tty") not in ("/dev/pts/0", "/dev/console"):
        missing.append("a tty")
    terminal.resize(33, 99)
    terminal.process.kill(signal.SIGWINCH)  # it is ssh's terminal, but not the one that controls it
    try:
        tap.until(lambda: machine.output("stty size") == "33 99", 5, "the new size", 0.2)
    except tap.TimedOut:
        missing.append("resizing")
    before = len(tools.named("sleep"))
    terminal.send("sleep 1000\r")
    tap.until(lambda: len(tools.named("sleep")) > before, 10, "the sleep")
    terminal.send("\x03")
    terminal.expect(machine.PROMPT)
    terminal.send("echo status'='$?\r")
    if terminal.expect(r"status=(\d+)\r")[1] != "130":
        missing.append("job control")
    terminal.expect(machine.PROMPT)
    if machine.run("systemctl is-system-running --wait")[1].strip() != "running":
        missing.append("a system without failed units")
    return "yes" if not missing else "without " + ", ".join(missing)


# ---- what the machine's root can do


# The first shows that attempts can succeed. After the last one, if it does, there is only the shell.
ATTEMPTS = """
attempt() { what=$1; shift; "$@" >/dev/null 2>&1 && echo "$what"; }
attempt tried touch /root/tried
attempt 'written to' touch /nix/store/of-a-machine
attempt remounted mount -o remount,bind,rw /nix/store
attempt 'written to' touch /nix/store/of-a-machine
attempt unmounted umount --lazy /nix/store
true
"""


@row("its root and the store")
def store(tool):
    """With CAP_SYS_ADMIN too, which podman does not give by itself."""
    done = attempts(Machine(tool))
    if isinstance(tool, Podman) and not done:
        tool.remove()
        more = attempts(Machine(tool, options=tool.privileged))
        if more:
            return f"locked read-only; with CAP_SYS_ADMIN it can be {' and '.join(more)}"
    return f"read-only, but can be {' and '.join(done)}" if done else "locked read-only"


def attempts(machine):
    tried, *done = machine.login().output(ATTEMPTS).splitlines()
    if tried != "tried":
        raise AssertionError(f"nothing can be attempted: {tried}")
    return done


@row("mounts and sandboxes in it")
def sandboxes(tool):
    """What nix-build and ProtectProc= need: a mount, and a fresh /proc in a user namespace."""
    machine = Machine(tool).login()
    mounts = machine.run("mkdir -p /mnt && mount -t tmpfs none /mnt")[0] == 0
    fresh_proc = machine.run("unshare --user --map-root-user --fork --pid --mount-proc true")[0] == 0
    return {(True, True): "yes", (True, False): "mounts", (False, True): "sandboxes", (False, False): "no"}[
        mounts, fresh_proc
    ]


# ---- the closure


@row("closure pinned while it runs", timeout=90)
def pinned(tool):
    """By nix-store --delete of two paths that only this machine's closure needs, one of which a process has open."""
    user = tool.user
    with lab.adding():
        names = ("garbage", "unopened", "opened")
        garbage, unopened, opened = (lab.add_tree(user, name, {"file": name}) for name in names)
        toplevel = lab.variant(user, "nixos-system-peer", "result", "gone", needs=[unopened, opened])
        machine = Machine(tool, "gone").login()
    os.unlink(user.home + "/gone")
    machine.output(f"exec 9<{opened}/file")
    kept = {}
    with lab.collecting():
        for path in (garbage, toplevel, unopened, opened):
            user.run(["nix-store", "--delete", path])
            kept[path] = os.path.exists(path)
    if kept[garbage]:
        raise AssertionError("nix-store --delete works for nothing")
    if kept[unopened] and kept[opened] and kept[toplevel]:
        return "all of it"
    return "what its processes have open" if kept[opened] else "nothing"


row("whole life of a trivial system", 300)(speed.life)
row("boot of the demo and its end")(speed.boot)
row("memory beside a machine")(speed.memory)


# ---- what one does with a machine


@row("network, ports")
def network(tool):
    lab.probe(tool.user, "net", 'echo interfaces: $(ls /sys/class/net); echo "hello" | nc -l -p %d; sleep 1' % PORT)
    machine = Machine(tool, "net", options=tool.with_network(PORT))
    interfaces = machine.terminal.expect(r"interfaces: ([^\r]*)\r", 30)[1].split()
    answered = answers(PORT)
    if interfaces == ["lo"] and not answered:
        return "none"
    return "yes" if answered else "a virtual link to the host"


def answers(port):
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), 2) as connection:
                if connection.recv(100) == b"hello\n":
                    return True
        except OSError:
            pass
        time.sleep(0.2)
    return False


@row("run a command in it")
def execute(tool):
    identity = "/run/current-system/sw/bin/id -u".split()
    if isinstance(tool, Boot):
        if any(word in lab.must(tool.user.boot("--help")) for word in ("exec", "shell", "enter", "attach")):
            raise AssertionError("there is a way in now, and no probe for it")
        return "not yet"
    Machine(tool).login()
    result = tool.user.run([*tool.into, *identity])
    if result.out != "0\n":
        raise AssertionError(str(result))
    return "yes"


@row("detached, with logs")
def detached(tool):
    """Started in one login session, looked at from another."""
    user = tool.user
    if isinstance(tool, Podman):
        tap.cleanup(tool.remove)
        lab.must(user.run(tool.argv("result", terminal="-dt")))
        logs, answer = ["podman", "logs", tools.MACHINE], "yes"
    else:
        manager = ["--user"] if user.uid else []
        properties = ["Delegate=yes", "KillMode=mixed", "Type=notify", "WorkingDirectory=" + user.home]
        unit = ["systemd-run", *manager, "--quiet", "--collect", "--unit=peer"]
        unit += ["--property=" + value for value in properties]
        tap.cleanup(user.run, ["systemctl", *manager, "stop", "peer"], 60)
        lab.must(user.run([*unit, *tool.argv("result", tool.as_service)], timeout=60))
        logs = ["journalctl", *manager, "--output=cat", "--unit=peer"]
        answer = "as a service of your user manager" if manager else "as a service of the system"
    tap.until(lambda: "multi-user.target" in user.run(logs).out, 20, "the console in the log", 0.5)
    return answer
