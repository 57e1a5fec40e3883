"""What finding the allowed items and the words costs in a catalog of a million items.

    python benchmarks/gallery.py --items 1000000

Writes rows straight into the tables of a new catalog (no files, no vectors), then times filters,
look-ups and keyword search on it, and prints one line of JSON each.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import insert

from indexer.catalog.database import reading, transaction
from indexer.catalog.tables import Item, Label, Patient, Report, Series, Study
from indexer.filters import parse_filter
from indexer.library import Library
from indexer.searching.gallery import Gallery
from indexer.searching.keywords import keyword_ranks
from indexer.types import Role

PART = 20_000
MODALITIES = ["CT", "MR", "DX", "CR", "US", "PT"]
BODY_PARTS = ["CHEST", "ABDOMEN", "HEAD", "KNEE", "SPINE", "PELVIS", "SCHÄDEL", ""]
FINDINGS = ["normal", "nodule", "effusion", "pneumothorax", "fracture", "edema", "mass"]
FILTERS = {
    "half of all": "sex=F",
    "one modality": "modality=CT",
    "five conditions": (
        "modality=CT and body_part in (CHEST,ABDOMEN) and age>=60 and study_date>=2024-01-01 "
        "and not label:finding=normal"
    ),
    "one in 1,000": "series_description='protocol 7'",
    "one label": "label:finding=mass",
    "one patient": "patient=p000077",
}
WORDS = ["rareword", "pneumothorax left", "effusion", '"no effusion" -fracture', "pneumo*"]


def rows_of(first: int, count: int, rng: np.random.Generator) -> dict[Any, list[dict[str, Any]]]:
    """Rows of so many studies, with two series of one item each and some with a report."""
    rows: dict[Any, list[dict[str, Any]]] = {t: [] for t in (Study, Series, Item, Label, Report)}
    vocabulary = np.array([f"word{n}" for n in range(5000)])
    for number in range(first, first + count):
        rows[Study].append(
            {
                "id": number,
                "study_instance_uid": f"1.2.{number}",
                "patient_id": (number - 1) // 2 + 1,
                "study_date": f"20{rng.integers(10, 26)}-0{rng.integers(1, 10)}-11",
                "age_years": float(rng.integers(0, 100)),
                "sex": "FM"[rng.integers(2)],
                "description": "chest pa" if rng.random() < 0.5 else "ct abdomen",
            }
        )
        finding = FINDINGS[int(rng.zipf(1.6)) % len(FINDINGS)]
        rows[Label].append({"study_id": number, "name": "finding", "value": finding})
        words = vocabulary[np.minimum(rng.zipf(1.3, 30), 5000) - 1]
        text = " ".join([*words, "no effusion" if rng.random() < 0.5 else finding, "left lung"])
        rare = "rareword " if number % 10_000 == 0 else ""
        rows[Report].append({"study_id": number, "source": "table", "text": rare + text})
        for part in (0, 1):
            series = 2 * number + part
            rows[Series].append(
                {
                    "id": series,
                    "series_instance_uid": f"1.2.{number}.{part}",
                    "study_id": number,
                    "modality": MODALITIES[rng.integers(len(MODALITIES))],
                    "body_part": BODY_PARTS[rng.integers(len(BODY_PARTS))],
                    "description": f"protocol {rng.integers(1000)}",
                    "manufacturer": "Phantom Works",
                }
            )
            rows[Item].append(
                {
                    "uid": f"item{series}",
                    "series_id": series,
                    "kind": "image",
                    "role": "primary" if rng.random() < 0.9 else "derived",
                    "pixel_hash": f"hash{series}",
                    "flags": [],
                    "details": {},
                }
            )
    return rows


def fill(library: Library, items: int) -> None:
    rng = np.random.default_rng(0)
    studies = items // 2
    for first in range(1, studies + 1, PART):
        count = min(PART, studies + 1 - first)
        people = range((first - 1) // 2 + 1, (first + count - 2) // 2 + 2)
        with transaction(library.engine) as db:
            db.execute(
                insert(Patient).prefix_with("OR IGNORE"),
                [{"id": n, "pseudonym": f"p{n:06}"} for n in people],
            )
            for table, rows in rows_of(first, count, rng).items():
                db.execute(insert(table), rows)


def timed(what: str, ask: Callable[[], Any], repeat: int = 1) -> None:
    times = []
    for _ in range(repeat):
        began = time.perf_counter()
        answer = ask()
        times.append(time.perf_counter() - began)
    told = {"what": what, "ms": round(1e3 * float(np.median(times)), 3), "answer": answer}
    print(json.dumps(told), flush=True)


def measure(library: Library) -> None:
    gallery = Gallery(library)
    roles = frozenset({Role.PRIMARY})
    with reading(library.engine) as db:
        for name, expression in FILTERS.items():
            tree = parse_filter(expression)
            ask = lambda tree=tree: gallery.allowed(db, tree, roles).count  # noqa: E731
            timed(f"first filter: {name}", ask)
            timed(f"again: {name}", ask, 200)
        timed("first: roles alone", lambda: gallery.allowed(db, None, roles).count)
        timed("again: roles alone", lambda: gallery.allowed(db, None, roles).count, 200)
        everything = frozenset(Role)
        timed("first: everything", lambda: gallery.allowed(db, None, everything).count)
        items = np.random.default_rng(1).integers(1, gallery.allowed(db, None, roles).total, 200)
        timed("first studies of 200 items", lambda: len(gallery.study_of(db, items)))
        timed("again: studies of 200 items", lambda: len(gallery.study_of(db, items)), 200)
        timed("again: patients of 200 items", lambda: len(gallery.patient_of(db, items)), 200)
        print(json.dumps({"what": "MB held", "answer": round(gallery.bytes / 2**20, 1)}))
        for words in WORDS:
            timed(f"words: {words}", lambda w=words: len(keyword_ranks(db, w, 100)), 3)
        some = gallery.allowed(db, parse_filter("modality=CT"), roles).ids
        timed("words among CT", lambda: len(keyword_ranks(db, "effusion left", 100, some)), 3)
    with transaction(library.engine) as db:
        db.execute(insert(Label).values(study_id=5, name="finding", value="new"))
    with reading(library.engine) as db:
        timed("after a change: studies of 200 items", lambda: len(gallery.study_of(db, items)))
        tree = parse_filter(FILTERS["five conditions"])
        timed("after a change: five conditions", lambda: gallery.allowed(db, tree, roles).count)


def folders(given: Path | None) -> Iterator[Path]:
    if given is not None:
        yield given
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="keep the catalog here and use it again")
    options = parser.parse_args()
    for folder in folders(options.folder):
        path = folder / f"library-{options.items}"
        if not path.exists():
            with Library.create(path) as library:
                timed("fill", lambda: fill(library, options.items))
        with Library.open(path) as library:
            measure(library)


if __name__ == "__main__":
    main()
