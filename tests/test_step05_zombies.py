"""Step 5: the server waits for each child that has ended, and stops in good order."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading

import psutil
import pytest

from tests.harness import (
    APPLICATIONS,
    PATIENCE,
    ROOT,
    come_to_rest,
    format_request,
    get,
    is_at_work,
    last_traceback,
    parse_reply,
    receive_all,
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
    children,
    is_refused,
    processor_seconds,
    stop_with_endless_requests,
)
from tests.test_step04_fork import check_503

STEP = "step05_zombies"
APPLICATION = "fork_apps:application"
MILESTONES = [
    "No zombie stays",
    "However many children end at once",
    "What a child inherits does not hurt it",
    "The stop is orderly",
    "Nothing holds up the stop, and nothing hurries it",
]
IDEA = 4

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this step needs os.fork")


def check_no_children(server, hint):
    """Wait until a server has no child, alive or zombie. Fail with the hint if some stay."""
    with contextlib.suppress(AssertionError):
        wait_until(lambda: not children(server), "", SOON)
    stay = children(server)
    states = ["at work" if is_at_work(pid) else "zombie" for pid in stay]
    assert not stay, (
        f"{len(stay)} of its children stay in the process table "
        f"({', '.join(sorted(set(states)))}). {hint} Try: ps -A -o pid,ppid,stat,comm"
    )


# 1. No zombie stays


@pytest.mark.lesson("sigchld-tells-the-parent")
@pytest.mark.new("children stay in the process table (zombie)")
@pytest.mark.flaw(last="step05_zombies")
def test_no_zombie_stays_after_a_request(server):
    get(server, "/process")
    check_no_children(
        server,
        "A child that has ended stays until its parent waits for it, which should happen at once, "
        "and not only when the next client comes. SIGCHLD tells the parent when a child has ended.",
    )


@pytest.mark.lesson("five-ways-to-end")
@pytest.mark.new("stays as a zombie")
@pytest.mark.parametrize(
    "way",
    [
        pytest.param("return", marks=pytest.mark.flaw(last="step05_zombies")),
        pytest.param("raise", marks=pytest.mark.flaw(last="step05_zombies")),
        pytest.param("sys.exit", marks=pytest.mark.flaw(last="step05_zombies")),
        "_exit",
        "abort",
        "kill",
    ],
)
def test_a_child_is_reaped_however_it_ends(server, way):
    pid = int(get(server, f"/end?{way}").body)
    check_gone(
        server,
        pid,
        f"Its application ended by {way}, and the parent has to wait for such a child, too.",
    )
    check_answer(server, f"A child ended by {way}")


@pytest.mark.lesson("sigchld-tells-the-parent")
@pytest.mark.new("stays as a zombie")
def test_a_child_that_is_killed_at_work_harms_nobody_else(server, gate):
    with RequestAtGate(gate, server) as killed, RequestAtGate(gate, server) as other:
        os.kill(killed.pid, signal.SIGKILL)
        assert killed.rest() == b"", "The child was killed, but its client got more after that."
        check_gone(
            server, killed.pid, "It was killed, and the parent has to wait for such a child, too."
        )
        gate.open()
        assert other.rest() == b"the rest", (
            "A child was killed, and the client of another one got no whole answer."
        )


@pytest.mark.lesson("wait-collects-a-child")
@pytest.mark.new("no line about the end of child")
@pytest.mark.course("what a log says is each server's own business")
@pytest.mark.parametrize(
    "way, code",
    [
        pytest.param("return", 0, marks=pytest.mark.flaw(last="step05_zombies")),
        ("_exit", 3),
        ("abort", -signal.SIGABRT),
        ("kill", -signal.SIGKILL),
    ],
)
def test_the_log_says_how_each_child_ended(server, way, code):
    pid = int(get(server, f"/end?{way}").body)
    found = []

    def ready():
        found[:] = [line for line in server.output() if f"child {pid} " in line]
        return found

    with contextlib.suppress(AssertionError):
        wait_until(ready, "", SOON)
    assert found, (
        f"The log has no line about the end of child {pid}. The parent learns of it by waitpid, "
        f"so it can print it: 'child {pid} ended with {int(code)}'. (With SIG_IGN the kernel "
        "throws the status away.)"
    )
    assert len(found) == 1 and found[0].endswith(f" {int(code)}"), (
        f"The log says of child {pid}: {found}. It should say once that it ended with "
        f"{int(code)}. os.waitstatus_to_exitcode tells an exit status from the number of a signal."
    )


@pytest.mark.lesson("five-ways-to-end")
@pytest.mark.course("it is about terminations.py, which is a program of this step's own")
def test_terminations_shows_five_ways_to_end(tmp_path):
    program = ROOT / STEP / "terminations.py"
    limit = "import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); "  # no core file
    run = f"import runpy; runpy.run_path({str(program)!r}, run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", limit + run],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    seconds = re.findall(r"; CPU time (\d\.\d{3}) s\n", done.stdout)
    assert len(seconds) == 5 and all(0 < float(each) < PATIENCE for each in seconds), (
        "For each of five children it should print the processor time that it used. It "
        f"printed:\n{done.stdout}{done.stderr}"
    )
    handler = "    the child's exit handler runs\n"
    learns = "    the parent learns: "
    assert re.sub(r"; CPU time .*", "", done.stdout) == (
        f"return from main\n{handler}{learns}ended with exit status 0\n"
        f"sys.exit(3)\n{handler}{learns}ended with exit status 3\n"
        f"os._exit(4)\n{learns}ended with exit status 4\n"
        f"os.abort()\n{learns}killed by SIGABRT, no core dump\n"
        f"a signal, SIGKILL\n{learns}killed by SIGKILL, no core dump\n"
    ), f"It printed:\n{done.stdout}{done.stderr}"
    assert (done.returncode, done.stderr) == (0, ""), (
        f"The program ended with status {done.returncode} and said:\n{done.stderr}"
    )


# 2. However many children end at once


@pytest.mark.milestone(2)
@pytest.mark.lesson("the-handler-loops")
@pytest.mark.new("children stay in the process table (zombie)")
@pytest.mark.flaw(last="step05_zombies")
def test_ten_children_that_end_at_once_are_all_reaped(start, gate):
    """The server is stopped while they end: ten signals of one kind become one."""
    server = start(APPLICATION)
    with contextlib.ExitStack() as stack:
        requests = [stack.enter_context(RequestAtGate(gate, server)) for _ in range(10)]
        server.send_signal(signal.SIGSTOP)
        gate.open()
        wait_until(
            lambda: not any(is_at_work(request.pid) for request in requests),
            "Some of ten children went on after their answer.",
        )
        server.send_signal(signal.SIGCONT)
        check_no_children(
            server,
            "Ten children ended at once. Signals of one kind merge while they wait, so the "
            "handler may run once for all ten. Does it loop until waitpid finds no more?",
        )


@pytest.mark.milestone(2)
@pytest.mark.lesson("the-handler-loops")
@pytest.mark.new("children stay in the process table (zombie)")
@pytest.mark.flaw(last="step05_zombies")
def test_five_hundred_requests_leave_no_zombie_and_no_descriptor(server):
    get(server, "/process", to_end=True)
    process = psutil.Process(server.pid)
    before = process.num_fds()
    answers = []

    def client():
        for _ in range(10):
            try:
                answers.append(get(server, "/process", to_end=True).status)
            except (OSError, AssertionError) as problem:
                answers.append(str(problem))

    clients = [threading.Thread(target=client) for _ in range(50)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    others = [answer for answer in answers if answer != 200]
    assert not others, (
        f"Of 500 requests, 50 at a time, {len(others)} were not answered with 200. So many may "
        "wait only if the backlog, which listen gets, is large enough (step 1, '4. Listen'). The "
        f"first one: {others[0]}"
    )
    check_no_children(
        server, "500 requests are over, and the parent has to wait for each of its children."
    )
    after = process.num_fds()
    assert after <= before + SPARE, (
        f"The server had {before} open descriptors before 500 requests, and has {after} now. "
        "Does the parent close its copy of each connection?"
    )


@pytest.mark.milestone(2)
@pytest.mark.lesson("wait-collects-a-child")
@pytest.mark.flaw(last="step05_zombies")
def test_a_child_that_is_stopped_harms_nobody_else(server, gate):
    with RequestAtGate(gate, server) as request:
        os.kill(request.pid, signal.SIGSTOP)
        for _ in range(2):
            try:
                reply = get(server, "/process", timeout=SOON)
            except (OSError, AssertionError):
                reply = None
            assert reply and reply.status == 200, (
                "One child is stopped, but has not ended, and the next client got no page. Does "
                "the handler wait for that child? With WNOHANG waitpid does not block."
            )
            pid = int(reply.body.split()[0])
            wait_until(lambda: not is_at_work(pid), "A child went on after its answer.")  # noqa: B023
        os.kill(request.pid, signal.SIGCONT)
        gate.open()
        assert request.rest() == b"the rest", (
            "A child was stopped, and then went on. But its client got no whole answer."
        )


@pytest.mark.milestone(2)
@pytest.mark.lesson("wait-collects-a-child")
def test_sigchld_without_a_child_harms_nobody(server):
    for _ in range(3):
        server.send_signal(signal.SIGCHLD)
        check_answer(
            server,
            "SIGCHLD came to the server, with no child that had ended. waitpid raises "
            "ChildProcessError when there are no children at all",
        )


# 3. What a child inherits does not hurt it


@pytest.mark.milestone(3)
@pytest.mark.lesson("the-child-gives-the-handler-back")
def test_the_application_learns_how_its_own_programs_end(server):
    status = get(server, "/program").body
    assert status == b"3", (
        f"The application ran a program that ends with status 3, and subprocess reports {status}. "
        "Who took the status away? A child inherits the server's handlers, so it should set "
        "SIGCHLD back to SIG_DFL."
    )


@pytest.mark.milestone(3)
@pytest.mark.lesson("the-child-gives-the-handler-back")
@pytest.mark.new("stays as a zombie")
@pytest.mark.flaw(last="step05_zombies")
def test_sigterm_to_a_child_ends_that_child_alone(server, gate):
    with RequestAtGate(gate, server) as request, RequestAtGate(gate, server) as other:
        os.kill(request.pid, signal.SIGTERM)
        check_gone(
            server,
            request.pid,
            "SIGTERM was sent to this child, and its client still waits. By default SIGTERM ends "
            "a process, but a child inherits the server's handlers, so it should set SIGTERM back "
            "to SIG_DFL.",
        )
        gate.open()
        assert other.rest() == b"the rest", (
            "SIGTERM was sent to one child, and the client of another one got no whole answer."
        )
    check_answer(server, "SIGTERM was sent to a child")


# 4. The stop is orderly


@pytest.mark.milestone(4)
@pytest.mark.lesson("the-orderly-stop")
def test_sigterm_ends_an_idle_server(start):
    server = start(APPLICATION)
    server.send_signal(signal.SIGTERM)
    check_end(server)


@pytest.mark.milestone(4)
@pytest.mark.lesson("the-orderly-stop")
@pytest.mark.new("did not wait for the request in flight")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_signal_lets_the_request_in_flight_finish(start, gate, number):
    server = start(APPLICATION)
    stop = {signal.SIGTERM: "SIGTERM (kill)", signal.SIGINT: "SIGINT (kill -INT)"}[number]
    check_orderly_stop(server, gate, stop, lambda: server.send_signal(number))


@pytest.mark.milestone(4)
@pytest.mark.lesson("the-orderly-stop")
@pytest.mark.new("The request in flight was cut short")
def test_ctrl_c_in_a_terminal_lets_the_request_in_flight_finish(start, gate):
    """A terminal sends SIGINT to the whole process group: to the children, too."""
    server = start(APPLICATION)
    stop = "Ctrl-C, which sends SIGINT to the children, too,"
    check_orderly_stop(server, gate, stop, lambda: os.killpg(server.pid, signal.SIGINT))


def check_orderly_stop(server, gate, stop, send_stop):
    """Stop a server that has a request in flight, and check all that should follow.

    stop: how, in words; send_stop: a function that does it.
    """

    def check_order():
        waited = server.is_running() or not is_at_work(request.pid)
        assert waited, (
            f"After {stop} the server did not wait for the request in flight. It ended, with "
            f"{server.how_it_ended()}, before that child did."
            + (
                " A signal ends a program that has no handler for it."
                if was_killed(server)
                else " Does something, such as sys.exit in the handler, end it at once? It should "
                "close the listener, and wait until its children have ended."
            )
        )

    with RequestAtGate(gate, server) as request:
        send_stop()
        come_to_rest(server)  # one that does not wait ends now
        check_order()
        gate.open()
        rest = request.rest()
        assert rest == b"the rest", (
            f"The request in flight was cut short: after {stop} came {rest!r}. The child should "
            "finish its answer, but something ended it. Does the server send its children a "
            "signal, or has a child no handler for the one that comes to all of them?"
        )
        check_end(server)
        check_order()


def was_killed(server):
    """Return whether a signal has ended the server, and no exception that a handler raised."""
    return server.process.returncode < 0 and not last_traceback(server.output("stderr"))


@pytest.mark.milestone(4)
@pytest.mark.lesson("the-orderly-stop")
@pytest.mark.new("did not wait for the request in flight")
@pytest.mark.flaw(last="step05_zombies")
def test_a_server_that_is_to_stop_takes_no_new_client(start, gate):
    server = start(APPLICATION)
    with RequestAtGate(gate, server) as request:
        server.send_signal(signal.SIGTERM)
        wait_until(
            lambda: is_refused(server),
            "SIGTERM came, and the server still takes new connections. First of all it should "
            "close the listener, which it can do in the handler.",
            SOON,
        )
        come_to_rest(server)
        assert server.is_running(), "The server did not wait for the request in flight."
        gate.open()
        assert request.rest() == b"the rest", "The request in flight was cut short."


@pytest.mark.milestone(4)
@pytest.mark.lesson("the-orderly-stop")
@pytest.mark.new("lines about it")
@pytest.mark.course("in another language the signal itself may end the server")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_stop_is_a_line_in_the_log_and_the_status_0(start, number):
    server = start(APPLICATION)
    server.send_signal(number)
    status = server.wait()
    lines = [line for line in server.output() if "stops when its children have finished" in line]
    assert (status, len(lines)) == (0, 1), (
        f"{number.name} came. The status is {status}, and the log has {len(lines)} lines about it."
    )


# 5. Nothing holds up the stop, and nothing hurries it


@pytest.mark.milestone(5)
@pytest.mark.lesson("the-orderly-stop")
@pytest.mark.new("did not wait for the request in flight")
@pytest.mark.flaw(last="step05_zombies")
def test_the_port_is_free_while_the_last_request_is_served(start, gate):
    server = start(APPLICATION)
    with RequestAtGate(gate, server) as request:
        server.send_signal(signal.SIGTERM)
        wait_until(
            lambda: is_refused(server),
            "SIGTERM came, but the server still takes new connections.",
            SOON,
        )
        try:
            start(APPLICATION, port=server.port)
        except AssertionError as problem:
            raise AssertionError(
                "The server is about to stop, but another one cannot have its port. Is the "
                "listener closed in the child, too? Then SO_REUSEADDR lets a server have its port "
                f"while there are connections (step 1, 'Set options').\n{problem}"
            ) from None
        assert server.is_running(), "The server did not wait for the request in flight."
        gate.open()
        assert request.rest() == b"the rest", "The request in flight was cut short."


@pytest.mark.milestone(5)
@pytest.mark.lesson("the-orderly-stop")
def test_a_second_stop_signal_changes_nothing(start, gate):
    server = start(APPLICATION)
    with RequestAtGate(gate, server) as request:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(ProcessLookupError):
                server.send_signal(number)
        gate.open()
        assert request.rest() == b"the rest", "The request in flight was cut short."
        check_end(server)


@pytest.mark.milestone(5)
@pytest.mark.lesson("the-orderly-stop")
def test_sigterm_under_load_cuts_no_answer_short(start):
    server = start(APPLICATION)
    answers = []

    def client():
        with contextlib.suppress(OSError):  # the server takes no new connection
            while True:
                with socket.create_connection(server.address, PATIENCE) as connection:
                    connection.sendall(format_request("/process"))
                    answers.append(receive_all(connection))

    clients = [threading.Thread(target=client) for _ in range(20)]
    for thread in clients:
        thread.start()
    wait_until(
        lambda: len(answers) >= 100,
        "The server is too slow, because fewer than 100 answers came.",
    )
    server.send_signal(signal.SIGTERM)
    for thread in clients:
        thread.join(PATIENCE)
    cut = [answer for answer in answers if answer and not parse_reply(answer).is_whole]
    assert not cut, f"The server was told to stop, and cut {len(cut)} answers short: {cut[:3]}"
    check_end(server)


# A module whose main thread takes no SIGTERM: another thread takes it, and accept is not
# interrupted. It is the same as if the signal came in the instant before accept waits.
ANOTHER_THREAD = """
import signal, threading, time
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

def application(environ, start_response):
    pass
"""


@pytest.mark.milestone(5)
@pytest.mark.lesson("the-orderly-stop")
@pytest.mark.flaw(last="step05_zombies")
@pytest.mark.usefixtures("hooks")
def test_a_stop_signal_that_does_not_interrupt_accept_is_not_lost(start, tmp_path):
    (tmp_path / "another_thread.py").write_text(ANOTHER_THREAD)
    path = {"PYTHONPATH": str(tmp_path)}
    server = start("another_thread:application", cwd=tmp_path, environment=path)
    wait_until(
        lambda: psutil.Process(server.pid).status() == psutil.STATUS_SLEEPING,
        "The server has nothing to do, but it does not wait in accept.",
    )
    server.send_signal(signal.SIGTERM)
    wait_until(
        lambda: not server.is_running(),
        "SIGTERM came, but it did not interrupt accept, and the server goes on. Does accept have a "
        "time limit, so that the handler runs in the end?",
    )
    check_end(server)


@pytest.mark.milestone(5)
@pytest.mark.lesson("orphans")
def test_a_child_whose_server_was_killed_gets_a_new_parent(start, gate):
    server = start(APPLICATION)
    ancestors = {1, *(process.pid for process in psutil.Process(server.pid).parents())}
    with RequestAtGate(gate, server) as request:
        server.process.kill()
        server.process.wait()
        parent = psutil.Process(request.pid).ppid()
        gate.open()
        assert request.rest() == b"the rest", (
            "The child of a killed server should work on to the end of its answer, and that did "
            "not come."
        )
    assert parent in ancestors, (
        f"The server, process {server.pid}, was killed, and its child has the parent {parent}. An "
        "orphan goes to process 1, or to the nearest ancestor that is a subreaper: one of "
        f"{sorted(ancestors)}."
    )


# A module that starts a program, which ends when the named pipe in READ_FROM is closed.
STARTS_A_PROGRAM = """
import os, warnings
from subprocess import DEVNULL, Popen
warnings.simplefilter("ignore", ResourceWarning)  # it leaves the program alone, on purpose
from fork_apps import application
program = Popen(["cat", os.environ["READ_FROM"]], stdout=DEVNULL, stderr=DEVNULL)
"""


def start_with_a_program(start, folder, gate, *arguments):
    """Start a server whose application starts a program when it is imported."""
    (folder / "starts_a_program.py").write_text(STARTS_A_PROGRAM)
    environment = {"PYTHONPATH": str(APPLICATIONS), "READ_FROM": str(gate.path)}
    return start("starts_a_program:application", *arguments, cwd=folder, environment=environment)


@pytest.mark.milestone(5)
@pytest.mark.lesson("the-orderly-stop")
@pytest.mark.new("did not wait for a program")
@pytest.mark.flaw(last="step05_zombies")
@pytest.mark.course("to wait for its own children alone is as good")
def test_the_stop_waits_for_every_child_whoever_started_it(start, tmp_path, gate):
    server = start_with_a_program(start, tmp_path, gate)
    server.send_signal(signal.SIGTERM)
    wait_until(lambda: is_refused(server), "SIGTERM came, but the server still takes connections.")
    come_to_rest(server)
    assert server.is_running(), (
        "The server did not wait for a program that the application had started. The program "
        "still runs, and it is a child of the server, too."
    )
    gate.open()
    check_end(server)


@pytest.mark.milestone(5)
@pytest.mark.lesson("step04_fork/README.md#fork-can-fail")
@pytest.mark.flaw(last="step05_zombies")
def test_a_fork_that_fails_is_answered_503_and_ends_nothing(start, fork_fails):
    switch, environment = fork_fails
    server = start(APPLICATION, environment=environment)
    check_503(server)
    switch.unlink()
    check_answer(server, "fork failed three times")


@pytest.mark.milestone(5)
@pytest.mark.lesson("the-orderly-stop")
@pytest.mark.new("Children have 10 seconds to finish")
def test_the_stop_waits_ten_seconds_and_no_longer(start, gate):
    idle = start(APPLICATION)
    used = processor_seconds(idle)
    for stop, seconds, server, pid in stop_with_endless_requests(start, gate, APPLICATION):
        assert seconds, (
            f"{stop} came, one child does not finish, and the server still waits for it after "
            f"{STOP_SECONDS + ROOM} seconds. A child that takes longer than {STOP_SECONDS} "
            "seconds must not hold up the stop."
        )
        assert seconds >= STOP_SECONDS, (
            f"{stop} came, and the server ended after {seconds:.1f} seconds. Children have "
            f"{STOP_SECONDS} seconds to finish their answers."
        )
        with contextlib.suppress(ProcessLookupError):  # else the server's output has no end
            os.kill(pid, signal.SIGKILL)
        check_end(server)
    assert used() < 1, (
        f"A server that had no client used {used():.1f} seconds of processor time in about "
        f"{STOP_SECONDS} seconds. It should wait without a loop that runs all the time."
    )
    check_answer(idle, f"The server had no client for {STOP_SECONDS} seconds")
