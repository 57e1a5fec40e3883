"""An encoder gets only what it was made for, and what is in doubt is said."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_models import shared_models
from typer.testing import CliRunner

from api.cli.main import app
from api.service import ingest, search
from indexer.catalog.database import reading
from indexer.config import Settings
from indexer.library import Library
from indexer.search import SearchRequest
from indexer.types import Flag, Reason

sys.path.insert(0, str(Path(__file__).parent / "pitfalls"))
from making import CR, CT, MR, US, dicom, picture, save, stack

FILM = {"Modality": "CR", "BodyPartExamined": "CHEST"}


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shared_models(tmp_path_factory)


@pytest.fixture
def settings(models: Path) -> Settings:
    return Settings(workers=1, models=models, device="cpu")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """One file or folder for each case; their names say what they are."""
    folder = tmp_path / "archive"
    save(dicom(picture(1, 64, 64), CR, **FILM), folder / "chest film.dcm")
    hand = {**FILM, "BodyPartExamined": "HAND"}
    save(dicom(picture(2, 64, 64), CR, **hand), folder / "hand film.dcm")
    save(dicom(picture(3, 64, 64), CR, Modality="CR"), folder / "film of something.dcm")
    save(dicom(picture(4, 64, 64), US), folder / "sonogram.dcm")
    Image.fromarray(picture(5, 64, 64, top=250).astype(np.uint8)).save(folder / "photograph.png")
    for kind in (CT, MR):
        name = "CT" if kind == CT else "MR"
        body = np.stack([picture(n, top=3000) for n in range(6)])  # some of it above 0 HU
        for number, ds in enumerate(stack(kind, 6, pixels=body)):
            save(ds, folder / name / f"{number}.dcm")
    return folder


@pytest.fixture
def library(tmp_path: Path, archive: Path, settings: Settings) -> Iterator[Library]:
    encoders = ("rad-dino", "ct-fm", "texture")
    with Library.create(tmp_path / "library", encoders=encoders, store="exact") as made:
        ingest.index(made, ingest.IndexRequest([archive]), settings)
        yield made


def vectors(library: Library) -> dict[str, set[str]]:
    """Encoders that gave a vector, by the name of the file, or of its folder for a slice."""
    found: dict[str, set[str]] = {}
    with reading(library.engine) as db:
        rows = db.exec_driver_sql(
            "SELECT DISTINCT source, encoder FROM instance JOIN item_instance ON instance.id = "
            "instance_id JOIN embedding ON embedding.item_id = item_instance.item_id "
            "JOIN space ON space.id = space_id"
        )
        for source, encoder in rows:
            path = Path(source)
            name = path.parent.name if path.parent.name in ("CT", "MR") else path.stem
            found.setdefault(name, set()).add(encoder)
    return found


def test_each_encoder_gets_what_it_was_made_for(library: Library) -> None:
    assert vectors(library) == {
        "chest film": {"rad-dino", "texture"},
        "hand film": {"texture"},
        "film of something": {"rad-dino", "texture"},
        "sonogram": {"texture"},
        "photograph": {"rad-dino", "texture"},
        "CT": {"ct-fm", "texture"},
        "MR": {"texture"},
    }


def test_a_picture_of_no_stated_modality_is_flagged_and_the_answer_says_so(
    library: Library, archive: Path, settings: Settings
) -> None:
    def notes(encoder: str, file: str) -> str:
        request = SearchRequest(image=archive / file, encoder=encoder)
        return " ".join(search.search(library, request, settings).notes)

    said = "the modality of the query is not stated; 'rad-dino' was made for CR, DX"
    assert said in notes("rad-dino", "photograph.png")
    assert "not stated" not in notes("texture", "photograph.png")
    assert "not stated" not in notes("rad-dino", "chest film.dcm")
    answer = search.search(
        library, SearchRequest(image=archive / "chest film.dcm", encoder="rad-dino"), settings
    )
    flagged = [hit for hit in answer.hits if Flag.MODALITY_UNKNOWN in hit.flags]
    assert [hit.modality for hit in flagged] == [""]


def test_what_no_encoder_was_made_for_is_rejected_with_the_reason(
    tmp_path: Path, archive: Path, settings: Settings
) -> None:
    with Library.create(tmp_path / "films", encoders=("rad-dino",), store="exact") as films:
        ingest.index(films, ingest.IndexRequest([archive]), settings)
        reasons = {Path(e.source).stem: (e.reason, e.detail) for e in ingest.rejected(films)}
        assert reasons["sonogram"] == (Reason.ENCODER_FAILED, "rad-dino: made for CR, DX, not US")
        assert reasons["hand film"][1] == "rad-dino: made for CHEST, LUNG, THORAX, not HAND"
        assert vectors(films).keys() == {"chest film", "film of something", "photograph"}


def test_the_command_explains(
    library: Library, archive: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNTOPY_MODELS", str(models))
    monkeypatch.setenv("SYNTOPY_DEVICE", "cpu")

    def routes(file: str) -> dict[str, tuple[bool, str]]:
        call = ["route", str(archive / file), "--library", str(library.path), "--json"]
        found = json.loads(CliRunner().invoke(app, call).stdout)["routes"]
        return {each["encoder"]: (each["taken"], each["why"]) for each in found}

    assert routes("hand film.dcm") == {
        "rad-dino": (False, "made for CHEST, LUNG, THORAX, not HAND"),
        "ct-fm": (False, "takes no image"),
        "texture": (True, "1 image; takes every modality"),
    }
    assert routes("photograph.png")["rad-dino"] == (
        True,
        "1 image; made for CR, DX, and the modality of the file is not stated",
    )
    call = ["route", str(archive / "nosuch.dcm"), "--library", str(library.path)]
    missing = CliRunner().invoke(app, call)
    assert missing.exit_code == 2
    assert "nosuch.dcm" in missing.stderr
