"""Step 1: a server that echoes. It takes one client after another, and sends back every byte."""

import contextlib
import hashlib
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from tests.harness import PATIENCE, ROOT, Server, connect, receive_all, wait_until

STEP = "step01_echo_socket"
MIB = 1024 * 1024
QUIET = 0.3  # seconds without an answer that show that a client waits

posix_only = pytest.mark.skipif(os.name != "posix", reason="Windows has no such signals")


def echo_of(server, *pieces, timeout=3):
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


def receive_exactly(connection, size):
    """Return the next bytes of a stream, size of them. Fails with a hint if they do not come."""
    data = bytearray()
    try:
        while len(data) < size:
            piece = connection.recv(size - len(data))
            assert piece, (
                f"Of {size} bytes {len(data)} came back, then the stream ended. "
                "A server reads again and again, until recv returns b''."
            )
            data += piece
    except (TimeoutError, ConnectionError) as error:
        raise AssertionError(
            f"Of {size} bytes {len(data)} came back, then nothing more ({error}). "
            "Does the server still run, and does it still read?"
        ) from None
    return bytes(data)


def reset(connection):
    """Close a connection by a reset: the client vanishes in the middle."""
    linger = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)  # on, 0 seconds
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    connection.close()


# The contract of every server in this course: address, first line, mistakes, the end.


@pytest.mark.lesson("the-command-line")
def test_the_first_line_says_where_the_server_listens(server):
    line = server.output()[0]
    assert line.startswith("Listening on "), (
        f"The first line of output is {line!r}. It must be 'Listening on ' and the address, "
        "printed after listen, with flush=True."
    )


@pytest.mark.lesson("3-bind")
def test_port_0_lets_the_kernel_choose_a_free_port(server, start):
    other = start()
    ports = server.port, other.port
    assert 0 not in ports, (
        "The server says that it listens on port 0. Ask the listener, with getsockname(), which "
        "port the kernel chose."
    )
    assert ports[0] != ports[1], f"Two servers say that they listen on one port, {ports[0]}."


@pytest.mark.lesson("3-bind")
def test_it_listens_on_this_machine_alone(server):
    assert server.address[0] == "127.0.0.1", (
        f"The server listens on {server.address[0]}, unasked. Then everyone in the network can "
        "reach it. The default for --host is 127.0.0.1."
    )
    try:
        connection = socket.create_connection(("127.0.0.2", server.port), 1)
    except OSError:
        return  # refused, as it should be
    connection.close()
    raise AssertionError(
        "The server took a connection to 127.0.0.2. It says that it listens on 127.0.0.1 alone: "
        "look at the address that bind gets."
    )


@pytest.mark.lesson("3-bind")
def test_it_listens_on_the_host_that_is_named(start):
    server = start("--host", "localhost")
    assert server.address[0] == "127.0.0.1", (
        f"With --host localhost the server listens on {server.address[0]}. Does bind get --host?"
    )
    connect(server).close()


@pytest.mark.lesson("3-bind")
@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no address 127.0.0.2")
def test_it_listens_on_every_interface_if_it_is_asked_to(start):
    server = start("--host", "0.0.0.0")
    assert server.address[0] == "0.0.0.0", (
        f"With --host 0.0.0.0 the server says that it listens on {server.address[0]}."
    )
    for host in ("127.0.0.1", "127.0.0.2"):
        try:
            socket.create_connection((host, server.port), PATIENCE).close()
        except OSError as error:
            raise AssertionError(
                f"With --host 0.0.0.0 the server must take connections to each address of this "
                f"machine. At {host} it takes none: {error}"
            ) from None


@pytest.mark.lesson("2-set-options")
def test_a_restarted_server_gets_its_port_back(start):
    first = start()
    with connect(first) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")  # an answer comes from every step
        receive_exactly(connection, 1)
        first.kill()  # the server's side ends first: its port stays in TIME_WAIT for a minute
        with contextlib.suppress(ConnectionError):
            receive_all(connection)
    second = start(port=first.port)
    assert second.port == first.port, "The second server must listen on the port of the first."
    connect(second).close()


def assert_one_line_and_status_2(server):
    status = server.wait()
    lines = server.output("stderr")
    hint = "argparse's parser.error() prints one line and exits with status 2."
    assert "Traceback" not in server.report(), (
        f"A mistake in the command gave a traceback. It is for programmers. {hint}\n"
        f"{server.report()}"
    )
    assert status == 2, f"The exit status is {status}, not 2. {hint}\n{server.report()}"
    assert len(lines) == 1 and lines[0].strip(), (
        f"There must be one line on stderr, and there are {len(lines)}. {hint}\n{server.report()}"
    )
    return lines[0]


@pytest.mark.lesson("the-command-line")
def test_a_taken_port_gets_one_clear_line(server, start):
    line = assert_one_line_and_status_2(start(port=server.port, first_line=False))
    assert str(server.port) in line, f"The message does not say which port it is about: {line!r}"


DROP_THE_RIGHT = """
import ctypes, os, sys
if os.geteuid() == 0 and sys.platform == "linux":
    # Take from root the right to bind to ports below 1024.
    PR_CAPBSET_DROP, CAP_NET_BIND_SERVICE = 24, 10
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_NET_BIND_SERVICE, 0, 0, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""
BIND_PORT_1 = "import socket; socket.socket().bind(('127.0.0.1', 1))"


@pytest.mark.lesson("the-command-line")
@pytest.mark.skipif(os.name != "posix", reason="Windows forbids no port")
def test_a_forbidden_port_gets_one_clear_line(command):
    without_right = [sys.executable, "-c", DROP_THE_RIGHT]
    probe = [*without_right, sys.executable, "-c", BIND_PORT_1]
    if subprocess.run(probe, capture_output=True, timeout=PATIENCE).returncode == 0:
        pytest.skip("on this system everyone may listen on port 1")
    with Server([*without_right, *command, "--port", "1"], first_line=False) as server:
        assert_one_line_and_status_2(server)


@pytest.mark.lesson("the-command-line")
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


@pytest.mark.lesson("the-command-line")
@posix_only
def test_ctrl_c_ends_it_with_status_0(start):
    server = start()
    server.send_signal(signal.SIGINT)
    status = server.wait()
    assert status == 0, (
        f"After Ctrl-C the exit status is {status}, not 0. main() catches KeyboardInterrupt.\n"
        f"{server.report()}"
    )
    assert server.output("stderr") == [], (
        f"Ctrl-C is no mistake: nothing goes to stderr.\n{server.report()}"
    )


@pytest.mark.lesson("the-command-line")
@posix_only
@pytest.mark.flaw
def test_ctrl_c_ends_it_while_it_serves_a_client(start):
    server = start()
    with connect(server) as connection:
        connection.sendall(b"x")
        receive_exactly(connection, 1)
        server.send_signal(signal.SIGINT)
        assert server.wait() == 0, f"Ctrl-C gave an exit status other than 0.\n{server.report()}"
    assert server.output("stderr") == [], (
        f"Ctrl-C is no mistake: nothing goes to stderr.\n{server.report()}"
    )


# The echo: a stream of bytes.


@pytest.mark.lesson("6-read-and-answer")
@pytest.mark.flaw
@pytest.mark.parametrize(
    "message",
    [
        b"hello",
        b"",
        b"line one\r\nline two\n\n",
        bytes(range(256)),
        bytes(range(255, -1, -1)) * 1000,
        b"\xff\xfe\x00\x80 is not UTF-8",
    ],
    ids=["hello", "nothing", "lines", "all 256 values", "256000 bytes", "not UTF-8"],
)
def test_the_echo_is_what_the_client_sent(server, message):
    echo = echo_of(server, message)
    assert len(echo) >= len(message), (
        f"{message[:10]!r}, in all {len(message)} bytes, was sent, and {len(echo)} bytes came "
        "back. A long message arrives in many pieces: the server reads and answers until recv "
        f"returns b''.\n{server.report()[-500:]}"
    )
    assert echo == message, (
        f"{message[:50]!r} came back as {echo[:50]!r}. The server passes bytes on and never "
        f"decodes them.\n{server.report()[-500:]}"
    )


@pytest.mark.lesson("6-read-and-answer")
@pytest.mark.flaw
def test_a_character_may_arrive_in_two_halves(server):
    euro = "€".encode()
    with connect(server, 3) as connection:
        for byte in euro:  # the next byte leaves when the echo of this one is here
            connection.sendall(bytes([byte]))
            echo = receive_exactly(connection, 1)
            assert echo == bytes([byte]), (
                f"The byte {byte:#x} of the character € came back as {echo!r}. One recv may "
                "return half a character: bytes are not text."
            )


@pytest.mark.lesson("6-read-and-answer")
@pytest.mark.flaw
def test_byte_by_byte_is_the_same_stream(server):
    message = b"one byte at a time"
    echo = echo_of(server, *(bytes([byte]) for byte in message))
    assert echo == message, f"{message!r}, sent byte by byte, came back as {echo!r}."


@pytest.mark.lesson("6-read-and-answer")
@pytest.mark.flaw
def test_a_client_may_send_again_and_again(server):
    with connect(server, 3) as connection:
        for message in (b"one", b"two", b"three" * 1000, b"four"):
            connection.sendall(message)
            echo = receive_exactly(connection, len(message))
            assert echo == message, f"{message[:20]!r} came back as {echo[:20]!r}."


@pytest.mark.lesson("7-close-and-accept-again")
@pytest.mark.flaw
def test_half_close_is_answered_with_the_rest_and_the_end(server):
    with connect(server, 2) as connection:
        connection.sendall(b"before the end")
        connection.shutdown(socket.SHUT_WR)
        echo = receive_all(connection)
    assert echo == b"before the end", (
        f"The client ended its half of the stream. {echo!r} came back, not all that it sent."
    )


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


@pytest.mark.lesson("6-read-and-answer")
@pytest.mark.flaw
def test_64_mib_come_back_and_the_server_does_not_grow(start):
    server = start()
    process = psutil.Process(server.pid)
    before = process.memory_info().rss
    most = before
    piece = os.urandom(MIB)
    sent, received = hashlib.sha1(), hashlib.sha1()
    for _ in range(64):
        sent.update(piece)
    count = 0
    with connect(server, 3) as connection:
        thread = send_in_background(connection, piece, 64)
        with contextlib.suppress(OSError):
            while data := connection.recv(MIB):
                received.update(data)
                if (count + len(data)) // MIB > count // MIB:
                    most = max(most, process.memory_info().rss)
                count += len(data)
    thread.join(PATIENCE)
    assert count == 64 * MIB, (
        f"Of 64 MiB {count / MIB:.1f} came back. A long message arrives in many pieces: the server "
        "reads and answers until recv returns b''."
    )
    assert received.digest() == sent.digest(), "The 64 MiB that came back are not those sent."
    grown = (most - before) / MIB
    assert grown < 8, (
        f"The server grew by {grown:.0f} MiB. It needs memory for one piece only: send each "
        "piece back before reading the next."
    )


@pytest.mark.lesson("6-read-and-answer")
@pytest.mark.flaw
@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="Windows has no SIGSTOP")
def test_no_byte_is_lost_when_send_takes_less_than_it_was_given(start):
    """A stopped and continued process shows it: its send returns early, with a part done."""
    server = start()
    process = psutil.Process(server.pid)
    size, received = 16 * MIB, 0
    with connect(server, 3) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        thread = send_in_background(connection, bytes(size), 1)
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
    assert received == size, (
        f"{size - received} of {size} bytes are lost. send may take fewer bytes than it is given, "
        "and returns how many. sendall goes on until all are taken."
    )


# Connections: many clients, one server.


@pytest.mark.lesson("what-a-socket-is")
@pytest.mark.flaw
def test_the_log_names_each_connection_by_its_four_numbers(server):
    with connect(server) as one:
        names = [one.getsockname()]
    with connect(server) as two:
        names.append(two.getsockname())
    listening = f"127.0.0.1:{server.port}"
    for host, port in names:
        line = server.wait_for_line(f"{host}:{port} ")
        assert listening in line, (
            f"The log line {line!r} does not name the server's half of the connection, {listening}."
        )
        assert str(server.pid) in line, (
            f"The log line {line!r} does not say which process served, PID {server.pid}."
        )


@pytest.mark.lesson("5-accept")
@pytest.mark.flaw
def test_one_client_after_another_is_served(server):
    for number in range(20):
        message = f"client {number}".encode()
        echo = echo_of(server, message)
        assert echo == message, (
            f"Client {number} sent {message!r} and got {echo!r}. After each client the server "
            "goes back to accept."
        )


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


def seconds_at_work(processes):
    """Return how much of a processor's time some processes have used so far."""
    return sum(sum(process.cpu_times()[:2]) for process in processes if process.is_running())


@pytest.mark.lesson("5-accept")
@pytest.mark.skipif(not hasattr(psutil.Process, "rlimit"), reason="needs prlimit(2), of Linux")
def test_an_error_of_accept_is_not_the_end(start):
    """Without a free descriptor a server cannot accept. When there is one again, it can."""
    server = start()
    processes = limit_descriptors(server, 1)
    request = b"GET / HTTP/1.0\r\n\r\n"  # an answer comes from every step
    with socket.socket() as first, contextlib.suppress(OSError):
        first.settimeout(QUIET)
        first.connect(server.address)
        client = "{}:{}".format(*first.getsockname())
        first.sendall(request)  # an accept that waits already has its descriptor, on Linux
        first.shutdown(socket.SHUT_WR)
        while first.recv(MIB):
            pass
    before = seconds_at_work(processes)
    with socket.socket() as connection:
        connection.settimeout(QUIET)
        try:
            connection.connect(server.address)
            connection.sendall(request)
            what_came = connection.recv(1)
        except TimeoutError:
            what_came = None  # it waits, as it should
        except ConnectionError as error:
            what_came = error
        busy = seconds_at_work(processes) - before
        assert what_came is None, (
            f"accept failed, with 'Too many open files', and the next client got {what_came!r}. "
            "Such an error passes, and must not end the server: log it, and accept again. It "
            f"printed:\n{server.report()}"
        )
        assert busy < QUIET / 3, (  # to replace a worker that cannot accept is work, too
            f"While accept failed, the server was busy for {busy:.2f} of {QUIET} seconds. It tries "
            "again and again, without a pause."
        )
        lines = [*server.output()[1:], *server.output("stderr")]
        assert any(client not in line for line in lines), (
            "accept failed, and the server did not say so. Somebody will look for the reason."
        )
        limit_descriptors(server, None)
        connection.settimeout(PATIENCE)
        receive_exactly(connection, 1)


@pytest.mark.lesson("what-is-still-wrong")
@pytest.mark.flaw
def test_a_second_client_waits_while_the_first_is_served(server):
    with connect(server) as first, connect(server) as second:
        first.sendall(b"first")
        receive_exactly(first, 5)
        second.sendall(b"second")  # the kernel takes it: nobody called accept yet
        second.settimeout(QUIET)
        with pytest.raises(TimeoutError):
            echo = second.recv(100)
            pytest.fail(f"The second client got {echo!r} while the first was still served.")
        first.sendall(b"again")
        receive_exactly(first, 5)
        first.close()
        second.settimeout(3)
        echo = receive_exactly(second, 6)
        assert echo == b"second", f"The second client sent b'second' and got {echo!r}."


@pytest.mark.lesson("4-listen")
@pytest.mark.flaw
def test_clients_may_connect_send_and_end_before_they_are_accepted(server):
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(connect(server, 3))
        first.sendall(b"x")
        receive_exactly(first, 1)
        others = [stack.enter_context(connect(server, 3)) for _ in range(20)]
        for number, other in enumerate(others):
            other.sendall(b"I am number %d" % number)
            other.shutdown(socket.SHUT_WR)
        first.close()
        for number, other in enumerate(others):
            echo = receive_all(other)
            assert echo == b"I am number %d" % number, (
                f"Client {number} connected and sent before accept was called. It got {echo!r}. "
                "The kernel keeps it, up to the backlog of listen."
            )


@pytest.mark.lesson("when-a-client-fails")
@pytest.mark.flaw
def test_the_reset_of_a_client_ends_that_client_alone(start):
    server = start()
    connection = connect(server)
    connection.sendall(b"x")
    receive_exactly(connection, 1)  # the server is in recv now
    reset(connection)
    echo = echo_of(server, b"still here?")
    assert echo == b"still here?", (
        "One client was reset, and the next one got no echo. An OSError in handle is about one "
        f"client; catch it there. The server printed:\n{server.report()}"
    )


@pytest.mark.lesson("when-a-client-fails")
@pytest.mark.flaw
def test_a_reset_while_the_server_sends_ends_that_client_alone(start):
    server = start()
    connection = connect(server)
    connection.settimeout(QUIET)
    with contextlib.suppress(TimeoutError):
        while True:  # nobody reads the echo: in the end the server waits in sendall
            connection.sendall(bytes(MIB))
    reset(connection)
    echo = echo_of(server, b"still here?")
    assert echo == b"still here?", (
        "A client was reset while the server sent, and the next one got no echo. The server "
        f"printed:\n{server.report()}"
    )


@pytest.mark.lesson("when-a-client-fails")
@pytest.mark.flaw
def test_a_client_that_was_reset_before_accept_harms_nobody(server):
    with connect(server) as first:
        first.sendall(b"x")
        receive_exactly(first, 1)
        for _ in range(5):
            reset(connect(server))
    echo = echo_of(server, b"still here?")
    assert echo == b"still here?", (
        "Clients came and were gone before accept, and the next one got no echo. getpeername "
        f"fails for them, with an OSError. The server printed:\n{server.report()}"
    )


# client.py: the four moves.


@pytest.fixture
def client_file(command):
    """The client.py beside the server under test, or else the step's own."""
    beside = Path(os.path.dirname(command[-1]), "client.py").absolute()
    return beside if beside.exists() else ROOT / STEP / "client.py"


def run_client(client_file, *arguments):
    return subprocess.run(
        [sys.executable, client_file, *arguments], cwd=ROOT, capture_output=True, timeout=PATIENCE
    )


# More than one recv brings; but a command line of Windows has at most 32,767 characters.
LONG = "x" * (30_000 if os.name == "nt" else 100_000)


@pytest.mark.lesson("the-four-moves-of-a-client")
@pytest.mark.flaw
@pytest.mark.parametrize(
    "message", ["hello", "", "Grüße, 世界", LONG], ids=["hello", "nothing", "text", "long"]
)
def test_the_client_prints_what_came_back(server, client_file, message):
    done = run_client(client_file, "--port", str(server.port), message)
    assert done.returncode == 0, f"client.py failed: {done.stderr.decode()}"
    printed = done.stdout.rstrip(b"\r\n")
    assert printed == os.fsencode(message), (
        f"client.py sent {message[:30]!r} and printed {printed[:60]!r}."
    )


ECHO_32_MIB = """
import sys
sys.path.insert(0, sys.argv[1])
import client
message = bytes(range(256)) * (128 * 1024)
sys.exit(client.echo("127.0.0.1", int(sys.argv[2]), message) != message)
"""


@pytest.mark.lesson("the-four-moves-of-a-client")
@pytest.mark.flaw
def test_the_client_sends_and_receives_32_mib_without_a_deadlock(server, client_file):
    script = [ECHO_32_MIB, str(client_file.parent), str(server.port)]
    try:
        done = subprocess.run([sys.executable, "-c", *script], capture_output=True, timeout=4)
    except subprocess.TimeoutExpired:
        raise AssertionError(
            "client.py hangs with a message of 32 MiB. If it sends all before it reads, both sides "
            "wait: the server until someone reads the echo, the client until someone reads on."
        ) from None
    assert done.returncode == 0, f"The echo of 32 MiB is not the message.\n{done.stderr.decode()}"


@pytest.mark.lesson("the-four-moves-of-a-client")
@pytest.mark.flaw
def test_the_client_says_in_one_line_that_there_is_no_server(client_file):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, but not listening: nobody answers there
        done = run_client(client_file, "--port", str(unused.getsockname()[1]), "hello")
    lines = done.stderr.decode().splitlines()
    assert done.returncode == 2 and len(lines) == 1, (
        f"Without a server client.py must print one line and exit with 2. It exited with "
        f"{done.returncode} and printed:\n{done.stderr.decode()}"
    )
