"""Archives that studies are fetched from: what they are asked for, and what they may answer."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from pydicom.datadict import dictionary_VR, tag_for_keyword

from indexer.errors import ConfigError, SourceError

T = TypeVar("T")
WAITS = (1.0, 3.0, 10.0, 30.0)
_LONGEST_WAIT = 600.0
_JITTER = 0.2
_SERIES = frozenset(
    (
        "BodyPartExamined",
        "Laterality",
        "Manufacturer",
        "ManufacturerModelName",
        "Modality",
        "PerformedProcedureStepStartDate",
        "ProtocolName",
        "SeriesDate",
        "SeriesDescription",
        "SeriesInstanceUID",
        "SeriesNumber",
    )
)
_INSTANCE = frozenset(("InstanceNumber", "SOPClassUID", "SOPInstanceUID"))
_UID = re.compile(r"(?=.{1,64}\Z)[0-9]+(?:\.[0-9]+)*")


class ArchiveError(SourceError):
    """An archive does not answer as it should."""

    code = "archive"


class ArchiveBusyError(ArchiveError):
    """An archive cannot answer now; ``after`` are the seconds that it asks to wait."""

    code = "archive_busy"

    def __init__(self, message: str, after: float | None = None) -> None:
        super().__init__(message)
        self.after = after


class ArchiveRefusesError(ArchiveError):
    """An archive does not know us: nothing more can be asked."""

    code = "archive_refuses"


class StoppedError(Exception):
    """Whoever pulls was told to stop."""


@dataclass(frozen=True)
class ArchiveQuery:
    """What is asked for: matching keys by DICOM keyword, of studies and of their series."""

    study: Mapping[str, str]
    series: Mapping[str, str]


@dataclass(frozen=True)
class SeriesListed:
    """A series as an archive lists it; ``instances`` are SOP Classes by SOP Instance UID."""

    study_instance_uid: str
    series_instance_uid: str
    instances: Mapping[str, str]


class Archive(Protocol):
    """What each kind of archive can do; each method is one try.

    Raises:
        ArchiveBusyError: it cannot now, and may later.
        ArchiveRefusesError: it does not know us.
        ArchiveError: it does not answer as it should.
        StoppedError: whoever pulls was told to stop.
        StorageFullError: the inbox takes nothing.
    """

    def studies(self, offset: int) -> list[str]:
        """Study Instance UIDs that match, some of those from an offset on; none behind the last."""

    def series(self, study_instance_uid: str) -> list[SeriesListed]:
        """The series of a study that match, with all their instances."""

    def fetch(
        self, series: SeriesListed, wanted: Sequence[str], heard: Callable[[int], None]
    ) -> str:
        """Store some instances of a series in the inbox.

        Args:
            series: as listed.
            wanted: SOP Instance UIDs.
            heard: told of bytes as they come.

        Returns:
            Why some did not come, as far as that is known, else "".
        """

    def close(self) -> None:
        """Let go of connections."""


@dataclass(frozen=True)
class Patience:
    """Tries again what an archive could not do, as often as there are waits, in seconds."""

    stop: threading.Event
    waits: Sequence[float] = field(default=WAITS)

    def __call__(self, ask: Callable[[], T]) -> T:
        """What ``ask`` returns in the end.

        Raises:
            ArchiveBusyError: each try ended so.
            StoppedError: told to stop.
        """
        for wait in self.waits:
            try:
                return ask()
            except ArchiveBusyError as busy:
                self.rest(wait, busy)
        return ask()

    def rest(self, wait: float, busy: ArchiveBusyError) -> None:
        """Wait as long as an archive asks for, else about so long.

        Raises:
            StoppedError: told to stop.
        """
        seconds = wait * random.uniform(1 - _JITTER, 1 + _JITTER)
        if busy.after is not None:
            seconds = min(max(busy.after, 0.0), _LONGEST_WAIT)
        if self.stop.wait(seconds):
            raise StoppedError


def parse_query(terms: Iterable[str]) -> ArchiveQuery:
    """Matching keys as they are written: ``KEYWORD=VALUE``, ``*`` for any value.

    Modality is asked of studies as ModalitiesInStudy, and of their series.

    Raises:
        ConfigError: a term is none, or there is none; values are never quoted, as they may name
            patients.
    """
    study: dict[str, str] = {}
    series: dict[str, str] = {}
    terms = tuple(terms)
    for term in terms:
        keyword, mark, value = term.partition("=")
        keyword, value = keyword.strip(), value.strip()
        _check_term(keyword, value, marked=bool(mark))
        level = series if keyword in _SERIES else study
        if keyword in level:
            raise ConfigError(f"--query {keyword} is given twice; a list of UIDs has \\ between")
        if value != "*":
            level[keyword] = value
    if not terms:
        raise ConfigError("say what to fetch with --query; all there is: --query StudyDate='*'")
    if "Modality" in series:
        study.setdefault("ModalitiesInStudy", series["Modality"])
    return ArchiveQuery(study, series)


def is_uid(text: str) -> bool:
    """Whether a text can be a UID, as far as it may stand in an address or request."""
    return _UID.fullmatch(text) is not None


def _check_term(keyword: str, value: str, *, marked: bool) -> None:
    if not marked or not value or not value.isprintable():
        raise ConfigError("--query takes KEYWORD=VALUE, such as Modality=CR; '*' is any value")
    tag = tag_for_keyword(keyword)
    if tag is None or dictionary_VR(tag) in ("SQ", "OB", "OW", "UN"):
        raise ConfigError(
            "the name before '=' in --query is a DICOM keyword such as Modality, StudyDate, "
            "PatientID or AccessionNumber"
        )
    if keyword in _INSTANCE:
        raise ConfigError(f"{keyword} is of instances; studies and series are asked for")
