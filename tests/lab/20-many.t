#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Thirty users, a machine each, at once, from one store; and what a host's limits say when they are reached."""

import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import logins
import lab
import tap

USERS = 30
FIRST_UID, FIRST_SUBUID = 40001, 100_000_000

lab.need("result", "trivial")


def add_users():
    """As an administrator does: useradd gives each a range of his own."""
    names = [f"student{number:02}" for number in range(1, USERS + 1)]
    for number, name in enumerate(names):
        start = FIRST_SUBUID + number * 65536
        ranges = [f"--add-sub{kind}ids={start}-{start + 65535}" for kind in "ug"]
        command = ["useradd", "--create-home", "--shell", "/bin/sh", "--uid", str(FIRST_UID + number), name]
        subprocess.run(command, check=True)
        subprocess.run(["usermod", *ranges, name], check=True)
    return [logins.User(name) for name in names]


def memory():
    """What is in use, and what files hold, in MiB."""
    with open("/proc/meminfo") as file:
        values = {key: int(value.split()[0]) for key, value in (line.split(":") for line in file)}
    return (values["MemTotal"] - values["MemAvailable"]) / 1024, (values["Cached"] - values["Shmem"]) / 1024


def closure_size():
    """All files of the closure, in MiB: no more than this can the page cache hold of it, if it holds it once."""
    paths = subprocess.run(["nix-store", "-qR", lab.CLOSURES["result"]], stdout=subprocess.PIPE, text=True, check=True)
    out = subprocess.run(["du", "-sm", "--total", *paths.stdout.split()], stdout=subprocess.PIPE, text=True, check=True)
    return int(out.stdout.split()[-2])


def mapped(users):
    """Pages of files that all processes in machines map, in MiB: counted for each of them, and counted once."""
    resident = share = 0
    for process in lab.processes():
        uid = min(process.uids)
        if any(user.has_uid(uid) and uid != user.uid for user in users):
            rollup = dict(re.findall(r"^(\w+): +(\d+) kB$", lab.read(f"/proc/{process.pid}/smaps_rollup"), re.M))
            anonymous = int(rollup.get("Anonymous", 0))
            resident += int(rollup.get("Rss", 0)) - anonymous
            share += int(rollup.get("Pss_File", 0))
    return resident / 1024, share / 1024


@tap.case("thirty users boot a machine each, at once", timeout=400)
def thirty():
    users = add_users()
    for user in users:
        lab.must(user.sh(f"nix-store --realise {lab.CLOSURES['result']} --add-root ~/result >/dev/null"))
        user.linger(True)
        tap.cleanup(user.log_out)
    one = logins.User("alice")
    lab.must(one.sh(f"{START} result", timeout=60))  # the closure is read from disk once, before what is measured
    lab.must(one.sh("systemctl --user stop lab-machine", timeout=60))
    one.log_out()
    tap.until(lambda: all(os.path.exists(user.runtime + "/bus") for user in users), 60, "the user managers")
    time.sleep(2)
    before_used, before_files = memory()
    started = time.monotonic()
    running = [user.start(["sh", "-c", f"{START} result"], stdout=-1, stderr=-1) for user in users]
    ends = [process.popen.communicate(timeout=300) for process in running]
    seconds = time.monotonic() - started
    failed = [(process.user.name, end) for process, end in zip(running, ends) if process.popen.returncode != 0]
    tap.is_(failed, [], f"all {USERS} say that they are ready")
    tap.is_(sum(len(user.boots()) for user in users), USERS, "and run")
    time.sleep(2)
    used, files = memory()
    size = closure_size()
    resident, share = mapped(users)
    tap.note(f"{seconds:.1f} s until all {USERS} are at multi-user, on {os.cpu_count()} processors")
    tap.note(f"{(used - before_used) / USERS:.1f} MiB for each machine")
    tap.note(f"page cache: {files - before_files:+.0f} MiB for {USERS} machines; the closure has {size} MiB")
    tap.note(f"mapped files of the {USERS} machines: {resident:.0f} MiB as each counts them, {share:.0f} MiB in memory")
    tap.ok(files - before_files < size, "the page cache holds the closure once", files - before_files, size)
    tap.ok(0 < share < size < resident, "and all machines map that one", share, size, resident)
    tap.ok(seconds < 180, "within three minutes", seconds)
    started = time.monotonic()
    stopping = [user.start(["systemctl", "--user", "stop", "lab-machine"]) for user in users]
    tap.is_({process.wait(180) for process in stopping}, {0}, "all stop")
    tap.note(f"{time.monotonic() - started:.1f} s until all have powered off")
    for user in users[:3]:
        user.nothing_left("after its end")


START = (
    "systemd-run --user --quiet --unit=lab-machine -p Delegate=yes -p KillMode=mixed -p Type=notify "
    f"-p TimeoutStartSec=300 {lab.BOOT} -q --name many"
)


@tap.case("when the user's inotify instances are used up", timeout=120)
def inotify():
    with open("/proc/sys/fs/inotify/max_user_instances") as file:
        limit = int(file.read())
    user = logins.User("bob")
    hold = f"""
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
n = 0
while libc.inotify_init1(0) >= 0:
    n += 1
print(n, flush=True)
sys.stdin.read()
"""
    user.linger(True)
    tap.cleanup(user.log_out)
    tap.until(lambda: os.path.exists(user.runtime + "/bus"), 20, "the user manager")
    holder = user.start(["python3", "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    held = int(holder.popen.stdout.readline())
    tap.ok(0 < held <= limit, f"{held} of {limit} are taken by another program of the user's")
    result = user.boot("--stop-timeout", "5", "--console", "pipe", "result", timeout=60)
    tap.note(f"status {result.status}\n{result.err}\n" + result.out[-1500:])
    tap.like(result.err, r"inotify.*fs\.inotify\.max_user_instances", "the message names the sysctl", result)
    tap.ok(result.status != 0, "and it is a failure", result)


tap.main()
