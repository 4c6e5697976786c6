"""The least that a server in Python can do: what this machine allows. No HTTP, no application.

    python limits.py loop|fork|fork-flask

loop: accept, receive, send a constant, close. fork: the same in a child for each connection.
fork-flask: the same, and the parent has imported Flask, so there is more memory to copy.
"""

import importlib
import os
import signal
import socket
import sys

from hello import BODY

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n"
ANSWER = HEAD % len(BODY) + b"Connection: close\r\n\r\n" + BODY


def answer(connection):
    """Receive what comes first, and send the constant."""
    connection.recv(65536)
    connection.sendall(ANSWER)
    connection.close()


def loop(listener):
    """Serve one client after another, forever."""
    while True:
        connection, _ = listener.accept()
        answer(connection)


def fork(listener):
    """Serve each client in a child, forever. The kernel reaps the children: SIG_IGN."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            answer(connection)
            os._exit(0)
        connection.close()


def main():
    """Listen on a free port, and serve in the way that the command line names."""
    kind = sys.argv[1]
    if kind == "fork-flask":
        importlib.import_module("flask")
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    print("Listening on http://{}:{}".format(*listener.getsockname()), flush=True)
    (loop if kind == "loop" else fork)(listener)


if __name__ == "__main__":
    main()
