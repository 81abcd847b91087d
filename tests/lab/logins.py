# SPDX-License-Identifier: MIT
"""What the lab host's tests share: users who log in through PAM, and what may be left of their machines.

Runs as root inside a lab host. The terminals and machines are those of the system tests; only here a user's command is
one of a login session, made by sshd, PAM and logind.
"""

import os
import re
import shlex
import subprocess
import sys

sys.dont_write_bytecode = True
TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path += [TESTS + "/harness", TESTS + "/system"]
import tap

if "NIXUSER_LABHOST" not in os.environ:
    tap.bail_out("not in a lab host; run: tests/labhost run [--closure LINK]... -- prove tests/lab")

import lab


class User(lab.User):
    """A user whose commands are login sessions."""

    def __init__(self, name):
        super().__init__(name)
        self.slice = f"/sys/fs/cgroup/user.slice/user-{self.uid}.slice"
        self.manager = f"{self.slice}/user@{self.uid}.service"

    def start(self, argv, **how):
        process = Session(self, argv, **how)
        tap.cleanup(process.end)
        return process

    def linger(self, on):
        """Whether his user manager runs without a session of his."""
        subprocess.run(["loginctl", "enable-linger" if on else "disable-linger", self.name], check=True)

    def log_out(self):
        """Ends all his sessions and his user manager, as the administrator can."""
        self.linger(False)
        subprocess.run(["loginctl", "terminate-user", self.name], stderr=subprocess.DEVNULL)
        tap.until(lambda: not os.path.isdir(self.slice), 30, f"the end of {self.name}'s sessions")

    def boots(self):
        """The pids of his supervisors."""
        return [p.pid for p in lab.processes() if p.comm == "nixuser-boot" and self.uid in p.uids]

    def scope(self, machine):
        """The state of a machine's scope in his user manager."""
        return self.sh(f"systemctl --user is-active nixuser-{machine}.scope").out.strip()

    def machine_left(self):
        """All that is there of machines of his."""
        found = [str(p) for p in lab.processes() if p.comm.startswith("nixuser") and self.uid in p.uids]
        found += [str(p) for p in lab.processes() if any(map(self._is_in_range, p.uids))]
        for top in (self.slice, self.runtime, "/tmp", "/dev/shm"):
            for directory, directories, files in os.walk(top):
                names = directories if top == self.slice else directories + files
                found += [
                    f"{directory}/{name}" for name in names if "nixuser-" in name or "/nixuser/" in directory + "/"
                ]
        return found

    def _is_in_range(self, uid):
        return uid != self.uid and self.has_uid(uid)

    def nothing_left(self, when, timeout=2):
        left = []

        def gone():
            left[:] = self.machine_left()
            return not left

        try:
            tap.until(gone, timeout, "nothing to be left")
        except tap.TimedOut:
            pass
        tap.is_(left, [], f"nothing is left of {self.name}'s machines {when}")


class Session(lab.Command):
    """A command in a login session, by ssh; what lab.Process is in the private world.

    env  more environment
    """

    def __init__(self, user, argv, *, env=(), terminal=False, **popen):
        assignments = ["env", *(f"{key}={value}" for key, value in dict(env).items())] if env else []
        command = shlex.join([*assignments, *argv])
        ssh = ["ssh", "-tt" if terminal else "-T", f"{user.name}@localhost", "exec " + command]
        self.user = user
        self.popen = subprocess.Popen(ssh, start_new_session=True, **popen)
        self.pid = self.popen.pid  # of ssh; the user's process is sshd's child


class Getty:
    """Whom a terminal belongs to before anybody has logged in on it: root, who runs login(1) there."""

    name, uid = "root", 0

    def start(self, argv, *, terminal, **popen):
        process = lab.Command()
        process.popen = subprocess.Popen(["setsid", "--ctty", "--wait", *argv], **popen)
        process.pid = process.popen.pid
        tap.cleanup(process.end)
        return process


class Unit:
    """A unit file of a user's that runs a command as nixuser-boot(1) says; removed after the case."""

    def __init__(self, user, name, command, *properties, enabled=False):
        self.user = user
        self.name = name
        service = ["Type=notify", "Delegate=yes", "KillMode=mixed", "TimeoutStopSec=100", "TimeoutStartSec=300"]
        service += [f"ExecStart={command}", *properties]
        text = "\n".join(["[Service]", *service, "[Install]", "WantedBy=default.target", ""])
        directory = "~/.config/systemd/user"
        lab.must(user.sh(f"mkdir -p {directory}; cat >{directory}/{name}.service", stdin=text))
        for path in (".config", ".local/share"):
            user.keep(path)
        lab.must(user.sh(f"systemctl --user daemon-reload{f' && systemctl --user enable {name}' if enabled else ''}"))

    def show(self, key):
        """A property of the unit, asked for without a login."""
        command = ["runuser", "-u", self.user.name, "--", "env", f"XDG_RUNTIME_DIR={self.user.runtime}"]
        command += ["systemctl", "--user", "show", "-P", key, self.name]
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.strip()

    def journal(self):
        """What it has printed, and what the user manager says of it."""
        command = ["journalctl", "-b", "-o", "cat", "--no-pager", f"_UID={self.user.uid}"]
        command += [f"_SYSTEMD_USER_UNIT={self.name}.service", "+", f"USER_UNIT={self.name}.service"]
        return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


class Machine(lab.Machine):
    """A machine that a user has started from a shell of his; prefix is what he puts before nixuser-boot."""

    def __init__(self, user, name, *options, prefix=(), closure="result", **how):
        before = set(user.boots())
        self.user = user
        self.name = name
        argv = [*prefix, lab.BOOT, *options, "--name", name, closure]
        self.terminal = lab.Terminal(user, argv, **how)
        self._commands = 0
        self.pid = None
        self._before = before

    def login(self, timeout=60):
        super().login(timeout)
        (self.pid,) = set(self.user.boots()) - self._before
        return self

    def cgroup(self):
        """Where the supervisor is, below the user manager."""
        with open(f"/proc/{self.pid}/cgroup") as file:
            path = re.search(r"^0::(.*)$", file.read(), re.M)[1]
        return os.path.relpath("/sys/fs/cgroup" + path, self.user.manager)
