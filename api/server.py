"""The server that an application runs in, and the socket that it listens on."""

from __future__ import annotations

import asyncio
import socket

import uvicorn
from fastapi import FastAPI

from api.connections import ConnectionLimits, bounded
from indexer.errors import ConfigError

_GRACE_SECONDS, _BACKLOG = 30, 2048


def server_of(app: FastAPI, limits: ConnectionLimits | None = None) -> uvicorn.Server:
    """A server for one application in this process; it logs as the process does.

    When it is told to end, it takes no more requests and answers those that it has, for half a
    minute at most.
    """
    return _Server(
        app.state.ending,
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            http=bounded(limits or ConnectionLimits()),
            ws="none",
            timeout_graceful_shutdown=_GRACE_SECONDS,
        ),
    )


class _Server(uvicorn.Server):
    """A server that tells its application when it begins to end.

    Without it, answers that only end with the application would be waited for in vain.

    Args:
        ending: is set then.
        config: of the server.
    """

    def __init__(self, ending: asyncio.Event, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._ending = ending

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more requests, answer those that there are, and end."""
        self._ending.set()
        await super().shutdown(sockets)


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0 takes a free one.

    Raises:
        ConfigError: the port is taken, or the address is not one of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ConfigError(f"cannot listen on {host}, port {port}: {error.strerror}") from error
    # Connections take this over. Headers and body are sent one after the other, and else the
    # second would wait 40 ms for the client to confirm the first.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
