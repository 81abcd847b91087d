#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every bad input has a message and a status of its own, and leaves nothing behind."""

import os
import random
import re
import resource
import shutil
import signal
import socket
import subprocess

import lab
import linux
import tap

lab.need("result", "trivial")
NAMES = ["alice", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "kate", "trent"]
alice, carol, dave, erin, frank, grace, heidi, ivan, kate, trent = everyone = lab.claim(*NAMES)
TRIVIAL = lab.CLOSURES["trivial"]
TOPLEVEL = lab.CLOSURES["result"]

seen = {}  # message without its particulars -> the case that had it


def refused(name, status, words, *arguments, user=alice, like=None, before=None, **how):
    """Runs nixuser-boot, which must refuse: with this status, one line on standard error, and the words in it.

    like names an earlier case that rightly has the same message; all others must differ.
    """
    before = before or lab.Snapshot(everyone)
    result = user.boot(*arguments, **how)
    judge(name, result, status, words, arguments, like)
    tap.is_(before.settled(), {}, f"{name}: nothing left behind")
    return result


def judge(name, result, status, words, arguments=(), like=None):
    good = result.status == status and re.search(words, result.err, re.I | re.M) is not None
    tap.ok(good, f"{name}: status {status} and the reason", f"expected words: {words}", result)
    lines = result.err.splitlines()
    well_formed = (
        re.fullmatch(r"nixuser-(boot|helper|launch): [^\x00-\x1f\x7f]{10,}", lines[0] if lines else "") is not None
    )
    hint = ["Try 'nixuser-boot --help'."]  # the one more line that a usage error may have
    tap.ok(well_formed and lines[1:] in ([], hint), f"{name}: one line, fit for a terminal", result)
    tap.is_(result.out, "", f"{name}: nothing on standard output")
    message = general(lines[0] if lines else "", arguments)
    if like:
        tap.is_(seen.get(message), like, f"{name}: the message of '{like}'", message)
    else:
        tap.is_(seen.setdefault(message, name), name, f"{name}: a message of its own", message, seen)


def general(message, arguments):
    """A message without what differs anyway: paths, and an argument at its beginning."""
    program, _, text = message.partition(": ")
    for argument in arguments:
        text = text.removeprefix(f"{argument}: ")
    return program + ": " + re.sub(r"/[^:;,'\"]+(?=[:;,'\" ])", "PATH", text)


def link(path, target):
    """A link of alice's, removed after the case."""
    path = alice.keep(path)
    lab.must(alice.run(["ln", "-s", target, path]))
    return path


def registered(path, target=TRIVIAL, user=alice):
    user.run(["nix-store", "--realise", target, "--add-root", path])
    tap.cleanup(lab.remove, path)
    return path


# ---- the command line


@tap.case("usage")
def usage():
    refused("no closure", lab.USAGE, "closure")
    refused("an unknown option", lab.USAGE, "option", "--no-such-option", "trivial")
    refused("an option without its argument", lab.USAGE, "argument", "--name")
    refused("two closures", lab.USAGE, "closure", "trivial", "result")
    refused("an unknown console mode", lab.USAGE, "console", "--console", "telepathic", "trivial")
    refused("an unknown store mode", lab.USAGE, "store", "--store", "borrowed", "trivial")
    refused("an unknown network mode", lab.USAGE, "network", "--network", "carrier-pigeon", "trivial")
    refused("a time that is no number", lab.USAGE, "stop-timeout", "--stop-timeout", "soon", "trivial")
    refused("--console interactive without a terminal", lab.USAGE, "terminal", "--console", "interactive", "trivial")
    first = "an empty name"
    refused(first, lab.USAGE, "name", "--name", "", "trivial")
    for name in (
        "a/b",
        "..",
        ".hidden",
        "two\nlines",
        "esc\x1b[31m",
        "x" * 65,
        "x" * 5000,
        "sp ace",
        "grün",
        "-",
        "%n",
    ):
        if name == "-":  # a letter of the set, if an odd name
            continue
        refused(f"the name {ascii(name[:20])}", lab.USAGE, "name", "--name", name, "trivial", like=first)


# ---- the link


@tap.case("the link", timeout=60)
def links():
    refused("no such link", lab.REFUSED, "no such", "nowhere")
    refused("no such directory", lab.REFUSED, "no such", "no/where", like="no such link")
    refused("an empty path", lab.REFUSED, "directory|empty|no such", "")
    lab.must(alice.sh("echo x >~/file; mkdir ~/folder; mkdir -m 0 ~/locked"))
    for name in ("file", "folder", "locked"):
        alice.keep(name)
    refused("a file", lab.REFUSED, "not a symbolic link", "file")
    refused("a directory", lab.REFUSED, "directory", "folder", like="an empty path")
    link("dangling", "/nix/store/00000000000000000000000000000000-nothing")
    refused("a dangling link", lab.REFUSED, "dangl", "dangling")
    link("astray", "/no/where/at/all")
    refused("a link to nowhere", lab.REFUSED, "store", "astray")
    link("loop", "loop")
    refused("a link to itself", lab.REFUSED, "itself|loop", "loop")
    link("ring-a", "ring-b")
    link("ring-b", "ring-a")
    refused("a ring of links", lab.REFUSED, "store|loop", "ring-a", like="a link to nowhere")
    link("hops", "trivial")
    refused("two hops", lab.REFUSED, "one hop", "hops", like="a link to nowhere")
    link("above", "folder")
    refused("a link below a link", lab.REFUSED, "symbolic link", "above/x")
    refused("a link in a directory one may not read", lab.REFUSED, "permission|read", "locked/link")
    refused("a link in a home one may not read", lab.REFUSED, "another user", "/home/carol/trivial")
    refused(
        "a link in somebody else's directory",
        lab.REFUSED,
        "another user",
        f"{open_home(carol)}/trivial",
        like="a link in a home one may not read",
    )
    registered("/tmp/carols", user=carol)
    refused("a link of somebody else", lab.REFUSED, "another user", "/tmp/carols")
    lab.must(alice.sh("mkdir -m 777 ~/open && mkdir -m 755 ~/open/inner; mkdir -m 775 ~/group; chgrp alice ~/group"))
    alice.keep("open")
    alice.keep("group")
    registered(alice.home + "/open/link")
    registered(alice.home + "/open/inner/link")
    first = "a link in a world-writable directory"
    refused(first, lab.REFUSED, "write|writable", "open/link")
    refused("one further below it", lab.REFUSED, "write|writable", "open/inner/link", like=first)
    link("x" * 250, TRIVIAL)
    refused("a path that is too long", lab.REFUSED, "long", "/".join(["x" * 250] * 20))


def open_home(user):
    os.chmod(user.home, 0o755)
    tap.cleanup(os.chmod, user.home, 0o700)
    return user.home


@tap.case("names with control characters")
def control_characters():
    for name in ("new\nline", "esc\x1b[31mred", "\x9b31m", "del\x7f", "\t", "not-utf8-\udcff"):
        refused(f"a link named {ascii(name)} that does not exist", lab.REFUSED, "no such", name, like="no such link")
    name = "new\nline\x1b[2J"
    link(name, TRIVIAL)
    result = refused("a link named with newline and escape", lab.USAGE, "name", name)
    tap.unlike(result.err, "\x1b", "no escape sequence reaches the terminal")
    link("hostile", "/nix/store/00000000000000000000000000000000-a\n\x1b[2Jb")
    refused("a target with newline and escape", lab.REFUSED, "name", "hostile")


@tap.case("what the link points to", timeout=60)
def targets():
    hash_part = os.path.basename(TRIVIAL)[:32]
    for name, target in {
        "a short hash": "/nix/store/abc-x",
        "no name": f"/nix/store/{hash_part}-",
        "no dash": f"/nix/store/{hash_part}",
        "a letter that is not of base 32": f"/nix/store/{'e' * 32}-x",
        "a name with a space": f"/nix/store/{hash_part}-a b",
        "a name that is too long": f"/nix/store/{hash_part}-{'x' * 212}",
        "a name like '..'": f"/nix/store/{hash_part}-..",
    }.items():
        link("target", target)
        first = "a target with newline and escape"
        refused(f"{name} in the target", lab.REFUSED, "store path", "target", like=first)
        os.unlink(alice.home + "/target")
    link("within", TRIVIAL + "/init")
    refused("something inside a store path", lab.REFUSED, "inside", "within")
    link("dots", f"/nix/store/../store/{TRIVIAL[11:]}")
    refused("a target with '..'", lab.REFUSED, "inside", "dots", like="something inside a store path")
    link("doubled", f"/nix//store/{TRIVIAL[11:]}")
    refused("a target with '//'", lab.REFUSED, "straight", "doubled", like="a link to nowhere")
    link("relative", f"../../nix/store/{TRIVIAL[11:]}")
    refused("a relative target", lab.REFUSED, "straight", "relative", like="a link to nowhere")
    link("store", "/nix/store")
    refused("the store itself", lab.REFUSED, "store", "store", like="a link to nowhere")
    link("unregistered", TRIVIAL)
    refused("a link that is no registered root", lab.REFUSED, "registered", "unregistered")
    registered(alice.home + "/before")
    os.rename(alice.home + "/before", alice.keep("after"))
    refused(
        "a registered link that was renamed",
        lab.REFUSED,
        "registered",
        "after",
        like="a link that is no registered root",
    )


@tap.case("what is in the store", timeout=90)
def contents():
    alice.sh("echo x >~/a-file")
    with lab.adding():
        path = lab.must(alice.run(["nix-store", "--add", alice.keep("a-file")]))
        registered(alice.home + "/file", path)
    refused("a file in the store", lab.REFUSED, "file", "file")
    expression = f'derivation {{ name = "x"; system = "{os.uname().machine}-linux"; builder = "/bin/sh"; }}'
    lab.must(alice.run(["nix-instantiate", "--expr", expression, "--add-root", alice.keep("derivation")]))
    refused("a derivation", lab.REFUSED, "derivation", "derivation")

    def tree(name, files):
        lab.add_tree(alice, name, files, name)
        return name

    refused("a path without init", lab.REFUSED, "init", tree("no-init", {"nixos-version": "1"}))
    refused("an init that cannot be executed", lab.REFUSED, "execut", tree("plain-init", {"init": "x"}))
    refused(
        "an etc overlay", lab.REFUSED, r"etc.overlay", tree("etc-overlay", {"init": "#!x", "etc-metadata-image": "x"})
    )
    foreign = "aarch64-linux" if os.uname().machine == "x86_64" else "x86_64-linux"
    refused("another architecture", lab.REFUSED, "architecture", tree("foreign", {"init": "#!x", "system": foreign}))
    lab.variant(alice, "nixos-init", "result", "nixos-init", change="rm init; cp systemd/lib/systemd/systemd init")
    refused("nixos-init", lab.REFUSED, "nixos-init", "nixos-init")
    refused(
        "an init whose interpreter is missing",
        lab.OS_ERROR,
        "init",
        tree("bad-init", {"init": "#!/no/such/interpreter"}),
    )


@tap.case("store paths that Nix does not know or did not make")
def foreign_paths():
    def plant(name, owner=0, mode=0o555):
        """Makes a directory in the store behind Nix's back, as root."""
        path = f"/nix/store/{'1' * 32}-{name}"
        script = f"""mount -o remount,rw,bind /nix/store
                     cp -r {TRIVIAL} {path}; chmod u+w {path} {path}/init
                     sed -i 's/^exit.*/read forever/' {path}/init
                     chmod 555 {path}/init; chown {owner} {path}; chmod {mode:o} {path}"""
        subprocess.run(["unshare", "-m", "sh", "-ec", script], check=True)
        tap.cleanup(subprocess.run, ["unshare", "-m", "sh", "-c", f"mount -o remount,rw,bind /nix/store; rm -r {path}"])
        return path

    with lab.adding():  # or a collector would take them for garbage
        link("unknown", plant("unknown"))
        first = "a link that is no registered root"
        refused("an unknown path, unregistered", lab.REFUSED, "registered", "unknown", like=first)
        registered(alice.home + "/changed")
        os.unlink(alice.home + "/changed")
        link("changed", os.readlink(alice.home + "/unknown"))
        # It runs already when the daemon says so, and is killed.
        refused("an unknown path, registered", lab.REFUSED, "not valid", "changed")
        for name, words, how in (("carols", "belong", {"owner": carol.uid}), ("writable", "writable", {"mode": 0o777})):
            link(name, plant(name, **how))
            refused(f"a store path like {name}", lab.REFUSED, words, name)


# ---- the caller and his ranges


@tap.case("ranges")
def ranges():
    for user, words in (
        (carol, "no subordinate ids"),
        (erin, "empty|zero|count 0"),
        (frank, "wrap|past|last"),
        (grace, "root"),
        (dave, "overlap"),
        (heidi, "65536"),
    ):
        refused(f"the range of {user.name}", lab.NOT_PERMITTED, words, "trivial", user=user)
    refused(
        "the other side of an overlap", lab.NOT_PERMITTED, "overlap", "trivial", user=trent, like="the range of dave"
    )
    refused(
        "uids but no gids", lab.NOT_PERMITTED, "no subordinate ids", "trivial", user=kate, like="the range of carol"
    )


def with_subuid(lines):
    """Another /etc/subuid and /etc/subgid, in a mount namespace of the call."""

    def prepare():
        private_mounts()
        for file in ("subuid", "subgid"):
            with open(f"/etc/{file}") as old:
                text = "".join(line for line in old if not line.startswith("alice:"))
            linux.tmpfs("/mnt")
            with open("/mnt/new", "w") as new:
                new.write(text + lines)
            linux.bind("/mnt/new", f"/etc/{file}")
            linux.umount("/mnt")

    return prepare


def private_mounts():
    linux.unshare(linux.CLONE_NEWNS)
    linux.mount(None, "/", None, linux.MS_REC | linux.MS_PRIVATE)


@tap.case("more ranges that must not be taken", timeout=60)
def bad_ranges():
    for name, lines, words in (
        ("a negative start", "alice:-5:65536\n", None),
        ("a negative count", "alice:1000000:-1\n", None),
        ("a start above 32 bits", "alice:4295967296:65536\n", None),
        ("a count above 32 bits", "alice:1000000:4295032832\n", None),
        ("a range that ends at the last id", "alice:4294901760:65536\n", "past|last"),
        ("a range of accounts", "alice:1000:65536\n", "accounts|own id|below"),
        ("a range with the caller's uid", "alice:20000:65536\n", "accounts|own id|below"),
        ("a range that is bob's", "alice:1065536:65536\n", "overlap"),
        ("a range that shares bob's first id", "alice:1000001:65536\n", "overlap"),
        ("a hexadecimal start", "alice:0xf4240:65536\n", None),
        ("an octal start", "alice:01000000:65536\n", None),
    ):
        before = lab.Snapshot(everyone)
        result = alice.boot("trivial", as_root=with_subuid(lines))
        good = result.status in (lab.NOT_PERMITTED, lab.OS_ERROR) and re.search(words or "range|subuid|ids", result.err)
        tap.ok(good, f"{name} is refused", result)
        tap.is_(before.settled(), {}, f"{name}: nothing left behind")
    result = alice.boot("trivial", "--", "6", as_root=with_subuid("alice:5000000:65535\nalice:1000000:65536\n"))
    tap.is_(result.status, 6, "a small range and a good one: the good one", result)
    result = alice.boot("--dry-run", "trivial", as_root=with_subuid("alice:1000000:131072\n"))
    good = result.status == lab.NOT_PERMITTED or re.search("^uid 0 1000000 65536$", result.out, re.M)
    tap.ok(good, "of a large range that reaches into bob's, at most the part that is not his", result)
    result = alice.boot("trivial", "--", "6", as_root=with_subuid("alice:1131072:65536\n"))
    tap.is_(result.status, 6, "the range after bob's touches it and is good", result)


@tap.case("the files say what libsubid says they say", timeout=60)
def as_libsubid():
    """Where the helper reads /etc/subuid itself, any file of alice's must mean to it what libsubid makes of it."""
    dice = random.Random(1)
    starts, counts = (70000, 5000000, 5100000, 6000000), (0, 1, 65535, 65536, 65537, 200000)
    for turn in range(12):
        lines = [f"{dice.choice(('alice', str(alice.uid), 'alice', 'nemo'))}:{dice.choice(starts) + 300000 * n}:"
                 f"{dice.choice(counts)}\n" for n in range(dice.randint(0, 4))]
        ranges = [tuple(map(int, line.split()[2:])) for line in
                  alice.run(["getsubids", "alice"], as_root=with_subuid("".join(lines))).out.splitlines()]
        result = alice.boot("--dry-run", "trivial", as_root=with_subuid("".join(lines)))
        large = [start for start, count in ranges if count >= 65536]
        if large and all(count > 0 for _, count in ranges):
            tap.like(result.out, rf"(?m)^uid 0 {large[0]} 65536$", f"the first large one of {ranges}", result)
        else:
            tap.is_(result.status, lab.NOT_PERMITTED, f"refused: {ranges}", result)


@tap.case("a plugin that is not there")
def missing_plugin():
    """libsubid takes the files instead, and says nothing."""
    def prepare():
        private_mounts()
        with open("/etc/nsswitch.conf") as old:
            text = old.read()
        linux.tmpfs("/mnt")
        with open("/mnt/new", "w") as new:
            new.write(text + "subid: nowhere\n")
        linux.bind("/mnt/new", "/etc/nsswitch.conf")
        linux.umount("/mnt")

    before = lab.Snapshot(everyone)
    tap.is_(alice.run(["getsubids", "alice"], as_root=prepare).status, 0, "getsubids answers from the files")
    result = alice.boot("trivial", as_root=prepare)
    tap.is_(result.status, lab.OS_ERROR, "we do not", result)
    tap.like(result.err, "the subid plugin that /etc/nsswitch.conf names was not loaded", "and say so")
    tap.is_(before.settled(), {}, "nothing left behind")


@tap.case("callers")
def callers():
    before = lab.Snapshot(everyone)
    environment = dict(os.environ, XDG_RUNTIME_DIR="/run", HOME="/root", NIX_REMOTE="daemon")
    done = subprocess.run(
        [lab.BOOT, alice.home + "/trivial"], env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    result = lab.Result("as root", done.returncode, done.stdout, done.stderr)
    tap.ok(result.status in (lab.REFUSED, lab.NOT_PERMITTED), "root is refused", result)
    tap.is_(before.settled(), {}, "root: nothing left behind")
    for variable in ("LD_PRELOAD", "LD_LIBRARY_PATH", "GCONV_PATH", "MALLOC_TRACE", "TMPDIR"):
        result = alice.boot("-q", "trivial", "--", "4", env={variable: "/tmp/evil"})
        tap.is_(result.status, 4, f"{variable} does no harm", result)


# ---- the host


@tap.case("capabilities of the helper", timeout=60)
def helper():
    plain = "/run/nixuser-test/plain-helper"
    shutil.copyfile(lab.HELPER, plain)
    os.chmod(plain, 0o755)
    tap.cleanup(os.unlink, plain)

    def without():
        private_mounts()
        linux.bind(plain, lab.HELPER)

    def nosuid():
        private_mounts()
        directory = os.path.dirname(lab.HELPER)
        linux.bind(directory, directory, linux.MS_NOSUID | linux.MS_NODEV)

    def missing():
        private_mounts()
        linux.tmpfs(os.path.dirname(lab.HELPER))

    first = "a helper without capabilities"
    refused(first, lab.UNAVAILABLE, "setcap", "trivial", as_root=without)
    refused("a helper on nosuid", lab.UNAVAILABLE, "nosuid", "trivial", as_root=nosuid, like=first)
    refused("under no_new_privs", lab.UNAVAILABLE, "no_new_privs", "trivial", no_new_privileges=True)
    refused("no helper at all", lab.UNAVAILABLE, "installed", "trivial", as_root=missing)


def no_user_namespaces():
    """user.max_user_namespaces=0, in a user namespace of the call that maps every id to itself.

    In ours it would count for the whole host. A process cannot write such a map for itself, so a child does.
    """
    entered, tell = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        os.read(entered, 1)
        for kind in ("uid", "gid"):
            with open(f"/proc/{parent}/{kind}_map", "w") as file:
                file.write("0 0 4294967295")
        os._exit(0)
    linux.unshare(linux.CLONE_NEWUSER)
    os.write(tell, b"!")
    os.waitpid(child, 0)
    os.close(entered)
    os.close(tell)
    with open("/proc/sys/user/max_user_namespaces", "w") as file:
        file.write("0")


@tap.case("user namespaces off")
def namespaces_off():
    refused("user.max_user_namespaces=0", lab.UNAVAILABLE, "max_user_namespaces", "trivial", as_root=no_user_namespaces)


@tap.case("cgroups")
def cgroups():
    refused("no cgroup that the caller may write", lab.UNAVAILABLE, "cgroup", "trivial", cgroup=lab.CGROUP + "/tests")

    def no_cgroup2():
        private_mounts()
        linux.umount("/sys/fs/cgroup")

    refused("no cgroup2 mounted", lab.UNAVAILABLE, "cgroup", "trivial", as_root=no_cgroup2)


@tap.case("the runtime directory", timeout=60)
def runtime_directory():
    def without():
        private_mounts()
        linux.umount(alice.runtime)

    first = "no runtime directory"
    refused(first, lab.UNAVAILABLE, "XDG_RUNTIME_DIR", "trivial", env={"XDG_RUNTIME_DIR": None}, as_root=without)
    refused(
        "one that does not exist",
        lab.UNAVAILABLE,
        "XDG_RUNTIME_DIR",
        "trivial",
        env={"XDG_RUNTIME_DIR": "/no/where"},
        like=first,
    )
    refused(
        "a relative one",
        lab.UNAVAILABLE,
        "XDG_RUNTIME_DIR",
        "trivial",
        env={"XDG_RUNTIME_DIR": "run"},
        as_root=without,
        like=first,
    )
    refused(
        "one that belongs to root",
        lab.UNAVAILABLE,
        "XDG_RUNTIME_DIR",
        "trivial",
        env={"XDG_RUNTIME_DIR": "/run"},
        like=first,
    )
    refused(
        "one that others may write to",
        lab.UNAVAILABLE,
        "XDG_RUNTIME_DIR",
        "trivial",
        env={"XDG_RUNTIME_DIR": "/tmp"},
        like=first,
    )

    def full(options, fill=False):
        def prepare():
            private_mounts()
            linux.tmpfs(alice.runtime, "0700", alice.uid, alice.gid, "," + options)
            if fill:
                with open(alice.runtime + "/filler", "wb", buffering=0) as file:
                    try:
                        while True:
                            file.write(b"x" * 4096)
                    except OSError:
                        pass

        return prepare

    disk = "a full disk: no inodes"
    refused(disk, lab.OS_ERROR, "space", "trivial", as_root=full("nr_inodes=1"))
    for inodes in (2, 3, 4):
        result = alice.boot("trivial", "--", "3", as_root=full(f"nr_inodes={inodes}"))
        tap.ok(
            result.status == 3 or result.status == lab.OS_ERROR and "space" in result.err,
            f"{inodes} inodes: works, or says what is full",
            result,
        )
    result = alice.boot("trivial", "--", "3", as_root=full("size=8k", fill=True))
    tap.ok(
        result.status == 3 or result.status == lab.OS_ERROR and "space" in result.err,
        "a full disk: works, or says what is full",
        result,
    )

    def read_only():
        private_mounts()
        linux.mount(None, alice.runtime, None, linux.MS_BIND | linux.MS_REMOUNT | linux.MS_RDONLY)

    refused("a read-only one", lab.OS_ERROR, "read-only", "trivial", as_root=read_only)


@tap.case("the Nix daemon", timeout=60)
def daemon():
    def without():
        private_mounts()
        linux.tmpfs("/nix/var/nix/daemon-socket")

    result = alice.boot("trivial", "--", "6", as_root=without)
    tap.is_(result.status, 6, "a single-user Nix has none: the collector finds what is open", result)

    path = lab.WORLD + "/silent-daemon"
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    os.chmod(path, 0o666)
    server.listen()
    tap.cleanup(os.unlink, path)
    tap.cleanup(server.close)

    def rude():
        private_mounts()
        linux.bind(path, "/nix/var/nix/daemon-socket/socket")

    child = os.fork()
    if child == 0:
        while True:
            server.accept()[0].close()
    tap.cleanup(os.waitpid, child, 0)
    tap.cleanup(os.kill, child, signal.SIGKILL)
    # A machine that ends at once does not need it; one that stays is not left unpinned.
    lab.probe(alice, "stays", "read forever")
    refused("a daemon that hangs up", lab.UNAVAILABLE, "daemon", "stays", as_root=rude)


@tap.case("limits", timeout=60)
def limits():
    for limit, name, values in (
        (resource.RLIMIT_NOFILE, "descriptors", (4, 6, 8, 10, 12, 16)),
        (resource.RLIMIT_NPROC, "processes", (0, 1, 2, 3)),
        (resource.RLIMIT_FSIZE, "file size", (0,)),
        (resource.RLIMIT_AS, "memory", (4 << 20, 8 << 20, 16 << 20)),
        (resource.RLIMIT_STACK, "stack", (64 << 10,)),
    ):
        for value in values:
            before = lab.Snapshot(everyone)
            result = alice.boot("trivial", "--", "3", limits={limit: (value, value)})
            # 127: the program could not even be loaded.
            said = 0 < result.status <= lab.NOT_PERMITTED and result.err.startswith("nixuser-") or result.status == 127
            tap.ok(result.status == 3 or said, f"{value} as the limit of {name}: works, or says what is wrong", result)
            tap.is_(before.settled(), {}, f"{value} as the limit of {name}: nothing left behind")


# ---- terminals


@tap.case("closed descriptors and terminals", timeout=60)
def terminals():
    before = lab.Snapshot(everyone)
    for closed in ((0,), (1,), (0, 1), (0, 1, 2)):

        def close():
            for descriptor in closed:
                os.close(descriptor)

        process = alice.start([lab.BOOT, "trivial", "--", "3"], as_user=close)
        tap.ok(
            process.wait() in (3, lab.OS_ERROR, lab.USAGE),
            f"closed: {closed}: works or is refused",
            process.popen.returncode,
        )
        process.end()
    master, slave = os.openpty()
    os.close(master)
    process = alice.start([lab.BOOT, "trivial", "--", "3"], stdin=slave, stdout=slave, stderr=subprocess.PIPE)
    os.close(slave)
    _, err = process.popen.communicate(timeout=20)
    tap.ok(
        process.popen.returncode in (3, lab.OS_ERROR, lab.USAGE),
        "a terminal whose window is closed: works or is refused",
        process.popen.returncode,
        err,
    )
    process.end()
    tap.is_(before.settled(), {}, "closed terminals: nothing left behind")


@tap.case("--dry-run refuses the same")
def dry_run():
    for user, status, words in ((alice, lab.REFUSED, "no such"), (carol, lab.NOT_PERMITTED, "no subordinate ids")):
        before = lab.Snapshot(everyone)
        result = user.boot("--dry-run", "nowhere" if user is alice else "trivial")
        tap.ok(
            result.status == status and re.search(words, result.err) and result.out == "",
            f"{user.name}: the same",
            result,
        )
        tap.is_(before.settled(), {}, f"{user.name}: nothing left behind")


@tap.case("the helper, called by hand")
def by_hand():
    before = lab.Snapshot(everyone)
    for arguments in (
        [],
        ["trivial"],
        [alice.home + "/trivial"],
        ["--check"],
        ["--check", "trivial"],
        ["x", "y", "z"],
        ["--help"],
        [""],
    ):
        result = alice.run([lab.HELPER, *arguments])
        tap.ok(
            0 < result.status <= lab.NOT_PERMITTED and result.err.startswith("nixuser-helper: "),
            f"nixuser-helper {arguments} is refused",
            result,
        )
    tap.is_(before.settled(), {}, "by hand: nothing left behind")


tap.main()
