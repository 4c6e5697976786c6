"""A server in any language: the tests of steps 1, 4 and 5 pass with one in C."""

import os
import shlex
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


def build(source, options, tmp_path):
    """Compile a C source, and return the path of the program."""
    program = tmp_path / "server"
    warnings = ["-std=gnu11", "-Wall", "-Wextra", "-Werror"]
    compiled = subprocess.run(
        [COMPILER, *warnings, *options, "-o", program, ROOT / "course" / "other_language" / source],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert compiled.returncode == 0, compiled.stderr
    return program


@pytest.mark.parametrize(
    "step, source, options",
    [
        ("step01_echo_socket", "echo_server.c", []),
        ("step04_fork", "fork_server.c", []),
        ("step05_zombies", "fork_server.c", ["-DREAP"]),
    ],
)
def test_a_server_in_c_passes_the_tests_of_a_step(step, source, options, tmp_path):
    program = build(source, options, tmp_path)
    tests = [sys.executable, "-m", "pytest", "-q", file_of_tests(step), "--server", program]
    done = subprocess.run(tests, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_progress_goes_from_step_2_to_step_4_in_another_language(tmp_path):
    """Step 3 runs applications in Python, so it is no step of such a server."""
    program = build("fork_server.c", ["-DREAP"], tmp_path)
    words = [sys.executable, "-m", "course.progress", "--server", program]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert "  step 5   + + + + (+)    5 of 5\n" in done.stdout, done.stdout + done.stderr
    end = f"Go on with step 2: make check STEP=02 SERVER={shlex.quote(str(program))}\n"
    assert done.stdout.endswith(end), done.stdout
