# SPDX-License-Identifier: MIT
"""What the tests are given: programs that are installed, closures, and a cgroup to work in."""

import json
import os

import tap

PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin:/run/current-system/sw/bin"

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
