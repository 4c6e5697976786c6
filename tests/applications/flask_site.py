"""A small site in Flask. django_site.py and bottle_site.py are the same site."""

from flask import Flask, Response, request

application = Flask(__name__)


@application.get("/hello/<name>")
def hello(name):
    return f"Hello, {name}"


@application.post("/form")
def form():
    return ", ".join(f"{name}={value}" for name, value in sorted(request.form.items()))


@application.get("/cookies")
def cookies():
    response = Response(request.cookies.get("old", ""))
    response.set_cookie("one", "1")
    response.set_cookie("two", "2")
    return response


@application.get("/stream")
def stream():
    return Response(iter(["one ", "two ", "three"]))
