"""Clients that follow jobs: server-sent events (HTML Living Standard, 9.2).

All that are followed are looked up together, twice a second, by one thread at a time that is none
of those that answer requests; whoever waits for an event holds nothing but a connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Self

import anyio
import anyio.to_thread
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from api.problems import problem
from api.rights import Principal
from api.schemas.jobs import JobTold
from api.served import Served
from api.service.jobs import told_job
from indexer.catalog.database import reading
from indexer.errors import SyntopyError
from indexer.groups.asked_jobs import StoredJob, jobs_of

_LOOK_SECONDS, _ALIVE_SECONDS, _LONGEST_SECONDS = 0.5, 15.0, 600.0
_FULL = "too many clients follow jobs; ask for the job itself from time to time"


class _Listener:
    """One client: which job it follows, what it knows, and what is new to it."""

    def __init__(self, uid: str, revision: int) -> None:
        self.uid, self.revision = uid, revision
        self.news = asyncio.Event()
        self.job: StoredJob | None = None
        self.over = False


class Followed:
    """Jobs that clients follow, while this is entered.

    Args:
        served: of whose library.
        ending: is set when the service ends, and with it all streams.
    """

    def __init__(self, served: Served, ending: asyncio.Event) -> None:
        self._served, self._ending = served, ending
        self._listeners: set[_Listener] = set()
        self._limiter = anyio.CapacityLimiter(1)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._look())
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._ending.set()
        if self._task is not None:
            await self._task

    @property
    def full(self) -> bool:
        """Whether there are as many clients as there may be."""
        return len(self._listeners) >= self._served.settings.jobs_streams

    async def events(self, uid: str, asker: Principal, revision: int) -> AsyncIterator[str]:
        """Events of a job after a revision, until it has ended or the service does.

        They are told as they are to somebody who may know of the job.

        After ten minutes it ends, too, for who may ask may have changed: the client asks again.
        """
        listener = _Listener(uid, revision)
        self._listeners.add(listener)
        try:
            yield "retry: 2000\n\n"
            until = anyio.current_time() + _LONGEST_SECONDS
            while not self._ending.is_set() and anyio.current_time() < until:
                if not await _news(listener):
                    yield ": nothing new\n\n"
                    continue
                if listener.job is not None:
                    yield _event(listener.job, asker)
                if listener.over:
                    return
        finally:
            self._listeners.discard(listener)

    async def _look(self) -> None:
        while not self._ending.is_set():
            if self._listeners:
                await self._tell()
            with anyio.move_on_after(_LOOK_SECONDS):
                await self._ending.wait()
        for listener in self._listeners:
            listener.job, listener.over = None, True
            listener.news.set()

    async def _tell(self) -> None:
        uids = sorted({listener.uid for listener in self._listeners})
        try:
            found = await anyio.to_thread.run_sync(self._read, uids, limiter=self._limiter)
        except SyntopyError:
            return  # the next look may find more
        for listener in self._listeners:
            job = found.get(listener.uid)
            if listener.uid not in uids or (job and job.revision <= listener.revision):
                continue
            listener.job, listener.over = job, job is None or job.ended
            listener.revision = job.revision if job else listener.revision
            listener.news.set()

    def _read(self, uids: list[str]) -> dict[str, StoredJob]:
        with reading(self._served.library.engine) as db:
            return jobs_of(db, uids)


async def _news(listener: _Listener) -> bool:
    """Wait until there are some, or until the client has to hear that we still live."""
    with anyio.move_on_after(_ALIVE_SECONDS):
        await listener.news.wait()
        listener.news.clear()
        return True
    return False


def _event(job: StoredJob, asker: Principal) -> str:
    name = "end" if job.ended else "progress"
    told = JobTold.model_validate(told_job(job, asker)).model_dump_json()
    return f"id: {job.revision}\nevent: {name}\ndata: {told}\n\n"


class EventStream(StreamingResponse):
    """The events of a job as a response.

    Args:
        followed: which has them.
        uid: of the job.
        asker: who follows it.
        revision: that the client knows already.
        request_id: of the request.
    """

    media_type = "text/event-stream"

    def __init__(
        self, followed: Followed, uid: str, asker: Principal, revision: int, request_id: str
    ) -> None:
        headers = {"X-Accel-Buffering": "no"}  # or a proxy would keep events for itself
        super().__init__(followed.events(uid, asker, revision), headers=headers)
        self._followed, self._request_id = followed, request_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events as they come, or say that there are too many clients."""
        if self._followed.full:
            again = {"Retry-After": "10"}
            full = problem(429, _FULL, self._request_id, headers=again)
            await full(scope, receive, send)
            return
        events: Any = self.body_iterator
        try:
            await super().__call__(scope, receive, send)
        finally:
            await events.aclose()
