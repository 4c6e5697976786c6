"""The arena's page: a Flask application. It reads what happens, and may do something to a lane."""

import json

from flask import Flask, Response, abort, jsonify, render_template, request

from arena.lanes import ACTIONS

# The page may load its own files, and nothing else.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def make_site(recording, do=None):
    """Return the Flask application that shows a recording.

    do: a function of an action and lanes' names, see Lanes.do; None if there are no servers.
    """
    site = Flask(__name__)
    # A page of elsewhere whose name leads to 127.0.0.1 gets nothing.
    site.config["TRUSTED_HOSTS"] = ["127.0.0.1", "localhost"]

    @site.get("/")
    def show_page():
        return render_template("arena.html")

    @site.get("/events")
    def follow():
        last = request.headers.get("Last-Event-ID", "")
        return Response(stream(recording.follow(last)), mimetype="text/event-stream")

    @site.get("/recording")
    def save():
        response = jsonify(recording.minute())
        response.headers["Content-Disposition"] = "attachment; filename=arena.json"
        return response

    @site.post("/do")
    def act():
        if request.headers.get("Origin") != request.host_url.rstrip("/"):
            abort(403, "Only the arena's own page may do this.")
        if do is None:
            abort(409, "This is a recording: there is no server behind it.")
        wish = request.get_json()
        if not isinstance(wish, dict) or wish.get("action") not in ACTIONS:
            abort(400, "There is no such action.")
        lane = wish.get("lane")  # one, several, or null: all
        try:
            do(wish["action"], [lane] if isinstance(lane, str) else lane)
        except (KeyError, TypeError):
            abort(400, "There is no such lane.")
        return "", 204

    @site.after_request
    def be_strict(response):
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Cache-Control"] = "no-store"
        return response

    return site


def stream(batches):
    """Yield batches of events as server-sent events; one without events is a comment line."""
    for number, events in batches:
        if events:
            yield f"id: {number}\ndata: {json.dumps(events)}\n\n"
        else:
            yield ": still here\n\n"
