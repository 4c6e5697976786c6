"""Measure how the pages read: visible lines, words a sentence, and the share of short sentences.

    .venv/bin/python -m course.reading [PAGE ...]

Visible is what a reader sees before unfolding anything. Sentences are those of the prose, visible
or not: code, tables, headings and comments are left out.
"""

import re
import sys
from pathlib import Path
from typing import NamedTuple

from tests.harness import ROOT

SHORT = 6  # words, at most, of a short sentence


class Reading(NamedTuple):
    """How a page reads."""

    visible_lines: int
    sentences: int
    mean_words: float  # a sentence
    short: float  # the share of short sentences, from 0 to 1


def pages():
    """Return the English pages of the course: Paths, the lessons first."""
    folders = ["step*", ".", "guide", "teaching"]
    found = [path for folder in folders for path in sorted(ROOT.glob(f"{folder}/*.md"))]
    found += [ROOT / "benchmarks" / "README.md", ROOT / ".github" / "CONTRIBUTING.md"]
    return [path for path in found if not path.name.endswith(".zh-CN.md")]


def visible(text):
    """Return a page without what is folded; of a fold its summary stays."""
    fold = re.compile(r"^( *)<details>\s*(<summary>.*?</summary>)?.*?</details>", re.S | re.M)
    return fold.sub(lambda match: match[1] + (match[2] or ""), text)


def sentences(text):
    """Return the sentences of a page's prose, each a list of words."""
    text = re.sub(r"^ *```.*?^ *```$", "\n", text, flags=re.S | re.M)
    text = re.sub(r"<!--.*?-->|<summary>.*?</summary>|</?\w+[^>]*>", "\n", text, flags=re.S)
    text = re.sub(r"^ *(#|\||!\[|Reading: ).*$", "\n", text, flags=re.M)
    text = re.sub(r"^( *(?:[-*>]|\d+\.)? *)\*\*[^*]+[.:?]\*\*", r"\1", text, flags=re.M)  # a lead
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)  # a link is its text
    text = re.sub(r"`([^`\n]*)`", lambda code: "Code " * len(code[1].split()), text)
    text = re.sub(r"^ *(?:[-*>]|\d+\.) +", "\n\n", text, flags=re.M)  # an item begins anew
    found = []
    for paragraph in re.split(r"\n\s*\n", text):
        flat = " ".join(paragraph.replace("*", "").split())
        for sentence in re.split(r"(?<=[.?!])[)\"']*\s+(?=[\"'(]*[A-Z0-9])", flat):
            words = re.findall(r"[\w'-]+", sentence)
            if words and re.search(r"[.?!:]", sentence[-3:]):  # not a title or a row of links
                found.append(words)
    return found


def measure(text):
    """Return the Reading of a page's text."""
    lines = [line for line in visible(text).splitlines() if line.strip()]
    lengths = [len(words) for words in sentences(text)]
    count = len(lengths) or 1
    short = sum(length <= SHORT for length in lengths) / count
    return Reading(len(lines), len(lengths), sum(lengths) / count, short)


def main():
    """Print a line for each page."""
    print("lines  sentences  words  short  page")
    for path in [Path(name).resolve() for name in sys.argv[1:]] or pages():
        reading = measure(path.read_text("utf-8"))
        print(
            f"{reading.visible_lines:5}  {reading.sentences:9}  {reading.mean_words:5.1f}"
            f"  {reading.short:5.0%}  {path.relative_to(ROOT)}"
        )


if __name__ == "__main__":
    main()
