"""Headless Chromium for the checks and the pictures: where it is, and how it starts."""

import os
import shutil

import pytest

ITERATIVE = ["step02_http_server", "step03_wsgi"]
FORKING = ["step04_fork", "step05_zombies", "step06_prefork"]
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SECONDS = 30  # an idle connection may hold an iterative server for 10 s, until its deadline
CHROMIUM = next(
    filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None
)


needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium or Chrome is installed")


def each(steps):
    """Return the parameters for a test of each of these steps."""
    no_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="steps 4 to 6 need os.fork")
    return [pytest.param(step, marks=[no_fork] if step in FORKING else []) for step in steps]
