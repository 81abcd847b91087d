# SPDX-License-Identifier: MIT
"""The programs that are compared, as their users call them, and a machine of each on a terminal.

A tool has a user, whose commands are login sessions. That of systemd-nspawn is root: see there.
"""

import os
import re
import signal
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.dirname(HERE) + "/lab")
import logins
import lab
import tap

STORE = "/nix/store"
MACHINE = "peer"


class Tool:
    title = None
    packages = ()  # of Debian, whose files are the program
    plain = as_service = ()  # options
    into = None  # a command that runs another in the machine

    def __init__(self, user):
        self.user = logins.User(user)

    def version(self):
        """The number of the version."""
        return re.search(r"\d+[\w.]*", lab.must(self.user.run([self.program, "--version"])))[0]

    def prepare(self):
        """What an administrator has set up."""

    def files(self):
        listed = subprocess.run(["dpkg", "-L", *self.packages], stdout=subprocess.PIPE, text=True, check=True)
        return [path for path in listed.stdout.splitlines() if os.path.isfile(path) and not os.path.islink(path)]

    def root(self):
        """An empty directory for the machine's root, the user's."""
        return lab.must(self.user.sh("mkdir -p root; readlink -f root"))

    def with_network(self, port):
        """The options that give the machine a network, and the host this port of it."""
        return ()

    def remove(self):
        """Ends the machine, whatever became of it."""

    def init(self, closure):
        return os.path.realpath(f"{self.user.home}/{closure}") + "/init"


class Boot(Tool):
    title = "nixuser-boot"
    program = lab.BOOT

    def files(self):
        return [f"{directory}/{name}" for directory, _, names in os.walk("/usr/local") for name in names]

    def argv(self, closure, options=()):
        return [lab.BOOT, "--name", MACHINE, *options, closure]

    def remove(self):
        """At once: a script that is PID 1 does not power off when it is asked to."""
        for pid in self.user.boots():
            os.kill(pid, signal.SIGKILL)
        tap.until(lambda: not self.user.boots(), 20, "the end of nixuser-boot")


class Podman(Tool):
    title = "podman, rootless"
    program = "podman"
    packages = ("podman", "crun", "conmon", "uidmap", "passt", "slirp4netns", "netavark")
    plain = ("--network", "none")
    mapped = (*plain, "--uidmap", "0:1:65536", "--gidmap", "0:1:65536")  # the user's range, without himself
    privileged = (*plain, "--cap-add", "SYS_ADMIN")
    into = ("podman", "exec", MACHINE)

    def prepare(self):
        # A kernel may have its controller of pids in cgroup v1, and podman wants it.
        os.makedirs("/etc/containers", exist_ok=True)
        with open("/etc/containers/containers.conf", "w") as file:
            file.write("[containers]\npids_limit = 0\n")
        give_storage(self.user)

    def with_network(self, port):
        return ("--publish", f"127.0.0.1:{port}:{port}")

    def argv(self, closure, options=plain, terminal="-it"):
        """--rootfs comes last: what follows is the root, then the command."""
        options = ["--systemd=always", "--env", "container=podman", *options, "--volume", f"{STORE}:{STORE}:ro"]
        root = self.root() + ":O"
        return ["podman", "run", "--rm", terminal, "--name", MACHINE, *options, "--rootfs", root, self.init(closure)]

    def remove(self):
        self.user.run(["podman", "rm", "--force", "--ignore", "--time", "0", MACHINE], timeout=40)


class Nspawn(Tool):
    """By root: Debian 13's lets no user boot a directory, and most kernels have no BPF LSM (see nspawn_as_user())."""

    title = "systemd-nspawn, by root"
    program = "systemd-nspawn"
    packages = ("systemd-container",)
    plain = ("--private-network",)
    as_service = (*plain, "--keep-unit")
    into = ("systemd-run", "--quiet", "--pipe", "--wait", "--machine", MACHINE)

    def prepare(self):
        """Root's links to the closures, as the lab host's users have them."""
        for name, path in lab.CLOSURES.items():
            os.symlink(path, f"{self.user.home}/{name}")

    def with_network(self, port):
        """--port needs a firewall and systemd-networkd on both sides, which is more than the lab host has."""
        return ("--network-veth",)

    def argv(self, closure, options=plain):
        """/usr must be there, and the closure makes a link of it: a link to what is there on the host will do."""
        root = self.root()
        if not os.path.lexists(root + "/usr"):
            os.symlink(lab.CLOSURES["result"] + "/sw", root + "/usr")
        options = ["--quiet", "--machine", MACHINE, "--ephemeral", "--private-users=pick", *options]
        options += ["--kill-signal=SIGRTMIN+3", "--notify-ready=yes", "--directory", root, "--bind-ro=" + STORE]
        return ["systemd-nspawn", *options, self.init(closure)]

    def remove(self):
        self.user.run(["machinectl", "kill", "--kill-whom=leader", "--signal=SIGKILL", MACHINE])
        tap.until(lambda: not named("systemd-nspawn"), 20, "the end of systemd-nspawn")


def give_storage(user):
    """Podman's own overlay wants a file system below it that is no overlay: the lab host's own is one."""
    directory = user.home
    for name in (".local", "share", "containers"):
        directory += "/" + name
        os.makedirs(directory, exist_ok=True)
        os.chown(directory, user.uid, user.gid)
    options = f"mode=0700,uid={user.uid},gid={user.gid}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "containers", directory], check=True)


def named(name):
    return [process for process in lab.processes() if process.comm == name]


class Machine(lab.Machine):
    """A machine that a tool has booted on a terminal."""

    def __init__(self, tool, closure="result", **options):
        self._before = set(first_processes())
        self._commands = 0
        self.tool = tool
        self.user = tool.user
        self.terminal = lab.Terminal(tool.user, tool.argv(closure, **options))
        tap.cleanup(tool.remove)  # before the terminal: systemd-nspawn leaves a mount behind when that is gone

    def payload(self):
        """The pid of its first process, as the host sees it."""
        found = set(first_processes()) - self._before
        if len(found) != 1:
            raise AssertionError(f"cannot tell which process is the machine's first: {found or 'none'}")
        return found.pop()


def first_processes():
    """Systemds that are PID 1 in a namespace below ours."""
    for process in named("systemd"):
        try:
            with open(f"/proc/{process.pid}/status") as file:
                if re.search(r"^NSpid:(\t\d+)+\t1$", file.read(), re.M):
                    yield process.pid
        except (FileNotFoundError, ProcessLookupError):
            pass  # it ended


def nspawn_as_user(user):
    """What systemd-nspawn says to a user, and the service that it needs says to the journal: why there is no column."""
    user = logins.User(user)
    lab.must(user.sh("mkdir -p nspawn/usr"))
    result = user.run(["systemd-nspawn", "--quiet", "--directory=nspawn", "--bind-ro=" + STORE, "/bin/true"])
    if result.status == 0:
        raise AssertionError("systemd-nspawn works for users here: it can be a column")
    # The service starts when somebody speaks to its socket.
    subprocess.run(["systemctl", "start", "systemd-nsresourced.service"], check=True)
    journal = ["journalctl", "--output=cat", "--unit=systemd-nsresourced", "--grep=not supported|disabled"]
    said = subprocess.run(journal, stdout=subprocess.PIPE, text=True).stdout
    return {"systemd-nspawn": result.err.splitlines()[-1], "systemd-nsresourced": " ".join(said.split())}
