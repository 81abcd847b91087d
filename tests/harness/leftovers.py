# SPDX-License-Identifier: MIT
"""All that a machine could leave behind."""

import os
import re
import time

import tap
from proc import processes_of, read

class Snapshot:
    """All that a machine could leave behind, to be compared with a later look."""

    def __init__(self, users):
        self.users = users
        self.seen = self._look()

    def _look(self):
        return {
            "processes": processes_of(self.users),
            "mounts": set(re.sub(r"^\d+ \d+ ", "", line) for line in read("/proc/self/mountinfo").splitlines()),
            "cgroups": set().union(*(self._cgroups(user) for user in self.users)),
            "files": set().union(*(self._files(user) for user in self.users)),
        }

    @staticmethod
    def _cgroups(user):
        """Without those that the tests make for each call."""
        own = re.compile(re.escape(user.cgroup) + r"/call-[^/]*")
        return {path for path in _names(user.cgroup) if not own.fullmatch(path)}

    @staticmethod
    def _files(user):
        found = _names(user.home, files=True) | _names(user.runtime, files=True)
        for shared in ("/tmp", "/var/tmp", "/dev/shm"):
            found |= {path for path in _names(shared, files=True) if _owned(path, user)}
        # Directories that are shared by all machines of a user may stay; so may what Nix itself caches for him.
        shared = [user.runtime + "/nixuser"]
        shared += [user.home + "/" + name for name in (".local", ".local/state", ".local/state/nixuser", ".cache")]
        return {path for path in found if path not in shared and not path.startswith(user.home + "/.cache/nix")}

    def new(self):
        """What is there now and was not at the time of the snapshot; {} if nothing."""
        now = self._look()
        found = {kind: sorted(now[kind] - self.seen[kind]) for kind in now}
        return {kind: names for kind, names in found.items() if names}

    def settled(self, timeout=1.0, ignore=()):
        """Polls until nothing is new (but for ignored kinds); returns what still is after the time."""
        deadline = time.monotonic() + tap.patience(timeout)
        while True:
            found = {kind: names for kind, names in self.new().items() if kind not in ignore}
            if not found or time.monotonic() > deadline:
                return found
            time.sleep(0.01)

    def check(self, when, timeout=1.0):
        return tap.is_(self.settled(timeout), {}, f"nothing left behind {when}")


def leftovers(*users):
    return Snapshot(users)


def _names(top, files=False):
    found = set()
    for directory, directories, names in os.walk(top):
        found |= {os.path.join(directory, name) for name in (directories + names if files else directories)}
    return found


def _owned(path, user):
    try:
        return user.has_uid(os.lstat(path).st_uid)
    except FileNotFoundError:
        return False
