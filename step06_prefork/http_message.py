"""HTTP/1.1 messages: from bytes to a request, and from a response to bytes.

RFC 9112 says how a message looks on the wire, RFC 9110 what it means.
"""

import functools
import io
import re
import socket
import time
from typing import BinaryIO, NamedTuple

MAX_HEAD = 64 * 1024  # bytes of request line, headers and empty line
MAX_TARGET = 8 * 1024  # bytes
MAX_HEADERS = 100
MAX_CHUNK_LINE = 4 * 1024  # bytes
MAX_BODY = 256 * 1024 * 1024  # bytes
MAX_BODY_IN_MEMORY = 1024 * 1024  # bytes; a longer body goes to a temporary file
BUFFER_SIZE = 64 * 1024  # bytes
REQUEST_SECONDS = 10  # for a whole request to arrive
SEND_SECONDS = 10  # for the client to take one piece of the response
LINGER_SECONDS = 2  # for the client to read why its request was refused

DAYS = "Mon Tue Wed Thu Fri Sat Sun".split()
MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()

REASONS = {
    400: "Bad Request",
    408: "Request Timeout",
    413: "Content Too Large",
    414: "URI Too Long",
    431: "Request Header Fields Too Large",
    501: "Not Implemented",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}

CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")  # control characters, all but the tab
TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
TARGET = re.compile(rb"[!-~]+")  # visible ASCII characters
VERSION = re.compile(rb"HTTP/([0-9])\.[0-9]")
ABSOLUTE_FORM = re.compile(r"https?://([^/?]+)([^?]*)\??(.*)", re.IGNORECASE)
HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._~!$&'()*+,;=%-]*)(:[0-9]*)?")
DIGITS = re.compile(r"[0-9]+")
CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(;.*)?")
STATUS = re.compile(r"[2-5][0-9][0-9] [\t -~\x80-\xff]*")
HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+: [\t -~\x80-\xff]*")


class HTTPError(Exception):
    """A request that the server refuses: a status code, and a sentence that says why."""

    def __init__(self, code, explanation):
        self.status = f"{code} {REASONS[code]}"
        super().__init__(f"{self.status}: {explanation}")


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
        """Wait for more bytes and add them to the buffer.

        Raises HTTPError 408 at the deadline, EOFError at the end of the stream, and
        OSError if the connection is lost.
        """
        try:
            seconds = self.deadline - time.monotonic()
            if seconds <= 0:
                raise TimeoutError
            self.connection.settimeout(seconds)
            data = self.connection.recv(BUFFER_SIZE)
        except TimeoutError:
            explanation = f"The request was not complete within {REQUEST_SECONDS} seconds."
            raise HTTPError(408, explanation) from None
        if not data:
            raise EOFError
        self.buffer += data

    def read_line(self, limit, code):
        """Take one line from the stream and return its bytes, without the CR LF that ends it.

        Raises HTTPError with the given code if the line is longer than limit bytes, and
        with code 400 if it has a control character. See RFC 9112, section 2.2.
        """
        searched = 0
        while (end := self.buffer.find(b"\n", searched)) < 0 and len(self.buffer) < limit:
            searched = len(self.buffer)
            self.receive()
        if not 0 <= end < limit:
            raise HTTPError(code, f"A line goes on after the {limit} bytes that it may have.")
        line = bytes(self.buffer[: end + 1])
        del self.buffer[: end + 1]
        if not line.endswith(b"\r\n"):
            raise HTTPError(400, "A line ends with LF alone. In HTTP, CR LF ends a line.")
        if CONTROL.search(line, 0, end - 1):
            raise HTTPError(400, "There is a control character in a line.")
        return line[:-2]

    def copy_to(self, file, size):
        """Move the next bytes of the stream into a file: size says how many."""
        while size > 0:
            if not self.buffer:
                self.receive()
            piece = self.buffer[:size]
            del self.buffer[:size]
            file.write(piece)
            size -= len(piece)


def read_request(connection):
    """Read one request from a connected socket and return it, a Request.

    Raises HTTPError if the request is malformed, too large or too slow, and OSError
    if the connection is lost, or closed before a request began. See RFC 9112.
    """
    reader = Reader(connection)
    try:
        reader.receive()
    except EOFError:
        raise ConnectionError("left without a request") from None
    try:
        method, target, version, room = read_request_line(reader)
        headers = read_headers(reader, room)
        headers, path, query = split_target(method, target, version, headers)
        body, body_length = read_body(reader, version, headers)
    except EOFError:
        raise HTTPError(400, "The stream ended before the request did.") from None
    return Request(method, target, version, headers, path, query, body, body_length)


def read_request_line(reader):
    """Read "GET /page HTTP/1.1". Return its three parts, and how many bytes the headers may have.

    See RFC 9112, section 3.
    """
    line = reader.read_line(MAX_HEAD, 414)
    if not line:  # one empty line before a request is allowed
        line = reader.read_line(MAX_HEAD, 414)
    parts = line.split(b" ")
    if len(parts) != 3:
        raise HTTPError(400, "The request line is not: method, space, target, space, version.")
    method, target, version = parts
    version_number = VERSION.fullmatch(version)
    if not version_number:
        raise HTTPError(400, "The request line does not end with a version, such as HTTP/1.1.")
    if version_number[1] != b"1":
        raise HTTPError(505, "This server speaks HTTP/1.0 and HTTP/1.1.")
    if len(target) > MAX_TARGET:
        raise HTTPError(414, f"The request target is longer than {MAX_TARGET} bytes.")
    if not TOKEN.fullmatch(method) or not TARGET.fullmatch(target):
        raise HTTPError(400, "The method or the target has a character that it must not have.")
    return method.decode(), target.decode(), version.decode(), MAX_HEAD - len(line) - 2


def read_headers(reader, room):
    """Read header lines, at most room bytes, up to the empty line. Return (name, value) pairs.

    See RFC 9112, section 5.
    """
    headers = []
    while line := reader.read_line(room, 431):
        room -= len(line) + 2
        if len(headers) == MAX_HEADERS:
            raise HTTPError(431, f"There are more than {MAX_HEADERS} headers.")
        name, colon, value = line.partition(b":")
        if not colon or not TOKEN.fullmatch(name):
            raise HTTPError(400, "A header line does not begin with a name and a colon.")
        headers.append((name.decode(), value.strip(b" \t").decode("latin-1")))
    return headers


def split_target(method, target, version, headers):
    """Return the headers with the Host that counts, and the target's path and query.

    See RFC 9112, section 3.2: a host in the target overrides the Host header.
    """
    hosts = values(headers, "Host")
    if len(hosts) > 1 or (not hosts and version != "HTTP/1.0"):
        raise HTTPError(400, "A request has one Host header.")
    if target.startswith("/"):
        path, _, query = target.partition("?")
    elif target == "*" and method == "OPTIONS":
        path, query = "", ""
    elif absolute := ABSOLUTE_FORM.fullmatch(target):
        host, path, query = absolute.groups()
        path = path or "/"
        hosts = [host]
        headers = [("Host", host)] + [header for header in headers if header[0].lower() != "host"]
    else:
        raise HTTPError(400, "The request target does not begin with / or http://.")
    if hosts and not HOST.fullmatch(hosts[0]):
        raise HTTPError(400, "The host is not a name or an address, with or without a port.")
    return headers, path, query


def read_body(reader, version, headers):
    """Read the body that the headers announce. Return it as a file, and its length in bytes.

    If they announce none, the file is empty and the length is None. See RFC 9112, section 6.
    """
    codings = values(headers, "Transfer-Encoding")
    lengths = values(headers, "Content-Length")
    if not codings and not lengths:
        return io.BytesIO(), None
    if codings and (lengths or version == "HTTP/1.0"):
        raise HTTPError(400, "Transfer-Encoding needs HTTP/1.1, and no Content-Length beside it.")
    if codings and [coding.lower() for coding in codings] != ["chunked"]:
        raise HTTPError(501, "The only transfer coding that this server knows is chunked.")
    length = None if codings else parse_content_length(lengths)
    expectations = [value.lower() for value in values(headers, "Expect")]
    if "100-continue" in expectations and version != "HTTP/1.0" and not reader.buffer:
        send(reader.connection, b"HTTP/1.1 100 Continue\r\n\r\n")
    if codings or length > MAX_BODY_IN_MEMORY:
        import tempfile  # it brings many modules, and few requests need it

        body = tempfile.SpooledTemporaryFile(MAX_BODY_IN_MEMORY)
    else:
        body = io.BytesIO()
    if codings:
        copy_chunks(reader, body)
    else:
        reader.copy_to(body, length)
    length = body.tell()
    body.seek(0)
    return body, length


def parse_content_length(lengths):
    """Return the number of bytes that one or more Content-Length values agree on.

    See RFC 9110, section 8.6.
    """
    numbers = {number.strip(" \t") for value in lengths for number in value.split(",")}
    number = numbers.pop()
    if numbers or not DIGITS.fullmatch(number):
        raise HTTPError(400, "Content-Length is not one number, in digits.")
    if len(number) > 18 or int(number) > MAX_BODY:
        raise HTTPError(413, f"The body is longer than {MAX_BODY} bytes.")
    return int(number)


def copy_chunks(reader, file):
    """Read a body in the chunked coding, and write what it holds into a file.

    See RFC 9112, section 7.1.
    """
    while True:
        chunk_line = CHUNK_SIZE.fullmatch(reader.read_line(MAX_CHUNK_LINE, 400))
        if not chunk_line:
            raise HTTPError(400, "A chunk does not begin with its size, a hexadecimal number.")
        size = int(chunk_line[1], 16)
        if size == 0:
            break
        if file.tell() + size > MAX_BODY:
            raise HTTPError(413, f"The body is longer than {MAX_BODY} bytes.")
        reader.copy_to(file, size)
        reader.read_line(2, 400)  # the CR LF after a chunk
    read_headers(reader, MAX_HEAD)  # headers may follow; none of them matters here


def values(headers, name):
    """Return the values of all headers with that name. Upper and lower case are the same."""
    name = name.lower()
    return [value for header_name, value in headers if header_name.lower() == name]


def format_response(method, status, headers, body):
    """Return the bytes of a whole response. The answer to HEAD has the headers of GET and no body.

    method: the request's; status: "200 OK"; headers: (name, value) pairs; body: bytes.
    See RFC 9110, section 9.3.2.
    """
    head = format_head(status, [*headers, ("Content-Length", str(len(body)))])
    return head if method == "HEAD" else head + body


def format_head(status, headers):
    """Return the bytes of a response's status line, headers and empty line.

    Date and Connection: close are added. Raises ValueError for what must not be sent: a
    line break inside a header, for one, would let its author write headers of his own.
    """
    if not STATUS.fullmatch(status):
        raise ValueError(f"not an HTTP status: {status!r}")
    lines = [f"HTTP/1.1 {status}"]
    for name, value in headers:
        line = f"{name}: {value}"
        if not HEADER.fullmatch(line):
            raise ValueError(f"not an HTTP header: {line!r}")
        lines.append(line)
    if not values(headers, "Date"):
        lines.append(f"Date: {http_date(int(time.time()))}")
    lines.append("Connection: close\r\n\r\n")
    return "\r\n".join(lines).encode("latin-1")


@functools.lru_cache(maxsize=1)
def http_date(seconds):
    """Return a time, in whole seconds since 1970, as HTTP writes it: RFC 9110, section 5.6.7."""
    year, month, day, hour, minute, second, weekday, *_ = time.gmtime(seconds)
    date = f"{DAYS[weekday]}, {day:02} {MONTHS[month - 1]} {year}"  # English in every locale
    return f"{date} {hour:02}:{minute:02}:{second:02} GMT"


def send(connection, data):
    """Send all the bytes of data. Raises OSError if the client has gone, or takes too long."""
    connection.settimeout(SEND_SECONDS)
    connection.sendall(data)


def refuse(connection, error):
    """Answer with an HTTPError, and wait a little until the client has read it.

    If a socket is closed while it holds unread bytes, the kernel resets the connection,
    and the client may lose our answer. So end our half of the stream, then read what still
    comes. See RFC 9112, section 9.6.
    """
    page = f"{error}\n".encode()
    headers = [("Content-Type", "text/plain; charset=utf-8")]
    deadline = time.monotonic() + LINGER_SECONDS
    try:
        send(connection, format_response("GET", error.status, headers, page))
        connection.shutdown(socket.SHUT_WR)
        while (seconds := deadline - time.monotonic()) > 0:
            connection.settimeout(seconds)
            if not connection.recv(BUFFER_SIZE):
                break
    except OSError:  # the client has gone, or sends no more
        pass
