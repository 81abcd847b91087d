#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""nixuserctl: what runs, commands in a machine, its end; and whoever else is at the control socket."""

import json
import os
import signal
import socket
import struct
import time

import lab
import tap

lab.need("result", "trivial")
alice, bob = lab.claim("alice", "bob")
CTL = os.path.dirname(lab.BOOT) + "/nixuserctl"
TEMPORARY = 75

NAME = "controlled"
_machine = []


def machine():
    """The case's own."""
    if not _machine:
        tap.cleanup(_machine.clear)
        _machine.append(lab.Machine(alice, name=NAME).login(90))
    return _machine[0]


def count(arguments):
    """How many processes of the machine pgrep finds."""
    return int(machine().run("pgrep -c " + arguments)[1])


def ctl(*arguments, user=alice, **how):
    return user.run([CTL, *arguments], **how)


@tap.case("without a machine")
def without():
    tap.is_((ctl("list").status, ctl("list").out), (0, "0 machines.\n"), "list")
    tap.is_(json.loads(ctl("--json", "list").out), [], "list --json")
    for verb in ("status", "stop", "reboot", "kill", "shell", "logs"):
        result = ctl(verb, "nosuch")
        tap.is_(result.status, lab.UNAVAILABLE, f"{verb}: its status", result)
        tap.like(result.err, r"\Anixuserctl: no machine 'nosuch' runs; .*\n\Z", f"{verb}: one line, with what to do")
    tap.is_(ctl("run", "nosuch", "--", "true").status, lab.UNAVAILABLE, "run")


@tap.case("what cannot be understood")
def usage():
    for arguments in ([], ["nonsense"], ["status"], ["run", "x"], ["list", "x"], ["--nonsense"], ["shell", "-x"],
                      ["shell", "@x"], ["status", "../x"], ["stop", "a/b"], ["kill", "x", "-s", "SIGNONE"]):
        result = ctl(*arguments)
        tap.is_(result.status, lab.USAGE, f"{arguments} is refused", result)
        tap.like(result.err, r"\Anixuserctl: [^\n]+\n\Z", f"{arguments}: in one line", result)
    result = ctl("status", "\x1b[31m")
    tap.unlike(result.err, "\x1b", "what was typed does not reach the terminal as it is", result)
    help_text = ctl("--help").out
    tap.ok(help_text.count("\n") <= 24 and max(map(len, help_text.split("\n"))) <= 80, "--help fits a screen", help_text)


@tap.case("list and status", timeout=120)
def show():
    leader = machine().payload()
    table = ctl("list", "--no-legend").out.split()
    tap.is_((table[0], table[1], table[2]), (NAME, "running", str(leader)), "list")
    tap.is_(table[5], os.path.realpath(lab.CLOSURES["result"]), "list: the toplevel")
    [record] = json.loads(ctl("list", "--json").out)
    tap.is_((record["Name"], record["Leader"], record["Supervisor"]), (NAME, leader, machine().pid), "list --json")
    tap.ok(abs(record["SinceUSec"] / 1e6 - time.time()) < 600, "since when", record)
    tap.is_(json.loads(ctl("status", NAME, "--json").out), record, "status --json says the same")
    tap.like(ctl("status", NAME).out, rf"State: running since .*\n Leader: {leader};", "status")
    tap.is_(ctl("list", user=bob).out, "0 machines.\n", "another user sees nothing of it")


@tap.case("run on pipes", timeout=120)
def run():
    machine()
    result = ctl("run", NAME, "--", "sh", "-c", "echo out; echo err >&2; cat; exit 7", stdin="from outside")
    tap.is_((result.status, result.out, result.err), (7, "out\nfrom outside", "err\n"), "streams and exit status", result)
    tap.is_(ctl("run", NAME, "true").status, 0, "without --")
    tap.is_(ctl("run", NAME, "--", "sh", "-c", "kill -9 $$").status, 137, "killed by a signal: 128 and its number")
    result = ctl("run", NAME, "--", "no-such-command")
    tap.is_(result.status, 127, "a command that is not there", result)
    tap.like(result.err, "cannot execute no-such-command: No such file", "and is said so")
    data = os.urandom(1 << 20).hex()
    tap.ok(ctl("run", NAME, "--", "cat", stdin=data).out == data, "two megabytes there and back")
    tap.is_(ctl("run", NAME, "--", "printf", "%s|", "a b", "", "c\nd", "é").out, "a b||c\nd|é|", "arguments as they are")
    result = ctl("run", NAME, "--", "true", *["x" * 1000] * 80)
    tap.is_(result.status, lab.OS_ERROR, "more arguments than a request may have", result)


@tap.case("what a command in the machine is", timeout=120)
def inside():
    leader = machine().payload()
    script = "echo $$; cat /proc/self/uid_map; id -u; cat /proc/self/cgroup; grep Cap /proc/self/status; env; pwd"
    out = ctl("run", NAME, "--", "sh", "-c", script).out
    tap.like(out, r"(?m)^ +0 +0 +65536$", "in the machine's user namespace")
    tap.like(out, r"(?m)^0::/init.scope$", "in its init's cgroup")
    bound = [line for line in lab.read(f"/proc/{leader}/status").splitlines() if line.startswith("CapBnd")][0]
    tap.like(out, bound, "with its init's bounding set")
    tap.like(out, r"(?m)^PATH=/run/wrappers/bin:/run/current-system/sw/bin", "with NixOS's PATH")
    tap.unlike(out, r"XDG_RUNTIME_DIR|/home/alice|SSH_", "and nothing of the caller's environment")
    tap.like(out, r"(?m)^/root$", "at home")
    for kind in ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup"):
        there = ctl("run", NAME, "--", "readlink", f"/proc/self/ns/{kind}").out.strip()
        tap.is_(there, os.readlink(f"/proc/{leader}/ns/{kind}"), f"in its {kind} namespace")
    links = ctl("run", NAME, "--", "sh", "-c", "readlink /proc/$$/fd/*").out.split()
    tap.is_([link.split(":")[0] for link in links], ["pipe"] * 3, "no descriptor but three pipes")
    ctl("run", NAME, "--", "sh", "-c", "sleep 4712 & exit 0")
    tap.is_(count("-x sleep"), 1, "what it leaves in the background stays the machine's")
    machine().run("pkill -x sleep")


@tap.case("run and shell on a terminal", timeout=120)
def on_a_terminal():
    machine()
    terminal = lab.Terminal(alice, [CTL, "run", NAME, "--", "sh", "-c", "tty; stty size; read x; echo got $x; exit 5"],
                            rows=30, cols=90)
    terminal.expect(r"/dev/pts/\d+\r?\n30 90\r?\n")
    terminal.send("typed\r")
    terminal.expect("got typed")
    tap.is_(terminal.wait(), 5, "a terminal of the machine's, of our size; the exit status")
    terminal = lab.Terminal(alice, [CTL, "shell", NAME])
    before = terminal.settings()
    terminal.expect(r"[#$] ")
    terminal.send("echo $((41 + 1)) $(id -un) $0\r")
    terminal.expect(r"42 root -\w+\r")
    terminal.send("sleep 100\r")
    tap.until(lambda: count("-x sleep") == 1, 10, "sleep")
    terminal.send("\x03")
    terminal.expect(r"[#$] ")
    tap.until(lambda: count("-x sleep") == 0, 10, "its end")
    tap.ok(True, "^C ends what runs")
    terminal.resize(40, 100)
    terminal.send("stty size\r")
    terminal.expect(r"40 100")
    tap.ok(True, "a resize arrives")
    terminal.send("exit 9\r")
    tap.is_(terminal.wait(), 9, "the status of the shell")
    terminal = lab.Terminal(alice, [CTL, "shell", "nobody@" + NAME])
    terminal.expect("not available|nologin|denied|[#$] ")
    tap.ok(True, "a user's own shell is what su says")
    terminal.hang_up()


@tap.case("whoever leaves takes his command along", timeout=120)
def leaving():
    machine()
    process = alice.start([CTL, "run", NAME, "--", "sleep", "4713"], stdin=-3, stdout=-3, stderr=-3)
    tap.until(lambda: count("-x sleep") == 1, 10, "sleep")
    process.kill()
    process.wait()
    tap.until(lambda: count("-x sleep") == 0, 10, "its end")
    tap.ok(True, "a killed nixuserctl hangs up on it")
    terminal = lab.Terminal(alice, [CTL, "shell", NAME])
    terminal.expect(r"[#$] ")
    terminal.hang_up()
    tap.until(lambda: count("-f 'su -[l]'") == 0, 10, "the shell's end")
    tap.ok(True, "and so does a closed terminal")


def connect(user=alice):
    """As that user, past nixuserctl."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        try:
            os.setresgid(user.uid, user.uid, user.uid)
            os.setresuid(user.uid, user.uid, user.uid)
            client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            client.connect(f"{alice.runtime}/nixuser/{NAME}/control")
            socket.send_fds(theirs, [b"y"], [client.fileno()])
        except OSError as error:
            theirs.send(error.strerror.encode())
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    message, descriptors, _, _ = socket.recv_fds(ours, 100, 1)
    return socket.socket(fileno=descriptors[0]) if descriptors else message.decode()


def request(call, version=1, number=0, terminal=0, argc=0, strings=b""):
    return struct.pack("<IIiHH", version, call, number, terminal, argc) + strings


def answers(client):
    client.settimeout(5)
    try:
        return client.recv(65536)
    except OSError:
        return b""


@tap.case("who may connect", timeout=120)
def strangers():
    machine()
    tap.is_(connect(bob), "Permission denied", "another user cannot reach the socket")
    directories = (alice.runtime, f"{alice.runtime}/nixuser", f"{alice.runtime}/nixuser/{NAME}")
    modes = [os.stat(path).st_mode for path in directories]
    for path in directories:
        os.chmod(path, 0o755)
    os.chmod(f"{directories[2]}/control", 0o777)
    stranger = connect(bob)
    for path, mode in zip(directories, modes):
        os.chmod(path, mode)
    stranger.settimeout(5)
    try:
        stranger.send(request(0))
    except BrokenPipeError:
        pass
    tap.is_(answers(stranger), b"", "and if he does, he gets no answer")
    tap.is_(ctl("status", NAME).status, 0, "the machine does not mind")


@tap.case("requests that make no sense", timeout=120)
def nonsense():
    machine()
    for name, message, error in (
        ("one byte", b"x", 71), ("half a request", request(0)[:9], 71), ("another version", request(0, version=2), 71),
        ("an unknown call", request(99), 95), ("a signal that is none", request(2, number=4711), 22),
        ("a negative signal", request(2, number=-1), 22), ("a command without pipes", request(3, argc=1, strings=b"id\0"), 71),
        ("a command without a name", request(3, terminal=1), 71),
        ("fewer strings than it says", request(3, terminal=1, argc=9, strings=b"id\0"), 71),
        ("a string without an end", request(3, terminal=1, argc=1, strings=b"id"), 71),
    ):
        client = connect()
        client.send(message)
        answer = answers(client)
        tap.is_(struct.unpack("<IIi", answer[:12])[2] if len(answer) >= 12 else None, error, f"{name}: an error", answer)
        client.close()
    client = connect()
    try:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        client.send(request(0) + b"x" * 70000)
    except OSError:
        pass
    tap.is_(answers(client), b"", "a huge one: the connection ends")
    client = connect()
    socket.send_fds(client, [request(0)], [0, 1, 2])
    tap.is_(struct.unpack("<IIi", answers(client)[:12])[2], 71, "descriptors that nobody asked for: an error")
    client = connect()
    socket.send_fds(client, [request(3, argc=1, strings=b"id\0")], list(range(3)) * 2)
    tap.is_(answers(client), b"", "too many of them: the connection ends")
    tap.is_(ctl("run", NAME, "echo", "alive").out, "alive\n", "the machine does not mind")
    held = len(os.listdir(f"/proc/{machine().pid}/fd"))
    tap.ok(held < 64, "no descriptor stays", held)


@tap.case("a crowd, and those who say nothing", timeout=120)
def crowd():
    machine()
    silent = [connect() for _ in range(60)]
    waiting = alice.start([CTL, "run", NAME, "--", "sh", "-c", "read x; echo $x"], stdin=-1, stdout=-1, stderr=-1)
    tap.until(lambda: count("-f 'read [x]'") > 0, 10, "the command")
    for _ in range(1000):
        connect_quickly()
    started = time.monotonic()
    tap.is_(ctl("status", NAME).status, 0, "a thousand connections later it still answers")
    tap.note(f"in {(time.monotonic() - started) * 1000:.0f} ms")
    out, _ = waiting.popen.communicate(b"still here\n", 20)
    tap.is_(out, b"still here\n", "who waits for a command is not driven out")
    tap.ok(len(os.listdir(f"/proc/{machine().pid}/fd")) < 100, "at most 64 are held")
    for client in silent:
        client.close()


def connect_quickly():
    client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        try:
            os.setresuid(alice.uid, alice.uid, alice.uid)
            client.connect(f"{alice.runtime}/nixuser/{NAME}/control")
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    client.close()


@tap.case("kill, reboot, stop", timeout=120)
def end():
    before = lab.leftovers(alice)
    first = machine()
    tap.is_(ctl("stop", NAME).status, 0, "stop")
    tap.is_(first.terminal.wait(1), 0, "returns when it has ended")
    tap.is_(ctl("list").out, "0 machines.\n", "and is gone")
    before.settled()
    second = lab.Machine(alice, name="rebooted").login(90)
    tap.is_(ctl("reboot", "rebooted").status, 0, "reboot")
    tap.is_(second.terminal.wait(60), 133, "which is status 133")
    third = lab.Machine(alice, name="killed").login(90)
    tap.is_(ctl("kill", "killed", "--signal", "KILL").status, 0, "kill")
    tap.is_(third.terminal.wait(60), 137, "by the signal that was asked for")
    fourth = alice.start([lab.BOOT, "--name", "killed", "result"], stdin=-3, stdout=-3, stderr=-3)
    tap.until(lambda: ctl("list", "--no-legend").out.split()[1:2] == ["running"], 60, "running")
    fourth.kill(signal.SIGKILL)
    fourth.wait()
    tap.until(lambda: ctl("list").out == "0 machines.\n", 5, "its end")
    tap.ok(True, "nothing is listed after a kill -9 of nixuser-boot")


tap.main()
