"""The server that an application runs in."""

from __future__ import annotations

import uvicorn
from fastapi import FastAPI

_GRACE_SECONDS = 30


def server_of(app: FastAPI) -> uvicorn.Server:
    """A server for one application in this process; it logs as the process does.

    When it is told to end, it takes no more requests and answers those that it has, for half a
    minute at most.
    """
    return uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            http="h11",
            ws="none",
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
    )
