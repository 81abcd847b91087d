# SPDX-License-Identifier: MIT
"""One sample of one thing: a life, a boot, a peak of memory, what is resident beside a booted machine."""

import contextlib
import fcntl
import os
import re
import select
import signal
import socket
import struct
import termios
import time

ESCAPES = re.compile(rb"\x1b(\[[0-9;:?]*[ -/]*[@-~]|\][^\a\x1b]*(\a|\x1b\\))")
STOP = signal.SIGRTMIN + 3  # "halt" to a systemd that is PID 1
TIMEOUT = 60
CGROUPS = "/sys/fs/cgroup"


class Failed(Exception):
    """A command did not do what it is measured for."""


class Unavailable(Exception):
    """This cannot be measured here."""


# ---- starting things


def environment():
    names = ("HOME", "USER", "LOGNAME", "SHELL", "PATH", "LANG", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")
    return {name: os.environ[name] for name in names if name in os.environ} | {"TERM": "xterm"}


def start(argv, actions, path=None, more=(), **how):
    """more: more environment."""
    try:
        return os.posix_spawnp(path or argv[0], argv, environment() | dict(more), file_actions=actions, **how)
    except OSError as error:
        raise Failed(f"{argv[0]}: {error.strerror}")


def spawn(argv, path=None):
    """Starts a command without a terminal; returns its pid and the file that has its output."""
    output = os.memfd_create("output")
    actions = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
               (os.POSIX_SPAWN_DUP2, output, 1), (os.POSIX_SPAWN_DUP2, output, 2)]
    return start(argv, actions, path), output


def finish(argv, pid, output):
    """Returns the time at which the command ended; its failure is told with the last thing it said."""
    pidfd = os.pidfd_open(pid)
    timely, _, _ = select.select([pidfd], [], [], TIMEOUT)
    ended = time.perf_counter()
    os.close(pidfd)
    if not timely:
        os.kill(pid, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    said = os.pread(output, 1 << 16, 0).decode(errors="replace").strip()
    os.close(output)
    if status != 0:
        raise Failed(f"{argv[0]} ended with {status}: {said.splitlines()[-1] if said else 'without a word'}")
    return ended


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, argv, more=()):
        self.argv = argv
        self.shown = b""
        self.ended = False
        self.master, slave = os.openpty()
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
        # Opened after setsid(2), it is the controlling terminal.
        actions = [(os.POSIX_SPAWN_OPEN, 0, os.ttyname(slave), os.O_RDWR, 0),
                   (os.POSIX_SPAWN_DUP2, 0, 1), (os.POSIX_SPAWN_DUP2, 0, 2)]
        self.started = time.perf_counter()
        self.pid = start(argv, actions, more=more, setsid=True)
        os.close(slave)
        self.pidfd = os.pidfd_open(self.pid)

    def read(self, deadline):
        """False when the command has ended and everything it wrote is read."""
        ready, _, _ = select.select([self.master, self.pidfd], [], [], max(0, deadline - time.perf_counter()))
        if not ready:
            raise Failed(f"{self.argv[0]} took too long: {self.tail()}")
        if self.master in ready:
            try:
                self.shown += os.read(self.master, 65536)
                return True
            except OSError:  # EIO: nobody has the other end
                select.select([self.pidfd], [], [], max(0, deadline - time.perf_counter()))
        return False

    def read_all(self):
        deadline = time.perf_counter() + TIMEOUT
        while self.read(deadline):
            pass

    def wait_ready(self, notifications):
        """Returns the time at which the machine says on this socket that it is up."""
        deadline = self.started + TIMEOUT
        while True:
            said, _, _ = select.select([notifications, self.master, self.pidfd], [], [], TIMEOUT)
            now = time.perf_counter()
            if notifications in said and b"READY=1" in notifications.recv(4096).split(b"\n"):
                return now
            if notifications not in said and not self.read(deadline):
                raise Failed(f"{self.argv[0]} ended early: {self.tail()}")

    def wait(self):
        """Returns the time at which the command ended."""
        self.read_all()
        ended = time.perf_counter()
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.ended = True
        if status != 0:
            raise Failed(f"{self.argv[0]} ended with {status}: {self.tail()}")
        return ended

    def failed(self):
        """Whether it has ended already, and not well."""
        ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return ended is not None and ended.si_status != 0

    def close(self):
        if not self.ended:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.master)
        os.close(self.pidfd)

    def tail(self):
        return ESCAPES.sub(b"", self.shown).decode(errors="replace").strip()[-300:]


# ---- between samples


def own_cgroup():
    with open("/proc/self/cgroup") as file:
        for line in file:
            if line.startswith("0::"):
                return CGROUPS + line[3:].strip()
    raise Failed(f"no cgroup v2 on {CGROUPS}")


def in_cgroup():
    pids = set()
    for directory, _, _ in os.walk(own_cgroup()):
        try:
            with open(directory + "/cgroup.procs") as file:
                pids |= set(file.read().split())
        except OSError:
            pass  # a cgroup that goes while we look
    return pids


def settle(before):
    """Waits for what a command leaves to end by itself: podman cleans up in the background, the kernel too."""
    deadline = time.perf_counter() + 2
    while in_cgroup() - before and time.perf_counter() < deadline:
        time.sleep(0.005)
    time.sleep(0.02)


# ---- samples


def life(tool):
    """Seconds from the start to the end of the command."""
    before = in_cgroup()
    started = time.perf_counter()
    ended = finish(tool.argv, *spawn(tool.argv))
    settle(before)
    return ended - started


def boot(tool):
    """Seconds until multi-user.target is reached, and from the stop signal until the command has ended.

    systemd in the machine says so to NOTIFY_SOCKET when its last job is done, and both tools pass that on. The line
    on the console will not do: now and then it is lost when agetty hangs up the terminal.
    """
    before = in_cgroup()
    machines = set(init_processes())
    with notification_socket() as (path, notifications):
        terminal = Terminal(tool.argv, {"NOTIFY_SOCKET": path})
        try:
            ready = terminal.wait_ready(notifications) - terminal.started
            stopped = stop(machines)
            stop_time = terminal.wait() - stopped
        finally:
            terminal.close()
    settle(before)
    return {"ready": ready, "stop": stop_time, "total": ready + stop_time}


@contextlib.contextmanager
def notification_socket():
    path = f"{os.environ.get('XDG_RUNTIME_DIR', '/tmp')}/nixuser-bench-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifications:
        notifications.bind(path)
        try:
            yield path, notifications
        finally:
            os.unlink(path)


def stop(machines):
    """The same way for all: the signal goes straight to the PID 1 that is new. Returns the time."""
    new = set(init_processes()) - machines
    if len(new) != 1:
        raise Failed(f"cannot tell which process is the machine's first: {new or 'none'}")
    stopped = time.perf_counter()
    os.kill(new.pop(), STOP)
    return stopped


def init_processes():
    """The PID 1s of pid namespaces below ours that run systemd."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/status") as file:
                status = file.read()
        except OSError:
            continue  # it ended
        if re.search(r"^Name:\tsystemd$", status, re.M) and re.search(r"^NSpid:(\t\d+)+\t1$", status, re.M):
            yield int(pid)


def largest(tool, time_program):
    """Bytes that the largest process of a life had resident, by wait4(2). What is not waited for is not in it: conmon.

    By a small program, since wait4(2) counts the memory of who started the process too.
    """
    if not time_program:
        raise Unavailable("the trivial init is no script for busybox, whose time(1) tells")
    before = in_cgroup()
    result = os.memfd_create("result")
    os.set_inheritable(result, True)
    argv = ["time", "-f", "%M", "-o", f"/proc/self/fd/{result}", *tool.argv]
    finish(argv, *spawn(argv, time_program))
    kibibytes = os.pread(result, 64, 0)
    os.close(result)
    settle(before)
    return int(kibibytes) * 1024


def peak(tool, memory):
    """Bytes that all processes of a life had at once, with what the kernel holds for them, by the memory controller.

    memory is (a cgroup to make cgroups in, where we are between samples).
    """
    if isinstance(memory, Unavailable):
        raise memory
    group, home = memory
    sample = group + "/sample"
    os.mkdir(sample)
    enter(sample)
    try:
        before = in_cgroup()
        finish(tool.argv, *spawn(tool.argv))
        settle(before)
        return read_number(sample, "memory.peak", "memory.max_usage_in_bytes")
    finally:
        enter(home)
        remove_when_empty(sample)


def memory_group(group):
    """Where peak() can work: a given group of cgroup v1, or our own of v2, out of whose way we move; or why not."""
    if group:
        return group, group
    try:
        group = own_cgroup()
        with open(group + "/cgroup.controllers") as file:
            if "memory" not in file.read().split():
                return Unavailable("the memory controller is not delegated to this user")
        home = group + "/bench"
        os.makedirs(home, exist_ok=True)
        enter(home)
        with open(group + "/cgroup.subtree_control", "w") as file:
            file.write("+memory")
        return group, home
    except (OSError, Failed) as error:
        return Unavailable(f"the memory controller is not to be had: {error}")


def enter(group):
    with open(group + "/cgroup.procs", "w") as file:
        file.write("0")


def read_number(directory, *names):
    for name in names:
        if os.path.exists(f"{directory}/{name}"):
            with open(f"{directory}/{name}") as file:
                return int(file.read())
    raise Unavailable(f"none of {', '.join(names)} in {directory}")


def remove_when_empty(group):
    deadline = time.perf_counter() + 2
    while True:
        try:
            return os.rmdir(group)
        except OSError:
            if time.perf_counter() > deadline:
                raise
            time.sleep(0.005)


def resident(tool):
    """What runs beside a booted machine: {program: bytes resident, proportional and private}."""
    before = in_cgroup()
    known = set(beside(tool.names)) - pause_process()
    machines = set(init_processes())
    terminal = Terminal(tool.argv)
    try:
        wait_for_login(terminal, machines)
        found = [(name_of(pid), memory_of(pid)) for pid in beside(tool.names) if pid not in known]
        stop(machines)
        terminal.wait()
    finally:
        terminal.close()
    settle(before)
    return found


def wait_for_login(terminal, machines):
    """Until a new machine has its login prompt: the same sign for those whose console we see and those we do not."""
    deadline = terminal.started + TIMEOUT
    while not ("agetty" in map(name_of, all_processes()) and set(init_processes()) - machines):
        if terminal.failed():
            terminal.read_all()
            raise Failed(f"{terminal.argv[0]}: {terminal.tail()}")
        if time.perf_counter() > deadline:
            raise Failed(f"{terminal.argv[0]}: no login prompt: {terminal.tail()}")
        drain(terminal)
    time.sleep(1)
    drain(terminal)


def drain(terminal):
    ready, _, _ = select.select([terminal.master], [], [], 0.02)
    if ready:
        terminal.read(time.perf_counter() + 1)


def all_processes():
    return [int(pid) for pid in os.listdir("/proc") if pid.isdigit()]


def name_of(pid):
    """"" for one that has ended, zombies too."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            name, rest = file.read().split("(", 1)[1].rsplit(") ", 1)
    except OSError:
        return ""
    return "" if rest.startswith("Z") else name


def beside(names):
    """Processes of these names in our own pid namespace."""
    ours = os.stat("/proc/self/ns/pid").st_ino
    for pid in all_processes():
        try:
            if name_of(pid) in names and os.stat(f"/proc/{pid}/ns/pid").st_ino == ours:
                yield pid
        except OSError:
            pass  # another user's, or it ended


def pause_process():
    """Of podman, one a user: it is there before the machine, and belongs to the bill."""
    try:
        with open(os.environ["XDG_RUNTIME_DIR"] + "/libpod/tmp/pause.pid") as file:
            return {int(file.read())}
    except (OSError, ValueError, KeyError):
        return set()


def memory_of(pid):
    with open(f"/proc/{pid}/smaps_rollup") as file:
        fields = {key: int(value) * 1024 for key, value in re.findall(r"^(\w+): +(\d+) kB$", file.read(), re.M)}
    return {"rss": fields["Rss"], "pss": fields["Pss"], "private": fields["Private_Clean"] + fields["Private_Dirty"]}
