"""HTTP/1.1 messages, as RFC 9112 lays them out: bytes to a request, a response to bytes."""

import contextlib
import functools
import io
import select
import socket
import time
from typing import BinaryIO, NamedTuple

MAX_LINE = 8 * 1024  # bytes of the request line
MAX_HEADERS = 100
MAX_HEADER_BYTES = 64 * 1024  # of all header lines together
MAX_BODY = 256 * 1024 * 1024  # bytes
MAX_BODY_IN_MEMORY = 1024 * 1024  # bytes; a longer body goes to a temporary file
BUFFER_SIZE = 64 * 1024  # bytes
AT_ONCE = 14 * 1024  # bytes that leave before the client has confirmed any: RFC 6928
REQUEST_SECONDS = 10  # for a whole request to arrive
SEND_SECONDS = 10  # for the client to take some more of the response
RESPONSE_SECONDS = 300  # for the client to take all of it
LINGER_SECONDS = 2  # for the client to read to the end


class HTTPError(Exception):
    """A request that the server refuses: a sentence that says why, and a status."""

    def __init__(self, explanation, status="400 Bad Request"):
        super().__init__(f"{status}: {explanation}")
        self.status = status


class Request(NamedTuple):
    """A request. Its strings are the bytes that the client sent, decoded as latin-1."""

    method: str  # "GET"
    target: str  # "/page?name=value"
    version: str  # "HTTP/1.1"
    headers: list[tuple[str, str]]  # names and values, in the order sent
    path: str  # "/page", still percent-encoded
    query: str  # "name=value", or "" if there is none
    body: BinaryIO  # a file, open at its start
    body_length: int | None  # bytes, or None if the headers announce no body


class Reader:
    """The bytes of one request as they arrive: a connection, a buffer and a deadline."""

    def __init__(self, connection):
        self.connection = connection
        self.buffer = bytearray()
        self.deadline = time.monotonic() + REQUEST_SECONDS

    def receive(self):
        """Wait for more bytes. Raises HTTPError at the deadline, or if the stream ends."""
        try:
            self.connection.settimeout(self.deadline - time.monotonic())
            data = self.connection.recv(BUFFER_SIZE)
        except (TimeoutError, ValueError):  # settimeout takes no negative number
            why = f"The request was not complete within {REQUEST_SECONDS} seconds."
            raise HTTPError(why, "408 Request Timeout") from None
        if not data:
            raise HTTPError("The stream ended before the request did.")
        self.buffer += data

    def read_line(self, limit=MAX_LINE, status="414 URI Too Long"):
        """Take a line, without its CR LF. Raises HTTPError if it has more than limit bytes."""
        while (end := self.buffer.find(b"\n")) < 0 and len(self.buffer) < limit:
            self.receive()
        if not 0 <= end < limit:
            raise HTTPError(f"A line goes on after the {limit} bytes that it may have.", status)
        line = self.buffer[: end + 1].decode("latin-1")
        del self.buffer[: end + 1]
        if not line.endswith("\r\n"):
            raise HTTPError("A line ends with LF alone. In HTTP, CR LF ends a line.")
        return line[:-2]

    def copy_to(self, file, size):
        """Move the next bytes, size says how many, into a file."""
        while size > 0:
            if not self.buffer:
                self.receive()
            piece = self.buffer[:size]
            del self.buffer[:size]
            size -= len(piece)
            file.write(piece)


def read_request(connection):
    """Read one request from a connected socket, and return it, a Request: close its body.

    Raises HTTPError if it is malformed, too large or too slow, and OSError if the client is lost.
    """
    reader = Reader(connection)
    method, target, version = read_request_line(reader)
    headers = read_headers(reader)
    path, _, query = target.partition("?")
    body, body_length = read_body(reader, version, headers)
    return Request(method, target, version, headers, path, query, body, body_length)


def read_request_line(reader):
    """Read a line such as "GET /page HTTP/1.1". Return its three parts: RFC 9112, section 3."""
    parts = reader.read_line().split(" ")
    if len(parts) != 3:
        raise HTTPError("The request line is not: method, space, target, space, version.")
    return parts


def read_headers(reader):
    """Read lines up to the empty line. Return (name, value) pairs: RFC 9112, section 5."""
    headers, room, status = [], MAX_HEADER_BYTES, "431 Request Header Fields Too Large"
    while line := reader.read_line(room, status):
        room -= len(line) + 2
        if len(headers) == MAX_HEADERS:
            raise HTTPError(f"There are more than {MAX_HEADERS} headers.", status)
        name, colon, value = line.partition(":")
        if not colon:
            raise HTTPError("A header line does not begin with a name and a colon.")
        headers.append((name, value.strip(" \t")))
    return headers


def read_body(reader, version, headers):
    """Read the body. Return a file and its length, None if there is none: RFC 9112, section 6."""
    body = io.BytesIO()
    lengths = values(headers, "content-length")
    if not lengths:
        return body, None
    length = int(lengths[0])
    if length > MAX_BODY:
        raise HTTPError(f"The body is longer than {MAX_BODY} bytes.", "413 Content Too Large")
    if length > MAX_BODY_IN_MEMORY:
        import tempfile  # not above: it loads random, which seeds itself anew after each fork

        body = tempfile.SpooledTemporaryFile(MAX_BODY_IN_MEMORY)
    try:
        reader.copy_to(body, length)
    except BaseException:
        body.close()
        raise
    body.seek(0)
    return body, length


def values(headers, name):
    """Return all values of a header, which may be a list, in lower case: RFC 9110, section 5.3."""
    texts = [value for key, value in headers if key.lower() == name]
    return [value.strip(" \t").lower() for text in texts for value in text.split(",")]


def format_response(method, status, headers, body):
    """Return the bytes of a response to a method. HEAD gets no body: RFC 9110, section 9.3.2."""
    head = format_head(status, [*headers, ("Content-Length", str(len(body)))]) + b"\r\n"
    return head if method == "HEAD" else head + body


def format_head(status, headers):
    """Return the status line and the header lines as bytes, without the empty line.

    Date and Connection: close are added.
    """
    lines = [f"{name}: {value}" for name, value in headers]
    lines.append(f"Date: {http_date(int(time.time()))}")
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "Connection: close", ""]).encode("latin-1")


@functools.lru_cache(maxsize=1)
def http_date(seconds):
    """Return a time, in whole seconds since 1970, as HTTP writes it: RFC 9110, section 5.6.7."""
    day, month, date, clock, year = time.asctime(time.gmtime(seconds)).split()  # always English
    return f"{day}, {date:0>2} {month} {year} {clock} GMT"


def send(connection, data, seconds=RESPONSE_SECONDS):
    """Send all of data, within so many seconds, and return how many of them are left.

    Raises OSError if the client has gone, or takes nothing for SEND_SECONDS, or not all in time.
    """
    deadline = time.monotonic() + seconds
    while data:
        if seconds <= 0:
            raise TimeoutError("reads too slowly")
        connection.settimeout(min(seconds, SEND_SECONDS))
        data = memoryview(data)[connection.send(data) :]
        seconds = deadline - time.monotonic()
    return seconds


def linger(connection, wait):
    """Read what has come, and with wait what still comes, until the client ends its half, too.

    Bytes that nobody reads reset a closed connection, and what is on its way is lost. So end our
    half of it first: RFC 9112, section 9.6.
    """
    deadline = time.monotonic() + LINGER_SECONDS
    try:
        if wait:
            connection.shutdown(socket.SHUT_WR)
        while True:
            readable, _, _ = select.select([connection], [], [], 0.05 if wait else 0)
            ended = readable and not connection.recv(BUFFER_SIZE)
            if ended or not wait or time.monotonic() > deadline:
                return
    except (OSError, ValueError):  # the client has gone; select takes few sockets
        pass


def refuse(connection, error, wait=True):
    """Answer with an HTTPError. With wait, let the client read it before we close: see linger."""
    page = f"{error}\n".encode()
    headers = [("Content-Type", "text/plain; charset=utf-8")]
    with contextlib.suppress(OSError):  # the client has gone
        send(connection, format_response("GET", error.status, headers, page))
    linger(connection, wait)
