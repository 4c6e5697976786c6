"""What a request needs is loaded before the first one comes, and what few need is not.

In step 4 each request has a new process: what it imports is lost when it ends, and the next one
imports it again. And each module in memory makes fork slower. The steps share the files, so what
holds in step 3 holds in all of them.
"""

import email.utils
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import APPLICATIONS, ROOT

STEP = "step03_wsgi"

# Load an application as a server does, answer one request, and say which modules came when.
PROBE = """
import json, socket, sys
folder, name, request = sys.argv[1:]
sys.path.insert(0, folder)
import server
application = server.load_application(name or None)
before = set(sys.modules)
with socket.create_server(("127.0.0.1", 0)) as listener:
    with socket.create_connection(listener.getsockname()) as client:
        client.sendall(request.encode())
        connection, address = listener.accept()
        with connection:
            server.handle(connection, address, application)
        assert b" 200 OK" in client.recv(65536)
print(json.dumps([sorted(before), sorted(set(sys.modules) - before)]))
"""

# Print those times as HTTP writes them.
DATES = """
import json, sys
sys.path.insert(0, sys.argv[1])
from http_message import http_date
print(json.dumps([http_date(seconds) for seconds in json.loads(sys.argv[2])]))
"""

GET = "GET {} HTTP/1.1\r\nHost: test\r\n\r\n"
POST = "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello"


@pytest.fixture
def folder(request):
    """The folder of step 3, or of the server that --server names."""
    given = request.config.getoption("--server")
    return Path(given).resolve().parent if given else ROOT / STEP


def run(*arguments):
    """Run Python on arguments, and return the last line that it prints, taken out of JSON."""
    command = [sys.executable, "-c", *arguments]
    done = subprocess.run(command, cwd=APPLICATIONS, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.lesson("step04_fork/README.md#memory-is-copied-on-write")
@pytest.mark.parametrize(
    "application, request_text",
    [
        ("", GET.format("/")),
        ("", POST),
        ("flask_app:app", GET.format("/")),
        ("flask_site:application", GET.format("/hello/you")),
    ],
    ids=["app.py-GET", "app.py-POST", "flask_app.py", "Flask"],
)
def test_a_request_imports_nothing(folder, application, request_text):
    _, late = run(PROBE, str(folder), application, request_text)
    assert not late, (
        f"The first request imported {late}. A child of step 4 would do that for each request: "
        "load it when the application is loaded."
    )


@pytest.mark.lesson("step04_fork/README.md#memory-is-copied-on-write")
def test_what_few_requests_need_waits_until_they_come(folder):
    loaded, _ = run(PROBE, str(folder), "", GET.format("/"))
    assert {"tempfile", "random", "email.utils"}.isdisjoint(loaded), (
        "The server has loaded modules that most requests do not need. Each fork copies them."
    )


@pytest.mark.lesson("step02_http_server/README.md#http-on-the-wire")
def test_the_date_is_right_in_each_month_and_on_each_day_of_the_week(folder):
    times = [day * 86400 + 3661 * day % 86400 for day in range(0, 366 * 60, 11)]
    dates = run(DATES, str(folder), json.dumps(times))
    right = [email.utils.formatdate(seconds, usegmt=True) for seconds in times]
    wrong = [pair for pair in zip(dates, right, strict=True) if pair[0] != pair[1]]
    assert not wrong, (
        f"{len(wrong)} dates are wrong. The first is {wrong[0][0]}, not {wrong[0][1]}."
    )
