"""The exercises of the lessons, and for each one with a patch a proof that it is done.

A proof is a black-box test of what the exercise asks for. It gets a folder with server.py, in
which it may leave files, and its message begins with "Not yet: ".
"""

import calendar
import os
import re
import shutil
import signal
import socket
import sys
import time
from typing import NamedTuple

import psutil

from course.facts import BLOCK
from tests.harness import (
    ROOT,
    Server,
    connect,
    format_request,
    get,
    is_at_work,
    last_traceback,
    post,
    read_reply,
    receive_all,
    wait_until,
)
from tests.processes import children


class Exercise(NamedTuple):
    """An exercise of a lesson: its patch is the solution, or None if it has none."""

    step: str
    number: int
    title: str
    patch: str | None

    def __str__(self):
        return f"{self.step[:6]}-{self.number}"


def read_exercises(step):
    """Return the exercises of a step, from its page EXERCISES.md."""
    text = (ROOT / step / "EXERCISES.md").read_text("utf-8")
    _, *parts = re.split(r"^## (\d+)\. (.+)$", text, flags=re.MULTILINE)
    exercises = []
    for number, title, body in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        patches = [block for language, block in BLOCK.findall(body) if language == "diff"]
        assert len(patches) <= 1, f"{step}: exercise {number} has {len(patches)} solutions."
        exercises.append(Exercise(step, int(number), title, patches[0] if patches else None))
    return exercises


def proof_of(exercise):
    """Return the function that proves that an exercise is done, or None if it has none."""
    return globals().get(f"prove_{exercise.step[:6]}_{exercise.number}")


def run(folder, *arguments, **options):
    """Start the server in a folder."""
    command = [sys.executable, str(folder / "server.py"), *arguments, "--port", "0"]
    return Server(command, **options)


def expect(condition, hint):
    """Fail with a hint unless a condition is true."""
    assert condition, f"Not yet: {hint}"


def expect_page(server, target, body=None, status=200, method="GET", sent=None):
    """Fail unless a page comes with its status and its body; return the reply."""
    if sent is None:
        reply = get(server, target, method)
    else:
        method = "POST"
        reply = post(server, target, sent)
    expect(
        reply.status == status and body in (None, reply.body),
        f"{method} {target} got {reply.status} {reply.reason} and {reply.body[:200]!r}. It should "
        f"get {status}" + (f" and {body!r}." if body is not None else "."),
    )
    return reply


def logged(server, pattern, count=1):
    """Wait for count lines of the log with a pattern, and return what its group matched last."""

    def found():
        lines = server.output("either")
        return [match for line in lines if (match := re.search(pattern, line))]

    wait_until(
        lambda: len(found()) >= count,
        lambda: f"Not yet: the log has no line that looks like {pattern!r}.\n{server.report()}",
        seconds=3,
    )
    match = found()[count - 1]
    return match[match.re.groups]


def send(server, data):
    """Send bytes, end our half of the stream, and return all that comes back."""
    with connect(server, timeout=3) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        return receive_all(connection)


def prove_step01_1(folder):
    with run(folder) as server:
        for _ in range(2):
            send(server, b"hello")
        first, second = (logged(server, r"connection (\d+)$", count) for count in (1, 2))
        listener = logged(server, r"listener (\d+)$")
        expect(
            listener != first == second,
            f"the listener has {listener}, and two connections, one after the other, have {first} "
            f"and {second}. The two should have the same number, and the listener another.",
        )


def prove_step01_2(folder):
    with run(folder) as server:
        echo = send(server, "hello, café".encode())
        right = "HELLO, CAFé".encode()
        expect(echo == right, f"of 'hello, café' came back {echo!r}, and not {right!r}.")


def prove_step01_3(folder):
    with run(folder) as server:
        for size in (5, 100_000):
            send(server, bytes(size))
            logged(server, rf"sent {size} bytes$")


def prove_step01_4(folder):
    with run(folder) as server, connect(server, timeout=7) as silent:
        begin = time.monotonic()
        try:
            silent.recv(1)
        except TimeoutError:
            raise AssertionError("Not yet: a silent client is still connected.") from None
        seconds = time.monotonic() - begin
        expect(
            seconds > 4,
            (f"a silent client should have five seconds, but was sent away after {seconds:.1f}."),
        )
        expect(
            send(server, b"next") == b"next",
            ("a silent client was sent away, but the next one gets no echo."),
        )


def prove_step02_1(folder):
    with run(folder, environment={"TZ": "UTC0"}) as server:
        page = expect_page(server, "/time").body.decode("utf-8", "replace")
        try:
            seconds = time.time() - calendar.timegm(time.strptime(page.strip()))
        except ValueError:
            raise AssertionError(
                f"Not yet: /time shows {page!r}, which is not what time.ctime() returns."
            ) from None
        expect(-1 <= seconds < 10, f"/time shows {page!r}, and that is not now.")
        expect_page(server, "/time", b"", method="HEAD")
        expect_page(server, "/time", status=405, method="DELETE")


def prove_step02_2(folder):
    with run(folder) as server:
        reply = expect_page(server, "/old", status=301)
        location = reply.header("Location")
        expect(location == "/", f"/old got 301, and its Location is {location!r}, not '/'.")


def prove_step02_3(folder):
    with run(folder) as server:
        expect_page(server, "/count", b"5 bytes\n", sent=b"hello")
        expect_page(server, "/count", b"0 bytes\n", sent=b"")
        allowed = expect_page(server, "/count", status=405).header("Allow")
        expect(allowed == "POST", f"GET /count got 405, and its Allow is {allowed!r}, not 'POST'.")


def prove_step02_4(folder):
    (folder / "files").mkdir(exist_ok=True)
    (folder / "files" / "a note.txt").write_text("hello\n")
    with run(folder) as server:
        reply = expect_page(server, "/files/a%20note.txt", b"hello\n")
        kind = reply.header("Content-Type")
        expect(kind == "text/plain", f"the Content-Type of a note is {kind!r}, not 'text/plain'.")
        expect_page(server, "/files/a%20note.txt", b"", method="HEAD")
        expect_page(server, "/files/", status=404)
        for path in ("../server.py", "%2e%2e/server.py", "..%2Fserver.py", "/etc/passwd", "%00"):
            expect_page(server, f"/files/{path}", status=404)


def run_application(folder, name):
    """Start the server with an application, which may not be there yet."""
    try:
        return run(folder, name)
    except AssertionError as problem:
        raise AssertionError(f"Not yet: {name} cannot be run. {problem}") from None


def prove_step03_1(folder):
    with run_application(folder, "hello:application") as server:
        expect_page(server, "/caf%C3%A9", "Hello from /café\n".encode())


def prove_step03_2(folder):
    with run_application(folder, "counter:application") as server:
        for number in (1, 2, 3):
            expect_page(server, "/", f"Request number {number}\n".encode())


def prove_step03_3(folder):
    with run_application(folder, "signed:checked") as server:
        for path, status in (("/environ", 200), ("/no-such-page", 404)):
            header = expect_page(server, path, status=status).header("X-Server")
            expect(header == "my own", f"the X-Server of {path} is {header!r}, not 'my own'.")
        expect(
            not last_traceback(server.output("stderr")),
            f"wsgiref.validate found that a rule of the contract is broken.\n{server.report()}",
        )


def prove_step03_4(folder):
    with run_application(folder, "both:application") as server:
        shown = expect_page(server, "/demo/some/page").body.decode()
        for line in ("SCRIPT_NAME = '/demo'", "PATH_INFO = '/some/page'"):
            expect(line in shown, f"/demo/some/page shows no line {line!r}:\n{shown}")
        line = "SCRIPT_NAME = ''"
        shown = expect_page(server, "/environ").body.decode()
        expect(line in shown, f"/environ of app.py shows no line {line!r}:\n{shown}")
        expect_page(server, "/demolition", status=404)


def prove_step04_1(folder):
    with run(folder) as server:
        get(server)
        pid = logged(server, rf"^\[{server.pid}\] server started child (\d+)$")
        logged(server, rf"^\[{pid}\] .*GET /")


def prove_step04_2(folder):
    with run(folder) as server:
        replies = [get(server, "/count").body.decode() for _ in range(3)]
        found = [re.fullmatch(r"Process (\d+): visit 1\.\n", reply) for reply in replies]
        expect(all(found), f"/count gave {replies}, and not 'Process PID: visit 1.' each time.")
        expect(
            len({match[1] for match in found}) == 3,
            (f"one process gave two of these answers: {replies}."),
        )


def prove_step04_4(folder):
    with run(folder) as server:
        for _ in range(5):
            get(server)
            wait_until(
                lambda: not any(map(is_at_work, children(server))),
                "Not yet: a request was answered, but its child does not end.",
            )
        zombies = len(children(server))
        expect(
            zombies <= 1,
            (f"{zombies} zombies are left after 5 requests, and at most one should be."),
        )


def prove_step04_5(folder):
    with run(folder) as server:
        for _ in range(40):
            get(server)
        count = len(children(server))
        expect(
            count <= 32,
            (f"there are {count} children after 40 requests, and there should be at most 32."),
        )
        silent = [connect(server) for _ in range(32)]
        wait_until(
            lambda: sum(map(is_at_work, children(server))) == 32,
            "Not yet: 32 clients came at the same time, but they are not served side by side.",
        )
        with connect(server, timeout=0.3) as last:
            last.sendall(format_request())
            try:
                answer = last.recv(20)
            except TimeoutError:
                answer = b""
            expect(
                not answer,
                (f"32 clients are being served, and one more got {answer!r}, but it should wait."),
            )
            silent.pop().close()
            last.settimeout(3)
            expect(
                read_reply(last).status == 200,
                ("one of 32 clients left, but the client that waited got no page."),
            )
        for connection in silent:
            connection.close()


def prove_step05_1(folder):
    with run(folder) as server:
        get(server)
        logged(server, r"child \d+ ended with exit status 0$")
        with connect(server) as connection:
            connection.sendall(b"GET ")
            [child] = wait_until(
                lambda: children(server), "Not yet: a client came, but there is no child."
            )
            os.kill(child, signal.SIGKILL)
            logged(server, rf"child {child} was killed by SIGKILL$")


def prove_step05_2(folder):
    with run(folder) as server:
        get(server, "/slow?seconds=0.3")
        seconds = float(logged(server, r"process \d+ used ([\d.]+) s of CPU time$"))
        expect(
            seconds < 0.3,
            (
                f"the log says {seconds} s for a child that slept, which is not the processor "
                "time that it used."
            ),
        )


def prove_step05_3(folder):
    with run(folder) as server:
        for _ in range(3):
            get(server)
        wait_until(
            lambda: not children(server),
            ("Not yet: three requests were answered, and zombies are left."),
        )
        lines = [line for line in server.output("either") if "ended with" in line]
        expect(
            not lines, (f"a log line shows that the server still waits for its children: {lines}")
        )


def hasty(folder, right, wrong):
    """Return a copy of a folder in which a pattern of server.py is something else: a short limit.

    Where the pattern is not, the server keeps its own limit.
    """
    copy = shutil.copytree(folder, folder.with_name(f"hasty{time.monotonic_ns()}"))
    text = (folder / "server.py").read_text("utf-8")
    (copy / "server.py").write_text(re.sub(right, wrong, text), "utf-8")
    return copy


def prove_step05_4(folder):
    copy = hasty(folder, r"\bSTOP_SECONDS = 10\b", "STOP_SECONDS = 1")
    with run(copy) as server, connect(server) as connection:
        connection.sendall(format_request("/slow?seconds=30"))
        [child] = wait_until(
            lambda: children(server), "Not yet: a client came, but there is no child."
        )
        server.send_signal(signal.SIGTERM)
        status = server.wait(20)
        expect(status == 0, (f"SIGTERM ended the server with status {status}, but it should be 0."))
        expect(
            not is_at_work(child),
            (f"the server has ended, but child {child} works on as an orphan."),
        )
        logged(server, rf"child {child} ended with -9$")


def prove_step06_1(folder):
    with run(folder, "--workers", "1") as server:
        for _ in range(3):
            get(server)
        server.send_signal(signal.SIGTERM)
        served = logged(server, r"served (\d+) clients$")
        expect(served == "3", f"the log says that {served} clients were served, and there were 3.")


def prove_step06_2(folder):
    copy = hasty(folder, r"\b1_?000\b", "3")
    with run(copy, "--workers", "1") as server:
        first = logged(server, r"started child (\d+)$")
        for _ in range(3):
            get(server)
        logged(server, rf"child {first} ended with 0$")
        logged(server, r"started child (\d+)$", count=2)
        expect_page(server, "/")


def prove_step06_3(folder):
    with run(folder, "--workers", "2") as server:
        wait_until(
            lambda: len(children(server)) == 2,
            ("Not yet: the server was started with two workers, but it has not two children."),
        )
        workers = [psutil.Process(pid) for pid in children(server)]
        for _ in range(10):
            get(server)
        time.sleep(0.5)  # until both are idle
        before = sum(worker.num_ctx_switches().voluntary for worker in workers)
        time.sleep(2.5)  # with the limit of one second each worker wakes twice in this time
        woke = sum(worker.num_ctx_switches().voluntary for worker in workers) - before
        expect(
            woke < 2,
            (f"idle workers woke {woke} times in 2.5 seconds, and should sleep all the time."),
        )


def prove_step06_4(folder):
    with run(folder, "--workers", "1") as server:
        slow = [connect(server) for _ in range(5)]
        for connection in slow:
            connection.sendall(format_request("/slow?seconds=1"))
        begin = time.monotonic()
        for connection in slow:
            expect(read_reply(connection).status == 200, "one of five slow clients got no page.")
            connection.close()
        seconds = time.monotonic() - begin
        expect(
            seconds < 3, (f"five clients that take one second each took {seconds:.1f} s in all.")
        )
