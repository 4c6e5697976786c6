"""The tests leave nothing behind, also when they are killed."""

import os
import signal
import subprocess
import sys

import psutil
import pytest

from tests.harness import ROOT, wait_until

START_A_SERVER = """
import sys, time
from tests.harness import Server
server = Server([sys.executable, sys.argv[1], "--port", "0"])
print(server.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs process groups")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_test_run_leaves_no_server(number):
    command = [sys.executable, "-c", START_A_SERVER, str(ROOT / "step04_fork" / "server.py")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as run:
        pid = int(run.stdout.readline())
        assert psutil.pid_exists(pid)
        run.send_signal(number)
    wait_until(
        lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie",
        f"The server {pid} outlived the test run that started it.",
    )
