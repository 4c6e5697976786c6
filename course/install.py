"""Make the virtual environment .venv, or fix it, and install packages into it (make setup).

    python3 -m course.install                  what the tests of the steps need
    python3 -m course.install FILE ...         what these requirements files name

Needs Python alone, and works in the root folder. What is there already is not installed again. It
runs on a Python that is too old for the course, too: to say so in one line.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from course.language import _

OLDEST = (3, 11)  # pyproject.toml says the same
NO_VENV = _(
    "This Python cannot make a virtual environment. On Debian, Ubuntu and WSL: "
    "sudo apt install python{}.{}-venv"
)


def python_in(venv):
    """Return the path of the Python in a virtual environment."""
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def version_of(python):
    """Return the version of a Python, such as (3, 11), or None if it does not run."""
    command = [str(python), "-c", "import sys; print(*sys.version_info[:2])"]
    try:
        major, minor = subprocess.check_output(command, stderr=subprocess.DEVNULL).split()
    except (OSError, subprocess.CalledProcessError, ValueError):
        return None
    return int(major), int(minor)


def has_module(python, name):
    """Return whether a Python can import a module."""
    command = [str(python), "-c", f"import {name}"]
    return subprocess.call(command, stderr=subprocess.DEVNULL) == 0


def too_old(version):
    """Return the line that says that a Python of this version is too old, and what to do."""
    other = "py -3.13 -m course.install" if os.name == "nt" else "make test PYTHON=python3.13"
    text = _(
        "Python {}.{} is too old: the course needs Python {}.{} or newer. "
        "Is there one under another name? Then: {}"
    )
    return text.format(*version, *OLDEST, other)


def prepare(venv, named):
    """Leave a virtual environment that works; raises SystemExit with one line if it cannot.

    venv: its Path. named: the user has asked for this Python, so one of another version is made
    anew. Otherwise any version that is new enough may stay.
    """
    here, there = sys.version_info[:2], version_of(python_in(venv))
    if there is None or there < OLDEST or (named and there != here):
        if here < OLDEST:
            sys.exit(too_old(here))
        remove(venv, there)
        make(venv)
    if not shutil.which("uv") and not has_module(python_in(venv), "pip"):
        fix = [str(python_in(venv)), "-m", "ensurepip"]  # uv makes it without pip
        if subprocess.call(fix, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
            sys.exit(NO_VENV.format(*version_of(python_in(venv))))


def remove(venv, version):
    """Remove a virtual environment that is of no use; raises SystemExit if it is something else."""
    if not os.path.lexists(venv):
        return
    if not (venv / "pyvenv.cfg").is_file():
        text = _("{} is there, and is no virtual environment. Give it another name.")
        sys.exit(text.format(venv))
    state = _("is of Python {}.{}").format(*version) if version else _("does not work")
    text = _("{} {}: it is made again, with Python {}.{}.")
    print(text.format(venv, state, *sys.version_info[:2]), flush=True)
    shutil.rmtree(venv)


def make(venv):
    """Make a virtual environment; raises SystemExit if that fails, and leaves nothing half made."""
    if shutil.which("uv"):
        command = ["uv", "venv", "--quiet", "--python", sys.executable, str(venv)]
    elif has_module(sys.executable, "ensurepip"):
        command = [sys.executable, "-m", "venv", str(venv)]
    else:
        sys.exit(NO_VENV.format(*sys.version_info))
    if subprocess.call(command):
        shutil.rmtree(venv, ignore_errors=True)
        sys.exit(_("{} could not be made.").format(venv))


def note_of(venv, file):
    """Return the Path at which it is noted what a requirements file said when it was installed."""
    return venv / "installed-{}".format("-".join(file.parts))


def install(venv, files):
    """Install what requirements files name, unless it is there; raises SystemExit on failure."""
    new = []
    for file in files:
        note = note_of(venv, file)
        if not note.is_file() or note.read_bytes() != file.read_bytes():
            new.append(file)
    if not new:
        return
    python = str(python_in(venv))
    if shutil.which("uv"):
        command = ["uv", "pip", "install", "--quiet", "--python", python]
    else:
        command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for file in new:
        command += ["-r", str(file)]
    text = _("Installing what {} names into {}.")
    print(text.format(_(" and ").join(map(str, new)), venv), flush=True)
    if subprocess.call(command):
        sys.exit(_("The packages could not be installed. Read teaching/the-room.md."))
    for file in new:
        note_of(venv, file).write_bytes(file.read_bytes())


def main():
    """Read the command line, make or fix the virtual environment, and install."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", metavar="FILE", nargs="*", type=Path)
    parser.add_argument("--venv", metavar="FOLDER", type=Path, default=Path(".venv"))
    parser.add_argument("--named", action="store_true", help="it must be of this very Python")
    arguments = parser.parse_args()
    prepare(arguments.venv, arguments.named)
    install(arguments.venv, arguments.files or [Path("requirements.txt")])


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it without a traceback
    main()
