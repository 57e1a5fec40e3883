"""What an ingest writes: each file's outcome together with all it brought, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from indexer.catalog.tables import (
    EmbeddingRow,
    Instance,
    Item,
    ItemInstance,
    Label,
    LedgerRow,
    Patient,
    Report,
    Series,
    SliceRow,
    Space,
    Study,
    Thumbnail,
    now,
)
from indexer.dicom.identity import PatientFingerprint, strangers
from indexer.reading.drafts import FileResult, InstanceDraft, ItemDraft, PatientDraft, SeriesResult
from indexer.sources.discover import SourceFile
from indexer.types import Attributes, Outcome, Reason


@dataclass(frozen=True)
class StoredVector:
    """What one encoder made of one item, as it is stored.

    Attributes:
        vector: unit vector, little-endian float16.
        norm: its length before normalising.
        slices: of a volume taken slice by slice, places in the volume with their unit vectors.
    """

    vector: bytes
    norm: float
    slices: tuple[tuple[int, bytes], ...] = ()


Vectors = Mapping[str, StoredVector]
"""Of one item, by encoder."""

_STUDY_FIELDS = {
    "study_date": "study_date",
    "age_years": "age_years",
    "sex": "sex",
    "study_description": "description",
    "split": "split",
}
_SERIES_FIELDS = {
    "modality": "modality",
    "body_part": "body_part",
    "view": "view",
    "laterality": "laterality",
    "series_description": "description",
    "manufacturer": "manufacturer",
    "model": "model",
}


class SeriesChangedError(Exception):
    """A slice's UID was taken by another series meanwhile; the series must be read again."""


@dataclass(frozen=True)
class Written:
    """The final word on one file."""

    source: SourceFile
    outcome: Outcome
    reason: Reason | None = None
    detail: str = ""


@dataclass
class _Rows:
    """What became so far of a NumPy archive, which is written part by part."""

    parts: list[Written] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)
    sha256: str = ""
    first_uid: str = ""

    def add(self, result: FileResult, written: Written) -> Written:
        """The word on all parts up to this one: the best of their outcomes, and what is lost."""
        self.parts.append(written)
        self.lost.extend(result.lost_rows)
        self.sha256 = self.sha256 or result.sha256
        if not self.first_uid and result.instances:
            self.first_uid = result.instances[0].sop_instance_uid
        best = min(self.parts, key=lambda part: _BEST_FIRST.index(part.outcome))
        if not self.lost or best.outcome is Outcome.REJECTED:
            return best
        why = next((part.detail for part in self.parts if part.detail), "")
        names = ", ".join(map(str, self.lost[:5])) + (" …" if len(self.lost) > 5 else "")
        said = f"{len(self.lost)} rows are not usable ({names}); {why}"
        return replace(best, detail=said)


_BEST_FIRST = (
    Outcome.INDEXED,
    Outcome.CONFLICT,
    Outcome.UNCHANGED,
    Outcome.LINKED,
    Outcome.SKIPPED,
    Outcome.REJECTED,
)


class CatalogWriter:
    """Writes drafts within the caller's transaction. ``spaces`` maps encoder names to space ids."""

    def __init__(self, spaces: Mapping[str, int]) -> None:
        self._spaces = spaces
        self._rows = _Rows()

    def file(
        self, db: Connection, result: FileResult, vectors: Sequence[Vectors]
    ) -> tuple[Written, int]:
        """Write one file's result and its ledger row; items whose UID exists stay as they are.

        Returns:
            What became of the file (of a NumPy archive: up to this part), and how many items are
            new.
        """
        outcome, reason, detail = result.outcome, result.reason, result.detail
        by_uid: dict[str, int] = {}
        seen: set[Outcome] = set()
        for draft in result.instances:
            verdict, row = self._instance(db, draft, result.source, result.sha256)
            seen.add(verdict)
            if verdict in (Outcome.INDEXED, Outcome.LINKED):
                by_uid[draft.sop_instance_uid] = row
        if seen and Outcome.INDEXED not in seen and Outcome.LINKED not in seen:
            outcome = Outcome.CONFLICT if Outcome.CONFLICT in seen else Outcome.UNCHANGED
        if outcome is Outcome.CONFLICT:
            reason, detail = Reason.UID_CONFLICT, _CONFLICT
        series = {d.sop_instance_uid: d.series_instance_uid for d in result.instances}
        new = 0
        for item, vector in zip(result.items, vectors, strict=True):
            if all(uid in by_uid for uid in item.instance_uids):
                self._item(db, item, vector, series[item.instance_uids[0]], by_uid)
                new += 1
        rows = self._rows
        written = rows.add(result, Written(result.source, outcome, reason, detail))
        if result.last:
            self._ledger(db, written, rows.sha256, rows.first_uid)
            self._rows = _Rows()
        return written, new

    def series(
        self, db: Connection, result: SeriesResult, vectors: Sequence[Vectors]
    ) -> list[Written]:
        """Write a series whole: new instances, its items in place of the old ones, the ledger.

        Raises:
            SeriesChangedError: an instance the items are made of belongs to another series now.
        """
        task, written = result.task, []
        by_uid = self._members(db, task.series_instance_uid)
        members = {uid for item in result.items for uid in item.instance_uids}
        for ref in sorted((*task.slices, *task.copies), key=lambda r: r.order):
            if ref.order in result.rejected:
                reason, detail = result.rejected[ref.order]
                final = Written(ref.source, Outcome.REJECTED, reason, detail)
            else:
                draft = result.drafts[ref.order]
                verdict, row = self._instance(db, draft, ref.source, ref.sha256)
                uid = draft.sop_instance_uid
                own = self._series_of(db, row) == task.series_instance_uid
                if uid in members and uid not in by_uid and not own:
                    raise SeriesChangedError(uid)
                by_uid.setdefault(uid, row)
                conflict = verdict is Outcome.CONFLICT
                final = Written(
                    ref.source,
                    verdict,
                    Reason.UID_CONFLICT if conflict else None,
                    _CONFLICT if conflict else "",
                )
            self._ledger(db, final, ref.sha256, ref.draft.sop_instance_uid)
            written.append(final)
        if result.items:
            self._replace_items(db, result, vectors, by_uid)
        return written

    def annotate(self, db: Connection, sop_instance_uid: str, said: Attributes) -> None:
        """Add what a table says to an instance that is in the catalog."""
        row = db.execute(
            select(Series.id, Series.study_id)
            .join(Instance)
            .where(Instance.sop_instance_uid == sop_instance_uid)
        ).one()
        _overwrite(db, Study, row.study_id, _values(said, _STUDY_FIELDS))
        _overwrite(db, Series, row.id, _values(said, _SERIES_FIELDS))
        self._words(db, row.study_id, said, "table", said.report)

    def _instance(
        self, db: Connection, draft: InstanceDraft, source: SourceFile, sha256: str
    ) -> tuple[Outcome, int]:
        """Insert an instance, or compare with the one that has its UID (I1, I2)."""
        known = db.execute(
            select(Instance.id, Instance.content_hash, Series.id, Series.study_id)
            .join(Series)
            .where(Instance.sop_instance_uid == draft.sop_instance_uid)
        ).first()
        if known is None:
            return self._new_instance(db, draft, source, sha256)
        row, content_hash, series_id, study_id = known
        if draft.content_hash != content_hash:
            return Outcome.CONFLICT, row
        self._correct(db, draft, series_id, study_id)
        return Outcome.UNCHANGED, row

    def _new_instance(
        self, db: Connection, draft: InstanceDraft, source: SourceFile, sha256: str
    ) -> tuple[Outcome, int]:
        patient_id = self._patient(db, draft.patient)
        study_id = _fill(
            db,
            Study,
            Study.study_instance_uid == draft.study_instance_uid,
            {"study_instance_uid": draft.study_instance_uid, "patient_id": patient_id},
            _values(draft.attributes, _STUDY_FIELDS),
        )
        # Of an SR or SEG the series says nothing about a picture; it still is a series.
        series_id = _fill(
            db,
            Series,
            Series.series_instance_uid == draft.series_instance_uid,
            {"series_instance_uid": draft.series_instance_uid, "study_id": study_id},
            _values(draft.attributes, _SERIES_FIELDS),
        )
        study_id = db.execute(select(Series.study_id).where(Series.id == series_id)).scalar_one()
        row = db.execute(
            insert(Instance)
            .values(
                sop_instance_uid=draft.sop_instance_uid,
                series_id=series_id,
                sop_class_uid=draft.sop_class_uid,
                kind=draft.kind,
                transfer_syntax_uid=draft.transfer_syntax_uid,
                decoder=draft.decoder,
                rows=draft.rows,
                columns=draft.columns,
                frames=draft.frames,
                content_hash=draft.content_hash,
                pixel_hash=draft.pixel_hash,
                source=source.key,
                file_sha256=sha256,
                flags=[f.value for f in draft.flags],
            )
            .returning(Instance.id)
        ).scalar_one()
        self._words(db, study_id, draft.attributes, draft.sop_instance_uid, draft.report)
        outcome = Outcome.LINKED if draft.kind == "evidence" else Outcome.INDEXED
        return outcome, row

    def _correct(self, db: Connection, draft: InstanceDraft, series_id: int, study_id: int) -> None:
        """A resend with other demographics updates the metadata; empty never overwrites."""
        _overwrite(db, Study, study_id, _values(draft.attributes, _STUDY_FIELDS))
        _overwrite(db, Series, series_id, _values(draft.attributes, _SERIES_FIELDS))
        if not draft.patient.names_nobody:
            own = db.execute(select(Study.patient_id).where(Study.id == study_id)).scalar_one()
            patient_id = self._patient(db, draft.patient, corrected=own)
            _overwrite(db, Study, study_id, {"patient_id": patient_id})
        self._words(db, study_id, draft.attributes, draft.sop_instance_uid, draft.report)

    def _patient(self, db: Connection, draft: PatientDraft, corrected: int | None = None) -> int:
        """Find or add a patient; demographics that contradict each other mark the id as shared.

        ``corrected`` is the patient whose own file comes again: its demographics are corrections.
        """
        new = draft.fingerprint
        known = db.execute(select(Patient).where(Patient.pseudonym == draft.pseudonym)).first()
        if known is None:
            values = {
                "pseudonym": draft.pseudonym,
                "real_id": draft.real_id,
                "shared": draft.names_nobody,
                "fingerprint": _as_dict(new),
            }
            return db.execute(insert(Patient).values(values).returning(Patient.id)).scalar_one()
        old = PatientFingerprint(
            known.fingerprint.get("birth", ""),
            known.fingerprint.get("sex", ""),
            tuple(known.fingerprint.get("names", ())),
        )
        correction = known.id == corrected
        first, second = (new, old) if correction else (old, new)
        together = PatientFingerprint(
            first.birth or second.birth,
            first.sex or second.sex,
            tuple(sorted({*old.names, *new.names})),
        )
        changes = {
            "shared": known.shared or (not correction and strangers(old, new)),
            "fingerprint": _as_dict(together),
        }
        if changes != {"shared": known.shared, "fingerprint": known.fingerprint}:
            db.execute(update(Patient).where(Patient.id == known.id).values(changes))
        return int(known.id)

    def _words(
        self, db: Connection, study_id: int, said: Attributes, source: str, report: str
    ) -> None:
        """Labels and report text of a study."""
        for text, origin in ((report, source), (said.report, "table")):
            if text:
                statement = upsert(Report).values(study_id=study_id, source=origin, text=text)
                db.execute(
                    statement.on_conflict_do_update(
                        index_elements=["study_id", "source"], set_={"text": text}
                    )
                )
        if not said.labels:
            return
        held = {
            tuple(row)
            for row in db.execute(
                select(Label.name, Label.value).where(
                    Label.study_id == study_id, Label.item_id.is_(None)
                )
            )
        }
        pairs = {(name[:64], value) for name, values in said.labels.items() for value in values}
        for name, value in sorted(pairs - held):
            db.execute(insert(Label).values(study_id=study_id, name=name, value=value))

    def _series_of(self, db: Connection, instance_row: int) -> str:
        return db.execute(
            select(Series.series_instance_uid).join(Instance).where(Instance.id == instance_row)
        ).scalar_one()

    def _members(self, db: Connection, series_uid: str) -> dict[str, int]:
        rows = db.execute(
            select(Instance.sop_instance_uid, Instance.id)
            .join(Series)
            .where(Series.series_instance_uid == series_uid)
        )
        return {row.sop_instance_uid: row.id for row in rows}

    def _replace_items(
        self,
        db: Connection,
        result: SeriesResult,
        vectors: Sequence[Vectors],
        by_uid: Mapping[str, int],
    ) -> None:
        """Exchange the items of a series' single-frame files for the newly made ones."""
        uid = result.task.series_instance_uid
        slices = (
            select(Instance.id)
            .join(Series)
            .where(Series.series_instance_uid == uid, Instance.kind == "slice")
        )
        stale = select(ItemInstance.item_id).where(ItemInstance.instance_id.in_(slices))
        if db.execute(delete(Item).where(Item.id.in_(stale))).rowcount:
            db.execute(update(Space).values(generation=Space.generation + 1))
        for item, vector in zip(result.items, vectors, strict=True):
            self._item(db, item, vector, uid, by_uid)

    def _item(
        self,
        db: Connection,
        item: ItemDraft,
        vectors: Vectors,
        series_uid: str,
        by_uid: Mapping[str, int],
    ) -> None:
        series_id = db.execute(
            select(Series.id).where(Series.series_instance_uid == series_uid)
        ).scalar_one()
        row = db.execute(
            insert(Item)
            .values(
                uid=item.uid,
                series_id=series_id,
                kind=item.kind,
                role=item.role.value,
                frame_index=item.frame_index,
                stack=item.stack,
                slices=item.slices,
                pixel_hash=item.pixel_hash,
                flags=[f.value for f in item.flags],
                details=dict(item.details),
            )
            .returning(Item.id)
        ).scalar_one()
        db.execute(insert(Thumbnail).values(item_id=row, webp=item.thumbnail))
        db.execute(
            insert(ItemInstance),
            [
                {"item_id": row, "instance_id": by_uid[uid], "position": position}
                for position, uid in enumerate(item.instance_uids)
            ],
        )
        for encoder, made in vectors.items():
            place = {"space_id": self._spaces[encoder], "item_id": row}
            db.execute(insert(EmbeddingRow).values(**place, vector=made.vector, norm=made.norm))
            if made.slices:
                db.execute(
                    insert(SliceRow),
                    [place | {"slice_index": i, "vector": vector} for i, vector in made.slices],
                )

    def _ledger(self, db: Connection, written: Written, sha256: str, sop_uid: str) -> None:
        source = written.source
        values = {
            "size": source.size,
            "mtime_ns": source.mtime_ns,
            "sha256": sha256,
            "outcome": written.outcome.value,
            "reason": written.reason.value if written.reason else "",
            "detail": written.detail,
            "sop_instance_uid": sop_uid,
            "seen_at": now(),
        }
        statement = upsert(LedgerRow).values(source=source.key, **values)
        db.execute(statement.on_conflict_do_update(index_elements=["source"], set_=values))


def uids_above(db: Connection, sop_instance_uid: str) -> tuple[str, str] | None:
    """Series and Study Instance UID of an instance, None if the catalog does not have it."""
    row = db.execute(
        select(Series.series_instance_uid, Study.study_instance_uid)
        .join(Study)
        .join(Instance, Instance.series_id == Series.id)
        .where(Instance.sop_instance_uid == sop_instance_uid)
    ).first()
    return None if row is None else (row[0], row[1])


_CONFLICT = (
    "its SOP Instance UID is in the library with other pixels or geometry; the first one stays"
)


def _as_dict(fingerprint: PatientFingerprint) -> dict[str, Any]:
    return {
        "birth": fingerprint.birth,
        "sex": fingerprint.sex,
        "names": list(fingerprint.names),
    }


def _values(said: Attributes, fields: Mapping[str, str]) -> dict[str, Any]:
    """Column values that are said at all."""
    found = {column: getattr(said, name) for name, column in fields.items()}
    return {column: value for column, value in found.items() if value not in ("", None)}


def _fill(
    db: Connection, table: Any, match: Any, identity: dict[str, Any], values: dict[str, Any]
) -> int:
    """Find a row or insert it; of a known row only empty columns are filled."""
    known = db.execute(select(table).where(match)).mappings().first()
    if known is None:
        return int(
            db.execute(insert(table).values(**identity, **values).returning(table.id)).scalar_one()
        )
    missing = {c: v for c, v in values.items() if known[c] in ("", None)}
    if missing:
        db.execute(update(table).where(table.id == known["id"]).values(missing))
    return int(known["id"])


def _overwrite(db: Connection, table: Any, row: int, values: dict[str, Any]) -> None:
    if not values:
        return
    known = db.execute(select(table).where(table.id == row)).mappings().one()
    changed = {c: v for c, v in values.items() if known[c] != v}
    if changed:
        db.execute(update(table).where(table.id == row).values(changed))
