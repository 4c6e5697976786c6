"""No client holds a server for ever: the deadlines of steps 2 to 6, with slow clients.

The default is ten seconds. So all slow clients come at the same time, each to a server of its
own, and the whole file takes about twelve seconds. The first tests shorten the deadline to one
second, to show a mistake sooner.
"""

import contextlib
import os
import socket
import threading
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from course.copies import patched
from tests.harness import PATIENCE, ROOT, STEPS, Server, connect, get, wait_until

DEADLINE = 10  # seconds: REQUEST_SECONDS and SEND_SECONDS in http_message.py
ROOM = 3  # seconds that a busy computer may be late
MIB = 1024 * 1024

HEAD = b"GET / HTTP/1.1\r\nHost: test\r\n"
POST = b"POST / HTTP/1.1\r\nHost: test\r\n"
SLOW_CLIENTS = {  # bytes that come at once, and then one byte again and again
    "a silent client": (b"", b""),
    "a client that stops in its headers": (HEAD, b""),
    "a byte-a-second client": (HEAD + b"X-Slow: ", b"x"),
    "a slow body": (POST + b"Content-Length: 100\r\n\r\n", b"x"),
    "a body in slow chunks": (POST + b"Transfer-Encoding: chunked\r\n\r\nFF\r\n", b"x"),
}


def has_fork(step):
    return hasattr(os, "fork") or step < "step04"


def pytest_generate_tests(metafunc):
    """Test steps 2 to 6, or the server that --server names."""
    if "server_file" in metafunc.fixturenames:
        given = metafunc.config.getoption("--server")
        steps = [step for step in STEPS[1:] if has_fork(step)]
        files = [Path(given).resolve()] if given else [ROOT / step / "server.py" for step in steps]
        metafunc.parametrize("server_file", files, ids=[file.parent.name for file in files])


class Outcome(NamedTuple):
    """What a slow client met."""

    answer: bytes
    seconds: float
    next_status: int | str  # what the next client got


def be_slow(server, first, then, patience, pause=1.0):
    """Send the first bytes, then one at each pause, until an answer comes. Return the Outcome."""
    answer = b""
    begin = time.monotonic()
    with connect(server, pause) as connection:
        connection.sendall(first)
        with contextlib.suppress(ConnectionError):
            while time.monotonic() < begin + patience:
                try:
                    piece = connection.recv(4096)
                    answer += piece
                    if not piece:
                        break
                except TimeoutError:
                    connection.sendall(then)
        seconds = time.monotonic() - begin
        if time.monotonic() >= begin + patience:
            return Outcome(answer, seconds, "nothing, for the slow client was still there")
    return Outcome(answer, seconds, next_status(server))


def next_status(server):
    """Return the status that the next client gets, or what went wrong."""
    try:
        return get(server, timeout=2 * ROOM).status
    except (OSError, AssertionError) as error:
        return f"{type(error).__name__}: {error}"


def assert_refused_in_time(who, outcome, deadline):
    assert outcome.answer.startswith(b"HTTP/1.1 408 "), (
        f"After {outcome.seconds:.1f} s {who} had got {outcome.answer[:80]!r}, not 408 Request "
        f"Timeout. A request must be complete after {deadline} s, however many bytes still come: "
        "the deadline is for all of it, not for each recv."
    )
    assert deadline - 0.5 < outcome.seconds < deadline + ROOM, (
        f"{who} was refused after {outcome.seconds:.1f} s. The deadline is {deadline} s."
    )
    assert outcome.next_status == 200, (
        f"After {who} the next client got {outcome.next_status}, not 200."
    )


# The same servers with a deadline of one second.

ONE_SECOND = """
import http_message
http_message.REQUEST_SECONDS = http_message.SEND_SECONDS = 1
"""


READER = "a client that does not read"


def meet_all(files, clients, patch, deadline):
    """Let each client meet each server, all at the same time: a dict, (file, client) to Outcome."""
    found = {}

    def meet(file, who):
        with Server(patched(patch, file, "--port", "0")) as server:
            if who == READER:
                found[file, who] = do_not_read(server)
            else:
                pause = deadline / 10
                found[file, who] = be_slow(server, *SLOW_CLIENTS[who], deadline + ROOM, pause)

    threads = [
        threading.Thread(target=meet, args=(file, who), daemon=True)
        for file in files
        for who in clients
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * DEADLINE + PATIENCE)
    return found


def files_to_test(request):
    """Return the servers that the chosen tests of this file are about."""
    return {
        item.callspec.params["server_file"]
        for item in request.session.items
        if item.path == request.path and "server_file" in item.callspec.params
    }


@pytest.fixture(scope="module")
def hasty_outcomes(request):
    """What slow clients meet at servers with a deadline of one second."""
    return meet_all(files_to_test(request), SLOW_CLIENTS, ONE_SECOND, 1)


@pytest.fixture(scope="module")
def outcomes(request):
    """What slow clients meet at the servers as they are."""
    clients = [*SLOW_CLIENTS, READER]
    return meet_all(files_to_test(request), clients, "", DEADLINE)


@pytest.mark.lesson("step02_http_server/README.md#one-deadline-for-the-whole-request")
@pytest.mark.parametrize("who", SLOW_CLIENTS)
def test_a_short_deadline_is_kept(hasty_outcomes, server_file, who):
    assert (server_file, who) in hasty_outcomes, f"No server for {who}: see the errors above."
    assert_refused_in_time(who, hasty_outcomes[server_file, who], 1)


@pytest.mark.lesson("step02_http_server/README.md#one-deadline-for-the-whole-request")
@pytest.mark.parametrize("who", SLOW_CLIENTS)
def test_the_deadline_for_a_request_is_kept(outcomes, server_file, who):
    assert (server_file, who) in outcomes, f"No server for {who}: see the errors above."
    assert_refused_in_time(who, outcomes[server_file, who], DEADLINE)


def do_not_read(server):
    """Send a long body to /echo, do not read the answer, and wait until the server gives up."""
    size = 24 * MIB
    with socket.socket() as connection:
        connection.settimeout(PATIENCE)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        connection.connect(server.address)
        client = "{}:{}".format(*connection.getsockname())
        connection.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size)
        connection.sendall(bytes(size))
        begin = time.monotonic()
        wait_until(
            lambda: any(client in line for line in server.output()),
            f"Nothing ended {READER}. A send needs a deadline, too.",
            DEADLINE + ROOM,
        )
        seconds = time.monotonic() - begin
    return Outcome(b"", seconds, next_status(server))


@pytest.mark.lesson("step02_http_server/README.md#one-deadline-for-the-whole-request")
def test_a_client_that_does_not_read_is_given_up(outcomes, server_file):
    outcome = outcomes.get((server_file, READER))
    assert outcome, f"Nothing ended {READER}. A send needs a deadline, too."
    assert outcome.next_status == 200, (
        f"After {READER} the next client got {outcome.next_status}, not 200."
    )
