"""The trivial application: a WSGI callable that answers one line."""

BODY = b"Hello, world!\n"


def application(environ, start_response):
    """Answer each request with the same line."""
    headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(BODY)))]
    start_response("200 OK", headers)
    return [BODY]
