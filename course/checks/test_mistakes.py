"""Every line matters: each named mistake makes the test fail that is there for it."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from course.facts import read_mistakes, section
from tests.harness import ROOT

MISTAKES = read_mistakes()

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="steps 4 to 6 need os.fork")


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: f"{m.step[:6]}-{m.name}")
def test_a_mistake_is_found_by_its_test(mistake, tmp_path):
    copy = tmp_path / mistake.step
    shutil.copytree(ROOT / mistake.step, copy)
    file = copy / mistake.file
    file.write_text(mistake.apply(file.read_text("utf-8")), "utf-8")
    command = [sys.executable, "-m", "pytest", "-q", mistake.test]
    command += ["--course", "--server", str(copy / "server.py")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, (
        f"With the mistake {mistake.name!r} the test {mistake.test} must fail. "
        f"pytest ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    )
    assert mistake.symptom in done.stdout, (
        f"The failure does not show the symptom {mistake.symptom!r}:\n{done.stdout}"
    )
    [where] = set(re.findall(r"^Read: (.+)$", done.stdout, re.MULTILINE))
    text = " ".join(section(where).split())
    assert mistake.explained in text, (
        f"The failure points to {where}. There {mistake.explained!r} does not stand."
    )


def test_there_are_many_and_each_has_a_name_of_its_own():
    names = [(mistake.step, mistake.name) for mistake in MISTAKES]
    assert len(names) == len(set(names))
    assert len(names) >= 30
