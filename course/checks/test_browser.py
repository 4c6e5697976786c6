"""A real browser, headless Chromium, gets the pages of steps 2 to 6."""

import re
import sys
import time

import pytest

from course.browser import FORKING, ITERATIVE, SECONDS, each, needs_chromium
from tests.harness import ROOT, Server

TITLES = {"step02_http_server": "Step 2: HTTP"}
LOADS = 5

pytestmark = needs_chromium


def start(step):
    """Return a running server of a step, with the step's own application."""
    return Server([sys.executable, str(ROOT / step / "server.py"), "--port", "0"])


@pytest.mark.parametrize("step", each(ITERATIVE + FORKING))
def test_chromium_shows_the_home_page(page, step):
    with start(step) as server:
        response = page.goto(f"{server.url}/")
        assert response.status == 200, f"/ gave {response.status}."
        text = page.inner_text("body")
        title = TITLES.get(step, "It works")
        assert page.title() == title, f"The title in the tab is {page.title()!r}, not {title!r}."
        assert page.inner_text("h1") == "It works", f"The page shows:\n{text}"
        processes = re.findall(r"process (\d+)", text, re.IGNORECASE)
        assert str(server.pid) in processes, (
            f"The server is process {server.pid}, but the page shows:\n{text}"
        )
        assert re.search(r"127\.0\.0\.1:\d+", text), f"The page names no client:\n{text}"
        assert not page.complaints, f"The browser's console shows: {page.complaints}"


@pytest.mark.parametrize("step", each(ITERATIVE + FORKING))
def test_chromium_loads_the_page_again_and_again(page, step, record_property):
    with start(step) as server:
        seconds = []
        for number in range(LOADS):
            begin = time.monotonic()
            assert page.goto(f"{server.url}/?{number}").status == 200, f"Load {number} failed."
            seconds.append(round(time.monotonic() - begin, 3))
        record_property("seconds", seconds)
        for number in range(LOADS):
            server.wait_for_line(rf"GET /\?{number} HTTP/1\.1 -> 200 OK")
        assert sum(seconds) < SECONDS, (
            f"The loads took {seconds} seconds. Does a connection that the browser opened, and "
            "did not use, hold the server?"
        )
        assert not page.complaints, f"The browser's console shows: {page.complaints}"


@pytest.mark.parametrize("step", each(ITERATIVE + FORKING))
def test_chromium_opens_several_tabs(page, step):
    with start(step) as server:
        tabs = [page, *(page.context.new_page() for _ in range(3))]
        for tab in tabs:  # all of them start, then all of them finish
            tab.evaluate("url => { setTimeout(() => { location = url }) }", f"{server.url}/")
        for tab in tabs:
            tab.wait_for_selector("h1")
            assert tab.inner_text("h1") == "It works", f"A tab shows {tab.inner_text('body')!r}."


@pytest.mark.parametrize("step", each([*ITERATIVE[1:], *FORKING]))
def test_chromium_sends_a_form_and_follows_a_link(page, step):
    with start(step) as server:
        page.goto(f"{server.url}/")
        page.fill("input[name=text]", "caf\u00e9 & more")
        page.click("button")
        page.wait_for_url("**/echo")
        assert page.inner_text("body").strip() == "text=caf%C3%A9+%26+more", (
            f"The form was sent to /echo, and the browser shows {page.inner_text('body')!r}."
        )
        page.go_back()
        page.click("text=/environ")
        page.wait_for_url("**/environ")
        text = page.inner_text("body")
        assert "PATH_INFO = '/environ'" in text, f"/environ shows:\n{text}"
        assert f"HTTP_REFERER = '{server.url}/'" in text, f"/environ shows:\n{text}"
        assert not page.complaints, f"The browser's console shows: {page.complaints}"
