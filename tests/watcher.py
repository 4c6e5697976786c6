"""End the servers that a test run leaves behind, however that run itself ends.

The test run writes "+123" when it starts the process group 123, and "-123" when it has ended
it. When the run is over, even by kill -9, our standard input ends: then we end what is left.
"""

import contextlib
import os
import signal
import sys

signal.signal(signal.SIGINT, signal.SIG_IGN)
groups = set()
for line in sys.stdin:
    group = int(line[1:])
    if line[0] == "+":
        groups.add(group)
    else:
        groups.discard(group)
for group in groups:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
