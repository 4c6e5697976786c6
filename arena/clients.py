"""The clients of the arena: each is a connection of its own, and tells what becomes of it."""

import asyncio
import collections
import contextlib
import itertools
import threading

from tests.harness import format_request, parse_reply

CLIENT, SLOW, BURST = 0.3, 5, 50  # seconds, seconds, clients
PATIENCE = 180  # seconds: a burst of 50 waits for 50 on step 3, and one may press several times
POST = "POST", ["Content-Length: 0"]
REQUESTS = {
    "client": format_request(f"/?seconds={CLIENT}"),
    "slow": format_request(f"/?seconds={SLOW}"),
    "burst": format_request("/?seconds=1"),
    "silent": b"",
    "crash": format_request("/crash", *POST),
}


class Clients:
    """All clients that are on their way; they live in a thread of their own."""

    def __init__(self, recording):
        self.recording = recording
        self.waiting = collections.Counter()  # by the name of a lane
        self.ids = collections.defaultdict(lambda: itertools.count(1))  # as well
        self.tasks = set()  # asyncio itself does not keep them
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def send(self, what, lanes):
        """Send the same clients to several lanes at the same moment; what: a key of REQUESTS."""
        self.loop.call_soon_threadsafe(self._send, what, lanes)

    def _send(self, what, lanes):
        for _ in range(BURST if what == "burst" else 1):
            for lane in lanes:
                task = self.loop.create_task(self._visit(lane, what))
                self.tasks.add(task)
                task.add_done_callback(self.tasks.discard)

    async def _visit(self, lane, what):
        client = {
            "kind": "client",
            "lane": lane.name,
            "id": next(self.ids[lane.name]),
            "what": what,
        }
        self.recording.note(client | {"state": "waits", "words": ""})
        self.waiting[lane.name] += 1
        is_served, is_well, data = False, False, bytearray()
        try:
            async with asyncio.timeout(PATIENCE), connection(lane.address) as (reader, writer):
                writer.write(REQUESTS[what])
                while piece := await reader.read(65536):
                    data += piece
                    if not is_served:
                        is_served = True
                        self.waiting[lane.name] -= 1
                        self.recording.note(client | {"state": "served", "words": ""})
            is_well, words = judge(bytes(data))
        except TimeoutError:
            words = f"gave up after {PATIENCE} seconds"
        except ConnectionRefusedError:
            words = "connection refused"
        except ConnectionResetError:
            words = "connection reset"
        except OSError as error:
            words = str(error)
        if not is_served:
            self.waiting[lane.name] -= 1
        self.recording.note(client | {"state": "answered" if is_well else "failed", "words": words})


@contextlib.asynccontextmanager
async def connection(address):
    """Connect to an address, a host and a port, and give the two streams; close them in the end.

    Raises OSError. address: None if the server was never there.
    """
    if address is None:
        raise OSError("no server listens")
    reader, writer = await asyncio.open_connection(*address)
    try:
        yield reader, writer
    finally:
        writer.close()


def judge(data):
    """Return whether the bytes of an answer are a good one, and its status, or what is wrong."""
    if not data:
        return False, "the connection ended without an answer"
    try:
        reply = parse_reply(data)
    except AssertionError as error:
        return False, str(error)
    status = f"{reply.status} {reply.reason}".strip()
    if not reply.is_whole:
        return False, f"{status}, but the answer was cut"
    return reply.status < 400, status
