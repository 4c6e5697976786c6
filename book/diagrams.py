"""The diagrams of the pages, which GitHub draws from their words, drawn once for the book.

    python -m book.diagrams

draws those that are not there, and drops those that no page has any more. It needs merman, which
has no wheel for some machines: .venv/bin/python -m pip install merman==0.9.2
"""

import hashlib
import re

from course.facts import BLOCK
from tests.harness import ROOT

FOLDER = ROOT / "book" / "diagrams"
NAME = re.compile(r"^ +participant (\w+) as (.+?)(?: \(.*|（.*)?$", re.MULTILINE)
EVENT = re.compile(r"^ +(?:Note over (?:\w+,)?)?(\w+)(?:-+>>(\w+))?: (.+)$", re.MULTILINE)
SIGNS = {"en": (" to ", ": ", "; ", "."), "zh": (" 到 ", "：", "；", "。")}
NO_SIZE = re.compile(r'width="100%"(.*?viewBox="\S+ \S+ (\S+) (\S+)")')


def file_of(text):
    """Return the path of a diagram's picture, which has another name once its words change."""
    return FOLDER / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.svg"


def diagrams():
    """Return the words of all diagrams: a dict from the path of each picture."""
    pages = [*ROOT.glob("*.md"), *ROOT.glob("[a-z]*/*.md")]
    blocks = [block for page in pages for block in BLOCK.findall(page.read_text("utf-8"))]
    return {file_of(text): text for kind, text in blocks if kind == "mermaid"}


def in_words(text, language):
    """Return what a sequence diagram shows, such as "client to server: connect; server: accept."

    Of a flowchart it is an empty text.
    """
    names = dict(NAME.findall(text))
    to, colon, then, end = SIGNS[language]
    events = []
    for *ends, what in EVENT.findall(text):
        who = dict.fromkeys(names.get(name, name) for name in ends if name)  # one, or both
        events.append(to.join(who) + colon + what.replace("<br/>", " ").rstrip(end))
    return then.join(events) + end if events else ""


def draw(text):
    """Return a diagram as SVG, with a width and a height in pixels."""
    import merman  # here, because the book is built where it cannot be installed

    svg = merman.Merman().render_svg(text, None)
    if text.startswith("flowchart"):  # whose boxes are too narrow for Arial, as for most fonts
        svg = svg.replace("font-size:14px", "font-size:12px")
    return NO_SIZE.sub(r'width="\2" height="\3"\1', svg, count=1)


def main():
    """Draw, and drop."""
    FOLDER.mkdir(exist_ok=True)
    wanted = diagrams()
    for path in set(FOLDER.glob("*.svg")) - set(wanted):
        path.unlink()
        print("dropped", path)
    for path, text in wanted.items():
        if not path.exists():
            path.write_text(draw(text), "utf-8")
            print("wrote", path)


if __name__ == "__main__":
    main()
