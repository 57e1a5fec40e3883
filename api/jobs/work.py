"""What a kind of job is, and what it works with."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from api.rights import Role
from clustering.contract import Progress, no_progress
from indexer.config import Settings
from indexer.errors import FilterError, LibraryLockedError
from indexer.filters import parse_filter
from indexer.groups.asked_jobs import StoredJob
from indexer.library import Library

_AGAIN_SECONDS = 0.5
WAITING = "waiting: another process writes to the library"


class Parameters(BaseModel):
    """What a job is asked with: fields that are misspelt, and numbers that are none, are refused.

    It is read again when the job begins, maybe by a later version: fields may be added to a kind,
    with a default.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)


def _readable(expression: str) -> str:
    try:
        if expression.strip():
            parse_filter(expression)
    except FilterError as error:
        raise ValueError(str(error).partition("\n")[0]) from error
    return expression


Filter = Annotated[
    str,
    AfterValidator(_readable),
    Field(max_length=900_000, description="Only items that pass; docs/search.md has the language."),
]
Name = Annotated[str, Field(min_length=1, max_length=128)]
Encoder = Annotated[
    str,
    Field(
        max_length=200,
        description="Whose space; empty takes the library's first that has vectors.",
    ),
]
Seed = Annotated[int, Field(ge=0, lt=1 << 31, description="Of all that is random.")]
Alarm = Annotated[float, Field(gt=0, lt=1, description="False-alarm rate.")]

_P = TypeVar("_P", bound=Parameters)


class PatientLibrary(Library):
    """A library whose writer waits for another one to finish, and says so."""

    tell: Progress = staticmethod(no_progress)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Be the only writer, as soon as there is no other.

        Raises:
            StorageFullError: the folder cannot be written.
        """
        with ExitStack() as held:
            while True:
                try:
                    held.enter_context(super().writing())
                    break
                except LibraryLockedError:
                    self.tell(WAITING, 0, 0)
                    time.sleep(_AGAIN_SECONDS)
            yield


@dataclass(frozen=True)
class Work:
    """What a job works with.

    Attributes:
        library: open; its writer waits.
        settings: of the service.
        job: as it was taken.
        tell: to be told what is done, how much of it, and of how much.
        row: takes the next row of the result, anything that JSON knows or a dataclass.
        stop: is set when it is to end; only kinds that end by themselves have to look at it.
    """

    library: Library
    settings: Settings
    job: StoredJob
    tell: Progress
    row: Callable[[object], None]
    stop: threading.Event

    def made_before(self, created_at: str) -> bool:
        """Whether something that was made then was made by an earlier attempt of this job.

        A worker may die when all is stored and only the word of it is not.

        Args:
            created_at: ISO time in UTC, to the second.
        """
        began = self.job.started_at
        if self.job.attempts < 2 or began is None:
            return False
        return created_at[:19] >= began.isoformat()[:19]


@dataclass(frozen=True)
class Kind(Generic[_P]):
    """A kind of job.

    Attributes:
        name: of it.
        about: what it does, in a sentence.
        role: that asking for it takes.
        parameters: what it is asked with.
        run: does it; returns what is told of it, small enough to be told whole. Raising in
            ``tell`` or a KeyboardInterrupt anywhere stops it, and loses nothing that is stored.
        check: raises what can be known to be wrong before it is queued.
        ends_itself: it looks at ``stop``, and is interrupted only if it does not.
        withheld: parameters that are told only to those who have the role.
    """

    name: str
    about: str
    role: Role
    parameters: type[_P]
    run: Callable[[Work, _P], Mapping[str, Any]]
    check: Callable[[Library, Settings, _P], None] | None = None
    ends_itself: bool = False
    withheld: tuple[str, ...] = ()
