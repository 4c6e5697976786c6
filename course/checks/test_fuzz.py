"""Random and damaged requests, by Hypothesis, through a real socket.

http_message.py is the same file in steps 2 to 6: what holds here holds in all of them.
"""

import contextlib
import re
import socket
import tempfile

import hypothesis.configuration
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.harness import connect, get, receive_all

hypothesis.configuration.set_hypothesis_home_dir(tempfile.gettempdir())  # leave no folder here

STEP = "step03_wsgi"

bounded = settings(
    max_examples=125,
    deadline=None,
    derandomize=True,  # each run sends the same requests: a failure comes again
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

# Good requests, to be damaged.
REQUESTS = [
    b"GET / HTTP/1.1\r\nHost: test\r\n\r\n",
    b"HEAD /environ?a=b%20c HTTP/1.0\r\nCookie: a=b\r\nCookie: c=d\r\n\r\n",
    b"GET http://test:80/environ HTTP/1.1\r\nHost: x\r\nAccept: */*, text/html;q=0.5\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: [::1]:8000\r\n\r\n",
    b"POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nabcde",
    b"POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3;name=value\r\nabc\r\nA\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n",
    b"POST /echo HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
]
# What often goes wrong in a parser.
TROUBLE = [
    *(bytes([byte]) for byte in b"\0\t\n\r :;,%/?*\x7f\x80\xff+-_0"),
    b"\r\n",
    b"\r\n\r\n",
    b"HTTP/1.1",
    b"HTTP/9.9",
    b"Host: y\r\n",
    b"Content-Length: 7\r\n",
    b"Content-Length: -1\r\n",
    b"Content-Length: 99999999999999999999\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"\r\n folded",
    b"FFFFFFFFFFFFFFFF\r\n",
    b"%00%ff%zz",
    b"a" * 9000,
    b"A: b\r\n" * 101,
]


@st.composite
def damaged_requests(draw):
    """A good request with some bytes taken out, put in, doubled or replaced."""
    data = draw(st.sampled_from(REQUESTS))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 12)))
        piece = draw(
            st.one_of(st.sampled_from(TROUBLE), st.binary(max_size=8), st.just(2 * data[start:end]))
        )
        data = data[:start] + piece + data[end:]
    return data


@st.composite
def odd_requests(draw):
    """A request put together of parts that look right or nearly so."""
    part = st.one_of(st.sampled_from(TROUBLE), st.binary(max_size=20))
    method = draw(st.one_of(st.sampled_from([b"GET", b"POST", b"PUT"]), part))
    target = draw(st.one_of(st.sampled_from([b"/", b"/echo", b"/environ?%41"]), part))
    version = draw(st.one_of(st.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.9"]), part))
    names = st.sampled_from(
        [b"Host", b"Content-Length", b"Transfer-Encoding", b"Expect", b"Content-Type", b"Proxy"]
    )
    values = st.sampled_from([b"test", b"0", b"3", b"chunked", b"100-continue", b"gzip", b""])
    headers = draw(st.lists(st.tuples(st.one_of(names, part), st.one_of(values, part)), max_size=6))
    body = draw(st.one_of(st.binary(max_size=40), st.just(b"3\r\nabc\r\n0\r\n\r\n")))
    lines = [
        b" ".join([method, target, version]),
        *(name + b": " + value for name, value in headers),
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def send_and_end(server, pieces):
    """Send pieces of bytes, end our half of the stream, and return what comes back.

    So the server knows that no more will come, and need not wait for its deadline.
    """
    with connect(server, 5) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError):  # the server may have closed already
            for piece in pieces:
                connection.sendall(piece)
            connection.shutdown(socket.SHUT_WR)
        try:
            return receive_all(connection)
        except ConnectionError:
            return b""


def assert_harmless(server, data, *pieces):
    """Send bytes, in pieces or whole: an answer or a closed connection, and nothing else, comes."""
    reply = send_and_end(server, pieces or [data])
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    final = reply.removeprefix(interim)
    assert not final or re.match(rb"HTTP/1\.1 [2-5]\d\d [ -~]*\r\n", final), (
        f"{data!r} got {reply[:200]!r}. An answer begins with a status line, 200 to 599."
    )
    assert not final.startswith(b"HTTP/1.1 500 "), (
        f"{data!r} got {reply[:200]!r}. A client's bytes must not make the application fail."
    )
    assert server.is_running(), f"{data!r} ended the server. It printed:\n{server.report()[-3000:]}"
    assert server.output("stderr") == [], (
        f"{data!r} gave a traceback. An error that a client causes is an HTTPError or an OSError."
        f"\n{server.report()[-3000:]}"
    )


def assert_still_serving(server):
    assert get(server).status == 200, f"The server no longer answers:\n{server.report()[-3000:]}"


@bounded
@given(data=damaged_requests())
def test_a_damaged_request_harms_nobody(server, data):
    assert_harmless(server, data)
    assert_still_serving(server)


@bounded
@given(data=odd_requests(), cuts=st.lists(st.integers(1, 200), max_size=4))
@example(data=b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", cuts=[1, 16, 17])
def test_an_odd_request_in_pieces_harms_nobody(server, data, cuts):
    ends = [*sorted(set(cuts)), len(data)]
    starts = [0, *ends]
    pieces = [data[start:end] for start, end in zip(starts, ends, strict=False)]
    assert_harmless(server, data, *pieces)
    assert_still_serving(server)


@settings(bounded, max_examples=50)
@given(data=st.binary(max_size=300))
@example(data=b"")
@example(data=b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)))
@example(data=b"\r\n" * 1000)
@example(data=b"\0" * 70000)
def test_random_bytes_harm_nobody(server, data):
    assert_harmless(server, data)
    assert_still_serving(server)
