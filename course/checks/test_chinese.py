"""The Chinese edition keeps up with the English one: commands, code, diffs, links and headings.

A section whose English has moved on says so in its first line, and so does a whole page that was
edited: see BEHIND and PAGE_BEHIND in course/facts.py.
"""

import re
from collections import Counter
from itertools import zip_longest

import pytest

from course import chinese
from course.chinese import chinese_of, chinese_pages, fill_links, says_behind, translated_pages
from course.facts import BEHIND, sections, without_comments
from course.facts import headings as anchors
from tests.harness import ROOT

TRANSLATED = translated_pages()  # with notebooks, and with the glossary, which has both languages
PAGES = [page for page in TRANSLATED if page.suffix == ".md" and page not in chinese.BILINGUAL]
NOTEBOOKS = [page for page in TRANSLATED if page.suffix == ".ipynb"]
BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)  # in lists, too
HEADING = re.compile(r"^(#+) (.*)$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
COMMENT = re.compile(r"<!-- .*? -->")
NOTE = re.compile(r"(.*\S) {3,}(\S.*)")
CHINESE = re.compile(r"[\u4e00-\u9fff]")


BEHIND_PAGES = [page for page in PAGES if says_behind(page)]
KEPT = [page for page in PAGES if page not in BEHIND_PAGES]
pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
kept = pytest.mark.parametrize("page", KEPT, ids=lambda page: str(page.relative_to(ROOT)))


def without_blocks(text):
    """Return a page without its fenced blocks."""
    return BLOCK.sub("", text)


def both(page):
    """Return the text of a page in English and in Chinese."""
    return page.read_text("utf-8"), chinese_of(page).read_text("utf-8")


def blocks(text):
    """Return the fenced blocks of a page without what is translated in them.

    That is: comments of Python and of the shell, and the words of a drawing.
    """
    found = []
    for language, block in BLOCK.findall(text):
        if language == "mermaid":
            block = re.sub(r'".*?"|: .*| as .*', "", block)
        elif language in ("py", "python", "pycon", "sh"):
            block = without_comments(block)
        found.append((language, block))
    return found


def different_lines(english, translated):
    """Return the lines of the blocks of a section that are not the same in both editions.

    A note in Chinese, after three spaces or more in a block of text, may stand for an English one.
    """
    wrong = []
    for one, other in zip_longest(blocks(english), blocks(translated), fillvalue=("", "")):
        is_text = one[0] == other[0] == "text"
        for line, own in zip_longest(*(block.splitlines() for _, block in (one, other))):
            note = NOTE.fullmatch(own or "")
            if is_text and line and note and CHINESE.search(note[2]):
                line, own = NOTE.sub(r"\1", line), note[1]
            if line != own or one[0] != other[0]:
                wrong.append((line, own))
    return wrong


def headings(page):
    """Return the level and the title of each heading of a page."""
    found = HEADING.findall(without_blocks(page.read_text("utf-8")))
    return [(len(marks), title) for marks, title in found]


def pairs(page):
    """Return a pair for each section: its English and its Chinese text."""
    return list(zip(*map(sections, both(page)), strict=True))


def links(text, page):
    """Return where each link of a section leads: a path, and the number of the heading there.

    There is no number if the Chinese page that is linked lags behind: it has other headings. An
    anchor that no heading has stays as it is.
    """
    found = []
    for target in LINK.findall(without_blocks(text)):
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page.resolve()
        same = linked.with_name(linked.name.replace(".zh-CN.md", ".md")) not in BEHIND_PAGES
        is_page = linked.suffix == ".md" and same
        number = None
        if anchor and is_page:
            known = list(anchors(linked))
            number = known.index(anchor) if anchor in known else anchor
        english = chinese.english_of(linked) if path.endswith(".zh-CN.md") else None
        found.append((path[: -len(linked.name)] + english.name if english else path, number))
    return found


def compared(text, page):
    """Return what has to be the same in both editions of a section: a dict from what it is."""
    prose = without_blocks(text)
    rows = "".join(re.findall(r"^ *\|.*", prose, re.MULTILINE))
    numbers = re.findall(r"\d+(?:[.,]\d+)*", re.sub(r"\[[^\]]*\]\([^)]*\)", "", rows))
    found = {
        "links": Counter(links(text, page)),
        "code words": Counter(re.findall(r"(?<!`)`([^`\n]+)`(?!`)", prose)),
        "numbers in tables": Counter(numbers),
    }
    for mark in (r"^ *\|", "<details>", "<summary>", r"^ *\d+\. ", "<!-- "):
        found[mark] = len(re.findall(mark, prose, re.MULTILINE))
    return found


@kept
def test_the_headings_are_the_same_and_chinese_of(page):
    english, translated = headings(page), headings(chinese_of(page))
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
    changed = chinese.changed(page)
    for key, (one, other) in zip(["", *chinese.parts(page)], pairs(page), strict=True):
        title = other.partition("\n")[0]
        english, translated = compared(one, page), compared(other, chinese_of(page))
        differ = [
            f"{title!r}, {what}: {english[what]} in English, {translated[what]} in Chinese."
            for what in english
            if english[what] != translated[what]
        ]
        differ += [
            f"{title!r}, block: {pair[0]!r}, {pair[1]!r}" for pair in different_lines(one, other)
        ]
        if differ and BEHIND not in other:
            wrong += differ
        if BEHIND in other and not differ and key not in changed:
            wrong.append(f"{title!r} is up to date: take the line {BEHIND!r} out.")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("page", NOTEBOOKS, ids=chinese.name_of)
def test_a_cell_of_a_notebook_is_the_same_in_both_editions(page):
    english, own = chinese.parts(page), chinese.chinese_parts(page)
    assert [*own] == [*english], "These are the ids of the cells of prose, in their order."
    for key, one in english.items():
        one, other = one.replace(f"[中文版]({page.stem}.zh-CN.md)", ""), own[key]
        levels = [[len(marks) for marks, _ in HEADING.findall(text)] for text in (one, other)]
        assert levels[0] == levels[1], key
        assert compared(one, page) == compared(other, chinese_of(page)), key
        assert not different_lines(one, other), key


@pytest.mark.parametrize("page", TRANSLATED, ids=chinese.name_of)
def test_the_chinese_of_what_has_changed_in_english_is_read_or_says_that_it_lags_behind(page):
    name, behind = chinese.name_of(page), chinese.lag_behind(page)
    wrong = [f"{name}#{key}" for key in chinese.changed(page) if key not in behind]
    assert not wrong, (
        "The English of these parts is new, or has changed since the Chinese was read beside it:\n"
        + "\n".join(wrong)
        + "\nRead both, mend the Chinese, then mark them as read, the whole page or a part of it:\n"
        f"    make chinese READ={name}\n    make chinese READ='{wrong[0]}'\n"
        f"If there is no time for it, put {BEHIND!r} under the Chinese heading instead."
    )


def test_no_fingerprint_is_left_of_a_part_that_is_no_more():
    pages = {chinese.name_of(page): page for page in TRANSLATED}
    for name, table in chinese.read_fingerprints().items():
        left = table.keys() - (chinese.parts(pages[name]).keys() if name in pages else ())
        assert not left, f"course/chinese.toml: take these out of {name}: {', '.join(sorted(left))}"


@kept
def test_a_section_that_lags_behind_says_so_in_its_first_line(page):
    for _, other in pairs(page):
        assert other.count(BEHIND) <= 1
        assert BEHIND not in other or other.splitlines()[2] == BEHIND, other[:200]


@pages
def test_the_prose_is_chinese_all_through(page):
    text = COMMENT.sub("", without_blocks(chinese_of(page).read_text("utf-8")))
    for paragraph in re.split(r"\n\s*\n", text):
        words = re.sub(r"`[^`]*`|\]\([^)]*\)|https?://\S+|<[^>]*>", "", paragraph)
        latin = re.findall(r"\b[A-Za-z]{2,}\b", words)
        assert len(latin) < 12 or CHINESE.search(words), f"Still in English: {paragraph}"


@pytest.mark.parametrize("page", chinese_pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_the_chinese_pages_that_there_are(page):
    """A link to a page or a notebook that is in English only is followed by （英文）."""
    text = page.read_text("utf-8")
    wrong = set(LINK.findall(text)) - set(LINK.findall(fill_links(text, page)))
    assert fill_links(text, page) == text, f"{page.name}: run make prose. {sorted(wrong)}"


def test_a_link_to_a_page_with_other_headings_stays(tmp_path):
    for name, headings in (("A.md", "# a\n\n## b\n"), ("A.zh-CN.md", "# 甲\n")):
        (tmp_path / name).write_text(headings, "utf-8")
    text, page = "[一](A.md#b)，[二](A.md)，[三](B.md)。\n", tmp_path / "C.zh-CN.md"
    (tmp_path / "B.md").touch()
    assert fill_links(text, page) == "[一](A.md#b)，[二](A.zh-CN.md)，[三](B.md)（英文）。\n"
    (tmp_path / "A.zh-CN.md").write_text("# 甲\n\n## 乙\n", "utf-8")
    filled = "[一](A.zh-CN.md#乙)，[二](A.zh-CN.md)，[三](B.md)（英文）。\n"
    assert fill_links(text, page) == filled
    assert fill_links(filled, page) == filled


@pytest.mark.parametrize(
    ("text", "is_same"),
    [
        ("One [link](B.md) is\nhere.\n\n```sh\nrun  # why\n```\n", True),
        ("One [link](A.md) is not here.\n\n```sh\nrun  # why\n```\n", False),
        ("One [link](A.md) is here.\n\n```sh\nstop  # why\n```\n", True),
        ("One [link](A.md) is here.\n\n```sh\nrun  # when\n```\n", False),
    ],
)
def test_a_fingerprint_is_of_what_is_translated(text, is_same):
    known = "One [link](A.md) is here.\n\n```sh\nrun  # why\n```\n"
    assert (chinese.fingerprint(text) == chinese.fingerprint(known)) == is_same


def test_what_is_marked_as_read_is_no_longer_listed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(chinese, "FINGERPRINTS", tmp_path / "chinese.toml")
    chinese.FINGERPRINTS.write_text('["GLOSSARY.md"]\n"no-more" = "0"\n', "utf-8")
    chinese.main(["GLOSSARY.md#fork"])
    assert chinese.read_fingerprints()["GLOSSARY.md"].keys() == {"fork"}
    chinese.main([])
    listed = capsys.readouterr().out.splitlines()
    assert "GLOSSARY.md#fork" not in listed
    assert "GLOSSARY.md#wait-status" in listed
    with pytest.raises(SystemExit):
        chinese.main(["GLOSSARY.md#no-more"])
