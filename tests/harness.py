"""What the tests share: a server as a process of its own, and a client for its answers.

The tests know a server only from outside: its command line, its output, and its answers.
"""

import atexit
import contextlib
import functools
import http.client
import io
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

import psutil

ROOT = Path(__file__).parent.parent
TESTS = Path(__file__).parent
APPLICATIONS = TESTS / "applications"  # what the servers under test run
STEPS = [
    "step01_echo_socket",
    "step02_http_server",
    "step03_wsgi",
    "step04_fork",
    "step05_zombies",
    "step06_prefork",
]
MOST_BYTES = 64 * 1024 * 1024  # of one answer: what is longer never ends
# Seconds until a test gives up waiting for what should come at once.
PATIENCE = float(os.environ.get("PATIENCE", 10))

# A proxy is for other machines: no client of ours asks it for a server of ours.
os.environ["no_proxy"] = os.environ["NO_PROXY"] = "127.0.0.1,localhost"

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a shell's background job:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the servers would ignore Ctrl-C, too


class Server:
    """A running server: its process, its address, and the lines that it printed so far."""

    folder = APPLICATIONS  # where a server runs, if cwd names no other place

    def __init__(self, command, cwd=None, environment=None, first_line=True):
        """Start a command, a list of strings, and wait for its first line."""
        env = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
        self.command = command
        self.lines = {"stdout": [], "stderr": []}
        self.changed = threading.Condition()
        self.process = subprocess.Popen(
            command,
            cwd=cwd or self.folder,
            env=env | (environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=os.name == "posix",
        )
        tell_watcher("+", self.process.pid)
        self.threads = [
            threading.Thread(target=self._collect, args=(name,), daemon=True)
            for name in ("stdout", "stderr")
        ]
        for thread in self.threads:
            thread.start()
        if first_line:
            self._read_address()

    def _collect(self, name):
        with getattr(self.process, name) as stream:
            for line in stream:
                with self.changed:
                    self.lines[name].append(line.rstrip("\n"))
                    self.changed.notify_all()
        with self.changed:
            self.lines[name].append(None)  # end of file
            self.changed.notify_all()

    def _read_address(self):
        try:
            line = self.wait_for_line("")
            listening = re.fullmatch(r"Listening on (?:http://)?([\d.]+):(\d+)", line)
            assert listening, (
                f"The first line that the server printed is {line!r}. It must be "
                "'Listening on ' and the address, such as http://127.0.0.1:8000."
            )
            self.address = listening[1], int(listening[2])
        except BaseException:
            self.kill()
            raise

    @property
    def port(self):
        return self.address[1]

    @property
    def url(self):
        return f"http://{self.address[0]}:{self.port}"

    @property
    def pid(self):
        return self.process.pid

    def output(self, name="stdout"):
        """Return the lines printed so far on stdout, or on stderr."""
        with self.changed:
            return [line for line in self.lines[name] if line is not None]

    def wait_for_line(self, pattern, name="stdout", count=1):
        """Wait until lines match a pattern, count of them, and return the last of these."""
        found = []

        def ready():
            lines = self.lines[name]
            found[:] = [line for line in lines if line is not None and re.search(pattern, line)]
            return len(found) >= count or None in lines

        with self.changed:
            self.changed.wait_for(ready, PATIENCE)
        wanted = f"with {pattern!r} on {name} ({len(found)} of {count})" if pattern else "at all"
        assert len(found) >= count, (
            f"The server printed no line {wanted}. It was started by: "
            f"{shlex.join(map(str, self.command))}\nIt printed:\n{self.report()}"
        )
        return found[count - 1]

    def report(self):
        """Return all that the server printed, for the message of a failed test.

        A server that is about to end gets half a second for its last words.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(0.5)
            for thread in self.threads:
                thread.join(1)
        return "\n".join([*self.output("stdout"), *self.output("stderr")]) or "(nothing)"

    def is_running(self, seconds=0):
        """Return whether the server runs, and goes on for so many seconds."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return True
        return False

    def send_signal(self, number):
        self.process.send_signal(number)

    def wait(self, seconds=PATIENCE):
        """Wait until the server has ended by itself; return its exit status."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"The server is still running after {seconds} seconds. It printed:\n{self.report()}"
            ) from None
        for thread in self.threads:
            thread.join(1)
        return status

    def kill(self):
        """End the server and all its children."""
        if os.name == "posix":
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
        else:
            self.process.kill()
        self.process.wait(PATIENCE)
        tell_watcher("-", self.process.pid)
        for thread in self.threads:
            thread.join(1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()


@functools.cache
def watcher():
    """Return the watcher's process, started at the first call. See watcher.py."""
    process = subprocess.Popen(
        [sys.executable, TESTS / "watcher.py"],
        stdin=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    atexit.register(process.communicate)  # which ends its input, and waits for its end
    return process


def tell_watcher(sign, group):
    """Note in the watcher that a process group began ("+") or ended ("-")."""
    if os.name == "posix":
        watcher().stdin.write(f"{sign}{group}\n")
        watcher().stdin.flush()


class Reply(NamedTuple):
    """An HTTP response, taken apart."""

    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes  # without chunk sizes; what comes after the end of the body is added to it
    is_whole: bool  # the body is neither cut nor longer than the response says

    def header(self, name):
        """Return the value of the first header of that name, or None."""
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        return found[0] if found else None


def connect(server, timeout=PATIENCE):
    """Return a socket connected to a server. Each wait on it ends after timeout seconds."""
    try:
        return socket.create_connection(server.address, timeout)
    except ConnectionRefusedError:
        raise AssertionError(
            f"The connection to port {server.port} was refused: nobody listens there. Is there a "
            f"call of listen? Has the server ended? It printed:\n{server.report()}"
        ) from None


def connect_with_small_buffer(server, timeout=PATIENCE):
    """Return a connected socket whose buffer takes few bytes that this client has not read."""
    connection = socket.socket()
    connection.settimeout(timeout)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    connection.connect(server.address)
    return connection


def receive_to_end(connection):
    """Return all bytes until the end of the stream, and whether this end was a reset.

    Fails with a hint if the stream does not end.
    """
    data = bytearray()
    deadline = time.monotonic() + 3 * PATIENCE
    try:
        while piece := connection.recv(65536):
            data += piece
            assert len(data) < MOST_BYTES and time.monotonic() < deadline, (
                f"The connection goes on and on: {bytes(data[:200])!r} ... {len(data)} bytes."
            )
    except ConnectionResetError:
        if not data:
            raise
        return bytes(data), True
    except TimeoutError:
        raise AssertionError(
            f"The connection did not end: {bytes(data[:200])!r} came, then nothing more. "
            "Is every copy of the connection closed after the answer?"
        ) from None
    return bytes(data), False


def receive_all(connection):
    """Return all bytes until the end of the stream, or what came before a reset."""
    data, _ = receive_to_end(connection)
    return data


def exchange(server, data, timeout=PATIENCE):
    """Connect, send bytes, and return all bytes that come back until the end of the stream."""
    with connect(server, timeout) as connection:
        with contextlib.suppress(ConnectionError):  # the server may answer before it has read all
            connection.sendall(data)
        return receive_all(connection)


class Received(io.BytesIO):
    """Bytes that have come, in the place of the socket that http.client reads."""

    def makefile(self, mode):
        return self

    def close(self):
        """Stay open: what comes after the response is still to be read."""


def parse_reply(data, method="GET", was_reset=False):
    """Take the bytes of the response to a method apart. Fails with a hint if they are none.

    was_reset: the stream did not end, but was reset.
    """
    assert not re.match(rb"HTTP/[^\r\n]*\n", data), (
        f"The status line ends with LF alone: {data[:60]!r}. "
        "In HTTP a line ends with CR LF, b'\\r\\n'."
    )
    assert re.match(rb"HTTP/1\.[01] \d{3}( .*)?\r\n", data), (
        f"No HTTP status line came back, but {data[:200]!r}"
    )
    assert b"\r\n\r\n" in data, f"No empty line ends the headers of the response: {data[:200]!r}"
    stream = Received(data)
    response = http.client.HTTPResponse(stream, method=method)
    response.begin()
    ends_with_stream = response.length is None and not response.chunked
    body, is_whole = read_body(response)
    rest = stream.read()
    is_whole = is_whole and not rest and not (was_reset and ends_with_stream)
    return Reply(response.status, response.reason, response.getheaders(), body + rest, is_whole)


def read_body(response):
    """Read on to the end of a body. Return its bytes, and whether it is whole.

    It is cut if its last chunk is missing, or a part of its Content-Length, or at a reset.
    response: an http.client.HTTPResponse.
    """
    body = bytearray()
    try:
        while piece := response.read1():
            body += piece
    except (http.client.IncompleteRead, OSError):  # it was reset, or nothing more came
        return bytes(body), False
    return bytes(body), not response.length  # what is missing of it; None if it has none


def open_reply(connection):
    """Read status and headers from a socket. Return the http.client.HTTPResponse.

    Its read1() returns the next bytes of the body as soon as they come.
    """
    response = http.client.HTTPResponse(connection)
    try:
        response.begin()
    except (http.client.HTTPException, ConnectionError) as error:
        raise AssertionError(f"No HTTP response came back: {error!r}") from None
    return response


def read_reply(connection, method="GET"):
    """Read from a socket to the end of the stream, and return the Reply to a method."""
    data, was_reset = receive_to_end(connection)
    return parse_reply(data, method, was_reset)


def ask(server, request, timeout=PATIENCE):
    """Send the bytes of a request, and return the Reply."""
    with connect(server, timeout) as connection:
        with contextlib.suppress(ConnectionError):  # the server may answer before it has read all
            connection.sendall(request)
        return read_reply(connection, request.partition(b" ")[0].decode("latin-1"))


def format_request(target="/", method="GET", headers=(), version="HTTP/1.1"):
    """Return the bytes of a request without body."""
    lines = [f"{method} {target} {version}", "Host: test", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1")


def get(server, target="/", method="GET", headers=(), timeout=PATIENCE, version="HTTP/1.1"):
    """Send a request without body, and return the Reply."""
    return ask(server, format_request(target, method, headers, version), timeout)


def post(server, target, body, headers=(), timeout=PATIENCE):
    """Send a request with a body of bytes, and return the Reply."""
    lines = [f"POST {target} HTTP/1.1", "Host: test", f"Content-Length: {len(body)}", *headers]
    return ask(server, "\r\n".join([*lines, "", ""]).encode("latin-1") + body, timeout)


def seconds_of_a_fifth_client(server, request, last):
    """Return how long it takes until a client has its answer that came behind four others.

    The four send a request, read their answers, and keep their ends of the connections open. The
    last request is the fifth client's. A busy machine may be slow: it is the best of three tries,
    unless one takes longer than a machine can be busy.
    """
    tries = []
    while len(tries) < 3 and 0.5 < min(tries, default=1) < PATIENCE / 2:
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(connect(server)) for _ in range(5)]
            begin = time.monotonic()
            for client, data in zip(clients, [request] * 4 + [last], strict=True):
                client.sendall(data)
            replies = [read_reply(client) for client in clients]
            tries.append(time.monotonic() - begin)
        cut = [reply for reply in replies if reply.status != 200 or not reply.is_whole]
        assert not cut, f"{len(cut)} of five clients got no whole answer: {str(cut[0])[:300]}"
    return min(tries)


def wait_until(condition, hint, seconds=PATIENCE):
    """Wait until condition() is true, and return its value; after seconds, fail with the hint."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, hint() if callable(hint) else hint
        time.sleep(0.01)
    return value


def is_at_work(pid):
    """Return whether a process runs: it exists, and is no zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
