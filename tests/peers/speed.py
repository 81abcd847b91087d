# SPDX-License-Identifier: MIT
"""The rows of times and memory, by the measurements of bench/: bench/run for users' programs, its parts for root's."""

import functools
import json
import os
import statistics
import sys

import lab
import logins
import tools

BENCH = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))) + "/bench"
sys.path.append(BENCH)
import measure

ROUNDS = 20
MIB = 1 << 20


class Command:
    """A tool as measure.py wants it."""

    def __init__(self, argv, names):
        self.argv, self.names = argv, names


@functools.cache
def of_users():
    """What bench/run has found, in a cgroup of alice's that is delegated to her: as podman has it from its scope."""
    alice = logins.User("alice")
    scope = ["systemd-run", "--user", "--scope", "--quiet", "--property=Delegate=yes"]
    record = "/tmp/bench.json"
    lab.must(alice.run([*scope, BENCH + "/run", "--rounds", str(ROUNDS), "--json", record], timeout=280))
    with open(record) as file:
        found = json.load(file)
    for what in found["skipped"]:
        if what != "peak of all":  # of no use here
            raise AssertionError(f"bench/run has skipped {what}: {found['skipped'][what]}")
    return found


def name(tool):
    return os.path.basename(tool.program)


def command(tool, closure):
    return Command(tool.argv(closure), [tool.program])


def median(sample, rounds):
    """Of samples taken by root, after one that fills caches."""
    sample()
    return statistics.median(sample() for _ in range(rounds)) * 1000


def life(tool):
    if isinstance(tool, tools.Nspawn):
        return milliseconds(median(lambda: measure.life(command(tool, "trivial")), ROUNDS))
    medians = {tool: figures["median"] for tool, figures in of_users()["summary_ms"]["life"].items()}
    smallest = f" (bubblewrap: {milliseconds(medians['bwrap'])})" if isinstance(tool, tools.Boot) else ""
    return milliseconds(medians[name(tool)]) + smallest


def boot(tool):
    if isinstance(tool, tools.Nspawn):
        total = median(lambda: measure.boot(command(tool, "result"))["total"], ROUNDS // 4)
    else:
        total = of_users()["summary_ms"]["boot total"][name(tool)]["median"]
    return f"{total / 1000:.2f} s"


def milliseconds(value):
    return f"{value:.0f} ms"


def memory(tool):
    """Proportional set sizes. Of podman what stays when it is detached: conmon, and a process for each user."""
    if isinstance(tool, tools.Nspawn):
        return mebibytes(measure.resident(command(tool, "result")))
    samples = of_users()["samples"]["resident"]
    if isinstance(tool, tools.Boot):
        return mebibytes(samples["nixuser-boot"][0])
    processes = samples["podman -d"][0]
    of_user = [process for process in processes if process[0] == "podman pause"]
    others = [process for process in processes if process[0] != "podman pause"]
    return f"{mebibytes(others)}, and {mebibytes(of_user)} for each user"


def mebibytes(processes):
    if not processes:
        raise AssertionError("nothing runs beside the machine?")
    return f"{sum(memory['pss'] for _, memory in processes) / MIB:.1f} MiB"
