"""Play the same ten seconds on steps 3, 4 and 5, and save them, and a picture in each language.

    python -m arena.record [--file FILE] [--picture FILE]

"make arena REPLAY=arena/recordings/ten_seconds.json" plays what was saved. The pictures need
Chromium or Chrome, a Chinese font, and playwright: "make pictures" installs the last.
"""

import argparse
import contextlib
import json
import sys
import threading
import time
from pathlib import Path

import waitress

from arena.lanes import Lanes
from arena.site import make_site
from tests.harness import wait_until

FILE = Path(__file__).parent / "recordings" / "ten_seconds.json"
LANES = ["step03_wsgi", "step04_fork", "step05_zombies"]
SECONDS = 10
# After so many seconds all lanes get the same clients.
PLAN = [
    (0.0, "client"),
    (0.5, "client"),
    (1.0, "slow"),
    (1.5, "slow"),
    (2.0, "client"),
    (2.5, "client"),
    (4.0, "burst"),
    (7.0, "client"),
    (7.5, "client"),
]
SIZE = {"width": 1600, "height": 900}  # pixels
LANGUAGES = {"en-US": "", "zh-CN": ".zh-CN"}  # of a picture, and what stands in its name


def play(lanes):
    """Send the clients of PLAN to LANES, each at its time; wait until ten seconds are over."""
    begin = time.monotonic()
    for seconds, what in PLAN:
        time.sleep(max(0, begin + seconds - time.monotonic()))
        lanes.do(what, LANES)
    time.sleep(max(0, begin + SECONDS - time.monotonic()))


def save(recording, file):
    """Write what a recording has of LANES to a file that make arena REPLAY=... can play."""
    hello, *events = recording.minute()
    hello["lanes"] = [lane for lane in hello["lanes"] if lane["lane"] in LANES]
    kept = [hello, *(event for event in events if event["lane"] in LANES)]
    lines = ",\n".join(json.dumps(event) for event in kept)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"[{lines}]\n", encoding="utf-8")


@contextlib.contextmanager
def open_pages(lanes):
    """Show LANES in headless Chromium in each of LANGUAGES, and give a dict of the pages."""
    from playwright.sync_api import sync_playwright  # which only the picture needs

    from course.browser import ARGUMENTS, CHROMIUM

    if CHROMIUM is None:
        sys.exit("No Chromium or Chrome is installed.")
    site = make_site(lanes.recording, lanes.do)
    server = waitress.create_server(site, host="127.0.0.1", port=0)
    threading.Thread(target=server.run, daemon=True).start()
    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        pages = {}
        for locale in LANGUAGES:
            page = browser.new_page(viewport=SIZE, color_scheme="light", locale=locale)
            page.goto(f"http://127.0.0.1:{server.effective_port}/#{','.join(LANES)}")
            page.keyboard.press("p")  # for the projector: larger letters
            pages[locale] = page
        yield pages
        browser.close()


def main():
    """Read the command line, play, and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--file", type=Path, default=FILE, help="where the recording goes")
    parser.add_argument("--picture", type=Path, help="where a picture goes, beside a Chinese one")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        lanes = stack.enter_context(Lanes())
        pages = stack.enter_context(open_pages(lanes)) if arguments.picture else {}
        chosen = [lane for lane in lanes.lanes if lane.name in LANES]
        wait_until(lambda: all(lane.is_running() for lane in chosen), "A server does not start.")
        play(lanes)
        for locale, page in pages.items():
            file = arguments.picture
            file = file.with_name(f"{file.stem}{LANGUAGES[locale]}{file.suffix}")
            page.screenshot(path=file)
            print("wrote", file)
        save(lanes.recording, arguments.file)
        print("wrote", arguments.file)


if __name__ == "__main__":
    main()
