"""Under python -X dev -W error each step is silent: what it opens, it closes."""

import os
import signal
import subprocess
import sys

import pytest

from course.facts import file_of_tests
from tests.harness import ROOT, STEPS, Server, ask, connect, get, is_served, wait_until
from tests.test_step01_echo_socket import assert_one_line_and_status_2, echo_of

STRICT = [sys.executable, "-X", "dev", "-W", "error"]
MIB = 1024 * 1024
CHUNKED = b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
LONG_CHUNK = b"200000\r\n" + bytes(2 * MIB) + b"\r\n"  # goes to a temporary file
# The abort in this program is meant to be seen, and dev mode adds where it was.
ABORTS = "test_terminations_shows_five_ways_to_end"

steps = pytest.mark.parametrize(
    "step", [step for step in STEPS if hasattr(os, "fork") or step < "step04"]
)


@pytest.fixture
def command(step):
    return [*STRICT, str(ROOT / step / "server.py")]


@steps
def test_a_server_that_cannot_listen_leaves_no_socket_open(command, step):
    with Server([*command, "--port", "0"]) as server:
        for arguments in (["--port", str(server.port)], ["--port", "0", "--host", "192.0.2.1"]):
            with Server([*command, *arguments], first_line=False) as second:
                assert_one_line_and_status_2(second)


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such signals")
@steps
def test_a_server_that_has_served_leaves_nothing_open(command, step):
    with Server([*command, "--port", "0"]) as server:
        if step == STEPS[0]:
            assert echo_of(server, b"hello") == b"hello"
        else:
            assert get(server).status == 200
            assert ask(server, CHUNKED + LONG_CHUNK + b"0\r\n\r\n").status in (404, 405)
            assert ask(server, CHUNKED + LONG_CHUNK + b"nonsense\r\n").status == 400
            with connect(server) as connection:
                connection.sendall(CHUNKED + LONG_CHUNK)  # and then this client leaves
        with connect(server) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\n")  # Ctrl-C comes in the middle of a request
            wait_until(lambda: is_served(server, connection), "Nobody serves the client.")
            server.send_signal(signal.SIGINT)
            connection.close()
            assert server.wait() == 0, server.report()
        assert server.output("stderr") == [], f"{step} left something open:\n{server.report()}"


@steps
def test_the_tests_of_a_step_pass_without_a_warning(step):
    command = [*STRICT, "-m", "pytest", "-q", "-p", "course.strict", file_of_tests(step)]
    done = subprocess.run(
        [*command, "-k", f"not {ABORTS}"], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0 and "Warning" not in said, said
