# SPDX-License-Identifier: MIT
"""Users, and which of them a test file has for itself."""

import fcntl
import os
import pwd
import shutil
import subprocess

import tap
from command import Process, Result
from given import BOOT, CGROUP, PATH, WORLD
from leftovers import Snapshot
from proc import read

class User:
    def __init__(self, name):
        entry = pwd.getpwnam(name)
        self.name = name
        self.uid = entry.pw_uid
        self.gid = entry.pw_gid
        self.home = entry.pw_dir
        self.runtime = f"/run/user/{self.uid}"
        self.state = self.home + "/.local/state"
        self.cgroup = f"{CGROUP}/{name}"
        self.subuid = _range("/etc/subuid", name)
        self.subgid = _range("/etc/subgid", name)

    def has_uid(self, uid):
        """Whether a uid is the user's own or in his range."""
        start, count = self.subuid or (0, 0)
        return uid == self.uid or (start > 0 and start <= uid < start + count)

    def environment(self):
        return {
            "HOME": self.home,
            "USER": self.name,
            "LOGNAME": self.name,
            "SHELL": "/bin/sh",
            "PATH": PATH,
            "XDG_RUNTIME_DIR": self.runtime,
            "NIX_REMOTE": "daemon",
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
        }

    def run(self, argv, timeout=20, stdin=b"", **how):
        """Runs a command to its end."""
        if isinstance(stdin, str):
            stdin = stdin.encode()
        process = self.start(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **how)
        try:
            out, err = process.popen.communicate(stdin, tap.patience(timeout))
        except subprocess.TimeoutExpired:
            raise tap.TimedOut(f"{argv} took more than {tap.patience(timeout):g} s")
        finally:
            process.end()
        return Result(argv, process.popen.returncode, out.decode(errors="replace"), err.decode(errors="replace"))

    def sh(self, script, **how):
        return self.run(["/bin/sh", "-c", script], **how)

    def start(self, argv, **how):
        process = Process(self, argv, **how)
        tap.cleanup(process.end)
        return process

    def boot(self, *arguments, **how):
        """nixuser-boot without a terminal, to its end."""
        return self.run([BOOT, *arguments], **how)

    def in_cgroups(self):
        """All processes in the user's part of the cgroup tree."""
        pids = set()
        for directory, _, _ in os.walk(self.cgroup):
            pids |= set(read(directory + "/cgroup.procs").split())
        return {int(pid) for pid in pids}

    def keep(self, path):
        """A path below the user's home that is removed after the case."""
        path = os.path.join(self.home, path)
        tap.cleanup(remove, path)
        return path


def _range(file, name):
    """The user's range as (start, count); tests only have users with at most one."""
    for line in read(file).splitlines():
        owner, start, count = line.split(":")
        if owner == name:
            return int(start), int(count)
    return None


def remove(path):
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


def claim(*names):
    """The users a test file works with, its own until it ends, so that files can run side by side.

    At the end of the file it is checked that nothing of theirs is left behind.
    """
    for name in sorted(names):  # one order for all, or two files could wait for each other
        lock = os.open(f"{WORLD}/locks/{name}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
    users = [User(name) for name in names]
    before = Snapshot(users)
    tap.last_case("nothing is left behind", 10, lambda: before.check("after all cases"))
    return users[0] if len(users) == 1 else users
