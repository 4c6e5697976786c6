"""The notebooks leave no server behind, open in a browser, and let the learner do the work.

That they show what is stored in them is checked by "make notebooks".
"""

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

from course.browser import ARGUMENTS, CHROMIUM, needs_chromium
from tests.harness import ROOT, Server, is_at_work, wait_until

NOTEBOOKS = ROOT / "notebooks"
START = "from lab import start\nserver = start('step04_fork')\nprint(server.pid)"

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="step 4 needs os.fork")


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
    if (dialog := page.locator(".jp-Dialog .jp-mod-accept")).count():  # "Select Kernel"
        dialog.click()
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


def run_cells(page, notebook):
    """Save the notebook; return its code cells if all of them have run, else None."""
    page.keyboard.press("Control+s")
    page.wait_for_timeout(1000)
    try:
        cells = json.loads(notebook.read_text("utf-8"))["cells"]
    except ValueError:  # half saved
        return None
    cells = [cell for cell in cells if cell["cell_type"] == "code"]
    return cells if all(cell["execution_count"] for cell in cells) else None


@pytest.fixture
def course(tmp_path):
    """A copy of the course, where working copies of the notebooks do no harm."""
    ignore = shutil.ignore_patterns(".*", "mine*")
    return shutil.copytree(ROOT, tmp_path / "the course", ignore=ignore)


def lab(course, *options):
    """Run a line of Python in the copy of the course, where course.lab is imported."""
    command = [sys.executable, "-c", "from course import lab; " + "; ".join(options)]
    return subprocess.run(command, cwd=course, capture_output=True, text=True, check=True).stdout


def test_working_copies_have_no_outputs_and_are_never_overwritten(course):
    assert lab(course, "print(lab.make_copies())") == "7\n"
    copy = course / "mine-notebooks" / "04_fork.ipynb"
    book = nbformat.read(copy, as_version=4)
    assert not any(cell.get("outputs") for cell in book.cells)
    assert [cell.source for cell in book.cells] == [
        cell.source for cell in nbformat.read(NOTEBOOKS / copy.name, as_version=4).cells
    ]
    copy.write_text("work")
    (course / "mine-notebooks" / "05_zombies.ipynb").unlink()
    assert lab(course, "print(lab.make_copies())") == "1\n"
    assert copy.read_text() == "work"


def test_fresh_copies_leave_the_work_of_before(course):
    for number in (1, 2):
        lab(course, "lab.make_copies()")
        copy = course / "mine-notebooks" / "04_fork.ipynb"
        copy.write_text(f"work {number}")
        kept = lab(course, "lab.put_aside()").split("now in ")[1].split("/")[0]
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
        line = lab.wait_for_line(r"http://127\.0\.0\.1:\d+/lab", "stderr")
        url = "http://127.0.0.1:" + line.rpartition("127.0.0.1:")[2].split("/")[0]
        browser = tool.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page()
        page.goto(f"{url}/lab/tree/mine-notebooks/01_echo_socket.ipynb?token={token}")
        page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for(timeout=60_000)
        wait_until(lambda: run_all(page), "JupyterLab did not begin to run the notebook.", 60)
        cells = wait_until(lambda: run_cells(page, notebook), "Not every cell has run.", 60)
        picture = page.locator(".jp-RenderedImage img").first
        picture.wait_for(state="attached")
        assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
        assert not page.get_by_text("official Jupyter news").count(), "A pop-up asks the class."
        browser.close()
    outputs = [output for cell in cells for output in cell["outputs"]]
    errors = [output for output in outputs if output["output_type"] == "error"]
    assert not errors, errors
    assert any("image/png" in output.get("data", {}) for output in outputs), "There is no picture."
