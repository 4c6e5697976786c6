"""The tests leave nothing behind, also when they are killed, and need nothing but this machine."""

import os
import signal
import subprocess
import sys

import psutil
import pytest

from course.facts import file_of_tests
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


def test_no_client_asks_a_proxy_for_a_server_of_this_machine():
    proxy = "http://127.0.0.1:9"  # nobody listens there
    environment = {key: value for key, value in os.environ.items() if key.lower() != "no_proxy"}
    environment |= {name: proxy for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")}
    file = file_of_tests("step02_http_server")
    command = [sys.executable, "-m", "pytest", "-q", file, "-k", "requests_gets or curl"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout + done.stderr
