"""A Flask application that shows the processes of the server that runs it, live in a browser.

Any server of steps 3 to 6 runs it, for example, from the root folder of the course:

    python step04_fork/server.py arena.processes:app

Open http://127.0.0.1:8000/processes then. What is on that page comes from psutil.
"""

import base64
import contextlib
import hashlib
import os
import signal
import socket
import sys
import time
from pathlib import Path

import psutil
from flask import Flask, Response, abort, jsonify, render_template, request
from markupsafe import Markup

SERVER = psutil.Process()  # the server loads this file itself, before it forks
STEP = Path(sys.argv[0]).resolve().parent.name  # the folder of the server's program
TEMPLATES = Path(__file__).parent / "templates"
STYLE = (TEMPLATES / "processes.css").read_text("utf-8")
SCRIPT = (TEMPLATES / "processes.js").read_text("utf-8")
BURST = 50  # clients
MAX_ROWS = 200  # processes that are listed; all of them are counted
ATTRIBUTES = ("pid", "ppid", "status", "create_time", "memory_info", "num_fds", "cpu_times")
HERE = [name for name in ATTRIBUTES if hasattr(psutil.Process, name)]  # Windows has no num_fds

app = Flask(__name__)


@app.get("/slow")
def slow():
    """Sleep for some seconds, at most 60, before the answer."""
    try:
        seconds = float(request.args.get("seconds", "1"))
    except ValueError:
        seconds = -1
    if not 0 <= seconds <= 60:
        abort(400, "seconds is a number from 0 to 60.")
    time.sleep(seconds)
    return Response(f"Process {os.getpid()} slept {seconds} seconds.\n", mimetype="text/plain")


@app.get("/")
@app.get("/processes")
def show_processes():
    """Show the server's processes. The page asks for itself again each second."""
    page = render_template(
        "processes.html",
        step=STEP,
        style=Markup(STYLE),
        script=Markup(SCRIPT),
        burst=BURST,
        **look(),
    )
    return Response(page, headers={"Content-Security-Policy": POLICY, "Cache-Control": "no-store"})


@app.get("/processes.json")
def show_processes_as_data():
    """Give what /processes shows as JSON: see look."""
    response = jsonify(look())
    response.headers["Cache-Control"] = "no-store"
    return response


@app.post("/burst")
def burst():
    """Be many clients at once: each sends a request to this server, and leaves."""
    address = request.environ["SERVER_NAME"], int(request.environ["SERVER_PORT"])
    with contextlib.ExitStack() as clients:
        for _ in range(BURST):
            client = clients.enter_context(socket.create_connection(address, timeout=5))
            client.sendall(b"GET /slow?seconds=0 HTTP/1.0\r\n\r\n")
    return Response(f"{BURST} clients came at once.\n", mimetype="text/plain")


@app.post("/die")
def die():
    """End this process by a signal, as a crash would, if it is a child of the server."""
    if os.getpid() == SERVER.pid:
        abort(409, "This process is the server itself. A crash would end it for all clients.")

    response = Response(f"Process {os.getpid()} ends here, by SIGKILL.\n", mimetype="text/plain")
    response.call_on_close(lambda: os.kill(os.getpid(), signal.SIGKILL))  # when all has been sent
    return response


def look():
    """Return what psutil sees of this server's processes, and of no others: a dict.

    served_by: pid and ppid of the process that serves this request, and the two addresses of
        its connection, client and server: "127.0.0.1:8000"
    multiprocess: whether the server has several processes, wsgi.multiprocess of PEP 3333
    counts: how many children at_work, how many zombies
    processes: a list, see describe; the server first, then its children, the youngest first,
        at most MAX_ROWS
    """
    environ, found = request.environ, []
    with contextlib.suppress(psutil.NoSuchProcess):  # the server was killed, this child was not
        for process in [SERVER, *reversed(SERVER.children(recursive=True))]:
            with contextlib.suppress(psutil.NoSuchProcess):  # it has ended since
                found.append(describe(process.as_dict(HERE)))
    children = [row for row in found if row["pid"] != SERVER.pid]
    zombies = sum(row["state"] == psutil.STATUS_ZOMBIE for row in children)
    return {
        "served_by": {
            "pid": os.getpid(),
            "ppid": os.getppid(),
            "client": f"{environ['REMOTE_ADDR']}:{environ['REMOTE_PORT']}",
            "server": f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}",
        },
        "multiprocess": environ["wsgi.multiprocess"],
        "counts": {"at_work": len(children) - zombies, "zombies": zombies},
        "processes": found[:MAX_ROWS],
    }


def describe(seen):
    """Return a row for one process, a dict, from what psutil's as_dict says of it.

    What the system does not tell is None. pid, ppid; role: "server" or "child"; state: a word,
    such as "running", "sleeping" or "zombie"; age and cpu_time: seconds; memory: bytes, those
    shared with other processes included; descriptors: how many are open.
    """
    created, memory, cpu = seen["create_time"], seen["memory_info"], seen["cpu_times"]
    return {
        "pid": seen["pid"],
        "ppid": seen["ppid"],
        "role": "server" if seen["pid"] == SERVER.pid else "child",
        "state": seen["status"],
        "age": created and max(0, round(time.time() - created, 1)),
        "memory": memory and memory.rss,
        "descriptors": seen.get("num_fds"),
        "cpu_time": cpu and round(cpu.user + cpu.system, 3),
    }


def allow(text):
    """Return the words by which a policy allows one style or script: "Content Security Policy"."""
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


# The page may load nothing, and use no style and no script but its own.
POLICY = (
    f"default-src 'none'; style-src {allow(STYLE)}; script-src {allow(SCRIPT)}; img-src data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
app.jinja_env.get_template("processes.html")  # compile it once, here, and not in each child
