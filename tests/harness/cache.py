# SPDX-License-Identifier: MIT
"""The store that is filled once and lies below every host for tests, which never write to it."""

import fcntl
import os
import shutil
import subprocess
import sys

import linux
from accounts import NIXBLD_GID

STORE_FLAGS = linux.MS_RDONLY | linux.MS_NOSUID | linux.MS_NODEV
# We only read and copy there, and a host may have no group of builders.
HOST_NIX = dict(os.environ, NIX_CONFIG="build-users-group =")


class Cache:
    """A Nix store in a directory. Its users hold it shared; who removes old closures needs it alone."""

    def __init__(self):
        self.root = os.environ.get("NIXUSER_TEST_CACHE", "/var/cache/nixuser-boot-tests")
        self.store = self.root + "/nix/store"
        self.database = self.root + "/nix/var/nix/db"
        self.roots = self.root + "/nix/var/nix/gcroots"
        os.makedirs(self.store, exist_ok=True)
        os.makedirs(self.roots, exist_ok=True)
        os.makedirs(self.database, exist_ok=True)
        self.users = os.open(self.root + "/users.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.change = os.open(self.root + "/change.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self.users, fcntl.LOCK_SH)

    def nix_store(self, *arguments, **how):
        environment = dict(HOST_NIX, NIX_REMOTE=f"local?root={self.root}")
        return subprocess.run(["nix-store", *arguments], env=environment, check=True, **how)

    def add(self, link):
        """The store path link points to, after copying its closure here if it is not here yet."""
        path = os.path.realpath(link)
        if not path.startswith("/nix/store/"):
            sys.exit(f"{link} is not a link into /nix/store")
        root = os.path.join(self.roots, os.path.basename(link))
        if not self._has(root, path):
            fcntl.flock(self.change, fcntl.LOCK_EX)
            if not self._has(root, path):  # nobody has added it while we waited
                self._copy(path)
                self._point(root, path)
                self._collect()
            fcntl.flock(self.change, fcntl.LOCK_UN)
        return path

    @staticmethod
    def _has(root, path):
        return os.path.islink(root) and os.readlink(root) == path

    def _copy(self, path):
        # The host's store is read as a store of its own, so a plain copy of /nix on the host will do.
        query = ["nix-store", "-qR", path]
        closure = subprocess.run(query, env=HOST_NIX, check=True, stdout=subprocess.PIPE).stdout.split()
        export = subprocess.Popen(["nix-store", "--export", *closure], env=HOST_NIX, stdout=subprocess.PIPE)
        self.nix_store("--import", stdin=export.stdout, stdout=subprocess.DEVNULL)
        if export.wait() != 0:
            sys.exit(f"cannot export {path} from the store of this machine")

    @staticmethod
    def _point(root, path):
        temporary = root + ".new"
        if os.path.lexists(temporary):
            os.unlink(temporary)
        os.symlink(path, temporary)
        os.rename(temporary, root)

    def _collect(self):
        """Removes closures of former days, if nobody else looks at them now."""
        try:
            fcntl.flock(self.users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.nix_store("--gc", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        except BlockingIOError:
            pass
        fcntl.flock(self.users, fcntl.LOCK_SH)  # also after a failure, which has cost us the shared lock

    def mount(self, nix="/nix"):
        """Makes a /nix: this store below an overlay, and a copy of the database."""
        os.makedirs(nix, exist_ok=True)
        source = os.open(self.root, os.O_PATH | os.O_DIRECTORY)  # which the mount may hide
        below = f"/proc/self/fd/{source}/nix"
        linux.tmpfs(nix)
        for path in ("store", "var/nix/gcroots/auto", "var/nix/profiles/per-user", "var/nix/temproots", "var/nix/db"):
            os.makedirs(f"{nix}/{path}")
        fcntl.flock(self.change, fcntl.LOCK_SH)
        for name in os.listdir(below + "/var/nix/db"):
            if name != "reserved":  # 8 MiB of nothing, which Nix makes again
                shutil.copy2(f"{below}/var/nix/db/{name}", f"{nix}/var/nix/db/{name}")
        fcntl.flock(self.change, fcntl.LOCK_UN)
        os.makedirs(nix + "/.overlay/upper")
        os.mkdir(nix + "/.overlay/work")
        os.chown(nix + "/.overlay/upper", 0, NIXBLD_GID)
        os.chmod(nix + "/.overlay/upper", 0o1775)
        layers = f"lowerdir={below}/store,upperdir={nix}/.overlay/upper,workdir={nix}/.overlay/work"
        linux.mount("store", nix + "/store", "overlay", 0, layers)
        # Read-only for all but the daemon, which remounts it in a mount namespace of its own, as on NixOS.
        linux.mount(None, nix + "/store", None, linux.MS_BIND | linux.MS_REMOUNT | STORE_FLAGS)
        os.chmod(nix + "/.overlay", 0)
        os.close(source)
