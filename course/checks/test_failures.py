"""What the kernel refuses: each of its errors is logged, and ends no server."""

import contextlib
import errno
import os
import sys
import time

import pytest

from course.copies import patched
from tests.harness import ROOT, STEPS, Server, connect, exchange, get
from tests.test_step01_echo_socket import echo_of

ONE_WORKER = {"step06_prefork": ["--workers", "1"]}
REQUEST = b"GET / HTTP/1.0\r\n\r\n"  # an answer comes from every step

steps = pytest.mark.parametrize(
    "step", [step for step in STEPS if hasattr(os, "fork") or step < "step04"]
)


def start(step, patch, **options):
    """Start the server of a step after a patch."""
    file = ROOT / step / "server.py"
    command = patched(patch, file, "--port", "0", *ONE_WORKER.get(step, []))
    return Server(command, **options)


def assert_no_traceback(server):
    assert server.output("stderr") == [], f"This is no mistake of the server:\n{server.report()}"


# accept(2): a client has gone, nothing is free, or an error of the network waits there.
ERRORS = [
    getattr(errno, name)
    for name in (
        "ECONNABORTED",
        "EMFILE",
        "ENFILE",
        "ENOBUFS",
        "ENOMEM",
        "EPROTO",
        "EPERM",
        "ENETDOWN",
        "ENETUNREACH",
        "EHOSTUNREACH",
    )
]
ACCEPT_FAILS = """
import os, socket
accept = socket.socket.accept

def fail_first(self):
    with open({file!r}, "a+b") as calls:  # in a file, since step 6 may start another worker
        calls.write(b".")
        number = calls.tell()
    if number > len({errors}):
        return accept(self)
    raise OSError({errors}[number - 1], os.strerror({errors}[number - 1]))

socket.socket.accept = fail_first
"""


@steps
def test_each_error_of_accept_gets_a_line_and_a_pause(step, tmp_path):
    patch = ACCEPT_FAILS.format(file=str(tmp_path / "calls"), errors=ERRORS)
    begin = time.monotonic()
    with start(step, patch) as server:
        patience = 3 * len(ERRORS)  # a worker of step 6 pauses for a second after each
        assert echo_of(server, REQUEST, timeout=patience), (
            f"The next client waits:\n{server.report()}"
        )
        seconds = time.monotonic() - begin
        for number in ERRORS:
            reason = os.strerror(number)
            lines = [line for line in server.output() if line.endswith(f"cannot accept: {reason}")]
            assert len(lines) == 1, f"{len(lines)} lines say {reason!r}:\n{server.report()}"
        assert seconds > 0.1 * len(ERRORS), (
            f"{len(ERRORS)} errors of accept took {seconds:.1f} seconds. An error that stays would "
            "keep the processor busy, and fill the log."
        )
        assert_no_traceback(server)


# On macOS accept gives no address if the client has gone already.
NO_ADDRESS = """
import socket
accept = socket.socket.accept

def give_none_first(self):
    connection, _ = accept(self)
    socket.socket.accept = accept
    return connection, None

socket.socket.accept = give_none_first
"""


@steps
def test_a_client_whose_address_is_not_known_harms_nobody(step):
    with start(step, NO_ADDRESS) as server:
        echo_of(server, REQUEST)
        server.wait_for_line(r"\?:\? ")
        assert echo_of(server, REQUEST), f"The next client got nothing:\n{server.report()}"
        server.wait_for_line(r" 127\.0\.0\.1:\d+ ")
        assert_no_traceback(server)


CLOSES = """
import socket, sys
accept = socket.socket.accept

def close_first(self):
    sys.stdout.close()
    return accept(self)

socket.socket.accept = close_first
"""


@steps
def test_a_log_that_python_has_closed_harms_nobody(step):
    with start(step, CLOSES) as server:
        for _ in range(2):
            assert echo_of(server, REQUEST), f"A client got nothing:\n{server.report()}"
        assert_no_traceback(server)


NO_NAME = """
import errno, os, socket
getsockname = socket.socket.getsockname

def fail_for_connections(self):
    if not self.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) and os.path.exists({file!r}):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    return getsockname(self)

socket.socket.getsockname = fail_for_connections
"""


@pytest.mark.skipif(os.name != "posix", reason="Windows has no SO_ACCEPTCONN")
@steps
def test_a_connection_that_has_no_name_any_more_harms_nobody(step, tmp_path):
    file = tmp_path / "fails while this file is here"
    file.touch()
    with start(step, NO_NAME.format(file=str(file))) as server:
        with connect(server) as connection, contextlib.suppress(OSError):
            client = "{}:{}".format(*connection.getsockname())
            connection.sendall(REQUEST)
            while connection.recv(1000):
                pass
        server.wait_for_line(f" {client} ")
        file.unlink()
        assert echo_of(server, REQUEST), f"The next client got nothing:\n{server.report()}"
        assert_no_traceback(server)


# A limit for the size of a file fails as a full disk does, in the same write(2), but needs no disk.
MIB = 1024 * 1024
CODINGS = ["Content-Length", "chunked"]
has_limit = pytest.mark.skipif(os.name != "posix", reason="Windows has no such limit")


def start_with_small_files(size, **options):
    """Start the server of step 2, which can write no file of more than size bytes.

    http_message.py is the same file in steps 2 to 6: what holds here holds in all of them.
    """
    limit = ["sh", "-c", f'ulimit -f {size // 512} && exec "$@"', "sh"]
    command = [*limit, sys.executable, str(ROOT / STEPS[1] / "server.py"), "--port", "0"]
    return Server(command, **options)


def upload(coding, size):
    """Return a request with a body of so many bytes, with its length or in one chunk."""
    head = b"GET / HTTP/1.1\r\nHost: test\r\n"
    if coding == "chunked":
        head += b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % size
        return head + bytes(size) + b"\r\n0\r\n\r\n"
    return head + b"Content-Length: %d\r\n\r\n" % size + bytes(size)


@has_limit
@pytest.mark.parametrize("coding", CODINGS)
def test_a_body_of_one_mib_stays_in_memory_and_a_longer_one_goes_to_a_file(coding):
    with start_with_small_files(512) as server:
        answer = exchange(server, upload(coding, MIB))
        assert answer.startswith(b"HTTP/1.1 200 "), f"{answer[:100]!r}:\n{server.report()}"
        answer = exchange(server, upload(coding, MIB + 1))
        assert answer.startswith(b"HTTP/1.1 503 "), (
            f"A body of 1 MiB and one byte is in no file: {answer[:100]!r}."
        )


@has_limit
@pytest.mark.parametrize("coding", CODINGS)
def test_an_upload_that_the_disk_cannot_hold_gets_an_answer(coding):
    strict = {"PYTHONDEVMODE": "1", "PYTHONWARNINGS": "error"}  # says so if the file stays open
    with start_with_small_files(MIB, environment=strict) as server:
        status, reason = "503 Service Unavailable", os.strerror(errno.EFBIG)
        answer = exchange(server, upload(coding, 3 * MIB))
        assert answer.startswith(f"HTTP/1.1 {status}\r\n".encode()), (
            f"The client got {answer[:100]!r}, not {status}:\n{server.report()}"
        )
        server.wait_for_line(f"{status}: {reason}")
        assert get(server).status == 200, f"The next client got no page:\n{server.report()}"
        assert_no_traceback(server)
