"""The arena: every server side by side in a browser, and a line for each life.

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
from tests.fixtures import find_server

THREADS = 32  # each page that is open has one for its events


def main():
    """Read the command line, start the servers, and show them until Ctrl-C."""
    parser = argparse.ArgumentParser("python -m arena", description=__doc__.splitlines()[0])
    parser.add_argument("--server", metavar="COMMAND", help="your own, such as mine/server.py")
    parser.add_argument("--replay", metavar="FILE", help="a saved minute, with no server behind it")
    parser.add_argument("--port", type=int, default=8100, help="of the page; 0: any free one")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.suppress(KeyboardInterrupt))
        try:
            own = find_server(arguments.server) if arguments.server else None
            replay = recording.load(arguments.replay) if arguments.replay else None
        except pytest.UsageError as error:
            parser.error(str(error))
        except (OSError, ValueError) as error:
            parser.error(f"argument --replay: {arguments.replay}: {error}")
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
            parser.error(f"argument --port: {arguments.port}: {error}")
        if lanes:
            stack.enter_context(lanes)
        print(f"Arena on http://127.0.0.1:{server.effective_port}", flush=True)
        server.run()


if __name__ == "__main__":
    main()
