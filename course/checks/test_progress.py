"""The learner's loop: make start, check, watch, exercise, progress and diff.

It runs in a copy of the course, so that nobody's own folder mine/ is touched.
"""

import contextlib
import datetime
import importlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time

import pytest

from course.checks.test_exercises import apply
from course.exercises import read_exercises
from course.facts import (
    STAGES,
    file_of_tests,
    folder_before,
    folder_of,
    read_mistakes,
    section,
)
from course.loop import short
from tests.harness import ROOT, STEPS

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="steps 4 and 5 need os.fork")

BUSY = 15  # seconds that a busy machine may take longer


@pytest.fixture
def course(tmp_path):
    """A copy of the course, as a learner has it after git clone, but of less patience with red."""
    folder = tmp_path / "course"
    folder.mkdir()
    for name in ("pyproject.toml", "Makefile", "README.md", "requirements.txt"):
        shutil.copy(ROOT / name, folder)
    for path in [ROOT / "tests", ROOT / "course", *(ROOT / step for step in STEPS)]:
        shutil.copytree(path, folder / path.name, ignore=shutil.ignore_patterns("__pycache__"))
    change(folder / "course" / "loop.py", "MOST_SECONDS_RED = 5 ", "MOST_SECONDS_RED = 1 ")
    return folder


def change(file, right, wrong):
    """Change one text in a file."""
    text = file.read_text("utf-8")
    assert text.count(right) == 1, f"{file} has {right!r} {text.count(right)} times."
    file.write_text(text.replace(right, wrong), "utf-8")


ALL_STAGES = [(step, n) for step in STEPS for n in range(1, STAGES[step] + 1) if STAGES[step] > 1]


def loop(course, *arguments, **environment):
    """Run course.progress in a copy of the course; return what subprocess.run returns."""
    command = [sys.executable, "-m", "course.progress", *arguments]
    env = os.environ | environment
    return subprocess.run(command, cwd=course, env=env, capture_output=True, text=True, timeout=240)


@contextlib.contextmanager
def started(course, *arguments, **environment):
    """Run course.progress in the background: give what it prints, a stream, and its process."""
    command = [sys.executable, "-m", "course.progress", *arguments]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    options |= {"env": os.environ | environment, "start_new_session": True}
    with subprocess.Popen(command, cwd=course, **options) as process:
        try:
            yield process.stdout, process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def read_until(stream, words):
    """Return what comes on a stream, up to the line with these words."""
    lines = []
    for line in stream:
        lines.append(line)
        if words in line:
            return "".join(lines)
    raise AssertionError(f"No line has {words!r}:\n{''.join(lines)}")


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
        [kept] = re.findall(r"What was in mine/ before is now in (\S+)/,", done.stdout)
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


@pytest.mark.parametrize("arguments", [["04"], [], ["04", "--exercise", "1"]], ids=str)
def test_without_a_server_one_line_says_how_to_begin(course, arguments):
    assert_one_line(loop(course, *arguments), "There is no mine/server.py", "make start STEP=0")


@pytest.mark.parametrize("server", ["no/server.py", "no_program server.py"])
def test_a_server_that_cannot_be_run_is_one_line(course, server):
    assert_one_line(loop(course, "04", "--server", server), "There is no", "A server is a")


def test_a_file_that_is_no_program_is_named(course, tmp_path):
    script = tmp_path / "server.js"
    script.touch()
    done = loop(course, "02", "--server", script)
    assert_one_line(done, "is no program", "such as 'node server.js'")


@pytest.mark.parametrize(
    ("step", "text", "page"),
    [
        ("02", "import nothing_here", "README.md#what-your-server-must-do-to-be-tested"),
        ("03", "raise SystemExit(f'unknown: {sys.argv[1]}')", "step03_wsgi/README.md#"),
    ],
)
def test_on_a_server_that_does_not_start_one_test_is_run(course, step, text, page):
    (course / "mine").mkdir()
    (course / "mine" / "server.py").write_text(f"import sys; {text}")
    shown = loop(course, step).stdout
    assert f"    Read: {page}" in shown
    first, *others = shown.partition(", so far:\n\n")[2].partition("\n\n")[0].splitlines()
    assert re.search(r"^    --   0 of .* \(\d+ not run\)$", first), shown
    assert others and all(line.startswith("       not run  ") for line in others), shown


@pytest.mark.parametrize("step", STEPS[1:])
def test_check_is_red_at_first_and_says_what_to_do_next(course, step):
    loop(course, step[4:6], "--start")
    done = loop(course, step[4:6], PATIENCE="4")
    shown = done.stdout
    assert done.returncode == 1, shown + done.stderr
    assert f"-m pytest tests/test_{step}.py --server mine/server.py" in shown
    assert "tests fail at first" in shown
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


# Small files of tests, in the place of a step's, to see what the loop does with milestones. A test
# passes if the file mine/passing has its name.
FORK = """
from pathlib import Path
import time
import pytest

STEP = "step04_fork"
MILESTONES = ["It forks", "It works", "It is polite", "It is safe"]
IDEA = 2

@pytest.fixture(autouse=True)
def outcome(request, command):
    mine = Path(command[-1]).parent
    with open(mine / "run", "a") as file:
        file.write(f"{request.node.name}\\n")
    assert request.node.name in (mine / "passing").read_text().split(), "It is not there yet."

@pytest.mark.lesson("fork-can-fail")
@pytest.mark.milestone(2)
def test_c(): pass

@pytest.mark.lesson("who-talks-to-whom")
@pytest.mark.milestone(2)
@pytest.mark.flaw(last="step05_zombies")
def test_d(): pass

@pytest.mark.lesson("fork-returns-twice")
@pytest.mark.flaw
def test_a(): pass

@pytest.mark.lesson("fork-returns-twice")
@pytest.mark.new("It")
def test_b(): pass

@pytest.mark.lesson("fork-can-fail")
@pytest.mark.milestone(2)
@pytest.mark.skipif(True, reason="of the machine")
def test_s(): pass

@pytest.mark.lesson("fork-and-threads")
@pytest.mark.milestone(3)
def test_e(): pass

@pytest.mark.lesson("fork-and-threads")
@pytest.mark.milestone(4)
def test_f(): pass
"""
ZOMBIES = FORK.replace("step04_fork", "step05_zombies").replace("def test_", "def test_z")
PREFORK = FORK.replace("step04_fork", "step06_prefork").replace("def test_", "def test_p")


@pytest.fixture
def small(course):
    """A copy of the course in which steps 4 to 6 have small files of tests, and its mine/."""
    for step, text in {STEPS[3]: FORK, STEPS[4]: ZOMBIES, STEPS[5]: PREFORK}.items():
        (course / "tests" / f"test_{step}.py").write_text(text)
    (course / "mine").mkdir()
    (course / "mine" / "server.py").write_text("")
    return course


def check_small(small, passing, *words, **environment):
    """Run a check of step 4 in which these tests pass; return what came, and which were run."""
    (small / "mine" / "passing").write_text(passing)
    (small / "mine" / "run").unlink(missing_ok=True)
    done = loop(small, "04", *words, **environment)
    assert done.stderr == "", done.stdout + done.stderr
    run = small / "mine" / "run"
    return done, run.read_text().split() if run.exists() else []


def test_check_works_on_the_first_milestone_that_is_not_complete(small):
    done, were_run = check_small(small, "test_a test_b test_d")
    assert were_run == ["test_a", "test_b", "test_c", "test_d"], "Later milestones are not run."
    assert done.returncode == 1
    shown = done.stdout.partition("-p no:randomly\n")[2]
    python = shlex.quote(sys.executable)
    assert (
        shown
        == f"""
  ok  1. It forks
  ->  2. It works

The first test that fails, in the order in which one learns:

    test_c

    It is not there yet.

    Read: step04_fork/README.md#fork-can-fail

All that pytest says about it:

    {python} -m pytest tests/test_step04_fork.py::test_c --server mine/server.py

It works, so far:

    --   0 of   1   fork can fail
    ok   1 of   1   Who talks to whom
    1 of its tests cannot run on this machine.

These come after it:

      3. It is polite (armour)
      4. It is safe (armour)

It is normal that tests fail at first, so build on and check again.
"""
    )


def test_a_server_that_does_not_start_in_one_test_gets_the_others(small):
    file = small / "tests" / "test_step04_fork.py"
    change(file, "It is not there yet.", "It ended before it printed its first line.")
    _, were_run = check_small(small, "test_a test_b test_d")
    assert were_run == ["test_a", "test_b", "test_c", "test_d"]


def test_with_the_idea_complete_check_is_not_red_and_goes_on(small):
    done, were_run = check_small(small, "test_a test_b test_c test_d")
    assert done.returncode == 0 and were_run[-1] == "test_e"
    shown = done.stdout.partition("-p no:randomly\n")[2]
    assert shown.startswith("""
  ok  1. It forks
  ok  2. It works

  The idea of step 4 is complete, and its armour comes next.

  ->  3. It is polite (armour)
""")
    assert shown.endswith("""
The idea of step 4 is complete, so you may go on. This is left of its armour:

      3. It is polite (armour)
      4. It is safe (armour)

Build it now, or come back to it later, because no later idea needs it.

Compare yours with ours:

    less step04_fork/app.py
    less step04_fork/flask_app.py
    less step04_fork/http_message.py
    diff -u step04_fork/server.py mine/server.py
    less step04_fork/wsgi.py

Go on to step 5 with the same folder:

    make check STEP=05
""")
    assert "Red" not in shown and shown.count("  3. ") == 2


def test_a_step_that_is_done_says_so(small):
    done, _ = check_small(small, "test_a test_b test_c test_d test_e test_f")
    assert done.returncode == 0 and "\nStep 4 is done.\n" in done.stdout
    assert done.stdout.count("  ok  ") == 4 and "->" not in done.stdout


def test_the_first_failure_is_shown_before_the_others_are_run(small):
    file = small / "tests" / "test_step04_fork.py"
    file.write_text(
        FORK.replace(
            "def test_d(): pass",
            "def test_d(command):\n"
            "    while not (Path(command[-1]).parent / 'go on').exists(): time.sleep(0.01)",
        )
    )
    (small / "mine" / "passing").write_text("test_a test_b test_d")
    with started(small, "04") as (shown, _):
        read_until(shown, "All that pytest says")
        (small / "mine" / "go on").touch()
        assert "ok   1 of   1   Who talks to whom" in shown.read()


def test_after_a_failure_the_rest_is_run_for_some_seconds_only(small):
    change(small / "course" / "loop.py", "MOST_SECONDS_RED = 1 ", "MOST_SECONDS_RED = 0 ")
    done, were_run = check_small(small, "test_a test_b test_d")
    assert were_run == ["test_a", "test_b", "test_c"]
    assert "       not run      Who talks to whom\n" in done.stdout
    assert "0 of   1   Who" not in done.stdout


def test_a_test_that_takes_too_long_is_named(small):
    for right, wrong in {
        "MOST_SECONDS = 120": "MOST_SECONDS = 1.5",
        "MOST_SECONDS_OF_A_TEST = 30": "MOST_SECONDS_OF_A_TEST = 3",
    }.items():
        change(small / "course" / "loop.py", right, wrong)
    file = small / "tests" / "test_step04_fork.py"
    everything = "test_a test_b test_c test_d test_e test_f"

    file.write_text(FORK.replace("def test_b(): pass", "def test_b(): time.sleep(2)"))
    done, _ = check_small(small, everything)
    assert done.returncode == 1
    assert "test_b, took 2 seconds. Those after it were not run." in done.stdout
    assert "  ok  2" not in done.stdout

    file.write_text(FORK.replace("def test_b(): pass", "def test_b(): time.sleep(9)"))
    done, _ = check_small(small, everything)
    assert done.returncode == 1
    assert "    test_b took more than 3 seconds, which is the limit of one test." in done.stdout

    (small / "mine" / "passing").write_text(everything)
    done = loop(small, "04", PYTEST_ADDOPTS="--timeout-method=thread")  # as on Windows
    assert done.returncode == 1
    assert "test_b took more than 3 seconds, which is the limit of one test." in done.stdout


@pytest.mark.parametrize(
    ("passing", "said"),
    [
        ("test_b", False),  # the flaw is not there, and nothing of the next step
        ("test_b test_zb", True),
        ("test_a test_zb", False),  # what fails is no flaw
        ("test_a test_b test_c test_zb", False),  # the flaw is true of the next step, too
    ],
)
def test_a_flaw_of_this_step_need_not_be_there_beyond_it(small, passing, said):
    done, _ = check_small(small, passing)
    assert ("your server has gone on to step 5" in done.stdout) == said, done.stdout
    assert ("has gone on" in done.stdout) == said
    assert ("  ok  1. It forks\n" in done.stdout) == (said or "test_a test_b" in passing)


def test_what_became_of_the_server_is_said(course):
    (course / "mine").mkdir()
    (course / "mine" / "server.py").write_text(ENDS)
    done = loop(course, "02")
    assert "    The server has ended, with exit status 1. Its last traceback:\n" in done.stdout
    assert "\n        ZeroDivisionError: division by zero\n" in done.stdout


def test_the_name_of_a_section_is_not_cut_at_the_end_of_a_line():
    [_, second] = short(f"{'word ' * 17}a-long-word-with-many-hyphens")
    assert second == "a-long-word-with-many-hyphens"


ENDS = """
import socket
listener = socket.create_server(("127.0.0.1", 0))
print("Listening on http://{}:{}".format(*listener.getsockname()), flush=True)
connection, _ = listener.accept()
connection.recv(1, socket.MSG_PEEK)  # the request has come: its close is a reset
1 / 0
"""


def test_a_server_that_prints_nothing_gets_its_first_verdict_within_seconds(course):
    (course / "mine").mkdir()
    (course / "mine" / "server.py").write_text(ENDS.replace(", flush=True", ""))
    begin = time.monotonic()
    with started(course, "02") as (shown, _):
        read_until(shown, "Did you flush it?")
        seconds = time.monotonic() - begin
    assert seconds < 5 + BUSY, f"The first verdict came after {seconds:.1f} s."


@pytest.mark.parametrize(
    "option, number", [(["--stage", "3"], 2), (["--stage", "1"], None), ([], 2)], ids=str
)
def test_in_steps_2_and_3_the_milestones_are_the_stages(course, option, number):
    shutil.copytree(ROOT / "step03_wsgi/stages/stage1", course / "mine")
    done = loop(course, "03", *option)
    assert "  ok  1. " in done.stdout, done.stdout + done.stderr
    if number is None:
        assert done.returncode == 0 and "Stage 1 of step 3 is done." in done.stdout
        return
    assert done.returncode == 1 and f"  ->  {number}. " in done.stdout
    [test] = re.findall(r"^    (test_\w+).*$", done.stdout, re.MULTILINE)
    marks = getattr(importlib.import_module("tests.test_step03_wsgi"), test).pytestmark
    assert number in [mark.args[0] for mark in marks if mark.name == "milestone"], test
    [page] = re.findall(r"^    Read: (.+)$", done.stdout, re.MULTILINE)
    assert section(page) and page.startswith(
        "step03_wsgi/STAGES.md#stage-2" if option else "step03_wsgi/README.md#"
    )


def test_a_stage_that_is_done_says_what_it_cannot_do_yet(course):
    shutil.copytree(ROOT / "step02_http_server/stages/stage2", course / "mine")
    done = loop(course, "02", "--stage", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "->" not in done.stdout and "Stage 2 of step 2 is done." in done.stdout
    assert "diff -ru step02_http_server/stages/stage2 mine\n" in done.stdout
    [page] = re.findall(r"^    Read: (.+)$", done.stdout, re.MULTILINE)
    title, failure, *_ = section(page).split("\n\n")
    assert title.startswith("Stage 3") and " ".join(failure.split()) in " ".join(
        done.stdout.split()
    )
    assert done.stdout.endswith("    make check STEP=02 STAGE=3\n")


def test_the_last_stage_is_the_step_and_what_the_next_one_gives_is_copied_by_a_command(course):
    shutil.copytree(ROOT / "step02_http_server", course / "mine")
    with (course / "mine" / "http_message.py").open("a") as file:
        file.write("# mine")
    done = loop(course, "02", "--stage", "5")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Step 2 is done." in done.stdout
    shown = re.findall("^    diff.+", done.stdout, re.MULTILINE)
    assert shown == ["    diff -u step02_http_server/http_message.py mine/http_message.py"]
    *_, first, second, third = done.stdout.splitlines()
    for line in (first, second):
        subprocess.run(shlex.split(line), cwd=course, check=True)
    assert contents(course / "mine").items() >= given("step03_wsgi").items()
    assert third == "    make check STEP=03"


def test_a_command_may_end_with_the_name_of_a_python_file(course):
    command = shlex.join([sys.executable, "step01_echo_socket/server.py"])
    done = loop(course, "01", "--server", command)
    assert done.returncode == 0 and "Step 1 is done." in done.stdout, done.stdout + done.stderr
    end = f"Step 1 is done.\nGo on with step 2: make check STEP=02 SERVER={shlex.quote(command)}\n"
    assert done.stdout.endswith(end), "Nothing of mine/ is said of another server."


def test_a_milestone_of_which_nothing_can_be_tested_is_not_green(course):
    (course / "alone").mkdir()  # without client.py
    shutil.copy(ROOT / "step01_echo_socket" / "server.py", course / "alone")
    done = loop(course, "01", "--server", "alone/server.py")
    line = "      4. Your own client sends, and reads the echo: nothing of it can be tested here\n"
    assert done.returncode == 0 and line in done.stdout, done.stdout + done.stderr


def write_steps(small):
    """Give the small course steps 1 to 3, too; return the names of tests that are to pass."""
    for step in STEPS[:3]:
        (small / "tests" / f"test_{step}.py").write_text(
            FORK.replace("step04_fork", step)
            .replace("def test_", f"def test_{step[4:6]}")
            .replace("IDEA = 2", "IDEA = 4" if step == STEPS[0] else "IDEA = 2")
        )
    return [f"test_{step[4:6]}{letter}" for step in STEPS[:3] for letter in "bcdef"]


def test_progress_sends_nobody_in_another_language_to_step_3(small):
    names = [name for name in write_steps(small) if not name.startswith("test_03")]
    (small / "mine" / "passing").write_text(" ".join([*names, "test_b"]))
    done = loop(small)
    assert "  step 3   - . (. .)      0 of 4." in done.stdout, done.stdout + done.stderr
    assert done.stdout.endswith("Go on with step 4: make check STEP=04\n"), done.stdout


def test_progress_has_a_line_for_each_step(small):
    """The server has gone on to step 4, so it need not have the flaws of those before."""
    names = write_steps(small)
    names.remove("test_02e")  # of the armour
    names.remove("test_03c")  # of the idea
    (small / "mine" / "passing").write_text(" ".join([*names, "test_a", "test_b"]))
    done = loop(small)
    assert done.returncode == 0, done.stdout + done.stderr
    shown = done.stdout[done.stdout.index("  step 1") :]
    assert (
        shown
        == """  step 1   + + + +        4 of 4
  step 2   + + (- .)      2 of 4, the idea is complete. Next: It is polite
  step 3   + - (. .)      1 of 4. Next: It works
  step 4   + - (. .)      1 of 4. Next: It works

  step 5   not begun
  step 6   not begun

+ is a complete milestone, and - is the one to work on. The armour is in brackets.
Go on with step 3: make check STEP=03
"""
    )
    assert done.stdout.isascii(), "A console of Windows shows it, too."


def test_progress_of_the_course_itself(course):
    shutil.copytree(ROOT / STEPS[1], course / "mine")
    done = loop(course)
    lines = re.findall(r"^  step (\d)   (.+)$", done.stdout, re.MULTILINE)
    assert [number for number, _ in lines] == ["1", "2", "3", "4", "5", "6"], done.stdout
    assert [text for _, text in lines[2:]] == ["not begun"] * 4, done.stdout
    assert not any("-" in text for _, text in lines[:2]), done.stdout
    assert done.stdout.endswith("Go on with step 3: make check STEP=03\n")


def test_watch_checks_again_at_each_save(small):
    (small / "mine" / "passing").write_text("test_a")
    with started(small, "04", "--watch") as (shown, watch):
        read_until(shown, "tests fail at first")
        (small / "mine" / "passing").write_text("test_a test_b")  # no file of Python's
        (small / "mine" / "server.py").write_text("# saved")
        assert "Saved: server.py\n" in read_until(shown, "Saved")
        assert "  ok  1. It forks" in read_until(shown, "tests fail at first")
        os.killpg(watch.pid, signal.SIGINT)  # as Ctrl-C does
        assert "Traceback" not in shown.read()
        assert watch.wait() == 0


# When a module is looked for, in the first process or in a child of it, Ctrl-C is typed.
TYPE_CTRL_C = """
import os, signal, sys
first = int(os.environ.setdefault("FIRST", str(os.getpid())))

class Finder:
    def find_spec(name, path, target=None):
        if name == {module!r} and {child} == (os.getpid() != first):
            open("typed", "w").close()
            os.killpg(first, signal.SIGINT)

sys.meta_path.insert(0, Finder)
"""


@pytest.mark.parametrize(
    ("command", "module", "child"),
    [
        ("check", "pytest", False),
        ("check", "course.loop", False),
        ("check", "_pytest.junitxml", False),  # pytest.main loads it
        ("watch", "watchfiles", False),
        ("watch", "argparse", True),
        ("watch", "_pytest.junitxml", True),
    ],
)
def test_ctrl_c_while_modules_are_loaded_shows_no_traceback(small, command, module, child):
    (small / "sitecustomize.py").write_text(TYPE_CTRL_C.format(module=module, child=child))
    option = ["--watch"] if command == "watch" else []
    with started(small, "04", *option, PYTHONPATH=str(small)) as (shown, process):
        said = shown.read()
        status = process.wait()
    assert (small / "typed").exists(), f"{module} was not loaded:\n{said}"
    assert "Traceback" not in said and "KeyboardInterrupt" not in said, said
    assert status == (0 if command == "watch" else -signal.SIGINT)


@pytest.mark.parametrize("lines", [0, 1, 5, 7])
def test_nobody_need_read_to_the_end(small, lines):
    command = f"{shlex.quote(sys.executable)} -m course.progress 04 | head -n {lines}"
    options = {"shell": True, "capture_output": True, "text": True, "timeout": 60}
    done = subprocess.run(command, cwd=small, **options)
    assert len(done.stdout.splitlines()) == lines and done.stderr == "", done.stderr


def test_an_exercise_is_tested_in_a_copy_of_mine(course):
    shutil.copytree(ROOT / "step02_http_server", course / "mine")
    before = contents_of(course / "mine")
    done = loop(course, "02", "--exercise", "4")
    assert done.returncode == 1, done.stdout + done.stderr
    assert (
        'Exercise 4 of step 2, "A folder of files, and nothing else", is not done.' in done.stdout
    )
    assert "    Not yet: GET /files/a%20note.txt got 404 Not Found" in done.stdout
    [page] = re.findall(r"^    Read: (.+)$", done.stdout, re.MULTILINE)
    assert section(page).startswith("4. A folder of files")
    [exercise] = [e for e in read_exercises("step02_http_server") if e.number == 4]
    apply(exercise.patch, course / "mine")
    done = loop(course, "02", "--exercise", "4")
    assert done.returncode == 0 and "is done, so compare it with the solution." in done.stdout
    apply(exercise.patch, course / "mine", "--reverse")
    assert contents_of(course / "mine") == before, "The test left something behind in mine/."


def contents_of(folder):
    """Return the names of all files and folders in a folder, without what Python itself makes."""
    return sorted(path for path in folder.rglob("*") if "__pycache__" not in str(path))


def test_an_exercise_without_a_test_says_so(course):
    shutil.copytree(ROOT / "step04_fork", course / "mine")
    done = loop(course, "04", "--exercise", "3")
    assert done.returncode == 0 and "has no test" in done.stdout


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["04", "--exercise", "9"], "no exercise 9. Step 4 has the exercises 1 to 6"),
        (["04", "--exercise", ""], "No exercise is named. Step 4 has the exercises 1 to 6"),
        (["--exercise", "1"], "--exercise needs a step"),
        (["--watch"], "--watch needs a step"),
        (["04", "--exercise", "1", "--server", "step04_fork/server.py"], "leave out --server"),
    ],
    ids=str,
)
def test_an_exercise_that_does_not_exist_is_one_line(course, words, hint):
    assert_one_line(loop(course, *words), hint)


def test_make_runs_the_same_commands(course):
    for target, command in {
        "start STEP=04": "-m course.progress  04 --start",
        "check STEP=04": "-m course.progress  04",
        "check STEP=04 SERVER=./a.out": "-m course.progress --server './a.out' 04",
        "mine STEP=04": "-m course.progress  04 --copy",
        "start STEP=02 STAGE=3": "-m course.progress  02 --stage '3' --start",
        "check STEP=02 STAGE=3": "-m course.progress  02 --stage '3'",
        "mine STEP=02 STAGE=3": "-m course.progress  02 --stage '3' --copy",
        "watch STEP=04": "-m course.progress  04 --watch",
        "watch STEP=02 STAGE=3": "-m course.progress  02 --stage '3' --watch",
        "exercise STEP=04 N=2": "-m course.progress  04 --exercise '2'",
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


@pytest.mark.parametrize("step", STEPS)
def test_the_tests_of_a_step_stand_in_three_to_six_milestones(step):
    module = importlib.import_module(f"tests.{file_of_tests(step).stem}")
    number = len(module.MILESTONES)
    assert 3 <= number <= 6 and 1 <= module.IDEA <= number
    assert STAGES[step] in (1, number), "In steps 2 and 3 the milestones are the stages."
    script = (
        "from course.loop import Loop, run; loop = Loop();"
        f"run(loop, [{step!r}], '{step}/server.py', '--collect-only');"
        f"print(*(len(milestone.results) for milestone in loop.milestones[{step!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    counts = [int(count) for count in done.stdout.splitlines()[-1].split()]
    assert len(counts) == number and all(counts), f"A milestone has no duty of its own: {counts}"


def test_a_codespace_runs_the_course():
    settings = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text("utf-8"))
    assert settings["forwardPorts"] == [8000, 8100, 8888]  # a server, the arena, JupyterLab
    assert settings["portsAttributes"].keys() == {"8000", "8100", "8888"}
    assert re.fullmatch(r"mcr.+/devcontainers/python:3\.1[1-5]", settings["image"])
    assert settings["remoteUser"] == "vscode", "JupyterLab and Chromium do not like root."
    python, *words, first, second = settings["postCreateCommand"].split()
    assert [python, *words] == ["python3", "-m", "course.install"]
    assert (ROOT / first).is_file() and (ROOT / second).is_file()
