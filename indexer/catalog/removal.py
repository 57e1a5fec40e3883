"""Taking a study, series or patient out of a catalog, with everything made from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, func, or_, select, update

from indexer.catalog.audit import Action, AuditEvent, append
from indexer.catalog.tables import (
    Delivery,
    Instance,
    Item,
    ItemInstance,
    LedgerRow,
    Patient,
    Report,
    Series,
    Space,
    Study,
)
from indexer.catalog.words import purge_words

_PART = 500


@dataclass(frozen=True)
class Removed:
    """How much was taken out."""

    patients: int
    studies: int
    series: int
    instances: int
    items: int


def remove_matching(
    db: Connection, level: str, uid: str, actor: str, pseudonyms: Sequence[str] = ()
) -> Removed:
    """Remove a ``study``, ``series`` or ``patient`` with all that was made from it.

    Args:
        db: a transaction.
        level: which of the three.
        uid: its UID.
        actor: who is recorded in the audit table.
        pseudonyms: of a patient, in place of ``uid``: what the patient may be called here.
    """
    series = _series_of(db, level, uid, pseudonyms)
    if not series:
        return Removed(0, 0, 0, 0, 0)
    # A real patient id may have been asked for; what is recorded is the pseudonym.
    named = _patients(db, series)
    subjects = [uid] if level != "patient" else named
    counted = _count(db, Instance, series), _count(db, Item, series)
    _forget_files(db, series)
    _forget_messages(db, series)
    for part in _parts(series):
        db.execute(delete(Series).where(Series.id.in_(part)))
    studies = _drop_empty(db, Study, Series.study_id)
    patients = _drop_empty(db, Patient, Study.patient_id)
    db.execute(update(Space).values(generation=Space.generation + 1))
    append(
        db,
        [
            AuditEvent(
                actor=actor,
                action=Action.REMOVE,
                subject={"level": level, "uid": subject},
                patients=(subject,) if level == "patient" else tuple(named),
            )
            for subject in subjects
        ],
    )
    purge_words(db)
    return Removed(patients, studies, len(series), *counted)


def instances_of(db: Connection, level: str, uid: str, pseudonyms: Sequence[str] = ()) -> list[str]:
    """SOP Instance UIDs of all that `remove_matching` would remove."""
    return [
        found
        for part in _parts(_series_of(db, level, uid, pseudonyms))
        for found in db.execute(
            select(Instance.sop_instance_uid).where(Instance.series_id.in_(part))
        ).scalars()
    ]


def drop_orphans(db: Connection) -> int:
    """Remove what nothing refers to: items without instances, empty series, studies, patients."""
    made_from = select(ItemInstance.item_id)
    gone = db.execute(delete(Item).where(Item.id.not_in(made_from))).rowcount
    if gone:
        db.execute(update(Space).values(generation=Space.generation + 1))
    gone += _drop_empty(db, Series, Instance.series_id)
    gone += _drop_empty(db, Study, Series.study_id)
    return gone + _drop_empty(db, Patient, Study.patient_id)


def _series_of(db: Connection, level: str, uid: str, pseudonyms: Sequence[str]) -> list[int]:
    condition: dict[str, ColumnElement[bool]] = {
        "study": Study.study_instance_uid == uid,
        "series": Series.series_instance_uid == uid,
        "patient": Patient.pseudonym.in_(pseudonyms),
    }
    return _column(
        db,
        select(Series.id).select_from(Series).join(Study).join(Patient).where(condition[level]),
    )


def _forget_files(db: Connection, series: Sequence[int]) -> None:
    """Ledger rows of the instances, copies included, as paths may name patients; and reports."""
    for part in _parts(series):
        uids = select(Instance.sop_instance_uid).where(Instance.series_id.in_(part))
        sources = select(Instance.source).where(Instance.series_id.in_(part))
        db.execute(delete(Report).where(Report.source.in_(uids)))
        db.execute(
            delete(LedgerRow).where(
                or_(LedgerRow.sop_instance_uid.in_(uids), LedgerRow.source.in_(sources))
            )
        )


def _forget_messages(db: Connection, series: Sequence[int]) -> None:
    """Messages that name one of the series, sent or not."""
    for part in _parts(series):
        uids = select(Series.series_instance_uid).where(Series.id.in_(part))
        for uid in _column(db, uids):
            db.execute(delete(Delivery).where(Delivery.body.contains(f'"{uid}"', autoescape=True)))


def _drop_empty(db: Connection, parent: Any, reference: Any) -> int:
    """Delete rows that no child refers to any more."""
    return db.execute(delete(parent).where(parent.id.not_in(select(reference)))).rowcount


def _count(db: Connection, table: Any, series: Sequence[int]) -> int:
    return sum(
        db.execute(select(func.count()).where(table.series_id.in_(part))).scalar_one()
        for part in _parts(series)
    )


def _patients(db: Connection, series: Sequence[int]) -> list[str]:
    names: set[str] = set()
    for part in _parts(series):
        query = select(Patient.pseudonym).select_from(Series).join(Study).join(Patient)
        names |= set(db.execute(query.where(Series.id.in_(part))).scalars())
    return sorted(names)


def _column(db: Connection, query: Any) -> list[int]:
    return list(db.execute(query).scalars())


def _parts(values: Sequence[int]) -> list[Sequence[int]]:
    return [values[i : i + _PART] for i in range(0, len(values), _PART)]
