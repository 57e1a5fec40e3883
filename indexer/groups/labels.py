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
