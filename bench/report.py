# SPDX-License-Identifier: MIT
"""What was measured, as a table for people and as a record for machines."""

import datetime
import math
import os
import statistics
import textwrap

OURS, BWRAP, PODMAN = "nixuser-boot", "bwrap", "podman"

# What nixuser-boot is to reach: (what, how it is found, at most).
GOALS = [
    ("whole life / bwrap", lambda results: results.ratios()["life"].get(BWRAP), 1.25),
    ("whole life / podman", lambda results: results.ratios()["life"].get(PODMAN), 1 / 15),
    ("boot and exit / podman", lambda results: results.ratios()["boot total"].get(PODMAN), 0.9),
    ("KiB proportional beside a machine", lambda results: results.beside(OURS) / 1024, 1536),
]


class Results:
    def __init__(self, rounds, delegate):
        self.rounds = rounds
        self.delegate = delegate  # whether our cgroup says that it is delegated
        self.versions = {}
        self.samples = {}  # {what: {tool: [sample, ...]}}
        self.order = []  # of the tools, for the table
        self.skipped = {}  # {what, and which tool: reason}
        self.began = datetime.datetime.now(datetime.timezone.utc)
        self.load = {"before": os.getloadavg()}

    def add(self, what, tool, sample):
        self.samples.setdefault(what, {}).setdefault(tool, []).append(sample)

    def skip(self, what, reason):
        self.skipped.setdefault(what, reason)

    def end(self):
        self.load["after"] = os.getloadavg()

    def computer(self):
        kernel = os.uname()
        return {"kernel": f"{kernel.sysname} {kernel.release} {kernel.machine}", "cpu": cpu_model(),
                "cpus": len(os.sched_getaffinity(0)), "load": self.load}

    def tools(self, what):
        return [tool for tool in self.order if tool in self.samples.get(what, {})]

    def times(self, what, tool, part=None):
        """The samples of one tool, in milliseconds."""
        samples = self.samples.get(what, {}).get(tool, [])
        return [(sample[part] if part else sample) * 1000 for sample in samples]

    def record(self):
        summaries = {"life": {tool: summary(self.times("life", tool)) for tool in self.tools("life")}}
        for part in ("ready", "stop", "total"):
            summaries["boot " + part] = {
                tool: summary(self.times("boot", tool, part)) for tool in self.tools("boot")}
        return {
            "began": self.began.isoformat(timespec="seconds"), "rounds": self.rounds, "delegate": self.delegate,
            "computer": self.computer(),
            "versions": self.versions, "skipped": self.skipped,
            "summary_ms": summaries, "ratios": self.ratios(), "samples": self.samples,
            "units": "samples: seconds and bytes"}

    def ratios(self):
        """Medians of ours by those of each other; small is good."""
        found = {}
        for what, part in (("life", None), ("boot", "ready"), ("boot", "stop"), ("boot", "total")):
            ours = statistics.median(self.times(what, OURS, part))
            name = f"{what} {part}" if part else what
            found[name] = {tool: round(ours / statistics.median(self.times(what, tool, part)), 4)
                           for tool in self.tools(what) if tool != OURS}
        return found

    # ---- the table

    def table(self):
        parts = [self.heading(), self.lives(), self.boots(), self.peaks(), self.resident(), self.goals(), self.skips()]
        return "\n\n".join("\n".join(part) for part in parts if part)

    def heading(self):
        computer = self.computer()
        load = " ".join(f"{self.load[when][0]:.2f}" for when in ("before", "after"))
        known = ", ".join(f"{name}: {version}" for name, version in self.versions.items() if version)
        return [f"{computer['cpus']} x {computer['cpu']}, {computer['kernel']}; load before and after: {load}", known]

    def lives(self):
        rows = []
        for tool in self.tools("life"):
            figures = summary(self.times("life", tool))
            rows.append([tool, f"{figures['n']}", *milliseconds(figures),
                         self.against(BWRAP, figures, "life"), self.against(PODMAN, figures, "life")])
        head = ["whole life of a payload that exits at once, ms", "n", "median", "min", "p90", "/ bwrap", "/ podman"]
        return aligned(head, rows)

    def boots(self):
        rows = []
        names = {"ready": "to multi-user", "stop": "stop to exit", "total": "both"}
        for part, name in names.items():
            for tool in self.tools("boot"):
                figures = summary(self.times("boot", tool, part))
                rows.append([f"{name}: {tool}", f"{figures['n']}", *milliseconds(figures),
                             self.against(PODMAN, figures, "boot", part)])
        return aligned(["boot of the same system, ms", "n", "median", "min", "p90", "/ podman"], rows)

    def against(self, peer, figures, what, part=None):
        others = self.times(what, peer, part)
        return f"{figures['median'] / statistics.median(others):.3f}" if others else "-"

    def peaks(self):
        rows = []
        for tool in self.tools("life"):
            largest, peak = (self.samples.get(kind, {}).get(tool) for kind in ("largest process", "peak of all"))
            rows.append([tool, kibibytes(largest), kibibytes(peak)])
        return aligned(["peak memory of that life, KiB (median)", "largest process", "all, with kernel's"], rows)

    def resident(self):
        rows = []
        kinds = ("rss", "pss", "private")
        for tool, (processes, *_) in self.samples.get("resident", {}).items():
            for name, memory in processes:
                rows.append([f"{tool}: {name}", *(kibibytes([memory[kind]]) for kind in kinds)])
            rows.append([f"{tool}: together", *(kibibytes([self.beside(tool, kind)]) for kind in kinds)])
        return aligned(["beside a booted machine, KiB", "resident", "proportional", "private"], rows)

    def beside(self, tool, kind="pss"):
        """Bytes of all processes beside a machine."""
        return sum(memory[kind] for _, memory in self.samples["resident"][tool][0])

    def goals(self):
        rows = []
        for name, find, limit in GOALS:
            value = find(self)
            if value is not None:
                rows.append([name, f"{value:.4g}", f"{limit:.4g}", "reached" if value <= limit else "missed"])
        return aligned(["goals", "is", "at most", ""], rows)

    def skips(self):
        return [f"skipped: {what}: {textwrap.shorten(reason, 160)}" for what, reason in self.skipped.items()]


def cpu_model():
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return "unknown"


def summary(values):
    ordered = sorted(values)
    return {"n": len(ordered), "median": statistics.median(ordered), "min": ordered[0],
            "p90": ordered[math.ceil(0.9 * len(ordered)) - 1]}


def milliseconds(figures):
    return [f"{figures[key]:.2f}" for key in ("median", "min", "p90")]


def kibibytes(samples):
    return f"{statistics.median(samples) / 1024:.0f}" if samples else "-"


def aligned(head, rows):
    if not rows:
        return []
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    return ["  ".join(cell.ljust(width) if column == 0 else cell.rjust(width)
                      for column, (cell, width) in enumerate(zip(row, widths))).rstrip() for row in [head, *rows]]
