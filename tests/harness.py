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
import select
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
# The same for a server that does nothing. One that works gets all of PATIENCE, and so does one that
# would work, on a busy machine.
IDLE = 0.2 * PATIENCE
# Seconds between two looks at what a server does. A look reads the whole list of processes, so when
# fifty clients look all the time, they take more of the processor than their server.
LOOK = 0.3
# Where the servers under test are: not where GMT is the local time, or nobody could tell them
# apart. It is written so that Windows understands it, too.
TIME_ZONE = "TST-5:30"
RUNS = "The server still runs."
ONE_AT_A_TIME = threading.Lock()
CONTRACT = "README.md#what-your-server-must-do-to-be-tested"

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
        self.command = [str(word) for word in command]
        self.lines = {"stdout": [], "stderr": [], "either": []}
        self.old = 0  # how many lines of stderr are of earlier tests
        self.was_killed = False  # by kill: it did not end by itself
        self.changed = threading.Condition()
        self.process = subprocess.Popen(
            command,
            cwd=cwd or self.folder,
            env=env | {"TZ": TIME_ZONE} | (environment or {}),
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
                self._note(line.rstrip("\n"), name)
        self._note(None, name)  # end of file

    def _note(self, line, name):
        with self.changed:
            self.lines[name].append(line)
            if line is not None or all(None in self.lines[each] for each in ("stdout", "stderr")):
                self.lines["either"].append(line)
            self.changed.notify_all()

    def _read_address(self):
        try:
            self._wait_for_the_first_line()
            line = self.output()[0]
            listening = re.fullmatch(r"Listening on (?:http://)?([\d.]+):(\d+)", line)
            assert listening, (
                f"The first line that the server printed is {line!r}. It must be "
                "'Listening on ' and the address, such as http://127.0.0.1:8000."
            )
            self.address = listening[1], int(listening[2])
        except BaseException:
            self.kill()
            raise

    def _wait_for_the_first_line(self):
        deadline, work = time.monotonic() + PATIENCE, Work(self.pid)
        with self.changed:
            while not self.lines["stdout"]:
                if time.monotonic() > deadline or work.has_stopped():
                    break
                self.changed.wait(0.1)
        assert self.output(), self._why_no_line()

    def _why_no_line(self):
        """Return what to say of a server that has not printed its first line."""
        stdout_has_ended = bool(self.lines["stdout"])
        if self.is_running(0.5 if stdout_has_ended else 0):
            return (
                "The server runs, but its first line of output did not come: 'Listening on ' and "
                "the address. Did you flush it? What Python prints into a pipe stays in a buffer, "
                f"unless print gets flush=True. How that line looks stands in {CONTRACT}.\n"
                f"{self.report()}"
            )
        report = self.report()
        for line in self.output("stderr"):
            for word in self.command[1:]:
                if re.search("argument|option|unrecognized|unknown", line, re.IGNORECASE) and (
                    re.search(rf"(?<![\w-]){re.escape(word)}(?!\w)", line) and not word.isdigit()
                ):
                    return (
                        f"The server does not take the argument {word!r}, and ended with "
                        f"{self.how_it_ended()}: {line.strip()!r}. What each step's server is "
                        f"started with stands in {CONTRACT}."
                    )
        return (
            f"The server ended with {self.how_it_ended()}, before it printed its first line, "
            f"'Listening on ' and the address. It was started by: {shlex.join(self.command)}\n"
            f"{report}"
        )

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
        """Return the lines printed so far on "stdout", on "stderr", or on "either"."""
        with self.changed:
            return [line for line in self.lines[name] if line is not None]

    def wait_for_line(self, pattern, name="stdout", count=1):
        """Wait until lines match a pattern, count of them, and return the last of these.

        name: "stdout", "stderr" or "either".
        """
        found = []

        def ready():
            lines = self.lines[name]
            found[:] = [line for line in lines if line is not None and re.search(pattern, line)]
            return len(found) >= count or None in lines

        with self.changed:
            self.changed.wait_for(ready, PATIENCE)
        where = "stdout or stderr" if name == "either" else name
        assert len(found) >= count, (
            f"The server printed no line with {pattern!r} on {where} ({len(found)} of {count}).\n"
            f"{self.report()}"
        )
        return found[count - 1]

    def report(self):
        """Return all that the server printed, for the message of a failed test.

        A server that is about to end gets half a second for its last words.
        """
        if not self.is_running(0.5):
            self._join()
        printed = []
        for name in ("stdout", "stderr"):
            lines = self.output(name)
            printed += [f"On {name} it printed:" if lines else f"On {name} it printed nothing."]
            printed += [f"    {line}" for line in lines]
        return "\n".join(printed)

    def _join(self):
        """Wait until all that an ended server printed has been read."""
        for thread in self.threads:
            thread.join(1)

    def how_it_ended(self):
        """Return how the server ended: "exit status 1", or "the signal SIGKILL"."""
        if self.process.returncode >= 0 or os.name != "posix":
            return f"exit status {self.process.returncode}"
        return f"the signal {signal.Signals(-self.process.returncode).name}"

    def state(self, since=None, seconds=0.5):
        """Say whether the server has ended, and show its last traceback, if it printed any.

        since: how many lines of stderr are old; None: those of earlier tests. seconds: what a
        server may take to end.
        """
        has_ended = not self.is_running(seconds) and not self.was_killed
        text = RUNS
        if has_ended:
            self._join()
            text = f"The server has ended, with {self.how_it_ended()}."
        lines = self.output("stderr")[self.old if since is None else since :]
        if traceback := last_traceback(lines):
            return "\n    ".join([f"{text} Its last traceback:", *traceback])
        if has_ended and lines:
            return "\n    ".join([f"{text} Its last lines on standard error:", *lines[-12:]])
        return text

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
                f"The server is still running after {seconds} seconds.\n{self.report()}"
            ) from None
        self._join()
        return status

    def kill(self):
        """End the server and all its children."""
        self.was_killed = self.was_killed or self.process.poll() is None
        if os.name == "posix":
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
        else:
            self.process.kill()
        self.process.wait(PATIENCE)
        tell_watcher("-", self.process.pid)
        self._join()

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
        with ONE_AT_A_TIME:  # the arena starts its servers in threads
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


def last_traceback(lines):
    """Return the lines of the last traceback of Python's; none if there is none."""
    begins = [n for n, line in enumerate(lines) if "Traceback (most recent call last)" in line]
    if not begins:
        return []
    found = lines[begins[-1] :]
    ends = [n for n, line in enumerate(found) if n and line and not line.startswith(" ")]
    return found[: ends[0] + 1] if ends else found


class Work:
    """Whether a process and its children do anything: whether they use processor time.

    On a busy machine they may wait for it, or for a disk, which only Linux tells.
    """

    def __init__(self, pid):
        self.pid = pid
        self.done = None
        self.last = time.monotonic()

    def has_stopped(self, seconds=None):
        """Return whether they have done nothing for some seconds; None: for as many as IDLE."""
        if self.done != (done := self.measure()):
            self.done, self.last = done, time.monotonic()
        return time.monotonic() > self.last + (IDLE if seconds is None else seconds)

    def measure(self):
        """Return a number that changes as long as they work."""
        try:
            processes = [psutil.Process(self.pid)]
            processes += processes[0].children(recursive=True)
            states = {each.status() for each in processes} if sys.platform == "linux" else set()
            if states & {psutil.STATUS_RUNNING, psutil.STATUS_DISK_SLEEP}:
                return time.monotonic()
            return sum(sum(each.cpu_times()[:2]) for each in processes)
        except psutil.NoSuchProcess:
            return time.monotonic()


def come_to_rest(server):
    """Wait until a server has ended, or has done nothing for half a second; at most PATIENCE."""
    deadline, work = time.monotonic() + PATIENCE, Work(server.pid)
    while server.is_running(0.1) and not work.has_stopped(0.5) and time.monotonic() < deadline:
        pass


class Connection(socket.socket):
    """A client's socket that knows its server: a message tells whether that still runs."""

    server = None


def connect(server, timeout=PATIENCE, buffer=None):
    """Return a socket connected to a server. Each wait on it ends after timeout seconds.

    buffer: how many bytes that this client has not read the system keeps; None: as it likes.
    """
    connection = Connection()
    connection.server = server
    connection.settimeout(timeout)
    if buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    try:
        connection.connect(server.address)
    except ConnectionRefusedError:
        connection.close()
        raise AssertionError(
            f"The connection to port {server.port} was refused, because nobody listens there. "
            f"{server.state()}"
        ) from None
    except BaseException:
        connection.close()
        raise
    return connection


def connect_with_small_buffer(server):
    """Return a connected socket whose buffer takes few bytes that this client has not read."""
    return connect(server, buffer=16 * 1024)


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


def exchange(server, data):
    """Connect, send bytes, and return all bytes that come back until the end of the stream."""
    with connect(server) as connection:
        with contextlib.suppress(ConnectionError):  # the server may answer before it has read all
            connection.sendall(data)
        return receive_all(connection)


class Incoming(io.RawIOBase):
    """The bytes of a stream that http.client reads; all of them are kept.

    receive: a function that fills a buffer, and returns how many bytes it got: 0 at the end.
    """

    def __init__(self, receive):
        self.receive = receive
        self.data = bytearray()
        self.was_reset = False
        self.deadline = time.monotonic() + 3 * PATIENCE

    def readable(self):
        return True

    def readinto(self, buffer):
        try:
            size = self.receive(buffer)
        except ConnectionResetError:
            self.was_reset, size = True, 0
        self.data += buffer[:size]
        assert len(self.data) < MOST_BYTES and time.monotonic() < self.deadline, (
            f"The connection goes on and on: {bytes(self.data[:200])!r} ... {len(self.data)} bytes."
        )
        return size


class Buffer(io.BufferedReader):
    """The place of the socket for http.client. It stays open: something may follow the response."""

    def makefile(self, mode):
        return self

    def close(self):
        pass


def parse_reply(data, method="GET", was_reset=False):
    """Take the bytes of the response to a method apart. Fails with a hint if they are none.

    was_reset: the stream did not end, but was reset.
    """
    incoming = Incoming(io.BytesIO(data).readinto)
    incoming.was_reset = was_reset
    return take_reply(incoming, method, to_end=True)


def read_reply(connection, method="GET", to_end=False):
    """Read the response to a method from a socket, and return the Reply.

    It reads as far as the response says that it goes. Then a server may keep the connection, or
    close it: to_end reads on to the end of the stream, and what comes is added to the body. The
    answer to HEAD has no body, which shows at the end alone.
    """
    incoming = Incoming(lambda buffer: receive_in_time(connection, buffer))
    try:
        return take_reply(incoming, method, to_end or method == "HEAD")
    except TimeoutError:
        problem = silence(connection, incoming)
    except AssertionError as error:
        problem = str(error)
        if not incoming.data:
            problem = f"{problem}. {state_of(connection)}"
    raise AssertionError(problem)


def receive_in_time(connection, buffer):
    """Fill a buffer with what comes, and return how many bytes that are.

    Raises TimeoutError after the timeout of the connection. It does so earlier if the server has
    stopped to work: then nothing will come. A timeout above PATIENCE is for one that waits, too.
    """
    timeout = connection.gettimeout()
    if isinstance(connection, Connection) and timeout <= PATIENCE:
        deadline, work = time.monotonic() + timeout, Work(connection.server.pid)
        while not select.select([connection], [], [], LOOK)[0]:
            if time.monotonic() > deadline or work.has_stopped():
                raise TimeoutError
    return connection.recv_into(buffer)


def silence(connection, incoming):
    """Return what to say if nothing more comes over a connection."""
    data = bytes(incoming.data[:200])
    if not data:
        return (
            "No HTTP status line came back. No answer came, and the connection stays open. "
            f"{state_of(connection)}"
        )
    return (
        f"The connection did not end: {data!r} came, then nothing more. Is all of the answer "
        "sent, and is every copy of the connection closed after it?"
    )


def state_of(connection):
    """Say whether the server of a connection still runs."""
    return connection.server.state() if isinstance(connection, Connection) else ""


def take_reply(incoming, method, to_end):
    """Read a response from an Incoming, and return the Reply; to_end: read on after it."""
    buffer = Buffer(incoming)
    response = http.client.HTTPResponse(buffer, method=method)
    problem = None
    try:
        response.begin()
    except (http.client.HTTPException, ConnectionError) as error:
        problem = error
    check_head(bytes(incoming.data), incoming.was_reset)
    assert not problem, f"No HTTP response came back: {problem!r}"
    ends_with_stream = response.length is None and not response.chunked
    body, is_cut = bytearray(), False
    try:
        while piece := response.read1():
            body += piece
    except http.client.IncompleteRead:
        is_cut = True
    if not to_end:
        incoming.receive = lambda buffer: 0  # what has come already is all
    rest = buffer.read()
    is_cut = is_cut or bool(response.length) or (incoming.was_reset and ends_with_stream)
    is_whole = not is_cut and not rest
    return Reply(
        response.status, response.reason, response.getheaders(), bytes(body + rest), is_whole
    )


def check_head(data, was_reset=False):
    """Fail with a hint if bytes are not the beginning of a response."""
    if not data:
        how = "was reset" if was_reset else "was closed"
        raise AssertionError(
            f"No HTTP status line came back, but {data!r}: the connection {how} without an answer"
        )
    assert not re.match(rb"HTTP/[^\r\n]*\n", data), (
        f"The status line ends with LF alone: {data[:60]!r}. "
        "In HTTP a line ends with CR LF, b'\\r\\n'."
    )
    assert re.match(rb"HTTP/1\.[01] \d{3}( .*)?\r\n", data), (
        f"No HTTP status line came back, but {data[:200]!r}"
    )
    assert b"\r\n\r\n" in data, f"No empty line ends the headers of the response: {data[:200]!r}"


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

    Its read1() returns the next bytes of the body as soon as they come. Raises TimeoutError if
    status and headers do not come in time.
    """
    response = http.client.HTTPResponse(connection)
    try:
        response.begin()
    except (http.client.HTTPException, ConnectionError) as error:
        raise AssertionError(
            f"No HTTP response came back: {error!r}. {state_of(connection)}"
        ) from None
    return response


def ask(server, request, timeout=PATIENCE, to_end=False):
    """Send the bytes of a request, and return the Reply; to_end: see read_reply."""
    with connect(server, timeout) as connection:
        with contextlib.suppress(ConnectionError):  # the server may answer before it has read all
            connection.sendall(request)
        return read_reply(connection, request.partition(b" ")[0].decode("latin-1"), to_end)


def format_request(target="/", method="GET", headers=(), version="HTTP/1.1"):
    """Return the bytes of a request without body. It asks the server to close at the end."""
    lines = [f"{method} {target} {version}", "Host: test", *headers]
    if not any(header.lower().startswith("connection:") for header in headers):
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def get(
    server, target="/", method="GET", headers=(), timeout=PATIENCE, version="HTTP/1.1", to_end=False
):
    """Send a request without body, and return the Reply; to_end: see read_reply."""
    return ask(server, format_request(target, method, headers, version), timeout, to_end)


def post(server, target, body, headers=()):
    """Send a request with a body of bytes, and return the Reply."""
    head = format_request(target, "POST", [f"Content-Length: {len(body)}", *headers])
    return ask(server, head + body)


def seconds_of_a_fifth_client(server, request, last):
    """Return how long it takes until a client has its answer that came behind four others.

    The four send a request, read their answers, and keep their ends of the connections open. The
    last request is the fifth client's. A busy machine may be slow: it is the best of three tries,
    unless one takes longer than a machine can be busy.
    """
    tries = []
    while len(tries) < 3 and 0.5 < min(tries, default=1) < PATIENCE / 2:
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(connect(server, 3 * PATIENCE)) for _ in range(5)]
            begin = time.monotonic()
            for client, data in zip(clients, [request] * 4 + [last], strict=True):
                client.sendall(data)
            replies = [read_reply(client) for client in clients]
            tries.append(time.monotonic() - begin)
        cut = [reply for reply in replies if reply.status != 200 or not reply.is_whole]
        assert not cut, f"{len(cut)} of five clients got no whole answer: {str(cut[0])[:300]}"
    return min(tries)


def assert_port_comes_back(start, *arguments):
    """Fail unless a server that is started again at once gets the port of the one before.

    That one has closed a connection first, so its port is in the state TIME-WAIT for a minute.
    """
    first = start(*arguments)
    with connect(first) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")  # an answer comes from every step
        assert connection.recv(1), (
            "The server closed the connection without an answer to a first request."
        )
        first.kill()
        with contextlib.suppress(ConnectionError):
            receive_all(connection)
    try:
        second = start(*arguments, port=first.port)
    except AssertionError as error:
        raise AssertionError(
            f"A server had port {first.port}, and was ended while a client was connected. Another "
            "one, which was started at once, could not have this port. SO_REUSEADDR, set before "
            f"bind, makes that possible.\n{error}"
        ) from None
    assert second.port == first.port, (
        f"A server that was started with --port {first.port} says that it listens on {second.port}."
    )
    connect(second).close()


def wait_until(condition, hint, seconds=PATIENCE):
    """Wait until condition() is true, and return its value; after seconds, fail with the hint."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, hint() if callable(hint) else hint
        time.sleep(0.01)
    return value


def is_served(server, connection):
    """Say whether the server, or a child of it, has accepted a connection."""
    parent, client = psutil.Process(server.pid), connection.getsockname()
    with contextlib.suppress(psutil.NoSuchProcess):  # a child may have ended
        for process in (parent, *parent.children(recursive=True)):
            if any(each.raddr == client for each in process.net_connections("tcp")):
                return True
    return False


def is_at_work(pid):
    """Return whether a process runs: it exists, and is no zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
