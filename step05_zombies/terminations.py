"""Five ways for a process to end, and what its parent learns from each: see wait(2), _exit(2)."""

import atexit
import os
import signal
import sys

WAYS = [
    ("return from main", lambda: None),
    ("sys.exit(3)", lambda: sys.exit(3)),
    ("os._exit(4)", lambda: os._exit(4)),
    ("os.abort()", os.abort),
    ("a signal, SIGKILL", lambda: os.kill(os.getpid(), signal.SIGKILL)),
]


def main():
    """End a child in each way, one after another, and print what wait says of it."""
    if not hasattr(os, "fork"):
        sys.exit("This program needs os.fork, which Windows lacks. It runs in WSL.")
    for name, end in WAYS:
        print(name, flush=True)
        pid = os.fork()
        if pid == 0:
            atexit.register(print, "    the child's exit handler runs")
            sum(range(1_000_000))  # use some CPU time
            return end()
        _, status, usage = os.wait4(pid, 0)
        print("    the parent learns:", describe(status, usage), flush=True)


def describe(status, usage):
    """Return in words what os.wait4 told: a wait status, and the resources that were used."""
    if os.WIFSIGNALED(status):
        end = f"killed by {signal.Signals(os.WTERMSIG(status)).name}"
        end += ", core dumped" if os.WCOREDUMP(status) else ", no core dump"
    else:
        end = f"ended with exit status {os.WEXITSTATUS(status)}"
    return f"{end}; CPU time {usage.ru_utime + usage.ru_stime:.3f} s"


if __name__ == "__main__":
    main()
