"""The notebooks leave no server behind, open in a browser, and let the learner do the work.

That they show what is stored in them is checked by "make notebooks".
"""

import ast
import itertools
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys

import jupyter_client
import nbformat
import pytest
from playwright.sync_api import sync_playwright

from course import notebooks
from course.browser import ARGUMENTS, CHROMIUM, needs_chromium
from course.language import COLUMNS
from course.notebooks import experiments
from notebooks import drawings
from tests.harness import ROOT, Server, is_at_work, wait_until

NOTEBOOKS = ROOT / "notebooks"
CHECK_SECONDS = 100
START = "from lab import start\nserver = start('step04_fork')\nprint(server.pid)"

PATHS = sorted(NOTEBOOKS.glob("0*.ipynb"))
BOOKS = {path.stem: nbformat.read(path, as_version=4) for path in PATHS}
# 00 says how to use the others: it has nothing to solve.
WITH_TASKS = [name for name in BOOKS if name[:2] != "00"]
A_SOLUTION = re.compile(r"<summary>Solution</summary>\s+```python\n(.*?)```", re.DOTALL)

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="step 4 needs os.fork")


def exercises():
    """Return the exercises of all notebooks: parameters, each a code cell and the one after it."""
    found = []
    for name in WITH_TASKS:
        cells = BOOKS[name].cells
        for cell, following in itertools.pairwise(cells):
            if re.search(r"^check\(", cell.source, re.MULTILINE):
                found.append(pytest.param(cell, following, id=f"{name}: {cell.id}"))
    return found


def with_function(cell, function):
    """Return the code of a cell in which a function, its source, takes the place of its own."""
    [definition] = [
        node for node in ast.parse(cell.source).body if isinstance(node, ast.FunctionDef)
    ]
    lines = cell.source.splitlines()
    lines[definition.lineno - 1 : definition.end_lineno] = function.splitlines()
    return "\n".join(lines)


def run_cell(source, folder):
    """Run the code of an exercise as a script, and return what it prints."""
    script = folder / "cell.py"
    script.write_text(f"from lab import check\n\n{source}\n", "utf-8")
    path = {"PYTHONPATH": str(NOTEBOOKS)}
    with Server([sys.executable, str(script)], environment=path, first_line=False) as process:
        assert process.wait(CHECK_SECONDS) == 0, process.report()
        return "\n".join(process.output())


@pytest.mark.parametrize("cell, following", exercises())
def test_the_solution_of_an_exercise_passes(cell, following, tmp_path):
    solution = A_SOLUTION.search(following.source)
    assert solution, "The cell after an exercise folds its hints and its solution."
    assert "<summary>Hint" in following.source
    printed = run_cell(with_function(cell, solution[1]), tmp_path)
    assert printed.startswith("ok: with your "), printed
    assert max(map(len, printed.splitlines())) <= COLUMNS, "JupyterLab would cut a word."


@pytest.mark.parametrize("cell, following", exercises())
def test_a_wrong_solution_of_an_exercise_sees_its_message(cell, following, tmp_path):
    head = A_SOLUTION.search(following.source)[1].partition("\n")[0]
    printed = run_cell(with_function(cell, f"{head}\n    return None"), tmp_path)
    assert re.match("not yet: with your .* this test of step . fails first:", printed), printed
    assert "    Read: step" in printed


@pytest.mark.parametrize("cell, following", exercises())
def test_an_unsolved_exercise_says_so_and_raises_nothing(cell, following):
    [output] = cell.outputs
    assert output.text.startswith("not yet: write the body of ")


@pytest.mark.parametrize("name", WITH_TASKS)
def test_a_notebook_lets_the_learner_do_the_work(name):
    code = [cell.source for cell in BOOKS[name].cells if cell.cell_type == "code"]
    text = [cell.source for cell in BOOKS[name].cells if cell.cell_type == "markdown"]
    checks = [source for source in code if re.search(r"^check\(", source, re.MULTILINE)]
    assert 2 <= len(checks) <= 3, "exercises"
    asked = [source for source in code if re.search(r"^PREDICTION = None  # .", source, re.M)]
    assert 4 <= len(asked) <= 8, "predictions"
    for experiment in experiments(BOOKS[name].cells):
        source = "\n".join(cell.source for cell in experiment)
        assert ("PREDICTION = None" in source) == ("compare(PREDICTION, " in source), source
        is_knob = "  # the knob: change this and run again" in source
        assert is_knob == ("\n**Turn the knob.** " in f"\n{source}"), source
    assert sum("**Turn the knob.** " in source for source in text) >= 3, "knobs"


@pytest.mark.parametrize("name", BOOKS)
def test_each_cell_has_a_name_that_stays(name):
    cells = BOOKS[name].cells
    names = [cell.id for cell in cells]
    assert len({*names}) == len(names)
    assert not [each for each in names if re.fullmatch(r"(cell-)?\d+", each)], "a position"
    assert not [cell.id for cell in cells if cell.metadata.keys() - {"drawn_by"}]


def test_a_file_that_a_cell_writes_is_in_the_common_style(tmp_path):
    """Ruff checks the cells itself, but for those that begin with %%writefile."""
    for name, book in BOOKS.items():
        for cell in book.cells:
            magic, _, body = cell.source.partition("\n")
            if magic.startswith("%%writefile ") and magic.endswith(".py"):
                (tmp_path / f"{name} {cell.id}.py").write_text(f"{body}\n", "utf-8")
    assert [*tmp_path.iterdir()]
    applications = 'lint.pyflakes.allowed-unused-imports=["app", "flask_app"]'
    mistakes = ["--ignore", "B018"]  # 1 / 0
    for words in (["check", "--config", applications, *mistakes], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *words, "--config", ROOT / "pyproject.toml"]
        done = subprocess.run([*command, tmp_path], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", WITH_TASKS)
def test_each_picture_has_its_alternative_text(name):
    for cell in BOOKS[name].cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                assert len(output.metadata["image/png"]["alt"]) > 30, cell.id
        if cell.cell_type == "markdown":
            for words, file in re.findall(r"!\[(.*?)\]\((.*?)\)", cell.source, re.DOTALL):
                assert len(words) > 30, f"{cell.id}: {file}"
                assert (NOTEBOOKS / file).is_file(), f"{cell.id}: {file}"


def test_a_diff_is_stored_without_the_colors_of_jupyterlab(tmp_path):
    show = "show_diff('old', 'new', 'a', 'b')"
    path = a_notebook(tmp_path, "from lab import show_diff", "## One", show)
    _, fresh, _ = notebooks.run(path)
    [output] = fresh.cells[-1].outputs
    assert output.data.keys() == {"text/markdown", "text/plain"}
    assert output.data["text/markdown"].startswith("```diff\n--- a\n+++ b\n")


def test_the_drawings_are_those_that_the_script_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(drawings, "FOLDER", tmp_path)
    drawings.main()
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    stored = {path.name: path.read_bytes() for path in (NOTEBOOKS / "drawings").iterdir()}
    assert written == stored, "Write them again: python -m notebooks.drawings"


def test_the_words_of_a_chinese_drawing_are_chinese():
    words = {
        text
        for path in (NOTEBOOKS / "drawings").glob("*.zh-CN.svg")
        for text in re.findall(r">([^<>]*[a-z][^<>]*)</t", path.read_text("utf-8"))
    }
    assert {text for text in words if text.isascii()} == {"accept", "shell", "sys.exit(3)"}


def a_notebook(tmp_path, *sources):
    """Return the path of a notebook with these cells; those that begin with # are text."""
    cells = [
        (nbformat.v4.new_markdown_cell if source[0] == "#" else nbformat.v4.new_code_cell)(source)
        for source in sources
    ]
    path = tmp_path / "a.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def test_an_experiment_runs_without_what_another_one_has_made(tmp_path):
    first = "from lab import scratch\nname = 1"
    makes = "other = 2\nname = 3\n(scratch / 'file').touch()"
    looks = "print('other' in globals(), name, [*scratch.iterdir()])"
    path = a_notebook(tmp_path, "# Title", first, "## One", makes, "## Two", looks)
    _, fresh, error = notebooks.run(path)
    assert not error
    assert fresh.cells[-1].outputs[0].text == "False 1 []\n"
    assert [cell.source for cell in fresh.cells][1] == first


def test_a_notebook_is_stored_in_english_wherever_it_is_run(tmp_path, monkeypatch):
    monkeypatch.setenv("LANGUAGE", "zh")
    path = a_notebook(tmp_path, "from lab import compare", "## One", "compare(2, 3)")
    _, fresh, _ = notebooks.run(path)
    assert fresh.cells[-1].outputs[0].text == "You predicted 2, but it was 3.\n"


def test_a_notebook_speaks_chinese_in_a_chinese_locale():
    code = "from lab import compare; compare(3, 3, 's')"
    chinese = os.environ | {"LANGUAGE": "zh", "PYTHONUTF8": "1"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=NOTEBOOKS, env=chinese, capture_output=True, check=True)
    assert done.stdout.decode() == "你猜的是 3，结果正是 3 秒：猜对了。\n"


def test_a_prediction_is_compared_with_what_came():
    said = {
        "None, 7": "It was 7.",
        "7, 7": "You predicted 7, and it was 7: right.",
        "'7', 7": "You predicted 7, and it was 7: right.",
        "'At once', 'at once'": "You predicted At once, and it was at once: right.",
        "8, 7": "You predicted 8, but it was 7.",
        "0.9, 0.8": "You predicted 0.9, and it was 0.8: close.",
        "0.4, 0.0": "You predicted 0.4, but it was 0.0.",
        "'soon', 0.8": "You predicted soon, but it was 0.8.",
    }
    code = "\n".join(["from lab import compare", *(f"compare({pair})" for pair in said)])
    command = [sys.executable, "-c", code]
    english = os.environ | {"LANGUAGE": "en"}
    assert subprocess.check_output(command, cwd=NOTEBOOKS, env=english, text=True).splitlines() == [
        *said.values()
    ]


def test_each_unit_of_a_prediction_can_be_translated():
    code = "\n".join(cell.source for book in BOOKS.values() for cell in book.cells)
    units = set(re.findall(r'^ *compare\(PREDICTION, .+, "([^"]+)"\)', code, re.MULTILINE))
    source = (NOTEBOOKS / "lab.py").read_text("utf-8")
    known = re.findall(r'^    "(.+)": _\("\1"\),$', source, re.MULTILINE)
    assert units - {"MiB"} == {*known}


def test_a_notebook_that_is_not_there_is_a_mistake_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["notebooks", "notebooks/03"])
    with pytest.raises(SystemExit):
        notebooks.main()
    assert capsys.readouterr().err.endswith(": error: there is no notebook notebooks/03\n")


def test_a_kernel_that_dies_is_a_failure_with_the_name_of_its_cell(tmp_path):
    path = a_notebook(tmp_path, "import os", "## One", "os._exit(1)")
    _, fresh, error = notebooks.run(path)
    assert error.startswith(f"cell {fresh.cells[-1].id}:")


def test_only_an_experiment_that_shows_something_else_is_stored(tmp_path, capsys):
    path = a_notebook(tmp_path, "import time", "## One", "print(time.time(), 's')", "## Two", "2")
    assert "shows something else" in notebooks.check(path, write=False)
    assert notebooks.check(path, write=True) is None
    before = path.read_bytes()
    assert notebooks.check(path, write=True) is None
    assert path.read_bytes() == before, "A run changed bytes without cause."
    book = nbformat.read(path, as_version=4)
    kept, book.cells[-1].source = book.cells[2].outputs, "3"
    nbformat.write(book, path)
    assert f"cell {book.cells[-1].id}:" in notebooks.check(path, write=False)
    assert notebooks.check(path, write=True) is None
    book = nbformat.read(path, as_version=4)
    assert book.cells[2].outputs == kept
    assert book.cells[-1].outputs[0].data["text/plain"] == "3"


def test_a_picture_is_drawn_again_when_its_code_has_changed(tmp_path):
    title = "title = '{}'"  # in a cell before the one that draws
    draw = "plot_lines(title, 'x', 'y', {'': ([1, 2], [1, 2])}, 'A line that climbs.')"
    cells = ["from lab import plot_lines", "## One", title.format("Right"), draw]
    path = a_notebook(tmp_path, *cells)
    assert notebooks.check(path, write=True) is None
    assert notebooks.check(path, write=False) is None
    book = nbformat.read(path, as_version=4)
    before, book.cells[-2].source = book.cells[-1].outputs, title.format("Bananas")
    nbformat.write(book, path)
    assert "(a picture, drawn by " in notebooks.check(path, write=False)
    assert notebooks.check(path, write=True) is None
    assert nbformat.read(path, as_version=4).cells[-1].outputs != before


def test_what_an_editor_has_stored_can_be_dropped(tmp_path):
    path = a_notebook(tmp_path, "print(1)")
    assert notebooks.check(path, write=True) is None
    before = path.read_bytes()
    book = nbformat.read(path, as_version=4)
    book.cells[0].execution_count = 7
    book.cells[0].metadata = {"execution": {}, "slideshow": {}}
    book.metadata.language_info["version"] = "3.99"
    nbformat.write(book, path)
    notebooks.store(nbformat.read(path, as_version=4), path)
    assert path.read_bytes() == before


def execute(client, source):
    """Run source in a kernel, and return what it printed."""
    printed = []

    def collect(message):
        if message["msg_type"] == "stream":
            printed.append(message["content"]["text"])

    reply = client.execute_interactive(source, timeout=60, output_hook=collect)
    assert reply["content"]["status"] == "ok", reply["content"]
    return "".join(printed)


def kill(manager):
    manager.signal_kernel(signal.SIGKILL)


def shut_down(manager):
    manager.shutdown_kernel(now=False)


def restart(manager):
    manager.restart_kernel(now=False)


@pytest.mark.parametrize("end", [kill, shut_down, restart])
def test_a_server_ends_with_the_kernel_that_started_it(end):
    manager, client = jupyter_client.manager.start_new_kernel(cwd=NOTEBOOKS)
    try:
        pid = int(execute(client, START))
        assert is_at_work(pid)
        end(manager)
        wait_until(lambda: not is_at_work(pid), f"The server {pid} outlived its kernel: {end}.")
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_a_server_in_a_with_block_ends_when_the_cell_is_interrupted(tmp_path):
    began = tmp_path / "began"
    source = (
        "from lab import start\nimport time\nfrom pathlib import Path\n"
        "with start('step04_fork') as server:\n"
        f"    Path({str(began)!r}).write_text(str(server.pid))\n"
        "    time.sleep(60)"
    )
    manager, client = jupyter_client.manager.start_new_kernel(cwd=NOTEBOOKS)
    try:
        client.execute(source)
        wait_until(lambda: began.exists() and began.read_text(), "The cell did not begin.", 30)
        pid = int(began.read_text())
        assert is_at_work(pid)
        manager.interrupt_kernel()
        wait_until(lambda: not is_at_work(pid), f"The server {pid} outlived its cell.")
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def run_all(page):
    """Choose "Run All Cells" in the menu; return whether the kernel begins to work."""
    page.locator(".jp-Notebook .jp-Cell").first.click()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.locator(".lm-Menu-item", has_text=re.compile("^Run All Cells")).click()
    busy = page.locator(".jp-Notebook-ExecutionIndicator[data-status=busy]")
    try:
        busy.wait_for(timeout=5000)
    except Exception as error:  # too early: the notebook was not ready
        assert "Timeout" in str(error), error
        return False
    return True


def run_cells(page, notebook, answered):
    """Save the notebook; return its code cells if all of them have run, else None.

    answered: a list of dialogs. After one there may be another kernel, so all is run again.
    """
    page.locator(".jp-Notebook .jp-Cell").first.click()  # before it a dialog is answered
    if answered:
        answered.clear()
        run_all(page)
    page.keyboard.press("Control+s")
    page.wait_for_timeout(1000)
    try:
        cells = json.loads(notebook.read_text("utf-8"))["cells"]
    except ValueError:  # half saved
        return None
    cells = [cell for cell in cells if cell["cell_type"] == "code"]
    return cells if all(cell["execution_count"] for cell in cells) else None


def what_holds_up(page, notebook):
    """Return the errors of the saved cells, which cells have not run, and what a dialog says."""
    cells = nbformat.read(notebook, as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    errors = [out.evalue for cell in code for out in cell.outputs if out.output_type == "error"]
    left = [cell.id for cell in code if not cell.execution_count]
    dialogs = page.locator(".jp-Dialog").all_inner_texts()
    return f"Not every cell has run. Errors: {errors}. Left: {left}. Dialogs: {dialogs}."


@pytest.fixture
def course(tmp_path):
    """A copy of the course, where working copies of the notebooks do no harm."""
    ignore = shutil.ignore_patterns(".*", "mine*")
    return shutil.copytree(ROOT, tmp_path / "the course", ignore=ignore)


def lab(course, *options, language="en"):
    """Run a line of Python in the copy of the course, where course.lab is imported."""
    command = [sys.executable, "-c", "from course import lab; " + "; ".join(options)]
    environment = os.environ | {"LANGUAGE": language, "PYTHONUTF8": "1"}
    return subprocess.run(
        command, cwd=course, env=environment, capture_output=True, text=True, check=True
    ).stdout


def test_working_copies_have_no_outputs_and_are_never_overwritten(course):
    assert lab(course, "print(lab.make_copies())") == "7\n"
    copy = course / "mine-notebooks" / "04_fork.ipynb"
    book = nbformat.read(copy, as_version=4)
    assert not any(cell.get("outputs") for cell in book.cells)
    stored = BOOKS[copy.stem].cells
    assert [cell.source for cell in book.cells if cell.cell_type == "code"] == [
        cell.source for cell in stored if cell.cell_type == "code"
    ]
    text = "\n".join(cell.source for cell in book.cells if cell.cell_type == "markdown")
    links = re.findall(r"\]\(([^)#]+)", text)
    assert "../notebooks/drawings/fork_descriptors.svg" in links
    for link in links:
        assert link.startswith("http") or (copy.parent / link).exists(), link
    copy.write_text("work")
    (course / "mine-notebooks" / "05_zombies.ipynb").unlink()
    assert lab(course, "print(lab.make_copies())") == "1\n"
    assert copy.read_text() == "work"


def test_with_a_chinese_locale_working_copies_are_chinese_where_there_is_any(course):
    pages = [course / "notebooks" / f"{name}.zh-CN.md" for name in BOOKS]
    pages[-1].unlink(missing_ok=True)  # such a notebook stays English
    assert pages[0].exists() and not pages[-1].exists()
    lab(course, "lab.make_copies()", language="zh")
    for page, stored in zip(pages, BOOKS.values(), strict=True):
        copy = course / "mine-notebooks" / page.name.replace(".zh-CN.md", ".ipynb")
        cells = nbformat.read(copy, as_version=4).cells
        assert [cell.id for cell in cells] == [cell.id for cell in stored.cells]
        for cell, english in zip(cells, stored.cells, strict=True):
            if cell.cell_type == "code":
                assert cell.source == english.source
                continue
            is_chinese = re.search(r"[\u4e00-\u9fff]", cell.source.replace("中文版", ""))
            assert bool(is_chinese) == page.exists(), f"{copy.name}: {cell.id}"
            for link in re.findall(r"\]\(([^)#]+)", cell.source if page.exists() else ""):
                assert link.startswith("http") or (copy.parent / link).exists(), link
                assert "notebooks/0" not in link, f"{link} leads away from the working copies."


def test_fresh_copies_leave_the_work_of_before(course):
    for number in (1, 2):
        lab(course, "lab.make_copies()")
        copy = course / "mine-notebooks" / "04_fork.ipynb"
        copy.write_text(f"work {number}")
        kept = lab(course, "lab.put_aside(lab.WORKING)").split("now in ")[1].split("/")[0]
        assert (course / kept / copy.name).read_text() == f"work {number}"
        assert not copy.exists()


def test_git_ignores_the_working_copies():
    for name in ("mine-notebooks", "mine-notebooks-2026-01-01-1"):
        command = ["git", "check-ignore", "--quiet", f"{name}/04_fork.ipynb"]
        assert subprocess.run(command, cwd=ROOT).returncode == 0, name


@needs_chromium
def test_a_notebook_runs_in_jupyterlab_and_shows_its_pictures(course, tmp_path):
    notebook = course / "mine-notebooks" / "01_echo_socket.ipynb"
    token = secrets.token_hex()
    command = [sys.executable, "-m", "course.lab", "--no-browser", "--ServerApp.port=0"]
    command += [f"--IdentityProvider.token={token}"]
    homes = {name: str(tmp_path / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR")}
    with (
        Server(command, cwd=course, environment=homes, first_line=False) as lab,
        sync_playwright() as tool,
    ):
        found = wait_until(
            lambda: re.search(r"(http://127\.0\.0\.1:\d+)/lab", "\n".join(lab.output("stderr"))),
            lambda: f"JupyterLab did not start.\n{lab.report()}",
            60,
        )
        url = found[1]
        browser = tool.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page()
        answered = []  # of "Select Kernel", which comes at any moment, or never
        page.add_locator_handler(
            page.locator(".jp-Dialog .jp-mod-accept"),
            lambda button: answered.append(button.click()),
        )
        kernel = {"path": "mine-notebooks/01_echo_socket.ipynb", "type": "notebook", "name": ""}
        kernel |= {"kernel": {"name": "python3"}}  # it runs already, so mostly nobody is asked
        assert page.request.post(f"{url}/api/sessions?token={token}", data=kernel).status == 201
        page.goto(f"{url}/lab/tree/mine-notebooks/01_echo_socket.ipynb?token={token}")
        page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for(timeout=60_000)
        wait_until(lambda: run_all(page), "JupyterLab did not begin to run the notebook.", 60)
        cells = wait_until(
            lambda: run_cells(page, notebook, answered), lambda: what_holds_up(page, notebook), 180
        )
        picture = page.locator(".jp-RenderedImage img").first
        picture.wait_for(state="attached")
        assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
        assert not page.get_by_text("official Jupyter news").count(), "A pop-up asks the class."
        browser.close()
    outputs = [output for cell in cells for output in cell["outputs"]]
    errors = [output for output in outputs if output["output_type"] == "error"]
    assert not errors, errors
    assert any("image/png" in output.get("data", {}) for output in outputs), "There is no picture."
