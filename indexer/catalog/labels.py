"""Labels as they hold: of a study as a whole, and of each of its items."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from sqlalchemy import Connection, bindparam, select

from indexer.catalog.tables import Label

TAG = "tag"
"""The label whose values are tags: what people set things aside by, not what images show."""
_OF_STUDIES = (
    select(Label.study_id, Label.item_id, Label.name, Label.value)
    .where(Label.study_id.in_(bindparam("studies", expanding=True)))
    .order_by(Label.name, Label.value)
)
"""Of studies alone: an index of items would find all labels that are of none, for each study again.

Built once: to put such a statement together takes longer than to run it.
"""
_PART = 300


def labels_of_items(
    db: Connection, studies: Mapping[int, int]
) -> dict[int, dict[str, tuple[str, ...]]]:
    """Of each item its own labels and those of its study, as filters and facets know them.

    Args:
        db: of the catalog.
        studies: of the row number of each item that of its study.

    Returns:
        Of each item that has any, of each name its values; both sorted, each value once.
    """
    items: dict[int, list[int]] = defaultdict(list)
    for item, study in studies.items():
        items[study].append(item)
    found: dict[int, dict[str, tuple[str, ...]]] = defaultdict(dict)
    of: int | None
    asked = sorted(items)
    for start in range(0, len(asked), _PART):
        some = {"studies": asked[start : start + _PART]}
        for study, of, name, value in db.execute(_OF_STUDIES, some):
            for number in items[study] if of is None else {of} & studies.keys():
                values = found[number].get(name, ())
                if value not in values:
                    found[number][name] = (*values, value)
    return dict(found)
