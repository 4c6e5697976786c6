"""The pages of app.py again, as a Flask application."""

import os
import time

from flask import Flask, Response, abort, render_template, request

app = Flask(__name__)


@app.get("/")
def home():
    """Say which process made this page, and over which connection it goes."""
    return render_template(
        "home.html", pid=os.getpid(), parent_pid=os.getppid(), environ=request.environ
    )


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
        abort(400, "seconds is a number from 0 to 60.")
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
