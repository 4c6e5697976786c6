"""The Chinese edition keeps up with the English one: commands, code, diffs, links and headings."""

import re
from collections import Counter

import pytest

from course.facts import headings as anchors
from tests.harness import ROOT, STEPS

PAGES = [ROOT / "README.md", *(ROOT / step / "README.md" for step in STEPS)]
BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)  # in lists, too
HEADING = re.compile(r"^(#+) (.*)$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
COMMENT = re.compile(r"<!-- .*? -->")
CHINESE = re.compile(r"[\u4e00-\u9fff]")

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def chinese(page):
    """Return the path of the Chinese edition of a page."""
    return page.with_name("README.zh-CN.md")


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


def links(page):
    """Return where each link of a page leads: a path, and the number of the heading there."""
    found = []
    for target in LINK.findall(without_blocks(page.read_text("utf-8"))):
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page.resolve()
        number = list(anchors(linked)).index(anchor) if anchor and linked.suffix == ".md" else None
        found.append((path.replace("README.zh-CN.md", "README.md"), number))
    return found


def sections(text):
    """Return a page cut at its headings."""
    return re.split(r"^#.*$", without_blocks(text), flags=re.MULTILINE)


@pages
def test_the_blocks_are_the_same(page):
    english, translated = map(blocks, both(page))
    assert len(english) == len(translated), "A command, an output or a diff is missing."
    for number, (one, other) in enumerate(zip(english, translated, strict=True), 1):
        assert one == other, f"Block {number} of {chinese(page).name} is not that of {page.name}."


@pages
def test_the_headings_are_the_same_and_chinese(page):
    english, translated = headings(page), headings(chinese(page))
    assert [level for level, _ in english] == [level for level, _ in translated]
    for level, title in translated:
        assert CHINESE.search(title) or (level, title) in english, f"{title!r} is not Chinese."


@pages
def test_the_links_lead_to_the_same_places(page):
    english, translated = Counter(links(page)), Counter(links(chinese(page)))
    assert english == translated, (
        f"Only in English: {english - translated}. Only in Chinese: {translated - english}."
    )


@pages
def test_each_edition_links_the_other(page):
    english, translated = both(page)
    assert "](README.zh-CN.md)" in english.partition("\n## ")[0]
    assert "](README.md)" in translated.partition("\n## ")[0]


@pages
def test_each_section_has_the_same_code_words_rows_and_folds(page):
    for number, (one, other) in enumerate(zip(*map(sections, both(page)), strict=True)):
        where = f"In section {number} of {chinese(page)}"
        code = [Counter(re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text)) for text in (one, other)]
        assert code[0] == code[1], (
            f"{where}: only in English {dict(code[0] - code[1])}, only in Chinese "
            f"{dict(code[1] - code[0])}."
        )
        for mark in (r"^ *\|", "<details>", "<summary>", r"^ *\d+\. ", "<!-- "):
            counts = [len(re.findall(mark, text, re.MULTILINE)) for text in (one, other)]
            assert counts[0] == counts[1], f"{where}: {mark!r} {counts[1]} times, not {counts[0]}."


@pages
def test_the_tables_have_the_same_numbers(page):
    for number, (one, other) in enumerate(zip(*map(sections, both(page)), strict=True)):
        rows = ["".join(re.findall(r"^ *\|.*", text, re.MULTILINE)) for text in (one, other)]
        words = [re.sub(r"\[[^\]]*\]\([^)]*\)", "", text) for text in rows]  # without the links
        numbers = [Counter(re.findall(r"\d+(?:[.,]\d+)*", text)) for text in words]
        assert numbers[0] == numbers[1], (
            f"In a table of section {number} of {chinese(page)}: only in English "
            f"{dict(numbers[0] - numbers[1])}, only in Chinese {dict(numbers[1] - numbers[0])}."
        )


@pages
def test_the_prose_is_chinese_all_through(page):
    text = COMMENT.sub("", without_blocks(chinese(page).read_text("utf-8")))
    for paragraph in re.split(r"\n\s*\n", text):
        words = re.sub(r"`[^`]*`|\]\([^)]*\)|https?://\S+|<[^>]*>", "", paragraph)
        latin = re.findall(r"\b[A-Za-z]{2,}\b", words)
        assert len(latin) < 12 or CHINESE.search(words), f"Still in English: {paragraph}"
