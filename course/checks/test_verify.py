"""make verify: each part is run, and shown with its time; one that fails is not forgotten."""

import re
import subprocess

import pytest

from course import verify
from course.verify import Part
from tests.harness import ROOT


def test_one_that_fails_or_takes_too_long_is_named_and_the_others_run(capfd):
    parts = [
        Part("echo first", 60),
        Part("exit 3", 60),
        Part("sleep 0.01", 0),
        Part("echo last", 60),
    ]
    assert verify.run(parts) == 1
    shown = capfd.readouterr().out
    lines = [re.sub(r" +[\d]+ s  ", " ", line, count=1) for line in shown.splitlines()[-4:]]
    assert lines == [
        "ok echo first",
        "-- exit 3  FAILED",
        "-- sleep 0.01  OVER ITS BUDGET of 0 s",
        "ok echo last",
    ]
    assert "\nfirst\n" in shown and "\nlast\n" in shown


def test_all_is_well_when_no_part_fails():
    assert verify.run([Part("true", 60), Part("sleep 0.01", 0)]) == 0


@pytest.mark.parametrize("part", verify.PARTS, ids=lambda part: part.command)
def test_each_part_is_a_command_of_the_makefile(part):
    words = [*part.command.split(), "-n", "--no-print-directory"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_first_part_runs_with_a_learners_packages_alone():
    assert verify.PARTS[0].command == "make test"


def test_the_budgets_fit_with_three_other_pythons():
    total = sum(part.budget for part in verify.PARTS) + 3 * verify.OTHER_PYTHON
    assert total <= verify.MOST_SECONDS, "What is new must take time from what is there."


def test_another_python_of_each_version_has_its_own_virtual_environment(tmp_path, monkeypatch):
    monkeypatch.setattr(verify.Path, "home", lambda: tmp_path)
    for version in ("2.7.18", "3.8.18", "3.12.1", "3.12.9", "3.99.0", "3.98.0-broken"):
        python = tmp_path / ".pyenv" / "versions" / version / "bin" / "python"
        python.parent.mkdir(parents=True)
        major, minor, _ = version.split(".")
        python.write_text(f"#!/bin/sh\necho {major} {minor}\n")
        if "broken" not in version:
            python.chmod(0o755)
    commands = [part.command for part in verify.all_parts()[len(verify.PARTS) :]]
    assert [command.split("VENV=")[1] for command in commands] == [".venv-3.12", ".venv-3.99"]
    assert "3.12.9/bin/python" in commands[0]
