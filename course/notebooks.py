"""Run the notebooks, and compare what they show with what is stored in them.

    python -m course.notebooks [--write] [NOTEBOOK ...]

Without --write it ends with status 1 if a notebook fails, or shows something else than what is
stored. With --write it stores the new outputs of the notebooks whose substance has changed.
"""

import argparse
import concurrent.futures
import difflib
import re
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

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
    (r"\((checked here just now|not checked: .* is not here)\)", "(CHECKED)"),
    (r"(curl|browser) +(not )?here\b", r"\1 HERE"),
    (r"(?i)\b(pid|ppid|process|child|parent|group|orphan)(:| is| =|=)? ?\d+\b", r"\1 PID"),
    (r"(fork returned) [1-9]\d*", r"\1 PID"),
    (r"\b\d+(\.\d+)? ?(s|ms|µs|us|seconds|milliseconds)\b", "TIME"),
    (r"\b\d+(\.\d+)? ?(KiB|MiB|kB|MB)\b", "SIZE"),
    (r"\b\d+ \(by chance\)", "N (by chance)"),
    (r"\b(core dumped|no core dump)\b", "CORE"),
]


def substance(cell):
    """Return what a cell shows as text, with what must vary replaced; a picture is one word."""
    parts = []
    for output in cell.get("outputs", []):
        if output.output_type == "stream":
            parts.append(output.text)
        elif "image/png" in output.get("data", {}):
            parts.append("(picture)\n")
        else:
            parts.append(output.get("data", {}).get("text/plain", "") + "\n")
    text = "".join(parts)
    for pattern, name in VARIES:
        text = re.sub(pattern, name, text)
    return re.sub(r" +", " ", text)  # columns may shift with the length of a PID


def clean(notebook):
    """Drop what changes at each run and tells nothing: times, counters, the kernel's version."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:03}"
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.execution_count = None
            for output in cell.outputs:
                if "execution_count" in output:
                    output.execution_count = None
                if "data" in output and "image/png" in output.data:
                    output.data.pop("text/plain", None)
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


def run(path):
    """Execute a notebook file; return it as stored, as run, and the error, or None."""
    stored = nbformat.read(path, as_version=4)
    fresh = nbformat.read(path, as_version=4)
    client = NotebookClient(
        fresh,
        timeout=CELL_SECONDS,
        resources={"metadata": {"path": FOLDER}},
        extra_arguments=["--log-level=ERROR"],
    )
    error = None
    try:
        client.execute()
    except CellExecutionError as failure:
        error = str(failure)
    clean(fresh)
    return stored, fresh, error


def differences(stored, fresh):
    """Return a unified diff of what two versions of a notebook show; empty if nothing differs."""
    old, new = (
        [line for cell in book.cells for line in substance(cell).splitlines()]
        for book in (stored, fresh)
    )
    return "\n".join(difflib.unified_diff(old, new, "stored", "shown now", lineterm="", n=1))


def check(path, write):
    """Run one notebook; return a message if something is wrong with it, or None."""
    stored, fresh, error = run(path)
    if error:
        return f"{path.name} fails:\n{error}"
    difference = differences(stored, fresh)
    if difference and write:
        nbformat.write(fresh, path)
        print(f"{path.name}: new outputs are stored")
    elif difference:
        return f"{path.name} shows something else than what is stored:\n{difference}"
    return None


def main():
    """Check the notebooks that the command line names, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, metavar="NOTEBOOK")
    parser.add_argument("--write", action="store_true", help="store what has changed")
    arguments = parser.parse_args()
    paths = arguments.notebooks or sorted(FOLDER.glob("0*.ipynb"))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        problems = list(pool.map(lambda path: check(path, arguments.write), paths))
    for problem in filter(None, problems):
        print(problem)
    sys.exit(any(problems))


if __name__ == "__main__":
    main()
