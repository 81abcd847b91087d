#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The console: to the user it is a terminal like any other, and his own is as before when the machine ends."""

import os
import re
import select
import signal
import termios
import time

import lab
import tap

lab.need("result", "trivial")
bob = lab.claim("bob")

# The kernel throws away what a terminal has not shown yet when it has sent SIGINT. On a busy machine that may be the
# prompt of a shell that was faster; Enter brings another.
INTERRUPT = "\x03\r"


def sleeps(seconds):
    """The pid of a `sleep seconds` in one of bob's machines."""
    return next(
        (
            process.pid
            for process in lab.processes()
            if bob.subuid[0] in process.uids and arguments(process.pid) == ["sleep", seconds]
        ),
        None,
    )


def in_foreground(seconds):
    """Whether it runs, and is in its terminal's foreground: only then it is the one that gets ^C."""
    pid = sleeps(seconds)
    if not pid:
        return False
    with open(f"/proc/{pid}/stat") as file:
        state, _, group, _, _, foreground = file.read().rpartition(")")[2].split()[:6]
    return state != "T" and group == foreground


def arguments(pid):
    try:
        with open(f"/proc/{pid}/cmdline") as file:
            return file.read().split("\0")[:-1]
    except (FileNotFoundError, ProcessLookupError):
        return []


@tap.case("login, and a terminal with job control", timeout=90)
def console():
    machine = lab.Machine(bob, name="console")
    terminal = machine.terminal
    terminal.expect("login: ", 60)
    terminal.send("nobody-of-that-name\r")
    terminal.expect("Password: ")
    terminal.send("my-secret\r")
    terminal.expect("Login incorrect")
    tap.unlike(terminal.log, "my-secret", "no echo at the password")
    tap.like(terminal.log, "login: nobody-of-that-name", "but at the name")
    machine.login()
    tap.like(machine.output("tty"), r"\A/dev/(pts/0|console)\Z", "tty")
    tap.is_(machine.output("echo here >/dev/tty"), "here", "/dev/tty is the console")
    tap.is_(machine.output("stat -c %G $(tty)"), "tty", "it belongs to the group tty")
    tap.is_(
        machine.output("ps -o tty= -p $$"),
        machine.output("tty").removeprefix("/dev/"),
        "it is the controlling terminal",
    )

    terminal.send("sleep 10001\r")
    tap.until(lambda: in_foreground("10001"), 10, "the sleep")
    terminal.send(INTERRUPT)
    terminal.expect(machine.PROMPT)
    tap.ok(not sleeps("10001"), "^C ends a sleep")
    terminal.send("echo status'='$?\r")
    tap.ok(terminal.expect("status=130\r"), "with SIGINT")

    terminal.send("sleep 10002\r")
    tap.until(lambda: in_foreground("10002"), 10, "the sleep")
    terminal.send("\x1a")
    tap.ok(terminal.expect("Stopped"), "^Z stops a sleep")
    terminal.expect(machine.PROMPT)
    tap.like(machine.output("jobs"), r"Stopped +sleep 10002", "it is a stopped job")
    terminal.send("fg\r")
    tap.until(lambda: in_foreground("10002"), 10, "the sleep in the foreground")
    terminal.send("\x1c")
    terminal.expect(machine.PROMPT)
    tap.ok(not sleeps("10002"), "fg, and ^\\ ends it")

    # What is typed before the shell has set the terminal for cat would be typed for the shell.
    terminal.send("echo rea''dy; cat >/tmp/typed\r")
    terminal.expect("ready\r")
    lines = [f"{number} " + "x" * 70 for number in range(500)]
    terminal.send("".join(line + "\r" for line in lines))
    terminal.send("\x04")
    terminal.expect(machine.PROMPT)
    tap.is_(
        machine.output("wc -lc </tmp/typed").split(),
        ["500", str(sum(map(len, lines)) + 500)],
        "long typing arrives whole",
    )
    wanted = "\n".join(map(str, range(1, 30001)))
    tap.ok(machine.output("seq 1 30000", timeout=30) == wanted, "long output arrives whole")
    tap.is_(machine.output("printf 'gr\\303\\274n\\n'; echo grün"), "grün\ngrün", "more than ASCII passes both ways")

    terminal.send("\x1d\x1d")
    terminal.send(INTERRUPT)
    terminal.expect(machine.PROMPT)
    tap.is_(machine.output("echo alive"), "alive", "^] twice does nothing")
    terminal.send("exit\r")
    machine.login()
    tap.is_(machine.output("echo again"), "again", "after a logout there is a new login")
    tap.is_(machine.power_off(), 0, "exit status")


@tap.case("the window's size", timeout=90)
def sizes():
    machine = lab.Machine(bob, name="console-size", rows=33, cols=99).login()
    terminal = machine.terminal
    tap.is_(machine.output("stty size"), "33 99", "the first size is the outer terminal's")
    for i in range(20):
        size = f"{30 + i} {100 + i}"
        terminal.resize(30 + i, 100 + i)
        tap.until(lambda: machine.output("stty size") == size, 5, f"the size {size}")
    tap.ok(True, "the size follows 20 resizes")
    for i in range(20):
        terminal.resize(24 + i, 80)
        terminal.resize(24, 80 + i)
    tap.until(lambda: machine.output("stty size") == "24 99", 5, "the last size")
    tap.ok(True, "and 40 without a pause")
    tap.is_(
        machine.run("systemctl is-active rescue.target emergency.target")[1].split(), ["inactive"] * 2, "no rescue mode"
    )
    tap.is_(machine.output("systemctl is-system-running"), "running", "the system runs as before")
    terminal.send("""bash -c 'trap "stty size; exit" WINCH; echo rea""dy; while :; do read -t 0.1; done'\r""")
    terminal.expect("ready\r")
    terminal.resize(41, 141)
    tap.ok(terminal.expect("41 141\r"), "the program in the foreground hears of it")
    tap.is_(machine.power_off(), 0, "exit status")


def settings_after(name, end, boot=True):
    """The outer terminal's settings must be as before, however the machine ends."""
    machine = lab.Machine(bob, "-q", name="console-" + name)
    terminal = machine.terminal
    # Something else than the default, to see that it is restored and not reset.
    before = terminal.settings()
    terminal.expect("login: ", 60)
    during = terminal.settings()
    tap.ok(not during[3] & (termios.ICANON | termios.ECHO | termios.ISIG), f"{name}: raw while the machine runs")
    end(machine)
    terminal.wait(100)
    tap.is_(terminal.settings(), before, f"{name}: the settings are as before")
    blocking = os.get_blocking(terminal.slave)
    tap.ok(blocking, f"{name}: and the terminal is not non-blocking")
    return machine.terminal.process.popen.returncode


@tap.case("terminal settings after a poweroff", timeout=60)
def after_poweroff():
    def end(machine):
        machine.terminal.send("root\r")
        machine.terminal.expect(machine.PROMPT)
        machine.terminal.send("poweroff\r")

    tap.is_(settings_after("poweroff", end), 0, "exit status")


@tap.case("terminal settings after kill -9 of the payload", timeout=60)
def after_payload_killed():
    status = settings_after("payload", lambda machine: os.kill(machine.payload(), signal.SIGKILL))
    tap.ok(status != 0, "that is no success", f"status {status}")


@tap.case("terminal settings after kill -9 of nixuser-launch", timeout=60)
def after_launch_killed():
    status = settings_after("launch", lambda machine: os.kill(machine.launcher(), signal.SIGKILL))
    tap.ok(status != 0, "that is no success", f"status {status}")


@tap.case("terminal settings after SIGTERM", timeout=60)
def after_term():
    tap.is_(settings_after("term", lambda machine: os.kill(machine.pid, signal.SIGTERM)), 0, "exit status")


@tap.case("^] three times within a second ends the machine at once", timeout=60)
def escape():
    def end(machine):
        started = time.monotonic()
        machine.escape()
        tap.ok(time.monotonic() - started < 5, "at once", f"after {time.monotonic() - started:.1f} s")

    status = settings_after("escape", end)
    tap.ok(status != 0, "that is no success", f"status {status}")


@tap.case("settings that are not the default are restored as they were", timeout=60)
def unusual_settings():
    def unusual():
        settings = termios.tcgetattr(0)
        settings[3] &= ~termios.ECHOE
        settings[6][termios.VINTR] = b"\x0b"
        termios.tcsetattr(0, termios.TCSANOW, settings)

    terminal = lab.Terminal(bob, [lab.BOOT, "-q", "trivial", "--", "3"], as_user=unusual)
    tap.is_(terminal.wait(), 3, "exit status")
    settings = terminal.settings()
    tap.is_((settings[3] & termios.ECHOE, settings[6][termios.VINTR]), (0, b"\x0b"), "as they were")


@tap.case("a refusal leaves the terminal alone")
def refusal():
    terminal = lab.Terminal(bob, [lab.BOOT, "no-such-link"])
    before = terminal.settings()
    tap.is_(terminal.wait(), 65, "exit status")
    tap.is_(terminal.settings(), before, "settings")
    tap.like(terminal.log, r"\Anixuser-\w+: [^\n]+\r\n\Z", "one line, and the terminal makes it a whole one")


@tap.case("without a terminal: a pipe each way", timeout=90)
def pipe():
    process = bob.start(
        [lab.BOOT, "--console", "pipe", "--name", "console-pipe", "result"], stdin=-1, stdout=-1, stderr=-1
    )
    seen = ""

    def expect(pattern, timeout=60):
        nonlocal seen
        deadline = time.monotonic() + tap.patience(timeout)
        while not re.search(pattern, seen):
            if not select.select([process.popen.stdout], [], [], max(0, deadline - time.monotonic()))[0]:
                raise tap.TimedOut(f"{pattern}: {seen[-1000:]!r}")
            data = os.read(process.popen.stdout.fileno(), 65536)
            if not data:
                raise AssertionError(f"the end before {pattern}: {seen[-1000:]!r}")
            seen += data.decode(errors="replace")

    def send(text):
        os.write(process.popen.stdin.fileno(), text.encode())

    expect("login: ")
    send("root\r")
    expect(r"[#$] ?(\x1b\[[0-9;?]*[a-zA-Z])*\Z")
    send("echo state''=$(systemctl is-system-running --wait)\r")
    expect("state=running")
    tap.ok(True, "a login through pipes")
    process.popen.stdin.close()
    process.popen.stdin = None
    send_again = lab.children(process.pid, "nixuser-launch")
    tap.is_(len(send_again), 1, "the end of the input is not the machine's")
    process.kill(signal.SIGTERM)
    out, err = process.popen.communicate(timeout=tap.patience(60))
    tap.is_(process.popen.returncode, 0, "SIGTERM powers off", err)
    tap.is_(err, b"", "nothing on standard error")


@tap.case("where standard output goes")
def outputs():
    lab.probe(bob, "speaks", "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done")
    result = bob.boot("speaks")
    wanted = "".join(f"line {i}\r\n" for i in range(20000))
    tap.ok(
        result.out == wanted, "all of it, also what was written last", len(result.out), len(wanted), result.out[-200:]
    )
    bob.keep("output")
    result = bob.sh(f"{lab.BOOT} speaks </dev/null >~/output && tail -n 1 ~/output")
    tap.is_(result.out, "line 19999\r\n", "into a file", result)
    result = bob.sh(f"{lab.BOOT} speaks </dev/null | head -n 1")
    tap.is_(
        (result.status, result.out), (0, "line 0\r\n"), "a reader that leaves early does not stop the machine", result
    )
    result = bob.sh(f"echo typed | {lab.BOOT} --console pipe trivial -- 4")
    tap.is_(result.status, 4, "input that nobody reads", result)
    lab.probe(bob, "hears", "read line; echo heard $line")
    result = bob.boot("hears", stdin="some words\n")
    tap.like(result.out, r"^heard some words\r$", "standard input is the console's", result)


tap.main()
