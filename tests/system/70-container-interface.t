#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""systemd's Container Interface (https://systemd.io/CONTAINER_INTERFACE), clause by clause.

The names of the tests begin with the clause, as numbered in CLAUSES. Clauses that the interface leaves open ("may") and
this version does not use are listed with the reason, so that whoever adds one finds its place.
"""

import os
import re
import signal
import socket

import lab
import tap

lab.need("result", "trivial")
judy = lab.claim("judy")

CLAUSES = """
 E1 host name          E2 /proc /sys       E3 /dev, console     E4 /sys read-only   E5 one getty
 E6 cgroups whole      E7 delegated cgroup
 V1 container=         V2 container_uuid=  V3 container_ttys=   V4 container_host_* V5 CREDENTIALS_DIRECTORY
 A1 localtime          A2 journal          A3 SIGRTMIN+3        A4 LISTEN_FDS       A5 other cgroups
 A6 NOTIFY_SOCKET
 N1 host0              N2 ve-              N3 MACs
 R1 incoming           R2 inaccessible     R3 notify            R4 os-release       R5 container-manager
 R6 container-uuid     R7 credentials      R8 unix-export       R9 ssh              R10 userdb           R11 home
 X1 CAP_MKNOD          X2 CAP_SYS_ADMIN    X3 no kmsg link      X4 no fake VTs      X5 no block devices
 X6 no cgroup sub-tree
 X7 /sys               X8 audit capabilities
"""
NOT_USED = {
    "V3": "one terminal only in this version",
    "V4": "allowed, and nothing reads it on NixOS",
    "V5": "no credentials in this version",
    "R7": "no credentials in this version",
    "A1": "time.timeZone of the closure owns it",
    "A2": "needs a writable directory of the host's",
    "A4": "no socket activation in this version",
    "N1": "no network in this version",
    "N2": "no network in this version",
    "N3": "no network in this version",
    "R1": "no mounts from outside into a running machine",
    "R10": "NixOS owns the users",
    "R11": "NixOS owns the homes",
}


@tap.case("what PID 1 is given, before any of the closure has run")
def given():
    script = """
        hostname; echo "--"; cat /proc/self/mountinfo; echo "--"; find /dev -mindepth 1 | sort; echo "--"
        for node in null zero full random urandom tty; do stat -c '%n %t:%T %a' /dev/$node; done; echo "--"
        for link in console ptmx fd; do readlink /dev/$link; done; echo "--"
        tr '\\0' '\\n' </proc/1/environ; echo "--"
        find /run/host | sort; echo "--"
        cat /run/host/container-manager /run/host/container-uuid /etc/machine-id; echo "--"
        cat /proc/self/cgroup; echo "--"; grep Cap /proc/1/status; echo "--"
        touch /sys/x || mkdir /sys/x || echo refused; touch /run/host/x || echo refused
        touch /run/host/unix-export/x && echo allowed
        stat -c '%n %a %u' /run/host /run/host/unix-export /sys/fs/cgroup/cgroup.procs /tmp /dev/shm /proc /
        ls -A /etc; echo "--" """
    lab.probe(judy, "given", script)
    result = judy.boot("--name", "ci-given", "given")
    tap.is_(result.status, 0, "the probe ran", result)
    parts = [part.strip() for part in re.split(r"^--$", result.out.replace("\r", ""), flags=re.M)]
    host, mounts, devices, nodes, links, environment, run_host, files, cgroup, caps, attempts, _ = parts
    mounted = {line.split()[4]: line for line in mounts.splitlines()}
    variables = dict(line.split("=", 1) for line in environment.splitlines())

    tap.is_(host, "ci-given", "E1 the host name is set before exec")
    for path, kind in (
        ("/proc", "proc"),
        ("/sys", "sysfs"),
        ("/sys/fs/cgroup", "cgroup2"),
        ("/run", "tmpfs"),
        ("/tmp", "tmpfs"),
        ("/dev", "tmpfs"),
        ("/dev/pts", "devpts"),
        ("/dev/shm", "tmpfs"),
    ):
        tap.like(mounted.get(path, ""), rf" - {kind} ", f"E2 E3 {path} is mounted as {kind}", mounts)
    tap.like(mounted["/sys"], r" /sys ro,nosuid,nodev,noexec", "E2 E4 X7 /sys is read-only")
    tap.like(mounted["/proc"], r" /proc rw,", "E2 /proc/sys may stay writable: all namespaces are the machine's own")
    tap.like(mounted["/dev"], r" / /dev ", "E3 /dev is the machine's own tmpfs")
    wanted = {"null": "1:3", "zero": "1:5", "full": "1:7", "random": "1:8", "urandom": "1:9", "tty": "5:0"}
    tap.is_(nodes.splitlines(), [f"/dev/{name} {number} 666" for name, number in wanted.items()], "E3 the device nodes")
    tap.is_(
        links.splitlines(),
        ["pts/0", "pts/ptmx", "/proc/self/fd"],
        "E3 the console is a pty of the machine's own devpts",
    )
    tap.unlike(
        devices,
        r"^/dev/(kmsg|core|tty\d+|vcs|sd|vd|mem|kvm|fuse)",
        "X3 X4 X5 no kmsg, no virtual terminal, no disk",
        devices,
    )
    tap.is_(
        [line.split(":", 2)[2] for line in cgroup.splitlines() if line.startswith("0::")],
        ["/"],
        "E6 X6 PID 1 starts in the root of its cgroup namespace",
    )
    tap.like(
        mounted["/sys/fs/cgroup"],
        r" / /sys/fs/cgroup ",
        "E6 X6 the whole hierarchy that it may see is mounted, no sub-tree",
        mounted["/sys/fs/cgroup"],
    )

    tap.is_(variables.get("container"), "nixuser-boot", "V1 container=")
    tap.like(variables.get("container_uuid", ""), r"\A[0-9a-f-]{32,36}\Z", "V2 container_uuid=")
    tap.is_(variables.get("NOTIFY_SOCKET"), "/run/host/notify", "A6 NOTIFY_SOCKET=")
    uuid = variables.get("container_uuid", "").replace("-", "")
    tap.is_(
        files.replace("-", "").splitlines(),
        ["nixuserboot", uuid, uuid],
        "R5 R6 V2 container-manager, container-uuid, and machine-id is the same",
    )
    for clause, path in (("R3", "notify"), ("R4", "os-release"), ("R8", "unix-export")):
        tap.ok(f"/run/host/{path}" in run_host.splitlines(), f"{clause} /run/host/{path}", run_host)
    tries = attempts.splitlines()
    tap.is_(
        [line for line in tries if line in ("refused", "allowed")],
        ["refused", "refused", "allowed"],
        "E4 R8 /sys and /run/host cannot be written, unix-export can",
        attempts,
    )
    tap.ok(re.search("^/run/host/unix-export 7.. 0$", attempts, re.M), "R8 it belongs to the machine's root", attempts)
    tap.ok("/sys/fs/cgroup/cgroup.procs 644 0" in tries, "E7 the cgroup belongs to the machine's root", attempts)
    tap.ok("/tmp 1777 0" in tries and "/dev/shm 1777 0" in tries, "the modes of /tmp and /dev/shm", attempts)
    bounding = int(re.search(r"CapBnd:\s*(\w+)", caps)[1], 16)
    tap.ok(bounding & 1 << 27, "X1 CAP_MKNOD is kept")
    tap.ok(bounding & 1 << 21, "X2 CAP_SYS_ADMIN is kept")
    tap.is_([bit for bit in (29, 30, 37) if bounding & 1 << bit], [], "X8 the audit capabilities are dropped")


@tap.case("container_uuid is stable, and different for another name or user")
def identity():
    lab.probe(judy, "who", "cat /etc/machine-id")
    first, second, other = (judy.boot("--name", name, "who").out for name in ("ci-a", "ci-a", "ci-b"))
    tap.is_(first, second, "V2 the same across boots")
    tap.ok(other != first, "V2 another one for another machine")


@tap.case("what systemd makes of it", timeout=90)
def systemd():
    machine = lab.Machine(judy, name="ci-demo").login()
    tap.is_(machine.output("systemctl is-system-running --wait"), "running", "X8 an entirely clean boot")
    tap.is_(
        machine.output("cat /run/systemd/container"), "nixuser-boot", "V1 F systemd's own copy for the unprivileged"
    )
    tap.is_(
        machine.output("cat /etc/machine-id"),
        machine.output("cat /run/host/container-uuid").replace("-", ""),
        "V2 /etc/machine-id is the container's uuid",
    )
    tap.is_(
        machine.output("mountpoint -q /etc/machine-id || echo file"),
        "file",
        "V2 in a real file: nothing to commit with sync()",
    )
    tap.is_(
        machine.run("systemctl is-active systemd-machine-id-commit")[1].strip(), "inactive", "V2 so it is not committed"
    )
    gettys = machine.output("systemctl list-units --plain --no-legend --state=active '*getty*.service'").splitlines()
    tap.is_([line.split()[0] for line in gettys], ["console-getty.service"], "E5 one getty, on the console", gettys)
    tap.is_(
        machine.run("systemctl is-active systemd-udevd systemd-udevd-control.socket")[1].split().count("active"),
        0,
        "E4 udev does not run: /sys is read-only",
    )
    tap.is_(
        machine.output("cat /proc/1/cgroup | sed -n s/^0:://p"),
        "/init.scope",
        "E6 E7 systemd manages the cgroups from its root on",
    )
    tap.is_(
        machine.run("mkdir /sys/fs/cgroup/own && echo $$ >/sys/fs/cgroup/own/cgroup.procs")[0],
        0,
        "E7 the delegated cgroup is writable",
    )
    machine.output("echo $$ >/sys/fs/cgroup/init.scope/cgroup.procs; rmdir /sys/fs/cgroup/own")
    outside = [path for path, _, _ in os.walk(machine.terminal.process.cgroup)]
    payload = [path for path in outside if path.endswith("/nixuser-ci-demo/payload")]
    tap.is_(len(payload), 1, "E7 the machine is in a cgroup of its own below the delegated one", outside)
    strangers = [path for path in outside if "/payload" not in path and os.stat(path).st_uid != judy.uid]
    tap.is_(strangers, [], "A5 no cgroup outside of it is the machine's", outside)
    tap.is_(machine.output("systemctl show -p NFailedUnits --value"), "0", "no failed unit")
    inaccessible = machine.output(
        "cd /run/host/inaccessible 2>/dev/null || cd /run/systemd/inaccessible; stat -c '%n %a' *"
    ).splitlines()
    tap.ok(
        {"reg 0", "dir 0", "fifo 0", "sock 0"} <= set(inaccessible),
        "R2 systemd has its inaccessible nodes",
        inaccessible,
    )
    with open("/etc/os-release") as file:
        host = file.read()
    tap.is_(machine.output("cat /run/host/os-release"), host.replace("\r", "").strip(), "R4 os-release is the host's")
    tap.ok(
        machine.run("test -w /run/host/unix-export && ! touch /run/host/x")[0] == 0, "R8 only unix-export is writable"
    )
    machine.output("ls /etc/ssh/ssh_host_* || systemctl start sshd-keygen.service")
    # The caller, as with `ssh -o ProxyCommand=...`, but as far as the greeting.
    result = judy.run(["python3", "-c", GREETING, judy.runtime + "/nixuser/ci-demo/unix-export/ssh"])
    tap.like(result.out, r"\ASSH-2\.0-", "R8 R9 sshd answers the caller on unix-export/ssh, without a network", result)
    tap.is_(machine.power_off(), 0, "exit status")


GREETING = """
import socket, sys
with socket.socket(socket.AF_UNIX) as client:
    client.settimeout(15)
    client.connect(sys.argv[1])
    print(client.recv(64).decode())
"""


@tap.case("readiness is relayed", timeout=60)
def readiness():
    path = judy.runtime + "/test-notify"
    server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    server.bind(path)
    os.chown(path, judy.uid, judy.gid)
    server.settimeout(60)
    tap.cleanup(os.unlink, path)
    tap.cleanup(server.close)
    machine = lab.Machine(judy, name="ci-notify", env={"NOTIFY_SOCKET": path})
    message = server.recv(4096).decode()
    tap.like(message, r"^READY=1", "A6 READY=1 of the machine's systemd reaches the supervisor's manager")
    machine.login()
    state = machine.output("systemctl is-system-running --wait")
    tap.is_(state, "running", "A6 when it has booted")
    os.kill(machine.pid, signal.SIGTERM)
    tap.is_(machine.terminal.wait(60), 0, "A3 a stop request is SIGRTMIN+3 to PID 1")
    tap.like(machine.terminal.log, "Reached target .*(halt|poweroff).target", "A3 and the machine stops in order")


@tap.case("clauses that this version does not use")
def not_used():
    clauses = set(re.findall(r"\b[EVANRX]\d+(?= )", CLAUSES))
    tested = set().union(*(re.findall(r"^(?:[EVANRX]\d+ )*", name)[0].split() for name in tap.names))
    tap.is_(sorted(clauses - tested - set(NOT_USED)), [], "every other clause has its test")
    tap.is_(sorted(tested & set(NOT_USED)), [], "and these have none")
    for clause, reason in NOT_USED.items():
        tap.skip(clause, reason)


tap.main()
