"""The READMEs tell the truth: what they quote, link and name is there."""

import re
import textwrap

import pytest

from course.facts import (
    BEHIND,
    BLOCK,
    headings,
    new_lines,
    read_mistakes,
    sections,
    without_blocks,
    without_comments,
)
from course.prose import fill
from tests.harness import ROOT, STEPS

PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("step*/*.md"),
        *ROOT.glob(".github/*.md"),
        *ROOT.glob("guide/*.md"),
        *ROOT.glob("teaching/*.md"),
        ROOT / "benchmarks" / "README.md",
    ]
)
HEADINGS = [
    "What you will be able to do",
    "Where you are",
    "See the step before fail",
    "Predict",
    "How it works",
    "The diff",
    "Try it",
    "What is still wrong",
    "Key points",
    "Check yourself",
]

LESSONS = [page for page in PAGES if page.parent.name in STEPS]  # with STAGES.md and ARMOUR.md

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
lessons = pytest.mark.parametrize("step", STEPS)


@lessons
def test_each_step_has_a_lesson_with_all_its_parts(step):
    text = without_blocks((ROOT / step / "README.md").read_text("utf-8"))
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == HEADINGS


@pytest.mark.parametrize("page", LESSONS, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_diffs_and_mistakes_in_a_lesson_are_those_of_the_code(page):
    text = page.read_text("utf-8")
    assert fill(text, page.parent.name) == text, f"{page} is out of date: run make prose"


@lessons
def test_each_lesson_shows_mistakes_and_from_step_2_on_the_whole_diff(step):
    text = (ROOT / step / "BREAK_IT.md").read_text("utf-8")
    assert len(re.findall(r"<!-- mistake: ", text)) >= 4, "A lesson has at least four mistakes."
    text = (ROOT / step / "README.md").read_text("utf-8")
    number = STEPS.index(step)
    if number:
        marker = f"<!-- diff: {STEPS[number - 1]}/server.py {step}/server.py -->"
        assert marker in text, "The lesson shows the whole diff from the step before."


def test_a_question_to_predict_begins_with_a_capital():
    texts = [*ROOT.glob("step*/BREAK_IT.md"), *ROOT.glob("notebooks/*.ipynb")]
    first = [re.findall(r"\*\*Predict:\*\* (.)", text.read_text("utf-8")) for text in texts]
    assert all(first)
    assert not [letter for letters in first for letter in letters if letter.islower()]


@lessons
def test_each_mistake_of_a_page_names_the_test_that_finds_it(step):
    tests = {m.name: re.findall(r"test_\w+", m.test)[-1] for m in read_mistakes() if m.step == step}
    for part in sections((ROOT / step / "BREAK_IT.md").read_text("utf-8")):
        for name in re.findall(r"<!-- mistake: (.+?) -->", part):
            assert f"`{tests[name]}`" in part, f"{step}: {name!r} is found by {tests[name]}."


@pages
def test_python_that_a_page_quotes_is_in_the_code(page):
    sources = list(page.parent.glob("*.py")) or list(ROOT.glob("step*/*.py"))
    if page.name.startswith("STAGES"):
        sources += page.parent.glob("stages/*/*.py")
    code = [textwrap.dedent(path.read_text("utf-8")) for path in sources]
    if page.name.endswith(".zh-CN.md"):
        code = [without_comments(text) for text in code]
    kept = [text for text in sections(page.read_text("utf-8")) if BEHIND not in text]
    for language, block in BLOCK.findall("".join(kept)):
        if language == "python":
            if page.name.endswith(".zh-CN.md"):  # its comments are Chinese
                block = without_comments(block)
            lines = [line.strip() for line in block.strip("\n").splitlines()]
            found = any("\n".join(lines) in strip_lines(text) for text in code)
            assert found, f"{page.name} quotes code that no file of the step has:\n{block}"


def strip_lines(text):
    """Return a text without the white space around each line."""
    return "\n".join(line.strip() for line in text.splitlines())


@pages
def test_links_lead_somewhere(page):
    text = without_blocks(page.read_text("utf-8"))
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
    for target in targets:
        if re.match(r"https?://|mailto:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{page.name} links {target}, and there is no such file."
        if anchor and linked.suffix == ".md":
            assert anchor in headings(linked), f"{page.name} links {target}: no such heading."


@pages
def test_no_line_within_a_paragraph_begins_with_a_comment(page):
    """CommonMark takes such a line for a block of HTML, which ends the paragraph before it."""
    text = without_blocks(page.read_text("utf-8"))
    assert not re.findall(r"(?<=\S\n) *<!--.*-->.+", text)


@pages
def test_tests_that_a_page_names_exist(page):
    files = [*ROOT.glob("tests/*.py"), *ROOT.glob("course/checks/*.py")]
    names = {path.stem for path in files}
    for path in files:
        names.update(re.findall(r"^def (test_\w+)", path.read_text("utf-8"), re.MULTILINE))
    for name in re.findall(r"\btest_\w+", page.read_text("utf-8")):
        assert name in names, f"{page.name} names {name}. There is no such test, and no such file."


@pages
def test_make_commands_that_a_page_names_exist(page):
    targets = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    for name in re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text("utf-8"), re.MULTILINE):
        assert name in targets, f"{page.name} names make {name}. The Makefile has no such target."


@lessons
def test_the_ladder_in_the_readme_counts_the_lines_of_idea_and_armour(step):
    [row] = re.findall(rf"^\| \[{step}\].*$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    shown = [cell.strip() for cell in row.split("|")][3:5]
    lines = [str(number or "") for number in new_lines(step)]
    assert shown == lines, f"README.md: the row of {step} says {shown}, but it is {lines}: {row}"


@lessons
def test_the_ladder_in_the_readme_says_how_long_a_lesson_takes(step):
    lesson = (ROOT / step / "README.md").read_text("utf-8")
    parts = re.search(r"^Reading: (\d+) minutes. Doing: (\d+) minutes", lesson, re.MULTILINE)
    [row] = re.findall(rf"^\| \[{step}\].*$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    minutes = row.split("|")[-2].strip()
    assert int(minutes) == int(parts[1]) + int(parts[2]), f"README.md: {row}, but {parts[0]}."
