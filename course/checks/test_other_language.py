"""A server in any language: the tests of steps 1, 4 and 5 pass with one in C."""

import os
import shutil
import subprocess
import sys

import pytest

from course.facts import file_of_tests
from tests.harness import ROOT

COMPILER = shutil.which("cc")

pytestmark = pytest.mark.skipif(
    not COMPILER or os.name != "posix", reason="needs a C compiler, cc, and a POSIX system"
)


@pytest.mark.parametrize(
    "step, source, options",
    [
        ("step01_echo_socket", "echo_server.c", []),
        ("step04_fork", "fork_server.c", []),
        ("step05_zombies", "fork_server.c", ["-DREAP"]),
    ],
)
def test_a_server_in_c_passes_the_tests_of_a_step(step, source, options, tmp_path):
    program = tmp_path / "server"
    warnings = ["-std=gnu11", "-Wall", "-Wextra", "-Werror"]
    compiled = subprocess.run(
        [COMPILER, *warnings, *options, "-o", program, ROOT / "course" / "other_language" / source],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert compiled.returncode == 0, compiled.stderr
    tests = [sys.executable, "-m", "pytest", "-q", file_of_tests(step), "--server", program]
    done = subprocess.run(tests, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
