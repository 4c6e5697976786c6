"""The events of the arena: kept for a minute, followed live, saved and replayed.

An event is a dict; its key "t" says when: seconds since the arena began, on one clock.
"""

import json
import threading
import time
import uuid
from pathlib import Path

from course.language import _

MINUTE = 60  # seconds
PAUSE = 0.1  # seconds between two batches: ten a second, at most
HEARTBEAT = 2  # seconds until a word goes to a client that has nothing to hear
ENDS = {"gone", "answered", "failed"}  # states after which nothing more comes


class Recording:
    """What happened in the last minute, and what began before and still lasts."""

    def __init__(self, hello, events=()):
        """Begin now.

        hello: the event that goes before all others, without "now". events: of a saved recording.
        """
        self.hello = hello
        self.name = uuid.uuid4().hex[:8]  # an id of another recording is none of ours
        self.began = time.monotonic()
        self.events = list(enumerate(events, 1))  # (number, event)
        self.count = len(self.events)
        self.dropped = 0  # the highest number of an event that is not kept any more
        self.next_drop = MINUTE
        self.is_closed = False
        self.changed = threading.Condition()

    def now(self):
        """Return the seconds since the arena began; of a saved recording, when it was saved."""
        return self.hello["now"] if self.hello["replay"] else time.monotonic() - self.began

    def note(self, *events):
        """Add events that happen now, or at their "t"."""
        with self.changed:
            for event in events:
                self.count += 1
                self.events.append((self.count, {"t": round(self.now(), 3)} | event))
            if self.now() > self.next_drop:
                self.drop()
            self.changed.notify_all()

    def drop(self):
        """Forget what was over more than a minute ago."""
        horizon = self.now() - MINUTE
        last = {subject(event): event for _, event in self.events}
        newer, kept = set(), []
        for number, event in reversed(self.events):
            about = subject(event)
            is_over = last[about]["t"] < horizon and last[about].get("state") in ENDS
            # A life is kept as a whole, and of numbers that change those that still held then.
            is_replaced = event["kind"] in ("numbers", "server") and about in newer
            if event["t"] >= horizon or not (is_over or is_replaced):
                kept.append((number, event))
            else:
                self.dropped = max(self.dropped, number)
            if event["t"] < horizon:
                newer.add(about)
        self.events = kept[::-1]
        self.next_drop = self.now() + 1

    def follow(self, last=""):
        """Yield what happens, until close: batches of an id and a list of events.

        A batch without events is a heartbeat. last: the id of the last batch that was received. If
        it is not known any more, hello and everything that is kept come first.
        """
        name, _, number = last.partition("-")
        number = int(number) if name == self.name and number.isdecimal() else 0
        with self.changed:
            known = max(1, self.dropped) <= number <= self.count
            batch = [] if known else [self.hello | {"now": self.now()}]
        number = number if known else 0
        while not self.is_closed:
            with self.changed:
                new = (event for n, event in self.events if n > number)
                batch += sorted(new, key=lambda event: event["t"])
                number = self.count
            yield f"{self.name}-{number}", batch
            batch = []
            time.sleep(PAUSE)
            with self.changed:
                self.changed.wait_for(lambda n=number: self.is_closed or self.count > n, HEARTBEAT)

    def minute(self):
        """Return the last minute, a list of events that can be saved and replayed."""
        with self.changed:
            if not self.hello["replay"]:
                self.drop()
            hello = self.hello | {"now": round(self.now(), 3), "replay": True}
            events = (event for _, event in self.events)
            return [hello, *sorted(events, key=lambda event: event["t"])]

    def close(self):
        """Let all who follow come to an end."""
        with self.changed:
            self.is_closed = True
            self.changed.notify_all()


def subject(event):
    """Return what an event is about: the same process, client, server or numbers of a lane."""
    return event["kind"], event["lane"], event.get("pid"), event.get("id")


def load(file):
    """Return the Recording that was saved in a file.

    Raises OSError if it cannot be read, and ValueError if it is no recording.
    """
    text = Path(file).read_bytes()
    try:
        hello, *events = json.loads(text)
        is_hello = hello["kind"] == "hello" and hello["replay"] and isinstance(hello["now"], float)
        lanes = {lane["lane"] for lane in hello["lanes"]}
        are_events = all(event["lane"] in lanes and event["t"] >= 0 for event in events)
    except (KeyError, TypeError, ValueError):
        is_hello = are_events = False
    if not (is_hello and are_events):
        raise ValueError(_("it is no recording of the arena"))
    return Recording(hello, events)
