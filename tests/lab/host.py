# SPDX-License-Identifier: MIT
"""Boots a copy of the tree in namespaces of this machine, runs a command there, and ends it."""

import fcntl
import os
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading

import cgroups
import linux
import machine
import state
import tree
from cache import Cache
from work import Failed, Work, install

BOOT_SECONDS = 60
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "fuse", "net/tun")

# What a machine does for its kernel, its disks and its devices: this one has none of its own, and must not change ours.
MASKED = """
    dev-hugepages.mount sys-fs-fuse-connections.mount sys-kernel-config.mount sys-kernel-debug.mount
    sys-kernel-tracing.mount proc-sys-fs-binfmt_misc.automount proc-sys-fs-binfmt_misc.mount
    systemd-sysctl.service systemd-modules-load.service systemd-binfmt.service systemd-pstore.service
    systemd-journald-audit.socket kmod-static-nodes.service fstrim.timer dpkg-db-backup.timer
    e2scrub_all.timer e2scrub_reap.service
""".split()


def run(options):
    """Returns the exit status of the command."""
    directory = tree.get()
    cache = Cache()
    closures = {os.path.basename(link): cache.add(link) for link in options.closure}
    # Everything below is undone by the end of the namespaces, so there is no cleanup code for it.
    linux.unshare(linux.CLONE_NEWNS | linux.CLONE_NEWIPC | linux.CLONE_NEWUTS | linux.CLONE_NEWNET)
    linux.mount(None, "/", None, linux.MS_REC | linux.MS_PRIVATE)
    group = make_cgroup()
    alive, cleaner = cgroups.start_cleaner(group)
    root = tree.copy(directory)
    mount_interfaces(root)
    console = Console(root)
    machine.set_up(root, cache, MASKED)
    notifications = Notifications(root)
    pid = start(root, group, console, alive)
    console.start_reading()
    notifications.start_reading()
    status = 125
    try:
        exit_with_signals()
        if not notifications.ready.wait(BOOT_SECONDS):
            raise Failed(f"it did not boot within {BOOT_SECONDS} s:\n{console.text()}")
        work = Namespaces(pid, console)
        work.wait_until_running()
        work.prepare(closures, install() if not options.no_install else "")
        status = work.run(options)
        if status != 0:
            work.report()
    except (Failed, subprocess.CalledProcessError) as error:
        print(f"labhost: {error}", file=sys.stderr)
    finally:
        ignore_signals()
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(alive)
        os.waitpid(cleaner, 0)
    return status


def exit_with_signals():
    def end(number, _frame):
        sys.exit(128 + number)

    for number in SIGNALS:
        signal.signal(number, end)


def ignore_signals():
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


# ---- what PID 1 finds


def make_cgroup():
    """A cgroup for the machine."""
    cgroups.mount()
    group = cgroups.new()
    # Not this one itself: it is locked by us, and the root of the machine's cgroups is another's to lock.
    os.mkdir(group + "/host")
    cgroups.pass_on_controllers(cgroups.TOP, group)
    return group


def mount_interfaces(root):
    """Mounts as PID 1 of a real machine would find or make them.

    proc and cgroup2 come later, from inside their namespaces. Nothing is mounted over parts of proc and sysfs: the
    kernel lets no user namespace below have its own then.
    """
    linux.mount("sysfs", root + "/sys", "sysfs", linux.MS_NOSUID | linux.MS_NODEV)
    linux.tmpfs(root + "/run")
    linux.mount("dev", root + "/dev", "tmpfs", linux.MS_NOSUID, "mode=0755")
    make_devices(root + "/dev")


def make_devices(dev):
    """Devices of this kernel that are no hardware, with the modes that udev gives them."""
    os.umask(0)
    os.mkdir(dev + "/net", 0o755)
    for name in DEVICES:
        if os.path.exists("/dev/" + name):
            os.mknod(f"{dev}/{name}", stat.S_IFCHR | 0o666, os.stat("/dev/" + name).st_rdev)
    os.umask(0o022)
    for name, target in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        os.symlink(target, f"{dev}/{name}")
    os.mkdir(dev + "/pts")
    linux.mount("devpts", dev + "/pts", "devpts", linux.MS_NOSUID, "newinstance,ptmxmode=0666,mode=0620,gid=5")
    os.symlink("pts/ptmx", dev + "/ptmx")
    os.mkdir(dev + "/shm")
    linux.tmpfs(dev + "/shm", "1777")


def touch(path):
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))


class Console:
    """The machine's /dev/console: a terminal whose output is kept."""

    TIOCSPTLCK = 0x40045431
    SIZE = 200_000

    def __init__(self, root):
        self.master = os.open(root + "/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        fcntl.ioctl(self.master, self.TIOCSPTLCK, struct.pack("i", 0))
        touch(root + "/dev/console")
        linux.bind(root + "/dev/pts/0", root + "/dev/console")  # the first of a new devpts
        # Held open: without a reader on the other side the master says end of file.
        self.slave = os.open(root + "/dev/console", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        self.output = b""

    def start_reading(self):
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        while True:
            self.output = (self.output + os.read(self.master, 65536))[-self.SIZE :]

    def text(self):
        return self.output.decode(errors="replace").replace("\r\n", "\n")


class Notifications:
    """Where systemd says how far it is. All is read: it waits while nobody does."""

    def __init__(self, root):
        os.mkdir(root + "/run/host")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(root + "/run/host/notify")
        self.ready = threading.Event()

    def start_reading(self):
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        while True:
            if b"READY=1" in self.socket.recv(65536).split(b"\n"):
                self.ready.set()


# ---- PID 1


def start(root, group, console, alive):
    """Starts systemd as PID 1, which dies with us. Returns its pid."""
    own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    linux.unshare(linux.CLONE_NEWPID)
    parent_lives, we_live = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            linux.die_with_parent()
            os.close(alive)
            os.close(we_live)
            os.read(parent_lives, 1)  # an end of file before the byte: the parent died before the line above
            become_init(root, group, console)
        except BaseException as error:
            print(f"labhost: {error}", file=sys.stderr)
        os._exit(125)
    linux.setns(own, linux.CLONE_NEWPID)  # our other children are no part of it
    os.close(own)
    os.close(parent_lives)
    os.write(we_live, b"!")
    os.close(we_live)
    return pid


def become_init(root, group, console):
    with open(group + "/host/cgroup.procs", "w") as file:
        file.write("0")
    linux.unshare(linux.CLONE_NEWNS | linux.CLONE_NEWCGROUP)
    linux.mount("proc", root + "/proc", "proc", linux.MS_NOSUID | linux.MS_NODEV)
    linux.mount("cgroup2", root + "/sys/fs/cgroup", "cgroup2", linux.MS_NOSUID | linux.MS_NODEV)
    linux.pivot_root(root)
    linux.mount(None, "/", None, linux.MS_REC | linux.MS_SHARED)  # which systemd does itself, but not in a container
    os.setsid()
    for stream in (0, 1, 2):
        os.dup2(console.slave, stream)
    os.umask(0o022)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them
        signal.signal(number, signal.SIG_DFL)
    # "container" tells systemd not to touch what belongs to the kernel: clocks, limits of the whole system, modules.
    environment = {"container": "labhost", "NOTIFY_SOCKET": "/run/host/notify", "TERM": "dumb"}
    os.execve("/sbin/init", ["/sbin/init", "--show-status=yes"], environment)


# ---- work in it


class Namespaces(Work):
    def __init__(self, pid, console):
        self.root = f"/proc/{pid}/root"
        self.console = console
        environment = {"HOME": "/root", "USER": "root", "LOGNAME": "root", "PATH": state.PATH, "LANG": "C.UTF-8"}
        environment |= {"SYSTEMD_PAGER": "", "TERM": os.environ.get("TERM", "dumb")}
        self.environment = environment
        self.namespaces = f"/proc/{pid}/ns"

    def call(self, *command, terminal=False, **how):
        """Runs a command in the machine. It is one of the machine's processes, and ends with it, however we end."""
        names = ("net", "ipc", "uts", "cgroup", "mnt")
        namespaces = [os.open(f"{self.namespaces}/{name}", os.O_RDONLY) for name in names]
        pids = os.open(self.namespaces + "/pid", os.O_RDONLY)
        own = os.open("/proc/self/ns/pid", os.O_RDONLY)

        def enter():
            for namespace in namespaces:
                linux.setns(namespace, 0)

        linux.setns(pids, linux.CLONE_NEWPID)  # for the next child
        try:
            process = subprocess.Popen(command, env=self.environment, preexec_fn=enter, cwd="/", **how)
        finally:
            linux.setns(own, linux.CLONE_NEWPID)
            for descriptor in (*namespaces, pids, own):
                os.close(descriptor)
        out, _ = process.communicate()
        return subprocess.CompletedProcess(command, process.returncode, out)

    def prepare(self, closures, script=""):
        state.update(self.root, cgroup="", closures=closures)
        super().prepare(closures, script)

    def add_failures(self, report):
        report.add_failures(self.root)
