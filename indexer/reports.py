"""From an image to the words of reports: those of its neighbours, and those that lie near it.

Two voices. *neighbour*: the reports of the nearest studies, as `indexer.search` finds them.
*text*: reports and sentences of the library whose vectors lie nearest to the image's, by the
space's own text tower or by its bridge. What they find is the library's own content: shown, never
logged.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import numpy as np
from sqlalchemy import Connection, select

from indexer.bridge import BridgeQuality
from indexer.bridges import bridge_note, load_bridge
from indexer.catalog.database import reading
from indexer.catalog.tables import Item, Patient, Report, Series, Study
from indexer.encoders.contract import TextEncoder
from indexer.errors import LibraryLockedError, QueryError, StorageFullError
from indexer.features import TowerFeatures, sentences, unit
from indexer.library import Library, SpaceInfo
from indexer.queries import Query
from indexer.reading.drafts import ReadOptions
from indexer.registry import make_encoder
from indexer.search import MAX_K, SearchRequest, search
from indexer.towers import Progress, TextTower, open_tower
from indexer.types import Embeddings, Hit

_LOOK = 10
"""So many times k studies are looked at for reports: not every study has one."""
_BATCH = 200
_PART = 500
_SILENT = -2.0
"""Score of a text without a known word."""


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
class FoundText:
    """A report or a sentence.

    Attributes:
        voice: ``neighbour`` or ``text``.
        score: cosine; of a neighbour between images, else between image and text.
        text: as the library has it.
        studies: how many studies have the same words.
        study_instance_uid: of one of them.
    """

    voice: str
    score: float
    text: str
    studies: int
    study_instance_uid: str


@dataclass(frozen=True)
class ReportsAnswer:
    """What was found, by which voice, and how far it can be trusted.

    Attributes:
        query: what was asked with, as in `indexer.search.SearchAnswer`.
        neighbours: reports of the nearest studies of other patients; voice *neighbour*.
        reports, sentences: nearest to the image by their words; voice *text*.
        words: how texts reached the space, "" if they cannot.
        quality: of the bridge, measured on patients it was not fitted on; None without one.
        encoder, notice: what made the image's vector, and what must be said about it.
        notes: plain sentences.
        seconds: wall time.
    """

    query: dict[str, object]
    neighbours: list[FoundText]
    reports: list[FoundText]
    sentences: list[FoundText]
    words: str
    quality: BridgeQuality | None
    encoder: str
    notice: str
    notes: list[str]
    seconds: float


@dataclass(frozen=True)
class _Voice:
    """How texts reach a space: unit rows, zeros where nothing is known, told from a middle."""

    words: str
    note: str
    rows: Callable[[Sequence[str]], Embeddings]
    middle: np.ndarray
    quality: BridgeQuality | None
    tower: TextTower | None


@dataclass
class _Heard:
    """Texts with the same words: the best score so far, and who has them."""

    score: float
    text: str
    study: str
    studies: set[str] = field(default_factory=set)


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
    look = SearchRequest(
        image=request.image, uid=request.uid, k=_LOOK * request.k, encoder=request.encoder
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
    voice = _voice(library, answer.asked, options, on_progress)
    reports: list[FoundText] = []
    said: list[FoundText] = []
    if voice is None:
        notes.append(
            f"'{answer.encoder}' has no words: only neighbours speak; fit a bridge with: syntopy "
            "bridge fit"
        )
    else:
        notes.append(voice.note)
        reports, said = _by_words(library, answer.asked, voice, request, notes)
    return ReportsAnswer(
        query=answer.query,
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
    for start in range(0, len(uids), _PART):
        texts |= dict(_texts(db, uids[start : start + _PART]))
    return [
        FoundText("neighbour", hit.score, texts[hit.study_instance_uid], 1, hit.study_instance_uid)
        for hit in hits
        if hit.study_instance_uid in texts
    ][:k]


def _texts(db: Connection, studies: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Studies with all their reports as one text."""
    rows = db.execute(
        select(Study.study_instance_uid, Report.text)
        .join(Report, Report.study_id == Study.id)
        .where(Study.study_instance_uid.in_(studies))
        .order_by(Study.id.desc(), Report.id)
    )
    for study, group in groupby(rows, key=lambda row: str(row[0])):
        yield study, "\n".join(dict.fromkeys(text.strip() for _, text in group))


def _voice(
    library: Library, query: Query, options: ReadOptions, on_progress: Progress | None
) -> _Voice | None:
    """The space's own text tower, else its bridge, else None."""
    space = query.space
    context = options.context(space.encoder)
    if isinstance(make_encoder(context), TextEncoder):
        tower = open_tower(library, context, on_progress)
        words = f"the text tower of '{space.encoder}'"
        note = f"words by {words}; how well they fit this library was not measured"
        return _Voice(words, note, tower.rows, np.zeros(space.dim, np.float32), None, tower)
    bridge = load_bridge(library, space, options, on_progress)
    if bridge is None:
        return None
    features = bridge.features
    source = features.source if isinstance(features, TowerFeatures) else None
    return _Voice(
        words=f"a bridge ({bridge.about.features})",
        note=bridge_note(bridge),
        rows=bridge.rows,
        middle=bridge.middle,
        quality=bridge.quality,
        tower=source if isinstance(source, TextTower) else None,
    )


def _by_words(
    library: Library, query: Query, voice: _Voice, request: ReportsRequest, notes: list[str]
) -> tuple[list[FoundText], list[FoundText]]:
    """Reports and sentences nearest to the image, each once."""
    image = unit(query.vectors - voice.middle)
    reports: dict[str, _Heard] = {}
    said: dict[str, _Heard] = {}
    spaces = library.spaces()
    with reading(library.engine) as db:
        studies = _studies(db, query)
    more = len(studies) - request.studies
    if more > 0:
        notes.append(
            f"the words of the newest {request.studies} studies with reports were compared, those "
            f"of {more} older ones were not"
        )
        studies = studies[: request.studies]
    for start in range(0, len(studies), _BATCH):
        # A view of its own for each part: a text tower may take minutes, and writers go on.
        with reading(library.engine) as db:
            texts = list(_texts(db, studies[start : start + _BATCH]))
        _hear(reports, texts, voice, image)
        parts = [(study, part) for study, text in texts for part in sentences(text)]
        _hear(said, parts, voice, image)
    if voice.tower is not None and voice.tower.has_new:
        _keep(library, voice.tower, spaces, notes)
    return _best(reports, request.k), _best(said, request.k)


def _studies(db: Connection, query: Query) -> list[str]:
    """Studies with reports whose words may be told, newest first.

    Left out are the query's own study, its patient, and studies that hold a copy of it.
    """
    hashes = sorted(query.pixel_hashes)
    copies: set[int] = set()
    for start in range(0, len(hashes), _PART):
        part = hashes[start : start + _PART]
        copies |= set(
            db.execute(
                select(Series.study_id).join(Item).where(Item.pixel_hash.in_(part))
            ).scalars()
        )
    rows = db.execute(
        select(Study.id, Study.study_instance_uid, Patient.pseudonym)
        .join(Patient)
        .where(
            Study.id.in_(select(Report.study_id)),
            Study.study_instance_uid != query.study,
        )
        .order_by(Study.id.desc())
    )
    own = query.patient if query.patient_known else None
    return [row.study_instance_uid for row in rows if row.id not in copies and row.pseudonym != own]


def _hear(
    heard: dict[str, _Heard], texts: Sequence[tuple[str, str]], voice: _Voice, image: Embeddings
) -> None:
    """Score texts that are new, and note who has which."""
    new = {_same(text): text for _, text in texts if _same(text) not in heard}
    rows = voice.rows(list(new.values()))
    scores = np.where(rows.any(axis=1), (rows @ image.T).max(axis=1), _SILENT)
    for (key, text), score in zip(new.items(), scores.tolist(), strict=True):
        heard[key] = _Heard(score, text, "")
    for study, text in texts:
        one = heard[_same(text)]
        one.study = one.study or study
        one.studies.add(study)


def _same(text: str) -> str:
    """Texts that differ in case, spaces and their last stop are the same."""
    return " ".join(text.casefold().split()).rstrip(".;!? ")


def _best(heard: dict[str, _Heard], k: int) -> list[FoundText]:
    known = (one for one in heard.values() if one.score > _SILENT)
    ranked = sorted(known, key=lambda one: (-round(one.score, 6), one.text))
    return [
        FoundText("text", round(one.score, 6), one.text, len(one.studies), one.study)
        for one in ranked[:k]
    ]


def _keep(
    library: Library, tower: TextTower, spaces: Sequence[SpaceInfo], notes: list[str]
) -> None:
    """Keep the vectors of texts, unless something was taken out since these were read."""
    try:
        with library.writing():
            if spaces == library.spaces():
                tower.save()
    except (LibraryLockedError, StorageFullError) as error:
        notes.append(f"the vectors of texts were not kept for the next time: {error}")
