# SPDX-License-Identifier: MIT
"""Kernels of Debian's releases for a lab host in a virtual machine: unpacked in the tests' cache, installed nowhere."""

import fcntl
import glob
import os
import shutil
import subprocess
import sys

import linux
import tree

SUITES = {"6.1": "bookworm", "6.12": "trixie"}
# For clouds: what a virtual machine's disk needs is compiled in, so it boots without an initramfs.
PACKAGE = "linux-image-cloud-amd64"


class Kernel:
    """In its directory the package's files are as they are, but for the list of the modules, which depmod makes."""

    def __init__(self, directory):
        (self.image,) = glob.glob(directory + "/boot/vmlinuz-*")
        self.release = os.path.basename(self.image).removeprefix("vmlinuz-")
        (self.modules,) = glob.glob(f"{directory}/**/lib/modules/{self.release}", recursive=True)


def get(name):
    """The kernel of this name in SUITES, fetched if there is none of its release."""
    os.makedirs(tree.CACHE, exist_ok=True)
    lock = os.open(tree.CACHE + "/kernel.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    found = glob.glob(f"{tree.CACHE}/kernel-{name}.*") or [fetch(name)]
    os.close(lock)
    return Kernel(found[0])


def fetch(name):
    """Downloads with lists of packages of its own: the suite may be another than that of this machine."""
    for program in ("apt-get", "dpkg-deb", "depmod"):
        if not shutil.which(program):
            sys.exit(f"labhost: there is no {program}, which a kernel is fetched with")
    print(f"labhost: fetching Linux {name} of {SUITES[name]}, once", file=sys.stderr)
    new = tree.CACHE + "/kernel.new"
    shutil.rmtree(new, ignore_errors=True)  # of one that was interrupted
    for directory in ("lists/partial", "archives/partial", "files"):
        os.makedirs(f"{new}/{directory}")
    with open(new + "/sources.list", "w") as file:
        file.write(f"deb [signed-by={tree.KEYRING}] {tree.mirror()} {SUITES[name]} main\n")
    own = ["Dir::Etc::SourceParts=/dev/null", f"Dir::Etc::SourceList={new}/sources.list"]
    own += [f"Dir::State::Lists={new}/lists", f"Dir::Cache={new}", "Acquire::Languages=none"]
    own += ["APT::Architecture=amd64", "APT::Sandbox::User=root"]
    options = [f"--option={one}" for one in own]
    run("apt-get", "--quiet", *options, "update")
    depends = run("apt-cache", *options, "depends", "--important", PACKAGE)
    package = depends.partition("Depends: ")[2].split()[0]
    run("apt-get", "--quiet", *options, "download", package, cwd=new)
    (archive,) = glob.glob(new + "/*.deb")
    version = run("dpkg-deb", "--field", archive, "Version").strip()
    if not version.startswith(name + "."):
        sys.exit(f"labhost: the kernel of {SUITES[name]} is {version}, not {name}")
    run("dpkg-deb", "--extract", archive, new + "/files")
    kernel = Kernel(new + "/files")
    run("depmod", "-b", kernel.modules.rpartition("/lib/modules/")[0], kernel.release)
    path = f"{tree.CACHE}/kernel-{version}"
    os.rename(new + "/files", path)
    shutil.rmtree(new)
    return path


def run(*command, **how):
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=linux.die_with_parent,
        **how,
    )
    if done.returncode != 0:
        sys.exit(f"labhost: {' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout
