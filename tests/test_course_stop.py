"""A child that never finishes does not hold the stop of the server for ever.

The limit is ten seconds. The first test shortens it to one, to show a mistake sooner.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from fork_apps import Gate
from harness import Server, connect

STEP = "step05_zombies"
LIMIT = 10  # seconds: STOP_SECONDS in server.py
ROOM = 3  # seconds that a busy computer may be late

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this step needs os.fork")


@pytest.fixture
def gate(tmp_path):
    """A gate at which requests for gate.target wait until gate.open()."""
    with Gate(tmp_path / "gate") as gate:
        yield gate


def seconds_to_stop(command, gate, number, stop_child=False, limit=LIMIT):
    """Start a server, let a request wait in it, send a stop signal. Return how long it runs on."""
    with Server([*command, "fork_apps:application", "--port", "0"]) as server:
        with connect(server, 2 * limit) as connection, connection.makefile("rb") as stream:
            connection.sendall(f"GET {gate.target} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
            while stream.readline().strip():  # the status line and the headers
                pass
            pid = int(stream.readline())
            if stop_child:
                os.kill(pid, signal.SIGSTOP)
            begin = time.monotonic()
            server.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.process.wait(limit + ROOM)
            seconds = time.monotonic() - begin
            assert not server.is_running(), (
                f"One child does not finish, and {seconds:.0f} seconds after the stop signal the "
                f"server still waits for it. Its time is over."
            )
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)  # it would wait at the gate for ever
            status = server.wait()
        assert (status, server.output("stderr")) == (0, []), (
            "The time for the children was over, and the server should end with status 0 and no "
            f"traceback. The status is {status}. It printed:\n{server.report()}"
        )
        return seconds


@pytest.mark.lesson("the-orderly-stop")
def test_a_child_that_never_finishes_does_not_hold_a_short_limit(command, gate, tmp_path):
    file = Path(command[-1])
    limit_line = f"STOP_SECONDS = {LIMIT}  "
    if file.suffix != ".py" or limit_line not in file.read_text("utf-8"):
        pytest.skip("this server has no line STOP_SECONDS = 10")
    copy = shutil.copytree(file.parent, tmp_path / "copy") / file.name
    copy.write_text(file.read_text("utf-8").replace(limit_line, "STOP_SECONDS = 1  "), "utf-8")
    seconds = seconds_to_stop([sys.executable, str(copy)], gate, signal.SIGTERM, limit=1)
    assert seconds >= 1, (
        f"The server ended after {seconds:.1f} seconds, and did not give its child the time that "
        "STOP_SECONDS allows."
    )


@pytest.mark.lesson("the-orderly-stop")
def test_the_limit_is_ten_seconds_for_children_that_never_finish(command, gate):
    results = {}

    def run(name, number, stop_child):
        try:
            results[name] = seconds_to_stop(command, gate, number, stop_child)
        except AssertionError as problem:
            results[name] = problem

    cases = [
        ("SIGTERM, a child at work", signal.SIGTERM, False),
        ("SIGINT, a child at work", signal.SIGINT, False),
        ("SIGTERM, a stopped child", signal.SIGTERM, True),
    ]
    threads = [threading.Thread(target=run, args=case) for case in cases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name, seconds in results.items():
        assert isinstance(seconds, float), f"{name}: {seconds}"
        assert LIMIT <= seconds <= LIMIT + ROOM, (
            f"{name}: the server ended after {seconds:.1f} seconds. Children have {LIMIT} seconds "
            "to finish, and no more."
        )
