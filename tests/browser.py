"""Headless Chromium for the tests: the fixtures browser and page."""

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


@pytest.fixture(scope="module")
def browser():
    """A running Chromium."""
    reason = "playwright is not installed: pip install playwright"
    playwright = pytest.importorskip("playwright.sync_api", reason=reason)
    with playwright.sync_playwright() as tool:
        chromium = tool.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser):
    """A page in a new and empty profile; page.complaints is what its console shows."""
    context = browser.new_context()
    context.set_default_timeout(SECONDS * 1000)
    page = context.new_page()
    page.complaints = []

    def note(message):
        if message.type in ("error", "warning") and not is_favicon(message):
            page.complaints.append(message.text)

    page.on("console", note)
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    yield page
    context.close()


def is_favicon(message):
    """Say whether a console message is about the icon that a browser asks for unasked."""
    return message.location.get("url", "").endswith("/favicon.ico") and "404" in message.text
