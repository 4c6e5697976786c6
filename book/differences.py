"""The diff pages: both files side by side, and beside a changed line why it is there.

difflib finds the lines, Pygments colours them, and the explanations are those of the lesson.
"""

import difflib
import html
import itertools
import re
from typing import NamedTuple

from markdown_it import MarkdownIt
from pygments import format
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer
from pygments.token import Text

from course.facts import BLOCK, STAGES, folder_before, folder_of, headings, section
from tests.harness import ROOT, STEPS

NEAR = 3  # unchanged lines that are shown around a change
LONG = 24  # signs: a longer word of code may break
WORD = re.compile(r"(?:<[^>]+>|[^\s<])+")  # of HTML
COMMENT = re.compile("  # .*")
FOLDED = 4  # fewer unchanged lines than this are shown, too
WORDS = {
    "en": {
        "step": "Step {}",
        "stage": "Stage {}",
        "title": "What step {} changes",
        "first": "The code of step 1",
        "stage title": "What stage {} of step {} changes",
        "intro": "A line with − is in {old} only, and one with + is new in {new}. What is the same "
        "is folded, so click to see it.",
        "first intro": "The ladder begins here, so every line is new. The [lesson]({}) goes "
        "through them.",
        "explained": " The [lesson]({}) explains the change as a whole.",
        "stage explained": " [The text of this stage]({}) explains the change as a whole.",
        "same files": "The same to the byte: {}.",
        "same": ("1 line is the same", "{} lines are the same"),
        "why": "Why it is there",
        "anchor": "the-diff",
        "parts of a stage": ("Stage", "**What you will build.**", "**How it is done.**"),
        "colon": ": ",
        "comma": ", ",
    },
    "zh": {
        "step": "第 {} 步",
        "stage": "阶段 {}",
        "title": "第 {} 步改了什么",
        "first": "第 1 步的代码",
        "stage title": "第 {1} 步阶段 {0} 改了什么",
        "intro": "带 − 的行只属于{old}，带 + 的行是新加的，属于{new}。"
        "相同的部分已折叠，点开就能看到。",
        "first intro": "课程从这里起步，所以每一行都是新的。[课文]({})逐段讲解。",
        "explained": "整个改动见[课文]({})。",
        "stage explained": "整个改动见[这一阶段]({})。",
        "same files": "完全相同的文件：{}。",
        "same": ("1 行相同", "{} 行相同"),
        "why": "为什么",
        "anchor": "差异",
        "parts of a stage": ("阶段", "**要写什么**。", "**怎样实现**。"),
        "colon": "：",
        "comma": "、",
    },
}
CODES = {"en": "en", "zh": "zh-CN"}  # as HTML names the languages
MARKDOWN = MarkdownIt()


class Row(NamedTuple):
    """A row of a diff: the numbers of its two lines, from 0. None: there is no line."""

    old: int | None
    new: int | None
    is_changed: bool


class Explanation(NamedTuple):
    """Why something is there: a text in Markdown, and the language that it is in.

    code: by its kind a "line", in which three dots stand for anything, some "lines", or the name of
    a "block", such as of a function.
    """

    code: str
    text: str
    language: str
    kind: str


def rows_of(old, new):
    """Return the Rows of two lists of lines."""
    rows = []
    for tag, i, i_end, j, j_end in difflib.SequenceMatcher(None, old, new, False).get_opcodes():
        if i_end - i == j_end - j and are_alike("\n".join(old[i:i_end]), "\n".join(new[j:j_end])):
            pairs = zip(range(i, i_end), range(j, j_end), strict=True)
        else:  # a piece that is written anew: first what goes, then what comes
            pairs = [(line, None) for line in range(i, i_end)]
            pairs += [(None, line) for line in range(j, j_end)]
        rows += [Row(before, after, tag != "equal") for before, after in pairs]
    return rows


def are_alike(old, new):
    """Return whether a text has come out of another one: half of their letters are the same."""
    return difflib.SequenceMatcher(None, old, new, False).ratio() >= 0.5


def shown(rows):
    """Return for each row whether it is shown at once: a change, and what is near to one."""
    changed = [number for number, row in enumerate(rows) if row.is_changed]
    near = {place + by for place in changed for by in range(-NEAR, NEAR + 1)}
    result = []
    for is_near, numbers in itertools.groupby(range(len(rows)), lambda number: number in near):
        numbers = list(numbers)
        result += [is_near or len(numbers) < FOLDED] * len(numbers)
    return result


def table_of_lines(text, page, language):
    """Return the Explanations of a lesson: those of its table with a row for each line."""
    rows = re.findall(r"^\| (`[^|]*) \| ([^|]*) \|$", BLOCK.sub("", text), re.MULTILINE)
    return [
        Explanation(re.search("`([^`]+)`", code)[1], joined(why, page), CODES[language], "line")
        for code, why in rows
    ]


def texts_of_blocks(text, page, language):
    """Return the Explanations of a text with an item, or a row of a table, for each function."""
    text = BLOCK.sub("", text)
    items = re.findall(r"^ *(?:\d\.|-) (.+(?:\n +(?!- )\S.*)*)$", text, re.MULTILINE)
    found = [(re.match(r"(?:\*\*[^*]*?)?`(\w+)", item), item) for item in items]
    rows = re.findall(r"^\| (`[^|]*) \| ([^|]*) \|$", text, re.MULTILINE)
    colon = WORDS[language]["colon"]
    found += [(re.match(r"`(?:\w+\.)?(\w+)", name), name + colon + what) for name, what in rows]
    return [
        Explanation(name[1], joined(item, page), CODES[language], "block")
        for name, item in found
        if name
    ]


def armour(text, page, language):
    """Return the Explanations of a page of armour: the paragraph below each piece of code."""
    pair = r"^```python\n(.+?)\n```\n\n(?!```|[#<|>-])(.+?)\n\n"
    parts = re.findall(pair, text, re.DOTALL | re.MULTILINE)
    return [
        Explanation(code, joined(paragraph, page), CODES[language], "lines")
        for code, paragraph in parts
    ]


def joined(text, page):
    """Return a text of a page as one line, with links that do not rely on the page."""
    line = re.sub(r"\s*\n\s*", " ", text).replace("](#", f"]({page}#")
    return re.sub(":$", ".", re.sub("：$", "。", line))  # what followed there is not here


def texts_of_edition(step, stage, language):
    """Return the Explanations of a step, or of a stage of it, that the pages of a language have."""
    name = "README" if not stage else "STAGES" if stage < STAGES[step] else "ARMOUR"
    page = f"{name}.md" if language == "en" else f"{name}.zh-CN.md"
    if name == "README":
        text = section(f"{step}/{page}#{WORDS[language]['anchor']}")
        return table_of_lines(text, page, language) or texts_of_blocks(text, page, language)
    text = (ROOT / step / page).read_text("utf-8")
    if name == "ARMOUR":
        return armour(text, page, language)
    begin, built, done = WORDS[language]["parts of a stage"]
    part = text.split(f"\n## {begin} ")[stage].partition(built)[2].partition(done)[0]
    return texts_of_blocks(part, page, language)


def explanations(step, stage, language):
    """Return the Explanations of a step, or of a stage of it, in a language.

    They are English as long as the Chinese ones are not about the same lines or functions. A page
    may translate the comments of its code, and the server does not.
    """
    english, own = (texts_of_edition(step, stage, edition) for edition in ("en", language))
    codes, own_codes = ([COMMENT.sub("", text.code) for text in texts] for texts in (english, own))
    if own_codes != codes:
        return english
    return [text._replace(code=same.code) for text, same in zip(own, english, strict=True)]


def find_line(code, new, rows, begin):
    """Return the number of the row whose new line has some code; raises AssertionError if none has.

    It is the first one from begin on, or else the last one. Where three dots stand for something,
    the line has changed; otherwise it may be near to a change.
    """
    pattern = re.compile(re.escape(code).replace(re.escape("..."), ".*"))
    seen = shown(rows)
    found = [
        number
        for number, row in enumerate(rows)
        if row.new is not None
        and (row.is_changed or (seen[number] and "..." not in code))
        and pattern.search(new[row.new])
    ]
    assert found, f"The diff does not show the line {code!r}."
    return next((number for number in found if number >= begin), found[-1])


def find_block(name, old, new, rows):
    """Return the number of the first changed row of a function, class or constant, or None.

    Of a class, the methods after __init__ do not count: what is said of the whole is not about one.
    """
    is_begin = re.compile(rf"\s*(def|class) {name}\b|{name} =").match
    is_method = re.compile(r" +def (?!__init__\b)").match
    for lines, side in ((new, "new"), (old, "old")):
        margin = None  # of the block, while we are in it
        for number, row in enumerate(rows):
            line = lines[getattr(row, side)] if getattr(row, side) is not None else ""
            left = len(line) - len(line.lstrip())
            if is_begin(line):
                margin = left
            elif margin is not None and line and left <= margin and line[left] != ")":
                margin = None
            elif is_method(line):
                margin = None
            if margin is not None and row.is_changed:
                return number
    return None


def find_lines(code, old, new, rows):
    """Return the number of the first changed row of some lines of the new file, or None."""
    wanted = [line.strip() for line in code.splitlines()]
    numbers = [number for number, row in enumerate(rows) if row.new is not None]
    for begin in range(len(numbers)):
        part = numbers[begin : begin + len(wanted)]
        if [new[rows[number].new].strip() for number in part] == wanted:
            return next((number for number in part if rows[number].is_changed), None)
    return None


def place_explanations(texts, files):
    """Return where Explanations belong: a dict from (file, row) to a list of them.

    files: a dict from each name to (old lines, new lines, rows). Those of lines are all about
    server.py, in the order of its lines. Raises AssertionError if a line is not shown.
    """
    places, begin = {}, 0
    for text in texts:
        if text.kind == "line":
            _, new, rows = files["server.py"]
            row = find_line(text.code, new, rows, begin)
            begin, place = row + 1, ("server.py", row)
        else:
            find = find_block if text.kind == "block" else find_lines
            found = ((name, find(text.code, *files[name])) for name in files)
            place = next((place for place in found if place[1] is not None), None)
        if place:
            places.setdefault(place, []).append(text)
    return places


def coloured(text):
    """Return the lines of a Python file as HTML, in which a line breaks between words if it can."""
    tokens = (
        (kind if part.strip() else Text, part)
        for kind, value in PythonLexer(stripnl=False).get_tokens(text)
        for part in re.findall(r"\s+|\S+", value)
    )
    lines = format(tokens, HtmlFormatter(nowrap=True)).splitlines()
    return [WORD.sub(lambda match: hold(match[0]), line) for line in lines]


def hold(word, signs=("(\\[=", ":", ".")):
    """Return a word of code as HTML that keeps it together; a long one may break after a sign."""
    if len(html.unescape(re.sub("<[^>]+>", "", word))) <= LONG or not signs:
        return f'<span class="word">{word}</span>'
    parts = re.split(rf"(?<=[{signs[0]}]</span>)(?=.)", word)
    return "".join(hold(part, signs[1:]) for part in parts)


def cells(texts, lines, number, side, is_changed):
    """Return the HTML of two cells: the number of a line, and the line.

    texts: the lines of the file, and lines the same as HTML.
    """
    if number is None:
        return f'<td class="number"></td><td class="{side} none"></td>'
    sign, name = {"old": ("−", "del"), "new": ("+", "ins")}[side]
    code, left = lines[number] or " ", len(texts[number]) - len(texts[number].lstrip())
    if is_changed:
        code = f'<{name}><span class="sign">{sign}</span>{code}</{name}>'
    code = f'<code style="--left: {left}ch">{code}</code>'  # where the rest of a long line begins
    return f'<td class="number">{number + 1}</td><td class="{side}">{code}</td>'


def explain(texts, link):
    """Return Explanations as HTML; link makes an address of the book from a link of the page."""
    parts = []
    for text in texts:
        content = re.sub(r"(?<=\]\()[^)\s]+(?=\))", lambda match: link(match[0]), text.text)
        parts.append(f'<p lang="{text.language}">{MARKDOWN.renderInline(content)}</p>')
    return "".join(parts)


def table(rows, sides, why):
    """Return a table of a diff as HTML.

    rows: a list of pairs, the HTML of a row's lines and that of its explanation. sides: what the
    columns with lines are called. why: what that with explanations is called, None if it has none.
    """
    columns, heads = '<col class="number"><col>' * len(sides), ""
    for side in sides:
        heads += f'<td class="number"></td><th scope="col">{side}</th>'
    if why:
        columns += '<col class="why">'
        heads += f'<th class="why" scope="col">{why}</th>'
    fill = f'<tr class="fill"><td colspan="{2 * len(sides)}"></td></tr>' if why else ""
    body, last = fill, len(rows)
    for number in reversed(range(len(rows))):
        content, explanation = rows[number]
        row = f"<tr>{content}</tr>"
        if why and (explanation or number == 0):  # it has the room to the next explanation
            why_cell = f'<td class="why" rowspan="{last - number + 1}">{explanation}</td>'
            row = f"{fill if number else ''}<tr>{content}{why_cell}</tr>"
            last = number
        body = row + body
    return (
        f'<table class="highlight"><colgroup>{columns}</colgroup>'
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"
    )


def diff_of_file(old, new, rows, whys, sides, words):
    """Return the diff of a file as HTML: tables, and folded ones of lines that are the same.

    whys: a dict from the number of a row to the HTML of its explanation, None if there are none.
    """
    old_lines, new_lines = coloured("\n".join(old)), coloured("\n".join(new))
    sides = sides if old else sides[1:]
    parts, seen = [], shown(rows)
    for is_shown, numbers in itertools.groupby(range(len(rows)), seen.__getitem__):
        content = []
        for number in numbers:
            row = rows[number]
            line = cells(old, old_lines, row.old, "old", row.is_changed) if old else ""
            line += cells(new, new_lines, row.new, "new", row.is_changed)
            content.append((line, (whys or {}).get(number, "")))
        if is_shown:
            parts.append(table(content, sides, None if whys is None else words["why"]))
        else:
            text = words["same"][len(content) > 1].format(len(content))
            fold = table(content, sides, None)
            parts.append(f"<details><summary>{text}</summary>{fold}</details>")
    return f'<div class="diff">{"".join(parts)}</div>'


def files_of(before, after):
    """Return the files in which two folders differ, server.py first, and the names of the others.

    The files are a dict from each name to (old lines, new lines, rows). before: None if there is no
    older folder.
    """
    files, same = {}, []
    for path in sorted((ROOT / after).glob("*.py"), key=lambda path: path.name != "server.py"):
        older = ROOT / before / path.name if before else None
        old = older.read_text("utf-8").splitlines() if older and older.exists() else []
        new = path.read_text("utf-8").splitlines()
        if old == new:
            same.append(path.name)
        else:
            files[path.name] = old, new, rows_of(old, new)
    return files, same


def names_of(step, stage, words):
    """Return what the two sides of a diff are called, such as "Step 3" and "Step 4"."""
    number = STEPS.index(step) + 1
    before, after = words["step"].format(number - 1), words["step"].format(number)
    if stage:
        before = words["stage"].format(stage - 1) if stage > 1 else before
        after = words["stage"].format(stage)
    return before, after


def first_lines(step, stage, language, link):
    """Return the heading of a diff page, and its first paragraph."""
    words, number = WORDS[language], STEPS.index(step) + 1
    before, after = names_of(step, stage, words)
    intro = words["intro"].format(old=before.lower(), new=after.lower())
    if stage:
        title = words["stage title"].format(stage, number)
        anchors = headings(ROOT / step / "STAGES.md")
        anchor = next(anchor for anchor in anchors if anchor.startswith(f"stage-{stage}-"))
        explained = words["stage explained"].format(link(f"STAGES.md#{anchor}"))
    else:
        title = words["title"].format(number)
        where = f"README{'' if language == 'en' else '.zh-CN'}.md#{words['anchor']}"
        explained = words["explained"].format(link(where))
    if number == 1:
        title, intro, explained = words["first"], words["first intro"].format(link(where)), ""
    return f"# {title}\n\n{intro}{explained}"


def diff_page(step, stage, language, link):
    """Return the page of a step's diff, or of a stage's, in Markdown.

    link: a function that makes a link of the book from a link of the step's pages.
    """
    words, is_first = WORDS[language], step == STEPS[0]
    before = None if is_first else folder_before(step, stage)
    files, same = files_of(before, folder_of(step, stage))
    texts = [] if is_first else explanations(step, stage, language)
    if not stage and STAGES[step] > 1:  # those of its new file stand on the page of armour
        texts = texts + explanations(step, STAGES[step], language)
    places = place_explanations(texts, files)
    parts = ["---\nhide-toc: true\n---\n" + first_lines(step, stage, language, link)]

    def address(target):
        return re.sub(r"\.(md|ipynb)(?=#|$)", ".html", link(target)).removeprefix("other:")

    names = names_of(step, stage, words)
    for name, file in files.items():
        whys = {row: explain(texts, address) for (of, row), texts in places.items() if of == name}
        content = diff_of_file(*file, whys or None, names, words)
        parts.append(f"## {name}\n\n```{{raw}} html\n{content}\n```")
    if same:
        parts.append(words["same files"].format(words["comma"].join(f"`{name}`" for name in same)))
    return "\n\n".join(parts) + "\n"
