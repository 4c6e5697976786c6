"""make doctor: a line for each thing that the course needs, and what to do if it is missing."""

import os
import re
import socket
import subprocess
import sys

import pytest

from course import doctor
from course.checks.test_install import OLD, OLD_PYTHONS
from tests.harness import ROOT

THINGS = len(doctor.LOOKS)


def run(folder, *words, python=sys.executable, **environment):
    """Run the doctor in a folder that has the package course alone."""
    command = [str(python), *(words or ["-m", "course.doctor"])]
    env = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=60)


def lines(done):
    """Return the lines of the things, and check that there is one for each."""
    found = re.findall(r"^  (ok|!!|--)  (\S.*)$", done.stdout, re.MULTILINE)
    assert len(found) == THINGS, done.stdout + done.stderr
    return found


def line(done, word):
    """Return the sign and the text of the one line that has a word."""
    [found] = [pair for pair in lines(done) if word in pair[1]]
    return found


def test_there_is_a_line_for_each_thing(tmp_path):
    done = run(tmp_path)
    assert done.returncode == 0 and done.stderr == ""
    assert "!!" not in dict(lines(done))
    assert line(done, "Python")[1].startswith("Python {}.{}.{}".format(*sys.version_info))


def test_a_python_that_is_too_old_is_told(tmp_path):
    done = run(tmp_path, "-c", OLD, "course.doctor")
    assert done.returncode == 1
    assert line(done, "too old")[0] == "!!" and "PYTHON=" in line(done, "too old")[1]
    assert "Fix what a line with !! names" in done.stdout


@pytest.mark.parametrize("python", OLD_PYTHONS, ids=str)
def test_real_old_pythons_run_it(tmp_path, python):
    done = run(tmp_path, python=python)
    assert done.returncode == 1 and line(done, "too old")[0] == "!!"


def test_it_names_the_package_without_which_there_is_no_virtual_environment(tmp_path):
    (tmp_path / "ensurepip.py").write_text("raise ImportError")
    done = run(tmp_path, PYTHONPATH=f"{tmp_path}:{ROOT}", PATH="/usr/bin:/bin")
    assert done.returncode == 1
    assert line(done, "-venv")[0] == "!!"


@pytest.mark.skipif(sys.platform != "linux", reason="the cure is Debian's")
def test_what_is_not_there_is_named_with_its_cure(tmp_path):
    done = run(tmp_path, PATH=str(tmp_path))
    assert done.returncode == 0, "All that is needed is Python."
    for word in ("No make", "No git", "No curl"):
        assert line(done, word)[0] == "--" and "sudo apt install" in line(done, word)[1]


@pytest.mark.parametrize(
    "no_proxy, sign",
    [
        ("", "--"),
        ("example.com", "--"),
        ("127.0.0.1", "--"),
        ("localhost", "--"),
        ("127.0.0.1,localhost", "ok"),
        ("*", "ok"),
    ],
)
def test_a_proxy_must_not_be_asked_for_this_machine(tmp_path, no_proxy, sign):
    done = run(tmp_path, http_proxy="http://proxy.example:3128", no_proxy=no_proxy)
    assert line(done, "proxy.example")[0] == sign
    assert ("no_proxy=127.0.0.1,localhost" in done.stdout) == (sign == "--")


def test_who_holds_the_port_is_told():
    script = (
        "import sys; from course import doctor; doctor.PORT = int(sys.argv[1]); "
        "sys.exit(doctor.main())"
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        done = run(ROOT, "-c", script, port)
        sign, text = line(done, "is taken by")
        assert sign == "--" and f"(process {os.getpid()})" in text and "--port 0" in text
    assert line(run(ROOT, "-c", script, port), f"port {port} is free")[0] == "ok"


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's table is Linux's")
def test_a_port_of_another_user_names_the_user(monkeypatch):
    monkeypatch.setattr(doctor, "owner_of_socket", lambda inode: None)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setattr(doctor, "PORT", listener.getsockname()[1])
        assert doctor.holder_of_port() == f"a program of user {doctor.user_name(os.getuid())}"


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's table is Linux's")
def test_nobody_holds_the_port_of_an_old_connection(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setattr(doctor, "PORT", listener.getsockname()[1])
        with socket.create_connection(listener.getsockname()) as client:
            listener.accept()[0].close()  # who closes first keeps the port in TIME-WAIT
            assert client.recv(1) == b""
    assert doctor.holder_of_port() is None


def test_little_room_is_told(monkeypatch):
    monkeypatch.setattr(doctor, "MEGABYTES", 10**9)
    sign, text = doctor.look_at_disk()
    assert sign == "!!" and "make room" in text
