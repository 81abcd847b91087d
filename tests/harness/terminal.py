# SPDX-License-Identifier: MIT
"""Terminals, and machines on them."""

import base64
import fcntl
import os
import re
import select
import struct
import termios
import time

import tap
from given import BOOT
from proc import children

TTY_GID = 5

opened = []  # terminals of the running case, also those of programs that have ended


class Terminal:
    """A pty with a program of the user on it, as its session leader: what his terminal window is to him."""

    def __init__(self, user, argv, rows=24, cols=80, **how):
        self.master, self.slave = os.openpty()
        self.name = os.ttyname(self.slave)
        os.chown(self.name, user.uid, TTY_GID)
        self.log = ""  # everything that was ever shown
        self.unread = ""  # what no expect() has passed yet
        self.resize(rows, cols)
        tap.cleanup(self.close)
        # The slave stays open here, so that its settings can be looked at when the program is gone.
        self.process = user.start(
            argv, terminal=True, stdin=self.slave, stdout=self.slave, stderr=how.pop("stderr", self.slave), **how
        )
        self.pid = self.process.pid
        opened.append(self)

    def close(self):
        if self in opened:
            opened.remove(self)
        for descriptor in (self.master, self.slave):
            if descriptor is not None:
                os.close(descriptor)
        self.master = self.slave = None

    def hang_up(self):
        """Closes the terminal's window."""
        os.close(self.slave)
        os.close(self.master)
        self.master = self.slave = None

    def resize(self, rows, cols):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def settings(self):
        return termios.tcgetattr(self.slave)

    def send(self, text):
        """Types a text. Reads meanwhile, or each side could wait for the other with its buffers full."""
        data = text.encode()
        while data:
            _, writable, _ = select.select([], [self.master], [], 0.05)
            if writable:
                data = data[os.write(self.master, data[:1024]) :]
            self.pump(0)

    def pump(self, timeout):
        """Reads what is there; waits up to timeout for something."""
        readable, _, _ = select.select([self.master], [], [], max(timeout, 0))
        if readable:
            text = os.read(self.master, 65536).decode(errors="replace")
            self.log += text
            self.unread += text
        return bool(readable)

    def expect(self, pattern, timeout=20):
        """Waits for a regular expression in what is shown from now on (since the last match); returns the match."""
        compiled = re.compile(pattern, re.M | re.S)
        deadline = time.monotonic() + tap.patience(timeout)
        while True:
            match = compiled.search(self.unread)
            if match:
                self.unread = self.unread[match.end() :]
                return match
            if not self.pump(min(deadline - time.monotonic(), 0.1)):
                if self.process.popen.poll() is not None:
                    raise EndOfFile(
                        f"program ended ({self.process.popen.returncode}) before {pattern!r}: {self.tail()}"
                    )
                if time.monotonic() > deadline:
                    raise tap.TimedOut(f"waited {tap.patience(timeout):g} s for {pattern!r}: {self.tail()}")

    def tail(self):
        return repr(self.log[-1500:])

    def wait(self, timeout=20):
        """Reads until the program ends; returns its exit status."""
        deadline = time.monotonic() + tap.patience(timeout)
        while self.process.popen.poll() is None:
            self.pump(0.01)
            if time.monotonic() > deadline:
                raise tap.TimedOut(f"program did not end in {tap.patience(timeout):g} s: {self.tail()}")
        while self.pump(0):
            pass
        return self.process.popen.returncode


class EndOfFile(Exception):
    """The program on a terminal ended while something was still expected of it."""


class Machine:
    """nixuser-boot on a terminal, booting a closure."""

    PROMPT = r"[#$] ?(\x1b\[[0-9;?]*[a-zA-Z])*\Z"

    def __init__(self, user, *options, closure="result", name=None, init=(), rows=24, cols=80, **how):
        arguments = [*options, *(["--name", name] if name else []), closure, *(["--", *init] if init else [])]
        self.user = user
        self.terminal = Terminal(user, [BOOT, *arguments], rows, cols, **how)
        self.pid = self.terminal.pid
        self._commands = 0

    def login(self, timeout=60):
        """Waits for the prompt and logs in as root, who has an empty password."""
        self.terminal.expect(r"login: ", timeout)
        self.terminal.send("root\r")
        self.terminal.expect(self.PROMPT)
        self.output("export SYSTEMD_PAGER= SYSTEMD_COLORS=0")
        return self

    def run(self, script, timeout=20):
        """Runs a script in the shell on the console; returns (status, output)."""
        self._commands += 1
        mark = f"mark{os.getpid()}x{self._commands}"
        self.terminal.send(self._line(mark, script))
        match = self.terminal.expect(rf"{mark}-begin\r?\n(.*?)\r?\n{mark}-end (\d+)\r?\n", timeout)
        self.terminal.expect(self.PROMPT)
        return int(match[2]), match[1].replace("\r\n", "\n")

    @staticmethod
    def _line(mark, script):
        # The marks are typed with a gap of quotes, so the echo of the line is never taken for the output. More than one
        # line, or a long one, is typed as base64: no line editor is to wrap, complete or interpret it.
        if "\n" in script or len(script) > 200:
            encoded = base64.b64encode(script.encode()).decode()
            script = f'eval "$(echo {encoded} | base64 -d)"'
        return f"echo {mark}''-begin; {script}; status=$?; echo; echo {mark}''-end $status\r"

    def output(self, script, timeout=20):
        """The output of a script that must succeed, without white space at its ends."""
        status, output = self.run(script, timeout)
        if status != 0:
            raise AssertionError(f"inside: {script!r} gave {status}: {output!r}")
        return output.strip()

    def power_off(self, timeout=60):
        """Returns the exit status of nixuser-boot."""
        self.terminal.send("systemctl poweroff\r")
        return self.terminal.wait(timeout)

    def escape(self, timeout=10):
        """Ends the machine at once from the terminal, with three times ^]."""
        self.terminal.send("\x1d\x1d\x1d")
        return self.terminal.wait(timeout)

    def launcher(self):
        """The pid of nixuser-launch."""
        return self._only(self.pid, "nixuser-launch")

    def payload(self):
        """The pid of the machine's PID 1, as the world sees it."""
        return self._only(self.launcher(), None)

    @staticmethod
    def _only(pid, comm):
        found = children(pid, comm)
        if len(found) != 1:
            raise AssertionError(f"process {pid} has these children named {comm}: {found}")
        return found[0]
