"""Where the bridges of a library lie: one a space, the newest counts; made from its reports."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from sqlalchemy import select

from indexer.bridge import Bridge, fit_bridge
from indexer.catalog.database import reading
from indexer.catalog.tables import Item, Patient, Report, Series, Study
from indexer.library import Library, SpaceInfo
from indexer.projection import embeddings
from indexer.types import Role

_FOLDER = "bridges"


def load_bridge(library: Library, space: SpaceInfo) -> Bridge | None:
    """The newest bridge of a space, None if none was fitted.

    Raises:
        ConfigError: its file is damaged.
    """
    newest = max(_files(library, space), default=None)
    return None if newest is None else Bridge.load(newest[1])


def make_bridge(library: Library, space: SpaceInfo, *, seed: int = 0) -> tuple[Bridge, int]:
    """Fit a bridge on the library's reports and the middle primary item of each study, and keep it.

    Returns:
        The bridge, and its version in this library.

    Raises:
        QueryError: too few pairs.
    """
    with reading(library.engine) as db:
        rows = db.execute(
            select(Study.id, Item.id, Report.text, Patient.pseudonym, Patient.shared)
            .select_from(Report)
            .join(Study, Study.id == Report.study_id)
            .join(Patient)
            .join(Series, Series.study_id == Study.id)
            .join(Item)
            .where(Item.role == Role.PRIMARY)
            .order_by(Study.id, Item.id)
        ).all()
        vectors = {
            int(item): row
            for _, ids, batch in embeddings(db, space)
            for item, row in zip(ids, batch, strict=True)
        }
    studies: dict[int, list[tuple[int, str, str]]] = {}
    for study, item, text, patient, shared in rows:
        if item in vectors:
            owner = f"study {study}" if shared else patient
            studies.setdefault(study, []).append((item, text, owner))
    chosen = [items[len(items) // 2] for items in studies.values()]
    bridge = fit_bridge(
        [text for _, text, _ in chosen],
        np.array([vectors[item] for item, _, _ in chosen]).reshape(-1, space.dim),
        [owner for _, _, owner in chosen],
        seed=seed,
    )
    version = max((number for number, _ in _files(library, space)), default=0) + 1
    with library.writing():
        folder = library.path / _FOLDER
        folder.mkdir(exist_ok=True)
        older = list(_files(library, space))
        bridge.save(folder / f"space-{space.id}-{version:04}.npz")
        for _, path in older:
            path.unlink()
    return bridge, version


def drop_bridges(library: Library) -> None:
    """Forget all bridges: their words come from reports, which may have been taken out."""
    for space in library.spaces():
        for _, path in list(_files(library, space)):
            path.unlink()


def _files(library: Library, space: SpaceInfo) -> Iterator[tuple[int, Path]]:
    prefix = f"space-{space.id}-"
    for path in (library.path / _FOLDER).glob(f"{prefix}[0-9][0-9][0-9][0-9].npz"):
        yield int(path.stem.removeprefix(prefix)), path
