"""What the notebooks share: start the course's servers, talk to them, and draw what is seen.

A server runs as a process of its own, never inside the notebook's kernel. It ends with the
`with` block that it was started in. If the kernel ends first, however it ends, the watcher in
tests/watcher.py notices, and ends the server.
"""

import ast
import contextlib
import functools
import html
import os
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

import matplotlib.pyplot as plt
import psutil

# A notebook runs in its own folder, whoever starts its kernel: JupyterLab, an editor, a check.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from course.copies import broken as broken
from course.copies import changed as changed
from course.facts import unified_diff
from tests import harness
from tests.harness import ROOT, Server
from tests.harness import connect as connect
from tests.harness import exchange as exchange
from tests.harness import parse_reply as parse_reply
from tests.harness import post as post
from tests.harness import receive_all as receive_all
from tests.harness import receive_to_end as receive_to_end
from tests.harness import wait_until as wait_until

# They read to the end of the stream: when it comes, the server has logged all about this client.
ask = functools.partial(harness.ask, to_end=True)
get = functools.partial(harness.get, to_end=True)
read_reply = functools.partial(harness.read_reply, to_end=True)

harness.IDLE = harness.PATIENCE  # here an application may sleep: that is no reason to give up

os.environ["PYTHON_COLORS"] = "0"  # Jupyter asks all programs for colours: not in our outputs
SCRIPT_SECONDS = 30  # a script that takes longer is ended


def start(step, *arguments, port=0, **options):
    """Start server.py of a step, or of a folder, and return the running Server.

    Use it as `with start("step03_wsgi", "flask_app:app") as server:`. Port 0 is any free port.
    """
    command = [sys.executable, str(ROOT / step / "server.py"), *arguments, "--port", str(port)]
    return Server(command, **options)


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


def start_other(command, pattern, stream, **options):
    """Start a server that is not ours; find its port in the line of that stream that fits.

    pattern: a regular expression with one group, the port; stream: "stdout" or "stderr".
    """
    server = Server(command, first_line=False, **options)
    try:
        port = re.search(pattern, server.wait_for_line(pattern, stream))[1]
    except BaseException:
        server.kill()
        raise
    server.address = "127.0.0.1", int(port)
    return server


def print_table(headings, rows):
    """Print rows of text in columns, under their headings."""
    rows = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    for row in [headings, ["-" * width for width in widths], *rows]:
        print("  ".join(map(str.ljust, row, widths)).rstrip())


def plot_lines(title, x_label, y_label, lines, steps=False):
    """Draw a line for each name in lines, a dict: its value is a pair, the x and the y values.

    steps: between two points the line stays level, then jumps.
    """
    _, axes = plt.subplots(figsize=(8, 3.5))
    styles = [("black", "-", "o"), ("0.35", "--", "s"), ("0.6", ":", "^")]
    options = {"markersize": 5, "drawstyle": "steps-post" if steps else "default"}
    for (name, (x, y)), (color, style, marker) in zip(lines.items(), styles, strict=False):
        axes.plot(x, y, color=color, linestyle=style, marker=marker, label=name, **options)
    axes.set(title=title, xlabel=x_label, ylabel=y_label, ylim=(0, None))
    axes.legend()
    plt.show()


def show_function(step, name, file="server.py"):
    """Print the source of a function, from the file as it is now."""
    text = (ROOT / step / file).read_text("utf-8")
    [function] = [node for node in ast.walk(ast.parse(text)) if getattr(node, "name", "") == name]
    print("\n".join(text.splitlines()[function.lineno - 1 : function.end_lineno]))


def connections(port):
    """Return the kernel's TCP sockets with a port, as (local, remote, state); its owner's first."""
    found = []
    for entry in psutil.net_connections("tcp4"):
        if port in [end.port for end in (entry.laddr, entry.raddr) if end]:
            ends = [f"{end.ip}:{end.port}" if end else "-" for end in (entry.laddr, entry.raddr)]
            found.append((*ends, entry.status))
    return sorted(found, key=lambda row: (row[1] != "-", not row[0].endswith(f":{port}"), row))


def waiting_line(title, visits):
    """Draw for each (name, connected, served, ended), in seconds, how long a client waited."""
    _, axes = plt.subplots(figsize=(8, 0.5 * len(visits) + 1.3))
    for row, (_, connected, served, ended) in enumerate(visits):
        axes.barh(row, served - connected, left=connected, color="white", edgecolor="black")
        axes.barh(row, ended - served, left=served, color="0.6", edgecolor="black", hatch="//")
    axes.set(title=title, xlabel="seconds", xlim=(0, None))
    axes.set_yticks(range(len(visits)), [name for name, *_ in visits])
    axes.legend(["waits", "is served"], loc="upper left", bbox_to_anchor=(1, 1))
    axes.invert_yaxis()
    plt.show()


def read_in_browser(url):
    """Return a text page as a headless browser shows it, or None if there is no browser."""
    names = ("chromium", "chromium-browser", "google-chrome")
    browser = next(filter(None, map(shutil.which, names)), None)
    if browser is None:
        return None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = ["--headless", "--disable-gpu", "--no-first-run", f"--user-data-dir={profile}"]
        if hasattr(os, "geteuid") and os.geteuid() == 0:  # Chromium's sandbox is not for root
            options.append("--no-sandbox")
        with Server([browser, *options, "--dump-dom", url], first_line=False) as process:
            process.wait(SCRIPT_SECONDS)
            page = "\n".join(process.output())
    return html.unescape(re.sub(r"<[^>]+>", "", page))
