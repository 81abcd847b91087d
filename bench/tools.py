# SPDX-License-Identifier: MIT
"""The command lines that are compared."""

import os
import re
import shutil
import subprocess

STORE = "/nix/store"


class Tool:
    """One command line. names: the programs of it that run beside the payload."""

    def __init__(self, name, argv, names=(), ours=False):
        self.name = name
        self.argv = [shutil.which(argv[0]) or argv[0], *argv[1:]]
        self.names = names
        self.ours = ours


class Setting:
    """What all tools are given: the same store paths."""

    def __init__(self, closure, trivial, scratch):
        self.boot = os.environ.get("NIXUSER_BOOT") or shutil.which("nixuser-boot") or "nixuser-boot"
        self.closure, self.trivial = closure, trivial
        self.closure_init = os.path.realpath(closure) + "/init"
        self.trivial_init = os.path.realpath(trivial) + "/init"
        self.root = scratch + "/root"
        os.mkdir(self.root)
        self.time = busybox_of(self.trivial_init)

    def lives(self):
        """A payload that exits at once. The first bwrap makes what nixuser-boot makes, as far as it can."""
        init = self.trivial_init
        view = ["--ro-bind", STORE, STORE, "--proc", "/proc", "--dev", "/dev"]
        more = ["--tmpfs", "/run", "--tmpfs", "/tmp", "--hostname", "trivial", "--die-with-parent", "--new-session"]
        spaces = ["--mount", "--pid", "--fork", "--ipc", "--uts", "--net", "--cgroup"]
        return [
            Tool("nixuser-boot", [self.boot, self.trivial], ours=True),
            Tool("bwrap", ["bwrap", "--unshare-all", *view, *more, init]),
            Tool("bwrap, minimal", ["bwrap", "--unshare-all", *view, init]),
            Tool("unshare", ["unshare", "--map-auto", "--map-root-user", *spaces, init]),
            Tool("podman", self.podman(["--network", "none"], init)),
            Tool("podman, slirp4netns", self.podman(["--network", "slirp4netns"], init)),
        ]

    def boots(self):
        """A boot on a terminal."""
        return [
            Tool("nixuser-boot", [self.boot, self.closure], ours=True),
            Tool("podman", self.podman(["-it", *self.systemd(), "--network", "none"], self.closure_init)),
        ]

    def resident(self):
        """Booted machines. podman can detach, and then only conmon stays, and the pause process of the user."""
        ours = ["nixuser-boot", "nixuser-launch"]
        names = ["podman", "podman pause", "catatonit", "conmon", "slirp4netns", "pasta", "pasta.avx2", "rootlessport"]
        attached, detached = ["-it", *self.systemd()], ["-dt", *self.systemd()]
        return [
            Tool("nixuser-boot", [self.boot, self.closure], ours, ours=True),
            Tool("podman", self.podman([*attached, "--network", "none"], self.closure_init), names),
            Tool("podman -d", self.podman([*detached, "--network", "none"], self.closure_init), names),
            *(Tool(f"podman -d, {network}", self.podman([*detached, "--network", network], self.closure_init), names)
              for network in ("slirp4netns", "pasta")),
        ]

    def podman(self, options, init):
        """--rootfs comes last: what follows is the root, then the command."""
        options = [*options, "--volume", f"{STORE}:{STORE}:ro", "--rootfs"]
        return ["podman", "run", "--rm", *options, self.root + ":O", init]

    @staticmethod
    def systemd():
        return ["--systemd=always", "--env", "container=podman"]

    def versions(self):
        commands = {
            "nixuser-boot": [self.boot, "--version"], "bwrap": ["bwrap", "--version"],
            "unshare": ["unshare", "--version"], "podman": ["podman", "--version"], "conmon": ["conmon", "--version"],
            "crun": ["crun", "--version"], "slirp4netns": ["slirp4netns", "--version"],
            "podman storage": ["podman", "info", "--format", "{{.Store.GraphDriverName}}"],
            "podman cgroups": ["podman", "info", "--format", "{{.Host.CgroupManager}}"],
        }
        return {name: first_line(argv) for name, argv in commands.items()}


def first_line(argv):
    try:
        result = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except FileNotFoundError:
        return None
    lines = result.stdout.decode(errors="replace").splitlines()
    return lines[0] if result.returncode == 0 and lines else None


def busybox_of(init):
    """The shell of the trivial init, if it is busybox: it has a `time` that is small itself."""
    with open(init, "rb") as file:
        match = re.match(rb"#! *(/\S*busybox\S*)", file.readline())
    return match and os.fsdecode(match[1])
