#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""nixuser-helper alone: the order of its entry, its two moments of privilege, and what happens when a step fails.

Under both kinds of installation: file capabilities (AT_SECURE=1, nothing effective), and a wrapper like that of NixOS
(AT_SECURE=0, dumpable, everything ambient and effective).
"""

import ctypes
import errno
import fcntl
import glob
import itertools
import multiprocessing
import os
import re
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
import time
from collections import Counter

import lab
import linux
import tap

lab.need("trivial")
alice = lab.claim("alice")
LINK = alice.home + "/trivial"
CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WORK = f"{lab.WORLD}/helper-{os.getpid()}"  # for programs and libraries of this file; anybody may read it

CAP_SETGID, CAP_SETUID, CAP_SETPCAP = 6, 7, 8
HELD = {"CAP_SETGID", "CAP_SETUID"}
MAP = [[0, alice.subuid[0], 65536], [65536, alice.uid, 1]]

libc = ctypes.CDLL(None, use_errno=True)


# ---- the two installations


WRAPPER = """
    /* What nixos/modules/security/wrappers/wrapper.c of nixpkgs does with capabilities, and nothing else of it. */
    #include <linux/capability.h>
    #include <stdio.h>
    #include <sys/prctl.h>
    #include <sys/syscall.h>
    #include <unistd.h>

    int main(int argc, char **argv, char **env)
    {
        unsigned int set = 1 << CAP_SETGID | 1 << CAP_SETUID | 1 << CAP_SETPCAP;
        struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct data[2] = {{.permitted = set, .inheritable = set}};

        if (syscall(SYS_capset, &header, data) < 0 ||
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SETGID, 0, 0) < 0 ||
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SETUID, 0, 0) < 0) {
            perror("wrapper");
            return 126;
        }
        execve(PROGRAM, argv, env);
        return 127;
    }
"""

EVIL = """
    #include <fcntl.h>
    #include <unistd.h>
    __attribute__((constructor)) static void leave_a_mark(void) { close(open(MARK, O_WRONLY | O_CREAT, 0666)); }
    unsigned int la_version(unsigned int version) { leave_a_mark(); return version; }
"""
MARK = "/tmp/evil-was-here"


def compile_c(name, source, *flags):
    path = f"{WORK}/{name}"
    subprocess.run(["cc", "-O1", "-x", "c", "-", "-o", path, *flags], input=source.encode(), check=True)
    os.chmod(path, 0o755)
    return path


def wrap(name, program):
    path = compile_c(name, WRAPPER, f'-DPROGRAM="{program}"')
    subprocess.run(["setcap", "cap_setpcap,cap_setuid,cap_setgid=ep", path], check=True)
    return path


def plain_copy(program, name):
    """A copy without file capabilities."""
    path = f"{WORK}/{name}"
    shutil.copyfile(program, path)
    os.chmod(path, 0o755)
    return path


os.mkdir(WORK, 0o755)
tap.cleanup(lab.remove, WORK)
PLAIN = plain_copy(lab.HELPER, "plain")
INSTALLS = {"file capabilities": lab.HELPER, "NixOS's wrapper": wrap("wrapper", PLAIN)}
EXECS = {lab.HELPER: 1, INSTALLS["NixOS's wrapper"]: 2}  # until the helper itself runs


# ---- running it


CLEAN = {"PATH": lab.PATH, "HOME": alice.home, "LANG": "C.UTF-8"}


def strings(values):
    array = (ctypes.c_char_p * (len(values) + 1))()
    array[: len(values)] = [os.fsencode(value) for value in values]
    return array


class Call:
    """One run of the helper by alice, with a socket as its fd 3; nothing of Python's that would start it differently.

    prepare  called as alice right before exec; what it opens, blocks or ignores is what the helper inherits
    strace   a file for the trace of it and of its children
    watch    called as Watch.serve() does: sees each system call before it happens
    cgroup   what is to be empty when it has ended; None if that is not looked at
    """

    def __init__(self, argv, env=CLEAN, prepare=None, program=None, strace=None, watch=None, cgroup=None, as_root=None):
        self.argv = argv
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        output = [os.memfd_create(name) for name in ("stdout", "stderr")]
        arguments, environment = strings(argv), strings([f"{key}={value}" for key, value in env.items()])
        self.pid = os.fork()
        if self.pid == 0:
            try:
                if watch:
                    Watch.install()
                self._become(output, theirs, as_root)
                if strace:
                    os.kill(os.getpid(), signal.SIGSTOP)
                if prepare:
                    prepare()
                libc.execve(os.fsencode(program or argv[0]), arguments, environment)
                os.write(2, b"execve: " + os.strerror(ctypes.get_errno()).encode())
            finally:
                os._exit(127)
        theirs.close()
        tracer = strace and self._attach(strace)
        self.watch = watch and Watch(self.pid, watch).serve()
        self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        if tracer:
            tracer.wait(20)
        self.out, self.err = (read_all(descriptor) for descriptor in output)
        self.left = cgroup and self._settle(cgroup)
        self.message, self.descriptors = self._receive(ours)

    @staticmethod
    def _become(output, theirs, as_root):
        """Standard streams, fd 3 and who we are; nothing else is inheritable."""
        null = os.open("/dev/null", os.O_RDWR)
        for number, descriptor in enumerate((null, *output)):
            os.dup2(descriptor, number)
        if theirs.fileno() == 3:
            os.set_inheritable(3, True)
        else:
            os.dup2(theirs.fileno(), 3)
        if as_root:
            as_root()
        os.setgroups([alice.gid])
        os.setresgid(alice.gid, alice.gid, alice.gid)
        os.setresuid(alice.uid, alice.uid, alice.uid)
        os.umask(0o022)
        os.chdir("/")
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGALRM, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)

    def _attach(self, strace):
        os.waitpid(self.pid, os.WUNTRACED)
        command = ["strace", "-f", "-qq", "-s", "200", "-o", strace, "-p", str(self.pid)]
        tracer = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        tap.until(lambda: "\nTracerPid:\t0\n" not in read(f"/proc/{self.pid}/status"), 5, "strace")
        os.kill(self.pid, signal.SIGCONT)
        return tracer

    @staticmethod
    def _settle(cgroup):
        """What is still in the cgroup after a second, but for ourselves."""
        deadline = time.monotonic() + 1
        while True:
            left = [pid for pid in read(cgroup + "/cgroup.procs").split() if pid != str(os.getpid())]
            if not left or time.monotonic() > deadline:
                return left
            time.sleep(0.001)

    @staticmethod
    def _receive(ours):
        ours.setblocking(False)
        try:
            data, descriptors, _, _ = socket.recv_fds(ours, 4096, 8)
        except BlockingIOError:  # the other end is still open somewhere
            return None, []
        except ConnectionResetError:
            return b"", []
        finally:
            ours.close()
        return data, descriptors

    def maps(self):
        """[uid map, gid map] of the namespace that was handed over."""
        namespace = self.descriptors[2]
        command = ["nsenter", "--preserve-credentials", f"--user=/proc/self/fd/{namespace}", "cat"]
        files = ["/proc/self/uid_map", "/proc/self/gid_map"]
        done = subprocess.run(command + files, pass_fds=[namespace], capture_output=True, text=True)
        lines = [[int(number) for number in line.split()] for line in done.stdout.splitlines()]
        return [lines[: len(lines) // 2], lines[len(lines) // 2 :]]

    def complete(self):
        """Whether all was handed over: the toplevel's name, four descriptors, and both maps are what they must be."""
        name = os.path.basename(lab.CLOSURES["trivial"]).encode() + b"\0"
        return self.message == name and len(self.descriptors) == 4 and self.maps() == [MAP, MAP]

    def close(self):
        while self.descriptors:
            os.close(self.descriptors.pop())

    def __str__(self):
        message = f"message: {self.message} with {len(self.descriptors)} descriptors"
        return f"command: {str(self.argv)[:200]}\nstatus:  {self.status}\nstderr:  {self.err[:1000]!r}\n{message}"


def read(path):
    try:
        with open(path) as file:
            return file.read()
    except FileNotFoundError:
        return ""


def read_all(descriptor):
    os.lseek(descriptor, 0, os.SEEK_SET)
    with os.fdopen(descriptor, "rb") as file:
        return file.read().decode(errors="replace")


def refused(call, status, words, name):
    """One line of the helper's own, fit for a terminal, and nothing handed over."""
    good = call.status == status and re.fullmatch(r"nixuser-helper: [^\x00-\x1f\x7f-\x9f]+\n", call.err)
    tap.ok(good and re.search(words, call.err), f"{name}: status {status} and one line why", call)
    tap.is_((call.out, call.message, call.descriptors), ("", b"", []), f"{name}: nothing is handed over", call)


# ---- reading what strace wrote


class Syscall:
    def __init__(self, pid, text):
        self.pid = pid
        self.name, self.args, self.result = "", text, "?"
        match = re.fullmatch(r"(\w+)\((.*)\)\s+= (-?\d+|0x[0-9a-f]+|\?)(.*)", text, re.S)
        if match:
            self.name, self.args = match[1], match[2]
            self.result = match[3] + (" " + match[4].split()[0] if match[3] in ("-1", "?") and match[4] else "")

    def succeeded(self):
        return not self.result.startswith(("-1", "?"))

    def sets(self):
        """The effective, permitted and inheritable sets of a capset or capget."""
        found = re.findall(r"(effective|permitted|inheritable)=([^,}]*)", self.args)
        return {kind: set(re.findall(r"CAP_\w+", text)) for kind, text in found}

    def writes(self):
        """Whether it opens a file for writing."""
        return self.name.startswith("open") and re.search(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC", self.args) is not None

    def general(self):
        """The call without what differs from run to run: numbers, addresses, what was the case before it."""
        args = self.args
        if self.name == "rt_sigaction":
            args = re.sub(r"sa_restorer=\w+", "", args.split("}, ")[0])
        if self.name == "getrandom":
            args = ""
        args = re.sub(r"0x[0-9a-f]+|\d+", "N", args)
        return f"{self.name}({args}) {'ok' if self.succeeded() else self.result}"

    def __repr__(self):
        return f"{self.name}({self.args}) = {self.result}"


class Trace:
    """What the helper and its two children did, each by itself, from the helper's own exec on."""

    def __init__(self, path):
        with open(path, errors="replace") as file:
            calls = list(self._parse(file))
        start = max(i for i, call in enumerate(calls) if call.name == "execve")
        self.started = calls[start]
        self.pid = self.started.pid
        self.calls = calls[start + 1 :]
        self.helper = self._of(self.pid)
        # Its first capset is the first thing that it changes.
        self.entry = next(i for i, call in enumerate(self.helper) if call.name == "capset")
        self.loader = self.helper[: self.entry]
        self.main = self.helper[self.entry :]
        self.namespace = self._of(self._child("clone3"))
        self.lookup = self._of(self._child("clone"))

    @staticmethod
    def _parse(lines):
        open_calls = {}
        for line in lines:
            pid, text = line.rstrip("\n").split(None, 1)
            if text.endswith(" <unfinished ...>"):
                call = open_calls[pid] = Syscall(pid, text.removesuffix(" <unfinished ...>"))
                yield call
            elif text.startswith("<... "):
                call = open_calls.pop(pid)
                whole = Syscall(pid, call.args + re.sub(r"<\.\.\. \w+ resumed>", "", text))
                call.name, call.args, call.result = whole.name, whole.args, whole.result
            elif not text.startswith(("---", "+++")):
                yield Syscall(pid, text)

    def _of(self, pid):
        """The calls of one process; a call that a signal made start again counts once."""
        calls = [call for call in self.calls if call.pid == pid and call.name != "restart_syscall"]
        calls = [call for call in calls if "ERESTART" not in call.result or call.name == "poll"]
        return list(self._without_abort_lock(calls))

    @staticmethod
    def _without_abort_lock(calls):
        """glibc 2.41 blocks all signals for the time of a fork, and of a sigaction of SIGABRT; not in 2.36."""
        first = next((call.name for call in calls if call.name != "set_robust_list"), "")
        blocked = first == "rt_sigprocmask"  # a child starts with them blocked
        for call in calls:
            if call.name == "rt_sigprocmask" and (blocked or call.args.startswith("SIG_BLOCK, ~[]")):
                blocked = not blocked
            else:
                yield call

    def _child(self, name):
        for call in self.main:
            if call.name == name and call.succeeded():
                return call.result
        return None

    def general(self):
        """What must be the same whatever the caller hands down."""

        def filling(calls):
            """Without what fills descriptors 0 to 2, which is the only thing that may depend on the caller."""
            filled = False
            for call in calls:
                if call.name == "fcntl" and "F_GETFD" in call.args:
                    continue
                if not filled and '"/dev/null", O_RDWR)' in call.args or filled and call.name == "newfstatat":
                    filled = not filled
                    continue
                filled = False
                yield call.general()

        files = [re.search('"([^"]*)"', call.args)[1] for call in self.loader if call.name == "openat"]
        files = [file for file in files if file not in ("/dev/null", "/dev/full")]  # glibc fills 0 to 2 if AT_SECURE=1
        return {
            "files opened by the loader": files,
            "helper": list(filling(self.main)),
            # It has answered and is killed then, so its last call may not be seen.
            "lookup child": [call.general() for call in self.lookup if call.name != "exit_group"],
            "namespace child": [call.general() for call in self.namespace],
        }


_traces = itertools.count(1)


def traced(program, argv=None, **how):
    path = f"{WORK}/trace-{next(_traces)}"
    call = Call(argv or [program, LINK], program=program, strace=path, **how)
    trace = Trace(path)
    os.unlink(path)
    return call, trace


_clean = {}


def clean(install):
    """A run without anything special, made once."""
    if install not in _clean:
        _clean[install] = traced(INSTALLS[install])
    return _clean[install]


def runs(names):
    return [name for name, _ in itertools.groupby(names)]


# ---- the file


@tap.case("the installed file")
def installed():
    stat = os.lstat(lab.HELPER)
    tap.is_((stat.st_uid, stat.st_gid, oct(stat.st_mode)), (0, 0, "0o100755"), "root:root 0755, no setuid bit")
    xattr = struct.pack("<5I", 0x02000000, 1 << CAP_SETGID | 1 << CAP_SETUID, 0, 0, 0)
    got = os.getxattr(lab.HELPER, "security.capability")
    tap.is_(got.hex(), xattr.hex(), "cap_setgid,cap_setuid permitted; none effective, none inheritable")
    for directory in (os.path.dirname(lab.HELPER), os.path.dirname(os.path.dirname(lab.HELPER))):
        stat = os.stat(directory)
        tap.ok(stat.st_uid == 0 and not stat.st_mode & 0o022, f"nobody but root writes to {directory}", stat)


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@tap.case("the binary")
def binary():
    dynamic = output("readelf", "-Wd", lab.HELPER)
    needed = set(re.findall(r"\(NEEDED\).*\[(.*?)\.so", dynamic))
    allowed = {"libbsd", "libmd", "libc", "ld-linux-x86-64", "ld-linux-aarch64"}
    tap.is_(needed - allowed, set(), "no library but libbsd, libmd and libc", needed)
    tap.unlike(dynamic, r"R(UN)?PATH", "neither RUNPATH nor RPATH")
    tap.unlike(dynamic, r"TEXTREL", "no text relocations")
    tap.like(dynamic, r"FLAGS_1.*\bNOW\b", "all symbols are bound at the start")
    tap.like(dynamic, r"FLAGS_1.*\bPIE\b", "position independent")
    segments = output("readelf", "-Wl", lab.HELPER)
    tap.like(segments, r"GNU_RELRO", "relocations are read-only afterwards")
    tap.like(segments, r"GNU_STACK .* RW +0x", "the stack is not executable")
    tap.unlike(segments, r"LOAD .* RWE ", "no segment is writable and executable")
    symbols = {name.split("@")[0] for name in output("nm", "-D", "--undefined-only", lab.HELPER).split()[1::2]}
    tap.ok("__stack_chk_fail" in symbols, "with stack protector", symbols)
    forbidden = r"exec.*|fexecve|posix_spawn.*|system|popen|dlmopen|v?fork_exec|wordexp|getenv|mktemp|tmpnam"
    found = {name for name in symbols if re.fullmatch(forbidden, name)}
    tap.is_(found, set(), "it cannot execute a program or read the environment", symbols)


@tap.case("libsubid is loaded where it is needed")
def module():
    path = os.path.dirname(lab.HELPER) + "/nixuser-subid.so"
    stat = os.lstat(path)
    tap.is_((stat.st_uid, stat.st_gid, oct(stat.st_mode)), (0, 0, "0o100644"), "the module: root:root 0644")
    needed = set(re.findall(r"\(NEEDED\).*\[(.*?)\.so", output("readelf", "-Wd", path)))
    tap.is_(needed, {"libsubid", "libc"}, "and needs libsubid")
    path = f"{WORK}/trace-module"
    call = Call([lab.HELPER, LINK], program=lab.HELPER, strace=path)
    opened = re.findall(r'openat\([^"\n]*"([^"\n]*)"', read(path))
    os.unlink(path)
    tap.is_(call.status, 0, "a start without a plugin", call)
    tap.ok("/etc/subuid" in opened, "reads the files", opened)
    tap.is_([path for path in opened if "subid" in path and ".so" in path], [], "and loads neither")


def lines_of_code(*patterns):
    """Lines without comments and blanks."""
    count = 0
    for path in [path for pattern in patterns for path in glob.glob(pattern, root_dir=CHECKOUT)]:
        code = output("cc", "-fpreprocessed", "-dD", "-E", "-x", "c", f"{CHECKOUT}/{path}")
        count += sum(1 for line in code.splitlines() if line.strip() and not line.startswith("# "))
    return count


@tap.case("the size of what must be trusted")
def size():
    count = lines_of_code("helper/*.c", "idmap/*.c")
    tap.ok(0 < count < 1200, "helper/*.c and idmap/*.c: below 1200 lines without comments and blanks", count)
    others = lines_of_code("common/fdpass.c"), lines_of_code("helper/*.h", "idmap/*.h")
    tap.note(f"{count} lines; besides, common/fdpass.c has {others[0]}, and the headers with the texts {others[1]}")


@tap.case("the wrapper of these tests is like NixOS's")
def wrapper():
    # In place of the helper a shell, which says what it was given. It reads its files in /proc only if it is dumpable.
    script = "cat /proc/$$/status; stat -c 'owner %u' /proc/$$/environ; od -An -v -t u8 -w16 /proc/$$/auxv"
    for name, program in (("wrapper", wrap("probe", "/bin/sh")), ("none", "/bin/sh")):
        call = Call([program, "-c", script], program=program)
        fields = dict(re.findall(r"^Cap(\w+):\t(\w+)$", call.out, re.M))
        sets = {kind: int(value, 16) for kind, value in fields.items() if kind != "Bnd"}
        both = 1 << CAP_SETGID | 1 << CAP_SETUID if name == "wrapper" else 0
        inheritable = both | 1 << CAP_SETPCAP if name == "wrapper" else 0
        tap.is_(sets, {"Inh": inheritable, "Prm": both, "Eff": both, "Amb": both}, f"{name}: the four sets", call)
        tap.like(call.out, rf"^owner {alice.uid}$", f"{name}: dumpable")
        tap.like(call.out, r"^ +23 +0$", f"{name}: AT_SECURE=0")


# ---- the entry


def each_install(function):
    """A case for each kind of installation."""
    for install in INSTALLS:
        tap.case(f"{function.__doc__}: {install}", 60)(lambda install=install: function(install))


@each_install
def order(install):
    """order of the entry"""
    call, trace = clean(install)
    tap.ok(call.status == 0 and call.err == "" and call.complete(), f"{install}: it works", call)
    call.close()
    harmless = {
        *("brk", "mmap", "mprotect", "munmap", "arch_prctl", "set_tid_address", "set_robust_list", "rseq", "getrandom"),
        *("openat", "read", "pread64", "close", "fstat", "newfstatat", "access", "statfs", "fstatfs", "readlink"),
        *("prctl", "prlimit64", "futex", "madvise", "fcntl"),
    }
    before = trace.loader
    tap.is_({c.name for c in before} - harmless, set(), f"{install}: before its first change only the loader's calls")
    tap.is_([c for c in before if c.writes() or LINK in c.args], [], f"{install}: nothing of the caller's is opened")
    odd = [c for c in before if c.name == "fcntl" and "F_GETFD" not in c.args]
    tap.is_(odd, [], f"{install}: of descriptors it is only asked whether they are open")
    asked = [c for c in before if c.name == "prctl" and not re.match(r"PR_(CAPBSET_READ|GET_\w+)\b", c.args)]
    clear = ["PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0"]
    tap.is_([c.args for c in asked], clear, f"{install}: ambient capabilities are cleared")
    tap.ok(asked[0].succeeded() and before[-1] is asked[0], f"{install}: right before the capset", before[-3:])
    main = trace.main
    known = {"effective": set(), "permitted": HELD, "inheritable": set()}
    tap.is_((main[0].sets(), main[0].result), (known, "0"), f"{install}: the first change: only permitted is left")
    tap.is_((main[1].name, main[1].sets()), ("capget", known), f"{install}: and it is read back")
    names = [c.name for c in main]
    fork = min(names.index("clone"), names.index("clone3"))
    steps = ["capset", "capget", "prctl", "fcntl", "close_range", "umask", "chdir", "prlimit64", "setitimer"]
    steps += ["rt_sigaction", "alarm", "rt_sigprocmask"]
    tap.is_(runs(names[:fork])[: len(steps)], steps, f"{install}: the steps of the entry, in this order")
    rest = set(runs(names[:fork])[len(steps) :]) - {
        "getresuid",
        "getresgid",
        "getpid",
        "getsockopt",
        "pipe2",
        "socketpair",
    }
    tap.is_(rest, set(), f"{install}: then who calls, and the children")
    step = {c.name: c for c in reversed(main[:fork])}
    tap.is_(step["prctl"].args, "PR_SET_DUMPABLE, SUID_DUMP_DISABLE", f"{install}: undumpable")
    tap.is_(step["close_range"].args, "4, 4294967295, 0", f"{install}: nothing is open above the socket")
    tap.is_(step["umask"].args, "077", f"{install}: umask")
    tap.is_(step["chdir"].args, '"/"', f"{install}: working directory")
    tap.is_(step["prlimit64"].args, "0, RLIMIT_CORE, {rlim_cur=0, rlim_max=0}, NULL", f"{install}: no core file")
    tap.is_(step["rt_sigprocmask"].args, "SIG_SETMASK, [], NULL, 8", f"{install}: no signal is blocked")
    tap.is_(step["alarm"].args, "30", f"{install}: a watchdog")
    actions = [re.match(r"(\w+), \{sa_handler=(\w+)", c.args) for c in main[:fork] if c.name == "rt_sigaction"]
    numbers = signal.valid_signals() | {signal.SIGKILL, signal.SIGSTOP}
    tap.is_(len({action[1] for action in actions}), len(numbers), f"{install}: every signal is set")
    ignored = [action[1] for action in actions if action[2] != "SIG_DFL"]
    tap.is_(ignored, ["SIGPIPE"], f"{install}: to its default, but one")
    timers = [c.args.split(",")[0] for c in main[:fork] if c.name == "setitimer"]
    tap.is_(timers, ["ITIMER_REAL", "ITIMER_VIRTUAL", "ITIMER_PROF"], f"{install}: no timer of the caller's")
    failed = [c for c in main[:fork] if not c.succeeded() and c.name != "rt_sigaction"]
    tap.is_(failed, [], f"{install}: no step fails")


@each_install
def privilege(install):
    """when capabilities are effective"""
    _, trace = clean(install)
    effective, windows, window = set(), [], []
    for call in trace.main:
        if call.name == "capset" and call.succeeded():
            if effective:
                windows.append((effective, window))
            effective, window = call.sets()["effective"], []
        elif effective:
            window.append(call)
    tap.is_(effective, set(), f"{install}: none at the end")
    for (caps, calls), cap, name in zip(windows, ("CAP_SETUID", "CAP_SETGID"), ("uid_map", "gid_map")):
        tap.is_(caps, {cap}, f"{install}: {name}: only {cap}")
        names = [c.name for c in calls]
        tap.is_(names, ["openat", "write", "close"], f"{install}: {name}: one open and one write", calls)
        what = rf'^\d+, "{name}", O_WRONLY\|O_NOFOLLOW\|O_CLOEXEC$'
        tap.like(calls[0].args, what, f"{install}: {name}: what is opened")
        lines = "".join(f"{a} {b} {c}\\n" for a, b, c in MAP)
        want = (f'{calls[0].result}, "{lines}", {len(lines) - 2}', calls[0].result)
        tap.is_((calls[1].args, calls[2].args), want, f"{install}: {name}: what is written there")
    tap.is_(len(windows), 2, f"{install}: two moments of privilege, and no more")

    sets = [c for c in trace.main if c.name == "capset"]
    lowered = trace.main.index(sets[4])
    tap.is_([c.sets()["permitted"] for c in sets[:5]], [HELD] * 5, f"{install}: both stay permitted until then")
    end = [(c.name, set().union(*c.sets().values()), c.result) for c in trace.main[lowered + 1 : lowered + 5]]
    nothing = ("capget", set(), "0")
    proof = [("capset", set(), "0"), nothing, ("capset", {"CAP_SETUID"}, "-1 EPERM"), nothing]
    tap.is_(end, proof, f"{install}: then all is dropped for good, and it is proved")
    tap.is_([c for c in trace.main[lowered + 5 :] if c.name == "capset"], [], f"{install}: no capset afterwards")
    name = os.path.basename(lab.CLOSURES["trivial"])
    released = [c for c in trace.main if re.match("write|send", c.name) and name[:32] in c.args]
    tap.is_(released[:1], trace.main[lowered + 5 : lowered + 6], f"{install}: only then may the namespace child go on")
    opened = [re.search('"(.*)"', c.args)[1] for c in trace.main if c.writes()]
    tap.is_(opened, ["uid_map", "gid_map"], f"{install}: it writes no other file")


@each_install
def children(install):
    """what the children do"""
    _, trace = clean(install)
    lookup = [c for c in trace.lookup if c.name != "set_robust_list"]
    nothing = {"effective": set(), "permitted": set(), "inheritable": set()}
    first = (lookup[0].name, lookup[0].sets(), lookup[0].result)
    tap.is_(first, ("capset", nothing, "0"), f"{install}: the lookup child drops everything first")
    proof = ["capget", "capset", "capget", "prctl", "getppid"]
    tap.is_([c.name for c in lookup[1:6]], proof, f"{install}: proves it, and ends with the helper")
    tap.is_(lookup[2].result, "-1 EPERM", f"{install}: it cannot have it back")
    writing = {re.search('"(.*?)"', c.args)[1] for c in lookup if c.writes()}
    tap.ok(writing <= {"/dev/null"}, f"{install}: it opens nothing for writing", writing)
    pipe = re.search(r"\[\d+, (\d+)\]", [c for c in trace.main if c.name == "pipe2"][-1].args)[1]
    written = {c.args.split(",")[0] for c in lookup if re.match("p?writev?|send", c.name)}
    tap.is_(written, {pipe}, f"{install}: it writes to its pipe only")
    tap.ok(any(LINK.rsplit("/", 1)[1] in c.args for c in lookup), f"{install}: it looks at the link (a control)")
    known = [c for c in trace.main if LINK in c.args]
    tap.is_(known, [], f"{install}: the helper itself never does")

    everything = trace.helper + trace.lookup + trace.namespace
    executed = [c for c in everything if c.name.startswith("exec")]
    tap.is_(executed, [], f"{install}: nothing is executed")
    ids = re.compile(r"set(re|res|fs)?[ug]id|setgroups|setns|unshare|keyctl|personality")
    changed = [c for c in trace.helper + trace.lookup if ids.fullmatch(c.name)]
    tap.is_(changed, [], f"{install}: helper and lookup child change no id")
    inside = [c.name for c in trace.namespace if ids.fullmatch(c.name)]
    tap.is_(inside, ["setgroups", "setresgid", "setresuid"], f"{install}: the namespace child becomes root inside")
    asked = [c.args for c in trace.namespace if c.name == "prctl"]
    want = ["PR_SET_DUMPABLE, SUID_DUMP_USER", "PR_SET_PDEATHSIG, SIGKILL"]
    tap.is_(asked, want, f"{install}: its maps can be opened, and it ends with the helper")
    tap.is_([c for c in trace.namespace if c.name == "capset"], [], f"{install}: and has no use for capset")


# ---- what a caller can hand down


# Not LD_PROFILE: before 2.39 glibc's loader obeys it with AT_SECURE=1, too, and writes to /var/profile if there is one.
HOSTILE = """
    LD_PRELOAD=EVIL LD_AUDIT=EVIL LD_LIBRARY_PATH=/tmp LD_BIND_NOT=1 LD_DEBUG=all LD_DEBUG_OUTPUT=/tmp/debug
    LD_SHOW_AUXV=1 LD_ORIGIN_PATH=/tmp GLIBC_TUNABLES=glibc.malloc.check=3:glibc.malloc.mxfast=0
    MALLOC_TRACE=/tmp/trace MALLOC_ARENA_MAX=1 MALLOC_PERTURB_=85 GCONV_PATH=/tmp GETCONF_DIR=/tmp LOCPATH=/tmp
    NLSPATH=/tmp/%N LANGUAGE=xx LC_ALL=tr_TR.UTF-8 CHARSET=x NSS_DB=/tmp NSSWITCH=/tmp/x HOSTALIASES=/tmp/x
    RES_OPTIONS=debug LOCALDOMAIN=x TMPDIR=/tmp/evil HOME=/tmp/evil PATH=/tmp:. XDG_RUNTIME_DIR=/tmp
    NIX_STORE_DIR=/tmp NIX_STATE_DIR=/tmp TZ=/tmp/x IFS=/ SYSTEMD_LOG_LEVEL=debug CAP_DEBUG=1 POSIXLY_CORRECT=1
    USER=root LOGNAME=root SHELL=/tmp/x TERM=../x
"""


def hostile_environment():
    evil = compile_c("evil.so", EVIL, "-shared", "-fPIC", f'-DMARK="{MARK}"')
    environment = CLEAN | dict(item.replace("EVIL", evil).split("=", 1) for item in HOSTILE.split())
    # Strings of the longest kind, close to the 2 MiB that exec(2) takes.
    return environment | {f"FILL_{number}\x1b[31m": "x" * 131000 for number in range(15)}


def close_standard_streams():
    for number in (0, 1, 2):
        os.close(number)


def open_many():
    for _ in range(500):
        os.set_inheritable(os.open("/", os.O_RDONLY | os.O_DIRECTORY), True)


def block_signals():
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


def ignore_signals():
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)


def ignored_timer(seconds):
    """Its signal is ignored until the helper resets that."""
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def lose_directory():
    os.mkdir("/tmp/lost")
    os.chdir("/tmp/lost")
    os.rmdir("/tmp/lost")


def tight_limits():
    limits = {resource.RLIMIT_CORE: 1 << 30, resource.RLIMIT_STACK: 256 << 10, resource.RLIMIT_NOFILE: 32}
    for limit, value in limits.items():
        resource.setrlimit(limit, (value, resource.getrlimit(limit)[1]))
    os.nice(10)


SITUATIONS = {
    "a hostile environment of 2 MiB": {"env": hostile_environment},
    "no environment": {"env": dict},
    "descriptors 0 to 2 closed": {"prepare": close_standard_streams},
    "500 more descriptors": {"prepare": open_many},
    "every signal blocked": {"prepare": block_signals},
    "every signal ignored": {"prepare": ignore_signals},
    "a timer of 1 ms": {"prepare": lambda: ignored_timer(0.001)},
    "umask 0777": {"prepare": lambda: os.umask(0o777)},
    "a working directory that is gone": {"prepare": lose_directory},
    "small limits": {"prepare": tight_limits},
    "another name": {"argv": ["\x1b]0;x\a\n", LINK]},
}


def difference(got, want):
    """The first call that is not the same in each part: {part: (got, expected)}."""
    found = {}
    for part, calls in want.items():
        pairs = itertools.zip_longest(got[part], calls)
        found[part] = next((pair for pair in pairs if pair[0] != pair[1]), None)
    return {part: pair for part, pair in found.items() if pair}


@each_install
def inherited(install):
    """whatever is handed down, the same calls"""
    _, trace = clean(install)
    want = trace.general()
    again, trace = traced(INSTALLS[install])
    again.close()
    tap.is_(difference(trace.general(), want), {}, f"{install}: two runs are the same")
    call, trace = traced(INSTALLS[install], [INSTALLS[install], "--check", LINK])
    tap.ok(call.status == 0 and difference(trace.general(), want), f"{install}: --check is not (a control)", call)
    for name, how in SITUATIONS.items():
        how = dict(how, env=how.get("env", lambda: CLEAN)())
        call, trace = traced(INSTALLS[install], **how)
        tap.ok(call.status == 0 and call.err == "" and call.complete(), f"{install}: {name}: it works", call)
        call.close()
        got = trace.general()
        tap.is_(difference(got, want), {}, f"{install}: {name}: the same calls")
    tap.ok(not os.path.exists(MARK), f"{install}: no library of the caller's was loaded")


@tap.case("the hostile library works (a control)")
def evil():
    environment = hostile_environment()
    for variable in ("LD_PRELOAD", "LD_AUDIT"):
        call = Call(["/bin/true"], env=dict(CLEAN, **{variable: environment[variable]}))
        tap.ok(call.status == 0 and os.path.exists(MARK), f"{variable} in a program without privilege", call)
        os.unlink(MARK)


def pending_alarm():
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    os.kill(os.getpid(), signal.SIGALRM)


def deadly_timer():
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)


@tap.case("a boot behind NixOS's wrapper", 60)
def whole():
    wrapped = INSTALLS["NixOS's wrapper"]

    def replace():
        linux.unshare(linux.CLONE_NEWNS)
        linux.mount(None, "/", None, linux.MS_REC | linux.MS_PRIVATE)
        linux.bind(wrapped, lab.HELPER)

    result = alice.boot("trivial", "--", "7", as_root=replace)
    tap.is_((result.status, result.err), (7, ""), "the payload's status", result)
    script = "grep ^Cap /proc/self/status; cat /proc/self/uid_map; exit 3"
    lab.probe(alice, "probe", script)
    results = [alice.boot("probe", as_root=way) for way in (None, replace)]
    tap.is_([result.status for result in results], [3, 3], "a closure that looks at itself", *results)
    tap.is_(results[1].out, results[0].out, "sees the same capabilities and map as with file capabilities")


@each_install
def timers(install):
    """alarms of the caller's"""
    # He may kill it at any time, so a signal may end it; but never half-way through with a process left.
    cgroup = enter_cgroup()
    for name, prepare in (("a timer of 0.5 ms", deadly_timer), ("a pending SIGALRM", pending_alarm)):
        ends = Counter()
        for _ in range(10):
            call = Call([INSTALLS[install], LINK], prepare=prepare, cgroup=cgroup)
            good = call.complete() if call.status == 0 else call.status == -signal.SIGALRM
            if not good or call.left:
                tap.ok(False, f"{install}: {name}: works, or is ended whole", call, call.left)
            ends[call.status] += 1
            call.close()
        tap.note(f"{install}: {name}: ended with {dict(ends)}")
        tap.ok(True, f"{install}: {name}: works, or is ended whole")


# ---- arguments


@tap.case("arguments")
def arguments():
    usage = "^nixuser-helper: usage"
    for install, program in INSTALLS.items():

        def check(name, argv, status=lab.USAGE, words=usage, **how):
            refused(Call(argv, program=program, **how), status, words, f"{install}: {name}")

        check("no arguments, not even a name", [])
        check("a name that is empty", [""])
        check("a name with escape sequences", ["\x1b[31m\x9b31m\n\r\t\x7f\udcff"])
        check("a name as long as can be", ["x" * 131071])
        check("a name as long as can be and a link", ["\n" * 131071, "nowhere"])
        check("100000 arguments", ["x"] * 100000)
        check("100000 links", ["x", *([LINK] * 60000)])
        options = ("--help", "--version", "-h", "-", "--", "--chec", "--check=", "--check=" + LINK, "--checks", "-c")
        for option in options:
            check(f"the option {option}", [program, option])
            check(f"the option {option} and a link", [program, option, LINK])
        check("an option after the link", [program, LINK, "--check"])
        check("two links", [program, LINK, LINK])
        check("an option with an escape sequence", [program, "\x1b[2J\n"])
        check("--check and nothing", [program, "--check"])
        check("--check twice", [program, "--check", "--check", LINK])
        hostile = alice.home + "/\x1b[2J\n\udcff\x9b"
        check("a link with escape sequences", [program, hostile], lab.REFUSED, "no such")
        check("a link as long as can be", [program, "/" + "\x1b" * 131000], lab.REFUSED, "long")


# ---- capabilities that are not there


def bounding(*dropped):
    def as_root():
        for cap in dropped:
            if libc.prctl(24, cap, 0, 0, 0) != 0:  # PR_CAPBSET_DROP
                raise OSError(ctypes.get_errno(), "PR_CAPBSET_DROP")

    return as_root


@tap.case("capabilities that are not there")
def missing():
    def no_nosuid():
        linux.unshare(linux.CLONE_NEWNS)
        linux.mount(None, "/", None, linux.MS_REC | linux.MS_PRIVATE)
        directory = os.path.dirname(lab.HELPER)
        linux.bind(directory, directory, linux.MS_NOSUID)

    def check(name, words, program=lab.HELPER, **how):
        refused(Call([program, LINK], **how), lab.UNAVAILABLE, words, name)

    check("a plain copy", "setcap", PLAIN)
    check("no_new_privs", "no_new_privs", prepare=linux.no_new_privileges)
    check("a nosuid mount", "nosuid", as_root=no_nosuid)
    for name, cap in (("cap_setuid", CAP_SETUID), ("cap_setgid", CAP_SETGID)):
        one = plain_copy(lab.HELPER, "only-" + name)
        subprocess.run(["setcap", name + "=p", one], check=True)
        check(f"only {name}", "setcap", one)
        check(f"{name} is not in the bounding set", "setcap", as_root=bounding(cap))
    check("an empty bounding set", "setcap", as_root=bounding(CAP_SETUID, CAP_SETGID))

    more = plain_copy(lab.HELPER, "more")
    subprocess.run(["setcap", "cap_setuid,cap_setgid,cap_sys_admin,cap_setpcap=eip", more], check=True)
    call, trace = traced(more)
    tap.ok(call.status == 0 and call.complete(), "with more than it needs: works", call)
    call.close()
    tap.is_(trace.main[0].sets()["permitted"], HELD, "and keeps only what it needs")

    debugger = ["strace", "-o", "/dev/null", lab.HELPER, LINK]
    call = Call(debugger, program=shutil.which("strace"))
    good = call.status == lab.UNAVAILABLE and "setcap" in call.err
    tap.ok(good, "under a debugger of the caller's: no capability", call)


# ---- seeing each system call before it happens


def syscall_numbers():
    defines = output("cc", "-E", "-dM", "-include", "sys/syscall.h", "-x", "c", "/dev/null")
    return {name: int(number) for name, number in re.findall(r"#define __NR_(\w+) (\d+)", defines)}


NUMBERS = syscall_numbers()
NAMES = {number: name for name, number in NUMBERS.items()}
PR_CAP_AMBIENT = 47


class Watch:
    """All system calls of a process and its children, by seccomp's user notification: seccomp_unotify(2).

    strace could make calls fail as well, but counts them in each process from its start, and the helper's loader makes
    more of most kinds than its children ever do. Installed by root, so that it needs no no_new_privs.
    """

    RECEIVE, SEND, CONTINUE = 0xC0502100, 0xC0182101, 1

    @staticmethod
    def install():
        instruction = struct.pack("HBBI", 0x06, 0, 0, 0x7FC00000)  # BPF_RET, SECCOMP_RET_USER_NOTIF
        buffer = ctypes.create_string_buffer(instruction, len(instruction))
        program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", 1, ctypes.addressof(buffer)))
        if libc.syscall(NUMBERS["seccomp"], 1, 8, program) < 0:  # SET_MODE_FILTER, NEW_LISTENER
            raise OSError(ctypes.get_errno(), "seccomp")

    def __init__(self, pid, decide):
        self.pid = pid
        self.decide = decide
        self.hit = False
        self.log = []  # (role, number, first two arguments) of each call from the helper's exec on
        self.counts = Counter()  # by role
        self.roles = {pid: "helper"}
        self.pids = {}
        self.ours = os.stat("/proc/self/ns/user").st_ino
        self.executed = 0

    def _listener(self):
        """The listener is a descriptor of the child's: fetch it."""
        process = os.pidfd_open(self.pid)
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            for name in os.listdir(f"/proc/{self.pid}/fd"):
                if os.readlink(f"/proc/{self.pid}/fd/{name}") == "anon_inode:seccomp notify":
                    listener = libc.syscall(NUMBERS["pidfd_getfd"], process, int(name), 0)
                    os.close(process)
                    return listener
            time.sleep(0.0002)
        raise tap.TimedOut("no listener")

    def role(self, pid):
        if pid not in self.roles:
            inside = os.stat(f"/proc/{pid}/ns/user").st_ino != self.ours
            self.roles[pid] = "namespace" if inside else "lookup"
        self.pids[self.roles[pid]] = pid
        return self.roles[pid]

    def serve(self):
        """decide(watch, role, index, number, pid) says for each call: None to let it happen, or an error."""
        listener = self._listener()
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        request = bytearray(80)
        started = False
        while True:
            events = poll.poll(20000)
            if not events or not events[0][1] & select.POLLIN:
                break
            request[:] = bytes(80)
            try:
                fcntl.ioctl(listener, self.RECEIVE, request, True)
                identity, pid, _, number, _, _, first, second = struct.unpack_from("QIIiIQQQ", request)
                answer = 0
                if started:
                    answer = self._look(pid, number, first, second)
                elif number == NUMBERS["execve"]:
                    self.executed += 1
                    started = self.executed == self.execs
                flags = 0 if answer else self.CONTINUE
                fcntl.ioctl(listener, self.SEND, struct.pack("QqiI", identity, 0, -answer, flags))
            except FileNotFoundError:  # killed meanwhile
                pass
        os.close(listener)
        return self

    execs = 1

    def _look(self, pid, number, first, second):
        role = self.role(pid)
        index = self.counts[role]
        self.counts[role] += 1
        self.log.append((role, number, first, second))
        return self.decide(self, role, index, number, pid) or 0


def enter_cgroup():
    """This process, and so all it starts, in a new cgroup of alice's part, until the case ends."""
    path = f"{alice.cgroup}/call-{os.getpid()}"
    if not os.path.isdir(path):
        os.mkdir(path)
        before = lab.CGROUP + "/tests"
        with open(path + "/cgroup.procs", "w") as file:
            file.write("0")
        tap.cleanup(leave_cgroup, path, before)
    return path


def leave_cgroup(path, before):
    with open(before + "/cgroup.procs", "w") as file:
        file.write("0")
    os.rmdir(path)


def watched(program, decide, **how):
    Watch.execs = EXECS[program]
    return Call([program, LINK], watch=decide, **how)


@each_install
def open_descriptors(install):
    """what the children have open"""
    seen = {}

    def look(watch, role, index, number, pid):
        if role == "helper" and number != NUMBERS["clone"]:
            return
        names = {int(name): os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")}
        seen.setdefault(role, set()).update((number, re.sub(r"\d+", "N", name)) for number, name in names.items())

    program = INSTALLS[install]
    Watch.execs = EXECS[program]
    call = Call([program, LINK], watch=look, prepare=open_many)
    tap.ok(call.status == 0, f"{install}: it works with 500 descriptors", call)
    call.close()
    inherited = {(0, "/dev/null"), (1, "/memfd:stdout (deleted)"), (2, "/memfd:stderr (deleted)"), (3, "socket:[N]")}
    own = r"pipe:\[N\]|socket:\[N\]|anon_inode:\[fscontext\]|(user|mnt):\[N\]|/dev/null|/|/ptmx|/dev/(pts/)?ptmx"
    looked_at = r"(/etc|/home|/nix)(/.*)?"
    for role in ("lookup", "namespace"):
        tap.ok(inherited <= seen[role], f"{install}: {role} child: the standard streams and the socket", seen[role])
        more = {name for number, name in seen[role] - inherited if not re.fullmatch(f"{own}|{looked_at}", name)}
        tap.is_(more, set(), f"{install}: {role} child: nothing of the caller's")
        tap.ok(max(number for number, _ in seen[role]) < 20, f"{install}: {role} child: few of them", seen[role])


@each_install
def other_processes(install):
    """what another process of the caller's can do meanwhile"""
    found = {}

    def attack(pid):
        """As alice: which of the ways into a process are open to her."""
        ways = {}
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.setgroups([])
            os.setresgid(alice.gid, alice.gid, alice.gid)
            os.setresuid(alice.uid, alice.uid, alice.uid)
            for name in ("mem", "environ", "fd", "maps"):
                try:
                    (os.listdir if name == "fd" else open)(f"/proc/{pid}/{name}")
                    ways[name] = "open"
                except OSError as error:
                    ways[name] = errno.errorcode[error.errno]
            descriptor = libc.syscall(NUMBERS["pidfd_getfd"], os.pidfd_open(pid), 3, 0)
            ways["pidfd_getfd"] = "open" if descriptor >= 0 else errno.errorcode[ctypes.get_errno()]
            result = libc.ptrace(0x4206, pid, None, None)  # PTRACE_SEIZE
            ways["ptrace"] = "open" if result == 0 else errno.errorcode[ctypes.get_errno()]
            os.write(writer, repr(ways).encode())
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as file:
            text = file.read()
        os.waitpid(child, 0)
        return text

    def look(watch, role, index, number, pid):
        moment = (role, NAMES[number])
        wanted = {("helper", "clone3"), ("helper", "kill"), ("lookup", "openat2"), ("namespace", "setgroups")}
        if moment in wanted and moment not in found:
            found[moment] = attack(pid)

    call = watched(INSTALLS[install], look)
    tap.ok(call.status == 0, f"{install}: it works", call)
    call.close()
    closed = dict.fromkeys(("mem", "environ", "fd", "maps"), "EACCES") | dict.fromkeys(
        ("pidfd_getfd", "ptrace"), "EPERM"
    )
    for role, name in (("helper", "clone3"), ("helper", "kill"), ("lookup", "openat2")):
        tap.is_(found.get((role, name)), repr(closed), f"{install}: {role} at its {name}: no way in")
    namespace = found.get(("namespace", "setgroups"), "")
    tap.like(namespace, "'ptrace': 'open'", f"{install}: into the namespace child there is one (a control)")


@each_install
def late_timer(install):
    """a timer that ends while signals are reset"""

    def wait(watch, role, index, number, pid):
        if role == "helper" and number == NUMBERS["rt_sigaction"] and watch.log[-1][2] == signal.SIGTERM:
            time.sleep(0.1)  # SIGALRM comes before it, and is at its default already

    call = watched(INSTALLS[install], wait, prepare=lambda: ignored_timer(0.1))
    tap.ok(call.status == 0 and call.complete(), f"{install}: it does no harm", call)
    call.close()


# ---- each step fails, each step is its last


ERRORS = [errno.EPERM, errno.ENOMEM, errno.EMFILE, errno.EINTR, errno.ENOSYS]
# These cannot fail.
UNFAILING = {"exit_group", "getpid", "getppid", "getuid", "geteuid", "getgid", "getegid", "umask", "alarm"}


def record(program):
    """All calls of a run from the helper's own first one on: {role: [(index, name)]}."""
    call = watched(program, lambda *_: None)
    assert call.status == 0, str(call)
    call.close()
    steps = {}
    for role, number, first, _ in call.watch.log:
        steps.setdefault(role, []).append((NAMES[number], first))
    names = [name for name, _ in steps["helper"]]
    start = names.index("capset")
    while steps["helper"][start - 1][0] == "prctl" and steps["helper"][start - 1][1] == PR_CAP_AMBIENT:
        start -= 1
    found = {role: [(i, name) for i, (name, _) in enumerate(calls)] for role, calls in steps.items()}
    found["helper"] = found["helper"][start:]
    return found


def one_run(plan):
    """Makes the helper fail or die at one point; returns what is wrong with the outcome, or None."""
    program, role, index, name, what = plan
    cgroup = worker_cgroup()

    def decide(watch, at, count, number, pid):
        if (at, count) != (role, index):
            return None
        watch.hit = NAMES[number] == name
        if what == "kill":
            os.kill(pid, signal.SIGKILL)
            return None
        return what

    call = watched(program, decide, cgroup=cgroup)
    wrong = []
    if not call.watch.hit:
        wrong.append("the point was not reached")
    if call.left:
        wrong.append(f"left: {call.left}")
    if call.status == 0:
        if not call.complete():
            wrong.append("status 0, but not all is there")
    elif what == "kill":
        if not (role == "helper" and call.status == -signal.SIGKILL) and not said(call):
            wrong.append("no message")
    elif not said(call) and name != "write":
        wrong.append("no message")
    if call.status < 0 and not (role == "helper" and what == "kill"):
        wrong.append("ended by a signal")
    call.close()
    text = what if what == "kill" else errno.errorcode[what]
    return wrong and f"{role}, call {index}, {name}: {text}: {', '.join(wrong)}\n{call}"


def said(call):
    """Lines of the helper's, each fit for a terminal."""
    return re.fullmatch(r"(nixuser-helper: [^\x00-\x1f\x7f]{10,}\n)+", call.err) is not None


_worker = []


def worker_cgroup():
    """The cgroup of this worker process."""
    if not _worker:
        path = f"{alice.cgroup}/call-{os.getppid()}-{os.getpid()}"
        os.mkdir(path)
        with open(path + "/cgroup.procs", "w") as file:
            file.write("0")
        _worker.append(path)
    return _worker[0]


def default_signals():
    """The pool ends its workers by SIGTERM."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)


def run_plans(plans):
    """All runs, two at a time; returns the complaints."""
    with multiprocessing.get_context("fork").Pool(2, default_signals) as pool:
        return [complaint for complaint in pool.imap_unordered(one_run, plans, 8) if complaint]


def remove_worker_cgroups():
    for path in glob.glob(f"{alice.cgroup}/call-{os.getpid()}-*"):
        lab.remove_cgroup(path)


def judge(install, plans, name):
    tap.cleanup(remove_worker_cgroups)
    started = time.monotonic()
    complaints = run_plans(plans)
    tap.note(f"{install}: {len(plans)} runs in {time.monotonic() - started:.1f} s")
    tap.ok(not complaints, f"{install}: {name}", f"{len(complaints)} complaints", *complaints[:5])


@each_install
def faults(install):
    """each step fails"""
    program = INSTALLS[install]
    steps = record(program)
    for role in ("helper", "lookup", "namespace"):
        plans, seen = [], set()
        for number, (index, name) in enumerate(steps[role]):
            # Every error for the first call of its kind, and then one after the other.
            errors = [ERRORS[number % len(ERRORS)]] if name in seen else ERRORS
            seen.add(name)
            plans += [(program, role, index, name, error) for error in errors if name not in UNFAILING]
        judge(install, plans, f"{role}: each call that fails: all is done, or nothing and it is said")


@each_install
def deaths(install):
    """each step is the last"""
    program = INSTALLS[install]
    steps = record(program)
    for role in ("helper", "lookup", "namespace"):
        plans = [(program, role, index, name, "kill") for index, name in steps[role]]
        judge(install, plans, f"{role}: killed at each call: nothing stays")


tap.main()
