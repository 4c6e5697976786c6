"""An HTTP/1.0 client that does not read is given up, and can tell that its body is cut.

It gets no chunks, so the end of the stream is the end of the body, and only a reset can say that
something is missing. The tests of step 3 have the other slow readers. The limit is ten seconds
without progress: all steps are tested at the same time.
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.harness import (
    ROOT,
    STEPS,
    Server,
    connect_with_small_buffer,
    format_request,
    get,
    open_reply,
    read_body,
    wait_until,
)

SEND_SECONDS = 10  # as in http_message.py
ROOM = 5  # seconds that a busy computer may be late

steps = [step for step in STEPS[2:] if hasattr(os, "fork") or step < "step04"]


def stop_reading(step):
    """Ask for many pieces, and read on only when the server has given up.

    Return whether the body looks whole, and what status the next client gets.
    """
    command = [sys.executable, str(ROOT / step / "server.py"), "apps:site", "--port", "0"]
    with Server(command) as server, connect_with_small_buffer(server) as client:
        name = "{}:{}".format(*client.getsockname())
        client.sendall(format_request("/large_in_pieces?pieces=500", version="HTTP/1.0"))
        with open_reply(client) as response:
            wait_until(
                lambda: any(name in line for line in server.output()),
                "Nothing ended a client that does not read.",
                SEND_SECONDS + ROOM,
            )
            _, is_whole = read_body(response)
        return is_whole, get(server, "/hello").status


@pytest.fixture(scope="module")
def outcomes():
    """What came of it at each step: a dict of concurrent.futures.Future."""
    with ThreadPoolExecutor(len(steps)) as pool:
        return {step: pool.submit(stop_reading, step) for step in steps}


@pytest.mark.parametrize("step", steps)
def test_an_http_1_0_client_that_is_given_up_notices_that_its_body_is_cut(outcomes, step):
    is_whole, next_status = outcomes[step].result()
    assert not is_whole, (
        f"After {SEND_SECONDS} seconds the client was given up, and found an end that looks right. "
        "The connection must be reset."
    )
    assert next_status == 200, f"The next client got {next_status}, not 200."
