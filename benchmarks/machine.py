"""What this machine is and allows, and what a server uses of it."""

import contextlib
import datetime
import importlib.metadata
import os
import platform
import sys
from pathlib import Path

import psutil

try:
    import resource
except ImportError:
    sys.exit("Steps 4 to 6 need os.fork, which Windows lacks. The benchmark runs in WSL.")

PACKAGES = ["Flask", "Werkzeug", "waitress", "cheroot", "gunicorn"]
PROCESS_LIMITS = [  # files that hold a number, on Linux; the last two in a container
    "/proc/sys/kernel/pid_max",
    "/proc/sys/kernel/threads-max",
    "/sys/fs/cgroup/pids.max",
    "/sys/fs/cgroup/pids/pids.max",
]


def processors():
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def about():
    """Return a dict: when and on what kind of machine we measure. No name of the machine."""
    return {
        "date": datetime.date.today().isoformat(),
        "processors": processors(),
        "system": f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
    }


def room_for_processes():
    """Return how many more processes the system lets us have. A zombie counts as one."""
    limits = [resource.getrlimit(resource.RLIMIT_NPROC)[0]]
    for file in PROCESS_LIMITS:
        with contextlib.suppress(OSError, ValueError):  # there is no such file, or it says "max"
            limits.append(int(Path(file).read_text()))
    limits = [limit for limit in limits if limit != resource.RLIM_INFINITY]
    return max(0, min(limits, default=0) - len(psutil.pids()))


def make_room_for_descriptors(count):
    """Let this process and its children have so many open files, if the system allows it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


def memory(pid):
    """Return the bytes of memory that a process and its children have now.

    What several processes share counts once where the system can tell: that is the
    proportional set size of proc(5), on Linux. Elsewhere only what is not shared counts.
    """
    total = 0
    parent = psutil.Process(pid)
    for process in [parent, *parent.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):  # or it is a zombie
            used = process.memory_full_info()
            total += getattr(used, "pss", used.uss)
    return total


def children(pid):
    """Return the children of a process: a dict from each PID to whether it is a zombie."""
    return {
        process.pid: process.info["status"] == psutil.STATUS_ZOMBIE
        for process in psutil.process_iter(["ppid", "status"])
        if process.info["ppid"] == pid
    }
