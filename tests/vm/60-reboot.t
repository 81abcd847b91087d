#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The lab host reboots, and a lingering user's machine is stopped before and runs again after.

This runs beside the virtual machine and not in it: namespaces cannot reboot, and no test outlives the reboot of its
host. $NIXUSER_VM is the command that reaches it as root.
"""

import os
import shlex
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + "/harness")
import tap

UNIT = """\
[Service]
Type=notify
Delegate=yes
KillMode=mixed
TimeoutStopSec=100
TimeoutStartSec=300
ExecStart=/usr/local/bin/nixuser-boot --name lab-reboot %h/result

[Install]
WantedBy=default.target
"""


def root(script, timeout=60, check=True):
    """What a script of root's prints in the host; without check nothing, if there is nobody to answer."""
    end = subprocess.run(
        [*shlex.split(os.environ["NIXUSER_VM"]), script],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=None if check else subprocess.DEVNULL,
        text=True,
        check=check,
        timeout=tap.patience(timeout),
    )
    return end.stdout.strip()


def alice(command, **how):
    """A command of hers without a login."""
    return root(f"runuser -u alice -- env XDG_RUNTIME_DIR=/run/user/$(id -u alice) {command}", **how)


def state():
    return alice("systemctl --user is-active lab-reboot", check=False)


def boot_id(**how):
    return root("cat /proc/sys/kernel/random/boot_id", **how)


def sessions():
    """Hers, without the one of her user manager."""
    lines = root("loginctl list-sessions --no-legend").splitlines()
    return [line for line in lines if " alice " in line and " manager" not in line]


@tap.case("a reboot of the host", timeout=240)
def reboot():
    home = "/home/alice/.config/systemd/user"
    root(f"runuser -u alice -- mkdir -p {home}; echo {shlex.quote(UNIT)} >{home}/lab-reboot.service")
    root("loginctl enable-linger alice")
    tap.until(lambda: alice("systemctl --user is-system-running", check=False) == "running", 30, "the user manager")
    alice("systemctl --user daemon-reload")
    alice("systemctl --user enable --now lab-reboot", timeout=120)
    tap.is_(state(), "active", "alice's machine runs")
    before = boot_id()

    started = time.monotonic()
    root("systemctl reboot", check=False)
    tap.until(lambda: boot_id(check=False) not in ("", before), 100, "the reboot", 1)
    tap.note(f"{time.monotonic() - started:.0f} s until the host is back")
    tap.until(lambda: state() == "active", 60, "alice's machine", 1)
    tap.note(f"{time.monotonic() - started:.0f} s until her machine is ready again")
    tap.ok(True, "the machine runs again after the reboot")
    tap.is_(sessions(), [], "and she has not logged in")
    tap.is_(root("systemctl is-system-running --wait"), "running", "the host has no failed unit")
    tap.note(root("systemd-analyze; journalctl --list-boots"))

    unit = "_SYSTEMD_USER_UNIT=lab-reboot.service + USER_UNIT=lab-reboot.service"
    journal = root(f"journalctl -b -1 -o cat --no-pager {unit}")
    tap.like(journal, r"Reached target.*(halt|poweroff)\.target", "the machine had ended in order before", journal)
    tap.like(journal, r"^Stopped lab-reboot\.service", "and its unit", journal)
    tap.unlike(journal, r"Failed with result|Main process exited", "which was a success", journal)
    journal = root("journalctl -b -1 -o short-monotonic --no-pager | tail -n 400")
    tap.unlike(journal, r"timed out|Killing process", "the host did not wait in vain for anything", journal)


tap.main()
