"""The benchmark works, in a very short run, and the pages quote what it measured.

No test here asks how fast anything is.
"""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading

import psutil
import pytest

from benchmarks import load, report
from benchmarks.contenders import echo_servers, python, running, web_servers
from tests.harness import ROOT, wait_until

COMPARE = [sys.executable, "-m", "benchmarks.compare"]
SHORT = ["--client", "python", "--rounds", "1", "--seconds", "0.1", "--connections", "8"]
SHORT += ["--requests", "40", "--clients", "20"]
MARK = "BENCHMARK_OF_THIS_TEST"  # an environment variable, to find the servers that were started


def test_a_ratio_is_the_median_of_the_ratios_of_each_round():
    ours, theirs = {"rate": [2, 9, 4]}, {"rate": [1, 3, 4]}
    assert report.ratio(ours, theirs) == (2, 1, 3)


def test_a_page_gets_the_numbers_that_it_quotes():
    rows = [
        {"server": name, "application": "trivial", "connections": 8, "keep_alive": False}
        | {"kind": "peer", "rate": [rate], "p50": [1], "p99": [1], "errors": [0], "memory": [1]}
        for name, rate in (("step03_wsgi", 5000), ("wsgiref", 2000))
    ]
    place = "<!-- result: {} -->{}<!-- end -->"
    page = place.format("step03_wsgi / wsgiref / trivial", "old") + place.format("x", "old")
    about = dict.fromkeys(("date", "processors", "system", "python", "load"), "")
    filled = report.fill(page, {"web": {"rows": rows, "about": about | {"packages": {}}}})
    assert filled == place.format("step03_wsgi / wsgiref / trivial", "2.5") + place.format(
        "x", "not measured yet"
    )


def test_the_stored_tables_are_made_from_the_stored_numbers():
    results = report.read_results()
    stored = [path.name for path in sorted(report.RESULTS.glob("results.*"))]
    if stored:
        assert stored == ["results.json", "results.md", "results.png"]
        text = (report.RESULTS / "results.md").read_text("utf-8")
        assert report.tables(results) == text, "results.md is out of date: run make prose"


@pytest.mark.parametrize("page", report.pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_quotes_the_stored_results(page):
    text = page.read_text("utf-8")
    filled = report.fill(text, report.read_results(), page.name.endswith(".zh-CN.md"))
    assert filled == text, f"{page}: run make prose"


pytest.importorskip("resource", reason="the benchmark needs a POSIX system")

clients = pytest.mark.parametrize(
    "client",
    [
        "python",
        pytest.param("wrk", marks=pytest.mark.skipif(not load.WRK, reason="needs the program wrk")),
    ],
)


def marked_processes(mark):
    """Return the PIDs of the processes at work that have the mark in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark:
                found.append(process.pid)
        except psutil.Error:  # it has ended, or is not ours
            continue
    return found


def is_measuring(mark):
    """Return whether one of the marked processes is connected: the load has begun."""
    for pid in marked_processes(mark):
        try:
            connections = psutil.Process(pid).net_connections("tcp4")
        except psutil.Error:
            continue
        if any(one.status == psutil.CONN_ESTABLISHED for one in connections):
            return True
    return False


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    """A folder with the results of a very short run of all parts."""
    folder = tmp_path_factory.mktemp("results")
    mark = secrets.token_hex()
    done = subprocess.run(
        [*COMPARE, *SHORT, "--output", str(folder)],
        cwd=ROOT,
        env=os.environ | {MARK: mark},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not marked_processes(mark), "The benchmark has left a process behind."
    return folder


@pytest.fixture(scope="module")
def results(trial):
    """The numbers of a very short run."""
    return json.loads((trial / "results.json").read_text("utf-8"))


def test_each_server_has_a_row_in_each_of_its_tables(trial):
    text = (trial / "results.md").read_text("utf-8")
    web, echo = text.partition("## The part web")[2].split("## The part echo")
    for server in web_servers():
        rows = 2 + 2 * server.keeps_alive
        assert web.count(f"| {server.name} |") == rows, f"{server.name} has not {rows} rows."
    for server in echo_servers():
        assert echo.count(f"| {server.name} |") == 2
    assert (trial / "results.png").read_bytes().startswith(b"\x89PNG")


def test_all_servers_answer_without_an_error(results):
    for row in results["web"]["rows"]:
        assert min(row["rate"]) > 0 and max(row["errors"]) == 0 and min(row["memory"]) > 0, row
    for row in results["echo"]["rows"]:
        assert min(row["rate"]) > 0, row
    for row in results["burst"]["rows"]:
        assert row["clients"] == [20], row


def test_a_table_aligns_its_numbers_right():
    text = report.table(["server", "ratio", "goal"], [["a", "0.5", "1"], ["b", "", "none"]])
    assert text.splitlines()[1] == "| --- | ---: | --- |"
    assert report.table(["server"], []).splitlines() == ["| server |", "| --- |"]


def test_each_ratio_with_a_goal_is_in_the_summary(results):
    found = [(ours, theirs, what) for ours, theirs, what, _, _ in report.comparisons(results)]
    wanted = [(ours, theirs, what) for ours, theirs, what, _ in report.WEB_GOALS]
    wanted += [
        (ours, theirs, report.ECHO_NAMES[size]) for ours, theirs, size, _ in report.ECHO_GOALS
    ]
    assert found == [names for names in wanted if (ROOT / names[0]).is_dir()]
    assert all(least > 0 for _, _, _, (_, least, _), _ in report.comparisons(results))
    assert all(f"| {' | '.join(names)} |" in report.summary(results) for names in found)


def test_growth_counts_the_zombies_of_step_4_and_of_step_5(results):
    four, five = results["growth"]["rows"]
    assert (four["errors"], five["errors"]) == (0, 0)
    assert [sample["zombies"] for sample in four["samples"]] == list(range(2, 41, 2))
    assert max(sample["zombies"] for sample in five["samples"]) <= 1


@clients
@pytest.mark.parametrize("keep_alive", [False, True])
def test_a_server_that_answers_gives_a_rate_and_no_error(client, keep_alive):
    with running(python("peers.py", "waitress", "hello:application")) as server:
        measured = load.load(server, 2, 0.2, keep_alive, client)
    assert measured["rate"] > 0 and measured["errors"] == 0
    assert 0 < measured["p50"] <= measured["p99"]


@clients
@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"])
def test_a_server_that_does_not_serve_gives_errors_and_no_rate(client, answer):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=answer_all, args=(listener, answer), daemon=True).start()
        measured = load.load(Address(listener), 2, 0.2, False, client)
    assert measured["rate"] == 0 and measured["errors"] > 0


class Address:
    """What load needs to know of a server."""

    def __init__(self, listener):
        self.address = listener.getsockname()
        self.url = "http://{}:{}".format(*self.address)


def answer_all(listener, answer):
    """Answer each client with the same bytes, until the listener is closed."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            connection.recv(65536)
            connection.sendall(answer)


def test_a_burst_counts_clients_that_are_refused():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert load.burst(port, 3) == {
        "clients": 3, "refused": 3, "waited": 0, "unanswered": 3, "slowest": 0
    }  # fmt: skip


def test_a_burst_counts_clients_that_wait_for_a_full_queue(monkeypatch):
    monkeypatch.setattr(load, "BURST_SECONDS", 1.2)
    with socket.create_server(("127.0.0.1", 0), backlog=1) as listener:
        counted = load.burst(listener.getsockname()[1], 10)
    assert 0 < counted["waited"] < 10 and counted["unanswered"] == 10, counted


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_benchmark_that_is_stopped_leaves_no_server(number, tmp_path):
    mark = secrets.token_hex()
    tool = subprocess.Popen(
        [*COMPARE, "echo", "--seconds", "60", "--output", str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {MARK: mark, "TMPDIR": str(tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until(lambda: is_measuring(mark), "The benchmark does not begin.")
    finally:
        tool.send_signal(number)
        words = tool.communicate(timeout=10)[1]
    wait_until(lambda: not marked_processes(mark), "A server has outlived the benchmark.")
    assert "Traceback" not in words, words


def test_a_server_that_does_not_exist_is_an_error_of_one_line():
    done = subprocess.run(
        [*COMPARE, "--server", "nobody"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2 and "there is no 'nobody'" in done.stderr, done.stderr
