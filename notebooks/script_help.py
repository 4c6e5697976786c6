"""For the scripts in the notebooks, which run as processes of their own: states and limits."""

import os
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent


def state(pid):
    """Return the state of a process in a word, such as "zombie", or "gone" if there is none."""
    try:
        return psutil.Process(pid).status()
    except psutil.ZombieProcess:  # macOS does not tell more of it
        return psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return "gone"


def wait_for(pid, *states):
    """Wait until a process is in one of these states. This does not reap it."""
    while state(pid) not in states:
        time.sleep(0.01)


def limit_processes(room):
    """Allow this process's user so many more processes. Root becomes a user without any before."""
    import resource  # which Windows lacks

    if os.geteuid() == 0:  # the limit does not bind root
        user = 20_000 + os.getpid() % 40_000
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    used = 0
    for process in psutil.process_iter(["uids", "num_threads"]):
        if process.info["uids"] and process.info["uids"].real == os.getuid():
            used += process.info["num_threads"] or 1
    resource.setrlimit(resource.RLIMIT_NPROC, (used + room, used + room))
