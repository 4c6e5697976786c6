"""The pages of app.py again, as a Flask application."""

import os
import time

from flask import Flask, Response, request

app = Flask(__name__)
app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False  # app.py does not answer OPTIONS either
HOME_PAGE = app.jinja_env.from_string("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Flask works</title>
<h1>Flask works</h1>
<p>Process <b>{{ pid }}</b>, a child of process {{ parent_pid }}, made this page.</p>
<p>It came to you over the TCP connection
from <b>{{ environ.REMOTE_ADDR }}:{{ environ.REMOTE_PORT }}</b>
to <b>{{ environ.SERVER_NAME }}:{{ environ.SERVER_PORT }}</b>.</p>
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
""")  # compiled once, here, and not for each request in a child


@app.get("/")
def home():
    """Say which process made this page, and over which connection it goes."""
    return HOME_PAGE.render(pid=os.getpid(), parent_pid=os.getppid(), environ=request.environ)


@app.get("/environ")
def show_environ():
    """Show environ, a line for each variable."""
    lines = [f"{key} = {value!r}\n" for key, value in sorted(request.environ.items())]
    return Response("".join(lines), mimetype="text/plain")


@app.get("/slow")
def slow():
    """Sleep for some seconds, at most 60, before the answer."""
    try:
        seconds = float(request.args.get("seconds", "1"))
    except ValueError:
        seconds = -1
    if not 0 <= seconds <= 60:
        return Response("seconds is a number from 0 to 60.\n", 400, mimetype="text/plain")
    time.sleep(seconds)
    return Response(f"Process {os.getpid()} slept {seconds} seconds.\n", mimetype="text/plain")


@app.post("/echo")
def echo():
    """Send the body of the request back."""
    body = request.stream
    return Response(iter(lambda: body.read(64 * 1024), b""), mimetype="text/plain")


@app.get("/crash")
def crash():
    """Fail as a program with a mistake fails."""
    return 1 / 0


@app.get("/stream")
def stream():
    """Send five lines, half a second apart."""

    def pieces():
        for number in range(1, 6):
            yield f"piece {number}\n"
            time.sleep(0.5)

    return Response(pieces(), mimetype="text/plain")
