# SPDX-License-Identifier: MIT
"""Processes, as /proc shows them."""

import errno
import os

def read(path):
    """What a file in /proc or /sys says now, or nothing if it is gone meanwhile."""
    try:
        with open(path, errors="replace") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    except OSError as error:
        if error.errno == errno.ENODEV:
            return ""
        raise


def children(pid, comm=None):
    """Pids of the direct children, of those with this name."""
    found = []
    for child in processes():
        if child.parent == pid and comm in (None, child.comm):
            found.append(child.pid)
    return found


class Running:
    """A process as /proc shows it."""

    def __init__(self, pid, status):
        fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        self.pid = pid
        self.comm = fields["Name"].strip()
        self.parent = int(fields["PPid"])
        self.uids = {int(uid) for uid in fields["Uid"].split()}

    def __repr__(self):
        return f"{self.comm}[{self.pid}]"


def processes():
    for name in os.listdir("/proc"):
        status = name.isdigit() and read(f"/proc/{name}/status")
        if status:
            yield Running(int(name), status)


def processes_of(users):
    return {str(process) for process in processes() for user in users if any(map(user.has_uid, process.uids))}


def exists(pid):
    """Whether a process runs still; a zombie does not."""
    status = read(f"/proc/{pid}/status")
    return status != "" and "\nState:\tZ" not in status
