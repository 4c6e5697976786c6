"""The Flask page: the same line as hello.py, from a view of a Flask application."""

from flask import Flask

application = Flask(__name__)


@application.get("/")
def hello():
    """Answer each request with the same line."""
    return "Hello, world!\n"
