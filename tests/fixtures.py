"""Fixtures for all tests, and the option --server: test a server of your own.

It is a plugin of pytest: pyproject.toml names it, so the checks of the course have it, too.
"""

import math
import os
import shlex
import shutil
import socket
import sys

import pytest

from course.language import _
from course.loop import where_to_read
from tests.harness import APPLICATIONS, ROOT, RUNS, STEPS, Server, get

SERVERS = pytest.StashKey()  # what note_server notes
LINUX = pytest.mark.skipif(
    not hasattr(socket, "TCP_INFO"), reason="only Linux tells what a client has confirmed"
)


def pytest_addoption(parser):
    parser.addoption(
        "--server",
        metavar="COMMAND",
        help="the server to test: a Python file, such as mine/server.py, or a command, which "
        "runs in the current folder, and finds the applications of the tests by PYTHONPATH. "
        "It must take --port, and print the line 'Listening on ...' (default: the step's own)",
    )
    parser.addoption(
        "--milestone",
        metavar="N",
        type=int,
        help="only the tests of the milestones up to N of each step (default: all)",
    )
    parser.addoption(
        "--course",
        action="store_true",
        help="with --server: run the tests of what this course asks of its own servers alone, too",
    )
    parser.addoption(
        "--reached",
        metavar="STEP",
        default=STEPS[0],
        help="how far the server is: it need not have the flaws of those before step04_fork, say",
    )


def pytest_configure(config):
    """Say in one line that --server cannot be run, and choose the folder in which it runs."""
    given = config.getoption("--server")
    if given is not None and not find_server(given)[0].endswith(".py"):
        Server.folder = os.getcwd()
        folders = [str(APPLICATIONS), os.environ.get("PYTHONPATH")]
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, folders))


def find_server(given):
    """Return the words of --server. The name of a file that is here is one word, and absolute.

    No link is followed: the python of a virtual environment is a link, and finds the
    environment beside itself. Raises pytest.UsageError if it cannot be run.
    """
    words = [given] if os.path.isfile(given) else split_command(given)
    first = words[0] if words else ""
    if not (os.path.isfile(first) if first.endswith(".py") else shutil.which(first)):
        text = _("--server: no Python file that is here, and no program: {given}")
        raise pytest.UsageError(text.format(given=given))
    return [os.path.abspath(word) if os.path.isfile(word) else word for word in words]


def split_command(text, posix=os.name == "posix"):
    """Return the words of a command; none if a quotation mark is missing."""
    try:
        words = shlex.split(text, posix=posix)
    except ValueError:
        return []
    return words if posix else [word.strip('"') for word in words]  # shlex leaves the marks there


class NeedsFork(pytest.File):
    """A file of tests that cannot even be imported here."""

    def collect(self):
        pytest.skip("Steps 4 to 6 need os.fork, which Windows lacks, so use WSL.")


def pytest_pycollect_makemodule(module_path, parent):
    """Skip the tests of steps 4 to 6 where there is no os.fork."""
    if not hasattr(os, "fork") and module_path.stem.removeprefix("test_") in STEPS[3:]:
        return NeedsFork.from_parent(parent, path=module_path)
    return None


def pytest_collection_modifyitems(config, items):
    """Put what the markers say into the report of each test, and choose what is run."""
    for item in items:
        if markers := [*item.iter_markers("milestone")]:  # of the test, then of its parameters
            highest = max(reversed(markers), key=lambda marker: marker.args[0])
            item.user_properties += zip(("milestone", "fails before"), highest.args, strict=False)
        if marker := item.get_closest_marker("flaw"):
            last = marker.kwargs.get("last", item.module.STEP)
            item.user_properties.append(("true until", last))
        if marker := item.get_closest_marker("new"):
            item.user_properties.append(("new", marker.args[0]))
        if marker := item.get_closest_marker("lesson"):
            section = marker.args[0]
            if "#" not in section:
                section = f"{item.module.STEP}/README.md#{section}"
            item.user_properties.append(("lesson", section))
    last = config.getoption("--milestone") or math.inf
    for_others = config.getoption("--server") and not config.getoption("--course")
    reached = config.getoption("--reached")
    left_out = [
        item
        for item in items
        if dict(item.user_properties).get("milestone", 1) > last
        or dict(item.user_properties).get("true until", reached) < reached
        or (for_others and item.get_closest_marker("course"))
    ]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """Let a failure say what became of the server, and where to read about it."""
    report = yield
    if report.failed and report.when == "call":
        seconds = 0 if item.session.testsfailed else 0.5  # the first failure is the one to read
        for server in item.stash.get(SERVERS, []):
            first, *traceback = server.state(seconds=seconds).splitlines()
            if traceback and traceback[-1].strip() in report.longreprtext:  # it is there already
                first, traceback = first.replace(" Its last traceback:", ""), []
            if RUNS in report.longreprtext:  # when the message was written
                first = first.replace("The server has ended", "Since then it has ended")
            if first not in report.longreprtext and (traceback or first != RUNS):
                report.sections.append(("the server", "\n".join([first, *traceback])))
    if report.failed and (section := dict(item.user_properties).get("lesson")):
        report.sections.append(("the lesson", "\n".join(where_to_read(item.originalname, section))))
    return report


def note_server(request, server):
    """Note a server that a test uses."""
    request.node.stash.setdefault(SERVERS, []).append(server)


@pytest.fixture(scope="module")
def command(request):
    """The command, a list, that starts the server under test: --server, or the step's own."""
    given = request.config.getoption("--server")
    if given is None:
        return [sys.executable, str(ROOT / request.module.STEP / "server.py")]
    words = find_server(given)
    return [sys.executable, *words] if words[0].endswith(".py") else words


@pytest.fixture(scope="module")
def shared_servers():
    """The servers that the tests of a file share: a dict from the arguments to the Server.

    In the place of one that could not be started is its error: it would fail again.
    """
    servers = {}
    yield servers
    for server in servers.values():
        if isinstance(server, Server):
            server.kill()


@pytest.fixture
def shared(command, shared_servers, request):
    """A function that returns a running server: shared("apps:site") is one for all tests.

    After a test that failed the next one has a new server, for this one may hang. So it is after
    a test during which it ended: that test fails, and no other one.
    """
    failed = request.session.testsfailed
    used = {}
    complaints = []

    def run(*arguments):
        if arguments not in used:
            server = shared_servers.get(arguments)
            if isinstance(server, Server) and not server.is_running():
                complaints.append(f"The server ended after the test before. {server.state()}")
                server.kill()
                server = None
            if isinstance(server, Server):
                server.old = len(server.output("stderr"))
            if server is None:
                try:
                    server = Server([*command, *arguments, "--port", "0"])
                except AssertionError as error:
                    server = error
            shared_servers[arguments] = server
            if isinstance(server, AssertionError):
                raise AssertionError(str(server))
            used[arguments] = server
            note_server(request, server)
        return used[arguments]

    yield run
    has_failed = request.session.testsfailed > failed
    for arguments, server in used.items():
        has_ended = not server.is_running()
        if has_ended and not has_failed:
            complaints.append(f"The server ended during this test. {server.state()}")
        if has_ended or has_failed:
            server.kill()
            del shared_servers[arguments]
    assert not complaints, "\n".join(complaints)


@pytest.fixture
def server(shared, request):
    """A running server that the tests of a file share. It runs the file's APPLICATION, if any."""
    application = getattr(request.module, "APPLICATION", None)
    return shared(*filter(None, [application]))


@pytest.fixture
def start(command, request):
    """A function that starts another server, for one test: start("apps:hello")."""
    servers = []

    def start_server(*arguments, port=0, **options):
        server = Server([*command, *arguments, "--port", str(port)], **options)
        servers.append(server)
        note_server(request, server)
        return server

    yield start_server
    for server in servers:
        server.kill()


@pytest.fixture
def hooks(server):
    """Skip the test if the server does not run fork_apps, but has its pages built in."""
    if get(server, "/python").status != 200:
        pytest.skip("this test hooks into an application in Python")


@pytest.fixture
def fork_fails(hooks, tmp_path):
    """A file, and the environment of a server in which fork fails as long as that file is there."""
    switch = tmp_path / "fork_fails"
    switch.touch()
    return switch, {"FORK_FAILS_WHILE": str(switch)}


@pytest.fixture
def gate(tmp_path):
    """A gate at which requests for gate.target wait until gate.open(): see class Gate."""
    from tests.applications.fork_apps import Gate  # needs a POSIX system

    with Gate(tmp_path / "gate") as gate:
        yield gate
