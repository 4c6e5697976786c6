"""The option --server: what it takes, and where the server runs that it names."""

import os
import subprocess
import sys

import pytest

from course.facts import file_of_tests
from tests.fixtures import split_command
from tests.harness import ROOT

ONE_TEST = {
    "step01_echo_socket": "test_one_client_after_another_is_served",
    "step03_wsgi": "test_an_application_is_a_function_a_method_a_class_or_an_object",
}
# A learner's server: the step's own, but it asks first that something is true.
SERVER = """
import os, runpy, sys
assert {condition}, {condition!r}
sys.path.insert(0, {step!r})
sys.argv[0] = __file__ = {step!r} + "/server.py"
runpy.run_path(__file__, run_name="__main__")
"""


def write_server(path, step="step01_echo_socket", condition="True"):
    """Write a learner's server that is right, as long as a condition is true where it runs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(SERVER.format(step=str(ROOT / step), condition=condition), "utf-8")


def run_a_test(server, folder, step="step01_echo_socket", **environment):
    """Run one test of a step against a server, in a folder; return what subprocess.run returns."""
    node = f"{file_of_tests(step)}::{ONE_TEST[step]}"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-W", "error", node]
    return subprocess.run(
        [*command, "--server", server],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def assert_passed(done):
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(
    "name", ["my course/server.py", "Jos\u00e9/server.py", "it's mine/server.py"]
)
@pytest.mark.parametrize("is_absolute", [True, False], ids=["absolute", "relative"])
def test_a_file_in_a_folder_of_any_name(tmp_path, name, is_absolute):
    write_server(tmp_path / name)
    assert_passed(run_a_test(str(tmp_path / name) if is_absolute else name, tmp_path))


def test_a_command_with_a_quoted_path(tmp_path):
    write_server(tmp_path / "my course" / "server.py")
    assert_passed(run_a_test(f"'{sys.executable}' 'my course/server.py'", tmp_path))


@pytest.mark.skipif(os.name != "posix", reason="there the python of an environment is no link")
def test_the_python_of_a_virtual_environment_stays_in_it(tmp_path):
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    write_server(tmp_path / "server.py", condition=f"sys.prefix == {str(environment)!r}")
    assert_passed(run_a_test("environment/bin/python server.py", tmp_path))


def test_a_command_runs_in_the_folder_in_which_the_learner_is(tmp_path):
    write_server(tmp_path / "own_server.py", condition=f"os.getcwd() == {str(tmp_path)!r}")
    assert_passed(run_a_test(f"'{sys.executable}' -m own_server", tmp_path))


@pytest.mark.parametrize("server", ["mine/server.py", f"'{sys.executable}' mine/server.py"])
def test_a_server_finds_the_applications_of_the_tests(tmp_path, server):
    step = "step03_wsgi"
    write_server(tmp_path / "mine" / "server.py", step)
    assert_passed(run_a_test(server, tmp_path, step))
    assert_passed(run_a_test(server, tmp_path, step, PYTHONPATH=str(ROOT)))


def test_a_command_finds_the_modules_of_the_learner_too(tmp_path):
    write_server(tmp_path / "server.py", condition=f"{str(tmp_path / 'own')!r} in sys.path")
    command = f"'{sys.executable}' server.py"
    assert_passed(run_a_test(command, tmp_path, PYTHONPATH=str(tmp_path / "own")))


@pytest.mark.parametrize(
    "server",
    [
        "no/server.py",
        "no folder/server.py",
        "no/server.py --fast",
        "no_such_program x.js",
        "pyproject.toml",
        "it's mine/server.py",
        "",
    ],
)
def test_what_cannot_be_run_gets_one_clear_line(server):
    done = run_a_test(server, ROOT)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    line = f"ERROR: --server: no Python file that is here, and no program: {server}"
    assert done.stderr.strip() == line.strip() and done.stdout == ""


@pytest.mark.parametrize(
    "command, words",
    [
        (r"node web\server.js", ["node", r"web\server.js"]),
        (r'"C:\Program Files\node.exe" x.js', [r"C:\Program Files\node.exe", "x.js"]),
    ],
)
def test_a_command_on_windows_keeps_its_backslashes(command, words):
    assert split_command(command, posix=False) == words
