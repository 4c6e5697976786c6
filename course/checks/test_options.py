"""What cannot be seen from outside: these tests call listen and handle themselves, in each step."""

import json
import os
import subprocess
import sys

import pytest

from tests.harness import PATIENCE, ROOT, STEPS

# Run in a process of its own, in the step's folder: it imports that step's server.py.
LOOK = """
import contextlib, json, socket, server

def on(each, level, option):
    return each.getsockopt(level, option) != 0

listener = server.listen("127.0.0.1", 0)
client = socket.create_connection(listener.getsockname(), 5)
connection, _ = listener.accept()
found = {
    "host": listener.getsockname()[0],
    "port": listener.getsockname()[1],
    "blocking": listener.getblocking() and connection.getblocking(),
    "inheritable": listener.get_inheritable() or connection.get_inheritable(),
    "SO_REUSEADDR": on(listener, socket.SOL_SOCKET, socket.SO_REUSEADDR),
    "TCP_NODELAY": on(connection, socket.IPPROTO_TCP, socket.TCP_NODELAY),
}
if hasattr(socket, "SO_REUSEPORT"):
    found["SO_REUSEPORT"] = on(listener, socket.SOL_SOCKET, socket.SO_REUSEPORT)
waiting = []
with contextlib.suppress(OSError):  # timed out, or refused
    while len(waiting) < 150:
        waiting.append(socket.create_connection(listener.getsockname(), 1))
found["waiting"] = len(waiting)
for each in (client, connection, listener, *waiting):
    each.close()
print(json.dumps(found))
"""


@pytest.fixture(scope="module", params=STEPS)
def found(request):
    """What a step's listen() gives, and the connection that its listener accepts."""
    folder = ROOT / request.param
    done = subprocess.run(
        [sys.executable, "-B", "-c", LOOK],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, f"listen('127.0.0.1', 0) of {request.param} fails:\n{done.stderr}"
    return json.loads(done.stdout)


def test_the_listener_has_the_address_that_was_asked_for(found):
    assert found["host"] == "127.0.0.1", (
        f"listen('127.0.0.1', 0) listens on {found['host']}. Does bind get the host?"
    )
    assert found["port"] != 0, "The listener has port 0. Then bind was not called."


@pytest.mark.skipif(os.name != "posix", reason="on Windows SO_REUSEADDR means something else")
def test_a_port_in_time_wait_can_be_used_again(found):
    assert found["SO_REUSEADDR"], (
        "SO_REUSEADDR is off. A server that is started again gets 'Address already in use' for a "
        "minute. Set it before bind."
    )


def test_two_servers_never_share_a_port(found):
    assert not found.get("SO_REUSEPORT"), (
        "SO_REUSEPORT is on. A second server on the same port would start without an error, and "
        "take a part of the clients."
    )


def test_small_answers_do_not_wait_for_nagle(found):
    assert found["TCP_NODELAY"], (
        "TCP_NODELAY is off on an accepted connection. Nagle's algorithm then keeps a small piece "
        "back until the client has acknowledged the last one, which may take 40 ms. Set it on the "
        "listener: each connection inherits it."
    )


@pytest.mark.skipif(sys.platform != "linux", reason="other systems let 128 clients wait at most")
def test_more_clients_may_wait_than_listen_lets_unasked(found):
    assert found["waiting"] == 150, (
        f"{found['waiting']} clients could connect before accept, not 150. Python's own backlog is "
        "128 at most: give listen the backlog that you want."
    )


def test_accept_and_recv_wait(found):
    assert found["blocking"], (
        "The listener or the connection does not block. accept and recv would fail where they "
        "should wait."
    )


def test_programs_that_the_server_starts_get_none_of_its_sockets(found):
    assert not found["inheritable"], (
        "The listener or the connection is inheritable. A program that an application starts would "
        "hold them open after the server has closed them."
    )


# Run in a step's folder: handle gets something that is no connection, as if the server itself
# had a mistake.
FAIL = """
import server
arguments = [None] * (server.handle.__code__.co_argcount - len(server.handle.__defaults__ or ()))
server.handle(*arguments)
print("served on")
"""


@pytest.mark.parametrize("step", STEPS[1:])
def test_a_mistake_in_the_server_ends_one_connection_and_is_seen(step):
    done = subprocess.run(
        [sys.executable, "-B", "-c", FAIL],
        cwd=ROOT / step,
        env=os.environ | {"PYTHONPATH": str(ROOT / step)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.stdout == "served on\n", f"An error in handle ends the server:\n{done.stderr}"
    assert "AttributeError" in done.stderr, "An error in handle is not to be seen on stderr."


# Run in a step's folder: responses that go wrong, over a connection that only takes notes, and
# that takes each piece in 200 seconds of a clock of its own.
RESPOND = """
import time, wsgi

class Connection:
    sent = b""
    def setsockopt(self, *option): pass
    def settimeout(self, seconds): pass
    def recv(self, size): return b""
    def shutdown(self, how): pass
    def send(self, data):
        self.sent += data
        time.monotonic = lambda now=time.monotonic(): now + 200
        return len(data)

class SaysOne(list):
    def __len__(self): return 1

def application(environ, start_response):
    start_response("200 OK", [])
    return SaysOne([b"first", b"second"])

def three_pieces(environ, start_response):
    start_response("200 OK", [])
    return [b"first", b"second", b"third"]

environ = {"REQUEST_METHOD": "GET", "SERVER_PROTOCOL": "HTTP/1.0"}
liar = Connection()
wsgi.run_application(application, environ, liar)
print(liar.sent.endswith(b"first"))
slow = Connection()
try:
    wsgi.run_application(three_pieces, environ, slow)
except OSError as error:
    print(error, slow.sent.endswith(b"firstsecond"))
"""


def test_a_response_stays_within_its_length_and_its_time():
    folder = ROOT / "step03_wsgi"  # wsgi.py is the same in all later steps
    done = subprocess.run(
        [sys.executable, "-B", "-c", RESPOND],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.stdout.splitlines() == ["True", "reads too slowly True"], (
        "After a filled-in Content-Length no more body may follow (first line: True), and a client "
        "that takes more than 300 seconds for all pieces together is given up (second line). It "
        f"printed:\n{done.stdout}{done.stderr}"
    )
