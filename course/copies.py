"""Copies of a step in which something is changed: for the notebooks, benchmarks and checks."""

import ast
import contextlib
import shutil
import sys
import tempfile
from pathlib import Path

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
def with_function(step, file, name, source):
    """Give a folder with a copy of a step in which a function of a file is another."""
    text = (ROOT / step / file).read_text("utf-8")
    [old] = [node for node in ast.parse(text).body if getattr(node, "name", "") == name]
    right = "\n".join(text.splitlines()[old.lineno - 1 : old.end_lineno])
    with changed(step, file, right, source.rstrip()) as copy:
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
