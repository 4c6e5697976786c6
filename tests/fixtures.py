"""Fixtures for all tests, and the option --server: test a server of your own.

It is a plugin of pytest: pyproject.toml names it, so the checks of the course have it, too.
"""

import shlex
import sys
from pathlib import Path

import pytest

from tests.harness import ROOT, Server


def pytest_addoption(parser):
    parser.addoption(
        "--server",
        metavar="COMMAND",
        help="the server to test: a Python file, such as mine/server.py, or a command. "
        "It must take --port, and print the line 'Listening on ...' (default: the step's own)",
    )


def pytest_configure(config):
    """Say in one line that --server names a Python file that is not there."""
    file = (config.getoption("--server") or "").partition(" ")[0]
    if file.endswith(".py") and not Path(file).exists():
        raise pytest.UsageError(f"--server: there is no file {file}")


def pytest_collection_modifyitems(items):
    """Put what the markers "new" and "lesson" say into the report of each test."""
    for item in items:
        if marker := item.get_closest_marker("new"):
            item.user_properties.append(("new", marker.args[0]))
        if marker := item.get_closest_marker("lesson"):
            section = marker.args[0]
            if "#" not in section:
                section = f"{item.module.STEP}/README.md#{section}"
            item.user_properties.append(("lesson", section))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """Let a failure say where to read about it."""
    report = yield
    if report.failed and (section := dict(item.user_properties).get("lesson")):
        report.sections.append(("the lesson", f"Read: {section}"))
    return report


@pytest.fixture(scope="module")
def command(request):
    """The command, a list, that starts the server under test: --server, or the step's own."""
    given = request.config.getoption("--server")
    if given is None:
        return [sys.executable, str(ROOT / request.module.STEP / "server.py")]
    words = shlex.split(given)
    words = [str(Path(word).resolve()) if Path(word).exists() else word for word in words]
    return [sys.executable, *words] if words[0].endswith(".py") else words


@pytest.fixture(scope="module")
def server(command, request):
    """A running server that the tests of a file share. It runs the file's APPLICATION, if any."""
    application = getattr(request.module, "APPLICATION", None)
    with Server([*command, *filter(None, [application]), "--port", "0"]) as server:
        yield server
        assert server.is_running(), f"The server ended during the tests:\n{server.report()}"


@pytest.fixture
def start(command):
    """A function that starts another server, for one test: start("apps:hello")."""
    servers = []

    def start_server(*arguments, port=0, **options):
        server = Server([*command, *arguments, "--port", str(port)], **options)
        servers.append(server)
        return server

    yield start_server
    for server in servers:
        server.kill()


@pytest.fixture
def gate(tmp_path):
    """A gate at which requests for gate.target wait until gate.open(): see class Gate."""
    from tests.applications.fork_apps import Gate  # needs a POSIX system

    with Gate(tmp_path / "gate") as gate:
        yield gate
