"""Step 4: a child process answers each client. Nobody buries the children yet."""

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from tests.harness import (
    Server,
    connect,
    format_request,
    get,
    is_at_work,
    open_reply,
    read_body,
    wait_until,
)

STEP = "step04_fork"
APPLICATION = "fork_apps:application"
SOON = 2  # seconds in which an answer comes, if nothing holds it up

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this step needs os.fork")


def ask_soon(server, target, hint, to_end=False):
    """Return the body of a page, a string. Fail with the hint if it takes too long.

    to_end: read on to the end of the stream.
    """
    try:
        return get(server, target, timeout=SOON, to_end=to_end).body.decode()
    except (OSError, AssertionError) as problem:
        raise AssertionError(f"{hint}\n{problem}\nIt printed:\n{server.report()}") from None


def who_answers(server):
    """Return two PIDs: of the process that answers a request, and of its parent."""
    pid, parent_pid = ask_soon(server, "/process", "The request got no answer.").split()
    return int(pid), int(parent_pid)


@contextlib.contextmanager
def request_at(gate, server, version="HTTP/1.1"):
    """Begin a request that waits at the gate. Give its PID, and its open reply: see open_reply."""
    with connect(server) as connection:
        connection.sendall(format_request(gate.target, version=version))
        with open_reply(connection) as response:
            yield int(response.readline()), response


def zombies(server):
    """Return the PIDs of a server's children that have ended and stay in the process table."""
    children = psutil.Process(server.pid).children()
    return [child.pid for child in children if not is_at_work(child.pid)]


@pytest.mark.lesson("descriptors-are-duplicated")
def test_the_client_sees_the_end_of_the_stream(server):
    hint = (
        "The client did not get an answer and then the end of the stream. "
        "A connection ends when its last copy is closed. Does the parent close its own?"
    )
    ask_soon(server, "/process", hint, to_end=True)


@pytest.mark.lesson("fork-returns-twice")
@pytest.mark.new("The server itself answered")
def test_a_child_of_the_server_answers_each_request(server):
    answers = [who_answers(server) for _ in range(10)]
    assert server.pid not in [pid for pid, _ in answers], (
        f"The server itself answered: process {server.pid}. "
        "Each request should get a process of its own. Where does serve() fork?"
    )
    parents = {parent_pid for _, parent_pid in answers}
    assert parents == {server.pid}, (
        f"The processes that answered are children of {parents}, not all of the server, "
        f"process {server.pid}. Did a child go back to accept, and fork?"
    )


@pytest.mark.lesson("fork-returns-twice")
@pytest.mark.new("the log line has no PID of its own")
def test_the_log_line_has_the_pid_of_the_child(server):
    pid, _ = who_answers(server)
    server.wait_for_line(rf"\b{pid}\b.*/process")
    assert pid != server.pid, (
        f"The server, process {pid}, answered the request: the log line has no PID of its own. "
        "A child should answer, and write the line with os.getpid()."
    )


@pytest.mark.lesson("who-talks-to-whom")
@pytest.mark.new("20 requests of one second each took")
def test_twenty_requests_of_one_second_take_under_two_together(start):
    server = start("fork_apps:application")
    barrier = threading.Barrier(21)
    bodies = []

    def client():
        barrier.wait()
        with contextlib.suppress(OSError, AssertionError):
            bodies.append(get(server, "/sleep?1", timeout=2).body)

    clients = [threading.Thread(target=client) for _ in range(20)]
    for thread in clients:
        thread.start()
    barrier.wait()
    begin = time.monotonic()
    for thread in clients:
        thread.join()
    seconds = time.monotonic() - begin
    assert len(bodies) == 20 and seconds < 2, (
        f"20 requests of one second each took {seconds:.1f} seconds, and {len(bodies)} of them "
        "were answered by then. They should wait side by side. Does the parent go back to "
        "accept while its child serves?"
    )


@pytest.mark.lesson("who-talks-to-whom")
@pytest.mark.new("One client holds up all others")
@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="says nothing"),
        pytest.param(b"GET / HTTP/1.1\r\nHo", id="stops in its request"),
        pytest.param(b"GET /big HTTP/1.1\r\nHost: test\r\n\r\n", id="does not read its answer"),
    ],
)
def test_a_slow_client_holds_up_nobody(server, sent):
    with connect(server) as slow_client:
        slow_client.sendall(sent)
        if sent.endswith(b"\r\n\r\n"):
            slow_client.recv(1)  # the answer has begun
        hint = (
            "One client holds up all others: it is slow, and a second client got no answer. "
            "The parent should only accept and fork. Who reads the request?"
        )
        ask_soon(server, "/process", hint)


@pytest.mark.lesson("descriptors-are-duplicated")
def test_fifty_requests_leave_no_connection_open_in_the_server(server):
    process = psutil.Process(server.pid)
    who_answers(server)
    before = process.num_fds()
    for _ in range(50):
        get(server, "/process", to_end=True)
    after = process.num_fds()
    assert after <= before, (
        f"The server had {before} open descriptors, and has {after} after 50 requests. Soon it "
        "can accept no client. Does the parent close its copy of each connection?"
    )


@pytest.mark.lesson("descriptors-are-duplicated")
@pytest.mark.new("has the listener open")
@pytest.mark.flaw(last="step05_zombies")
def test_a_child_closes_its_copy_of_the_listener(server, gate):
    with request_at(gate, server) as (pid, _):
        connections = psutil.Process(pid).net_connections("tcp")
    assert "LISTEN" not in [connection.status for connection in connections], (
        f"Process {pid}, which serves one client, has the listener open too. "
        "It accepts nobody. The child should close its copy."
    )


@pytest.mark.lesson("descriptors-are-duplicated")
@pytest.mark.new("No child worked on")
@pytest.mark.flaw(last="step05_zombies")
def test_a_child_works_on_when_the_server_is_killed_and_the_port_is_free(start, gate):
    server = start("fork_apps:application")
    with request_at(gate, server) as (pid, response):
        server.process.kill()
        server.process.wait()
        try:
            start("fork_apps:application", port=server.port)
        except AssertionError as problem:
            raise AssertionError(
                f"The server was killed, and its port is still taken: process {pid}, its child, "
                f"has a copy of the listener. Where does the child close it?\n{problem}"
            ) from None
        gate.open()
        rest, is_whole = read_body(response)
    assert (rest, is_whole) == (b"the rest", True), (
        f"No child worked on when the server was killed: {rest!r} came after that. "
        "A child is a process of its own, with its own copy of the connection."
    )


@pytest.mark.lesson("memory-is-copied-on-write")
@pytest.mark.new("counted to")
@pytest.mark.flaw(last="step05_zombies")
def test_a_counter_in_the_application_never_counts_past_one(server):
    counts = [ask_soon(server, "/count", "The request got no answer.") for _ in range(3)]
    assert counts == ["1", "1", "1"], (
        f"The application counted to {counts[-1]}: {counts}. Each child has a copy of the memory "
        "as it was when the server forked. It changes its copy alone, then ends."
    )


@pytest.mark.lesson("the-child-leaves-by-os_exit")
@pytest.mark.new("The server itself answered")
@pytest.mark.flaw(last="step05_zombies")
def test_a_child_serves_one_client_and_ends(server):
    pids = [who_answers(server)[0] for _ in range(10)]
    assert server.pid not in pids, "The server itself answered. It should fork a child for that."
    assert len(set(pids)) == 10, (
        f"Ten requests were answered by {len(set(pids))} processes: {pids}. "
        "A child serves one client. Does it leave by os._exit after that?"
    )
    wait_until(
        lambda: not any(is_at_work(pid) for pid in pids),
        f"Processes {pids} answered, and at least one of them is still at work. "
        "Did it go back to accept? A child leaves by os._exit.",
        seconds=SOON,
    )


@pytest.mark.lesson("the-child-leaves-by-os_exit")
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_what_an_application_prints_is_there_once(start, stream):
    server = start("fork_apps:application")
    for text in ("first", "second"):
        get(server, f"/print?{text}")
    server.send_signal(signal.SIGINT)
    server.wait()
    output = "".join(server.output(stream))
    counts = [output.count("<first>"), output.count("<second>")]
    assert counts == [1, 1], (
        f"The application wrote two texts, without a line end, and they are on {stream} {counts} "
        "times, not once each. What a process writes waits in a buffer of its own. os._exit does "
        f"not flush it, and each child gets a copy of what the parent left in it. {stream} has:\n"
        f"{output}"
    )


@pytest.mark.lesson("the-child-leaves-by-os_exit")
def test_exit_handlers_run_once_in_the_server(start, tmp_path):
    notes = tmp_path / "notes"
    server = start("fork_apps:application", environment={"NOTE_AT_EXIT": str(notes)})
    pid = int(get(server, "/process").body.split()[0])
    assert pid != server.pid, (
        f"The server itself answered: process {pid}. A child should, and leave by os._exit."
    )
    for target in ("/end?raise", "/end?KeyboardInterrupt"):
        get(server, target)
    server.send_signal(signal.SIGINT)
    server.wait()
    pids = notes.read_text().split() if notes.exists() else []
    assert pids == [str(server.pid)], (
        f"The exit handlers ran in the processes {pids}, not just in the server, {server.pid}. "
        "They were set up before the fork, so each child has a copy. A child leaves by os._exit, "
        "which runs none of them: sys.exit would. It does so in a finally, whatever is raised."
    )


@pytest.mark.lesson("the-child-leaves-by-os_exit")
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_what_was_in_a_buffer_before_the_fork_is_written_once(start, stream):
    server = start(
        "fork_apps:application", environment={"PRINT_AT_IMPORT": "<early>"}, first_line=False
    )
    line = server.wait_for_line("Listening on ")
    server.address = "127.0.0.1", int(line.rpartition(":")[2])
    for _ in range(3):
        get(server, "/print?a")
    server.send_signal(signal.SIGINT)
    server.wait()
    output = "".join(server.output(stream))
    assert output.count("<early>") == 1, (
        f"Before the first fork the application wrote <early>, once. It is on {stream} "
        f"{output.count('<early>')} times: each child had a copy of the buffer, and flushed it. "
        f"Flush {stream} before the fork. It has:\n{output}"
    )


@pytest.mark.lesson("the-child-leaves-by-os_exit")
@pytest.mark.new("The server itself ran the application")
@pytest.mark.parametrize(
    "way", ["return", "raise", "sys.exit", "KeyboardInterrupt", "close", "_exit", "abort", "kill"]
)
@pytest.mark.flaw(last="step05_zombies")
def test_the_child_ends_whatever_the_application_does(start, way):
    server = start("fork_apps:application")
    hint = f"The application ended by {way}, and the client got no end of the stream."
    pid = int(ask_soon(server, f"/end?{way}", hint))
    assert pid != server.pid, (
        f"The server itself ran the application, which ended by {way}. "
        "In a child it can harm one client only."
    )
    wait_until(
        lambda: not is_at_work(pid),
        f"The application ended by {way}, and its process, {pid}, is still at work. "
        "Whatever happens, a child has to come to os._exit: put it where it is never left out.",
        seconds=SOON,
    )
    answering_pid, parent_pid = who_answers(server)
    assert parent_pid == server.pid, (
        f"The next request was answered by process {answering_pid}, "
        f"a child of {parent_pid} and not of the server."
    )


@pytest.mark.lesson("fork-can-fail")
@pytest.mark.new("fork failed, and the client got")
@pytest.mark.flaw(last="step05_zombies")
def test_a_fork_that_fails_is_answered_503(start, tmp_path):
    switch = tmp_path / "fork_fails"
    switch.touch()
    server = start("fork_apps:application", environment={"FORK_FAILS_WHILE": str(switch)})
    check_503(server)
    switch.unlink()
    assert get(server, "/process").status == 200, (
        "Fork works again, but not the server. After a fork that fails it should go on."
    )


@pytest.mark.lesson("the-child-leaves-by-os_exit")
@pytest.mark.new("The server itself ran the application")
@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
def test_the_client_of_a_killed_child_notices_that_its_body_is_cut(start, gate, version):
    server = start("fork_apps:application")
    with request_at(gate, server, version) as (pid, response):
        os.kill(pid, signal.SIGKILL)
        rest, is_whole = read_body(response)
    assert pid != server.pid, (
        f"The server itself ran the application: process {pid}. It was killed, and nobody is left."
    )
    assert (rest, is_whole) == (b"", False), (
        f"The child was killed in the middle of its answer, and to a client of {version} the body "
        "looks whole. The kernel closes the connection of a process that has ended. What tells the "
        "client that more was to come? A last chunk that is missing, or a reset: SO_LINGER."
    )


@pytest.mark.lesson("fork-can-fail")
@pytest.mark.new("fork failed, and the client got")
@pytest.mark.flaw(last="step05_zombies")
def test_a_server_that_cannot_fork_waits_for_nobody(start, tmp_path):
    switch = tmp_path / "fork_fails"
    switch.touch()
    server = start("fork_apps:application", environment={"FORK_FAILS_WHILE": str(switch)})
    seconds = SOON
    for _ in range(3):  # a busy machine may be slow once
        with contextlib.ExitStack() as stack:
            for _ in range(4):
                stack.enter_context(connect(server))  # and says nothing
            begin = time.monotonic()
            try:
                status = get(server, "/process", timeout=SOON).status
            except (OSError, AssertionError) as problem:
                status = f"no answer ({problem})"
            seconds = time.monotonic() - begin
        if seconds < 0.5:
            break
    assert status == 503 and seconds < 0.5, (
        f"fork failed, and the client got {status}, {seconds:.1f} s after it came. Four clients "
        "before it said nothing. The parent should answer and close, and wait for none of them."
    )


@pytest.mark.lesson("fork-can-fail")
@pytest.mark.new("fork failed, and the client got")
@pytest.mark.flaw(last="step05_zombies")
def test_a_server_at_the_limit_of_processes_lives_on(command):
    limit = (
        "import os, resource, sys\n"
        "_, hard = resource.getrlimit(resource.RLIMIT_NPROC)\n"
        "resource.setrlimit(resource.RLIMIT_NPROC, (1, hard))\n"
        "os.execvp(sys.argv[1], sys.argv[1:])"
    )
    no_limit = (
        "import resource, sys\n"
        "_, hard = resource.prlimit(int(sys.argv[1]), resource.RLIMIT_NPROC)\n"
        "resource.prlimit(int(sys.argv[1]), resource.RLIMIT_NPROC, (hard, hard))"
    )
    user = []
    if os.geteuid() == 0:  # the limit does not bind root: become a user that nobody else is
        if not shutil.which("setpriv"):
            pytest.skip("root needs the program setpriv to become another user")
        rights = [f"--{name}-caps=-all,+dac_override" for name in ("inh", "ambient")]
        rights += ["--bounding-set=-all,+dac_override"]  # it may read all files, as root does
        user = ["setpriv", f"--reuid={200_000 + os.getpid()}", *rights]
    command = [*command, "fork_apps:application", "--port", "0"]
    with Server([*user, sys.executable, "-c", limit, *command]) as server:
        check_503(server)
        if hasattr(resource, "prlimit"):
            subprocess.run([*user, sys.executable, "-c", no_limit, str(server.pid)], check=True)
            assert get(server, "/process").status == 200, (
                "The limit is gone, but the server does not fork. It should try for each client."
            )


def check_503(server):
    """Check that a server which cannot fork says so to three clients, and runs on."""
    for _ in range(3):
        try:
            status = get(server, "/process", timeout=SOON).status
        except (OSError, AssertionError) as problem:
            status = f"no answer ({problem})"
        assert status == 503, (
            f"fork failed, and the client got {status}. It should be told with status 503, and "
            f"the server should go on. os.fork raises OSError. The server printed:\n"
            f"{server.report()}"
        )
    assert server.is_running(), f"fork failed, and the server ended:\n{server.report()}"


@pytest.mark.lesson("what-is-still-wrong")
@pytest.mark.new("no zombies")
@pytest.mark.flaw
def test_ended_children_stay_as_zombies_until_the_server_ends(start):
    server = start("fork_apps:application")
    for _ in range(5):
        get(server, "/process")
    with contextlib.suppress(AssertionError):
        wait_until(lambda: len(zombies(server)) == 5, "", seconds=SOON)
    pids = zombies(server)
    assert len(pids) == 5, (
        f"Five requests were served, and there are {len(pids) or 'no'} zombies. In this step "
        "nobody waits for the children that have ended. Try: ps -A -o pid,ppid,stat,comm"
    )
    server.send_signal(signal.SIGINT)
    server.wait()

    def are_gone():
        remaining = [process for process in psutil.process_iter() if process.pid in pids]
        return all(process.ppid() == 1 for process in remaining)

    wait_until(
        are_gone,
        "The server has ended, and its zombies stay. They should have a new parent, process 1, "
        "which waits for them.",
        seconds=SOON,
    )


@pytest.mark.lesson("memory-is-copied-on-write")
@pytest.mark.new("environ says")
def test_environ_says_that_there_are_several_processes(server):
    multiprocess = ask_soon(server, "/multiprocess", "The request got no answer.")
    assert multiprocess == "True", (
        f"environ says wsgi.multiprocess = {multiprocess}. From this step on other processes run "
        "the same application at the same time, and it may need to know."
    )


@pytest.mark.lesson("descriptors-are-duplicated")
def test_log_lines_of_several_processes_do_not_mix(server):
    before = len(server.output())
    clients = [threading.Thread(target=get, args=(server, "/process?mix")) for _ in range(40)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    server.wait_for_line(r"\?mix", count=40)
    lines = [line for line in server.output()[before:] if "?mix" in line]
    mixed = [line for line in lines if line.count("GET") != 1 or not line.startswith("[")]
    assert len(lines) == 40 and not mixed, (
        f"40 requests at once gave {len(lines)} log lines. These are of several processes: "
        f"{mixed}. Write each line by a single write."
    )


@pytest.mark.lesson("fork-and-threads")
@pytest.mark.new("went on without os.fork")
def test_without_fork_the_server_says_so_in_one_line(command):
    if not command[1:2] or not command[1].endswith(".py"):
        pytest.skip("this server is not a Python file")
    without_fork = (
        "import os, runpy, sys\n"
        "del os.fork\n"
        "sys.argv = sys.argv[1:]\n"
        "sys.path[0] = os.path.dirname(sys.argv[0])\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    command = [command[0], "-c", without_fork, *command[1:], "--port", "0"]
    with Server(command, first_line=False) as server:
        wait_until(
            lambda: server.output() or not server.is_running(),
            "Without os.fork the server neither ended nor listened.",
        )
        assert not server.output(), (
            f"The server went on without os.fork, as on Windows: {server.output()}. "
            "Ask hasattr(os, 'fork') before it listens."
        )
        status = server.wait()
        lines = server.output("stderr")
    assert status != 0 and len(lines) == 1 and "fork" in lines[0], (
        "Without os.fork, as on Windows, the server should say in one line that it needs it. "
        f"It ended with status {status} and said:\n" + "\n".join(lines)
    )


@pytest.mark.lesson("the-child-leaves-by-os_exit")
def test_ctrl_c_ends_the_server_in_silence(start):
    server = start("fork_apps:application")
    who_answers(server)
    server.send_signal(signal.SIGINT)
    status = server.wait()
    assert (status, server.output("stderr")) == (0, []), (
        f"Ctrl-C should end the server with status 0 and no traceback. The status is {status}. "
        f"It printed:\n{server.report()}"
    )
