"""Make, describe, check and prune a library."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, select, union

from indexer.catalog.database import reading, transaction
from indexer.catalog.labels import labels_of_items
from indexer.catalog.lookup import Place
from indexer.catalog.removal import Removed, instances_of, remove_matching
from indexer.catalog.tables import (
    Instance,
    Item,
    Label,
    LedgerRow,
    Patient,
    Report,
    Series,
    Study,
)
from indexer.dicom.identity import pseudonym
from indexer.errors import ConfigError, ItemNotFoundError
from indexer.groups.labels import own_labels
from indexer.index.projection import ITEMS, SLICES, index_path, index_stats
from indexer.index.saving import erase_removed
from indexer.library import Library, SpaceInfo
from indexer.receiving.inbox import Inbox
from indexer.stores.contract import IndexOptions, StoreStats
from indexer.texts.bridges import BridgeVersion, bridge_versions, drop_bridges
from indexer.verify import VerifyReport, space_counts
from indexer.verify import verify as check

_INDEX = IndexOptions()


@dataclass(frozen=True)
class LibraryInfo:
    """A library in figures."""

    path: str
    id: str
    created: str
    phi: str
    store: str
    spaces: list[dict[str, object]]
    index: list[dict[str, object]]
    bridges: list[dict[str, object]]
    patients: int
    studies: int
    series: int
    instances: int
    items: dict[str, int]
    modalities: dict[str, int]
    labels: dict[str, int]
    reports: int
    outcomes: dict[str, int]
    rejected_by_reason: dict[str, int]
    bytes: int
    storage: dict[str, int]
    notices: list[str]


def info(library: Library) -> LibraryInfo:
    """Describe a library: what it holds, what filled it, how big it is."""
    storage = _storage(library.path)
    with reading(library.engine) as db:

        def number(table: Any) -> int:
            return int(db.execute(select(func.count()).select_from(table)).scalar_one())

        def by(column: Any, *conditions: ColumnElement[bool]) -> dict[str, int]:
            query = select(column, func.count()).group_by(column).order_by(column)
            return {str(value or "?"): n for value, n in db.execute(query.where(*conditions))}

        modality = (
            select(Series.modality, func.count())
            .select_from(Item)
            .join(Series)
            .group_by(Series.modality)
            .order_by(Series.modality)
        )
        return LibraryInfo(
            path=str(library.path),
            id=library.config.id,
            created=library.config.created,
            phi=library.config.phi,
            store=library.config.store,
            spaces=[
                {"encoder": name, "dim": dim, "vectors": count}
                for name, dim, count in space_counts(library)
            ],
            index=[
                _index(space.encoder, layer, stats) | _saved(library, space, layer)
                for space in library.spaces()
                for layer, stats in index_stats(library, space)
            ],
            bridges=[_bridge(each) for each in bridge_versions(library) if each.in_use],
            patients=number(Patient),
            studies=number(Study),
            series=number(Series),
            instances=number(Instance),
            items=by(Item.kind) | {f"role:{k}": n for k, n in by(Item.role).items()},
            modalities={value or "?": n for value, n in db.execute(modality)},
            labels=by(Label.name),
            reports=number(Report),
            outcomes=by(LedgerRow.outcome),
            rejected_by_reason=by(
                LedgerRow.reason, LedgerRow.outcome.in_(["rejected", "conflict"])
            ),
            bytes=sum(storage.values()),
            storage=storage,
            notices=sorted({s.notice for s in library.spaces() if s.notice}),
        )


def _index(encoder: str, layer: str, stats: StoreStats) -> dict[str, object]:
    """What is said of the index of a layer."""
    described: dict[str, object] = {"encoder": encoder, "of": layer, "kind": stats.kind}
    if not stats.exact:
        described |= {
            "recall_at_10": stats.recall and round(stats.recall, 4),
            "recall_at_100": stats.recall_100 and round(stats.recall_100, 4),
            "target": stats.target,
            **stats.parameters,
        }
    described |= {"vectors": stats.count, "bytes": stats.bytes, "why": stats.reason}
    return described | ({"warning": stats.warning} if stats.warning else {})


def _saved(library: Library, space: SpaceInfo, layer: str) -> dict[str, object]:
    """When the files of an index were last written, where it has files."""
    path = index_path(library, space, ITEMS if layer == "items" else SLICES)
    with suppress(OSError):
        at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        return {"saved_at": at.isoformat(timespec="seconds")}
    return {}


def _bridge(found: BridgeVersion) -> dict[str, object]:
    """The bridge in use of a space, shortly."""
    described: dict[str, object] = {"encoder": found.encoder, "version": found.version}
    if found.about is None:
        return described | {"features": "damaged"}
    rates = found.about.quality
    return described | {
        "features": found.about.features,
        "pairs": rates.pairs,
        "hit_rate_at_10": round(rates.hit_rate_at_10, 3),
        "report_hit_rate_at_10": round(rates.report_hit_rate_at_10, 3),
        "chance_at_10": round(rates.chance_at_10, 3),
    }


def _storage(folder: Path) -> dict[str, int]:
    """Bytes of each part of a library: its folders by their names, and the catalog."""
    parts = Counter[str]()
    for path in folder.rglob("*"):
        with suppress(OSError):  # a writer may take a file away meanwhile
            within = path.relative_to(folder).parts
            name = "catalog" if within[0].startswith("catalog.") else "other"
            parts[within[0] if len(within) > 1 else name] += (
                path.stat().st_size if path.is_file() else 0
            )
    return dict(sorted(parts.items()))


def verify(
    library: Library,
    *,
    repair: bool = False,
    sources: bool = False,
    on_progress: Callable[[str], None] | None = None,
) -> VerifyReport:
    """Check that catalog, vectors, index, thumbnails and ledger agree."""
    return check(library, repair=repair, sources=sources, on_progress=on_progress)


def remove(
    library: Library,
    level: str,
    uid: str,
    *,
    actor: str,
    index: IndexOptions = _INDEX,
) -> Removed:
    """Take a ``study``, ``series`` or ``patient`` out: metadata, vectors, thumbnails, index.

    Files stay where they are, but those in the library's inbox are deleted.

    A patient is named by pseudonym or by the real patient id, with its issuer before it
    (``issuer|id``) where the files name one.

    Raises:
        ItemNotFoundError: nothing of that UID is in the library.
    """
    if level not in ("study", "series", "patient"):
        raise ConfigError(f"remove a study, a series or a patient, not a '{level}'")
    issuer, _, patient_id = uid.rpartition("|")
    names = {uid, pseudonym(library.key, uid), pseudonym(library.key, patient_id, issuer)}
    with library.writing():
        with reading(library.engine) as db:
            instances = instances_of(db, level, uid, sorted(names))
        # Files that were received go first: one that stayed would be indexed anew.
        Inbox(library.inbox_folder).forget(instances)
        with transaction(library.engine) as db:
            removed = remove_matching(db, level, uid, actor, sorted(names))
        if not removed.series:
            raise ItemNotFoundError(f"there is no such {level} in the library")
        with library.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        erase_removed(library, index)
        drop_bridges(library)
    return removed


def show(library: Library, uid: str) -> dict[str, object]:
    """All that is known of a study, series, instance or item, as nested plain data.

    Raises:
        ItemNotFoundError: nothing of that UID is in the library.
    """
    with reading(library.engine) as db:
        named = union(  # each part goes by an index
            select(Series.id).join(Study).where(Study.study_instance_uid == uid),
            select(Series.id).where(Series.series_instance_uid == uid),
            select(Instance.series_id).where(Instance.sop_instance_uid == uid),
            select(Item.series_id).where(Item.uid == uid),
        )
        study_id = db.execute(select(Series.study_id).where(Series.id.in_(named)).limit(1)).scalar()
        if study_id is None:
            raise ItemNotFoundError(f"there is no study, series, instance or item '{uid}'")
        study = db.execute(
            select(Study.__table__, Patient.pseudonym, Patient.shared, Patient.real_id)
            .select_from(Study)
            .join(Patient)
            .where(Study.id == study_id)
        ).one()
        labels = own_labels(db, Place(study_id, None))
        reports = db.execute(select(Report.text).where(Report.study_id == study_id)).scalars()
        described: dict[str, object] = {
            "study_instance_uid": study.study_instance_uid,
            "patient": study.pseudonym,
            "patient_shared_by_strangers": study.shared,
            "sex": study.sex,
            "age_years": study.age_years,
            "study_date": study.study_date,
            "description": study.description,
            "split": study.split,
            "labels": [
                {"name": name, "value": value}
                for name, values in labels.items()
                for value in values
            ],
            "reports": list(reports),
            "series": [_series(db, row) for row in _rows(db, Series, Series.study_id == study_id)],
        }
        if study.real_id is not None:
            described["patient_id"] = study.real_id
        return described


def _rows(db: Connection, table: Any, condition: ColumnElement[bool]) -> list[Row[Any]]:
    query = select(table.__table__).where(condition).order_by(table.__table__.c.id)
    return list(db.execute(query))


def _series(db: Connection, series: Row[Any]) -> dict[str, object]:
    items = _rows(db, Item, Item.series_id == series.id)
    labels = labels_of_items(db, dict.fromkeys((item.id for item in items), series.study_id))
    instances = _rows(db, Instance, Instance.series_id == series.id)
    return {
        "series_instance_uid": series.series_instance_uid,
        "modality": series.modality,
        "body_part": series.body_part,
        "view": series.view,
        "description": series.description,
        "manufacturer": series.manufacturer,
        "model": series.model,
        "items": [
            {
                "id": item.uid,
                "kind": item.kind,
                "role": item.role,
                "frame_number": None if item.frame_index is None else item.frame_index + 1,
                "stack": item.stack,
                "slices": item.slices,
                "flags": item.flags,
                "labels": labels.get(item.id, {}),
                "details": item.details,
            }
            for item in items
        ],
        "instances": [
            {
                "sop_instance_uid": instance.sop_instance_uid,
                "kind": instance.kind,
                "rows": instance.rows,
                "columns": instance.columns,
                "frames": instance.frames,
                "decoder": instance.decoder,
                "flags": instance.flags,
                "file": instance.source,
            }
            for instance in instances
        ],
    }


def open_or_create(path: Path) -> tuple[Library, bool]:
    """The library in this folder, made with the defaults if the folder is new or empty.

    Returns:
        The library, and whether it was made.
    """
    if path.is_dir() and any(path.iterdir()):
        return Library.open(path), False
    return Library.create(path), True
