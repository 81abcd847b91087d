# SPDX-License-Identifier: MIT
"""The disk of a lab host in a virtual machine: a file system with the same tree as in namespaces."""

import os
import shutil
import subprocess
import tempfile

import linux
import machine
import tree
from work import Failed, install

SIZE = "6G"  # and as much of it is used as is written
# Whatever a real machine does is done, but for what would only take time, and what waits for udev.
MASKED = ["dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer"]
MASKED += ["getty@tty1.service", "serial-getty@ttyS0.service"]

FILES = {
    "/etc/ssh/sshd_config.d/vm.conf": "ListenAddress 10.0.2.15\n",
    # There is no udev, so nothing that waits for a device.
    "/etc/systemd/system/lab-network.service": """\
[Unit]
Description=The network card
DefaultDependencies=no
After=systemd-modules-load.service
Wants=network.target
Before=network.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=modprobe virtio_net
ExecStart=ip address add 10.0.2.15/24 dev eth0
ExecStart=ip link set eth0 up
""",
    # As on NixOS: read-only for all but the daemon, which remounts it in a mount namespace of its own.
    "/etc/systemd/system/nix-store.mount": """\
[Unit]
Description=The store
Before=nix-daemon.socket nix-daemon.service

[Mount]
What=/nix/store
Where=/nix/store
Type=none
Options=bind,ro,nosuid,nodev
""",
    # A user manager takes seconds to start; it is to stay between two commands of a test.
    "/etc/systemd/logind.conf.d/vm.conf": "[Login]\nUserStopDelaySec=10\n",
    # So that what is read at the end of the journal is also of the boots before.
    "/etc/systemd/journald.conf.d/lab.conf": "[Journal]\nStorage=persistent\n",
}


def make(lower, cache, kernel, installed):
    """Returns the disk, an open file without a name, and the directory that the tree was copied to."""
    root = tree.copy(lower)
    machine.set_up(root, cache, MASKED)
    for path, text in FILES.items():
        machine.write(root + path, text)
    for unit in ("lab-network.service", "nix-store.mount"):
        machine.link(f"../{unit}", f"{root}/etc/systemd/system/multi-user.target.wants/{unit}")
    os.makedirs(root + "/usr/lib/modules")
    shutil.copytree(kernel.modules, f"{root}/usr/lib/modules/{kernel.release}", symlinks=True)
    if installed:
        install_in(root)
    disk = tempfile.TemporaryFile(dir=tree.CHECKOUT + "/build")
    command = ["mkfs.ext4", "-q", "-F", "-O", "^has_journal", "-E", "lazy_itable_init=1,nodiscard", "-m", "0"]
    command += ["-d", root, f"/proc/self/fd/{disk.fileno()}", SIZE]
    subprocess.run(command, check=True, pass_fds=[disk.fileno()], preexec_fn=linux.die_with_parent)
    return disk, root


def install_in(root):
    """Builds and installs the checkout here, where it does not take long."""
    linux.bind("/dev", root + "/dev")
    command = ["chroot", root, "sh", "-ec", install()]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=linux.die_with_parent,
    )
    linux.umount(root + "/dev")
    if done.returncode != 0:
        raise Failed("the checkout cannot be installed:\n" + done.stdout)
