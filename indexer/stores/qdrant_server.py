"""The way to a Qdrant server: its address, one connection a process, retries, errors as ours.

What is asked again must do no harm when it was done already: reads, upserts by id, deletions.
"""

from __future__ import annotations

import atexit
import os
import random
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, TypeVar

from indexer.errors import (
    ConfigError,
    MissingExtraError,
    StoreError,
    StoreUnavailableError,
    SyntopyError,
)
from indexer.stores.qdrant_spec import API_KEY, QdrantSpec

try:
    import grpc
    import httpx
    from qdrant_client import QdrantClient, models
    from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
    from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse
except ImportError as missing:
    raise MissingExtraError(
        "the Qdrant store needs an extra: pip install 'syntopy[qdrant]'"
    ) from missing

__all__ = ["QdrantClient", "Server", "models", "open_server", "release"]

_OLDEST = (1, 18)
"""The first version that adds named vectors to a collection, and inserts without overwriting."""
_READ_SECONDS, _WRITE_SECONDS = 15, 120
_READ_TRIES, _WRITE_TRIES = 3, 6
_FIRST_WAIT, _LONGEST_WAIT = 0.25, 10.0
_T = TypeVar("_T")


class Server:
    """One connection, shared by all stores of a process that go to the same place."""

    def __init__(self, spec: QdrantSpec, client: QdrantClient) -> None:
        self.spec, self._client = spec, client
        self.local = spec.folder is not None
        self.users = 0
        # The local mode lives in this process and was not made for several threads.
        self._turn: Any = threading.RLock() if self.local else nullcontext()

    def read(self, ask: Callable[[QdrantClient], _T]) -> _T:
        """Ask something; soon given up, since somebody waits.

        Raises:
            StoreUnavailableError: the server does not answer.
            StoreError: it refuses.
        """
        return self._tried(ask, _READ_TRIES)

    def write(self, ask: Callable[[QdrantClient, int], _T]) -> _T:
        """Change something, given the seconds that it may take; done when this returns.

        Raises:
            StoreUnavailableError, StoreError: as `read`.
        """
        return self._tried(lambda client: _confirmed(ask(client, _WRITE_SECONDS)), _WRITE_TRIES)

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    def _tried(self, ask: Callable[[QdrantClient], _T], tries: int) -> _T:
        for attempt in range(tries):
            try:
                with self._turn:
                    return ask(self._client)
            except _KNOWN as error:
                wait = _transient(error)
                if wait is None:
                    raise self._refused(error) from error
                if attempt == tries - 1:
                    raise self._unavailable(error) from error
            time.sleep(_pause(attempt, wait))
        raise AssertionError  # the last try returns or raises

    def _unavailable(self, error: Exception) -> StoreUnavailableError:
        return StoreUnavailableError(
            f"the Qdrant server at {self.spec.address} does not answer ({_said(error)}); start it "
            "and do the same again, what it confirmed is kept. To search without it: syntopy "
            "reindex --store faiss"
        )

    def _refused(self, error: Exception) -> SyntopyError:
        said = _said(error)
        if said in ("HTTP 401", "HTTP 403", "UNAUTHENTICATED", "PERMISSION_DENIED"):
            return ConfigError(
                f"the Qdrant server at {self.spec.address} refuses the key ({said}); set {API_KEY} "
                "to one that may read and write this collection"
            )
        if said in ("HTTP 404", "NOT_FOUND"):
            return StoreError(
                f"the Qdrant server at {self.spec.address} has no collection '{self.spec.name}' "
                "any more, or a part of it is gone; make it anew: syntopy reindex"
            )
        return StoreError(f"the Qdrant server at {self.spec.address} refused a request ({said})")


class _UnconfirmedError(Exception):
    """A change was taken but is not done yet."""


def _confirmed(answer: _T) -> _T:
    """The answer, if it says that everything was done.

    A change that is only acknowledged, or was not done in time, counts as not done: the server is
    behind, and waiting for it is what keeps a writer from running away from it.
    """
    for result in answer if isinstance(answer, list) else [answer]:
        status = result.status if isinstance(result, models.UpdateResult) else None
        if status not in (None, models.UpdateStatus.COMPLETED):
            raise _UnconfirmedError
    return answer


_KNOWN = (
    ResponseHandlingException,
    UnexpectedResponse,
    ResourceExhaustedResponse,
    grpc.RpcError,
    _UnconfirmedError,
)
_PASSING = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED", "RESOURCE_EXHAUSTED"}


def _transient(error: Exception) -> float | None:
    """Seconds to wait at least before the next try; None where trying again is no use."""
    match error:
        case ResourceExhaustedResponse():
            return float(error.retry_after_s)
        case ResponseHandlingException():
            return 0.0 if isinstance(error.source, httpx.TransportError) else None
        case UnexpectedResponse():
            status = error.status_code or 0
            return 0.0 if status >= 500 or status == 429 else None
        case _UnconfirmedError():
            return 0.0
    return 0.0 if _said(error) in _PASSING else None


def _pause(attempt: int, at_least: float | None) -> float:
    """Doubling from try to try, and by chance longer, so that clients do not come together."""
    doubled: float = _FIRST_WAIT * 2**attempt * random.uniform(1, 2)
    return min(max(doubled, at_least or 0.0), _LONGEST_WAIT)


def _said(error: Exception) -> str:
    """What went wrong, without the words of the server, which may quote what it was sent."""
    match error:
        case UnexpectedResponse():
            return f"HTTP {error.status_code}"
        case ResourceExhaustedResponse():
            return "HTTP 429"
        case ResponseHandlingException():
            return type(error.source).__name__
        case _UnconfirmedError():
            return "it did not confirm a change in time"
        case grpc.RpcError():
            code = error.code() if hasattr(error, "code") else None
            return code.name if code is not None else "gRPC"
    return type(error).__name__


_OPEN: dict[tuple[object, ...], Server] = {}
_OPENING = threading.Lock()


def open_server(spec: QdrantSpec) -> Server:
    """The connection to where a spec points; `release` it.

    Raises:
        StoreUnavailableError: the server does not answer, or a folder is in use.
        ConfigError: a key would travel in the clear, or the server is too old.
    """
    with _OPENING:
        place = _place(spec)
        server = _OPEN.get(place)
        if server is None:
            server = Server(spec, _local(spec) if spec.folder is not None else _remote(spec))
            if not server.local:
                _check_version(server)
            _OPEN[place] = server
        server.users += 1
        return server


def release(server: Server) -> None:
    """Close a connection when nobody uses it any more."""
    with _OPENING:
        server.users -= 1
        if server.users > 0:
            return
        _OPEN.pop(_place(server.spec), None)
        server.close()


@atexit.register
def _close_all() -> None:
    for server in _OPEN.values():
        server.close()
    _OPEN.clear()


def _place(spec: QdrantSpec) -> tuple[object, ...]:
    return (spec.folder, spec.host, spec.port, spec.tls, spec.grpc, spec.grpc_port)


def _local(spec: QdrantSpec) -> QdrantClient:
    try:
        return QdrantClient(path=str(spec.folder), force_disable_check_same_thread=True)
    except RuntimeError as error:
        raise StoreUnavailableError(
            f"the {spec.address} is in use by another process; its local mode serves one at a time"
        ) from error


def _remote(spec: QdrantSpec) -> QdrantClient:
    key = os.environ.get(API_KEY) or None
    if key and spec.tls is None and spec.host not in ("localhost", "127.0.0.1", "::1"):
        raise ConfigError(
            f"the key in {API_KEY} would travel to {spec.address} in the clear: add tls=1 to the "
            "store's URL, or tls=0 where the way there is safe"
        )
    with warnings.catch_warnings():
        # Of a key without TLS: it is dealt with above.
        warnings.simplefilter("ignore", UserWarning)
        return QdrantClient(
            host=spec.host,
            port=spec.port,
            grpc_port=spec.grpc_port,
            prefer_grpc=spec.grpc,
            https=bool(spec.tls),
            api_key=key,
            timeout=_READ_SECONDS,
            check_compatibility=False,  # it asks in a thread of its own, and warns; see below
        )


def _check_version(server: Server) -> None:
    try:
        said = server.read(lambda client: client.info()).version
        found = tuple(int(part) for part in said.split(".")[:2])
        if found < _OLDEST:
            oldest = ".".join(map(str, _OLDEST))
            raise ConfigError(
                f"the Qdrant server at {server.spec.address} has version {said}; {oldest} or a "
                "newer one is needed"
            )
    except BaseException:
        server.close()
        raise
