"""Libraries whose vectors are put where a test wants them, without a picture being read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from sqlalchemy import Connection, func, insert, select

from indexer.catalog.database import transaction
from indexer.catalog.tables import (
    EmbeddingRow,
    Item,
    Label,
    Patient,
    Report,
    Series,
    SliceRow,
    Study,
)
from indexer.encoders.texture import TextureEncoder
from indexer.library import Library
from indexer.types import EncoderSpec, Role


@dataclass(frozen=True)
class Placed:
    """One item, in a study of its own.

    ``at`` are the first numbers of its vector (the rest are zero); ``slices`` those of its slices.
    """

    patient: str
    at: Sequence[float]
    labels: Mapping[str, str] = field(default_factory=dict)
    sex: str = ""
    age: float | None = None
    manufacturer: str = ""
    split: str = ""
    report: str = ""
    slices: Sequence[Sequence[float]] = ()
    modality: str = ""
    body_part: str = ""
    date: str = ""
    model: str = ""


def on_circle(degrees: float) -> tuple[float, float]:
    """Where a vector of this angle lies: the nearer two angles, the nearer the vectors."""
    return float(np.cos(np.radians(degrees))), float(np.sin(np.radians(degrees)))


def place(folder: Path, placed: Iterable[Placed]) -> Path:
    """Make a library of such items, in the space of the built-in encoder; returns its folder."""
    with Library.create(folder) as library:
        library.ensure_space(TextureEncoder.spec)
        add(library, placed)
    return folder


def add(library: Library, placed: Iterable[Placed]) -> None:
    """Put further items into such a library."""
    space = library.ensure_space(TextureEncoder.spec)
    with transaction(library.engine) as db:
        known = db.execute(select(Patient.pseudonym, Patient.id))
        patients = {row.pseudonym: row.id for row in known}
        first = db.execute(select(func.count()).select_from(Item)).scalar_one()
        for number, one in enumerate(placed, first):
            if one.patient not in patients:
                patients[one.patient] = _add(db, Patient, pseudonym=one.patient)
            _put(db, space.id, patients[one.patient], number, one)


def _put(db: Connection, space: int, patient: int, number: int, one: Placed) -> None:
    study = _add(
        db,
        Study,
        study_instance_uid=f"2.25.{number}",
        patient_id=patient,
        sex=one.sex,
        age_years=one.age,
        split=one.split,
        study_date=one.date,
    )
    series = _add(
        db,
        Series,
        series_instance_uid=f"2.25.{number}.1",
        study_id=study,
        manufacturer=one.manufacturer,
        model=one.model,
        modality=one.modality,
        body_part=one.body_part,
    )
    item = _add(
        db,
        Item,
        uid=f"item-{number}",
        series_id=series,
        kind="volume" if one.slices else "image",
        role=Role.PRIMARY,
        slices=max(len(one.slices), 1),
        pixel_hash=str(number),
    )
    vector = _unit(one.at, TextureEncoder.spec)
    _add(db, EmbeddingRow, space_id=space, item_id=item, vector=vector.tobytes(), norm=1.0)
    for at, row in enumerate(one.slices):
        vector = _unit(row, TextureEncoder.spec)
        _add(db, SliceRow, space_id=space, item_id=item, slice_index=at, vector=vector.tobytes())
    for name, value in one.labels.items():
        for each in value.split("|"):
            _add(db, Label, study_id=study, item_id=None, name=name, value=each)
    if one.report:
        _add(db, Report, study_id=study, source="table", text=one.report)


def _unit(at: Sequence[float], spec: EncoderSpec) -> np.ndarray:
    vector = np.zeros(spec.dim)
    vector[: len(at)] = at
    return (vector / np.linalg.norm(vector)).astype("<f2")


def _add(db: Connection, table: type, **values: object) -> int:
    key = db.execute(insert(table).values(**values)).inserted_primary_key
    return int(key[0]) if key else 0
