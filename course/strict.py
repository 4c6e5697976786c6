"""A plugin of pytest: each server runs as under python -X dev -W error, and warns of nothing.

A file or socket that nobody closed gives a warning, which stays out of sight without these options.
"""

import os

from tests.harness import Server


def pytest_configure():
    """Let all servers run so, and let a test fail whose server printed a warning."""
    os.environ.update(PYTHONDEVMODE="1", PYTHONWARNINGS="error")
    kill = Server.kill

    def kill_and_look(server):
        kill(server)
        warnings = [line for line in server.output("stderr") if "Warning" in line]
        assert not warnings, "The server printed warnings:\n" + "\n".join(warnings)

    Server.kill = kill_and_look
