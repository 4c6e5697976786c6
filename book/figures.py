"""The figures that play: replays of the arena, which stand in the lessons."""

import html
import json
import re
import tomllib

from arena.lanes import STEPS as LANES
from tests.harness import ROOT

FOLDER = ROOT / "book" / "figures"  # recordings, and a picture of the end of each
BEFORE = re.compile(r"^## (?:Predict|先猜一猜)$", re.MULTILINE)
ALT = {"en": "The end of the replay", "zh": "回放的结尾"}


def read_figures():
    """Return what figures.toml says: a dict from each step to a dict."""
    return tomllib.loads((ROOT / "book" / "figures.toml").read_text("utf-8"))


def recording(step, language):
    """Return the events of a figure, with the titles and claims of its lanes.

    lifelines.js translates those of the arena's lanes; own servers have theirs in that language.
    """
    hello, *events = json.loads((FOLDER / f"{step}.json").read_text("utf-8"))
    own = read_figures()[step].get("own")
    claims = {name: words for name, *words in LANES}
    for lane in hello["lanes"]:
        number = ["en", "zh"].index(language)
        words = (own["title"][number], own["claim"][number]) if own else claims[lane["lane"]]
        lane["title"], lane["claim"] = words
    return [hello, *events]


def add_figure(text, step, language, write):
    """Return a lesson with its figure; write is a function that writes a file of the book."""
    words = read_figures()[step]["words"][language]
    picture = f"{step}.png"
    write(f"{step}/figure.png", (FOLDER / picture).read_bytes())
    events = json.dumps(recording(step, language), separators=(",", ":")).replace("</", "<\\/")
    figure = (
        '```{raw} html\n<figure class="replay">\n```\n\n'
        f"![{ALT[language]}](figure.png)\n\n"
        f"```{{raw}} html\n<figcaption>{html.escape(words)}</figcaption>\n"
        f'<script type="application/json">{events}</script>\n</figure>\n```\n\n'
    )
    return BEFORE.sub(lambda match: figure + match[0], text, count=1)


def style():
    """Return the arena's style sheet for a part of a page: its rules, nested in .lifelines."""
    text = (ROOT / "arena" / "static" / "arena.css").read_text("utf-8")
    return ".lifelines {\n" + text.replace(":root", "&") + "}\n"
