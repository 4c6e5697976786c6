"""The ladder holds: identical copies, one idea a step, and tests that belong to their step."""

import ast
import itertools
import os
import sys

import pytest

from course.facts import changed_lines, changed_names, definitions
from course.runs import run_tests
from tests.harness import ROOT, STEPS

# What a step inherits, and from which step on.
COPIES = {
    "http_message.py": 2,
    "wsgi.py": 3,
    "app.py": 3,
    "flask_app.py": 3,
}
# The top-level names of server.py that a step adds, changes or drops.
IDEAS = {
    "step02_http_server": {"BUFFER_SIZE", "HOME_PAGE", "serve", "handle", "answer"},
    "step03_wsgi": {"HOME_PAGE", "serve", "handle", "answer", "main"},
    "step04_fork": {"serve", "work", "main"},
    "step05_zombies": {"STOP_SECONDS", "serve", "work", "reap"},
    "step06_prefork": {"WORKERS", "serve", "work", "reap", "main"},
}
MOST_LINES = {"step04_fork": 18, "step05_zombies": 25, "step06_prefork": 46}
# The tests of steps 4 and 5 have up to twenty slow clients at once.
OPTIONS = {"step06_prefork": ["--workers", "25"]}
NEIGHBOURS = list(itertools.pairwise(STEPS))

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="steps 4 to 6 need os.fork")


@pytest.mark.parametrize("file", COPIES)
def test_what_a_step_inherits_is_the_same_to_the_byte(file):
    first, *later = STEPS[COPIES[file] - 1 :]
    for step in later:
        assert (ROOT / step / file).read_bytes() == (ROOT / first / file).read_bytes(), (
            f"{step}/{file} is not the copy of {first}/{file}: carry the change through."
        )


@pytest.mark.parametrize("before, step", NEIGHBOURS)
def test_a_step_changes_only_what_its_idea_needs(before, step):
    assert changed_names(ROOT / before / "server.py", ROOT / step / "server.py") == IDEAS[step]


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("step*/**/*.py")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_a_step_needs_the_standard_library_and_its_own_files_alone(path):
    allowed = sys.stdlib_module_names | {file.stem for file in path.parent.glob("*.py")}
    if path.name == "flask_app.py":
        allowed |= {"flask"}
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            assert name.partition(".")[0] in allowed, f"{path} imports {name}."


@pytest.mark.parametrize("step", STEPS)
def test_each_server_has_the_same_parts_in_the_same_order(step):
    names = definitions(ROOT / step / "server.py")
    functions = [name for name in names if name.islower() and name != "if"]
    parts = [name for name in functions if name not in ("answer", "work", "reap")]
    assert parts == ["listen", "serve", "handle", "log", "main"]


@pytest.mark.parametrize("step", MOST_LINES)
def test_few_lines_change(step):
    before = STEPS[STEPS.index(step) - 1]
    assert changed_lines(before, step) <= MOST_LINES[step]


def run_marked(step, server, marker, report, *options):
    """Run those tests of a step that a marker expression selects, against another step's server."""
    words = [ROOT / server / "server.py", *OPTIONS.get(server, [])]
    return run_tests(step, words, report, "--course", "-m", marker, *options)


@needs_fork
@pytest.mark.parametrize("before, step", NEIGHBOURS)
def test_what_is_new_in_a_step_fails_on_the_step_before(before, step, tmp_path):
    results = run_marked(step, before, "new", tmp_path / "report.xml")
    assert results, f"No test of {step} is marked as new."
    for name, noted, failure in results:
        reason = noted["new"]
        assert failure, f"{name} is not new in {step}: {before} passes it."
        assert reason in failure, f"{name} fails on {before}, but not since {reason!r}:\n{failure}"


def test_step_3_runs_applications_of_each_framework(tmp_path):
    step, words = "step03_wsgi", ["-k", "test_an_application_of_any_framework"]
    results = run_marked(step, step, "new", tmp_path / "report.xml", *words)
    name = "test_an_application_of_any_framework_runs_unchanged"
    assert {test for test, _, _ in results} == {
        f"{name}[{framework}]" for framework in ("flask", "django", "bottle")
    }, "Each must be installed where the checks run: see notebooks/requirements.txt."
    assert not [failure for _, _, failure in results if failure]


@needs_fork
@pytest.mark.parametrize("step, later", list(itertools.combinations(STEPS, 2)))
def test_a_later_step_does_what_an_earlier_one_did(step, later, tmp_path):
    words = [ROOT / later / "server.py", *OPTIONS.get(later, [])]
    results = run_tests(step, words, tmp_path / "report.xml", "--course", "--reached", later)
    assert results, f"All tests of {step} are marked as flaws."
    failures = [f"{name}:\n{failure}" for name, _, failure in results if failure]
    assert not failures, f"{later} fails tests of {step}:\n" + "\n".join(failures)
