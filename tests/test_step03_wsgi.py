"""Step 3: the server speaks WSGI to any Python application. One client at a time is served."""

import contextlib
import html
import importlib.util
import json
import re
import socket
import struct
import time
import urllib.parse

import pytest

from tests.fixtures import LINUX
from tests.harness import (
    PATIENCE,
    ask,
    connect,
    connect_with_small_buffer,
    exchange,
    format_request,
    get,
    open_reply,
    parse_reply,
    post,
    read_body,
    read_reply,
    receive_to_end,
    seconds_of_a_fifth_client,
    wait_until,
)

STEP = "step03_wsgi"
# Those that are installed: a learner has Flask, and the course's own checks need all three.
FRAMEWORKS = [
    pytest.param(name, marks=marks)
    for name, marks in {
        "flask": [],
        "django": [
            pytest.mark.milestone(4, "HEAD got a body")
        ],  # the others leave it out themselves
        "bottle": [],
    }.items()
    if importlib.util.find_spec(name)
]
PAUSE = 0.3  # seconds in which a client does nothing
SOON = 3  # seconds until a test gives up on what an application is made to hold back

# The server of step 2 takes no APPLICATION, and says so.
new = pytest.mark.new("unrecognized arguments")
LET_THROUGH = "The application sent"  # what assert_refused says of an early stage


@pytest.fixture
def running(shared):
    """A function that returns a server with that application: one for all tests of this file."""
    return lambda application="apps:site": shared(application)


def query(**values):
    """Return a query: "?name=value&other=2"."""
    return "?" + urllib.parse.urlencode(values)


def get_json(server, target, headers=()):
    """Return what the JSON of a page stands for."""
    reply = get(server, target, headers=headers)
    assert reply.status == 200, (
        f"{target} gave {reply.status}, not 200. The server printed:\n{server.report()}"
    )
    return json.loads(reply.body)


def get_environ(server, target="/shown", headers=()):
    """Return the environ of a request: for each variable the name of its type, and its value."""
    return get_json(server, target, headers)


@contextlib.contextmanager
def on_stderr(server, pattern):
    """Wait, at the end of the block, until a new line on stderr matches the pattern."""
    seen = sum(bool(re.search(pattern, line)) for line in server.output("stderr"))
    yield
    server.wait_for_line(pattern, "stderr", count=seen + 1)


def assert_alive(server, what):
    """Fail if the server does not serve the next client."""
    hint = f"After {what} the server serves nobody. Only that request may fail. It printed:\n"
    try:
        reply = get(server, "/hello")
    except (OSError, AssertionError):
        raise AssertionError(hint + server.report()) from None
    assert reply.status == 200, hint + server.report()


def assert_refused(server, target, what):
    """Fail unless a page gives 500, with a traceback on stderr, and nothing of it is sent."""
    with on_stderr(server, "Traceback"):
        reply = get(server, target)
        assert reply.status == 500, (
            f"The application sent {what}, and the client got {reply.status} with the headers "
            f"{reply.headers}. start_response or the server must raise: then it is a 500."
        )
    assert b"not to be seen" not in reply.body, (
        "The page of the application that failed was sent in spite of the 500."
    )
    assert_alive(server, "a bad answer of the application")
    return reply


# What an application is


@pytest.mark.lesson("the-application")
@new
@pytest.mark.parametrize("application", ["hello", "method", "Page", "instance"])
def test_an_application_is_a_function_a_method_a_class_or_an_object(running, application):
    reply = get(running(f"apps:{application}"), "/")
    assert (reply.status, reply.body) == (200, b"Hello"), (
        f"apps:{application} is a callable, so it is an application, but it gave "
        f"{reply.status} and {reply.body!r}. The server must only call it."
    )


@pytest.mark.lesson("the-application")
@new
def test_the_application_is_called_once_for_each_request(running, tmp_path):
    file = tmp_path / "calls"
    for method in ("GET", "HEAD", "POST"):
        get(running(), "/noted" + query(file=file), method)
    calls = file.read_text().splitlines()
    assert calls == ["called"] * 3, (
        f"3 requests, but the application was called {len(calls)} times. "
        "Call application(environ, start_response) once for each request."
    )


# environ


@pytest.mark.lesson("environ")
@new
def test_environ_is_a_dict_with_all_that_PEP_3333_asks_for(running):
    server = running()
    with connect(server) as client:
        port = client.getsockname()[1]
        client.sendall(b"GET /shown/page?name=value HTTP/1.1\r\nHost: localhost:8000\r\n\r\n")
        environ = json.loads(read_reply(client).body)
    expected = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/shown/page",
        "QUERY_STRING": "name=value",
        "SERVER_NAME": server.address[0],
        "SERVER_PORT": str(server.port),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": str(port),
        "HTTP_HOST": "localhost:8000",
        "wsgi.version": [1, 0],
        "wsgi.url_scheme": "http",
        "wsgi.multithread": False,
        "wsgi.run_once": False,
    }
    assert environ.pop("type of environ") == "dict", (
        "environ is not a dict. PEP 3333 asks for a plain one: no subclass, nothing like it."
    )
    for name, value in expected.items():
        assert name in environ, f"environ has no {name}. The server makes environ from the request."
        assert environ[name][1] == value, (
            f"environ[{name!r}] is {environ[name][1]!r}, but for this request it is {value!r}."
        )
    for name in ("wsgi.input", "wsgi.errors", "wsgi.multiprocess"):
        assert name in environ, f"environ has no {name}, and PEP 3333 requires it."


@pytest.mark.lesson("environ")
@new
def test_the_strings_of_environ_hold_a_byte_in_each_character(running):
    target = "/shown/caf%C3%A9?caf%C3%A9"
    environ = get_environ(running(), target, ["X-Name: caf\u00c3\u00a9"])
    del environ["type of environ"]
    for name, (kind, value) in environ.items():
        if name == name.upper():
            assert kind == "str", f"environ[{name!r}] is a {kind}. CGI variables are strings."
            assert value == value.encode("latin-1", "replace").decode("latin-1"), (
                f"environ[{name!r}] is {value!r}: not each of its characters is one byte. "
                "Decode what HTTP brought as latin-1; the application knows the real encoding."
            )
    assert environ["HTTP_X_NAME"][1] == "caf\u00c3\u00a9", (
        "A header's bytes are UTF-8 for an e with an accent: in environ they are two characters, "
        f"one for each byte. It is {environ['HTTP_X_NAME'][1]!r}."
    )


@pytest.mark.lesson("environ")
@new
@pytest.mark.flaw
def test_environ_says_that_a_single_process_serves(running):
    kind, value = get_environ(running())["wsgi.multiprocess"]
    assert (kind, value) == ("bool", False), (
        f"wsgi.multiprocess is {value!r}. This server is one process: say False."
    )


@pytest.mark.lesson("environ")
@new
@pytest.mark.parametrize(
    ("encoded", "path"),
    [
        ("/a%20b", "/a b"),
        ("/a+b", "/a+b"),
        ("/a%2Fb", "/a/b"),
        ("/a%2525", "/a%25"),
        ("/caf%C3%A9", "/caf\u00c3\u00a9"),
        ("/%E2%82%AC", "/\u00e2\u0082\u00ac"),
        ("/%FF", "/\u00ff"),
        ("/100%", "/100%"),
        ("//a/../b", "//a/../b"),
    ],
)
def test_PATH_INFO_is_the_path_percent_decoded_to_bytes(running, encoded, path):
    value = get_environ(running(), "/shown" + encoded)["PATH_INFO"][1]
    assert value == "/shown" + path, (
        f"For the target /shown{encoded} PATH_INFO is {value!r}, not {'/shown' + path!r}. "
        "Undo the percent-encoding once; the bytes that come out are decoded as latin-1."
    )


@pytest.mark.lesson("environ")
@new
@pytest.mark.parametrize("raw", ["", "a=1&b=2", "a=%20+%C3%A9&&b", "a?b?c", "%zz"])
def test_QUERY_STRING_is_as_the_client_sent_it(running, raw):
    value = get_environ(running(), f"/shown?{raw}")["QUERY_STRING"][1]
    assert value == raw, (
        f"The client sent the query {raw!r}, but QUERY_STRING is {value!r}. "
        "Leave its percent-encoding alone: the application takes it apart."
    )


@pytest.mark.lesson("environ")
@new
@pytest.mark.milestone(5, "Three X-Many headers gave")
def test_repeated_headers_are_joined_by_a_comma_and_cookies_by_a_semicolon(running):
    headers = ["X-Many: 1", "Cookie: a=1", "x-many: 2, 3", "cookie: b=2", "X-MANY:4"]
    environ = get_environ(running(), headers=headers)
    assert environ["HTTP_X_MANY"][1] == "1, 2, 3, 4", (
        f"Three X-Many headers gave {environ['HTTP_X_MANY'][1]!r}. Join all values by ', '."
    )
    assert environ["HTTP_COOKIE"][1] == "a=1; b=2", (
        f"Two Cookie headers gave {environ['HTTP_COOKIE'][1]!r}. Cookies are joined by '; '."
    )


@pytest.mark.lesson("environ")
@new
@pytest.mark.milestone(5, "passed for X-User")
def test_a_header_with_an_underscore_cannot_pass_for_another(running):
    headers = ["X-User: alice", "X_User: mallory", "Content_Length: 7", "Only_This: 1"]
    environ = get_environ(running(), headers=headers)
    assert environ["HTTP_X_USER"][1] == "alice", (
        f"HTTP_X_USER is {environ['HTTP_X_USER'][1]!r}: the client's X_User passed for X-User. "
        "Both become HTTP_X_USER, so leave out headers with an underscore."
    )
    for name in ("HTTP_CONTENT_LENGTH", "CONTENT_LENGTH", "HTTP_ONLY_THIS"):
        assert not environ.get(name, ["", ""])[1], (
            f"environ has {name}, made from a header with an underscore. Leave those out."
        )


@pytest.mark.lesson("environ")
@new
@pytest.mark.milestone(5, "A client can set HTTP_PROXY")
def test_a_Proxy_header_does_not_become_HTTP_PROXY(running):
    environ = get_environ(running(), headers=["Proxy: http://evil.example"])
    assert "HTTP_PROXY" not in environ, (
        "A client can set HTTP_PROXY with the header Proxy. Programs take that variable for the "
        "proxy to send their own requests to: leave the header out."
    )


@pytest.mark.lesson("environ")
@new
def test_CONTENT_TYPE_and_CONTENT_LENGTH_have_no_HTTP_in_front(running):
    reply = post(running(), "/shown", b"12345", ["Content-Type: text/x-test"])
    environ = json.loads(reply.body)
    for name, value in (("CONTENT_TYPE", "text/x-test"), ("CONTENT_LENGTH", "5")):
        assert environ.get(name) == ["str", value], (
            f"environ[{name!r}] is {environ.get(name)}, but the client sent {value!r}."
        )
        assert "HTTP_" + name not in environ, f"These two have names of their own: {name}."


@pytest.mark.lesson("environ")
@new
@pytest.mark.milestone(5, "The body is no longer chunked")
def test_CONTENT_LENGTH_of_a_chunked_body_is_its_decoded_length(running):
    request = (
        b"POST %s HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n"
    )
    environ = json.loads(ask(running(), request % b"/shown").body)
    assert environ.get("CONTENT_LENGTH") == ["str", "11"], (
        f"CONTENT_LENGTH is {environ.get('CONTENT_LENGTH')}: the chunks hold 11 bytes. Without "
        "it frameworks read nothing, for CGI has no other way to say how long a body is."
    )
    assert "HTTP_TRANSFER_ENCODING" not in environ, (
        "The body is no longer chunked when the application reads it: leave the header out."
    )
    pieces = json.loads(ask(running(), request % b"/reads?way=read(-1)").body)
    assert pieces == ["hello world", ""], (
        f"wsgi.input gave {pieces}: the application must get the body without its chunk sizes."
    )


@pytest.mark.lesson("environ")
@new
def test_a_request_without_a_body_has_no_CONTENT_LENGTH(running):
    environ = get_environ(running())
    assert not environ.get("CONTENT_LENGTH", ["", ""])[1], "No body came: leave it out, or empty."
    assert get_json(running(), "/reads?way=read(-1)") == ["", ""], (
        "wsgi.input of a request without a body must be at its end at once."
    )


# wsgi.input and wsgi.errors


@pytest.mark.lesson("environ")
@new
@pytest.mark.parametrize(
    ("way", "expected"),
    [
        ("read", ["one\n", "", "two\n\nend", "", ""]),
        ("read(-1)", ["one\ntwo\n\nend", ""]),
        ("readline", ["one\n", "two\n", "\n", "end", ""]),
        ("readline(2)", ["on", "e\n", "tw", "o\n"]),
        ("readlines", ["one\n", "two\n", "\n", "end"]),
        ("readlines(1)", ["one\n", "then", "two\n", "\n", "end"]),
        ("iteration", ["one\n", "two\n", "\n", "end"]),
    ],
)
def test_wsgi_input_is_read_like_a_file_and_never_past_the_body(running, way, expected):
    request = f"POST /reads{query(way=way)} HTTP/1.1\r\nHost: test\r\nContent-Length: 12\r\n\r\n"
    with connect(running()) as client:  # our half of the stream stays open
        client.sendall(request.encode() + b"one\ntwo\n\nend" + b"NOT THE BODY\n")
        pieces = json.loads(read_reply(client).body)
    assert pieces == expected, (
        f"Reading wsgi.input by {way} gave {pieces}, not {expected}. "
        "The body is the 12 bytes that Content-Length says; after them comes the end."
    )


@pytest.mark.lesson("environ")
@new
def test_wsgi_input_holds_a_large_body(running):
    body = bytes(range(256)) * 12_000
    reply = post(running("app:application"), "/echo", body)
    assert reply.body == body, (
        f"3 MB were sent to /echo, {len(reply.body)} bytes came back, and not the same ones."
    )


@pytest.mark.lesson("environ")
@new
def test_wsgi_errors_is_stderr(running):
    server = running()
    with on_stderr(server, "a line for wsgi.errors"):
        assert get(server, "/complains").status == 200, (
            "wsgi.errors needs write, writelines and flush, and takes strings."
        )
    server.wait_for_line("and another one", "stderr")


# The body


@pytest.mark.lesson("the-end-of-the-body")
@new
@pytest.mark.milestone(2, "The first piece did not come")
@pytest.mark.parametrize(
    "page",
    [
        "gated",
        pytest.param("gated_write", marks=pytest.mark.milestone(2, "No HTTP response came back")),
    ],
)
def test_each_piece_leaves_before_the_application_makes_the_next(running, tmp_path, page):
    gate = tmp_path / "gate"
    with connect(running(), SOON) as client:
        client.sendall(f"GET /{page}{query(file=gate)} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        body = b""
        try:
            response = open_reply(client)
            while len(body) < len(b"first"):
                body += (piece := response.read1())
                assert piece, f"The body ended after {body!r}. The first piece is missing."
        except TimeoutError:
            raise AssertionError(
                f"The first piece did not come while the application was busy with the second "
                f"({body!r} came). Send each piece when it is yielded; collect nothing."
            ) from None
        finally:
            gate.touch()
        rest, is_whole = read_body(response)
        response.close()
    assert (body + rest, is_whole) == (b"first, second", True), (
        f"The second piece is missing: {body + rest!r}"
    )


@pytest.mark.lesson("start_response")
@new
@pytest.mark.milestone(2, "No HTTP status line came back")
def test_what_is_written_comes_ahead_of_what_is_returned(running):
    reply = get(running(), "/writes")
    expected = (200, b"written, written again, returned", True)
    assert (reply.status, reply.body, reply.is_whole) == expected, (
        f"The client got {reply}. start_response returns write(), and "
        "write() sends at once: its bytes come first."
    )
    assert reply.header("Content-Length") in (None, str(len(reply.body))), (
        f"Content-Length is {reply.header('Content-Length')}, and the body is longer."
    )


@pytest.mark.lesson("start_response")
@new
@pytest.mark.milestone(5, "No HTTP status line came back")
def test_write_takes_bytes_and_says_so(running):
    server = running()
    with on_stderr(server, "bytes, not .*str"):
        assert_refused(server, "/writes_text", "text to write()")


@pytest.mark.lesson("the-end-of-the-body")
@new
@pytest.mark.milestone(4, "Content-Length is None")
def test_a_body_of_one_piece_gets_a_Content_Length(running):
    reply = get(running(), "/one_piece")
    assert (reply.header("Content-Length"), reply.body) == ("9", b"all of it"), (
        f"The list has one piece of 9 bytes, so the server knows the length of the body, but "
        f"Content-Length is {reply.header('Content-Length')} and the body {reply.body!r}."
    )


@pytest.mark.lesson("the-end-of-the-body")
@new
@pytest.mark.parametrize(
    ("page", "body"),
    [("two_pieces", b"onetwo"), ("one_piece_of_a_generator", b"all of it"), ("no_piece", b"")],
)
def test_a_body_that_is_not_one_piece_comes_whole(running, page, body):
    reply = get(running(), f"/{page}")
    assert reply.header("Content-Length") in (None, str(len(body))), (
        f"Content-Length is {reply.header('Content-Length')}, but the body has {len(body)} bytes. "
        "With the first piece the server knows the length only if it is the only one."
    )
    assert (reply.body, reply.is_whole) == (body, True), f"The body was {reply}, not {body!r}."


@pytest.mark.lesson("the-end-of-the-body")
@new
@pytest.mark.milestone(4, "came after the headers for HEAD")
@pytest.mark.parametrize("page", ["one_piece", "two_pieces", "writes", "with_length?pieces=abcde"])
def test_HEAD_gets_the_headers_of_GET_and_no_body(running, page):
    replies = [get(running(), f"/{page}", method) for method in ("GET", "HEAD")]
    first, second = [
        [(name, value) for name, value in reply.headers if name != "Date"] for reply in replies
    ]
    assert first == second, f"GET gets the headers {first}, HEAD gets {second}."
    assert replies[1].body == b"", (
        f"The body {replies[1].body!r} came after the headers for HEAD. "
        "The application sends it all the same: the server must keep it back."
    )


@pytest.mark.lesson("the-end-of-the-body")
@new
@pytest.mark.milestone(4, "takes it for the next response")
@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_a_status_that_has_no_body_is_sent_without_one(running, status):
    reply = get(running(), "/with_status" + query(status=status))
    assert f"{reply.status} {reply.reason}" == status, f"{reply.status} came for {status}."
    assert reply.body == b"", (
        f"A body, {reply.body!r}, came with {status}: a client takes it for the next response."
    )
    assert reply.header("Content-Length") is None, (
        f"The server made up a Content-Length for {status}, a response without body."
    )


@pytest.mark.lesson("the-end-of-the-body")
@new
@pytest.mark.milestone(4, "The body never ends")
def test_HEAD_of_an_endless_body_ends(running):
    server = running()
    try:
        reply = get(server, "/endless", "HEAD", timeout=SOON)
    except AssertionError as error:
        raise AssertionError(
            "The body never ends, and HEAD needs none of it: stop after the headers."
        ) from error
    assert (reply.status, reply.body) == (200, b""), f"HEAD got {reply.status} and a body."


@pytest.mark.lesson("the-end-of-the-body")
@new
@pytest.mark.milestone(4, "Content-Length said 5, and")
@pytest.mark.parametrize(
    "target",
    ["/with_length?pieces=ab,cdefg", "/with_length?pieces=abcde,fg", "/with_length_and_write"],
)
def test_more_body_than_Content_Length_is_cut(running, target):
    reply = get(running(), target)
    assert (reply.header("Content-Length"), reply.body) == ("5", b"abcde"), (
        f"Content-Length said {reply.header('Content-Length')}, and {reply.body!r} came. What "
        "comes after the length is up would look like the start of another response."
    )


@pytest.mark.lesson("the-end-of-the-body")
@new
@pytest.mark.milestone(4, "no line with '(?i)content-length'")
def test_less_body_than_Content_Length_is_reported(running):
    server = running()
    with on_stderr(server, "(?i)content-length"):
        reply = get(server, "/with_length?pieces=ab,c")
        assert reply.body == b"abc", f"The application gave abc, and {reply.body!r} came."
    assert_alive(server, "a body that is too short")


# A body that is cut, and the client that notices


@pytest.mark.lesson("the-end-of-the-body")
@new
@pytest.mark.milestone(4, "The server does not know how")
def test_a_body_of_unknown_length_comes_in_chunks_and_the_last_one_ends_it(running):
    data = exchange(running(), format_request("/two_pieces"))
    head, _, body = data.partition(b"\r\n\r\n")
    assert re.search(rb"(?i)^transfer-encoding: *chunked\r?$", head, re.MULTILINE), (
        f"The headers are {head!r}. The server does not know how long the body will be. For an "
        "HTTP/1.1 client it says Transfer-Encoding: chunked, so that the client sees the end."
    )
    assert body == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n", (
        f"The body was {body!r}. A chunk is its size in hexadecimal, CR LF, the bytes, CR LF; the "
        "last one has the size 0. See RFC 9112, section 7.1."
    )


@pytest.mark.lesson("the-end-of-the-body")
@new
def test_an_HTTP_1_0_client_gets_no_chunks(running):
    reply = get(running(), "/two_pieces", version="HTTP/1.0")
    assert reply.header("Transfer-Encoding") is None and reply.body == b"onetwo", (
        f"A client of HTTP/1.0 got {reply}. It does not know the chunked coding: RFC 9112, "
        "section 6.1. The end of the connection ends its body."
    )
    assert reply.is_whole, "The body was sent, but the connection was reset: that says it is cut."


@pytest.mark.lesson("the-end-of-the-body")
@new
@pytest.mark.milestone(4, "it looks whole")
@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
def test_a_client_notices_a_body_that_an_error_cut(running, version):
    server = running()
    with on_stderr(server, "ValueError: in raises_late"):
        reply = get(server, "/raises_late", version=version)
    assert not reply.is_whole, (
        f"The application raised in the middle of its body, and to a client of {version} it looks "
        "whole. Leave out the last chunk. Where there are no chunks, reset the connection."
    )


@pytest.mark.lesson("the-end-of-the-body")
@new
@pytest.mark.parametrize("page", ["length_fails", "length_lies"])
def test_len_of_a_body_that_is_no_list_says_nothing(running, page):
    reply = get(running(), f"/{page}")
    assert (reply.status, reply.body, reply.is_whole) == (200, b"onetwo", True), (
        f"/{page} has two pieces, one and two, and an unusable len(). The client got {reply}. Only "
        "of a list or a tuple does the server know how many pieces come."
    )


# What a client sends after its request


@pytest.mark.lesson("the-end-of-the-body")
@new
@pytest.mark.milestone(5, "then a reset")
def test_a_stray_line_end_during_a_large_answer_does_not_cut_it(running):
    check_large_answer(running(), b"", b"\r\n")


@pytest.mark.lesson("the-end-of-the-body")
@new
@pytest.mark.milestone(5, "then a reset")
def test_bytes_that_nobody_reads_behind_a_request_do_not_cut_a_large_answer(running):
    check_large_answer(running(), bytes(150_000), b"")


def check_large_answer(server, at_once, later):
    """Send a request for 2 MB, bytes behind it, and more when the answer begins. Is it whole?"""
    request = b"POST /large?bytes=2000000 HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nbody"
    with connect_with_small_buffer(server) as client:
        with contextlib.suppress(ConnectionError):  # the server may have reset the connection
            client.sendall(request + at_once)
        with open_reply(client) as response:
            with contextlib.suppress(ConnectionError):
                client.sendall(later)
            time.sleep(PAUSE)  # this client is slow: now the server could close
            body, is_whole = read_body(response)
    assert is_whole, (
        f"Of 2,000,000 bytes {len(body)} came, then a reset. A socket that is closed while it "
        "holds bytes that nobody has read resets the connection, and what is on its way is lost. "
        "End your half of the stream, read what still comes, then close: RFC 9112, section 9.6."
    )


@pytest.mark.lesson("the-end-of-the-body")
@new
@pytest.mark.milestone(5, "then a reset")
def test_a_stray_line_end_does_not_make_a_whole_body_look_cut(running, tmp_path):
    gate = tmp_path / "gate"
    with connect(running()) as client:
        client.sendall(format_request("/gated" + query(file=gate), version="HTTP/1.0"))
        with open_reply(client) as response:
            client.sendall(b"\r\n")
            gate.touch()
            body, is_whole = read_body(response)
    assert (body, is_whole) == (b"first, second", True), (
        f"{body!r} came, and then a reset: to a client of HTTP/1.0 that says that the body is cut. "
        "The client had sent CR LF after its request, and nobody read that."
    )


@pytest.mark.lesson("the-end-of-the-body")
@new
@pytest.mark.milestone(5, "then a reset")
def test_a_stray_line_end_does_not_reset_the_page_of_a_500(start, tmp_path):
    gate, server = tmp_path / "gate", start("apps:site")
    with connect(server) as client:
        client.sendall(format_request("/raises_gated" + query(file=gate)))
        server.wait_for_line("raises_gated was called", "stderr")
        client.sendall(b"\r\n")
        gate.touch()
        data, was_reset = receive_to_end(client)
    assert parse_reply(data).status == 500 and not was_reset, (
        f"{data!r} came, {'then a reset' * was_reset}. The client had sent CR LF after its "
        "request, and nobody read that. A page about an error has to arrive, too."
    )


@pytest.mark.lesson("the-end-of-the-body")
@new
@pytest.mark.parametrize("target", ["/hello", pytest.param("/large?bytes=200000", marks=LINUX)])
def test_clients_that_keep_their_ends_open_hold_up_nobody(running, target):
    requests = format_request(target), format_request("/hello")
    seconds = seconds_of_a_fifth_client(running(), *requests)
    assert seconds < 0.5, (
        f"Four clients had read their answers, and kept their ends of the connections open. The "
        f"answer of a fifth client took {seconds:.2f} s. Wait for nobody who has all of his answer."
    )


# start_response


@pytest.mark.lesson("start_response")
@new
@pytest.mark.milestone(3, "two statuses without exc_info")
def test_start_response_twice_is_an_error(running):
    assert_refused(running(), "/starts_twice", "two statuses without exc_info")


@pytest.mark.lesson("start_response")
@new
def test_the_headers_wait_for_the_first_piece_that_is_not_empty(running):
    reply = get(running(), "/thinks_again")
    assert reply.status == 503, (
        f"The application yielded b'', then found an error and asked for 503, but {reply.status} "
        "was sent. Send the headers with the first piece that is not empty, not before."
    )
    assert reply.header("X-First") is None and reply.header("X-Second") == "2", (
        f"start_response with exc_info replaces all earlier headers. Sent were {reply.headers}."
    )
    assert reply.body == b"the second answer", f"The body was {reply.body!r}."


@pytest.mark.lesson("start_response")
@new
@pytest.mark.milestone(3, "must raise the error in exc_info again")
def test_an_error_after_the_headers_is_raised_again_and_ends_the_connection(running):
    server = running()
    with on_stderr(server, "ValueError: too late to think again"):
        reply = get(server, "/thinks_too_late")
        assert reply.status == 200, f"The headers with 200 had left, but {reply.status} came."
        assert b"not to be seen" not in reply.body, (
            "The application went on after start_response(..., exc_info), although the headers "
            "had left. Then start_response must raise the error in exc_info again: that stops it."
        )
        assert reply.body == b"the first answer", f"The body was {reply.body!r}."
    assert_alive(server, "an error that came after the headers")


@pytest.mark.lesson("start_response")
@new
@pytest.mark.milestone(3, "no line with 'ValueError: too late")
@pytest.mark.flaw
def test_what_a_failed_application_held_is_freed_at_once(running, tmp_path):
    file = tmp_path / "freed"
    with on_stderr(running(), "ValueError: too late to think again"):
        get(running(), "/thinks_too_late_with_a_file" + query(file=file))
    wait_until(
        file.exists,
        "start_response raised the error in exc_info, and all that the application had in its "
        "hands is still there: the traceback holds the frame of start_response, and that frame "
        "holds the traceback. Set exc_info to None in a finally, as PEP 3333 shows.",
        SOON,
    )


# close()


@pytest.mark.lesson("the-end-of-the-body")
@new
@pytest.mark.milestone(3, "close() of the body was called 0 times")
@pytest.mark.parametrize(
    ("page", "method"),
    [
        ("closing", "GET"),
        ("closing", "HEAD"),
        ("closing_after_enough", "GET"),
        ("closing_after_error", "GET"),
        pytest.param(
            *("closing_after_early_error", "GET"),
            marks=pytest.mark.milestone(3, "No HTTP status line came back"),
        ),
        ("closing_after_exit", "GET"),
    ],
)
def test_the_body_is_closed_however_it_ends(running, tmp_path, page, method):
    server = running()
    file = tmp_path / "closed"
    get(server, f"/{page}{query(file=file)}", method)
    lines = file.read_text().splitlines() if file.exists() else []
    assert len(lines) == 1, (
        f"close() of the body was called {len(lines)} times, not once ({method} /{page}). An "
        "application frees there what it has open: call it in a finally, whatever happens."
    )
    assert_alive(server, f"/{page}")


@pytest.mark.lesson("the-end-of-the-body")
@new
@pytest.mark.milestone(3, "close() of the body was")
def test_the_body_is_closed_when_the_client_has_gone(running, tmp_path):
    server = running()
    file = tmp_path / "closed"
    with connect(server) as client:
        target = "/closing_after_much" + query(file=file)
        client.sendall(f"GET {target} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        assert client.recv(1000), "Nothing of the body came."
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wait_until(
        lambda: file.exists() and file.read_text() == "closed\n",
        "The client reset the connection in the middle of the body, and close() of the body was "
        "not called. An application must get to free what it has open: use finally.",
        SOON,
    )
    assert_alive(server, "a client that left in the middle of the body")


@pytest.mark.lesson("the-end-of-the-body")
@new
@pytest.mark.milestone(3, "no line with 'ValueError: in the close")
def test_an_error_in_close_is_reported_and_harms_nobody(running):
    server = running()
    with on_stderr(server, "ValueError: in the close of fails_to_close"):
        reply = get(server, "/fails_to_close")
        assert (reply.status, reply.body) == (200, b"all of it"), (
            f"{reply.status} and {reply.body!r} came, but the body had been sent before close()."
        )
    assert_alive(server, "an error in close()")


# What an application must not send


@pytest.mark.lesson("start_response")
@new
@pytest.mark.milestone(5, "the hop-by-hop header")
@pytest.mark.parametrize(
    "name",
    [
        "Connection",
        "keep-alive",
        "Proxy-Authenticate",
        "Proxy-Authorization",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "UPGRADE",
    ],
)
def test_a_header_about_the_connection_is_the_servers_business(running, name):
    target = "/with_header" + query(name=name, value="from-the-application")
    reply = assert_refused(running(), target, f"the hop-by-hop header {name}")
    assert "from-the-application" not in str(reply.headers), f"{name} was sent: {reply.headers}"


@pytest.mark.lesson("step02_http_server/README.md#what-the-server-refuses-to-send")
@new
@pytest.mark.milestone(3, "No HTTP status line came back")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Test", "a\r\nSet-Cookie: stolen=1"),
        ("X-Test", "a\nSet-Cookie: stolen=1"),
        ("X-Test", "a\rb"),
        ("X-Test", "a\0b"),
        ("X-Test", "\u20ac"),
        ("X-Test\r\nX-Other", "1"),
        ("X Test", "1"),
        ("X-Test:", "1"),
        ("", "1"),
        pytest.param("Content-Length", "-1", marks=pytest.mark.milestone(5, LET_THROUGH)),
        pytest.param("Content-Length", "+14", marks=pytest.mark.milestone(5, LET_THROUGH)),
        pytest.param("Content-Length", "1_4", marks=pytest.mark.milestone(5, LET_THROUGH)),
        pytest.param("Content-Length", "many", marks=pytest.mark.milestone(4, LET_THROUGH)),
    ],
)
def test_a_header_that_HTTP_does_not_allow_is_never_sent(running, name, value):
    target = "/with_header" + query(name=name, value=value)
    reply = assert_refused(running(), target, f"the header {name!r} with the value {value!r}")
    assert reply.header("Set-Cookie") is None and reply.header("X-Other") is None, (
        "A line break in a header let its author add headers of his own. Refuse CR and LF."
    )


@pytest.mark.lesson("step02_http_server/README.md#what-the-server-refuses-to-send")
@new
@pytest.mark.milestone(3, "No HTTP status line came back")
@pytest.mark.parametrize(
    "status", ["200", "OK", "OK 200", "20 OK", "2000 OK", "200 OK\r\nX-Other: 1", "200 \0", ""]
)
def test_a_status_that_HTTP_does_not_allow_is_never_sent(running, status):
    target = "/with_status" + query(status=status)
    reply = assert_refused(running(), target, f"the status {status!r}")
    assert reply.header("X-Other") is None, "A line break in the status became a header."


@pytest.mark.lesson("the-application")
@new
@pytest.mark.milestone(3, "No HTTP status line came back")
@pytest.mark.parametrize(
    "page",
    [
        pytest.param("with_bytes_header", marks=pytest.mark.milestone(5, LET_THROUGH)),
        "with_bytes_status",
        pytest.param("with_headers_that_are_no_list", marks=pytest.mark.milestone(5, LET_THROUGH)),
        "returns_none",
        pytest.param(
            "returns_text", marks=pytest.mark.milestone(5, "No HTTP status line came back")
        ),
        "starts_nothing",
    ],
)
def test_an_answer_of_the_wrong_type_is_refused(running, page):
    what = f"what /{page} in apps.py shows. Status and headers are strings, headers are in a list,"
    assert_refused(running(), f"/{page}", what + " a body is made of bytes")


# Applications that fail


@pytest.mark.lesson("the-end-of-the-body")
@new
@pytest.mark.milestone(3, "No answer came from")
@pytest.mark.parametrize(
    ("page", "line"),
    [
        ("raises", "ValueError: in raises"),
        ("exits", "SystemExit: in exits"),
        ("clears_environ", "ValueError: in clears_environ"),
        ("raises_base_exception", "BaseException: in raises_base_exception"),
    ],
)
def test_an_application_that_raises_gives_500_and_a_traceback(running, page, line):
    server = running()
    try:
        reply = get(server, f"/{page}")
    except (OSError, AssertionError):
        raise AssertionError(
            f"No answer came from /{page}, which raises {line.split(':')[0]}. Only this request "
            f"may fail, with 500. The server printed:\n{server.report()}"
        ) from None
    assert reply.status == 500, f"/{page} raises, and no headers had left, but {reply.status} came."
    assert b"Traceback" not in reply.body, "The traceback is for stderr, not for the client."
    server.wait_for_line(line, "stderr")
    assert_alive(server, f"an application that raised {line.split(':')[0]}")


@pytest.mark.lesson("the-end-of-the-body")
@new
@pytest.mark.milestone(2, "No HTTP status line came back")
def test_an_application_that_raises_after_the_headers_ends_the_connection(running):
    server = running()
    with on_stderr(server, "ValueError: in raises_late"):
        reply = get(server, "/raises_late")
        assert (reply.status, reply.body) == (200, b"the first piece"), (
            f"{reply.status} and {reply.body!r} came. When the headers have left it is too late "
            "for a 500: nothing may follow but the end of the connection."
        )
    assert_alive(server, "an error in the middle of the body")


@pytest.mark.lesson("the-end-of-the-body")
@new
@pytest.mark.milestone(5, "the server serves nobody")
def test_an_application_that_closes_stderr_harms_nobody(start):
    server = start("apps:site")
    with contextlib.suppress(OSError, AssertionError):
        get(server, "/closes_stderr")
    assert_alive(server, "an application that closed stderr and raised")


# The applications that come with this step


@pytest.fixture(params=["app:application", "flask_app:app"])
def pages(request, running):
    """A server with the step's own application, first the plain one, then the one in Flask."""
    if request.param.startswith("flask"):
        pytest.importorskip("flask", reason="Flask is not installed: pip install flask")
    return lambda: running(request.param)


@pytest.mark.lesson("run-it")
@new
def test_the_home_page_names_the_process_and_the_connection(pages):
    server = pages()
    with connect(server) as client:
        port = client.getsockname()[1]
        client.sendall(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        reply = read_reply(client)
    assert reply.status == 200, f"/ gave {reply.status}."
    assert reply.header("Content-Type").startswith("text/html"), "/ is no HTML page."
    text = " ".join(html.unescape(re.sub("<[^>]*>", "", reply.body.decode())).split())
    processes = re.search(r"Process (\d+), a child of process (\d+),", text)
    assert processes and str(server.pid) in processes.groups(), (
        f"The server is process {server.pid}, but the page does not say so: {text}"
    )
    connection = f"from 127.0.0.1:{port} to 127.0.0.1:{server.port}"
    assert connection in text, f"The connection is {connection}, but the page says: {text}"


@pytest.mark.lesson("what-is-still-wrong")
@new
@pytest.mark.flaw
def test_one_process_serves_all_requests(pages):
    server = pages()
    texts = [get(server, "/").body.decode() for _ in range(3)]
    assert all(f"Process <b>{server.pid}</b>" in text for text in texts), (
        f"The server is process {server.pid}, and it forks not yet. The pages say: {texts}"
    )
    server.wait_for_line(rf"^\[{server.pid}\] 127\.0\.0\.1:\d+ GET / HTTP/1\.1 -> 200 OK", count=3)


@pytest.mark.lesson("environ")
@new
def test_the_environ_page_shows_environ(pages):
    reply = get(pages(), "/environ?x=1", headers=["X-Test: a header"])
    text = reply.body.decode()
    for line in ("QUERY_STRING = 'x=1'", "HTTP_X_TEST = 'a header'", "wsgi.version = (1, 0)"):
        assert line in text.splitlines(), f"/environ has no line {line!r}. It shows:\n{text}"


@pytest.mark.lesson("run-it")
@new
def test_the_slow_page_takes_the_time_that_it_is_asked_for(pages):
    server = pages()
    start = time.monotonic()
    reply = get(server, "/slow?seconds=0.1")
    seconds = time.monotonic() - start
    assert reply.status == 200 and b"slept 0.1 seconds" in reply.body, f"It said {reply.body!r}."
    assert seconds >= 0.1, f"/slow?seconds=0.1 took {seconds:.3f} seconds. Does it sleep?"


@pytest.mark.lesson("run-it")
@new
@pytest.mark.parametrize("seconds", ["a", "-1", "61", "nan", "inf", "", "1,5", "1e9"])
def test_the_slow_page_refuses_what_is_no_number_from_0_to_60(pages, seconds):
    server = pages()
    try:
        status = get(server, f"/slow?seconds={seconds}", timeout=SOON).status
    except AssertionError:
        status = "no answer"
    assert status == 400, f"/slow?seconds={seconds} gave {status}, not 400 Bad Request."


@pytest.mark.lesson("run-it")
@new
def test_the_echo_page_sends_the_body_back(pages):
    body = bytes(range(256)) * 1000
    reply = post(pages(), "/echo", body)
    assert reply.status == 200, f"/echo gave {reply.status}."
    assert reply.body == body, f"{len(body)} bytes were sent, others came back from /echo."


@pytest.mark.lesson("run-it")
@new
@pytest.mark.parametrize(
    "pages",
    [
        "app:application",
        pytest.param("flask_app:app", marks=pytest.mark.milestone(5, "A chunked body, abc, came")),
    ],
    indirect=True,
)
def test_the_echo_page_takes_a_chunked_body(pages):
    chunked = b"POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
    reply = ask(pages(), chunked + b"3\r\nabc\r\n0\r\n\r\n")
    assert reply.body == b"abc", f"A chunked body, abc, came back from /echo as {reply.body!r}."


@pytest.mark.lesson("the-end-of-the-body")
@new
@pytest.mark.parametrize(
    "pages",
    [
        pytest.param(
            "app:application", marks=pytest.mark.milestone(3, "No HTTP status line came back")
        ),
        "flask_app:app",  # Flask makes its own page for an error
    ],
    indirect=True,
)
def test_the_crash_page_gives_500_and_a_traceback_on_stderr(pages):
    server = pages()
    with on_stderr(server, "ZeroDivisionError"):
        assert get(server, "/crash").status == 500, "/crash divides by 0: that is a 500."
    assert get(server, "/").status == 200, "After /crash the server must serve on."


@pytest.mark.lesson("the-end-of-the-body")
@new
@pytest.mark.milestone(2, "All pieces came together")
@pytest.mark.parametrize("application", ["app:application", "flask_app:app"])
def test_the_stream_page_sends_its_first_piece_at_once(start, application):
    if application == "flask_app:app":
        pytest.importorskip("flask", reason="Flask is not installed: pip install flask")
    server = start(application)
    with connect(server, SOON) as client:
        client.sendall(b"GET /stream HTTP/1.1\r\nHost: test\r\n\r\n")
        with open_reply(client) as response:
            body = b""
            while b"piece 1\n" not in body:
                body += (piece := response.read1())
                assert piece, f"The body ended after {body!r}, without piece 1."
    assert b"piece 5" not in body, "All pieces came together: each is to leave when it is yielded."


@pytest.mark.lesson("run-it")
@new
def test_a_page_that_does_not_exist_is_404(pages):
    for target in ("/nothing", "/environ/", "/caf%C3%A9", "/%FF"):
        status = get(pages(), target).status
        assert status == 404, f"There is no page {target}, but it gave {status}."


@pytest.mark.lesson("run-it")
@new
@pytest.mark.parametrize(
    ("method", "target", "allowed"),
    [
        ("POST", "/", "GET"),
        ("OPTIONS", "/", "GET"),
        ("DELETE", "/environ", "GET"),
        ("GET", "/echo", "POST"),
    ],
)
def test_a_method_that_a_page_does_not_take_is_405_with_Allow(pages, method, target, allowed):
    reply = get(pages(), target, method)
    assert reply.status == 405, f"{method} {target} gave {reply.status}."
    assert allowed in (reply.header("Allow") or "").split(", "), (
        f"A 405 says in Allow what the page takes, {allowed} for one. It says "
        f"{reply.header('Allow')!r}."
    )


@pytest.mark.lesson("run-it")
@new
@pytest.mark.parametrize(
    "pages",
    [
        pytest.param("app:application", marks=pytest.mark.milestone(4, "HEAD / gave")),
        "flask_app:app",  # Flask leaves the body out itself
    ],
    indirect=True,
)
def test_HEAD_works_for_every_page(pages):
    for target in ("/", "/environ", "/slow?seconds=0", "/stream"):
        reply = get(pages(), target, "HEAD", timeout=SOON)
        assert (reply.status, reply.body) == (200, b""), f"HEAD {target} gave {reply}."


# Others' applications, and the check of the standard library


@pytest.mark.lesson("both-sides-checked")
@new
@pytest.mark.milestone(4, "The validated application gave")
def test_wsgiref_validate_finds_nothing(start):
    server = start("apps:validated")
    replies = [
        get(server, "/"),
        get(server, "/caf%C3%A9?a=%C3%A9", headers=["Cookie: a=1", "X-Name: caf\u00e9"]),
        get(server, "/", "HEAD"),
        post(server, "/", b"a body", ["Content-Type: text/plain"]),
    ]
    server.kill()
    complaints = "\n".join(server.output("stderr"))
    assert not complaints, f"wsgiref.validate found a breach of the contract:\n{complaints}"
    bodies = [(reply.status, reply.body) for reply in replies]
    assert bodies == [(200, b"Hello"), (200, b"Hello"), (200, b""), (200, b"a body")], (
        f"The validated application gave {bodies}."
    )


@pytest.mark.lesson("one-contract-for-all")
@new
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_an_application_of_any_framework_runs_unchanged(running, framework):
    server = running(f"{framework}_site:application")
    reply = get(server, "/hello/caf%C3%A9%20%E2%82%AC")
    assert (reply.status, reply.body.decode()) == (200, "Hello, caf\u00e9 \u20ac"), (
        f"{framework} gave {reply.status}, {reply.body!r}. It decodes PATH_INFO as UTF-8 itself: "
        "the server must leave it as bytes in latin-1."
    )
    headers = ["Content-Type: application/x-www-form-urlencoded"]
    reply = post(server, "/form", b"b=2&a=%C3%A9", headers)
    assert reply.body.decode() == "a=\u00e9, b=2", f"The form came as {reply.body!r}."
    reply = get(server, "/cookies", headers=["Cookie: new=1", "Cookie: old=yes"])
    assert reply.body == b"yes", f"Of two Cookie headers, {framework} saw {reply.body!r}."
    cookies = [value.split(";")[0].strip() for name, value in reply.headers if name == "Set-Cookie"]
    assert cookies == ["one=1", "two=2"], (
        f"Two Set-Cookie headers, one=1 and two=2, were set, and {cookies} came: "
        "headers are a list because a name may come twice."
    )
    assert get(server, "/stream").body == b"one two three", "The pieces of /stream are not whole."
    assert get(server, "/nothing").status == 404, "Its own page for 404 must come through."
    assert get(server, "/hello/x", "HEAD").body == b"", "HEAD got a body."


# Which application


@pytest.mark.lesson("run-it")
@new
@pytest.mark.milestone(3, "The exit status is")
@pytest.mark.parametrize(
    ("application", "module"),
    [
        ("no_such_module:application", None),
        ("test_module:no_such_name", "application = print"),
        pytest.param(
            *("test_module:number", "number = 42"),
            marks=pytest.mark.milestone(3, "The server is still running"),
        ),
        ("test_module", "application = print"),
        (":application", None),
        ("test_module:application", "1 / 0"),
        ("test_module:application", "raise ValueError('one line,\\nand another')"),
        ("test_module:application", "raise SystemExit(7)"),
        ("test_module:application", "def application(:"),
    ],
)
def test_an_application_that_cannot_be_loaded_is_one_line_and_status_2(
    start, tmp_path, application, module
):
    if module is not None:
        (tmp_path / "test_module.py").write_text(module)
    server = start(application, cwd=tmp_path, first_line=False)
    status = server.wait()
    lines = server.output("stderr")
    assert "unrecognized arguments" not in str(lines), (
        f"The server takes no APPLICATION: it said {lines}."
    )
    assert status == 2, f"The exit status is {status}, not 2. The server printed {lines}."
    assert len(lines) == 1, f"One clear line on stderr, please, and no traceback. It was {lines}."
    assert application in lines[0], f"The line does not name {application}: {lines[0]}"


@pytest.mark.lesson("run-it")
@new
def test_an_application_in_the_current_folder_comes_before_the_steps_own(start, tmp_path):
    page = "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'%s']"
    (tmp_path / "flask_app.py").write_text(page % "the one in the current folder")
    reply = get(start("flask_app:app", cwd=tmp_path))
    assert reply.body == b"the one in the current folder", (
        "A learner's own flask_app.py in the current folder was not taken, but the step's."
    )


@pytest.mark.lesson("the-server-with-nothing-installed")
@new
@pytest.mark.milestone(5, "The server has files of these names")
def test_an_application_may_have_the_name_of_a_file_of_the_server(start, tmp_path):
    (tmp_path / "wsgi.py").write_text(
        "from http_message import PAGE\n\n"
        "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [PAGE]\n"
    )
    (tmp_path / "http_message.py").write_text("PAGE = b'from the current folder'\n")
    try:
        body = get(start("wsgi:app", cwd=tmp_path)).body
    except AssertionError as problem:
        body = problem
    assert body == b"from the current folder", (
        "The application is app in wsgi.py of the current folder, which takes its page from "
        f"http_message.py there. The server has files of these names, too. It gave: {body}"
    )


@pytest.mark.lesson("the-server-with-nothing-installed")
@new
@pytest.mark.milestone(5, "must look for it")
@pytest.mark.parametrize("mistake", ["1 / 0", "helper()", "import broken"])
def test_an_error_at_import_names_file_and_line(start, tmp_path, mistake):
    (tmp_path / "test_module.py").write_text(f"def helper():\n    1 / 0\n\n{mistake}\n")
    (tmp_path / "broken.py").write_text("\n\n1 / 0\n")
    server = start("test_module:application", cwd=tmp_path, first_line=False)
    server.wait()
    [line] = server.output("stderr") or [""]
    file, number = ("broken.py", 3) if "broken" in mistake else ("test_module.py", 4)
    assert "division by zero" in line and re.search(rf"{file}\b.*\bline {number}\b", line), (
        f"Line {number} of {file} fails. Who reads {line!r} must look for it."
    )


@pytest.mark.lesson("run-it")
@new
def test_an_application_of_the_step_is_found_from_any_folder(start, tmp_path):
    reply = get(start("app:application", cwd=tmp_path))
    assert b"a child of process" in reply.body, f"app.py of the step gave {reply.body!r}."


@pytest.mark.lesson("run-it")
def test_without_an_argument_the_steps_own_application_is_served(start, tmp_path):
    (tmp_path / "app.py").write_text("raise SystemExit('the wrong app.py')")
    reply = get(start(cwd=tmp_path))
    assert reply.status == 200 and b"<h1>It works</h1>" in reply.body, (
        f"The page of the step's own app.py was expected, and {reply.body!r} came."
    )


# What is still wrong


@pytest.mark.lesson("what-is-still-wrong")
@pytest.mark.flaw
def test_a_second_client_waits_while_the_first_is_served(server):
    with connect(server) as first, connect(server) as second:
        first.sendall(b"GET /?first HTTP/1.1\r\n")  # the rest comes later
        second.sendall(b"GET /?second HTTP/1.1\r\nHost: test\r\n\r\n")
        second.settimeout(0.1)
        with pytest.raises(TimeoutError):
            data = second.recv(65536)
            raise AssertionError(
                f"The second client got {data[:80]!r} before the first had its answer. This step's "
                "server serves one client after another; that changes in the next step."
            )
        first.sendall(b"Host: test\r\n\r\n")
        second.settimeout(PATIENCE)
        replies = [read_reply(client).status for client in (first, second)]
    assert replies == [200, 200], f"The two clients got {replies}."
    server.wait_for_line(r"GET /\?second")
    asked = [line for line in server.output() if "GET /?" in line]
    assert "?first" in asked[0] and "?second" in asked[1], f"The order in the log is {asked}."
