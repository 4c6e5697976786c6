"""Clients that read slowly, or pause: a whole body arrives whole, and a cut one looks cut.

The limit is ten seconds without progress. So all clients come at the same time, each to a server
of its own, and the whole file takes about twenty seconds.
"""

import os
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.harness import (
    PATIENCE,
    ROOT,
    STEPS,
    Server,
    connect_with_small_buffer,
    format_request,
    open_reply,
    read_body,
    wait_until,
)

SEND_SECONDS = 10  # as in http_message.py
ROOM = 5  # seconds that a busy computer may be late
SIZE = 16_000_000  # bytes of one piece
BYTES_A_SECOND = 1_000_000  # so the piece takes longer than the limit, and no pause is that long

STEADY = "a slow but steady client"
PAUSES = {
    "a client that pauses": "HTTP/1.1",
    "an HTTP/1.0 client that pauses": "HTTP/1.0",
}


def pytest_generate_tests(metafunc):
    """Test steps 3 to 6, or the server that --server names."""
    if "server_file" in metafunc.fixturenames:
        given = metafunc.config.getoption("--server")
        steps = [step for step in STEPS[2:] if hasattr(os, "fork") or step < "step04"]
        files = [Path(given).resolve()] if given else [ROOT / step / "server.py" for step in steps]
        metafunc.parametrize("server_file", files, ids=[file.parent.name for file in files])


def read_steadily(server):
    """Ask for one large piece, and read it at a pace. Return how many bytes came, and if all."""
    length = 0
    with connect_with_small_buffer(server) as client:
        client.sendall(format_request(f"/large?bytes={SIZE}"))
        begin = time.monotonic()
        with open_reply(client) as response:
            try:
                while piece := response.read1(64 * 1024):
                    length += len(piece)
                    time.sleep(max(0, begin + length / BYTES_A_SECOND - time.monotonic()))
            except OSError:
                return length, False
    return length, length == SIZE


def pause(server, version):
    """Ask for many pieces, and read on only when the server has given up. Return as above."""
    with connect_with_small_buffer(server) as client:
        name = "{}:{}".format(*client.getsockname())
        client.sendall(format_request("/large_in_pieces?pieces=500", version=version))
        with open_reply(client) as response:
            wait_until(
                lambda: any(name in line for line in server.output()),
                "Nothing ended a client that does not read.",
                SEND_SECONDS + ROOM,
            )
            body, is_whole = read_body(response)
    return len(body), is_whole


@pytest.fixture(scope="module")
def outcomes(request):
    """What each client meets at each server: a dict of (file, client) to bytes, and if all came."""
    files = {
        item.callspec.params["server_file"]
        for item in request.session.items
        if item.path == request.path
    }
    found = {}

    def meet(file, who):
        with Server([sys.executable, str(file), "apps:site", "--port", "0"]) as server:
            outcome = read_steadily(server) if who == STEADY else pause(server, PAUSES[who])
            found[file, who] = outcome

    threads = [
        threading.Thread(target=meet, args=(file, who), daemon=True)
        for file in files
        for who in (STEADY, *PAUSES)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SIZE / BYTES_A_SECOND + PATIENCE + ROOM)
    return found


@pytest.mark.lesson("step03_wsgi/README.md#the-end-of-the-body")
def test_a_slow_but_steady_client_gets_a_large_piece_whole(outcomes, server_file):
    assert (server_file, STEADY) in outcomes, f"No answer for {STEADY}: see the errors above."
    length, is_whole = outcomes[server_file, STEADY]
    assert is_whole, (
        f"{STEADY} read {length} of {SIZE} bytes, then the connection ended. It never paused. The "
        f"limit of {SEND_SECONDS} seconds is for progress, not for all bytes of one send."
    )


@pytest.mark.lesson("step03_wsgi/README.md#the-end-of-the-body")
@pytest.mark.parametrize("who", PAUSES)
def test_a_client_that_is_given_up_notices_that_its_body_is_cut(outcomes, server_file, who):
    assert (server_file, who) in outcomes, f"No answer for {who}: see the errors above."
    length, is_whole = outcomes[server_file, who]
    assert not is_whole, (
        f"{who} was given up after {SEND_SECONDS} seconds, and found {length} bytes, and then an "
        "end that looks right. The last chunk must be missing, or the connection reset."
    )
