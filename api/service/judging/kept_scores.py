"""What a reference says of items of a library is kept there, for those who look later."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from api.service.drifting.watch import score_of
from api.service.judging.judge import StudyAnswer
from indexer.catalog.database import transaction
from indexer.catalog.tables import Item
from indexer.groups.references import StoredReference
from indexer.groups.scores import keep_scores
from indexer.library import Library

AT_ONCE = 250
"""Studies whose scores are stored in one transaction."""


def keep_answers(
    library: Library, reference: StoredReference, answers: Sequence[StudyAnswer]
) -> None:
    """Store what was said of each item; of those that are not there any more nothing."""
    if not answers:
        return
    items = [one for each in answers for one in each.items]
    with transaction(library.engine) as db:
        numbers = _numbers(db, [each.item for each in items])
        scores = [score_of(numbers[each.item], each) for each in items if each.item in numbers]
        keep_scores(db, reference, scores)


def _numbers(db: Connection, uids: Sequence[str]) -> dict[str, int]:
    """Private numbers of items that are still there."""
    found = dict[str, int]()
    for start in range(0, len(uids), AT_ONCE):
        some = Item.uid.in_(uids[start : start + AT_ONCE])
        found |= {row.uid: row.id for row in db.execute(select(Item.uid, Item.id).where(some))}
    return found
