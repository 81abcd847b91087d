#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The world the other tests run in: if something here fails, failures elsewhere mean little."""

import os
import re
import resource
import signal
import subprocess
import sys
import time

import lab
import tap

USERS = ["alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy", "kate", "trent"]
everyone = lab.claim(*USERS)
alice, bob = everyone[:2]
world = os.path.join(os.path.dirname(os.path.abspath(__file__)), "world")


@tap.case("users are themselves and have their own homes")
def users():
    for user in everyone:
        result = user.sh(
            "id -u; id -g; id -G; stat -c '%U %a' ~ $XDG_RUNTIME_DIR; "
            "touch ~/x $XDG_RUNTIME_DIR/x && rm ~/x $XDG_RUNTIME_DIR/x"
        )
        uid, gid = str(user.uid), str(user.gid)
        tap.is_(
            result.out.split("\n"),
            [uid, gid, gid] + [f"{user.name} 700"] * 2 + [""],
            f"{user.name}: ids and directories",
            result,
        )
    result = alice.run(["ls", bob.home])
    tap.ok(result.status != 0, "alice may not look into bob's home", result)
    result = alice.run(["sh", "-c", "grep -E 'Cap(Prm|Eff|Amb|Inh)' /proc/self/status"])
    tap.is_(set(re.findall(r":\s*(\w+)", result.out)), {"0000000000000000"}, "alice has no capability", result)


@tap.case("ranges are what libsubid reads")
def ranges():
    expected = {
        "alice": "0: alice 1000000 65536",
        "bob": "0: bob 1065536 65536",
        "carol": "",
        "dave": "0: dave 3000000 65536",
        "heidi": "0: heidi 3300000 65535",
        "judy": "0: judy 1300000 65536",
        "trent": "0: trent 3065535 65536",
    }
    for name, line in expected.items():
        result = alice.run(["getsubids", name])
        tap.is_(result.out.strip(), line, f"range of {name}", result)
    tap.is_(alice.run(["getsubids", "-g", "judy"]).out.strip(), "0: judy 1400000 65536", "judy's gids are elsewhere")
    tap.is_(alice.run(["getsubids", "-g", "kate"]).out.strip(), "", "kate has no gids")
    tap.is_((alice.subuid, bob.subgid), ((1000000, 65536), (1065536, 65536)), "and what the tests read themselves")


@tap.case("the Nix daemon works for users and the store is read-only")
def daemon():
    path = lab.add_tree(alice, "something", {"file": "content", "link": "-> file", "empty": None}, "something")
    result = alice.run(["nix-store", "-q", "--roots", path])
    tap.like(result.out, re.escape(alice.home + "/something"), "alice's link is a root", result)
    tap.is_(bob.run(["cat", path + "/link"]).out, "content", "bob reads what alice added")
    result = alice.sh(f"touch /nix/store/x; touch {path}/x; touch /nix/var/nix/db/db.sqlite")
    tap.is_(result.err.count("cannot touch"), 3, "alice cannot write to the store or its database", result)
    tap.is_(
        subprocess.run(["touch", path + "/x"], stderr=subprocess.DEVNULL).returncode,
        1,
        "root cannot either: read-only mount",
    )
    stat = os.stat("/nix/store")
    tap.is_(
        (stat.st_uid, stat.st_gid, oct(stat.st_mode & 0o7777)), (0, 30000, "0o1775"), "the store is root:nixbld 1775"
    )
    entry = os.stat(path)
    tap.is_(
        (entry.st_uid, entry.st_dev, oct(entry.st_mode & 0o7777)),
        (0, stat.st_dev, "0o555"),
        "an entry is root's, on the store's device",
    )
    result = alice.run(["nix-store", "--delete", path])
    tap.like(result.err, "still alive", "what alice rooted cannot be deleted", result)
    os.unlink(alice.home + "/something")
    with lab.collecting():
        result = alice.run(["nix-store", "--delete", path])
    tap.ok(result.status == 0 and not os.path.exists(path), "without the root it can", result)


@tap.case("the Nix daemon builds")
def builds():
    expression = (
        'derivation { name = "built"; system = "%s-linux"; builder = "/bin/sh"; args = [ "-c" "echo hi > $out" ]; }'
    )
    link = alice.keep("built")
    result = alice.run(["nix-build", "--expr", expression % os.uname().machine, "-o", link])
    tap.ok(result.status == 0, "a build succeeds", result)
    tap.is_(alice.run(["cat", link]).out, "hi\n", "and has its output")


@tap.case("each user has roots of his own for the closures")
def roots():
    if not lab.CLOSURES:
        tap.skip_rest("the world was made without a closure")
    for name, path in lab.CLOSURES.items():
        for user in everyone:
            link = f"{user.home}/{name}"
            tap.is_((os.readlink(link), os.lstat(link).st_uid), (path, user.uid), f"~{user.name}/{name}")
        out = alice.run(["nix-store", "-q", "--roots", path]).out
        tap.is_(out.count(f"/{name} -> "), len(everyone), f"{name}: as many roots as users", out)
        result = alice.sh(f"nix-store -qR {path} | xargs nix-store --check-validity")
        tap.ok(result.status == 0, f"{name}: the whole closure is there", result)


@tap.case("unprivileged user namespaces, fresh proc and devpts in them")
def namespaces():
    result = alice.run(
        [
            "unshare",
            "--map-auto",
            "--map-root-user",
            "-fpm",
            "--mount-proc",
            "sh",
            "-c",
            "cat /proc/self/uid_map; echo $$",
        ]
    )
    tap.like(result.out, r"\A\s+0\s+20001\s+1\n\s+1\s+1000000\s+6553[56]\n1\n", "alice's range is mapped", result)
    script = (
        "mount -t devpts -o newinstance,gid=3 x /mnt && mount -t tmpfs x /tmp && mount --rbind /sys /mnt && echo done"
    )
    result = alice.run(["unshare", "--map-auto", "--map-root-user", "-m", "sh", "-c", script])
    tap.is_(result.out, "done\n", "and she may mount", result)


@tap.case("each command has a delegated cgroup")
def cgroups():
    tap.is_(alice.run(["stat", "-f", "-c", "%T", "/sys/fs/cgroup"]).out, "cgroup2fs\n", "cgroup2 is at its usual place")
    result = alice.sh(
        """
        here=/sys/fs/cgroup$(sed -n s/^0:://p /proc/self/cgroup); echo $here
        mkdir $here/below && echo $$ > $here/below/cgroup.procs && sed -n s/^0:://p /proc/self/cgroup
        echo $$ > $here/cgroup.procs; rmdir $here/below; mkdir $here/../../bob/x"""
    )
    tap.like(
        result.out, rf"\A{alice.cgroup}/call-\S+\n\S+/alice/call-\S+/below\n\Z", "alice may use what is hers", result
    )
    tap.like(result.err, r"\A.*bob/x.*Permission denied\n\Z", "and nobody else's", result)


@tap.case("what describes a call: limits, environment, privileges, directory")
def calls():
    out = alice.run(
        ["/bin/sh", "-c", "ulimit -n; echo $A $TERM $HOME; pwd; grep NoNewPrivs /proc/self/status"],
        limits={resource.RLIMIT_NOFILE: (99, 99)},
        env={"A": "1", "TERM": None},
        cwd="/",
        no_new_privileges=True,
    ).out
    tap.is_(out, "99\n1 /home/alice\n/\nNoNewPrivs:\t1\n", "all arrive")
    out = alice.run(["env"], env={"X": "y"}).out
    names = sorted(line.split("=")[0] for line in out.splitlines())
    tap.is_(names, sorted([*alice.environment(), "X"]), "nothing else is in the environment")
    tap.is_(alice.sh("kill -9 $$").status, -9, "a signal is seen")


@tap.case("terminals")
def terminals():
    terminal = lab.Terminal(alice, ["/bin/sh"], rows=30, cols=90)
    before = terminal.settings()
    terminal.expect(r"\$ ")
    terminal.send("tty; stty size; ps -o tty= -p $$\r")
    match = terminal.expect(r"(/dev/pts/\d+)\r\n30 90\r\npts/\d+ *\r\n")
    tap.is_(match[1], terminal.name, "the terminal is the program's controlling terminal")
    terminal.resize(31, 91)
    terminal.send("stty size; stty -echo -icanon\r")
    tap.ok(terminal.expect("31 91\r\n"), "a new size arrives")
    terminal.send("echo set''tings; exit 3\r")
    terminal.expect("settings")
    tap.is_(terminal.wait(), 3, "the exit status is the program's")
    tap.ok(terminal.settings() != before, "a changed setting is seen after the program's end")
    shell = lab.Terminal(alice, ["/bin/sh", "-c", "sleep 100"])
    shell.hang_up()
    tap.is_(shell.process.wait(), -signal.SIGHUP, "a closed window is a hangup")


@tap.case("a command is killed with what it started")
def killed():
    process = alice.start(["sh", "-c", "sleep 1000 & echo; wait"], stdout=subprocess.PIPE)
    process.popen.stdout.readline()
    process.kill()
    process.wait()
    tap.like(process.remove_cgroup(), r"sleep\[", "what a killed command leaves in its cgroup is seen")
    tap.until(lambda: not lab.processes_of([alice]), 5, "the end of alice's processes")
    tap.ok(True, "and is killed")


@tap.case("leftovers are seen")
def leftovers():
    before = lab.leftovers(alice)
    tap.is_(before.new(), {}, "nothing new at once")
    script = """mkdir /sys/fs/cgroup$(sed -n s/^0:://p /proc/self/cgroup)/below
                exec unshare --map-auto --setuid 5 --setgid 5 sleep 1000"""
    sleeper = alice.start(["sh", "-c", script])
    tap.until(lambda: "sleep" in str(before.new()), 5, "the sleep")
    tap.like(str(before.new()["processes"]), r"sleep\[\d+\]", "a process with a uid of the range")
    tap.like(str(before.new()["cgroups"]), "/below", "its cgroup")
    os.rmdir(sleeper.cgroup + "/below")
    sleeper.kill()
    sleeper.wait()
    sleeper.end()
    tap.is_(before.settled(), {}, "both are gone with it")
    for path in (
        "/home/alice/.x",
        "/run/user/20001/.x/y",
        "/tmp/x",
        "/home/alice/.local/state/nixuser/x",
        "/dev/shm/x",
    ):
        alice.sh(f"mkdir -p $(dirname {path}) && touch {path}")
        tap.like(str(before.new().get("files")), f"'{path}'", f"a file {path}")
        alice.sh(f"rm -r {path}; rmdir /run/user/20001/.x; rm -rf ~/.local")
    tap.is_(before.new(), {}, "all removed")
    subprocess.run(["mount", "-t", "tmpfs", "x", "/mnt"], check=True)
    tap.cleanup(subprocess.run, ["umount", "/mnt"])
    tap.like(str(before.new()), "'mounts'.*/mnt", "a mount")


def inner_world(script, **how):
    command = [sys.executable, world, "--no-install", "--", "sh", "-c", script]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **how)
    tap.cleanup(process.kill)
    return process


def cgroup_of(line):
    """The cgroup of a world, from the line of /proc/self/cgroup in it. Other worlds may come and go beside it."""
    return "/sys/fs/cgroup" + re.match(r"0::(/nixuser-test-[^/]+)/", line)[1]


def ends(number, name):
    """A world within this world, ended by a signal: its processes and its cgroup must go."""
    inner = inner_world("cat /proc/self/cgroup; exec sleep 12345")
    group = cgroup_of(next(line for line in inner.stdout if line.startswith("0::")))
    tap.ok(os.path.isdir(group + "/alice"), f"{name}: the inner world has a cgroup", group)
    tap.until(lambda: any(p.comm == "sleep" for p in lab.processes()), 5, "the inner world's process")
    inner.send_signal(number)
    started = time.monotonic()
    inner.wait(10)
    tap.until(lambda: not os.path.exists(group), 5, "the end of the inner world's cgroup")
    tap.until(lambda: not any(p.comm == "sleep" for p in lab.processes()), 5, "the end of its processes")
    tap.ok(True, f"{name}: all are gone")
    tap.note(f"after {time.monotonic() - started:.2f} s")


@tap.case("a world changes nothing outside and passes on the exit status", timeout=60)
def changes_nothing():
    name = os.uname().nodename
    before = lab.leftovers(*everyone)
    files = ("/etc/passwd", "/etc/subuid", "/etc/nix/nix.conf")
    contents = [open(file).read() for file in files]
    inner = inner_world(
        "grep ^0:: /proc/self/cgroup; umount /tmp; touch /etc/x /home/x /run/x /opt/x /nix/x; echo > /etc/passwd; hostname other; exit 7"
    )
    out, _ = inner.communicate()
    tap.is_(inner.returncode, 7, "exit status")
    tap.is_(before.settled(), {}, "no process, mount, cgroup or file")
    tap.ok(not os.path.exists(cgroup_of(out)), "its cgroup is gone", out)
    tap.is_([open(file).read() for file in files], contents, "files in /etc are as before")
    tap.is_(
        [path for path in ("/etc/x", "/home/x", "/run/x", "/opt/x", "/nix/x") if os.path.exists(path)],
        [],
        "no file appeared",
    )
    tap.is_(os.uname().nodename, name, "the host name is as before")
    inner = inner_world("kill -9 $$")
    inner.communicate()
    tap.is_(inner.returncode, 137, "a signal's exit status")


@tap.case("a world ends with its parent, however that ends", timeout=60)
def ends_with_parent():
    for name in ("SIGINT", "SIGTERM", "SIGKILL"):
        ends(getattr(signal, name), name)


tap.main()
