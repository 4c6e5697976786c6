"""The learner's loop: begin a step in mine/, test it, and see how far it is.

    python -m course.progress 04 --start    copies the step before into mine/   (make start STEP=04)
    python -m course.progress 04 --copy     copies step 4 itself into mine/     (make mine STEP=04)
    python -m course.progress 04            tests mine/server.py                (make check STEP=04)
    python -m course.progress               shows a line for each step          (make progress)

Steps 2 and 3 are built in stages. With --stage 3 (make start STEP=02 STAGE=3) the first three are
about a stage: it begins with the one before, and has the tests of all up to it.

Behind it is plain pytest: each command is shown. A server of another name, or in another
language, is tested with --server, as with pytest.
"""

import argparse
import ast
import datetime
import itertools
import math
import os
import shlex
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from course.facts import STAGES, file_of_tests, folder_before, folder_of, headings
from course.facts import section as text_of
from tests.fixtures import find_server
from tests.harness import ROOT, STEPS

RUNNABLE = [step for step in STEPS if hasattr(os, "fork") or step < "step04"]
MINE = ROOT / "mine"
MOST_SECONDS = 120  # for the tests of one step
MOST_SECONDS_RED = 15  # after the first that fails: a server that hangs makes each test wait
MOST_LINES = 14  # of a hint
GIVEN = {"step03_wsgi": ["app.py", "flask_app.py"]}  # applications, not the server
# What takes too long for each check, or looks into the server: a test file, and which test of it.
APART = {
    "step02_http_server": "course/checks/test_deadlines.py::test_a_short_deadline_is_kept",
    "step03_wsgi": "course/checks/test_imports.py",
    "step05_zombies": "course/checks/test_stop.py::"
    "test_a_child_that_never_finishes_does_not_hold_a_short_limit",
    "step06_prefork": "course/checks/test_stop.py::"
    "test_a_worker_that_never_finishes_is_ended_at_the_limit",
}
YOURS_IN_STEP_1 = {"server.py": ["listen", "serve", "handle"], "client.py": ["echo"]}


class View:
    """What pytest reports, kept in the order of the tests. It is a plugin of pytest's own kind."""

    def __init__(self):
        self.tests = []  # (step, section) of each test
        self.passed = []  # the same, of those that passed
        self.skipped = []  # the same, of those that could not run here
        self.failures = []  # (report, section) of those that failed
        self.flaws = set()  # the IDs of those that are not true of later steps
        self.left_out = set()  # the IDs of those that were not run any more
        self.red_since = {}  # when the first of a step failed, in seconds
        self.highest_step = STEPS[0]  # the highest whose new tests pass, at least one

    @pytest.hookimpl(trylast=True)  # the others have chosen tests, and noted the stage of each
    def pytest_collection_modifyitems(self, items):
        """Put the tests of each step in the order of its stages."""
        steps = list(dict.fromkeys(item.module.STEP for item in items))
        items.sort(key=lambda item: (steps.index(item.module.STEP), stage_of(item)))

    def pytest_collection_finish(self, session):
        self.tests = [(item.module.STEP, section_of(item)) for item in session.items]

    def pytest_runtest_setup(self, item):
        """Skip what was true of a step that this server has left behind: its flaw, for one.

        And leave the last tests of a step out if the first failure was long ago.
        """
        step = item.module.STEP
        true_until = dict(item.user_properties).get("true until")
        if true_until:
            self.flaws.add(item.nodeid)
        if true_until and true_until < self.highest_step:
            pytest.skip("this server has left that step behind")
        if time.monotonic() > self.red_since.get(step, math.inf) + MOST_SECONDS_RED:
            self.left_out.add(item.nodeid)
            pytest.skip("this run takes too long")

    def pytest_runtest_logreport(self, report):
        step = Path(report.nodeid.partition("::")[0]).stem.removeprefix("test_")
        section = section_of(report)
        if report.nodeid in self.left_out:
            return
        if report.skipped:
            self.skipped.append((step, section))
        elif report.failed:
            self.failures.append((report, section))
            self.red_since.setdefault(step, time.monotonic())
        elif report.when == "call":
            self.passed.append((step, section))
            if "new" in dict(report.user_properties):
                self.highest_step = max(self.highest_step, step)

    def count(self, index, name):
        """Return how many tests passed, and how many there are, of a step (0) or a section (1)."""
        passed, skipped, tests = (
            sum(test[index] == name for test in group)
            for group in (self.passed, self.skipped, self.tests)
        )
        return passed, tests - skipped


def section_of(test):
    """Return where the lesson of a test is, such as "step04_fork/README.md#fork-can-fail"."""
    step = Path(test.nodeid.partition("::")[0]).stem.removeprefix("test_")
    return dict(test.user_properties).get("lesson", f"{step}/README.md")


def stage_of(test):
    """Return the number of the stage from which on a test passes."""
    return dict(test.user_properties).get("milestone", 1)


def page_of(step, stage):
    """Return where the lesson of a stage is, such as "step02_http_server/STAGES.md#stage-3-..."."""
    page = f"{step}/STAGES.md"
    [anchor] = [name for name in headings(ROOT / page) if name.startswith(f"stage-{stage}")]
    return f"{page}#{anchor}"


def title_of(section):
    """Return the heading of a section, as it stands in the README."""
    file, _, anchor = section.partition("#")
    return headings(ROOT / file).get(anchor, section)


def hint_of(report):
    """Return the message of a failed test: what pytest shows, without its own explanation."""
    crash = getattr(report.longrepr, "reprcrash", None)
    message = crash.message if crash else str(report.longrepr)
    message = message.removeprefix("AssertionError: ").partition("\nassert ")[0]
    lines = []
    for line in message.splitlines():  # a line of a traceback stays as it is
        lines += [line] if line.startswith(" ") else textwrap.wrap(line, 92)
    if len(lines) > MOST_LINES:  # the last lines of a traceback say most
        lines = [*lines[:4], "...", *lines[5 - MOST_LINES :]]
    return lines


def shown(*words):
    """Return a command as one types it in the root folder."""
    words = [str(word).removeprefix(f"{ROOT}{os.sep}") for word in words]
    return shlex.join(words) if os.name == "posix" else subprocess.list2cmdline(words)


def loop_command(verb, step, stage=None):
    """Return the command of the learner's loop for a step: with make where there is make."""
    number = step[4:6]
    if os.name == "posix":
        return f"make {verb} STEP={number}" + (f" STAGE={stage}" if stage else "")
    options = ["--stage", stage] if stage else []
    options += ["--start"] if verb == "start" else []
    return shown(sys.executable, "-m", "course.progress", number, *options)


def run(steps, server, stage=None):
    """Run the tests of steps against a server; return a View and pytest's exit status.

    stage: only the tests of the stages up to this one.
    """
    view = View()
    files = [str(file_of_tests(step)) for step in steps]
    options = ["--server", server, "-p", "no:randomly"]  # in the order in which one learns
    options += [f"--milestone={stage}"] if stage else []
    print("The tests, which you can run yourself:\n")
    print(f"    {shown(sys.executable, '-m', 'pytest', *files, *options)}\n", flush=True)
    options += ["-qq", "--tb=no", "--no-summary", "--no-header"]
    options += ["--timeout=30", f"--session-timeout={MOST_SECONDS * len(steps)}"]
    status = pytest.main([*files, *options], plugins=[view])
    if not view.tests:
        sys.exit("pytest could not begin. The command above shows why.")
    print()
    return view, int(status)


def check(step, server, stage=None):
    """Run one step's tests, show what works and the first test that fails; return the status."""
    view, status = run([step], server, stage)
    for section in dict.fromkeys(section for _, section in view.tests):
        passed, tests = view.count(1, section)
        if tests:
            sign = "ok" if passed == tests else "--"
            print(f"  {sign} {passed:4} of {tests:3}   {title_of(section)}")
    passed, tests = view.count(0, step)
    print(f"\n{passed} of {tests} tests pass.", end=" ")
    if view.skipped:
        print(f"{len(view.skipped)} cannot run on this machine.", end=" ")
    if passed == tests > 0:
        is_mine = server == str(MINE / "server.py")
        if stage and stage < STAGES[step]:
            stage_is_done(step, stage, is_mine)
            return 0
        print(f"Step {int(step[4:6])} is done.")
        if is_mine:
            tool = ["diff", "-u"] if os.name == "posix" else ["git", "diff", "--no-index"]
            print(f"Compare: {shown(*tool, ROOT / step / 'server.py', MINE / 'server.py')}")
        if step in APART and find_server(server)[0].endswith(".py"):
            node = ROOT / APART[step]
            print("One thing is tested apart:")
            print(f"    {shown(sys.executable, '-m', 'pytest', node, '--server', server)}")
        if is_mine and step != STEPS[-1]:
            following = STEPS[STEPS.index(step) + 1]
            print(f"Go on with the same folder: {loop_command('check', following)}")
            for name in GIVEN.get(following, []):
                print(f"Copy into it, since it is given: {following}/{name}")
        return 0
    if not view.failures:
        print(f"The others were not run: {MOST_SECONDS} seconds were over.")
        return 1
    print("Red is right at first: you build until all pass.")
    if view.left_out:
        print(f"To save your time the last {len(view.left_out)} were left out: failures take long.")
    report, section = view.failures[0]
    print("\nThe first that fails, in the order in which one learns:\n")
    print(f"    {report.nodeid.partition('::')[2]}\n")
    print(*(f"    {line}".rstrip() for line in hint_of(report)), sep="\n")
    print(f"\n    Read: {section}\n")
    if report.nodeid in view.flaws:
        print("This is not true of all later steps. Has your server gone on to one? Then it may be")
        print("right, and make progress shows how far it is.\n")
    print("All that pytest says about it:\n")
    node = f"{file_of_tests(step)}::{report.nodeid.partition('::')[2]}"
    print(f"    {shown(sys.executable, '-m', 'pytest', node, '--server', server)}")
    return status or 1


def stage_is_done(step, stage, is_mine):
    """Say that a stage is complete, what it cannot do yet, and how to go on."""
    print(f"Stage {stage} of step {int(step[4:6])} is done.")
    if is_mine:
        tool = ["diff", "-ru"] if os.name == "posix" else ["git", "diff", "--no-index"]
        print(f"Compare: {shown(*tool, ROOT / folder_of(step, stage), MINE)}")
    page = page_of(step, stage + 1)
    print("\nNow look at what it cannot do yet:\n")
    failure = text_of(page).split("\n\n")[1]  # the first paragraph after the heading
    print(textwrap.indent(textwrap.fill(failure, 92), "    "))
    print(f"\n    Read: {page}\n")
    if is_mine:
        print(f"Go on with the same folder: {loop_command('check', step, stage + 1)}")


def progress(server):
    """Run the tests of all steps, and show a line for each; return the status."""
    view, _ = run(RUNNABLE[::-1], server)  # the highest first: it says what was left behind
    for step in RUNNABLE:
        passed, tests = view.count(0, step)
        sign = "ok" if passed == tests else "--"
        title = next(iter(headings(ROOT / step / "README.md").values()))
        print(f"  {sign} {passed:4} of {tests:3}   {title}")
    return 0 if all(len({*view.count(0, step)}) == 1 for step in RUNNABLE) else 1


def start(step, stage):
    """Copy the step or the stage before into mine/, or for step 1 its frame."""
    number = STEPS.index(step)
    source = folder_before(step, stage) if number else step
    fill_mine(source)
    if number == 0:
        for file, names in YOURS_IN_STEP_1.items():
            path = MINE / file
            path.write_text(without_bodies(path.read_text("utf-8"), names), "utf-8")
        print("mine/ has the frame of step 1. Yours to write are, in server.py, listen, serve and")
        print("handle, and in client.py, echo.")
    else:
        what = f"stage {stage} of step {number + 1}" if stage else f"step {number + 1}"
        print(f"mine/ is a copy of {source}: all that {what} begins with.")
    for name in GIVEN.get(step, []):
        shutil.copy(ROOT / step / name, MINE / name)
        print(f"{name} is given: it belongs to an application.")
    page = page_of(step, stage) if stage else f"{step}/README.md"
    print(f"Read {page}, change the files in mine/, and test them, again and again:\n")
    print(f"    {loop_command('check', step, stage)}")


def copy(step, stage):
    """Copy the step or the stage itself into mine/, for an experiment: to break it, for one."""
    source = folder_of(step, stage)
    fill_mine(source)
    print(f"mine/ is a copy of {source}. Change what you like in it, and see what becomes of it:\n")
    print(f"    {shown('python3' if os.name == 'posix' else 'py', MINE / 'server.py')}")
    print(f"    {loop_command('check', step, stage)}")


def fill_mine(source):
    """Copy a folder into mine/. What is there already gets a dated name: no work is lost."""
    if os.path.lexists(MINE):  # also a link to nothing
        names = (f"mine-{datetime.date.today()}-{number}" for number in itertools.count(1))
        kept = next(name for name in names if not os.path.lexists(ROOT / name))
        try:
            MINE.rename(ROOT / kept)
        except OSError as error:  # on Windows, while a program has a file in it open
            sys.exit(f"mine/ cannot be renamed. Does a server in it still run? {error}")
        print(f"Your mine/ of before is now {kept}/: nothing of it is lost.")
    ignore = shutil.ignore_patterns("__pycache__", "stages", "*.md")
    shutil.copytree(ROOT / source, MINE, ignore=ignore)


def without_bodies(text, names):
    """Return a Python file's text in which these functions have their docstring alone."""
    lines = text.splitlines()
    for node in reversed(ast.parse(text).body):
        if isinstance(node, ast.FunctionDef) and node.name in names:
            body = [f'    raise NotImplementedError("{node.name} is yours to write")']
            lines[node.body[0].end_lineno : node.end_lineno] = body
    return "\n".join(lines) + "\n"


def find_step(text):
    """Return the step with that number, such as "4" or "04"; raises argparse.ArgumentTypeError."""
    number = int(text) if text.isdecimal() else 0
    if not 1 <= number <= len(STEPS):
        hint = f"There is no step {text}. There are the steps 01 to {len(STEPS):02}."
        raise argparse.ArgumentTypeError(hint)
    step = STEPS[number - 1]
    if step not in RUNNABLE:
        raise argparse.ArgumentTypeError(
            f"Step {number} needs os.fork, which Windows lacks: use WSL."
        )
    return step


def find_stage(step, text):
    """Return the number of a stage of a step; raises ValueError if it has no such stage."""
    number = int(text) if text.isdecimal() else 0
    if not step or STAGES[step] == 1:
        having = " and ".join(str(int(name[4:6])) for name in STEPS if STAGES[name] > 1)
        raise ValueError(f"Only the steps {having} have stages.")
    if not 1 <= number <= STAGES[step]:
        hint = f"There is no stage {text}. Step {int(step[4:6])} has the stages 1"
        raise ValueError(f"{hint} to {STAGES[step]}.")
    return number


def main():
    """Read the command line, and start, check or show the progress."""
    parser = argparse.ArgumentParser(
        usage=argparse.SUPPRESS,  # a mistake gets one line
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("step", metavar="STEP", nargs="?", type=find_step, help="such as 04")
    parser.add_argument("--stage", metavar="STAGE", help="a stage of the step, such as 3")
    parser.add_argument("--start", action="store_true", help="begin the step in mine/")
    parser.add_argument("--copy", action="store_true", help="copy the step itself into mine/")
    parser.add_argument("--server", metavar="COMMAND", help="what to test, for mine/server.py")
    arguments = parser.parse_args()
    step, stage = arguments.step, arguments.stage
    if stage is not None:
        try:
            stage = find_stage(step, stage)
        except ValueError as error:
            parser.error(error)
    for option, action in {"--start": start, "--copy": copy}.items():
        if getattr(arguments, option[2:]):
            if not step:
                parser.error(f"{option} needs a step, such as: 04 {option}")
            return action(step, stage)
    server = arguments.server or str(MINE / "server.py")
    try:
        find_server(server)
    except pytest.UsageError:
        begin = loop_command("start", step or STEPS[0], stage)
        parser.error(f"There is no {shown(server)}. To begin: {begin}")
    return check(step, server, stage) if step else progress(server)


if __name__ == "__main__":
    sys.exit(main())
