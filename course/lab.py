"""Open the notebooks in JupyterLab, as working copies without outputs (make lab).

    python -m course.lab [--fresh] [OPTION OF JUPYTERLAB ...]

The copies are in mine-notebooks/, which git ignores, and where each prediction is a real one. Where
make check speaks Chinese, as with LANGUAGE=zh, their text is Chinese, too, as far as there is any.
What is there stays as it is. With --fresh they are made anew, and those of before get a dated name.
"""

import argparse
import json
import os
import re
from pathlib import Path

from course.chinese import translate
from course.copies import put_aside
from course.language import LANGUAGE, _
from tests.harness import ROOT

STORED = ROOT / "notebooks"
WORKING = ROOT / "mine-notebooks"  # beside the others: their links lead to the same files
BESIDE = re.compile(r"\]\((?!\.\./|https?:|#|[\w-]+\.ipynb)")
SETTINGS = Path(__file__).with_name("jupyter")  # no news, and pages are shown, not their source


def make_copies():
    """Copy the notebooks that are not there yet, without their outputs; return how many."""
    WORKING.mkdir(exist_ok=True)
    missing = [
        path for path in sorted(STORED.glob("*.ipynb")) if not (WORKING / path.name).exists()
    ]
    for path in missing:
        (WORKING / path.name).write_text(without_outputs(path), "utf-8")
    return len(missing)


def without_outputs(path):
    """Return the text of a notebook's file without what its cells have shown, in one's language.

    What it links to beside it, except for other notebooks, stays where it is.
    """
    book = json.loads(path.read_text("utf-8"))
    if LANGUAGE == "zh":
        translate(book, path)
    for cell in book["cells"]:
        cell["metadata"] = {}
        if cell["cell_type"] == "markdown":
            cell["source"] = [BESIDE.sub(f"](../{STORED.name}/", line) for line in cell["source"]]
        if cell["cell_type"] == "code":
            cell["outputs"] = []
    return json.dumps(book, ensure_ascii=False, indent=1) + "\n"


def open_lab(options):
    """Run JupyterLab in this process, with the working copies before the learner."""
    for name, path in {"PYTHONPATH": STORED, "JUPYTER_CONFIG_PATH": SETTINGS}.items():
        before = os.environ.get(name)  # kernels find lab.py, and JupyterLab finds our settings
        os.environ[name] = os.pathsep.join(filter(None, [str(path), before]))
    from jupyterlab.labapp import LabApp  # which reads these settings, and --help does not need

    os.chdir(ROOT)
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options = ["--allow-root", *options]
    page = f"/lab/tree/{WORKING.name}/00_start_here.ipynb"
    LabApp.launch_instance([f"--notebook-dir={ROOT}", f"--LabApp.default_url={page}", *options])


def main():
    """Make the copies, and open them."""
    text = _("Open the notebooks in JupyterLab, as working copies without outputs.")
    parser = argparse.ArgumentParser(description=text)
    parser.add_argument("--fresh", action="store_true", help=_("begin all notebooks anew"))
    arguments, options = parser.parse_known_args()
    if arguments.fresh:
        put_aside(WORKING)
    if number := make_copies():
        text = _("{folder}/ has {number} new notebooks, without outputs: they are yours.")
        print(text.format(folder=WORKING.name, number=number))
    open_lab(options)


if __name__ == "__main__":
    main()
