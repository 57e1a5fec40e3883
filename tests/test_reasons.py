"""Why something was flagged: from its pixels, its header, and what it lies near to."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from placed_library import Placed, add, on_circle, place
from sqlalchemy import update
from typer.testing import CliRunner

from api.cli.main import app
from api.service import ingest
from api.service.judging import ood
from api.service.judging.judge import Judge, StudyAnswer
from indexer.catalog.database import transaction
from indexer.catalog.tables import Space
from indexer.config import Settings
from indexer.errors import ReferenceSetError
from indexer.library import Library
from indexer.phantoms.draw_2d import radiograph, ultrasound

CHESTS, SONOGRAMS = 170, 60
Picture = np.ndarray


def chest(number: int) -> Picture:
    drawn = radiograph(np.random.default_rng([number, 1]), size=(160, 128))
    return np.rint(drawn * 255).astype(np.uint8)


def sonogram(number: int) -> Picture:
    drawn = ultrasound(np.random.default_rng([number, 2]), size=(120, 160))[0]
    return np.rint(drawn * 255).astype(np.uint8)


def index(library: Library, folder: Path, pictures: list[tuple[str, str, Picture]]) -> None:
    """Index pictures, each with its modality and body part."""
    folder.mkdir()
    with (folder / "labels.csv").open("w", newline="") as handle:
        table = csv.writer(handle)
        table.writerow(["file", "patient", "modality", "body_part"])
        for number, (modality, body_part, picture) in enumerate(pictures):
            Image.fromarray(picture).save(folder / f"{number}.png")
            table.writerow([f"{number}.png", f"{folder.name}-{number}", modality, body_part])
    request = ingest.IndexRequest([folder], metadata=folder / "labels.csv")
    ingest.index(library, request, Settings(workers=1))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """Chests and sonograms, and a reference of both."""
    folder = tmp_path_factory.mktemp("reasons")
    with Library.create(folder / "library", encoders=("texture",)) as made:
        index(
            made,
            folder / "usual",
            [
                *(("CR", "CHEST", chest(number)) for number in range(CHESTS)),
                *(("US", "ABDOMEN", sonogram(number)) for number in range(SONOGRAMS)),
            ],
        )
        ood.fit_reference(made, ood.FitRequest("usual", alarm=0.15))
        yield made


def written(picture: Picture) -> Picture:
    image = Image.fromarray(picture).resize((384, 480))
    ImageDraw.Draw(image).text((20, 20), "DOE JANE 1961", 255, font=ImageFont.load_default(26))
    return np.asarray(image)


def cut(picture: Picture) -> Picture:
    short = picture.copy()
    short[int(0.6 * len(short)) :] = 0
    return short


def noise(picture: Picture) -> Picture:
    return np.random.default_rng(3).integers(0, 255, picture.shape).astype(np.uint8)


def too_bright(picture: Picture) -> Picture:
    return np.minimum(picture.astype(int) * 2, 255).astype(np.uint8)


def judged(library: Library, folder: Path, *pictures: Picture) -> list[StudyAnswer]:
    """Pictures that are in no library, against the chest films."""
    files = []
    for number, picture in enumerate(pictures):
        files.append(folder / f"{number}.png")
        Image.fromarray(picture).save(files[-1])
    return list(Judge(library, "usual").of_files(files))


@pytest.mark.parametrize(
    ("harm", "codes"),
    [
        (written, {"burned_in_text"}),
        (cut, {"truncated"}),
        (noise, {"noise"}),
        (too_bright, {"saturated_high"}),
    ],
)
def test_what_the_pixels_tell_by_themselves(
    library: Library, tmp_path: Path, harm: Callable[[Picture], Picture], codes: set[str]
) -> None:
    answers = judged(library, tmp_path, *(harm(chest(900 + number)) for number in range(4)))
    found = [codes <= {each.code for each in answer.findings} for answer in answers]
    assert sum(found) >= 3, [answer.findings for answer in answers]


def test_usual_films_have_no_findings(library: Library, tmp_path: Path) -> None:
    answers = judged(library, tmp_path, *(chest(800 + number) for number in range(8)))
    assert sum(not answer.findings for answer in answers) >= 7
    assert all(not answer.reason for answer in answers if not answer.flagged)


@pytest.mark.parametrize(
    ("turn", "said"),
    [
        (lambda film: np.rot90(film, 1), "turned by 90 degrees to the right"),
        (lambda film: np.rot90(film, 2), "turned by 180 degrees"),
    ],
)
def test_a_turned_film_is_told_by_the_copy_that_looks_as_usual(
    chests: Library, tmp_path: Path, turn: Callable[[Picture], Picture], said: str
) -> None:
    answers = judged(chests, tmp_path, *(turn(chest(900 + n)).copy() for n in range(6)))
    flagged = [answer for answer in answers if answer.flagged]
    assert len(flagged) >= 4
    told = [
        answer for answer in flagged if f"a copy that is {said} looks as usual" in answer.reason
    ]
    assert len(told) >= len(flagged) - 1, [answer.reason for answer in flagged]


def test_an_inverted_film_is_told_too(chests: Library, tmp_path: Path) -> None:
    answers = judged(chests, tmp_path, *(255 - chest(900 + number) for number in range(6)))
    codes = [{each.code for each in answer.findings} for answer in answers if answer.flagged]
    assert len(codes) >= 4 and sum("inverted" in each for each in codes) >= len(codes) - 1


@pytest.fixture(scope="module")
def chests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """Chest films without a header, and a reference of them."""
    folder = tmp_path_factory.mktemp("chests")
    with Library.create(folder / "library", encoders=("texture",)) as made:
        index(made, folder / "usual", [("", "", chest(number)) for number in range(CHESTS)])
        ood.fit_reference(made, ood.FitRequest("usual", alarm=0.15))
        yield made


def test_tags_that_the_picture_contradicts(library: Library, tmp_path: Path) -> None:
    wrong = [("CR", "CHEST", sonogram(700 + number)) for number in range(3)]
    wrong += [("MG", "BREAST", chest(700))]
    index(library, tmp_path / "wrong", wrong)
    answers = list(Judge(library, "usual").of_items("modality in (CR,MG)"))[-4:]
    assert all(answer.flagged for answer in answers[:3])
    assert all("nearest cases are US" in answer.reason for answer in answers[:3])
    assert "tagged modality CR" in answers[0].reason
    assert answers[3].items[0].why.startswith("judged as all of the reference; MG")


def test_pixels_are_not_checked_where_files_are_gone_and_that_is_said(
    library: Library, tmp_path: Path
) -> None:
    index(library, tmp_path / "gone", [("CR", "CHEST", noise(chest(1)))])
    (tmp_path / "gone" / "0.png").unlink()
    judge = Judge(library, "usual")
    answer = next(
        each
        for each in judge.of_items("modality=CR")
        if any("files of item" in note for note in each.notes)
    )
    assert answer.flagged and answer.reason
    assert "noise" not in {each.code for each in answer.findings}
    assert any("the pixels were not checked" in note for note in answer.notes)
    blind = Judge(library, "usual", look=False)
    assert not any(
        "not checked" in note for each in blind.of_items("modality=CR") for note in each.notes
    )


def test_the_table_tells_why_and_findings_can_count_as_flags(
    library: Library, tmp_path: Path
) -> None:
    file = tmp_path / "text.png"
    Image.fromarray(written(chest(901))).save(file)
    words = ["ood", "score", str(file), "--reference", "usual", "-L", str(library.path)]
    words += ["--alarm", "0.1"]
    told = CliRunner().invoke(app, [*words, "--json"])
    (line,) = [json.loads(each) for each in told.stdout.splitlines()]
    codes = [each["code"] for each in line["items"][0]["findings"]]
    assert "burned_in_text" in codes
    strict = CliRunner().invoke(app, [*words, "--strict"])
    assert strict.exit_code == 10 and "look like text" in " ".join(strict.stdout.split())


def test_a_reference_of_another_space_judges_no_files(library: Library, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(library.path, tmp_path / "library"))
    with Library.open(copied) as other:
        with transaction(other.engine) as db:
            db.execute(update(Space).values(weights="builtin-1"))
        with pytest.raises(ReferenceSetError, match="fitted in another space"):
            judged(other, tmp_path, chest(1))
        answers = list(Judge(other, "usual").of_items("modality=CR"))
    flagged = [answer for answer in answers if answer.flagged]
    assert any("turned copies were not looked at" in note for a in flagged for note in a.notes)


# -- volumes described by their slices -----------------------------------------------------------


def volume(patient: str, kept: slice = slice(None)) -> Placed:
    """Slices along a path, as they go through a body."""
    random = np.random.default_rng(crc32(patient.encode()))
    path = [
        (*on_circle(angle + random.normal(0, 1)), float(random.normal(0, 0.02)))
        for angle in np.linspace(0, 80, 24)
    ][kept]
    whole = np.mean(np.array(path), axis=0)
    at = (whole / np.linalg.norm(whole)).tolist()
    return Placed(patient, at, slices=path, modality="CT", body_part="HEAD")


def test_part_of_a_volume_shows_though_its_mean_looks_as_usual(tmp_path: Path) -> None:
    usual = [volume(f"patient-{number}") for number in range(160)]
    films = [
        Placed(f"film-{number}", on_circle(40 + number % 7), modality="CR", body_part="CHEST")
        for number in range(160)
    ]
    folder = place(tmp_path / "library", [*usual, *films])
    with Library.open(folder) as library:
        stored = ood.fit_reference(library, ood.FitRequest("heads", alarm=0.15))
        described = {each["stratum"]: each["described_by"] for each in stored.report["strata"]}
        assert (described["CT · HEAD"], described["CR · CHEST"]) == ("its slices", "its vector")
        with library.writing():
            # The middle third has the same mean direction as the whole.
            add(library, [volume(f"part-{number}", slice(8, 16)) for number in range(10)])
            add(library, [volume(f"whole-{number}") for number in range(10)])
        answers = list(Judge(library, "heads").of_items("modality=CT"))[160:]
    assert {item.stratum for answer in answers for item in answer.items} == {"CT · HEAD"}
    assert all(answer.flagged for answer in answers[:10])
    assert sum(bool(answer.flagged) for answer in answers[10:]) <= 4
