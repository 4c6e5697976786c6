"""Do the tests notice? Change the servers in one place at a time, and count what is caught.

The change is made in a copy of the repository. There the tests of the step itself run first, then
those of its neighbours, then the checks that look at servers. It takes an hour, and is no part of
the continuous integration:

    python -m course.mutants [--step 2] [--sample 300] [--seed 1]

What changes nothing that anybody could notice stands in mutants.toml, each with its reason. A text
of three words or more is left alone, for its words are free, and so is all that an f-string holds.
"""

import argparse
import ast
import collections
import contextlib
import ctypes
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path
from typing import NamedTuple

import psutil

from course.facts import unified_diff
from tests.harness import ROOT, STEPS

CHECKS = "options failures imports fuzz slow_readers outputs strict".split()
COLUMNS = ["own tests", "other tests", "checks", "nothing", "equivalent"]
SECONDS = 150  # for a run of tests: what hangs was noticed
MOST_PROCESSES = 500  # what forks forever was noticed, too
PR_SET_CHILD_SUBREAPER = 36  # prctl(2): whoever loses its parent becomes a child of ours
OTHER = {ast.Lt: ast.LtE, ast.Gt: ast.GtE, ast.Eq: ast.NotEq, ast.In: ast.NotIn, ast.Is: ast.IsNot}
OTHER |= {new: old for old, new in OTHER.items()} | {ast.And: ast.Or, ast.Or: ast.And}
OTHER |= {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult}
SIMPLE = ast.Assign | ast.AugAssign | ast.Expr | ast.Raise | ast.Delete | ast.Break | ast.Continue


class Mutant(NamedTuple):
    """A file of a step, its text, and the text with one change."""

    step: str
    file: str
    right: str
    wrong: str

    def diff(self):
        """Return the lines that go and those that come, such as "- x = 1"."""
        lines = unified_diff(self.right, self.wrong).splitlines()[3:]
        return [f"{line[0]} {line[1:].strip()}" for line in lines if line[0] in "+-"]


def changes(node):
    """Yield the changes of a node itself, not of those below: what goes, and which code comes."""

    def but(**parts):  # the code of the node with other parts
        return ast.unparse(type(node)(**vars(node) | parts))

    def shorter(items):
        return [[*items[:i], *items[i + 1 :]] for i in range(len(items))]

    match node:
        case ast.Compare():
            yield node, but(ops=[OTHER[type(node.ops[0])](), *node.ops[1:]])
        case ast.BoolOp():
            yield node, f"({but(op=OTHER[type(node.op)]())})"
            yield from ((node, f"({but(values=values)})") for values in shorter(node.values))
        case ast.If() | ast.While() | ast.IfExp():
            yield node.test, f"not ({ast.unparse(node.test)})"
        case ast.UnaryOp(op=ast.Not()):
            yield node, f"({ast.unparse(node.operand)})"
        case ast.BinOp() if type(node.op) in OTHER:
            yield node, f"({but(op=OTHER[type(node.op)]())})"
        case ast.AugAssign():
            yield node, but(op=OTHER[type(node.op)]())
        case ast.Constant(value=bool()):
            yield node, repr(not node.value)
        case ast.Constant(value=int() | float() as number):
            yield node, repr(number + 1 if number in (0, 1, 2) else 2 * number)
        case ast.Constant(value=bytes() as data):
            yield node, repr(b"X" + data)
        case ast.Constant(value=str() as text) if text[:1].isdigit() or len(text.split()) < 3:
            yield node, repr("X" + text)
        case ast.Call():
            yield from ((node, but(args=args)) for args in shorter(node.args))
            yield from ((node, but(keywords=keywords)) for keywords in shorter(node.keywords))
        case ast.Slice():
            yield from ((node, but(**{part: None})) for part in ("lower", "upper"))
        case ast.Return(value=ast.expr()):
            yield node, "return None"
        case ast.ExceptHandler():
            yield node.type, "BaseException"
            for left in shorter(getattr(node.type, "elts", [])):
                yield node.type, ast.unparse(ast.Tuple(left, ast.Load()))
    if isinstance(node, SIMPLE):
        yield node, "pass"


def nodes(node):
    """Yield a node and all nodes below it, but no docstring, and nothing of an f-string."""
    if not isinstance(node, ast.JoinedStr) and not (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    ):
        yield node
        for child in ast.iter_child_nodes(node):
            yield from nodes(child)


def changed(text):
    """Yield the text of a program with one change, for each change that there is."""
    lines = text.splitlines(keepends=True)
    starts = [sum(map(len, lines[:number])) for number in range(len(lines))]
    tree = ast.parse(text)
    unchanged = ast.dump(tree)
    for old, code in (pair for node in nodes(tree) for pair in changes(node)):
        begin = starts[old.lineno - 1] + old.col_offset
        end = starts[old.end_lineno - 1] + old.end_col_offset
        wrong = text[:begin] + code + text[end:]
        if ast.dump(ast.parse(wrong)) != unchanged:
            yield wrong


def all_mutants():
    """Return all mutants of the steps' files. The copy of a file in a later step is left out."""
    files = {}
    for path in sorted(ROOT.glob("step0*/*.py")):
        files.setdefault(path.read_text("ascii"), path)
    return [
        Mutant(path.parent.name, path.name, text, wrong)
        for text, path in files.items()
        for wrong in changed(text)
    ]


def read_equivalent():
    """Return what mutants.toml lists, a set of tuples: a file, and the lines of a diff."""
    rows = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))["row"]
    return {(row["file"], *diff) for row in rows for diff in row["diffs"]}


def first_failure(repository, words):
    """Run pytest in a copy of the repository; return its first failure, or None if all pass."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:randomly", *words]
    end, failure = time.monotonic() + SECONDS, "There is no end of it."
    with tempfile.TemporaryFile("w+") as output:
        run = subprocess.Popen(command, cwd=repository, stdout=output, stderr=output)
        try:
            while time.monotonic() < end and len(processes_below()) < MOST_PROCESSES:
                if run.poll() is not None:
                    output.seek(0)
                    lines = [
                        line.strip() for line in output if line.startswith(("FAILED", "ERROR"))
                    ]
                    assert run.returncode in (0, 1, 5), f"pytest does not run: {words} {lines}"
                    failure = lines[0] if run.returncode == 1 else None
                    break
                for child in psutil.Process().children():
                    if child.pid != run.pid:  # it lost its parent: collect it when it has ended
                        os.waitpid(child.pid, os.WNOHANG)
                time.sleep(0.3)
        finally:
            while left := processes_below():  # they may go on forking while they are ended
                for process in left:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        process.kill()
                run.wait()
                psutil.wait_procs(left, 1)
    return failure


def processes_below():
    """Return all processes that this one has started, and those that these have started."""
    return psutil.Process().children(recursive=True)


def runs(mutant):
    """Yield the name of a column, and the words of a run of pytest that may notice the mutant."""
    number = STEPS.index(mutant.step)
    yield "own tests", [f"tests/test_{mutant.step}.py"]
    if mutant.file in ("http_message.py", "wsgi.py"):  # the next step has a copy
        yield "other tests", [f"tests/test_{STEPS[number + 1]}.py"]
    if mutant.file == "server.py":
        server = f"{mutant.step}/server.py" + " --workers 25" * (number == 5)
        for before in STEPS[:number]:
            options = ["--course", "--server", server, "--reached", mutant.step]
            yield "other tests", [f"tests/test_{before}.py", *options]
    files = [f"course/checks/test_{name}.py" for name in CHECKS]
    yield "checks", [*files, "-k", f"{mutant.step} or not step0"]


def try_out(mutant, repository):
    """Make the change in a copy of the repository. Return who noticed it, and by which test."""
    copies = [*repository.glob(f"step0*/{mutant.file}")]
    copies = [path for path in copies if path.read_text("ascii") == mutant.right]
    try:
        for path in copies:
            path.write_text(mutant.wrong, "ascii")
        for column, words in runs(mutant):
            if failure := first_failure(repository, words):
                return column, failure
    finally:
        for path in copies:
            path.write_text(mutant.right, "ascii")
    return "nothing", ""


def main():
    """Try a sample of all mutants, print what became of each, and a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--step", type=int, choices=range(1, 7))
    parser.add_argument("--sample", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"  # it would hide a change within the same second
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    equivalent, found = read_equivalent(), all_mutants()
    if arguments.step:
        found = [mutant for mutant in found if mutant.step == STEPS[arguments.step - 1]]
    sample = random.Random(arguments.seed).sample(found, min(arguments.sample, len(found)))
    counts = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder, "repository")
        shutil.copytree(ROOT, repository, ignore=shutil.ignore_patterns(".*", "__pycache__"))
        for number, mutant in enumerate(sample, 1):
            column, test = "equivalent", ""
            if (mutant.file, *mutant.diff()) not in equivalent:
                column, test = try_out(mutant, repository)
            name = f"{mutant.step}/{mutant.file}"
            counts += collections.Counter([(name, column), ("all", column)])
            print(f"{number}. {name}: {column}. {test}", *mutant.diff(), sep="\n", flush=True)
    print("\n| file |", " | ".join(COLUMNS), "|\n" + "| --- " * (1 + len(COLUMNS)) + "|")
    for name in sorted({name for name, _ in counts}, reverse=True):
        print("|", name, "|", " | ".join(str(counts[name, c]) for c in COLUMNS), "|")


if __name__ == "__main__":
    main()
