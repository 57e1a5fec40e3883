"""Labels of studies and items: given, taken away, read out. A tag is a label called ``tag``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, select

from indexer.catalog.lookup import Place, places_of
from indexer.catalog.tables import Item, Label, Series, Study
from indexer.types import ItemIds

Labels = Mapping[str, tuple[str, ...]]
"""Of each name its values."""
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
    places = places_of(db, {line.uid for line in lines})
    there = _held(db, places.values())
    new: list[_Row] = []
    for line in lines:
        place = places.get(line.uid)
        if place is None:
            strange.append(line.uid)
            continue
        row = _Row(*place, line.name, line.value)
        if row in there:
            known += 1
            continue
        there.add(row)
        new.append(row)
    if new:
        db.execute(insert(Label), [row._asdict() for row in new])
    return added + len(new), known


class _Row(NamedTuple):
    study_id: int
    item_id: int | None
    name: str
    value: str


def _held(db: Connection, places: Iterable[Place]) -> set[_Row]:
    """All labels of some studies and of their items."""
    query = select(Label.study_id, Label.item_id, Label.name, Label.value)
    found = db.execute(query.where(Label.study_id.in_({place.study for place in places})))
    return {_Row(*row) for row in found}


# -- of one study or item -------------------------------------------------------------------------


def own_labels(db: Connection, place: Place) -> Labels:
    """The labels of a study, or of an item alone: of each name its values, all sorted."""
    query = select(Label.name, Label.value).where(_of(place)).order_by(Label.name, Label.value)
    found: dict[str, tuple[str, ...]] = {}
    for name, value in db.execute(query):
        found[name] = (*found.get(name, ()), value)
    return found


def replace_labels(db: Connection, place: Place, wanted: Labels) -> None:
    """Give a study or an item these labels and no others; those that it keeps are not touched."""
    held, new = _pairs(own_labels(db, place)), _pairs(wanted)
    for name, value in sorted(held - new):
        db.execute(delete(Label).where(_of(place), Label.name == name, Label.value == value))
    rows = [_Row(*place, name, value)._asdict() for name, value in sorted(new - held)]
    if rows:
        db.execute(insert(Label), rows)


def take_labels(db: Connection, lines: Iterable[tuple[Place, str, str]]) -> int:
    """Take labels away, each from one study or item; how many were there."""
    return sum(
        db.execute(
            delete(Label).where(_of(place), Label.name == name, Label.value == value)
        ).rowcount
        for place, name, value in lines
    )


def _of(place: Place) -> ColumnElement[bool]:
    same = Label.item_id.is_(None) if place.item is None else Label.item_id == place.item
    return and_(Label.study_id == place.study, same)


def _pairs(labels: Labels) -> set[tuple[str, str]]:
    return {(name, value) for name, values in labels.items() for value in values}


# -- of all ---------------------------------------------------------------------------------------


def unlabel_some(db: Connection, ids: ItemIds, name: str, value: str) -> int:
    """Take a label away from some items; how many had it."""
    numbers, gone = ids.tolist(), 0
    for start in range(0, len(numbers), _BATCH):
        some = numbers[start : start + _BATCH]
        mine = (Label.item_id.in_(some), Label.name == name, Label.value == value)
        gone += db.execute(delete(Label).where(*mine)).rowcount
    return gone


def count_labels(db: Connection, name: str = "") -> dict[str, dict[str, int]]:
    """Of all names, or of one, of each value how many studies and items have it; sorted."""
    query = select(Label.name, Label.value, func.count()).group_by(Label.name, Label.value)
    if name:
        query = query.where(Label.name == name)
    found: dict[str, dict[str, int]] = {}
    for each, value, count in db.execute(query.order_by(Label.name, Label.value)):
        found.setdefault(each, {})[value] = count
    return found
