"""Ports for servers that tests start."""

from __future__ import annotations

import socket
from contextlib import suppress
from random import SystemRandom

_BELOW = 32_768
"""From here on Linux gives ports to clients that connect, also to those of other tests."""
_given: set[int] = set()


def free_port() -> int:
    """A port that nobody listens at, nor is given to anybody meanwhile; another one each time."""
    for port in SystemRandom().sample(range(20_000, _BELOW), 500):
        with suppress(OSError), socket.create_server(("", port)):
            if port not in _given:
                _given.add(port)
                return port
    raise AssertionError("too many ports are taken")
