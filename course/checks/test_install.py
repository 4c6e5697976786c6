"""The virtual environment: made, fixed, or one line that says what to do (make setup)."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from course.install import OLDEST, version_of
from tests.harness import ROOT

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the stand-ins are shell scripts")

HERE = "{}.{}".format(*sys.version_info)
OLD_PYTHONS = [
    python
    for python in sorted(Path.home().glob(".pyenv/versions/3.*/bin/python"))
    if (3, 6) <= (version_of(python) or (0, 0)) < OLDEST
]


@pytest.fixture
def folder(tmp_path):
    """A folder that has a requirements file, which names nothing."""
    (tmp_path / "requirements.txt").write_text("")
    return tmp_path


@pytest.fixture
def hidden(tmp_path_factory):
    """A path of modules in which ensurepip and pip are not there, as on a bare Debian."""
    path = tmp_path_factory.mktemp("hidden")
    for module in ("ensurepip", "pip"):
        (path / f"{module}.py").write_text("raise ImportError")
    return f"{path}:{ROOT}"


def install(folder, *options, python=sys.executable, module_path=ROOT, code=None):
    """Run course.install in a folder, without uv; return what subprocess.run returns."""
    words = ["-c", code] if code else ["-m", "course.install"]
    env = os.environ | {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(module_path),
        "PIP_NO_INDEX": "1",
    }
    return subprocess.run(
        [str(python), *words, *options],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=110,
    )


def stand_in(folder, script, settings="version = 3.99"):
    """Make a folder .venv whose Python is a shell script."""
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "pyvenv.cfg").write_text(settings)
    python = folder / ".venv" / "bin" / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)


def assert_works(folder):
    """Fail unless the virtual environment has this very Python, and pip."""
    command = [folder / ".venv" / "bin" / "python", "-m", "pip", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and f"(python {HERE})" in done.stdout, done.stdout + done.stderr


def assert_one_line(done, *words):
    """Fail unless a command ended with status 1, and one line that has these words."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert len(done.stderr.splitlines()) == 1 and not done.stdout, done.stdout + done.stderr
    for word in words:
        assert word in done.stderr


def test_a_virtual_environment_is_made_and_then_left_alone(folder):
    assert install(folder).returncode == 0
    assert_works(folder)
    mark = (folder / ".venv" / "pyvenv.cfg").stat().st_mtime_ns
    for options in ([], ["--named"]):
        done = install(folder, *options)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (folder / ".venv" / "pyvenv.cfg").stat().st_mtime_ns == mark


AGAIN = {
    "its Python is gone": ("", [], "does not work"),
    "too old": ("echo 3 8", [], "is of Python 3.8"),
    "not the Python that was named": ("echo 3 99", ["--named"], "is of Python 3.99"),
}


@pytest.mark.parametrize("why", AGAIN)
def test_one_of_no_use_is_made_again(folder, why):
    script, options, reason = AGAIN[why]
    stand_in(folder, script)
    if not script:
        (folder / ".venv" / "bin" / "python").unlink()
        (folder / ".venv" / "bin" / "python").symlink_to("/no/python")
    done = install(folder, *options)
    assert f".venv {reason}: it is made again, with Python {HERE}." in done.stdout, done.stderr
    assert_works(folder)


def test_another_python_that_is_new_enough_stays_if_none_was_named(folder):
    stand_in(folder, "echo 3 99")
    done = install(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / ".venv" / "pyvenv.cfg").read_text() == "version = 3.99"


def test_a_folder_that_is_no_virtual_environment_is_not_touched(folder):
    (folder / ".venv").mkdir()
    (folder / ".venv" / "work.py").write_text("a week of work")
    assert_one_line(install(folder), ".venv is there, and is no virtual environment")
    assert (folder / ".venv" / "work.py").read_text() == "a week of work"


def test_without_ensurepip_one_line_names_the_package(folder, hidden):
    assert_one_line(install(folder, module_path=hidden), f"apt install python{HERE}-venv")
    assert not (folder / ".venv").exists()


def test_one_without_pip_gets_it_or_one_line_names_the_package(folder, hidden):
    """On Debian without python3-venv, Python's own venv leaves one like that; uv makes them so."""
    command = [sys.executable, "-m", "venv", "--without-pip", folder / ".venv"]
    subprocess.run(command, check=True, timeout=60)
    (folder / ".venv" / "mark").touch()
    assert_one_line(install(folder, module_path=hidden), f"apt install python{HERE}-venv")
    done = install(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert_works(folder)
    assert (folder / ".venv" / "mark").exists(), "Nothing else of it is made again."


def test_nothing_half_made_stays_behind(folder, tmp_path_factory):
    failing = tmp_path_factory.mktemp("failing")
    (failing / "venv.py").write_text("import os\nos.mkdir('.venv')\nraise SystemExit(1)")
    assert_one_line(install(folder, module_path=f"{failing}:{ROOT}"), "could not be made")
    assert not (folder / ".venv").exists()


def test_packages_are_installed_when_their_file_is_new_or_has_changed(folder):
    pip = 'case "$*" in *"pip install"*) echo "$*" >> calls; exit "$(cat status)"; esac'
    stand_in(folder, f"{pip}\necho 3 99")
    (folder / "course").mkdir()
    files = ["requirements.txt", "course/requirements.txt"]

    def calls(status):
        """Install both files; pip ends with that status. Return the files that it was given."""
        (folder / "status").write_text(str(status))
        (folder / "calls").write_text("")
        done = install(folder, *files)
        assert done.returncode == status, done.stdout + done.stderr
        if status:
            assert done.stderr.startswith("The packages could not be installed.")
        return re.findall(r"-r (\S+)", (folder / "calls").read_text())

    for file in files:
        (folder / file).write_text("one==1")
    assert calls(1) == files
    assert calls(0) == files, "What failed is tried again."
    assert calls(0) == []
    (folder / files[1]).write_text("one==2")
    assert calls(0) == files[1:]
    assert calls(0) == []


OLD = (
    "import runpy, sys; sys.version_info = (3, 8, 18, 'final', 0); "
    "sys.exit(runpy.run_module(sys.argv.pop(1), {}, '__main__'))"
)


def test_a_python_that_is_too_old_is_one_line_and_makes_nothing(folder):
    done = install(folder, "course.install", code=OLD)
    assert_one_line(done, "Python 3.8 is too old", "3.11", "make test PYTHON=")
    assert not (folder / ".venv").exists()


@pytest.mark.parametrize("python", OLD_PYTHONS, ids=str)
def test_real_old_pythons_say_that_they_are_too_old(folder, python):
    assert_one_line(install(folder, python=python), "is too old")
    assert not (folder / ".venv").exists()


@pytest.mark.parametrize("file", ["__init__.py", "install.py", "doctor.py", "language.py"])
def test_an_old_python_can_read_what_says_that_it_is_too_old(file):
    ast.parse((ROOT / "course" / file).read_text("utf-8"), feature_version=(3, 6))


def test_the_oldest_python_is_the_same_everywhere():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    oldest = "{}.{}".format(*OLDEST)
    assert settings["project"]["requires-python"] == f">={oldest}"
    assert settings["tool"]["ruff"]["target-version"] == "py{}{}".format(*OLDEST)
    assert f"Python {oldest} or newer" in (ROOT / "README.md").read_text("utf-8")
