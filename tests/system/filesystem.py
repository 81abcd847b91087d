# SPDX-License-Identifier: MIT
"""The private world's file system: everything that users and services write to, in place of the host's."""

import os
import subprocess

import accounts
import linux
import state


class Kept:
    """Directories that must stay visible though something is mounted over them: the checkout may lie in /home or /tmp.

    Opened in the new mount namespace: what was opened in another cannot be bound here.
    """

    def __init__(self, paths):
        self.cwd = os.getcwd()
        self.paths = [path for path in dict.fromkeys(paths) if path]
        self.descriptors = {path: os.open(path, os.O_PATH | os.O_DIRECTORY) for path in self.paths}

    def bring_back(self):
        for path in self.paths:
            old = self.descriptors[path]
            if not same_file(path, old):
                os.makedirs(path, exist_ok=True)
                linux.bind(f"/proc/self/fd/{old}", path)
            os.close(old)
        os.chdir(self.cwd)


def same_file(path, descriptor):
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def make_devices():
    """An own /dev/pts that gives terminals to the group tty as a distribution does, and an own /dev/shm."""
    linux.mount("devpts", "/dev/pts", "devpts", 0, "newinstance,ptmxmode=0666,mode=0620,gid=5")
    linux.bind("/dev/pts/ptmx", "/dev/ptmx")
    linux.tmpfs("/dev/shm", "1777")


def make_etc():
    """A copy of the host's /etc with our users, ranges and nix.conf."""
    old = os.open("/etc", os.O_PATH | os.O_DIRECTORY)
    linux.tmpfs("/etc")
    subprocess.run(["cp", "-a", f"/proc/self/fd/{old}/.", "/etc/"], pass_fds=[old], check=True)
    os.close(old)
    accounts.add("/etc", [f"nixbld{number}" for number in range(1, 5)], shell="/bin/sh")
    accounts.write("/etc/nsswitch.conf", ["passwd: files", "group: files", "shadow: files", "hosts: files"])
    os.makedirs("/etc/nix", exist_ok=True)
    accounts.write(
        "/etc/nix/nix.conf",
        [
            "build-users-group = nixbld",
            "trusted-users = root",
            "allowed-users = *",
            "substituters =",
            "sandbox = false",  # the tests build a directory of links now and then, nothing that needs hiding
        ],
    )


def make_directories():
    """Empty directories for everything that users and services write to."""
    make_run()
    for path, mode in (("/tmp", "1777"), ("/var/tmp", "1777"), ("/home", "0755"), ("/opt", "0755")):
        os.makedirs(path, exist_ok=True)
        linux.tmpfs(path, mode)
    state.make_directories()
    accounts.make_homes("/home")
    accounts.make_runtime_directories()


def make_run():
    """An own /run, so that no service of the host is to be found; NixOS keeps its programs' links there."""
    links = {name: os.readlink("/run/" + name) for name in os.listdir("/run") if os.path.islink("/run/" + name)}
    wrappers = os.path.ismount("/run/wrappers") and os.open("/run/wrappers", os.O_PATH)
    linux.tmpfs("/run", "0755")
    for name, target in links.items():
        os.symlink(target, "/run/" + name)
    if wrappers:
        os.mkdir("/run/wrappers")
        linux.bind(f"/proc/self/fd/{wrappers}", "/run/wrappers")
        os.close(wrappers)
    os.makedirs("/run/lock")
    os.chmod("/run/lock", 0o1777)
