"""Step 1: a server that echoes. It takes one client after another, and sends back every byte."""

import contextlib
import errno
import hashlib
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from tests.harness import (
    PATIENCE,
    ROOT,
    Server,
    assert_port_comes_back,
    connect,
    receive_all,
    wait_until,
)

STEP = "step01_echo_socket"
MILESTONES = [
    "A client gets its words back, and so does the next one",
    "Any bytes come back, however many",
    "Clients wait in line, and each gets all of its echo",
    "Your own client sends, and reads the echo",
    "Nothing but Ctrl-C ends it, and it starts again at once",
]
IDEA = 4  # the last milestone is the armour

MIB = 1024 * 1024
# Seconds that an answer may take: less than PATIENCE, so that who waits for it learns soon that
# the server hangs. The first milestone is told soonest.
SOON = 0.3 * PATIENCE
VERY_SOON = 0.2 * PATIENCE
QUIET = 0.3  # seconds without an answer that show that a client waits
REQUEST = b"GET / HTTP/1.0\r\n\r\n"  # an answer comes from every step
IS_LINUX = sys.platform == "linux"

posix_only = pytest.mark.skipif(os.name != "posix", reason="Windows has no such signals")
linux_only = pytest.mark.skipif(not IS_LINUX, reason="other systems have no address 127.0.0.2")


def shown(data):
    """Return bytes as a message shows them: the first ones, and how many there are."""
    if not data:
        return "nothing"
    data = bytes(data)
    return repr(data) if len(data) <= 40 else f"{data[:20]!r}... ({len(data)} bytes)"


def assert_echo(connection, message, hint, size=MIB):
    """Send a message, and fail with a hint unless it comes back, while the connection is open.

    size: send pieces of so many bytes.
    """
    echo, then = bytearray(), ""
    try:
        for start in range(0, len(message), size):
            connection.sendall(message[start : start + size])
        while len(echo) < len(message):
            piece = connection.recv(MIB)
            if not piece:
                then = ", and then the end of the stream"
                break
            echo += piece
    except TimeoutError:
        then = f" within {connection.gettimeout():g} seconds"
    except ConnectionError as error:
        then = f", and then the connection was lost: {error.strerror}"
    assert echo == message, f"{shown(message)} was sent, and {shown(echo)} came back{then}. {hint}"


def echo_of(server, *pieces, timeout=SOON):
    """Send pieces of bytes, end our half of the stream, and return all that comes back."""
    try:
        with connect(server, timeout) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in pieces:
                connection.sendall(piece)
            connection.shutdown(socket.SHUT_WR)
            return receive_all(connection)
    except OSError:  # the connection is lost: the message of the failed test says more
        return b""


def reset(connection):
    """Close a connection by a reset: the client vanishes in the middle."""
    linger = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)  # on, 0 seconds
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    connection.close()


def seconds_at_work(processes):
    """Return how much of a processor's time some processes have used so far."""
    return sum(sum(process.cpu_times()[:2]) for process in processes if process.is_running())


# Milestone 1: a client gets its words back, and so does the next one.


@pytest.mark.lesson("the-command-line")
def test_the_first_line_says_where_the_server_listens(server):
    assert server.port != 0, (
        "The first line says that the server listens on port 0. With --port 0 the kernel chooses "
        "a port: ask the listener which one, with getsockname()."
    )


@pytest.mark.lesson("4-listen")
def test_a_client_can_connect_as_soon_as_the_first_line_is_there(start):
    server = start()
    try:
        socket.create_connection(server.address, VERY_SOON).close()
    except OSError as error:
        raise AssertionError(
            f"The server says that it listens on port {server.port}, and a client cannot connect: "
            f"{error}. Is there a call of listen, and does it come before the line is printed?"
        ) from None


@pytest.mark.lesson("3-bind")
def test_port_0_lets_the_kernel_choose_a_free_port(server, start):
    other = start()
    assert server.port != other.port, (
        f"Two servers were started with --port 0, and both say that they listen on {other.port}. "
        "The kernel chooses another port for each. Does bind get the port from the command line?"
    )


@pytest.mark.lesson("6-read-and-answer")
@pytest.mark.flaw
def test_a_client_gets_its_words_back_and_can_send_again(server):
    with connect(server, VERY_SOON) as connection:
        assert_echo(
            connection,
            b"hello",
            "After accept the server calls recv on the new connection, and sends exactly these "
            "bytes back to the client, with sendall. (print would show them in the server's own "
            "terminal only.)",
        )
        assert_echo(
            connection,
            b"and again",
            "After each answer the server reads again, until recv returns b''. It sends back what "
            "came, no more and no less.",
        )


@pytest.mark.lesson("6-read-and-answer")
@pytest.mark.flaw
def test_the_server_notices_that_a_client_has_sent_all(start):
    """After the end of the stream each recv returns b'' at once: a loop must not go on with it."""
    server = start()
    processes = [psutil.Process(server.pid)]
    with connect(server, 3 * QUIET) as connection:  # on a busy machine it is at work seldom
        connection.shutdown(socket.SHUT_WR)
        before = seconds_at_work(processes)
        with contextlib.suppress(OSError):
            connection.recv(1)  # a later test asks for the end that comes here
        busy = seconds_at_work(processes) - before
    assert busy < QUIET / 10, (
        "The client has sent all and ended its half of the stream, but the server works on without "
        "a pause. From now on each recv returns b'' at once, so a loop that does not end there "
        "never ends."
    )


@pytest.mark.lesson("7-close-and-accept-again")
@pytest.mark.flaw
def test_the_next_client_gets_its_words_back_too(server):
    try:
        for words in (b"first", b"second"):
            with connect(server, VERY_SOON) as connection:
                assert_echo(connection, words, "")
    except AssertionError as error:
        raise AssertionError(
            f"{error} When a client has left, recv returns b'': close its connection, not the "
            "listener, and accept the next client."
        ) from None


# Milestone 2: any bytes come back, however many.


@pytest.mark.milestone(2)
@pytest.mark.lesson("6-read-and-answer")
@pytest.mark.flaw
@pytest.mark.parametrize(
    "message, hint",
    [
        (
            b"  line one\r\nline two\n\n",
            "Spaces and line ends are bytes like all others, so they must come back, too. Does "
            "something like strip() take them away?",
        ),
        (
            bytes(range(256)),
            "Bytes need not be text, so the server must neither decode nor change them.",
        ),
        (
            b"\xff\xfe\x00\x80 is not UTF-8",
            "Bytes need not be text, so decoding them fails, or changes them. Send back what recv "
            "returned.",
        ),
        (
            bytes(range(255, -1, -1)) * 1000,
            "One recv returns only what has come so far. The server reads and answers again and "
            "again, until recv returns b''.",
        ),
    ],
    ids=["lines", "all 256 values", "not UTF-8", "256000 bytes"],
)
def test_the_echo_is_what_the_client_sent(server, message, hint):
    with connect(server, SOON) as connection:
        assert_echo(connection, message, hint)


@pytest.mark.milestone(2)
@pytest.mark.lesson("6-read-and-answer")
@pytest.mark.flaw
def test_a_character_may_arrive_in_two_halves(server):
    hint = (
        "This byte is a part of the character €. recv may return half a character, which nobody "
        "can decode, so send back bytes as they come."
    )
    with connect(server, SOON) as connection:
        for byte in "€".encode():  # the next byte leaves when the echo of this one is here
            assert_echo(connection, bytes([byte]), hint)


@pytest.mark.milestone(2)
@pytest.mark.lesson("6-read-and-answer")
@pytest.mark.flaw
def test_byte_by_byte_is_the_same_stream(server):
    with connect(server, SOON) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        hint = (
            "It was sent byte by byte, so one recv may bring a single byte, or several together. "
            "Send back as many as came each time."
        )
        assert_echo(connection, b"one byte at a time", hint, size=1)


@pytest.mark.milestone(2)
@pytest.mark.lesson("6-read-and-answer")
@pytest.mark.flaw
def test_a_client_may_send_again_and_again(server):
    hint = (
        "The client waits for this echo before it sends more, so answer each piece as soon as it "
        "comes, and then read on."
    )
    with connect(server, SOON) as connection:
        for message in (b"one", b"two", b"three" * 1000, b"four"):
            assert_echo(connection, message, hint)


def send_in_background(connection, piece, count):
    """Send a piece count times from a thread, end our half of the stream; return the thread."""

    def send():
        with contextlib.suppress(OSError):  # then too little comes back, and the test says so
            for _ in range(count):
                connection.sendall(piece)
            connection.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    return thread


def echo_64_mib(server):
    """Send 64 MiB. Fail unless they come back; return how much memory the server took for it."""
    process = psutil.Process(server.pid)
    before = most = process.memory_info().rss
    piece = os.urandom(MIB)
    sent, received = hashlib.sha1(), hashlib.sha1()
    for _ in range(64):
        sent.update(piece)
    count = 0
    with connect(server, SOON) as connection:
        thread = send_in_background(connection, piece, 64)
        with contextlib.suppress(OSError, psutil.NoSuchProcess):
            while count < 64 * MIB and (data := connection.recv(MIB)):
                received.update(data)
                if (count + len(data)) // MIB > count // MIB:
                    most = max(most, process.memory_info().rss)
                count += len(data)
    thread.join(PATIENCE)
    assert count == 64 * MIB, (
        f"Of 64 MiB that were sent only {count / MIB:.1f} came back. A long message arrives in "
        "many pieces, so the server reads and answers again and again, until recv returns b''."
    )
    assert received.digest() == sent.digest(), "The 64 MiB that came back are not those sent."
    return most - before


@pytest.mark.milestone(2)
@pytest.mark.lesson("6-read-and-answer")
@pytest.mark.flaw
def test_64_mib_come_back(server):
    echo_64_mib(server)


@pytest.mark.milestone(2)
@pytest.mark.lesson("6-read-and-answer")
@pytest.mark.course("a garbage collector may hold more")
@pytest.mark.flaw
def test_the_server_holds_one_piece_of_a_long_message(start):
    grown = echo_64_mib(start()) / MIB
    assert grown < 8, (
        f"For a message of 64 MiB the server grew by {grown:.0f} MiB. It needs memory for one "
        "piece only, if it sends each piece back before it reads the next."
    )


@pytest.mark.milestone(2)
@pytest.mark.lesson("6-read-and-answer")
@pytest.mark.flaw
@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="Windows has no SIGSTOP")
def test_no_byte_is_lost_when_send_takes_less_than_it_was_given(start):
    """A stopped and continued process shows it: its send returns early, with a part done."""
    server = start()
    process = psutil.Process(server.pid)
    size, received = 16 * MIB, 0
    with connect(server, SOON) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        thread = send_in_background(connection, bytes(size), 1)
        with contextlib.suppress(OSError):
            while data := connection.recv(MIB):
                if (received + len(data)) // MIB > received // MIB:
                    server.send_signal(signal.SIGSTOP)
                    wait_until(
                        lambda: process.status() == psutil.STATUS_STOPPED,
                        "SIGSTOP did not stop the server.",
                    )
                    server.send_signal(signal.SIGCONT)
                received += len(data)
    thread.join(PATIENCE)
    assert received >= size, (
        f"Of {size} bytes that the client sent {size - received} bytes are lost. send may take "
        "fewer bytes than it is given, and returns how many, while sendall goes on until all are "
        "taken."
    )


# Milestone 3: clients wait in line, and each gets all of its echo.


@pytest.mark.milestone(3)
@pytest.mark.lesson("7-close-and-accept-again")
@pytest.mark.flaw
@pytest.mark.parametrize("message", [b"", b"before the end"], ids=["nothing", "a message"])
def test_half_close_is_answered_with_the_rest_and_the_end(server, message):
    echo = bytearray()
    with connect(server, SOON) as connection:
        try:
            connection.sendall(message)
            connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(MIB):
                echo += piece
        except TimeoutError:
            raise AssertionError(
                f"The connection did not end. The client sent {shown(message)}, and ended its half "
                "of the stream, so recv returns b''. Leave the loop then, and close the connection."
            ) from None
        except ConnectionError as error:
            raise AssertionError(
                f"The connection was lost before the whole echo had come: {error.strerror}."
            ) from None
    assert echo == message, (
        f"The client sent {shown(message)}, ended its half of the stream, and got {shown(echo)}. "
        "All that it sent must come back first, and then the end of the stream."
    )


@pytest.mark.milestone(3)
@pytest.mark.lesson("5-accept")
@pytest.mark.flaw
def test_one_client_after_another_is_served(server):
    for number in range(20):
        message = f"client {number}".encode()
        echo = echo_of(server, message)
        assert echo == message, (
            f"Client {number} sent {message!r} and got {shown(echo)}. After each client the "
            "server goes back to accept."
        )


@pytest.mark.milestone(3)
@pytest.mark.lesson("4-listen")
@pytest.mark.flaw
def test_clients_may_connect_send_and_end_before_they_are_accepted(server):
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(connect(server, SOON))
        assert_echo(first, b"x", "This is the first of many clients.")
        others = []
        for number in range(20):
            try:
                other = stack.enter_context(connect(server, SOON))
            except TimeoutError:
                raise AssertionError(
                    f"While one client is served, {number} others could connect, not 20, because "
                    "the next one timed out. The backlog, which listen gets, says how many may "
                    "wait."
                ) from None
            others.append(other)
            other.sendall(b"I am number %d" % number)
            other.shutdown(socket.SHUT_WR)
        first.close()
        for number, other in enumerate(others):
            echo = receive_all(other)
            assert echo == b"I am number %d" % number, (
                f"Client {number} connected and sent while another one was served. It got "
                f"{shown(echo)}. The kernel keeps what it sent until its turn comes."
            )


@pytest.mark.milestone(3)
@pytest.mark.lesson("4-listen")
@pytest.mark.course("how many clients may wait is each server's own choice")
@pytest.mark.flaw
@pytest.mark.skipif(sys.platform != "linux", reason="other systems let 128 clients wait at most")
def test_more_clients_may_wait_than_listen_lets_unasked(server):
    """Python's own backlog is 128 at most."""
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(connect(server, SOON))
        assert_echo(first, b"x", "This is the first of many clients.")
        for number in range(150):
            try:
                stack.enter_context(connect(server, SOON))
            except TimeoutError:
                raise AssertionError(
                    f"While one client is served, {number} others could connect, not 150."
                ) from None


@pytest.mark.milestone(3)
@pytest.mark.lesson("what-is-still-wrong")
@pytest.mark.course("an asynchronous server serves both at once, and that is better")
@pytest.mark.flaw
def test_a_second_client_waits_while_the_first_is_served(server):
    with connect(server, SOON) as first, connect(server, QUIET) as second:
        assert_echo(first, b"first", "This is the first of two clients.")
        second.sendall(b"second")  # the kernel takes it: nobody called accept yet
        with pytest.raises(TimeoutError):
            echo = second.recv(100)
            pytest.fail(
                f"The second client got {echo!r} while the first was still served. This step's "
                "server serves one after the other."
            )
        assert_echo(first, b"again", "This is the first of two clients.")
        first.close()
        second.settimeout(SOON)
        echo = second.recv(100)
        assert echo == b"second", f"The second client sent b'second' and got {echo!r}."


# Milestone 4: client.py, and its four moves.


@pytest.fixture
def client_file(command):
    """The client.py beside the server under test."""
    beside = Path(os.path.dirname(command[-1]), "client.py").absolute()
    if not beside.exists():
        pytest.skip("There is no client.py beside this server.")
    return beside


def finish(process):
    """Wait for the end of client.py; return its status, what it printed, and what it complained."""
    try:
        output, complaint = process.communicate(timeout=SOON)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise AssertionError(
            f"client.py did not end within {SOON:g} seconds. It knows how many bytes must come "
            "back, so it can count them and stop. It must also stop when recv returns b'', because "
            "then no more will come."
        ) from None
    return process.returncode, output, complaint.decode(errors="replace").strip()


def start_client(client_file, *arguments):
    return subprocess.Popen(
        [sys.executable, client_file, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


# More than one recv brings; but a command line of Windows has at most 32,767 characters.
LONG = "x" * (30_000 if os.name == "nt" else 100_000)


@pytest.mark.milestone(4)
@pytest.mark.lesson("the-four-moves-of-a-client")
@pytest.mark.flaw
@pytest.mark.parametrize(
    "message", ["hello", "Grüße, 世界", LONG, ""], ids=["hello", "text", "long", "nothing"]
)
def test_the_client_prints_what_came_back(server, client_file, message):
    data = message.encode()  # in a locale without UTF-8, too, which may lack these signs
    status, output, complaint = finish(start_client(client_file, "--port", str(server.port), data))
    assert status == 0, f"client.py ended with status {status}. It said:\n{complaint}"
    assert output.rstrip(b"\r\n") == data, (
        f"client.py sent {message[:30]!r} and printed {shown(output)}. One recv may bring only a "
        "part of the echo, so the client must go on until all bytes are back."
    )


ECHO_32_MIB = """
import sys
sys.path.insert(0, sys.argv[1])
import client
message = bytes(range(256)) * (128 * 1024)
sys.exit(client.echo("127.0.0.1", int(sys.argv[2]), message) != message)
"""


@pytest.mark.milestone(4)
@pytest.mark.lesson("the-four-moves-of-a-client")
@pytest.mark.flaw
def test_the_client_sends_and_receives_32_mib_without_a_deadlock(client_file):
    """It calls echo, since no command line is so long. The step's own server is the other side."""
    if "def echo(" not in client_file.read_text("utf-8"):
        pytest.skip("This client.py has no function echo(host, port, message).")
    server = [sys.executable, ROOT / STEP / "server.py", "--port", "0"]
    with Server(server) as server:
        script = [ECHO_32_MIB, str(client_file.parent), str(server.port)]
        try:
            done = subprocess.run(
                [sys.executable, "-c", *script],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=0.4 * PATIENCE,
            )
        except subprocess.TimeoutExpired:
            raise AssertionError(
                "client.py hangs with a message of 32 MiB. If it sends all before it reads, both "
                "sides wait for each other: the server until the client reads the echo, and the "
                "client until the server reads on. Or is it slow? Adding to bytes copies all of "
                "them each time, while a bytearray grows."
            ) from None
    assert done.returncode == 0, f"The echo of 32 MiB is not the message.\n{done.stderr}"


def run_client_of_a_server_that_leaves(client_file):
    """Send three of five bytes back to the client, and close; return how it ended: see finish."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(SOON)
        client = start_client(client_file, "--port", str(listener.getsockname()[1]), "hello")
        message = b""
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(SOON)
                message = connection.recv(MIB)
                connection.sendall(b"hel")
        status, output, complaint = finish(client)
    assert message, f"client.py sent nothing. It ended with status {status}, and said:\n{complaint}"
    return status, output, complaint


@pytest.mark.milestone(4)
@pytest.mark.lesson("the-four-moves-of-a-client")
@pytest.mark.flaw
def test_the_client_notices_that_the_server_has_gone(client_file):
    status, output, _ = run_client_of_a_server_that_leaves(client_file)
    assert status != 0, (
        f"Of b'hello' the server sent b'hel' back, and closed. client.py printed {shown(output)} "
        "and ended with status 0, as if all were well. recv returns b'' here before the echo is "
        "whole, so the client must raise an error."
    )


@pytest.mark.milestone(4)
@pytest.mark.lesson("the-four-moves-of-a-client")
@pytest.mark.course("the words are our choice")
@pytest.mark.flaw
def test_the_client_says_that_the_server_has_gone(client_file):
    _, _, complaint = run_client_of_a_server_that_leaves(client_file)
    assert complaint.endswith("the server closed the connection"), complaint


@pytest.mark.milestone(4)
@pytest.mark.lesson("the-four-moves-of-a-client")
@pytest.mark.flaw
def test_the_client_says_that_there_is_no_server(client_file):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, but not listening: nobody answers there
        port = str(unused.getsockname()[1])
        status, output, complaint = finish(start_client(client_file, "--port", port, "hello"))
    assert status != 0 and complaint, (
        f"Nobody listens on port {port}. client.py printed {shown(output)} and ended with status "
        f"{status}. It must say on standard error that there is no server, and end with another "
        "status than 0."
    )
    assert "Traceback" not in complaint, (
        "Without a server connect raises an OSError, and client.py shows its traceback. That helps "
        "programmers only, so let main catch the error and say in one line what is "
        f"wrong:\n{complaint}"
    )


@pytest.mark.milestone(4)
@pytest.mark.lesson("the-four-moves-of-a-client")
@pytest.mark.course("the words and the status are our choice")
@pytest.mark.flaw
@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--port", "0"], "no echo from 127.0.0.1:0: "),
        (["--port", "65536"], "no echo from 127.0.0.1:65536: "),
        (["--host", "a..b"], "no echo from a..b:8000: "),
        (["--host", "é.."], "..:8000: "),
        (["--port", "many"], "invalid int value: 'many'"),
        (["two"], "unrecognized arguments: two"),
    ],
    ids=["port 0", "port 65536", "host a..b", "host é..", "port many", "two messages"],
)
def test_a_mistake_gets_one_line_of_the_client(client_file, arguments, words):
    status, output, complaint = finish(start_client(client_file, "hello", *arguments))
    assert (status, output) == (2, b""), f"client.py ended with status {status}:\n{complaint}"
    assert words in complaint and "\n" not in complaint, complaint


@pytest.mark.milestone(4)
@pytest.mark.lesson("the-four-moves-of-a-client")
@pytest.mark.course("--host is our choice, and so is the line end")
@pytest.mark.flaw
@linux_only
def test_the_client_goes_to_the_host_that_is_named(start, client_file):
    server = start("--host", "127.0.0.2")
    address = ["--host", "127.0.0.2", "--port", str(server.port)]
    done = finish(start_client(client_file, *address, "hello"))
    assert done == (0, b"hello\n", "")


def assert_help_tells_the_defaults(command):
    """Fail unless --help shows what the course's own programs show; return that."""
    done = subprocess.run([*command, "--help"], capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, "")
    first = done.stdout.partition("\n\n")[0]
    assert first.endswith("."), f"It begins with {first!r}, and not with what the program is."
    assert "--host HOST" in done.stdout and "(default: 127.0.0.1)" in done.stdout
    assert "--port PORT" in done.stdout and "(default: 8000)" in done.stdout
    return done.stdout


@pytest.mark.milestone(4)
@pytest.mark.lesson("the-four-moves-of-a-client")
@pytest.mark.course("the defaults are our choice")
@pytest.mark.flaw
def test_help_tells_the_defaults_of_the_client(client_file):
    assert "\n  MESSAGE" in assert_help_tells_the_defaults([sys.executable, client_file])


# Milestone 5: nothing but Ctrl-C ends it, and it starts again at once.


@pytest.mark.milestone(5)
@pytest.mark.lesson("what-a-socket-is")
@pytest.mark.flaw
def test_the_log_has_a_line_for_each_client(server):
    ports = []
    for _ in range(2):
        with connect(server) as connection:
            ports.append(connection.getsockname()[1])
            connection.shutdown(socket.SHUT_WR)
            receive_all(connection)
    for port in ports:
        wait_until(
            lambda port=port: re.search(rf"\b{port}\b", "\n".join(printed_by(server))),
            lambda port=port: (
                f"A client came from port {port}, but no line on standard output or standard error "
                "names this number. Each connection gets a line of its own, with the client's port "
                f"in it.\n{server.report()}"
            ),
            seconds=SOON,
        )


def printed_by(server):
    """Return the lines of a server's log: on stdout after the first line, and on stderr."""
    return [*server.output()[1:], *server.output("stderr")]


@pytest.mark.milestone(5)
@pytest.mark.lesson("what-a-socket-is")
@pytest.mark.course("all four numbers, and --host")
@pytest.mark.flaw
def test_the_log_names_each_connection_by_its_four_numbers(start):
    host, ours, theirs = ["127.0.0.1"] * 3
    if IS_LINUX:  # here all addresses from 127.0.0.1 on are this machine
        host, ours, theirs = "0.0.0.0", "127.0.0.2", "127.0.0.3"
    server = start("--host", host)
    with socket.create_connection((ours, server.port), SOON, (theirs, 0)) as connection:
        port = connection.getsockname()[1]
    line = server.wait_for_line(rf"{theirs}:{port}\b")
    assert line.endswith(f" {theirs}:{port} connected to {ours}:{server.port}"), line
    assert line.startswith(f"[{server.pid}] "), (
        f"The log line {line!r} does not say which process served, PID {server.pid}."
    )


@pytest.mark.milestone(5)
@pytest.mark.lesson("when-a-client-fails")
@pytest.mark.flaw
def test_the_reset_of_a_client_ends_that_client_alone(server):
    connection = connect(server, SOON)
    assert_echo(connection, b"x", "This is a client that will be reset.")  # the server is in recv
    reset(connection)
    echo = echo_of(server, b"still here?")
    assert echo == b"still here?", (
        "One client reset its connection, and the next one got no echo. An OSError in handle is "
        "about one client only, so catch it there, and go on with the next client."
    )


@pytest.mark.milestone(5)
@pytest.mark.lesson("when-a-client-fails")
@pytest.mark.flaw
def test_a_reset_while_the_server_sends_ends_that_client_alone(server):
    connection = connect(server, QUIET)
    with contextlib.suppress(TimeoutError):
        while True:  # nobody reads the echo: in the end the server waits in sendall
            connection.sendall(bytes(MIB))
    reset(connection)
    echo = echo_of(server, b"still here?")
    assert echo == b"still here?", (
        "A client reset its connection while the server sent, and the next one got no echo. "
        "sendall raises an OSError then, as recv does, so catch it for this one client."
    )


@pytest.mark.milestone(5)
@pytest.mark.lesson("when-a-client-fails")
@pytest.mark.flaw
def test_a_client_that_was_reset_before_accept_harms_nobody(server):
    with connect(server, SOON) as first:
        assert_echo(first, b"x", "This is a client that others wait for.")
        for _ in range(5):
            reset(connect(server))
    echo = echo_of(server, b"still here?")
    assert echo == b"still here?", (
        "Clients came and were gone before accept, and the next one got no echo. For them accept "
        "returns a socket on which each call may raise an OSError, so catch it there, too."
    )


@pytest.mark.milestone(5)
@pytest.mark.lesson("when-a-client-fails")
@pytest.mark.course("only the line that a client came is asked of others")
@pytest.mark.flaw
@posix_only
def test_the_log_says_which_client_was_lost_and_why(server):
    connection = connect(server, SOON)
    client = "{}:{}".format(*connection.getsockname())
    assert_echo(connection, b"x", "This is a client that will be reset.")
    reset(connection)
    reason = f"[Errno {errno.ECONNRESET}] {os.strerror(errno.ECONNRESET)}"
    server.wait_for_line(re.escape(f"[{server.pid}] {client} {reason}"))


def limit_descriptors(server, number):
    """Let a server and its children open no more descriptors than a number; None: as many as ever.

    Those that they have open stay open. Returns these processes.
    """
    processes = [psutil.Process(server.pid)]
    most = processes[0].rlimit(psutil.RLIMIT_NOFILE)[1]
    limits = (most if number is None else number), most
    processes[0].rlimit(psutil.RLIMIT_NOFILE, limits)  # first: a child that comes now has it, too
    processes += processes[0].children(recursive=True)
    for process in processes[1:]:
        process.rlimit(psutil.RLIMIT_NOFILE, limits)
    return processes


def a_client_that_cannot_be_accepted(server):
    """Leave a server without a free descriptor; return a client that has sent it a request."""
    limit_descriptors(server, 1)
    with socket.socket() as first, contextlib.suppress(OSError):
        first.settimeout(QUIET)
        first.connect(server.address)
        first.sendall(REQUEST)  # an accept that waits already has its descriptor, on Linux
        first.shutdown(socket.SHUT_WR)
        while first.recv(MIB):
            pass
    connection = socket.socket()
    connection.settimeout(QUIET)
    with contextlib.suppress(ConnectionError):  # the server has ended
        connection.connect(server.address)
        connection.sendall(REQUEST)
    return connection


needs_prlimit = pytest.mark.skipif(
    not hasattr(psutil.Process, "rlimit"), reason="needs prlimit(2), of Linux"
)


@pytest.mark.milestone(5)
@pytest.mark.lesson("5-accept")
@pytest.mark.flaw(last="step05_zombies")  # a worker of step 6 that cannot accept is replaced
@needs_prlimit
def test_an_error_of_accept_is_not_the_end(start):
    """Without a free descriptor a server cannot accept. When there is one again, it can."""
    server = start()
    with a_client_that_cannot_be_accepted(server) as connection:
        seconds = QUIET  # for a server that ends to be gone
        try:
            connection.recv(1)
        except TimeoutError:
            seconds = 0  # it still listens, for the client waits
        except OSError:
            pass
        assert server.is_running(seconds), (
            "accept failed, with 'Too many open files', and that ended the server. Such an error "
            "passes, so catch it, wait a little, and accept again."
        )
    limit_descriptors(server, None)
    with connect(server, SOON) as connection:
        connection.sendall(REQUEST)
        try:
            assert connection.recv(1), "nothing"
        except (OSError, AssertionError) as error:
            raise AssertionError(
                "accept failed for a while, with 'Too many open files'. That has passed, and the "
                f"next client still gets no answer: {error}. Does the server accept again?"
            ) from None


@pytest.mark.milestone(5)
@pytest.mark.lesson("5-accept")
@pytest.mark.course("an event loop may close such a connection, or try again at once")
@pytest.mark.flaw(last="step05_zombies")
@needs_prlimit
def test_a_client_waits_while_accept_fails_and_the_log_says_why(start):
    server = start()
    with a_client_that_cannot_be_accepted(server) as connection:
        processes = limit_descriptors(server, 1)
        before = seconds_at_work(processes)
        try:
            what_came = connection.recv(1)
        except TimeoutError:
            what_came = None  # it waits, as it should
        except OSError as error:
            what_came = error
        busy = seconds_at_work(processes) - before
        assert what_came is None, (
            f"accept failed, and the client got {what_came!r}. It must wait until accept works "
            "again."
        )
        reason = f"] server cannot accept: {os.strerror(errno.EMFILE)}"
        tries = sum(line.endswith(reason) for line in server.output())
        # Whoever writes much waits for the reader of the log, and needs little of a processor.
        assert busy < QUIET / 10 and tries < 1000, (
            f"While accept failed, the server was busy for {busy:.2f} of {QUIET} seconds and wrote "
            f"{tries} lines of log. It tries again and again without a pause, which takes a "
            "processor's time from all other programs."
        )
        assert tries, (
            "accept failed, and no line of the log says why, so whoever runs the server cannot "
            f"find out.\n{server.report()}"
        )
        limit_descriptors(server, None)
        connection.settimeout(SOON)
        assert connection.recv(1), "accept works again, and the client that waited got no answer."
    assert os.strerror(errno.EBADF) not in "\n".join(server.output()), (
        "After an error of accept there is no client. The server went on with the one before, "
        f"whose connection is closed.\n{server.report()}"
    )


def assert_ctrl_c_ends(server):
    """Send what Ctrl-C sends. Fail unless the server ends soon, and without a traceback."""
    server.send_signal(signal.SIGINT)
    assert not server.is_running(SOON), (
        f"Ctrl-C did not end the server within {SOON:g} seconds. In Python it raises "
        "KeyboardInterrupt at the line where the server is. Does a bare 'except:', or 'except "
        "BaseException:', take it for an error of the client? Catch only OSError there. Or does a "
        "thread still serve a client? Only daemon threads end with the program."
    )
    status = server.wait()
    assert "Traceback" not in "\n".join(server.output("stderr")), (
        "Ctrl-C is no mistake, but the server answered it with a traceback. Python raises "
        "KeyboardInterrupt, so let main catch it and end, and catch what a library raises in its "
        f"place, too.\n{server.report()}"
    )
    # Where a language has no word for signals, the signal itself ends it. A shell calls that 130.
    assert status in (0, -signal.SIGINT, 128 + signal.SIGINT), (
        f"After Ctrl-C the exit status is {status}. It must be 0, because Ctrl-C is no "
        f"mistake.\n{server.report()}"
    )


@pytest.mark.milestone(5)
@pytest.mark.lesson("the-command-line")
@posix_only
def test_ctrl_c_ends_it(start):
    server = start()
    echo_of(server, b"x")  # so it is past its first line: nobody types within a millisecond of it
    assert_ctrl_c_ends(server)


@pytest.mark.milestone(5)
@pytest.mark.lesson("the-command-line")
@pytest.mark.flaw
@posix_only
def test_ctrl_c_ends_it_while_it_serves_a_client(start):
    server = start()
    with connect(server, SOON) as connection:
        assert_echo(connection, b"x", "This is a client that is being served.")
        assert_ctrl_c_ends(server)


@pytest.mark.milestone(5)
@pytest.mark.lesson("the-command-line")
@pytest.mark.course("status 0 and silence are our choice")
@posix_only
def test_ctrl_c_ends_it_with_status_0_and_without_a_word(start):
    server = start()
    server.send_signal(signal.SIGINT)
    status = server.wait()
    assert status == 0, f"After Ctrl-C the exit status is {status}, not 0.\n{server.report()}"
    assert server.output("stderr") == [], (
        f"Ctrl-C is no mistake, so nothing should be on standard error:\n{server.report()}"
    )


@pytest.mark.milestone(5)
@pytest.mark.lesson("2-set-options")
def test_a_restarted_server_gets_its_port_back(start):
    assert_port_comes_back(start)


@pytest.mark.milestone(5)
@pytest.mark.lesson("3-bind")
def test_it_listens_on_this_machine_alone(server):
    assert server.address[0] == "127.0.0.1", (
        f"The server listens on {server.address[0]} although nobody asked for that, so everyone in "
        "the network can reach it. Bind the listener to 127.0.0.1."
    )
    try:
        connection = socket.create_connection(("127.0.0.2", server.port), 1)
    except OSError:
        return  # refused, as it should be
    connection.close()
    raise AssertionError(
        "The server says that it listens on 127.0.0.1 alone, but it took a connection to "
        "127.0.0.2. Look at the address that bind gets."
    )


@pytest.mark.milestone(5)
@pytest.mark.lesson("3-bind")
@pytest.mark.course("--host is our choice")
def test_it_listens_on_the_host_that_is_named(start):
    server = start("--host", "localhost")
    assert server.address[0] == "127.0.0.1", (
        f"With --host localhost the server listens on {server.address[0]}. Does bind get --host?"
    )
    connect(server).close()


@pytest.mark.milestone(5)
@pytest.mark.lesson("3-bind")
@pytest.mark.course("--host is our choice")
@linux_only
def test_it_listens_on_every_interface_if_it_is_asked_to(start):
    server = start("--host", "0.0.0.0")
    assert server.address[0] == "0.0.0.0", (
        f"With --host 0.0.0.0 the server says that it listens on {server.address[0]}."
    )
    for host in ("127.0.0.1", "127.0.0.2"):
        socket.create_connection((host, server.port), PATIENCE).close()


def assert_it_does_not_start(server, why):
    """Fail unless a server that was started with a mistake has ended soon, with a status for it."""

    def listens():
        return any(line.startswith("Listening on") for line in server.output())

    wait_until(
        lambda: listens() or not server.is_running(),
        f"{why} The server neither ended nor listened within {SOON:g} seconds.",
        seconds=SOON,
    )
    assert not listens(), (
        f"{why} The server listens all the same, so nobody notices the mistake. It must say on "
        "standard error what is wrong, and end with a status other than 0, such as 2."
    )
    status = server.wait()
    assert status != 0, (
        f"{why} The server ended with status 0, as if all were well. After such a mistake the "
        f"status should be another, such as 2.\n{server.report()}"
    )


@pytest.mark.milestone(5)
@pytest.mark.lesson("the-command-line")
def test_it_does_not_start_on_a_port_that_is_taken(server, start):
    other = start(port=server.port, first_line=False)
    assert_it_does_not_start(other, f"Another server listens on port {server.port} already.")


@pytest.mark.milestone(5)
@pytest.mark.lesson("the-command-line")
@pytest.mark.parametrize(
    "arguments",
    [["--port", "many"], ["--port", "65536"], ["--port=-1"], ["--no-such-option"], ["one", "two"]],
    ids=" ".join,
)
def test_it_does_not_start_with_a_wrong_argument(command, arguments):
    port = [] if "--port" in arguments[0] else ["--port", "0"]
    with Server([*command, *port, *arguments], first_line=False) as server:
        assert_it_does_not_start(server, f"{' '.join(arguments)} stood on the command line.")


def assert_one_line_and_status_2(server):
    status = server.wait()
    lines = server.output("stderr")
    hint = "parser.error() of argparse prints one line, and exits with status 2."
    assert "Traceback" not in server.report(), (
        "A mistake in the command gave a traceback, which helps programmers only. "
        f"{hint}\n{server.report()}"
    )
    assert status == 2, f"The exit status is {status}, not 2. {hint}\n{server.report()}"
    assert len(lines) == 1 and lines[0].strip(), (
        f"There must be one line on standard error, but there are {len(lines)}. "
        f"{hint}\n{server.report()}"
    )
    return lines[0]


ONE_LINE = "one line, status 2, --host and the defaults are our choice"


@pytest.mark.milestone(5)
@pytest.mark.lesson("the-command-line")
@pytest.mark.course(ONE_LINE)
def test_a_taken_port_gets_one_clear_line(server, start):
    line = assert_one_line_and_status_2(start(port=server.port, first_line=False))
    number = f"{'Errno' if os.name == 'posix' else 'WinError'} {errno.EADDRINUSE}"
    assert f"cannot listen on 127.0.0.1:{server.port}: [{number}]" in line, (
        f"The message does not say what is wrong with which address: {line!r}"
    )


DROP_THE_RIGHT = """
import ctypes, os, sys
if os.geteuid() == 0 and sys.platform == "linux":
    # Take from root the right to bind to ports below 1024.
    PR_CAPBSET_DROP, CAP_NET_BIND_SERVICE = 24, 10
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_NET_BIND_SERVICE, 0, 0, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""
BIND_PORT_1 = "import socket; socket.socket().bind(('127.0.0.1', 1))"


@pytest.mark.milestone(5)
@pytest.mark.lesson("the-command-line")
@pytest.mark.course(ONE_LINE)
@pytest.mark.skipif(os.name != "posix", reason="Windows forbids no port")
def test_a_forbidden_port_gets_one_clear_line(command):
    without_right = [sys.executable, "-c", DROP_THE_RIGHT]
    probe = [*without_right, sys.executable, "-c", BIND_PORT_1]
    if subprocess.run(probe, capture_output=True, timeout=PATIENCE).returncode == 0:
        pytest.skip("on this system everyone may listen on port 1")
    with Server([*without_right, *command, "--port", "1"], first_line=False) as server:
        assert_one_line_and_status_2(server)


@pytest.mark.milestone(5)
@pytest.mark.lesson("the-command-line")
@pytest.mark.course(ONE_LINE)
@pytest.mark.parametrize(
    "arguments",
    [
        ["--port", "many"],
        ["--port", "65536"],
        ["--port=-1"],
        ["--no-such-option"],
        ["one", "two"],
        ["--host", "192.0.2.1"],  # not an address of this machine
        ["--host", "::1"],  # not an address for AF_INET
        ["--host", "a..b"],  # not a name
        ["--host", "é.."],
        ["--host", ""],  # bind would take it for every interface
    ],
    ids=" ".join,
)
def test_a_wrong_argument_gets_one_clear_line(command, arguments):
    port = [] if "--port" in arguments[0] else ["--port", "0"]
    with Server([*command, *port, *arguments], first_line=False) as server:
        assert_one_line_and_status_2(server)


@pytest.mark.milestone(5)
@pytest.mark.lesson("the-command-line")
@pytest.mark.course(ONE_LINE)
def test_help_tells_the_defaults(command):
    assert_help_tells_the_defaults(command)
