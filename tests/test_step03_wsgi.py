"""Step 3: the server speaks WSGI to any Python application. One client at a time is served."""

import concurrent.futures
import contextlib
import html
import importlib.util
import json
import os
import re
import signal
import socket
import struct
import sys
import time
import urllib.parse

import pytest

from tests.fixtures import LINUX
from tests.harness import (
    CONTRACT,
    PATIENCE,
    come_to_rest,
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
APPLICATION = "apps:site"  # what the server runs: tests/applications/apps.py
MILESTONES = [  # the stages of step03_wsgi/STAGES.md
    "Flask runs on your server",
    "Each piece leaves when it is made",
    "An application that fails harms nobody else",
    "The client knows where the answer ends",
    "Neither clients nor applications can fool it",
]
IDEA = 4
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
SOON = 5  # seconds until a test gives up on what an application is made to hold back
SEND_SECONDS = 10  # without progress, until a server gives its client up
ROOM = 5  # seconds that a busy machine may be late
SIZE = 20_000_000  # bytes: more than a slow client reads in SEND_SECONDS, and buffers hold
BYTES_A_SECOND = 1_000_000  # of that client

# The server of step 2 takes no APPLICATION, and says so.
new = pytest.mark.new("unrecognized arguments")
our_words = pytest.mark.course("the words are ours")
our_application = pytest.mark.course("it is about the applications that come with this step")
LET_THROUGH = "The application sent"  # what assert_refused says of an early stage


def query(**values):
    """Return a query: "?name=value&other=2"."""
    return "?" + urllib.parse.urlencode(values)


def described(reply):
    """Return a sentence about the body that came, and about its end, if that is wrong."""
    came = f"{bytes(reply.body[:200])!r} came"
    if reply.is_whole:
        return f"{came}."
    if reply.header("Transfer-Encoding") is None:
        return f"{came}, which does not end where its headers say."
    return (
        f"{came}, and its chunks do not end as they should. A chunk is its size in hexadecimal "
        "digits, CR LF, the piece and CR LF, and the last one has the size 0: RFC 9112, section "
        "7.1."
    )


def take_json(server, target, reply):
    """Return what the JSON of a page stands for."""
    assert reply.status == 200, (
        f"{target} gave {reply.status} and {bytes(reply.body)!r}, not 200. {server.state()}"
    )
    try:
        return json.loads(reply.body)
    except ValueError:
        raise AssertionError(
            f"The application answered {target} with JSON, but {bytes(reply.body[:200])!r} came. "
            "The bytes of an application must leave as they are."
        ) from None


def get_environ(server, target="/shown", headers=(), version="HTTP/1.1"):
    """Return the environ of a request: for each variable the name of its type, and its value."""
    return take_json(server, target, get(server, target, headers=headers, version=version))


def read_input(server, way, *headers, body=b""):
    """Return the pieces that an application reads of wsgi.input in a way, or None for a 411."""
    target = "/reads" + query(way=way)
    try:
        with connect(server, SOON) as client:  # our half of the stream stays open
            client.sendall(format_request(target, "POST", headers) + body)
            reply = read_reply(client)
    except AssertionError as problem:
        raise AssertionError(
            f"The application read wsgi.input by {way}, and its answer did not come. Is "
            "wsgi.input the socket itself, or a file made of it? Then a read waits for bytes that "
            f"nobody sends, but it must end where the body ends. {problem}"
        ) from None
    return None if reply.status == 411 else take_json(server, target, reply)


def count_lines(server, *patterns):
    """Return how many lines on stdout and stderr match each of the patterns."""
    lines = server.output("either")
    return sum(all(re.search(pattern, line) for pattern in patterns) for line in lines)


@contextlib.contextmanager
def reported(server, words):
    """Wait, at the end of the block, until a new line on stdout or stderr has these words."""
    seen = count_lines(server, rf"{words}\b")
    yield
    wait_until(
        lambda: count_lines(server, rf"{words}\b") > seen,
        lambda: (
            f"The application raised an error that says {words!r}, but no line of the server's "
            "output does. Whoever runs the server needs to see what went wrong, and where, so "
            f"print the traceback of an error that ends an application.\n{server.report()}"
        ),
        SOON,
    )


def assert_alive(server, what):
    """Fail if the server does not serve the next client."""
    hint = f"After {what} the server serves nobody, but only that request may fail. "
    try:
        reply = get(server, "/hello")
    except (OSError, AssertionError):
        raise AssertionError(hint + server.state()) from None
    assert reply.status == 200, f"{hint}The next client got {reply.status}. {server.state()}"


def assert_refused(server, target, what):
    """Fail unless a page gives 500, and nothing of it is sent."""
    try:
        reply = get(server, target)
    except AssertionError as problem:
        raise AssertionError(
            f"The application sent {what}. That is to become a 500, but none came. {problem}"
        ) from None
    assert reply.status == 500, (
        f"The application sent {what}. The client got {reply.status} with the headers "
        f"{reply.headers}. start_response or the server must raise an error, so that the client "
        "gets a 500."
    )
    assert b"not to be seen" not in reply.body, (
        "The client got a 500, but with the page of the application that failed."
    )
    assert_alive(server, "a bad answer of the application")
    return reply


# What an application is


@pytest.mark.lesson("the-application")
@new
def test_the_server_runs_a_python_application(shared):
    hint = (
        "In step 3 the server must run Python applications (one in another language goes on with "
        "step 4: guide/build-your-own.md#where-your-server-runs). For apps:hello it imports the "
        "module apps, of tests/applications, and calls its function hello."
    )
    try:
        reply = get(shared("apps:hello"))
    except AssertionError as problem:
        raise AssertionError(f"{hint} {problem}") from None
    assert b"Hello" in reply.body, (
        f"{hint} It gives b'Hello', but {reply.status} and {bytes(reply.body[:200])!r} came. "
        f"{shared('apps:hello').state()}"
    )
    assert reply.body == b"Hello", (
        f"The application gave b'Hello', but {bytes(reply.body)!r} came. Send its bytes as they "
        "are, without a line end or anything else of your own."
    )
    assert reply.status == 200, f"The application said 200 OK, but {reply.status} came."


@pytest.mark.lesson("the-application")
@new
@pytest.mark.parametrize("application", ["hello", "method", "Page", "instance", "other_names"])
def test_an_application_is_a_function_a_method_a_class_or_an_object(shared, application):
    reply = get(shared(f"apps:{application}"))
    assert (reply.status, reply.body) == (200, b"Hello"), (
        f"apps:{application} is a callable, so it is an application, but it gave {reply.status} "
        f"and {bytes(reply.body)!r}. The server must only call it, with two arguments in their "
        "order, because how it names them is the application's own choice. What comes back need "
        "not be a list, and may have no len()."
    )


# environ


@pytest.mark.lesson("environ")
@new
@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
def test_environ_is_a_dict_with_all_that_PEP_3333_asks_for(server, version):
    target, headers = "/shown/page?name=value", ["X-Test: one, two"]
    environ = get_environ(server, target, headers, version)
    assert environ.pop("type of environ") == "dict", (
        "environ is not a dict. PEP 3333 asks for a plain one, not for a subclass or something "
        "like it."
    )
    expected = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/shown/page",
        "QUERY_STRING": "name=value",
        "SERVER_PORT": str(server.port),
        "SERVER_PROTOCOL": version,
        "HTTP_HOST": "test",
        "HTTP_X_TEST": "one, two",
        "wsgi.version": [1, 0],  # a tuple: JSON has none
        "wsgi.url_scheme": "http",
    }
    for name, value in expected.items():
        assert name in environ, f"environ has no {name}, although the target was {target}."
        kind, found = environ[name]
        right = "tuple" if name == "wsgi.version" else "str"
        assert kind == right, f"environ[{name!r}] is of type {kind}, but PEP 3333 wants a {right}."
        assert found == value, (
            f"For the target {target} environ[{name!r}] is {found!r}, and not {value!r}. The path "
            "goes to PATH_INFO, and what follows the ? goes only to QUERY_STRING."
        )
    assert environ.get("SCRIPT_NAME", ["str", ""]) == ["str", ""], (
        "The application has the whole server, so SCRIPT_NAME is empty, or not there."
    )
    assert environ.get("SERVER_NAME", ["", ""])[1], "environ has no SERVER_NAME, or an empty one."
    for name in ("input", "errors", "multithread", "multiprocess", "run_once"):
        assert f"wsgi.{name}" in environ, f"environ has no wsgi.{name}, and PEP 3333 requires it."


@pytest.mark.lesson("environ")
@new
def test_the_strings_of_environ_hold_a_byte_in_each_character(server):
    target = "/shown/caf%C3%A9?caf%C3%A9"
    environ = get_environ(server, target, ["X-Name: caf\u00c3\u00a9"])
    del environ["type of environ"]
    for name, (kind, value) in environ.items():
        if name == name.upper():
            assert kind == "str", (
                f"environ[{name!r}] is of type {kind}, but all variables of CGI are strings."
            )
            assert value == value.encode("latin-1", "replace").decode("latin-1"), (
                f"environ[{name!r}] is {value!r}, in which not each character is one byte. Decode "
                "what HTTP brought as latin-1, because only the application knows the real "
                "encoding."
            )
    assert environ.get("HTTP_X_NAME") == ["str", "caf\u00c3\u00a9"], (
        "A header's bytes are UTF-8 for an e with an accent: in environ they are two characters, "
        f"one for each byte. HTTP_X_NAME is {environ.get('HTTP_X_NAME')}."
    )


@pytest.mark.lesson("environ")
@new
@pytest.mark.course("PEP 3333 asks for no address of the client, and for any name of the server")
def test_environ_names_both_ends_of_the_connection(server):
    with socket.socket() as client:
        client.settimeout(PATIENCE)
        if sys.platform == "linux":  # where each address that begins with 127 is this machine
            client.bind(("127.0.0.2", 0))
        client.connect(server.address)
        host, port = client.getsockname()
        client.sendall(format_request("/shown"))
        environ = take_json(server, "/shown", read_reply(client))
    found = [environ.get(name, ["", None])[1] for name in ("REMOTE_ADDR", "REMOTE_PORT")]
    assert found == [host, str(port)], f"The client is {host}:{port}, and environ says {found}."
    assert environ["SERVER_NAME"][1] == server.address[0], (
        f"The server is {server.address[0]}, and SERVER_NAME is {environ['SERVER_NAME'][1]!r}."
    )


@pytest.mark.lesson("environ")
@new
@pytest.mark.course("a server may have threads, or end a process after one request")
def test_environ_says_that_there_are_no_threads_and_that_more_requests_may_come(server):
    environ = get_environ(server)
    found = [environ[f"wsgi.{name}"] for name in ("multithread", "run_once")]
    assert found == [["bool", False]] * 2, (
        f"wsgi.multithread and wsgi.run_once are {found}, but both must be False here."
    )


@pytest.mark.lesson("environ")
@new
@pytest.mark.flaw
@pytest.mark.course("a server may have more processes than this step needs")
def test_environ_says_that_a_single_process_serves(server):
    found = get_environ(server)["wsgi.multiprocess"]
    assert found == ["bool", False], (
        f"wsgi.multiprocess is {found[1]!r}. This server is one process, so it must say False."
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
        *(
            pytest.param(path, path, marks=pytest.mark.course("a server may refuse such a path"))
            for path in ("/100%", "//a/../b")
        ),
    ],
)
def test_PATH_INFO_is_the_path_percent_decoded_to_bytes(server, encoded, path):
    value = get_environ(server, "/shown" + encoded)["PATH_INFO"][1]
    assert value == "/shown" + path, (
        f"For the target /shown{encoded} PATH_INFO is {value!r}, not {'/shown' + path!r}. Undo "
        "the percent-encoding once, and nothing else, because a + in a path is a plus sign. Then "
        "the bytes that come out are decoded as latin-1."
    )


@pytest.mark.lesson("environ")
@new
@pytest.mark.parametrize(
    "raw",
    [
        "",
        "a=1&b=2",
        "a=%20+%C3%A9&&b",
        "a?b?c",
        pytest.param("%zz", marks=pytest.mark.course("a server may refuse such a query")),
    ],
)
def test_QUERY_STRING_is_as_the_client_sent_it(server, raw):
    value = get_environ(server, f"/shown?{raw}").get("QUERY_STRING", ["str", ""])[1]
    assert value == raw, (
        f"The client sent the query {raw!r}, but QUERY_STRING is {value!r}. Leave its "
        "percent-encoding alone, because the application takes the query apart."
    )


@pytest.mark.lesson("environ")
@new
def test_CONTENT_TYPE_and_CONTENT_LENGTH_have_no_HTTP_in_front(server):
    reply = post(server, "/shown", b"12345", ["Content-Type: text/x-test"])
    environ = take_json(server, "/shown", reply)
    for name, value in (("CONTENT_TYPE", "text/x-test"), ("CONTENT_LENGTH", "5")):
        assert environ.get(name) == ["str", value], (
            f"environ[{name!r}] is {environ.get(name)}, but the client sent {value!r}. In environ "
            "the names of these two headers have no HTTP_ in front."
        )
        assert "HTTP_" + name not in environ, (
            f"environ has HTTP_{name}, but this header is there as {name} alone."
        )


@pytest.mark.lesson("environ")
@new
def test_a_request_without_a_body_has_no_CONTENT_LENGTH(server):
    value = get_environ(server).get("CONTENT_LENGTH", ["", ""])[1]
    assert not value, (
        f"No body came, but CONTENT_LENGTH is {value!r}. Leave it out, or leave it empty."
    )
    pieces = read_input(server, "read(-1)")
    assert pieces == ["", ""], (
        f"No body came, but the application read {pieces} of wsgi.input, which must be at its end "
        "at once."
    )


@pytest.mark.lesson("environ")
@new
def test_environ_holds_nothing_of_the_request_before(server):
    get_environ(server, headers=["Cookie: session=alice", "X-Before: 1"])
    environ = get_environ(server)
    left = {"HTTP_COOKIE", "HTTP_X_BEFORE"} & environ.keys()
    assert not left, (
        f"This request had neither Cookie nor X-Before, and environ has {sorted(left)}, which the "
        "client before sent. So one client is taken for another. Make a new dict for each request."
    )


@pytest.mark.lesson("environ")
@new
def test_the_application_is_called_once_for_each_request(server, tmp_path):
    file = tmp_path / "calls"
    statuses = [get(server, "/noted" + query(file=file), m).status for m in ("GET", "HEAD", "POST")]
    calls = file.read_text().splitlines() if file.exists() else []
    assert calls == ["called"] * 3, (
        f"GET, HEAD and POST were sent, and the application was called {len(calls)} times. The "
        f"client got {statuses}. The server must call application(environ, start_response) once "
        f"for each request. {server.state()}"
    )


# wsgi.input and wsgi.errors


may_ignore = pytest.mark.course("a server may ignore a size for readline, and a hint for readlines")


@pytest.mark.lesson("environ")
@new
@pytest.mark.parametrize(
    ("way", "expected"),
    [
        ("read(-1)", ["one\ntwo\n\nend", ""]),
        ("read", ["one\n", "", "two\n\nend", "", ""]),
        ("readline", ["one\n", "two\n", "\n", "end", ""]),
        ("readlines", ["one\n", "two\n", "\n", "end"]),
        ("iteration", ["one\n", "two\n", "\n", "end"]),
        pytest.param("readline(2)", ["on", "e\n", "tw", "o\n"], marks=may_ignore),
        pytest.param("readlines(1)", ["one\n", "then", "two\n", "\n", "end"], marks=may_ignore),
    ],
)
def test_wsgi_input_is_read_like_a_file_and_never_past_the_body(server, way, expected):
    body = b"one\ntwo\n\nend"
    pieces = read_input(server, way, "Content-Length: 12", body=body + b"NOT THE BODY\n")
    assert any(pieces), (
        "A body of 12 bytes was sent, but wsgi.input was at its end at once. A server that writes "
        "the body into a file has to go back to its start, with seek(0), before the application "
        "reads."
    )
    assert pieces == expected, (
        f"Reading wsgi.input by {way} gave {pieces}, not {expected}. The body is the 12 bytes "
        "that Content-Length says, and after them wsgi.input is at its end."
    )


@pytest.mark.lesson("environ")
@new
def test_wsgi_input_holds_a_large_body(server):
    body = bytes(range(256)) * 12_000
    reply = post(server, "/echoes", body)
    assert reply.body == body, (
        f"3 MB were sent to /echoes, which sends back what it reads of wsgi.input, and "
        f"{len(reply.body)} bytes came, not the same ones. {server.state()}"
    )


@pytest.mark.lesson("environ")
@new
def test_wsgi_errors_takes_what_an_application_writes(server):
    reply = get(server, "/complains")
    assert reply.status == 200, (
        "wsgi.errors needs write, writelines and flush, and takes strings with any character. "
        f"{server.state()}"
    )


@pytest.mark.lesson("environ")
@new
@pytest.mark.course("wsgi.errors may go elsewhere, such as to a file")
def test_wsgi_errors_is_stderr(start):
    server = start("apps:site")
    get(server, "/complains")
    server.wait_for_line("^a line for wsgi.errors", "stderr")
    server.wait_for_line("^and another one$", "stderr")


# The log


def assert_logged(server, target, status):
    words = r"\bGET\b", re.escape(target), rf"\b{status}\b"  # in any order
    seen = count_lines(server, *words)
    with contextlib.suppress(AssertionError):
        get(server, target)
    wait_until(
        lambda: count_lines(server, *words) > seen,
        lambda: (
            f"No line of the log names GET, {target} and {status}. Print one for each request "
            "that was answered, on standard output or standard error, and flush "
            f"it.\n{server.report()}"
        ),
        SOON,
    )


@pytest.mark.lesson(CONTRACT)
@new
def test_each_request_has_a_line_in_the_log(server):
    assert_logged(server, "/hello?logged", 200)


@pytest.mark.lesson("try-it")
@new
@our_words
@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/hello", "200 OK"),
        ("/thinks_again", "503 Think Again"),
        pytest.param(
            *("/raises", "500 Internal Server Error"),
            marks=pytest.mark.milestone(3, "No HTTP status line came back"),
        ),
    ],
)
def test_a_line_of_the_log_names_process_client_request_and_status(server, target, status):
    with connect(server) as client:
        port = client.getsockname()[1]
        client.sendall(format_request(target, version="HTTP/1.0"))
        read_reply(client)
    server.wait_for_line(rf"^\[\d+\] 127\.0\.0\.1:{port} GET {target} HTTP/1\.0 -> {status}$")


# The body


@pytest.mark.lesson("start_response")
@new
def test_the_headers_wait_for_the_first_piece_that_is_not_empty(server):
    reply = get(server, "/thinks_again")
    assert reply.status == 503, (
        f"The application yielded b'', then found an error and asked for 503, but {reply.status} "
        "was sent. Send the headers only with the first piece that is not empty."
    )
    assert reply.header("X-First") is None and reply.header("X-Second") == "2", (
        "start_response with exc_info replaces all earlier headers, but these were sent: "
        f"{reply.headers}."
    )
    assert reply.body == b"the second answer", (
        f"The application made the body b'the second answer', and {described(reply)}"
    )


@pytest.mark.lesson("start_response")
@new
def test_a_header_may_come_twice(server):
    headers = get(server, "/two_cookies").headers
    cookies = [value for name, value in headers if name.lower() == "set-cookie"]
    assert cookies == ["one=1", "two=2"], (
        f"The application sent two Set-Cookie headers, one=1 and two=2, but {cookies} came. Send "
        "the list of headers as it is, because a dict keeps only one header of each name."
    )


@pytest.mark.lesson("the-end-of-the-body")
@new
@pytest.mark.parametrize(
    ("page", "body"),
    [("two_pieces", b"onetwo"), ("one_piece_of_a_generator", b"all of it"), ("no_piece", b"")],
)
def test_a_body_that_is_not_one_piece_comes_whole(server, page, body):
    reply = get(server, f"/{page}", to_end=True)
    assert reply.header("Content-Length") in (None, str(len(body))), (
        f"Content-Length is {reply.header('Content-Length')}, but the body has {len(body)} bytes. "
        "At the first piece the server knows the length only if no other piece can follow."
    )
    assert (reply.body, reply.is_whole) == (body, True), (
        f"The application made the body {body!r}, and {described(reply)}"
    )


@pytest.mark.lesson("the-end-of-the-body")
@new
@pytest.mark.parametrize(
    "page",
    [
        "length_fails",
        pytest.param("length_lies", marks=pytest.mark.course("an application must not lie so")),
    ],
)
def test_len_of_a_body_that_is_no_list_says_nothing(server, page):
    reply = get(server, f"/{page}", to_end=True)
    assert (reply.status, reply.body, reply.is_whole) == (200, b"onetwo", True), (
        f"/{page} has two pieces, one and two, and a len() that cannot be used. The client got "
        f"{reply}. Only of a list or a tuple does the server know how many pieces come."
    )


@pytest.mark.lesson("the-end-of-the-body")
@new
def test_an_HTTP_1_0_client_gets_no_chunks(server):
    reply = get(server, "/two_pieces", version="HTTP/1.0", to_end=True)
    assert reply.header("Transfer-Encoding") is None and reply.body == b"onetwo", (
        f"A client of HTTP/1.0 got {reply}. It does not know the chunked coding (RFC 9112, "
        "section 6.1), so the end of the connection must end its body."
    )
    assert reply.is_whole, (
        "The body was sent, but the connection was reset, which tells the client that the body is "
        "cut."
    )


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
def test_each_piece_leaves_before_the_application_makes_the_next(server, tmp_path, page):
    gate = tmp_path / "gate"
    with connect(server, SOON) as client:
        client.sendall(format_request(f"/{page}{query(file=gate)}"))
        body = b""
        try:
            response = open_reply(client)
            while len(body) < len(b"first"):
                body += (piece := response.read1())
                assert piece, f"The body ended after {body!r}, so the first piece is missing."
        except TimeoutError:
            raise AssertionError(
                "The first piece did not come while the application was busy with the second "
                f"({body!r} came). Send each piece as soon as it is yielded, and collect none."
            ) from None
        finally:
            gate.touch()
        rest, is_whole = read_body(response)
        response.close()
    assert (body + rest, is_whole) == (b"first, second", True), (
        f"{response.status} and {body + rest!r} came, not 200 and b'first, second'. Both pieces "
        "leave, whether the application yields them, or sends them by the function write(), which "
        "start_response returns."
    )


@pytest.mark.lesson("start_response")
@new
@pytest.mark.milestone(2, "No HTTP status line came back")
def test_what_is_written_comes_ahead_of_what_is_returned(server):
    reply = get(server, "/writes", to_end=True)
    expected = (200, b"written, written again, returned", True)
    assert (reply.status, reply.body, reply.is_whole) == expected, (
        f"The client got {reply}. start_response returns write(), and write() sends at once, so "
        "its bytes come first. It sends nothing for an empty piece, because a chunk without bytes "
        f"would be the last one. {server.state()}"
    )


@pytest.mark.lesson("the-end-of-the-body")
@new
@pytest.mark.milestone(2, "No HTTP status line came back")
def test_an_application_that_raises_after_the_headers_ends_the_connection(server):
    with reported(server, "in raises_late"):
        reply = get(server, "/raises_late", to_end=True)
        assert (reply.status, reply.body) == (200, b"the first piece"), (
            f"{reply.status} and {reply.body!r} came. When the headers have left it is too late "
            "for a 500, so nothing may follow but the end of the connection."
        )
    assert_alive(server, "an error in the middle of the body")


# Applications that fail


@pytest.mark.lesson("the-end-of-the-body")
@new
@pytest.mark.milestone(3, "No answer came from")
@pytest.mark.parametrize("page", ["raises", "exits", "clears_environ", "raises_base_exception"])
def test_an_application_that_raises_gives_500_and_a_traceback(server, page):
    old_lines = len(server.output("stderr"))
    with reported(server, f"in {page}"):
        try:
            reply = get(server, f"/{page}")
        except (OSError, AssertionError):
            raise AssertionError(
                f"No answer came from /{page}, which raises. Only this request may fail, with 500, "
                "whatever the application raises: sys.exit, for one, raises SystemExit. "
                f"{server.state(old_lines)}"
            ) from None
        assert reply.status == 500, (
            f"/{page} raises an error before any headers have left, but {reply.status} came, not "
            "500."
        )
        assert b"Traceback" not in reply.body, (
            "The client got the traceback of the error. It belongs in the log, for whoever runs "
            "the server, because it shows a stranger what your program looks like from inside."
        )
    assert_alive(server, "an application that raised")


@pytest.mark.lesson(CONTRACT)
@new
@pytest.mark.milestone(3, "No line of the log")
def test_a_request_whose_application_raised_has_a_line_in_the_log_too(server):
    assert_logged(server, "/raises?logged", 500)


@pytest.mark.lesson("the-end-of-the-body")
@new
@pytest.mark.milestone(3, "No HTTP status line came back")
@our_words
def test_the_page_of_a_500_is_plain_text_and_the_traceback_is_on_stderr(start):
    server = start("apps:site")
    reply = get(server, "/raises", to_end=True)
    assert reply.header("Content-Type") == "text/plain", f"The page of a 500 is {reply.headers}."
    assert b"terminal" in reply.body and reply.is_whole, f"It says {reply.body!r}."
    server.wait_for_line("^Traceback", "stderr")
    server.wait_for_line("^ValueError: in raises$", "stderr")


@pytest.mark.lesson("start_response")
@new
@pytest.mark.milestone(3, "two statuses without exc_info")
def test_start_response_twice_is_an_error(server):
    assert_refused(server, "/starts_twice", "two statuses without exc_info")


@pytest.mark.lesson("start_response")
@new
@pytest.mark.milestone(3, "must raise the error in exc_info again")
def test_an_error_after_the_headers_is_raised_again_and_ends_the_connection(server):
    with reported(server, "too late to think again"):
        reply = get(server, "/thinks_too_late", to_end=True)
        assert reply.status == 200, f"The headers with 200 had left, but {reply.status} came."
        assert b"not to be seen" not in reply.body, (
            "The application went on after start_response(..., exc_info), although the headers "
            "had left. Then start_response must raise the error in exc_info again, which stops "
            "the application."
        )
        assert reply.body == b"the first answer", f"The body was {reply.body!r}."
    assert_alive(server, "an error that came after the headers")


@pytest.mark.lesson("start_response")
@new
@pytest.mark.milestone(3, "says 'too late to think again'")
@pytest.mark.flaw
@pytest.mark.course("when memory is freed is Python's business")
def test_what_a_failed_application_held_is_freed_at_once(server, tmp_path):
    file = tmp_path / "freed"
    with reported(server, "too late to think again"):
        get(server, "/thinks_too_late_with_a_file" + query(file=file))
    wait_until(
        file.exists,
        "start_response raised the error in exc_info, and what the application held then is still "
        "in memory, because the traceback holds the frame of start_response, and that frame holds "
        "the traceback. Set exc_info to None in a finally, as PEP 3333 shows.",
        SOON,
    )


WRONG_ANSWERS = {
    "returns_none": "None for a body, where an iterable of bytes is due",
    "starts_nothing": "a body without having called start_response, so there is no status",
    "with_bytes_status": "a status of bytes, where a string is due",
    "with_bytes_name": "a header whose name is of bytes, where a string is due",
    "with_bytes_value": "a header whose value is of bytes, where a string is due",
    "with_headers_that_are_no_list": "headers in an iterator, and PEP 3333 wants a list",
}


@pytest.mark.lesson("the-application")
@new
@pytest.mark.milestone(3, "No HTTP status line came back")
@pytest.mark.parametrize(
    "page",
    [
        "returns_none",
        "starts_nothing",
        pytest.param("with_bytes_status", marks=pytest.mark.milestone(5)),
        pytest.param("with_bytes_name", marks=pytest.mark.milestone(5, LET_THROUGH)),
        pytest.param("with_bytes_value", marks=pytest.mark.milestone(5, LET_THROUGH)),
        pytest.param(
            "with_headers_that_are_no_list",
            marks=[
                pytest.mark.milestone(5, LET_THROUGH),
                pytest.mark.course("a server may take other iterables, too"),
            ],
        ),
    ],
)
def test_an_answer_of_the_wrong_type_is_refused(server, page):
    assert_refused(server, f"/{page}", WRONG_ANSWERS[page])


text = pytest.mark.parametrize("page", ["returns_text", "writes_text"])


@pytest.mark.lesson("the-application")
@new
@pytest.mark.milestone(5, "got no answer at all")
@text
def test_an_application_that_gives_text_for_bytes_gets_an_answer_out(server, page):
    try:
        get(server, f"/{page}")
    except AssertionError as problem:
        raise AssertionError(
            "An application gave text, where bytes are due, and its client got no answer at all. "
            "If the server finds it before the headers count as sent there can be a 500. "
            f"{problem}"
        ) from None
    assert_alive(server, "text in place of bytes")


@pytest.mark.lesson("the-application")
@new
@pytest.mark.milestone(5, "No HTTP status line came back")
@pytest.mark.course("PEP 3333 wants bytes of the application, and of the server no check of them")
@text
def test_text_for_bytes_is_a_500_and_the_terminal_says_why(start, page):
    server = start("apps:site")
    assert_refused(server, f"/{page}", "text, where bytes are due")
    server.wait_for_line("bytes, not of str", "stderr")


MISTAKES = [
    *(f"/{page}" for page in WRONG_ANSWERS if page != "returns_none"),
    "/returns_text",
    "/writes_text",
    "/starts_twice",
    "/with_length?pieces=a",
    "/with_header?name=Content-Length&value=many",
    "/with_header?name=Upgrade&value=h2c",
    "/with_header?name=X-Test&value=%0a",
    "/with_status?status=OK",
]


@pytest.mark.lesson("the-application")
@new
@our_words
@pytest.mark.milestone(5, "no line of the server's output says in words")
def test_the_server_says_in_words_what_an_application_did_wrong(server):
    in_words = r"^(Type|Value|Runtime)Error: \w"
    for target in MISTAKES:
        seen = count_lines(server, in_words)
        exchange(server, format_request(target))
        wait_until(
            lambda seen=seen: count_lines(server, in_words) > seen,
            f"{target} shows a mistake of an application, and no line of the server's output says "
            "in words which one. A traceback shows where it happened, but only the text of the "
            "error says what is wrong.",
            SOON,
        )


# close()


def lines_at_rest(server, file):
    """Return the lines of a file, which the server may write when its client has all."""
    if not (file.exists() and file.stat().st_size):
        come_to_rest(server)
    return file.read_text().splitlines() if file.exists() else []


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
        ("closing_after_exit", "GET"),
        ("closing_after_early_error", "GET"),
        ("closing_without_status", "GET"),
    ],
)
def test_the_body_is_closed_however_it_ends(server, tmp_path, page, method):
    file = tmp_path / "closed"
    with contextlib.suppress(AssertionError):  # this is not about the answer
        get(server, f"/{page}{query(file=file)}", method, to_end=True)
    lines = lines_at_rest(server, file)
    assert len(lines) == 1, (
        f"close() of the body was called {len(lines)} times, not once ({method} /{page}). There "
        "an application frees what it has open, so call it in a finally, whatever happens."
    )
    assert_alive(server, f"/{page}")


def leave_in_the_middle(server, file):
    """Ask for a long body, read a little of it, and reset the connection. Return our port."""
    with connect(server) as client:
        client.sendall(format_request("/closing_after_much" + query(file=file)))
        assert client.recv(1000), "The application sent a long body, but nothing of it came."
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return client.getsockname()[1]


@pytest.mark.lesson("the-end-of-the-body")
@new
@pytest.mark.milestone(3, "close() of the body was")
def test_the_body_is_closed_when_the_client_has_gone(server, tmp_path):
    file = tmp_path / "closed"
    leave_in_the_middle(server, file)
    wait_until(
        lambda: file.exists() and file.read_text() == "closed\n",
        "The client reset the connection in the middle of the body, and close() of the body was "
        "not called. Then an application cannot free what it has open, so call close() in a "
        "finally.",
        SOON,
    )
    assert_alive(server, "a client that left in the middle of the body")


@pytest.mark.lesson("the-end-of-the-body")
@new
@pytest.mark.milestone(3)
@our_words
def test_a_client_that_has_gone_is_one_line_in_the_log_and_no_traceback(start, tmp_path):
    server = start("apps:site")
    port = leave_in_the_middle(server, tmp_path / "closed")
    line = server.wait_for_line(rf"^\[\d+\] 127\.0\.0\.1:{port} ")
    assert re.search("reset|Broken pipe|aborted|closed", line), (
        f"The client is lost, and the line does not say why: {line}"
    )
    assert not server.output("stderr"), (
        "A lost client is no mistake in the server, so there should be no traceback. "
        f"{server.state()}"
    )


@pytest.mark.lesson("the-end-of-the-body")
@new
@pytest.mark.milestone(3, "says 'in the close of fails_to_close'")
def test_an_error_in_close_is_reported_and_harms_nobody(server):
    with reported(server, "in the close of fails_to_close"):
        reply = get(server, "/fails_to_close")
        assert (reply.status, reply.body) == (200, b"all of it"), (
            f"{reply.status} and {reply.body!r} came, but the body had been sent before close()."
        )
    assert_alive(server, "an error in close()")


@pytest.mark.lesson("the-end-of-the-body")
@pytest.mark.milestone(5)
@pytest.mark.skipif(os.name != "posix", reason="Windows cannot send Ctrl-C to one process")
def test_ctrl_c_ends_the_server_while_an_application_runs(start, tmp_path):
    gate, server = tmp_path / "gate", start("apps:site")
    with connect(server) as client:
        client.sendall(format_request("/gated" + query(file=gate)))
        with open_reply(client):
            server.send_signal(signal.SIGINT)
            gate.touch()
            has_ended = not server.is_running(SOON)
    # Where a language has no word for signals, the signal itself ends it. A shell calls that 130.
    assert has_ended and server.wait() in (0, -signal.SIGINT, 128 + signal.SIGINT), (
        "Ctrl-C was typed while an application ran, and the server did not end as it should. "
        "Python raises KeyboardInterrupt also inside the application, but it is meant for the "
        f"server, so let it pass there, and end with status 0. {server.state()}"
    )
    assert "Traceback" not in "\n".join(server.output("stderr")), (
        f"Ctrl-C is no mistake, but the server answered it with a traceback. {server.state()}"
    )


# Where the body ends


@pytest.mark.lesson("the-end-of-the-body")
@new
@pytest.mark.milestone(4, "does not say where its body ends")
@pytest.mark.parametrize(
    ("page", "body"),
    [
        ("one_piece", b"all of it"),
        ("two_pieces", b"onetwo"),
        ("one_piece_of_a_generator", b"all of it"),
        ("no_piece", b""),
        ("writes", b"written, written again, returned"),
    ],
)
def test_a_client_of_HTTP_1_1_is_told_where_the_body_ends(server, page, body):
    reply = get(server, f"/{page}", to_end=True)
    codings = (reply.header("Transfer-Encoding") or "").lower()
    assert reply.header("Content-Length") or codings == "chunked", (
        f"The response does not say where its body ends, for its headers are {reply.headers}. "
        "Without Content-Length or Transfer-Encoding: chunked the end of the connection ends the "
        "body, so one that is cut looks whole: RFC 9112, section 6.3."
    )
    assert (reply.body, reply.is_whole) == (body, True), (
        f"The application made the body {body!r}, and {described(reply)}"
    )


@pytest.mark.lesson("the-end-of-the-body")
@new
@pytest.mark.course("a body of one piece may come in chunks, too")
@pytest.mark.milestone(4, "Content-Length is None")
@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
@pytest.mark.parametrize("page, body", [("one_piece", b"all of it"), ("no_piece", b"")])
def test_a_body_of_one_piece_or_none_gets_a_Content_Length(server, page, body, version):
    reply = get(server, f"/{page}", version=version)
    assert (reply.header("Content-Length"), reply.body) == (str(len(body)), body), (
        f"The list holds all of the body, {body!r}, so the server knows its length, but "
        f"Content-Length is {reply.header('Content-Length')} and the body {reply.body!r}."
    )


@pytest.mark.lesson("the-end-of-the-body")
@new
@pytest.mark.course("a server may divide a body into chunks as it likes")
@pytest.mark.milestone(4, "The server does not know how")
def test_a_body_of_unknown_length_comes_in_chunks_and_the_last_one_ends_it(server):
    data = exchange(server, format_request("/two_pieces"))
    head, _, body = data.partition(b"\r\n\r\n")
    assert re.search(rb"(?i)^transfer-encoding: *chunked\r?$", head, re.MULTILINE), (
        f"The headers are {head!r}. The server does not know how long the body will be, so it "
        "must tell an HTTP/1.1 client Transfer-Encoding: chunked, and the client sees the end."
    )
    assert body == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n", (
        f"The body was {body!r}. A chunk is its size in hexadecimal, CR LF, the bytes, and CR LF, "
        "and the last one has the size 0: RFC 9112, section 7.1."
    )


@pytest.mark.lesson("the-end-of-the-body")
@new
@pytest.mark.milestone(4, "it looks whole")
@pytest.mark.parametrize(
    "version",
    [
        "HTTP/1.1",
        pytest.param(
            "HTTP/1.0", marks=pytest.mark.course("in HTTP/1.0 a close may end a body that is cut")
        ),
    ],
)
def test_a_client_notices_a_body_that_an_error_cut(server, version):
    with reported(server, "in raises_late"):
        reply = get(server, "/raises_late", version=version, to_end=True)
    assert not reply.is_whole, (
        f"The application raised in the middle of its body, and to a client of {version} it looks "
        "whole. Leave out the last chunk, or reset the connection where there are no chunks."
    )


# The headers that say where a body ends, or how the connection goes on.
ABOUT_THE_BODY = {"content-length", "transfer-encoding", "connection", "keep-alive", "date"}
PAGES_FOR_HEAD = ["one_piece", "two_pieces", "writes", "with_length?pieces=abcde", "no_piece"]


@pytest.mark.lesson("the-end-of-the-body")
@new
@pytest.mark.milestone(4, "came after the headers for HEAD")
@pytest.mark.parametrize(
    "page",
    [
        *PAGES_FOR_HEAD[:-1],
        *(pytest.param(page, marks=pytest.mark.milestone(4)) for page in PAGES_FOR_HEAD[-1:]),
        pytest.param("no_piece_for_HEAD", marks=pytest.mark.milestone(4)),
    ],
)
def test_HEAD_gets_the_headers_of_GET_and_no_body(server, page):
    reply, answer = (get(server, f"/{page}", method, to_end=True) for method in ("GET", "HEAD"))
    assert answer.body == b"", (
        f"The body {bytes(answer.body)!r} came after the headers for HEAD. An application may "
        "send a body for HEAD, so the server must keep it back."
    )
    first, second = (
        [header for header in each.headers if header[0].lower() not in ABOUT_THE_BODY]
        for each in (reply, answer)
    )
    assert first == second, f"GET gets the headers {first}, HEAD gets {second}."
    assert answer.header("Content-Length") in (None, str(len(reply.body))), (
        f"HEAD /{page} gets Content-Length: {answer.header('Content-Length')}, but GET gets "
        f"{len(reply.body)} bytes. If an application makes no body for HEAD nobody knows how long "
        "that of GET would be, so leave the header out. RFC 9110, section 8.6, forbids another "
        "number."
    )


@pytest.mark.lesson("the-end-of-the-body")
@new
@pytest.mark.milestone(4)
def test_HEAD_gets_no_body_of_a_500_either(server):
    answer = get(server, "/raises", "HEAD", to_end=True)
    assert answer.status == 500, f"/raises raises an error, but HEAD got {answer.status}, not 500."
    assert answer.body == b"", (
        f"HEAD got a 500 with a body: {bytes(answer.body)!r}. An answer to HEAD has none, whatever "
        "its status is: RFC 9110, section 9.3.2."
    )


@pytest.mark.lesson("start_response")
@new
@pytest.mark.milestone(4)
@pytest.mark.parametrize(
    ("name", "value"), [("date", "Mon, 23 Nov 2026 08:29:37 GMT"), ("content-length", "14")]
)
def test_a_header_that_the_application_sends_is_not_sent_twice(server, name, value):
    reply = get(server, "/with_header" + query(name=name, value=value), to_end=True)
    found = [key for key, _ in reply.headers if key.lower() == name]
    assert len(found) == 1, (
        f"The application sent {name}: {value}, and the client got {reply.headers}. The server "
        "adds such a header only where the application sends none, and a header's name may be in "
        "any case."
    )


@pytest.mark.lesson("the-end-of-the-body")
@new
@pytest.mark.course("a server may leave out for HEAD what it learns only while it makes the body")
@pytest.mark.milestone(4, "HEAD gets")
@pytest.mark.parametrize("page", PAGES_FOR_HEAD[:3])
def test_HEAD_gets_all_headers_of_GET(server, page):
    first, second = (
        [header for header in get(server, f"/{page}", method).headers if header[0] != "Date"]
        for method in ("GET", "HEAD")
    )
    names = [name for name, _ in second]
    assert first == second and {"Content-Length", "Transfer-Encoding"} & {*names}, (
        f"GET gets the headers {first}, HEAD gets {second}. Both must say how the body would end."
    )


@pytest.mark.lesson("the-end-of-the-body")
@new
@pytest.mark.milestone(4, "The body never ends")
def test_HEAD_of_an_endless_body_ends(server):
    try:
        reply = get(server, "/endless", "HEAD", timeout=SOON)
    except AssertionError as error:
        raise AssertionError(
            "The body never ends, and HEAD needs none of it, so stop after the headers."
        ) from error
    assert (reply.status, reply.body) == (200, b""), (
        f"HEAD of an endless body got {reply.status} and a part of the body."
    )


@pytest.mark.lesson("the-end-of-the-body")
@new
@pytest.mark.milestone(4, "takes it for the next response")
@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_a_status_that_has_no_body_is_sent_without_one(server, status):
    reply = get(server, "/with_status" + query(status=status), to_end=True)
    assert f"{reply.status} {reply.reason}" == status, f"{reply.status} came for {status}."
    assert reply.body == b"", (
        f"The body {bytes(reply.body)!r} came with {status}, which has none. A client takes it "
        "for the next response."
    )
    names = ["Content-Length", "Transfer-Encoding"]
    if status.startswith("304"):  # it may say how the body would have been sent, as to HEAD
        names.remove("Transfer-Encoding")
    for name in names:
        assert reply.header(name) is None, (
            f"The server added {name}: {reply.header(name)} to {status}, which is a response "
            "without a body."
        )


@pytest.mark.lesson("the-end-of-the-body")
@new
@pytest.mark.milestone(4, "Content-Length said 5, and")
@pytest.mark.parametrize(
    ("target", "most"),
    [
        ("/with_length?pieces=ab,cdefg", b"abcde"),
        ("/with_length?pieces=abcde,fg", b"abcde"),
        ("/with_length_and_write", b"abcde"),
    ],
)
def test_more_body_than_Content_Length_is_cut(server, target, most):
    reply = get(server, target, to_end=True)
    right = [b"abcde", b"abc"] if "write" in target else [b"abcde"]  # write may raise an error
    assert reply.header("Content-Length") == "5" and reply.body in right, (
        f"Content-Length said {reply.header('Content-Length')}, and {bytes(reply.body)!r} came. "
        "What comes after the length is up looks to the client like the start of another response."
    )


@pytest.mark.lesson("the-end-of-the-body")
@new
@our_words
@pytest.mark.milestone(4, "no line with '(?i)content-length'")
def test_less_body_than_Content_Length_is_reported(start):
    server = start("apps:site")
    reply = get(server, "/with_length?pieces=ab,c", to_end=True)
    assert reply.body == b"abc", f"The application gave abc, and {reply.body!r} came."
    server.wait_for_line("(?i)content-length", "stderr")
    assert_alive(server, "a body that is too short")


@pytest.mark.lesson("both-sides-checked")
@new
@pytest.mark.milestone(4, "The validated application gave")
def test_wsgiref_validate_finds_nothing(start):
    server = start("apps:validated")
    replies = [
        get(server, "/?a=1"),
        get(server, "/caf%C3%A9?a=%C3%A9", headers=["Cookie: a=1", "X-Name: caf\u00e9"]),
        get(server, "/?a=1", "HEAD"),
        post(server, "/?a=1", b"a body", ["Content-Type: text/plain"]),
    ]
    bodies = [(reply.status, bytes(reply.body)) for reply in replies]
    assert bodies == [(200, b"Hello"), (200, b"Hello"), (200, b""), (200, b"a body")], (
        f"The validated application gave {bodies}. Where a rule is broken, wsgiref.validate raises "
        f"an error that names it. {server.state()}"
    )
    server.kill()
    found = [line for line in server.output("either") if re.search("AssertionE|WSGIWarn", line)]
    assert not found, "wsgiref.validate found a breach of the contract:\n" + "\n".join(found)


# What a client sends after its request


@pytest.mark.lesson("the-end-of-the-body")
@new
@pytest.mark.milestone(5, "then a reset")
@pytest.mark.parametrize("target", ["/large?bytes=2000000", "/large_in_pieces?pieces=30"])
def test_a_stray_line_end_during_a_large_answer_does_not_cut_it(server, target):
    check_large_answer(server, target, b"", b"\r\n")


@pytest.mark.lesson("the-end-of-the-body")
@new
@pytest.mark.milestone(5, "then a reset")
def test_bytes_that_nobody_reads_behind_a_request_do_not_cut_a_large_answer(server):
    check_large_answer(server, "/large?bytes=2000000", bytes(150_000), b"")


def check_large_answer(server, target, at_once, later):
    """Send a request for 2 MB, bytes behind it, and more when the answer begins. Is it whole?"""
    request = format_request(target, "POST", ["Content-Length: 4"]) + b"body"
    with connect_with_small_buffer(server) as client:
        with contextlib.suppress(ConnectionError):  # the server may have reset the connection
            client.sendall(request + at_once)
        with open_reply(client) as response:
            with contextlib.suppress(ConnectionError):
                client.sendall(later)
            time.sleep(PAUSE)  # this client is slow: now the server could close
            body, is_whole = read_body(response)
    assert is_whole, (
        f"Of 2 MB {len(body)} bytes came, then a reset. A socket that is closed while it holds "
        "unread bytes resets the connection, and what is on its way is lost. So end your half of "
        "the stream, read what still comes, and then close: RFC 9112, section 9.6."
    )


@pytest.mark.lesson("the-end-of-the-body")
@new
@pytest.mark.milestone(5, "then a reset")
def test_a_stray_line_end_does_not_make_a_whole_body_look_cut(server, tmp_path):
    gate = tmp_path / "gate"
    with connect(server) as client:
        client.sendall(format_request("/gated" + query(file=gate), version="HTTP/1.0"))
        with open_reply(client) as response:
            client.sendall(b"\r\n")
            gate.touch()
            body, is_whole = read_body(response)
    assert (body, is_whole) == (b"first, second", True), (
        f"{body!r} came, and then a reset: to a client of HTTP/1.0 that says that the body is "
        "cut. The reset came because the client had sent CR LF after its request, and nobody read "
        "that."
    )


@pytest.mark.lesson("the-end-of-the-body")
@new
@pytest.mark.milestone(5, "then a reset")
def test_a_stray_line_end_does_not_reset_the_page_of_a_500(start, tmp_path):
    gate, server = tmp_path / "gate", start("apps:site")
    with connect(server) as client:
        client.sendall(format_request("/raises_gated" + query(file=gate)))
        server.wait_for_line("raises_gated was called", "either")
        client.sendall(b"\r\n")
        gate.touch()
        data, was_reset = receive_to_end(client)
    assert parse_reply(data).status == 500 and not was_reset, (
        f"{data!r} came, {'then a reset' * was_reset}. The client had sent CR LF after its "
        "request, and nobody read that, but a page about an error has to arrive, too."
    )


@pytest.mark.lesson("the-end-of-the-body")
@new
@pytest.mark.course("a server may wait for its client to close, if others do not wait meanwhile")
@pytest.mark.parametrize("target", ["/hello", pytest.param("/large?bytes=200000", marks=LINUX)])
def test_clients_that_keep_their_ends_open_hold_up_nobody(server, target):
    requests = format_request(target), format_request("/hello")
    seconds = seconds_of_a_fifth_client(server, *requests)
    assert seconds < 0.5, (
        f"Four clients had read their answers, and kept their ends of the connections open. The "
        f"answer of a fifth client took {seconds:.2f} s. Wait for nobody who has all of the answer."
    )


# What a client must not get into environ


@pytest.mark.lesson("environ")
@new
@pytest.mark.milestone(5, "passed for X-User")
def test_a_header_with_an_underscore_cannot_pass_for_another(server):
    headers = ["X-User: alice", "X_User: mallory", "Content_Length: 7", "Only_This: 1"]
    reply = get(server, "/shown", headers=headers)
    if reply.status == 400:  # the server does not take such names at all
        return
    environ = take_json(server, "/shown", reply)
    assert environ["HTTP_X_USER"][1] == "alice", (
        f"HTTP_X_USER is {environ['HTTP_X_USER'][1]!r}: the client's X_User passed for X-User. "
        "Both become HTTP_X_USER, so leave out every header with an underscore."
    )
    for name in ("HTTP_CONTENT_LENGTH", "CONTENT_LENGTH", "HTTP_ONLY_THIS"):
        assert not environ.get(name, ["", ""])[1], (
            f"environ has {name}, made from a header with an underscore, but such headers must be "
            "left out."
        )


@pytest.mark.lesson("environ")
@new
@pytest.mark.course("no RFC forbids the header Proxy")
@pytest.mark.milestone(5, "A client can set HTTP_PROXY")
def test_a_Proxy_header_does_not_become_HTTP_PROXY(server):
    environ = get_environ(server, headers=["Proxy: http://evil.example"])
    assert "HTTP_PROXY" not in environ, (
        "A client can set HTTP_PROXY with the header Proxy. Programs take that variable for the "
        "proxy of their own requests, so leave the header out."
    )


@pytest.mark.lesson("environ")
@new
@pytest.mark.milestone(5, "Three X-Many headers gave")
def test_repeated_headers_are_joined_by_a_comma(server):
    value = get_environ(server, headers=["X-Many: 1", "x-many: 2, 3", "X-MANY:4"])["HTTP_X_MANY"][1]
    assert re.fullmatch("1, ?2, 3, ?4", value), (
        f"Three X-Many headers gave {value!r}. All values must be joined by a comma, in their "
        "order."
    )


@pytest.mark.lesson("environ")
@new
@pytest.mark.course("a client of HTTP/1.1 must not send two Cookie headers: RFC 6265, section 5.4")
@pytest.mark.milestone(5, "Two Cookie headers gave")
def test_cookies_are_joined_by_a_semicolon(server):
    value = get_environ(server, headers=["Cookie: a=1", "cookie: b=2"])["HTTP_COOKIE"][1]
    assert value == "a=1; b=2", (
        f"Two Cookie headers gave {value!r}. Cookies must be joined by '; ', because a comma may "
        "be part of a cookie."
    )


CHUNKED = b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n"


@pytest.mark.lesson("environ")
@new
@pytest.mark.milestone(5)
def test_wsgi_input_holds_a_chunked_body_without_its_chunk_sizes(server):
    pieces = read_input(server, "read(-1)", "Transfer-Encoding: chunked", body=CHUNKED)
    assert pieces in (["hello world", ""], None), (  # None: 411, "give me a length"
        f"A chunked body, hello world, reached the application as {pieces}. It must come without "
        "its chunk sizes, and from its start."
    )


@pytest.mark.lesson("environ")
@new
@pytest.mark.course("CONTENT_LENGTH may be absent if the client sent none")
@pytest.mark.milestone(5, "The body is no longer chunked")
def test_CONTENT_LENGTH_of_a_chunked_body_is_its_decoded_length(server):
    request = format_request("/shown", "POST", ["Transfer-Encoding: chunked"]) + CHUNKED
    environ = json.loads(parse_reply(exchange(server, request)).body)
    assert environ.get("CONTENT_LENGTH") == ["str", "11"], (
        f"CONTENT_LENGTH is {environ.get('CONTENT_LENGTH')}, but the chunks hold 11 bytes. "
        "Without it frameworks read nothing, because CGI has no other way to say how long a body "
        "is."
    )
    assert "HTTP_TRANSFER_ENCODING" not in environ, (
        "The body is no longer chunked when the application reads it, so leave the header out."
    )


# What an application must not send


@pytest.mark.lesson("start_response")
@new
@pytest.mark.milestone(5, "was sent to the client")
@pytest.mark.parametrize(
    "name",
    [
        "Connection",
        "keep-alive",
        "Proxy-Authenticate",
        "Proxy-Authorization",
        "TE",
        "Transfer-Encoding",
        "UPGRADE",
    ],
)
def test_a_header_about_the_connection_is_the_servers_business(server, name):
    reply = get(server, "/with_header" + query(name=name, value="from-the-application"))
    assert "from-the-application" not in str(reply.headers), (
        f"The hop-by-hop header {name} of the application was sent to the client: "
        f"{reply.headers}. It is about the connection, about which only the server can know."
    )
    assert_alive(server, "a header that an application must not send")


@pytest.mark.lesson("start_response")
@new
@pytest.mark.course("a server may leave such a header out, and say nothing")
@pytest.mark.milestone(5, LET_THROUGH)
@pytest.mark.parametrize("name", ["connection", "Trailer", "Transfer-Encoding", "UPGRADE"])
def test_a_header_about_the_connection_is_refused(server, name):
    target = "/with_header" + query(name=name, value="from-the-application")
    assert_refused(server, target, f"the hop-by-hop header {name}")


@pytest.mark.lesson("step02_http_server/README.md#what-the-server-refuses-to-send")
@new
@pytest.mark.milestone(5)
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
        ("Content-Length", "many"),
        *(
            pytest.param("Content-Length", value, marks=pytest.mark.milestone(5, LET_THROUGH))
            for value in ("-1", "+14", "1_4", "14, 14")
        ),
    ],
)
def test_a_header_that_HTTP_does_not_allow_is_never_sent(server, name, value):
    target = "/with_header" + query(name=name, value=value)
    reply = assert_refused(server, target, f"the header {name!r} with the value {value!r}")
    assert reply.header("Set-Cookie") is None and reply.header("X-Other") is None, (
        "A line break in a header let its author add other headers, so CR and LF must be refused."
    )


@pytest.mark.lesson("start_response")
@new
def test_each_character_of_a_header_leaves_as_one_byte(server):
    reply = get(server, "/with_header" + query(name="X-Test", value="caf\xe9"))
    assert reply.header("X-Test") == "caf\xe9", (
        f"The application sent a header with the value 'caf\xe9', and {reply.header('X-Test')!r} "
        "came. By PEP 3333 each character of its strings stands for one byte, so encode them as "
        "latin-1."
    )


@pytest.mark.lesson("step02_http_server/README.md#what-the-server-refuses-to-send")
@new
@pytest.mark.milestone(5)
@pytest.mark.parametrize(
    "status",
    [
        "OK",
        "OK 200",
        "20 OK",
        "2000 OK",
        "200 OK\r\nX-Other: 1",
        "200 \0",
        "",
        pytest.param("200", marks=pytest.mark.course("RFC 9112 lets the words be empty")),
    ],
)
def test_a_status_that_HTTP_does_not_allow_is_never_sent(server, status):
    target = "/with_status" + query(status=status)
    reply = assert_refused(server, target, f"the status {status!r}")
    assert reply.header("X-Other") is None, (
        "A line break in the status became a header, so CR and LF must be refused there, too."
    )


@pytest.mark.lesson("the-end-of-the-body")
@new
@pytest.mark.course("an application must not close the streams of the server")
@pytest.mark.milestone(5, "the server serves nobody")
def test_an_application_that_closes_stderr_harms_nobody(start):
    server = start("apps:site")
    with contextlib.suppress(OSError, AssertionError):
        get(server, "/closes_stderr")
    assert_alive(server, "an application that closed stderr and raised")


# Clients that do not read


def stop_reading(server, file):
    """Ask for a long body, and read none of it until the server gives up. Is it whole?"""
    with connect_with_small_buffer(server) as client:
        client.sendall(format_request("/closing_after_much" + query(file=file)))
        with open_reply(client) as response:
            wait_until(
                file.exists,
                f"A client did not read for {SEND_SECONDS + ROOM} seconds, and the server was "
                f"still busy with it. Give it up after {SEND_SECONDS} seconds without progress, "
                "because one such client would hold the server forever.",
                SEND_SECONDS + ROOM,
            )
            return read_body(response)[1]


def pause(server):
    """Ask for a long body, read none of it for half of the time, then all. Is it whole?"""
    with connect_with_small_buffer(server) as client:
        client.sendall(format_request("/large_in_pieces?pieces=200"))
        with open_reply(client) as response:
            time.sleep(SEND_SECONDS / 2)
            return read_body(response)[1]


def read_steadily(server):
    """Ask for one large piece, read slowly until the time is over, then all. Is it whole?"""
    length = 0
    with connect_with_small_buffer(server) as client:
        client.sendall(format_request(f"/large?bytes={SIZE}"))
        begin = time.monotonic()
        with open_reply(client) as response:
            with contextlib.suppress(OSError):
                while time.monotonic() < begin + SEND_SECONDS + 1:
                    length += len(piece := response.read1(64 * 1024))
                    if not piece:
                        break
                    time.sleep(max(0, begin + length / BYTES_A_SECOND - time.monotonic()))
            return read_body(response)[1]


@pytest.mark.lesson("the-end-of-the-body")
@new
@pytest.mark.milestone(5)
def test_a_client_that_does_not_read_is_given_up_and_a_slow_one_is_not(start, tmp_path):
    servers = [start("apps:site") for _ in range(3)]
    with concurrent.futures.ThreadPoolExecutor() as pool:  # all of them wait at the same time
        stopped = pool.submit(stop_reading, servers[0], tmp_path / "closed")
        paused = pool.submit(pause, servers[1])
        steady = pool.submit(read_steadily, servers[2])
    assert not stopped.result(), (
        "A client was given up in the middle of its body, and the part that it had looked whole."
    )
    assert_alive(servers[0], "a client that does not read")
    assert paused.result(), (
        f"A client read nothing for {SEND_SECONDS / 2} seconds, and then it found its body cut, "
        f"but the limit is {SEND_SECONDS} seconds without progress."
    )
    assert steady.result(), (
        f"A client read slowly, but without a pause, for {SEND_SECONDS + 1} seconds, and then it "
        f"found its body cut. The limit of {SEND_SECONDS} seconds is for progress, not for all "
        "bytes of one send."
    )


# Others' applications


@pytest.mark.lesson("one-contract-for-all")
@new
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_an_application_of_any_framework_runs_unchanged(shared, framework):
    server = shared(f"{framework}_site:application")
    reply = get(server, "/hello/caf%C3%A9%20%E2%82%AC")
    assert (reply.status, reply.body.decode()) == (200, "Hello, caf\u00e9 \u20ac"), (
        f"{framework} gave {reply.status}, {bytes(reply.body)!r}. A framework decodes PATH_INFO "
        "as UTF-8 itself, so the server must leave there a byte in each character, which is "
        f"latin-1. {server.state()}"
    )
    headers = ["Content-Type: application/x-www-form-urlencoded"]
    reply = post(server, "/form", b"b=2&a=%C3%A9", headers)
    assert reply.body.decode() == "a=\u00e9, b=2", (
        f"The form a=é, b=2 came to the application as {bytes(reply.body)!r}."
    )
    reply = get(server, "/cookies", headers=["Cookie: new=1; old=yes"])
    assert reply.body == b"yes", (
        f"Of two cookies in one header {framework} saw {bytes(reply.body)!r}, not the second one, "
        "yes."
    )
    set_cookies = [value for name, value in reply.headers if name.lower() == "set-cookie"]
    cookies = [value.split(";")[0].strip() for value in set_cookies]
    assert cookies == ["one=1", "two=2"], (
        f"Two Set-Cookie headers, one=1 and two=2, were set, but {cookies} came. Headers are a "
        "list, and no dict, because a name may come twice."
    )
    assert get(server, "/stream").body == b"one two three", "The pieces of /stream are not whole."
    assert get(server, "/nothing").status == 404, "Its own page for 404 must come through."
    assert get(server, "/hello/x", "HEAD").body == b"", "HEAD got a body."


# The applications that come with this step


@pytest.fixture(params=["app:application", "flask_app:app"])
def pages(request, shared):
    """A server with the step's own application, first the plain one, then the one in Flask."""
    if request.param.startswith("flask"):
        pytest.importorskip("flask", reason="Flask is not installed: pip install flask")
    return shared(request.param)


@pytest.mark.lesson("try-it")
@new
@our_application
def test_the_home_page_names_the_process_and_the_connection(pages):
    with connect(pages) as client:
        port = client.getsockname()[1]
        client.sendall(format_request())
        reply = read_reply(client)
    assert reply.status == 200, f"/ gave {reply.status}."
    text = " ".join(html.unescape(re.sub("<[^>]*>", "", reply.body.decode())).split())
    processes = re.search(r"Process (\d+), a child of process (\d+),", text)
    assert processes and str(pages.pid) in processes.groups(), (
        f"The server is process {pages.pid}, but the page does not say so: {text}"
    )
    connection = f"from 127.0.0.1:{port} to 127.0.0.1:{pages.port}"
    assert connection in text, f"The connection is {connection}, but the page says: {text}"


@pytest.mark.lesson("what-is-still-wrong")
@new
@our_application
@pytest.mark.flaw
def test_one_process_serves_all_requests(pages):
    texts = [get(pages, "/").body.decode() for _ in range(3)]
    assert all(f"Process <b>{pages.pid}</b>" in text for text in texts), (
        f"The server is process {pages.pid}, and in this step it does not fork yet, but the pages "
        f"say: {texts}"
    )


@pytest.mark.lesson("environ")
@new
@our_application
def test_the_environ_page_shows_environ(pages):
    reply = get(pages, "/environ?x=1", headers=["X-Test: a header"])
    text = reply.body.decode()
    for line in ("QUERY_STRING = 'x=1'", "HTTP_X_TEST = 'a header'", "wsgi.version = (1, 0)"):
        assert line in text.splitlines(), f"/environ has no line {line!r}. It shows:\n{text}"


@pytest.mark.lesson("try-it")
@new
@our_application
@pytest.mark.parametrize(("target", "asked"), [("/slow?seconds=0.1", 0.1), ("/slow", 1.0)])
def test_the_slow_page_takes_the_time_that_it_is_asked_for(pages, target, asked):
    start = time.perf_counter()  # on Windows monotonic had steps of 16 ms before Python 3.13
    reply = get(pages, target)
    seconds = time.perf_counter() - start
    assert reply.status == 200 and b"slept %.1f seconds" % asked in reply.body, (
        f"It said {reply.body!r}."
    )
    assert seconds >= asked, f"{target} took only {seconds:.3f} seconds. Does it sleep at all?"


@pytest.mark.lesson("try-it")
@new
@our_application
@pytest.mark.parametrize("seconds", ["a", "-1", "61", "nan", "inf", "", "1,5", "1e9"])
def test_the_slow_page_refuses_what_is_no_number_from_0_to_60(pages, seconds):
    try:
        status = get(pages, f"/slow?seconds={seconds}", timeout=SOON).status
    except AssertionError:
        status = "no answer"
    assert status == 400, f"/slow?seconds={seconds} gave {status}, not 400 Bad Request."


@pytest.mark.lesson("try-it")
@new
@our_application
def test_the_echo_page_sends_the_body_back(pages):
    body = bytes(range(256)) * 1000
    reply = post(pages, "/echo", body)
    assert reply.status == 200, f"/echo gave {reply.status}."
    assert reply.body == body, f"{len(body)} bytes were sent, others came back from /echo."


@pytest.mark.lesson("try-it")
@new
@our_application
@pytest.mark.parametrize(
    "pages",
    [
        "app:application",
        pytest.param("flask_app:app", marks=pytest.mark.milestone(5, "A chunked body, abc, came")),
    ],
    indirect=True,
)
def test_the_echo_page_takes_a_chunked_body(pages):
    request = format_request("/echo", "POST", ["Transfer-Encoding: chunked"])
    reply = parse_reply(exchange(pages, request + b"3\r\nabc\r\n0\r\n\r\n"))
    assert reply.body == b"abc", f"A chunked body, abc, came back from /echo as {reply.body!r}."


@pytest.mark.lesson("the-end-of-the-body")
@new
@our_application
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
    with reported(pages, "ZeroDivisionError"):
        assert get(pages, "/crash").status == 500, "/crash divides by 0, so it must get a 500."
    assert get(pages, "/").status == 200, "After /crash the server must serve on."


@pytest.mark.lesson("the-end-of-the-body")
@new
@our_application
@pytest.mark.milestone(2, "All pieces came together")
@pytest.mark.parametrize("application", ["app:application", "flask_app:app"])
def test_the_stream_page_sends_each_piece_when_it_is_made(start, application):
    if application == "flask_app:app":
        pytest.importorskip("flask", reason="Flask is not installed: pip install flask")
    server = start(application)
    with connect(server, SOON) as client:
        begin = time.perf_counter()
        client.sendall(format_request("/stream"))
        with open_reply(client) as response:
            assert response.getheader("Content-Type") == "text/plain; charset=utf-8"
            body = b""
            while b"piece 2\n" not in body:
                body += (piece := response.read1())
                assert piece, f"The body ended after {body!r}, without piece 2."
    assert b"piece 5" not in body, (
        "All pieces came together, but each is to leave as soon as it is yielded."
    )
    seconds = time.perf_counter() - begin
    assert seconds >= 0.5, (
        f"Piece 2 came after {seconds:.2f} s, but it should come half a second after piece 1."
    )


@pytest.mark.lesson("try-it")
@new
@our_application
def test_what_a_visitor_typed_is_never_shown_as_html(pages):
    script = "<script>alert(1)</script>"
    replies = [
        get(pages, "/environ", headers=[f"X-Test: {script}"]),
        get(pages, "/slow?seconds=0"),
        get(pages, f"/slow?seconds={script}"),
        post(pages, "/echo", script.encode(), ["Content-Type: text/html"]),
    ]
    types = [reply.header("Content-Type") for reply in replies]
    assert types == ["text/plain; charset=utf-8"] * 4, f"These pages are plain text, not {types}."
    home = get(pages, "/").header("Content-Type")
    assert home == "text/html; charset=utf-8", f"The home page is HTML, not {home}."


def assert_type_is_right(reply):
    """Fail unless a page says that it is HTML if it is, and that it is plain text if it is not."""
    is_html = reply.body.lower().startswith(b"<!doctype html")
    right = "text/html; charset=utf-8" if is_html else "text/plain; charset=utf-8"
    assert reply.header("Content-Type") == right, (
        f"The page is {right}, but its headers are {reply.headers}."
    )


@pytest.mark.lesson("try-it")
@new
@our_application
def test_a_page_that_does_not_exist_is_404(pages):
    for target in ("/nothing", "/environ/", "/caf%C3%A9", "/%FF"):
        reply = get(pages, target)
        assert reply.status == 404, f"There is no page {target}, but it gave {reply.status}."
        assert_type_is_right(reply)


@pytest.mark.lesson("try-it")
@new
@our_application
@pytest.mark.parametrize(
    ("method", "target", "allowed"),
    [
        ("POST", "/", {"GET", "HEAD"}),
        ("OPTIONS", "/", {"GET", "HEAD"}),
        ("DELETE", "/environ", {"GET", "HEAD"}),
        ("POST", "/slow", {"GET", "HEAD"}),
        ("POST", "/crash", {"GET", "HEAD"}),
        ("POST", "/stream", {"GET", "HEAD"}),
        ("GET", "/echo", {"POST"}),
    ],
)
def test_a_method_that_a_page_does_not_take_is_405_with_Allow(pages, method, target, allowed):
    reply = get(pages, target, method)
    assert reply.status == 405, f"{method} {target} gave {reply.status}."
    assert_type_is_right(reply)
    assert {*(reply.header("Allow") or "").split(", ")} == allowed, (
        f"A 405 says in Allow what the page takes, {allowed}. It says {reply.header('Allow')!r}."
    )


@pytest.mark.lesson("try-it")
@new
@our_application
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
        reply = get(pages, target, "HEAD", timeout=SOON)
        assert (reply.status, reply.body) == (200, b""), f"HEAD {target} gave {reply}."


# Which application


CANNOT_BE_LOADED = [
    ("no_such_module:application", None),
    ("test_module:no_such_name", "application = print"),
    pytest.param(
        *("test_module:number", "number = 42"),
        marks=[
            pytest.mark.milestone(3, "The server is still running"),
            pytest.mark.course("a server may find out when it calls the application"),
        ],
    ),
    (":application", None),
    ("test_module:application", "1 / 0"),
    ("test_module:application", "raise ValueError('one line,\\nand another')"),
    ("test_module:application", "def application(:"),
    ("test_module:application", "raise SystemExit(7)"),
]


def start_with(start, application, module, folder):
    """Start a server with an application of test_module, whose text is module."""
    if module is not None:
        (folder / "test_module.py").write_text(module)
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    return start(application, environment={"PYTHONPATH": path}, first_line=False)


@pytest.mark.lesson("try-it")
@pytest.mark.milestone(3)
@pytest.mark.parametrize(("application", "module"), CANNOT_BE_LOADED)
def test_without_its_application_a_server_does_not_start(start, tmp_path, application, module):
    server = start_with(start, application, module, tmp_path)
    status = server.wait()
    assert status != 0 and not server.output(), (
        f"{application} cannot be loaded. The server must say so and end with another exit status "
        f"than 0, before it listens. It ended with {status}.\n{server.report()}"
    )


@pytest.mark.lesson("try-it")
@new
@our_words
@pytest.mark.milestone(3, "The exit status is")
@pytest.mark.parametrize(
    ("application", "module"), [*CANNOT_BE_LOADED, ("test_module", "application = print")]
)
def test_an_application_that_cannot_be_loaded_is_one_line_and_status_2(
    start, tmp_path, application, module
):
    server = start_with(start, application, module, tmp_path)
    status = server.wait()
    lines = server.output("stderr")
    assert "unrecognized arguments" not in str(lines), (
        f"The server takes no APPLICATION: it said {lines}."
    )
    assert status == 2, f"The exit status is {status}, not 2. The server printed {lines}."
    assert len(lines) == 1, (
        f"There should be one clear line on standard error, and no traceback, but it was {lines}."
    )
    assert application in lines[0], f"The line does not name {application}: {lines[0]}"


@pytest.mark.lesson("try-it")
@new
@our_words
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
        f"Line {number} of {file} fails, but whoever reads {line!r} must look for it."
    )


where_it_is = pytest.mark.course("where a server looks for an application is its own choice")


@pytest.mark.lesson("try-it")
@new
@where_it_is
def test_an_application_in_the_current_folder_comes_before_the_steps_own(start, tmp_path):
    page = "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'%s']"
    (tmp_path / "flask_app.py").write_text(page % "the one in the current folder")
    reply = get(start("flask_app:app", cwd=tmp_path))
    assert reply.body == b"the one in the current folder", (
        "The current folder has a flask_app.py of its own, but the server took the step's."
    )


@pytest.mark.lesson("try-it")
@new
@where_it_is
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


@pytest.mark.lesson("try-it")
@new
@where_it_is
def test_an_application_of_the_step_is_found_from_any_folder(start, tmp_path):
    reply = get(start("app:application", cwd=tmp_path))
    assert b"a child of process" in reply.body, (
        f"app.py of the step should be found from any folder, but the page was {reply.body!r}."
    )


@pytest.mark.lesson("try-it")
@where_it_is
def test_without_an_argument_the_steps_own_application_is_served(start, tmp_path):
    (tmp_path / "app.py").write_text("raise SystemExit('the wrong app.py')")
    reply = get(start(cwd=tmp_path))
    assert reply.status == 200 and b"<h1>It works</h1>" in reply.body, (
        f"The page of the step's own app.py was expected, and {reply.body!r} came."
    )


# The server as a program


@pytest.mark.lesson("step01_echo_socket/README.md#2-set-options")
@new
@pytest.mark.milestone(5)
def test_a_restarted_server_gets_its_port_back(start, tmp_path):
    gate, first = tmp_path / "gate", start("apps:site")
    with connect(first) as client:
        client.sendall(format_request("/gated" + query(file=gate)))
        with open_reply(client) as response:
            first.kill()  # the server's side ends first: its port stays in TIME_WAIT for a minute
            read_body(response)
    second = start("apps:site", port=first.port)
    assert second.port == first.port, "The second server must listen on the port of the first."
    assert_alive(second, "a restart on the same port")


@pytest.mark.lesson("step01_echo_socket/README.md#the-command-line")
@our_words
def test_the_help_names_the_defaults(start):
    server = start("--help", first_line=False)
    assert server.wait() == 0, server.report()
    text = " ".join(server.report().split())
    assert "(default: 127.0.0.1)" in text and "(default: 8000)" in text, text


# What is still wrong


@pytest.mark.lesson("what-is-still-wrong")
@new
@pytest.mark.flaw
@pytest.mark.course("a server may have threads before it needs them")
def test_a_second_client_waits_while_the_first_is_served(server):
    with connect(server) as first, connect(server) as second:
        first.sendall(b"GET /hello?first HTTP/1.1\r\nConnection: close\r\n")  # the rest comes later
        second.sendall(format_request("/hello?second"))
        second.settimeout(PAUSE)
        with pytest.raises(TimeoutError):
            data = second.recv(65536)
            raise AssertionError(
                f"The second client got {data[:80]!r} before the first had its answer. This step's "
                "server serves one client after another; that changes in the next step."
            )
        first.sendall(b"Host: test\r\n\r\n")
        second.settimeout(PATIENCE)
        replies = [read_reply(client).status for client in (first, second)]
    assert replies == [200, 200], f"Each of the two clients must get 200, but they got {replies}."
