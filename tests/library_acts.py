"""What tests do with a library: index, search, count, change behind its back, and harm."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from cohort_library import Indexed
from sqlalchemy import func, select

from api.service import ingest
from api.service import search as searching
from indexer.catalog.database import reading, transaction
from indexer.config import Settings
from indexer.library import Library
from indexer.phantoms import Kind, PhantomStudy, Trait
from indexer.searching.asking import SearchRequest, like

SETTINGS = Settings(workers=1)
FULL_TEXT = {"words", *(f"words_{n}" for n in ("data", "idx", "content", "docsize", "config"))}


def index(library: Library, *paths: Path) -> ingest.IngestSummary:
    return ingest.index(library, ingest.IndexRequest(list(paths)), SETTINGS)


def answers(library: Library, indexed: Indexed) -> list[tuple[str, float]]:
    """What some searches give: equal if two libraries are."""
    found = []
    for study in indexed.plan[::13]:
        request = SearchRequest(like(uid=study.study_instance_uid), k=100, same_patient=True)
        answer = searching.search(library, request, SETTINGS)
        found += [(hit.id, hit.score) for hit in answer.hits]
    return found


def notes(library: Library, indexed: Indexed) -> str:
    request = SearchRequest(like(uid=indexed.plan[0].study_instance_uid), k=1)
    return "\n".join(searching.search(library, request, SETTINGS).notes)


def count(library: Library, table: Any, *conditions: Any) -> int:
    with reading(library.engine) as db:
        query = select(func.count()).select_from(table).where(*conditions)
        return db.execute(query).scalar_one()


def change(library: Library, statement: Any) -> None:
    with transaction(library.engine) as db:
        db.execute(statement)


def first(indexed: Indexed, kind: Kind, trait: Trait | None = None) -> PhantomStudy:
    return next(s for s in indexed.plan if s.kind is kind and (trait is None or trait in s.traits))


def all_bytes(library: Library) -> bytes:
    return b"\n".join(p.read_bytes() for p in sorted(library.path.rglob("*")) if p.is_file())


def spoil(path: Path, start: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(content)


def snapshot(library: Library) -> Path:
    return next(library.index_folder.glob("*.rows"))


def drop_index(library: Library) -> None:
    shutil.rmtree(library.index_folder)


def cut_index(library: Library) -> None:
    snapshot(library).write_bytes(snapshot(library).read_bytes()[:1000])


def flip_a_bit(library: Library) -> None:
    spoil(snapshot(library), 5000, bytes([snapshot(library).read_bytes()[5000] ^ 1]))


def drop_snapshot(library: Library) -> None:
    snapshot(library).unlink()
