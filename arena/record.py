"""Play the same ten seconds on steps 3, 4 and 5, and save them, and a picture of them.

    python -m arena.record [--file FILE] [--picture FILE]

"make arena REPLAY=arena/recordings/ten_seconds.json" plays what was saved. The picture needs
Chromium or Chrome, and playwright: "make pictures" installs it.
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
def open_page(lanes):
    """Show LANES in headless Chromium, and give the page."""
    from playwright.sync_api import sync_playwright  # which only the picture needs

    from course.browser import ARGUMENTS, CHROMIUM

    if CHROMIUM is None:
        sys.exit("No Chromium or Chrome is installed.")
    site = make_site(lanes.recording, lanes.do)
    server = waitress.create_server(site, host="127.0.0.1", port=0)
    threading.Thread(target=server.run, daemon=True).start()
    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(viewport=SIZE, color_scheme="light", locale="en-US")
        page.goto(f"http://127.0.0.1:{server.effective_port}/#{','.join(LANES)}")
        page.keyboard.press("p")  # for the projector: larger letters
        yield page
        browser.close()


def main():
    """Read the command line, play, and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--file", type=Path, default=FILE, help="where the recording goes")
    parser.add_argument("--picture", metavar="FILE", help="where a picture of the page goes")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        lanes = stack.enter_context(Lanes())
        page = stack.enter_context(open_page(lanes)) if arguments.picture else None
        chosen = [lane for lane in lanes.lanes if lane.name in LANES]
        wait_until(lambda: all(lane.is_running() for lane in chosen), "A server does not start.")
        play(lanes)
        if page:
            page.screenshot(path=arguments.picture)
            print("wrote", arguments.picture)
        save(lanes.recording, arguments.file)
        print("wrote", arguments.file)


if __name__ == "__main__":
    main()
