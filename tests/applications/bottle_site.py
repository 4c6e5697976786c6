"""A small site in Bottle. flask_site.py and django_site.py are the same site."""

from bottle import Bottle, request, response

application = Bottle()


@application.get("/hello/<name>")
def hello(name):
    return f"Hello, {name}"


@application.post("/form")
def form():
    return ", ".join(f"{name}={value}" for name, value in sorted(request.forms.decode().items()))


@application.get("/cookies")
def cookies():
    response.set_cookie("one", "1")
    response.set_cookie("two", "2")
    return request.get_cookie("old") or ""


@application.get("/stream")
def stream():
    return iter(["one ", "two ", "three"])
