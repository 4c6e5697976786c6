"""What the notebooks share: start the course's servers, talk to them, and draw what is seen.

A server runs as a process of its own, never inside the notebook's kernel. It ends with the
`with` block that it was started in. If the kernel ends first, however it ends, the watcher in
tests/watcher.py notices, and ends the server.
"""

import contextlib
import shutil
import sys
import tempfile
import time
from pathlib import Path

import matplotlib.pyplot as plt
import psutil

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from course import read_mistakes, unified_diff  # noqa: E402
from harness import (  # noqa: E402, F401
    Server,
    ask,
    connect,
    exchange,
    get,
    parse_reply,
    post,
    receive_all,
    wait_until,
)

SCRIPT_SECONDS = 30  # a script that takes longer is ended


def start(step, *arguments, port=0, **options):
    """Start server.py of a step, or of a folder, and return the running Server.

    Use it as `with start("step03_wsgi", "flask_app:app") as server:`. Port 0 is any free port.
    """
    command = [sys.executable, str(ROOT / step / "server.py"), *arguments, "--port", str(port)]
    return Server(command, **options)


@contextlib.contextmanager
def broken(step, name):
    """Give a folder with a copy of a step that has a named mistake; print what is wrong in it."""
    [mistake] = [m for m in read_mistakes() if m.step == step and m.name == name]
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / step
        shutil.copytree(ROOT / step, copy)
        right = (copy / mistake.file).read_text("utf-8")
        (copy / mistake.file).write_text(mistake.apply(right), "utf-8")
        print_diff(right, mistake.apply(right), mistake.file, f"{mistake.file}, broken")
        yield copy


def show_step(before, step, file="server.py"):
    """Print the diff of a file between two steps, from the files as they are now."""
    old, new = ((ROOT / folder / file).read_text("utf-8") for folder in (before, step))
    print_diff(old, new, f"{before}/{file}", f"{step}/{file}")


def print_diff(old, new, old_name, new_name):
    """Print the unified diff of two texts."""
    print(unified_diff(old, new, old_name, new_name))


def show_bytes(data):
    """Print bytes line by line, with each CR and LF to be seen."""
    for line in data.splitlines(keepends=True):
        print(repr(line)[1:])


def run_script(source, *arguments):
    """Run a Python script as a process of its own; print what it prints, return its status.

    A script may fork, a notebook's kernel must not: it has threads.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "script.py"
        path.write_text(source, "utf-8")
        command = [sys.executable, str(path), *arguments]
        with Server(command, cwd=folder, first_line=False) as script:
            status = script.wait(SCRIPT_SECONDS)
            print("\n".join([*script.output("stdout"), *script.output("stderr")]))
    return status


def processes(server):
    """Return the server's process and its children as (PID, parent, state), parent first."""
    found = []
    parent = psutil.Process(server.pid)
    for process in [parent, *parent.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):  # it has ended since
            found.append((process.pid, process.ppid(), process.status()))
    return found


def zombies(server):
    """Return how many zombies the server has for children."""
    return sum(state == psutil.STATUS_ZOMBIE for _, _, state in processes(server))


def stopwatch():
    """Return a function that tells the seconds since now."""
    began = time.monotonic()
    return lambda: time.monotonic() - began


def timeline(title, spans):
    """Draw one bar for each (name, begin, end) in seconds: what happened when."""
    _, axes = plt.subplots(figsize=(8, 0.4 * len(spans) + 1.2))
    for row, (name, begin, end) in enumerate(spans):
        axes.barh(row, end - begin, left=begin, height=0.6, color="0.45", edgecolor="black")
        axes.text(begin, row, f" {name}", va="center", color="white", fontweight="bold")
    axes.set(title=title, xlabel="seconds", yticks=[])
    axes.invert_yaxis()
    plt.show()
