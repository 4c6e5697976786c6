"""The server's side of WSGI, the interface of web servers and Python applications: PEP 3333."""

import codecs
import contextlib
import importlib
import os
import socket
import struct
import sys
import traceback
import urllib.parse

from http_message import AT_ONCE, DIGITS, RESPONSE_SECONDS, format_head, linger, send, values

# Headers about one connection are the server's business: RFC 9110, section 7.6.1, and PEP 3333.
HOP_BY_HOP = "connection keep-alive proxy-authenticate proxy-authorization te trailer".split()
HOP_BY_HOP += ["transfer-encoding", "upgrade"]
RESET = struct.pack("ii", 1, 0)  # with SO_LINGER, socket(7): a close resets the connection


class Disconnected(ConnectionError):
    """The client has gone, or takes too long to read. The application did nothing wrong."""


def load_application(name):
    """Return the callable that a name such as "flask_app:app" stands for.

    The module is looked for in the current folder, then beside this file; None is app.py beside
    this file. Raises ValueError with the reason, in one line.
    """
    codecs.lookup("idna")  # frameworks need it for each request: load it before any fork
    if name is not None:
        sys.path.insert(0, os.getcwd())
    module_name, _, attribute = ("app:application" if name is None else name).partition(":")
    if not attribute:
        raise ValueError("write module:callable, as in flask_app:app")
    for module in (module_name, "http_message", "wsgi"):  # the application's, if it has its own
        sys.modules.pop(module, None)
    try:
        application = getattr(importlib.import_module(module_name), attribute, None)
    except (Exception, SystemExit) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())  # in one line
        files = [f for f in traceback.extract_tb(error.__traceback__) if f.name == "<module>"]
        where = f" ({files[-1].filename}, line {files[-1].lineno})" if files else ""
        raise ValueError(reason + where) from error
    if not callable(application):
        raise ValueError(f"{module_name} has no callable {attribute}")
    return application


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

    def __init__(self, connection, method, version):
        self.connection, self.method, self.version = connection, method, version
        self.status = self.head = None  # the head: bytes, without the empty line
        self.needs_framing = False  # the head does not say where the body ends
        self.headers_sent = self.is_chunked = False
        self.remaining = None  # bytes of the body that may still be sent; None: no limit
        self.bytes_sent, self.seconds_left = 0, RESPONSE_SECONDS

    def start_response(self, status, response_headers, exc_info=None):
        """Take the status and the headers, and return write: PEP 3333, "start_response()".

        exc_info: sys.exc_info() of an error, whose page replaces an answer that has not left.
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
        lengths = values(response_headers, "content-length")
        if len(lengths) > 1 or not all(DIGITS.fullmatch(length) for length in lengths):
            raise ValueError("Content-Length is not one number, in digits")
        self.head = format_head(status, response_headers)
        self.status = status
        self.remaining = int(lengths[0]) if lengths else None
        self.needs_framing = not lengths and status[:3] not in ("204", "304")
        if self.method == "HEAD" or status[:3] in ("204", "304"):
            self.remaining = 0
        return self.write

    def write(self, body_data):
        """Send one piece of the body, bytes. See PEP 3333, "The write() Callable"."""
        if body_data:
            self.send(body_data)

    def send(self, piece, is_whole_body=False):
        """Send a piece of the body, and the headers ahead of the first. Raises Disconnected."""
        if not isinstance(piece, bytes):
            raise TypeError(f"the body is made of bytes, not of {type(piece).__name__}")
        if self.status is None:
            raise RuntimeError("start_response was not called before the body began")
        data = b""
        if not self.headers_sent:
            self.headers_sent = True
            data = self.head + self.choose_framing(piece, is_whole_body) + b"\r\n"
        piece = piece[: self.remaining]
        if self.remaining is not None:
            self.remaining -= len(piece)
        data += b"%x\r\n%b\r\n" % (len(piece), piece) if self.is_chunked else piece
        try:
            self.seconds_left = send(self.connection, data, self.seconds_left)
        except OSError as error:
            raise Disconnected(error) from error
        self.bytes_sent += len(data)

    def choose_framing(self, piece, is_whole_body):
        """Return a header line that says where the body ends, or none: RFC 9112, section 6.3."""
        if not self.needs_framing or (self.method == "HEAD" and not piece):
            return b""
        if is_whole_body:
            self.remaining = 0 if self.method == "HEAD" else len(piece)
            return b"Content-Length: %d\r\n" % len(piece)
        if self.version != "HTTP/1.0":
            self.is_chunked = self.method != "HEAD"
            return b"Transfer-Encoding: chunked\r\n"
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)  # until it is whole
        return b""


def send_body(response, result):
    """Send what an application returned, piece by piece, and let the client see its end."""
    is_single_piece = isinstance(result, (list, tuple)) and len(result) == 1
    for piece in result:
        if piece:
            response.send(piece, is_single_piece)
        if response.headers_sent and response.remaining == 0:
            break
    if not response.headers_sent:
        response.send(b"", is_whole_body=True)
    elif response.remaining:
        raise RuntimeError("the body is shorter than its Content-Length")
    elif response.is_chunked:
        response.send(b"")  # a chunk of size 0 is the last one
    elif response.version == "HTTP/1.0":  # whole: no reset any more
        response.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes(8))
    linger(response.connection, wait=response.bytes_sent > AT_ONCE)


def run_application(application, environ, connection):
    """Call the application once, send its response, and return the status for the log.

    If it raises, there is a traceback, and a 500 if no headers have left. Raises Disconnected.
    """
    response = Response(connection, environ["REQUEST_METHOD"], environ["SERVER_PROTOCOL"])
    try:
        result = application(environ, response.start_response)
        try:
            send_body(response, result)
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
            send_body(response, [b"The application failed. The server's terminal shows where.\n"])
    return response.status
