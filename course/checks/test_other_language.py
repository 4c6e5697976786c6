"""A server in any language: the tests of step 1 pass with one in C."""

import os
import shutil
import subprocess
import sys

import pytest

from course.facts import file_of_tests
from tests.harness import ROOT, STEPS

COMPILER = shutil.which("cc")
SOURCE = ROOT / "course" / "other_language" / "echo_server.c"


@pytest.mark.skipif(not COMPILER or os.name != "posix", reason="needs a C compiler, cc")
def test_a_server_in_c_passes_the_tests_of_step_1(tmp_path):
    program = tmp_path / "echo_server"
    warnings = ["-std=gnu11", "-Wall", "-Wextra", "-Werror"]
    compiled = subprocess.run(
        [COMPILER, *warnings, "-o", program, SOURCE],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert compiled.returncode == 0, compiled.stderr
    tests = [sys.executable, "-m", "pytest", "-q", file_of_tests(STEPS[0]), "--server", program]
    done = subprocess.run(tests, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
