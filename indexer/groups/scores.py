"""What a reference said of the items of a library, and which of them it has not been asked about.

Scores are written by one process a reference, beside a writer of the library: an item may be gone
when its score comes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.sqlite import insert as upsert

from indexer.catalog.tables import EmbeddingRow, Item, OodScore, Reference, Series, Study, now
from indexer.errors import QueryError
from indexer.groups.references import StoredReference
from indexer.library import SpaceInfo
from indexer.types import Role

_PART = 500


@dataclass(frozen=True)
class Arrived:
    """An item that has a vector and no score yet.

    Attributes:
        seq: place of its vector in the order of arrival.
        id, study_id: private numbers.
        item: public id.
        manufacturer, model: in upper case, as makers write their own names in several ways.
    """

    seq: int
    id: int
    study_id: int
    item: str
    study_instance_uid: str
    series_instance_uid: str
    modality: str
    body_part: str
    manufacturer: str
    model: str


@dataclass(frozen=True)
class Score:
    """What a reference said of an item; as `OodScore` has it.

    Attributes:
        item_id: private number.
        score: of the detector that finds it oddest; 0 where it cannot be judged.
        p_value, flagged: None where it cannot be judged; ``findings`` then say why.
        verdicts: of each detector ``score`` and ``p_value``.
        stratum: that judged, in words; "" where none can.
        findings: each ``code``, ``sentence`` and ``value``.
    """

    item_id: int
    score: float
    p_value: float | None
    flagged: bool | None
    verdicts: Mapping[str, Mapping[str, float]]
    stratum: str
    findings: Sequence[Mapping[str, Any]]


def newest_vector(db: Connection, space: SpaceInfo) -> int:
    """``seq`` of the vector of a space that came last, 0 if there is none."""
    query = select(func.max(EmbeddingRow.seq)).where(EmbeddingRow.space_id == space.id)
    return db.execute(query).scalar_one() or 0


def items_without_score(
    db: Connection, reference: StoredReference, space: SpaceInfo, limit: int, after: int = 0
) -> list[Arrived]:
    """Primary items with a vector that a reference has said nothing of, oldest vectors first.

    Args:
        db: the catalog.
        reference: whose scores.
        space: the reference's.
        limit: how many at most.
        after: only vectors whose ``seq`` is above.
    """
    scored = select(OodScore.item_id).where(
        OodScore.reference_id == reference.id, OodScore.item_id == Item.id
    )
    query = (
        select(
            EmbeddingRow.seq, Item.id, Study.id.label("study_id"), Item.uid.label("item"),
            Study.study_instance_uid, Series.series_instance_uid, Series.modality,
            Series.body_part, Series.manufacturer, Series.model,
        )
        .select_from(EmbeddingRow)
        .join(Item)
        .join(Series)
        .join(Study)
        .where(
            EmbeddingRow.space_id == space.id, EmbeddingRow.seq > after, Item.role == Role.PRIMARY,
            ~scored.exists(),
        )
        .order_by(EmbeddingRow.seq)
        .limit(limit)
    )  # fmt: skip
    found = []
    for row in db.execute(query).mappings():
        names = {name: row[name].strip().upper() for name in ("manufacturer", "model")}
        found.append(Arrived(**{**row, **names}))
    return found


def kept_scores(db: Connection, reference: StoredReference) -> list[Score]:
    """All that a reference said, in the order of the items' numbers."""
    names = Score.__dataclass_fields__
    query = select(OodScore).where(OodScore.reference_id == reference.id)
    rows = db.execute(query.order_by(OodScore.item_id)).mappings()
    return [Score(**{name: row[name] for name in names}) for row in rows]


def keep_scores(db: Connection, reference: StoredReference, scores: Sequence[Score]) -> set[int]:
    """Store what a reference said, in the caller's transaction, in place of what it said before.

    Returns:
        Numbers of the items that are still there; of the others nothing is kept.

    Raises:
        QueryError: the reference was removed meanwhile.
    """
    check_still_there(db, reference)
    there: set[int] = set()
    for start in range(0, len(scores), _PART):
        ids = [each.item_id for each in scores[start : start + _PART]]
        there |= set(db.execute(select(Item.id).where(Item.id.in_(ids))).scalars())
    for each in scores:
        if each.item_id not in there:
            continue
        values = asdict(each) | {"judged_at": now()}
        key = {"reference_id": reference.id, "item_id": values.pop("item_id")}
        statement = upsert(OodScore).values(**key, **values)
        db.execute(statement.on_conflict_do_update(index_elements=[*key], set_=values))
    return there


def check_still_there(db: Connection, reference: StoredReference) -> None:
    """See that a reference was not removed; another one may have its number by now.

    Raises:
        QueryError: it was.
    """
    query = select(Reference.definition).where(Reference.id == reference.id)
    definition = db.execute(query).scalar_one_or_none()
    if definition is None or definition["file"] != reference.file:
        raise QueryError(f"the reference '{reference.name}' was removed")
