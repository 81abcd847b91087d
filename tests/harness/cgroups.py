# SPDX-License-Identifier: MIT
"""The cgroup that a host for tests has to itself, and who removes it."""

import fcntl
import os
import signal
import tempfile
import time

import linux

TOP = "/sys/fs/cgroup"
PREFIX = "nixuser-test-"


def mount():
    """cgroup2 where everybody looks for it."""
    while os.path.ismount(TOP):
        linux.umount(TOP)
    linux.mount("cgroup2", TOP, "cgroup2", linux.MS_NOSUID | linux.MS_NODEV)


def new():
    """A new cgroup, locked as long as one of our processes lives. Removes those whose cleaner was killed too.

    A lock, because a pid says nothing where those of several pid namespaces share the cgroups.
    """
    top = os.open(TOP, os.O_RDONLY)
    fcntl.flock(top, fcntl.LOCK_EX)
    for name in os.listdir(TOP):
        if name.startswith(PREFIX) and lock(f"{TOP}/{name}"):
            remove(f"{TOP}/{name}")
    group = tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=TOP)
    os.chmod(group, 0o755)
    lock(group)
    os.close(top)
    return group


def lock(path):
    """Locks a directory until this process ends; false if somebody else has it."""
    try:
        fcntl.flock(os.open(path, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except (BlockingIOError, FileNotFoundError):
        return False


def pass_on_controllers(parent, group):
    """What the host gives to its own cgroups, as systemd's Delegate=yes passes on what it has."""
    with open(parent + "/cgroup.subtree_control") as file:
        controllers = file.read().split()
    for controller in controllers:
        with open(group + "/cgroup.subtree_control", "w") as file:
            file.write("+" + controller)


def delegate(path, uid):
    """Makes a cgroup and gives it to a user, as systemd does for Delegate=yes."""
    os.mkdir(path)
    os.chown(path, uid, uid)
    with open("/sys/kernel/cgroup/delegate") as names:
        for file in names.read().split():
            if os.path.exists(f"{path}/{file}"):
                os.chown(f"{path}/{file}", uid, uid)


def remove(group):
    """Kills what is in a cgroup and removes it. Killed processes leave it in their own time, so rmdir is repeated."""
    deadline = time.monotonic() + 10
    with open(group + "/cgroup.kill", "w") as file:
        file.write("1")
    while os.path.isdir(group):
        for directory, _, _ in os.walk(group, topdown=False):
            try:
                os.rmdir(directory)
            except OSError:
                if time.monotonic() > deadline:
                    raise
        time.sleep(0.005)


def start_cleaner(group):
    """Forks a process, in a session of its own, that removes the cgroup when we are gone.

    Returns the pipe end that nobody else may hold, and the cleaner's pid.
    """
    watch, alive = os.pipe()
    pid = os.fork()
    if pid != 0:
        os.close(watch)
        return alive, pid
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.close(alive)
    close_standard_streams()
    os.chdir("/")
    os.read(watch, 1)
    remove(group)
    os._exit(0)


def close_standard_streams():
    """Whoever reads our output must not wait for a process that only cleans up."""
    null = os.open("/dev/null", os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
