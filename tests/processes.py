"""What the tests of steps 4 to 6 share: processes as psutil sees them, and requests that wait."""

import contextlib
import os
import signal
import socket
import threading
import time

import psutil

from tests.harness import (
    PATIENCE,
    connect,
    format_request,
    get,
    is_at_work,
    last_traceback,
    open_reply,
    read_body,
    wait_until,
)

SOON = 0.3 * PATIENCE  # seconds in which something comes, if nothing holds it up
STOP_SECONDS = 10  # that a server has for its children when it stops
ROOM = 3  # seconds that a busy machine may be late
SPARE = 5  # descriptors that a server may open once, for itself


class RequestAtGate:
    """A request that has begun and waits at a gate: the PID of its process, and its reply."""

    def __init__(self, gate, server, version="HTTP/1.1", timeout=PATIENCE):
        with contextlib.ExitStack() as stack:
            self.connection = stack.enter_context(connect(server, timeout))
            self.connection.sendall(format_request(gate.target, version=version))
            self.response = stack.enter_context(open_reply(self.connection))
            self.pid = int(self.response.readline())
            self.connection.settimeout(PATIENCE)
            self.open = stack.pop_all()

    def rest(self):
        """Return what else comes of the body, and note whether it is whole: in is_whole."""
        rest, self.is_whole = read_body(self.response)
        return rest

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.open.close()


def children(server):
    """Return the PIDs of a server's children, those that have ended among them."""
    try:
        return [child.pid for child in psutil.Process(server.pid).children()]
    except psutil.NoSuchProcess:
        raise AssertionError(server.state()) from None


def who_answers(server):
    """Return two PIDs: of the process that answers a request, and of its parent."""
    pid, parent_pid = get(server, "/process").body.split()
    return int(pid), int(parent_pid)


def check_answer(server, when):
    """Check that a client gets its page, though something happened: when, in words."""
    try:
        status = get(server, "/process", timeout=SOON).status
    except (OSError, AssertionError) as problem:
        status = problem
    assert status == 200, f"{when}, and the next client got: {status}"


def is_refused(server):
    """Return whether the server takes no new connection."""
    try:
        socket.create_connection(server.address, SOON).close()
    except OSError as error:  # not if it is a TimeoutError: a queue that is full is still there
        return isinstance(error, ConnectionError)
    return False


def check_gone(server, pid, hint):
    """Wait until a process is no child of the server any more. Fail with the hint if it stays."""
    with contextlib.suppress(AssertionError):
        wait_until(lambda: pid not in children(server), "", SOON)
    state = "is still at work" if is_at_work(pid) else "has ended, and stays as a zombie"
    assert pid not in children(server), f"Process {pid} {state}. {hint}"


def check_no_traceback(server, event, since=0):
    """Check that a server printed no traceback, because an event, in words, is no mistake.

    since: how many lines of stderr are old.
    """
    traceback = last_traceback(server.output("stderr")[since:])
    assert not traceback, (
        f"{event} is no mistake of the server, so it should print no traceback:\n"
        + "\n".join(traceback)
    )


def check_prints_once(server, stream, number, hint):
    """Check that what an application prints is on a stream once, after a signal: its number."""
    for text in ("first", "second"):
        get(server, f"/print?{text}", to_end=True)
    server.send_signal(number)
    server.wait()
    output = "\n".join(server.output(stream))
    counts = [output.count("<first>"), output.count("<second>")]
    assert counts == [1, 1], (
        "The application wrote <first> and <second>, without a line end, and they came out on "
        f"{stream} {counts[0]} and {counts[1]} times, not once each. {hint} On {stream} there is "
        + (f"this:\n{output}" if output else "nothing.")
    )


def check_end(server, seconds=PATIENCE):
    """Check that a server which was told to stop ends with status 0, and no traceback."""
    check_status(server, seconds)
    check_no_traceback(server, "A signal that tells it to stop")


def check_status(server, seconds=PATIENCE):
    """Check that a server which was told to stop ends with status 0.

    Where a language leaves it to the system, the signal itself ends the server. A shell adds 128.
    """
    try:
        status = server.wait(seconds)
    except AssertionError as problem:
        raise AssertionError(
            f"{problem}\nIt was told to stop, and these are its children: {children(server)}"
        ) from None
    signals = signal.SIGINT, signal.SIGTERM
    assert status in {0, *(-number for number in signals), *(128 + number for number in signals)}, (
        f"A server that is told to stop should end with status 0, but the status is {status}. "
        f"{server.state()}"
    )


def processor_seconds(server):
    """Return a function: the seconds of processor time that a server has used since this call."""

    def used():
        processes = [psutil.Process(pid) for pid in (server.pid, *children(server))]
        return sum(sum(process.cpu_times()[:2]) for process in processes)

    before = used()
    return lambda: used() - before


def stop_with_endless_requests(start, gate, *arguments):
    """Stop servers that have a request which does not end. Return what became of each.

    It is a list: how it was stopped, in words; after how many seconds it ended, None if it did
    not; the server; and the PID of the process that serves the request. All run side by side.
    """
    cases = {
        "SIGTERM": (signal.SIGTERM, False),
        "SIGINT": (signal.SIGINT, False),
        "SIGTERM, with a child that SIGSTOP has stopped,": (signal.SIGTERM, True),
    }
    results = []

    def stop(name, number, server, request):
        begin = time.monotonic()
        server.send_signal(number)
        has_ended = not server.is_running(STOP_SECONDS + ROOM)
        results.append((name, time.monotonic() - begin if has_ended else None, server, request.pid))

    with contextlib.ExitStack() as stack:
        threads = []
        for name, (number, is_stopped) in cases.items():
            server = start(*arguments)
            request = stack.enter_context(RequestAtGate(gate, server))
            if is_stopped:
                os.kill(request.pid, signal.SIGSTOP)
            words = name, number, server, request
            threads.append(threading.Thread(target=stop, args=words))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return results
