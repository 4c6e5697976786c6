"""The Chinese pages keep to .github/TRANSLATING.zh-CN.md, as far as a program can tell."""

import re

import autocorrect_py
import pytest

from course import chinese
from course.alike import CODE, HAN, pieces, plain
from course.facts import headings
from tests.harness import ROOT

GUIDE = ROOT / ".github" / "TRANSLATING.zh-CN.md"
PAGES = [*chinese.chinese_pages(), *chinese.BILINGUAL, GUIDE]
# Words of the guide's third column that are right in another sense.
SOMETIMES_RIGHT = {"等待", "目录", "文本", "字节"}
pages = pytest.mark.parametrize("page", PAGES, ids=chinese.name_of)


def chinese_lines(page):
    """Return the headings and pieces of a page: of one in both languages, the Chinese lines."""
    text = page.read_text("utf-8")
    if page in chinese.BILINGUAL:
        lines = (line for line in text.splitlines() if HAN.search(line))
        return [re.sub(r".*　", "", line) for line in lines]
    return [*headings(page).values(), *pieces(text)]


def rejected_words():
    """Return the words that the guide's list of terms rejects, but for those of several senses."""
    table = GUIDE.read_text("utf-8").partition("\n## 译名\n")[2]
    cells = re.findall(r"^\| .+? \| .+? \| (.+?) \|", table, re.MULTILINE)[1:]
    words = {word for cell in cells for word in re.findall("[\u4e00-\u9fff]+", cell)}
    return words - SOMETIMES_RIGHT


def mistakes_of_style(piece):
    """Return the signs and spaces of a piece that are not as in Chinese: pairs of old and new."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", piece)
    return [(line.old, line.new) for line in autocorrect_py.lint_for(text, "page.md").lines]


def words_left(piece):
    """Return the runs of six English words or more, outside code, quotation marks and italics."""
    text = CODE.sub(" 甲 ", plain(piece)).replace("**", "")
    text = re.sub(r"“[^”]*”|\*[^*]+\*|https?://\S+|<[^>]*>", " 甲 ", text)
    return re.findall(r"[A-Za-z][\w'-]*(?:,? [A-Za-z][\w'-]*){5,}", text)


@pages
def test_signs_and_spaces_are_those_of_chinese(page):
    wrong = [pair for piece in chinese_lines(page) for pair in mistakes_of_style(piece)]
    assert not wrong, "\n".join(f"{old}\n  better: {new}" for old, new in wrong)


@pytest.mark.parametrize("page", PAGES[:-1], ids=chinese.name_of)
def test_no_sentence_is_left_in_english(page):
    for piece in chinese_lines(page):
        assert not words_left(piece), piece


@pytest.mark.parametrize("page", chinese.chinese_pages(), ids=chinese.name_of)
def test_no_term_is_used_that_the_style_guide_rejects(page):
    for piece in chinese_lines(page):
        for word in rejected_words():
            is_windows = word == "句柄" and "handle" in piece
            assert word not in plain(piece) or is_windows, f"{word}: see {GUIDE.name}. {piece}"


@pytest.mark.parametrize(
    ("piece", "is_good"),
    [
        ("用 `wait` 回收，见[课文](a.md)的[第 2 节](b.md)。", True),
        ("用`wait`回收。", False),
        ("先回收,再返回。", False),
        ("先回收 ，再返回。", False),
        ("有2个子进程。", False),
        ("见[课文](a.md) 。", False),
    ],
)
def test_a_mistake_of_style_is_found(piece, is_good):
    assert not mistakes_of_style(piece) == is_good


def test_english_words_are_found():
    assert words_left("它返回。The child has no more to do.")
    assert not words_left(
        "浏览器显示“The child has no more to do.”，`a b c d e f`，*More of all the words*。"
    )


def test_the_guide_rejects_words():
    assert {"报文", "句柄", "回射"} < rejected_words()
    assert "不用" not in rejected_words()
