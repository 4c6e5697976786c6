"""The Chinese edition beside the English one: its pages, its links, and what it still follows.

    python -m course.chinese [PAGE[#ANCHOR] ...]

For each part of an English page course/chinese.toml has the fingerprint that the part had when its
Chinese was last read beside it. A part is a section, by its anchor, or a cell of a notebook, by its
id. Without arguments the program lists the parts whose English has changed since; those that it is
given are marked as read.
"""

import bisect
import hashlib
import json
import os
import re
import sys
import tomllib
from pathlib import Path

from course.facts import BEHIND, PAGE_BEHIND, anchor_of, headings, sections
from tests.harness import ROOT

FOLDERS = (".", "step*", "guide", "teaching", "benchmarks", "notebooks")
BILINGUAL = [ROOT / "GLOSSARY.md"]  # has both languages on one page
LINK = re.compile(
    r"(?<!\[English)\]\((?P<target>[^)\s]+)\)(?P<stars>\**)(?:（英文） ?|(?P<space> ))?"
)
BLOCK = re.compile(r"^ *```.*?^ *```$", re.DOTALL | re.MULTILINE)
TRANSLATED = re.compile(r"(?:^ *|  )# .*$| {3,}\S.*$", re.MULTILINE)  # comments and notes in blocks
HAN = re.compile(r"[\u4e00-\u9fff]")
ENTRY = re.compile(  # of the glossary
    r"### (?P<term>.+)\n\n"
    r"(?P<english_text>.+)\n\n"
    r"\[(?P<where>step \d|guide)\]\((?P<link>\S+)\) · "
    r"\*\*(?P<chinese>.+?)\*\*　(?P<chinese_text>.+?)(?:\[(?:第 \d 步|指南)\]\(\S+\))?\n"
)
# The first sign that each letter has in GB 2312, whose common signs are in the order of pinyin.
FIRST = "啊芭擦搭蛾发噶哈击喀垃妈拿哦啪期然撒塌挖昔压匝"
INITIALS = "ABCDEFGHJKLMNOPQRSTWXYZ"
READ_AS = str.maketrans("重", "虫")  # which GB 2312 has by its other reading, zhong
INDEX = "\n## 中文索引\n"
FINGERPRINTS = ROOT / "course" / "chinese.toml"


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
    than the other, a link to a heading stays as it is. A picture may have a Chinese one beside it.
    """
    path, _, anchor = target.partition("#")
    linked = Path(os.path.normpath(page.parent / path)) if path else page
    if linked.suffix in (".png", ".svg"):
        own = linked.with_suffix(f".zh-CN{linked.suffix}")
        return path[: -len(linked.name)] + (own if own.exists() else linked).name, False
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


def by_pinyin(term):
    """Return bytes that are in the order of pinyin, as the codes of GB 2312 are."""
    return term.translate(READ_AS).encode("gb18030")


def initial(term):
    """Return the letter with which a Chinese term begins in pinyin: the codes of GB 2312 tell."""
    first = term.lstrip("《")[0]
    if first.isascii():
        return first.upper()
    return INITIALS[bisect.bisect([by_pinyin(sign) for sign in FIRST], by_pinyin(first)) - 1]


def fill_glossary(text):
    """Return the glossary with a link to the Chinese page in each entry, and its Chinese index."""

    def fill(match):
        own = "指南" if match["where"] == "guide" else f"第 {match['where'][-1]} 步"
        target, _ = link(match["link"], BILINGUAL[0])
        begin = match[0][: match.end("chinese_text") - match.start()]
        return f"{begin}[{own}]({target})\n"

    rows = {}
    for match in sorted(ENTRY.finditer(text), key=lambda match: by_pinyin(match["chinese"])):
        entry = f"[{match['chinese']}](#{anchor_of(match['term'])})（{match['term']}）"
        rows.setdefault(initial(match["chinese"]), []).append(entry)
    index = "".join(f"- {letter}：{'、'.join(rows[letter])}。\n" for letter in sorted(rows))
    return (
        ENTRY.sub(fill, text).partition(INDEX)[0] + f"{INDEX}\n按拼音的第一个字母排列。\n\n{index}"
    )


def parts(page):
    """Return what the Chinese edition translates of an English page: a dict from a key to a text.

    page: the Path of a page, whose keys are the anchors of its headings, or of a notebook, whose
    keys are the ids of its cells of prose. Of a page in both languages it is the English lines.
    """
    text = page.read_text("utf-8")
    if page.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        return {c["id"]: "".join(c["source"]) for c in cells if c["cell_type"] == "markdown"}
    pieces = sections(text)[1:]
    if page in BILINGUAL:
        pieces = [
            "\n".join(filter(lambda line: not HAN.search(line), piece.splitlines()))
            for piece in pieces
        ]
    return dict(zip(headings(page), pieces, strict=True))


def parts_with_questions(page):
    """Return the parts of a page, those of a notebook with the questions that only its code asks.

    Such a question is the comment at PREDICTION. Its Chinese stands in the prose before the cell.
    """
    found = parts(page)
    if page.suffix == ".ipynb":
        for cell in json.loads(page.read_text("utf-8"))["cells"]:
            if cell["cell_type"] == "markdown":
                key = cell["id"]
            elif asked := re.search(r"^PREDICTION = None  # .+", "".join(cell["source"]), re.M):
                found[key] += f"\n{asked[0]}"
    return found


def fingerprint(text):
    """Return eight digits that are others as soon as the prose of a text is another.

    Blocks count only with what is translated in them. Measured numbers, where a link leads, and
    where a line ends do not count.
    """

    def words(match):
        if match[0].lstrip().startswith("```mermaid"):
            return match[0]
        is_diff = match[0].lstrip().startswith("```diff")
        return "" if is_diff else "\n".join(TRANSLATED.findall(match[0]))

    text = re.sub(r"(<!-- result: .+? -->).*?(?=<!-- end -->)", r"\1", text, flags=re.DOTALL)
    text = re.sub(r"\]\([^)]*\)", "]", BLOCK.sub(words, text))
    return hashlib.sha256(" ".join(text.split()).encode()).hexdigest()[:8]


def read_fingerprints():
    """Return the stored fingerprints: for each page, by its path in the repository, a dict."""
    return tomllib.loads(FINGERPRINTS.read_text("utf-8"))


def name_of(page):
    """Return the path of a page in the repository, with slashes: "step04_fork/README.md"."""
    return page.relative_to(ROOT).as_posix()


def changed(page):
    """Return the keys of the parts of an English page that have changed since they were read.

    What has no fingerprint has not been read at all.
    """
    stored = read_fingerprints().get(name_of(page), {})
    known = parts_with_questions(page)
    return [key for key, text in known.items() if stored.get(key) != fingerprint(text)]


def translated_pages():
    """Return the English pages and notebooks that have a Chinese edition: Paths."""
    found = [english for page in chinese_pages() if (english := english_of(page))]
    return sorted([*found, *BILINGUAL])


def chinese_parts(page):
    """Return the Chinese text of each part of an English page or notebook: a dict like parts().

    In the Chinese edition of a notebook a comment with the id of a cell begins each part.
    """
    if page in BILINGUAL:
        return dict(zip(headings(page), sections(page.read_text("utf-8"))[1:], strict=True))
    text = chinese_of(page).read_text("utf-8")
    if page.suffix == ".ipynb":
        _, *pieces = re.split(r"^<!-- cell: (\S+) -->$", text, flags=re.MULTILINE)
        return dict(zip(pieces[::2], pieces[1::2], strict=True))
    return dict(zip(headings(page), sections(text)[1:], strict=False))


def translate(notebook, page):
    """Put the Chinese text into the Markdown cells of a notebook, a dict, where there is any.

    page: the Path of its file. A link to the Chinese page of a notebook leads to that notebook,
    which is shown in Chinese, too. Returns whether there is any Chinese text.
    """
    if not chinese_of(page).exists():
        return False
    own = chinese_parts(page)
    for cell in notebook["cells"]:
        if text := own.get(cell["id"], "").strip():
            cell["source"] = re.sub(r"\]\((\w+)\.zh-CN\.md", r"](\1.ipynb", text).splitlines(True)
    return True


def lag_behind(page):
    """Return the keys of the parts of a page whose Chinese says that it lags behind: a set."""
    own = chinese_parts(page)
    return {key for key, text in own.items() if BEHIND in text or says_behind(page)}


def says_behind(page):
    """Return whether the Chinese edition of a page says, at its head, that the page lags behind."""
    return (
        page not in BILINGUAL and chinese_of(page).read_text("utf-8").splitlines()[2] == PAGE_BEHIND
    )


def mark_as_read(page, anchor=""):
    """Store the fingerprints of an English page, or of the one part of it that the anchor names.

    A section whose Chinese says that it lags behind keeps the fingerprint that it has. Those of
    parts that are no more are dropped.
    """
    stored = read_fingerprints()
    table = stored.setdefault(name_of(page), {})
    known = parts_with_questions(page)
    for key in [anchor] if anchor else known.keys() - lag_behind(page):
        table[key] = fingerprint(known[key])
    stored[name_of(page)] = {key: table[key] for key in known if key in table}
    FINGERPRINTS.write_text(
        "# The English that the Chinese edition follows: make chinese READ=... writes it.\n"
        + "".join(
            f'\n["{name}"]\n' + "".join(f'"{key}" = "{value}"\n' for key, value in table.items())
            for name, table in sorted(stored.items())
        ),
        "utf-8",
    )


def main(names):
    """List what has changed, or mark what is named as read. Exits if there is no such part."""
    pages = {name_of(page): page for page in translated_pages()}
    for name in names:
        path, _, anchor = name.partition("#")
        if path not in pages or (anchor and anchor not in parts(pages[path])):
            sys.exit(f"There is no {name} in English that has a Chinese edition.")
        mark_as_read(pages[path], anchor)
    if not names:
        for name, page in pages.items():
            for key in changed(page):
                behind = " (says that it lags behind)" if key in lag_behind(page) else ""
                print(f"{name}#{key}{behind}")


if __name__ == "__main__":
    main(sys.argv[1:])
