# SPDX-License-Identifier: MIT
"""Boots the lab host on a kernel of its own, in an emulated computer, and runs a command beside it.

The emulation is of software, so that it needs nothing of the computer it runs on; all takes ten to twenty times as
long as it does there.
"""

import fcntl
import json
import os
import shlex
import shutil
import socket
import struct
import subprocess
import sys
import time

import disk
import host
import kernel
import linux
import machine
import state
import tree
from cache import Cache
from work import Failed, Work

BOOT_SECONDS = 300
PORT = 2222
SLOWNESS = "10"  # how much longer than usual the tests wait
PARAMETERS = """
    root=/dev/nvme0n1 rw rootfstype=ext4 init=/sbin/init
    console=ttyS0 TERM=dumb quiet systemd.show_status=yes
    mitigations=off tsc=reliable nowatchdog rcupdate.rcu_cpu_stall_suppress=1
""".split()  # the last: no complaint if this computer had something else to do for a while


def run(options):
    """Returns the exit status of the command."""
    lower = tree.get()
    booting = kernel.get(options.kernel)
    cache = Cache()
    closures = {os.path.basename(link): cache.add(link) for link in options.closure}
    linux.unshare(linux.CLONE_NEWNS | linux.CLONE_NEWNET)
    linux.mount(None, "/", None, linux.MS_REC | linux.MS_PRIVATE)
    loopback_up()
    host.exit_with_signals()
    started = time.monotonic()
    try:
        file, root = disk.make(lower, cache, booting, not options.no_install)
    except Failed as error:
        sys.exit(f"labhost: {error}")
    say(started, f"booting Linux {booting.release}")
    status = 125
    vm = Vm(booting, file, root)
    try:
        vm.wait_for_boot()
        vm.wait_until_running()
        say(started, "preparing")
        vm.prepare(closures, tell(closures))
        say(started, "running the command")
        status = vm.run_outside(options.command) if options.outside else vm.run(options)
        if status != 0:
            vm.report()
    except (Failed, subprocess.CalledProcessError) as error:
        print(f"labhost: {error}", file=sys.stderr)
        vm.report()
    finally:
        host.ignore_signals()
        vm.end()
    return status


def tell(closures):
    """A script that tells the tests what there is, in the host's /run, which is made when it boots."""
    directories = [state.DIRECTORY + "/root", state.DIRECTORY + "/locks", state.FAILURES]
    told = shlex.quote(json.dumps({"cgroup": "", "closures": closures}))
    return f"mkdir -p {' '.join(directories)}; echo {told} >{state.FILE}\n"


def say(started, what):
    print(f"labhost: {time.monotonic() - started:.0f} s: {what}", file=sys.stderr)


def loopback_up():
    """The network of this process is its own, so that ports are, too."""
    SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))


class Console:
    """The serial line, which qemu writes to a file."""

    def __init__(self, path):
        self.path = path

    def text(self):
        if not os.path.exists(self.path):  # qemu has not come so far
            return ""
        with open(self.path, errors="replace") as file:
            return file.read().replace("\r\n", "\n")


class Vm(Work):
    """A virtual machine, and the way into it: root's ssh."""

    kind = "vm"
    variables = {"NIXUSER_TEST_VM": "1", "NIXUSER_TEST_SLOWNESS": SLOWNESS}

    def __init__(self, booting, file, root):
        self.directory = os.path.dirname(root)  # of a private file system, and gone with it
        self.console = Console(self.directory + "/console")
        self.write_ssh_config(root)
        command = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35"]
        # Little room for translated code (MiB): with more, what is left of one boot makes the next four times as slow.
        command += ["-accel", "tcg,thread=multi,tb-size=128"]
        command += ["-cpu", "max", "-smp", "2", "-m", "3072"]
        command += ["-kernel", booting.image, "-append", " ".join(PARAMETERS)]
        command += ["-drive", f"file=/proc/self/fd/{file.fileno()},format=raw,if=none,id=disk,cache=unsafe"]
        command += ["-device", "nvme,drive=disk,serial=lab"]
        command += ["-netdev", f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{PORT}-:22"]
        command += ["-device", "virtio-net-pci,netdev=net,romfile="]
        command += ["-serial", f"file:{self.console.path}"]
        self.qemu = self.start(command, pass_fds=[file.fileno()])
        self.master = None

    @staticmethod
    def start(command, **how):
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=linux.die_with_parent, **how)

    def write_ssh_config(self, root):
        shutil.copy(root + machine.SSH_KEY, self.directory + "/key")
        self.config = self.directory + "/ssh_config"
        with open(self.config, "w") as file:
            file.write(f"""\
Host lab
    HostName 127.0.0.1
    Port {PORT}
    User root
    IdentityFile {self.directory}/key
    IdentitiesOnly yes
    StrictHostKeyChecking no
    UserKnownHostsFile /dev/null
    LogLevel ERROR
    ConnectTimeout 5
    ServerAliveInterval 60
    ControlPath {self.directory}/master
""")

    def wait_for_boot(self):
        """Until it can be logged in to. The connection is kept, and what is called goes by it."""
        deadline = time.monotonic() + BOOT_SECONDS
        while subprocess.run(["ssh", "-F", self.config, "-O", "check", "lab"], stderr=subprocess.DEVNULL).returncode:
            if self.qemu.poll() is not None:
                raise Failed("qemu has ended")
            if time.monotonic() > deadline:
                raise Failed(f"it did not boot within {BOOT_SECONDS} s")
            if self.master is None or self.master.poll() is not None:
                self.master = self.start(["ssh", "-F", self.config, "-N", "-M", "lab"], stderr=subprocess.DEVNULL)
            time.sleep(0.5)

    def call(self, *command, terminal=False, **how):
        ssh = ["ssh", "-F", self.config, "-tt" if terminal else "-T", "lab", shlex.join(command)]
        return subprocess.run(ssh, **how)

    def run_outside(self, command):
        """In a pid namespace, so that all of it ends with us, however we end."""
        ssh = shlex.join(["ssh", "-F", self.config, "lab"])
        environment = dict(os.environ, NIXUSER_VM=ssh, PYTHONDONTWRITEBYTECODE="1", **self.variables)
        alone = ["unshare", "--fork", "--pid", "--mount-proc", "--kill-child", "--", *command]
        return subprocess.run(alone, env=environment, preexec_fn=linux.die_with_parent).returncode

    def add_failures(self, report):
        """None after a reboot: they are in the host's /run."""
        how = dict(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        packed = self.call("tar", "-C", state.FAILURES, "-c", ".", **how)
        if packed.returncode == 0:
            subprocess.run(["tar", "-C", report.directory, "-x"], input=packed.stdout, check=True)

    def end(self):
        for process in (self.master, self.qemu):
            if process:
                process.kill()
                process.wait()
