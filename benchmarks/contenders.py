"""The servers that are compared: the course's steps, other servers, and the limits."""

import contextlib
import re
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from benchmarks.machine import processors
from tests.harness import ROOT, Server, wait_until

FOLDER = ROOT / "benchmarks"

FIRST_LINE = re.compile(r"Listening (?:on|at:) (?:http://)?127\.0\.0\.1:(\d+).*\n")


class Contender(NamedTuple):
    """A server to measure: the command that starts it gets the module of the application."""

    name: str
    kind: str  # "step", "peer" or "limit"
    command: list[str]
    keeps_alive: bool = False  # it serves many requests on a connection, if the client asks

    def command_for(self, module, folder=None):
        """Return the command that serves `application` of a module in this folder.

        folder: where a changed copy of a step's folder is, if that is to serve.
        """
        command = [word.format(module=module) for word in self.command]
        return [
            word.replace(str(ROOT / self.name), str(folder or ROOT / self.name)) for word in command
        ]


def python(file, *arguments):
    """Return the command that runs a Python file of this folder."""
    return [sys.executable, str(FOLDER / file), *arguments]


def step_command(folder):
    """Return the command that starts server.py in the folder of a step."""
    command = [sys.executable, str(folder / "server.py"), "{module}:application", "--port", "0"]
    return command + (["--workers", str(processors())] if "prefork" in folder.name else [])


def web_servers():
    """Return the Contenders that serve an application, and the limits."""
    workers = str(processors())
    gunicorn = [sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:0", "--no-control-socket"]
    gunicorn += ["{module}:application"]
    peer, module = "peers.py", "{module}:application"
    return [
        *(Contender(step.name, "step", step_command(step)) for step in steps_with_wsgi()),
        Contender("wsgiref", "peer", python(peer, "wsgiref", module)),
        Contender("wsgiref, fork", "peer", python(peer, "wsgiref_fork", module)),
        Contender("wsgiref, threads", "peer", python(peer, "wsgiref_threads", module)),
        Contender("Werkzeug", "peer", python(peer, "werkzeug", module)),
        Contender("waitress", "peer", python(peer, "waitress", module), keeps_alive=True),
        Contender("cheroot", "peer", python(peer, "cheroot", module), keeps_alive=True),
        Contender("gunicorn sync, 1 worker", "peer", gunicorn),
        Contender("gunicorn sync, all processors", "peer", [*gunicorn, "--workers", workers]),
        Contender("gunicorn gthread", "peer", [*gunicorn, "--threads", "4"], keeps_alive=True),
        Contender("bare loop", "limit", python("limits.py", "loop")),
        Contender("bare fork loop", "limit", python("limits.py", "fork")),
        Contender("bare fork loop with Flask", "limit", python("limits.py", "fork-flask")),
    ]


def echo_servers():
    """Return the Contenders that echo."""
    return [
        Contender(
            "step01_echo_socket",
            "step",
            [sys.executable, str(ROOT / "step01_echo_socket" / "server.py"), "--port", "0"],
        ),
        Contender("asyncio streams", "peer", python("peers.py", "echo_asyncio")),
        Contender("socketserver", "peer", python("peers.py", "echo_socketserver")),
    ]


def steps_with_wsgi():
    """Return the folders of the steps that run an application, in order."""
    return sorted(path.parent for path in ROOT.glob("step*/wsgi.py"))


def own_backlog(step):
    """Return the backlog that a step's server asks for."""
    text = (ROOT / step / "server.py").read_text("utf-8")
    return int(re.search(r"^BACKLOG = (\d+)", text, re.MULTILINE)[1])


@contextlib.contextmanager
def running(command):
    """Start a server, and give it; end it with all its children. All its output is in a file."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        log.touch()
        into_file = ["sh", "-c", 'exec "$@" >"$0" 2>&1', str(log)]
        with Server([*into_file, *command], cwd=FOLDER, first_line=False) as server:
            line = wait_until(
                lambda: FIRST_LINE.search(log.read_text("utf-8", "replace")),
                lambda: f"{' '.join(command)} did not start. It printed:\n{log.read_text()}",
            )
            server.address = "127.0.0.1", int(line[1])
            yield server
