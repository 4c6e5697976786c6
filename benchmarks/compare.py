"""Measure the servers of the course beside other servers, and beside what this machine can do.

    python -m benchmarks.compare [--quick] [PART ...]

The parts are web, echo, growth and burst; without one, all are measured. README.md in this
folder says what they are. All traffic stays on 127.0.0.1.
"""

import argparse
import itertools
import os
import re
import statistics
import sys
import time
from pathlib import Path

import psutil
from tqdm import tqdm

from benchmarks.chart import draw
from benchmarks.contenders import FOLDER, echo_servers, own_backlog, running, web_servers
from benchmarks.load import REQUEST, WRK, burst, client_name, echo, load
from benchmarks.machine import (
    about,
    children,
    make_room_for_descriptors,
    memory,
    room_for_processes,
)
from benchmarks.report import read_results, summary, write_results
from course.copies import changed
from tests.harness import exchange, wait_until

FULL = {"rounds": 5, "seconds": 1, "connections": [1, 8, 64], "requests": 20_000, "clients": 500}
QUICK = {"rounds": 1, "seconds": 1, "connections": [8], "requests": 2_000, "clients": 500}
APPLICATIONS = {"trivial": "hello", "Flask": "hello_flask"}  # each name, and its module
ECHO_SIZES = [64, 64 * 1024]  # bytes
GROWING = ["step04_fork", "step05_zombies"]
WINDOWS = 20  # the requests to a growing server are looked at in so many parts
BURSTING = ["step05_zombies", "step06_prefork"]
BACKLOGS = [5, 128]  # and the server's own


def web(options):
    """Load each server with each application. The servers take turns: A B C, A B C, ..."""
    rows = {}
    turns = itertools.product(APPLICATIONS, range(options.rounds), chosen(web_servers(), options))
    for application, _, server in progress("web", turns):
        with running(server.command_for(APPLICATIONS[application])) as process:
            check(process)
            for keep_alive in [False, True][: 1 + server.keeps_alive]:
                for connections in options.connections:
                    measured = load(
                        process, connections, options.seconds, keep_alive, options.client
                    )
                    measured["memory"] = memory(process.pid)
                    key = (application, keep_alive, connections, server.name)
                    collect(rows, key, server.kind, measured)
            check(process)
    return as_list(rows, "application", "keep_alive", "connections", "server")


def echoes(options):
    """Send small and large pieces to each echo server and wait for them; the servers take turns."""
    rows = {}
    turns = itertools.product(ECHO_SIZES, range(options.rounds), chosen(echo_servers(), options))
    for size, _, server in progress("echo", turns):
        with running(server.command) as process:
            measured = {"rate": echo(process, size, options.seconds)}
        collect(rows, (size, server.name), server.kind, measured)
    return as_list(rows, "size", "server")


def growth(options):
    """Send requests to step 4 and step 5, one after another; see what the server keeps."""
    rows = []
    for server in chosen(web_servers(), options, GROWING):
        count = min(options.requests, room_for_processes() * 3 // 4)
        with running(server.command_for("hello")) as process:
            rows.append({"server": server.name} | grow(process, max(1, count // WINDOWS)))
            left = zombies(process)
        wait_until(
            lambda left=left: not any(map(psutil.pid_exists, left)),
            "Zombies stay after their parent has ended: process 1 does not wait for them. "
            "In Docker, start the container with --init.",
        )
    return rows


def grow(process, size):
    """Send WINDOWS times size requests; return the errors, and what is to be seen each time."""
    samples = []
    errors = 0
    for window in progress("growth", range(1, WINDOWS + 1)):
        times = []
        for _ in range(size):
            began = time.perf_counter()
            answer = exchange(process, REQUEST)
            times.append((time.perf_counter() - began) * 1000)
            errors += not answer.startswith(b"HTTP/1.1 200")
        parent = psutil.Process(process.pid)
        samples.append(
            {
                "requests": window * size,
                "p50": round(statistics.median(times), 4),
                "memory": parent.memory_info().rss,
                "descriptors": parent.num_fds(),
                "zombies": len(zombies(process)),
            }
        )
    return {"errors": errors, "samples": samples}


def zombies(process):
    """Return the PIDs of a server's zombies, as soon as no child of it is at work."""
    found = {}

    def all_have_ended():
        found.clear()
        found.update(children(process.pid))
        return all(found.values())

    wait_until(all_have_ended, "A child of the server is still at work.")
    return list(found)


def bursts(options):
    """Let many clients connect at once to servers with short and long queues of connections."""
    rows = {}
    servers = chosen(web_servers(), options, BURSTING)
    for _, server in progress("burst", itertools.product(range(options.rounds), servers)):
        own = own_backlog(server.name)
        for backlog in [*BACKLOGS, own]:
            old, new = f"BACKLOG = {own}", f"BACKLOG = {backlog}"
            with (
                changed(server.name, "server.py", old, new) as folder,
                running(server.command_for("hello", folder)) as process,
            ):
                check(process)
                measured = burst(process.port, options.clients)
            collect(rows, (server.name, backlog, backlog == own), server.kind, measured)
    return as_list(rows, "server", "backlog", "is_own")


def check(process):
    """Fail unless a server answers with the application's line."""
    answer = exchange(process, REQUEST)
    good = re.match(rb"HTTP/1\.[01] 200 .*\r\n\r\nHello, world!\n$", answer, re.DOTALL)
    assert good, f"{' '.join(process.command)} answered {answer!r}"


def collect(rows, key, kind, measured):
    """Append what was measured to the lists in rows[key]: an item for each round."""
    row = rows.setdefault(key, {"kind": kind})
    for name, value in measured.items():
        row.setdefault(name, []).append(round(value, 4))


def as_list(rows, *names):
    """Return the rows of a dict as a list of dicts: names say what the parts of a key are."""
    return [dict(zip(names, key, strict=True)) | row for key, row in rows.items()]


def chosen(servers, options, names=None):
    """Return the servers that the options ask for, or all; with names, only those."""
    return [
        server
        for server in servers
        if (not options.server or server.name in options.server)
        and (names is None or server.name in names)
    ]


def progress(name, turns):
    """Give the turns one by one, under a progress bar if standard error is a terminal."""
    return tqdm(list(turns), desc=name, disable=None)


# Each part: what measures it, and how the load is made, for the results.
PARTS = {
    "web": (web, "{wrk}, {rounds} rounds, {seconds:g} s for each measurement"),
    "echo": (echoes, "a Python client, {rounds} rounds, {seconds:g} s for each measurement"),
    "growth": (growth, "a Python client, one request after another"),
    "burst": (bursts, "a Python client, {rounds} rounds"),
}


def read_options():
    """Return the options of the command line, with the defaults of a full or a quick run."""
    parser = argparse.ArgumentParser(
        usage=argparse.SUPPRESS,  # a mistake gets one line
        description="Measure the servers of the course beside others, on this machine.",
        epilog="A full run takes about a quarter of an hour, and writes to benchmarks/results/. "
        "With any of the options the results go to benchmarks/results/trial/.",
    )
    add = parser.add_argument
    add("part", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (default: all)")
    add("--quick", action="store_true", help="one round, 8 connections: a minute and a half")
    add("--server", action="append", metavar="NAME", help="only this server; may be repeated")
    add("--client", choices=["wrk", "python"], help="default: wrk if it is installed")
    add("--rounds", type=int, metavar="N", help="turns of each server")
    add("--seconds", type=float, metavar="S", help="of each measurement; wrk knows whole ones only")
    add("--connections", type=int, nargs="+", metavar="N", help="that are open at a time")
    add("--requests", type=int, metavar="N", help="to each server of the part growth")
    add("--clients", type=int, metavar="N", help="in each burst")
    add("--output", type=Path, metavar="FOLDER", help="where the results go")
    options = parser.parse_args()
    given = {name for name, value in vars(options).items() if value} - {"part", "output"}
    for name, value in (QUICK if options.quick else FULL).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    options.client = options.client or ("wrk" if WRK else "python")
    options.output = options.output or FOLDER / "results" / ("trial" if given else "")
    options.part = options.part or list(PARTS)
    servers = [server.name for server in [*web_servers(), *echo_servers()]]
    for names, allowed in ((options.part, list(PARTS)), (options.server or [], servers)):
        for name in set(names) - set(allowed):
            parser.error(f"there is no {name!r}. Choose from: {', '.join(map(repr, allowed))}")
    return options


def main():
    """Measure the parts one after another; write tables, the numbers as JSON, and a chart."""
    options = read_options()
    make_room_for_descriptors(4 * options.clients)
    options.output.mkdir(parents=True, exist_ok=True)
    results = read_results(options.output)
    try:
        for part in options.part:
            measure, how = PARTS[part]
            how = how.format(wrk=client_name(options.client), **vars(options))
            results[part] = {"about": about() | {"load": how}, "rows": measure(options)}
            write_results(results, options.output)
    except AssertionError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("Stopped. The parts that were complete are stored.")
    if "web" in options.part:
        draw(results["web"]["rows"], options.output / "results.png")
    print(summary(results))
    print(f"\nThe tables are in {os.path.relpath(options.output / 'results.md')}")


if __name__ == "__main__":
    main()
