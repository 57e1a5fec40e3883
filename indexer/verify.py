"""Does everything in a library agree: catalog, vectors, index, thumbnails, ledger?"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlalchemy import ColumnElement, Connection, delete, exists, func, select, update

from indexer.catalog.database import reading, transaction
from indexer.catalog.removal import drop_orphans
from indexer.catalog.tables import (
    EmbeddingRow,
    Instance,
    Item,
    ItemInstance,
    LedgerRow,
    Series,
    Space,
    Thumbnail,
)
from indexer.catalog.words import rebuild_words, words_out_of_step
from indexer.errors import FileRejectedError, LibraryCorruptError
from indexer.index.projection import (
    LAYERS,
    Layer,
    catalog_count,
    catalog_ids,
    embeddings,
    layers_of,
    open_projection,
    stored_vectors,
)
from indexer.index.saving import rebuild, save_all
from indexer.library import Library, SpaceInfo
from indexer.types import Outcome

_BATCH = 20_000
_LARGEST = 2 << 30


@dataclass(frozen=True)
class Finding:
    """One thing that does not agree. ``repaired`` says whether it was put right."""

    check: str
    message: str
    repaired: bool = False


@dataclass(frozen=True)
class VerifyReport:
    """What was looked at, and what was found wrong; no findings means all agrees."""

    items: int
    vectors: int
    files: int
    findings: list[Finding]

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong, or everything wrong was repaired."""
        return all(finding.repaired for finding in self.findings)


def verify(
    library: Library,
    *,
    repair: bool = False,
    sources: bool = False,
    on_progress: Callable[[str], None] | None = None,
) -> VerifyReport:
    """Check a library.

    Args:
        library: the library; its writer lock is taken for a repair.
        repair: put right what can be: rebuild the index, forget half-made items (the next index
            run makes them again), drop orphans. Never touches source files.
        sources: also read every source file again and compare its SHA-256.
        on_progress: called with the name of each check.

    Raises:
        LibraryCorruptError: the database file itself is damaged.
    """
    if repair:
        with library.writing():
            return _verify(library, repair, sources, on_progress)
    return _verify(library, repair, sources, on_progress)


def _verify(
    library: Library, repair: bool, sources: bool, on_progress: Callable[[str], None] | None
) -> VerifyReport:
    say = on_progress or (lambda _name: None)
    say("database")
    _check_database(library)
    findings: list[Finding] = []
    say("items")
    findings += _check_items(library, repair)
    say("vectors")
    findings += _check_vectors(library, repair)
    say("ledger")
    findings += _check_ledger(library, repair)
    say("words")
    findings += _check_words(library, repair)
    say("index")
    findings += _check_index(library, repair)
    if sources:
        say("source files")
        findings += _check_sources(library)
    with reading(library.engine) as db:
        items = db.execute(select(func.count()).select_from(Item)).scalar_one()
        files = db.execute(select(func.count()).select_from(LedgerRow)).scalar_one()
        vectors = db.execute(select(func.count()).select_from(EmbeddingRow)).scalar_one()
    return VerifyReport(items, vectors, files, findings)


def _check_database(library: Library) -> None:
    with reading(library.engine) as db:
        damage = [r[0] for r in db.exec_driver_sql("PRAGMA integrity_check") if r[0] != "ok"]
        loose = db.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
    if damage or loose:
        raise LibraryCorruptError(
            f"catalog.sqlite is damaged ({len(damage)} pages or indexes, {len(loose)} loose "
            "references); restore it from a backup, or index the source files again"
        )


def _looking(library: Library, repair: bool) -> AbstractContextManager[Connection]:
    """A transaction where something is to be mended; else nobody who writes has to wait."""
    return transaction(library.engine) if repair else reading(library.engine)


def _check_items(library: Library, repair: bool) -> list[Finding]:
    """Every item has a vector, a thumbnail and the instances it was made from."""
    lacking = {
        "vector": ~exists().where(EmbeddingRow.item_id == Item.id),
        "thumbnail": ~exists().where(Thumbnail.item_id == Item.id),
        "instance": ~exists().where(ItemInstance.item_id == Item.id),
    }
    findings = []
    with _looking(library, repair) as db:
        for what, condition in lacking.items():
            ids = list(db.execute(select(Item.id).where(condition)).scalars())
            if ids and repair:
                _forget_items(db, ids)
            if ids:
                message = f"{len(ids)} items without a {what}"
                findings.append(Finding("items", message + _again(repair), repair))
        pictures = select(Instance.series_id).where(Instance.kind != "evidence")
        bare = select(Series.id).where(
            Series.id.in_(pictures), Series.id.not_in(select(Item.series_id))
        )
        series = list(db.execute(bare).scalars())
        if series and repair:
            for part in _parts(series):
                _forget_instances(db, Instance.series_id.in_(part))
            drop_orphans(db)
        if series:
            message = f"{len(series)} series with images but without an item"
            findings.append(Finding("items", message + _again(repair), repair))
        empty = select(func.count()).where(Series.id.not_in(select(Instance.series_id)))
        orphans = db.execute(empty).scalar_one()
        if orphans:
            if repair:
                drop_orphans(db)
            findings.append(Finding("items", f"{orphans} series without any instance", repair))
    return findings


def _check_vectors(library: Library, repair: bool) -> list[Finding]:
    """Every vector has the right size and is a unit vector."""
    findings = []
    for space in library.spaces():
        with _looking(library, repair) as db:
            bad = sorted({item for layer in LAYERS for item in _damaged_vectors(db, space, layer)})
            if bad:
                if repair:
                    _forget_items(db, bad)
                message = f"{len(bad)} vectors of '{space.encoder}' are damaged"
                findings.append(Finding("vectors", message + _again(repair), repair))
    return findings


def _damaged_vectors(db: Connection, space: SpaceInfo, layer: Layer) -> list[int]:
    """Ids of the items whose vectors are not what they should be."""
    query = (
        select(layer.table.item_id, layer.table.vector)
        .where(layer.table.space_id == space.id)
        .execution_options(yield_per=_BATCH)
    )
    bad = []
    for rows in db.execute(query).partitions():
        _, sound = stored_vectors([r.vector for r in rows], space.dim)
        bad += [r.item_id for r, is_sound in zip(rows, sound, strict=True) if not is_sound]
    return bad


def _check_ledger(library: Library, repair: bool) -> list[Finding]:
    """Every file that counts as indexed or linked has its instance."""
    findings = []
    with _looking(library, repair) as db:
        held = select(Instance.sop_instance_uid)
        settled = LedgerRow.outcome.in_([Outcome.INDEXED, Outcome.LINKED, Outcome.UNCHANGED])
        stray = list(
            db.execute(
                select(LedgerRow.id).where(
                    settled,
                    LedgerRow.sop_instance_uid != "",
                    LedgerRow.sop_instance_uid.not_in(held),
                )
            ).scalars()
        )
        if stray:
            if repair:
                db.execute(delete(LedgerRow).where(LedgerRow.id.in_(stray)))
            message = f"{len(stray)} files count as indexed but have no instance"
            findings.append(Finding("ledger", message + _again(repair), repair))
    return findings


def _check_words(library: Library, repair: bool) -> list[Finding]:
    """The full text of each study is what its tables say, and holds nothing that was removed."""
    with _looking(library, repair) as db:
        messages = words_out_of_step(db, thorough=repair)
        if repair and messages:
            rebuild_words(db)
    return [Finding("words", message, repair) for message in messages]


def _check_index(library: Library, repair: bool) -> list[Finding]:
    """The index holds exactly the catalog's vectors."""
    findings = []
    layers = [(space, layer) for space in library.spaces() for layer in layers_of(library, space)]
    for space, layer in layers:
        with reading(library.engine) as db:
            if _damaged_vectors(db, space, layer):
                continue  # found already; no index can equal them
        projection = open_projection(library, space, layer)
        with reading(library.engine) as db:
            wanted = catalog_ids(db, space.id, layer)
            wrong = not np.array_equal(projection.store.ids(), wanted)
            for _, ids, vectors in embeddings(db, space, layer=layer):
                if wrong:
                    break
                wrong = not np.allclose(projection.store.fetch(ids), vectors, atol=1e-3)
        messages = [projection.note] if projection.damaged else []
        if wrong:
            messages.append("the index does not equal the catalog")
        findings += [Finding("index", f"'{space.encoder}': {m}", repair) for m in messages]
    if repair and findings:
        rebuild(library)
    elif repair:  # files may be missing or behind, which is no damage
        save_all(library)
    return findings


def _check_sources(library: Library) -> list[Finding]:
    """Source files are where they were, with the content they had; members of archives too."""
    findings = []
    with reading(library.engine) as db:
        rows = db.execute(select(Instance.source, Instance.file_sha256).distinct())
        for source, sha256 in rows:
            try:
                if _sha256(source) != sha256:
                    findings.append(Finding("source files", f"{source} has changed"))
            except (OSError, FileRejectedError) as error:
                why = error.strerror if isinstance(error, OSError) else error
                findings.append(Finding("source files", f"{source} cannot be read: {why}"))
    return findings


def _sha256(source: str) -> str:
    """Of a file, or of a member of an archive."""
    from indexer.reading.tasks import earlier_slice  # noqa: PLC0415 - decoders, slow to load

    file = earlier_slice(0, source, "").source
    if file.member is not None:
        return hashlib.sha256(file.read_bytes(_LARGEST)).hexdigest()
    with Path(file.path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _forget_items(db: Connection, ids: list[int]) -> None:
    """Take items out with their instances and ledger rows, so that the next run makes them anew."""
    for part in _parts(ids):
        made_from = select(ItemInstance.instance_id).where(ItemInstance.item_id.in_(part))
        _forget_instances(db, Instance.id.in_(made_from))
        db.execute(delete(Item).where(Item.id.in_(part)))
    drop_orphans(db)
    db.execute(update(Space).values(generation=Space.generation + 1))


def _forget_instances(db: Connection, condition: ColumnElement[bool]) -> None:
    rows = db.execute(
        select(Instance.id, Instance.source, Instance.sop_instance_uid).where(condition)
    ).all()
    for row in rows:
        db.execute(
            delete(LedgerRow).where(
                (LedgerRow.source == row.source)
                | (LedgerRow.sop_instance_uid == row.sop_instance_uid)
            )
        )
        db.execute(delete(Instance).where(Instance.id == row.id))


def _parts(ids: list[int]) -> Iterator[list[int]]:
    return (ids[i : i + 500] for i in range(0, len(ids), 500))


def _again(repair: bool) -> str:
    return "; index the same files again to make them anew" if repair else ""


def space_counts(library: Library) -> list[tuple[str, int, int]]:
    """Encoder, dimension and number of vectors of each space."""
    with reading(library.engine) as db:
        return [(s.encoder, s.dim, catalog_count(db, s.id)) for s in library.spaces()]
