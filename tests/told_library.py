"""A library whose reports tell what is in its pictures: lines that lie or stand, left or right."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
from PIL import Image

from api.service import ingest
from indexer.config import Settings
from indexer.library import Library

LINES = {"lying": "Lying lines are seen.", "standing": "Standing lines are seen."}
SIDES = {"left": "The left field is affected.", "right": "The right field is affected."}
CLOSING = "No other abnormality."


@dataclass(frozen=True)
class Told:
    """One picture of a study of its own; every second study of a patient has labels alone."""

    number: int
    lines: str
    side: str

    @property
    def file(self) -> str:
        return f"{self.number:03}.png"

    @property
    def patient(self) -> str:
        return f"patient-{self.number // 2}"

    @property
    def report(self) -> str:
        return f"{LINES[self.lines]} {SIDES[self.side]} {CLOSING}" if self.number % 3 else ""

    def picture(self) -> np.ndarray:
        rng = np.random.default_rng(self.number)
        place = np.arange(128)
        wave = 60 * np.sin(2 * np.pi * place / rng.uniform(7, 9) + rng.uniform(0, 6))
        lines = wave[:, None] if self.lines == "lying" else wave[None, :]
        fade = np.clip((place if self.side == "right" else place[::-1]) / 64 - 0.7, 0, 1)
        return (110 + lines * fade[None, :] + rng.normal(0, 6, (128, 128))).clip(0, 255)


def plan(studies: int) -> list[Told]:
    """Kinds of pictures in an order that does not go with patients."""
    rng = np.random.default_rng(5)
    return [
        Told(number, str(rng.choice(list(LINES))), str(rng.choice(list(SIDES))))
        for number in range(studies)
    ]


def make_told(
    folder: Path,
    studies: int = 96,
    *,
    encoders: tuple[str, ...] = ("texture",),
    settings: Settings | None = None,
) -> Path:
    """Draw the pictures with their table and index them; returns the library's folder."""
    files = folder / "files"
    files.mkdir(parents=True)
    with (files / "labels.csv").open("w", newline="") as handle:
        table = csv.writer(handle)
        table.writerow(["file", "patient", "view", "finding", "report"])
        for told in plan(studies):
            Image.fromarray(told.picture().astype(np.uint8)).save(files / told.file)
            table.writerow([told.file, told.patient, "PA", f"{told.lines}_lines", told.report])
    settings = settings or Settings()
    # Patients fall into folds by their pseudonyms: with one key always into the same.
    with (
        patch("indexer.library.secrets.token_bytes", lambda count: bytes(range(count))),
        Library.create(folder / "library", encoders=encoders) as library,
    ):
        request = ingest.IndexRequest([files], metadata=files / "labels.csv")
        ingest.index(library, request, settings.model_copy(update={"workers": 1}))
    return folder / "library"
