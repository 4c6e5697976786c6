"""Run everything that CI runs, and show how long each part took (make verify).

    python3 -m course.verify

Needs Python and make; each part installs what it needs. Each part has a budget in seconds, on a
machine with two processors. One that takes longer is named at the end. One that fails is, too, and
the exit status is 1; the others run all the same.
"""

import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from course.install import OLDEST, version_of

MOST_SECONDS = 25 * 60  # for all parts together


class Part(NamedTuple):
    """A command, as a learner or a contributor types it, and the seconds that it may take."""

    command: str
    budget: int


PARTS = [
    Part("make test", 60),  # first, since here nothing is installed yet, as with a learner
    Part("make lint", 20),
    Part("make notebooks", 120),
    Part("make bench-quick", 100),
    Part("make checks", 1020),  # 240 of them are the book's
]
OTHER_PYTHON = 60  # the budget of the steps' tests on another Python


def other_pythons():
    """Return the newest Python of each other version that pyenv has here: a dict from version."""
    found = {}
    for python in sorted(Path.home().glob(".pyenv/versions/3.*/bin/python")):
        version = version_of(python)
        if version and version >= OLDEST and version != sys.version_info[:2]:
            found[version] = python
    return found


def all_parts():
    """Return the parts, with one for each other Python that is here."""
    others = [
        Part(f"make test PYTHON={python} VENV=.venv-{major}.{minor}", OTHER_PYTHON)
        for (major, minor), python in sorted(other_pythons().items())
    ]
    return PARTS + others


def run(parts):
    """Run parts, and print a line for each at the end; return 1 if one has failed, otherwise 0."""
    lines, failed = [], False
    for command, budget in parts:
        print(f"\n== {command}", flush=True)
        begin = time.monotonic()
        status = subprocess.call(command, shell=True)
        seconds = time.monotonic() - begin
        failed = failed or status != 0
        remark = "  FAILED" if status else ""
        if seconds > budget:
            remark += f"  OVER ITS BUDGET of {budget} s"
        lines.append(f"{'--' if remark else 'ok'} {seconds:5.0f} s  {command}{remark}")
    print("", *lines, sep="\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(run(all_parts()))
