"""Copies of a step in which something is changed: for the notebooks, benchmarks and checks."""

import contextlib
import shutil
import sys
import tempfile
from pathlib import Path

from course.facts import read_mistakes, unified_diff
from tests.harness import ROOT


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
def broken(step, name):
    """Give a folder with a copy of a step that has a named mistake; print what is wrong in it."""
    [mistake] = [m for m in read_mistakes() if m.step == step and m.name == name]
    right = (ROOT / step / mistake.file).read_text("utf-8")
    print(unified_diff(right, mistake.apply(right), mistake.file, f"{mistake.file}, broken"))
    with changed(step, mistake.file, mistake.right, mistake.wrong) as copy:
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
