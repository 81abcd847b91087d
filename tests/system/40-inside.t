#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the machine's root can see and do: the store is safe, and the host is not there."""

import ctypes
import os
import platform
import re
import signal
import socket

import lab
import tap

lab.need("result", "trivial")
alice = lab.claim("alice")


def host_store():
    return sorted(os.listdir("/nix/store"))


ATTEMPTS = {
    "mount -o remount,rw": "mount -o remount,rw /nix/store",
    "mount -o remount,rw,bind": "mount -o remount,rw,bind /nix/store",
    "umount": "umount /nix/store",
    "umount -l": "umount -l /nix/store",
    "moving it away": "mount --move /nix/store /mnt",
    "a clone, remounted rw": "mount --bind /nix/store /mnt && mount -o remount,rw,bind /mnt",
    "a recursive clone, remounted rw": "mount --rbind /nix/store /mnt && mount -o remount,rw,bind /mnt",
    "a clone of what is above, to see below": "mount --bind /nix /mnt && touch /mnt/store/x",
    "a clone of / remounted rw": "mount --bind / /mnt && mount -o remount,rw,bind /mnt/nix/store",
    "remount in a mount namespace": "unshare -m mount -o remount,rw,bind /nix/store",
    "remount in a user namespace": "unshare -Urm mount -o remount,rw,bind /nix/store",
    "umount in a mount namespace": "unshare -m umount -l /nix/store",
    "clone in a user namespace": "unshare -Urm sh -c 'mount --bind /nix/store /mnt && mount -o remount,rw,bind /mnt'",
    "a new mount of its file system": "cd /nix/store; mount -t overlay -o lowerdir=.,upperdir=.,workdir=. x /mnt && touch /mnt/x",
}


@tap.case("the store", timeout=90)
def store():
    names = host_store()
    machine = lab.Machine(alice, name="inside-store").login()
    machine.output("mkdir -p /mnt")
    for name, attempt in ATTEMPTS.items():
        status, output = machine.run(f"({attempt}) 2>&1")
        tap.ok(status != 0, f"refused: {name}", output)
        machine.run("umount -R /mnt 2>/dev/null")
    some = lab.CLOSURES["result"]
    for name, attempt in {
        "a new file": "touch /nix/store/x",
        "a new directory": "mkdir /nix/store/x",
        "a file in a store path": f"touch {some}/x",
        "an existing file": f"echo >> {some}/init",
        "a removal": f"rm -rf {some}/init",
        "a change of mode": f"chmod u+w {some}/init",
        "a change of owner": "chown 0:0 /nix/store",
        "a rename": f"mv {some} /nix/store/y",
        "a hard link to outside": f"ln {some}/init /tmp/init",
    }.items():
        status, output = machine.run(f"({attempt}) 2>&1")
        tap.ok(status != 0, f"nothing is written: {name}", output)
    tap.like(machine.output("findmnt -no OPTIONS /nix/store"), r"^ro,nosuid,nodev\b", "read-only, nosuid, nodev")
    tap.is_(machine.output("ls -A /nix/store | wc -l"), str(len(names)), "all of the host's store is there")
    tap.is_(machine.output("ls -A /nix"), "store", "and nothing else of /nix")
    tap.is_(machine.power_off(), 0, "exit status")
    tap.is_(host_store(), names, "the host's store is as before")


@tap.case("no descriptor, no word and no key of the caller's comes in")
def inherited():
    script = """
        echo environment; tr '\\0' '\\n' </proc/1/environ
        echo fds; ls -l /proc/1/fd
        echo keys; cat /proc/keys
        echo status; cat /proc/1/status
        echo session; cut -d' ' -f 5,6,7 /proc/1/stat
        echo limits; cat /proc/1/limits"""
    lab.probe(alice, "looks", script)
    extra = os.open("/etc/passwd", os.O_RDONLY)
    os.set_inheritable(extra, True)
    result = alice.boot(
        "looks",
        env={"SECRET": "of-alice", "LD_PRELOAD": "", "CREDENTIALS_DIRECTORY": "/tmp"},
        pass_fds=[extra],
        as_user=burden,
    )
    os.close(extra)
    out = result.out.replace("\r", "")
    parts = dict(
        zip(
            ("environment", "fds", "keys", "status", "session", "limits"),
            re.split(r"^(?:environment|fds|keys|status|session|limits)\n", out, flags=re.M)[1:],
        )
    )
    environment = dict(line.split("=", 1) for line in parts["environment"].splitlines() if line)
    tap.is_(environment.get("container"), "nixuser-boot", "container= is there", out)
    tap.is_(
        sorted(environment),
        ["NOTIFY_SOCKET", "TERM", "container", "container_uuid"],
        "and no variable that was not asked for",
    )
    tap.unlike(parts["environment"], "alice|20001", "nothing names the caller")
    descriptors = dict(re.findall(r" (\d+) -> (.*)$", parts["fds"], re.M))
    # The shell has its own script open.
    descriptors = {fd: name for fd, name in descriptors.items() if not name.startswith("/nix/store/")}
    tap.is_(descriptors, {fd: "/dev/pts/0" for fd in "012"}, "only the console is open")
    tap.unlike(parts["keys"], "nixuser-test-key", "the caller's session keyring stays outside")
    fields = dict(re.findall(r"^(\w+):[ \t]*(.*)$", parts["status"], re.M))
    tap.is_(
        (fields["Uid"].split(), fields["Gid"].split(), fields["Groups"].strip()),
        (["0"] * 4, ["0"] * 4, ""),
        "uid 0, gid 0, no groups",
    )
    tap.is_(
        (fields["SigBlk"], fields["NoNewPrivs"], fields["NSpid"].split()),
        ("0" * 16, "0", ["1"]),
        "no blocked signal, no no_new_privs, one pid namespace",
    )
    ignored = [number for number in (1, 2, 10, 12, 13, 15, 17) if int(fields["SigIgn"], 16) & 1 << number - 1]
    tap.is_(ignored, [], "no signal is ignored that the caller ignored", fields["SigIgn"])
    tap.is_(
        parts["session"].split(),
        ["1", "1", "0"],
        "a session without a controlling terminal: systemd must get no SIGWINCH",
    )
    capabilities(
        int(fields["CapBnd"], 16), int(fields["CapEff"], 16), int(fields["CapAmb"], 16), int(fields["CapInh"], 16)
    )


def burden():
    """What a caller's process may carry: ignored and blocked signals, a session keyring with a key."""
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM, signal.SIGUSR1])
    libc = ctypes.CDLL(None, use_errno=True)
    add_key, keyctl = {"x86_64": (248, 250), "aarch64": (217, 219)}[platform.machine()]
    libc.syscall(keyctl, 1, None)
    libc.syscall(add_key, b"user", b"nixuser-test-key", b"secret", ctypes.c_size_t(6), -3)


def capabilities(bounding, effective, ambient, inheritable):
    names = {
        "sys_rawio": 17,
        "audit_write": 29,
        "audit_control": 30,
        "audit_read": 37,
        "sys_module": 16,
        "sys_time": 25,
        "syslog": 34,
        "mac_admin": 33,
        "bpf": 39,
        "checkpoint_restore": 40,
    }
    kept = [name for name, bit in names.items() if bounding & 1 << bit]
    tap.is_(kept, [], "capabilities that a machine has no use for are gone")
    for name, bit in {"sys_admin": 21, "mknod": 27, "net_admin": 12, "setuid": 7}.items():
        tap.ok(bounding & effective & 1 << bit, f"cap_{name} is kept", hex(bounding), hex(effective))
    tap.is_((ambient, inheritable), (0, 0), "none is ambient or inheritable")


@tap.case("ids: the machine's processes are subordinate ids and nothing else", timeout=60)
def ids():
    machine = lab.Machine(alice, name="inside-ids").login()
    payload = machine.payload()
    with open(f"/proc/{payload}/uid_map") as file:
        tap.is_(file.read().split(), ["0", "1000000", "65536"], "the map, as the host sees it: not the caller's uid")
    tap.is_(
        os.readlink(f"/proc/{payload}/ns/user") == os.readlink(f"/proc/{machine.launcher()}/ns/user"),
        False,
        "the payload's user namespace is not the launcher's",
    )
    uids = {uid for process in lab.processes() if in_namespace(process.pid, payload) for uid in process.uids}
    tap.ok(len(uids) >= 2, "several users run inside", uids)
    tap.is_([uid for uid in uids if not 1000000 <= uid < 1065536], [], "all in the range")
    tap.is_(machine.output("stat -c %u:%g /nix/store"), "65534:65534", "the store's owner has no name inside")
    status, output = machine.run("setpriv --reuid 65536 true 2>&1; chown 65536 /tmp 2>&1")
    tap.ok(status != 0, "an id outside the map cannot be used", output)
    machine.escape()


def in_namespace(pid, of):
    try:
        return os.readlink(f"/proc/{pid}/ns/pid") == os.readlink(f"/proc/{of}/ns/pid")
    except (FileNotFoundError, ProcessLookupError):
        return False


@tap.case("no process, device, cgroup, socket or file of the host is visible", timeout=60)
def visible():
    server = socket.socket(socket.AF_UNIX)
    server.bind("\0nixuser-test-abstract")
    server.listen()
    tap.cleanup(server.close)
    segment = alice.run(["ipcmk", "-M", "4711"])
    tap.cleanup(alice.run, ["ipcrm", "-m", segment.out.split()[-1]])
    machine = lab.Machine(alice, name="inside-visible").login()

    tap.is_(machine.output("cat /proc/1/comm"), "systemd", "PID 1 is the machine's")
    commands = set(machine.output("cat /proc/[0-9]*/comm").split())
    tap.is_(
        commands & {"nixuser-boot", "nixuser-launch", "nix-daemon", "prove", "python3"}, set(), "no process of the host"
    )

    devices = machine.output("find /dev -xdev -type l -printf '%P %y %l\\n' | sort").splitlines()
    allowed = {
        "console l pts/0",
        "ptmx l pts/ptmx",
        "fd l /proc/self/fd",
        "stdin l /proc/self/fd/0",
        "stdout l /proc/self/fd/1",
        "stderr l /proc/self/fd/2",
        "log l /run/systemd/journal/dev-log",
        "initctl l /run/initctl",
        "core l /proc/kcore",
    }
    tap.is_(sorted(set(devices) - allowed), [], "the links in /dev", devices)
    nodes = machine.output("find /dev -type c -o -type b | sort").split()
    names = ["console", "full", "null", "ptmx", "pts/0", "pts/ptmx", "random", "tty", "urandom", "zero"]
    tap.is_(
        [node for node in nodes if node.removeprefix("/dev/") not in names],
        [],
        "and as devices what every machine has",
        nodes,
    )
    for kind, numbers in (("b", "8 0"), ("c", "1 1"), ("c", "1 3")):
        status, output = machine.run(f"rm -f /root/node; mknod /root/node {kind} {numbers} && cat </root/node")
        tap.ok(status != 0, f"no usable node by mknod {kind} {numbers}", output)

    tap.is_(
        machine.output("cut -d: -f 3- /proc/1/cgroup | sort -u | grep -v '^/$'"),
        "/init.scope",
        "the cgroup path begins at the machine",
    )
    tap.is_(
        machine.run("cat /proc/[0-9]*/cgroup 2>/dev/null | grep -e nixuser -e alice -e '\\.\\.'")[1].strip(),
        "",
        "no cgroup path shows the host's",
    )
    tap.is_(
        machine.run("ls -d /sys/fs/cgroup/supervisor /sys/fs/cgroup/nixuser* /sys/fs/cgroup/alice 2>/dev/null")[
            1
        ].strip(),
        "",
        "the cgroup file system has no more",
    )
    tap.is_(
        machine.run("find /sys/fs/cgroup -maxdepth 1 -name cgroup.procs -user root")[0], 0, "it is the machine's root's"
    )

    tap.unlike(
        machine.output("cat /proc/net/unix"), "nixuser-test-abstract|nix-daemon|/nix/var", "no socket of the host"
    )
    tap.is_(
        machine.output("ls /sys/class/net; cat /sys/class/net/lo/operstate").split()[0],
        "lo",
        "the loopback interface only",
    )
    tap.is_(machine.output("ls /sys/class/net | wc -l"), "1", "and no other")
    tap.like(machine.output("ip -o link show lo"), r"<LOOPBACK,UP", "which is up")
    tap.unlike(machine.output("cat /proc/sysvipc/shm"), r"\b4711\b", "no shared memory of the host")

    tap.is_(
        machine.run("ls -d /home/* /var/cache/nixuser* /nix/var /opt/nixuser /run/user/20001 2>/dev/null")[
            1
        ].strip(),
        "",
        "no directory of the host",
    )
    tap.is_(machine.run("grep -c alice /etc/passwd")[1].strip(), "0", "nor its users")
    mounts = machine.output("cat /proc/self/mountinfo")
    tap.unlike(
        mounts,
        r"^\S+ \S+ \S+ (?!/host )\S+ /(?!nix/store|dev/|run/host)\S* .* (ext4|xfs|btrfs) ",
        "no mount of a host's disk but the store",
        mounts,
    )
    tap.is_(machine.run("ls /proc/1/root/home")[1].strip(), "", "/proc/1/root is the machine's root")
    machine.escape()


@tap.case("what belongs to the whole host cannot be changed", timeout=60)
def host_wide():
    before = {
        name: open(name).read()
        for name in ("/proc/sys/kernel/core_pattern", "/proc/sys/vm/swappiness", "/proc/sys/fs/file-max")
    }
    machine = lab.Machine(alice, name="inside-host").login()
    for name, attempt in {
        "core_pattern": "echo '|/tmp/x' >/proc/sys/kernel/core_pattern",
        "swappiness": "echo 1 >/proc/sys/vm/swappiness",
        "file-max": "echo 1000 >/proc/sys/fs/file-max",
        "sysrq-trigger": "echo h >/proc/sysrq-trigger",
        "sysfs": "echo 1 >/sys/kernel/mm/ksm/run || touch /sys/x",
        "sysfs, remounted": "mount -o remount,rw /sys && echo 1 >/sys/kernel/mm/ksm/run",
        "the clock": "date -s 2001-01-01",
        "the kernel's log": "dmesg -c",
        "a module": "modprobe dummy || insmod /dev/null",
        "a new cgroup at the top": "mount -t cgroup2 x /mnt && mkdir /mnt/../mnt/x && test -e /mnt/alice",
        "the oom score of PID 1": "echo -1000 >/proc/1/oom_score_adj",
    }.items():
        status, output = machine.run(f"mkdir -p /mnt; ({attempt}) 2>&1")
        tap.ok(status != 0, f"refused: {name}", output)
    machine.escape()
    tap.is_({name: open(name).read() for name in before}, before, "the host's settings are as before")


@tap.case("outside: the supervisor and what it holds")
def outside():
    lab.probe(alice, "stays", "echo up; exec sleep 1000")
    machine = lab.Machine(alice, closure="stays", name="outside")
    machine.terminal.expect("up")
    pids = [machine.pid, machine.launcher()]
    for pid, name in zip(pids, ("supervisor", "nixuser-launch")):
        with open(f"/proc/{pid}/status") as file:
            fields = dict(re.findall(r"^(\w+):\s*(.*)$", file.read(), re.M))
        if name == "supervisor":
            tap.is_(
                {fields[kind] for kind in ("CapPrm", "CapEff", "CapInh", "CapAmb")},
                {"0" * 16},
                f"{name}: no capability",
            )
            tap.is_(
                os.readlink(f"/proc/{pid}/ns/user"),
                os.readlink("/proc/self/ns/user"),
                f"{name}: the host's user namespace",
            )
        else:
            tap.ok(
                os.readlink(f"/proc/{pid}/ns/user") != os.readlink("/proc/self/ns/user"),
                f"{name}: not in the host's user namespace",
            )
            tap.is_(
                fields["Uid"].split(),
                ["1000000"] * 4,
                f"{name}: root of the outer namespace is the first id of the range",
            )
    cgroups = {path.rsplit("/", 1)[1]: path for path, _, _ in os.walk(machine.terminal.process.cgroup)}
    tap.ok({"nixuser-outside", "payload"} <= set(cgroups), "its cgroups", cgroups)
    stat = os.stat(cgroups["payload"])
    tap.is_(
        (stat.st_uid, os.stat(cgroups["nixuser-outside"]).st_uid),
        (1000000, alice.uid),
        "payload/ belongs to the machine's root, what is above to the caller",
    )
    with open(machine.terminal.process.cgroup + "/cgroup.procs") as file:
        tap.ok({str(pid) for pid in pids} <= set(file.read().split()), "supervisor and launcher stay where they were")
    stat = os.stat(f"{alice.runtime}/nixuser/outside")
    tap.is_(
        (stat.st_uid, oct(stat.st_mode & 0o777)), (alice.uid, "0o700"), "the runtime directory is the caller's alone"
    )
    tap.ok(machine.escape() != 0, "ended")


@tap.case("a cgroup that is only writable, as without systemd")
def only_writable():
    before = lab.Snapshot([alice])
    lab.probe(alice, "stays", "echo up; exec sleep 1000")
    machine = lab.Machine(alice, closure="stays", name="writable", marked=False)
    machine.terminal.expect("up")
    own = machine.terminal.process.cgroup
    stat = os.stat(own + "/nixuser-writable/payload")
    tap.is_(stat.st_uid, 1000000, "payload/ belongs to the machine's root")
    with open(own + "/nixuser-writable/payload/cgroup.procs") as file:
        tap.ok(str(machine.payload()) in file.read().split(), "and the payload is in it")
    machine.escape()
    os.unlink(alice.home + "/stays")
    before.check("after it")


tap.main()
