# SPDX-License-Identifier: MIT
"""The comparison as README has it, as it was measured, and whether they agree."""

import os
import re

README = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))) + "/README.md"
SECTION = "## Compared with"
QUANTITY = re.compile(r"(\d+(?:\.\d+)?) (ms|s|MiB)\b")
TOLERANCE = 1.5


def readme():
    """{row: {tool: cell}} without Markdown's marks and references to notes."""
    with open(README) as file:
        section = file.read().split(SECTION, 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    cells = [[plain(cell) for cell in line.strip("|").split("|")] for line in lines]
    heads = cells[0][1:]
    return {row[0]: dict(zip(heads, row[1:])) for row in cells[2:]}


def plain(cell):
    return re.sub(r" ?\[\d\]|`", "", cell).strip()


def agree(measured, said):
    """The same words, and about the same memory. Times are as good as the computer is idle: see faster()."""
    if QUANTITY.sub(r"N \2", measured) != QUANTITY.sub(r"N \2", said):
        return False
    pairs = zip(QUANTITY.findall(measured), QUANTITY.findall(said))
    return all(near(float(value), float(found)) for (value, unit), (found, _) in pairs if unit == "MiB")


def near(one, other):
    return one <= TOLERANCE * other and other <= TOLERANCE * one


def faster(cells, tools):
    """The time of the first tool by that of the second, which were measured in turn; None if it is no row of times."""
    times = [QUANTITY.match(cells.get(tool, "")) for tool in tools[:2]]
    if not all(times) or "MiB" in (time[2] for time in times):
        return None
    return float(times[0][1]) / float(times[1][1])


def show(record):
    """Markdown, as it can be put into README."""
    heads = ["", *record["tools"]]
    tools = record["tools"]
    rows = [[row["row"], *(row["answers"].get(tool, "**no answer**") for tool in tools)] for row in record["rows"]]
    widths = [max(len(row[column]) for row in (heads, *rows)) for column in range(len(heads))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in (heads, *rows)]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    lines += ["", *(f"not for users: {program}: {said}" for program, said in record["not for users"].items())]
    return "\n".join(lines)
