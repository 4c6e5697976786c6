"""The Chinese edition beside the English one: its pages, and where their links lead."""

import re

from course.facts import headings
from tests.harness import ROOT

FOLDERS = (".", "step*", "guide", "teaching", "benchmarks", "notebooks")
BILINGUAL = [ROOT / "GLOSSARY.md"]  # has both languages on one page
LINK = re.compile(
    r"(?<!\[English)\]\((?P<target>[^)\s]+)\)(?P<stars>\**)(?:（英文） ?|(?P<space> ))?"
)
BLOCK = re.compile(r"^ *```.*?^ *```$", re.DOTALL | re.MULTILINE)


def chinese_of(page):
    """Return the path that the Chinese edition of a page or a notebook has, if there is one."""
    return page.with_name(f"{page.stem}.zh-CN.md")


def english_of(page):
    """Return the English page, or the notebook, of a Chinese page: a Path, or None."""
    name = page.name.removesuffix(".zh-CN.md")
    both = (page.with_name(name + suffix) for suffix in (".md", ".ipynb"))
    return next((path for path in both if path.exists()), None)


def chinese_pages():
    """Return the pages of the Chinese edition: Paths."""
    return [page for folder in FOLDERS for page in sorted(ROOT.glob(f"{folder}/*.zh-CN.md"))]


def link(target, page):
    """Return where a link of a Chinese page ought to lead, and whether that is in English.

    target: as the page has it. An English page becomes the Chinese one, if there is one, and the
    anchor of a heading that of the same heading there. As long as the one page has other headings
    than the other, a link to a heading stays as it is.
    """
    path, _, anchor = target.partition("#")
    linked = (page.parent / path).resolve() if path else page
    if linked.suffix not in (".md", ".ipynb") or linked in BILINGUAL or "://" in target:
        return target, False
    is_chinese = linked.name.endswith(".zh-CN.md")
    english, chinese = (english_of(linked), linked) if is_chinese else (linked, chinese_of(linked))
    if not (english and chinese.exists()):
        return target, not is_chinese
    if anchor:
        old, new = list(headings(english)), list(headings(chinese))
        if anchor not in new:
            if anchor not in old or len(old) != len(new):
                return target, False
            anchor = new[old.index(anchor)]
    path = path and path[: -len(linked.name)] + chinese.name
    return f"{path}#{anchor}" if anchor else path, False


def fill_links(text, page):
    """Return the text of a Chinese page with each link as link() says, and（英文）where needed."""

    def fill(match):
        target, is_english = link(match["target"], page)
        after = "（英文）" if is_english else match["space"] or ""
        return f"]({target}){match['stars']}{after}"

    blocks = iter(BLOCK.findall(text))
    pieces = [LINK.sub(fill, piece) for piece in BLOCK.split(text)]
    return pieces[0] + "".join(next(blocks) + piece for piece in pieces[1:])
