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

from tests.harness import ROOT, STEPS, Server, is_at_work, wait_until
from tests.test_step05_zombies import RequestAtGate

STEP = "step06_prefork"
LIMIT = 10  # seconds: STOP_SECONDS in server.py
ROOM = 3  # seconds that a busy computer may be late

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="steps 5 and 6 need os.fork")


def pytest_generate_tests(metafunc):
    """Test steps 5 and 6, or the server that --server names."""
    if "file" in metafunc.fixturenames:
        given = metafunc.config.getoption("--server")
        files = [Path(given).resolve()] if given else [ROOT / s / "server.py" for s in STEPS[4:]]
        metafunc.parametrize("file", files, ids=[file.parent.name for file in files])


def shorten(file, folder):
    """Copy a server's folder, and return the copy of the server, with a limit of one second."""
    limit_line = f"STOP_SECONDS = {LIMIT}  "
    if file.suffix != ".py" or limit_line not in file.read_text("utf-8"):
        pytest.skip("this server has no line STOP_SECONDS = 10")
    copy = shutil.copytree(file.parent, folder / "copy") / file.name
    copy.write_text(file.read_text("utf-8").replace(limit_line, "STOP_SECONDS = 1  "), "utf-8")
    return copy


def seconds_to_stop(file, gate, number, stop_child=False, limit=LIMIT):
    """Start a server, let a request wait in it, send a stop signal. Return how long it runs on."""
    command = [sys.executable, str(file), "fork_apps:application", "--port", "0"]
    with Server(command) as server:
        with RequestAtGate(gate, server) as request:
            if stop_child:
                os.kill(request.pid, signal.SIGSTOP)
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
                os.kill(request.pid, signal.SIGKILL)  # it would wait at the gate for ever
            status = server.wait()
        assert (status, server.output("stderr")) == (0, []), (
            "The time for the children was over, and the server should end with status 0 and no "
            f"traceback. The status is {status}. It printed:\n{server.report()}"
        )
        return seconds


@pytest.mark.lesson("step05_zombies/README.md#the-orderly-stop")
def test_a_child_that_never_finishes_does_not_hold_a_short_limit(file, gate, tmp_path):
    seconds = seconds_to_stop(shorten(file, tmp_path), gate, signal.SIGTERM, limit=1)
    assert seconds >= 1, (
        f"The server ended after {seconds:.1f} seconds, and did not give its child the time that "
        "STOP_SECONDS allows."
    )


@pytest.mark.lesson("the-orderly-stop")
def test_a_worker_that_never_finishes_is_ended_at_the_limit(command, gate, tmp_path):
    copy = shorten(Path(command[-1]), tmp_path)
    command = [sys.executable, str(copy), "fork_apps:application", "--port", "0"]
    with Server(command) as server, RequestAtGate(gate, server) as request:
        os.kill(request.pid, signal.SIGSTOP)
        server.send_signal(signal.SIGTERM)
        server.wait()
        wait_until(
            lambda: not is_at_work(request.pid),
            f"The server has ended, and its worker {request.pid} is still there. The parent knows "
            "its PID. A stopped process ignores every signal but SIGKILL.",
            seconds=ROOM,
        )


@pytest.mark.lesson("step05_zombies/README.md#the-orderly-stop")
def test_the_limit_is_ten_seconds_for_children_that_never_finish(file, gate):
    results = {}

    def run(name, number, stop_child):
        try:
            results[name] = seconds_to_stop(file, gate, number, stop_child)
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
