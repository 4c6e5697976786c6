"""The lanes of the arena: a server each. They are started, stopped, and watched from outside."""

import contextlib
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
APPLICATION = "arena.application:application"
STEPS = [
    ("step03_wsgi", "Step 3", "One after the other: the second client waits."),
    ("step04_fork", "Step 4", "Nobody waits, and nobody cleans up."),
    ("step05_zombies", "Step 5", "Nobody waits, and no zombie stays."),
    ("step06_prefork", "Step 6", "Workers stand ready: as many at once as there are workers."),
]
NO_FORK = "It needs os.fork, which Windows lacks. It runs in WSL."
OWN = "own"  # the name of the lane of one's own server
ACTIONS = {*REQUESTS, "start", "stop"}


class Lane:
    """A server that can be started again, and what is known of it."""

    def __init__(self, name, title, claim, command, why=""):
        """Describe a lane; command: a list of words that start it. why: why it cannot run here."""
        self.name, self.title, self.claim, self.command, self.why = name, title, claim, command, why
        self.server = None  # the last one that was started
        self.address = None  # where it listens, or did
        self.is_busy = False  # it is being started, or runs
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

    def run(self, recording):
        """Start the server, and wait until it has ended; note both in a recording."""
        if self.server:
            self.server.kill()  # children that have outlived it
        self.is_told_to_stop = False
        environment = {"PYTHONPATH": os.pathsep.join(filter(None, PATH))}
        event = {"kind": "server", "lane": self.name}
        try:
            self.server = Server(self.command, ROOT, environment)
        except (AssertionError, OSError) as error:
            recording.note(event | {"state": "died", "words": str(error)})
        else:
            self.address = self.server.address
            recording.note(event | {"state": "runs", "words": ""})
            self.server.process.wait()
            state = "stopped" if self.is_told_to_stop else "died"
            t = round(recording.now(), 3)
            words = last_words(self.server)
            recording.note(event | {"t": t, "state": state, "words": words})
        self.is_busy = False


class Lanes:
    """All lanes, their clients, and the recording of what happens."""

    def __init__(self, own=None):
        """Start all servers that run here; own: the words of the command of one's own, or None."""
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
        self.watcher = threading.Thread(target=self.watch)
        self.watcher.start()
        self.do("start", None)

    def do(self, action, name):
        """Do one of ACTIONS to the lane of a name, or to all; raises KeyError for other names."""
        by_name = {lane.name: lane for lane in self.runners}
        chosen = self.runners if name is None else [by_name[name]]
        if action == "start":
            for lane in chosen:
                if not lane.is_busy:
                    lane.is_busy = True
                    threading.Thread(target=lane.run, args=[self.recording], daemon=True).start()
        elif action == "stop":
            for lane in chosen:
                if lane.is_busy and lane.server:
                    lane.is_told_to_stop = True
                    lane.server.send_signal(signal.SIGTERM)
        else:
            self.clients.send(action, chosen)

    def watch(self):
        """Look at the process table again and again, until the end."""
        while not self.is_closed.is_set():
            begin = time.monotonic()
            self.table.look()
            self.is_closed.wait(max(EVERY / 5, begin + EVERY - time.monotonic()))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """End all servers and their children."""
        self.is_closed.set()
        self.watcher.join()
        for lane in self.runners:
            if lane.server:
                lane.server.kill()
        self.recording.close()


class Table:
    """What one pass over the process table tells of the processes of all lanes.

    A process that is seen for the first time is asked for its parent, once. Only those of a lane
    that are at work are asked for their state, and a zombie stays one until it is gone. So
    thousands of other processes, and of zombies, cost next to nothing.
    """

    def __init__(self, lanes, waiting, recording):
        self.lanes, self.waiting, self.recording = lanes, waiting, recording
        self.servers = set()  # PIDs
        self.owners = {}  # PID: the lane that a process belongs to
        self.states = {}  # PID: its last state
        self.processes = {}  # PID: the psutil.Process of one that is at work
        self.others = set()  # PIDs of processes that belong to no lane

    def look(self):
        """Look once, and note what has changed."""
        servers = {lane.server.pid: lane for lane in self.lanes if lane.server}
        pids = set(psutil.pids())
        t = round(self.recording.now(), 3)
        if servers.keys() - self.servers:
            self.others.clear()  # the new server may be among them, and its children
        self.servers = set(servers)
        new = {pid: parent_of(pid) for pid in pids - self.others - self.owners.keys()}
        for pid in new:
            ancestor = pid
            while ancestor in new and ancestor not in servers:
                ancestor = new[ancestor]
            if lane := servers.get(ancestor) or self.owners.get(ancestor):
                self.owners[pid] = lane
        self.others = (self.others | new.keys()) & pids - self.owners.keys()
        events = [*self.find_changes(pids, t), *self.count(t)]
        if events:
            self.recording.note(*events)

    def find_changes(self, pids, t):
        """Yield an event for each process of a lane whose state is another one now."""
        for pid, lane in [*self.owners.items()]:
            before = self.states.get(pid)
            state = self.state_of(pid) if pid in pids else "gone"
            if state == "gone":
                del self.owners[pid]
                self.processes.pop(pid, None)
                self.states.pop(pid, None)
            else:
                self.states[pid] = state
            if state != before and (before or state != "gone"):
                yield {
                    "kind": "process",
                    "t": t,
                    "lane": lane.name,
                    "pid": pid,
                    "role": "server" if pid in self.servers else "child",
                    "state": state,
                }

    def state_of(self, pid):
        """Return "works", "zombie" or "gone"."""
        if self.states.get(pid) == "zombie":
            return "zombie"
        try:
            if pid not in self.processes:
                self.processes[pid] = psutil.Process(pid)
            status = self.processes[pid].status()
        except psutil.ZombieProcess:
            status = psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return "gone"
        except psutil.AccessDenied:
            return "works"
        return "zombie" if status == psutil.STATUS_ZOMBIE and pid not in self.servers else "works"

    def count(self, t):
        """Yield the numbers of each lane that have changed."""
        for lane in self.lanes:
            states = [
                self.states[pid]
                for pid, owner in self.owners.items()
                if owner is lane and pid not in self.servers
            ]
            numbers = {
                "zombies": states.count("zombie"),
                "at_work": states.count("works"),
                "waiting": self.waiting[lane.name],
                "descriptors": descriptors_of(lane.server),
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


def parent_of(pid):
    """Return the PID of a process's parent, or None if the system does not tell."""
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).ppid()
    return None


def descriptors_of(server):
    """Return how many descriptors a server has open, or None if the system does not tell."""
    with contextlib.suppress(psutil.Error, AttributeError):  # Windows has no num_fds
        return psutil.Process(server.pid).num_fds() if server else None
    return None


def last_words(server):
    """Return how a server ended, and what it said on stderr in the end."""
    server.is_running(0)
    lines = server.output("stderr")
    lines = last_traceback(lines) or lines
    return "\n".join([server.how_it_ended(), *lines[-LINES:]])
