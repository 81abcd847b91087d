# SPDX-License-Identifier: MIT
"""Commands of users."""

import fcntl
import os
import resource
import signal
import subprocess
import termios
import time

import cgroups
import linux
import tap
from proc import children, processes_of

class Result:
    def __init__(self, argv, status, out, err):
        self.argv, self.status, self.out, self.err = argv, status, out, err

    def __str__(self):
        return f"command: {self.argv}\nstatus:  {self.status}\nstdout:  {self.out!r}\nstderr:  {self.err!r}"


class Command:
    """A running command: self.popen."""

    def kill(self, number=signal.SIGKILL):
        self.popen.send_signal(number)

    def wait(self, timeout=20):
        """The exit status; a signal's as a negative number."""
        try:
            return self.popen.wait(tap.patience(timeout))
        except subprocess.TimeoutExpired:
            raise tap.TimedOut(f"{self.popen.args} did not end in {tap.patience(timeout):g} s")

    def end(self):
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.wait()
        for stream in (self.popen.stdin, self.popen.stdout, self.popen.stderr):
            if stream:
                stream.close()


class Process(Command):
    """A command of a user, in a cgroup of its own that is delegated to him.

    env      more environment; None removes a variable
    cwd      working directory (home)
    cgroup   a cgroup directory to start in instead of an own one
    marked   whether the own cgroup has the mark that systemd puts on delegated ones (yes)
    limits   {resource.RLIMIT_X: (soft, hard)}
    as_root  called in the child before it becomes the user, e.g. to make a mount namespace
    as_user  called in the child right before exec
    The rest goes to subprocess.Popen.
    """

    _count = 0

    def __init__(
        self,
        user,
        argv,
        *,
        env=(),
        cwd=None,
        cgroup=None,
        marked=True,
        limits=(),
        no_new_privileges=False,
        as_root=None,
        as_user=None,
        terminal=False,
        **popen,
    ):
        self.user = user
        self.own_cgroup = cgroup is None and self._new_cgroup(marked)
        self.cgroup = cgroup or self.own_cgroup
        environment = user.environment() | dict(env)
        environment = {key: value for key, value in environment.items() if value is not None}

        def enter():
            with open(self.cgroup + "/cgroup.procs", "w") as file:
                file.write("0")
            if terminal:
                fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            if as_root:
                as_root()
            os.initgroups(user.name, user.gid)
            os.setgid(user.gid)
            os.setuid(user.uid)
            os.umask(0o022)
            os.chdir(cwd or user.home)
            for limit, values in dict(limits).items():
                resource.setrlimit(limit, values)
            if no_new_privileges:
                linux.no_new_privileges()
            if as_user:
                as_user()

        try:
            self.popen = subprocess.Popen(argv, env=environment, preexec_fn=enter, start_new_session=True, **popen)
        except BaseException:
            self.remove_cgroup()
            raise
        self.pid = self.popen.pid

    def _new_cgroup(self, marked):
        Process._count += 1
        path = f"{self.user.cgroup}/call-{os.getpid()}-{Process._count}"
        os.mkdir(path)
        os.chown(path, self.user.uid, self.user.gid)
        for name in ("cgroup.procs", "cgroup.threads", "cgroup.subtree_control"):
            os.chown(f"{path}/{name}", self.user.uid, self.user.gid)
        if marked:
            os.setxattr(path, "user.delegate", b"1")
        return path

    def children(self, comm=None):
        return children(self.pid, comm)

    def end(self):
        """Kills what still runs. What the program left in the cgroup of the call is a failed test."""
        super().end()
        left = self.remove_cgroup()
        if left:
            tap.ok(False, f"{self.popen.args}: left something in its cgroup", left)

    def remove_cgroup(self):
        """Removes the cgroup of the call, by force if the program left something in it; returns what."""
        if not self.own_cgroup or not os.path.isdir(self.own_cgroup):
            return ""
        deadline = time.monotonic() + tap.patience(1)
        while True:
            try:
                os.rmdir(self.own_cgroup)
                return ""
            except OSError:
                if time.monotonic() > deadline:
                    break
            time.sleep(0.005)
        left = f"cgroups {_tree(self.own_cgroup)}, processes {sorted(processes_of([self.user]))}"
        cgroups.remove(self.own_cgroup)
        return left


def _tree(top):
    return [os.path.relpath(directory, top) for directory, _, _ in os.walk(top)]
