"""Step 6: workers are there before the first client. Each serves one client after another."""

import contextlib
import os
import re
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
    read_reply,
    seconds_of_a_fifth_client,
    wait_until,
)
from tests.processes import (
    ROOM,
    SOON,
    SPARE,
    STOP_SECONDS,
    RequestAtGate,
    check_answer,
    check_end,
    check_gone,
    check_prints_once,
    children,
    is_refused,
    processor_seconds,
    stop_with_endless_requests,
)
from tests.test_step01_echo_socket import assert_help_tells_the_defaults, limit_descriptors
from tests.test_step05_zombies import check_orderly_stop, start_with_a_program

STEP = "step06_prefork"
APPLICATION = "fork_apps:application"
MILESTONES = [
    "Workers are there before the first client",
    "A worker that ends is replaced",
    "The stop ends the workers, and cuts no answer short",
    "Whatever happens, there are workers",
]
IDEA = 3

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this step needs os.fork")

# The server of step 5 takes no --workers, and says so.
new = pytest.mark.new("does not take the argument '--workers'")


@pytest.fixture
def two(shared):
    """A running server with two workers, which tests share."""
    return shared(APPLICATION, "--workers", "2")


def workers(server, number):
    """Wait until a server has so many children, all of them at work. Return their PIDs, a set."""

    def ready():
        pids = children(server)
        return len(pids) == number and all(map(is_at_work, pids)) and pids

    def hint():
        found = {pid: "at work" if is_at_work(pid) else "zombie" for pid in children(server)}
        return (
            f"The server should have {number} workers. It has {len(found)} children: {found}. The "
            "parent should fork until all are there, and replace each one that has "
            "ended."
        )

    return set(wait_until(ready, hint, 2 * SOON))


def answering_pid(server):
    """Return the PID of the process that answers a request."""
    return int(get(server, "/process").body.split()[0])


# 1. Workers are there before the first client


@pytest.mark.lesson("fork-first-then-accept")
@new
@pytest.mark.parametrize("number", [1, 5])
def test_the_option_workers_says_how_many(start, number):
    workers(start(APPLICATION, "--workers", str(number)), number)


@pytest.mark.lesson("fork-first-then-accept")
@pytest.mark.new("It has 0 children")
@pytest.mark.course("how many workers there are by default is each server's own business")
def test_there_is_a_worker_for_each_processor_before_a_client_comes(server):
    affinity = getattr(os, "sched_getaffinity", None)
    workers(server, len(affinity(0)) if affinity else os.cpu_count())


@pytest.mark.lesson("fork-first-then-accept")
@pytest.mark.new("It has 0 children")
@pytest.mark.course("how many workers there are by default is each server's own business")
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no process")
def test_a_processor_that_the_server_may_not_use_gets_no_worker(start):
    usable = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(usable)})
    try:
        server = start(APPLICATION)
    finally:
        os.sched_setaffinity(0, usable)
    workers(server, 1)


@pytest.mark.lesson("fork-first-then-accept")
@pytest.mark.new("does not tell the default of --workers")
@pytest.mark.course("the defaults are our choice")
def test_help_tells_how_many_workers_there_are_by_default(command):
    text = assert_help_tells_the_defaults(command)
    assert re.search(r"--workers WORKERS\s.*\(default: \d+\)", text), (
        f"--help does not tell the default of --workers:\n{text}"
    )


@pytest.mark.lesson("fork-first-then-accept")
@new
def test_a_worker_serves_one_client_after_another(two):
    there = workers(two, 2)
    pids = [answering_pid(two) for _ in range(20)]
    assert set(pids) <= there, (
        f"20 requests were answered by {len(set(pids))} processes: {pids}. They should be "
        f"answered by the workers, {sorted(there)}, because a worker goes back to accept."
    )


@pytest.mark.lesson("fork-first-then-accept")
@new
def test_the_workers_accept_on_the_listener_of_the_parent(two):
    def sockets():
        return {
            pid: [connection.status for connection in psutil.Process(pid).net_connections("tcp")]
            for pid in workers(two, 2)
        }

    with contextlib.suppress(AssertionError):  # a connection may be about to be closed
        wait_until(lambda: set(map(tuple, sockets().values())) == {("LISTEN",)}, "", SOON)
    for pid, states in sockets().items():
        assert states == ["LISTEN"], (
            f"Worker {pid}, which has no client, has these sockets: {states}. It should have the "
            "listener, and nothing else. Does it close each connection after the answer?"
        )


@pytest.mark.lesson("fork-first-then-accept")
@new
def test_two_workers_serve_two_clients_at_the_same_time(two, gate):
    with RequestAtGate(gate, two) as one, RequestAtGate(gate, two) as other:
        assert {one.pid, other.pid} == workers(two, 2), (
            "Two clients came at the same time, and each of two workers should serve one of them."
        )
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
        f"Two workers counted {counts}. A worker lives on, so its counter counts on, but each "
        "worker has a copy of the memory, so it does not see what the other one counts."
    )


def count_to_three(server):
    """Return what the application counts in three requests."""
    return [int(get(server, "/count").body) for _ in range(3)]


@pytest.mark.lesson("what-it-costs")
@new
@pytest.mark.course("a worker that has threads serves more clients than one")
def test_as_many_slow_clients_as_workers_hold_up_all_others(two):
    with connect(two) as slow, connect(two), connect(two) as third:
        third.sendall(format_request("/process"))
        third.settimeout(0.2)
        with pytest.raises(TimeoutError):
            data = third.recv(65536)
            raise AssertionError(
                f"Two silent clients hold two workers, and a third client got {data} all the same."
            )
        slow.close()
        third.settimeout(PATIENCE)
        assert read_reply(third).status == 200, (
            "One of two slow clients has gone, but the client that waited got no answer."
        )


@pytest.mark.lesson("what-a-worker-remembers")
@new
def test_two_hundred_requests_leave_the_same_processes_and_descriptors(two):
    there = workers(two, 2)
    for _ in range(10):
        get(two, "/process", to_end=True)
    processes = [psutil.Process(pid) for pid in (two.pid, *there)]
    most = [process.num_fds() + SPARE for process in processes]
    clients = [threading.Thread(target=ask_often, args=(two, 20)) for _ in range(10)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    assert workers(two, 2) == there, "200 requests were served, and the workers are not the same."

    def too_many():
        after = [process.num_fds() for process in processes]
        return [number for number, limit in zip(after, most, strict=True) if number > limit]

    with contextlib.suppress(AssertionError):
        wait_until(lambda: not too_many(), "", SOON)
    assert not too_many(), (
        f"After 200 requests processes of the server have {too_many()} open descriptors. {SPARE} "
        f"more than at first would be right, which is at most {most}. Does a worker close each "
        "connection?"
    )


def ask_often(server, times):
    """Send a request some times, one after another."""
    for _ in range(times):
        get(server, "/process", to_end=True)


# 2. A worker that ends is replaced


@pytest.mark.milestone(2)
@pytest.mark.lesson("the-parent-looks-after-its-workers")
@new
def test_a_worker_that_is_killed_is_replaced_and_only_its_client_is_hurt(two, gate):
    with RequestAtGate(gate, two) as killed, RequestAtGate(gate, two) as other:
        os.kill(killed.pid, signal.SIGKILL)
        assert killed.rest() == b"", "A worker was killed, but its client got more after that."
        check_gone(
            two,
            killed.pid,
            "It was a worker, and was killed. The parent should wait for it, and fork another.",
        )
        check_answer(two, "One worker was killed, the other is busy")
        gate.open()
        assert other.rest() == b"the rest", (
            "A worker was killed, and the client of the other one got no whole answer."
        )
    assert other.pid in workers(two, 2), (
        f"One worker was killed, and the other one, process {other.pid}, is no worker any more."
    )


@pytest.mark.milestone(2)
@pytest.mark.lesson("the-parent-looks-after-its-workers")
@new
@pytest.mark.parametrize("way", ["_exit", "abort", "kill", "close", "KeyboardInterrupt", "raise"])
def test_whatever_the_application_does_there_are_as_many_workers(two, way):
    pid = int(get(two, f"/end?{way}").body)
    if way in ("_exit", "abort", "kill"):
        check_gone(two, pid, f"It was a worker, and its application ended by {way}.")
    check_answer(two, f"The application ended by {way}")
    workers(two, 2)


@pytest.mark.milestone(2)
@pytest.mark.lesson("the-parent-looks-after-its-workers")
@new
@pytest.mark.course("after an exception a worker may serve on, or be replaced")
@pytest.mark.parametrize(
    "way, stays",
    [
        ("return", True),
        ("raise", True),
        ("sys.exit", True),
        ("KeyboardInterrupt", False),
        ("close", False),
        ("terminate", False),
    ],
)
def test_a_worker_serves_on_after_what_it_can_catch(two, way, stays):
    pid = int(get(two, f"/end?{way}").body)
    if stays:
        check_answer(two, f"The application ended by {way}")
        assert pid in workers(two, 2), (
            f"The application ended by {way}, and worker {pid} was replaced, but it could have "
            "served on."
        )
    else:
        check_gone(two, pid, f"Its application ended by {way}. So it should be replaced.")


@pytest.mark.milestone(2)
@pytest.mark.lesson("the-parent-looks-after-its-workers")
@new
@pytest.mark.course(
    "after a client that is lost a worker may be replaced; the log's words are ours"
)
@pytest.mark.parametrize(
    "sent, words",
    [
        (b"nonsense\r\n\r\n", "400 Bad Request"),
        (b"GET / HTTP/1.1\r\n", "400 Bad Request"),
        (b"GET /big HTTP/1.1\r\nHost: test\r\n\r\n", "(reset|Broken pipe)"),
    ],
    ids=["a request of nonsense", "half a request", "and reads half its answer"],
)
def test_a_worker_serves_on_after_a_client_that_is_lost(two, sent, words):
    there = workers(two, 2)
    with connect(two) as client:
        port = client.getsockname()[1]
        client.sendall(sent)
        if sent.endswith(b"\r\n\r\n"):
            client.recv(1)
    two.wait_for_line(rf":{port} .*{words}")
    check_answer(two, "A client was lost")
    assert workers(two, 2) == there, "A client was lost, and the worker that served it ended."


@pytest.mark.milestone(2)
@pytest.mark.lesson("fork-first-then-accept")
@new
def test_clients_wait_in_the_queue_while_no_worker_is_there(start):
    server = start(APPLICATION, "--workers", "1")
    [pid] = workers(server, 1)
    server.send_signal(signal.SIGSTOP)  # the parent replaces nobody
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_at_work(pid), "The worker was killed, but it does not end.")
    with connect(server) as client:
        client.sendall(format_request("/process"))
        server.send_signal(signal.SIGCONT)
        try:
            status = read_reply(client).status
        except (OSError, AssertionError) as problem:
            status = problem
    assert status == 200, (
        f"A client came when no worker was there, and got: {status}. The parent has to keep the "
        "listener open, so that the kernel keeps the connection until a new worker accepts it."
    )


@pytest.mark.milestone(2)
@pytest.mark.lesson("the-parent-looks-after-its-workers")
@new
def test_ten_workers_that_are_killed_at_once_are_all_replaced(start):
    server = start(APPLICATION, "--workers", "10")
    killed = workers(server, 10)
    kill_at_once(server, killed)
    left = killed & workers(server, 10)
    assert not left, f"Ten workers were killed, but {left} of them are said to be at work."


def kill_at_once(server, pids):
    """Kill all workers of a server while it is stopped, so that it learns of all at once."""
    server.send_signal(signal.SIGSTOP)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    wait_until(
        lambda: not any(map(is_at_work, pids)),
        "Ten workers were killed, but some of them do not end.",
    )
    server.send_signal(signal.SIGCONT)


@pytest.mark.milestone(2)
@pytest.mark.lesson("the-parent-looks-after-its-workers")
@new
@pytest.mark.course("to replace one worker after another is as good")
def test_ten_workers_that_are_killed_at_once_are_collected_at_once(start):
    server = start(APPLICATION, "--workers", "10")
    killed = workers(server, 10)
    kill_at_once(server, killed)

    def are_collected():
        there = set(children(server))
        assert not there & killed or there <= killed, (
            f"Ten workers were killed at the same moment. Now {len(there & killed)} of them are "
            f"zombies, and {len(there - killed)} new ones are there. The parent should collect all "
            "of them before it forks again."
        )
        return not there & killed

    wait_until(
        are_collected, "Ten workers were killed, but the parent does not wait for them.", SOON
    )
    workers(server, 10)


# 3. The stop ends the workers, and cuts no answer short


@pytest.mark.milestone(3)
@pytest.mark.lesson("the-orderly-stop")
@new
def test_all_workers_end_with_the_server_and_the_port_is_free(start):
    server = start(APPLICATION, "--workers", "3")
    pids = workers(server, 3)
    get(server, "/process", to_end=True)
    server.send_signal(signal.SIGTERM)
    check_end(server, 2 * SOON)
    left = [pid for pid in pids if is_at_work(pid)]
    assert not left, (
        f"The server has ended, but its workers {left} serve on. The parent should send them "
        "SIGTERM."
    )
    assert is_refused(server)
    try:
        start(APPLICATION, "--workers", "1", port=server.port)
    except AssertionError as problem:
        raise AssertionError(
            "The server and its workers have ended, but another one cannot have the port, because "
            "a connection is still in the state TIME_WAIT. SO_REUSEADDR lets a server have it all "
            f"the same (step 1, 'Set options').\n{problem}"
        ) from None


@pytest.mark.milestone(3)
@pytest.mark.lesson("the-orderly-stop")
@new
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_signal_lets_the_request_in_flight_finish(start, gate, number):
    server = start(APPLICATION, "--workers", "2")
    check_orderly_stop(server, gate, number.name, lambda: server.send_signal(number))


@pytest.mark.milestone(3)
@pytest.mark.lesson("the-orderly-stop")
@new
def test_ctrl_c_in_a_terminal_lets_the_request_in_flight_finish(start, gate):
    """A terminal sends SIGINT to the whole process group: to the workers, too."""
    server = start(APPLICATION, "--workers", "2")
    stop = "Ctrl-C, which sends SIGINT to the workers, too,"
    check_orderly_stop(server, gate, stop, lambda: os.killpg(server.pid, signal.SIGINT))


@pytest.mark.milestone(3)
@pytest.mark.lesson("the-orderly-stop")
@new
def test_ctrl_c_ends_idle_workers_without_a_traceback(start):
    server = start(APPLICATION, "--workers", "2")
    pids = workers(server, 2)
    os.killpg(server.pid, signal.SIGINT)
    check_end(server, 2 * SOON)
    left = [pid for pid in pids if is_at_work(pid)]
    assert not left, f"Ctrl-C has ended the server, but its workers {left} serve on."


@pytest.mark.milestone(3)
@pytest.mark.lesson("the-orderly-stop")
@new
@pytest.mark.course("a parent may tell its workers to stop by something else than SIGTERM")
def test_a_worker_that_gets_sigterm_finishes_its_request_and_is_replaced(two, gate):
    with RequestAtGate(gate, two) as request:
        os.kill(request.pid, signal.SIGTERM)
        gate.open()
        assert request.rest() == b"the rest", (
            "A worker got SIGTERM, and cut its answer short. The parent sends this signal at the "
            "stop, so the worker needs a handler that only notes it."
        )
        check_gone(two, request.pid, "It got SIGTERM, so it should end after its request.")
    workers(two, 2)


@pytest.mark.milestone(3)
@pytest.mark.lesson("the-orderly-stop")
@new
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_what_an_application_prints_is_there_once(start, stream):
    server = start(APPLICATION, "--workers", "2")
    hint = f"A worker that leaves by os._exit has to flush {stream} before."
    check_prints_once(server, stream, signal.SIGTERM, hint)


@pytest.mark.milestone(3)
@pytest.mark.lesson("the-orderly-stop")
@new
@pytest.mark.course("what a log says is each server's own business")
def test_the_log_says_when_workers_begin_and_end(start):
    server = start(APPLICATION, "--workers", "1")
    [pid] = workers(server, 1)
    server.wait_for_line(rf"^\[{server.pid}\] server started child {pid}$")
    os.kill(pid, signal.SIGKILL)
    server.wait_for_line(rf"^\[{server.pid}\] child {pid} ended with -9$")
    [pid] = workers(server, 1)
    server.wait_for_line(rf"^\[{server.pid}\] server started child {pid}$")
    server.send_signal(signal.SIGTERM)
    status = server.wait()
    last = [f"[{server.pid}] server stops when its children have finished"]
    last += [f"[{server.pid}] child {pid} ended with 0"]
    assert (status, server.output()[-2:], server.output("stderr")) == (0, last, [])


# 4. Whatever happens, there are workers


@pytest.mark.milestone(4)
@pytest.mark.lesson("step01_echo_socket/README.md#the-command-line")
@pytest.mark.parametrize(
    "number",
    [pytest.param("0", marks=pytest.mark.course("0 may stand for a default")), "-1", "two"],
)
def test_without_a_worker_the_server_does_not_start(command, number):
    words = [*command, APPLICATION, "--workers", number, "--port", "0"]
    with Server(words, first_line=False) as server:
        wait_until(
            lambda: server.output() or not server.is_running(),
            f"With --workers {number} it neither listened nor ended.",
        )
        assert not server.output(), f"With --workers {number} it listens, and serves nobody."
        assert server.wait() != 0, (
            f"With --workers {number} it ended with status 0, as if that were right."
        )


@pytest.mark.milestone(4)
@pytest.mark.lesson("step01_echo_socket/README.md#the-command-line")
@pytest.mark.course("our servers say what is wrong in one line, and end with status 2")
@pytest.mark.parametrize("number", ["0", "-1", "two"])
def test_without_a_worker_there_is_one_clear_line(command, number):
    with Server([*command, "--workers", number, "--port", "0"], first_line=False) as server:
        status = server.wait()
        lines = server.output("stderr")
    assert (status, len(lines)) == (2, 1) and "--workers" in lines[0], (
        f"With --workers {number} the server should say in one line what is wrong, and end with "
        f"status 2. The status is {status}.\n{server.report()}"
    )


@pytest.mark.milestone(4)
@pytest.mark.lesson("what-it-costs")
@new
@pytest.mark.parametrize("target", ["/process", pytest.param("/large?200000", marks=LINUX)])
def test_clients_that_keep_their_ends_open_hold_up_no_worker(two, target):
    requests = format_request(target), format_request("/process")
    seconds = seconds_of_a_fifth_client(two, *requests)
    assert seconds < 0.5, (
        f"Four clients had read their answers, and kept their ends of the connections open. The "
        f"answer of a fifth client took {seconds:.2f} s. Wait for nobody who has all of the answer."
    )


@pytest.mark.milestone(4)
@pytest.mark.lesson("what-a-worker-remembers")
@new
def test_a_worker_without_descriptors_is_replaced(start):
    server = start(APPLICATION, "--workers", "1")
    get(server, "/descriptors")
    check_answer(server, "The application has used up all descriptors of its process")


@pytest.mark.milestone(4)
@pytest.mark.lesson("what-a-worker-remembers")
@new
@pytest.mark.course("the log's words are ours, and so is the pause of a second")
@pytest.mark.skipif(not hasattr(psutil.Process, "rlimit"), reason="needs prlimit(2), of Linux")
def test_a_worker_that_cannot_accept_ends_a_second_later(start):
    server = start(APPLICATION, "--workers", "1")
    workers(server, 1)
    limit_descriptors(server, 1)
    begin = time.monotonic()
    with connect(server):
        server.wait_for_line("server cannot accept: Too many open files$", count=2)
    seconds = time.monotonic() - begin
    assert seconds >= 1, (
        f"No descriptor is free, and two workers in turn met that within {seconds:.2f} seconds. "
        "Without a pause workers are forked and end all the time."
    )


SICK = """
import contextlib, os, time

def note():
    with contextlib.suppress(FileNotFoundError), open("sick", "r+") as file:  # it makes no new one
        file.seek(0, os.SEEK_END)
        print(time.monotonic(), file=file)

def die():
    if os.path.exists("sick"):
        os._exit(1)

os.register_at_fork(before=note, after_in_child=die)
from fork_apps import application
"""


@pytest.mark.milestone(4)
@pytest.mark.lesson("the-parent-looks-after-its-workers")
@new
@pytest.mark.usefixtures("hooks")
def test_workers_that_end_at_their_start_are_not_replaced_without_a_pause(start, tmp_path):
    (tmp_path / "sick.py").write_text(SICK)
    sick = tmp_path / "sick"
    sick.touch()
    path = {"PYTHONPATH": str(APPLICATIONS)}
    server = start("sick:application", "--workers", "1", cwd=tmp_path, environment=path)
    wait_until(
        lambda: len(sick.read_text().splitlines()) >= 5,
        lambda: "Its worker ended at its start each time, but was not replaced four times.",
        2 * PATIENCE,
    )
    times = [float(line) for line in sick.read_text().splitlines()]  # of the forks, by its clock
    seconds = times[4] - times[0]
    assert seconds >= 0.3, (
        f"A worker that ends at its start was replaced four times in {seconds:.2f} seconds. A "
        "parent that forks without a pause takes all the time of a processor."
    )
    sick.unlink()
    check_answer(server, "Workers ended at their start, but no more")


@pytest.mark.milestone(4)
@pytest.mark.lesson("the-parent-looks-after-its-workers")
@new
def test_a_fork_that_fails_is_tried_again_after_a_pause(start, fork_fails):
    switch, environment = fork_fails
    tries = switch.with_suffix(".tries")
    server = start(APPLICATION, "--workers", "2", environment=environment)
    begin = time.monotonic()
    wait_until(
        lambda: not server.is_running() or (tries.exists() and tries.stat().st_size >= 2),
        "fork failed once, but the parent did not try again.",
        2 * PATIENCE,
    )
    assert server.is_running(), f"fork failed, and that ended the server. {server.state()}"
    seconds = time.monotonic() - begin
    with connect(server) as client:
        client.sendall(format_request("/process"))
        switch.unlink()
        assert read_reply(client).status == 200, (
            "fork works again, but a client that waited got no page."
        )
    assert seconds >= 0.2, (
        f"fork failed, and was tried again {seconds:.2f} seconds later. It will fail again for a "
        "while, so wait before the next try."
    )
    workers(server, 2)


@pytest.mark.milestone(4)
@pytest.mark.lesson("the-parent-looks-after-its-workers")
@new
def test_a_server_that_cannot_fork_stops_in_good_order(start, fork_fails):
    switch, environment = fork_fails
    tries = switch.with_suffix(".tries")
    server = start(APPLICATION, "--workers", "2", environment=environment)
    wait_until(
        lambda: not server.is_running() or tries.exists(),
        "The server was started with two workers, but it does not fork.",
    )
    server.send_signal(signal.SIGTERM)
    check_end(server)


@pytest.mark.milestone(4)
@pytest.mark.lesson("the-parent-looks-after-its-workers")
@new
@pytest.mark.course("the log's words are ours, and so is the pause of a second")
def test_the_log_says_once_a_second_why_fork_fails(start, fork_fails):
    _, environment = fork_fails
    begin = time.monotonic()
    server = start(APPLICATION, "--workers", "2", environment=environment)
    why = "server cannot fork: Resource temporarily unavailable"
    server.wait_for_line(rf"^\[{server.pid}\] {why}$", count=2)
    seconds = time.monotonic() - begin
    assert seconds >= 1, (
        f"fork was tried twice within {seconds:.2f} seconds, but there should be a second between."
    )


IGNORED = "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execvp("
IGNORED += "sys.argv[1], sys.argv[1:])"


@pytest.mark.milestone(4)
@pytest.mark.lesson("the-parent-looks-after-its-workers")
@new
def test_a_server_that_was_started_with_sigchld_ignored_replaces_its_workers(command):
    command = [*command, APPLICATION, "--workers", "1", "--port", "0"]
    with Server([sys.executable, "-c", IGNORED, *command]) as server:
        [pid] = workers(server, 1)
        os.kill(pid, signal.SIGKILL)
        try:
            check_gone(server, pid, "")
            check_answer(server, "Its worker was killed")
        except (AssertionError, psutil.NoSuchProcess) as problem:
            raise AssertionError(
                "The program that started the server ignored SIGCHLD, and a child inherits that. "
                "Then the kernel keeps no status of a worker that has ended, and the parent waits "
                f"in vain. Set SIGCHLD to SIG_DFL.\n{problem}"
            ) from None
        server.send_signal(signal.SIGTERM)
        check_end(server)


@pytest.mark.milestone(4)
@pytest.mark.lesson("the-orderly-stop")
@new
@pytest.mark.course("to wait for all children is as good: step 5 does it")
def test_the_stop_waits_for_no_child_but_the_workers(start, tmp_path, gate):
    server = start_with_a_program(start, tmp_path, gate, "--workers", "2")
    workers(server, 3)  # the program is a child, too
    server.send_signal(signal.SIGTERM)
    try:
        server.wait(2 * SOON)
    except AssertionError as problem:
        raise AssertionError(
            "The application had started a program, which runs on, and at the stop the server "
            f"waits for it. It should wait only for its workers, whose PIDs it knows.\n{problem}"
        ) from None
    gate.open()
    check_end(server)


@pytest.mark.milestone(4)
@pytest.mark.lesson("a-worker-without-a-parent")
@new
def test_workers_end_when_their_server_was_killed(start, gate, tmp_path):
    server = start(APPLICATION, "--workers", "3")
    pids = workers(server, 3)
    with RequestAtGate(gate, server) as request:
        with Gate(tmp_path / "other") as other_gate, contextlib.ExitStack() as stack:
            others = [stack.enter_context(RequestAtGate(other_gate, server)) for _ in range(2)]
            other_gate.open()
            for other in others:  # each worker has served, so it is back at accept, not on its way
                other.rest()
        get(server, "/process", to_end=True)
        server.process.kill()
        server.process.wait()
        for pid in pids - {request.pid}:
            wait_until(
                lambda pid=pid: not is_at_work(pid),
                f"The server was killed, and its worker {pid} serves on. Nobody will replace it "
                "or stop it. A worker can see that it has a new parent, because os.getppid "
                "returns another number.",
                2 * SOON,
            )
        gate.open()
        assert request.rest() == b"the rest", "The request in flight was cut short."
    wait_until(
        lambda: not is_at_work(request.pid),
        "The server was killed, and the worker that had a request serves on after it.",
        2 * SOON,
    )
    start(APPLICATION, "--workers", "1", port=server.port)


LOSES_A_SIGNAL = """
import signal

def application(environ, start_response):
    handler = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, lambda *_: signal.signal(signal.SIGTERM, handler))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"The next SIGTERM is lost.\\n"]
"""


@pytest.mark.milestone(4)
@pytest.mark.lesson("the-orderly-stop")
@pytest.mark.course("how a worker is told to stop is each server's own choice")
def test_a_worker_that_loses_a_signal_gets_another_one(start, tmp_path):
    """One that was just forked loses it, because Python clears what came before."""
    (tmp_path / "loses_a_signal.py").write_text(LOSES_A_SIGNAL)
    server = start("loses_a_signal:application", "--workers", "1", cwd=tmp_path)
    assert get(server).status == 200
    server.send_signal(signal.SIGTERM)
    check_end(server, 5)


@pytest.mark.milestone(4)
@pytest.mark.lesson("the-orderly-stop")
@new
def test_at_the_stop_workers_have_ten_seconds_and_no_more(start, gate):
    idle = start(APPLICATION, "--workers", "2")
    there, used = workers(idle, 2), processor_seconds(idle)
    arguments = APPLICATION, "--workers", "2"
    for stop, seconds, server, pid in stop_with_endless_requests(start, gate, *arguments):
        assert seconds, (
            f"{stop} came, one worker does not finish, and the server still waits for it after "
            f"{STOP_SECONDS + ROOM} seconds. A worker that takes longer than {STOP_SECONDS} "
            "seconds must not hold up the stop."
        )
        assert seconds >= STOP_SECONDS, (
            f"{stop} came, and the server ended after {seconds:.1f} seconds. Workers have "
            f"{STOP_SECONDS} seconds to finish their answers."
        )
        check_end(server)
        wait_until(
            lambda: not is_at_work(pid),  # noqa: B023
            f"{stop} came, the server has ended, and its worker {pid} is still there. The parent "
            "knows its PID, so it can end it. A stopped process takes no signal but SIGKILL until "
            "it goes on.",
            ROOM,
        )
    assert workers(idle, 2) == there and used() < 1, (
        f"A server that had no client for {STOP_SECONDS} seconds used {used():.1f} seconds of "
        f"processor time, and has the workers {workers(idle, 2)}. They were {there}. It should "
        "wait without a loop that runs all the time."
    )
    check_answer(idle, f"The server had no client for {STOP_SECONDS} seconds")
