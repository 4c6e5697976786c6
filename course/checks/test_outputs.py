"""Outputs that nobody reads, or that are closed: the server serves on, and no line gets lost in it.

A closed descriptor is free. The next file or socket that is opened gets its number: it would get
all that is written to standard output, too.
"""

import os
import re
import shlex
import sys

import psutil
import pytest

from tests.harness import ROOT, STEPS, Server, exchange, wait_until
from tests.test_step01_echo_socket import echo_of

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a POSIX shell, and os.fork")

# The file stays open, and has the lowest number that was free.
APPLICATION = """
import os
file = open("opened", "w")

def application(environ, start_response):
    print("This is a line of the application, which waits in a buffer.")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"Process %d" % os.getpid()]
"""
LOG_LINE = re.compile(rb"\[\d+\] ")


def start_with(step, output, folder):
    """Start a step's server with what a shell makes of its output, such as >&-, which closes it."""
    words = [sys.executable, str(ROOT / step / "server.py"), "--port", "0"]
    if step >= "step03":
        (folder / "opens_a_file.py").write_text(APPLICATION, "utf-8")
        words.append("opens_a_file:application")
    if step >= "step06":
        words += ["--workers", "1"]
    if output.startswith("|"):
        return Server(["sh", "-c", f"{shlex.join(words)} {output}"], folder)
    server = Server(["sh", "-c", f"exec {shlex.join(words)} {output}"], folder, first_line=False)
    process = psutil.Process(server.pid)

    def addresses():
        return [each.laddr for each in process.net_connections("tcp") if each.status == "LISTEN"]

    wait_until(addresses, lambda: f"The server does not listen:\n{server.report()}")
    [server.address] = addresses()
    return server


def ask_twice(server, step):
    """Return the bytes that two clients get, one after the other."""
    if step == STEPS[0]:
        return [echo_of(server, b"hello") for _ in range(2)]
    return [exchange(server, b"GET / HTTP/1.0\r\n\r\n") for _ in range(2)]


@pytest.mark.parametrize("output", ["| head -n 1", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("step", STEPS)
def test_a_server_serves_on_and_its_log_lands_nowhere_else(step, output, tmp_path):
    with start_with(step, output, tmp_path) as server:
        answers = ask_twice(server, step)
        for answer in answers:
            assert not LOG_LINE.search(answer), f"A log line is in the answer: {answer!r}"
            assert answer == b"hello" or answer.startswith(b"HTTP/1.1 200 OK\r\n"), (
                f"No echo and no page came, but {answer!r}:\n{server.report()}"
            )
        if step >= "step03":
            text = (tmp_path / "opened").read_text("utf-8")
            assert not text, f"Log lines are in the application's file:\n{text}"
        if step >= "step06":
            pids = [answer.rpartition(b" ")[2] for answer in answers]
            assert pids[0] == pids[1], "The worker ended after one request, for no reason."
        if "2>&-" not in output:
            assert server.output("stderr") == [], f"Something failed:\n{server.report()}"
