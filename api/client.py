"""A thin client of the HTTP service: ``Client("http://127.0.0.1:8000").search(request)``."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx
from pydantic import TypeAdapter, ValidationError

from api.client_asking import ApiError, part
from api.client_edits import Edits, Versioned
from api.client_files import Files
from api.client_reads import Reads
from api.client_results import Results
from api.client_upkeep import Upkeep
from api.schemas.catalog import Item, StudyDetails
from api.schemas.common import Problem
from api.schemas.jobs import JobKind, JobTold
from api.schemas.search import SearchAnswer
from api.service.browse import SeriesLine, StudyLine
from indexer.errors import StorageFullError
from indexer.searching.asking import Example, SearchRequest

__all__ = ["ApiError", "Client", "Versioned"]
_T = TypeVar("_T")
_PAGE = 500
_AGAIN_SECONDS, _TRIES = 1.0, 30


class Client(Edits, Files, Reads, Results, Upkeep):
    """A service that is asked over HTTP. Close it, or use it in a ``with``.

    Args:
        url: of the service, without ``/v1``.
        key: sent as a bearer token; empty where the service asks for none.
        seconds: that an answer may take.
    """

    def __init__(self, url: str, key: str = "", *, seconds: float = 60.0) -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(
            base_url=f"{url.rstrip('/')}/v1/", headers=headers, timeout=seconds
        )

    def __enter__(self) -> Self:
        """The client itself."""
        return self

    def __exit__(self, *_exc: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Let go of its connections."""
        self._http.close()

    def search(self, request: SearchRequest, *, judge: bool = False) -> SearchAnswer:
        """The neighbours of what is asked; files of examples are sent along.

        Args:
            request: what is asked.
            judge: also tell what references say of the files.

        Raises:
            QueryError: an example is a folder, which cannot be sent: send an archive of it.
            ApiError: the service refuses, or cannot be reached.
        """
        files = [each.file for each in request.examples if each.file is not None]
        asked = _said(request)
        if files:
            found = self._with_files("search/files", asked | {"judge": judge}, files)
        else:
            found = self._ask("POST", "search", json=asked)
        return SearchAnswer.model_validate_json(found.content)

    def studies(self, filter: str = "", sort: str = "") -> Iterator[StudyLine]:  # noqa: A002
        """All studies of which an item passes a filter, in an order.

        Raises:
            ApiError: as `search`.
        """
        return self._rows(StudyLine, "studies", {"filter": filter, "sort": sort})

    def series(self, filter: str = "", sort: str = "") -> Iterator[SeriesLine]:  # noqa: A002
        """All series of which an item passes a filter, in an order.

        Raises:
            ApiError: as `search`.
        """
        return self._rows(SeriesLine, "series", {"filter": filter, "sort": sort})

    def items(self, filter: str = "", sort: str = "") -> Iterator[Item]:  # noqa: A002
        """All items that pass a filter, in an order.

        Raises:
            ApiError: as `search`.
        """
        return self._rows(Item, "items", {"filter": filter, "sort": sort})

    def study(self, uid: str) -> StudyDetails:
        """All that is known of a study.

        Raises:
            ApiError: as `search`; there is none.
        """
        found = self._ask("GET", f"studies/{part(uid)}")
        return StudyDetails.model_validate_json(found.content)

    def item(self, uid: str) -> Item:
        """An item by its id.

        Raises:
            ApiError: as `search`; there is none.
        """
        return Item.model_validate_json(self._ask("GET", f"items/{part(uid)}").content)

    def thumbnail(self, uid: str) -> bytes:
        """The thumbnail of an item, WebP.

        Raises:
            ApiError: as `search`; there is none.
        """
        return self._ask("GET", f"items/{part(uid)}/thumbnail").content

    def ask_for(self, kind: str, key: str = "", /, **parameters: object) -> JobTold:
        """Put a job into the queue.

        Args:
            kind: of it; `job_kinds` has all, with their parameters.
            key: with the same one once more no second job is made.
            parameters: of the kind.

        Raises:
            ApiError: as `search`; the kind does not take these, or too many jobs wait.
        """
        headers = {"Idempotency-Key": key} if key else {}
        asked = {"kind": kind, "parameters": parameters}
        return JobTold.model_validate_json(
            self._ask("POST", "jobs", json=asked, headers=headers).content
        )

    def job_kinds(self) -> list[JobKind]:
        """All kinds of jobs, with the JSON Schema of their parameters.

        Raises:
            ApiError: as `search`.
        """
        return self._list(JobKind, "jobs/kinds")

    def job(self, uid: str) -> JobTold:
        """A job by its id.

        Raises:
            ApiError: as `search`; there is none.
        """
        return JobTold.model_validate_json(self._ask("GET", f"jobs/{part(uid)}").content)

    def jobs(self, state: str = "", kind: str = "") -> Iterator[JobTold]:
        """Jobs that whoever asks may know of, the newest first.

        Raises:
            ApiError: as `search`.
        """
        return self._rows(JobTold, "jobs", {"state": state, "kind": kind})

    def cancel(self, uid: str) -> JobTold:
        """Have a job stopped.

        Raises:
            ApiError: as `search`; there is none, or it is another's.
        """
        answer = self._ask("POST", f"jobs/{part(uid)}/cancel")
        return JobTold.model_validate_json(answer.content)

    def follow(self, uid: str) -> Iterator[JobTold]:
        """A job now, at every change, and when it has ended; asks again where a stream breaks off.

        Raises:
            ApiError: as `search`; there is none.
        """
        known = failed = 0
        while True:
            try:
                for job in self._events(uid, known):
                    known, failed = job.revision, 0
                    yield job
                    if job.ended_at:
                        return
            except ApiError as error:
                failed += 1
                refused = error.problem is not None and error.problem.status != 429
                if refused or failed == _TRIES:
                    raise
            time.sleep(_AGAIN_SECONDS)

    def wait(self, uid: str) -> JobTold:
        """A job when it has ended, however it did.

        Raises:
            ApiError: as `follow`.
        """
        return deque(self.follow(uid), maxlen=1)[0]

    def result(self, uid: str) -> Iterator[dict[str, Any]]:
        """All rows that a job found.

        Raises:
            ApiError: as `search`; the job is not done.
        """
        return self._rows(dict[str, Any], f"jobs/{part(uid)}/result", {})

    def export(self, table: str, path: Path, **asked: str) -> None:
        """Write a table to a file: CSV, JSON lines or Parquet by its ending.

        Args:
            table: ``items``, ``studies``, ``labels``, ``clusters``, ``scores``, ``map`` or
                ``reviews``.
            path: replaced once the table has come whole.
            asked: ``filter``, and ``run``, ``reference``, ``encoder``, ``version`` or ``queue`` as
                it needs.

        Raises:
            ApiError: as `search`; or the table broke off.
            StorageFullError: it cannot be written.
        """
        form = path.suffix.removeprefix(".").lower()
        temporary = path.with_name(f".{path.name}.writing")
        try:
            with (
                self._streamed(f"exports/{part(table)}", {"format": form, **asked}) as answer,
                temporary.open("wb") as file,
            ):
                for block in answer.iter_bytes():
                    file.write(block)
            temporary.replace(path)
        except OSError as error:
            raise StorageFullError(f"{path.name} cannot be written: {error.strerror}") from error
        finally:
            temporary.unlink(missing_ok=True)

    def _events(self, uid: str, known: int) -> Iterator[JobTold]:
        headers = {"Last-Event-ID": str(known)} if known else {}
        with self._streamed(f"jobs/{part(uid)}/events", {}, headers) as answer:
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    yield JobTold.model_validate_json(line.removeprefix("data: "))

    @contextmanager
    def _streamed(
        self, path: str, asked: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> Iterator[httpx.Response]:
        try:
            with self._http.stream("GET", path, params=asked, headers=headers) as answer:
                if not answer.is_success:
                    answer.read()
                _check(answer)
                yield answer
        except httpx.HTTPError as error:
            raise ApiError(f"the service cannot be asked: {error}") from error

    def _rows(self, kind: type[_T], path: str, asked: Mapping[str, str]) -> Iterator[_T]:
        rows, cursor = TypeAdapter(list[kind]), ""  # type: ignore[valid-type] # mypy: a variable
        while True:
            parameters = {**asked, "cursor": cursor, "limit": str(_PAGE)}
            page = self._ask("GET", path, params=parameters).json()
            yield from rows.validate_python(page["rows"])
            cursor = page["cursor"]
            if not cursor:
                return

    def _ask(self, method: str, path: str, **how: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **how)
        except httpx.HTTPError as error:
            raise ApiError(f"the service cannot be asked: {error}") from error
        _check(response)
        return response


def _check(response: httpx.Response) -> None:
    """See that a request was answered.

    Raises:
        ApiError: with the problem document, if there is one.
    """
    if response.is_success:
        return
    try:
        problem = Problem.model_validate_json(response.content)
    except ValidationError as error:
        raise ApiError(f"the service answered {response.status_code}") from error
    raise ApiError(f"{problem.code}: {problem.detail}", problem)


def _said(request: SearchRequest) -> dict[str, Any]:
    """The request as JSON, with numbers for its files."""
    said = asdict(request) | {"encoders": list(request.encoders)}
    said["roles"] = None if request.roles is None else sorted(request.roles)
    numbers = iter(range(len(request.examples)))
    said["examples"] = [_example(each, numbers) for each in request.examples]
    return said


def _example(example: Example, numbers: Iterator[int]) -> dict[str, Any]:
    return asdict(example) | {"file": None if example.file is None else next(numbers)}
