"""Step 2: a web server. It reads HTTP requests, and answers each with a response."""

import contextlib
import email.utils
import os
import re
import select
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import psutil
import pytest
import requests

from tests import harness
from tests.fixtures import LINUX
from tests.harness import (
    PATIENCE,
    Server,
    connect,
    connect_with_small_buffer,
    format_request,
    is_served,
    last_traceback,
    read_reply,
    seconds_of_a_fifth_client,
    wait_until,
)

STEP = "step02_http_server"
MILESTONES = [  # the stages of STAGES.md
    "A browser shows your page",
    "Each question gets its own answer",
    "Bytes may come as they like",
    "No client can hold you up",
    "Nonsense is refused",
]
IDEA = 4
MIB = 1024 * 1024
UPLOAD = 20 * MIB  # more than the kernel holds for a server that does not read
LARGEST_BODY = 256 * MIB  # the lesson's limit
END = b"0\r\n\r\n"  # the last chunk
SOON = min(5, PATIENCE)  # seconds until a test gives up waiting for an answer
QUIET = 0.3  # seconds without an answer that show that a client waits
DEADLINE = 10  # seconds: the lesson's, for a whole request
LINGER = 2  # seconds: the lesson's, for a refused client to read why
ROOM = 3  # seconds that a busy machine may be late

# Step 1's server sends a request back as it is: no test of this file passes there.
pytestmark = pytest.mark.new("No HTTP status line came back")
page_of_ours = pytest.mark.course("/request is a page of this course's servers")


def ask(server, request_bytes, hint="", timeout=SOON, to_end=False):
    """Send a request, and return the Reply. If none comes, the failure shows the hint, too."""
    try:
        return harness.ask(server, request_bytes, timeout, to_end)
    except AssertionError as error:
        raise AssertionError(f"{hint} {error}".strip()) from None


def get(server, target="/", method="GET", headers=(), hint="", to_end=False):
    return ask(server, format_request(target, method, headers), hint, to_end=to_end)


def peek(connection):
    """Return the first bytes of an answer, which stay there to be read. Fails if it is no HTTP."""
    start = connection.recv(12, socket.MSG_PEEK)
    state = "" if start else f"\n{harness.state_of(connection)}"
    assert start[:7] == b"HTTP/1.", (
        f"No HTTP status line came back, but {start!r}. A response begins with 'HTTP/1.1 ' and a "
        f"status, such as '200 OK'.{state}"
    )
    return start


def assert_alive(server, after):
    reply = get(server, hint=f"That was after {after}.")
    assert reply.status == 200, (
        f"After {after} the next client got {reply.status} {reply.reason}. The trouble of one "
        f"client must not reach the next one.\n{server.report()[-1000:]}"
    )


def assert_no_traceback(server, what, since=0):
    traceback = "\n".join(last_traceback(server.output("stderr")[since:]))
    assert not traceback, (
        f"{what} That is no mistake in the program, so it needs no traceback:\n{traceback}"
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
        raise AssertionError(f"The answer came before {hint}")
    connection.settimeout(5)


def line(request_line):
    """Return a request with that request line."""
    return request_line + b"\r\nHost: x\r\n\r\n"


def headers(*lines):
    """Return a request with a Host header and those header lines."""
    return b"\r\n".join([b"GET / HTTP/1.1", b"Host: x", *lines, b"", b""])


def sized(length, body=b""):
    """Return a request with that Content-Length, and a body."""
    return headers(b"Content-Length: " + length) + body


def chunks(data, coding=b"chunked"):
    """Return a request with that body, said to be in a transfer coding."""
    return headers(b"Transfer-Encoding: " + coding) + data


def rows(table, *reasons):
    """Return the rows of a table for parametrize: the request, its statuses and their rule.

    table: a dict from rules to a dict from names to a tuple: the milestone, the request, and each
    status that is right. reasons: what the stages before fail with, if they fail.
    """
    return [
        pytest.param(
            request_bytes, statuses, rule, id=name, marks=pytest.mark.milestone(milestone, *reasons)
        )
        for rule, tests in table.items()
        for name, (milestone, request_bytes, *statuses) in tests.items()
    ]


def words(statuses):
    """Return statuses as one says them: "400 or 505"."""
    return " or ".join(map(str, statuses)) if len(statuses) < 9 else "an error"


# 1. A browser shows your page.


@pytest.mark.lesson("framing-where-does-a-message-end")
def test_the_answer_comes_while_the_client_waits_for_it(server):
    with connect(server, SOON) as connection:
        connection.sendall(format_request())
        try:
            start = connection.recv(65536)  # all of a page: else the close would be a reset
        except TimeoutError:
            raise AssertionError(
                "GET / got no answer in 5 seconds, and the connection stays open. The client "
                "keeps its end open while it waits for the answer. Does the server wait for the "
                "end of the stream, too? It need not, because a request without a body ends with "
                "its empty line."
            ) from None
        assert start, (
            f"The connection ended without an answer to GET /.\n{harness.state_of(connection)}"
        )
    assert not start.startswith(b"GET"), f"No HTTP status line came back, but {start!r}."


@pytest.mark.lesson("http-on-the-wire")
def test_the_home_page_is_html(server):
    with connect(server, SOON) as connection:
        connection.sendall(format_request())
        peek(connection)
        reply = read_reply(connection)
    assert reply.status == 200, f"GET / got {reply.status} {reply.reason}, not 200 OK."
    assert (reply.header("Content-Type") or "").startswith("text/html"), (
        f"Content-Type is {reply.header('Content-Type')!r}. It must be text/html, because a "
        "browser shows the source of any other page."
    )
    assert re.match(rb"(\xef\xbb\xbf)?\s*<[a-zA-Z!]", reply.body), (
        "A page in HTML begins with <, as in <!doctype html>, but this one begins with "
        f"{reply.body[:20]!r}. Text becomes bytes by encode(), while str() of bytes adds a b and "
        "quotation marks."
    )


@pytest.mark.lesson("http-on-the-wire")
def test_each_line_of_the_head_ends_with_cr_lf(server):
    with connect(server) as connection:
        connection.sendall(format_request())
        peek(connection)
        data = harness.receive_all(connection)
    head, empty_line, _ = data.partition(b"\r\n\r\n")
    assert empty_line, (
        f"No CR LF CR LF ends the head: {data[:100]!r}. In HTTP a line ends with \\r\\n, and an "
        "empty line ends the head."
    )
    assert b"\n" not in head.replace(b"\r\n", b""), f"A line of the head ends with LF alone: {head}"


@pytest.mark.lesson("framing-where-does-a-message-end")
def test_the_home_page_is_as_long_as_its_head_says(server):
    reply = get(server, to_end=True)
    assert reply.header("Content-Length") or reply.header("Transfer-Encoding"), (
        "The head does not say how long the body is, so a client that lost half of the page takes "
        "it for a whole one: RFC 9112, section 6.3. Say so by Content-Length, in bytes."
    )
    assert reply.is_whole, (
        f"Content-Length is {reply.header('Content-Length')}, and {len(reply.body)} bytes of body "
        "came. A client that trusts this number waits for a rest that never comes, or loses some "
        "bytes."
        + (" Is the response sent twice?" if re.search(rb"HTTP/1\.\d \d{3} ", reply.body) else "")
    )


@pytest.mark.lesson("framing-where-does-a-message-end")
def test_two_clients_one_after_the_other(server):
    for _ in range(2):
        reply = get(
            server, hint=("Of two clients one was not served. Is there a loop around accept?")
        )
        assert reply.status == 200, f"GET / got {reply.status} {reply.reason}, not 200 OK."


@pytest.mark.lesson("framing-where-does-a-message-end")
@pytest.mark.parametrize("target", ["/", "/missing"])
def test_the_connection_ends_if_and_only_if_the_answer_says_so(server, target):
    request_bytes = f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    with connect(server, SOON) as connection:
        connection.sendall(request_bytes)
        version = peek(connection)[:8]
        option = (read_reply(connection).header("Connection") or "").lower()
        if option == "close" or (version == b"HTTP/1.0" and option != "keep-alive"):
            try:
                more = connection.recv(100)
            except TimeoutError:
                raise AssertionError(
                    "The answer says that the connection ends, but it stays open. Close it after "
                    "the answer."
                ) from None
            assert not more, f"The answer says that the connection ends, and then came {more!r}."
        else:
            connection.sendall(request_bytes)
            again = connection.recv(100)
            assert again, (
                "The connection ended, and the answer did not say so. A server that closes says "
                "Connection: close (RFC 9112, section 9.3), because its client may otherwise send "
                "another request."
            )


@pytest.mark.lesson("framing-where-does-a-message-end")
@pytest.mark.course("a server may keep its connections")
def test_the_connection_ends_after_one_response(server):
    with connect(server, 3) as connection:
        connection.sendall(b"GET /missing HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
        reply = read_reply(connection, to_end=True)
    assert reply.header("Connection") == "close", (
        f"Connection is {reply.header('Connection')!r}. This server closes after each response, "
        "so it tells the client with Connection: close."
    )
    assert reply.body.count(b"HTTP/1.1 ") == 0, (
        "Two responses came over one connection. This server said Connection: close, so the "
        "client does not expect a second one."
    )


@pytest.mark.lesson("framing-where-does-a-message-end")
def test_a_client_of_http_1_0_hears_nothing_that_it_does_not_know(server):
    lines = b"Host: x", b"Content-Length: 3", b"Expect: 100-continue"
    request_bytes = b"\r\n".join([b"GET / HTTP/1.0", *lines, b"", b"abc"])
    with connect(server) as connection:
        connection.sendall(request_bytes)
        peek(connection)
        data = harness.receive_all(connection)
    assert not re.match(rb"HTTP/1\.[01] 100", data), (
        "An HTTP/1.0 client got 100 Continue, and takes it for the answer, because HTTP/1.0 does "
        "not know that status. Ignore its Expect: RFC 9110, section 10.1.1."
    )
    reply = harness.parse_reply(data)
    assert reply.status == 200 and reply.header("Transfer-Encoding") is None, (
        f"An HTTP/1.0 client got {reply.status} {reply.reason}, {reply.headers}. It does not know "
        "chunks, so it must not get any: RFC 9112, section 6.1."
    )


@pytest.mark.lesson("http-on-the-wire")
def test_requests_gets_the_page(server):
    try:
        reply = requests.get(server.url + "/", timeout=2)
    except requests.RequestException as error:
        raise AssertionError(f"No HTTP status line came back to requests: {error}") from None
    assert reply.status_code == 200 and "<" in reply.text, (
        f"requests got {reply.status_code}: {reply.text[:100]!r}"
    )


@pytest.mark.lesson("http-on-the-wire")
@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_curl_gets_the_page(server):
    command = ["curl", "-sS", "--max-time", "2", server.url + "/"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, f"No HTTP status line came back to curl: {done.stderr}"
    assert "<" in done.stdout, f"curl got {done.stdout[:100]!r}"


# 2. Each question gets its own answer.


@pytest.mark.lesson("what-the-server-refuses-and-how")
@pytest.mark.milestone(2, "not 404")
def test_an_unknown_page_gets_404(server):
    reply = get(server, "/no/such/page", to_end=True)
    assert reply.status == 404, f"GET /no/such/page got {reply.status} {reply.reason}, not 404."
    length = reply.header("Content-Length")
    assert reply.is_whole, (
        f"The head of the 404 says Content-Length: {length}, but {len(reply.body)} bytes came "
        f"after it. Beyond the body there is {reply.body[int(length or 0) :][:60]!r}. One request "
        "gets one response, whose body is as long as its head says."
    )


@pytest.mark.lesson("framing-where-does-a-message-end")
@pytest.mark.milestone(2, "The answer to HEAD has a body")
def test_head_gets_the_headers_of_get_and_no_body(server):
    full, head = get(server), get(server, method="HEAD")
    assert head.status == 200, f"HEAD / got {head.status} {head.reason}, not 200 OK."
    assert head.body == b"", (
        f"The answer to HEAD has a body: {head.body[:50]!r}. A client does not expect one, so it "
        "takes these bytes for the next response."
    )
    missing = get(server, "/no/such/page", "HEAD")
    assert missing.body == b"", (
        f"The answer to HEAD /no/such/page has a body: {missing.body[:50]!r}. An answer to HEAD "
        "has none, whatever its status is: RFC 9110, section 9.3.2."
    )
    assert head.header("Content-Type") == full.header("Content-Type"), (
        "HEAD got another Content-Type than GET, but HEAD must get the headers that GET would get."
    )


@pytest.mark.lesson("framing-where-does-a-message-end")
def test_head_does_not_lie_about_the_length(server):
    length = get(server, method="HEAD").header("Content-Length")
    would_be = len(get(server).body)
    # The page may name the client's port, and a process: some digits more, or fewer.
    assert length is None or abs(int(length) - would_be) < 10, (
        f"For HEAD Content-Length is {length}, while GET would bring {would_be} bytes. HEAD gets "
        "the headers of GET, so this one must be the same, or it must be left out."
    )


@pytest.mark.lesson("framing-where-does-a-message-end")
@pytest.mark.course("Content-Length may be left out of an answer to HEAD")
@pytest.mark.flaw
def test_head_says_how_long_the_body_would_be(server):
    length = get(server, method="HEAD").header("Content-Length")
    assert length == get(server).header("Content-Length"), (
        f"For HEAD Content-Length is {length}. HEAD gets the headers of GET, so this one must be "
        "the same, too."
    )


@pytest.mark.lesson("what-the-server-refuses-and-how")
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "BREW"])
@pytest.mark.milestone(2, "can only be read")
def test_another_method_is_refused_and_hears_which_are_allowed(server, method):
    reply = get(server, "/", method)
    assert reply.status in (405, 501), (
        f"{method} / got {reply.status} {reply.reason}. The home page can only be read, so the "
        "status is 405, or it is 501 if no page of the server knows the method: RFC 9110, section "
        "9.1."
    )
    allowed = {name.strip() for name in (reply.header("Allow") or "").split(",")}
    assert reply.status == 501 or {"GET", "HEAD"} <= allowed, (
        f"Allow is {reply.header('Allow')!r}. A 405 response names the methods that work: "
        "RFC 9110, section 15.5.6."
    )


@pytest.mark.lesson("what-the-server-refuses-and-how")
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "BREW"])
@pytest.mark.course("501 is right, too, and a server may look at the method first")
@pytest.mark.milestone(2, "not 405")
def test_a_method_gets_405_where_there_is_a_page_and_404_elsewhere(server, method):
    reply = get(server, "/", method)
    assert reply.status == 405, f"{method} / got {reply.status} {reply.reason}, not 405."
    reply = get(server, "/no/such/page", method)
    assert reply.status == 404, (
        f"{method} /no/such/page got {reply.status} {reply.reason}, not 404. 405 says that the "
        "page is there for other methods, so look at the path first."
    )


@pytest.mark.milestone(5)
@pytest.mark.lesson("what-the-server-refuses-and-how")
def test_options_for_the_whole_server_is_no_malformed_request(server):
    reply = ask(server, line(b"OPTIONS * HTTP/1.1"))
    assert reply.status in (200, 204, 404, 405, 501), (
        f"OPTIONS * got {reply.status} {reply.reason}. OPTIONS may have the target *, which "
        "stands for the whole server: RFC 9112, section 3.2.4."
    )


@pytest.mark.lesson("what-the-server-refuses-and-how")
@pytest.mark.milestone(2, "not 400")
def test_an_error_page_says_what_is_wrong(server):
    reply = ask(server, line(b"nonsense"))
    assert reply.status == 400, f"The request line nonsense got {reply.status}, not 400."
    assert reply.body.strip(), (
        "A 400 response had no body. A sentence in it tells the reader what is wrong."
    )


SCRIPT = b"<script>alert(1)</script>"


@pytest.mark.lesson("what-the-server-refuses-and-how")
@pytest.mark.parametrize(
    "request_bytes",
    [
        line(b"GET /" + SCRIPT + b" HTTP/1.1"),
        line(b"nonsense " + SCRIPT),
        line(b"GET / HTTP/1.1 " + SCRIPT),
        line(SCRIPT + b" / HTTP/1.1"),
    ],
    ids=["path", "two words", "version", "method"],
)
@pytest.mark.milestone(2, "is no page")
def test_what_a_client_wrote_is_never_run_by_a_browser(server, request_bytes):
    reply = ask(server, request_bytes)
    assert reply.status >= 400, (
        f"{request_bytes[:60]!r} got {reply.status} {reply.reason}, and is no page."
    )
    content_type = reply.header("Content-Type")
    assert content_type or not reply.body, (
        "There is a body without a Content-Type. A browser then guesses what the body is, and may "
        "take what a client wrote for HTML, so say text/plain."
    )
    assert "html" not in (content_type or "") or SCRIPT not in reply.body, (
        f"The page is {content_type}, and shows what the client wrote as it came: "
        f"{reply.body[:100]!r}. In HTML that is a program, and a browser runs it. Say text/plain, "
        "or replace < and > by html.escape."
    )


@pytest.mark.lesson("http-on-the-wire")
@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET /missing HTTP/1.1\r\nHost: x\r\n\r\n",
        b"nonsense\r\n\r\n",
    ],
    ids=["page", "HEAD", "HTTP 1.0", "404", "400"],
)
@pytest.mark.milestone(2, "Date is None")
def test_each_response_has_a_date_in_gmt(server, request_bytes):
    before = int(time.time())
    date = ask(server, request_bytes).header("Date")
    assert date and re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", date), (
        f"Date is {date!r}, but HTTP writes a time in one way only, such as 'Wed, 25 Nov 2026 "
        "18:48:06 GMT'."
    )
    seconds = email.utils.parsedate_to_datetime(date).timestamp() - time.time()
    assert before - 1 - time.time() <= seconds <= 1, (
        f"Date is {date!r}, which is {seconds / 3600:+.1f} hours from now. GMT is the time of "
        "Greenwich, while time.localtime gives the time of the server's own zone. Use time.gmtime."
    )


@pytest.mark.lesson("http-on-the-wire")
@pytest.mark.milestone(2, "names the method")
def test_the_log_has_a_line_for_each_request(server):
    target = f"/missing?number={time.monotonic_ns()}"
    reply = get(server, target)
    asked = rf"(?=.*GET)(?=.*{re.escape(target)}).*{reply.status}"
    try:
        server.wait_for_line(asked, "either")
    except AssertionError:
        raise AssertionError(
            f"GET {target} got {reply.status}, but no line on standard output or standard error "
            "names the method, the target and the status of the answer. Was the line "
            f"flushed?\n{server.report()[-1000:]}"
        ) from None


@pytest.mark.lesson("http-on-the-wire")
@pytest.mark.course("a log looks as its server likes")
@pytest.mark.milestone(2, "does not say what was asked")
def test_a_line_of_the_log_begins_with_the_pid_and_the_client(server):
    with connect(server) as connection:
        client = re.escape("{}:{}".format(*connection.getsockname())) + r"\b"
        earlier = sum(bool(re.search(client, line)) for line in server.output())  # ports come again
        connection.sendall(format_request("/missing?name=value"))
        read_reply(connection)
    log_line = server.wait_for_line(client, count=earlier + 1)
    assert log_line.endswith(" GET /missing?name=value HTTP/1.1 -> 404 Not Found"), (
        f"The log line {log_line!r} does not say what was asked and what was answered."
    )
    assert re.match(rf"\[\d+\] {client} ", log_line), (
        f"The log line {log_line!r} does not begin with a PID and the client's address."
    )


# 3. Bytes may come as they like.

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
            f"{reply.reason} {reply.body!r}. A request may arrive in several recvs, so read on "
            "until the empty line."
        )


@pytest.mark.lesson("framing-where-does-a-message-end")
@pytest.mark.milestone(3, "The answer came before")
def test_a_request_may_come_byte_by_byte(server):
    with connect(server, SOON) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(REQUEST[:1])
        assert_waits(connection, "the request was complete. One byte of it had come so far.")
        for byte in REQUEST[1:]:
            connection.sendall(bytes([byte]))
        reply = read_reply(connection)
    assert reply.status == 404, (
        f"Sent byte by byte, the request got {reply.status} {reply.reason}. The bytes may be cut "
        "anywhere, so read on until the empty line."
    )


@pytest.mark.lesson("framing-where-does-a-message-end")
@pytest.mark.milestone(3, "The answer came before")
def test_a_body_may_arrive_long_after_its_head(server):
    with connect(server, SOON) as connection:
        connection.sendall(sized(b"10", b"12345"))
        assert_waits(
            connection,
            "the body was complete. Content-Length says 10 bytes, and it counts whatever the "
            "method is (RFC 9112, section 6), so read a request to its end before you answer.",
        )
        connection.sendall(b"67890")
        try:
            status = read_reply(connection).status
        except AssertionError as error:
            raise AssertionError(
                "All 10 bytes of the body have come. Read as many as Content-Length says, and not "
                f"on to the end of the stream, because a client waits for its answer. {error}"
            ) from None
    assert status == 200, f"GET / with a body got {status}, not 200, after its body."


@pytest.mark.lesson("http-on-the-wire")
@page_of_ours
@pytest.mark.flaw
@pytest.mark.milestone(3, "must show the request line")
@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
def test_a_page_shows_the_request_as_the_server_saw_it(server, version):
    lines = ["Host: here", "X-Colour:  blue ", "x-colour: red"]
    with connect(server) as connection:
        client = "{}:{}".format(*connection.getsockname())
        head = "\r\n".join([f"GET /request?a=%20b {version}", *lines, "", ""])
        connection.sendall(head.encode())
        page = read_reply(connection).body.decode()
    expected = [f"GET /request?a=%20b {version}", *lines[:1], "X-Colour: blue", lines[2]]
    assert page.splitlines()[:4] == expected, (
        "The page /request, whatever follows a ?, must show the request line and all headers, in "
        f"order, and each as 'name: value'. It shows:\n{page}"
    )
    assert client in page, f"The page does not name the client's address, {client}:\n{page}"


@pytest.mark.lesson("http-on-the-wire")
@page_of_ours
@pytest.mark.flaw
@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no address 127.0.0.2")
@pytest.mark.milestone(3, "does not name the client's address")
def test_the_address_that_is_shown_and_logged_is_the_clients(server):
    here = ("127.0.0.2", 0)
    with socket.create_connection(server.address, PATIENCE, here) as connection:
        client = "{}:{}".format(*connection.getsockname())
        connection.sendall(format_request("/request"))
        page = read_reply(connection).body.decode()
    assert client in page, f"The page does not name the client's address, {client}:\n{page}"
    server.wait_for_line(rf" {re.escape(client)} GET /request")


@pytest.mark.lesson("http-on-the-wire")
@page_of_ours
@pytest.mark.flaw
@pytest.mark.milestone(3, "does not show the header")
def test_the_page_shows_a_header_in_utf_8(server):
    reply = get(server, "/request", headers=["X-Name: Jos\xe9"])
    assert "José".encode() in reply.body, f"/request does not show the header: {reply.body!r}"


@pytest.mark.lesson("framing-where-does-a-message-end")
@pytest.mark.flaw
@pytest.mark.milestone(3)
def test_content_length_counts_bytes_and_not_characters(server):
    reply = get(server, "/request", headers=["X-Name: Jos\xe9"], to_end=True)
    assert reply.header("Content-Length") in (None, str(len(reply.body))), (
        f"Content-Length is {reply.header('Content-Length')}, but the body of /request has "
        f"{len(reply.body)} bytes. In UTF-8 the character é takes two bytes, so count after "
        "encode()."
    )


@pytest.mark.lesson("http-on-the-wire")
@page_of_ours
@pytest.mark.flaw
@pytest.mark.milestone(3, "text/plain; charset=utf-8 is right")
def test_each_page_says_what_it_is(server):
    for request_line, right in {
        b"GET / HTTP/1.1": "text/html; charset=utf-8",
        b"GET /request HTTP/1.1": "text/plain; charset=utf-8",
        b"GET /missing HTTP/1.1": "text/plain",
        b"POST / HTTP/1.1": "text/plain",
        b"nonsense": "text/plain; charset=utf-8",
    }.items():
        found = ask(server, line(request_line)).header("Content-Type")
        assert found == right, f"{request_line!r} got Content-Type {found}, while {right} is right."


@pytest.mark.lesson("what-is-still-wrong")
@pytest.mark.course("a server may well serve several clients at once")
@pytest.mark.flaw
@pytest.mark.milestone(3, "while the first was still served")
def test_a_second_client_waits_while_the_first_is_served(server):
    with connect(server) as first, connect(server) as second:
        first.sendall(b"GET /missing HTTP/1.1\r\n")
        second.sendall(b"GET /missing HTTP/1.1\r\nHost: x\r\n\r\n")
        second.settimeout(QUIET)
        with pytest.raises(TimeoutError):
            answer = second.recv(100)
            raise AssertionError(
                f"The second client got {answer!r} while the first was still served. This step's "
                "server serves one after the other."
            )
        first.sendall(b"Host: x\r\n\r\n")
        assert read_reply(first).status == 404, "The first client was not served."
        second.settimeout(3)
        assert read_reply(second).status == 404, "The second client was not served after the first."


@pytest.mark.lesson("step01_echo_socket/README.md#when-a-client-fails")
@pytest.mark.course("a log looks as its server likes")
@pytest.mark.skipif(os.name != "posix", reason="Windows says it in other words")
@pytest.mark.milestone(3, "The answer came before")
def test_the_log_names_a_client_that_was_lost(server):
    connection = connect(server)
    client = re.escape(" {}:{} ".format(*connection.getsockname()))
    earlier = sum(bool(re.search(client, line)) for line in server.output())  # ports come again
    connection.sendall(b"GET / HT")
    assert_waits(connection, "the request was complete.")
    reset(connection)
    log_line = server.wait_for_line(client, count=earlier + 1)
    assert "reset by peer" in log_line and " -> " not in log_line, (
        f"The log line {log_line!r} does not say that the client was lost."
    )
    assert_alive(server, "a client that was lost")


# 4. No client can hold you up.


def long_request_line(size):
    """Return a request whose first line has so many bytes, its CR LF included."""
    spare = size - len(b"GET /? HTTP/1.1\r\n")
    return b"GET /?" + b"a" * spare + b" HTTP/1.1\r\nHost: x\r\n\r\n"


def long_headers(size):
    """Return a request whose header lines have so many bytes, the empty line included."""
    spare = size - len(b"Host: x\r\nA: \r\n\r\n")
    return b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * spare + b"\r\n\r\n"


TOO_MUCH = {
    "A request line has a limit, which is 8 KiB in the lesson. A longer one gets 414: RFC 9112, "
    "section 3.": {
        "request line": (3, long_request_line(16 * 1024), 414, 431),
        "request line without end": (3, b"GET /" + b"a" * (64 * 1024), 414, 431),
    },
    "All header lines together have a limit, which is 64 KiB in the lesson. More than that gets "
    "431, the status made for it, or 400 or 413: RFC 9110, section 5.4.": {
        "header": (3, long_headers(70 * 1024), 431, 400, 413),
        "header without end": (3, long_headers(70 * 1024)[:-4], 431, 400, 413),
        "head of many headers": (3, headers(*[b"A: " + b"b" * 1000] * 80), 431, 400, 413),
    },
    "Each header costs memory, so a request has at most 100 of them in the lesson.": {
        "headers": (4, headers(*[b"A: b"] * 200), 431, 400, 413)
    },
    "A body has a limit, which is 256 MiB in the lesson. A client that announces more is refused "
    "at once, so that it need not send all of it for nothing: RFC 9110, section 15.5.14.": {
        "Content-Length": (4, sized(b"300000000"), 413),
        "Content-Length of 1000 digits": (4, sized(b"9" * 1000), 413, 400),
        "Content-Length of 5000 digits": (5, sized(b"9" * 5000), 400, 413),
    },
    "Chunks make a body, too, and one that announces more than 256 MiB is refused before it comes. "
    "Does the server read chunks yet? RFC 9112, section 7.1, says how.": {
        "chunk": (5, chunks(b"FFFFFFFFFFFFFFFF\r\nabc"), 413, 400),
    },
}

REFUSED = "is to be refused with"


def assert_refused(server, request_bytes, statuses, rule):
    size = f", {len(request_bytes)} bytes in all," if len(request_bytes) > 100 else ""
    what = f"{request_bytes[:100]!r}{size} is to be refused with {words(statuses)}"
    reply = ask(server, request_bytes, hint=f"{what}. {rule}")
    assert reply.status in statuses, f"{what}. It got {reply.status} {reply.reason}. {rule}"


@pytest.mark.lesson("what-the-server-refuses-and-how")
@pytest.mark.parametrize(("request_bytes", "statuses", "rule"), rows(TOO_MUCH, REFUSED))
def test_too_much_of_something_is_refused(server, request_bytes, statuses, rule):
    assert_refused(server, request_bytes, statuses, rule)


@pytest.mark.lesson("what-the-server-refuses-and-how")
@pytest.mark.milestone(4, "No answer came")
def test_a_body_that_is_too_long_is_refused_before_it_is_sent(server):
    reply = ask(server, headers(b"Content-Length: 300000000", b"Expect: 100-continue"))
    assert reply.status in (413, 417), (
        f"A client announced 300 MB and asked whether to go on. It got {reply.status} "
        f"{reply.reason}, not 413, so it would send all of it for nothing."
    )


def memory_in_use(pid):
    """Return the memory in use, in bytes, by the largest of a process and its children.

    Not of all together: workers of step 6 may still be started, one after another.
    """
    sizes = []
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            sizes.append(process.memory_info().rss)
    return max(sizes)


def upload(server, size):
    """Upload so many MiB. Return the Reply, and by how many MiB the server grew meanwhile."""
    with connect(server) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(sized(b"%d" % (size * MIB), b"x"))
        before = most = memory_in_use(server.pid)
        for number in range(size):
            if select.select([connection], [], [], 0)[0]:
                break  # an answer: it is refused
            connection.sendall(bytes(MIB - (number == 0)))
            if number % 10 == 9:  # it looks at all processes, while the server's clock runs
                most = max(most, memory_in_use(server.pid))
        return read_reply(connection), (most - before) / MIB


@pytest.mark.lesson("framing-where-does-a-message-end")
@pytest.mark.milestone(4, "during an upload of 100 MiB")
def test_a_long_upload_does_not_fill_the_memory(start):
    server = start()
    reply, grown = upload(server, 100)
    if reply.status == 408:  # on a busy machine: it was not complete at the deadline
        reply, grown = upload(server, 100)
    assert reply.status == 200, f"An upload to / got {reply.status} {reply.reason}, not 200."
    assert grown < 64, (
        f"The server grew by {grown:.0f} MiB during an upload of 100 MiB. A long body must go to "
        "a file, for which Python has tempfile.SpooledTemporaryFile."
    )


@pytest.mark.lesson("framing-where-does-a-message-end")
@pytest.mark.course("how much of a body stays in memory is each server's own choice")
@pytest.mark.milestone(4, "during an upload of 20 MiB")
def test_a_body_of_more_than_one_mib_goes_to_a_file(start):
    reply, grown = upload(start(), 20)
    assert reply.status == 200, f"An upload to / got {reply.status} {reply.reason}, not 200."
    assert grown < 8, (
        f"The server grew by {grown:.0f} MiB during an upload of 20 MiB. A body of more "
        "than 1 MiB goes to a file."
    )


# After the answer: who closes, and when?

UNREAD = {
    "": {
        "after a head that is too long": (4, long_headers(70 * 1024)[:-4], 431, 400, 413),
        "after a body that is too long": (4, sized(b"300000000"), 413),
        "after a malformed line": (4, line(b"nonsense"), 400),
        "after another version": (5, line(b"GET / HTTP/0.9"), 505, 400),
    }
}


@pytest.mark.lesson("an-error-page-that-arrives")
@pytest.mark.parametrize(("request_bytes", "statuses", "rule"), rows(UNREAD, "The client"))
def test_the_client_can_read_why_it_was_refused(server, request_bytes, statuses, rule):
    with connect(server, SOON) as connection:
        connection.sendall(request_bytes)
        try:
            start = peek(connection)
        except TimeoutError:
            raise AssertionError(
                "The client got no answer, but it is to be refused at once."
            ) from None
        refused_with = words(statuses)
        assert not start.endswith(b" 200"), f"The client got 200, not {refused_with}."
        try:
            for _ in range(8):  # more than the kernel holds for the server
                connection.sendall(bytes(MIB))
            reply = read_reply(connection, to_end=True)
        except ConnectionError as error:
            raise AssertionError(
                f"The client was cut off before it had read the answer: {error}. If a server "
                "closes a connection with unread bytes, the kernel resets it. So end your half of "
                "the stream first, and then read what still comes."
            ) from None
    assert reply.status in statuses, (
        f"The client got {reply.status} {reply.reason}, not {refused_with}."
    )
    assert reply.is_whole, (
        f"The client got {len(reply.body)} bytes of the page that says why, and then a reset. "
        "When a server closes too early the kernel throws the rest away."
    )


@pytest.mark.lesson("an-error-page-that-arrives")
@pytest.mark.course("how long a server waits for a refused client is its own choice")
@pytest.mark.milestone(2, "not 400")
def test_a_refused_client_that_has_ended_its_half_holds_up_nobody(server):
    tries = []
    while len(tries) < 3 and LINGER / 2 < min(tries, default=LINGER):  # a busy machine may be slow
        with connect(server) as connection:
            connection.sendall(line(b"nonsense"))
            connection.shutdown(socket.SHUT_WR)
            begin = time.monotonic()
            reply = read_reply(connection)
            assert reply.status == 400, f"It got {reply.status} {reply.reason}, not 400."
            assert_alive(server, "a client that was refused")
            tries.append(time.monotonic() - begin)
    assert min(tries) < LINGER / 2, (
        "A client was refused, and had ended its half of the stream. The next one waited for "
        f"{min(tries):.1f} seconds. After b'' nothing more comes, so close the connection then."
    )


# Sixty lines of a thousand bytes: the page /request shows them, and is as long.
LARGE = [f"X-Line-{number}: {'x' * 980}" for number in range(60)]


@pytest.mark.lesson("an-error-page-that-arrives")
@page_of_ours
@pytest.mark.flaw
@pytest.mark.milestone(4, "then a reset")
def test_a_stray_line_end_during_a_large_answer_does_not_cut_it(server):
    already = len(server.output("stderr"))
    with connect_with_small_buffer(server) as connection:
        connection.sendall(format_request("/request", headers=LARGE))
        peek(connection)
        server.wait_for_line(f":{connection.getsockname()[1]} GET /request")  # all is on its way
        time.sleep(QUIET)  # this client is slow: now the server could close
        with contextlib.suppress(ConnectionError):  # the server may have reset the connection
            connection.sendall(b"\r\n")
        time.sleep(QUIET)
        reply = read_reply(connection, to_end=True)
    assert reply.status == 200, f"/request got {reply.status} {reply.reason}, not 200."
    assert reply.is_whole, (
        f"Of {reply.header('Content-Length')} bytes {len(reply.body)} came, then a reset. A "
        "socket that is closed while it holds unread bytes resets the connection, and what is on "
        "its way is lost. So end your half of the stream first, and then read what still comes."
    )
    assert_alive(server, "a large answer")
    assert_no_traceback(server, "A large answer was sent.", already)


def assert_hold_up_nobody(server, request_bytes):
    assert_alive(server, "other tests")
    seconds = seconds_of_a_fifth_client(server, request_bytes, format_request())
    assert seconds < 0.5, (
        f"Four clients had read their answers, and kept their ends of the connections open. The "
        f"answer of a fifth client took {seconds:.2f} s. Wait for nobody who has all of the answer."
    )


@pytest.mark.milestone(5)
@pytest.mark.lesson("an-error-page-that-arrives")
def test_clients_that_keep_their_ends_open_hold_up_nobody(server):
    assert_hold_up_nobody(server, format_request())


@pytest.mark.lesson("an-error-page-that-arrives")
@page_of_ours
@pytest.mark.flaw
@LINUX
@pytest.mark.milestone(5, "Wait for nobody")
def test_clients_with_a_large_answer_hold_up_nobody_either(server):
    assert_hold_up_nobody(server, format_request("/request", headers=LARGE))


SLOW_CLIENTS = {  # what comes at once, and what comes again in each second
    "a silent client": (b"", b""),
    "a client that sends a byte a second": (b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ", b"x"),
    "a client whose body comes slowly": (sized(b"100"), b"x"),
    "a client that was refused, and stays": (line(b"nonsense"), b""),
}
SLOW_CHUNKS = "a client whose chunk comes slowly"


class Outcome(NamedTuple):
    """What a slow client met, and the one after it."""

    answer: bytes | None  # how it begins; b"" if the connection just ended, None if it did not
    seconds: float  # until then
    next_status: int | str  # what the next client got, or why it got nothing
    next_seconds: float  # after the slow client's answer


def be_slow(command, first, then):
    """Meet a server as a slow client, which stays until the next one has been served."""
    with Server([*command, "--port", "0"]) as server, connect(server, timeout=1) as slow:
        begin = time.monotonic()
        answer, status = None, "nothing"
        with contextlib.suppress(ConnectionError):
            slow.sendall(first)
            while answer is None and time.monotonic() < begin + DEADLINE + ROOM:
                try:
                    answer = slow.recv(4096)
                except TimeoutError:
                    slow.sendall(then)
        seconds = time.monotonic() - begin
        if answer is None and seconds < DEADLINE + ROOM:
            answer = b""  # it was reset
        if answer is not None:
            begin = time.monotonic()
            try:
                status = harness.get(server, timeout=DEADLINE + ROOM).status
            except AssertionError as error:
                status = str(error)
        return Outcome(answer, seconds, status, time.monotonic() - begin)


@pytest.fixture(scope="module")
def slow_clients(command):
    """What slow clients met, each at a server of its own, and all at the same time: Outcomes."""
    clients = SLOW_CLIENTS | {SLOW_CHUNKS: (chunks(b"FF\r\n"), b"x")}
    with ThreadPoolExecutor(len(clients)) as pool:
        outcomes = pool.map(lambda bytes_of: be_slow(command, *bytes_of), clients.values())
        return dict(zip(clients, outcomes, strict=True))


def assert_given_up(who, outcome):
    assert outcome.answer is not None, (
        f"After {outcome.seconds:.0f} seconds {who} still held the server. A whole request has "
        f"{DEADLINE} seconds, in which its bytes may come as they like, so there must be one "
        "deadline for all of it, not one for each recv."
    )
    assert re.match(rb"HTTP/1\.[01] [45]|$", outcome.answer), (
        f"The answer {outcome.answer[:40]!r} came before the request of {who} was complete."
    )
    assert outcome.next_status == 200, (
        f"After {who} the next client is to be served. It got: {outcome.next_status}"
    )


@pytest.mark.lesson("one-deadline-for-the-whole-request")
@pytest.mark.milestone(4, "still held the server")
@pytest.mark.new("still held the server")
def test_no_slow_client_holds_the_server_for_long(slow_clients):
    for who in SLOW_CLIENTS:
        assert_given_up(who, slow_clients[who])


@pytest.mark.lesson("one-deadline-for-the-whole-request")
@pytest.mark.milestone(5, "before the request of")
@pytest.mark.new("before the request of")
def test_the_deadline_is_for_chunks_too(slow_clients):
    assert_given_up(SLOW_CHUNKS, slow_clients[SLOW_CHUNKS])


@pytest.mark.lesson("one-deadline-for-the-whole-request")
@pytest.mark.course("a server need not say 408, and may have other limits")
@pytest.mark.milestone(4, "has got None, not 408")
@pytest.mark.new("not 408")
def test_after_ten_seconds_the_answer_is_408(slow_clients):
    for who in [name for name in SLOW_CLIENTS if "refused" not in name]:
        answer, seconds, _, next_seconds = slow_clients[who]
        assert answer and answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n"), (
            f"After {seconds:.1f} s {who} has got {answer and answer[:40]}, not 408."
        )
        assert seconds > DEADLINE - 0.5, f"{who} was given up after {seconds:.1f} s."
        assert next_seconds < LINGER + ROOM, f"The next one waited for {next_seconds:.1f} s more."


# 5. Nonsense is refused, and what HTTP allows is served. The first rows of these tables are of
# earlier milestones.

GOOD_REQUESTS = {
    "HTTP/1.0 needs no Host: RFC 9112, section 3.2.": {
        "HTTP/1.0 without Host": (1, b"GET / HTTP/1.0\r\n\r\n", 200)
    },
    "In a target the path ends at the ?, and the query that follows it names no other page: RFC "
    "3986, section 3.4.": {"query": (1, line(b"GET /?a=b&c=/?/ HTTP/1.1"), 200)},
    "Host is a name or an address, with or without a port: RFC 9110, section 7.2.": {
        "Host with port": (1, b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n", 200),
        "Host with IPv6": (1, b"GET / HTTP/1.1\r\nHost: [::1]:8000\r\n\r\n", 200),
    },
    "A header's name may be in any case, and white space round its value does not belong to it: "
    "RFC 9112, section 5.": {
        "lower case names": (1, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", 200),
        "no space after the colon": (1, b"GET / HTTP/1.1\r\nHost:x\r\n\r\n", 200),
        "tab after the colon": (1, b"GET / HTTP/1.1\r\nHost:\tx\t\r\n\r\n", 200),
        "empty header": (1, headers(b"X-Nothing:"), 200),
    },
    "A header may hold any byte above 127, and need not be UTF-8, so decode it as latin-1, which "
    "never fails: RFC 9110, section 5.5.": {
        "bytes above 127": (1, headers(b"X-Name: Jos\xc3\xa9 \xff"), 200)
    },
    "Every server should take a request line of 8000 bytes: RFC 9112, section 3.": {
        "request line of 8000 bytes": (1, long_request_line(8000), 200)
    },
    "Browsers do send fifty headers, or a cookie of 4 KiB, so a limit must lie above that.": {
        "50 headers": (1, headers(*[b"A: b"] * 49), 200),
        "header of 4 KiB": (1, long_headers(4 * 1024), 200),
    },
    "A server ignores an empty line ahead of the request line: RFC 9112, section 2.2.": {
        "leading empty line": (5, b"\r\n" + headers(), 200)
    },
    "A server takes a whole address for a target. Its host overrides Host, and its scheme may be "
    "in any case: RFC 9112, section 3.2.2.": {
        "absolute form": (5, b"GET http://test/ HTTP/1.1\r\nHost: test\r\n\r\n", 200),
        "absolute form, other Host": (5, line(b"GET http://test:80/ HTTP/1.1"), 200),
        "absolute form, no path": (5, line(b"GET http://test HTTP/1.1"), 200),
        "absolute form, upper case": (5, line(b"GET HTTP://TEST/ HTTP/1.1"), 200),
        "absolute form, unknown page": (2, line(b"GET http://test/no HTTP/1.1"), 404),
    },
}

TO_THE_LAST_BYTE = {
    "After the headers come as many bytes of body as Content-Length says, whatever the method is: "
    "RFC 9112, section 6.": {
        "Content-Length": (3, sized(b"3", b"abc"), 200),
        "lower case Content-Length": (3, headers(b"content-length: 3") + b"abc", 200),
        "Content-Length with zeros": (3, sized(b"0003", b"abc"), 200),
    },
    "A request without a body ends with the empty line, CR LF: RFC 9112, section 2.1.": {
        "Content-Length 0": (3, sized(b"0"), 200)
    },
    "A chunk is a line with its size, in hexadecimal digits, then as many bytes, and then CR LF. "
    "The last chunk has the size 0: RFC 9112, section 7.1.": {
        "chunked": (5, chunks(b"3\r\nabc\r\n0000A\r\n0123456789\r\n0\r\n\r\n"), 200),
        "chunk size of 17 digits": (5, chunks(b"00000000000000003\r\nabc\r\n0\r\n\r\n"), 200),
    },
    "The names of headers and codings may be in any case: RFC 9112, section 7.": {
        "chunked, upper case": (5, headers(b"TRANSFER-ENCODING: Chunked") + b"0\r\n\r\n", 200)
    },
    "A server ignores the extensions of a chunk that it does not know, and it may ignore trailers: "
    "RFC 9112, sections 7.1.1 and 7.1.2.": {
        "chunked with extensions": (
            5,
            chunks(b'3;name=value\r\nabc\r\n3 ; a="b"\r\ndef\r\n0;last\r\n\r\n'),
            200,
        ),
        "chunked with trailers": (
            5,
            chunks(b"3\r\nabc\r\n0\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n"),
            200,
        ),
    },
}


def assert_served(server, request_bytes, statuses, rule):
    what = f"{request_bytes[:100]!r} is a good request"
    reply = ask(server, request_bytes, hint=f"{what}. {rule}")
    assert reply.status in statuses, (
        f"{what}. It got {reply.status} {reply.reason}, not {words(statuses)}. {rule}"
    )


# The same, but who has not begun with versions serves it without a thought.
HIGHER_VERSION = {
    "A higher minor version than 1 is served as 1.1: RFC 9110, section 2.5.": {
        "HTTP/1.2": (5, line(b"GET / HTTP/1.2"), 200)
    }
}


@pytest.mark.lesson("http-on-the-wire")
@pytest.mark.parametrize(
    ("request_bytes", "statuses", "rule"),
    [*rows(GOOD_REQUESTS, "is a good request"), *rows(HIGHER_VERSION)],
)
def test_a_request_that_the_rfc_allows_is_served(server, request_bytes, statuses, rule):
    assert_served(server, request_bytes, statuses, rule)


def answer_to_a_cut_request(server, request_bytes):
    """Send what is no whole request, and end the stream. Return the status, None without answer."""
    with connect(server, SOON) as connection:
        connection.sendall(request_bytes)
        connection.shutdown(socket.SHUT_WR)
        try:
            data = harness.receive_all(connection)
        except ConnectionError:
            return None
    return harness.parse_reply(data).status if data else None


@pytest.mark.lesson("framing-where-does-a-message-end")
@pytest.mark.parametrize(
    ("request_bytes", "statuses", "rule"), rows(TO_THE_LAST_BYTE, "is a good request")
)
def test_a_request_is_read_to_its_last_byte(server, request_bytes, statuses, rule):
    assert_served(server, request_bytes, statuses, rule)
    status = answer_to_a_cut_request(server, request_bytes[:-1])
    assert status is None or 400 <= status < 500, (
        f"{request_bytes[:100]!r} is a good request, but here it came without its last byte, "
        f"{request_bytes[-1:]!r}, and the stream ended. It got {status} although it was not whole. "
        f"{rule}"
    )


CUT = {
    "When recv returns b'' no more bytes will come, and what came is not a whole request.": {
        "request line": (2, b"GE", 400),
        "headers": (3, b"GET / HTTP/1.1\r\nHost: x\r\n", 400),
        "body": (3, sized(b"5", b"abc"), 400),
        "chunk": (5, chunks(b"3\r\nab"), 400),
        "chunks": (5, chunks(b"3\r\nabc\r\n"), 400),
        "trailers": (5, chunks(b"0\r\n"), 400),
    }
}


@pytest.mark.lesson("what-the-server-refuses-and-how")
@pytest.mark.parametrize(
    ("request_bytes", "statuses", "rule"), rows(CUT, "no more bytes will come")
)
def test_a_stream_that_ends_too_early_is_no_request(server, request_bytes, statuses, rule):
    status = answer_to_a_cut_request(server, request_bytes)
    assert status in (None, 408, *statuses), (
        f"The stream ended after {request_bytes[-20:]!r}, and got {status}. {rule} So answer 400, "
        "or close the connection."
    )


@pytest.mark.lesson("what-the-server-refuses-and-how")
@pytest.mark.course("a server may close without a word, or say 408")
@pytest.mark.parametrize(
    ("request_bytes", "statuses", "rule"), rows(CUT, "no more bytes will come")
)
def test_a_client_whose_stream_ends_too_early_gets_400(server, request_bytes, statuses, rule):
    status = answer_to_a_cut_request(server, request_bytes)
    assert status in statuses, (
        f"The stream ended after {request_bytes[-20:]!r}, and got {status}, not 400. {rule}"
    )


# Where the target could be put right a server may redirect, by 301: RFC 9112, section 3.2.
MALFORMED = {
    "A request line is method, space, target, space, version: RFC 9112, section 3.": {
        "no version": (2, line(b"GET /"), 400, 505),
        "method alone": (2, line(b"GET"), 400),
        "space in the target": (2, line(b"GET /a b HTTP/1.1"), 400, 301),
        "no method": (5, line(b" / HTTP/1.1"), 400),
        "a TLS hello": (2, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    },
    "A target begins with / or http://, and only OPTIONS may have the target *: RFC 9112, section "
    "3.2.": {
        "target without slash": (5, line(b"GET page HTTP/1.1"), 400, 301),
        "star for GET": (5, line(b"GET * HTTP/1.1"), 400, 301),
    },
    "A target consists of visible ASCII characters only: RFC 3986, section 2.": {
        "bytes above 127 in the target": (5, line("GET /é HTTP/1.1".encode()), 400, 301),
        "NUL in the target": (5, line(b"GET /\x00 HTTP/1.1"), 400, 301),
    },
    "A version is HTTP/, digit, dot, digit, in upper case: RFC 9112, section 2.3.": {
        "lower case version": (5, line(b"GET / http/1.1"), 400, 505),
        "version of two digits": (5, line(b"GET / HTTP/1.10"), 400, 505),
        "version without dot": (5, line(b"GET / HTTP/11"), 400, 505),
    },
    "A header line is a name, a colon and a value: RFC 9112, section 5.": {
        "header without colon": (3, headers(b"Nonsense"), 400),
        "header without name": (5, headers(b": value"), 400),
        "folded first line": (5, b"GET / HTTP/1.1\r\n Host: x\r\n\r\n", 400),
    },
    "There is no space between a header's name and its colon: RFC 9112, section 5.1.": {
        "space before the colon": (5, headers(b"A : b"), 400),
        "tab before the colon": (5, headers(b"A\t: b"), 400),
    },
    "A header's name is a token, which has letters, digits and a few signs: RFC 9110, section "
    "5.1.": {
        "name that is no token": (5, headers(b"A(b): c"), 400),
        "name above 127": (5, headers("Käse: b".encode()), 400),
    },
    "A request has one Host header, and only a request of HTTP/1.0 may do without it: RFC 9112, "
    "section 3.2.": {
        "no Host": (5, b"GET / HTTP/1.1\r\n\r\n", 400),
        "no Host, absolute form": (5, b"GET http://test/ HTTP/1.1\r\n\r\n", 400),
        "two Hosts": (5, headers(b"Host: y"), 400),
        "two Hosts, the same": (5, headers(b"host: x"), 400),
        "two Hosts in HTTP/1.0": (5, b"GET / HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n", 400),
    },
    "A host is a name or an address, with or without a port, and nothing else: RFC 9112, section "
    "3.2.": {
        "Host with a path": (5, b"GET / HTTP/1.1\r\nHost: x/y\r\n\r\n", 400),
        "Host with a user": (5, b"GET / HTTP/1.1\r\nHost: me@x\r\n\r\n", 400),
        "Host with a space": (5, b"GET / HTTP/1.1\r\nHost: x y\r\n\r\n", 400),
        "Host with a bad port": (5, b"GET / HTTP/1.1\r\nHost: x:http\r\n\r\n", 400),
        "bad host in the target": (5, line(b"GET http://a@b/ HTTP/1.1"), 400),
    },
    "Content-Length is one number, and its digits are those from 0 to 9: RFC 9112, section 6.3.": {
        "Content-Length negative": (5, sized(b"-1"), 400),
        "Content-Length with plus": (5, sized(b"+5", b"abcde"), 400),
        "Content-Length with underscore": (5, sized(b"1_0", b"0123456789"), 400),
        "Content-Length of other digits": (5, sized("٣".encode(), b"abc"), 400),
        "Content-Length of a superscript": (5, sized(b"\xb2", b"ab"), 400),
        "Content-Length hexadecimal": (5, sized(b"0x5", b"abcde"), 400),
        "Content-Length a word": (5, sized(b"five"), 400),
        "Content-Length empty": (5, sized(b""), 400),
        "Content-Length a fraction": (5, sized(b"5.0", b"abcde"), 400),
        "Content-Length twice, different": (
            5,
            headers(b"Content-Length: 5", b"Content-Length: 6") + b"abcdef",
            400,
        ),
        "Content-Length a list, different": (5, sized(b"5, 6", b"abcdef"), 400),
    },
    "A chunk is a line with its size, in hexadecimal digits only, then as many bytes, and then CR "
    "LF: RFC 9112, section 7.1.": {
        "chunk size that is no number": (5, chunks(b"xyz\r\nabc\r\n" + END), 400),
        "chunk size empty": (5, chunks(b"\r\nabc\r\n" + END), 400),
        "chunk size negative": (5, chunks(b"-3\r\nabc\r\n" + END), 400),
        "chunk size with plus": (5, chunks(b"+3\r\nabc\r\n" + END), 400),
        "chunk size with 0x": (5, chunks(b"0x3\r\nabc\r\n" + END), 400),
        "chunk size with underscore": (5, chunks(b"0_3\r\nabc\r\n" + END), 400),
        "chunk size with a space first": (5, chunks(b" 3\r\nabc\r\n" + END), 400),
        "chunk shorter than its size": (5, chunks(b"5\r\nabc\r\n" + END), 400),
        "chunk longer than its size": (5, chunks(b"2\r\nabc\r\n" + END), 400),
        "chunk without its end": (5, chunks(b"3\r\nabc" + END), 400),
        "chunk ended by LF": (5, chunks(b"3\r\nabc\n" + END), 400),
        "chunk line ended by LF": (5, chunks(b"3\nabc\r\n" + END), 400),
        "control character in an extension": (5, chunks(b"3;a\x00\r\nabc\r\n" + END), 400),
    },
    "Where the last transfer coding is not chunked, nobody can tell where the body ends: RFC 9112, "
    "section 6.3.": {
        "gzip": (5, chunks(b"", b"gzip"), 400),
        "chunked, gzip": (5, chunks(END, b"chunked, gzip"), 400),
        "identity": (5, chunks(b"", b"identity"), 400),
        "empty": (5, chunks(b"", b""), 400, 501),
        "no coding that is known": (5, chunks(END, b"xchunked"), 400, 501),
        "chunked and a no-break space": (5, chunks(END, b"chunked\xa0"), 400, 501),
    },
}


@pytest.mark.lesson("what-the-server-refuses-and-how")
@pytest.mark.parametrize(("request_bytes", "statuses", "rule"), rows(MALFORMED, REFUSED))
def test_a_malformed_request_is_refused(server, request_bytes, statuses, rule):
    assert_refused(server, request_bytes, statuses, rule)


# Whatever the error, it must be one.
ELSEWHERE = {
    "Only CONNECT has a host and a port as its target, and CONNECT is for proxies: RFC 9112, "
    "section 3.2.3, and RFC 9110, section 9.3.6.": {
        "target for CONNECT": (2, line(b"CONNECT test:80 HTTP/1.1"), *range(400, 600)),
        "that target for BREW": (2, line(b"BREW test:80 HTTP/1.1"), *range(400, 600)),
    },
    "ftp is another protocol than http, and no method has an @ in its name: RFC 9110, sections 4.2 "
    "and 9.1.": {
        "other scheme": (2, line(b"GET ftp://test/ HTTP/1.1"), *range(400, 600)),
        "method that is no token": (2, line(b"G@T / HTTP/1.1"), *range(400, 600)),
    },
}
NOT_HERE = {
    "A server of HTTP/1 may refuse another major version with 505: RFC 9110, section 15.6.6.": {
        "HTTP/0.9": (5, line(b"GET / HTTP/0.9"), 505, 400),
        "HTTP/2 preface": (5, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, 400),
    },
    "A body in a transfer coding that the server does not know gets 501: RFC 9112, section 6.1.": {
        "gzip, chunked": (5, chunks(END, b"gzip, chunked"), 501, 400),
        "gzip, chunked, in two lines": (
            5,
            headers(b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
            501,
            400,
        ),
    },
    "A body must not be chunked twice: RFC 9112, section 6.1.": {
        "chunked twice": (5, chunks(END, b"chunked, chunked"), 501, 400)
    },
}


@pytest.mark.lesson("what-the-server-refuses-and-how")
@pytest.mark.parametrize(("request_bytes", "statuses", "rule"), rows(ELSEWHERE | NOT_HERE, REFUSED))
def test_what_this_server_does_not_speak_is_refused(server, request_bytes, statuses, rule):
    assert_refused(server, request_bytes, statuses, rule)


def missing(*lines):
    """Return a request for a page that is not there, with a Host header and those header lines."""
    return b"\r\n".join([b"GET /no HTTP/1.1", b"Host: x", *lines, b"", b""])


# What a server may refuse with 400 or take for a request: for a page that is not there, so 404.
# The status is that of this course's servers, from that milestone on.
CHOICES = {
    "Words may be taken apart at any white space: RFC 9112, section 3.": {
        "two spaces": (2, line(b"GET  /no HTTP/1.1"), 400),
        "space at the start": (2, line(b" GET /no HTTP/1.1"), 400),
        "space at the end": (2, line(b"GET /no HTTP/1.1 "), 400),
        "tab for a space": (2, line(b"GET\t/no\tHTTP/1.1"), 400),
    },
    "At least one empty line ahead is ignored: RFC 9112, section 2.2.": {
        "two empty lines first": (2, b"\r\n\r\n" + missing(), 400)
    },
    "LF alone may be taken for CR LF: RFC 9112, section 2.2.": {
        "LF ends the request line": (2, b"GET /no HTTP/1.1\nHost: x\r\n\r\n", 400),
        "LF ends a header": (3, b"GET /no HTTP/1.1\r\nHost: x\nA: b\r\n\r\n", 400),
        "LF for the empty line": (3, b"GET /no HTTP/1.1\r\nHost: x\r\n\nA: b\r\n\r\n", 400),
    },
    "CR alone is a mistake, or a space: RFC 9112, section 2.2.": {
        "bare CR": (5, missing(b"A: b\rc"), 400),
        "CR CR LF": (5, missing(b"A: b\r"), 400),
    },
    "A control character in a value may be left there, and NUL made a space: RFC 9110, section "
    "5.5.": {
        "NUL in a value": (5, missing(b"A: b\x00c"), 400),
        "control character": (5, missing(b"A: \x1b[31m"), 400),
        "DEL": (5, missing(b"A: \x7f"), 400),
    },
    "A folded line is a mistake, or its line end is a space: RFC 9112, section 5.2.": {
        "folded line": (3, missing(b"A: b", b" c"), 400),
        "folded by a tab": (3, missing(b"A: b", b"\tc"), 400),
    },
    "An empty Host may be taken for the server's own: RFC 9112, section 3.3.": {
        "empty Host": (2, b"GET /no HTTP/1.1\r\nHost:\r\n\r\n", 404)
    },
    "A list may have an empty part, which is ignored: RFC 9110, section 5.6.1.": {
        "Content-Length a list with a gap": (5, missing(b"Content-Length: 5,") + b"abcde", 400),
    },
    "A body in chunks may be read in HTTP/1.0, too: RFC 9112, section 6.1.": {
        "chunked in HTTP/1.0": (
            5,
            b"GET /no HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        )
    },
    "Trailers may be thrown away: RFC 9112, section 7.1.2.": {
        "trailer that is no header": (
            5,
            missing(b"Transfer-Encoding: chunked") + b"0\r\nnonsense\r\n\r\n",
            400,
        )
    },
}
# The same, but who has not begun with lengths serves it without a thought, and may.
SAME_LENGTH = {
    "The same length twice may be taken for one: RFC 9110, section 8.6.": {
        "Content-Length twice": (
            5,
            missing(b"Content-Length: 3", b"Content-Length: 3") + b"abc",
            404,
        ),
        "Content-Length as a list": (5, missing(b"Content-Length: 3, 3") + b"abc", 404),
    },
}
# The same, but an answer comes only from servers that know chunks.
TWO_LENGTHS = {
    "With Transfer-Encoding, Content-Length does not count: RFC 9112, section 6.3.": {
        "Content-Length and chunked": (
            5,
            missing(b"Content-Length: 50", b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
            400,
        )
    }
}


def choices(table):
    """Return the table with both statuses in each row."""
    return {
        rule: {name: (row[0], row[1], 400, 404) for name, row in tests.items()}
        for rule, tests in table.items()
    }


@pytest.mark.lesson("what-the-server-refuses-and-how")
@pytest.mark.parametrize(
    ("request_bytes", "statuses", "rule"),
    rows(choices(CHOICES | SAME_LENGTH | TWO_LENGTHS)),
)
def test_what_http_leaves_open_is_served_or_refused(server, request_bytes, statuses, rule):
    what = f"{request_bytes[:100]!r} may be served, and may be refused: 404 or 400."
    reply = ask(server, request_bytes, hint=f"{what} {rule}")
    assert reply.status in statuses, f"{what} It got {reply.status} {reply.reason}. {rule}"


# Our limits, to the byte, and our statuses.
OURS = {
    "It is malformed.": {
        "target for CONNECT": (5, line(b"CONNECT test:80 HTTP/1.1"), 400),
        "that target for BREW": (5, line(b"BREW test:80 HTTP/1.1"), 400),
        "other scheme": (5, line(b"GET ftp://test/ HTTP/1.1"), 400),
        "method that is no token": (5, line(b"G@T / HTTP/1.1"), 400),
    },
    "HTTP/1 alone is spoken, though HTTP/1.1 may answer HTTP/2.0: RFC 9110, section 6.2.": {
        "HTTP/2.0": (5, line(b"GET / HTTP/2.0"), 505)
    },
    "The request line has at most 8 KiB.": {
        "request line of 8 KiB": (1, long_request_line(8 * 1024), 200),
        "request line of 8 KiB and a byte": (3, long_request_line(8 * 1024 + 1), 414),
    },
    "The headers have at most 64 KiB.": {
        "headers of 64 KiB": (1, long_headers(64 * 1024), 200),
        "headers of 64 KiB and a byte": (3, long_headers(64 * 1024 + 1), 431),
    },
    "There are at most 100 headers, and as many trailers.": {
        "100 headers": (1, headers(*[b"A: b"] * 99), 200),
        "101 headers": (4, headers(*[b"A: b"] * 100), 431),
        "101 trailers": (5, chunks(b"0\r\n" + b"A: b\r\n" * 101 + b"\r\n"), 431),
    },
    "A chunk's line has at most 8 KiB.": {
        "chunk extension of 8 KiB": (
            1,
            chunks(b"3;" + b"x" * (8 * 1024 - 4) + b"\r\nabc\r\n0\r\n\r\n"),
            200,
        ),
        "chunk extension of 9 KiB": (
            5,
            chunks(b"3;" + b"x" * 9 * 1024 + b"\r\nabc\r\n0\r\n\r\n"),
            400,
        ),
        "chunk extension without end": (5, chunks(b"3;" + b"x" * 9 * 1024), 400),
    },
}


def chosen(*tables):
    """Return the rows of tables of duties that have several statuses, with the first alone."""
    return {
        rule: {name: row[:3] for name, row in tests.items() if len(row) > 3}
        for table in tables
        for rule, tests in table.items()
    }


@pytest.mark.lesson("what-the-server-refuses-and-how")
@pytest.mark.course("the RFC leaves a choice")
@pytest.mark.parametrize(
    ("request_bytes", "statuses", "rule"),
    [
        *rows(
            chosen(TOO_MUCH, MALFORMED, NOT_HERE) | CHOICES | TWO_LENGTHS | OURS,
            "is to be answered with",
        ),
        *rows(SAME_LENGTH),
    ],
)
def test_where_the_rfc_leaves_a_choice_this_server_has_chosen(
    server, request_bytes, statuses, rule
):
    what = f"{request_bytes[:100]!r} is to be answered with {words(statuses)}."
    reply = ask(server, request_bytes, what)
    assert reply.status in statuses, f"{what} It got {reply.status} {reply.reason}. {rule}"


@pytest.mark.lesson("what-the-server-refuses-and-how")
@pytest.mark.course("how long a body may be is each server's own choice")
@pytest.mark.milestone(4)
def test_a_body_of_256_mib_is_not_too_long(server):
    status = answer_to_a_cut_request(server, sized(b"%d" % LARGEST_BODY, b"abc"))
    assert status == 400, f"A body of 256 MiB may come, but its announcement got {status}."


@pytest.mark.lesson("what-the-server-refuses-and-how")
@pytest.mark.milestone(5, "not 413")
def test_all_chunks_together_have_a_limit(server):
    with connect(server, SOON) as connection:
        connection.sendall(chunks(b"1\r\na\r\n%x\r\n" % LARGEST_BODY))
        with contextlib.suppress(ConnectionError):  # it is refused
            for _ in range(LARGEST_BODY // MIB):
                if select.select([connection], [], [], 0)[0]:
                    break  # it is answered
                connection.sendall(bytes(MIB))
            else:  # a server may count the bytes as they come
                connection.sendall(b"\r\n0\r\n\r\n")
        reply = read_reply(connection)
    assert reply.status == 413, (
        f"A chunk of one byte and one of 256 MiB got {reply.status} {reply.reason}, not 413. The "
        "limit of a body, 256 MiB in the lesson, is for all its chunks together, because many "
        "small ones fill a disk, too."
    )


@pytest.mark.lesson("what-the-server-refuses-and-how")
@pytest.mark.milestone(5, "A HEAD request was")
@pytest.mark.parametrize(
    ("request_bytes", "statuses"),
    [
        (format_request("/", "HEAD", ["A"]), (400,)),
        (format_request("/", "HEAD", ["A: b"] * 200), (431, 400, 413)),
        (format_request("/", "HEAD", ["Content-Length: 300000000"]), (413,)),
    ],
    ids=["malformed header", "headers", "body"],
)
def test_a_refused_head_gets_no_body(server, request_bytes, statuses):
    reply = ask(server, request_bytes)
    assert reply.status in statuses, (
        f"A HEAD request was to be refused with {words(statuses)}, and got {reply.status}."
    )
    assert reply.body == b"", (
        f"A HEAD request was refused, and the answer has a body: {reply.body[:50]!r}. An answer "
        "to HEAD has none, whatever its status is: RFC 9110, section 9.3.2."
    )


@pytest.mark.lesson("what-the-server-refuses-and-how")
@page_of_ours
@pytest.mark.flaw
@pytest.mark.milestone(5, "of the target is the one that counts")
def test_the_host_of_an_absolute_target_overrides_the_header(server):
    page = ask(server, line(b"GET http://test:80/request HTTP/1.1")).body.decode()
    hosts = [name for name in page.splitlines() if name.lower().startswith("host:")]
    assert hosts == ["Host: test:80"], (
        f"The host of the target is the one that counts, test:80. The page shows {hosts}."
    )


@pytest.mark.lesson("framing-where-does-a-message-end")
@pytest.mark.milestone(5, "waits for 100 Continue")
def test_100_continue_comes_before_the_body(server):
    with connect(server, 2) as connection:
        connection.sendall(
            headers(b"Content-Length: 5", b"Expect: 100-continue")  # and then it waits
        )
        try:
            peek(connection)
        except TimeoutError:
            raise AssertionError(
                "The client waits for 100 Continue before it sends the body, or for an answer at "
                "once, but nothing came: RFC 9110, section 10.1.1."
            ) from None
        connection.sendall(b"abcde")
        status = read_reply(connection).status
    assert 200 <= status < 500, (
        f"The client sent its body after 100 Continue, and then got {status}."
    )


@pytest.mark.lesson("framing-where-does-a-message-end")
@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
@pytest.mark.milestone(5, "curl's upload")
@pytest.mark.new("curl's upload")
def test_curl_uploads_in_chunks(server):
    options = ["--max-time", "5", "-o", os.devnull, "-w", "%{http_code} %{size_upload}"]
    chunked = ["-X", "GET", "-H", "Transfer-Encoding: chunked", "--data-binary", "@-"]
    command = ["curl", "-sS", *options, *chunked, server.url + "/"]
    done = subprocess.run(command, input=bytes(UPLOAD), capture_output=True, timeout=PATIENCE)
    status, sent = map(int, done.stdout.split())
    assert status == 200 and sent >= UPLOAD, (
        f"curl's upload, {UPLOAD} bytes in chunks, is to get 200 after its end, but it sent "
        f"{sent} bytes and got {status}. {done.stderr.decode()}"
    )


def tls_hello():
    """Return the first bytes that a client sends to a server whose address begins with https."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="test")
    with contextlib.suppress(ssl.SSLWantReadError):  # it waits for the server's answer
        client.do_handshake()
    return outgoing.read()


@pytest.mark.lesson("what-the-server-refuses-and-how")
@pytest.mark.course("a server may refuse TLS without a word")
@pytest.mark.milestone(5, "Someone wrote https://")
@pytest.mark.parametrize("kind", ["as it is", "without line break", "with line breaks"])
def test_the_log_says_when_a_client_speaks_tls(server, kind):
    hello = {
        "as it is": tls_hello(),
        "without line break": tls_hello().replace(b"\n", b" "),
        "with line breaks": tls_hello() + b"\r\n\r\n",
    }[kind]
    with connect(server, SOON) as connection:
        client = re.escape(" {}:{} ".format(*connection.getsockname()))
        earlier = sum(bool(re.search(client, line)) for line in server.output())  # ports come again
        connection.sendall(hello)
        try:
            peek(connection)
            reply = read_reply(connection)
        except TimeoutError:
            raise AssertionError(
                "Someone wrote https:// in place of http://, and no answer came."
            ) from None
    assert reply.status == 400, (
        f"Someone wrote https:// in place of http://, and got {reply.status} {reply.reason}, not "
        "400."
    )
    log_line = server.wait_for_line(client, count=earlier + 1)
    assert "TLS" in log_line, (
        f"Someone wrote https:// in place of http://, and the log says {log_line!r}, from which "
        "nobody can guess what went wrong. The server can tell, because the first two bytes of "
        "TLS are 0x16 and 0x03."
    )


# The armour of step 1 protects this step, too.


@pytest.mark.milestone(5)
@pytest.mark.lesson("step01_echo_socket/README.md#2-set-options")
def test_a_restarted_server_gets_its_port_back(start):
    first = start()
    with connect(first) as connection:
        connection.sendall(format_request())
        status = read_reply(connection).status
        first.kill()  # the server's side ends first: its port stays in TIME_WAIT for a minute
        with contextlib.suppress(ConnectionError):
            harness.receive_all(connection)
    assert status == 200, f"GET / got {status}, not 200, from a server that had just been started."
    try:
        start(port=first.port)
    except AssertionError as error:
        raise AssertionError(
            "A server was ended, and when it was started again at once it did not get its port "
            f"back. Is SO_REUSEADDR set before bind? {error}"
        ) from None


@pytest.mark.milestone(5)
@pytest.mark.lesson("step01_echo_socket/README.md#when-a-client-fails")
def test_a_client_that_connects_and_leaves_is_no_error(start):
    server = start()
    for _ in range(3):
        connect(server).close()
    assert_alive(server, "clients that came and left without a word")
    assert_no_traceback(server, "Clients came and left without a word.")


@pytest.mark.milestone(5)
@pytest.mark.lesson("step01_echo_socket/README.md#when-a-client-fails")
@pytest.mark.parametrize(
    "request_bytes",
    [
        b"",
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: x\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        sized(b"50", b"abc"),
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
    assert_no_traceback(server, "A client was reset.", already)


@pytest.mark.milestone(5)
@pytest.mark.lesson("step01_echo_socket/README.md#the-command-line")
@pytest.mark.flaw(last="step04_fork")
@pytest.mark.skipif(os.name != "posix", reason="Windows has no such signals")
def test_ctrl_c_ends_it_while_it_serves_a_client(start):
    server = start()
    assert_alive(server, "the start")
    with connect(server) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        wait_until(
            lambda: is_served(server, connection) or select.select([connection], [], [], 0)[0],
            "Nobody has accepted the client, nor answered it.",
        )
        server.send_signal(signal.SIGINT)
        assert not server.is_running(SOON), (
            f"Ctrl-C did not end the server within {SOON:g} seconds, while it served a client. In "
            "Python it raises KeyboardInterrupt at the line where the server is. Does a bare "
            "'except:' take it for an error of the client? Or does a thread still serve it? Only "
            "daemon threads end with the program."
        )
    status = server.wait()
    assert_no_traceback(server, "Ctrl-C ended the server.")
    # Where a language has no word for signals, the signal itself ends it. A shell calls that 130.
    assert status in (0, -signal.SIGINT, 128 + signal.SIGINT), (
        f"After Ctrl-C the exit status is {status}. It must be 0, because Ctrl-C is no "
        f"mistake.\n{server.report()}"
    )
