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
from indexer.errors import ConfigError
from indexer.library import Library
from indexer.searching.asking import SearchRequest, like
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
        request = SearchRequest(like(file=archive / file), encoders=(encoder,))
        return " ".join(search.search(library, request, settings).notes)

    said = "the modality of the query is not stated; 'rad-dino' was made for CR, DX"
    assert said in notes("rad-dino", "photograph.png")
    assert "not stated" not in notes("texture", "photograph.png")
    assert "not stated" not in notes("rad-dino", "chest film.dcm")
    film = SearchRequest(like(file=archive / "chest film.dcm"), encoders=("rad-dino",))
    answer = search.search(library, film, settings)
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


RULES = """
[[rule]]                      # sonograms are close enough to films for us
modality = ["US"]
kind = "image"
encoders = ["rad-dino"]

[[rule]]
modality = ["CR"]
body_part = ["HAND", ""]
encoders = ["texture"]

[[rule]]
channels = 3
encoders = []
"""


@pytest.fixture
def ruled(tmp_path: Path, archive: Path, settings: Settings) -> Iterator[Library]:
    rules = tmp_path / "rules.toml"
    rules.write_text(RULES, encoding="utf-8")
    colour = np.stack([picture(n, 64, 64, top=250) for n in range(3)], -1)
    Image.fromarray(colour.astype(np.uint8)).save(archive / "colour.png")
    encoders = ("rad-dino", "ct-fm", "texture")
    with Library.create(tmp_path / "ruled", encoders=encoders, store="exact", rules=rules) as made:
        ingest.index(made, ingest.IndexRequest([archive]), settings)
        yield made


def test_the_first_rule_that_fits_decides_and_where_none_fits_the_cards_do(ruled: Library) -> None:
    assert vectors(ruled) == {
        "chest film": {"rad-dino", "texture"},
        "hand film": {"texture"},
        "film of something": {"texture"},
        "sonogram": {"rad-dino"},
        "photograph": {"rad-dino", "texture"},
        "CT": {"ct-fm", "texture"},
        "MR": {"texture"},
    }
    (colour,) = [e for e in ingest.rejected(ruled) if Path(e.source).stem == "colour"]
    assert "rule 3 of routing.toml names no encoder" in colour.detail


def test_what_a_rule_gives_to_an_encoder_it_was_not_made_for_is_flagged_and_said(
    ruled: Library, archive: Path, settings: Settings
) -> None:
    asked = SearchRequest(like(file=archive / "sonogram.dcm"), own_study=True, same_patient=True)
    answer = search.search(ruled, asked, settings)
    assert (
        "by a rule of the library 'rad-dino' gets this; it was made for CHEST, CR, DX, LUNG, THORAX"
        in answer.notes
    )
    film = search.search(ruled, SearchRequest(like(file=archive / "chest film.dcm")), settings)
    flags = {hit.modality: hit.flags for hit in film.hits}
    assert Flag.OUTSIDE_PURPOSE in flags["US"]
    assert Flag.OUTSIDE_PURPOSE not in flags[""]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[rule]\n", "cannot be read"),
        ("[rules]\nencoders = []\n", "holds more than"),
        ('[[rule]]\nmodality = ["CT"]\n', "rule 1, encoders: Field required"),
        ('[[rule]]\nencoders = []\n[[rule]]\nkind = "film"\nencoders = []\n', "rule 2, kind"),
        ("[[rule]]\nbodypart = []\nencoders = []\n", "rule 1, bodypart: Extra inputs"),
        ('[[rule]]\nencoders = ["merlot"]\n', "rule 1, encoders: the library has no merlot"),
    ],
)
def test_rules_that_cannot_be_meant_are_refused_by_file_rule_and_field(
    text: str, said: str, tmp_path: Path
) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        Library.create(tmp_path / "library", rules=rules)
    assert said in str(refused.value)
    assert "rules.toml" in str(refused.value)
    assert not (tmp_path / "library").exists()


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
    (library.path / "routing.toml").write_text(RULES, encoding="utf-8")
    assert routes("sonogram.dcm") == {
        "rad-dino": (True, "1 image; by a rule, though made for CHEST, CR, DX, LUNG, THORAX"),
        "ct-fm": (False, "rule 1 of routing.toml names rad-dino"),
        "texture": (False, "rule 1 of routing.toml names rad-dino"),
    }
    assert routes("photograph.png")["rad-dino"] == (
        True,
        "1 image; made for CR, DX, and the modality of the file is not stated",
    )
    call = ["route", str(archive / "nosuch.dcm"), "--library", str(library.path)]
    missing = CliRunner().invoke(app, call)
    assert missing.exit_code == 2
    assert "nosuch.dcm" in missing.stderr
