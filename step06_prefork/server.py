"""Step 6: the same server. Its workers are forked before the first client comes."""

import argparse
import contextlib
import os
import signal
import socket
import sys
import time
import traceback

from http_message import HTTPError, read_request, refuse
from wsgi import load_application, make_environ, run_application

BACKLOG = 1024  # connections that may wait for accept
STOP_SECONDS = 10  # for the children to finish when the server stops
WORKERS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def listen(host, port):
    """Return a socket that listens on an IP address or host name and a TCP port.

    Port 0 lets the kernel choose a free port. Raises OSError if the address cannot
    be had, OverflowError if the port is above 65535, and TypeError if the name cannot be
    one. See listen(2), socket(7).
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)  # 1. create
    try:
        if os.name == "posix":  # on Windows this option would let two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # 2. set options
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind((host, port))  # 3. bind
        listener.listen(BACKLOG)  # 4. listen
    except BaseException:  # the port is taken, for example
        listener.close()
        raise
    return listener


def serve(listener, application, number):
    """Keep a number of workers at work, children that serve clients, forever. See fork(2)."""
    listener.settimeout(1)  # then look again: a signal may have come just before accept
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, it would leave nothing to wait for
    for stop_signal in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop_signal, lambda number, frame: listener.close())
    host, port = listener.getsockname()
    print(f"Listening on http://{host}:{port}", flush=True)
    print(end="", file=sys.stderr, flush=True)  # else each child has a copy of what is buffered
    parent, workers = os.getpid(), set()
    while listener.fileno() != -1:  # until a stop signal has closed it
        while len(workers) < number:
            try:
                pid = os.fork()
            except OSError as error:
                log("server", f"cannot fork: {error.strerror}")
                time.sleep(1)
                break
            if pid == 0:  # in the child
                try:
                    work(listener, application, parent)
                finally:
                    os._exit(0)
            workers.add(pid)
            log("server", f"started child {pid}")
        time.sleep(0.1)
        reap(workers)
    log("server", "stops when its children have finished")
    deadline = time.monotonic() + STOP_SECONDS
    while reap(workers) and time.monotonic() < deadline:
        for pid in workers:  # each time, because a child that has just begun may lose a signal
            os.kill(pid, signal.SIGTERM)
        time.sleep(0.05)
    for pid in workers:
        os.kill(pid, signal.SIGKILL)


def work(listener, application, parent):
    """Serve one client after another, until a stop signal comes, or the server is gone.

    parent: the PID of the server.
    """
    while listener.fileno() != -1 and os.getppid() == parent:
        try:
            connection, address = listener.accept()  # 5. accept
        except TimeoutError:  # nobody came
            continue
        except OSError as error:  # no descriptor is free, for example
            if listener.fileno() != -1:
                log("server", f"cannot accept: {error.strerror}")
                time.sleep(1)
            return  # the parent starts another worker
        try:
            handle(connection, address, application, multiprocess=True)  # 6. read and answer
            with contextlib.suppress(AttributeError, OSError):  # closed, or nobody reads them
                sys.stdout.flush()
                sys.stderr.flush()
        finally:
            connection.close()  # 7. close, and accept again


def reap(workers):
    """Collect the workers that have ended, and return those still at work. See waitpid(2)."""
    for worker in [*workers]:
        pid, status = os.waitpid(worker, os.WNOHANG)
        if pid == worker:
            log(f"child {pid}", f"ended with {os.waitstatus_to_exitcode(status)}")
            workers.remove(pid)
    return workers


def handle(connection, address, application, multiprocess=False):
    """Read one HTTP request from a connected socket, and let the application answer it.

    address: the client's IP address and port, as accept gives them.
    """
    host, port = address or ("?", "?")  # None, on some systems, if the client has gone already
    client = f"{host}:{port}"
    try:
        request = read_request(connection)
        with request.body:
            environ = make_environ(request, connection.getsockname(), (host, port), multiprocess)
            status = run_application(application, environ, connection)
        log(client, f"{request.method} {request.target} {request.version} -> {status}")
    except HTTPError as error:  # this request gets no page
        refuse(connection, error)
        log(client, error)
    except OSError as error:  # this client is lost; the next one is not
        log(client, error)
    except Exception:  # a mistake in this server must not end it
        traceback.print_exc()


def log(who, event):
    """Print one line: the PID of this process, who it is about, and what happened.

    It is a single write(2), so the lines of several processes do not mix. In a pipe, this
    holds for lines of up to PIPE_BUF bytes, 4096 on Linux: see pipe(7).
    """
    line = f"[{os.getpid()}] {who} {event}\n"
    try:
        os.write(sys.stdout.fileno(), line.encode())
    except (AttributeError, OSError, ValueError):  # it is closed, or nobody reads it: serve on
        pass


def main():
    """Read the command line, listen, and serve until Ctrl-C."""
    parser = argparse.ArgumentParser(
        usage=argparse.SUPPRESS,  # a mistake gets one line
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("application", metavar="APPLICATION", nargs="?", help="module:callable")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on; 0: any free one")
    parser.add_argument("--workers", type=int, default=WORKERS, help="processes that serve")
    arguments = parser.parse_args()
    if not arguments.host:  # bind would take it for every interface
        parser.error("argument --host: there is no address in it")
    if arguments.workers < 1:
        parser.error(f"argument --workers: {arguments.workers} is less than 1")
    if not hasattr(os, "fork"):
        parser.error("This server needs os.fork, which Windows lacks. It runs in WSL.")
    try:
        application = load_application(arguments.application)
    except ValueError as error:
        parser.error(f"cannot load {arguments.application}: {error}")
    try:
        listener = listen(arguments.host, arguments.port)
    except (OSError, OverflowError, TypeError) as error:
        parser.error(f"cannot listen on {arguments.host}:{arguments.port}: {error}")
    with listener, contextlib.suppress(KeyboardInterrupt):
        serve(listener, application, arguments.workers)


if __name__ == "__main__":
    main()
