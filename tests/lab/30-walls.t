#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Walls between users: alice cannot see, signal, attach to or read anything of bob's machine.

What the kernel shows of every process to everybody is no wall's business, unless /proc is mounted with hidepid: its
name, arguments, state, ids, limits, cgroup, mounts.
"""

import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import logins
import lab
import tap

lab.need("result", "trivial")
alice, bob = (logins.User(name) for name in ("alice", "bob"))
ATTACK = os.path.join(os.path.dirname(os.path.abspath(__file__)), "attack.py")
DENIED = {"EPERM", "EACCES"}


def start(name):
    """Bob's machine, and the pids of what belongs to it."""
    machine = logins.Machine(bob, name).login()
    machine.output("echo secret >/root/secret; echo secret >/tmp/secret; sleep 4711 & disown")
    pids = {"supervisor": machine.pid, "launcher": machine.launcher(), "PID 1": machine.payload()}
    pids["a process"] = tap.until(lambda: bobs("sleep"), 10, "a process in the machine")
    pids["its shell"] = bobs("bash")
    return machine, pids


def bobs(name):
    """The process of this name in his machine."""
    for process in lab.processes():
        if process.comm == name and bob.uid not in process.uids and any(map(bob.has_uid, process.uids)):
            return process.pid
    return None


def attack(target, user=None, prefix=()):
    """How each attempt ended, made by root or in a login session of a user's."""
    command = [*prefix, "python3", ATTACK, json.dumps(target)]
    if user:
        return json.loads(lab.must(user.run(command, timeout=90)))
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def sockets(directories):
    """The sockets below them that wait for somebody, and those in no directory."""
    with open("/proc/net/unix") as file:
        lines = [line.split() for line in file]
    # Listening ones, and those for datagrams. Clients of a bus have addresses as well, to which nobody can connect.
    names = {fields[7] for fields in lines if len(fields) > 7 and (fields[3] == "00010000" or fields[4] == "0002")}
    below = sorted(name for name in names if name.startswith(tuple(directories)))
    return below, {name for name in names if name.startswith("@")}


ADD_KEY = """
import ctypes, os
libc = ctypes.CDLL(None)
number = {"x86_64": 248, "aarch64": 217}[os.uname().machine]
print(libc.syscall(number, b"user", b"secret", b"secret", ctypes.c_long(6), ctypes.c_long(-4)))
"""


@tap.case("by any means of the kernel", timeout=180)
def kernel():
    lab.must(bob.sh("true"))  # his user manager, and its sockets
    _, before = sockets([])
    machine, pids = start("private")
    own = [f"{bob.runtime}/nixuser/private", f"{bob.state}/nixuser", bob.runtime, bob.home, bob.state]
    os.makedirs(bob.state + "/nixuser", exist_ok=True)
    for path in (bob.home + "/.local", bob.state, bob.state + "/nixuser"):
        os.chown(path, bob.uid, bob.gid)
    group = f"{bob.manager}/{machine.cgroup()}"
    groups = [group, os.path.dirname(group), bob.manager, bob.slice]
    with open(f"/proc/{pids['PID 1']}/cgroup") as file:
        groups.append("/sys/fs/cgroup" + re.search(r"^0::(.*)$", file.read(), re.M)[1])
    files = [f"{group}/cgroup.{name}" for group in groups for name in ("procs", "threads", "kill", "freeze")]
    below, after = sockets([bob.runtime, bob.home, "/tmp"])
    tap.is_(after - before, set(), "a machine opens no socket that is in no directory")
    tap.ok(len(below) > 1, "there are sockets of bob's", below)
    target = {
        "pids": pids,
        "paths": [*own, os.readlink(f"/proc/{machine.pid}/fd/0"), *filter(os.path.exists, files)],
        "sockets": below,
        "keys": [],
    }
    control = attack(target)
    # Limits: in a container, perhaps, this root is without CAP_SYS_RESOURCE.
    unable = {name: end for name, end in control.items() if end in DENIED and not name.endswith(": limits")}
    tap.is_(unable, {}, "root can do all of it")
    keys = {"pids": {}, "paths": [], "sockets": [], "keys": [int(lab.must(bob.run(["python3", "-c", ADD_KEY])))]}
    tap.is_(set(attack(keys, bob).values()), {"done"}, "bob can read a key of his")
    target |= {"keys": keys["keys"]}
    for who, prefix in {
        "alice": (),
        "alice, as root of a user namespace of hers": ("unshare", "--map-auto", "--map-root-user"),
    }.items():
        ends = attack(target, alice, prefix)
        tap.is_(len(ends), len(control) + 2, f"{who}: {len(ends)} attempts")
        succeeded = {name: end for name, end in ends.items() if end not in DENIED}
        tap.is_(succeeded, {}, f"{who}: each is refused for want of permission")
    alive = machine.output("cat /root/secret; pgrep -c -x sleep; systemctl is-system-running")
    tap.is_(alive, "secret\n1\nrunning", "bob's machine lives")
    tap.is_(machine.power_off(), 0, "and ends")
    bob.nothing_left("at the end")


@tap.case("by programs that do it for her", timeout=120)
def services():
    machine, pids = start("walled")
    for what, command in {
        "trace": f"strace -o /dev/null -p {pids['supervisor']}",
        "enter": f"nsenter -t {pids['launcher']} -U --preserve-credentials true",
        "speak to bob's user manager": "systemctl --user -M bob@ status",
        "speak to bob's bus": f"busctl --address=unix:path={bob.runtime}/bus list",
        "stop bob's user manager": f"systemctl --no-ask-password stop user@{bob.uid}.service",
        "kill bob's user manager": f"systemctl --no-ask-password kill user@{bob.uid}.service",
        "freeze bob's user manager": f"systemctl --no-ask-password freeze user@{bob.uid}.service",
        "limit bob": f"systemctl --no-ask-password set-property --runtime user-{bob.uid}.slice TasksMax=1",
        "end bob's session": "loginctl --no-ask-password terminate-user bob",
        "signal bob's session": "loginctl --no-ask-password kill-user bob",
        "make bob linger": "loginctl --no-ask-password enable-linger bob",
        "run something as bob": f"systemd-run --no-ask-password --uid={bob.uid} true",
        "become bob": "setpriv --reuid bob --clear-groups true || runuser -u bob true",
        "become bob's range": f"unshare -U --map-users={bob.subuid[0]},0,1 --map-groups=0,0,1 true",
        "read bob's journal": f"journalctl -q _UID={bob.uid} | grep .",
        "read the journal of bob's machine": "journalctl -q --user-unit=nixuser-walled.scope | grep .",
    }.items():
        result = alice.sh(command + " </dev/null")
        tap.ok(result.status != 0 and result.out == "", f"alice cannot {what}", result)
    shared = "/run /tmp /dev/shm /var/tmp /var/lib /nix/var"
    for how in ("readable", "writable"):
        start_, count = bob.subuid
        owned = f"\\( -user bob -o -uid +{start_ - 1} -uid -{start_ + count} \\)"
        result = alice.sh(f"find {shared} {owned} ! -type l -{how} 2>/dev/null")
        tap.is_(result.out, "", f"nothing of bob's is {how} to her", result)
    result = alice.sh("find /sys/fs/cgroup -writable 2>/dev/null")
    strange = [path for path in result.out.split() if not path.startswith(alice.slice)]
    tap.is_(strange, [], "no cgroup but her own is hers to change", result)
    own = logins.Machine(alice, "own").login()
    tap.is_(own.output("pgrep -c -x sleep || true"), "0", "nor does her machine show bob's processes")
    for what, command in {
        "signal": f"kill -0 {pids['PID 1']}",
        "see bob's runtime directory": f"ls {bob.runtime}",
        "see bob's home": f"ls {bob.home}",
        "become bob's range": "unshare -U true; setpriv --reuid 70000 true",
        "see bob's cgroups": f"ls -d /sys/fs/cgroup/user.slice/user-{bob.uid}.slice",
    }.items():
        tap.ok(own.run(command)[0] != 0, f"the root of alice's machine cannot {what}")
    tap.is_(own.power_off(), 0, "alice's ends")
    alive = machine.output("cat /root/secret; pgrep -c -x sleep; systemctl is-system-running")
    tap.is_(alive, "secret\n1\nrunning", "bob's lives")
    tap.is_(machine.power_off(), 0, "and ends")
    for user in (alice, bob):
        user.nothing_left("at the end")


tap.main()
