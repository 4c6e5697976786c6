"""The web site that real servers get for the tests of step 2: a WSGI application.

It has one page, for GET and HEAD. It reads a body only where one may be sent: every other answer
comes before the body.
"""

HOME_PAGE = b"<!doctype html>\n<title>It works</title>\n<h1>It works</h1>\n"


def application(environ, start_response):
    """Answer one request; an answer to HEAD has no body, which not every server sees to."""
    body = respond(environ, start_response)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def respond(environ, start_response):
    """Start a response, and return its body as it is for GET."""
    if environ["PATH_INFO"] not in ("", "/"):  # the path of http://test is empty
        return answer(start_response, "404 Not Found")
    if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
        return answer(start_response, "405 Method Not Allowed", ("Allow", "GET, HEAD"))
    while environ["wsgi.input"].read(64 * 1024):
        pass
    length = ("Content-Length", str(len(HOME_PAGE)))
    start_response("200 OK", [("Content-Type", "text/html"), length])
    return HOME_PAGE


def answer(start_response, status, *headers):
    """Start a response that has its status for its body, and return that."""
    start_response(status, [("Content-Type", "text/plain"), *headers])
    return status.encode()
