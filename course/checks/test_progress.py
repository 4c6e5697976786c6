"""The learner's loop: make start, make check, make progress and make diff.

It runs in a copy of the course, so that nobody's own folder mine/ is touched.
"""

import datetime
import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time

import pytest

from course.facts import (
    STAGES,
    file_of_tests,
    folder_before,
    folder_of,
    read_mistakes,
    section,
)
from tests.harness import ROOT, STEPS

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="steps 4 and 5 need os.fork")

HANGS = """
import socket, sys
listener = socket.create_server(("127.0.0.1", 0))
print("Listening on http://{}:{}".format(*listener.getsockname()), flush=True)
connections = [listener.accept() for _ in range(1000)]
"""


@pytest.fixture
def course(tmp_path):
    """A copy of the course, as a learner has it after git clone."""
    folder = tmp_path / "course"
    folder.mkdir()
    for name in ("pyproject.toml", "Makefile", "requirements.txt"):
        shutil.copy(ROOT / name, folder)
    for path in [ROOT / "tests", ROOT / "course", *(ROOT / step for step in STEPS)]:
        shutil.copytree(path, folder / path.name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


ALL_STAGES = [(step, n) for step in STEPS for n in range(1, STAGES[step] + 1) if STAGES[step] > 1]


def loop(course, *arguments, **environment):
    """Run course.progress in a copy of the course; return what subprocess.run returns."""
    command = [sys.executable, "-m", "course.progress", *arguments]
    env = os.environ | environment
    return subprocess.run(command, cwd=course, env=env, capture_output=True, text=True, timeout=240)


def contents(folder):
    """Return the files of a folder that are the server's: a dict from each name to the bytes."""
    return {path.name: path.read_bytes() for path in folder.glob("*.*") if path.suffix != ".md"}


def contents_of_mine(course):
    """Return the same of mine/, in which there must be nothing else."""
    mine = contents(course / "mine")
    assert {*mine} == {*os.listdir(course / "mine")}
    return mine


def assert_one_line(done, *words):
    """Fail unless a command ended with an error, and one line that has these words."""
    assert done.returncode != 0
    assert len(done.stderr.splitlines()) == 1 and done.stdout == "", done.stdout + done.stderr
    for word in words:
        assert word in done.stderr, done.stderr


@pytest.mark.parametrize("step", STEPS[1:])
def test_start_copies_the_step_before(course, step):
    done = loop(course, step[4:6], "--start")
    assert done.returncode == 0, done.stderr
    assert f"make check STEP={step[4:6]}" in done.stdout
    before = contents(ROOT / STEPS[STEPS.index(step) - 1])
    assert contents_of_mine(course) == before | given(step)


def given(step):
    """Return the applications that a step gives its learner."""
    names = ("app.py", "flask_app.py") if step == "step03_wsgi" else ()
    return {name: (ROOT / step / name).read_bytes() for name in names}


@pytest.mark.parametrize(("step", "stage"), ALL_STAGES)
def test_a_stage_begins_with_the_one_before(course, step, stage):
    done = loop(course, step[4:6], "--stage", str(stage), "--start")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"    make check STEP={step[4:6]} STAGE={stage}\n")
    [page] = re.findall(r"^Read (\S+),", done.stdout, re.MULTILINE)
    assert section(page).startswith(f"Stage {stage}")
    number = STEPS.index(step)
    before = STEPS[number - 1] if stage == 1 else f"{step}/stages/stage{stage - 1}"
    assert contents_of_mine(course) == contents(ROOT / before) | given(step)


def test_step_1_begins_with_a_frame_in_which_the_lesson_is_left_to_write(course):
    assert loop(course, "01", "--start").returncode == 0
    ours, theirs = (ROOT / STEPS[0]), course / "mine"
    for name, functions in {
        "server.py": ["listen", "serve", "handle"],
        "client.py": ["echo"],
    }.items():
        text = (theirs / name).read_text("utf-8")
        for function in functions:
            assert f'    raise NotImplementedError("{function} is yours to write")\n' in text
        assert (
            text.partition("def main()")[2]
            == (ours / name).read_text("utf-8").partition("def main()")[2]
        ), "The command line is given."
    done = loop(course, "01")
    assert done.returncode == 1
    assert "NotImplementedError: listen is yours to write" in done.stdout


@pytest.mark.parametrize("step", STEPS)
def test_mine_is_a_copy_of_the_step_itself(course, step):
    done = loop(course, step[4:6], "--copy")
    assert done.returncode == 0, done.stderr
    assert contents_of_mine(course) == contents(ROOT / step)
    assert f"make check STEP={step[4:6]}" in done.stdout


def test_mine_may_be_a_copy_of_a_stage(course):
    done = loop(course, "02", "--stage", "3", "--copy")
    assert contents_of_mine(course) == contents(ROOT / folder_of("step02_http_server", 3))
    assert "make check STEP=02 STAGE=3" in done.stdout


@pytest.mark.parametrize("option", ["--start", "--copy"])
@pytest.mark.parametrize("kind", ["folder", "file", "link to nothing"])
def test_what_is_there_gets_a_dated_name_and_loses_nothing(course, kind, option):
    mine = course / "mine"

    def work(number):
        if kind == "folder":
            mine.mkdir()
            (mine / "server.py").write_text(f"week {number} of work")
        elif kind == "file":
            mine.write_text(f"week {number} of work")
        else:
            mine.symlink_to(f"elsewhere{number}")

    for number in (1, 2, 3):
        work(number)
        first_day = datetime.date.today()
        done = loop(course, "04", option)
        days = {first_day, datetime.date.today()}
        assert done.returncode == 0, done.stderr
        [kept] = re.findall(r"Your mine/ of before is now (\S+)/:", done.stdout)
        assert kept in {f"mine-{day}-{count}" for day in days for count in (1, number)}
        if kind == "link to nothing":
            assert os.readlink(course / kept) == f"elsewhere{number}"
        else:
            file = course / kept / "server.py" if kind == "folder" else course / kept
            assert file.read_text() == f"week {number} of work"
        assert (mine / "server.py").is_file()
        shutil.rmtree(mine)
    assert len(list(course.glob("mine-*"))) == 3


def test_nothing_is_moved_if_there_is_no_such_step(course):
    (course / "mine").mkdir()
    assert loop(course, "--start", "99").returncode != 0
    assert [path.name for path in course.glob("mine*")] == ["mine"]


def test_a_mine_that_cannot_be_moved_is_one_line(course):
    """On Windows that is so while a program runs in it. Here the rename itself is made to fail."""
    (course / "mine").mkdir()
    (course / "sitecustomize.py").write_text(
        "import pathlib\n"
        "def fail(self, target):\n"
        "    raise PermissionError(13, 'in use')\n"
        "pathlib.Path.rename = fail\n"
    )
    done = loop(course, "04", "--start", PYTHONPATH=str(course))
    assert_one_line(done, "mine/ cannot be renamed", "in use")
    assert os.listdir(course / "mine") == []


@pytest.mark.parametrize("number", ["0", "99", "-1", "four"])
@pytest.mark.parametrize("option", [[], ["--start"], ["--copy"]], ids=str)
def test_a_step_that_does_not_exist_is_one_line(course, number, option):
    assert_one_line(loop(course, *option, "--", number), f"{len(STEPS):02}")
    assert not (course / "mine").exists()


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["02", "--stage", "6"], "no stage 6. Step 2 has the stages 1 to 5"),
        (["03", "--stage", "0", "--start"], "no stage 0. Step 3 has the stages 1 to 5"),
        (["02", "--stage", "x", "--copy"], "no stage x"),
        (["02", "--stage", ""], "no stage"),
        (["04", "--stage", "1", "--start"], "Only the steps 2 and 3"),
        (["--stage", "1"], "Only the steps 2 and 3"),
    ],
    ids=str,
)
def test_a_stage_that_does_not_exist_is_one_line(course, words, hint):
    assert_one_line(loop(course, *words), hint)
    assert not (course / "mine").exists()


@pytest.mark.parametrize(
    "arguments",
    [["04"], [], ["04", "--server", "no/server.py"], ["04", "--server", "no_program server.py"]],
    ids=" ".join,
)
def test_without_a_server_one_line_says_how_to_begin(course, arguments):
    assert_one_line(loop(course, *arguments), "server.py", "make start STEP=0")


def test_a_command_may_end_with_the_name_of_a_python_file(course):
    command = shlex.join([sys.executable, "step02_http_server/server.py"])
    done = loop(course, "02", "--server", command)
    assert done.returncode == 0 and "Step 2 is done." in done.stdout, done.stdout + done.stderr
    assert "tested apart" not in done.stdout, "That test needs the file, and looks into it."


@pytest.mark.parametrize("step", STEPS[1:])
def test_check_is_red_at_first_and_says_what_to_do_next(course, step):
    loop(course, step[4:6], "--start")
    done = loop(course, step[4:6])
    shown = done.stdout
    assert done.returncode == 1, shown + done.stderr
    assert f"-m pytest tests/test_{step}.py --server mine/server.py" in shown
    assert "Red is right at first" in shown
    passed, tests = map(int, re.search(r"^(\d+) of (\d+) tests pass", shown, re.MULTILINE).groups())
    assert passed < tests
    [where] = re.findall(r"^    Read: (.+)$", shown, re.MULTILINE)
    assert section(where)
    [name] = re.findall(r"^    (test_\w+)", shown, re.MULTILINE)
    names = re.findall(
        r"^def (test_\w+)", (ROOT / f"tests/test_{step}.py").read_text(), re.MULTILINE
    )
    assert names.index(name) <= 3, f"The first test that fails should be easy to find: {name}"


def test_check_shows_the_message_of_the_first_test_that_fails(course):
    [mistake] = [m for m in read_mistakes() if m.name == "the parent waits for its child"]
    shutil.copytree(ROOT / mistake.step, course / "mine")
    file = course / "mine" / mistake.file
    file.write_text(mistake.apply(file.read_text("utf-8")))
    done = loop(course, mistake.step[4:6])
    shown = " ".join(done.stdout.split())
    assert done.returncode == 1
    assert mistake.symptom in shown and "Read: step04_fork/README.md#who-talks-to-whom" in shown


def test_check_is_green_when_all_tests_pass(course):
    shutil.copytree(ROOT / STEPS[2], course / "mine")
    done = loop(course, "03")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Step 3 is done." in done.stdout and "make check STEP=04" in done.stdout
    assert "--  " not in done.stdout


def test_a_stage_that_is_done_says_what_it_cannot_do_yet(course):
    shutil.copytree(ROOT / "step02_http_server/stages/stage2", course / "mine")
    done = loop(course, "02", "--stage", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "--  " not in done.stdout and "Stage 2 of step 2 is done." in done.stdout
    assert "diff -ru step02_http_server/stages/stage2 mine\n" in done.stdout
    [page] = re.findall(r"^    Read: (.+)$", done.stdout, re.MULTILINE)
    title, failure, *_ = section(page).split("\n\n")
    assert title.startswith("Stage 3") and " ".join(failure.split()) in " ".join(
        done.stdout.split()
    )
    assert done.stdout.endswith("Go on with the same folder: make check STEP=02 STAGE=3\n")


@pytest.mark.parametrize("option", [["--stage", "3"], []], ids=["stage 3", "all tests"])
def test_what_a_stage_lacks_is_shown_in_the_order_of_the_stages(course, option):
    """In the file of the tests, one of stage 3 is the first that stage 1 fails."""
    shutil.copytree(ROOT / "step02_http_server/stages/stage1", course / "mine")
    done = loop(course, "02", *option)
    assert done.returncode == 1, done.stdout + done.stderr
    [test] = re.findall(r"^    (test_\S+.*)$", done.stdout, re.MULTILINE)
    [module, name] = "tests.test_step02_http_server", test.partition("[")[0]
    marks = getattr(importlib.import_module(module), name).pytestmark
    assert 2 in [mark.args[0] for mark in marks if mark.name == "milestone"], test
    [passed] = re.findall(r"^(\d+) of \d+ tests pass", done.stdout, re.MULTILINE)
    assert int(passed) > 0


def test_the_last_stage_is_the_step(course):
    shutil.copytree(ROOT / "step02_http_server", course / "mine")
    done = loop(course, "02", "--stage", "5")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Step 2 is done." in done.stdout and "make check STEP=03\n" in done.stdout


def test_a_server_that_hangs_does_not_hold_the_check(course):
    file = course / "course" / "progress.py"
    file.write_text(
        file.read_text("utf-8").replace("MOST_SECONDS_RED = 15", "MOST_SECONDS_RED = 2")
    )
    (course / "mine").mkdir()
    (course / "mine" / "server.py").write_text(HANGS)
    begin = time.monotonic()
    done = loop(course, "02")
    assert done.returncode != 0
    assert "were left out" in done.stdout and "Read: " in done.stdout, done.stdout + done.stderr
    assert time.monotonic() - begin < 30


def test_progress_has_a_line_for_each_step(course):
    shutil.copytree(ROOT / STEPS[2], course / "mine")
    done = loop(course)
    lines = re.findall(r"^  (ok|--) +(\d+) of +(\d+)   Step (\d+)", done.stdout, re.MULTILINE)
    assert [int(number) for *_, number in lines] == list(range(1, len(STEPS) + 1)), done.stdout
    signs = [sign for sign, *_ in lines]
    assert signs == ["ok"] * 3 + ["--"] * (len(STEPS) - 3), done.stdout
    assert all((passed == tests) == (sign == "ok") for sign, passed, tests, _ in lines)
    assert done.returncode == 1


def test_make_runs_the_same_commands(course):
    for target, command in {
        "start STEP=04": "-m course.progress  04 --start",
        "check STEP=04": "-m course.progress  04",
        "check STEP=04 SERVER=./a.out": "-m course.progress --server './a.out' 04",
        "mine STEP=04": "-m course.progress  04 --copy",
        "start STEP=02 STAGE=3": "-m course.progress  02 --stage '3' --start",
        "check STEP=02 STAGE=3": "-m course.progress  02 --stage '3'",
        "mine STEP=02 STAGE=3": "-m course.progress  02 --stage '3' --copy",
        "progress": "-m course.progress",
    }.items():
        command_line = ["make", "-n", "--no-print-directory", *target.split()]
        done = subprocess.run(command_line, cwd=course, capture_output=True, text=True, timeout=60)
        assert done.stdout.splitlines()[-1].split() == [".venv/bin/python", *command.split()]


def make_diff(course, *words):
    """Run make diff, and return what subprocess.run returns."""
    command = ["make", "--no-print-directory", "diff", *words]
    return subprocess.run(command, cwd=course, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(("step", "stage"), [*ALL_STAGES, *((step, None) for step in STEPS[1:])])
def test_make_diff_shows_each_file_that_changes_or_is_new(course, step, stage):
    before, after = folder_before(step, stage), folder_of(step, stage)
    (course / after / "__pycache__").mkdir()
    (course / after / "__pycache__" / "server.pyc").write_text("none of the learner's business")
    done = make_diff(course, f"STEP={step[4:6]}", *([f"STAGE={stage}"] if stage else []))
    assert done.returncode == 0, done.stderr
    old, new = contents(ROOT / before), contents(ROOT / after)
    shown = re.findall(r"^--- (\S+)\s.+\n\+\+\+ (\S+)", done.stdout, re.MULTILINE)
    changed = sorted(name for name in new if new[name] != old.get(name))
    assert shown == [(f"{before}/{name}", f"{after}/{name}") for name in changed]
    only = re.findall(r"^Only in (.+)$", done.stdout, re.MULTILINE)
    assert only == [f"{before}: {name}" for name in sorted(old.keys() - new.keys())]


@pytest.mark.parametrize(
    "words",
    [["STEP=02", "STAGE=6"], ["STEP=02", "STAGE=x"], ["STEP=04", "STAGE=5"], ["STEP=01"], []],
)
def test_make_diff_of_what_does_not_exist_is_one_line(course, words):
    assert_one_line(make_diff(course, *words), "There is no such step or stage")


@pytest.mark.parametrize("step", STEPS)
def test_each_test_of_a_step_names_a_section_that_exists(step):
    module = importlib.import_module(f"tests.{file_of_tests(step).stem}")
    tests = {name: value for name, value in vars(module).items() if name.startswith("test_")}
    assert tests
    for name, test in tests.items():
        marks = [mark for mark in getattr(test, "pytestmark", ()) if mark.name == "lesson"]
        assert len(marks) == 1, f"{name} needs one marker: @pytest.mark.lesson(a heading's anchor)"
        where = marks[0].args[0]
        assert section(where if "#" in where else f"{step}/README.md#{where}")


def test_a_codespace_runs_the_course():
    settings = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text("utf-8"))
    assert settings["forwardPorts"] == [8000, 8888]
    assert settings["portsAttributes"].keys() == {"8000", "8888"}
    assert re.fullmatch(r"mcr.+/devcontainers/python:3\.1[1-5]", settings["image"])
    assert settings["remoteUser"] == "vscode", "JupyterLab and Chromium do not like root."
    python, *words, first, second = settings["postCreateCommand"].split()
    assert [python, *words] == ["python3", "-m", "course.install"]
    assert (ROOT / first).is_file() and (ROOT / second).is_file()


@pytest.mark.parametrize("user, option", [("0", ["--allow-root"]), ("1000", [])])
def test_jupyterlab_starts_for_root_too(course, user, option):
    (course / "id").write_text(f"#!/bin/sh\necho {user}\n")
    (course / "id").chmod(0o755)
    done = subprocess.run(
        ["make", "-n", "--no-print-directory", "lab"],
        cwd=course,
        env=os.environ | {"PATH": f"{course}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    lab = [".venv/bin/jupyter", "lab", "--notebook-dir=notebooks"]
    assert done.stdout.splitlines()[-1].split() == lab + option
