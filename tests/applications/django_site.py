"""A small site in Django, in one file. flask_site.py and bottle_site.py are the same site."""

import sys

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path

settings.configure(ROOT_URLCONF=sys.modules[__name__], ALLOWED_HOSTS=["*"], SECRET_KEY="test")
django.setup()


def hello(request, name):
    return HttpResponse(f"Hello, {name}")


def form(request):
    return HttpResponse(
        ", ".join(f"{name}={value}" for name, value in sorted(request.POST.items()))
    )


def cookies(request):
    response = HttpResponse(request.COOKIES.get("old", ""))
    response.set_cookie("one", "1")
    response.set_cookie("two", "2")
    return response


def stream(request):
    return StreamingHttpResponse(iter(["one ", "two ", "three"]))


urlpatterns = [
    path("hello/<name>", hello),
    path("form", form),
    path("cookies", cookies),
    path("stream", stream),
]

application = get_wsgi_application()
