"""What a search costs beyond its engine, in a library of a million items.

    python benchmarks/search_service.py --items 1000000

Writes rows straight into a new catalog (studies of two series of one item, vectors of 64 numbers),
then asks a `Searcher` that stays open: by UID, plain and filtered, and prints for each the median
of the whole time, of what passed inside the vector store, and of the rest, which is the service's:
looking the query up, exclusions, filter, grouping, copies, priors, description. On a machine that
others use too, the time of the thread's processor is what to look at.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from indexer import registry
from indexer.catalog.database import transaction
from indexer.encoders.contract import EncoderContext
from indexer.index.saving import save_projection
from indexer.library import Library
from indexer.reading.drafts import ReadOptions
from indexer.searching.asking import SearchRequest, like
from indexer.searching.search import Searcher
from indexer.types import Embeddings, EncoderSpec, Pixels, Prepared

DIM = 64
PART = 50_000
QUERIES = 200
CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "filter: half pass": {"filter": "sex=F"},
    "filter: an AND of two": {"filter": "modality=CT and age>=60"},
    "filter: 1 in 100": {"filter": "series_description='protocol 7'"},
    "by patient, k=50": {"group": "patient", "k": 50},
    "cut and diversified": {"min_score": 0.1, "diversity": 0.5},
    "with evidence": {"evidence": True},
}


class Plain:
    """An encoder of which only the name and the dimension count here."""

    def __init__(self, context: EncoderContext) -> None:
        both, any_ = frozenset({"image", "volume"}), frozenset[str]()
        self.spec = EncoderSpec(context.name, DIM, both, any_, "none", "1", "none")

    def prepare(self, pixels: Pixels) -> Prepared:
        """Never asked."""
        raise NotImplementedError

    def embed(self, batch: Sequence[Prepared]) -> Embeddings:
        """Never asked."""
        raise NotImplementedError


def fill(library: Library, items: int, spec: EncoderSpec) -> None:
    """Two series of one item a study, two studies a patient, every hundredth item derived."""
    space = library.ensure_space(spec)
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(200, space.dim))
    modalities = ("CT", "MR", "DX", "CR", "US")
    with transaction(library.engine) as db:
        run = db.connection.driver_connection.executemany  # type: ignore[union-attr]
        for start in range(1, items + 1, PART):
            ids = range(start, min(start + PART, items + 1))
            studies = range((ids[0] + 1) // 2, ids[-1] // 2 + 1)
            patients = range((studies[0] + 1) // 2, studies[-1] // 2 + 1)
            run(
                "INSERT OR IGNORE INTO patient (id, pseudonym, shared, fingerprint) "
                "VALUES (?, ?, 0, '{}')",
                [(n, f"p{n}") for n in range(patients[0], patients[-1] + 2)],
            )
            run(
                "INSERT INTO study (id, study_instance_uid, patient_id, study_date, age_years, "
                "sex, description, split) VALUES (?, ?, ?, ?, ?, ?, 'study', '')",
                [
                    (n, f"1.2.{n}", (n + 1) // 2, f"20{n % 25:02}-01-31", n % 90, "FM"[n % 2])
                    for n in studies
                ],
            )
            run(
                "INSERT INTO series (id, series_instance_uid, study_id, modality, body_part, view, "
                "laterality, description, manufacturer, model) "
                "VALUES (?, ?, ?, ?, 'CHEST', '', '', ?, '', '')",
                [
                    (n, f"1.2.3.{n}", (n + 1) // 2, modalities[n % 5], f"protocol {n % 100}")
                    for n in ids
                ],
            )
            run(
                "INSERT INTO item (id, uid, series_id, kind, role, stack, slices, pixel_hash, "
                "flags, details) VALUES (?, ?, ?, 'image', ?, '', 1, ?, '[]', '{}')",
                [
                    (n, f"item{n}", n, "derived" if n % 100 == 0 else "primary", f"h{n}")
                    for n in ids
                ],
            )
            vectors = centres[rng.integers(200, size=len(ids))]
            vectors = vectors + rng.standard_t(3, size=vectors.shape)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            run(
                "INSERT INTO embedding (space_id, item_id, vector, norm) VALUES (?, ?, ?, 1.0)",
                [
                    (space.id, n, row.tobytes())
                    for n, row in zip(ids, vectors.astype("<f2"), strict=True)
                ],
            )


class Clock:
    """Time spent inside the vector store: by the clock, and of the calling thread's processor."""

    def __init__(self, search: Any) -> None:
        self._search, self.spent = search, np.zeros(2)

    def __call__(self, *args: Any) -> Any:
        """Search, and note how long it took."""
        began = now()
        try:
            return self._search(*args)
        finally:
            self.spent += now() - began


def now() -> np.ndarray:
    """By the clock, and of this thread's processor, in ms."""
    return 1e3 * np.array([time.perf_counter(), time.thread_time()])


def measure(library: Library, items: int) -> None:
    searcher = Searcher(library, ReadOptions(library.config.encoders, library.key))
    began = time.perf_counter()
    searcher.search(SearchRequest(like(uid="item1")))
    print(f"first search, with opening the index: {time.perf_counter() - began:.1f} s")
    (opened,) = searcher._stores._opened.values()
    clock = Clock(opened.store.search)
    opened.store.search = clock  # type: ignore[method-assign]
    rng = np.random.default_rng(1)
    for name, options in CASES.items():
        rows = []
        began = time.perf_counter()
        searcher.search(SearchRequest(like(uid="item1"), **options))
        first = 1e3 * (time.perf_counter() - began)
        for number in rng.integers(1, items, QUERIES):
            clock.spent[:], began = 0, now()
            searcher.search(SearchRequest(like(uid=f"item{number}"), **options))
            rows.append((now() - began, clock.spent.copy()))
        (whole, _), (engine, _) = np.median(rows, axis=0)
        rest = np.array([all_ - inside for all_, inside in rows])
        print(
            f"{name:22} first {first:8.1f} ms, then {whole:7.2f} ms, engine {engine:7.2f}, "
            f"service {np.median(rest[:, 0]):6.2f} (p99 {np.quantile(rest[:, 0], 0.99):.2f}; "
            f"processor {np.median(rest[:, 1]):.2f})",
            flush=True,
        )


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
    registry.ENCODERS["plain"] = f"{__name__}:Plain"
    for folder in folders(options.folder):
        path = folder / f"service-{options.items}"
        if not path.exists():
            with Library.create(path, encoders=("plain",)) as library:
                fill(library, options.items, Plain(EncoderContext("plain")).spec)
                with library.writing():
                    save_projection(library, library.spaces()[0])
        with Library.open(path) as library:
            measure(library, options.items)


if __name__ == "__main__":
    main()
