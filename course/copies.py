"""Copies of a step in which something is changed: for the notebooks, benchmarks and checks."""

import contextlib
import datetime
import itertools
import os
import shutil
import sys
import tempfile
from pathlib import Path

from course.facts import function_of
from course.language import _
from tests.harness import ROOT


def put_aside(folder):
    """Give a folder of the learner's a dated name, so that no work is lost.

    Ends the program with one line if it cannot be renamed.
    """
    if not os.path.lexists(folder):  # a link to nothing is there, too
        return
    names = (f"{folder.name}-{datetime.date.today()}-{number}" for number in itertools.count(1))
    kept = next(name for name in names if not os.path.lexists(folder.with_name(name)))
    try:
        folder.rename(folder.with_name(kept))
    except OSError as error:  # on Windows, while a program has a file in it open
        text = _("{folder}/ cannot be renamed. Does a program in it still run? {error}")
        sys.exit(text.format(folder=folder.name, error=error))
    text = _("What was in {folder}/ before is now in {kept}/, so nothing of it is lost.")
    print(text.format(folder=folder.name, kept=kept))


@contextlib.contextmanager
def changed(step, file, right, wrong):
    """Give a folder with a copy of a step in which one text of a file is another."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / Path(step).name
        shutil.copytree(ROOT / step, copy)
        text = (copy / file).read_text("utf-8")
        assert right in text, f"{step}/{file} has no {right!r}"
        (copy / file).write_text(text.replace(right, wrong), "utf-8")
        yield copy


@contextlib.contextmanager
def with_function(step, file, name, source):
    """Give a folder with a copy of a step in which a function of a file is another."""
    with changed(step, file, function_of(step, name, file), source.rstrip()) as copy:
        yield copy


RUN = """
import os, runpy, sys
patch, *sys.argv = sys.argv[1:]
sys.path.insert(0, os.path.dirname(sys.argv[0]))
exec(patch)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def patched(patch, file, *arguments):
    """Return the command that runs a server after a patch: lines of Python that change a module."""
    return [sys.executable, "-c", RUN, patch, str(file), *arguments]
