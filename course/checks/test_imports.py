"""What a request needs is loaded before the first one comes, and what few need is not.

In step 4 each request has a new process: what it imports is lost when it ends, and the next one
imports it again. And each module in memory makes fork slower. The steps share the files, so what
holds in step 3 holds in all of them. This is about the course's own server.
"""

import email.utils
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import get, post

STEP = "step03_wsgi"

# Print those times as HTTP writes them.
DATES = """
import json, sys
sys.path.insert(0, sys.argv[1])
from http_message import http_date
print(json.dumps([http_date(seconds) for seconds in json.loads(sys.argv[2])]))
"""


@pytest.fixture
def run(start):
    """A function that runs an application, with a page /modules around it: see wrapped.py."""
    return lambda name: start("wrapped:application", environment={"WRAPPED": name})


@pytest.mark.lesson("step04_fork/README.md#memory-is-copied-on-write")
@pytest.mark.parametrize(
    ("application", "target", "body"),
    [
        ("app:application", "/", None),
        ("app:application", "/echo", b"hello"),
        ("flask_app:app", "/", None),
        ("flask_site:application", "/hello/you", None),
    ],
    ids=["app.py-GET", "app.py-POST", "flask_app.py", "Flask"],
)
def test_a_request_imports_nothing(run, application, target, body):
    server = run(application)
    reply = get(server, target) if body is None else post(server, target, body)
    assert reply.status == 200, f"{target} gave {reply.status}. {server.state()}"
    _, late = json.loads(get(server, "/modules").body)
    assert not late, (
        f"The first request imported {late}. A child of step 4 would do that for each request: "
        "load it when the application is loaded."
    )


@pytest.mark.lesson("step04_fork/README.md#memory-is-copied-on-write")
def test_what_few_requests_need_waits_until_they_come(run):
    loaded, _ = json.loads(get(run("app:application"), "/modules").body)
    assert {"tempfile", "random", "email.utils"}.isdisjoint(loaded), (
        "The server has loaded modules that most requests do not need. Each fork copies them."
    )


@pytest.mark.lesson("step02_http_server/README.md#http-on-the-wire")
def test_the_date_is_right_in_each_month_and_on_each_day_of_the_week(command):
    times = [day * 86400 + 3661 * day % 86400 for day in range(0, 366 * 60, 11)]
    words = [sys.executable, "-c", DATES, str(Path(command[-1]).parent), json.dumps(times)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    right = [email.utils.formatdate(seconds, usegmt=True) for seconds in times]
    pairs = zip(json.loads(done.stdout), right, strict=True)
    wrong = [pair for pair in pairs if pair[0] != pair[1]]
    assert not wrong, (
        f"{len(wrong)} dates are wrong. The first is {wrong[0][0]}, not {wrong[0][1]}."
    )
