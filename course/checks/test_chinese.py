"""The Chinese edition keeps up with the English one: commands, code, diffs, links and headings.

A section whose English has moved on says so in its first line, and so does a whole page that was
edited: see BEHIND and PAGE_BEHIND in course/facts.py.
"""

import json
import os
import re
from collections import Counter
from pathlib import Path

import pytest

from course import chinese
from course.alike import BLOCK, HAN, differences
from course.chinese import chinese_of, chinese_pages, fill_links, says_behind, translated_pages
from course.facts import BEHIND, PAGE_BEHIND, sections
from course.facts import headings as anchors
from tests.harness import ROOT

TRANSLATED = translated_pages()  # with notebooks, and with the glossary, which has both languages
PAGES = [page for page in TRANSLATED if page.suffix == ".md" and page not in chinese.BILINGUAL]
NOTEBOOKS = [page for page in TRANSLATED if page.suffix == ".ipynb"]
HEADING = re.compile(r"^(#+) (.*)$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")


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
        linked = Path(os.path.normpath(page.parent / path)) if path else page
        same = linked.with_name(linked.name.replace(".zh-CN.md", ".md")) not in BEHIND_PAGES
        is_page = linked.suffix == ".md" and same
        number = None
        if anchor and is_page:
            known = list(anchors(linked))
            number = known.index(anchor) if anchor in known else anchor
        english = chinese.english_of(linked) if path.endswith(".zh-CN.md") else None
        path = path[: -len(linked.name)] + english.name if english else path
        found.append((re.sub(r"\.zh-CN(?=\.png|\.svg)", "", path), number))
    return found


def unlike(one, other, page):
    """Return in what the Chinese text of a part of a page is not like the English: sentences."""
    found = differences(one, other)
    leads, own = Counter(links(one, page)), Counter(links(other, chinese_of(page)))
    if leads != own:
        found.append(f"links {[*(leads - own)]} only in English, {[*(own - leads)]} only here")
    if one.count("<!-- ") != other.count("<!-- "):
        found.append("not as many marks <!-- --> as in English")
    return found


@kept
def test_the_headings_are_the_same_and_chinese(page):
    english, translated = headings(page), headings(chinese_of(page))
    assert [level for level, _ in english] == [level for level, _ in translated]
    for level, title in translated:
        assert HAN.search(title) or (level, title) in english, f"{title!r} is not Chinese."


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
        differ = unlike(one, other, page)
        if differ and BEHIND not in other:
            wrong += [f"{title!r}: {text}." for text in differ]
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
        assert BEHIND in other or not unlike(one, other, page), (key, unlike(one, other, page))


@pytest.mark.parametrize("page", TRANSLATED, ids=chinese.name_of)
def test_the_chinese_of_what_has_changed_in_english_is_read_or_says_that_it_lags_behind(page):
    name, behind = chinese.name_of(page), chinese.lag_behind(page)
    wrong = [f"{name}#{key}" for key in chinese.changed(page) if key not in behind]
    assert not wrong, (
        "The English of these parts is new, or has changed since the Chinese was read beside it:\n"
        + "\n".join(wrong)
        + "\nRead both, mend the Chinese, then mark them as read, the whole page or a part of it:\n"
        f"    make chinese READ={name}\n    make chinese READ='{wrong[0]}'\n"
        + f"Or put {BEHIND!r} under the Chinese heading."
        * (page not in chinese.BILINGUAL)
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


@pytest.mark.parametrize("page", chinese_pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_the_chinese_pages_that_there_are(page):
    """A link to a page or a notebook that is in English only is followed by （英文）."""
    text = page.read_text("utf-8")
    wrong = set(LINK.findall(text)) - set(LINK.findall(fill_links(text, page)))
    assert fill_links(text, page) == text, f"{page.name}: run make prose. {sorted(wrong)}"


def test_a_link_elsewhere_or_in_a_block_stays(tmp_path):
    (tmp_path / "B.md").touch()
    text = "[一](https://example.org/B.md)。**[二](B.md)**（英文）。\n\n```text\n[三](B.md)\n```\n"
    assert fill_links(text, tmp_path / "C.zh-CN.md") == text


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


def test_a_question_that_only_the_code_of_a_notebook_asks_counts_with_the_prose_before_it(tmp_path):
    page = tmp_path / "1.ipynb"
    code = "PREDICTION = None  # how many?\nCLIENTS = 2  # the knob"
    cells = [{"id": key, "cell_type": "markdown", "source": [key]} for key in ("one", "two")]
    cells.insert(1, {"id": "run", "cell_type": "code", "source": code.splitlines(True)})
    page.write_text(json.dumps({"cells": cells}))
    found = chinese.parts_with_questions(page)
    assert found == {"one": "one\nPREDICTION = None  # how many?", "two": "two"}


def test_measured_numbers_and_diffs_have_no_fingerprint():
    text = "<!-- result: a -->{}<!-- end -->\n\n```diff\n+x = 1  # {}\n```\n"
    assert chinese.fingerprint(text.format(1, "a")) == chinese.fingerprint(text.format(2, "b"))


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (f"# 甲\n\n{BEHIND}\n\n## 乙\n\n丙\n", {"b"}),
        (f"# 甲\n\n{PAGE_BEHIND}\n\n## 乙\n\n丙\n", set()),
    ],
)
def test_what_says_that_it_lags_behind_is_not_marked_as_read(text, read, tmp_path, monkeypatch):
    monkeypatch.setattr(chinese, "ROOT", tmp_path)
    monkeypatch.setattr(chinese, "FINGERPRINTS", tmp_path / "chinese.toml")
    chinese.FINGERPRINTS.touch()
    (tmp_path / "A.md").write_text("# a\n\n## b\n\nc\n", "utf-8")
    (tmp_path / "A.zh-CN.md").write_text(text, "utf-8")
    chinese.mark_as_read(tmp_path / "A.md")
    assert chinese.read_fingerprints()["A.md"].keys() == read


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


@pytest.mark.parametrize(
    ("english", "translated", "message"),
    [
        ("Ten of 2.5 million.\n", "250 万里的 10 个。\n", None),
        ("Twenty-five, then 5.10.\n", "先 25，后 5.10。\n", None),
        ("It is 5.10.\n", "这是 5.1。\n", "numbers"),
        ("Ten of 2.5 million.\n", "25 万里的十个。\n", "numbers"),
        ("Two thousand and 1,000.\n", "两千和 1000。\n", None),
        ("Twelve, and the third.\n", "十二个，以及第 3 个。\n", None),
        ("It is the third.\n", "这是第四个。\n", "numbers"),
        ("It took 5 s, then 5 s.\n", "用了 5 秒。\n", "numbers"),
        ("It is `a`.\n\n```text\n7 a\n```\n", "这是 7 个 `a`。\n\n```text\n7 a\n```\n", None),
        ("Two thousand.\n", "两百。\n", "numbers"),
        ("It waits.\n", "它等 5 秒。\n", "numbers"),
        ("One.\n\nMore.\n", "一。\n", "paragraph"),
        ("- One.\n- More.\n", "- 一。\n", "item"),
        ("| a | b |\n", "| 甲 | 乙 |\n| 丙 | 丁 |\n", "row"),
        ("See accept(2).\n", "见手册。\n", "sources"),
        ("See RFC 9112.\n", "见 RFC 9110。\n", "sources"),
        ("`a` first.\n\n`b` next.\n", "先 `b`。\n\n后 `a`。\n", "code words"),
        ("Read `a.md`.\n", "读 `a.zh-CN.md`。\n", None),
        ("Read `a.md`.\n", "读 `b.zh-CN.md`。\n", "code words"),
        ("```sh\na  # why\n```\n", "```sh\na  # 原因\n```\n", None),
        ("```sh\na  # why\n```\n", "```sh\nb  # 原因\n```\n", "block"),
        ("```sh\na   why\n```\n", "```sh\na   原因\n```\n", "block"),
        ("```sh\na\n```\n", "```text\na\n```\n", "block"),
        ("# One\n\nTwo.\n", f"# 一\n\n{BEHIND}\n\n二。\n", None),
        ("# One\n\nFour.\n", "# 一\n\n三。\n", "numbers"),
        ("```text\na   why\n```\n", "```text\na      原因\n```\n", None),
        ("```text\na   why\n```\n", "```text\na   reason\n```\n", "block"),
        ("```text\na   why\n```\n", "```text\nb   原因\n```\n", "block"),
        ("```text\na\n    Read: b\n```\n", "```text\n提示\na\n    请读：b\n```\n", None),
        ("```text\na\n    Read: b\n```\n", "```text\n提示\nb\n    请读：b\n```\n", "block"),
        ("```mermaid\na: why\n```\n", "```mermaid\na: 原因\n```\n", None),
    ],
)
def test_what_is_not_alike_is_found(english, translated, message):
    found = differences(english, translated)
    assert message in found[0] if message else not found, found
