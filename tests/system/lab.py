# SPDX-License-Identifier: MIT
"""What the system tests share, under one name. Run as root inside a world (see the program of that name).

A test file imports this one first, which makes the others of tests/harness known, and claims the users it works with.
"""

import os
import sys

sys.dont_write_bytecode = True
sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "harness"))
import evidence
import tap
from cgroups import remove as remove_cgroup
from command import Command, Process, Result
from given import BOOT, CGROUP, CLOSURES, HELPER, PATH, WORLD, need
from given import NOT_PERMITTED, OS_ERROR, REFUSED, UNAVAILABLE, USAGE
from leftovers import Snapshot, leftovers
from proc import children, exists, processes, processes_of, read
from store import add_root, add_tree, adding, collecting, must, probe, variant
from terminal import EndOfFile, Machine, Terminal
from user import User, claim, remove

tap.failure_hooks.append(evidence.keep)
