"""Step 4: a child process answers each client. Nobody waits for the children that have ended."""

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
    come_to_rest,
    connect,
    get,
    is_at_work,
    wait_until,
)
from tests.processes import (
    SOON,
    SPARE,
    RequestAtGate,
    check_answer,
    check_end,
    check_no_traceback,
    check_prints_once,
    check_status,
    children,
    who_answers,
)

STEP = "step04_fork"
APPLICATION = "fork_apps:application"
MILESTONES = [
    "A child answers each client",
    "No client waits for another",
    "Each process closes what it does not use",
    "A child ends, and leaves nothing undone",
    "The server lives on when a child or a fork fails",
]
IDEA = 4

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this step needs os.fork")


def ask_soon(server, target, hint, to_end=False):
    """Return the body of a page, a string. Fail with the hint if it takes too long.

    to_end: read on to the end of the stream.
    """
    try:
        return get(server, target, timeout=SOON, to_end=to_end).body.decode()
    except (OSError, AssertionError) as problem:
        raise AssertionError(f"{hint} {problem}") from None


# 1. A child answers each client


@pytest.mark.lesson("fork-returns-twice")
@pytest.mark.new("The server itself answered")
def test_a_child_of_the_server_answers_each_request(server):
    answers = [who_answers(server) for _ in range(10)]
    assert server.pid not in [pid for pid, _ in answers], (
        f"The server itself answered: process {server.pid}. Each request should get a process of "
        "its own, not a thread: fork returns 0 in the child, which serves this client, and the "
        "child's PID in the server, which goes back to accept."
    )
    strangers = [parent_pid for _, parent_pid in answers if parent_pid != server.pid]
    assert not strangers, (
        f"Of ten requests {len(strangers)} were answered by a process that is no child of the "
        f"server, process {server.pid}, but of {sorted(set(strangers))}. Does the program fork "
        "twice for one client? Or did a child go back to accept, and fork? (If your command is "
        "another program that starts the server, name the server itself.)"
    )


@pytest.mark.lesson("descriptors-are-duplicated")
def test_the_client_sees_the_end_of_the_stream(server):
    hint = (
        "The client did not get an answer and then the end of the stream. A connection ends only "
        "when its last copy is closed. Does the parent close its own?"
    )
    ask_soon(server, "/process", hint, to_end=True)


@pytest.mark.lesson("memory-is-copied-on-write")
@pytest.mark.new("counted to")
@pytest.mark.flaw(last="step05_zombies")
def test_a_counter_in_the_application_never_counts_past_one(server):
    counts = [ask_soon(server, "/count", "The request got no answer.") for _ in range(3)]
    assert counts == ["1", "1", "1"], (
        f"The application counted to {counts[-1]}: {counts}. Each child has a copy of the memory "
        "as it was when the server forked, so it changes only its own copy, and then ends."
    )


@pytest.mark.lesson("memory-is-copied-on-write")
@pytest.mark.new("environ says")
@pytest.mark.usefixtures("hooks")
def test_environ_says_that_there_are_several_processes(server):
    multiprocess = ask_soon(server, "/multiprocess", "The request got no answer.")
    assert multiprocess == "True", (
        f"environ says wsgi.multiprocess = {multiprocess}. From this step on other processes run "
        "the same application at the same time, and it may need to know that, so the value must "
        "be True."
    )


@pytest.mark.lesson("fork-returns-twice")
@pytest.mark.new("the log line has no PID of its own")
@pytest.mark.course("what a log says is each server's own business")
def test_the_log_line_has_the_pid_of_the_child(server):
    pid, _ = who_answers(server)
    server.wait_for_line(rf"\b{pid}\b.*/process")
    assert pid != server.pid, (
        f"The server, process {pid}, answered the request: the log line has no PID of its own. A "
        "child should answer, and write the line with its own os.getpid()."
    )


@pytest.mark.milestone(5)
@pytest.mark.lesson("the-child-leaves-by-os_exit")
def test_ctrl_c_ends_the_server_without_a_traceback(start):
    server = start(APPLICATION)
    who_answers(server)
    come_to_rest(server)  # it has closed its copy of the connection, and accepts again
    server.send_signal(signal.SIGINT)
    check_end(server)


@pytest.mark.lesson("step01_echo_socket/README.md#the-command-line")
@pytest.mark.course("in another language the signal itself may end the server")
def test_after_ctrl_c_the_status_is_0(start):
    server = start(APPLICATION)
    server.send_signal(signal.SIGINT)
    status = server.wait()
    assert (status, server.output("stderr")) == (0, []), (
        f"Ctrl-C ended the server with status {status} and this on standard error: "
        f"{server.output('stderr')}. It should be 0, and nothing."
    )


# 2. No client waits for another


@pytest.mark.milestone(2)
@pytest.mark.lesson("who-talks-to-whom")
@pytest.mark.new("The next one got no answer")
def test_twenty_clients_are_served_at_the_same_time(server, gate):
    with contextlib.ExitStack() as stack:
        requests = []
        while len(requests) < 20:
            try:
                requests.append(stack.enter_context(RequestAtGate(gate, server, timeout=SOON)))
            except (OSError, AssertionError) as problem:
                raise AssertionError(
                    f"Of 20 clients {len(requests)} are being served. The next one got no answer. "
                    "They should be served side by side. Does the parent go back to accept while "
                    f"its child serves?\n{problem}"
                ) from None
        gate.open()
        rests = [request.rest() for request in requests]
    assert rests == [b"the rest"] * 20, (
        f"20 clients were served at the same time, and {rests.count(b'the rest')} of them got "
        "their whole answer."
    )


@pytest.mark.milestone(2)
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
            "One client holds up all others: it is slow, and a second client got no answer. The "
            "parent should only accept and fork. Who reads the request, the parent or the child?"
        )
        ask_soon(server, "/process", hint)


# 3. Each process closes what it does not use


@pytest.mark.milestone(3)
@pytest.mark.lesson("descriptors-are-duplicated")
def test_fifty_requests_leave_no_connection_open_in_the_server(server):
    process = psutil.Process(server.pid)
    get(server, "/process", to_end=True)
    before = process.num_fds()
    for _ in range(50):
        get(server, "/process", to_end=True)
    with contextlib.suppress(AssertionError):
        wait_until(lambda: process.num_fds() <= before + SPARE, "", SOON)
    after = process.num_fds()
    assert after <= before + SPARE, (
        f"The server had {before} open descriptors, and has {after} after 50 requests. Soon it "
        "can accept no client. Does the parent close its copy of each connection?"
    )


@pytest.mark.milestone(3)
@pytest.mark.lesson("descriptors-are-duplicated")
@pytest.mark.new("has the listener open")
@pytest.mark.flaw(last="step05_zombies")
def test_a_child_closes_its_copy_of_the_listener(server, gate):
    with RequestAtGate(gate, server) as request:
        assert not has_a_listener(request.pid), (
            f"Process {request.pid}, which serves one client, has the listener open too. The "
            "child accepts nobody, so it should close its copy."
        )


def has_a_listener(pid):
    """Return whether a process has a socket that listens."""
    connections = psutil.Process(pid).net_connections("tcp")
    return "LISTEN" in [connection.status for connection in connections]


@pytest.mark.milestone(3)
@pytest.mark.lesson("descriptors-are-duplicated")
@pytest.mark.new("No child worked on")
@pytest.mark.flaw(last="step05_zombies")
def test_a_child_works_on_when_the_server_is_killed_and_the_port_is_free(start, gate):
    server = start(APPLICATION)
    with RequestAtGate(gate, server) as request:
        server.process.kill()
        server.process.wait()
        try:
            start(APPLICATION, port=server.port)
        except AssertionError as problem:
            # A server without SO_REUSEADDR, which is armour, does not get its port back either.
            assert not (is_at_work(request.pid) and has_a_listener(request.pid)), (
                f"The server was killed, and its port is still taken, because {request.pid}, its "
                f"child, has a copy of the listener. Where does the child close it?\n{problem}"
            )
        gate.open()
        rest = request.rest()
    assert (rest, request.is_whole) == (b"the rest", True), (
        f"No child worked on when the server was killed: {rest!r} came after that. A child is a "
        "process of its own, with its own copy of the connection, so it can go on."
    )


# 4. A child ends, and leaves nothing undone


@pytest.mark.milestone(4)
@pytest.mark.lesson("the-child-leaves-by-os_exit")
@pytest.mark.new("The server itself answered")
@pytest.mark.flaw(last="step05_zombies")
def test_a_child_serves_one_client_and_ends(server):
    pids = [who_answers(server)[0] for _ in range(10)]
    assert server.pid not in pids, (
        "The server itself answered, but it should fork a child for that."
    )
    assert len(set(pids)) == 10, (
        f"Ten requests were answered by {len(set(pids))} processes: {pids}. A child should serve "
        "one client only. Does it leave by os._exit after that?"
    )
    wait_until(
        lambda: not any(is_at_work(pid) for pid in pids),
        f"Processes {pids} answered, and at least one of them is still at work. Did it go back to "
        "accept, and not leave by os._exit?",
        SOON,
    )


@pytest.mark.milestone(4)
@pytest.mark.lesson("the-child-leaves-by-os_exit")
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_what_an_application_prints_is_there_once(start, stream):
    server = start(APPLICATION)
    hint = "What a process writes waits in a buffer of its own. os._exit does not flush it, and "
    hint += "each child gets a copy of what the parent left in it."
    check_prints_once(server, stream, signal.SIGINT, hint)


@pytest.mark.milestone(4)
@pytest.mark.lesson("the-child-leaves-by-os_exit")
@pytest.mark.usefixtures("hooks")
def test_exit_handlers_run_once_in_the_server(start, tmp_path):
    notes = tmp_path / "notes"
    server = start(APPLICATION, environment={"NOTE_AT_EXIT": str(notes)})
    pid, _ = who_answers(server)
    assert pid != server.pid, (
        f"The server itself answered: process {pid}. A child should answer, and leave by os._exit."
    )
    for target in ("/end?raise", "/end?KeyboardInterrupt"):
        get(server, target, to_end=True)
    server.send_signal(signal.SIGINT)
    server.wait()
    pids = notes.read_text().split() if notes.exists() else []
    assert pids == [str(server.pid)], (
        f"The exit handlers ran in the processes {pids}, not just in the server, {server.pid}. "
        "They were set up before the fork, so each child has a copy of them. A child must leave "
        "by os._exit, which runs none of them, while sys.exit would. Put it in a finally, so that "
        "it comes whatever is raised."
    )


@pytest.mark.milestone(4)
@pytest.mark.lesson("the-child-leaves-by-os_exit")
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.usefixtures("hooks")
def test_what_was_in_a_buffer_before_the_fork_is_written_once(start, stream):
    server = start(APPLICATION, environment={"PRINT_AT_IMPORT": "<early>"}, first_line=False)
    line = server.wait_for_line("Listening on ")
    server.address = "127.0.0.1", int(line.rpartition(":")[2])
    for _ in range(3):
        get(server, "/print?a", to_end=True)
    server.send_signal(signal.SIGINT)
    server.wait()
    output = "\n".join(server.output(stream))
    assert output.count("<early>") == 1, (
        f"Before the first fork the application wrote <early>, once. It is on {stream} "
        f"{output.count('<early>')} times: each child had a copy of the buffer, and flushed it. "
        f"So flush {stream} before the fork. It has:\n{output}"
    )


@pytest.mark.milestone(4)
@pytest.mark.lesson("the-child-leaves-by-os_exit")
@pytest.mark.new("The server itself ran the application")
@pytest.mark.parametrize(
    "way", ["return", "raise", "sys.exit", "KeyboardInterrupt", "close", "_exit", "abort", "kill"]
)
@pytest.mark.flaw(last="step05_zombies")
def test_the_child_ends_whatever_the_application_does(start, way):
    server = start(APPLICATION)
    hint = f"The application ended by {way}, and the client got no end of the stream."
    pid = int(ask_soon(server, f"/end?{way}", hint, to_end=True))
    assert pid != server.pid, (
        f"The server itself ran the application, which ended by {way}. In a child it would harm "
        "one client only."
    )
    wait_until(
        lambda: not is_at_work(pid),
        f"The application ended by {way}, and its process, {pid}, is still at work. A child has "
        "to come to os._exit whatever happens, so put it in a finally.",
        SOON,
    )
    answering_pid, parent_pid = who_answers(server)
    assert parent_pid == server.pid, (
        f"The next request was answered by process {answering_pid}, "
        f"a child of {parent_pid} and not of the server."
    )


@pytest.mark.milestone(4)
@pytest.mark.lesson("the-child-leaves-by-os_exit")
@pytest.mark.parametrize("whom", ["the server alone", "the server and its child"])
def test_ctrl_c_ends_the_server_while_a_child_serves(start, gate, whom):
    """A terminal sends SIGINT to all of its processes in the foreground, a program to one."""
    server = start(APPLICATION)
    with RequestAtGate(gate, server) as request:
        if whom == "the server alone":
            server.send_signal(signal.SIGINT)
        else:
            os.killpg(server.pid, signal.SIGINT)
        gate.open()
        check_status(server)
    wait_until(
        lambda: not is_at_work(request.pid),
        f"Ctrl-C has ended the server, and its child, process {request.pid}, is still at work.",
        SOON,
    )


@pytest.mark.milestone(4)
@pytest.mark.lesson("descriptors-are-duplicated")
@pytest.mark.course("what a log says is each server's own business")
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
        f"40 requests at once gave {len(lines)} log lines. These are not of one process each: "
        f"{mixed}. A line that is written by a single write does not mix with others."
    )


# 5. The server lives on when a child or a fork fails


@pytest.mark.milestone(5)
@pytest.mark.lesson("the-child-leaves-by-os_exit")
def test_a_client_that_goes_in_the_middle_harms_nobody(server):
    old_lines = len(server.output("stderr"))
    with connect(server) as client:
        client.sendall(b"GET /big HTTP/1.1\r\nHost: test\r\n\r\n")
        client.recv(1)  # the answer has begun, and goes on for longer than the kernel keeps
    check_answer(server, "A client has gone in the middle of its answer")
    check_no_traceback(server, "A client that goes", old_lines)


@pytest.mark.milestone(5)
@pytest.mark.lesson("the-child-leaves-by-os_exit")
@pytest.mark.course("what a log says is each server's own business")
def test_the_log_names_a_client_that_goes_in_the_middle(server):
    with connect(server) as client:
        port = client.getsockname()[1]
        client.sendall(b"GET /big HTTP/1.1\r\nHost: test\r\n\r\n")
        client.recv(1)
    server.wait_for_line(rf"127\.0\.0\.1:{port} .*(reset|Broken pipe)")


@pytest.mark.milestone(5)
@pytest.mark.lesson("the-child-leaves-by-os_exit")
@pytest.mark.new("The server itself ran the application")
@pytest.mark.parametrize(
    "version",
    [
        "HTTP/1.1",
        pytest.param(
            "HTTP/1.0", marks=pytest.mark.course("a client of HTTP/1.0 cannot always tell")
        ),
    ],
)
def test_the_client_of_a_killed_child_notices_that_its_body_is_cut(start, gate, version):
    server = start(APPLICATION)
    with RequestAtGate(gate, server, version) as request:
        os.kill(request.pid, signal.SIGKILL)
        rest = request.rest()
    assert request.pid != server.pid, (
        f"The server itself ran the application: process {request.pid}. It was killed, and no "
        "process is left that serves anybody."
    )
    assert (rest, request.is_whole) == (b"", False), (
        f"The child was killed in the middle of its answer, and to a client of {version} the body "
        "looks whole. The kernel closes the connection of a process that has ended. So a last "
        "chunk that is missing must tell the client that more was to come, or a reset, by "
        "SO_LINGER."
    )


@pytest.mark.milestone(5)
@pytest.mark.lesson("step01_echo_socket/README.md#2-set-options")
def test_a_restarted_server_gets_its_port_back(start):
    server = start(APPLICATION)
    get(server, "/process", to_end=True)
    server.send_signal(signal.SIGINT)
    server.wait()
    try:
        start(APPLICATION, port=server.port)
    except AssertionError as problem:
        raise AssertionError(
            "The server has ended, and cannot be started again, because a connection is still in "
            "the state TIME_WAIT. SO_REUSEADDR lets a server have its port all the "
            f"same.\n{problem}"
        ) from None


@pytest.mark.milestone(5)
@pytest.mark.lesson("fork-can-fail")
@pytest.mark.new("fork failed, and the client got")
@pytest.mark.flaw(last="step05_zombies")
def test_a_fork_that_fails_is_answered_503(start, fork_fails):
    switch, environment = fork_fails
    server = start(APPLICATION, environment=environment)
    check_503(server)
    switch.unlink()
    assert get(server, "/process").status == 200, (
        "fork works again, but the server does not. It should go on after a fork that has failed."
    )


@pytest.mark.milestone(5)
@pytest.mark.lesson("fork-can-fail")
@pytest.mark.new("fork failed, and the client got")
@pytest.mark.flaw(last="step05_zombies")
def test_a_server_that_cannot_fork_waits_for_nobody(start, fork_fails):
    _, environment = fork_fails
    server = start(APPLICATION, environment=environment)
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
        "before it said nothing. The parent should answer each of them and close, because it must "
        "not wait for anybody."
    )


@pytest.mark.milestone(5)
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
    command = [*command, APPLICATION, "--port", "0"]
    with Server([*user, sys.executable, "-c", limit, *command]) as server:
        check_503(server)
        if hasattr(resource, "prlimit"):
            subprocess.run([*user, sys.executable, "-c", no_limit, str(server.pid)], check=True)
            assert get(server, "/process").status == 200, (
                "The limit is gone, but the server does not fork. It should try again for each "
                "client."
            )


def check_503(server):
    """Check that a server which cannot fork says so to three clients, and runs on."""
    for _ in range(3):
        try:
            status = get(server, "/process", timeout=SOON).status
        except (OSError, AssertionError) as problem:
            status = f"no answer ({problem})"
        assert status == 503, (
            f"fork failed, and the client got {status}. os.fork raises OSError then, so catch it, "
            "tell the client by status 503, and go on."
        )


@pytest.mark.milestone(5)
@pytest.mark.lesson("fork-and-threads")
@pytest.mark.new("went on without os.fork")
@pytest.mark.course("only our servers promise to say it")
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
            f"The server went on without os.fork, as on Windows: {server.output()}. It should ask "
            "hasattr(os, 'fork') before it listens."
        )
        status = server.wait()
        lines = server.output("stderr")
    assert (status, len(lines)) == (2, 1) and "fork" in lines[0], (
        "Without os.fork, as on Windows, the server should say in one line that it needs it. "
        f"It ended with status {status} and said:\n" + "\n".join(lines)
    )


# What is still wrong


@pytest.mark.milestone(5)
@pytest.mark.lesson("what-is-still-wrong")
@pytest.mark.new("no zombies")
@pytest.mark.flaw
def test_ended_children_stay_as_zombies(start):
    assert zombies_of_five_requests(start(APPLICATION)), (
        "Five requests were served, and there are no zombies. In this step the parent does not "
        "wait for its children yet, so an ended child should stay as a zombie. Try: "
        "ps -A -o pid,ppid,stat,comm"
    )


@pytest.mark.milestone(5)
@pytest.mark.lesson("what-is-still-wrong")
@pytest.mark.course("a library may wait for the children before as it makes the next one")
@pytest.mark.flaw
def test_each_ended_child_stays_as_a_zombie(start):
    pids = zombies_of_five_requests(start(APPLICATION))
    assert len(pids) == 5, f"Five requests were served, and left {len(pids)} zombies, not five."


def zombies_of_five_requests(server):
    """Ask for five pages, one after the other; return the PIDs of the zombies that they leave."""
    for _ in range(5):
        get(server, "/process")

    def zombies():
        return [pid for pid in children(server) if not is_at_work(pid)]

    with contextlib.suppress(AssertionError):
        wait_until(lambda: len(zombies()) == 5, "", SOON)
    return zombies()
