"""A WSGI application for the tests of steps 4 to 6: it shows its process, waits, and ends.

A server in another language has its pages built in: see "In another language" in the README of
step 4. What stands above the class Gate are hooks, for the tests that need Python.
"""

import atexit
import contextlib
import errno
import os
import resource
import signal
import subprocess
import sys
import urllib.parse

counter = 0

if "NOTE_AT_EXIT" in os.environ:  # a file: a line is added by each process that runs its handlers

    @atexit.register
    def note_at_exit():
        with open(os.environ["NOTE_AT_EXIT"], "a") as file:
            file.write(f"{os.getpid()}\n")


if "PRINT_AT_IMPORT" in os.environ:  # text that stays in a buffer, since no line ends
    sys.stdout.write(os.environ["PRINT_AT_IMPORT"])
    sys.stderr.write(os.environ["PRINT_AT_IMPORT"])

if "FORK_FAILS_WHILE" in os.environ:  # a file: fork fails as long as it exists
    switch = os.environ["FORK_FAILS_WHILE"]
    real_fork = os.fork

    def fork():
        if not os.path.exists(switch):
            return real_fork()
        with open(f"{switch}.tries", "a") as tries:  # so the test sees it
            tries.write(".")
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    os.fork = fork


class Gate:
    """The tests' end of a named pipe, at which many requests wait until the same moment."""

    def __init__(self, path):
        os.mkfifo(path)
        self.path = path
        self.descriptor = os.open(path, os.O_RDWR)
        self.target = f"/gate?{urllib.parse.quote(str(path))}"

    def open(self):
        """Let all requests that wait at the gate go on."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.open()


def application(environ, start_response):
    """Answer with the page that the path names; its argument is the query."""
    page = PAGES[environ["PATH_INFO"]]
    argument = urllib.parse.unquote(environ.get("QUERY_STRING", ""))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return page(environ, argument)


def show_process(environ, argument):
    """Show the PID of this process and of its parent."""
    return [f"{os.getpid()} {os.getppid()}".encode()]


def count(environ, argument):
    """Add one to a variable of this module, and show it."""
    global counter
    counter += 1
    return [str(counter).encode()]


def show_python(environ, argument):
    """Show the version of Python. No server in another language has this page."""
    return [sys.version.encode()]


def show_multiprocess(environ, argument):
    """Show whether the server says that other processes run this application, too."""
    return [str(bool(environ["wsgi.multiprocess"])).encode()]


def big(environ, argument):
    """Send more than the kernel's buffers hold."""
    return [b"x" * 1_000_000] * 32


def large(environ, number):
    """Send so many bytes, in one piece."""
    return [b"x" * int(number)]


def wait_at_gate(environ, gate):
    """Send the PID, then wait until the named pipe is closed at its other end, then send the rest.

    See Gate.
    """
    with open(gate, "rb") as pipe:
        yield f"{os.getpid()}\n".encode()
        pipe.read()
    yield b"the rest"


def print_text(environ, text):
    """Print a text in brackets, and no line end: it stays in the buffers of this process."""
    sys.stdout.write(f"<{text}>")
    environ["wsgi.errors"].write(f"<{text}>")
    return [b"printed"]


def end(environ, way):
    """Send the PID. Then end in one of several ways."""
    yield str(os.getpid()).encode()
    if way == "raise":
        raise RuntimeError("the application failed")
    elif way == "KeyboardInterrupt":
        raise KeyboardInterrupt
    elif way == "close":
        sys.stdout.close()
        sys.stderr.close()
        os.close(1)
        os.close(2)
    elif way == "sys.exit":
        sys.exit(5)
    elif way == "_exit":
        os._exit(3)
    elif way == "abort":
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # leave no core file behind
        os.abort()
    elif way == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif way == "terminate":
        os.kill(os.getpid(), signal.SIGTERM)
    else:
        assert way == "return"


def run_program(environ, argument):
    """Run a program that ends with status 3, and show the status that subprocess reports."""
    with subprocess.Popen(["sh", "-c", "exit 3"]) as program:
        if hasattr(os, "waitid"):  # be late: who else asks for the status has it by now
            with contextlib.suppress(ChildProcessError):
                os.waitid(os.P_PID, program.pid, os.WEXITED | os.WNOWAIT)
        return [str(program.wait()).encode()]


def use_up_descriptors(environ, argument):
    """Let this process open no more, as if all its descriptors were in use."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    return [b"none are left"]


PAGES = {
    "/process": show_process,
    "/count": count,
    "/python": show_python,
    "/multiprocess": show_multiprocess,
    "/big": big,
    "/large": large,
    "/gate": wait_at_gate,
    "/print": print_text,
    "/end": end,
    "/program": run_program,
    "/descriptors": use_up_descriptors,
}
