"""The server's side of WSGI, the interface of web servers and Python applications: PEP 3333."""

import importlib
import os
import sys
import urllib.parse

from http_message import format_response, send


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


def run_application(application, environ, connection):
    """Call the application once, send its response, and return the status for the log."""
    answer = []

    def start_response(status, response_headers, exc_info=None):
        answer[:] = [status, response_headers]

    body = b"".join(application(environ, start_response))
    status, headers = answer
    headers = [(name, value) for name, value in headers if name.lower() != "content-length"]
    send(connection, format_response(environ["REQUEST_METHOD"], status, headers, body))
    return status
