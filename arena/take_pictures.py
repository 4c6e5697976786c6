"""Take the pictures of the process page that README.md shows: step 4 beside step 5.

    python -m arena.take_pictures [--seconds N] [--folder FOLDER]

Needs Chromium or Chrome, and what "make test" installs.
"""

import argparse
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from course.browser import ARGUMENTS, CHROMIUM
from tests.harness import ROOT, Server

FOLDER = ROOT / "arena" / "pictures"
STEPS = ["step04_fork", "step05_zombies"]
SIZE = {"width": 1280, "height": 720}  # pixels


def take(browser, step, seconds, path):
    """Open the page on a step, wait, press two buttons, and write what is seen to a PNG file."""
    command = [sys.executable, str(ROOT / step / "server.py"), "arena.processes:app", "--port", "0"]
    with Server(command, cwd=ROOT) as server:
        page = browser.new_page(viewport=SIZE, color_scheme="light")
        page.goto(f"{server.url}/processes")
        page.wait_for_timeout(seconds * 1000)
        page.get_by_role("button", name="A burst of 50").click()
        page.wait_for_timeout(seconds * 1000)
        page.get_by_role("button", name="One slow request").click()
        page.wait_for_selector("#counts[data-at-work='2']")
        page.mouse.move(0, 0)
        page.screenshot(path=path)
        page.close()


def main():
    """Take a picture of each of the two steps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=12, help="before and after the burst")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the pictures go")
    arguments = parser.parse_args()
    if CHROMIUM is None:
        sys.exit("No Chromium or Chrome is installed.")
    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        for step in STEPS:
            path = arguments.folder / f"processes_{step}.png"
            take(browser, step, arguments.seconds, path)
            print("wrote", path.name)
        browser.close()


if __name__ == "__main__":
    main()
