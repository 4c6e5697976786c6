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
    connect,
    get,
    is_at_work,
    open_reply,
    parse_reply,
    read_body,
    receive_all,
    wait_until,
)

STEP = "step05_zombies"
APPLICATION = "fork_apps:application"
SOON = 2  # seconds in which an answer comes, if nothing holds it up

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this step needs os.fork")


class RequestAtGate:
    """A request that has begun and waits at a gate: the PID of its process, and its reply."""

    def __init__(self, gate, server):
        self.connection = connect(server)
        self.connection.sendall(f"GET {gate.target} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        self.response = open_reply(self.connection)
        self.pid = int(self.response.readline())

    def rest(self):
        """Return what else comes of the body, and note whether it is whole: in is_whole."""
        rest, self.is_whole = read_body(self.response)
        return rest

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.response.close()
        self.connection.close()


def check_no_children(server, hint):
    """Wait until a server has no child, alive or zombie. Fail with the hint if some stay."""
    process = psutil.Process(server.pid)
    with contextlib.suppress(AssertionError):
        wait_until(lambda: not process.children(), "", seconds=1.5)
    stay = [child.pid for child in process.children()]
    states = ["at work" if is_at_work(pid) else "zombie" for pid in stay]
    assert not stay, (
        f"{len(stay)} of its children stay in the process table "
        f"({', '.join(sorted(set(states)))}). {hint} Try: ps -A -o pid,ppid,stat,comm"
    )


def check_log(server, pid, code):
    """Wait for the line that says how a child ended: with an exit code, or -1 times a signal."""
    found = []

    def ready():
        found[:] = [line for line in server.output() if re.search(rf"child {pid} ", line)]
        return found

    with contextlib.suppress(AssertionError):
        wait_until(ready, "", seconds=SOON)
    assert found, (
        f"The log has no line about the end of child {pid}. "
        f"The parent learns of it by waitpid, and should print it: 'child {pid} ended with {code}'."
        " (With SIG_IGN the kernel throws the status away.)"
    )
    assert len(found) == 1 and found[0].endswith(f" {code}"), (
        f"The log says of child {pid}: {found}. It should say, once, that it ended with {code}. "
        "os.waitstatus_to_exitcode tells an exit status from the number of a signal."
    )


def is_refused(server):
    """Return whether the server takes no new connection."""
    try:
        socket.create_connection(server.address, SOON).close()
    except ConnectionError:
        return True
    return False


@pytest.mark.lesson("sigchld-tells-the-parent")
@pytest.mark.new("children stay in the process table (zombie)")
@pytest.mark.flaw(last="step05_zombies")
def test_no_zombie_stays_after_a_request(server):
    get(server, "/process")
    check_no_children(server, "The child has ended. Who waits for it?")


@pytest.mark.lesson("the-handler-loops")
@pytest.mark.new("children stay in the process table (zombie)")
@pytest.mark.flaw(last="step05_zombies")
def test_ten_children_that_end_at_once_are_all_reaped(start, gate):
    """The server is stopped while they end: ten signals of one kind become one."""
    server = start("fork_apps:application")
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
            "Ten children ended at once. Signals of one kind merge while they wait: the handler "
            "may run once for all ten. Does it loop until waitpid finds no more?",
        )
        for request in requests:
            check_log(server, request.pid, 0)


@pytest.mark.lesson("the-handler-loops")
@pytest.mark.new("children stay in the process table (zombie)")
@pytest.mark.flaw(last="step05_zombies")
def test_five_hundred_requests_leave_no_zombie_and_no_descriptor(server):
    get(server, "/process")
    process = psutil.Process(server.pid)
    before = process.num_fds()
    request = b"GET /process HTTP/1.1\r\nHost: test\r\n\r\n"
    answers = []

    def client():
        for _ in range(10):
            with connect(server) as connection:
                connection.sendall(request)
                answers.append(receive_all(connection).partition(b" ")[2][:3])

    clients = [threading.Thread(target=client) for _ in range(50)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    assert answers == [b"200"] * 500, (
        f"Of 500 requests, 50 at a time, {answers.count(b'200')} were answered with 200. "
        f"The server printed:\n{server.report()}"
    )
    check_no_children(server, "500 requests are over. Is each child waited for?")
    after = process.num_fds()
    assert after <= before, (
        f"The server had {before} open descriptors before 500 requests, and has {after} now. "
        "Does the parent close its copy of each connection?"
    )


@pytest.mark.lesson("wait-collects-a-child")
@pytest.mark.new("no line about the end of child")
@pytest.mark.parametrize(
    "way, code",
    [
        pytest.param("return", 0, marks=pytest.mark.flaw(last="step05_zombies")),
        pytest.param("raise", 0, marks=pytest.mark.flaw(last="step05_zombies")),
        pytest.param("sys.exit", 0, marks=pytest.mark.flaw(last="step05_zombies")),
        ("_exit", 3),
        ("abort", -signal.SIGABRT),
        ("kill", -signal.SIGKILL),
    ],
)
def test_the_log_says_how_each_child_ended(server, way, code):
    pid = int(get(server, f"/end?{way}").body)
    check_log(server, pid, int(code))
    assert get(server, "/process").status == 200, (
        f"A child ended by {way}, and the server does not answer any more. "
        "How one child ends should be nobody else's trouble."
    )


@pytest.mark.lesson("the-child-gives-the-handler-back")
@pytest.mark.new("no line about the end of child")
@pytest.mark.flaw(last="step05_zombies")
def test_sigterm_to_a_child_ends_that_child_alone(server):
    pid = int(get(server, "/end?terminate").body)
    try:
        check_log(server, pid, -signal.SIGTERM)
    except AssertionError as problem:
        hint = "It was sent SIGTERM. Does it still have the server's handler?"
        raise AssertionError(f"{problem} {hint}") from None
    assert get(server, "/process").status == 200, "SIGTERM to a child ended the server, too."


@pytest.mark.lesson("sigchld-tells-the-parent")
@pytest.mark.new("no line about the end of child")
def test_a_child_that_is_killed_at_work_harms_nobody_else(server, gate):
    with RequestAtGate(gate, server) as killed, RequestAtGate(gate, server) as other:
        os.kill(killed.pid, signal.SIGKILL)
        assert killed.rest() == b"", "The child was killed, and its client got more after that."
        check_log(server, killed.pid, -9)
        gate.open()
        assert other.rest() == b"the rest", (
            "A child was killed, and the client of another one got no whole answer."
        )


@pytest.mark.lesson("wait-collects-a-child")
def test_a_child_that_is_stopped_harms_nobody_else(server, gate):
    with RequestAtGate(gate, server) as request:
        os.kill(request.pid, signal.SIGSTOP)
        for _ in range(2):
            try:
                reply = get(server, "/process", timeout=SOON)
            except (OSError, AssertionError):
                reply = None
            assert reply and reply.status == 200, (
                "One child is stopped, it has not ended, and the next client got no page. "
                "Does the handler wait for that child? With WNOHANG waitpid does not block."
            )
            pid = int(reply.body.split()[0])
            with contextlib.suppress(AssertionError):  # a worker of step 6 does not end
                wait_until(lambda: not is_at_work(pid), "", seconds=0.5)  # noqa: B023
        os.kill(request.pid, signal.SIGCONT)
        gate.open()
        assert request.rest() == b"the rest", (
            "A child was stopped, and then went on. But its client got no whole answer."
        )


@pytest.mark.lesson("the-child-gives-the-handler-back")
def test_the_application_learns_how_its_own_programs_end(server):
    status = get(server, "/program").body
    assert status == b"3", (
        f"The application ran a program that ends with status 3, and subprocess reports {status}. "
        "Who took the status away? A child inherits the server's handlers: it should set SIGCHLD "
        "back to SIG_DFL."
    )


@pytest.mark.lesson("wait-collects-a-child")
def test_sigchld_without_a_child_harms_nobody(server):
    for _ in range(3):
        server.send_signal(signal.SIGCHLD)
        try:
            status = get(server, "/process", timeout=SOON).status
        except (OSError, AssertionError) as problem:
            status = problem
        assert status == 200, (
            "SIGCHLD came to the server in accept, with no child that had ended. "
            f"After that a client got: {status}. waitpid raises ChildProcessError when there are "
            f"no children at all. The server printed:\n{server.report()}"
        )


def check_orderly_stop(server, start, gate, stop, send_stop):
    """Stop a server that has a request in flight, and check all that should follow.

    stop: how, in words; send_stop: a function that does it.
    """
    with RequestAtGate(gate, server) as request:
        send_stop()
        wait_until(
            lambda: is_refused(server),
            f"The server is to stop, by {stop}, and still takes new connections. "
            "First of all it should close the listener.",
            seconds=SOON,
        )
        start("fork_apps:application", port=server.port)  # the port is free at once
        gate.open()
        rest = request.rest()
        server.wait()
        assert any(f"child {request.pid} " in line for line in server.output()), (
            f"After {stop} the server did not wait for the request in flight. It ended, with "
            f"status {server.process.returncode}, before that child did. "
            f"It printed:\n{server.report()}"
        )
        assert rest == b"the rest", (
            f"The request in flight was cut short: after the stop signal came {rest!r}. "
            "The child should finish its answer. Which signals end it?"
        )
        check_end(server)


def check_end(server):
    """Check that a server ends with status 0, and no traceback."""
    status = server.wait()
    assert (status, server.output("stderr")) == (0, []), (
        "A server that is told to stop ends with status 0, and no traceback. "
        f"The status is {status}. It printed:\n{server.report()}"
    )


@pytest.mark.lesson("orphans")
def test_a_child_whose_server_was_killed_gets_a_new_parent(start, gate):
    server = start("fork_apps:application")
    ancestors = {1, *(process.pid for process in psutil.Process(server.pid).parents())}
    with RequestAtGate(gate, server) as request:
        server.process.kill()
        server.process.wait()
        parent = psutil.Process(request.pid).ppid()
        gate.open()
        assert request.rest() == b"the rest", "The child of a killed server works on to its end."
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


@pytest.mark.lesson("the-orderly-stop")
@pytest.mark.new("did not wait for a program")
@pytest.mark.flaw(last="step05_zombies")
def test_the_stop_waits_for_every_child_whoever_started_it(start, tmp_path, gate):
    server = start_with_a_program(start, tmp_path, gate)
    server.send_signal(signal.SIGTERM)
    wait_until(lambda: is_refused(server), "SIGTERM came, and the server takes connections.")
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.process.wait(0.5)
    assert server.is_running(), (
        "The server did not wait for a program that the application had started, and that runs: it "
        f"is a child, too. It printed:\n{server.report()}"
    )
    gate.open()
    check_end(server)


@pytest.mark.lesson("the-orderly-stop")
@pytest.mark.new("did not wait for the request in flight")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_signal_lets_the_request_in_flight_finish(start, gate, number):
    server = start("fork_apps:application")
    stop = {signal.SIGTERM: "SIGTERM (kill)", signal.SIGINT: "SIGINT (kill -INT)"}[number]
    check_orderly_stop(server, start, gate, stop, lambda: server.send_signal(number))


@pytest.mark.lesson("the-orderly-stop")
@pytest.mark.new("did not wait for the request in flight")
def test_ctrl_c_in_a_terminal_lets_the_request_in_flight_finish(start, gate):
    """A terminal sends SIGINT to the whole process group: to the children, too."""
    server = start("fork_apps:application")
    stop = "Ctrl-C, which sends SIGINT to the children, too,"
    check_orderly_stop(server, start, gate, stop, lambda: os.killpg(server.pid, signal.SIGINT))


# A module whose main thread takes no SIGTERM: another thread takes it, and accept is not
# interrupted. It is the same as if the signal came in the instant before accept waits.
ANOTHER_THREAD = """
import signal, threading, time
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

def application(environ, start_response):
    pass
"""


@pytest.mark.lesson("the-orderly-stop")
@pytest.mark.new("ends with status 0")
@pytest.mark.flaw(last="step05_zombies")
def test_a_stop_signal_that_does_not_interrupt_accept_is_not_lost(start, tmp_path):
    (tmp_path / "another_thread.py").write_text(ANOTHER_THREAD)
    server = start("another_thread:application", cwd=tmp_path)
    wait_until(
        lambda: psutil.Process(server.pid).status() == psutil.STATUS_SLEEPING,
        "The server has nothing to do, and it does not wait in accept.",
    )
    server.send_signal(signal.SIGTERM)
    wait_until(
        lambda: not server.is_running(),
        "SIGTERM came, but it did not interrupt accept, and the server goes on. Does accept have a "
        "time limit, so that the handler runs in the end?",
    )
    check_end(server)


@pytest.mark.lesson("the-orderly-stop")
@pytest.mark.new("ends with status 0")
def test_sigterm_ends_an_idle_server(start):
    server = start("fork_apps:application")
    server.send_signal(signal.SIGTERM)
    check_end(server)


@pytest.mark.lesson("the-orderly-stop")
@pytest.mark.new("ends with status 0")
def test_sigterm_under_load_cuts_no_answer_short(start):
    server = start("fork_apps:application")
    answers = []

    def client():
        with contextlib.suppress(OSError):  # the server takes no new connection
            while True:
                with socket.create_connection(server.address, PATIENCE) as connection:
                    connection.sendall(b"GET /process HTTP/1.1\r\nHost: test\r\n\r\n")
                    answers.append(receive_all(connection))

    clients = [threading.Thread(target=client) for _ in range(20)]
    for thread in clients:
        thread.start()
    wait_until(lambda: len(answers) >= 100, "The server is too slow: no 100 answers came.")
    server.send_signal(signal.SIGTERM)
    for thread in clients:
        thread.join(PATIENCE)
    cut = [answer for answer in answers if answer and not parse_reply(answer).is_whole]
    assert not cut, f"The server was told to stop, and cut {len(cut)} answers short: {cut[:3]}"
    check_end(server)


@pytest.mark.lesson("the-orderly-stop")
@pytest.mark.new("ends with status 0")
def test_a_second_stop_signal_changes_nothing(start, gate):
    server = start("fork_apps:application")
    with RequestAtGate(gate, server) as request:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(ProcessLookupError):
                server.send_signal(number)
        gate.open()
        assert request.rest() == b"the rest", "The request in flight was cut short."
        check_end(server)


@pytest.mark.lesson("five-ways-to-end")
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
    learned = re.findall(r"the parent learns: (.*?)[,;]", done.stdout)
    assert learned == [
        "ended with exit status 0",
        "ended with exit status 3",
        "ended with exit status 4",
        "killed by SIGABRT",
        "killed by SIGKILL",
    ], f"The parent of five children learned: {learned}. It printed:\n{done.stdout}{done.stderr}"
    assert done.stdout.count("exit handler runs") == 2, (
        "Exit handlers run when a program returns from main or calls sys.exit, and in no other "
        f"way to end. It printed:\n{done.stdout}"
    )
    assert (done.returncode, done.stderr) == (0, ""), (
        f"The program ended with status {done.returncode} and said:\n{done.stderr}"
    )
