"""WSGI applications for the tests of step 3. The first part of the path chooses one: see site."""

import json
import os
import sys
import time
import urllib.parse
from wsgiref.validate import validator

TEXT = [("Content-Type", "text/plain")]
BYTES = [("Content-Type", "application/octet-stream")]  # a server adds no words of its own to them
GATE_SECONDS = 20  # an application waits so long for its gate, then it gives up
ENDLESS_SECONDS = 10  # so long an endless body is


def site(environ, start_response):
    """Let the application that the first part of the path names answer: /hello is hello."""
    path = environ.get("PATH_INFO", "")
    page = globals().get(path.removeprefix("/").partition("/")[0])
    if page is None:
        return missing(path, start_response)
    return page(environ, start_response)


def missing(path, start_response):
    """Say that there is no such page, and whether the query is to blame."""
    start_response("404 Not Found", TEXT)
    text = f"PATH_INFO is {path!r}, and tests/applications/apps.py has no such page."
    if "?" in path:
        text += " What follows the ? is the query: it belongs into QUERY_STRING."
    return [text.encode("latin-1", "replace")]


def arguments(environ):
    """Return the arguments of a query such as "name=value&other=2": a dict.

    QUERY_STRING may be absent if it is empty: PEP 3333, "environ Variables".
    """
    query = environ.get("QUERY_STRING", "")
    return dict(urllib.parse.parse_qsl(query, keep_blank_values=True))


def wait_for_file(path):
    """Wait until there is a file at that path: the test makes it when it is ready."""
    deadline = time.monotonic() + GATE_SECONDS
    while not os.path.exists(path):
        if time.monotonic() > deadline:
            raise TimeoutError("the test did not open the gate")
        time.sleep(0.005)


def note(environ, text):
    """Add a line to the file that the query names."""
    with open(arguments(environ)["file"], "a") as file:
        file.write(text + "\n")


# A function, a method, a class, an object


def hello(environ, start_response):
    start_response("200 OK", TEXT)
    return [b"Hello"]


class Greeter:
    def answer(self, environ, start_response):
        return hello(environ, start_response)

    def __call__(self, environ, start_response):
        return hello(environ, start_response)


class Page:
    """Each call of this class makes an object, and that object is the body."""

    def __init__(self, environ, start_response):
        start_response("200 OK", TEXT)

    def __iter__(self):
        yield b"Hello"


def other_names(request, begin):
    """Name the arguments as one likes: a server gives them by their positions."""
    return hello(request, begin)


method = Greeter().answer
instance = Greeter()


# What the application gets


def noted(environ, start_response):
    """Note each call in a file."""
    note(environ, "called")
    return hello(environ, start_response)


def shown(environ, start_response):
    """Send environ as JSON: for each variable its type, and its value or how it prints."""
    shown = {
        key: [type(value).__name__, value if isinstance(value, (str, bool, tuple)) else str(value)]
        for key, value in environ.items()
    }
    shown["type of environ"] = type(environ).__name__
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(shown).encode()]


def reads(environ, start_response):
    """Read the body in the way that the query names, and send what came as JSON."""
    body = environ["wsgi.input"]
    ways = {
        "read": lambda: [body.read(4), body.read(0), body.read(), body.read(5), body.read()],
        "read(-1)": lambda: [body.read(-1), body.read(-1)],
        "readline": lambda: [body.readline() for _ in range(5)],
        "readline(2)": lambda: [body.readline(2) for _ in range(4)],
        "readlines": lambda: body.readlines(),
        "readlines(1)": lambda: [*body.readlines(1), b"then", *body.readlines()],
        "iteration": lambda: list(body),
    }
    pieces = ways[arguments(environ)["way"]]()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps([piece.decode("latin-1") for piece in pieces]).encode()]


def echoes(environ, start_response):
    """Send the body back."""
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    start_response("200 OK", BYTES)
    return [body]


def complains(environ, start_response):
    errors = environ["wsgi.errors"]
    errors.write("a line for wsgi.errors, \u20ac\n")
    errors.writelines(["and another", " one\n"])
    errors.flush()
    return hello(environ, start_response)


# The body, piece by piece


def gated(environ, start_response):
    """Yield a piece, and the next one only when the file that the query names exists."""
    start_response("200 OK", TEXT)
    yield b"first"
    wait_for_file(arguments(environ)["file"])
    yield b", second"


def gated_write(environ, start_response):
    """The same with write()."""
    write = start_response("200 OK", TEXT)
    write(b"first")
    wait_for_file(arguments(environ)["file"])
    return [b", second"]


def writes(environ, start_response):
    write = start_response("200 OK", TEXT)
    write(b"")
    write(b"written, ")
    write(b"written again, ")
    return [b"returned"]


def one_piece(environ, start_response):
    start_response("200 OK", TEXT)
    return [b"all of it"]


def two_cookies(environ, start_response):
    start_response("200 OK", [*TEXT, ("Set-Cookie", "one=1"), ("Set-Cookie", "two=2")])
    return [b"all of it"]


def two_pieces(environ, start_response):
    start_response("200 OK", TEXT)
    return [b"one", b"two"]


def one_piece_of_a_generator(environ, start_response):
    start_response("200 OK", TEXT)
    yield b""
    yield b"all of it"


def no_piece(environ, start_response):
    start_response("200 OK", TEXT)
    return []


def no_piece_for_HEAD(environ, start_response):
    """Answer HEAD without making the body, as a careful application does."""
    start_response("200 OK", TEXT)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [b"all of it"]


class WithLength:
    """A body of two pieces, of which len() says something else, or nothing."""

    def __init__(self, length):
        self.length = length

    def __len__(self):
        if self.length is None:
            raise TypeError("nobody knows how many pieces will come")
        return self.length

    def __iter__(self):
        return iter([b"one", b"two"])


def length_fails(environ, start_response):
    start_response("200 OK", TEXT)
    return WithLength(None)


def length_lies(environ, start_response):
    start_response("200 OK", TEXT)
    return WithLength(1)


def large(environ, start_response):
    """Send as many bytes as the query says, in one piece."""
    start_response("200 OK", TEXT)
    return [b"x" * int(arguments(environ)["bytes"])]


def large_in_pieces(environ, start_response):
    """Send as many pieces of 64 KiB as the query says, and do not say how long the body is."""
    start_response("200 OK", TEXT)
    return (b"x" * 65536 for _ in range(int(arguments(environ)["pieces"])))


def endless(environ, start_response):
    """Send pieces forever; well, for as long as a patient test waits."""
    start_response("200 OK", TEXT)
    deadline = time.monotonic() + ENDLESS_SECONDS
    while time.monotonic() < deadline:
        yield b"more and " * 1000


def with_status(environ, start_response):
    """Answer with the status that the query names, and a body, whether it may have one or not."""
    start_response(arguments(environ)["status"], TEXT)
    return [b"a body"]


def with_length(environ, start_response):
    """Announce 5 bytes, and send the pieces that the query names: "pieces=ab,cd"."""
    start_response("200 OK", [*TEXT, ("Content-Length", "5")])
    return (piece.encode() for piece in arguments(environ)["pieces"].split(","))


def with_length_and_write(environ, start_response):
    """Announce 5 bytes, and write more."""
    write = start_response("200 OK", [*TEXT, ("Content-Length", "5")])
    write(b"abc")
    write(b"defgh")
    return [b"ijk"]


# start_response more than once


def starts_twice(environ, start_response):
    start_response("200 OK", TEXT)
    start_response("201 Created", TEXT)
    return [b"not to be seen"]


def thinks_again(environ, start_response):
    """Fail before any of the body has left, and replace status and headers."""
    start_response("200 OK", [*TEXT, ("X-First", "1")])
    yield b""
    try:
        raise ValueError("in thinks_again")
    except ValueError:
        start_response("503 Think Again", [*TEXT, ("X-Second", "2")], sys.exc_info())
    yield b"the second answer"


def thinks_too_late(environ, start_response):
    """Fail after a piece of the body has left: start_response must raise our error again."""
    start_response("200 OK", BYTES)
    yield b"the first answer"
    try:
        raise ValueError("too late to think again")
    except ValueError:
        error = sys.exc_info()
    try:  # here our error stands in no traceback but its own
        start_response("503 Think Again", TEXT, error)
    finally:
        del error  # its traceback holds this frame
    yield b"not to be seen"


def thinks_too_late_with_a_file(environ, start_response):
    """Hold something, and fail as thinks_too_late does. Note when what we held is freed."""

    class Held:
        def __del__(self):
            note(environ, "freed")

    held = Held()
    yield from thinks_too_late(environ, start_response)
    del held


# close()


class Closing:
    """A body that notes in a file that close() was called."""

    def __init__(self, environ, pieces):
        self.environ = environ
        self.pieces = pieces

    def __iter__(self):
        return iter(self.pieces)

    def close(self):
        note(self.environ, "closed")


def closing(environ, start_response):
    start_response("200 OK", TEXT)
    return Closing(environ, [b"one", b"two"])


def closing_after_enough(environ, start_response):
    start_response("200 OK", [*TEXT, ("Content-Length", "3")])
    return Closing(environ, [b"one", b"two"])


def closing_after_error(environ, start_response):
    def pieces():
        yield b"one"
        raise ValueError("in the body of closing_after_error")

    start_response("200 OK", TEXT)
    return Closing(environ, pieces())


def closing_after_early_error(environ, start_response):
    def pieces():
        raise ValueError("in the body of closing_after_early_error")
        yield

    start_response("200 OK", TEXT)
    return Closing(environ, pieces())


def closing_after_exit(environ, start_response):
    def pieces():
        yield b"one"
        sys.exit("in the body of closing_after_exit")

    start_response("200 OK", TEXT)
    return Closing(environ, pieces())


def closing_without_status(environ, start_response):
    return Closing(environ, [b"not to be seen"])


def closing_after_much(environ, start_response):
    """Send more than any buffer takes, so that the server notices when nobody reads."""
    start_response("200 OK", TEXT)
    return Closing(environ, (b"much " * 20_000 for _ in range(2_000)))


def fails_to_close(environ, start_response):
    class Body(list):
        def close(self):
            raise ValueError("in the close of fails_to_close")

    start_response("200 OK", TEXT)
    return Body([b"all of it"])


# Mistakes that an application may make


def with_header(environ, start_response):
    """Send the header that the query names."""
    names = arguments(environ)
    start_response("200 OK", [*TEXT, (names["name"], names["value"])])
    return [b"not to be seen"]


def with_bytes_name(environ, start_response):
    start_response("200 OK", [(b"X-Bytes", "not a string")])
    return [b"not to be seen"]


def with_bytes_value(environ, start_response):
    start_response("200 OK", [("X-Bytes", b"not a string")])
    return [b"not to be seen"]


def with_headers_that_are_no_list(environ, start_response):
    start_response("200 OK", iter([("X-Lost", "1")]))
    return [b"not to be seen"]


def with_bytes_status(environ, start_response):
    start_response(b"200 OK", TEXT)
    return [b"not to be seen"]


def raises(environ, start_response):
    raise ValueError("in raises")


def raises_gated(environ, start_response):
    """Say that it was called, wait for the file that the query names, and raise."""
    print("raises_gated was called", file=environ["wsgi.errors"], flush=True)
    wait_for_file(arguments(environ)["file"])
    raise ValueError("in raises_gated")


def raises_late(environ, start_response):
    """Fail after a piece of the body has left."""
    start_response("200 OK", BYTES)
    yield b"the first piece"
    raise ValueError("in raises_late")


def raises_base_exception(environ, start_response):
    raise BaseException("in raises_base_exception")


def exits(environ, start_response):
    sys.exit("in exits")


def clears_environ(environ, start_response):
    """Do with environ as one likes: PEP 3333 allows it."""
    environ.clear()
    raise ValueError("in clears_environ")


def closes_stderr(environ, start_response):
    sys.stderr.close()
    raise ValueError("nobody can see this")


def returns_none(environ, start_response):
    start_response("200 OK", TEXT)


def returns_text(environ, start_response):
    start_response("200 OK", TEXT)
    return ["text, not bytes"]


def writes_text(environ, start_response):
    start_response("200 OK", TEXT)("text, not bytes")
    return [b"not to be seen"]


def starts_nothing(environ, start_response):
    return [b"a body without a status"]


# The standard library's check of both sides


@validator
def checked(environ, start_response):
    """Send the body back, or a greeting. The validator raises where a side breaks the contract."""
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start_response("200 OK", TEXT)
    return [b"Hello"] if not body else iter([body[:3], body[3:]])


def validated(environ, start_response):
    """Let the validator check both sides.

    It fails if one of these is absent, which PEP 3333 allows where it is empty.
    """
    for name in ("SCRIPT_NAME", "PATH_INFO"):
        environ.setdefault(name, "")
    return checked(environ, start_response)
