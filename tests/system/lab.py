# SPDX-License-Identifier: MIT
"""What the system tests share: users, their commands, terminals and machines, and what may not be left behind.

Runs as root inside a world (see the program of that name). A test file first claims the users it works with.
"""

import base64
import errno
import fcntl
import json
import os
import pwd
import re
import resource
import select
import shutil
import signal
import struct
import subprocess
import termios
import time

import linux
import tap

PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin:/run/current-system/sw/bin"
TTY_GID = 5

USAGE, REFUSED, UNAVAILABLE, OS_ERROR, NOT_PERMITTED = 64, 65, 69, 71, 77

if "NIXUSER_TEST_WORLD" not in os.environ:
    tap.bail_out("not in a test world; run: tests/system/world [--closure LINK]... -- prove tests/system")
WORLD = os.environ["NIXUSER_TEST_WORLD"]
BOOT = os.environ["NIXUSER_BOOT"]
HELPER = os.environ["NIXUSER_HELPER"]
with open(WORLD + "/world.json") as _file:
    _world = json.load(_file)
CGROUP = _world["cgroup"]
CLOSURES = _world["closures"]


def need(*closures):
    """Ends the file unless the programs are installed (a failure) and these closures are in the world (a skip)."""
    if not os.access(BOOT, os.X_OK):
        tap.bail_out(f"{BOOT} is not installed")
    for name in closures:
        if name not in CLOSURES:
            tap.skip_all(f"the world was made without --closure .../{name}")


# ---- users


class User:
    def __init__(self, name):
        entry = pwd.getpwnam(name)
        self.name = name
        self.uid = entry.pw_uid
        self.gid = entry.pw_gid
        self.home = entry.pw_dir
        self.runtime = f"/run/user/{self.uid}"
        self.state = self.home + "/.local/state"
        self.cgroup = f"{CGROUP}/{name}"
        self.subuid = _range("/etc/subuid", name)
        self.subgid = _range("/etc/subgid", name)

    def has_uid(self, uid):
        """Whether a uid is the user's own or in his range."""
        start, count = self.subuid or (0, 0)
        return uid == self.uid or (start > 0 and start <= uid < start + count)

    def environment(self):
        return {
            "HOME": self.home,
            "USER": self.name,
            "LOGNAME": self.name,
            "SHELL": "/bin/sh",
            "PATH": PATH,
            "XDG_RUNTIME_DIR": self.runtime,
            "NIX_REMOTE": "daemon",
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
        }

    def run(self, argv, timeout=20, stdin=b"", **how):
        """Runs a command to its end."""
        if isinstance(stdin, str):
            stdin = stdin.encode()
        process = self.start(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **how)
        try:
            out, err = process.popen.communicate(stdin, timeout)
        except subprocess.TimeoutExpired:
            raise tap.TimedOut(f"{argv} took more than {timeout} s")
        finally:
            process.end()
        return Result(argv, process.popen.returncode, out.decode(errors="replace"), err.decode(errors="replace"))

    def sh(self, script, **how):
        return self.run(["/bin/sh", "-c", script], **how)

    def start(self, argv, **how):
        process = Process(self, argv, **how)
        tap.cleanup(process.end)
        return process

    def boot(self, *arguments, **how):
        """nixuser-boot without a terminal, to its end."""
        return self.run([BOOT, *arguments], **how)

    def in_cgroups(self):
        """All processes in the user's part of the cgroup tree."""
        pids = set()
        for directory, _, _ in os.walk(self.cgroup):
            pids |= set(_read(directory + "/cgroup.procs").split())
        return {int(pid) for pid in pids}

    def keep(self, path):
        """A path below the user's home that is removed after the case."""
        path = os.path.join(self.home, path)
        tap.cleanup(remove, path)
        return path


def _range(file, name):
    """The user's range as (start, count); tests only have users with at most one."""
    for line in _read(file).splitlines():
        owner, start, count = line.split(":")
        if owner == name:
            return int(start), int(count)
    return None


def _read(path):
    """What a file in /proc or /sys says now, or nothing if it is gone meanwhile."""
    try:
        with open(path, errors="replace") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    except OSError as error:
        if error.errno == errno.ENODEV:
            return ""
        raise


def remove(path):
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


def claim(*names):
    """The users a test file works with, its own until it ends, so that files can run side by side.

    At the end of the file it is checked that nothing of theirs is left behind.
    """
    for name in sorted(names):  # one order for all, or two files could wait for each other
        lock = os.open(f"{WORLD}/locks/{name}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
    users = [User(name) for name in names]
    before = Snapshot(users)
    tap.last_case("nothing is left behind", 10, lambda: before.check("after all cases"))
    return users[0] if len(users) == 1 else users


# ---- commands


class Result:
    def __init__(self, argv, status, out, err):
        self.argv, self.status, self.out, self.err = argv, status, out, err

    def __str__(self):
        return f"command: {self.argv}\nstatus:  {self.status}\nstdout:  {self.out!r}\nstderr:  {self.err!r}"


class Process:
    """A command of a user, in a cgroup of its own that is delegated to him.

    env      more environment; None removes a variable
    cwd      working directory (home)
    cgroup   a cgroup directory to start in instead of an own one
    marked   whether the own cgroup has the mark that systemd puts on delegated ones (yes)
    limits   {resource.RLIMIT_X: (soft, hard)}
    as_root  called in the child before it becomes the user, e.g. to make a mount namespace
    as_user  called in the child right before exec
    The rest goes to subprocess.Popen.
    """

    _count = 0

    def __init__(
        self,
        user,
        argv,
        *,
        env=(),
        cwd=None,
        cgroup=None,
        marked=True,
        limits=(),
        no_new_privileges=False,
        as_root=None,
        as_user=None,
        terminal=False,
        **popen,
    ):
        self.user = user
        self.own_cgroup = cgroup is None and self._new_cgroup(marked)
        self.cgroup = cgroup or self.own_cgroup
        environment = user.environment() | dict(env)
        environment = {key: value for key, value in environment.items() if value is not None}

        def enter():
            with open(self.cgroup + "/cgroup.procs", "w") as file:
                file.write("0")
            if terminal:
                fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            if as_root:
                as_root()
            os.initgroups(user.name, user.gid)
            os.setgid(user.gid)
            os.setuid(user.uid)
            os.umask(0o022)
            os.chdir(cwd or user.home)
            for limit, values in dict(limits).items():
                resource.setrlimit(limit, values)
            if no_new_privileges:
                linux.no_new_privileges()
            if as_user:
                as_user()

        try:
            self.popen = subprocess.Popen(argv, env=environment, preexec_fn=enter, start_new_session=True, **popen)
        except BaseException:
            self.remove_cgroup()
            raise
        self.pid = self.popen.pid

    def _new_cgroup(self, marked):
        Process._count += 1
        path = f"{self.user.cgroup}/call-{os.getpid()}-{Process._count}"
        os.mkdir(path)
        os.chown(path, self.user.uid, self.user.gid)
        for name in ("cgroup.procs", "cgroup.threads", "cgroup.subtree_control"):
            os.chown(f"{path}/{name}", self.user.uid, self.user.gid)
        if marked:
            os.setxattr(path, "user.delegate", b"1")
        return path

    def children(self, comm=None):
        return children(self.pid, comm)

    def kill(self, number=signal.SIGKILL):
        self.popen.send_signal(number)

    def wait(self, timeout=20):
        """The exit status; a signal's as a negative number."""
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise tap.TimedOut(f"{self.popen.args} did not end in {timeout} s")

    def end(self):
        """Kills what still runs. What the program left in the cgroup of the call is a failed test."""
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.wait()
        for stream in (self.popen.stdin, self.popen.stdout, self.popen.stderr):
            if stream:
                stream.close()
        left = self.remove_cgroup()
        if left:
            tap.ok(False, f"{self.popen.args}: left something in its cgroup", left)

    def remove_cgroup(self):
        """Removes the cgroup of the call, by force if the program left something in it; returns what."""
        if not self.own_cgroup or not os.path.isdir(self.own_cgroup):
            return ""
        deadline = time.monotonic() + 1
        while True:
            try:
                os.rmdir(self.own_cgroup)
                return ""
            except OSError:
                if time.monotonic() > deadline:
                    break
            time.sleep(0.005)
        left = f"cgroups {_tree(self.own_cgroup)}, processes {sorted(processes_of([self.user]))}"
        remove_cgroup(self.own_cgroup)
        return left


def _tree(top):
    return [os.path.relpath(directory, top) for directory, _, _ in os.walk(top)]


def remove_cgroup(group):
    with open(group + "/cgroup.kill", "w") as file:
        file.write("1")

    def gone():
        for directory, _, _ in os.walk(group, topdown=False):
            try:
                os.rmdir(directory)
            except OSError:
                pass
        return not os.path.isdir(group)

    tap.until(gone, 5, f"the end of {group}")


def children(pid, comm=None):
    """Pids of the direct children, of those with this name."""
    found = []
    for child in processes():
        if child.parent == pid and comm in (None, child.comm):
            found.append(child.pid)
    return found


class Running:
    """A process as /proc shows it."""

    def __init__(self, pid, status):
        fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        self.pid = pid
        self.comm = fields["Name"].strip()
        self.parent = int(fields["PPid"])
        self.uids = {int(uid) for uid in fields["Uid"].split()}

    def __repr__(self):
        return f"{self.comm}[{self.pid}]"


def processes():
    for name in os.listdir("/proc"):
        status = name.isdigit() and _read(f"/proc/{name}/status")
        if status:
            yield Running(int(name), status)


def processes_of(users):
    return {str(process) for process in processes() for user in users if any(map(user.has_uid, process.uids))}


def exists(pid):
    """Whether a process runs still; a zombie does not."""
    status = _read(f"/proc/{pid}/status")
    return status != "" and "\nState:\tZ" not in status


# ---- what may be left behind


class Snapshot:
    """All that a machine could leave behind, to be compared with a later look."""

    def __init__(self, users):
        self.users = users
        self.seen = self._look()

    def _look(self):
        return {
            "processes": processes_of(self.users),
            "mounts": set(re.sub(r"^\d+ \d+ ", "", line) for line in _read("/proc/self/mountinfo").splitlines()),
            "cgroups": set().union(*(self._cgroups(user) for user in self.users)),
            "files": set().union(*(self._files(user) for user in self.users)),
        }

    @staticmethod
    def _cgroups(user):
        """Without those that the tests make for each call."""
        own = re.compile(re.escape(user.cgroup) + r"/call-[^/]*")
        return {path for path in _names(user.cgroup) if not own.fullmatch(path)}

    @staticmethod
    def _files(user):
        found = _names(user.home, files=True) | _names(user.runtime, files=True)
        for shared in ("/tmp", "/var/tmp", "/dev/shm"):
            found |= {path for path in _names(shared, files=True) if _owned(path, user)}
        # Directories that are shared by all machines of a user may stay; so may what Nix itself caches for him.
        shared = [user.runtime + "/nixuser"]
        shared += [user.home + "/" + name for name in (".local", ".local/state", ".local/state/nixuser", ".cache")]
        return {path for path in found if path not in shared and not path.startswith(user.home + "/.cache/nix")}

    def new(self):
        """What is there now and was not at the time of the snapshot; {} if nothing."""
        now = self._look()
        found = {kind: sorted(now[kind] - self.seen[kind]) for kind in now}
        return {kind: names for kind, names in found.items() if names}

    def settled(self, timeout=1.0, ignore=()):
        """Polls until nothing is new (but for ignored kinds); returns what still is after the time."""
        deadline = time.monotonic() + timeout
        while True:
            found = {kind: names for kind, names in self.new().items() if kind not in ignore}
            if not found or time.monotonic() > deadline:
                return found
            time.sleep(0.01)

    def check(self, when, timeout=1.0):
        return tap.is_(self.settled(timeout), {}, f"nothing left behind {when}")


def leftovers(*users):
    return Snapshot(users)


def _names(top, files=False):
    found = set()
    for directory, directories, names in os.walk(top):
        found |= {os.path.join(directory, name) for name in (directories + names if files else directories)}
    return found


def _owned(path, user):
    try:
        return user.has_uid(os.lstat(path).st_uid)
    except FileNotFoundError:
        return False


# ---- terminals


class Terminal:
    """A pty with a program of the user on it, as its session leader: what his terminal window is to him."""

    def __init__(self, user, argv, rows=24, cols=80, **how):
        self.master, self.slave = os.openpty()
        self.name = os.ttyname(self.slave)
        os.chown(self.name, user.uid, TTY_GID)
        self.log = ""  # everything that was ever shown
        self.unread = ""  # what no expect() has passed yet
        self.resize(rows, cols)
        tap.cleanup(self.close)
        # The slave stays open here, so that its settings can be looked at when the program is gone.
        self.process = user.start(
            argv, terminal=True, stdin=self.slave, stdout=self.slave, stderr=how.pop("stderr", self.slave), **how
        )
        self.pid = self.process.pid

    def close(self):
        for descriptor in (self.master, self.slave):
            if descriptor is not None:
                os.close(descriptor)
        self.master = self.slave = None

    def hang_up(self):
        """Closes the terminal's window."""
        os.close(self.slave)
        os.close(self.master)
        self.master = self.slave = None

    def resize(self, rows, cols):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def settings(self):
        return termios.tcgetattr(self.slave)

    def send(self, text):
        """Types a text. Reads meanwhile, or each side could wait for the other with its buffers full."""
        data = text.encode()
        while data:
            _, writable, _ = select.select([], [self.master], [], 0.05)
            if writable:
                data = data[os.write(self.master, data[:1024]) :]
            self.pump(0)

    def pump(self, timeout):
        """Reads what is there; waits up to timeout for something."""
        readable, _, _ = select.select([self.master], [], [], max(timeout, 0))
        if readable:
            text = os.read(self.master, 65536).decode(errors="replace")
            self.log += text
            self.unread += text
        return bool(readable)

    def expect(self, pattern, timeout=20):
        """Waits for a regular expression in what is shown from now on (since the last match); returns the match."""
        compiled = re.compile(pattern, re.M | re.S)
        deadline = time.monotonic() + timeout
        while True:
            match = compiled.search(self.unread)
            if match:
                self.unread = self.unread[match.end() :]
                return match
            if not self.pump(min(deadline - time.monotonic(), 0.1)):
                if self.process.popen.poll() is not None:
                    raise EndOfFile(
                        f"program ended ({self.process.popen.returncode}) before {pattern!r}: {self.tail()}"
                    )
                if time.monotonic() > deadline:
                    raise tap.TimedOut(f"waited {timeout} s for {pattern!r}: {self.tail()}")

    def tail(self):
        return repr(self.log[-1500:])

    def wait(self, timeout=20):
        """Reads until the program ends; returns its exit status."""
        deadline = time.monotonic() + timeout
        while self.process.popen.poll() is None:
            self.pump(0.01)
            if time.monotonic() > deadline:
                raise tap.TimedOut(f"program did not end in {timeout} s: {self.tail()}")
        while self.pump(0):
            pass
        return self.process.popen.returncode


class EndOfFile(Exception):
    """The program on a terminal ended while something was still expected of it."""


# ---- machines


class Machine:
    """nixuser-boot on a terminal, booting a closure."""

    PROMPT = r"[#$] ?(\x1b\[[0-9;?]*[a-zA-Z])*\Z"

    def __init__(self, user, *options, closure="result", name=None, init=(), rows=24, cols=80, **how):
        arguments = [*options, *(["--name", name] if name else []), closure, *(["--", *init] if init else [])]
        self.user = user
        self.terminal = Terminal(user, [BOOT, *arguments], rows, cols, **how)
        self.pid = self.terminal.pid
        self._commands = 0

    def login(self, timeout=60):
        """Waits for the prompt and logs in as root, who has an empty password."""
        self.terminal.expect(r"login: ", timeout)
        self.terminal.send("root\r")
        self.terminal.expect(self.PROMPT)
        self.output("export SYSTEMD_PAGER= SYSTEMD_COLORS=0")
        return self

    def run(self, script, timeout=20):
        """Runs a script in the shell on the console; returns (status, output)."""
        self._commands += 1
        mark = f"mark{os.getpid()}x{self._commands}"
        self.terminal.send(self._line(mark, script))
        match = self.terminal.expect(rf"{mark}-begin\r?\n(.*?)\r?\n{mark}-end (\d+)\r?\n", timeout)
        self.terminal.expect(self.PROMPT)
        return int(match[2]), match[1].replace("\r\n", "\n")

    @staticmethod
    def _line(mark, script):
        # The marks are typed with a gap of quotes, so the echo of the line is never taken for the output. More than one
        # line, or a long one, is typed as base64: no line editor is to wrap, complete or interpret it.
        if "\n" in script or len(script) > 200:
            encoded = base64.b64encode(script.encode()).decode()
            script = f'eval "$(echo {encoded} | base64 -d)"'
        return f"echo {mark}''-begin; {script}; status=$?; echo; echo {mark}''-end $status\r"

    def output(self, script, timeout=20):
        """The output of a script that must succeed, without white space at its ends."""
        status, output = self.run(script, timeout)
        if status != 0:
            raise AssertionError(f"inside: {script!r} gave {status}: {output!r}")
        return output.strip()

    def power_off(self, timeout=60):
        """Returns the exit status of nixuser-boot."""
        self.terminal.send("systemctl poweroff\r")
        return self.terminal.wait(timeout)

    def escape(self, timeout=10):
        """Ends the machine at once from the terminal, with three times ^]."""
        self.terminal.send("\x1d\x1d\x1d")
        return self.terminal.wait(timeout)

    def launcher(self):
        """The pid of nixuser-launch."""
        return self._only(self.pid, "nixuser-launch")

    def payload(self):
        """The pid of the machine's PID 1, as the world sees it."""
        return self._only(self.launcher(), None)

    @staticmethod
    def _only(pid, comm):
        found = children(pid, comm)
        if len(found) != 1:
            raise AssertionError(f"process {pid} has these children named {comm}: {found}")
        return found[0]


# ---- the store


class StoreLock:
    """Shared while a file adds paths it has no root for yet, exclusive while one collects garbage."""

    def __init__(self, kind):
        self.kind = kind

    def __enter__(self):
        self.lock = os.open(f"{WORLD}/locks/store", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self.lock, self.kind)

    def __exit__(self, *_):
        os.close(self.lock)


def adding():
    return StoreLock(fcntl.LOCK_SH)


def collecting():
    return StoreLock(fcntl.LOCK_EX)


def must(result):
    """A step that only prepares a test."""
    if result.status != 0:
        raise AssertionError(f"a preparation failed\n{result}")
    return result.out.strip()


def add_root(user, path, link):
    must(user.run(["nix-store", "--realise", path, "--add-root", user.keep(link)]))
    return os.path.join(user.home, link)


def add_tree(user, name, files, link=None):
    """Adds a directory to the store as the user would with `nix-store --add`; roots it at ~/link. No references.

    files is {path: content}; a content that is None makes a directory, one that starts with "-> " a link.
    """
    source = user.keep("tree-of-" + name)
    for path, content in files.items():
        path = os.path.join(source, name, path)
        os.makedirs(path if content is None else os.path.dirname(path), exist_ok=True)
        if content is None:
            continue
        if content.startswith("-> "):
            os.symlink(content[3:], path)
            continue
        with open(path, "w") as file:
            file.write(content)
        os.chmod(path, 0o755 if content.startswith("#!") else 0o644)
    for directory, _, _ in os.walk(source):
        os.chmod(directory, 0o755)
    with adding():
        path = must(user.run(["nix-store", "--add", f"{source}/{name}"]))
        if link:
            add_root(user, path, link)
    return path


def variant(user, name, closure, link, init=None, change="", needs=()):
    """Builds a new toplevel like a closure's, with references to it, for tests that need one nobody else has rooted.

    init replaces the init program; change is a script that runs in the new directory and makes the difference;
    needs are more store paths it refers to. Returns the store path.
    """
    toplevel = CLOSURES[closure]
    expression = f"""
      derivation {{
        name = "{name}"; system = "{os.uname().machine}-linux"; builder = "/bin/sh";
        args = [ "-e" "-c" {nix_string(_VARIANT_BUILDER)} ];
        toplevel = builtins.storePath "{toplevel}";
        needs = map builtins.storePath [ {" ".join(nix_string(path) for path in needs)} ];
        init = {nix_string(init or "")};
        change = {nix_string(change)};
        PATH = {nix_string(PATH)};
      }}"""
    command = ["nix-build", "--expr", expression, "-o", user.keep(link)]
    return must(user.run(command, timeout=60)).splitlines()[-1]


_VARIANT_BUILDER = """
    mkdir "$out"; cd "$out"
    cp -rP "$toplevel"/. . && chmod -R u+w .
    if [ -n "$init" ]; then rm init; printf %s "$init" >init; chmod +x init; fi
    echo "$toplevel $needs" >references
    eval "$change"
"""


def nix_string(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("${", "\\${") + '"'


def probe(user, link, script, **how):
    """A closure whose whole life is a script of busybox, for looks at what PID 1 is given; ~/link is its root."""
    trivial = CLOSURES["trivial"]
    with open(trivial + "/init") as file:
        shell = file.readline()
    init = f"{shell}PATH={trivial}/sw/bin; export PATH\n{script}\n"
    return variant(user, f"nixos-system-{link}", "trivial", link, init, **how)
