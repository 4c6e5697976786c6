"""Run the notebooks, and compare what they show with what is stored in them.

    python -m course.notebooks [--run | --write | --clean] [NOTEBOOK ...]

Each experiment, from one heading to the next, runs as if it were the only one after the first code
cell. Without an option the status is 1 if a notebook fails, or shows something else than what is
stored. --run compares nothing, for systems where some cells show something else than on Linux;
--write stores the experiments that show something else now; --clean runs nothing, and drops what an
editor has stored beside: counters, times, its name.
"""

import argparse
import concurrent.futures
import difflib
import hashlib
import os
import re
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError

from tests.harness import ROOT

FOLDER = ROOT / "notebooks"
CELL_SECONDS = 60  # a cell that takes longer has failed

# What must vary from run to run, and what stands for it in the comparison.
VARIES = [
    (r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", "DATE"),
    (r"0x[0-9a-f]{6,}", "ADDRESS"),
    (r"(/tmp|/private|/var)/[\w./-]+", "PATH"),
    (r"(127\.0\.0\.\d+[ :]|localhost:)\d+", r"\1PORT"),
    (r"(?i)\b(port|REMOTE_PORT|SERVER_PORT|sport|dport)( =|:)? '?\d{4,5}\b", r"\1 PORT"),
    (r"\[\d+\]", "[PID]"),
    (r"(0\.0\.0\.0:)[1-9]\d+", r"\1PORT"),
    (r"\b(curl|python-requests|Chrome|Chromium|version|Python)(/| )\d+(\.\d+)+", r"\1 VERSION"),
    (r"(Accept-Encoding: gzip, deflate), zstd", r"\1"),  # from Python 3.14 on
    (r"\b\d+ recv calls", "SEVERAL recv calls"),
    (r"\(sent (just now|on 23 November 2026: .* is not here)\)", "(SENT)"),
    (r"(?m)^(sec-ch-ua[\w-]*|User-Agent: Mozilla|Accept-Language)\b.*", r"\1 VALUE"),
    (r"(curl|browser) +(not )?here\b", r"\1 HERE"),
    (r"(?i)\b(pid|ppid|process|child|parent|group|orphan)(:| is| =|=)? ?\d+\b", r"\1 PID"),
    (r"(fork returned) [1-9]\d*", r"\1 PID"),
    (r"\b\d+(\.\d+)? ?(s|ms|µs|us|seconds|milliseconds)\b", "TIME"),
    (r"\b\d+(\.\d+)? ?(KiB|MiB|kB|MB)\b", "SIZE"),
    (r"\b\d+ \(by chance\)", "N (by chance)"),
    (r"\b\d+\.\d+ times as long", "N times as long"),
    (r"\b(core dumped|no core dump)\b", "CORE"),
]

# What runs behind the first code cell, and before each experiment.
NOTE = "_first = dict(globals())"
RESET = """
for _name in [name for name in globals() if name not in _first and name[0] != "_"]:
    del globals()[_name]
globals().update(_first)
__import__("lab").empty_scratch()
"""


def experiments(cells):
    """Return the cells in lists: the beginning, with the first code cell, and each experiment.

    An experiment begins with a heading of level 2.
    """
    parts, has_code = [[]], False
    for cell in cells:
        if has_code and cell.cell_type == "markdown" and cell.source.startswith("## "):
            parts.append([])
        parts[-1].append(cell)
        has_code = has_code or cell.cell_type == "code"
    return parts


def substance(cell):
    """Return what a cell shows as text, with what must vary replaced; a picture is its words."""
    parts = []
    for output in cell.get("outputs", []):
        if output.output_type == "stream":
            parts.append(output.text)
        else:
            parts.append(output.get("data", {}).get("text/plain", "") + "\n")
    text = "".join(parts)
    for pattern, name in VARIES:
        text = re.sub(pattern, name, text)
    text = re.sub(r" +", " ", text)  # columns may shift with the length of a PID
    drawn = cell.metadata.get("drawn_by")
    return f"{text}(a picture, drawn by {drawn})\n" if drawn else text


def drawn_by(cells):
    """Return a short hash of what draws the picture of the last of an experiment's cells.

    That is its code and that of the cells before it, pictures.py and the style.
    """
    code = [cell.source.encode() for cell in cells if cell.cell_type == "code"]
    sources = [FOLDER / "pictures.py", FOLDER / "course.mplstyle"]
    data = b"".join([*code, *(path.read_bytes() for path in sources)])
    return hashlib.sha256(data).hexdigest()[:12]


def has_picture(cell):
    return any("image/png" in output.get("data", {}) for output in cell.get("outputs", []))


def clean(notebook):
    """Drop what changes at each run and tells nothing: times, counters, the kernel's version."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        drawn = cell.metadata.get("drawn_by")
        cell.metadata = {"drawn_by": drawn} if drawn and has_picture(cell) else {}
        if cell.cell_type == "code":
            cell.execution_count = None
            for output in cell.outputs:
                if "execution_count" in output:
                    output.execution_count = None
                if "text/markdown" in output.get("data", {}):  # GitHub would prefer the HTML
                    output.data.pop("text/html", None)  # and take its colours away
            merge_streams(cell)


def merge_streams(cell):
    """Join neighbouring pieces of one output stream: how it was cut is chance."""
    merged = []
    for output in cell.outputs:
        last = merged[-1] if merged else None
        if last and output.output_type == "stream" == last.output_type and output.name == last.name:
            last.text += output.text
        else:
            merged.append(output)
    cell.outputs = merged


def with_resets(cells):
    """Return the cells with hidden ones between them, so that each experiment runs alone."""
    first, *others = experiments(cells)
    lonely = [*first, hidden(NOTE)]
    for part in others:
        lonely += [hidden(RESET), *part]
    return lonely


def hidden(source):
    return nbformat.v4.new_code_cell(source, metadata={"hidden": True})


def run(path):
    """Execute a notebook file; return it as stored, as run, and the error, or None."""
    stored = nbformat.read(path, as_version=4)
    fresh = nbformat.read(path, as_version=4)
    fresh.cells = with_resets(fresh.cells)
    began = []
    os.environ["LANGUAGE"] = "en"  # so the kernel speaks as what is stored
    client = NotebookClient(
        fresh,
        timeout=CELL_SECONDS,
        resources={"metadata": {"path": FOLDER}},
        extra_arguments=["--log-level=ERROR"],
        on_cell_execute=lambda cell, cell_index: began.append(cell.id),
    )
    error = None
    try:
        client.execute()
    except (CellExecutionError, CellTimeoutError, RuntimeError) as failure:  # the kernel died
        error = f"{f'cell {began[-1]}' if began else 'the start of its kernel'}:\n{failure}"
    fresh.cells = [cell for cell in fresh.cells if "hidden" not in cell.metadata]
    for part in experiments(fresh.cells):
        for number, cell in enumerate(part, 1):
            if has_picture(cell):
                cell.metadata["drawn_by"] = drawn_by(part[:number])
    clean(fresh)
    return stored, fresh, error


def differences(stored, fresh):
    """Return a list of pairs: each experiment, fresh, that shows something else, and how."""
    pairs = zip(experiments(stored.cells), experiments(fresh.cells), strict=True)
    found = []
    for old_part, new_part in pairs:
        diffs = [difference(old, new) for old, new in zip(old_part, new_part, strict=True)]
        if any(diffs):
            found.append((new_part, "\n".join(filter(None, diffs))))
    return found


def difference(old, new):
    """Return how what a cell shows differs in two versions, or an empty text."""
    lines = [substance(cell).splitlines() for cell in (old, new)]
    diff = list(difflib.unified_diff(*lines, "stored", "shown now", lineterm="", n=1))
    return "\n".join([f"cell {new.id}:", *diff]) if diff else ""


def check(path, write, compare=True):
    """Run one notebook; return a message if something is wrong with it, or None."""
    stored, fresh, error = run(path)
    if error:
        return f"{path.name} fails in {error}"
    found = differences(stored, fresh) if compare else []
    if not found:
        return None
    if not write:
        diffs = "\n".join(diff for _, diff in found)
        return f"{path.name} shows something else than what is stored:\n{diffs}"
    changed = {cell.id: cell for part, _ in found for cell in part}
    stored.cells = [changed.get(cell.id, cell) for cell in stored.cells]
    store(stored, path)
    print(f"{path.name}: stored are {', '.join(part[0].id for part, _ in found)}")
    return None


def store(notebook, path):
    """Clean a notebook, and write it to its file."""
    clean(notebook)
    nbformat.write(notebook, path)


def main():
    """Check the notebooks that the command line names, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, metavar="NOTEBOOK")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--run", action="store_true", help="compare nothing")
    choice.add_argument("--write", action="store_true", help="store what has changed")
    choice.add_argument("--clean", action="store_true", help="drop what an editor has stored")
    arguments = parser.parse_args()
    paths = arguments.notebooks or sorted(FOLDER.glob("0*.ipynb"))
    for path in paths:
        if not path.is_file():
            parser.error(f"there is no notebook {path}")
    if arguments.clean:
        for path in paths:
            store(nbformat.read(path, as_version=4), path)
        return
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        options = {"write": arguments.write, "compare": not arguments.run}
        problems = list(pool.map(lambda path: check(path, **options), paths))
    for problem in filter(None, problems):
        print(problem)
    sys.exit(any(problems))


if __name__ == "__main__":
    main()
