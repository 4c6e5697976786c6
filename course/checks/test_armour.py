"""The pages of the stages and of the armour are true to the code, and leave nothing out."""

import ast
import re
import textwrap

import pytest

from course.facts import (
    BLOCK,
    STAGES,
    changed_names,
    definitions,
    folder_before,
    folder_of,
    headings,
    section,
)
from course.progress import page_of
from tests.harness import ROOT

FILES = {"step02_http_server": "http_message.py", "step03_wsgi": "wsgi.py"}
READ = {"now", "when you need it"}

steps = pytest.mark.parametrize("step", FILES)
stages = pytest.mark.parametrize(
    ("step", "stage"), [(step, stage) for step in FILES for stage in range(1, STAGES[step] + 1)]
)


def parts(step):
    """Return the functions, classes and methods of a step's file: a dict from name to ast node."""
    found = definitions(ROOT / step / FILES[step])
    return {
        name: node
        for name, node in found.items()
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }


def must_be_named(names):
    """Return the names without those of __init__, which may be explained with their class."""
    return {name for name in names if not name.endswith(".__init__")}


def last_line(step, name):
    """Return the number of the last line of a part: for a class, that of its last method."""
    return max(
        node.end_lineno
        for other, node in parts(step).items()
        if other == name or other.startswith(f"{name}.")
    )


def page(step):
    return (ROOT / step / "ARMOUR.md").read_text("utf-8")


@steps
def test_each_part_has_a_heading_and_each_of_these_headings_is_a_part(step):
    text = BLOCK.sub("", page(step))
    titles = re.findall(r"^### (.+)$", text, re.MULTILINE)
    assert len({*titles}) == len(titles)
    assert must_be_named(parts(step)) <= {*titles} <= {*parts(step)}


@steps
def test_each_part_is_quoted_and_the_page_says_what_fails_without_it(step):
    source = (ROOT / step / FILES[step]).read_text("utf-8").splitlines()
    titles = headings(ROOT / step / "ARMOUR.md")
    anchors = {title: anchor for anchor, title in titles.items()}
    for name in [name for name in parts(step) if name in anchors]:
        text = section(f"{step}/ARMOUR.md#{anchors[name]}")
        code = source[parts(step)[name].lineno - 1 : last_line(step, name)]
        own = "\n" + "\n".join(line.strip() for line in code) + "\n"
        quoted = [block for language, block in BLOCK.findall(text) if language == "python"]
        assert quoted, f"{step}/ARMOUR.md quotes no line of {name}."
        for block in quoted:
            lines = "\n".join(line.strip() for line in textwrap.dedent(block).strip().splitlines())
            assert f"\n{lines}\n" in own, f"{name} has not, all together:\n{block}"
        assert re.search(r"\b[Ww]ithout\b", BLOCK.sub("", text)), (
            f"{step}/ARMOUR.md does not say what fails without a line of {name}."
        )


@steps
def test_the_map_has_a_row_for_each_part_with_its_lines(step):
    rows = re.findall(r"^\| (?:\[|`)([\w.]+)(?:\]\(#\S+\)|`) \|(.+)\|$", page(step), re.MULTILINE)
    names = [name for name, _ in rows]
    assert len({*names}) == len(names)
    assert must_be_named(parts(step)) <= {*names} <= {*parts(step)}
    for name, cells in rows:
        what, lines, read = [cell.strip() for cell in cells.split("|")]
        assert what and read in READ, f"The row of {name} says: {what} | {read}"
        number = last_line(step, name) - parts(step)[name].lineno + 1
        assert lines == str(number), f"{step}/ARMOUR.md: {name} has {number} lines, not {lines}."


def calls(step):
    """Return who calls whom in a step's file: a set of pairs of names.

    A class that is called is its __init__. An object has the name of its class: reader.receive.
    """
    names = parts(step)
    classes = {name.lower(): name for name, node in names.items() if isinstance(node, ast.ClassDef)}
    found = set()
    for caller, node in names.items():
        if not isinstance(node, ast.FunctionDef):
            continue
        own = caller.rpartition(".")[0]
        for call in [part for part in ast.walk(node) if isinstance(part, ast.Call)]:
            called = ast.unparse(call.func)
            base, _, method = called.rpartition(".")
            called = f"{own if base == 'self' else classes.get(base, base)}.{method}".strip(".")
            called = called if called in names else ""
            if isinstance(names.get(called), ast.ClassDef):
                called += ".__init__"
            if called in names:
                found.add((caller, called))
    return found


@steps
def test_the_picture_shows_who_calls_whom(step):
    [picture] = [block for language, block in BLOCK.findall(page(step)) if language == "mermaid"]
    kind, *lines = picture.strip().splitlines()
    assert kind.startswith("flowchart")
    shown = [tuple(line.strip().split(" --> ")) for line in lines]
    assert len({*shown}) == len(shown)
    needed = {pair for pair in calls(step) if must_be_named(pair) == {*pair}}
    assert needed <= {*shown} <= calls(step), (
        f"{step}/ARMOUR.md: arrows are missing: {needed - {*shown}}. Others are no calls: "
        f"{ {*shown} - calls(step) }."
    )


def section_of(step, stage):
    """Return the text of a stage's section."""
    return section(page_of(step, stage))


@stages
def test_each_stage_has_a_section_with_its_failure_its_commands_and_its_diff(step, stage):
    text = section_of(step, stage)
    _, failure, *_ = text.split("\n\n")  # make check shows this paragraph
    assert re.match(r"[A-Z].+\.$", failure, re.DOTALL) and "```" not in failure, failure
    see, build, done = (
        text.find(f"**{part}.**")
        for part in ("See it fail", "What you will build", "How it is done")
    )
    assert 0 < see < build < done, "It has the parts: See it fail, What you will build, How ..."
    assert re.search(r"```sh\n|`curl ", text[see:build]), "A failure is seen by a command."
    before, after = folder_before(step, stage), folder_of(step, stage)
    diffs = re.findall(r"^<!-- diff: (\S+) (\S+) -->$", text[done:], re.MULTILINE)
    files = [
        (f"{before}/{name}", f"{after}/{name}")
        for name in ("server.py", FILES[step])
        if changed_names(ROOT / before / name, ROOT / after / name)
    ]
    assert {*diffs} in ({(before, after)}, {*files}), f"It shows {diffs}, and not {files}."


@stages
def test_python_that_the_page_of_the_stages_quotes_is_of_that_stage(step, stage):
    files = (ROOT / folder_of(step, stage)).glob("*.py")
    code = "\n".join(strip_lines(path.read_text("utf-8")) for path in files)
    for language, block in BLOCK.findall(section_of(step, stage)):
        if language == "python":
            assert strip_lines(block.strip("\n")) in code, f"Stage {stage} has not:\n{block}"


def strip_lines(text):
    """Return a text without the white space around each line."""
    return "\n".join(line.strip() for line in text.splitlines())
