"""An application around another one. Its page /modules says what was imported, and when.

The environment variable WRAPPED names the other one, such as flask_app:app.
"""

import importlib
import json
import os
import sys

module, _, name = os.environ["WRAPPED"].partition(":")
wrapped = getattr(importlib.import_module(module), name)
loaded = set(sys.modules)  # before the server listens, and before any request comes


def application(environ, start_response):
    if environ["PATH_INFO"] != "/modules":
        return wrapped(environ, start_response)
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps([sorted(loaded), sorted(set(sys.modules) - loaded)]).encode()]
