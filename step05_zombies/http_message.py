"""HTTP/1.1 messages, as RFC 9112 lays them out: bytes to a request, a response to bytes."""

import contextlib
import functools
import io
import re
import select
import socket
import time
from typing import BinaryIO, NamedTuple

MAX_LINE = 8 * 1024  # bytes of the request line, or of the line ahead of a chunk
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
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # named as in the grammar of RFC 9110
TEXT = re.compile(r"[\t -~\x80-\xff]*")  # no control character but the tab
VERSION = re.compile(r"HTTP/[0-9]\.[0-9]")
ABSOLUTE_FORM = re.compile(r"https?://([^/?]+)(.*)", re.IGNORECASE)
HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._~!$&'()*+,;=%-]*)(:[0-9]*)?")
DIGITS = re.compile(r"[0-9]{1,1000}")
CHUNK_SIZE = re.compile(r"([0-9A-Fa-f]+)[ \t]*(;.*)?")
STATUS = re.compile(rf"[2-5][0-9][0-9] {TEXT.pattern}")
HEADER = re.compile(rf"{TOKEN.pattern}: {TEXT.pattern}")


class HTTPError(Exception):
    """A request that the server refuses: a sentence that says why, and a status."""

    def __init__(self, explanation, status="400 Bad Request"):
        super().__init__(f"{status}: {explanation}")
        self.status = status
        self.method = "GET"  # of the request, unless read_request knows better


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
        if not TEXT.fullmatch(line, 0, end - 1):
            raise HTTPError("There is a control character in a line.")
        return line[:-2]

    def copy_to(self, file, size):
        """Move the next bytes, size says how many, into a file."""
        while size > 0:
            if not self.buffer:
                self.receive()
            piece = self.buffer[:size]
            del self.buffer[:size]
            size -= len(piece)
            try:
                file.write(piece)
                file.flush()
            except OSError as error:  # such as a full disk
                raise HTTPError(f"{error.strerror}.", "503 Service Unavailable") from None


def read_request(connection):
    """Read one request from a connected socket, and return it, a Request: close its body.

    Raises HTTPError if it is malformed, too large or too slow, and OSError if the client is lost.
    """
    reader, method = Reader(connection), "GET"
    try:
        method, target, version = read_request_line(reader)
        headers = read_headers(reader)
        headers, path, query = split_target(method, target, version, headers)
        body, body_length = read_body(reader, version, headers)
    except HTTPError as error:
        error.method = method
        raise
    return Request(method, target, version, headers, path, query, body, body_length)


def read_request_line(reader):
    """Read a line such as "GET /page HTTP/1.1". Return its three parts: RFC 9112, section 3."""
    reader.receive()
    if reader.buffer.startswith(b"\x16\x03"):
        raise HTTPError("This looks like TLS. Is it https:// in the address, not http://?")
    line = reader.read_line() or reader.read_line()  # an empty line may come first
    parts = line.split(" ")
    if len(parts) != 3:
        raise HTTPError("The request line is not: method, space, target, space, version.")
    method, target, version = parts
    if not VERSION.fullmatch(version):
        raise HTTPError("The request line does not end with a version, such as HTTP/1.1.")
    if not version.startswith("HTTP/1."):
        raise HTTPError("This server speaks HTTP/1.0 and 1.1.", "505 HTTP Version Not Supported")
    if not TOKEN.fullmatch(method) or not (target.isascii() and target.isprintable()):
        raise HTTPError("The method or the target has a character that it must not have.")
    return method, target, version


def read_headers(reader):
    """Read lines up to the empty line. Return (name, value) pairs: RFC 9112, section 5."""
    headers, room, status = [], MAX_HEADER_BYTES, "431 Request Header Fields Too Large"
    while line := reader.read_line(room, status):
        room -= len(line) + 2
        if len(headers) == MAX_HEADERS:
            raise HTTPError(f"There are more than {MAX_HEADERS} headers.", status)
        name, colon, value = line.partition(":")
        if not colon or not TOKEN.fullmatch(name):
            raise HTTPError("A header line does not begin with a name and a colon.")
        headers.append((name, value.strip(" \t")))
    return headers


def split_target(method, target, version, headers):
    """Return the headers with the Host that counts, path and query: RFC 9112, section 3.2."""
    hosts = values(headers, "host")
    if len(hosts) > 1 or (not hosts and version != "HTTP/1.0"):
        raise HTTPError("A request has one Host header.")
    if absolute := ABSOLUTE_FORM.fullmatch(target):  # its host overrides the header
        hosts, target = [absolute[1]], "/" + absolute[2].removeprefix("/")
        headers = [("Host", hosts[0]), *(pair for pair in headers if pair[0].lower() != "host")]
    if not target.startswith("/") and (method, target) != ("OPTIONS", "*"):
        raise HTTPError("The request target does not begin with / or http://.")
    if hosts and not HOST.fullmatch(hosts[0]):
        raise HTTPError("The host is not a name or an address, with or without a port.")
    path, _, query = target.removeprefix("*").partition("?")
    return headers, path, query


def read_body(reader, version, headers):
    """Read the body. Return a file and its length, None if there is none: RFC 9112, section 6."""
    body, codings = io.BytesIO(), values(headers, "transfer-encoding")
    lengths = values(headers, "content-length")
    if not codings and not lengths:
        return body, None
    if codings and (lengths or version == "HTTP/1.0"):
        raise HTTPError("Transfer-Encoding needs HTTP/1.1, and no Content-Length beside it.")
    if codings and codings != ["chunked"]:  # the last one has to say where the body ends
        status = "501 Not Implemented" if codings[-1] == "chunked" else "400 Bad Request"
        raise HTTPError("The only transfer coding that this server knows is chunked.", status)
    if lengths and (len({*lengths}) > 1 or not DIGITS.fullmatch(lengths[0])):
        raise HTTPError("Content-Length is not one number, in digits.")
    length = int(lengths[0]) if lengths else 0
    if length > MAX_BODY:
        raise HTTPError(f"The body is longer than {MAX_BODY} bytes.", "413 Content Too Large")
    if "100-continue" in values(headers, "expect") and version != "HTTP/1.0":
        send(reader.connection, b"HTTP/1.1 100 Continue\r\n\r\n")
    if codings or length > MAX_BODY_IN_MEMORY:
        import tempfile  # not above: it loads random, which seeds itself anew after each fork

        body = tempfile.SpooledTemporaryFile(MAX_BODY_IN_MEMORY)
    try:
        if codings:
            copy_chunks(reader, body)
        else:
            reader.copy_to(body, length)
    except BaseException:
        with contextlib.suppress(OSError):  # a full disk is still full
            body.close()
        raise
    length = body.tell()
    body.seek(0)
    return body, length


def copy_chunks(reader, file):
    """Read a body in the chunked coding into a file. See RFC 9112, section 7.1."""
    while True:
        chunk_line = CHUNK_SIZE.fullmatch(reader.read_line(MAX_LINE, "400 Bad Request"))
        if not chunk_line:
            raise HTTPError("A chunk does not begin with its size, a hexadecimal number.")
        size = int(chunk_line[1], 16)
        if size == 0:
            break
        if file.tell() + size > MAX_BODY:
            raise HTTPError(f"The body is longer than {MAX_BODY} bytes.", "413 Content Too Large")
        reader.copy_to(file, size)
        reader.read_line(2, "400 Bad Request")  # the CR LF after a chunk
    read_headers(reader)  # headers may follow; none of them matters here


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

    Date and Connection: close are added. Raises ValueError for what must not be sent.
    """
    if not STATUS.fullmatch(status):
        raise ValueError(f"not an HTTP status: {status!r}")
    lines = [f"{name}: {value}" for name, value in headers]
    for line in lines:
        if not HEADER.fullmatch(line):
            raise ValueError(f"not an HTTP header: {line!r}")
    if not values(headers, "date"):
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


def linger(connection, wait, unread=False):
    """Read what has come, and with wait what still comes, until the client has all that we sent.

    Bytes that nobody reads reset a closed connection, and what is on its way is lost. So end our
    half of it first: RFC 9112, section 9.6. With unread, wait until the client ends its half, too.
    """
    deadline = time.monotonic() + LINGER_SECONDS
    try:
        if wait:
            connection.shutdown(socket.SHUT_WR)
        while True:
            readable, _, _ = select.select([connection], [], [], 0.05 if wait else 0)
            ended = readable and not connection.recv(BUFFER_SIZE)
            if wait and not unread and hasattr(socket, "TCP_INFO"):  # 4 is FIN_WAIT_1: tcp(7)
                wait = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == b"\x04"
            if ended or not wait or time.monotonic() > deadline:
                return
    except (OSError, ValueError):  # the client has gone; select takes few sockets
        pass


def refuse(connection, error, wait=True):
    """Answer with an HTTPError. With wait, let the client read it before we close: see linger."""
    page = f"{error}\n".encode()
    headers = [("Content-Type", "text/plain; charset=utf-8")]
    with contextlib.suppress(OSError):  # the client has gone
        send(connection, format_response(error.method, error.status, headers, page))
    linger(connection, wait, unread=True)
