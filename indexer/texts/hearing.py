"""Reports and sentences of a library whose vectors lie nearest to an image's.

By the space's own text tower, or by its bridge. Texts are read in batches, equal ones once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
from sqlalchemy import Connection, select

from indexer.catalog.database import reading
from indexer.catalog.tables import Item, Patient, Report, Series, Study
from indexer.encoders.contract import TextEncoder
from indexer.errors import LibraryLockedError, StorageFullError
from indexer.library import Library, SpaceInfo
from indexer.reading.drafts import ReadOptions
from indexer.registry import make_encoder
from indexer.searching.queries import Query
from indexer.texts.bridge import BridgeQuality, Row
from indexer.texts.bridges import bridge_note, load_bridge
from indexer.texts.features import TowerFeatures, sentences, unit
from indexer.texts.towers import Progress, TextTower, open_tower
from indexer.types import Embeddings

PART = 500
"""Names that one statement of the database takes."""
_BATCH = 200
_SILENT = -2.0
"""Score of a text without a known word."""


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
class Voice:
    """How texts reach a space: unit rows, zeros where nothing is known, told from a middle."""

    words: str
    note: str
    rows: Callable[[Sequence[str]], Embeddings]
    middle: Row
    quality: BridgeQuality | None
    tower: TextTower | None


@dataclass
class _Heard:
    """Texts with the same words: the best score so far, and who has them."""

    score: float
    text: str
    study: str
    studies: set[str] = field(default_factory=set)


def texts_of(db: Connection, studies: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Studies with all their reports as one text."""
    rows = db.execute(
        select(Study.study_instance_uid, Report.text)
        .join(Report, Report.study_id == Study.id)
        .where(Study.study_instance_uid.in_(studies))
        .order_by(Study.id.desc(), Report.id)
    )
    for study, group in groupby(rows, key=lambda row: str(row[0])):
        yield study, "\n".join(dict.fromkeys(text.strip() for _, text in group))


def voice_of(
    library: Library,
    space: SpaceInfo,
    options: ReadOptions,
    on_progress: Progress | None = None,
) -> Voice | None:
    """The space's own text tower, else its bridge, else None.

    Raises:
        WeightsError: the encoder's weights are not there.
        ConfigError: the bridge's file is damaged.
    """
    context = options.context(space.encoder)
    if isinstance(make_encoder(context), TextEncoder):
        tower = open_tower(library, context, on_progress)
        words = f"the text tower of '{space.encoder}'"
        note = f"words by {words}; how well they fit this library was not measured"
        return Voice(words, note, tower.rows, np.zeros(space.dim, np.float32), None, tower)
    bridge = load_bridge(library, space, options, on_progress)
    if bridge is None:
        return None
    features = bridge.features
    source = features.source if isinstance(features, TowerFeatures) else None
    return Voice(
        words=f"a bridge ({bridge.about.features})",
        note=bridge_note(bridge),
        rows=bridge.rows,
        middle=bridge.middle,
        quality=bridge.quality,
        tower=source if isinstance(source, TextTower) else None,
    )


def hear(
    library: Library, query: Query, voice: Voice, *, k: int, most: int, notes: list[str]
) -> tuple[list[FoundText], list[FoundText]]:
    """Reports and sentences nearest to the image, each once.

    Args:
        library: whose texts.
        query: the image; its own study, its patient and copies of it are left out.
        voice: how texts reach its space.
        k: how many of each.
        most: of more studies with reports, the newest so many are read.
        notes: gets what must be said.
    """
    image = unit(query.vectors - voice.middle)
    reports: dict[str, _Heard] = {}
    said: dict[str, _Heard] = {}
    spaces = library.spaces()
    with reading(library.engine) as db:
        studies = _studies(db, query)
    more = len(studies) - most
    if more > 0:
        notes.append(
            f"the words of the newest {most} studies with reports were compared, those "
            f"of {more} older ones were not"
        )
        studies = studies[:most]
    for start in range(0, len(studies), _BATCH):
        # A view of its own for each part: a text tower may take minutes, and writers go on.
        with reading(library.engine) as db:
            texts = list(texts_of(db, studies[start : start + _BATCH]))
        _score(reports, texts, voice, image)
        parts = [(study, part) for study, text in texts for part in sentences(text)]
        _score(said, parts, voice, image)
    if voice.tower is not None and voice.tower.has_new:
        keep_rows(library, voice.tower, spaces, notes)
    return _best(reports, k), _best(said, k)


def _studies(db: Connection, query: Query) -> list[str]:
    """Studies with reports whose words may be told, newest first.

    Left out are the query's own study, its patient, and studies that hold a copy of it.
    """
    hashes = sorted(query.pixel_hashes)
    copies: set[int] = set()
    for start in range(0, len(hashes), PART):
        part = hashes[start : start + PART]
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
            Study.study_instance_uid.not_in(query.studies),
        )
        .order_by(Study.id.desc())
    )
    return [
        row.study_instance_uid
        for row in rows
        if row.id not in copies and row.pseudonym not in query.patients
    ]


def _score(
    heard: dict[str, _Heard], texts: Sequence[tuple[str, str]], voice: Voice, image: Embeddings
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


def keep_rows(
    library: Library, tower: TextTower, spaces: Sequence[SpaceInfo], notes: list[str]
) -> None:
    """Keep the vectors of texts, unless something was taken out since these were read."""
    try:
        with library.writing():
            if spaces == library.spaces():
                tower.save()
    except (LibraryLockedError, StorageFullError) as error:
        notes.append(f"the vectors of texts were not kept for the next time: {error}")
