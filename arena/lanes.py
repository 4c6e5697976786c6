"""The lanes of the arena: a server each. They are started, stopped, and watched from outside."""

import collections
import contextlib
import dataclasses
import os
import signal
import sys
import threading
import time

import psutil

from arena.clients import BURST, CLIENT, REQUESTS, SLOW, Clients
from arena.recording import Recording
from tests.harness import ROOT, Server, last_traceback

EVERY = 0.05  # seconds between two looks at the process table
WORKERS = "2"  # of step 6: so few that two clients are enough to need them all
LINES = 5  # of a server's last words
SOON = 0.3  # seconds until they have been read
APPLICATION = "arena.application:application"
STEPS = [
    ("step03_wsgi", "Step 3", "One after the other: the second client waits."),
    ("step04_fork", "Step 4", "Nobody waits, and nobody cleans up."),
    ("step05_zombies", "Step 5", "Nobody waits, and no zombie stays."),
    ("step06_prefork", "Step 6", "As many at once as there are workers."),
]
NO_FORK = "It needs os.fork, which Windows lacks. It runs in WSL."
OWN = "own"  # the name of the lane of one's own server
ACTIONS = [*REQUESTS, "start", "stop"]


class Lane:
    """A server that can be started again, and what is known of it."""

    def __init__(self, name, title, claim, command, why=""):
        """Describe a lane; command: a list of words that start it. why: why it cannot run here."""
        self.name, self.title, self.claim, self.command, self.why = name, title, claim, command, why
        self.server = None  # the last one that was started
        self.address = None  # where it listens, or did
        self.busy = threading.Lock()  # held while it is being started, or runs
        self.changing = threading.Lock()  # held while it is being started, or closed
        self.is_told_to_stop = False
        self.numbers = {}  # the last ones

    def describe(self):
        """Return what the page is told of this lane, a dict."""
        return {
            "lane": self.name,
            "title": self.title,
            "claim": self.claim,
            "available": not self.why,
            "why": self.why,
        }

    def is_running(self):
        """Return whether its server runs."""
        return self.server is not None and self.server.process.returncode is None

    def start(self):
        """Start the server. Raises AssertionError, with its last words, or OSError."""
        with self.changing:
            if self.server:
                self.server.kill()  # children that have outlived it
            self.is_told_to_stop = False
            environment = {"PYTHONPATH": os.pathsep.join(filter(None, PATH))}
            self.server = Server(self.command, ROOT, environment)

    def close(self):
        """End the server and its children, for good."""
        self.changing.acquire()  # and never release it: nothing is started any more
        if self.server:
            self.server.kill()

    def run(self, recording):
        """Start the server, and wait until it has ended; note both in a recording."""
        event = {"kind": "server", "lane": self.name}
        try:
            self.start()
        except (AssertionError, OSError) as error:
            recording.note(event | {"state": "died", "words": str(error)})
        else:
            self.address = self.server.address
            recording.note(event | {"state": "runs", "words": ""})
            self.server.process.wait()
            words = last_words(self.server, self.is_told_to_stop)
            state = "stopped" if self.is_told_to_stop else "died"
            recording.note(event | {"state": state, "words": words})
        self.busy.release()


class Lanes:
    """All lanes, their clients, and the recording of what happens."""

    def __init__(self, own=None):
        """Prepare all servers; own: the words of the command of one's own, or None."""
        self.lanes = lanes(own)
        self.runners = [lane for lane in self.lanes if not lane.why]
        self.recording = Recording(
            {
                "kind": "hello",
                "lanes": [lane.describe() for lane in self.lanes],
                "every": EVERY,
                "client": CLIENT,
                "slow": SLOW,
                "burst": BURST,
                "replay": False,
            }
        )
        self.clients = Clients(self.recording)
        self.table = Table(self.runners, self.clients.waiting, self.recording)
        self.is_closed = threading.Event()
        self.sampler = threading.Thread(target=self.sample, daemon=True)

    def do(self, action, names=None):
        """Do one of ACTIONS to the lanes of these names, at the same moment; None: to all.

        Raises KeyError if there is no lane of that name which runs here.
        """
        by_name = {lane.name: lane for lane in self.runners}
        chosen = self.runners if names is None else [by_name[name] for name in names]
        if action == "start":
            for lane in chosen:
                if lane.busy.acquire(blocking=False):
                    threading.Thread(target=lane.run, args=[self.recording], daemon=True).start()
        elif action == "stop":
            for lane in chosen:
                if lane.is_running():
                    lane.is_told_to_stop = True
                    lane.server.send_signal(signal.SIGTERM)
        else:
            self.clients.send(action, chosen)

    def sample(self):
        """Look at the process table again and again, until the end."""
        while not self.is_closed.is_set():
            begin = time.monotonic()
            self.table.look()
            self.is_closed.wait(max(EVERY / 5, begin + EVERY - time.monotonic()))

    def __enter__(self):
        """Start all servers that run here."""
        self.sampler.start()
        self.do("start")
        return self

    def __exit__(self, *_):
        """End all servers and their children."""
        self.is_closed.set()
        self.sampler.join()
        for lane in self.runners:
            lane.close()
        self.recording.close()


@dataclasses.dataclass
class Seen:
    """A process of a lane, as it was seen last."""

    process: psutil.Process
    lane: Lane
    role: str  # "server" or "child"
    state: str = ""  # "works" or "zombie"

    def look(self):
        """Return its state now: "works", "zombie" or "gone"."""
        if self.state == "zombie":
            return "zombie"
        try:
            status = self.process.status()
        except psutil.ZombieProcess:
            status = psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return "gone"
        # The server is a child of ours: we collect it at once, so it is no zombie for anyone.
        return "zombie" if status == psutil.STATUS_ZOMBIE and self.role == "child" else "works"


class Table:
    """What one pass over the process table tells of the processes of all lanes.

    A process that is seen for the first time is asked for its parent, once. Only those of a lane
    that are at work are asked for their state, and a zombie stays one until it is gone. So
    thousands of other processes, and of zombies, cost next to nothing. We measured a look on two
    busy processors: 1 ms with four servers that wait, and 14 ms of processor time with 600 children
    at work. A look comes each 50 ms, and came after 170 ms at the latest, while all 600 ended.
    """

    def __init__(self, lanes, waiting, recording):
        self.lanes, self.waiting, self.recording = lanes, waiting, recording
        self.servers = {}  # PID: the lane of a server that runs
        self.seen = {}  # PID: the Seen of a process that belongs to a lane
        self.others = set()  # PIDs of processes that belong to no lane

    def look(self):
        """Look once, and note what has changed."""
        servers = {lane.server.pid: lane for lane in self.lanes if lane.is_running()}
        if servers.keys() - self.servers:
            self.others.clear()  # the new server may be among them, and its children
        self.servers = servers
        pids = set(psutil.pids())
        t = round(self.recording.now(), 3)
        self.find_new(pids - self.others - self.seen.keys())
        self.others &= pids
        events = [*self.find_changes(pids, t), *self.count(t)]
        if events:
            self.recording.note(*events)

    def find_new(self, pids):
        """Sort processes that were not seen before: they belong to a lane, or to none."""
        processes, parents = {}, {}
        for pid in pids:
            with contextlib.suppress(psutil.Error):  # it has ended since, or is not shown
                processes[pid] = psutil.Process(pid)
                parents[pid] = processes[pid].ppid()
        for pid in pids:
            ancestor = pid
            while ancestor in parents and ancestor not in self.servers:
                ancestor = parents[ancestor]
            lane = self.servers.get(ancestor)
            if ancestor in self.seen:
                lane = self.seen[ancestor].lane
            if lane and pid in parents:
                role = "server" if pid in self.servers else "child"
                self.seen[pid] = Seen(processes[pid], lane, role)
            else:
                self.others.add(pid)

    def find_changes(self, pids, t):
        """Yield an event for each process of a lane whose state is another one now."""
        for pid, seen in [*self.seen.items()]:
            before, seen.state = seen.state, seen.look() if pid in pids else "gone"
            if seen.state == "gone":
                del self.seen[pid]
            if seen.state != before:
                yield {
                    "kind": "process",
                    "t": t,
                    "lane": seen.lane.name,
                    "pid": pid,
                    "role": seen.role,
                    "state": seen.state,
                }

    def count(self, t):
        """Yield the numbers of each lane that have changed."""
        states = collections.Counter(
            (seen.lane.name, seen.state) for seen in self.seen.values() if seen.role == "child"
        )
        for lane in self.lanes:
            numbers = {
                "zombies": states[lane.name, "zombie"],
                "at_work": states[lane.name, "works"],
                "waiting": self.waiting[lane.name],
                "descriptors": descriptors_of(lane.server) if lane.is_running() else None,
            }
            if numbers != lane.numbers:
                lane.numbers = numbers
                yield {"kind": "numbers", "t": t, "lane": lane.name} | numbers


PATH = [str(ROOT), os.environ.get("PYTHONPATH")]  # where servers of all kinds find the application


def lanes(own=None):
    """Return the lanes, the course's steps first; own: the words of a command, or None."""
    found = []
    for name, title, claim in STEPS:
        command = [sys.executable, str(ROOT / name / "server.py"), APPLICATION, "--port", "0"]
        command += ["--workers", WORKERS] if name == "step06_prefork" else []
        why = "" if name == "step03_wsgi" or hasattr(os, "fork") else NO_FORK
        found.append(Lane(name, title, claim, command, why))
    if own:
        python = [sys.executable] if own[0].endswith(".py") else []
        command = [*python, *own, APPLICATION, "--port", "0"]
        found.append(Lane(OWN, "Your server", " ".join(map(os.path.basename, own)), command))
    return found


def descriptors_of(server):
    """Return how many descriptors a server has open, or None if the system does not tell."""
    with contextlib.suppress(psutil.Error, AttributeError):  # Windows has no num_fds
        return psutil.Process(server.pid).num_fds()
    return None


def last_words(server, is_told_to_stop):
    """Return how a server ended, and what it said on stderr: if it was told to, its traceback."""
    with server.changed:  # children that live on may hold its stderr open: do not wait for them
        server.changed.wait_for(lambda: None in server.lines["stderr"], SOON)
    lines = server.output("stderr")
    others = [] if is_told_to_stop else lines[-LINES:]
    return "\n".join([server.how_it_ended(), *(last_traceback(lines) or others)])
