# SPDX-License-Identifier: MIT
"""The few system calls of Linux that Python's standard library (3.11) has no name for."""

import ctypes
import os
import signal

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
MS_SHARED = 1 << 20
MNT_DETACH = 2

PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result, what):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _text(value):
    return None if value is None else os.fsencode(value)


def mount(source, target, kind=None, flags=0, data=None):
    result = _libc.mount(_text(source), _text(target), _text(kind), ctypes.c_ulong(flags), _text(data))
    _check(result, f"mount {kind or source} on {target}")


def umount(target, flags=MNT_DETACH):
    _check(_libc.umount2(_text(target), flags), f"umount {target}")


def bind(source, target, flags=0):
    """Bind-mounts; flags other than MS_REC need the second call, as mount(2) says."""
    mount(source, target, None, MS_BIND | (flags & MS_REC))
    if flags & ~MS_REC:
        mount(None, target, None, MS_BIND | MS_REMOUNT | (flags & ~MS_REC))


def tmpfs(target, mode="0755", uid=0, gid=0, extra=""):
    mount("tmpfs", target, "tmpfs", MS_NODEV, f"mode={mode},uid={uid},gid={gid}{extra}")


def pivot_root(root):
    """Makes root the root, and forgets the old one."""
    os.chdir(root)
    _check(_libc.pivot_root(b".", b"."), "pivot_root")
    umount(".")
    os.chdir("/")


def setns(descriptor, kind):
    _check(_libc.setns(descriptor, kind), "setns")


def unshare(flags):
    _check(_libc.unshare(flags), "unshare")


def die_with_parent():
    _check(_libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0), "prctl PDEATHSIG")


def no_new_privileges():
    _check(_libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl NO_NEW_PRIVS")
