"""Step 3, stage 4: the client knows where each answer ends, and whether it is whole."""

import argparse
import contextlib
import os
import signal
import socket
import sys
import time
import traceback

from http_message import HTTPError, read_request, refuse
from wsgi import load_application, make_environ, run_application

BACKLOG = 1024  # connections that may wait for accept


def listen(host, port):
    """Return a socket that listens on an IP address or host name and a TCP port.

    Port 0 lets the kernel choose a free port. Raises OSError if the address cannot
    be had, OverflowError if the port is above 65535, and TypeError if the name cannot be
    one. See listen(2), socket(7).
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)  # 1. create
    try:
        if os.name == "posix":  # on Windows this option would let two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # 2. set options
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind((host, port))  # 3. bind
        listener.listen(BACKLOG)  # 4. listen
    except BaseException:  # the port is taken, for example
        listener.close()
        raise
    return listener


def serve(listener, application):
    """Serve one client after another, forever."""
    host, port = listener.getsockname()
    print(f"Listening on http://{host}:{port}", flush=True)
    while True:
        try:
            connection, address = listener.accept()  # 5. accept
        except OSError as error:  # no descriptor is free, for example
            log("server", f"cannot accept: {error.strerror}")
            time.sleep(0.1)
            continue
        try:
            handle(connection, address, application)  # 6. read and answer
        finally:
            connection.close()  # 7. close, and accept again


def handle(connection, address, application, multiprocess=False):
    """Read one HTTP request from a connected socket, and let the application answer it.

    address: the client's IP address and port, as accept gives them.
    """
    host, port = address or ("?", "?")  # None, on some systems, if the client has gone already
    client = f"{host}:{port}"
    try:
        request = read_request(connection)
        with request.body:
            environ = make_environ(request, connection.getsockname(), (host, port), multiprocess)
            status = run_application(application, environ, connection)
        log(client, f"{request.method} {request.target} {request.version} -> {status}")
    except HTTPError as error:  # this request gets no page
        refuse(connection, error)
        log(client, error)
    except OSError as error:  # this client is lost; the next one is not
        log(client, error)
    except Exception:  # a mistake in this server must not end it
        traceback.print_exc()


def log(who, event):
    """Print one line: the PID of this process, who it is about, and what happened.

    It is a single write(2), so the lines of several processes do not mix. In a pipe, this
    holds for lines of up to PIPE_BUF bytes, 4096 on Linux: see pipe(7).
    """
    line = f"[{os.getpid()}] {who} {event}\n"
    try:
        os.write(sys.stdout.fileno(), line.encode())
    except (AttributeError, OSError, ValueError):  # it is closed, or nobody reads it: serve on
        pass


def main():
    """Read the command line, listen, and serve until Ctrl-C."""
    parser = argparse.ArgumentParser(
        usage=argparse.SUPPRESS,  # a mistake gets one line
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("application", metavar="APPLICATION", nargs="?", help="module:callable")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on; 0: any free one")
    arguments = parser.parse_args()
    if not arguments.host:  # bind would take it for every interface
        parser.error("argument --host: there is no address in it")
    if os.name == "nt":  # on Windows accept does not notice Ctrl-C
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        application = load_application(arguments.application)
    except ValueError as error:
        parser.error(f"cannot load {arguments.application}: {error}")
    try:
        listener = listen(arguments.host, arguments.port)
    except (OSError, OverflowError, TypeError) as error:
        parser.error(f"cannot listen on {arguments.host}:{arguments.port}: {error}")
    with listener, contextlib.suppress(KeyboardInterrupt):
        serve(listener, application)


if __name__ == "__main__":
    main()
