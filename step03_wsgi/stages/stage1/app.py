"""A web application in plain WSGI, without a framework: PEP 3333."""

import os
import time
import urllib.parse

HOME_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>It works</title>
<h1>It works</h1>
<p>Process <b>{pid}</b>, a child of process {parent_pid}, made this page.</p>
<p>It came to you over the TCP connection from <b>{client}</b> to <b>{server}</b>.</p>
<ul>
<li><a href="/environ">/environ</a> shows what the server tells the application
<li><a href="/slow?seconds=1">/slow?seconds=1</a> takes a second
<li><a href="/stream">/stream</a> comes piece by piece
<li><a href="/crash">/crash</a> fails
</ul>
<form method="post" action="/echo">
<label>Text for /echo: <input name="text"></label> <button>Send</button>
</form>
</html>
"""


def application(environ, start_response):
    """Answer one request: call start_response, and return the body, an iterable of bytes."""
    path = environ["PATH_INFO"]
    if path not in PAGES:
        return answer(start_response, "404 Not Found", "There is no such page.\n")
    page, *methods = PAGES[path]
    if environ["REQUEST_METHOD"] not in methods:
        text = "This page is not for that method.\n"
        headers = [("Allow", ", ".join(methods))]
        return answer(start_response, "405 Method Not Allowed", text, headers)
    return page(environ, start_response)


def home(environ, start_response):
    """Say which process made this page, and over which connection it goes."""
    page = HOME_PAGE.format(
        pid=os.getpid(),
        parent_pid=os.getppid(),
        client=f"{environ['REMOTE_ADDR']}:{environ['REMOTE_PORT']}",
        server=f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}",
    )
    return answer(start_response, "200 OK", page, content_type="text/html; charset=utf-8")


def show_environ(environ, start_response):
    """Show environ, a line for each variable."""
    lines = [f"{key} = {value!r}\n" for key, value in sorted(environ.items())]
    return answer(start_response, "200 OK", "".join(lines))


def slow(environ, start_response):
    """Sleep for some seconds, at most 60, before the answer."""
    query = urllib.parse.parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    try:
        seconds = float(query.get("seconds", ["1"])[0])
    except ValueError:
        seconds = -1
    if not 0 <= seconds <= 60:
        return answer(start_response, "400 Bad Request", "seconds is a number from 0 to 60.\n")
    time.sleep(seconds)
    return answer(start_response, "200 OK", f"Process {os.getpid()} slept {seconds} seconds.\n")


def echo(environ, start_response):
    """Send the body of the request back."""
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return iter(lambda: environ["wsgi.input"].read(64 * 1024), b"")


def crash(environ, start_response):
    """Fail as a program with a mistake fails."""
    return 1 / 0


def stream(environ, start_response):
    """Send five lines, half a second apart."""
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    for number in range(1, 6):
        yield f"piece {number}\n".encode()
        time.sleep(0.5)


def answer(start_response, status, text, headers=(), content_type="text/plain; charset=utf-8"):
    """Start a response that has text for its body."""
    start_response(status, [("Content-Type", content_type), *headers])
    return [text.encode()]


PAGES = {
    "/": (home, "GET", "HEAD"),
    "/environ": (show_environ, "GET", "HEAD"),
    "/slow": (slow, "GET", "HEAD"),
    "/echo": (echo, "POST"),
    "/crash": (crash, "GET", "HEAD"),
    "/stream": (stream, "GET", "HEAD"),
}
