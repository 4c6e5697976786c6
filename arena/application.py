"""The WSGI application that all servers of the arena run.

GET /?seconds=5 works for so many seconds, at most 60. POST /crash ends the process that serves it,
by SIGKILL. Either sends a first byte at once, so a client sees when it begins to be served.
"""

import os
import signal
import time
import urllib.parse


def application(environ, start_response):
    """Answer one request."""
    path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
    if path not in ("", "/") and (path, method) != ("/crash", "POST"):
        start_response("404 Not Found", [("Content-Length", "0")])
        return []
    query = urllib.parse.parse_qs(environ.get("QUERY_STRING", ""))
    try:
        seconds = min(60, max(0, float(query.get("seconds", ["0"])[0])))
    except ValueError:
        seconds = 0
    text = f"Process {os.getpid()} served you.\n".encode()
    headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(text)))]
    start_response("200 OK", headers)
    return work(text, seconds, path == "/crash")


def work(text, seconds, crashes):
    """Yield the first byte of a text, then work, or crash, and yield the rest."""
    yield text[:1]
    if crashes:
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))  # Windows has the latter
    time.sleep(seconds)
    yield text[1:]
