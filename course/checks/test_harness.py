"""The tests' own server and client: fair to any server, clear in their words, and clean.

They leave nothing behind, also when they are killed, and need nothing but this machine.
"""

import importlib
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
import types

import psutil
import pytest

from course.copies import changed
from course.facts import file_of_tests
from tests import harness
from tests.harness import (
    CONTRACT,
    PATIENCE,
    ROOT,
    RUNS,
    STEPS,
    Server,
    come_to_rest,
    connect,
    exchange,
    format_request,
    get,
    last_traceback,
    parse_reply,
    wait_until,
)
from tests.processes import check_no_traceback, check_status, is_refused

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


@pytest.mark.skipif(os.name != "posix", reason="there no program begins with Ctrl-C ignored")
def test_ctrl_c_ends_a_server_also_where_the_test_run_ignores_it():
    script = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from tests.harness import Server\n"
        "with Server([sys.executable, sys.argv[1], '--port', '0']) as server:\n"
        "    server.send_signal(signal.SIGINT)\n"
        "    server.wait()\n"
    )
    command = [sys.executable, "-c", script, ROOT / "step01_echo_socket" / "server.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


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
    assert done.stdout.count("need os.fork, which Windows lacks, so use WSL") == 1, done.stdout
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


# A server in Python that does with each connection what a test says.
SERVER = """
import socket, sys, time
listener = socket.create_server(("127.0.0.1", 0))
print("Listening on http://{{}}:{{}}".format(*listener.getsockname()), flush={flush})
while True:
    connection, _ = listener.accept()
{serve}
"""
READ = "connection.recv(65536)\n"
UNREAD = "connection.recv(1, socket.MSG_PEEK)\n"  # the request has come: its close is a reset


def running(serve="", flush=True):
    """Start a server that runs some lines for each connection."""
    serve = textwrap.indent(serve or "pass", "    ")
    return Server([sys.executable, "-c", SERVER.format(serve=serve, flush=flush)])


def answering(data, then="connection.close()"):
    """Start a server that reads a request, answers with bytes, and then does something."""
    return running(f"{READ}connection.sendall({data!r})\n{then}")


KEEP = "sys.kept = connection"  # as servers do that wait for the next request
OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (OK + b"Content-Length: 6\r\n\r\nonetwo", b"onetwo"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\nonetwo", b"onetwo"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\n", b"one"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 None\r\n\r\n", b""),
    ],
    ids=["length", "HTTP/1.0", "chunks", "100 and 204"],
)
def test_the_client_reads_as_far_as_the_answer_goes(data, body):
    with answering(data, KEEP) as server:
        begin = time.monotonic()
        reply = get(server)
        assert (reply.body, reply.is_whole) == (body, True)
        assert time.monotonic() - begin < PATIENCE, "It waited for the end of the stream."


def test_the_client_reads_on_to_the_end_where_a_test_is_about_it():
    data = OK + b"Content-Length: 3\r\n\r\none"
    more = "time.sleep(0.1)\nconnection.sendall(b'more')\nconnection.close()"
    with answering(data, more) as server:
        assert get(server).body == b"one"
        reply = get(server, to_end=True)
        assert (reply.body, reply.is_whole) == (b"onemore", False)
        reply = get(server, method="HEAD")
        assert (reply.body, reply.is_whole) == (b"onemore", False), "Only the end shows that."


def test_the_client_asks_the_server_to_close():
    assert b"\r\nConnection: close\r\n" in format_request()
    kept = format_request(headers=["connection: keep-alive"])
    assert kept.lower().count(b"connection:") == 1


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        (b"HTTP/1.1 200 OK\n\n", "The status line ends with LF alone"),
        (b"HTTP/1.1 200 OK\r\nA: b\r\n", "No empty line ends the headers"),
        (b"HTTP/2 200 OK\r\n\r\n", "No HTTP status line came back, but b'HTTP/2"),
    ],
    ids=["LF", "no empty line", "HTTP/2"],
)
def test_what_is_no_answer_gets_a_hint(data, hint):
    with pytest.raises(AssertionError, match=re.escape(hint)):
        parse_reply(data)


@pytest.mark.parametrize("read", [get, lambda server: exchange(server, format_request())])
def test_an_answer_without_an_end_fails(read, monkeypatch):
    monkeypatch.setattr(harness, "MOST_BYTES", 1000)
    with answering(OK + b"\r\n" + bytes(5000)) as server:
        with pytest.raises(AssertionError, match="The connection goes on and on"):
            read(server)


ENDED = "The server has ended, with exit status 3."


@pytest.mark.parametrize(
    ("serve", "words"),
    [
        (f"{READ}connection.close()", ["b'': the connection was closed without", RUNS]),
        (f"{READ}sys.exit(3)", ["b'': the connection was closed without", ENDED]),
        (f"{READ}1 / 0", ["ended, with exit status 1. Its last traceback:", "ZeroDivisionError"]),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", ["with the signal SIGTERM."]),
        (f"{UNREAD}sys.exit(3)", ["the connection was reset without an answer", ENDED]),
        (KEEP, ["No answer came, and the connection stays open", RUNS]),
        (f"connection.sendall(b'HTTP/1.1 200 OK')\n{KEEP}", ["b'HTTP/1.1 200 OK' came, then"]),
    ],
    ids=["closed", "ended", "failed", "killed", "reset", "open", "half"],
)
def test_without_an_answer_the_message_says_what_became_of_the_server(serve, words):
    with running(serve) as server:
        with pytest.raises(AssertionError) as failed:
            get(server, timeout=0.5)
        for word in words:
            assert word in str(failed.value)


@pytest.mark.parametrize("serve", [KEEP, f"{READ}connection.sendall(b'HTTP/1.1 200 OK')\n{KEEP}"])
def test_no_answer_is_waited_for_when_the_server_has_stopped_to_work(serve, monkeypatch):
    monkeypatch.setattr(harness, "IDLE", 0.5)
    with running(serve) as server:
        begin = time.monotonic()
        with pytest.raises(AssertionError, match=r"No answer came|then nothing more"):
            get(server)
        assert time.monotonic() - begin < PATIENCE


def test_a_server_that_works_for_a_long_time_gets_it(monkeypatch):
    monkeypatch.setattr(harness, "IDLE", 0.2)
    work = "begin = time.process_time()\nwhile time.process_time() < begin + 1: pass\n"
    with running(
        f"{READ}{work}connection.sendall(b'HTTP/1.0 200 OK\\r\\n\\r\\n')\nsys.exit()"
    ) as server:
        assert get(server).status == 200


@pytest.mark.parametrize(
    ("then", "patience", "has_ended"),
    [("sys.exit()", 60, True), ("time.sleep(60)", 60, False), ("work(60)", 3, False)],
)
def test_one_may_wait_until_a_server_does_nothing_more(then, patience, has_ended, monkeypatch):
    monkeypatch.setattr(harness, "PATIENCE", patience)
    work = "def work(seconds):\n    while time.process_time() < seconds: pass\n"
    with running(f"{work}work(1)\n{then}") as server, connect(server):
        begin = time.monotonic()
        come_to_rest(server)
        assert 0.7 < time.monotonic() - begin < 20
        assert server.is_running() != has_ended


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" * 2, "Is the response sent twice"),
        (b"HTTP/1.1 200 OK\r\n\r\nok", "does not say how long the body is"),
    ],
)
def test_a_page_without_a_length_and_a_second_one_are_noticed(answers, words):
    from tests import test_step02_http_server as step02

    with answering(answers) as server, pytest.raises(AssertionError, match=words):
        step02.test_the_home_page_is_as_long_as_its_head_says(server)


@pytest.mark.parametrize(
    ("step", "file", "right", "wrong", "test", "arguments"),
    [
        (
            STEPS[1],
            "http_message.py",
            '"Connection: close", ""]',
            '*["Connection: close"] * (status[:3] == "200"), ""]',
            "test_the_connection_ends_if_and_only_if_the_answer_says_so",
            ["/missing"],
        ),
        (
            STEPS[2],
            "server.py",
            "            status = run_application(",
            "            handle.__dict__.update(environ)\n"
            "            environ.update(handle.__dict__)\n"
            "            status = run_application(",
            "test_environ_holds_nothing_of_the_request_before",
            [],
        ),
    ],
)
def test_what_a_server_does_wrong_beyond_its_first_page_is_noticed(
    step, file, right, wrong, test, arguments
):
    check = getattr(importlib.import_module(f"tests.test_{step}"), test)
    with changed(step, file, right, wrong) as copy:
        command = [sys.executable, copy / "server.py", "--port", "0"]
        command[2:2] = ["apps:site"] if step == STEPS[2] else []
        with Server(command) as server, pytest.raises(AssertionError):
            check(server, *arguments)


# What a server in Node.js says of an error that it does not handle, from its middle on.
NODE = """
Error: read ECONNRESET
    at TCP.onStreamRead (node:internal/stream_base_commons:217:20)
Emitted 'error' event on Socket instance at:
    at emitErrorNT (node:internal/streams/destroy:151:8)
    at emitErrorCloseNT (node:internal/streams/destroy:116:3)
    at process.processTicksAndRejections (node:internal/process/task_queues:82:21) {
  errno: -104,
  code: 'ECONNRESET',
  syscall: 'read'
}

Node.js v20.20.2
"""


def test_the_last_words_of_a_server_in_another_language_name_its_error():
    with running(f"sys.stderr.write({NODE!r})\nsys.exit(1)") as server:
        connect(server).close()
        assert "Error: read ECONNRESET\n" in server.state(seconds=PATIENCE)


def test_a_traceback_may_have_an_empty_line():
    """Python shows one below the line of a function in whose first moment a signal came."""
    lines = [
        "Traceback (most recent call last):",
        '  File "server.py", line 499, in close',
        "    def close(self):",
        "",
        "KeyboardInterrupt",
    ]
    assert last_traceback(["before", *lines, "after"]) == lines


def test_an_older_traceback_is_blamed_on_nobody():
    lines = ["Traceback (most recent call last):", "KeyError: '/'"]
    server = types.SimpleNamespace(output=lambda name: lines)
    check_no_traceback(server, "A client that goes", since=len(lines))
    with pytest.raises(AssertionError, match="A client that goes is no mistake"):
        check_no_traceback(server, "A client that goes")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="it needs os.fork")
def test_a_handler_that_raises_is_no_missing_handler():
    from tests.test_step05_zombies import was_killed

    with running("raise KeyboardInterrupt") as server:
        connect(server).close()
        assert server.wait() == -signal.SIGINT
        assert not was_killed(server)
    with running("import os\nos.kill(os.getpid(), 15)") as server:
        connect(server).close()
        assert server.wait() == -signal.SIGTERM
        assert was_killed(server)


def test_a_full_queue_is_no_refusal(monkeypatch):
    monkeypatch.setattr("tests.processes.SOON", 0.1)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        server = types.SimpleNamespace(address=listener.getsockname())
        assert [is_refused(server) for _ in range(5)] == [False] * 5
    assert is_refused(server)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="it needs os.fork")
def test_a_server_that_does_not_stop_is_shown_with_its_children():
    with running("import os\nif os.fork() == 0: time.sleep(60)") as server:
        connect(server).close()
        wait_until(lambda: psutil.Process(server.pid).children(), "There is no child.")
        [child] = psutil.Process(server.pid).children()
        with pytest.raises(AssertionError, match=rf"these are its children: \[{child.pid}\]"):
            check_status(server, 0.1)


def test_a_refused_connection_says_what_became_of_the_server():
    with running("sys.exit(3)") as server:
        connect(server).close()
        server.wait()
        with pytest.raises(
            AssertionError, match=f"was refused, because nobody listens there. {ENDED}"
        ):
            connect(server)


def test_what_was_printed_is_shown_under_its_name():
    with running("print('a word', file=sys.stderr, flush=True)\n1 / 0") as server:
        connect(server).close()
        server.wait()
        lines = server.report().splitlines()
    assert lines[0] == "On stdout it printed:" and lines[1].startswith("    Listening on ")
    assert lines[2:4] == ["On stderr it printed:", "    a word"]
    with Server([sys.executable, "-c", ""], first_line=False) as server:
        server.wait()
        assert server.report() == "On stdout it printed nothing.\nOn stderr it printed nothing."


def test_a_server_that_prints_nothing_is_soon_asked_whether_it_flushed(monkeypatch):
    monkeypatch.setattr(harness, "IDLE", 0.5)
    monkeypatch.setattr(harness, "PATIENCE", 60)
    with pytest.raises(AssertionError, match="Did you flush"):
        running(flush=False)


def test_a_server_that_is_at_work_may_take_its_time(monkeypatch):
    monkeypatch.setattr(harness, "IDLE", 0.2)
    work = "import time\nwhile time.process_time() < 1: pass\n"
    Server([sys.executable, "-c", work + SERVER.format(serve="    pass", flush=True)]).kill()


def test_a_server_that_waits_for_a_busy_processor_is_at_work(monkeypatch):
    """It uses no time, but it would."""

    class Process:
        state = psutil.STATUS_RUNNING

        def __init__(self, pid):
            pass

        def children(self, recursive):
            return []

        def status(self):
            return self.state

        def cpu_times(self):
            return 1, 1

    monkeypatch.setattr(harness.sys, "platform", "linux")
    monkeypatch.setattr(harness.psutil, "Process", Process)
    work = harness.Work(1)
    assert work.measure() != work.measure()
    Process.state = psutil.STATUS_SLEEPING
    assert work.measure() == work.measure()


@pytest.mark.parametrize(
    ("script", "hint"),
    [
        (
            "import argparse; argparse.ArgumentParser(prog='web').parse_args()",
            "The server does not take the argument 'apps:hello', and ended with exit status 2: "
            f"'web: error: unrecognized arguments: apps:hello --port 0'. What each step's server "
            f"is started with stands in {CONTRACT}.",
        ),
        (
            "import sys; print('no argument', file=sys.stderr); sys.exit(3)",
            "The server ended with exit status 3, before it printed its first line",
        ),
        (
            "import sys; print('unknown error 0', file=sys.stderr); sys.exit(3)",
            "The server ended with exit status 3, before it printed its first line",
        ),
    ],
    ids=["argument", "other", "a number of the line"],
)
def test_a_server_that_ends_at_once_says_why(script, hint):
    with pytest.raises(AssertionError) as failed:
        Server([sys.executable, "-c", script, "apps:hello", "--port", "0"])
    assert str(failed.value).startswith(hint)


def test_what_a_server_prints_need_be_no_text():
    with running("sys.stdout.buffer.write(b'\\xff\\nmore\\n'); sys.stdout.flush()") as server:
        connect(server).close()
        server.wait_for_line("^more$")


def test_a_line_that_cannot_come_any_more_is_not_waited_for():
    with running("print('last', file=sys.stderr); sys.exit()") as server:
        connect(server).close()
        assert server.wait_for_line("^last$", "either") == "last"
        begin = time.monotonic()
        with pytest.raises(AssertionError, match="printed no line with 'more' on stdout or stderr"):
            server.wait_for_line("more", "either")
        assert time.monotonic() - begin < PATIENCE


def test_a_server_that_a_test_has_killed_did_not_end_by_itself():
    with running() as server:
        server.kill()
        assert server.state() == RUNS


def test_gmt_is_not_the_local_time_of_a_server():
    script = "import time; print('Listening on 127.0.0.1:1'); print(time.strftime('%z'))"
    with Server([sys.executable, "-c", script]) as server:
        assert server.wait_for_line(r"^\+0530$")


TESTS = """
import pytest
from tests.harness import connect, get
STEP = "step02_http_server"
kept = []

@pytest.fixture
def ended():
    server = kept.pop()
    connect(server).close()
    server.wait()

def test_a(server): get(server)
def test_during(server): get(server, "/ends"); connect(server).close(); server.wait()
def test_b(server): get(server)
def test_before(server): get(server, "/ends"); kept.append(server)
def test_between(ended, server): get(server)
def test_c(server): get(server)
def test_no_answer(server): get(server, "/fails")
def test_wrong(server): kept.append(server.pid); assert False
def test_d(server): get(server); assert server.pid != kept.pop()
"""
ENDS = """
request = connection.recv(65536)
if b"/fails" in request:
    1 / 0
connection.sendall(b"HTTP/1.1 200 OK\\r\\n\\r\\n")
connection.close()
if b"/ends" in request:
    listener.accept()
    sys.exit(3)
"""


def run_tests(folder, tests, server=None):
    """Run tests against a server, or one that ends now and then; return what pytest printed."""
    (folder / "test_some.py").write_text(tests)
    serve = textwrap.indent(ENDS, "    ")
    (folder / "server.py").write_text(server or SERVER.format(serve=serve, flush=True))
    command = [sys.executable, "-m", "pytest", "-c", ROOT / "pyproject.toml", "-p", "no:randomly"]
    return subprocess.run(
        [*command, "-q", folder / "test_some.py", "--server", folder / "server.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    ).stdout


SOONER = """
from tests import fixtures, harness

class Server(harness.Server):
    def __init__(self, command):
        super().__init__(command)
        self.wait()

fixtures.Server = Server
STEP = "step02_http_server"
def test_alone(start): start(); assert False
def test_shared(server): assert False
"""


def test_a_server_may_end_before_the_test_has_it(tmp_path):
    """Its traceback is new all the same."""
    said = run_tests(tmp_path, SOONER, "print('Listening on 127.0.0.1:1', flush=True)\n1 / 0")
    messages = said.partition("short test summary")[0]
    assert messages.count("ended, with exit status 1. Its last traceback:") == 2, said


EARLIER = """
STEP = "step02_http_server"
def test_earlier(server): server.wait_for_line("ValueError", "stderr")
def test_now(server): assert False, server.state()
"""
COMPLAINS = """
import sys, threading
print("Listening on 127.0.0.1:1", flush=True)
print("Traceback (most recent call last):\\nValueError: an old one", file=sys.stderr, flush=True)
threading.Event().wait()
"""


def test_a_traceback_of_the_test_before_is_old(tmp_path):
    said = run_tests(tmp_path, EARLIER, COMPLAINS)
    assert "1 failed, 1 passed" in said and "Its last traceback:" not in said, said


LATER = """
from tests.harness import connect
def test_later(server):
    state = server.state()
    connect(server).sendall(b"/fails")
    assert False, state
"""


def test_a_message_does_not_say_that_a_server_runs_and_that_it_has_ended(tmp_path):
    said = run_tests(tmp_path, LATER)
    assert RUNS in said and "Since then it has ended, with exit status 1. Its last" in said, said


def test_a_server_that_ends_fails_one_test_and_not_those_after_it(tmp_path):
    """It may end while a test passes, or after it, or instead of an answer.

    One that does not end, but fails a test, may hang: the next test has another one.
    """
    said = run_tests(tmp_path, TESTS)
    red = re.findall(r"^(FAILED|ERROR) \S*::(\w+)", said, re.MULTILINE)
    wanted = [("FAILED", "test_no_answer"), ("FAILED", "test_wrong")]
    wanted += [("ERROR", "test_during"), ("ERROR", "test_between")]
    assert red == wanted, said
    assert RUNS not in said, "It goes without saying."
    ended = "The server has ended, with exit status 3."
    assert f"The server ended during this test. {ended}" in said
    assert f"The server ended after the test before. {ended}" in said
    messages = said.partition("short test summary")[0]  # which quotes them whole under CI
    assert messages.count("ended, with exit status 1. Its last traceback:") == 1, said
