"""The server that an application runs in, and the socket that it listens on."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

import uvicorn
from fastapi import FastAPI

from api.connections import Connection
from indexer.config import Settings
from indexer.errors import ConfigError

_GRACE_SECONDS, _BACKLOG = 30, 2048


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
            http=Connection,
            ws="none",
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
    )


@contextmanager
def indexing(settings: Settings) -> Iterator[None]:
    """Another process that indexes what arrives, so that it takes no time from answers.

    It is told to end with this one, and what it has not indexed waits for the next.
    """

    def ended(number: int, _frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    # A server passes the signal on that ended it, and its default would end this process at once.
    signal.signal(signal.SIGTERM, ended)
    command = [sys.executable, "-m", "api.cli.main", "arrivals", "--follow", "--json"]
    command += ["-L", str(settings.library)]
    with subprocess.Popen(  # noqa: S603 - our own command
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ) as process:
        try:
            yield
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


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
