"""The arena without its page: what it says of true servers, and what becomes of them."""

import collections
import contextlib
import functools
import json
import os
import signal
import struct
import subprocess
import sys
import threading
import urllib.error
import urllib.request

import psutil
import pytest

from arena import lanes, record
from arena.recording import MINUTE, Recording, load
from course.browser import needs_chromium
from tests.harness import PATIENCE, ROOT, is_at_work, tell_watcher, wait_until

STEPS = ["step03_wsgi", "step04_fork", "step05_zombies", "step06_prefork"]
NO_FORK = "import os, runpy; del os.fork; runpy.run_module('arena', run_name='__main__')"
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="steps 4 to 6 need os.fork")


OWN = """
import importlib, sys
from wsgiref.simple_server import make_server
module, name = sys.argv[1].split(":")
server = make_server("127.0.0.1", 0, getattr(importlib.import_module(module), name))
print("Listening on http://127.0.0.1:%d" % server.server_port, flush=True)
server.serve_forever()
"""
FAMILY = """
import os, socket, time
listener = socket.create_server(("127.0.0.1", 0))
print("Listening on 127.0.0.1:%d" % listener.getsockname()[1], flush=True)
if os.fork() == 0:
    while not os.path.exists({switch!r}):
        time.sleep(0.01)
    os.fork()
time.sleep(60)
"""
STOPS = """
import signal, sys
def stop(*_):
    print("I stop now.", file=sys.stderr)
    if {is_clean}:
        sys.exit()
    raise NameError("oops")
signal.signal(signal.SIGTERM, stop)
print("Listening on 127.0.0.1:1", flush=True)
signal.pause()
"""
LISTENS = """
import socket
listener = socket.create_server(("127.0.0.1", 0))
print("Listening on 127.0.0.1:%d" % listener.getsockname()[1], flush=True)
listener.accept()
"""


class Arena:
    """A running arena: its process, its page's address, and the events that came so far."""

    def __init__(self, *arguments, program=("-m", "arena")):
        self.process = subprocess.Popen(
            [sys.executable, *program, "--port", "0", *map(str, arguments)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=os.name == "posix",
        )
        tell_watcher("+", self.process.pid)
        line = self.process.stdout.readline()
        assert line.startswith("Arena on http://127.0.0.1:"), self.process.communicate()
        self.url = line.split()[-1]
        self.events, self.changed = [], threading.Condition()
        threading.Thread(target=self._collect, daemon=True).start()

    def _collect(self):
        with contextlib.suppress(OSError), self.open_stream() as stream:
            for _, events in batches(stream):
                with self.changed:
                    self.events += events
                    self.changed.notify_all()

    def open_stream(self, **headers):
        """Return the response of /events."""
        return urllib.request.urlopen(self.request("/events", None, headers), timeout=PATIENCE)

    def request(self, target, data=None, headers=None):
        """Return a request of the page's own origin; data: what to post as JSON."""
        own = {"Origin": self.url, "Content-Type": "application/json"}
        data = None if data is None else json.dumps(data).encode()
        return urllib.request.Request(self.url + target, data, own | (headers or {}))

    def do(self, action, lane=None):
        """Press a button."""
        data = {"action": action, "lane": lane}
        with urllib.request.urlopen(self.request("/do", data), timeout=PATIENCE) as response:
            assert response.status == 204

    def refusal(self, data, **headers):
        """Return the status with which a POST is refused."""
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(self.request("/do", data, headers), timeout=PATIENCE)
        caught.value.close()
        return caught.value.code

    def minute(self):
        """Return the bytes of the last minute."""
        with urllib.request.urlopen(f"{self.url}/recording", timeout=PATIENCE) as response:
            return response.read()

    def find(self, **wanted):
        """Return the events, so far, that have these keys and values."""
        with self.changed:
            return [e for e in self.events if wanted.items() <= e.items()]

    def wait(self, count=1, seconds=3 * PATIENCE, **wanted):
        """Wait for a number of events that have these keys and values, and return them."""

        def hint():
            seen = [e for e in self.events if e["kind"] == wanted.get("kind")]
            return f"{count} events {wanted} did not come, but:\n" + "\n".join(map(str, seen[-60:]))

        return wait_until(
            lambda: len(found := self.find(**wanted)) >= count and found, hint, seconds
        )

    def wait_for_servers(self, *names):
        """Wait until the servers of some lanes run, and return their PIDs."""
        return [
            self.wait(kind="process", lane=name, role="server", state="works")[-1]["pid"]
            for name in names
        ]

    def numbers(self, lane):
        """Return the last numbers of a lane."""
        return (self.find(kind="numbers", lane=lane) or [{}])[-1]

    def kill(self):
        """End it; its own watcher ends its servers."""
        self.process.kill()
        self.process.wait()
        tell_watcher("-", self.process.pid)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            if self.process.poll() is None:
                self.process.terminate()
                _, errors = self.process.communicate(timeout=3 * PATIENCE)
                assert errors == "", f"It prints on stderr: {errors}"
        finally:
            self.kill()


def batches(stream):
    """Yield the id and the events of each batch of a stream; a heartbeat is a batch of none."""
    number = None
    for line in stream:
        key, _, value = line.decode().rstrip("\n").partition(": ")
        if key == "id":
            number = value
        elif key == "data":
            yield number, json.loads(value)
        elif line.startswith(b":"):
            yield number, []


@pytest.fixture(scope="module")
def arena():
    """An arena that several tests share. Each leaves no client of its own behind."""
    with Arena() as arena:
        arena.wait_for_servers(*(STEPS if hasattr(os, "fork") else STEPS[:1]))
        yield arena


@needs_fork
def test_two_slow_clients_are_served_one_after_the_other_on_step_3_and_together_on_step_4():
    with Arena() as arena:
        arena.wait_for_servers("step03_wsgi", "step04_fork")
        arena.do("slow")
        arena.do("slow")
        slow = functools.partial(arena.wait, kind="client", what="slow")
        served, answered = (
            slow(2, lane="step04_fork", state=state) for state in ("served", "answered")
        )
        assert max(e["t"] for e in served) + 1 < min(e["t"] for e in answered), "One waited."
        first, second = slow(2, lane="step03_wsgi", state="served")
        answered = slow(lane="step03_wsgi", state="answered")[0]
        assert first["id"] == answered["id"] != second["id"]
        overlap = answered["t"] - second["t"]  # its end and the next beginning come together
        assert overlap < 1, f"On step 3, two were served together for {overlap} seconds."
        assert answered["words"] == "200 OK"
        assert slow(2, lane="step03_wsgi", state="waits")[1]["t"] < first["t"] + 1
        assert max(e["waiting"] for e in arena.find(kind="numbers", lane="step03_wsgi")) >= 1


@needs_fork
def test_a_burst_leaves_fifty_zombies_on_step_4_and_none_on_step_5(arena):
    arena.do("burst", "step04_fork")
    arena.do("burst", "step05_zombies")
    child = functools.partial(arena.wait, kind="process", role="child")
    zombies = {}
    for lane in ("step04_fork", "step05_zombies"):
        at_work = {e["pid"] for e in child(50, lane=lane, state="works")}
        assert len(at_work) >= 50, "Fifty children work, each with its own PID."
        answered = arena.wait(50, kind="client", lane=lane, what="burst", state="answered")
        zombies[lane] = answered[-1]["t"]
    wait_until(lambda: arena.numbers("step04_fork")["zombies"] >= 50, "They are no zombies.")
    server = arena.wait_for_servers("step04_fork")[0]
    seen = {e["pid"] for e in arena.find(kind="process", lane="step04_fork", state="zombie")}
    true = {each.pid for each in psutil.Process(server).children() if not is_at_work(each.pid)}
    assert seen == true, "It shows other zombies than there are."
    wait_until(
        lambda: (
            arena.numbers("step05_zombies")["zombies"] == 0
            and arena.numbers("step05_zombies")["at_work"] == 0
        ),
        "On step 5 there are zombies.",
    )
    clean = arena.numbers("step05_zombies")["t"] - zombies["step05_zombies"]
    assert clean < 1 + PATIENCE / 5, f"On step 5 zombies stayed for {clean} seconds."
    assert arena.numbers("step04_fork")["zombies"] >= 50, "On step 4 they did not stay."
    assert not arena.find(kind="process", lane="step04_fork", role="child", state="gone")


@needs_fork
def test_on_step_6_a_new_worker_comes_in_the_place_of_one_that_crashed(arena):
    process = functools.partial(arena.wait, kind="process", lane="step06_prefork", role="child")
    before = {e["pid"] for e in process(2, state="works")}
    arena.do("crash", "step06_prefork")
    failed = arena.wait(kind="client", lane="step06_prefork", what="crash", state="failed")[0]
    assert failed["words"] == "200 OK, but the answer was cut"
    gone = process(state="gone")[0]["pid"]
    new = process(3, state="works")[-1]["pid"]
    assert gone in before and new not in before
    assert not arena.find(kind="server", lane="step06_prefork", state="died")


@needs_fork
def test_two_silent_clients_hold_up_step_6_and_not_step_5(arena):
    names = "step05_zombies", "step06_prefork"
    for name in names:
        for _ in range(2):
            arena.do("silent", name)
        arena.wait(2, kind="client", lane=name, what="silent", state="waits")
        arena.do("client", name)
    client = functools.partial(arena.wait, kind="client", what="client")
    quick = client(lane="step05_zombies", state="served")[0]
    late = client(lane="step06_prefork", state="served")[0]
    silent = functools.partial(arena.wait, kind="client", what="silent", state="failed")
    given_up = [silent(lane=name)[0] for name in names]
    assert quick["t"] < given_up[0]["t"], "Step 5 let a client wait for those that say nothing."
    assert late["t"] >= given_up[1]["t"], "With both workers taken, a client was served."
    assert given_up[1]["words"] == "408 Request Timeout"


def test_on_step_3_a_crash_ends_the_server_and_it_can_be_started_again():
    with Arena() as arena:
        server = arena.wait_for_servers("step03_wsgi")[0]
        arena.do("crash", "step03_wsgi")
        how = "the signal SIGKILL" if os.name == "posix" else "exit status 15"
        arena.wait(kind="server", lane="step03_wsgi", state="died", words=how)
        arena.wait(kind="process", lane="step03_wsgi", pid=server, role="server", state="gone")
        wait_until(lambda: arena.numbers("step03_wsgi")["descriptors"] is None, "It is dead.")
        arena.do("client", "step03_wsgi")
        arena.wait(kind="client", what="client", state="failed", words="connection refused")
        wait_until(lambda: arena.numbers("step03_wsgi")["waiting"] == 0, "It does not wait.")
        arena.do("start", "step03_wsgi")
        arena.wait(2, kind="server", lane="step03_wsgi", state="runs")
        arena.do("client", "step03_wsgi")
        arena.wait(kind="client", what="client", lane="step03_wsgi", state="answered")


@needs_fork
def test_stop_is_SIGTERM_for_all_lanes_at_once():
    with Arena() as arena:
        arena.wait_for_servers(*STEPS)
        arena.do("slow", "step04_fork")
        arena.wait(kind="client", state="served")
        arena.do("stop")
        words = {
            name: arena.wait(kind="server", lane=name, state="stopped")[0]["words"]
            for name in STEPS
        }
        by_signal = "the signal SIGTERM"  # steps 3 and 4 do nothing about it
        assert list(words.values()) == [by_signal, by_signal, "exit status 0", "exit status 0"]
        assert not arena.find(kind="server", state="died")
        arena.do("start", "step03_wsgi")
        arena.wait(2, kind="server", lane="step03_wsgi", state="runs")
        arena.do("crash", "step03_wsgi")
        arena.wait(kind="server", lane="step03_wsgi", state="died")
        arena.do("start", "step04_fork")
        words = arena.wait(kind="client", what="slow", state="failed")[0]["words"]
        assert "cut" in words, "The old server's child went on beside the new server."


def test_ones_own_server_has_a_lane(tmp_path):
    own = tmp_path / "my server.py"
    own.write_text(OWN)
    with Arena("--server", own) as arena:
        hello = arena.wait(kind="hello")[0]
        assert [lane["lane"] for lane in hello["lanes"]] == [*STEPS, "own"]
        assert hello["lanes"][-1]["claim"] == "my server.py"
        arena.wait(kind="server", lane="own", state="runs")
        arena.do("client", "own")
        arena.wait(kind="client", lane="own", state="answered")
        assert not arena.find(kind="client", lane="step03_wsgi"), "It went to another lane, too."


@needs_fork  # where there is none, a server has no time for words when it is told to stop
@pytest.mark.parametrize("is_clean", [True, False])
def test_a_server_that_is_told_to_stop_says_no_more_than_its_traceback(tmp_path, is_clean):
    own = tmp_path / "server.py"
    own.write_text(STOPS.format(is_clean=is_clean))
    with Arena("--server", own) as arena:
        arena.wait(kind="server", lane="own", state="runs")
        arena.do("stop", "own")
        words = arena.wait(kind="server", lane="own", state="stopped")[0]["words"]
    if is_clean:
        assert words == "exit status 0"
    else:
        assert words.startswith("exit status 1\nTraceback") and words.endswith("NameError: oops")


@pytest.mark.parametrize("last", ["", LISTENS], ids=["before it listens", "at the first client"])
def test_a_server_that_dies_has_last_words(tmp_path, last):
    own = tmp_path / "server.py"
    own.write_text(f"import sys\n{last}\nsys.exit('My disk is full.')\n")
    with Arena("--server", own) as arena:
        if last:
            arena.wait(kind="server", lane="own", state="runs")
            arena.do("client", "own")
        words = arena.wait(kind="server", lane="own", state="died")[0]["words"]
        assert "exit status 1" in words and "My disk is full." in words
        arena.wait_for_servers("step03_wsgi")


def test_a_stream_comes_back_after_a_break_and_nothing_is_lost(arena):
    with arena.open_stream() as stream:
        number, events = next(batches(stream))
    assert events[0]["kind"] == "hello"
    before = arena.find(kind="client", state="answered")
    arena.do("client", "step03_wsgi")
    client = arena.wait(len(before) + 1, kind="client", state="answered")[-1]
    with arena.open_stream(**{"Last-Event-ID": number}) as stream:
        for _, batch in batches(stream):
            events += batch
            if client in events and not batch:
                break
    assert [event["kind"] for event in events].count("hello") == 1
    since = events[0]["now"] - MINUTE / 2  # what is older is kept if it still matters
    known = [e for e in arena.find() if e["kind"] != "hello" and since < e["t"] < client["t"]]
    missing = [event for event in known if event not in events]
    assert not missing, f"The two parts are not the whole: {missing}"
    assert all(events.count(event) == 1 for event in events), "Something came twice."


@pytest.mark.parametrize("last", ["another-3", "3", "another", "-", "{}-", "{}-\u00b2", "{}-99999"])
def test_a_stream_of_another_run_begins_anew(arena, last):
    with arena.open_stream() as stream:
        number, _ = next(batches(stream))
    last = last.format(number.partition("-")[0])
    with arena.open_stream(**{"Last-Event-ID": last}) as stream:
        _, events = next(batches(stream))
    assert events[0]["kind"] == "hello" and len(events) > 1


def test_a_saved_minute_replays_the_same_without_any_server(arena, tmp_path):
    arena.do("client", "step03_wsgi")
    arena.wait(kind="client", lane="step03_wsgi", what="client", state="answered")
    saved = arena.minute()
    file = tmp_path / "a minute.json"
    file.write_bytes(saved)
    with Arena("--replay", file) as replay:
        events = json.loads(saved)
        assert events[0] == arena.find(kind="hello")[0] | {"now": events[0]["now"], "replay": True}
        replay.wait(len(events), 3 * PATIENCE)
        assert replay.find() == events == json.loads(replay.minute())
        assert any(e["kind"] == "client" and e["state"] == "answered" for e in events)
        assert [e["t"] for e in events[1:]] == sorted(e["t"] for e in events[1:])
        assert replay.refusal({"action": "start", "lane": None}) == 409
        assert not psutil.Process(replay.process.pid).children(), "A replay needs no process."


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "[1]", '[{"kind": "hello"}]', '["\u00e9"', "no such file"]
)
def test_what_is_no_recording_is_refused_in_one_line(tmp_path, text):
    file = tmp_path / "file"
    if text != "no such file":
        file.write_text(text)
    check_mistake(["--replay", file], "--replay")


def test_a_mistake_on_the_command_line_gets_one_line(arena):
    check_mistake(["--server", "no/server.py"], "no/server.py")
    check_mistake(["--port", arena.url.rpartition(":")[2]], "--port")
    check_mistake(["--port", "65536"], "65536")
    check_mistake(["--port", "-1"], "-1")


def check_mistake(arguments, word):
    """Check that the arena does not start, and says why in one line which has a word."""
    command = [sys.executable, "-m", "arena", *map(str, arguments)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (2, "")
    last = ended.stderr.splitlines()[-1]
    assert word in last and "Traceback" not in ended.stderr


def test_only_the_page_itself_may_do_something(arena):
    wish = {"action": "crash", "lane": None}
    assert arena.refusal(wish, Origin="http://127.0.0.1:1") == 403
    assert arena.refusal(wish, Origin="null") == 403
    assert arena.refusal(wish, Origin="") == 403
    assert arena.refusal(wish, **{"Content-Type": "text/plain"}) == 415
    assert arena.refusal(wish, Host="evil.example", Origin="http://evil.example") == 400
    assert arena.refusal({"action": "rm", "lane": None}) == 400
    assert arena.refusal({"action": ["stop"], "lane": None}) == 400
    assert arena.refusal({"action": "stop", "lane": "step01_echo_socket"}) == 400
    assert arena.refusal({"action": "stop", "lane": 5}) == 400
    assert arena.refusal({"action": "stop", "lane": ["step03_wsgi", "own"]}) == 400
    assert arena.refusal(["stop"]) == 400
    assert not arena.find(kind="client", what="crash", lane="step03_wsgi")
    assert not arena.find(kind="server", lane="step03_wsgi", state="stopped")


@pytest.mark.parametrize("target", ["/", "/events", "/recording"])
def test_a_name_that_leads_to_this_machine_gets_nothing(arena, target):
    request = arena.request(target, headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=PATIENCE)
    caught.value.close()
    assert caught.value.code == 400


def test_the_page_may_load_its_own_files_and_nothing_else(arena):
    with urllib.request.urlopen(arena.url, timeout=PATIENCE) as response:
        policy = response.headers["Content-Security-Policy"]
        assert response.headers["Cache-Control"] == "no-store"
    assert dict(rule.split(" ", 1) for rule in policy.split("; ")) == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }


def test_it_listens_on_127_0_0_1_alone(arena):
    own = psutil.Process(arena.process.pid)
    listening = [
        each.laddr.ip
        for process in (own, *own.children(recursive=True))
        for each in process.net_connections()
        if each.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 2 and set(listening) == {"127.0.0.1"}


@needs_fork
@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGINT", "SIGHUP"])
def test_nothing_is_left_however_it_ends(name):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup has it ignored, and children inherit that
    with Arena() as arena:
        arena.wait_for_servers(*STEPS)
        for lane in STEPS[1:]:
            arena.do("slow", lane)
            arena.wait(kind="client", lane=lane, state="served")
        arena.do("stop", "step04_fork")  # which leaves a child at work
        arena.wait(kind="server", lane="step04_fork", state="stopped")
        pids = {e["pid"] for e in arena.find(kind="process")}
        assert any(map(is_at_work, pids))
        arena.process.send_signal(getattr(signal, name))
        status = arena.process.wait(3 * PATIENCE)
        assert status == (0 if name in ("SIGTERM", "SIGINT") else -getattr(signal, name))
        wait_until(lambda: not any(map(is_at_work, pids)), "A process of a server is left.")
        assert arena.process.communicate()[1] == ""


def test_without_fork_there_is_step_3_and_why_the_others_are_missing():
    with Arena(program=("-c", NO_FORK)) as arena:
        lanes = arena.wait(kind="hello")[0]["lanes"]
        assert [lane["available"] for lane in lanes] == [True, False, False, False]
        assert ["os.fork" in lane["why"] for lane in lanes] == [False, True, True, True]
        assert arena.refusal({"action": "start", "lane": "step04_fork"}) == 400
        arena.wait(kind="server", state="runs")
        arena.do("client")
        arena.wait(kind="client", state="answered")
        assert {e["lane"] for e in arena.find() if e["kind"] != "hello"} == {"step03_wsgi"}


@pytest.mark.parametrize("error", [psutil.AccessDenied, AttributeError])
def test_what_the_system_does_not_tell_is_null(monkeypatch, error):
    def refuse(process):
        raise error

    monkeypatch.setattr(psutil.Process, "num_fds", refuse, raising=False)
    lane = lanes.lanes()[0]
    with lanes.Server(lane.command, ROOT) as lane.server:
        recording = Recording({"kind": "hello", "replay": False})
        table = lanes.Table([lane], collections.Counter(), recording)
        gone = 2**22 + 1  # no process has such a PID now, but one of a lane may have it later
        table.look()
        table.others.add(gone)
        table.look()
        assert gone not in table.others
        numbers = next(e for e in recording.minute() if e["kind"] == "numbers")
        assert numbers["descriptors"] is None and numbers["at_work"] == 0


def test_a_zombie_is_asked_nothing_and_a_server_is_none():
    class Process:
        def status(self):
            return psutil.STATUS_ZOMBIE

    assert lanes.Seen(Process(), None, "child", "works").look() == "zombie"
    assert lanes.Seen(None, None, "child", "zombie").look() == "zombie"
    assert lanes.Seen(Process(), None, "server", "works").look() == "works", "We collect it."


@needs_fork
def test_a_childs_child_belongs_to_its_lane_too(tmp_path):
    own, switch = tmp_path / "server.py", tmp_path / "switch"
    own.write_text(FAMILY.format(switch=str(switch)))
    with Arena("--server", own) as arena:
        child = functools.partial(arena.wait, kind="process", lane="own", role="child")
        child(state="works")
        switch.touch()
        assert len({e["pid"] for e in child(2, state="works")}) == 2


def test_what_lasts_is_kept_and_what_was_over_a_minute_ago_is_not():
    recording = Recording({"kind": "hello", "replay": False})
    old = [
        {"kind": "process", "lane": "a", "pid": 1, "state": "works"},
        {"kind": "process", "lane": "a", "pid": 1, "state": "zombie"},
        {"kind": "process", "lane": "a", "pid": 2, "state": "works"},
        {"kind": "process", "lane": "a", "pid": 2, "state": "gone"},
        {"kind": "client", "lane": "a", "id": 1, "state": "waits"},
        {"kind": "client", "lane": "a", "id": 1, "state": "answered"},
        {"kind": "client", "lane": "b", "id": 2, "state": "waits"},
        {"kind": "numbers", "lane": "a", "zombies": 0},
        {"kind": "numbers", "lane": "a", "zombies": 1},
    ]
    follower = recording.follow()
    recording.note(old[0])
    early, _ = next(follower)
    recording.note(*old[1:])
    late, _ = next(follower)
    recording.began -= 70
    new = {"kind": "client", "lane": "b", "id": 2, "state": "served"}
    recording.note(new)
    assert len(recording.events) == 5, "It forgets while it goes on."
    kept = [{key: e[key] for key in e if key != "t"} for e in recording.minute()[1:]]
    assert kept == [old[0], old[1], old[6], old[8], new]
    _, events = next(recording.follow(early))
    assert [e["kind"] for e in events] == ["hello", *["process"] * 2, "client", "numbers", "client"]
    _, events = next(recording.follow(late))
    assert [e["state"] for e in events] == ["served"], "It missed nothing that is forgotten."


@needs_fork
@pytest.mark.parametrize("picture", ["", pytest.param("arena.png", marks=needs_chromium)])
def test_the_ten_seconds_can_be_recorded_again(tmp_path, monkeypatch, picture):
    options = ["--picture", str(tmp_path / picture)] if picture else []
    monkeypatch.setattr(record, "PLAN", [(0.1, "client")])
    monkeypatch.setattr(record, "SECONDS", 1)
    file = tmp_path / "new folder" / "recording.json"
    monkeypatch.setattr(sys, "argv", ["record", "--file", str(file), *options])
    record.main()
    events = load(file).minute()
    assert [lane["lane"] for lane in events[0]["lanes"]] == record.LANES
    answered = {e["lane"] for e in events[1:] if e.get("state") == "answered"}
    assert answered == set(record.LANES), "Each lane served the client."
    assert {e["lane"] for e in events[1:]} == answered
    if picture:
        images = [(tmp_path / name).read_bytes() for name in (picture, "arena.zh-CN.png")]
        size = record.SIZE["width"], record.SIZE["height"]
        for image in images:
            assert struct.unpack(">8x8xII", image[:24]) == size  # a PNG's IHDR
        assert images[0] != images[1]


def test_the_stored_ten_seconds_show_what_each_step_does_with_the_same_clients():
    events = load(record.FILE).minute()
    last, waited = {}, dict.fromkeys(record.LANES, 0)
    for event in events[1:]:
        if event["kind"] == "numbers":
            last[event["lane"]] = event["zombies"]
            waited[event["lane"]] = event["waiting"]
    clients = sum(lanes.BURST if what == "burst" else 1 for _, what in record.PLAN)
    assert last == {"step03_wsgi": 0, "step04_fork": clients, "step05_zombies": 0}
    assert waited["step03_wsgi"] > lanes.BURST and waited["step04_fork"] == 0
    assert waited["step05_zombies"] == 0
