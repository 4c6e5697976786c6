"""The tests leave nothing behind, also when they are killed, and need nothing but this machine."""

import os
import signal
import subprocess
import sys

import psutil
import pytest

from course.facts import file_of_tests
from tests.harness import ROOT, parse_reply, wait_until

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


def test_without_fork_steps_4_to_6_are_skipped_and_say_why(tmp_path):
    (tmp_path / "like_windows.py").write_text("import os\nif hasattr(os, 'fork'): del os.fork\n")
    paths = [str(tmp_path), os.environ.get("PYTHONPATH")]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-rs",
            "-p",
            "like_windows",
            "tests",
            "-k",
            "step04",
        ],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED, done.stdout + done.stderr
    assert done.stdout.count("need os.fork, which Windows lacks: use WSL") == 1, done.stdout
    assert "3 skipped" in done.stdout, done.stdout


CHUNKED, LENGTH = b"Transfer-Encoding: chunked", b"Content-Length: 6"


@pytest.mark.parametrize(
    ("header", "data", "method", "was_reset", "body", "is_whole"),
    [
        (CHUNKED, b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n", "GET", False, b"onetwo", True),
        (CHUNKED, b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n", "GET", True, b"onetwo", True),
        (CHUNKED, b"3\r\none\r\n3\r\ntwo\r\n", "GET", False, b"onetwo", False),
        (CHUNKED, b"3\r\none\r\n3\r\nt", "GET", False, b"onet", False),
        (CHUNKED, b"", "GET", False, b"", False),
        (CHUNKED, b"0\r\n\r\nHTTP/1.1", "GET", False, b"HTTP/1.1", False),
        (CHUNKED, b"", "HEAD", False, b"", True),
        (CHUNKED, b"0\r\n\r\n", "HEAD", False, b"0\r\n\r\n", False),
        (LENGTH, b"onetwo", "GET", False, b"onetwo", True),
        (LENGTH, b"onetwo", "GET", True, b"onetwo", True),
        (LENGTH, b"one", "GET", False, b"one", False),
        (LENGTH, b"onetwothree", "GET", False, b"onetwothree", False),
        (LENGTH, b"", "HEAD", False, b"", True),
        (b"X-End: of the stream", b"onetwo", "GET", False, b"onetwo", True),
        (b"X-End: of the stream", b"onetwo", "GET", True, b"onetwo", False),
    ],
)
def test_a_reply_says_whether_its_body_is_whole(header, data, method, was_reset, body, is_whole):
    reply = parse_reply(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n%b" % (header, data), method, was_reset)
    assert (reply.status, reply.body, reply.is_whole) == (200, body, is_whole)
