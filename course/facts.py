"""Facts about the course that several of its checks use."""

import ast
import difflib
import json
import re
import tomllib
from collections import Counter
from typing import NamedTuple

from tests.harness import ROOT, STEPS, TESTS

MISTAKES = ROOT / "course" / "mistakes"
# How many stages a step has. The last one is the step itself.
STAGES = {step: 1 + len([*(ROOT / step).glob("stages/stage*")]) for step in STEPS}


def folder_of(step, stage=None):
    """Return the folder of a step, or of a stage of it: "step02_http_server/stages/stage3"."""
    return step if stage in (None, STAGES[step]) else f"{step}/stages/stage{stage}"


def folder_before(step, stage=None):
    """Return the folder with which a step, or a stage of it, begins. Before step 1 is none."""
    return STEPS[STEPS.index(step) - 1] if stage in (None, 1) else folder_of(step, stage - 1)


class Mistake(NamedTuple):
    """A named mistake: in a file of a step, right becomes wrong. Then a test fails.

    Its message shows the symptom, and names a section in which it is explained.
    """

    step: str
    name: str
    file: str
    right: str
    wrong: str
    test: str
    symptom: str
    explained: str
    sees: str

    def apply(self, text):
        """Return the text of the file with the mistake made."""
        assert text.count(self.right) == 1, (
            f"{self.step}: the mistake {self.name!r} fits {text.count(self.right)} places "
            f"of {self.file}. It must fit one."
        )
        return text.replace(self.right, self.wrong)


def read_mistakes():
    """Return all named mistakes, from course/mistakes/."""
    mistakes = []
    for step in STEPS:
        table = tomllib.loads((MISTAKES / f"{step[:6]}.toml").read_text("utf-8"))
        mistakes += [Mistake(step, **row) for row in table["mistake"]]
    return mistakes


# What a Chinese section says in its first line if its English has moved on, and a Chinese page if
# its English was edited as a whole.
BEHIND = "> 本节落后于英文版。"
PAGE_BEHIND = "> 本页落后于英文版。"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def without_blocks(text):
    """Return a page without its fenced blocks."""
    return BLOCK.sub("", text)


def without_comments(code):
    """Return code of Python or of the shell without what stands behind its comments' signs."""
    return re.sub(r"(^ *|  )# .*$", r"\1#", code, flags=re.MULTILINE)


def sections(text):
    """Return a page cut at its headings, each piece with its blocks."""
    pieces, in_block = [[]], False
    for line in text.splitlines():
        in_block ^= line.lstrip().startswith("```")
        if line.startswith("#") and not in_block:
            pieces.append([])
        pieces[-1].append(line)
    return ["\n".join(piece) + "\n" for piece in pieces]


def anchor_of(title):
    """Return the anchor that GitHub makes of a heading: "os-and-pids" of "OS and PIDs"."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def headings(page):
    """Return the headings of a page: a dict from each anchor to its title.

    page: a Path of a Markdown file, or of a notebook.
    """
    text = page.read_text("utf-8")
    if page.suffix == ".ipynb":
        cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells)
    found, seen = {}, Counter()
    for title in re.findall(r"^#+ (.+)$", without_blocks(text), re.MULTILINE):
        anchor = anchor_of(title)
        found[f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor] = title
        seen[anchor] += 1
    return found


def section(where):
    """Return the text of a section, from its heading to the next one.

    where: such as "step04_fork/README.md#fork-can-fail". Raises AssertionError if there is none.
    """
    file, _, anchor = where.partition("#")
    page = ROOT / file
    assert anchor in headings(page), f"{file} has no heading #{anchor}."
    begin = f"{headings(page)[anchor]}\n"
    blocks = BLOCK.sub(lambda match: match[0].replace("\n#", "\n\\#"), page.read_text("utf-8"))
    [text] = [
        part for part in re.split(r"^#+ ", blocks, flags=re.MULTILINE) if part.startswith(begin)
    ]
    return text


def file_of_tests(step):
    """Return the path of a step's test file."""
    return TESTS / f"test_{step}.py"


def unified_diff(old, new, old_name="", new_name=""):
    """Return the unified diff of two texts, without the trailing line break."""
    lines = difflib.unified_diff(
        old.splitlines(), new.splitlines(), old_name, new_name, lineterm="", n=2
    )
    return "\n".join(lines)


def code_lines(path):
    """Return the lines of a file without imports, comments, docstrings and blank lines."""
    text = path.read_text("utf-8")
    left_out = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and ast.get_docstring(
            node
        ):
            left_out.update(range(node.body[0].lineno, node.body[0].end_lineno + 1))
        if isinstance(node, ast.Import | ast.ImportFrom):
            left_out.update(range(node.lineno, node.end_lineno + 1))
    return [
        line
        for number, line in enumerate(text.splitlines(), 1)
        if number not in left_out and line.strip() and not line.strip().startswith("#")
    ]


def definitions(path):
    """Return what a Python file defines, in its order: a dict from each name to its code.

    The code is an ast.AST without its methods: these have names of their own, "Reader.receive".
    """
    code = {}
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            code[node.name] = node
        elif isinstance(node, ast.ClassDef):
            methods = [part for part in node.body if isinstance(part, ast.FunctionDef)]
            node.body = [part for part in node.body if part not in methods]
            code |= {node.name: node} | {f"{node.name}.{part.name}": part for part in methods}
        elif isinstance(node, ast.Assign):
            code[node.targets[0].id] = node
        elif isinstance(node, ast.AugAssign):
            code[node.target.id] = ast.Module([code[node.target.id], node], [])
        elif isinstance(node, ast.If):
            code["if"] = node
        else:
            assert isinstance(node, ast.Import | ast.ImportFrom | ast.Expr), ast.dump(node)
    return code


def function_of(step, name, file="server.py"):
    """Return the source of a function of a step, from the file as it is now."""
    path = ROOT / step / file
    function = definitions(path)[name]
    return "\n".join(
        path.read_text("utf-8").splitlines()[function.lineno - 1 : function.end_lineno]
    )


def changed_names(old, new):
    """Return the names whose code is not the same in two files, or that one of them lacks."""
    old, new = (
        {name: ast.dump(node) for name, node in definitions(path).items()} if path.exists() else {}
        for path in (old, new)
    )
    return {name for name in old | new if old.get(name) != new.get(name)}


def changed_lines(before, after):
    """Return how many lines of code of the server and its client a folder adds or changes."""
    total = 0
    for name in ("server.py", "http_message.py", "wsgi.py", "client.py"):
        old, new = (
            code_lines(ROOT / folder / name) if (ROOT / folder / name).exists() else []
            for folder in (before, after)
        )
        total += sum(line.startswith("+ ") for line in difflib.ndiff(old, new))
    return total


def new_lines(step):
    """Return how many lines of code a step adds or changes: for its idea, and for its armour.

    The armour is what the last stage adds; a step without stages has none of its own.
    """
    before = folder_before(step) if step != STEPS[0] else "nothing"
    idea = folder_of(step, STAGES[step] - 1 or 1)
    return changed_lines(before, idea), changed_lines(idea, step)
