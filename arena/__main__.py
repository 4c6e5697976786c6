"""The arena: every server side by side in a browser, and a bar for each process and client.

    python -m arena [--server COMMAND] [--replay FILE] [--port 8100]

It opens no browser: it prints the address of its page, and runs until Ctrl-C.
"""

import argparse
import contextlib
import logging
import signal

import pytest
import waitress

from arena import recording
from arena.lanes import Lanes
from arena.site import make_site
from course.language import _
from tests.fixtures import find_server

THREADS = 32  # each page that is open has one for its events


def port(text):
    """Return the number of a port, from 0 to 65535; raises ValueError if a text is none."""
    number = int(text)
    if number not in range(65536):  # else a system takes what is left of it in two bytes
        raise ValueError(text)
    return number


def main():
    """Read the command line, start the servers, and show them until Ctrl-C."""
    text = _("Every server side by side in a browser, and a bar for each process and client.")
    parser = argparse.ArgumentParser("python -m arena", description=text)
    text = _("your own, such as mine/server.py")
    parser.add_argument("--server", metavar="COMMAND", help=text)
    text = _("a saved minute, with no server behind it")
    replay_option = parser.add_argument("--replay", metavar="FILE", help=text)
    text = _("of the page; 0: any free one")
    port_option = parser.add_argument("--port", type=port, default=8100, help=text)
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.suppress(KeyboardInterrupt))
        try:
            own = find_server(arguments.server) if arguments.server else None
            replay = recording.load(arguments.replay) if arguments.replay else None
        except pytest.UsageError as error:
            parser.error(str(error))
        except (OSError, ValueError) as error:
            parser.error(argparse.ArgumentError(replay_option, f"{arguments.replay}: {error}"))
        lanes = None if replay else Lanes(own)
        shown = replay or lanes.recording

        def stop(*_):
            shown.close()  # else a page that is open would hold up the end
            raise KeyboardInterrupt

        logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # it has words for the end
        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGTERM, stop)
        site = make_site(shown, lanes and lanes.do)
        try:
            server = waitress.create_server(
                site, host="127.0.0.1", port=arguments.port, threads=THREADS
            )
        except OSError as error:
            parser.error(argparse.ArgumentError(port_option, f"{arguments.port}: {error}"))
        if lanes:
            stack.enter_context(lanes)
        address = f"http://127.0.0.1:{server.effective_port}"
        print(_("Arena on {address}").format(address=address), flush=True)
        server.run()


if __name__ == "__main__":
    main()
