#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The machine's scope: with a real user manager and a real bus, and with ones that fail."""

import os
import re
import shutil
import signal
import socket
import sys
import time

import lab
import linux
import tap

lab.need("result", "trivial")
alice, bob = lab.claim("alice", "bob")

UNITS = lab.WORLD + "/user-units"  # for the user manager: what it needs and a bus, nothing of the host's
TAKEN = """
    app.slice basic.target dbus.service dbus.socket exit.target paths.target session.slice shutdown.target
    sockets.target systemd-exit.service timers.target
""".split()
SYSTEMD_RUN = ["systemd-run", "--user", "--quiet"]


def find_systemd():
    for directory in ("/lib/systemd", "/usr/lib/systemd", "/run/current-system/sw/lib/systemd"):
        if os.access(directory + "/systemd", os.X_OK) and os.path.exists(directory + "/user/dbus.socket"):
            return directory
    if os.access("/lib/systemd/systemd", os.X_OK) and os.path.exists("/usr/lib/systemd/user/dbus.socket"):
        return "/lib/systemd"
    sys.exit("no systemd with a user bus here: tests/deps test installs it")


SYSTEMD = find_systemd() + "/systemd"


def make_units():
    os.mkdir(UNITS)
    for name in TAKEN:
        for directory in ("/usr/lib/systemd/user", find_systemd() + "/user"):
            if os.path.exists(f"{directory}/{name}"):
                os.symlink(f"{directory}/{name}", f"{UNITS}/{name}")
                break
    with open(UNITS + "/default.target", "w") as file:
        file.write("[Unit]\nRequires=basic.target dbus.socket\nAfter=basic.target dbus.socket\nAllowIsolate=yes\n")


make_units()
tap.cleanup(shutil.rmtree, UNITS)
if not os.path.isdir("/run/systemd"):
    os.mkdir("/run/systemd")


def booted():
    """For programs that ask whether systemd runs the host, in a mount namespace of the call."""
    private_mounts()
    linux.tmpfs("/run/systemd")
    os.mkdir("/run/systemd/system")


def private_mounts():
    linux.unshare(linux.CLONE_NEWNS)
    linux.mount(None, "/", None, linux.MS_REC | linux.MS_PRIVATE)


class Manager:
    """`systemd --user` in a cgroup that is delegated to the user, as user@.service starts it."""

    def __init__(self, user):
        self.user = user
        self.cgroup = f"{user.cgroup}/user@{user.uid}.service"
        os.mkdir(self.cgroup)
        for path in ("", "/cgroup.procs", "/cgroup.threads", "/cgroup.subtree_control"):
            os.chown(self.cgroup + path, user.uid, user.gid)
        os.setxattr(self.cgroup, "user.delegate", b"1")
        tap.cleanup(self._remove)
        environment = {"SYSTEMD_UNIT_PATH": UNITS, "SYSTEMD_LOG_TARGET": "console", "SYSTEMD_LOG_LEVEL": "notice"}
        self.log = os.memfd_create("log")
        argv = [SYSTEMD, "--user"]
        streams = {"stdin": -3, "stdout": self.log, "stderr": self.log}
        self.process = user.start(argv, env=environment, cgroup=self.cgroup, as_root=booted, **streams)
        tap.cleanup(self.stop)
        tap.until(self.answers, 15, "the user manager")

    def answers(self):
        if self.process.popen.poll() is not None:
            os.lseek(self.log, 0, os.SEEK_SET)
            raise AssertionError(f"the user manager ended: {os.read(self.log, 4000).decode()}")
        return os.path.exists(self.user.runtime + "/bus") and self.ctl("is-active", "default.target").status == 0

    def ctl(self, *arguments):
        return self.user.run(["systemctl", "--user", "--no-pager", *arguments], as_root=booted)

    def show(self, unit, *properties):
        result = self.ctl("show", unit, *[f"--property={name}" for name in properties])
        return dict(line.split("=", 1) for line in result.out.splitlines())

    def machines(self):
        """The manager's units that are a machine's, or were."""
        return self.ctl("list-units", "--all", "--plain", "--no-legend", "nixuser-*").out.split()

    def cgroups(self):
        """Paths below the manager's cgroup that are a machine's."""
        found = [os.path.relpath(directory, self.cgroup) for directory, _, _ in os.walk(self.cgroup)]
        return sorted(path for path in found if "nixuser" in path)

    def unit(self, name, *options):
        """The cgroup of a new scope in which something sleeps: where a program of the user's may be started."""
        argv = [*SYSTEMD_RUN, "--scope", f"--unit={name}", *options, "sleep", "1000"]
        process = self.user.start(argv, as_root=booted)
        path = scope_path(self, name)
        tap.until(lambda: os.path.isdir(path) and str(process.pid) in procs(path), 10, path)
        tap.cleanup(self.ctl, "stop", f"{name}.scope")
        return path

    def stop(self):
        self.process.kill(signal.SIGTERM)
        self.process.wait()

    def _remove(self):
        os.close(self.log)
        lab.remove_cgroup(self.cgroup)
        for name in os.listdir(self.user.runtime):
            if name != "nixuser":
                lab.remove(f"{self.user.runtime}/{name}")


def procs(path):
    with open(path + "/cgroup.procs") as file:
        return file.read().split()


def no_inner_processes(path):
    """What the kernel demands: processes, or controllers for the cgroups below, never both."""
    with open(path + "/cgroup.subtree_control") as file:
        return not (file.read().strip() and procs(path))


def cgroup_of(pid):
    with open(f"/proc/{pid}/cgroup") as file:
        path = re.search(r"^0::(.*)$", file.read(), re.M)[1]
    return "/sys/fs/cgroup" + path


def scope_path(manager, name):
    return f"{manager.cgroup}/app.slice/{name}.scope"


def session():
    """A cgroup that is root's, as that of a login session is."""
    path = f"{lab.CGROUP}/session-{os.getpid()}.scope"
    if not os.path.isdir(path):
        os.mkdir(path)
        tap.cleanup(lab.remove_cgroup, path)
    return path


def nothing_stays(manager, name):
    tap.until(lambda: not manager.machines() and not manager.cgroups(), 5, f"the end of the scope: {name}")
    tap.ok(True, f"{name}: no unit and no cgroup stays")


# ---- with a manager


@tap.case("a machine from a terminal window", timeout=90)
def window():
    manager = Manager(alice)
    terminal = manager.unit("terminal")
    machine = lab.Machine(alice, name="one", cgroup=terminal).login()
    scope = scope_path(manager, "nixuser-one")
    unit = manager.show("nixuser-one.scope", "ActiveState", "ControlGroup", "Delegate", "CollectMode", "Description")
    tap.is_("/sys/fs/cgroup" + unit.get("ControlGroup", ""), scope, "the scope has the machine's name", unit)
    tap.is_((unit["ActiveState"], unit["Delegate"]), ("active", "yes"), "it runs and is delegated", unit)
    tap.is_(unit["CollectMode"], "inactive-or-failed", "it is forgotten when it ends", unit)
    tap.like(unit["Description"], "machine", "it says what it is")
    inside = f"{scope}/nixuser-one"
    places = [cgroup_of(pid) for pid in (machine.pid, machine.launcher())]
    tap.is_(places, [scope] * 2, "nixuser-boot and nixuser-launch are in it")
    tap.is_(cgroup_of(machine.payload()), f"{inside}/payload/init.scope", "PID 1 is in payload/")
    tap.ok(no_inner_processes(scope) and no_inner_processes(inside), "no process is where controllers are passed on")
    tap.is_(procs(inside), [], "nor between the scope and payload/")
    tap.is_(str(machine.pid) in procs(terminal), False, "nothing of it is in the terminal's scope")
    owners = {path: os.stat(path).st_uid for path in (scope, inside, f"{inside}/payload")}
    tap.is_(list(owners.values()), [alice.uid, alice.uid, alice.subuid[0]], "payload/ alone is the machine's", owners)
    tap.is_(machine.output("cat /proc/1/cgroup | grep ^0"), "0::/init.scope", "inside, its cgroup is the root")
    tap.is_(machine.output("systemctl is-system-running"), "running", "and systemd runs in it")
    tap.is_(machine.power_off(), 0, "poweroff")
    nothing_stays(manager, "after poweroff")

    machine = lab.Machine(alice, name="two", cgroup=terminal).login()
    manager.ctl("stop", "nixuser-two.scope")
    machine.terminal.wait()
    tap.ok(True, "stopping the scope ends the machine")
    nothing_stays(manager, "after a stop of the scope")


@tap.case("a payload that ends at once", timeout=60)
def trivial():
    manager = Manager(alice)
    terminal = manager.unit("terminal")
    for number in range(5):
        result = alice.boot("trivial", "--", str(number), cgroup=terminal)
        tap.is_((result.status, result.err), (number, ""), f"status {number}", result)
        nothing_stays(manager, f"status {number}")
    for status, options in (
        (7, ["--scope"]),
        (8, ["--pipe", "--wait"]),
        (9, ["--pipe", "--wait", "-p", "Delegate=yes"]),
    ):
        argv = [*SYSTEMD_RUN, *options, lab.BOOT, alice.home + "/trivial", "--", str(status)]
        result = alice.run(argv, as_root=booted)
        tap.is_((result.status, result.err), (status, ""), f"by systemd-run {' '.join(options)}", result)
        nothing_stays(manager, " ".join(options))


@tap.case("a unit that is delegated", timeout=60)
def delegated():
    manager = Manager(alice)
    lab.probe(alice, "sleeper", "exec sleep 1000")
    unit = manager.unit("own", "-p", "Delegate=yes")
    # A user manager does not mark what it delegates by user.delegate (as PID 1 does), so only the manager can tell.
    tap.note(f"extended attributes of what it delegates: {os.listxattr(unit)}")
    process = alice.start([lab.BOOT, "sleeper"], cgroup=unit)
    tap.until(lambda: any(map(lab.children, process.children("nixuser-launch"))), 10, "the machine's PID 1")
    tap.is_(cgroup_of(process.pid), unit, "the supervisor stays in it")
    tap.ok(os.path.isdir(f"{unit}/nixuser-sleeper/payload"), "the machine is in it", manager.cgroups())
    tap.is_(manager.machines(), [], "no scope is asked for")
    process.kill()
    process.wait()
    nothing_stays(manager, "a delegated unit")

    # The same for a service, which ends with its main process.
    argv = [*SYSTEMD_RUN, "--unit=machine", "-p", "Delegate=yes", lab.BOOT, "-q", alice.home + "/sleeper"]
    lab.must(alice.run(argv, as_root=booted))
    path = f"{manager.cgroup}/app.slice/machine.service"
    tap.until(lambda: os.path.isdir(f"{path}/nixuser-sleeper/payload") and len(procs(path)) == 2, 10, path)
    tap.is_(manager.machines(), [], "a service: no scope is asked for")
    manager.ctl("stop", "machine.service")
    nothing_stays(manager, "a delegated service")


@tap.case("the same name twice", timeout=60)
def twice():
    manager = Manager(alice)
    terminal = manager.unit("terminal")
    lab.probe(alice, "sleeper", "exec sleep 1000")
    process = alice.start([lab.BOOT, "sleeper"], cgroup=terminal)
    tap.until(lambda: any(map(lab.children, process.children("nixuser-launch"))), 10, "the machine's PID 1")
    before = manager.cgroups()
    result = alice.boot("sleeper", cgroup=terminal)
    refused(result, rf"'sleeper' runs already.*\b{process.pid}\b", "it says who holds it")
    tap.is_(manager.cgroups(), before, "the first one has what it had")
    result = alice.boot("--name", "another", "trivial", "--", "4", cgroup=terminal)
    tap.is_((result.status, result.err), (4, ""), "another name works beside it", result)
    process.kill()
    process.wait()
    nothing_stays(manager, "after the supervisor was killed")

    manager.unit("nixuser-taken")
    result = alice.boot("--name", "taken", "trivial", cgroup=session())
    refused(result, "scope.*exists", "a unit of this name that is not a machine's")


@tap.case("two users")
def users():
    managers = [Manager(user) for user in (alice, bob)]
    results = []
    for manager in managers:
        result = manager.user.boot("--name", "same", "trivial", "--", "6", cgroup=manager.unit("terminal"))
        results.append((result.status, result.err))
        nothing_stays(manager, manager.user.name)
    tap.is_(results, [(6, "")] * 2, "the same name for each")


# ---- without


def refused(result, words, name):
    good = result.status == lab.UNAVAILABLE and re.fullmatch(r"nixuser-boot: [^\x00-\x1f\x7f]+\n", result.err)
    tap.ok(good and re.search(words, result.err), f"{name}: status 69 and one line why", f"words: {words}", result)
    tap.is_(result.out, "", f"{name}: nothing on standard output")


def bus(serve):
    """A bus of alice's that somebody else made; serve(connection) is all that it does."""
    path = alice.runtime + "/bus"
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    os.chmod(path, 0o666)
    server.listen()
    child = os.fork()
    if child == 0:
        for number in (signal.SIGTERM, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        while True:
            serve(server.accept()[0])
    tap.cleanup(os.unlink, path)
    tap.cleanup(server.close)
    tap.cleanup(os.waitpid, child, 0)
    tap.cleanup(os.kill, child, signal.SIGKILL)


@tap.case("a bus that hangs up")
def hangs_up():
    before = lab.Snapshot([alice])
    bus(lambda connection: connection.close())
    refused(alice.boot("trivial", cgroup=session()), "scope.*user manager", "a bus that hangs up")
    result = alice.boot("trivial", "--", "6")
    tap.is_((result.status, result.err), (6, ""), "in a delegated unit it is not asked", result)
    result = alice.boot("trivial", "--", "6", marked=False)
    tap.is_((result.status, result.err), (6, ""), "in a cgroup that may be written it is not needed", result)
    tap.is_({k: v for k, v in before.settled().items() if v != [alice.runtime + "/bus"]}, {}, "nothing is left behind")


@tap.case("a bus that talks nonsense")
def nonsense():
    def talk(connection):
        connection.sendall(b"\0REJECTED \x1b[31m\r\nOK zzz\r\n" * 50)
        connection.close()

    bus(talk)
    refused(alice.boot("trivial", cgroup=session()), "scope.*user manager", "a bus that talks nonsense")


@tap.case("a bus without a manager", timeout=60)
def no_manager():
    configuration = alice.keep("bus.conf")
    with open(configuration, "w") as file:
        file.write(
            f"""<busconfig><type>session</type><listen>unix:path={alice.runtime}/bus</listen><auth>EXTERNAL</auth>
            <policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/>
            <allow own="*"/></policy></busconfig>"""
        )
    os.chown(configuration, alice.uid, alice.gid)
    alice.start(["dbus-daemon", f"--config-file={configuration}", "--nofork"])
    tap.cleanup(lab.remove, alice.runtime + "/bus")
    tap.until(lambda: os.path.exists(alice.runtime + "/bus"), 10, "the bus")
    refused(alice.boot("trivial", cgroup=session()), "scope.*user manager", "a bus without a manager")


@tap.case("a manager that refuses", timeout=60)
def refuses():
    manager = Manager(alice)
    # Without PID 1's help the manager cannot move a process out of a cgroup that is not the user's: the job fails.
    refused(alice.boot("trivial", cgroup=session()), "scope.*user manager", "a job that fails")
    nothing_stays(manager, "a job that fails")
    with open(f"{manager.cgroup}/app.slice/cgroup.max.descendants", "w") as file:
        file.write("1")
    result = alice.boot("trivial", cgroup=session())
    refused(result, "scope.*user manager", "a manager that can make no cgroup")
    nothing_stays(manager, "a manager that can make no cgroup")


@tap.case("nobody to ask")
def nobody():
    words = r"no delegated cgroup and no user manager.*(enable-linger).*Delegate=yes"
    refused(alice.boot("trivial", cgroup=session()), words, "no bus")
    refused(alice.boot("trivial", cgroup=session(), env={"XDG_RUNTIME_DIR": None}), words, "no XDG_RUNTIME_DIR")
    address = {"DBUS_SESSION_BUS_ADDRESS": "unix:path=/no/where"}
    refused(alice.boot("trivial", cgroup=session(), env=address), "scope.*user manager", "a bus that is gone")
    address = {"DBUS_SESSION_BUS_ADDRESS": "\x1b[31m;=,%"}
    refused(alice.boot("trivial", cgroup=session(), env=address), "scope.*user manager", "an address that is none")
    result = alice.boot("trivial", "--", "6", marked=False, env=address)
    tap.is_((result.status, result.err), (6, ""), "in a cgroup that may be written it is not needed", result)


tap.main()
