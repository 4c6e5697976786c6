"""Step 2: a web server. It answers HTTP requests, one after another."""

import argparse
import contextlib
import os
import signal
import socket
import sys
import time
import traceback

from http_message import AT_ONCE, HTTPError, format_response, linger, read_request, refuse, send

BACKLOG = 1024  # connections that may wait for accept

HOME_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Step 2: HTTP</title>
<h1>It works</h1>
<p>Process {pid} sent this page to {client}.</p>
<p><a href="/request">What did your browser send?</a></p>
</html>
"""


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


def serve(listener):
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
            handle(connection, address)  # 6. read and answer
        finally:
            connection.close()  # 7. close, and accept again


def handle(connection, address):
    """Read one HTTP request from a connected socket, and answer it.

    address: the client's IP address and port, as accept gives them.
    """
    host, port = address or ("?", "?")  # None, on some systems, if the client has gone already
    client = f"{host}:{port}"
    try:
        request = read_request(connection)
        with request.body:
            status, headers, body = answer(request, client)
        response = format_response(request.method, status, headers, body)
        send(connection, response)
        log(client, f"{request.method} {request.target} {request.version} -> {status}")
        linger(connection, wait=len(response) > AT_ONCE)
    except HTTPError as error:  # this request gets no page
        refuse(connection, error)
        log(client, error)
    except OSError as error:  # this client is lost; the next one is not
        log(client, error)
    except Exception:  # a mistake in this server must not end it
        traceback.print_exc()


def answer(request, client):
    """Return the status, the headers and the body, in bytes, of the answer to a request."""
    if request.path == "/":
        page = HOME_PAGE.format(pid=os.getpid(), client=client)
        content_type = "text/html; charset=utf-8"
    elif request.path == "/request":
        lines = [f"{request.method} {request.target} {request.version}"]
        lines += [f"{name}: {value}" for name, value in request.headers]
        page = "\n".join([*lines, "", f"This came from {client}.", ""])
        content_type = "text/plain; charset=utf-8"
    else:
        return "404 Not Found", [("Content-Type", "text/plain")], b"There is no such page.\n"
    if request.method not in ("GET", "HEAD"):
        headers = [("Content-Type", "text/plain"), ("Allow", "GET, HEAD")]
        return "405 Method Not Allowed", headers, b"This page can only be read.\n"
    return "200 OK", [("Content-Type", content_type)], page.encode()


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
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on; 0: any free one")
    arguments = parser.parse_args()
    if not arguments.host:  # bind would take it for every interface
        parser.error("argument --host: there is no address in it")
    if os.name == "nt":  # on Windows accept does not notice Ctrl-C
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        listener = listen(arguments.host, arguments.port)
    except (OSError, OverflowError, TypeError) as error:
        parser.error(f"cannot listen on {arguments.host}:{arguments.port}: {error}")
    with listener, contextlib.suppress(KeyboardInterrupt):
        serve(listener)


if __name__ == "__main__":
    main()
