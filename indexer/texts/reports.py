"""From an image to the words of reports: those of its neighbours, and those that lie near it.

Two voices. *neighbour*: the reports of the nearest studies, as `indexer.searching.search` finds
them. *text*: reports and sentences of the library whose vectors lie nearest to the image's, by the
space's own text tower or by its bridge. What they find is the library's own content: shown, never
logged.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, select

from indexer.catalog.database import reading
from indexer.catalog.tables import Report
from indexer.errors import QueryError
from indexer.library import Library
from indexer.reading.drafts import ReadOptions
from indexer.searching.asking import MAX_K, Described, Example, SearchRequest
from indexer.searching.search import search
from indexer.texts.bridge import BridgeQuality
from indexer.texts.hearing import PART, FoundText, hear, texts_of, voice_of
from indexer.texts.towers import Progress
from indexer.types import Hit

_LOOK = 10
"""So many times k studies are looked at for reports: not every study has one."""


@dataclass(frozen=True)
class ReportsRequest:
    """What is asked.

    Attributes:
        image: a file to ask with, or
        uid: a study, series, SOP instance UID or item id of the library.
        k: how many of each kind are wanted.
        encoder: which space; None takes the library's first that can take the query.
        studies: of more studies with reports, the newest so many are compared in words.
    """

    image: Path | None = None
    uid: str | None = None
    k: int = 10
    encoder: str | None = None
    studies: int = 20_000


@dataclass(frozen=True)
class ReportsAnswer:
    """What was found, by which voice, and how far it can be trusted.

    Attributes:
        query: what was asked with.
        neighbours: reports of the nearest studies of other patients; voice *neighbour*.
        reports, sentences: nearest to the image by their words; voice *text*.
        words: how texts reached the space, "" if they cannot.
        quality: of the bridge, measured on patients it was not fitted on; None without one.
        encoder, notice: what made the image's vector, and what must be said about it.
        notes: plain sentences.
        seconds: wall time.
    """

    query: Described
    neighbours: list[FoundText]
    reports: list[FoundText]
    sentences: list[FoundText]
    words: str
    quality: BridgeQuality | None
    encoder: str
    notice: str
    notes: list[str]
    seconds: float


def find_reports(
    library: Library,
    request: ReportsRequest,
    options: ReadOptions,
    on_progress: Progress | None = None,
) -> ReportsAnswer:
    """Answer a request.

    Args:
        library: whose reports.
        request: what is asked.
        options: how files are read and where models lie.
        on_progress: called with texts embedded by a text tower, and all there are to embed.

    Raises:
        QueryError: nothing to ask with, a k out of range, a library without reports.
        FileRejectedError: the query file cannot be used.
        ItemNotFoundError: the UID is not in the library.
        ConfigError: the bridge is damaged, or its text tower has other weights now.
    """
    start = time.monotonic()
    if not 1 <= request.k <= MAX_K // _LOOK:
        raise QueryError(f"k is 1 to {MAX_K // _LOOK}, not {request.k}")
    if (request.image is None) == (not request.uid):
        raise QueryError("ask with either an image file or a UID of the library")
    look = SearchRequest(
        (Example(file=request.image, uid=request.uid or ""),),
        k=_LOOK * request.k,
        encoders=(request.encoder,) if request.encoder else (),
    )
    answer = search(library, look, options)
    # The last note of a short list says that it is short; of the studies looked at that is no news.
    notes = answer.notes[:-1] if len(answer.hits) < look.k else list(answer.notes)
    with reading(library.engine) as db:
        if db.execute(select(Report.id).limit(1)).scalar() is None:
            raise QueryError(
                "the library has no reports; index structured reports, or a table with a column "
                "of them (syntopy index --metadata)"
            )
        neighbours = _of_neighbours(db, answer.hits, request.k)
    if len(neighbours) < request.k:
        notes.append(f"{len(neighbours)} of the {len(answer.hits)} nearest studies have a report")
    (query,) = answer.asked
    voice = voice_of(library, query.space, options, on_progress)
    reports: list[FoundText] = []
    said: list[FoundText] = []
    if voice is None:
        notes.append(
            f"'{answer.encoder}' has no words: only neighbours speak; fit a bridge with: syntopy "
            "bridge fit"
        )
    else:
        notes.append(voice.note)
        reports, said = hear(library, query, voice, k=request.k, most=request.studies, notes=notes)
    return ReportsAnswer(
        query=answer.queries[0],
        neighbours=neighbours,
        reports=reports,
        sentences=said,
        words=voice.words if voice else "",
        quality=voice.quality if voice else None,
        encoder=answer.encoder,
        notice=answer.notice,
        notes=notes,
        seconds=time.monotonic() - start,
    )


def _of_neighbours(db: Connection, hits: Sequence[Hit], k: int) -> list[FoundText]:
    """The reports of the nearest studies that have some."""
    texts: dict[str, str] = {}
    uids = [hit.study_instance_uid for hit in hits]
    for start in range(0, len(uids), PART):
        texts |= dict(texts_of(db, uids[start : start + PART]))
    return [
        FoundText("neighbour", hit.score, texts[hit.study_instance_uid], 1, hit.study_instance_uid)
        for hit in hits
        if hit.study_instance_uid in texts
    ][:k]
