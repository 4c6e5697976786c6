"""Play the figures on real servers, and save what happened, and a picture of its end.

    python -m book.record [STEP ...]

STEP is such as step04_fork; without one, all are played. The pictures need Chromium or Chrome, and
playwright, which make lint installs.
"""

import argparse
import json
import sys
import time

from playwright.sync_api import sync_playwright

from arena.lanes import Lanes
from book.figures import FOLDER, read_figures, recording, style
from course.browser import ARGUMENTS, CHROMIUM
from tests.harness import ROOT, wait_until

WIDTH = 760  # pixels of a picture


def play(figure):
    """Play a figure's plan on real servers, and return what was recorded."""
    own = figure.get("own")
    names = figure.get("lanes", ["own"])
    lanes = Lanes([own["command"]] if own else None)
    if own:  # a server that runs no application is not given the arena's
        lanes.lanes[-1].command = [sys.executable, str(ROOT / own["command"]), "--port", "0"]
    with lanes:
        chosen = [lane for lane in lanes.lanes if lane.name in names]
        wait_until(lambda: all(lane.is_running() for lane in chosen), "A server does not start.")
        time.sleep(1)  # so that the servers are seen before their clients
        begin = time.monotonic()
        for seconds, what in figure["plan"]:
            time.sleep(max(0, begin + seconds - time.monotonic()))
            lanes.do(what, names)
        time.sleep(max(0, begin + figure["seconds"] - time.monotonic()))
        hello, *events = lanes.recording.minute()
    hello["lanes"] = [lane for lane in hello["lanes"] if lane["lane"] in names]
    return [hello, *(event for event in events if event["lane"] in names)]


def take_picture(browser, step):
    """Take a picture of the end of a recording."""
    events = recording(step, "en")
    size = {"width": WIDTH, "height": WIDTH}
    page = browser.new_page(viewport=size, color_scheme="light")
    page.set_content('<!doctype html><html lang="en"><div class="lifelines">')
    page.add_style_tag(content=style())
    page.add_style_tag(path=ROOT / "book" / "static" / "book.css")
    for name in ("words.js", "lifelines.js"):
        page.add_script_tag(path=ROOT / "arena" / "static" / name)
    page.evaluate(
        """events => {
          const lifelines = new Lifelines(document.querySelector(".lifelines"));
          lifelines.load(events);
          lifelines.step(60);
          return new Promise(requestAnimationFrame);
        }""",
        events,
    )
    page.locator(".lifelines").screenshot(path=FOLDER / f"{step}.png")
    page.close()


def main():
    """Read the command line, play, and save."""
    figures = read_figures()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("steps", metavar="STEP", nargs="*", default=figures)
    parser.add_argument("--pictures", action="store_true", help="of recordings that are there")
    arguments = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    for step in [] if arguments.pictures else arguments.steps:
        lines = ",\n".join(json.dumps(event) for event in play(figures[step]))
        (FOLDER / f"{step}.json").write_text(f"[{lines}]\n", "utf-8")
    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        for step in arguments.steps:
            take_picture(browser, step)
            print("wrote", FOLDER / f"{step}.png")
        browser.close()


if __name__ == "__main__":
    main()
