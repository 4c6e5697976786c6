"""What the notebooks share: start the course's servers, talk to them, and show what is seen.

A server runs as a process of its own, never inside the notebook's kernel. It ends with the
`with` block that it was started in. If the kernel ends first, however it ends, the watcher in
tests/watcher.py notices, and ends the server.
"""

import ast
import atexit
import contextlib
import functools
import html
import inspect
import os
import re
import shlex
import shutil
import socket
import struct
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import psutil
from IPython import get_ipython
from IPython.display import display

# A notebook runs in its own folder, whoever starts its kernel: JupyterLab, an editor, a check.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pictures import OTHER as OTHER
from pictures import PART as PART
from pictures import SERVED as SERVED
from pictures import WAITS as WAITS
from pictures import ZOMBIE as ZOMBIE
from pictures import plot_bars as plot_bars
from pictures import plot_lines as plot_lines
from pictures import plot_pieces as plot_pieces
from pictures import plot_spans as plot_spans
from pictures import waiting_line as waiting_line

from course import copies
from course.facts import function_of, read_mistakes, unified_diff
from course.language import _
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
CHECK_SECONDS = 150  # and so are the tests of an exercise

_folder = tempfile.TemporaryDirectory()
atexit.register(_folder.cleanup)
scratch = Path(_folder.name)  # for the files of an experiment: it goes with the kernel
_last_output = ""


def empty_scratch():
    """Remove all files in the scratch folder."""
    for path in scratch.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def start(step, *arguments, port=0, **options):
    """Start server.py of a step, or of a folder, and return the running Server.

    Use it as `with start("step03_wsgi", "flask_app:app") as server:`. Port 0 is any free port.
    """
    command = [sys.executable, str(ROOT / step / "server.py"), *arguments, "--port", str(port)]
    return Server(command, **options)


UNITS = {  # of what is predicted
    "(by chance)": _("(by chance)"),
    "bytes": _("bytes"),
    "chunks": _("chunks"),
    "lines": _("lines"),
    "of 2": _("of 2"),
    "of 3": _("of 3"),
    "of 4": _("of 4"),
    "of 7": _("of 7"),
    "s": _("s"),
    "sockets": _("sockets"),
    "times as long": _("times as long"),
}


def compare(prediction, outcome, unit=""):
    """Print an outcome beside what was predicted: a number or a word, or None for no prediction.

    A number with a fraction is measured: a prediction within a fifth of it is close.
    """
    if prediction is None:
        text = _("It was {came}.")
    elif prediction == outcome or str(prediction).casefold() == str(outcome).casefold():
        text = _("You predicted {prediction}, and it was {came}: right.")
    elif is_close(prediction, outcome):
        text = _("You predicted {prediction}, and it was {came}: close.")
    else:
        text = _("You predicted {prediction}, but it was {came}.")
    came = f"{outcome} {UNITS.get(unit, unit)}".rstrip()
    print(text.format(prediction=prediction, came=came))


def is_close(prediction, outcome):
    """Return whether a prediction of what is measured is within a fifth of it."""
    is_measured = isinstance(prediction, int | float) and isinstance(outcome, float)
    return is_measured and abs(prediction - outcome) <= 0.2 * abs(outcome)


def check(function, step, milestone, file="server.py"):
    """Put a function into a copy of a step, and run the step's tests up to a milestone.

    The function takes the place of the one with its name in that file. Prints what came of it.
    """
    source = textwrap.dedent(inspect.getsource(function))
    [definition] = ast.parse(source).body
    name = definition.name
    if is_empty(definition):
        text = _("not yet: write the body of {name} where the three dots are, and run the cell.")
        print(text.format(name=name))
        return
    with copies.with_function(step, file, name, source) as copy:
        words = "from course.loop import check_milestone; check_milestone"
        code = f"{words}({step!r}, {str(copy / 'server.py')!r}, {milestone}, {name!r})"
        command = [sys.executable, "-c", code]
        with Server(command, cwd=ROOT, first_line=False) as tests:
            tests.wait(CHECK_SECONDS)
            lines = [*tests.output("stdout"), *tests.output("stderr")]
            print("\n".join(lines).strip())


def is_empty(definition):
    """Return whether the body of a function is its docstring and three dots at most."""
    return all(
        isinstance(line, ast.Expr)
        and isinstance(line.value, ast.Constant)
        and (line.value.value is ... or isinstance(line.value.value, str))
        for line in definition.body
    )


@contextlib.contextmanager
def changed(step, file, right, wrong):
    """Show a change of a file of a step, and give a folder with a copy in which it is made."""
    with copies.changed(step, file, right, wrong) as copy:
        old, new = ((folder / file).read_text("utf-8") for folder in (ROOT / step, copy))
        show_diff(old, new, file, f"{file}, changed")
        yield copy


@contextlib.contextmanager
def broken(step, name):
    """Show a named mistake of a step, and give a folder with a copy in which it is made."""
    [mistake] = [m for m in read_mistakes() if m.step == step and m.name == name]
    with copies.changed(step, mistake.file, mistake.right, mistake.wrong) as copy:
        old, new = ((folder / mistake.file).read_text("utf-8") for folder in (ROOT / step, copy))
        show_diff(old, new, mistake.file, f"{mistake.file}, broken")
        yield copy


def show_step(before, step, file="server.py"):
    """Show the diff of a file between two steps, from the files as they are now."""
    old, new = ((ROOT / folder / file).read_text("utf-8") for folder in (before, step))
    show_diff(old, new, f"{before}/{file}", f"{step}/{file}")


def show_diff(old, new, old_name, new_name):
    """Show the unified diff of two texts: new lines are green, and old ones are red."""
    text = unified_diff(old, new, old_name, new_name)
    if not text:  # a knob stands where the course has it
        return
    lines = "".join(map(in_color, text.splitlines()))
    style = "word-break: normal"  # JupyterLab would cut a long line in the middle of a word
    show_block("diff", text, {"text/html": f'<pre style="{style}">{lines}</pre>'})


def in_color(line):
    """Return a line of a diff as HTML. JupyterLab has no colours of its own for it."""
    colors = {
        "+": "color: #116329; background: #dafbe1",
        "-": "color: #82071e; background: #ffebe9",
    }
    style = colors.get(line[:1], "")
    return f'<span style="{style}">{html.escape(line)}</span>\n'


def show_block(language, text, others=None):
    """Show a text as a fenced block of that language, and plain where nothing else can be shown.

    others: the same in other forms, a dict from their types.
    """
    block = f"```{language}\n{text}\n```"
    display({"text/markdown": block, "text/plain": text} | (others or {}), raw=True)


def show_bytes(data):
    """Print bytes line by line, with each CR and LF to be seen."""
    for line in data.splitlines(keepends=True):
        print(repr(line)[1:])


def run_script(source, *arguments):
    """Run a Python script as a process of its own; print what it prints, return its status.

    A script may fork, a notebook's kernel must not: it has threads. It can import script_help.
    """
    global _last_output
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "script.py"
        path.write_text(source, "utf-8")
        command = [sys.executable, str(path), *arguments]
        here = {"PYTHONPATH": str(Path(__file__).resolve().parent)}
        with Server(command, cwd=folder, environment=here, first_line=False) as script:
            status = script.wait(SCRIPT_SECONDS)
            _last_output = "\n".join([*script.output("stdout"), *script.output("stderr")])
            print(_last_output)
    return status


def last_output():
    """Return what the last script has printed, without the line break at its end."""
    return _last_output


def script_cell(line, cell):
    """Run a cell that begins with %%python as a script; the words behind it are its arguments."""
    status = run_script(cell, *shlex.split(line))
    assert status == 0, f"The script ended with status {status}."


if shell := get_ipython():
    shell.register_magic_function(script_cell, "cell", "python")  # in the place of IPython's own


def reset(connection):
    """Close a connection by a reset."""
    linger = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)  # on, 0 seconds
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    connection.close()


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


def visit(server, target, clock):
    """Ask for a page; return when that began, when its first byte came, and its last.

    An application that sends a piece as soon as it begins shows so when the client is served.
    clock: a function that returns seconds, such as a stopwatch.
    """
    with connect(server) as client:
        began = clock()
        client.sendall(harness.format_request(target, version="HTTP/1.0"))
        client.recv(1)
        served = clock()
        receive_all(client)
    return began, served, clock()


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


def show_function(step, name, file="server.py"):
    """Show the source of a function, from the file as it is now."""
    show_block("python", function_of(step, name, file))


def connections(port):
    """Return the kernel's TCP sockets with a port, as (local, remote, state); its owner's first.

    Where the kernel shows them to root alone, as on macOS, it says so, and returns an empty list.
    """
    found = []
    try:
        entries = psutil.net_connections("tcp4")
    except psutil.AccessDenied:
        print(_("The list of all sockets needs root here."))
        return []
    for entry in entries:
        if port in [end.port for end in (entry.laddr, entry.raddr) if end]:
            ends = [f"{end.ip}:{end.port}" if end else "-" for end in (entry.laddr, entry.raddr)]
            found.append((*ends, entry.status))
    return sorted(found, key=lambda row: (row[1] != "-", not row[0].endswith(f":{port}"), row))


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
