"""What speaks for a hit beside its score: how near strangers are, which tags agree, and votes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
from sqlalchemy import Connection, select

from indexer.catalog.database import reading
from indexer.catalog.tables import Item, Label, Series, Study
from indexer.evidence import calibration, percentiles
from indexer.evidence.calibration import (
    LabelScaling,
    Progress,
    Voter,
    label_votes,
    read_calibration,
    refresh_calibration,
)
from indexer.evidence.kept import mark_of, stamp_of
from indexer.evidence.percentiles import ALL, Background, read_background, refresh_background
from indexer.library import Library, SpaceInfo
from indexer.types import Attributes, Evidence, Hit, LabelVote

Tags = Mapping[str, str]
_PART = 500
_KEPT = 16
"""Spaces whose grounds are held in memory."""
_YEARS = 10


@dataclass(frozen=True)
class Grounds:
    """What evidence of a space rests on.

    Attributes:
        background: cosines of strangers.
        calibration: of votes, by label; None where there is none yet.
    """

    background: Background
    calibration: Mapping[str, LabelScaling] | None


_HELD: dict[tuple[object, ...], Grounds] = {}
_LOCK = Lock()


def grounds_of(library: Library, space: SpaceInfo, db: Connection) -> Grounds:
    """The grounds of a space as it is now; read or made once, then held until it changes."""
    stamps = [stamp_of(library, space, kind) for kind in (percentiles.KIND, calibration.KIND)]
    key = (library.path, space.id, mark_of(db, space), *stamps)
    with _LOCK:
        held = _HELD.get(key)
    if held is not None:
        return held
    made = Grounds(read_background(library, space, db), read_calibration(library, space, db))
    with _LOCK:
        for old in [one for one in _HELD if one[:2] == key[:2]] or list(_HELD)[: 1 - _KEPT]:
            _HELD.pop(old, None)
        _HELD[key] = made
    return made


def refresh_grounds(library: Library, on_progress: Progress | None = None) -> None:
    """Bring what is kept of every space up to the catalog; only a writer should.

    Args:
        library: that is being written.
        on_progress: called with vectors compared and all there are, for each space anew.

    Raises:
        StorageFullError: it cannot be written.
    """
    for space in library.spaces():
        with reading(library.engine) as db:
            refresh_background(library, space, db)
            refresh_calibration(library, space, db, on_progress)


def attach_evidence(
    db: Connection, grounds: Grounds, query: Tags, hits: Sequence[Hit], cosines: Sequence[float]
) -> list[Evidence]:
    """Evidence of each hit.

    Args:
        db: the catalog.
        grounds: of the space that found the hits.
        query: its tags, as of `tags_of` or `tags_from`; empty for words.
        hits: what was found.
        cosines: of query and hits in that space; NaN where there is none, as of hits by words.
    """
    tags = tags_of(db, [hit.id for hit in hits])
    found = []
    for hit, cosine in zip(hits, cosines, strict=True):
        own = tags.get(hit.id, {})
        modality = query.get("modality", ALL)
        if modality != own.get("modality"):
            modality = ALL
        place = grounds.background.percentile(modality, np.array([cosine], np.float32))[0]
        both = [name for name in query if name in own]
        found.append(
            Evidence(
                percentile=None if np.isnan(place) else round(float(place), 2),
                pairs=grounds.background.pairs(modality),
                shared={name: own[name] for name in both if query[name] == own[name]},
                differing={
                    name: (query[name], own[name]) for name in both if query[name] != own[name]
                },
            )
        )
    return found


def votes_of(grounds: Grounds, hits: Sequence[Hit], cosines: Sequence[float]) -> list[LabelVote]:
    """What the hits, nearest first, say of each label; without cosines there is no vote."""
    voters = [
        Voter(hit.patient, cosine, hit.labels)
        for hit, cosine in zip(hits, cosines, strict=True)
        if np.isfinite(cosine)
    ]
    return label_votes(voters, grounds.calibration)


def tags_of(db: Connection, item_uids: Sequence[str]) -> dict[str, dict[str, str]]:
    """What is known of items, in words, by their public id; what is unknown is left out."""
    found: dict[str, dict[str, str]] = {}
    for start in range(0, len(item_uids), _PART):
        rows = db.execute(
            select(
                Item.uid,
                Item.kind,
                Series.study_id,
                Series.modality,
                Series.body_part,
                Series.view,
                Series.laterality,
                Series.manufacturer,
                Series.model,
                Series.description.label("series_description"),
                Study.description.label("study_description"),
                Study.sex,
                Study.age_years,
            )
            .select_from(Item)
            .join(Series)
            .join(Study)
            .where(Item.uid.in_(item_uids[start : start + _PART]))
        ).all()
        labels = _labels(db, {row.study_id for row in rows})
        for row in rows:
            found[row.uid] = _tags(row, labels.get(row.study_id, {}), kind=row.kind)
    return found


def tags_from(said: Attributes, kind: str = "") -> dict[str, str]:
    """The same of a file that was read: what its header, or a table, says."""
    return _tags(said, {name: set(values) for name, values in said.labels.items()}, kind=kind)


_NAMES = (
    "modality",
    "body_part",
    "view",
    "laterality",
    "sex",
    "manufacturer",
    "model",
    "study_description",
    "series_description",
)


def _tags(said: Any, labels: Mapping[str, set[str]], *, kind: str) -> dict[str, str]:
    tags = {"kind": kind} | {name: getattr(said, name) for name in _NAMES}
    if said.age_years is not None:
        decade = int(said.age_years // _YEARS * _YEARS)
        tags["age"] = f"{decade}-{decade + _YEARS - 1}"
    tags |= {f"label:{name}": ", ".join(sorted(values)) for name, values in sorted(labels.items())}
    return {name: value for name, value in tags.items() if value}


def _labels(db: Connection, studies: set[int]) -> dict[int, dict[str, set[str]]]:
    found: dict[int, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    rows = db.execute(
        select(Label.study_id, Label.name, Label.value).where(
            Label.study_id.in_(studies), Label.item_id.is_(None)
        )
    )
    for study, name, value in rows:
        found[study][name].add(value)
    return found
