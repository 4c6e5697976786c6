"""Step 2: a web server. It reads HTTP requests, and answers each with a response."""

import contextlib
import email.utils
import os
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import time

import psutil
import pytest
import requests

from tests.fixtures import LINUX
from tests.harness import (
    PATIENCE,
    connect,
    connect_with_small_buffer,
    format_request,
    parse_reply,
    receive_all,
    seconds_of_a_fifth_client,
)

STEP = "step02_http_server"
MIB = 1024 * 1024
UPLOAD = 20 * MIB  # more than the kernel holds for a server that does not read
QUIET = 0.3  # seconds without an answer that show that a client waits

# Step 1's server sends a request back as it is: no test of this file passes there.
pytestmark = pytest.mark.new("No HTTP status line came back")


def read_reply(connection, hint=""):
    """Read a response to its end, and return the Reply. Fails at once if it is no HTTP."""
    start = b""
    try:
        while len(start) < len(b"HTTP/1.1 "):
            piece = connection.recv(len(b"HTTP/1.1 ") - len(start))
            if not piece:
                break
            start += piece
    except TimeoutError:
        raise AssertionError(f"No answer came, and the connection stays open. {hint}") from None
    except ConnectionResetError:
        raise AssertionError(f"The connection was reset before an answer came. {hint}") from None
    assert start, f"The connection was closed without an answer. {hint}"
    assert re.fullmatch(rb"HTTP/1\.[01] ", start), (
        f"No HTTP status line came back, but {start!r}. A response begins with 'HTTP/1.1 ' and a "
        f"status such as '200 OK'. {hint}"
    )
    return parse_reply(start + receive_all(connection))


def ask(server, *pieces, hint="", timeout=5):
    """Send the pieces of a request, and return the Reply."""
    hint = hint or (
        f"The request was {b''.join(pieces)[:80]!r}. One that breaks a rule gets an answer, too: "
        "it is refused."
    )
    with connect(server, timeout) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError):  # the server may answer before it has read all
            for piece in pieces:
                connection.sendall(piece)
        return read_reply(connection, hint)


def get(server, target="/", method="GET", headers=(), **options):
    lines = [f"{method} {target} HTTP/1.1", "Host: test", *headers, "", ""]
    return ask(server, "\r\n".join(lines).encode("latin-1"), **options)


def assert_alive(server, after):
    reply = get(server, hint=f"That was after {after}.")
    assert reply.status == 200, (
        f"After {after} the next client got {reply.status} {reply.reason}. One client's trouble "
        f"must not reach the next one.\n{server.report()[-1000:]}"
    )


def reset(connection):
    """Close a connection by a reset: the client vanishes in the middle."""
    linger = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)  # on, 0 seconds
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    connection.close()


def assert_waits(connection, hint):
    """Fail with the hint if the server answers: something of the request is still to come."""
    connection.settimeout(QUIET)
    with contextlib.suppress(TimeoutError):
        early = connection.recv(9)
        assert early.startswith(b"HTTP"), f"No HTTP status line came back, but {early!r}."
        pytest.fail(f"The answer came before {hint}")
    connection.settimeout(5)


def rows(table, reason):
    """Return the rows of a table for parametrize, each with its name and its stage.

    table: a dict from names to a request, the right status, and the stage from which on it comes.
    reason: what the stages before fail with; "{}" is the status.
    """
    return [
        pytest.param(
            request_bytes,
            status,
            id=name,
            marks=pytest.mark.milestone(stage, reason.format(status)),
        )
        for name, (request_bytes, status, stage) in table.items()
    ]


# Pages.


@pytest.mark.lesson("http-on-the-wire")
def test_the_home_page_is_html(server):
    reply = get(server)
    assert reply.status == 200, f"GET / got {reply.status} {reply.reason}, not 200 OK."
    assert (reply.header("Content-Type") or "").startswith("text/html"), (
        f"Content-Type is {reply.header('Content-Type')!r}. A browser needs text/html, or it shows "
        "the page's source."
    )
    assert b"<h1>" in reply.body, f"The page is no HTML page: {reply.body[:100]!r}"


@pytest.mark.lesson("http-on-the-wire")
@pytest.mark.flaw
@pytest.mark.milestone(3, "must show the request line")
def test_a_page_shows_the_request_as_the_server_saw_it(server):
    with connect(server) as connection:
        client = "{}:{}".format(*connection.getsockname())
        connection.sendall(
            b"GET /request?a=%20b HTTP/1.1\r\nHost: here\r\n"
            b"X-Colour:  blue \r\nx-colour: red\r\n\r\n"
        )
        page = read_reply(connection).body.decode()
    expected = ["GET /request?a=%20b HTTP/1.1", "Host: here", "X-Colour: blue", "x-colour: red"]
    assert page.splitlines()[:4] == expected, (
        "The page /request, whatever follows a ?, must show the request line and all headers, in "
        f"order and each as 'name: value'. It shows:\n{page}"
    )
    assert client in page, f"The page does not name the client's address, {client}:\n{page}"


@pytest.mark.lesson("framing-where-does-a-message-end")
@pytest.mark.flaw
@pytest.mark.milestone(3, "does not show the header")
def test_content_length_counts_bytes_and_not_characters(server):
    reply = get(server, "/request", headers=["X-Name: Jos\xe9"])
    assert "José".encode() in reply.body, f"/request does not show the header: {reply.body!r}"
    assert reply.header("Content-Length") == str(len(reply.body)), (
        f"Content-Length is {reply.header('Content-Length')}, the body has {len(reply.body)} "
        "bytes. In UTF-8 the character é takes two bytes: count after encode()."
    )


@pytest.mark.lesson("framing-where-does-a-message-end")
def test_the_home_page_is_as_long_as_its_content_length_says(server):
    reply = get(server)
    length = reply.header("Content-Length")
    assert length is None or int(length) == len(reply.body), (
        f"Content-Length is {length}, and {len(reply.body)} bytes of body came. A client that "
        "trusts it waits for the rest, or loses some."
    )


@pytest.mark.lesson("what-the-server-refuses-and-how")
@pytest.mark.milestone(2, "not 404")
def test_an_unknown_page_gets_404(server):
    reply = get(server, "/no/such/page")
    assert reply.status == 404, f"GET /no/such/page got {reply.status} {reply.reason}, not 404."


@pytest.mark.lesson("what-the-server-refuses-and-how")
@pytest.mark.milestone(2, "not 404")
def test_where_there_is_no_page_each_method_gets_404(server):
    reply = get(server, "/no/such/page", "DELETE")
    assert reply.status == 404, (
        f"DELETE /no/such/page got {reply.status} {reply.reason}, not 404. 405 says that the page "
        "is there, for other methods: look at the path first."
    )


@pytest.mark.lesson("what-the-server-refuses-and-how")
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "BREW"])
@pytest.mark.milestone(2, "not 405")
def test_another_method_gets_405_and_hears_which_are_allowed(server, method):
    reply = get(server, "/", method)
    assert reply.status == 405, f"{method} / got {reply.status} {reply.reason}, not 405."
    allowed = {name.strip() for name in (reply.header("Allow") or "").split(",")}
    assert {"GET", "HEAD"} <= allowed, (
        f"Allow is {reply.header('Allow')!r}. A 405 response names the methods that work: "
        "RFC 9110, section 15.5.6."
    )


@pytest.mark.lesson("framing-where-does-a-message-end")
@pytest.mark.milestone(2, "The answer to HEAD has a body")
def test_head_gets_the_headers_of_get_and_no_body(server):
    full, head = get(server), get(server, method="HEAD")
    assert head.status == 200, f"HEAD / got {head.status} {head.reason}, not 200 OK."
    assert head.body == b"", (
        f"The answer to HEAD has a body: {head.body[:50]!r}. A client does not expect one, and "
        "takes it for the next response."
    )
    assert head.header("Content-Type") == full.header("Content-Type"), (
        "HEAD and GET gave two Content-Types. HEAD gets the headers that GET would get."
    )


@pytest.mark.lesson("framing-where-does-a-message-end")
@pytest.mark.flaw
def test_head_says_how_long_the_body_would_be(server):
    length = get(server, method="HEAD").header("Content-Length")
    assert length == get(server).header("Content-Length"), (
        f"For HEAD Content-Length is {length}. It gets the headers of GET, this one, too."
    )


@pytest.mark.lesson("framing-where-does-a-message-end")
def test_two_clients_one_after_the_other(server):
    for _ in range(2):
        assert get(server, timeout=2).status == 200, (
            "A client was not served. Is there a loop round accept?"
        )


# The bytes of a response.


@pytest.mark.lesson("http-on-the-wire")
def test_each_line_of_the_head_ends_with_cr_lf(server):
    with connect(server) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        start = connection.recv(9)
        assert start == b"HTTP/1.1 ", f"No HTTP status line came back, but {start!r}."
        data = receive_all(connection)
    head, empty_line, _ = data.partition(b"\r\n\r\n")
    assert empty_line, (
        f"No CR LF CR LF ends the head: {data[:100]!r}. In HTTP a line ends with \\r\\n."
    )
    assert b"\n" not in head.replace(b"\r\n", b""), f"A line of the head ends with LF alone: {head}"


@pytest.mark.lesson("http-on-the-wire")
@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET /missing HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
    ],
    ids=["page", "HEAD", "HTTP 1.0", "404", "405", "400", "505"],
)
@pytest.mark.milestone(2, "Date is None")
def test_each_response_has_a_date_and_says_where_it_ends(server, request_bytes):
    before = int(time.time())
    reply = ask(server, request_bytes)
    date = reply.header("Date")
    assert date and re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", date), (
        f"Date is {date!r}: no time as HTTP writes it, such as 'Wed, 25 Nov 2026 18:48:06 GMT'."
    )
    seconds = email.utils.parsedate_to_datetime(date).timestamp()
    assert before - 1 <= seconds <= time.time() + 1, f"Date is {date!r}: that is not now."
    assert (reply.header("Connection") or "").lower() == "close", (
        f"Connection is {reply.header('Connection')!r}. This server closes after each response; "
        "it tells the client so with Connection: close."
    )
    length = reply.header("Content-Length")
    assert length is None or request_bytes[:4] == b"HEAD" or int(length) == len(reply.body), (
        f"Content-Length is {length}, and {len(reply.body)} bytes of body came. A client that "
        "trusts it waits for the rest, or loses some."
    )


# Framing: where does a request end?

REQUEST = b"GET /missing?q=1 HTTP/1.1\r\nHost: test\r\nUser-Agent: scissors\r\n\r\n"


@pytest.mark.lesson("framing-where-does-a-message-end")
@pytest.mark.milestone(3, "may arrive in several recvs")
def test_a_request_cut_anywhere_gets_the_same_answer(server):
    for position in range(1, len(REQUEST)):
        with connect(server) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(REQUEST[:position])
            time.sleep(0.001)  # the server passes without it, too; with it, two recvs are likely
            with contextlib.suppress(ConnectionError):
                connection.sendall(REQUEST[position:])
            reply = read_reply(connection)
        assert reply.status == 404, (
            f"Cut after {REQUEST[:position][-20:]!r}, the request got {reply.status} "
            f"{reply.reason} {reply.body!r}. A request may arrive in several recvs: read on until "
            "the empty line."
        )


@pytest.mark.lesson("framing-where-does-a-message-end")
@pytest.mark.milestone(3, "The answer came before")
def test_a_request_may_come_byte_by_byte(server):
    with connect(server, 5) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(REQUEST[:1])
        assert_waits(connection, "the request was complete: it has one byte so far.")
        for byte in REQUEST[1:]:
            connection.sendall(bytes([byte]))
        reply = read_reply(connection)
    assert reply.status == 404, (
        f"Sent byte by byte, the request got {reply.status} {reply.reason}. Read on until the "
        "empty line, however the bytes are cut."
    )


@pytest.mark.lesson("framing-where-does-a-message-end")
@pytest.mark.milestone(3, "The answer came before")
def test_a_body_may_arrive_long_after_its_head(server):
    with connect(server, 5) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345")
        assert_waits(connection, "the body was complete. Content-Length says 10.")
        connection.sendall(b"67890")
        assert read_reply(connection).status == 405, "POST / must get 405 after its body."


def long_request_line(size):
    """Return a request whose first line has so many bytes, its CR LF included."""
    spare = size - len(b"GET /? HTTP/1.1\r\n")
    return b"GET /?" + b"a" * spare + b" HTTP/1.1\r\nHost: x\r\n\r\n"


def long_headers(size):
    """Return a request whose header lines have so many bytes, the empty line included."""
    spare = size - len(b"Host: x\r\nA: \r\n\r\n")
    return b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * spare + b"\r\n\r\n"


GOOD_REQUESTS = {
    "HTTP/1.0 without Host": (b"GET / HTTP/1.0\r\n\r\n", 200, 1),
    "HTTP/1.2": (b"GET / HTTP/1.2\r\nHost: x\r\n\r\n", 200, 1),
    "leading empty line": (b"\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", 200, 5),
    "absolute form": (b"GET http://test/ HTTP/1.1\r\nHost: test\r\n\r\n", 200, 5),
    "absolute form, other Host": (b"GET http://test:80/ HTTP/1.1\r\nHost: x\r\n\r\n", 200, 5),
    "absolute form, no path": (b"GET http://test HTTP/1.1\r\nHost: test\r\n\r\n", 200, 5),
    "absolute form, upper case": (b"GET HTTP://TEST/ HTTP/1.1\r\nHost: test\r\n\r\n", 200, 5),
    "absolute form, unknown page": (b"GET http://test/no HTTP/1.1\r\nHost: test\r\n\r\n", 404, 2),
    "query": (b"GET /?a=b&c=/?/ HTTP/1.1\r\nHost: x\r\n\r\n", 200, 1),
    "empty Host": (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", 200, 1),
    "Host with port": (b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n", 200, 1),
    "Host with IPv6": (b"GET / HTTP/1.1\r\nHost: [::1]:8000\r\n\r\n", 200, 1),
    "lower case names": (b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", 200, 1),
    "no space after the colon": (b"GET / HTTP/1.1\r\nHost:x\r\n\r\n", 200, 1),
    "tab after the colon": (b"GET / HTTP/1.1\r\nHost:\tx\t\r\n\r\n", 200, 1),
    "empty header": (b"GET / HTTP/1.1\r\nHost: x\r\nX-Nothing:\r\n\r\n", 200, 1),
    "bytes above 127": (b"GET / HTTP/1.1\r\nHost: x\r\nX-Name: Jos\xc3\xa9 \xff\r\n\r\n", 200, 1),
    "request line of 8 KiB": (long_request_line(8 * 1024), 200, 1),
    "100 headers": (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 99 + b"\r\n", 200, 1),
}

TO_THE_LAST_BYTE = {
    "GET with a body": (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 200, 3),
    "Content-Length 0": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 405, 3),
    "Content-Length": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 405, 3),
    "lower case Content-Length": (
        b"POST / HTTP/1.1\r\nHost: x\r\ncontent-length: 3\r\n\r\nabc",
        405,
        3,
    ),
    "Content-Length with zeros": (
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0003\r\n\r\nabc",
        405,
        3,
    ),
    "Content-Length twice, the same": (
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        405,
        3,
    ),
    "Content-Length as a list of the same": (
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3, 3\r\n\r\nabc",
        405,
        3,
    ),
    "chunked": (
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n0000A\r\n0123456789\r\n0\r\n\r\n",
        405,
        5,
    ),
    "chunked, upper case": (
        b"POST / HTTP/1.1\r\nHost: x\r\nTRANSFER-ENCODING: Chunked\r\n\r\n0\r\n\r\n",
        405,
        5,
    ),
    "chunked with extensions": (
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        b'3;name=value\r\nabc\r\n3 ; a="b"\r\ndef\r\n0;last\r\n\r\n',
        405,
        5,
    ),
    "chunked with trailers": (
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n0\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n",
        405,
        5,
    ),
    "chunk size of 17 digits": (
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"00000000000000003\r\nabc\r\n0\r\n\r\n",
        405,
        5,
    ),
    "chunk extension of 8 KiB": (
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3;" + b"x" * (8 * 1024 - 4) + b"\r\nabc\r\n0\r\n\r\n",
        405,
        5,
    ),
    "headers of 64 KiB": (long_headers(64 * 1024), 200, 3),
}


def assert_served(server, request_bytes, status):
    hint = f"{request_bytes[:100]!r} is a good request."
    reply = ask(server, request_bytes, hint=hint)
    assert reply.status == status, (
        f"{hint} It got {reply.status} {reply.reason}, not {status}: {reply.body!r}"
    )


@pytest.mark.lesson("framing-where-does-a-message-end")
@pytest.mark.parametrize(("request_bytes", "status"), rows(GOOD_REQUESTS, "is a good request"))
def test_a_request_that_the_rfc_allows_is_served(server, request_bytes, status):
    assert_served(server, request_bytes, status)


@pytest.mark.lesson("framing-where-does-a-message-end")
@pytest.mark.parametrize(("request_bytes", "status"), rows(TO_THE_LAST_BYTE, "is a good request"))
def test_a_request_is_read_to_its_last_byte(server, request_bytes, status):
    assert_served(server, request_bytes, status)
    with connect(server, 5) as connection:
        connection.sendall(request_bytes[:-1])
        connection.shutdown(socket.SHUT_WR)
        cut = read_reply(connection, "The stream had ended one byte before the request did.")
    assert cut.status == 400, (
        f"{request_bytes[:100]!r} is a good request, but it came without its last byte, and the "
        f"stream ended. It got {cut.status} {cut.reason}, not 400. Where does a request end?"
    )


@pytest.mark.lesson("what-the-server-refuses-and-how")
def test_options_for_the_whole_server_is_no_malformed_request(server):
    reply = ask(server, b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n")
    assert reply.status in (200, 204, 404, 405), (
        f"OPTIONS * got {reply.status} {reply.reason}. The target * is right for OPTIONS: "
        "RFC 9112, section 3.2.4."
    )


# What the server can't serve.


def line(request_line):
    """Return a request with that request line."""
    return request_line + b"\r\nHost: x\r\n\r\n"


def headers(*lines):
    """Return a request with a Host header and those header lines."""
    return b"\r\n".join([b"POST / HTTP/1.1", b"Host: x", *lines, b"", b""])


def chunks(data):
    """Return a request with that body, said to be chunked."""
    return headers(b"Transfer-Encoding: chunked") + data


MALFORMED = {
    "no version": (line(b"GET /"), 400, 2),
    "method alone": (line(b"GET"), 400, 2),
    "two spaces": (line(b"GET  / HTTP/1.1"), 400, 2),
    "space at the start": (line(b" GET / HTTP/1.1"), 400, 2),
    "space at the end": (line(b"GET / HTTP/1.1 "), 400, 2),
    "space in the target": (line(b"GET /a b HTTP/1.1"), 400, 2),
    "tab for a space": (line(b"GET\t/\tHTTP/1.1"), 400, 2),
    "method that is no token": (line(b"G@T / HTTP/1.1"), 400, 5),
    "no method": (line(b" / HTTP/1.1"), 400, 5),
    "target without slash": (line(b"GET page HTTP/1.1"), 400, 5),
    "star for GET": (line(b"GET * HTTP/1.1"), 400, 5),
    "target for CONNECT": (line(b"CONNECT test:80 HTTP/1.1"), 400, 5),
    "other scheme": (line(b"GET ftp://test/ HTTP/1.1"), 400, 5),
    "bytes above 127 in the target": (line("GET /é HTTP/1.1".encode()), 400, 5),
    "lower case version": (line(b"GET / http/1.1"), 400, 5),
    "version of two digits": (line(b"GET / HTTP/1.10"), 400, 5),
    "version without dot": (line(b"GET / HTTP/11"), 400, 5),
    "a TLS hello": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, 2),
    "two empty lines first": (b"\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", 400, 2),
    "LF ends the request line": (b"GET / HTTP/1.1\nHost: x\r\n\r\n", 400, 2),
    "LF ends a header": (b"GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n", 400, 3),
    "LF for the empty line": (b"GET / HTTP/1.1\r\nHost: x\r\n\n", 400, 3),
    "bare CR": (headers(b"A: b\rc"), 400, 5),
    "CR CR LF": (headers(b"A: b\r"), 400, 5),
    "NUL in a value": (headers(b"A: b\x00c"), 400, 5),
    "NUL in the target": (line(b"GET /\x00 HTTP/1.1"), 400, 5),
    "control character": (headers(b"A: \x1b[31m"), 400, 5),
    "DEL": (headers(b"A: \x7f"), 400, 5),
    "header without colon": (headers(b"Nonsense"), 400, 3),
    "header without name": (headers(b": value"), 400, 5),
    "space before the colon": (headers(b"A : b"), 400, 5),
    "tab before the colon": (headers(b"A\t: b"), 400, 5),
    "name that is no token": (headers(b"A(b): c"), 400, 5),
    "name above 127": (headers("Käse: b".encode()), 400, 5),
    "folded line": (headers(b"A: b", b" c"), 400, 3),
    "folded by a tab": (headers(b"A: b", b"\tc"), 400, 3),
    "folded first line": (b"GET / HTTP/1.1\r\n Host: x\r\n\r\n", 400, 5),
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", 400, 5),
    "no Host, absolute form": (b"GET http://test/ HTTP/1.1\r\n\r\n", 400, 5),
    "two Hosts": (headers(b"Host: y"), 400, 5),
    "two Hosts, the same": (headers(b"host: x"), 400, 5),
    "two Hosts in HTTP/1.0": (b"GET / HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n", 400, 5),
    "Host with a path": (b"GET / HTTP/1.1\r\nHost: x/y\r\n\r\n", 400, 5),
    "Host with a user": (b"GET / HTTP/1.1\r\nHost: me@x\r\n\r\n", 400, 5),
    "Host with a space": (b"GET / HTTP/1.1\r\nHost: x y\r\n\r\n", 400, 5),
    "Host with a bad port": (b"GET / HTTP/1.1\r\nHost: x:http\r\n\r\n", 400, 5),
    "bad host in the target": (line(b"GET http://a@b/ HTTP/1.1"), 400, 5),
    "Content-Length negative": (headers(b"Content-Length: -1"), 400, 5),
    "Content-Length with plus": (headers(b"Content-Length: +5") + b"abcde", 400, 5),
    "Content-Length with underscore": (headers(b"Content-Length: 1_0") + b"0123456789", 400, 5),
    "Content-Length of other digits": (headers("Content-Length: ٣".encode()) + b"abc", 400, 5),
    "Content-Length of a superscript": (headers(b"Content-Length: \xb2") + b"ab", 400, 5),
    "Content-Length hexadecimal": (headers(b"Content-Length: 0x5") + b"abcde", 400, 5),
    "Content-Length a word": (headers(b"Content-Length: five"), 400, 5),
    "Content-Length empty": (headers(b"Content-Length:"), 400, 5),
    "Content-Length a fraction": (headers(b"Content-Length: 5.0") + b"abcde", 400, 5),
    "Content-Length of 5000 digits": (headers(b"Content-Length: " + b"9" * 5000), 400, 5),
    "Content-Length twice, different": (
        headers(b"Content-Length: 5", b"Content-Length: 6") + b"abcdef",
        400,
        5,
    ),
    "Content-Length a list, different": (headers(b"Content-Length: 5, 6") + b"abcdef", 400, 5),
    "Content-Length a list with a gap": (headers(b"Content-Length: 5,") + b"abcde", 400, 5),
    "Content-Length and chunked": (
        headers(b"Content-Length: 5", b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
        400,
        5,
    ),
    "chunked and Content-Length": (
        headers(b"Transfer-Encoding: chunked", b"Content-Length: 5") + b"0\r\n\r\n",
        400,
        5,
    ),
    "chunked in HTTP/1.0": (
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        5,
    ),
    "chunk size that is no number": (chunks(b"xyz\r\nabc\r\n0\r\n\r\n"), 400, 5),
    "chunk size empty": (chunks(b"\r\nabc\r\n0\r\n\r\n"), 400, 5),
    "chunk size negative": (chunks(b"-3\r\nabc\r\n0\r\n\r\n"), 400, 5),
    "chunk size with plus": (chunks(b"+3\r\nabc\r\n0\r\n\r\n"), 400, 5),
    "chunk size with 0x": (chunks(b"0x3\r\nabc\r\n0\r\n\r\n"), 400, 5),
    "chunk size with underscore": (chunks(b"0_3\r\nabc\r\n0\r\n\r\n"), 400, 5),
    "chunk size with a space first": (chunks(b" 3\r\nabc\r\n0\r\n\r\n"), 400, 5),
    "chunk shorter than its size": (chunks(b"5\r\nabc\r\n0\r\n\r\n"), 400, 5),
    "chunk longer than its size": (chunks(b"2\r\nabc\r\n0\r\n\r\n"), 400, 5),
    "chunk without its end": (chunks(b"3\r\nabc0\r\n\r\n"), 400, 5),
    "chunk ended by LF": (chunks(b"3\r\nabc\n0\r\n\r\n"), 400, 5),
    "chunk line ended by LF": (chunks(b"3\nabc\r\n0\r\n\r\n"), 400, 5),
    "chunk extension of 9 KiB": (
        chunks(b"3;" + b"x" * 9 * 1024 + b"\r\nabc\r\n0\r\n\r\n"),
        400,
        5,
    ),
    "chunk extension without end": (chunks(b"3;" + b"x" * 9 * 1024), 400, 5),
    "control character in an extension": (chunks(b"3;a\x00\r\nabc\r\n0\r\n\r\n"), 400, 5),
    "trailer that is no header": (chunks(b"0\r\nnonsense\r\n\r\n"), 400, 5),
    # Where the last coding is not chunked, nobody can tell where the body ends.
    "gzip": (headers(b"Transfer-Encoding: gzip"), 400, 5),
    "chunked, gzip": (headers(b"Transfer-Encoding: chunked, gzip") + b"0\r\n\r\n", 400, 5),
    "identity": (headers(b"Transfer-Encoding: identity"), 400, 5),
    "empty": (headers(b"Transfer-Encoding:"), 400, 5),
    "no coding that is known": (headers(b"Transfer-Encoding: xchunked") + b"0\r\n\r\n", 400, 5),
}

TOO_MUCH = {
    "request line": (long_request_line(8 * 1024 + 1), 414, 3),
    "request line without end": (b"GET /" + b"a" * (64 * 1024), 414, 3),
    "headers": (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 100 + b"\r\n", 431, 4),
    "header": (long_headers(64 * 1024 + 1), 431, 3),
    "header without end": (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * (70 * 1024), 431, 3),
    "head of many headers": (headers(*[b"A: " + b"b" * 1000] * 80), 431, 3),
    "trailers": (chunks(b"0\r\n" + b"A: b\r\n" * 101 + b"\r\n"), 431, 5),
    "Content-Length": (headers(b"Content-Length: 300000000"), 413, 4),
    "Content-Length of 1000 digits": (headers(b"Content-Length: " + b"9" * 1000), 413, 4),
    "chunk": (chunks(b"FFFFFFFFFFFFFFFF\r\nabc"), 413, 5),
}

NOT_HERE = {
    "HTTP/2.0": (line(b"GET / HTTP/2.0"), 505, 5),
    "HTTP/0.9": (line(b"GET / HTTP/0.9"), 505, 5),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, 5),
    "gzip, chunked": (headers(b"Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n", 501, 5),
    "chunked twice": (headers(b"Transfer-Encoding: chunked, chunked") + b"0\r\n\r\n", 501, 5),
    "gzip, chunked, in two lines": (
        headers(b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
        501,
        5,
    ),
}


REFUSED = "is to be refused with {}"


def assert_refused(server, request_bytes, status):
    hint = f"{request_bytes[:100]!r} is to be refused with {status}."
    reply = ask(server, request_bytes, hint=hint)
    assert reply.status == status, (
        f"{hint} It got {reply.status} {reply.reason}. Input from outside is never trusted: a "
        "request that breaks a rule is refused, and the lesson's table says with which status."
    )


@pytest.mark.lesson("what-the-server-refuses-and-how")
@pytest.mark.parametrize(("request_bytes", "status"), rows(MALFORMED, REFUSED))
def test_a_malformed_request_gets_400(server, request_bytes, status):
    assert_refused(server, request_bytes, status)


@pytest.mark.lesson("what-the-server-refuses-and-how")
@pytest.mark.parametrize(("request_bytes", "status"), rows(TOO_MUCH, REFUSED))
def test_too_much_of_something_is_refused(server, request_bytes, status):
    assert_refused(server, request_bytes, status)


@pytest.mark.lesson("what-the-server-refuses-and-how")
@pytest.mark.parametrize(("request_bytes", "status"), rows(NOT_HERE, REFUSED))
def test_what_this_server_does_not_speak_is_refused(server, request_bytes, status):
    assert_refused(server, request_bytes, status)


@pytest.mark.lesson("what-the-server-refuses-and-how")
@pytest.mark.parametrize(
    ("request_bytes", "status"),
    rows(
        {
            "request line": (b"GE", 400, 2),
            "headers": (b"GET / HTTP/1.1\r\nHost: x\r\n", 400, 3),
            "body": (headers(b"Content-Length: 5") + b"abc", 400, 3),
            "chunk": (chunks(b"3\r\nab"), 400, 5),
            "chunks": (chunks(b"3\r\nabc\r\n"), 400, 5),
            "trailers": (chunks(b"0\r\n"), 400, 5),
        },
        "no more bytes will come",
    ),
)
def test_a_stream_that_ends_too_early_gets_400(server, request_bytes, status):
    with connect(server, 5) as connection:
        connection.sendall(request_bytes)
        connection.shutdown(socket.SHUT_WR)
        reply = read_reply(connection, "The stream had ended in the middle of the request.")
    assert reply.status == status, (
        f"The stream ended after {request_bytes[-20:]!r}, and got {reply.status} {reply.reason}. "
        "recv returned b'': no more bytes will come, and what came is not a request."
    )


@pytest.mark.lesson("what-the-server-refuses-and-how")
@pytest.mark.milestone(2, "not 400")
def test_an_error_page_says_what_is_wrong(server):
    reply = ask(server, line(b"nonsense"))
    assert reply.status == 400, f"The request line nonsense got {reply.status}, not 400."
    assert reply.body.strip(), "A 400 response without a word leaves its reader in the dark."
    assert b"<" not in reply.body or b"html" in (reply.header("Content-Type") or "").encode(), (
        "An error page that is no HTML must say so in its Content-Type."
    )


@pytest.mark.lesson("what-the-server-refuses-and-how")
@pytest.mark.milestone(5, "was refused, and the answer has a body")
@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"HEAD / HTTP/1.1\r\nHost: x\r\nA\r\n\r\n", 400),
        (b"HEAD / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 100 + b"\r\n", 431),
        (b"HEAD / HTTP/1.1\r\nHost: x\r\nContent-Length: 300000000\r\n\r\n", 413),
    ],
    ids=["malformed header", "headers", "body"],
)
@pytest.mark.milestone(5, "A HEAD request was")
def test_a_refused_head_gets_no_body(server, request_bytes, status):
    reply = ask(server, request_bytes)
    assert reply.status == status, (
        f"A HEAD request was to be refused with {status}, and got {reply.status}."
    )
    assert reply.body == b"", (
        f"A HEAD request was refused, and the answer has a body: {reply.body[:50]!r}. An answer to "
        "HEAD has none, whatever its status: RFC 9110, section 9.3.2."
    )


def tls_hello():
    """Return the first bytes that a client sends to a server whose address begins with https."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="test")
    with contextlib.suppress(ssl.SSLWantReadError):  # it waits for the server's answer
        client.do_handshake()
    return outgoing.read()


@pytest.mark.lesson("what-the-server-refuses-and-how")
@pytest.mark.milestone(5, "Someone wrote https://")
@pytest.mark.parametrize("kind", ["as it is", "without line break", "with line breaks"])
def test_the_log_says_when_a_client_speaks_tls(server, kind):
    hello = {
        "as it is": tls_hello(),
        "without line break": tls_hello().replace(b"\n", b" "),
        "with line breaks": tls_hello() + b"\r\n\r\n",
    }[kind]
    with connect(server, 5) as connection:
        client = re.escape(" {}:{} ".format(*connection.getsockname()))
        earlier = sum(bool(re.search(client, line)) for line in server.output())  # ports come again
        connection.sendall(hello)
        reply = read_reply(connection, "Someone wrote https:// for http://.")
    assert reply.status == 400, (
        f"Someone wrote https:// for http://, and got {reply.status} {reply.reason}, not 400."
    )
    log_line = server.wait_for_line(client, count=earlier + 1)
    assert "TLS" in log_line, (
        f"Someone wrote https:// for http://, and the log says {log_line!r}. Its reader cannot "
        "guess from that what went wrong: the first two bytes of TLS are 0x16 and 0x03."
    )


# Bodies.


@pytest.mark.lesson("framing-where-does-a-message-end")
@pytest.mark.milestone(5, "waits for 100 Continue")
def test_100_continue_comes_before_the_body(server):
    with connect(server, 2) as connection:
        connection.sendall(
            headers(b"Content-Length: 5", b"Expect: 100-continue")  # and then it waits
        )
        start = b""
        with contextlib.suppress(TimeoutError):
            while not start.endswith(b"\r\n\r\n") and len(start) < 1000:
                piece = connection.recv(1)
                assert piece, f"The server closed the connection after {start!r}."
                start += piece
                if len(start) == 5:
                    assert start == b"HTTP/", f"No HTTP status line came back, but {start!r}."
        assert start.startswith(b"HTTP/1.1 100 "), (
            f"The client waits for 100 Continue before it sends the body. It got {start!r}."
        )
        connection.sendall(b"abcde")
        reply = read_reply(connection)
    assert reply.status == 405, f"After the body came {reply.status} {reply.reason}, not 405."


@pytest.mark.lesson("what-the-server-refuses-and-how")
@pytest.mark.milestone(4, "No answer came")
def test_a_body_that_is_too_long_is_refused_before_it_is_sent(server):
    reply = ask(server, headers(b"Content-Length: 300000000", b"Expect: 100-continue"))
    assert reply.status == 413, (
        f"A client announced 300 MB and asked whether to go on. It got {reply.status} "
        f"{reply.reason}, not 413: it would send them all for nothing."
    )


def largest_memory(pid):
    """Return the memory in use, in bytes, by the largest of a process and its children.

    Not of all together: workers of step 6 may still be started, one after another.
    """
    sizes = []
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            sizes.append(process.memory_info().rss)
    return max(sizes)


@pytest.mark.lesson("framing-where-does-a-message-end")
@pytest.mark.milestone(4, "during an upload of 200 MiB")
def test_an_upload_of_200_mib_does_not_fill_the_memory(start):
    server = start()
    size, piece = 200 * MIB, bytes(MIB)
    with connect(server, 5) as connection:
        connection.sendall(headers(b"Content-Length: %d" % size) + b"x")
        connection.settimeout(0.1)
        with contextlib.suppress(TimeoutError):
            echo = connection.recv(5)
            assert echo == b"HTTP/", f"No HTTP status line came back, but {echo!r}."
        connection.settimeout(10)
        before = most = largest_memory(server.pid)  # step 4's child is there now
        for number in range(199):
            connection.sendall(piece)
            if number % 10 == 0:  # it looks at all processes, while the server's clock runs
                most = max(most, largest_memory(server.pid))
        connection.sendall(piece[:-1])
        reply = read_reply(connection)
    assert reply.status == 405, f"POST / got {reply.status} {reply.reason}, not 405."
    grown = (most - before) / MIB
    assert grown < 32, (
        f"The server grew by {grown:.0f} MiB during an upload of 200 MiB. A long body goes to a "
        "file: look for SpooledTemporaryFile."
    )


# After the answer: who closes, and when?

UNREAD = {
    "after a head that is too long": (
        b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * (70 * 1024),
        431,
        4,
    ),
    "after a body that is too long": (headers(b"Content-Length: 300000000"), 413, 4),
    "after a malformed line": (line(b"nonsense"), 400, 4),
    "after another version": (line(b"GET / HTTP/3.0"), 505, 5),
}


@pytest.mark.lesson("an-error-page-that-arrives")
@pytest.mark.parametrize(("request_bytes", "status"), rows(UNREAD, "The client"))
def test_the_client_can_read_why_it_was_refused(server, request_bytes, status):
    with connect(server, 5) as connection:
        connection.sendall(request_bytes)
        try:
            start = connection.recv(9, socket.MSG_PEEK)
        except TimeoutError:
            raise AssertionError("The client got no answer. It is to be refused at once.") from None
        assert start == b"HTTP/1.1 ", f"No HTTP status line came back, but {start!r}."
        try:
            for _ in range(8):  # more than the kernel holds for the server
                connection.sendall(bytes(MIB))
            reply = read_reply(connection)
        except ConnectionError as error:
            raise AssertionError(
                f"The client was cut off before it had read the answer: {error}. If a server "
                "closes with bytes unread, the kernel resets the connection. End our half of the "
                "stream, then read what still comes."
            ) from None
    assert reply.status == status, f"The client got {reply.status} {reply.reason}, not {status}."
    length = int(reply.header("Content-Length"))
    assert len(reply.body) == length, (
        f"Of {length} bytes of the page that says why {len(reply.body)} came. Close too early, and "
        "the kernel throws the rest away."
    )


@pytest.mark.lesson("framing-where-does-a-message-end")
def test_the_connection_ends_after_one_response(server):
    with connect(server, 3) as connection:
        connection.sendall(b"GET /missing HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
        reply = read_reply(connection)
    assert reply.body.count(b"HTTP/1.1 ") == 0, (
        "Two responses came over one connection. This server said Connection: close, and the "
        "client does not expect more."
    )


# Sixty lines of a thousand bytes: the page /request shows them, and is as long.
LARGE = [f"X-Line-{number}: {'x' * 980}" for number in range(60)]


@pytest.mark.lesson("an-error-page-that-arrives")
@pytest.mark.flaw
@pytest.mark.milestone(4, "then a reset")
def test_a_stray_line_end_during_a_large_answer_does_not_cut_it(server):
    with connect_with_small_buffer(server) as connection:
        connection.sendall(format_request("/request", headers=LARGE))
        start = connection.recv(9, socket.MSG_PEEK)
        assert start == b"HTTP/1.1 ", f"No HTTP status line came back, but {start!r}."
        server.wait_for_line(f":{connection.getsockname()[1]} GET /request")  # all is on its way
        with contextlib.suppress(ConnectionError):  # the server may have reset the connection
            connection.sendall(b"\r\n")
        time.sleep(QUIET)  # this client is slow: now the server could close
        reply = read_reply(connection)
    assert reply.status == 200, f"/request got {reply.status} {reply.reason}, not 200."
    assert reply.is_whole, (
        f"Of {reply.header('Content-Length')} bytes {len(reply.body)} came, then a reset. A socket "
        "that is closed while it holds bytes that nobody has read resets the connection, and what "
        "is on its way is lost. End our half of the stream, then read what still comes."
    )


@pytest.mark.lesson("an-error-page-that-arrives")
@pytest.mark.flaw
@pytest.mark.milestone(3, "got no whole answer")
@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([], id="small"),
        pytest.param(LARGE, id="large", marks=[LINUX, pytest.mark.milestone(5, "Wait for nobody")]),
    ],
)
def test_clients_that_keep_their_ends_open_hold_up_nobody(server, lines):
    assert_alive(server, "other tests")
    requests = format_request("/request", headers=lines), format_request("/")
    seconds = seconds_of_a_fifth_client(server, *requests)
    assert seconds < 0.5, (
        f"Four clients had read their answers, and kept their ends of the connections open. The "
        f"answer of a fifth client took {seconds:.2f} s. Wait for nobody who has all of his answer."
    )


# Clients that behave badly are no error.


@pytest.mark.lesson("step01_echo_socket/README.md#when-a-client-fails")
def test_a_client_that_connects_and_leaves_is_no_error(start):
    server = start()
    for _ in range(3):
        connect(server).close()
    assert_alive(server, "clients that came and left without a word")
    assert server.output("stderr") == [], f"Nothing was wrong with the server:\n{server.report()}"


@pytest.mark.lesson("step01_echo_socket/README.md#when-a-client-fails")
@pytest.mark.parametrize(
    "request_bytes",
    [
        b"",
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: x\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        headers(b"Content-Length: 50") + b"abc",
        chunks(b"5\r\nabc"),
        headers(b"A : b"),
    ],
    ids=["nothing", "request line", "headers", "request", "body", "chunk", "malformed"],
)
def test_a_reset_ends_that_client_alone(server, request_bytes):
    already = len(server.output("stderr"))
    for _ in range(3):
        connection = connect(server)
        connection.sendall(request_bytes)
        reset(connection)
    assert_alive(server, f"a client that was reset after {request_bytes[-20:]!r}")
    assert server.output("stderr")[already:] == [], (
        f"A client's reset is no error of the server:\n{server.report()}"
    )


@pytest.mark.lesson("what-is-still-wrong")
@pytest.mark.flaw
@pytest.mark.milestone(3, "while the first was still served")
def test_a_second_client_waits_while_the_first_is_served(server):
    with connect(server) as first, connect(server) as second:
        first.sendall(b"GET /missing HTTP/1.1\r\n")
        second.sendall(b"GET /missing HTTP/1.1\r\nHost: x\r\n\r\n")
        second.settimeout(QUIET)
        with pytest.raises(TimeoutError):
            answer = second.recv(100)
            pytest.fail(f"The second client got {answer!r} while the first was still served.")
        first.sendall(b"Host: x\r\n\r\n")
        assert read_reply(first).status == 404, "The first client was not served."
        second.settimeout(3)
        assert read_reply(second).status == 404, "The second client was not served after the first."


@pytest.mark.lesson("step01_echo_socket/README.md#the-command-line")
@pytest.mark.flaw
@pytest.mark.skipif(os.name != "posix", reason="Windows has no such signals")
def test_ctrl_c_ends_it_while_it_serves_a_client(start):
    server = start()
    assert_alive(server, "the start")
    with connect(server) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        server.send_signal(signal.SIGINT)
        assert server.wait() == 0, f"Ctrl-C gave an exit status other than 0.\n{server.report()}"
    assert server.output("stderr") == [], f"Ctrl-C is no mistake:\n{server.report()}"


# Who talks to it: they are all the same to a server.


@pytest.mark.lesson("step01_echo_socket/README.md#what-a-socket-is")
@pytest.mark.milestone(2, "does not say what was asked")
def test_the_log_has_a_line_for_each_request(server):
    with connect(server) as connection:
        client = re.escape("{}:{}".format(*connection.getsockname())) + r"\b"
        earlier = sum(bool(re.search(client, line)) for line in server.output())  # ports come again
        connection.sendall(b"GET /missing?name=value HTTP/1.1\r\nHost: x\r\n\r\n")
        read_reply(connection)
    log_line = server.wait_for_line(client, count=earlier + 1)
    assert "/missing?name=value" in log_line and "404" in log_line, (
        f"The log line {log_line!r} does not say what was asked and what was answered."
    )
    assert re.match(r"\D*\d+\D", log_line), f"The log line {log_line!r} begins with no PID."


@pytest.mark.lesson("http-on-the-wire")
def test_requests_gets_the_page(server):
    try:
        reply = requests.get(server.url + "/", timeout=2)
    except requests.RequestException as error:
        raise AssertionError(f"No HTTP status line came back to requests: {error}") from None
    assert reply.status_code == 200 and "<h1>" in reply.text, (
        f"requests got {reply.status_code}: {reply.text[:100]!r}"
    )


@pytest.mark.lesson("http-on-the-wire")
@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_curl_gets_the_page(server):
    command = ["curl", "-sS", "--max-time", "2", server.url + "/"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, f"No HTTP status line came back to curl: {done.stderr}"
    assert "<h1>" in done.stdout, f"curl got {done.stdout[:100]!r}"


@pytest.mark.lesson("framing-where-does-a-message-end")
@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
@pytest.mark.milestone(5, "curl's upload")
@pytest.mark.new("curl's upload")
def test_curl_uploads_in_chunks(server):
    options = ["--max-time", "5", "-o", os.devnull, "-w", "%{http_code} %{size_upload}"]
    chunked = ["-H", "Transfer-Encoding: chunked", "--data-binary", "@-"]
    command = ["curl", "-sS", *options, *chunked, server.url + "/"]
    done = subprocess.run(command, input=bytes(UPLOAD), capture_output=True, timeout=PATIENCE)
    status, sent = map(int, done.stdout.split())
    assert status == 405 and sent >= UPLOAD, (
        f"curl's upload, {UPLOAD} bytes in chunks, is to get 405 after its end. It sent {sent} "
        f"bytes, and got {status}. {done.stderr.decode()}"
    )
