"""Look whether this machine has what the course needs, one line for each thing (make doctor).

    python3 -m course.doctor

It runs on any Python from 3.6 on, with nothing installed, since it also says that a Python is too
old. Its exit status is 1 if something is missing that the course cannot do without.
"""

import os
import shutil
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

from course.install import NO_VENV, OLDEST, has_module, python_in, too_old, version_of
from course.language import _

VENV = Path(".venv")
BROWSERS = ["chromium", "chromium-browser", "google-chrome", "firefox", "wslview"]
PORT = 8000  # where the servers listen if nobody says otherwise
MEGABYTES = 100  # that the first make test needs; the notebooks need five times as much
LISTENS = "0A"  # the state of a listening socket in /proc/net/tcp
NEEDED, USEFUL = "!!", "--"  # the signs of what is missing


def look_at_python():
    """Is this Python new enough, or the one in .venv?"""
    version = sys.version_info[:2]
    if max(version, version_of(python_in(VENV)) or version) < OLDEST:
        return NEEDED, too_old(version)
    return None, "Python {}.{}.{} ({})".format(*sys.version_info[:3], sys.executable)


def look_at_venv():
    """Is there a virtual environment that works, or can it be made?"""
    version = version_of(python_in(VENV))
    if version and version >= OLDEST and has_module(python_in(VENV), "pytest"):
        return None, _(".venv, with Python {}.{} and pytest").format(*version)
    if not shutil.which("uv") and not has_module(sys.executable, "ensurepip"):
        return NEEDED, NO_VENV.format(*sys.version_info)
    state = _("is not there yet") if not VENV.exists() else _("is not ready")
    text = _(".venv {}: make setup makes it (on Windows: py -m course.install)")
    return None, text.format(state)


def look_at_fork():
    """Has this system fork?"""
    if hasattr(os, "fork"):
        return None, _("fork: all steps can run")
    return USEFUL, _("No fork: steps 1 to 3 run here, and steps 4 to 6 in WSL")


def look_at_make():
    """Is there make?"""
    return look_for("make", _("guide/how-a-lesson-works.md has the commands without it"))


def look_at_git():
    """Is there git?"""
    return look_for("git", _("Only updates need it, and make diff on Windows"))


def look_at_curl():
    """Is there curl?"""
    return look_for("curl", _("A browser asks the servers, too"))


def look_for(program, without):
    """Say whether there is a program, how to get it, and how one does without it."""
    if shutil.which(program):
        return None, program
    cure = {"linux": f"sudo apt install {program}", "darwin": "xcode-select --install"}
    how = _(" To get it: {}").format(cure[sys.platform]) if sys.platform in cure else ""
    return USEFUL, _("No {}. {}.").format(program, without) + how


def look_at_browser():
    """Is there a browser?"""
    if sys.platform in ("win32", "darwin") or any(map(shutil.which, BROWSERS)):
        return None, _("a browser")
    text = _("No browser here: curl shows the pages, too. In Codespaces use the tab Ports")
    return USEFUL, text


def look_at_proxy():
    """Would programs ask a proxy for what is on this machine?"""
    proxy = urllib.request.getproxies().get("http")
    if not proxy:
        return None, _("no proxy is set")
    if urllib.request.proxy_bypass("127.0.0.1") and urllib.request.proxy_bypass("localhost"):
        return None, _("the proxy {} is not asked for what is on this machine").format(proxy)
    word = "set" if os.name == "nt" else "export"
    command = f"{word} no_proxy=127.0.0.1,localhost"
    text = _("The proxy {} would be asked for your own servers, too: {}")
    return USEFUL, text.format(proxy, command)


def look_at_port():
    """Is the port of the servers free?"""
    with socket.socket() as listener:
        if os.name == "posix":  # as the servers do; on Windows it would mean something else
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", PORT))
        except OSError:
            text = _("Port {} is taken by {}: stop it, or start servers with --port 0")
            return USEFUL, text.format(PORT, holder_of_port() or _("a program that is not yours"))
    return None, _("port {} is free").format(PORT)


def holder_of_port():
    """Return who listens on the port, as far as this user may know it, or None."""
    tables = [path for path in ("/proc/net/tcp", "/proc/net/tcp6") if os.path.exists(path)]
    for table in tables:  # Linux: see proc(5)
        for row in Path(table).read_text().splitlines()[1:]:
            address, state, user, inode = (row.split()[column] for column in (1, 3, 7, 9))
            if address.endswith(f":{PORT:04X}") and state == LISTENS:
                return owner_of_socket(inode) or _("a program of user {}").format(
                    user_name(int(user))
                )
    if not tables and shutil.which("lsof"):  # macOS
        command = ["lsof", "-nP", f"-iTCP:{PORT}", "-sTCP:LISTEN", "-Fpc"]
        output = subprocess.run(command, stdout=subprocess.PIPE, check=False).stdout.decode()
        fields = {line[0]: line[1:] for line in output.splitlines() if line}
        return _("{c} (process {p})").format(**fields) if {"c", "p"} <= set(fields) else None
    return None


def owner_of_socket(inode):
    """Return the command and the PID of a process that has this socket open, or None."""
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if os.readlink(str(link)) == f"socket:[{inode}]":
                words = (link.parent.parent / "cmdline").read_bytes().decode("utf-8", "replace")
                words = words.replace("\0", " ").strip()
                return _("{c} (process {p})").format(c=words, p=link.parts[2])
        except OSError:  # another user's process, or one that has ended since
            pass
    return None


def user_name(number):
    """Return the name of a user."""
    import pwd  # Windows has none

    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def look_at_disk():
    """Is there room for the packages?"""
    free = shutil.disk_usage(".").free // 10**6
    if free < MEGABYTES:
        text = _("Only {} MB are free here, and the packages need {}: make room")
        return NEEDED, text.format(free, MEGABYTES)
    return None, _("{:.1f} GB are free").format(free / 1000)


LOOKS = [
    look_at_python,
    look_at_venv,
    look_at_disk,
    look_at_fork,
    look_at_make,
    look_at_git,
    look_at_curl,
    look_at_browser,
    look_at_proxy,
    look_at_port,
]


def main():
    """Print a line for each thing; return 1 if one is missing that is needed, otherwise 0."""
    signs = []
    for look in LOOKS:
        sign, text = look()
        print(f"  {sign or 'ok'}  {text}")
        signs.append(sign)
    if any(signs):
        print(_("\nFix what a line with !! names before you begin, while -- can wait."))
    return 1 if NEEDED in signs else 0


if __name__ == "__main__":
    sys.exit(main())
