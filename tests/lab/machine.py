# SPDX-License-Identifier: MIT
"""What a lab host's administrator has set up: written into each copy of the tree before it boots."""

import os
import shutil
import subprocess
import uuid

import accounts
import linux
import state
import tree

SOURCE = "/usr/src/nixuser-boot"
PREFIX = "/usr/local"
SSH_KEY = "/root/.ssh/id_ed25519"

FILES = {
    "/etc/hostname": "lab\n",
    "/etc/hosts": "127.0.0.1 localhost lab\n::1 localhost lab\n",
    "/etc/fstab": "",
    # Newer than /usr: nothing is to be brought up to date.
    "/etc/.updated": "",
    "/var/.updated": "",
    # Empty or missing, systemd calls sync(2) for the whole kernel.
    "/etc/machine-id": uuid.uuid4().hex + "\n",
    "/etc/nix/nix.conf": """\
build-users-group = nixbld
trusted-users = root
allowed-users = *
substituters =
sandbox = false
experimental-features = nix-command
""",
    # Debian lets only members of a group reach the daemon; here it is everybody, as on NixOS.
    "/etc/tmpfiles.d/nix-daemon.conf": """\
d /nix/var/nix/daemon-socket 0755 root root
d /nix/var/nix/gcroots/per-user 1777
d /nix/var/nix/profiles/per-user 1777
""",
    # How long the user manager waits for another session after the last; ten seconds by default.
    "/etc/systemd/logind.conf.d/lab.conf": "[Login]\nUserStopDelaySec=2\n",
    "/etc/profile.d/nix.sh": "export NIX_REMOTE=daemon\n",
    "/etc/environment": "NIX_REMOTE=daemon\n",
    "/etc/ssh/sshd_config.d/lab.conf": f"""\
ListenAddress 127.0.0.1
AuthorizedKeysFile /etc/ssh/lab_keys
UseDNS no
PrintLastLog no
MaxStartups 500
PerSourcePenalties no
""",
    "/root/.ssh/config": f"""\
Host localhost
    IdentityFile {SSH_KEY}
    StrictHostKeyChecking no
    UserKnownHostsFile /dev/null
    LogLevel ERROR
""",
}


def set_up(root, cache, masked):
    for path, text in FILES.items():
        write(root + path, text)
    for unit in masked:
        link("/dev/null", f"{root}/etc/systemd/system/{unit}")
    link("/usr/lib/systemd/system/multi-user.target", root + "/etc/systemd/system/default.target")
    link(
        "/usr/lib/systemd/system/console-getty.service",
        root + "/etc/systemd/system/getty.target.wants/console-getty.service",
    )
    make_key(root)
    make_accounts(root)
    cache.mount(root + "/nix")
    state.make_directories(root)
    copy_checkout(root + SOURCE)


def write(path, text, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)
        os.fchmod(file.fileno(), mode)


def link(target, path):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.lexists(path):
        os.unlink(path)
    os.symlink(target, path)


def make_key(root):
    """Root's key opens every account: ssh is how the tests log in as somebody."""
    os.chmod(root + "/root/.ssh", 0o700)
    command = ["chroot", root, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", SSH_KEY]
    subprocess.run(command, check=True)
    shutil.copy(root + SSH_KEY + ".pub", root + "/etc/ssh/lab_keys")


def make_accounts(root):
    """The users of the private world, in the files of this machine; empty homes."""
    packaged = [f"nixbld{number}" for number in range(1, 33)]  # the package's: ours have a gid of their own
    accounts.add(root + "/etc", packaged[:10], shell="/bin/bash", password="*", instead_of=packaged)
    accounts.make_homes(root + "/home")


def copy_checkout(target):
    """What is tested, and the tests; but for build/, which is bound, so that it is built once."""
    shutil.copytree(tree.CHECKOUT, target, symlinks=True, ignore=shutil.ignore_patterns(".git", "build", "__pycache__"))
    build = f"{tree.CHECKOUT}/build/{tree.name()}"
    owner = os.stat(tree.CHECKOUT)
    for directory in (os.path.dirname(build), build):
        if not os.path.isdir(directory):
            os.mkdir(directory)
            os.chown(directory, owner.st_uid, owner.st_gid)
    os.mkdir(target + "/build")
    linux.bind(build, target + "/build")
