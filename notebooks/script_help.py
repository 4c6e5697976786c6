"""For the scripts in the notebooks, which run as processes of their own: what state one is in."""

import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent


def state(pid):
    """Return the state of a process in a word, such as "zombie", or "gone" if there is none."""
    try:
        return psutil.Process(pid).status()
    except psutil.NoSuchProcess:
        return "gone"


def wait_for(pid, *states):
    """Wait until a process is in one of these states. This does not reap it."""
    while state(pid) not in states:
        time.sleep(0.01)
