# SPDX-License-Identifier: MIT
"""What a host for tests tells the tests, and what they leave there when they fail."""

import json
import os

DIRECTORY = "/run/nixuser-test"
FILE = DIRECTORY + "/world.json"
FAILURES = DIRECTORY + "/failures"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/run/current-system/sw/bin"


def environment(prefix):
    """For the command that is run in a host for tests; prefix is where the programs are installed."""
    return {
        "PATH": PATH,
        "PYTHONDONTWRITEBYTECODE": "1",
        "NIXUSER_BOOT": prefix + "/bin/nixuser-boot",
        "NIXUSER_HELPER": prefix + "/libexec/nixuser/nixuser-helper",
        "NIXUSER_TEST_WORLD": DIRECTORY,
    }


def make_directories(root=""):
    for path in (DIRECTORY + "/root", DIRECTORY + "/locks", FAILURES):
        os.makedirs(root + path)


def update(root="", **values):
    """Adds to what is in the file."""
    old = {}
    if os.path.exists(root + FILE):
        with open(root + FILE) as file:
            old = json.load(file)
    with open(root + FILE, "w") as file:
        json.dump(old | values, file)
