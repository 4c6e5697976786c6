"""The four forms of bind, as the lesson of step 1 tells them, shown with plain sockets.

What a server makes of --host and --port is in the tests of step 1.
"""

import socket
import sys

import pytest


@pytest.fixture
def listener():
    with socket.socket() as listener:
        yield listener


@pytest.fixture
def free_port():
    """A port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def assert_accepts(listener, host):
    """Show that a listener takes connections to an address of this machine, at its port."""
    listener.listen()
    listener.settimeout(5)
    with socket.create_connection((host, listener.getsockname()[1]), 5) as client:
        connection, address = listener.accept()
        connection.close()
        assert address == client.getsockname()


def test_an_address_and_a_port(listener, free_port):
    listener.bind(("127.0.0.1", free_port))
    assert listener.getsockname() == ("127.0.0.1", free_port)
    assert_accepts(listener, "127.0.0.1")


def test_an_address_only(listener):
    listener.bind(("127.0.0.1", 0))
    host, port = listener.getsockname()
    assert host == "127.0.0.1" and port != 0
    assert_accepts(listener, "127.0.0.1")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems ask, or have no 127.0.0.2")
@pytest.mark.parametrize("host", ["", "0.0.0.0"])
def test_a_port_only(listener, free_port, host):
    listener.bind((host, free_port))
    assert listener.getsockname() == ("0.0.0.0", free_port)
    assert_accepts(listener, "127.0.0.2")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems may need bind before listen")
def test_neither_for_a_socket_that_listens(listener):
    assert_accepts(listener, "127.0.0.2")
    host, port = listener.getsockname()
    assert host == "0.0.0.0" and port != 0


def test_neither_for_a_client(listener):
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    with socket.socket() as client:
        client.settimeout(5)
        client.connect(listener.getsockname())
        host, port = client.getsockname()
    assert host == "127.0.0.1" and port != 0
