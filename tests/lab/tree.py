# SPDX-License-Identifier: MIT
"""The file tree of the lab host: Debian packages, installed as they are, in a directory that nobody changes.

It is kept in the tests' cache under a hash of what it is made of. Everything else a lab host has is written into the
copy that is booted (machine.py), so a change there needs no new tree.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile

import linux

SUITE = "trixie"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CACHE = os.environ.get("NIXUSER_TEST_CACHE", "/var/cache/nixuser-boot-tests")

PACKAGES = """
    systemd systemd-sysv libpam-systemd dbus dbus-user-session login passwd uidmap openssh-server openssh-client
    nix-bin nix-setup-systemd
    python3 perl procps iproute2 strace attr e2fsprogs kmod
""".split()
OPTIONS = [
    "--variant=essential",
    '--aptopt=Acquire::Languages "none"',
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/info/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=force-unsafe-io",
]


# Of tests/deps. With what the project is built with: the programs tested are the ones built for this tree's libraries.
purposes = ["build"]


def packages():
    with open(CHECKOUT + "/tests/deps") as file:
        lists = dict(re.findall(r"^(\w+)='([^']*)'", file.read(), re.M))
    return sorted({*PACKAGES, *(package for purpose in purposes for package in lists[purpose].split())})


def prefix():
    """One for each choice of purposes, so that a tree for one is not taken for a former tree for another."""
    return "+".join(["labhost", *purposes[1:]]) + "-"


def name():
    parts = [SUITE, os.uname().machine, *OPTIONS, *packages()]
    return prefix() + hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def get():
    """The tree's directory, made if it is not there. It is not removed by others while this process lives."""
    os.makedirs(CACHE, exist_ok=True)
    path = f"{CACHE}/{name()}"
    lock = os.open(CACHE + "/labhost.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    if not os.path.isdir(path):
        make(path)
    fcntl.flock(os.open(path, os.O_RDONLY), fcntl.LOCK_SH)
    remove_old(path)
    os.close(lock)
    return path


def make(path):
    if not shutil.which("mmdebstrap"):
        sys.exit("labhost: needs mmdebstrap (Debian's package of that name)")
    if not os.path.exists(KEYRING):
        sys.exit(f"labhost: there is no {KEYRING}: install debian-archive-keyring")
    print(f"labhost: installing {len(packages())} packages of {SUITE} and what they need, once", file=sys.stderr)
    new = tempfile.mkdtemp(prefix=prefix() + "new-", dir=CACHE)
    os.chmod(new, 0o755)
    root, temporary = new + "/root", new + "/tmp"
    os.mkdir(root)
    os.mkdir(temporary)  # and not /tmp: if we are killed, all of it is removed by the next
    # In a pid namespace, so that all of it ends with us, however we end.
    command = ["unshare", "--fork", "--pid", "--mount-proc", "--kill-child", "mmdebstrap", "--mode=root"]
    command += ["--quiet", *OPTIONS, *proxies(), "--include=" + ",".join(packages())]
    source = f"deb [signed-by={KEYRING}] {mirror()} {SUITE} main\n"
    made = subprocess.run(
        [*command, SUITE, root, "-"],
        input=source,
        text=True,
        env=dict(os.environ, TMPDIR=temporary),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=linux.die_with_parent,
    )
    if made.returncode != 0:
        shutil.rmtree(new)
        sys.exit("labhost: mmdebstrap failed:\n" + made.stdout)
    os.rename(root, path)
    shutil.rmtree(new)


def mirror():
    """The first Debian archive in the host's apt configuration."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(COMPONENT) $(ORIGIN)/$(LABEL)"]
    for line in subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines():
        uri, component, origin = line.split(" ", 2)
        if (component, origin) == ("main", "Debian/Debian"):
            return uri
    sys.exit("labhost: the host's apt names no Debian archive; is 'apt-get update' wanting?")


def proxies():
    """The host's way to the mirror: mmdebstrap's apt does not read the host's configuration."""
    dump = subprocess.run(["apt-config", "dump"], stdout=subprocess.PIPE, text=True, check=True).stdout
    return ["--aptopt=" + line for line in re.findall(r"^(Acquire::https?::proxy\S* .*);$", dump, re.M | re.I)]


def copy(lower):
    """A copy of the tree that takes no time. For a private mount namespace, with which it goes."""
    top = CACHE + "/mnt"
    os.makedirs(top, exist_ok=True)
    linux.tmpfs(top)
    root = top + "/root"
    for name in ("upper", "work", "root"):
        os.mkdir(f"{top}/{name}")
    linux.mount("root", root, "overlay", 0, f"lowerdir={lower},upperdir={top}/upper,workdir={top}/work")
    return root


def remove_old(current):
    """Trees of former lists, and what an interrupted make() has left, unless somebody works on them."""
    for entry in os.listdir(CACHE):
        path = f"{CACHE}/{entry}"
        if entry.startswith(prefix()) and path != current and os.path.isdir(path):
            directory = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path)
            except BlockingIOError:
                pass
            os.close(directory)
