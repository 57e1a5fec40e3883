"""What all parts of the client of the HTTP service share: how it asks, and what it raises."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, TypeAdapter

from api.schemas.common import Problem
from indexer.errors import QueryError, SyntopyError

_T = TypeVar("_T")
_M = TypeVar("_M", bound=BaseModel)


class ApiError(SyntopyError):
    """The service did not answer as asked.

    Attributes:
        problem: what it said; None where it said nothing that can be read.
    """

    code: ClassVar[str] = "api"

    def __init__(self, message: str, problem: Problem | None = None) -> None:
        super().__init__(message)
        self.problem = problem


class Asking(ABC):
    """A part of `api.client.Client`."""

    @abstractmethod
    def _ask(self, method: str, path: str, **how: Any) -> httpx.Response: ...

    @abstractmethod
    def _rows(self, kind: type[_T], path: str, asked: Mapping[str, str]) -> Iterator[_T]: ...

    def _told(self, kind: type[_M], path: str, **asked: str) -> _M:
        return kind.model_validate_json(self._ask("GET", path, params=asked).content)

    def _list(self, kind: type[_T], path: str, **asked: str) -> list[_T]:
        rows: TypeAdapter[list[_T]] = TypeAdapter(list[kind])  # type: ignore[valid-type] # a variable
        return rows.validate_json(self._ask("GET", path, params=asked).content)

    def _with_files(
        self, path: str, asked: Mapping[str, Any], files: Sequence[Path]
    ) -> httpx.Response:
        """Send files along.

        Raises:
            QueryError: one of them is a folder, or is not there.
        """
        with ExitStack() as opened:
            parts: list[tuple[str, Any]] = [("request", (None, json.dumps(asked)))]
            for file in files:
                if not file.is_file():
                    raise QueryError(f"{file} is not a file; of a folder send an archive")
                # A name may be a patient's; the service needs its endings alone.
                name = "file" + "".join(file.suffixes[-2:])
                parts.append(("file", (name, opened.enter_context(file.open("rb")))))
            return self._ask("POST", path, files=parts)


def part(name: str) -> str:
    """A UID or a name as a part of an address."""
    return quote(name, safe="")
