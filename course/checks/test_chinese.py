"""The Chinese edition keeps up with the English one: commands, code, diffs, links and headings.

A section whose English has moved on says so in its first line, and so does a whole page that was
edited: see BEHIND and PAGE_BEHIND in course/facts.py.
"""

import re
from collections import Counter

import pytest

from course.facts import BEHIND, PAGE_BEHIND, sections
from course.facts import headings as anchors
from tests.harness import ROOT, STEPS

PAGES = [
    ROOT / "README.md",
    *(
        ROOT / step / name
        for step in STEPS
        for name in ("README.md", "BREAK_IT.md", "EXERCISES.md")
    ),
]
BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)  # in lists, too
HEADING = re.compile(r"^(#+) (.*)$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
COMMENT = re.compile(r"<!-- .*? -->")
CHINESE = re.compile(r"[\u4e00-\u9fff]")


def chinese(page):
    """Return the path of the Chinese edition of a page."""
    return page.with_name(f"{page.stem}.zh-CN.md")


def is_behind(page):
    """Return whether the Chinese edition of a page says, at its head, that the page lags behind."""
    return chinese(page).read_text("utf-8").splitlines()[2] == PAGE_BEHIND


BEHIND_PAGES = [page for page in PAGES if is_behind(page)]
KEPT = [page for page in PAGES if page not in BEHIND_PAGES]
pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
kept = pytest.mark.parametrize("page", KEPT, ids=lambda page: str(page.relative_to(ROOT)))


def without_blocks(text):
    """Return a page without its fenced blocks."""
    return BLOCK.sub("", text)


def both(page):
    """Return the text of a page in English and in Chinese."""
    return page.read_text("utf-8"), chinese(page).read_text("utf-8")


def blocks(text):
    """Return the fenced blocks of a page. Of a drawing only its structure: its words differ."""
    found = []
    for language, block in BLOCK.findall(text):
        if language == "mermaid":
            block = re.sub(r'".*?"|: .*| as .*', "", block)
        found.append((language, block))
    return found


def headings(page):
    """Return the level and the title of each heading of a page."""
    found = HEADING.findall(without_blocks(page.read_text("utf-8")))
    return [(len(marks), title) for marks, title in found]


def pairs(page):
    """Return a pair for each section: its English and its Chinese text."""
    return list(zip(*map(sections, both(page)), strict=True))


def links(text, page):
    """Return where each link of a section leads: a path, and the number of the heading there.

    There is no number if the Chinese page that is linked lags behind: it has other headings.
    """
    found = []
    for target in LINK.findall(without_blocks(text)):
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page.resolve()
        same = linked.with_name(linked.name.replace(".zh-CN.md", ".md")) not in BEHIND_PAGES
        is_page = linked.suffix == ".md" and same
        number = list(anchors(linked)).index(anchor) if anchor and is_page else None
        found.append((path.replace(".zh-CN.md", ".md"), number))
    return found


def compared(text, page):
    """Return what has to be the same in both editions of a section: a dict from what it is."""
    prose = without_blocks(text)
    rows = "".join(re.findall(r"^ *\|.*", prose, re.MULTILINE))
    numbers = re.findall(r"\d+(?:[.,]\d+)*", re.sub(r"\[[^\]]*\]\([^)]*\)", "", rows))
    found = {
        "blocks": blocks(text),
        "links": Counter(links(text, page)),
        "code words": Counter(re.findall(r"(?<!`)`([^`\n]+)`(?!`)", prose)),
        "numbers in tables": Counter(numbers),
    }
    for mark in (r"^ *\|", "<details>", "<summary>", r"^ *\d+\. ", "<!-- "):
        found[mark] = len(re.findall(mark, prose, re.MULTILINE))
    return found


@kept
def test_the_headings_are_the_same_and_chinese(page):
    english, translated = headings(page), headings(chinese(page))
    assert [level for level, _ in english] == [level for level, _ in translated]
    for level, title in translated:
        assert CHINESE.search(title) or (level, title) in english, f"{title!r} is not Chinese."


@pages
def test_each_edition_links_the_other(page):
    english, translated = both(page)
    assert f"]({page.stem}.zh-CN.md)" in english.partition("\n## ")[0]
    assert f"]({page.name})" in translated.partition("\n## ")[0]


@kept
def test_a_section_is_the_same_in_both_editions_or_says_that_it_lags_behind(page):
    wrong = []
    for one, other in pairs(page):
        title = other.partition("\n")[0]
        english, translated = compared(one, page), compared(other, chinese(page))
        differ = [what for what in english if english[what] != translated[what]]
        if differ and BEHIND not in other:
            wrong += [
                f"{title!r}, {what}: {english[what]} in English, {translated[what]} in Chinese."
                for what in differ
            ]
        if not differ and BEHIND in other:
            wrong.append(f"{title!r} is the same as the English one: take the line {BEHIND!r} out.")
    assert not wrong, "\n".join(wrong)


@kept
def test_a_section_that_lags_behind_says_so_in_its_first_line(page):
    for _, other in pairs(page):
        assert other.count(BEHIND) <= 1
        assert BEHIND not in other or other.splitlines()[2] == BEHIND, other[:200]


@pages
def test_the_prose_is_chinese_all_through(page):
    text = COMMENT.sub("", without_blocks(chinese(page).read_text("utf-8")))
    for paragraph in re.split(r"\n\s*\n", text):
        words = re.sub(r"`[^`]*`|\]\([^)]*\)|https?://\S+|<[^>]*>", "", paragraph)
        latin = re.findall(r"\b[A-Za-z]{2,}\b", words)
        assert len(latin) < 12 or CHINESE.search(words), f"Still in English: {paragraph}"
