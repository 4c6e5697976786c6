"""The learner's loop: begin a step in mine/, test it, and see how far it is.

    python -m course.progress 04 --start       copies the step before to mine/  (make start STEP=04)
    python -m course.progress 04 --copy        copies step 4 itself to mine/    (make mine STEP=04)
    python -m course.progress 04               tests mine/server.py             (make check STEP=04)
    python -m course.progress 04 --watch       tests it at each save            (make watch STEP=04)
    python -m course.progress 04 --exercise 2  tests an exercise        (make exercise STEP=04 N=2)
    python -m course.progress                  shows a line for each step       (make progress)

Steps 2 and 3 are built in stages. With --stage 3 (make start STEP=02 STAGE=3) the first four are
about a stage: it begins with the one before, and has the tests of all up to it.

Behind it is plain pytest: each command is shown. A server of another name, or in another
language, is tested with --server, as with pytest.
"""

import argparse
import ast
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

# Ctrl-C ends this program without a traceback, also while it loads the modules below. The servers
# that it has started are ended by tests/watcher.py.
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import pytest

from course.copies import put_aside
from course.exercises import proof_of, read_exercises
from course.facts import STAGES, folder_before, folder_of, headings
from course.language import _
from course.loop import (
    GIVEN,
    MINE,
    RUNNABLE,
    check,
    in_language,
    is_mine,
    loop_command,
    page_of,
    progress,
    short,
    shown,
    situation,
    title_of,
    translated,
)
from tests.fixtures import find_server
from tests.harness import ROOT, STEPS

YOURS_IN_STEP_1 = {"server.py": ["listen", "serve", "handle"], "client.py": ["echo"]}


def start(step, stage):
    """Copy the step or the stage before into mine/, or for step 1 its frame."""
    number = STEPS.index(step)
    source = folder_before(step, stage) if number else step
    fill_mine(source)
    if number == 0:
        for file, names in YOURS_IN_STEP_1.items():
            path = MINE / file
            path.write_text(without_bodies(path.read_text("utf-8"), names), "utf-8")
        print(
            _(
                "mine/ has the frame of step 1. You write listen, serve and handle in server.py, "
                "and\necho in client.py."
            )
        )
    else:
        text = _("mine/ is a copy of {folder}, with which step {step} begins.")
        if stage:
            text = _("mine/ is a copy of {folder}, with which stage {stage} of step {step} begins.")
        print(text.format(folder=source, stage=stage, step=number + 1))
    for name in GIVEN.get(step, []):
        shutil.copy(ROOT / step / name, MINE / name)
        print(_("{file} is given, because it belongs to an application.").format(file=name))
    page = in_language(page_of(step, stage) if stage else f"{step}/README.md")
    text = _("Read {page}, change the files in mine/, and test them, again and again:\n")
    print(text.format(page=page))
    print(f"    {loop_command('check', step, stage)}")


def copy(step, stage):
    """Copy the step or the stage itself into mine/, for an experiment: to break it, for one."""
    source = folder_of(step, stage)
    fill_mine(source)
    text = _("mine/ is a copy of {folder}. Change what you like in it, and see what happens:\n")
    print(text.format(folder=source))
    print(f"    {shown('python3' if os.name == 'posix' else 'py', MINE / 'server.py')}")
    print(f"    {loop_command('check', step, stage)}")


def fill_mine(source):
    """Copy a folder into mine/. What is there already gets a dated name: no work is lost."""
    put_aside(MINE)
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


def watch(step, server, stage):
    """Test the server, and again whenever a file beside it is saved; Ctrl-C raises an error."""
    from watchfiles import DefaultFilter, PythonFilter, watch  # the other commands start faster

    first = find_server(server)[0]
    if first.endswith(".py"):
        folder, kinds = Path(first).parent, PythonFilter()
    else:  # a compiler fills some folders
        folder = Path.cwd()
        kinds = DefaultFilter(ignore_dirs=[*DefaultFilter.ignore_dirs, "target", "build"])
    words = [step[4:6], *(["--stage", str(stage)] if stage else []), "--server", server]
    saves = watch(folder, watch_filter=kinds, rust_timeout=100, yield_on_timeout=True)
    next(saves)  # from now on it knows what is saved, also during a check
    text = _("The check runs again at each save of a file in {folder}/, until Ctrl-C ends it.\n")
    print(text.format(folder=folder.name), flush=True)
    while True:
        # In a session of its own, where Ctrl-C does not reach it: it is ended without a word.
        command = [sys.executable, "-m", "course.progress", *words]
        subprocess.run(command, start_new_session=True)
        names = {Path(path).name for _change, path in next(filter(None, saves))}
        text = _("Saved: {files}\n").format(files=", ".join(sorted(names)))
        print(f"\n{'-' * 72}\n{text}", flush=True)


def exercise(step, number):
    """Test an exercise of a step on mine/; return the status."""
    prove = proof_of(read_exercises(step)[number - 1])
    page = f"{step}/EXERCISES.md"
    [anchor] = [name for name in headings(ROOT / page) if name.startswith(f"{number}-")]
    where = _("    Read: {page}").format(page=in_language(f"{page}#{anchor}"))
    text = _('Exercise {number} of step {step}, "{title}",')
    title = title_of(f"{page}#{anchor}").partition(". ")[2]
    title = text.format(number=number, step=int(step[4:6]), title=title)
    if not prove:
        text = _("{exercise} has no test, but its page says how you see that it is done.\n")
        print(text.format(exercise=title), where, sep="\n")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        copy = shutil.copytree(MINE, Path(folder) / "mine")  # a proof may leave files in it
        try:
            prove(copy)
        except (AssertionError, OSError) as problem:
            print(_("{exercise} is not done.\n").format(exercise=title))
            text = str(problem)
            lines = [*translated(prove.__name__), *translated(situation(text)), *short(text)]
            print(*(f"    {line}".rstrip() for line in lines), sep="\n")
            print(f"\n{where}")
            return 1
    text = _("{exercise} is done, so compare it with the solution.\n")
    print(text.format(exercise=title), where, sep="\n")
    return 0


def no_server(server, step, stage):
    """Return what to say of a server that cannot be run, because it is not there."""
    if is_mine(server):
        begin = loop_command("start", step or STEPS[0], stage)
        return _("There is no {file}. To begin: {command}").format(
            file=shown(server), command=begin
        )
    text = _("{file} is no program.") if Path(server).exists() else _("There is no {file}.")
    rest = _(
        " A server is a Python file, or a command whose first word is a program, such as "
        "'node server.js'."
    )
    return text.format(file=shown(server)) + rest


def find_step(text):
    """Return the step with that number, such as "4" or "04"; raises argparse.ArgumentTypeError."""
    number = int(text) if text.isdecimal() else 0
    if not 1 <= number <= len(STEPS):
        hint = _("There is no step {text}, only the steps 01 to {last:02}.")
        raise argparse.ArgumentTypeError(hint.format(text=text, last=len(STEPS)))
    step = STEPS[number - 1]
    if step not in RUNNABLE:
        hint = _("Step {step} needs os.fork, which Windows lacks, so use WSL.")
        raise argparse.ArgumentTypeError(hint.format(step=number))
    return step


def find_stage(step, text):
    """Return the number of a stage of a step; raises ValueError if it has no such stage."""
    number = int(text) if text.isdecimal() else 0
    if not step or STAGES[step] == 1:
        having = _(" and ").join(str(int(name[4:6])) for name in STEPS if STAGES[name] > 1)
        raise ValueError(_("Only the steps {steps} have stages.").format(steps=having))
    if not 1 <= number <= STAGES[step]:
        hint = _("There is no stage {text}. Step {step} has the stages 1 to {last}.")
        raise ValueError(hint.format(text=text, step=int(step[4:6]), last=STAGES[step]))
    return number


def find_exercise(step, text):
    """Return the number of an exercise of a step; raises ValueError if it has no such exercise."""
    number, last = int(text) if text.isdecimal() else 0, len(read_exercises(step))
    if not 1 <= number <= last:
        what = _("There is no exercise {text}.") if text else _("No exercise is named.")
        hint = _(" Step {step} has the exercises 1 to {last}: {command}.")
        values = {"last": last, "command": f"make exercise STEP={step[4:6]} N=1"}
        raise ValueError(what.format(text=text) + hint.format(step=int(step[4:6]), **values))
    return number


def main():
    """Read the command line, and start, check or show the progress."""
    sys.stdout.reconfigure(errors="replace")  # a console that lacks a character shows the others
    parser = argparse.ArgumentParser(
        usage=argparse.SUPPRESS,  # a mistake gets one line
        description=_(__doc__),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("step", metavar="STEP", nargs="?", type=find_step, help=_("such as 04"))
    parser.add_argument("--stage", metavar="STAGE", help=_("a stage of the step, such as 3"))
    parser.add_argument("--start", action="store_true", help=_("begin the step in mine/"))
    parser.add_argument("--copy", action="store_true", help=_("copy the step itself into mine/"))
    parser.add_argument("--watch", action="store_true", help=_("test it at each save"))
    parser.add_argument("--exercise", metavar="N", help=_("test an exercise of the step in mine/"))
    parser.add_argument("--server", metavar="COMMAND", help=_("what to test, for mine/server.py"))
    arguments = parser.parse_args()
    step, stage = arguments.step, arguments.stage
    for option in ("start", "copy", "watch", "exercise"):
        if getattr(arguments, option) not in (False, None) and not step:
            text = _("--{option} needs a step, such as: 04 --{option}")
            parser.error(text.format(option=option))
    try:
        stage = None if stage is None else find_stage(step, stage)
        number = None if arguments.exercise is None else find_exercise(step, arguments.exercise)
    except ValueError as error:
        parser.error(error)
    if arguments.start:
        return start(step, stage)
    if arguments.copy:
        return copy(step, stage)
    server = arguments.server or str(MINE / "server.py")
    try:
        find_server(server)
    except pytest.UsageError:
        parser.error(no_server(server, step, stage))
    if number and not is_mine(server):
        parser.error(_("An exercise is tested in mine/, so leave out --server."))
    if number or arguments.watch:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # they have something to tidy up
        try:
            return exercise(step, number) if number else watch(step, server, stage)
        except KeyboardInterrupt:
            return 0 if arguments.watch else 1
    return check(step, server, stage) if step else progress(server)


if __name__ == "__main__":
    try:
        status = main()
        sys.stdout.flush()
    except BrokenPipeError:  # nobody reads what we print, as after: make check STEP=04 | head
        os._exit(1)
    sys.exit(status)
