"""Take the pictures of the process page that README.md shows: step 4 beside step 5.

    python pictures/take.py [--seconds N] [--folder FOLDER]

Needs Chromium or Chrome, and what "make test" installs.
"""

import argparse
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent / "tests"))

from browser import ARGUMENTS, CHROMIUM  # noqa: E402
from harness import ROOT, Server  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402

STEPS = ["step04_fork", "step05_zombies"]
SIZE = {"width": 1280, "height": 720}  # pixels


def take(browser, step, seconds, path):
    """Open the page on a step, wait, press two buttons, and write what is seen to a PNG file."""
    command = [sys.executable, str(ROOT / step / "server.py"), "flask_app:app", "--port", "0"]
    with Server(command) as server:
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
