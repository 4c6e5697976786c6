"""The server's side of WSGI, the interface of web servers and Python applications: PEP 3333."""

import importlib
import os
import sys
import urllib.parse

from http_message import RESPONSE_SECONDS, format_head, send


def load_application(name):
    """Return the callable that a name such as "flask_app:app" stands for.

    The module is looked for in the current folder, then beside this file; None is app.py beside
    this file.
    """
    if name is not None:
        sys.path.insert(0, os.getcwd())
    module_name, _, attribute = ("app:application" if name is None else name).partition(":")
    return getattr(importlib.import_module(module_name), attribute)


def make_environ(request, server, client, multiprocess):
    """Return the environ of a request: a dict with the variables of CGI and of WSGI.

    server, client: each a pair of IP address and port. Each character of these strings is one
    byte (latin-1): PEP 3333, "environ Variables", "Unicode Issues"; RFC 3875, section 4.1.
    """
    environ = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": urllib.parse.unquote_to_bytes(request.path).decode("latin-1"),
        "QUERY_STRING": request.query,
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1]),
        "SERVER_PROTOCOL": request.version,
        "REMOTE_ADDR": client[0],
        "REMOTE_PORT": str(client[1]),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": request.body,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": multiprocess,
        "wsgi.run_once": False,
    }
    if request.body_length is not None:
        environ["CONTENT_LENGTH"] = str(request.body_length)
    for name, value in request.headers:
        key = name.upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = "HTTP_" + key
        environ[key] = value
    return environ


class Response:
    """One response: what start_response, write and run_application know about it."""

    def __init__(self, connection, method, version):
        self.connection, self.method, self.version = connection, method, version
        self.status = self.head = None  # the head: bytes, without the empty line
        self.headers_sent = False
        self.seconds_left = RESPONSE_SECONDS

    def start_response(self, status, response_headers, exc_info=None):
        """Take the status and the headers, and return write: PEP 3333, "start_response()".

        exc_info: sys.exc_info() of an error, whose page replaces an answer that has not left.
        """
        self.head = format_head(status, response_headers)
        self.status = status
        return self.write

    def write(self, body_data):
        """Send one piece of the body, bytes. See PEP 3333, "The write() Callable"."""
        if body_data:
            self.send(body_data)

    def send(self, piece):
        """Send a piece of the body, and the headers ahead of the first."""
        data = b""
        if not self.headers_sent:
            self.headers_sent = True
            data = self.head + b"\r\n"
        data += piece
        self.seconds_left = send(self.connection, data, self.seconds_left)


def send_body(response, result):
    """Send what an application returned, piece by piece, and let the client see its end."""
    for piece in result:
        if piece:
            response.send(piece)
    if not response.headers_sent:
        response.send(b"")


def run_application(application, environ, connection):
    """Call the application once, send its response, and return the status for the log."""
    response = Response(connection, environ["REQUEST_METHOD"], environ["SERVER_PROTOCOL"])
    result = application(environ, response.start_response)
    send_body(response, result)
    return response.status
