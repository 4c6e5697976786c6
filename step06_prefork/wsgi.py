"""The server's side of WSGI, the interface of web servers and Python applications: PEP 3333."""

import codecs
import contextlib
import importlib
import os
import sys
import time
import traceback
import urllib.parse

from http_message import DIGITS, format_head, send, values

MAX_SECONDS_SENDING = 300  # for all pieces of one response together

# Headers about one connection are the server's business, not the application's:
# RFC 9110, section 7.6.1, and PEP 3333, "Other HTTP Features".
HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}


class Disconnected(ConnectionError):
    """The client has gone, or takes too long to read. The application did nothing wrong."""


def load_application(name):
    """Return the callable that a name such as "flask_app:app" stands for.

    The module is looked for in the current folder, then beside this file. None stands for
    the application in app.py beside this file. Raises ValueError or AttributeError if
    there is no such callable, and whatever the module raises while it is imported.
    """
    codecs.lookup("idna")  # frameworks need it for a request; a child would load it each time
    if name is None:
        name = "app:application"
    else:
        sys.path.insert(0, os.getcwd())
    module_name, _, attribute = name.partition(":")
    if not attribute:
        raise ValueError("write module:callable, as in flask_app:app")
    application = getattr(importlib.import_module(module_name), attribute, None)
    if not callable(application):
        raise AttributeError(f"{module_name} has no callable {attribute}")
    return application


def make_environ(request, server, client, multiprocess):
    """Return the environ of a request: a dict with the variables of CGI and of WSGI.

    request: an http_message.Request; server, client: each a pair of IP address and port.
    HTTP carries bytes, so each character of these strings is one byte (latin-1). See
    PEP 3333, "environ Variables" and "Unicode Issues", and RFC 3875, section 4.1.
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
        if "_" in name or key in ("CONTENT_LENGTH", "TRANSFER_ENCODING", "PROXY"):
            continue  # could pass for another header, or is done with, or is dangerous
        if key != "CONTENT_TYPE":
            key = "HTTP_" + key
        if key in environ:
            value = environ[key] + ("; " if key == "HTTP_COOKIE" else ", ") + value
        environ[key] = value
    return environ


class Response:
    """One response: what start_response, write and run_application know about it."""

    def __init__(self, connection, method):
        self.connection = connection
        self.method = method
        self.status = None
        self.head = None  # bytes
        self.headers_sent = False
        self.length_missing = False
        self.remaining = None  # bytes of the body that may still be sent; None: no limit
        self.seconds_sending = 0

    def start_response(self, status, response_headers, exc_info=None):
        """Take the status and the headers, and return write. They are not sent yet.

        status: such as "404 Not Found"; response_headers: a list of (name, value) pairs;
        exc_info: sys.exc_info() of an error whose page is to replace an earlier answer.
        See PEP 3333, "The start_response() Callable".
        """
        if exc_info and self.headers_sent:
            try:
                raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # else the traceback would keep this frame, which keeps it
        if self.status and not exc_info:
            raise RuntimeError("start_response was called again, without exc_info")
        if not isinstance(response_headers, list):
            raise TypeError("response_headers is not a list")
        for name, value in response_headers:
            if not isinstance(name, str) or not isinstance(value, str):
                raise TypeError(f"a header is two strings, not {name!r} and {value!r}")
            if name.lower() in HOP_BY_HOP:
                raise ValueError(f"{name} is a header for the server to set")
        lengths = values(response_headers, "Content-Length")
        if len(lengths) > 1 or not all(DIGITS.fullmatch(length) for length in lengths):
            raise ValueError("Content-Length is not one number, in digits")
        self.head = format_head(status, response_headers)
        self.status = status
        has_no_body = status[:3] in ("204", "304")
        self.length_missing = not lengths and not has_no_body
        if has_no_body or self.method == "HEAD":
            self.remaining = 0
        else:
            self.remaining = int(lengths[0]) if lengths else None
        return self.write

    def write(self, body_data):
        """Send one piece of the body, bytes. See PEP 3333, "The write() Callable"."""
        if body_data:
            self.send(body_data)

    def send(self, piece, is_whole_body=False):
        """Send a piece of the body, and ahead of the first piece the headers.

        Raises Disconnected if the client does not take it.
        """
        if self.status is None:
            raise RuntimeError("start_response was not called before the body began")
        data = piece[: self.remaining]
        if self.remaining is not None:
            self.remaining -= len(data)
        if not self.headers_sent:
            head = self.head
            if is_whole_body and self.length_missing and (piece or self.method != "HEAD"):
                head = head[:-2] + f"Content-Length: {len(piece)}\r\n\r\n".encode()
                self.remaining = 0
            data = head + data
            self.headers_sent = True
        began = time.monotonic()
        try:
            send(self.connection, data)
        except OSError as error:
            raise Disconnected(error) from error
        self.seconds_sending += time.monotonic() - began
        if self.seconds_sending > MAX_SECONDS_SENDING:
            raise Disconnected("reads too slowly")


def run_application(application, environ, connection):
    """Call the application once, send its response, and return the status for the log.

    Whatever the application raises ends in a traceback on stderr, and in a 500 response
    if no headers have left. Raises Disconnected if the client has gone. See PEP 3333.
    """
    response = Response(connection, environ["REQUEST_METHOD"])
    try:
        result = application(environ, response.start_response)
        try:
            is_single_piece = hasattr(result, "__len__") and len(result) == 1
            for piece in result:
                if piece:
                    response.send(piece, is_single_piece)
                if response.headers_sent and response.remaining == 0:
                    break
            if not response.headers_sent:
                response.send(b"", is_whole_body=True)
            if response.remaining:
                raise RuntimeError("the body is shorter than its Content-Length")
        finally:
            if hasattr(result, "close"):
                result.close()
    except (Disconnected, KeyboardInterrupt):
        raise
    except BaseException:  # sys.exit raises one, too
        with contextlib.suppress(OSError, ValueError):  # nobody may read stderr any more
            traceback.print_exc()
        if not response.headers_sent:
            headers = [("Content-Type", "text/plain")]
            response.start_response("500 Internal Server Error", headers, sys.exc_info())
            response.send(b"The application failed. The server's terminal shows where.\n", True)
    return response.status
