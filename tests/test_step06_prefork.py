"""Step 6: workers are there before the first client. Each serves one client after another."""

import contextlib
import operator
import os
import signal
import sys
import threading
import time

import psutil
import pytest

from tests.applications.fork_apps import Gate
from tests.fixtures import LINUX
from tests.harness import (
    APPLICATIONS,
    PATIENCE,
    Server,
    connect,
    format_request,
    get,
    is_at_work,
    receive_all,
    seconds_of_a_fifth_client,
    wait_until,
)
from tests.test_step05_zombies import (
    SOON,
    RequestAtGate,
    check_end,
    check_log,
    is_refused,
    start_with_a_program,
)

STEP = "step06_prefork"
APPLICATION = "fork_apps:application"

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this step needs os.fork")

# The server of step 5 takes no --workers, and says so.
new = pytest.mark.new("unrecognized arguments: --workers")


@pytest.fixture(scope="module")
def two(command):
    """A running server with two workers, which tests share."""
    with Server([*command, APPLICATION, "--workers", "2", "--port", "0"]) as server:
        yield server


def children(server):
    """Return the PIDs of a server's children, zombies too."""
    return [child.pid for child in psutil.Process(server.pid).children()]


def workers(server, number):
    """Wait until a server has so many children, all of them at work. Return their PIDs, a set."""

    def ready():
        pids = children(server)
        return len(pids) == number and all(map(is_at_work, pids)) and pids

    def hint():
        found = {pid: "at work" if is_at_work(pid) else "zombie" for pid in children(server)}
        return (
            f"The server should have {number} workers. It has {len(found)} children: {found}. "
            "The parent forks until all are there, and replaces each one that has ended. "
            f"It printed:\n{server.report()}"
        )

    return set(wait_until(ready, hint, seconds=2 * SOON))


def who_answers(server):
    """Return the PID of the process that answers a request."""
    return int(get(server, "/process").body.split()[0])


def check_answer(server, when):
    """Check that a client is served, though something happened."""
    try:
        status = get(server, "/process", timeout=2 * SOON).status
    except (OSError, AssertionError) as problem:
        status = problem
    assert status == 200, f"{when}, and a client got: {status}. It printed:\n{server.report()}"


# The workers


@pytest.mark.lesson("fork-first-then-accept")
@pytest.mark.new("It has 0 children")
def test_there_is_a_worker_for_each_processor_before_a_client_comes(server):
    affinity = getattr(os, "sched_getaffinity", None)
    workers(server, len(affinity(0)) if affinity else os.cpu_count())


@pytest.mark.lesson("fork-first-then-accept")
@new
@pytest.mark.parametrize("number", [1, 5])
def test_the_option_workers_says_how_many(start, number):
    workers(start(APPLICATION, "--workers", str(number)), number)


@pytest.mark.lesson("step01_echo_socket/README.md#the-command-line")
@pytest.mark.parametrize("number", ["0", "-1", "two"])
def test_without_a_worker_there_is_one_clear_line(command, number):
    with Server([*command, "--workers", number, "--port", "0"], first_line=False) as server:
        wait_until(lambda: server.output() or not server.is_running(), "It neither ran nor ended.")
        assert not server.output(), f"With --workers {number} it listens, and serves nobody."
        status = server.wait()
        lines = server.output("stderr")
    assert (status, len(lines)) == (2, 1) and "--workers" in lines[0], (
        f"With --workers {number} the server should say in one line what is wrong, and end with "
        f"status 2. The status is {status}. It printed:\n{server.report()}"
    )


@pytest.mark.lesson("fork-first-then-accept")
@pytest.mark.new("requests were answered by 20 processes")
def test_a_worker_serves_one_client_after_another(server):
    pids = [who_answers(server) for _ in range(20)]
    there = children(server)
    assert set(pids) <= set(there), (
        f"20 requests were answered by {len(set(pids))} processes: {pids}. "
        f"They should be answered by the workers, {there}: a worker goes back to accept."
    )


@pytest.mark.lesson("fork-first-then-accept")
@new
def test_the_workers_accept_on_the_listener_of_the_parent(two):
    for pid in workers(two, 2):
        states = [connection.status for connection in psutil.Process(pid).net_connections("tcp")]
        assert states == ["LISTEN"], (
            f"Worker {pid}, which has no client, has these sockets: {states}. It should have the "
            "listener, and nothing else. Who closes a connection after its answer?"
        )


@pytest.mark.lesson("fork-first-then-accept")
@new
def test_two_workers_serve_two_clients_at_the_same_time(two, gate):
    with RequestAtGate(gate, two) as one, RequestAtGate(gate, two) as other:
        assert {one.pid, other.pid} == workers(two, 2), "Two workers should serve two clients."
        gate.open()
        assert (one.rest(), other.rest()) == (b"the rest", b"the rest")


@pytest.mark.lesson("what-a-worker-remembers")
@new
def test_each_worker_has_a_counter_of_its_own_that_counts_on(start, gate, tmp_path):
    server = start(APPLICATION, "--workers", "2")
    with Gate(tmp_path / "other") as other_gate, RequestAtGate(gate, server) as held:
        counts = [count_to_three(server)]
        with RequestAtGate(other_gate, server):  # now the worker that counted is held
            gate.open()
            held.rest()
            counts.append(count_to_three(server))
    assert counts == [[1, 2, 3], [1, 2, 3]], (
        f"Two workers counted {counts}. A worker lives on, so its counter counts on. But it has a "
        "copy of the memory: what one of them counts, the other does not see."
    )


def count_to_three(server):
    """Return what the application counts in three requests."""
    return [int(get(server, "/count").body) for _ in range(3)]


@pytest.mark.lesson("what-it-costs")
@new
def test_as_many_slow_clients_as_workers_hold_up_all_others(two):
    with connect(two) as slow, connect(two), connect(two) as third:
        third.sendall(b"GET /process HTTP/1.1\r\nHost: test\r\n\r\n")
        third.settimeout(0.2)
        with pytest.raises(TimeoutError):
            data = third.recv(65536)
            raise AssertionError(f"Two silent clients, two workers, and a third client got {data}.")
        slow.close()
        third.settimeout(PATIENCE)
        assert receive_all(third).startswith(b"HTTP/1.1 200"), (
            "One of two slow clients has gone, and the client that waited got no answer."
        )


@pytest.mark.lesson("what-it-costs")
@new
@pytest.mark.parametrize("target", ["/process", pytest.param("/large?200000", marks=LINUX)])
def test_clients_that_keep_their_ends_open_hold_up_no_worker(two, target):
    requests = format_request(target), format_request("/process")
    seconds = seconds_of_a_fifth_client(two, *requests)
    assert seconds < 0.5, (
        f"Four clients had read their answers, and kept their ends of the connections open. The "
        f"answer of a fifth client took {seconds:.2f} s. Wait for nobody who has all of his answer."
    )


@pytest.mark.lesson("what-a-worker-remembers")
@new
def test_two_hundred_requests_leave_the_same_processes_and_descriptors(two):
    there = workers(two, 2)
    for _ in range(10):
        get(two, "/process")
    processes = [psutil.Process(pid) for pid in (two.pid, *there)]
    before = [process.num_fds() for process in processes]
    clients = [threading.Thread(target=ask_often, args=(two, 20)) for _ in range(10)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    assert workers(two, 2) == there, "200 requests were served, and the workers are not the same."
    after = wait_until_at_most(before, lambda: [process.num_fds() for process in processes])
    assert all(map(operator.le, after, before)), (
        f"The parent and its two workers had {before} open descriptors, and have {after} after 200 "
        "requests. Does a worker close each connection?"
    )


def ask_often(server, times):
    """Send a request some times, one after another."""
    for _ in range(times):
        get(server, "/process")


def wait_until_at_most(limits, function):
    """Wait until no number of a list is above its limit, but not for long. Return the last list."""
    with contextlib.suppress(AssertionError):
        wait_until(lambda: all(map(operator.le, function(), limits)), "", SOON)
    return function()


# A worker that ends


@pytest.mark.lesson("the-parent-looks-after-its-workers")
@new
def test_a_worker_that_is_killed_is_replaced_and_only_its_client_is_hurt(two, gate):
    with RequestAtGate(gate, two) as killed, RequestAtGate(gate, two) as other:
        os.kill(killed.pid, signal.SIGKILL)
        assert killed.rest() == b"", "A worker was killed, and its client got more after that."
        check_log(two, killed.pid, -9)
        check_answer(two, "One worker was killed, the other is busy")
        gate.open()
        assert other.rest() == b"the rest", (
            "A worker was killed, and the client of the other one got no whole answer."
        )
    assert {other.pid} < workers(two, 2)


@pytest.mark.lesson("the-parent-looks-after-its-workers")
@new
@pytest.mark.parametrize(
    "way, stays",
    [
        ("return", True),
        ("raise", True),
        ("sys.exit", True),
        ("KeyboardInterrupt", False),
        ("close", False),
        ("_exit", False),
        ("abort", False),
        ("kill", False),
        ("terminate", False),
    ],
)
def test_whatever_the_application_does_there_are_as_many_workers(two, way, stays):
    pid = int(get(two, f"/end?{way}").body)
    if not stays:
        wait_until(
            lambda: pid not in children(two),
            f"The application ended by {way}, and worker {pid} is still there, or a zombie.",
        )
    check_answer(two, f"The application ended by {way}")
    assert (pid in workers(two, 2)) == stays, (
        f"The application ended by {way}. Worker {pid} should "
        f"{'serve on' if stays else 'be replaced'}."
    )


@pytest.mark.lesson("what-a-worker-remembers")
@new
def test_a_worker_without_descriptors_is_replaced(start):
    server = start(APPLICATION, "--workers", "1")
    get(server, "/descriptors")
    check_answer(server, "The application has used up all descriptors of its process")


@pytest.mark.lesson("fork-first-then-accept")
@new
def test_clients_wait_in_the_queue_while_no_worker_is_there(start):
    server = start(APPLICATION, "--workers", "1")
    [pid] = workers(server, 1)
    server.send_signal(signal.SIGSTOP)  # the parent replaces nobody
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_at_work(pid), "The worker does not end.")
    with connect(server) as client:
        client.sendall(b"GET /process HTTP/1.1\r\nHost: test\r\n\r\n")
        server.send_signal(signal.SIGCONT)
        answer = receive_all(client)
    assert answer.startswith(b"HTTP/1.1 200"), (
        f"A client came when no worker was there, and got {answer[:80]}. The parent has the "
        "listener open, so the kernel keeps the connection until a new worker accepts it."
    )


@pytest.mark.lesson("the-parent-looks-after-its-workers")
@new
def test_ten_workers_that_are_killed_at_once_are_collected_at_once(start):
    server = start(APPLICATION, "--workers", "10")
    killed = workers(server, 10)
    server.send_signal(signal.SIGSTOP)
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(map(is_at_work, killed)), "Some of ten workers do not end.")
    server.send_signal(signal.SIGCONT)
    server.wait_for_line("ended with -9", count=10)
    workers(server, 10)
    ends = ["ended with -9" in line for line in server.output()]
    first = ends.index(True)
    assert all(ends[first : first + 10]), (
        "Ten workers were killed at the same moment. The parent should collect all of them before "
        f"it forks again. It printed:\n{server.report()}"
    )


SICK = """
import os

def die():
    if os.path.exists("sick"):
        os._exit(1)

os.register_at_fork(after_in_child=die)
from fork_apps import application
"""


@pytest.mark.lesson("the-parent-looks-after-its-workers")
@new
def test_workers_that_end_at_their_start_are_not_replaced_without_a_pause(start, tmp_path):
    (tmp_path / "sick.py").write_text(SICK)
    sick = tmp_path / "sick"
    sick.touch()
    begin = time.monotonic()
    path = {"PYTHONPATH": str(APPLICATIONS)}
    server = start("sick:application", "--workers", "1", cwd=tmp_path, environment=path)
    server.wait_for_line("ended with 1", count=8)
    seconds = time.monotonic() - begin
    assert seconds >= 0.8, (
        f"A worker that ends at its start was replaced 8 times in {seconds:.2f} seconds. A "
        "parent that forks without a pause takes all the time of a processor."
    )
    sick.unlink()
    check_answer(server, "Workers ended at their start, but no more")


# fork fails


@pytest.mark.lesson("the-parent-looks-after-its-workers")
@new
def test_a_fork_that_fails_is_tried_again_a_second_later(start, tmp_path):
    switch = tmp_path / "fork_fails"
    switch.touch()
    begin = time.monotonic()
    environment = {"FORK_FAILS_WHILE": str(switch)}
    server = start(APPLICATION, "--workers", "2", environment=environment)
    with connect(server) as client:
        client.sendall(b"GET /process HTTP/1.1\r\nHost: test\r\n\r\n")
        server.wait_for_line("cannot fork: Resource temporarily unavailable")
        switch.unlink()
        assert receive_all(client).startswith(b"HTTP/1.1 200"), (
            f"fork works again, and a client that waited got no page:\n{server.report()}"
        )
    assert time.monotonic() - begin >= 1, "A fork failed. The next should come a second later."
    workers(server, 2)


@pytest.mark.lesson("the-parent-looks-after-its-workers")
@new
def test_a_server_that_cannot_fork_stops_in_good_order(start, tmp_path):
    switch = tmp_path / "fork_fails"
    switch.touch()
    environment = {"FORK_FAILS_WHILE": str(switch)}
    server = start(APPLICATION, "--workers", "2", environment=environment)
    server.wait_for_line("cannot fork")
    server.send_signal(signal.SIGTERM)
    check_end(server)


# The stop


@pytest.mark.lesson("the-orderly-stop")
@new
def test_all_workers_end_with_the_server_and_the_port_is_free(start):
    server = start(APPLICATION, "--workers", "3")
    pids = workers(server, 3)
    server.send_signal(signal.SIGTERM)
    server.wait(2 * SOON)
    check_end(server)
    left = [pid for pid in pids if is_at_work(pid)]
    assert not left, f"The server has ended, and its workers {left} serve on."
    assert is_refused(server)
    start(APPLICATION, "--workers", "1", port=server.port)


@pytest.mark.lesson("the-orderly-stop")
@new
def test_the_stop_waits_for_no_child_but_the_workers(start, tmp_path, gate):
    server = start_with_a_program(start, tmp_path, gate, "--workers", "2")
    server.wait_for_line("started child", count=2)
    server.send_signal(signal.SIGTERM)
    try:
        server.wait(2 * SOON)
    except AssertionError as problem:
        raise AssertionError(
            "The application had started a program, which runs on, and at the stop the server "
            f"waits for it. It should wait for its workers only: it knows their PIDs.\n{problem}"
        ) from None
    gate.open()
    check_end(server)


IGNORED = "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execvp("
IGNORED += "sys.argv[1], sys.argv[1:])"


@pytest.mark.lesson("the-parent-looks-after-its-workers")
@new
def test_a_server_that_was_started_with_sigchld_ignored_replaces_its_workers(command):
    command = [*command, APPLICATION, "--workers", "1", "--port", "0"]
    with Server([sys.executable, "-c", IGNORED, *command]) as server:
        [pid] = workers(server, 1)
        os.kill(pid, signal.SIGKILL)
        try:
            check_log(server, pid, -9)
            assert pid not in workers(server, 1)
        except AssertionError as problem:
            raise AssertionError(
                "Who started the server ignored SIGCHLD, and a child inherits that. Then the "
                "kernel keeps no status of a worker that has ended, and the parent waits in vain. "
                f"Set SIGCHLD to SIG_DFL.\n{problem}"
            ) from None
        server.send_signal(signal.SIGTERM)
        check_end(server)


@pytest.mark.lesson("the-orderly-stop")
@new
def test_a_worker_that_gets_sigterm_finishes_its_request_and_is_replaced(two, gate):
    with RequestAtGate(gate, two) as request:
        os.kill(request.pid, signal.SIGTERM)
        gate.open()
        assert request.rest() == b"the rest", (
            "A worker got SIGTERM, and cut its answer short. The parent sends this signal at the "
            "stop. Which handler does the worker have?"
        )
        check_log(two, request.pid, 0)
    assert request.pid not in workers(two, 2)


@pytest.mark.lesson("a-worker-without-a-parent")
@new
def test_workers_end_when_their_server_was_killed(start, gate):
    server = start(APPLICATION, "--workers", "3")
    pids = workers(server, 3)
    with RequestAtGate(gate, server) as request:
        server.process.kill()
        server.process.wait()
        for pid in pids - {request.pid}:
            wait_until(
                lambda pid=pid: not is_at_work(pid),
                f"The server was killed, and its worker {pid} serves on. Nobody will replace it, "
                "and nobody will stop it. A worker can see that it has a new parent: os.getppid.",
                seconds=2 * SOON,
            )
        gate.open()
        assert request.rest() == b"the rest", "The request in flight was cut short."
    wait_until(lambda: not is_at_work(request.pid), "The last worker serves on.", 2 * SOON)
    start(APPLICATION, "--workers", "1", port=server.port)
