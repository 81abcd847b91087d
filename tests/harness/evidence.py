# SPDX-License-Identifier: MIT
"""Saves the state of all machines when a test fails: what their terminals have shown, and their journals."""

import os
import re
import subprocess
import sys

import proc
import terminal
from given import WORLD

FAILURES = WORLD + "/failures"
MOST = 10  # failures of one file that are worth it

_count = 0


def keep(name):
    """Called with the name of each failed test, while what it is about still runs."""
    global _count
    _count += 1
    if _count > MOST or not os.path.isdir(FAILURES):
        return
    words = re.sub(r"[^\w.-]+", "-", name)[:60].strip("-")
    prefix = f"{FAILURES}/{os.path.basename(sys.argv[0])}-{_count}-{words}"
    for shown in terminal.opened:
        save(f"{prefix}.console-{shown.process.user.name}-{shown.pid}", shown.log.replace("\r\n", "\n"))
    for pid in machines():
        save(f"{prefix}.journal-{pid}", journal(pid))


def save(path, text):
    with open(path, "w") as file:
        file.write(text)


def machines():
    """The first process of each."""
    launchers = [process.pid for process in proc.processes() if process.comm == "nixuser-launch"]
    return [pid for launcher in launchers for pid in proc.children(launcher)]


def journal(pid):
    """A machine's, read with the host's program, so that it does not matter what the machine is able to do."""
    command = ["journalctl", "--no-pager", "--output=short-precise", f"--directory=/proc/{pid}/root/run/log/journal"]
    try:
        how = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", timeout=10)
        return subprocess.run(command, **how).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{error}\n"
