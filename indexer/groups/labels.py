"""Labels of studies and items: given, taken away, read out. A tag is a label called ``tag``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from indexer.catalog.tables import Item, Label, Series, Study
from indexer.types import ItemIds

TAG = "tag"
_BATCH = 500


@dataclass(frozen=True)
class LabelLine:
    """A label as it stands in a table.

    Attributes:
        uid: Study Instance UID, or the id of an item.
        name, value: of the label.
        study: Study Instance UID of the item, the same as ``uid`` where it is of a study.
    """

    uid: str
    name: str
    value: str
    study: str = ""


@dataclass(frozen=True)
class Labelled:
    """What came of giving labels.

    Attributes:
        added: labels that are new.
        known: that were there.
        unknown: uids that nothing in the library has, the first few.
        unknown_count: how many of them.
    """

    added: int
    known: int
    unknown: tuple[str, ...] = ()
    unknown_count: int = 0


def label_items(db: Connection, ids: ItemIds, name: str, value: str) -> Labelled:
    """Give items a label; those that have it are left as they are."""
    added, numbers = 0, ids.tolist()
    for start in range(0, len(numbers), _BATCH):
        some = numbers[start : start + _BATCH]
        studies = select(Item.id, Series.study_id).join(Series).where(Item.id.in_(some))
        have = select(Label.item_id).where(
            Label.item_id.in_(some), Label.name == name, Label.value == value
        )
        there = set(db.execute(have).scalars())
        rows = [
            {"study_id": study, "item_id": item, "name": name, "value": value}
            for item, study in db.execute(studies)
            if item not in there
        ]
        if rows:
            db.execute(insert(Label), rows)
        added += len(rows)
    return Labelled(added, len(numbers) - added)


def unlabel_items(db: Connection, name: str, value: str) -> int:
    """Take a label away from all items and studies that have it; how many had."""
    gone = db.execute(delete(Label).where(Label.name == name, Label.value == value))
    return gone.rowcount


def read_labels(db: Connection, names: Iterable[str] = ()) -> Iterator[LabelLine]:
    """All labels, or those of some names: by study and item."""
    query = (
        select(Study.study_instance_uid, Item.uid, Label.name, Label.value)
        .select_from(Label)
        .join(Study, Study.id == Label.study_id)
        .outerjoin(Item, Item.id == Label.item_id)
        .order_by(Label.name, Study.study_instance_uid, Item.uid, Label.value)
    )
    wanted = list(names)
    if wanted:
        query = query.where(Label.name.in_(wanted))
    for study, item, name, value in db.execute(query):
        yield LabelLine(item or study, name, value, study)


def give_labels(db: Connection, lines: Iterable[LabelLine]) -> Labelled:
    """Give labels by uid; lines of things that the library does not have are told of."""
    added, known, strange = 0, 0, list[str]()
    batch: list[LabelLine] = []
    for line in lines:
        batch.append(line)
        if len(batch) == _BATCH:
            added, known = _give(db, batch, strange, added, known)
            batch = []
    if batch:
        added, known = _give(db, batch, strange, added, known)
    missing = list(dict.fromkeys(strange))
    return Labelled(added, known, tuple(missing[:10]), len(missing))


def _give(
    db: Connection, lines: list[LabelLine], strange: list[str], added: int, known: int
) -> tuple[int, int]:
    uids = {line.uid for line in lines}
    items = {
        uid: (study, item)
        for uid, item, study in db.execute(
            select(Item.uid, Item.id, Series.study_id).join(Series).where(Item.uid.in_(uids))
        )
    }
    studies = {
        uid: (study, None)
        for uid, study in db.execute(
            select(Study.study_instance_uid, Study.id).where(Study.study_instance_uid.in_(uids))
        )
    }
    places: dict[str, tuple[int, int | None]] = {**items, **studies}
    query = select(Label.study_id, Label.item_id, Label.name, Label.value).where(
        Label.study_id.in_({study for study, _ in places.values()})
    )
    there = {(row.study_id, row.item_id, row.name, row.value) for row in db.execute(query)}
    for line in lines:
        place = places.get(line.uid)
        if place is None:
            strange.append(line.uid)
            continue
        row = (*place, line.name, line.value)
        if row in there:
            known += 1
            continue
        there.add(row)
        names = ("study_id", "item_id", "name", "value")
        db.execute(insert(Label).values(dict(zip(names, row, strict=True))))
        added += 1
    return added, known
