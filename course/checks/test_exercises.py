"""The exercises of the lessons: each begins red, and its solution is green.

For each exercise with a patch there is a proof here: a black-box test of what the exercise asks
for. It fails on the step as it is, and passes when the solution is applied to a copy.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from typing import NamedTuple

import psutil
import pytest

from course.facts import BLOCK
from course.prose import MARKED
from course.runs import run_tests
from tests.harness import (
    ROOT,
    STEPS,
    Server,
    connect,
    get,
    is_at_work,
    post,
    receive_all,
    wait_until,
)
from tests.test_step01_echo_socket import echo_of

pytestmark = pytest.mark.skipif(
    not hasattr(os, "fork") or not shutil.which("patch"), reason="needs os.fork, and patch"
)

# A solution may change what the step's own tests ask for. Then these tests may fail, and no others.
LOG_OF_CHILDREN = {
    "test_the_log_says_how_each_child_ended",
    "test_sigterm_to_a_child_ends_that_child_alone",
    "test_a_child_that_is_killed_at_work_harms_nobody_else",
}
CHANGES = {
    ("step01_echo_socket", 2): {  # all that send letters, and want the same letters back
        "test_64_mib_come_back",
        "test_a_client_gets_its_words_back_and_can_send_again",
        "test_a_client_may_send_again_and_again",
        "test_a_client_that_was_reset_before_accept_harms_nobody",
        "test_a_reset_while_the_server_sends_ends_that_client_alone",
        "test_a_second_client_waits_while_the_first_is_served",
        "test_byte_by_byte_is_the_same_stream",
        "test_clients_may_connect_send_and_end_before_they_are_accepted",
        "test_ctrl_c_ends_it_while_it_serves_a_client",
        "test_half_close_is_answered_with_the_rest_and_the_end",
        "test_one_client_after_another_is_served",
        "test_the_client_goes_to_the_host_that_is_named",
        "test_the_client_prints_what_came_back",
        "test_the_echo_is_what_the_client_sent",
        "test_the_log_says_which_client_was_lost_and_why",
        "test_the_next_client_gets_its_words_back_too",
        "test_the_reset_of_a_client_ends_that_client_alone",
        "test_the_server_holds_one_piece_of_a_long_message",
    },
    ("step04_fork", 4): {"test_ended_children_stay_as_zombies_until_the_server_ends"},
    ("step05_zombies", 1): LOG_OF_CHILDREN,
    ("step05_zombies", 3): LOG_OF_CHILDREN
    | {
        "test_ten_children_that_end_at_once_are_all_reaped",
        "test_a_stop_signal_lets_the_request_in_flight_finish",  # the log says when the child ended
        "test_ctrl_c_in_a_terminal_lets_the_request_in_flight_finish",
    },
    ("step06_prefork", 3): {"test_workers_end_when_their_server_was_killed"},
    ("step06_prefork", 4): {  # what gets worse with threads, and what they are there for
        "test_a_worker_that_gets_sigterm_finishes_its_request_and_is_replaced",
        "test_a_worker_that_is_killed_is_replaced_and_only_its_client_is_hurt",
        "test_as_many_slow_clients_as_workers_hold_up_all_others",
        "test_each_worker_has_a_counter_of_its_own_that_counts_on",
        "test_two_workers_serve_two_clients_at_the_same_time",
        "test_whatever_the_application_does_there_are_as_many_workers",
        "test_workers_end_when_their_server_was_killed",
    },
}


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


EXERCISES = [
    exercise for step in STEPS for exercise in read_exercises(step) if exercise.patch is not None
]
lessons = pytest.mark.parametrize("step", STEPS)
exercises = pytest.mark.parametrize("exercise", EXERCISES, ids=str)


def apply(patch, folder):
    """Apply a patch of a README to a folder. Fails if it does not fit to the line."""
    command = ["patch", "-p1", "-F0", "--no-backup-if-mismatch"]
    done = subprocess.run(command, cwd=folder, input=patch, text=True, capture_output=True)
    assert done.returncode == 0 and "offset" not in done.stdout, (
        f"The solution does not fit the code any more:\n{done.stdout}{patch}"
    )


@lessons
def test_each_lesson_has_four_exercises_with_hints_and_a_solution(step):
    found = read_exercises(step)
    assert [exercise.number for exercise in found] == list(range(1, len(found) + 1))
    assert sum(exercise.patch is not None for exercise in found) >= 4, (
        f"{step}/EXERCISES.md has fewer than four exercises whose solution is a patch."
    )
    text = (ROOT / step / "EXERCISES.md").read_text("utf-8")
    for part in re.split(r"^## \d+\. ", text, flags=re.M)[1:]:
        for summary in ("Hint 1", "Hint 2", "Solution"):
            assert f"<summary>{summary}</summary>" in part, f"{summary} is missing in {part[:60]!r}"
    solutions = [
        block for language, block in BLOCK.findall(MARKED.sub("", text)) if language == "diff"
    ]
    assert solutions == [exercise.patch for exercise in found if exercise.patch], (
        f"{step}/EXERCISES.md has a diff that is neither filled in by prose.py nor a solution."
    )


@exercises
def test_an_exercise_begins_red_and_its_solution_is_green(exercise, tmp_path):
    prove = globals().get(f"prove_{exercise.step[:6]}_{exercise.number}")
    assert prove, f"There is no proof of exercise {exercise.number} of {exercise.step} here."
    folder = shutil.copytree(ROOT / exercise.step, tmp_path / "mine")
    with pytest.raises(AssertionError, match=r"^Not yet: "):
        prove(folder)
    apply(exercise.patch, folder)
    prove(folder)


@exercises
def test_a_solution_breaks_nothing_else(exercise, tmp_path):
    folder = shutil.copytree(ROOT / exercise.step, tmp_path / "mine")
    apply(exercise.patch, folder)
    changed = CHANGES.get((exercise.step, exercise.number), set())
    names = " or ".join(changed) or "no_such_test"
    server, report = [folder / "server.py"], tmp_path / "report.xml"
    results = run_tests(exercise.step, server, report, "-k", f"not ({names})")
    failures = [failure for _, _, failure in results if failure]
    assert results and not failures, "\n".join(failures)
    if changed:
        results = run_tests(exercise.step, server, report, "-k", names, "-x")
        assert [failure for _, _, failure in results if failure], (
            f"None of these fails, so CHANGES need not name them: {changed}"
        )


# The proofs. Each gets a folder with server.py, and says "Not yet: " if the exercise is not done.


def run(folder, *arguments, **options):
    """Start the server in a folder."""
    command = [sys.executable, str(folder / "server.py"), *arguments, "--port", "0"]
    return Server(command, **options)


def logged(server, pattern, count=1):
    """Wait for count lines of the log with a pattern, and return what its group matched last."""

    def found():
        return [match for line in server.output() if (match := re.search(pattern, line))]

    wait_until(
        lambda: len(found()) >= count,
        lambda: f"Not yet: the log has no line with {pattern!r}:\n{server.report()}",
        seconds=3,
    )
    match = found()[count - 1]
    return match[match.re.groups]


def prove_step01_1(folder):
    with run(folder) as server:
        for _ in range(2):
            echo_of(server, b"hello")
        first, second = (logged(server, r"connection (\d+)$", count) for count in (1, 2))
        assert logged(server, r"listener (\d+)$") != first == second


def prove_step01_2(folder):
    with run(folder) as server:
        echo = echo_of(server, "hello, café".encode())
        assert echo == "HELLO, CAFé".encode(), f"Not yet: {echo!r} came back."


def prove_step01_3(folder):
    with run(folder) as server:
        for size in (5, 100_000):
            echo_of(server, bytes(size))
            logged(server, rf"sent {size} bytes$")


def prove_step01_4(folder):
    with run(folder) as server, connect(server, timeout=7) as silent:
        begin = time.monotonic()
        try:
            assert silent.recv(1) == b""
        except TimeoutError:
            raise AssertionError("Not yet: a silent client is still connected.") from None
        assert time.monotonic() - begin > 4, "The client must have five seconds."
        assert echo_of(server, b"next") == b"next"


def prove_step02_1(folder):
    with run(folder) as server:
        reply = get(server, "/time")
        assert reply.status == 200, f"Not yet: {reply}"
        seconds = time.time() - time.mktime(time.strptime(reply.body.decode().strip()))
        assert -1 <= seconds < 10
        assert get(server, "/time", "HEAD").body == b""
        assert get(server, "/time", "DELETE").status == 405


def prove_step02_2(folder):
    with run(folder) as server:
        reply = get(server, "/old")
        assert (reply.status, reply.header("Location")) == (301, "/"), f"Not yet: {reply}"


def prove_step02_3(folder):
    with run(folder) as server:
        reply = post(server, "/count", b"hello")
        assert reply.body == b"5 bytes\n", f"Not yet: {reply}"
        assert post(server, "/count", b"").body == b"0 bytes\n"
        reply = get(server, "/count")
        assert (reply.status, reply.header("Allow")) == (405, "POST")


def prove_step02_4(folder):
    (folder / "files").mkdir(exist_ok=True)
    (folder / "files" / "a note.txt").write_text("hello\n")
    with run(folder) as server:
        reply = get(server, "/files/a%20note.txt")
        assert reply.body == b"hello\n", f"Not yet: {reply}"
        assert reply.header("Content-Type") == "text/plain"
        assert get(server, "/files/a%20note.txt", "HEAD").body == b""
        for path in (
            "",
            "../server.py",
            "%2e%2e/server.py",
            "..%2Fserver.py",
            "/etc/passwd",
            "%00",
        ):
            assert get(server, f"/files/{path}").status == 404, path


def run_application(folder, name):
    """Start the server with an application, which may not be there yet."""
    try:
        return run(folder, name)
    except AssertionError as problem:
        raise AssertionError(f"Not yet: {problem}") from None


def prove_step03_1(folder):
    with run_application(folder, "hello:application") as server:
        assert get(server, "/caf%C3%A9").body == "Hello from /café\n".encode()


def prove_step03_2(folder):
    with run_application(folder, "counter:application") as server:
        for number in (1, 2, 3):
            assert get(server).body == f"Request number {number}\n".encode()


def prove_step03_3(folder):
    with run_application(folder, "signed:checked") as server:
        for path, status in (("/environ", 200), ("/no-such-page", 404)):
            reply = get(server, path)
            assert (reply.status, reply.header("X-Server")) == (status, "my own")
        assert server.output("stderr") == []


def prove_step03_4(folder):
    with run_application(folder, "both:application") as server:
        shown = get(server, "/demo/some/page").body.decode()
        assert "SCRIPT_NAME = '/demo'" in shown and "PATH_INFO = '/some/page'" in shown
        assert b"SCRIPT_NAME = ''" in get(server, "/environ").body
        assert get(server, "/demolition").status == 404


def prove_step04_1(folder):
    with run(folder) as server:
        get(server)
        pid = logged(server, rf"^\[{server.pid}\] server started child (\d+)$")
        logged(server, rf"^\[{pid}\] .*GET /")


def prove_step04_2(folder):
    with run(folder) as server:
        replies = [get(server, "/count").body.decode() for _ in range(3)]
        found = [re.fullmatch(r"Process (\d+): visit 1\.\n", reply) for reply in replies]
        assert all(found), f"Not yet: {replies}"
        assert len({match[1] for match in found}) == 3


def children(server):
    return psutil.Process(server.pid).children()


def prove_step04_4(folder):
    with run(folder) as server:
        for _ in range(5):
            get(server)
            pid = children(server)[-1].pid
            wait_until(lambda: not is_at_work(pid), "The child does not end.")  # noqa: B023
        zombies = len(children(server))
        assert zombies <= 1, f"Not yet: {zombies} zombies are left after 5 requests."


def prove_step04_5(folder):
    with run(folder) as server:
        for _ in range(40):
            get(server)
        count = len(children(server))
        assert count <= 32, f"Not yet: there are {count} children."
        silent = [connect(server) for _ in range(32)]
        wait_until(
            lambda: sum(is_at_work(child.pid) for child in children(server)) == 32,
            "32 clients should be served side by side.",
        )
        with connect(server, timeout=0.3) as last:
            last.sendall(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
            with pytest.raises(TimeoutError):
                last.recv(1)
            silent.pop().close()
            last.settimeout(3)
            assert receive_all(last).startswith(b"HTTP/1.1 200")
        for connection in silent:
            connection.close()


def prove_step05_1(folder):
    with run(folder) as server:
        get(server)
        logged(server, r"child \d+ ended with exit status 0$")
        with connect(server) as connection:
            connection.sendall(b"GET ")
            [child] = wait_until(lambda: children(server), "There is no child.")
            child.send_signal(signal.SIGKILL)
            logged(server, rf"child {child.pid} was killed by SIGKILL$")


def prove_step05_2(folder):
    with run(folder) as server:
        get(server, "/slow?seconds=0.3")
        assert float(logged(server, r"process \d+ used ([\d.]+) s of CPU time$")) < 0.3


def prove_step05_3(folder):
    with run(folder) as server:
        for _ in range(3):
            get(server)
        wait_until(lambda: not children(server), "Zombies are left.")
        lines = [line for line in server.output() if "ended with" in line]
        assert not lines, f"Not yet: somebody waits for the children: {lines}"


def prove_step05_4(folder):
    hasty = shutil.copytree(folder, folder.with_name(f"hasty{time.monotonic_ns()}"))
    text = (folder / "server.py").read_text("utf-8")
    (hasty / "server.py").write_text(text.replace("STOP_SECONDS = 10", "STOP_SECONDS = 1"))
    with run(hasty) as server, connect(server) as connection:
        connection.sendall(b"GET /slow?seconds=30 HTTP/1.1\r\nHost: test\r\n\r\n")
        [child] = wait_until(lambda: children(server), "There is no child.")
        server.send_signal(signal.SIGTERM)
        assert server.wait() == 0
        assert not is_at_work(child.pid), f"Not yet: child {child.pid} works on as an orphan."
        logged(server, rf"child {child.pid} ended with -9$")


def prove_step06_1(folder):
    with run(folder, "--workers", "1") as server:
        for _ in range(3):
            get(server)
        server.send_signal(signal.SIGTERM)
        assert int(logged(server, r"served (\d+) clients$")) == 3


def prove_step06_2(folder):
    hasty = shutil.copytree(folder, folder.with_name(f"hasty{time.monotonic_ns()}"))
    text = (folder / "server.py").read_text("utf-8")
    (hasty / "server.py").write_text(text.replace("served < 1000", "served < 3"))
    with run(hasty, "--workers", "1") as server:
        first = logged(server, r"started child (\d+)$")
        for _ in range(3):
            get(server)
        logged(server, rf"child {first} ended with 0$")
        logged(server, r"started child (\d+)$", count=2)
        assert get(server).status == 200


def prove_step06_3(folder):
    with run(folder, "--workers", "2") as server:
        workers = wait_until(lambda: len(children(server)) == 2 and children(server), "2 workers")
        for _ in range(10):
            get(server)
        time.sleep(0.5)  # until both are idle
        before = sum(worker.num_ctx_switches().voluntary for worker in workers)
        time.sleep(2.5)  # with the limit of one second each worker wakes twice in this time
        woke = sum(worker.num_ctx_switches().voluntary for worker in workers) - before
        assert woke < 2, f"Not yet: idle workers woke {woke} times in 2.5 seconds."


def prove_step06_4(folder):
    with run(folder, "--workers", "1") as server:
        slow = [connect(server) for _ in range(5)]
        for connection in slow:
            connection.sendall(b"GET /slow?seconds=1 HTTP/1.1\r\nHost: test\r\n\r\n")
        begin = time.monotonic()
        for connection in slow:
            assert receive_all(connection).startswith(b"HTTP/1.1 200")
            connection.close()
        seconds = time.monotonic() - begin
        assert seconds < 3, f"Not yet: 5 clients of one second took {seconds:.1f} s."
