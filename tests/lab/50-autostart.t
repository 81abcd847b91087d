#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A machine that starts with its user's manager, and stops with it. With a reboot of the host: tests/vm/60-reboot.t."""

import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import logins
import lab
import tap

lab.need("result")
alice = logins.User("alice")


@tap.case("a unit that is enabled starts with a lingering user's manager, and stops with it", timeout=150)
def autostart():
    unit = logins.Unit(alice, "lab-autostart", f"{lab.BOOT} --name autostart %h/result", enabled=True)
    alice.log_out()
    alice.linger(True)
    tap.cleanup(alice.log_out)
    tap.until(lambda: unit.show("ActiveState") == "active", 60, "the machine to be ready")
    tap.is_(len(alice.boots()), 1, "it runs, and nobody has logged in")
    started = time.monotonic()
    subprocess.run(["systemctl", "stop", f"user@{alice.uid}.service"], check=True)
    seconds = time.monotonic() - started
    tap.ok(seconds < tap.patience(20), "the user manager stops without waiting in vain", f"{seconds:.0f} s")
    journal = unit.journal()
    tap.like(journal, r"Reached target.*(halt|poweroff)\.target", "the machine has ended in order", journal)
    tap.like(journal, r"^Stopped lab-autostart\.service", "and the unit", journal)
    tap.unlike(journal, r"Failed with result|Main process exited|timed out|Killing", "which is a success", journal)
    alice.nothing_left("after that")


tap.main()
