"""A command as a child of the service: it never outlives the service.

``python -m api.child arrivals --follow`` runs that command of ``syntopy``. Its standard input is a
pipe that the parent holds open and never writes to. When that ends, the parent is gone, by
whatever signal; then the child is told to end as by Ctrl-C, and killed if it does not.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

_NICE = 5
_GRACE_SECONDS = 20.0


def _follow_parent() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(_GRACE_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Run the command of the arguments, below the priority of the service."""
    os.nice(_NICE)
    threading.Thread(target=_follow_parent, name="parent", daemon=True).start()
    from api.cli.main import run  # noqa: PLC0415 - the parent may be gone before all is loaded

    sys.argv[0] = "syntopy"
    run()


if __name__ == "__main__":
    main()
