"""Clusterings in the catalog: stored whole, listed, read, named, removed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sqlalchemy import Connection, delete, func, insert, select, update

from indexer import __version__
from indexer.catalog.columns import columns
from indexer.catalog.database import reading, transaction
from indexer.catalog.tables import ClusterAssignment, ClusterRow, ClusterRun, Item, Space
from indexer.errors import ConfigError, QueryError, UnknownNameError
from indexer.library import Library, SpaceInfo
from indexer.types import ItemIds

NOISE = -1
_BATCH = 10_000
_LONGEST = 128


@dataclass(frozen=True)
class NamedCluster:
    """A cluster of a run.

    Attributes:
        cluster: its number; -1 is noise.
        size: items that it had when it was made.
        name: found for it.
        given_name: by a person, empty if nobody gave one.
        about: what else is told of it.
    """

    cluster: int
    size: int
    name: str
    given_name: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def called(self) -> str:
        """The name that a person gave it, else the one that was found."""
        return self.given_name or self.name


@dataclass(frozen=True)
class RunDraft:
    """A clustering that is to be stored.

    Attributes:
        name: that nothing else has.
        method, parameters, seed, filter: how it was made.
        ids: of the items, ascending.
        labels, confidence: of each, see `clustering.contract.Clustering`.
        notes, curves: as there.
        clusters: what is told of each cluster.
        seconds: that it took.
    """

    name: str
    method: str
    parameters: Mapping[str, object]
    seed: int
    filter: str
    ids: ItemIds
    labels: np.ndarray
    confidence: np.ndarray
    notes: Sequence[str]
    curves: Mapping[str, Sequence[tuple[int, float]]]
    clusters: Sequence[NamedCluster]
    seconds: float


@dataclass(frozen=True)
class StoredRun:
    """A clustering as it was stored.

    Attributes:
        id: private to the catalog.
        items: how many there were; ``left`` are there still.
        clusters: how many, noise not counted.
        version: of Syntopy, then.
    """

    id: int = field(repr=False)
    name: str
    encoder: str
    space_id: int = field(repr=False)
    method: str
    parameters: Mapping[str, Any]
    seed: int
    filter: str
    items: int
    left: int
    items_sha256: str
    clusters: int
    noise: int
    notes: list[str]
    curves: Mapping[str, Any]
    version: str
    seconds: float
    created_at: str


@dataclass(frozen=True)
class Assigned:
    """The items of a run that are there still.

    Attributes:
        ids: ascending.
        labels: int64, -1 for noise.
        confidence: float32.
    """

    ids: ItemIds
    labels: np.ndarray
    confidence: np.ndarray

    def of(self, ids: ItemIds) -> tuple[np.ndarray, np.ndarray]:
        """The labels of other items, ascending: int64 ``(n,)``, and bool ``(n,)``, who has one.

        Items that the run does not have are noise.
        """
        labels, there = np.full(len(ids), NOISE, np.int64), np.zeros(len(ids), bool)
        _, theirs, mine = np.intersect1d(ids, self.ids, assume_unique=True, return_indices=True)
        labels[theirs], there[theirs] = self.labels[mine], True
        return labels, there


def check_name(library: Library, name: str) -> None:
    """See that a run may have this name.

    Raises:
        ConfigError: it is empty or too long, or there is one.
    """
    if not name.strip() or len(name) > _LONGEST or not name.isprintable():
        raise ConfigError(f"a clustering needs a name of 1 to {_LONGEST} printable characters")
    with reading(library.engine) as db:
        if db.execute(select(ClusterRun.id).where(ClusterRun.name == name)).first():
            raise ConfigError(
                f"there is a clustering '{name}', which is never changed: take another name, or "
                f"remove it with: syntopy cluster remove {name}"
            )


def save_run(library: Library, space: SpaceInfo, draft: RunDraft) -> StoredRun:
    """Store a clustering, all of it or nothing; only a writer should.

    Raises:
        ConfigError: there is one of this name.
        StorageFullError: the disk is full.
    """
    check_name(library, draft.name)
    with transaction(library.engine) as db:
        run = db.execute(
            insert(ClusterRun)
            .values(
                name=draft.name,
                space_id=space.id,
                method=draft.method,
                parameters=dict(draft.parameters),
                seed=draft.seed,
                filter=draft.filter,
                items=len(draft.ids),
                items_sha256=_digest(db, draft.ids),
                notes=list(draft.notes),
                curves={
                    name: [list(pair) for pair in curve] for name, curve in draft.curves.items()
                },
                version=__version__,
                seconds=draft.seconds,
            )
            .returning(ClusterRun.id)
        ).scalar_one()
        rows = zip(
            draft.ids.tolist(), draft.labels.tolist(), draft.confidence.tolist(), strict=True
        )
        values = [
            {"run_id": run, "item_id": item, "cluster": cluster, "confidence": sure}
            for item, cluster, sure in rows
        ]
        for start in range(0, len(values), _BATCH):
            db.execute(insert(ClusterAssignment), values[start : start + _BATCH])
        told = [
            {
                "run_id": run,
                "cluster": each.cluster,
                "size": each.size,
                "name": each.name,
                "given_name": each.given_name,
                "about": dict(each.about),
            }
            for each in draft.clusters
        ]
        if told:
            db.execute(insert(ClusterRow), told)
    return find_run(library, draft.name)


def list_runs(library: Library) -> list[StoredRun]:
    """All clusterings, oldest first."""
    with reading(library.engine) as db:
        rows = db.execute(
            select(ClusterRun, Space.encoder).join(Space).order_by(ClusterRun.id)
        ).all()
        return [_stored(db, row) for row in rows]


def find_run(library: Library, name: str) -> StoredRun:
    """One by name.

    Raises:
        UnknownNameError: there is none; the message lists those there are.
    """
    with reading(library.engine) as db:
        return run_named(db, name)


def run_named(db: Connection, name: str) -> StoredRun:
    """As `find_run`, in the caller's transaction.

    Raises:
        UnknownNameError: as there.
    """
    row = db.execute(
        select(ClusterRun, Space.encoder).join(Space).where(ClusterRun.name == name)
    ).first()
    if row is None:
        raise _unknown(db, name)
    return _stored(db, row)


def _unknown(db: Connection, name: str) -> UnknownNameError:
    names = ", ".join(db.execute(select(ClusterRun.name).order_by(ClusterRun.id)).scalars())
    there = f"there are: {names}" if names else "make one with: syntopy cluster run"
    return UnknownNameError(f"there is no clustering '{name}'; {there}")


def clusters_of(db: Connection, run: StoredRun) -> list[NamedCluster]:
    """What is told of the clusters of a run, by number, noise last."""
    query = select(ClusterRow).where(ClusterRow.run_id == run.id)
    query = query.order_by(ClusterRow.cluster == NOISE, ClusterRow.cluster)
    return [
        NamedCluster(row.cluster, row.size, row.name, row.given_name, row.about)
        for row in db.execute(query)
    ]


def named_clusters(db: Connection, name: str) -> tuple[str, dict[int, str]]:
    """What tells a run from any other, and what its clusters are called; nothing is counted.

    Raises:
        UnknownNameError: there is no run of this name.
    """
    query = select(ClusterRun.id, ClusterRun.created_at).where(ClusterRun.name == name)
    row = db.execute(query).first()
    if row is None:
        raise _unknown(db, name)
    rows = db.execute(select(ClusterRow).where(ClusterRow.run_id == row.id))
    return f"{row.id} {row.created_at}", {
        each.cluster: each.given_name or each.name for each in rows
    }


def assigned(db: Connection, run: StoredRun) -> Assigned:
    """The items of a run and their clusters."""
    sure = func.coalesce(ClusterAssignment.confidence, "nan")
    query = select(ClusterAssignment.item_id, ClusterAssignment.cluster, sure)
    query = query.where(ClusterAssignment.run_id == run.id)
    ids, labels, confidence = columns(db, query, (np.int64, np.int64, np.float32))
    order = np.argsort(ids, kind="stable")
    return Assigned(ids[order], labels[order], confidence[order])


def members_of(db: Connection, run: StoredRun, cluster: int) -> ItemIds:
    """The items of one cluster that are there still, ascending; none if the run has no such one."""
    mine = (ClusterAssignment.run_id == run.id) & (ClusterAssignment.cluster == cluster)
    query = select(ClusterAssignment.item_id).where(mine).order_by(ClusterAssignment.item_id)
    return np.array(db.execute(query).scalars().all(), np.int64)


def cluster_of(db: Connection, run: StoredRun, cluster: int) -> NamedCluster:
    """What is told of a cluster.

    Raises:
        QueryError: the run has no such cluster.
    """
    mine = (ClusterRow.run_id == run.id) & (ClusterRow.cluster == cluster)
    row = db.execute(select(ClusterRow).where(mine)).first()
    if row is None:
        raise QueryError(f"'{run.name}' has no cluster {cluster}; it has 0 to {run.clusters - 1}")
    return NamedCluster(row.cluster, row.size, row.name, row.given_name, row.about)


def name_cluster(db: Connection, run: StoredRun, cluster: int, name: str) -> None:
    """Give a cluster a name, or with ``""`` take it away.

    Raises:
        QueryError: the run has no such cluster.
    """
    cluster_of(db, run, cluster)
    mine = (ClusterRow.run_id == run.id) & (ClusterRow.cluster == cluster)
    db.execute(update(ClusterRow).where(mine).values(given_name=name.strip()))


def remove_run(library: Library, name: str) -> StoredRun:
    """Delete a clustering; only a writer should. Items and vectors stay.

    Raises:
        QueryError: there is none of this name.
    """
    run = find_run(library, name)
    with transaction(library.engine) as db:
        db.execute(delete(ClusterRun).where(ClusterRun.id == run.id))
    return run


def _stored(db: Connection, row: Any) -> StoredRun:
    found = db.execute(
        select(ClusterAssignment.cluster, func.count())
        .where(ClusterAssignment.run_id == row.id)
        .group_by(ClusterAssignment.cluster)
    )
    counts = {cluster: count for cluster, count in found}  # noqa: C416 - rows are no pairs to mypy
    clusters = db.execute(
        select(func.count())
        .select_from(ClusterRow)
        .where(ClusterRow.run_id == row.id, ClusterRow.cluster != NOISE)
    ).scalar_one()
    return StoredRun(
        id=row.id,
        name=row.name,
        encoder=row.encoder,
        space_id=row.space_id,
        method=row.method,
        parameters=row.parameters,
        seed=row.seed,
        filter=row.filter,
        items=row.items,
        left=sum(counts.values()),
        items_sha256=row.items_sha256,
        clusters=clusters,
        noise=counts.get(NOISE, 0),
        notes=row.notes,
        curves=row.curves,
        version=row.version,
        seconds=row.seconds,
        created_at=row.created_at.isoformat(timespec="seconds"),
    )


def _digest(db: Connection, ids: ItemIds) -> str:
    """Names a set of items by content, so that runs over the same items can be told."""
    known = db.execute(select(Item.id, Item.uid))
    wanted = set(ids.tolist())
    uids = sorted(uid for number, uid in known if number in wanted)
    return hashlib.sha256("".join(f"{uid}\n" for uid in uids).encode()).hexdigest()
