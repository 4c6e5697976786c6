"""Fixtures for the checks that use headless Chromium: browser and page."""

import os

import pytest

from course.browser import ARGUMENTS, CHROMIUM, SECONDS

os.environ["LANGUAGE"] = "en"  # whoever runs the checks: they know what is said in English


@pytest.fixture(scope="module")
def browser():
    """A running Chromium."""
    from playwright.sync_api import sync_playwright  # which a learner need not install

    with sync_playwright() as tool:
        chromium = tool.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser):
    """A page in a new and empty profile; page.complaints is what its console shows."""
    context = browser.new_context(locale="en-US")  # whatever the machine speaks
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
