"""HTTP/1.1 messages, as RFC 9112 lays them out: bytes to a request, a response to bytes."""

import contextlib
import functools
import time
from typing import NamedTuple

BUFFER_SIZE = 64 * 1024  # bytes


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
    path: str  # "/page", still percent-encoded
    query: str  # "name=value", or "" if there is none


def read_request(connection):
    """Read one request from a connected socket, and return it, a Request.

    Raises HTTPError if it is malformed, and OSError if the client is lost.
    """
    data = connection.recv(BUFFER_SIZE).decode("latin-1")
    line, _, _ = data.partition("\r\n")
    parts = line.split(" ")
    if len(parts) != 3:
        raise HTTPError("The request line is not: method, space, target, space, version.")
    method, target, version = parts
    path, _, query = target.partition("?")
    return Request(method, target, version, path, query)


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


def refuse(connection, error):
    """Answer with an HTTPError."""
    page = f"{error}\n".encode()
    headers = [("Content-Type", "text/plain; charset=utf-8")]
    with contextlib.suppress(OSError):  # the client has gone
        connection.sendall(format_response("GET", error.status, headers, page))
