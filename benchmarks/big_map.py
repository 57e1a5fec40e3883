"""A map of very many points, to measure how long one takes to be asked for and drawn.

``python benchmarks/big_map.py LIBRARY [1000000]`` adds so many items to a library, which is spoilt
by that: take a copy. They have no pictures and no vectors, only places on a new version of the map
of its first space, and clusters in a new clustering ``big``. All is made within SQLite, which
takes a minute for a million.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from sqlalchemy import Connection, func, insert, select

from indexer.catalog.database import transaction
from indexer.catalog.tables import ClusterRow, ClusterRun, Item, MapRow, Series, Study
from indexer.library import Library

CLUSTERS, OF_A_STUDY = 40, 10
ITEMS = """
WITH RECURSIVE n(at) AS (SELECT 0 UNION ALL SELECT at + 1 FROM n WHERE at + 1 < :count)
INSERT INTO item
    (uid, series_id, kind, role, stack, slices, pixel_hash, flags, details)
SELECT printf('big%020d', :item + at), :series + at / 10, 'image', 'primary', '', 1, '',
    '[]', '{}'
FROM n
"""
SERIES = """
WITH RECURSIVE n(at) AS (SELECT 0 UNION ALL SELECT at + 1 FROM n WHERE at + 1 < :count)
INSERT INTO series
SELECT :series + at, '1.2.826.0.2.' || (:series + at), :study + at,
    CASE at % 5 WHEN 0 THEN 'CR' WHEN 1 THEN 'CT' WHEN 2 THEN 'MR' WHEN 3 THEN 'US' ELSE 'MG' END,
    '', '', '', '', '', ''
FROM n
"""
STUDIES = """
WITH RECURSIVE n(at) AS (SELECT 0 UNION ALL SELECT at + 1 FROM n WHERE at + 1 < :count)
INSERT INTO study
SELECT :study + at, '1.2.826.0.1.' || (:study + at), (SELECT max(id) FROM patient), '2024-01-01',
    30 + at % 50, '', '', ''
FROM n
"""


def main() -> None:
    path, count = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000
    start = time.monotonic()
    with Library.open(path) as library, library.writing(), transaction(library.engine) as db:
        triggers = _without_triggers(db)
        first = _add_items(db, count)
        print(f"{count:,} items after {time.monotonic() - start:.0f} s", flush=True)
        _add_map(db, first, count)
        print(f"map and clustering after {time.monotonic() - start:.0f} s", flush=True)
        for each in triggers:
            db.exec_driver_sql(each)
    print(f"stored after {time.monotonic() - start:.0f} s")


def _without_triggers(db: Connection) -> list[str]:
    """Drop what notes each new row as a change of a study, for here all are new."""
    query = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name LIKE '%_added'"
    triggers = db.exec_driver_sql(query).all()
    for name, _ in triggers:
        db.exec_driver_sql(f"DROP TRIGGER {name}")
    return [sql for _, sql in triggers]


def _add_items(db: Connection, count: int) -> int:
    """Items of new studies, ten of each; the number of the first."""
    study, series, item = (
        1 + (db.execute(select(func.max(table.id))).scalar() or 0)
        for table in (Study, Series, Item)
    )
    studies = -(-count // OF_A_STUDY)
    db.exec_driver_sql(STUDIES, {"study": study, "count": studies})
    db.exec_driver_sql(SERIES, {"study": study, "series": series, "count": studies})
    db.exec_driver_sql(ITEMS, {"series": series, "item": item, "count": count})
    return int(db.exec_driver_sql("SELECT max(id) FROM item").scalar_one()) - count + 1


def _add_map(db: Connection, first: int, count: int) -> None:
    """Clouds of points, as a map of many kinds of pictures has them, and the clouds as clusters."""
    rng = np.random.default_rng(7)
    own = np.sort(rng.integers(0, CLUSTERS, count))
    places = rng.uniform(0, 20, (CLUSTERS, 2))[own] + rng.normal(size=(count, 2))
    version = db.exec_driver_sql("SELECT 1 + coalesce(max(version), 0) FROM map").scalar_one()
    made = insert(MapRow).values(space_id=1, version=version, parameters={}, report={})
    number = db.execute(made.returning(MapRow.id)).scalar_one()
    run = insert(ClusterRun).values(name="big", space_id=1, method="kmeans", items=count)
    run_number = db.execute(run.returning(ClusterRun.id)).scalar_one()
    clouds = [
        {"run_id": run_number, "cluster": n, "size": int(size), "name": f"cloud {n}"}
        for n, size in enumerate(np.bincount(own, minlength=CLUSTERS))
    ]
    db.execute(insert(ClusterRow), clouds)
    rows = zip(
        range(first, first + count),
        places.astype(np.float32).tolist(),
        own.tolist(),
        strict=True,
    )
    several = db.connection.cursor()
    for item, (x, y), cluster in rows:
        several.execute("INSERT INTO map_point VALUES (?, ?, ?, ?, 1)", (number, item, x, y))
        several.execute(
            "INSERT INTO cluster_assignment VALUES (?, ?, ?, 1.0)", (run_number, item, cluster)
        )


if __name__ == "__main__":
    main()
