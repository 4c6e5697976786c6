"""Load for a server: many requests for some seconds, a burst of clients, an echo."""

import asyncio
import http.client
import json
import re
import shutil
import socket
import statistics
import subprocess
import threading
import time

from benchmarks.contenders import FOLDER

WRK = shutil.which("wrk")
CLIENT_SECONDS = 5  # that a client of ours waits for an answer
BURST_SECONDS = 10  # that a client of a burst waits for its answer
REQUEST = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"


def client_name(client):
    """Return what the results say about the client that makes the load."""
    if client == "wrk":
        version = subprocess.run([WRK, "--version"], capture_output=True, text=True).stdout
        return "wrk " + re.search(r"\d+(\.\d+)+", version)[0]
    return "a Python client (wrk is not used: a slow client hides a part of the differences)"


def load(server, connections, seconds, keep_alive, client):
    """Ask a server for / over so many connections at a time, for some seconds.

    Returns a dict: rate, in answered requests a second; p50 and p99, in milliseconds from a
    request to the end of its answer, without the time to connect; errors, a count.
    """
    make_load = load_by_wrk if client == "wrk" else load_by_python
    return make_load(server, connections, seconds, keep_alive)


def load_by_wrk(server, connections, seconds, keep_alive):
    """Make the load with wrk, whose unit of time is a whole second."""
    seconds = max(1, round(seconds))
    command = [WRK, "--threads", "1", "--connections", str(connections)]
    command += ["--duration", f"{seconds}s", "--script", str(FOLDER / "wrk.lua")]
    command += [] if keep_alive else ["--header", "Connection: close"]
    done = subprocess.run(
        [*command, f"{server.url}/"], capture_output=True, text=True, timeout=seconds + 20
    )
    counted = re.search(r"^RESULT (.*)$", done.stdout, re.MULTILINE)
    assert counted, f"wrk failed:\n{done.stdout}{done.stderr}"
    counted = json.loads(counted[1])
    # Some versions of wrk do not count a connection that ends without an answer. Of the requests
    # that it made, one was a rehearsal, and on each connection one may be under way at the end.
    unanswered = max(0, counted["sent"] - 1 - connections - counted["complete"])
    return {
        "rate": (counted["complete"] - counted["status"]) / counted["seconds"],
        "p50": counted["p50"],
        "p99": counted["p99"],
        "errors": counted["status"] + max(counted["other"], unanswered),
    }


def load_by_python(server, connections, seconds, keep_alive):
    """Make the load with a thread for each connection."""
    times, errors = [], []
    began = time.monotonic()
    arguments = (server.address, began + seconds, keep_alive, times, errors)
    threads = [threading.Thread(target=visit, args=arguments) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {
        "rate": len(times) / (time.monotonic() - began),
        "p50": percentile(times, 50),
        "p99": percentile(times, 99),
        "errors": len(errors),
    }


def visit(address, deadline, keep_alive, times, errors):
    """Ask for / once, and again until the deadline; note each time in ms, or the error."""
    connection = http.client.HTTPConnection(*address, timeout=CLIENT_SECONDS)
    headers = {} if keep_alive else {"Connection": "close"}
    while True:
        try:
            if connection.sock is None:
                connection.connect()
            began = time.perf_counter()
            connection.request("GET", "/", headers=headers)
            response = connection.getresponse()
            response.read()
            assert response.status == 200, f"The server answered {response.status}."
            times.append((time.perf_counter() - began) * 1000)
        except (OSError, http.client.HTTPException, AssertionError) as error:
            errors.append(error)
            connection.close()
        if time.monotonic() >= deadline:
            return connection.close()


def percentile(values, percent):
    """Return the value below which so many percent of the values are; 0 if there are none."""
    if len(values) < 2:
        return sum(values)
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def burst(port, count):
    """Let so many clients connect at once. Return a dict of counts, and the slowest, in seconds.

    refused: the connection was refused, or reset; waited: to connect took a second, so the
    kernel sent the SYN again; unanswered: no page came within BURST_SECONDS.
    """

    async def all_at_once():
        return await asyncio.gather(*(visit_once(port) for _ in range(count)))

    visits = asyncio.run(all_at_once())
    return {
        "clients": count,
        "refused": sum(refused for refused, _, _ in visits),
        "waited": sum(connecting >= 0.9 for _, connecting, _ in visits),
        "unanswered": sum(answered is None for _, _, answered in visits),
        "slowest": max(answered or 0 for _, _, answered in visits),
    }


async def visit_once(port):
    """Connect, and ask for /.

    Returns whether the connection was refused or reset, the seconds that it took to connect,
    and the seconds until the answer was complete, or None if none came.
    """
    began = time.monotonic()
    connected = writer = None
    refused = False
    answer = b""
    try:
        async with asyncio.timeout(BURST_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            connected = time.monotonic()
            writer.write(REQUEST)
            answer = await reader.read()
    except ConnectionError:
        refused = True
    except TimeoutError:
        pass
    finally:
        if writer:
            writer.close()
    ended = time.monotonic()
    good = answer.startswith(b"HTTP/1.1 200")
    return refused, (connected or ended) - began, ended - began if good else None


def echo(server, size, seconds):
    """Send pieces of so many bytes, each after the last came back. Return how many a second."""
    piece = bytes(size)
    view = memoryview(bytearray(size))
    count = 0
    with socket.create_connection(server.address, CLIENT_SECONDS) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        began = time.monotonic()
        while (now := time.monotonic()) < began + seconds:
            connection.sendall(piece)
            received = 0
            while received < size:
                length = connection.recv_into(view[received:])
                assert length, "The server ended the connection before all had come back."
                received += length
            count += 1
        return count / (now - began)
