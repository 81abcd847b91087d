# SPDX-License-Identifier: MIT
"""Tries to get at what is another's, and says how each attempt ended: {attempt: "done", or the name of the error}.

    attack.py JSON     {"pids": {name: pid}, "paths": [...], "sockets": [...], "keys": [...]}

Nothing here does harm where it succeeds, so root can run it as well, to whom all this is allowed: that shows that an
attempt that fails for others fails for want of permission.
"""

import ctypes
import errno
import fcntl
import json
import os
import resource
import signal
import socket
import struct
import sys
import termios

# The first have a number of their own on each machine, the others one on all.
NAMES = ("ptrace", "keyctl", "ioprio_set", "move_pages", "process_vm_readv", "kcmp")
NUMBERS = {"x86_64": (101, 250, 251, 279, 310, 312), "aarch64": (117, 219, 30, 239, 270, 272)}
SYSCALLS = dict(zip(NAMES, NUMBERS[os.uname().machine]))
SYSCALLS |= {"pidfd_send_signal": 424, "pidfd_open": 434, "pidfd_getfd": 438}

PTRACE_SEIZE = 0x4206
KEYCTL_DESCRIBE, KEYCTL_READ = 6, 11
CLONE_NEWUSER = 0x10000000

READ = """
    environ mem maps smaps smaps_rollup numa_maps pagemap io auxv syscall stack personality mountstats timerslack_ns
""".split()
LIST = "fd fdinfo map_files root cwd root/etc root/tmp root/run".split()
LINKS = "exe cwd root ns/mnt ns/user ns/pid ns/net ns/ipc ns/uts ns/cgroup fd/0".split()
WRITE = "mem clear_refs oom_score_adj comm coredump_filter uid_map gid_map setgroups".split()

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def syscall(name, *arguments):
    result = _libc.syscall(SYSCALLS[name], *(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result


def on_process(pid):
    """(name, attempt) of all that one may try on a process."""
    yield "kill", lambda: os.kill(pid, 0)
    yield "signal by pidfd", lambda: syscall("pidfd_send_signal", pidfd(pid), 0, None, 0)
    yield "signal the group", lambda: os.killpg(os.getpgid(pid), 0)
    yield "take a descriptor", lambda: os.close(syscall("pidfd_getfd", pidfd(pid), 0, 0))
    yield "ptrace", lambda: seize(pid)
    yield "read memory", lambda: read_memory(pid)
    yield "compare", lambda: syscall("kcmp", pid, os.getpid(), 1, 0, 0)
    yield "move pages", lambda: syscall("move_pages", pid, 0, None, None, None, 0)
    yield "limits", lambda: resource.prlimit(pid, resource.RLIMIT_NOFILE)
    yield "priority", lambda: os.setpriority(os.PRIO_PROCESS, pid, os.getpriority(os.PRIO_PROCESS, pid))
    yield "affinity", lambda: os.sched_setaffinity(pid, os.sched_getaffinity(pid))
    yield "scheduler", lambda: os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))
    yield "input and output priority", lambda: syscall("ioprio_set", 1, pid, 2 << 13 | 4)
    yield "enter by pidfd", lambda: enter(pid)
    for name in READ:
        yield f"read {name}", lambda name=name: read(f"/proc/{pid}/{name}")
    for name in WRITE:
        yield f"write {name}", lambda name=name: os.close(os.open(f"/proc/{pid}/{name}", os.O_WRONLY))
    for name in LIST:
        yield f"list {name}", lambda name=name: os.listdir(f"/proc/{pid}/{name}")
    for name in LINKS:
        yield f"link {name}", lambda name=name: os.readlink(f"/proc/{pid}/{name}")
    for name in ("mnt", "pid", "net"):
        yield f"open ns/{name}", lambda name=name: os.close(os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY))
    yield "console", lambda: terminal(f"/proc/{pid}/root/dev/console")


def pidfd(pid):
    return syscall("pidfd_open", pid, 0)


def seize(pid):
    syscall("ptrace", PTRACE_SEIZE, pid, 0, 0)  # stops nobody, and ends with us


def read_memory(pid):
    buffer = ctypes.create_string_buffer(8)
    local = struct.pack("PN", ctypes.addressof(buffer), 8)
    remote = struct.pack("PN", 4096, 8)  # nothing is there: who may look is told EFAULT
    try:
        syscall("process_vm_readv", pid, local, 1, remote, 1, 0)
    except OSError as error:
        if error.errno != errno.EFAULT:
            raise


def enter(pid):
    """Only in a child, which is what enters then."""
    child = os.fork()
    if child == 0:
        descriptor = pidfd(pid)
        result = _libc.setns(descriptor, CLONE_NEWUSER)
        # One is in that user namespace already, where it is the host's: it is no secret then.
        os._exit(0 if result == 0 or ctypes.get_errno() == errno.EINVAL else ctypes.get_errno())
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status:
        raise OSError(status, "setns")


def read(path):
    with open(path, "rb", buffering=0) as file:
        try:
            file.read(1)
        except OSError as error:
            if error.errno not in (errno.EIO, errno.EINVAL):  # nothing is at the start of a memory
                raise


def terminal(path):
    """Opening it is enough to read what is typed, and to type by TIOCSTI."""
    descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    termios.tcgetattr(descriptor)
    fcntl.fcntl(descriptor, fcntl.F_GETFL)
    os.close(descriptor)


def on_path(path):
    if os.path.basename(path).startswith("cgroup."):
        yield "write", lambda: os.close(os.open(path, os.O_WRONLY))
        return
    if path.startswith("/dev/"):
        yield "use", lambda: terminal(path)
        yield "write", lambda: os.close(os.open(path, os.O_WRONLY | os.O_NOCTTY))
        return
    yield "list", lambda: os.listdir(path)
    yield "look for a name in", lambda: os.stat(path + "/.")
    yield "write to", lambda: os.rmdir(made(path + "/attack"))


def made(path):
    os.mkdir(path)
    return path


def on_socket(path):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
        with socket.socket(socket.AF_UNIX, kind | socket.SOCK_NONBLOCK) as connection:
            try:
                connection.connect(path)
                return
            except OSError as error:
                if error.errno != errno.EPROTOTYPE:
                    raise


def attempts(target):
    for name, pid in target["pids"].items():
        for what, attempt in on_process(pid):
            yield f"{name}: {what}", attempt
    for path in target["paths"]:
        for what, attempt in on_path(path):
            yield f"{what} {path}", attempt
    for path in target["sockets"]:
        yield f"connect to {path}", lambda path=path: on_socket(path)
    for key in target["keys"]:
        yield f"describe key {key}", lambda key=key: syscall("keyctl", KEYCTL_DESCRIBE, key, None, 0)
        yield f"read key {key}", lambda key=key: syscall("keyctl", KEYCTL_READ, key, None, 0)


def main():
    signal.alarm(60)
    ends = {}
    for name, attempt in attempts(json.loads(sys.argv[1])):
        try:
            attempt()
            ends[name] = "done"
        except OSError as error:
            ends[name] = errno.errorcode[error.errno]
    print(json.dumps(ends))


if __name__ == "__main__":
    main()
