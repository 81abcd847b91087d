#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A closure boots and ends: what `nixuser-boot ./result` is for."""

import re

import lab
import tap

lab.need("result", "trivial")
alice, judy = lab.claim("alice", "judy")


@tap.case("help and version")
def options():
    result = alice.boot("--version")
    tap.like(result.out, r"\Anixuser-boot \d+\.\d+", "--version", result)
    tap.like(result.out, r"Linux 6\.1 or later$", "names the lowest kernel of 'make check-vm'", result)
    tap.is_((result.status, result.err), (0, ""), "--version succeeds", result)
    result = alice.boot("--help")
    tap.is_((result.status, result.err), (0, ""), "--help succeeds", result)
    for option in ("--name", "--console", "--ephemeral", "--store", "--network", "--dry-run", "--quiet", "--verbose"):
        tap.ok(option in result.out, f"--help names {option}", result)


@tap.case("the exit status is the payload's own")
def statuses():
    for status in (0, 1, 7, 127, 128, 255):
        result = alice.boot("--name", "boot-trivial", "trivial", "--", str(status))
        tap.is_((result.status, result.err), (status, ""), f"status {status}", result)
    result = alice.boot("--name", "boot-trivial", "trivial", "--", "133")
    tap.ok(result.status not in (0, 133), "133 says reboot, and nobody asked for one", result)
    result = alice.boot("-q", "trivial")
    tap.is_((result.status, result.out, result.err), (0, "", ""), "without a name and an argument", result)


@tap.case("arguments for init arrive as they are")
def arguments():
    lab.probe(alice, "args", 'for a; do echo "<$a>"; done')
    result = alice.boot("args", "--", "--name", "a b", "", "*", "--", "$x")
    tap.is_(result.out, "<--name>\r\n<a b>\r\n<>\r\n<*>\r\n<-->\r\n<$x>\r\n", "all of them", result)


@tap.case("a closure is named by a link, by a path with dots, or by its store path")
def names():
    for name in ("./trivial", "../alice/./trivial", alice.home + "/trivial", "//home//alice/trivial"):
        result = alice.boot(name, "--", "5")
        tap.is_(result.status, 5, f"as {name}", result)


@tap.case("a link in a sticky directory")
def sticky():
    alice.sh(f"nix-store --realise {lab.CLOSURES['trivial']} --add-root /tmp/alices-trivial")
    tap.cleanup(lab.remove, "/tmp/alices-trivial")
    result = alice.boot("/tmp/alices-trivial", "--", "5")
    tap.is_(result.status, 5, "is taken, if it is the caller's own", result)


@tap.case("the demo boots to multi-user without a failed unit, and powers off", timeout=90)
def demo():
    machine = lab.Machine(alice, name="boot-demo").login()
    tap.is_(machine.output("systemctl is-system-running --wait"), "running", "systemctl is-system-running")
    tap.is_(machine.output("systemctl --failed --plain --no-legend"), "", "no failed unit")
    with open(lab.CLOSURES["result"] + "/etc/hostname") as file:
        host = file.read().strip()
    tap.is_(
        machine.output("cat /proc/1/comm; id -u; hostname").split(),
        ["systemd", "0", host],
        "systemd is PID 1, we are root, the host name is the closure's",
    )
    tap.is_(
        machine.output("systemd-detect-virt --container"), "container-other", "systemd knows that it is in a container"
    )
    tap.is_(machine.output("readlink /run/booted-system"), lab.CLOSURES["result"], "/run/booted-system is the closure")
    tap.is_(
        machine.output("cat /proc/self/uid_map /proc/self/gid_map").split(),
        ["0", "0", "65536"] * 2,
        "65536 ids, and no more",
    )
    tap.is_(machine.power_off(), 0, "poweroff is exit status 0")


@tap.case("uids and gids may come from different places", timeout=60)
def ranges():
    machine = lab.Machine(judy, name="boot-ranges").login()
    payload = machine.payload()
    maps = [open(f"/proc/{payload}/{kind}_map").read().split() for kind in ("uid", "gid")]
    tap.is_(maps, [["0", "1300000", "65536"], ["0", "1400000", "65536"]], "each map has its own range")
    tap.is_(
        machine.output("touch /root/x; stat -c %u:%g /root/x; chown 65535:65535 /root/x; stat -c %u:%g /root/x"),
        "0:0\n65535:65535",
        "first and last id work",
    )
    tap.is_(machine.power_off(), 0, "exit status")


@tap.case("units with a sandbox, and namespaces inside the machine", timeout=90)
def sandboxes():
    machine = lab.Machine(alice, name="boot-units").login()
    properties = {
        "PrivateTmp=yes": "test ! -e /tmp/outside",
        "ProtectSystem=strict": "! touch /etc/x /usr/x",
        "ProtectProc=invisible": "! setpriv --reuid 65534 --clear-groups ls -d /proc/1 && test -e /proc/self",
        "PrivateDevices=yes": "test -c /dev/null",
        "DynamicUser=yes": "test $(id -u) -ge 61184 -a $(id -u) -le 65519",
        "ProtectHome=yes": "test ! -e /root/outside",
        "PrivateNetwork=yes": "test $(ls /sys/class/net) = lo",
        "ProtectControlGroups=yes": "! mkdir /sys/fs/cgroup/x",
        "NoNewPrivileges=yes": "grep -q NoNewPrivs:.1 /proc/self/status",
    }
    machine.output("touch /tmp/outside /root/outside")
    for one, check in properties.items():
        status, output = machine.run(f"systemd-run --wait --pipe -q -p {one} /bin/sh -c '{check}'")
        tap.is_(status, 0, f"a unit with {one}", output)
    together = [one for one in properties if not one.startswith(("PrivateNetwork", "NoNew"))]
    command = f"systemd-run --wait --pipe -q {' '.join('-p ' + one for one in together)} /bin/sh -c 'id -u; ls /tmp'"
    status, output = machine.run(command)
    tap.ok(status == 0 and re.fullmatch(r"6\d{4}\s*", output), "a unit with all of them", output)
    status, output = machine.run("unshare -Urpfm --mount-proc sh -c 'echo $$; ls -d /proc/[0-9]* | wc -l'")
    tap.is_((status, output.split()[:1]), (0, ["1"]), "unshare -Urpfm --mount-proc", output)
    tap.is_(
        machine.output("systemctl --failed --plain --no-legend; systemctl is-system-running"),
        "running",
        "still no failed unit",
    )
    tap.is_(machine.power_off(), 0, "exit status")


@tap.case("nothing of one boot is there at the next", timeout=90)
def ephemeral():
    identifiers = set()
    for time in ("first", "second"):
        machine = lab.Machine(alice, "--ephemeral", name="boot-twice").login()
        tap.is_(
            machine.run("ls /root/left /etc/left /var/left /tmp/left 2>/dev/null")[1].strip(),
            "",
            f"{time} boot: a fresh root",
        )
        machine.output("touch /root/left /etc/left /var/left /tmp/left")
        identifiers.add(machine.output("cat /etc/machine-id"))
        tap.is_(machine.power_off(), 0, f"{time} boot: exit status")
    tap.is_(len(identifiers), 1, "but it is the same machine-id", identifiers)
    tap.like(identifiers.pop(), r"\A[0-9a-f]{32}\Z", "which is one")


@tap.case("--dry-run prints the plan and starts nothing")
def dry_run():
    before = lab.leftovers(alice)
    result = alice.boot("--dry-run", "--name", "boot-dry", "result", "--", "--log-level=debug")
    tap.is_((result.status, result.err), (0, ""), "it succeeds", result)
    tap.like(result.out, r"uid 0 1000000 65536", "the id map", result)
    tap.like(result.out, r"mount .*/nix/store .*ro,nosuid,nodev", "the store's mount", result)
    tap.like(result.out, rf"{lab.CLOSURES['result']}/init --log-level=debug$", "the arguments", result)
    tap.like(result.out, r"boot-dry", "the name", result)
    tap.is_(before.new(), {}, "nothing was made")


@tap.case("-q says nothing of its own, -v tells the stages")
def words():
    result = alice.boot("-v", "trivial")
    tap.is_(result.status, 0, "-v boots", result)
    tap.ok(len(result.err.splitlines()) >= 3, "-v tells several stages", result)
    terminal = lab.Terminal(alice, [lab.BOOT, "-q", "trivial"])
    tap.is_((terminal.wait(), terminal.log), (0, ""), "-q on a terminal")


@tap.case("the name is the link's, or the closure's host name for ./result", timeout=60)
def machine_name():
    lab.probe(alice, "my-name", "hostname")
    tap.is_(alice.boot("my-name").out, "my-name\r\n", "the link's name")
    tap.is_(alice.boot("--name", "other", "my-name").out, "other\r\n", "--name")
    tap.is_(alice.boot("-n", "other", "my-name").out, "other\r\n", "-n")
    with open(lab.CLOSURES["result"] + "/etc/hostname") as file:
        host = file.read().strip()
    result = alice.boot("--dry-run", "result")
    tap.like(result.out, rf"^machine {re.escape(host)} ", "the host name", result)


tap.main()
