"""Where pictures are unlike a reference: fitted from a library's files, mapped, drawn, refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from told_library import Told, make_told
from typer.testing import CliRunner, Result

from api.cli.main import app
from api.service.judging import heat as service
from api.service.judging import ood
from api.service.judging.judge import Judge
from indexer.config import Settings
from indexer.encoders.texture import TextureEncoder
from indexer.errors import ConfigError, QueryError, ReferenceSetError, SourceError
from indexer.library import Library

STUDIES = 96
BLOT = (88, 40)
"""Row and column of its middle."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library with a reference and its patches; copies of it find the files where they were."""
    folder = make_told(tmp_path_factory.mktemp("heat"), STUDIES)
    with Library.open(folder) as library:
        ood.fit_reference(library, ood.FitRequest("told", alarm=0.05))
        service.fit_heat(library, "told", service.HeatRequest(40, 1_500), Settings())
    return folder


@pytest.fixture
def library(made: Path, tmp_path: Path) -> Iterator[Library]:
    with Library.open(Path(shutil.copytree(made, tmp_path / "library"))) as opened:
        yield opened


def picture(folder: Path, *, blot: bool, number: int = 500) -> Path:
    """A new picture of a usual kind, with or without an even blot in its striped half.

    It is as dark as the stripes: what is darker changes the grey of all the picture.
    """
    drawn = Told(number, "standing", "left").picture()
    if blot:
        y, x = np.mgrid[:128, :128]
        drawn[np.hypot(y - BLOT[0], x - BLOT[1]) < 10] = 55
    path = folder / f"{number}-{blot}.png"
    Image.fromarray(drawn.astype(np.uint8)).save(path)
    return path


def command(library: Library, *words: object) -> Result:
    return CliRunner().invoke(app, ["ood", *map(str, words), "-L", str(library.path)])


def files(library: Library) -> list[str]:
    return sorted(path.name for path in (library.path / "references").iterdir())


def test_a_blot_is_the_hottest_place_and_a_usual_picture_is_calm(
    library: Library, tmp_path: Path
) -> None:
    odd = service.heat_map(library, "told", str(picture(tmp_path, blot=True)), Settings())
    calm = service.heat_map(library, "told", str(picture(tmp_path, blot=False)), Settings())
    rows, columns = odd.oddness.shape
    row, column = np.unravel_index(int(np.nanargmax(odd.oddness)), odd.oddness.shape)
    assert np.hypot(row / rows * 128 - BLOT[0], column / columns * 128 - BLOT[1]) < 14
    assert odd.p_value < 0.1 < calm.p_value
    assert odd.unlike_share > calm.unlike_share and calm.unlike_share < 0.1
    assert (odd.encoder, odd.stratum, odd.item) == ("texture", "all of the reference", "")
    shares, values = zip(*odd.levels, strict=True)
    assert shares == (0.5, 0.95, 0.99, 0.999, 1.0) and list(values) == sorted(values)


def test_the_drawing_is_warm_at_the_blot_alone(library: Library, tmp_path: Path) -> None:
    path = picture(tmp_path, blot=True)
    result = command(library, "heat", path, "--reference", "told", "--out", tmp_path / "heat.png")
    assert result.exit_code == 0
    assert "odder than 99 % of places" in result.stdout and "not clinical" in result.stdout
    with Image.open(tmp_path / "heat.png") as drawn:
        pixels = np.asarray(drawn, np.float32)[56 : 56 + 640]
    left, right = pixels[:, 20:660], pixels[:, 680:1320]
    warmth = np.abs(right - left).max(axis=2)
    at = [round(each * 5) for each in BLOT]
    assert warmth[at[0], at[1]] > 60
    assert np.mean(warmth > 20) < 0.3
    assert np.ptp(left, axis=2).max() < 6, "what is on the left stays grey"


def test_items_are_mapped_by_their_id_and_fitted_ones_say_so(library: Library) -> None:
    notes = []
    for answer in Judge(library, "told").of_items(""):
        heat = service.heat_map(library, "told", answer.items[0].item, Settings())
        assert heat.item == answer.items[0].item
        assert heat.study_instance_uid == answer.study_instance_uid
        notes.append(heat.notes)
        if len(notes) == 8:
            break
    assert () in notes
    assert any("it looks more usual than it is" in note for each in notes for note in each)


def test_the_command_line_answers_in_json(library: Library, tmp_path: Path) -> None:
    fitted = command(library, "patches", "told", "--images", 25, "--patches", 300, "--json")
    assert fitted.exit_code == 0
    told = json.loads(fitted.stdout)
    assert told["strata"][0] == {
        "stratum": "all of the reference", "fitted": 25, "held_out": 20, "patches": 300
    }  # fmt: skip
    path, drawn = picture(tmp_path, blot=True), tmp_path / "heat.png"
    result = command(library, "heat", path, "--reference", "told", "--out", drawn, "--json")
    answer = json.loads(result.stdout)
    assert answer["picture"] == str(drawn) and drawn.exists()
    assert answer["slice_number"] is None and answer["usual_pictures"] == 20


def test_the_same_seed_fits_the_same_and_older_patches_go(library: Library, tmp_path: Path) -> None:
    path = str(picture(tmp_path, blot=True))
    before, first = files(library), service.heat_map(library, "told", path, Settings())
    service.fit_heat(library, "told", service.HeatRequest(40, 1_500), Settings())
    after, again = files(library), service.heat_map(library, "told", path, Settings())
    np.testing.assert_array_equal(first.oddness, again.oddness)
    assert len(before) == len(after) == 2 and before != after
    left = library.path / "references" / "0-patches.npz"
    left.write_bytes(b"of a run that was killed")
    with library.writing():
        pass
    ood.fit_reference(library, ood.FitRequest("second", alarm=0.05))
    assert len(files(library)) == 3 and left.name not in files(library)
    ood.remove(library, "told")
    assert len(files(library)) == 1


def test_a_stopped_fit_stores_nothing(library: Library) -> None:
    before = files(library)

    def stop(what: str, done: int, _total: int) -> None:
        if what == "calibrating" and done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        service.fit_heat(library, "told", service.HeatRequest(25, 300), Settings(), stop)
    assert files(library) == before


@pytest.mark.parametrize("damage", ["gone", "changed"])
def test_a_damaged_file_is_said_and_how_to_mend_it(
    library: Library, tmp_path: Path, damage: str
) -> None:
    (file,) = (library.path / "references").glob("*-patches.npz")
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-1] + b"x")
    result = command(library, "heat", picture(tmp_path, blot=True), "--reference", "told")
    assert result.exit_code == 2
    assert "fit them again with: syntopy ood patches told" in result.stderr


def test_patches_and_originals_that_are_not_there_are_said(
    made: Path, library: Library, tmp_path: Path
) -> None:
    ood.fit_reference(library, ood.FitRequest("second", alarm=0.05))
    result = command(library, "heat", picture(tmp_path, blot=True), "--reference", "second")
    assert result.exit_code == 2
    assert "no patches yet: syntopy ood patches second fits them" in result.stderr
    before = files(library)
    away = made.parent / "files"
    away.rename(tmp_path / "moved")
    try:
        with pytest.raises(ReferenceSetError, match=r"0 of 40 pictures can be read again"):
            service.fit_heat(library, "second", service.HeatRequest(40), Settings())
        item = next(Judge(library, "told").of_items("")).items[0].item
        with pytest.raises(SourceError, match="are gone, or not what they were"):
            service.heat_map(library, "told", item, Settings())
    finally:
        (tmp_path / "moved").rename(away)
    assert files(library) == before


def test_what_cannot_be_asked_for_is_refused(library: Library, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="20 images or more"):
        service.fit_heat(library, "told", service.HeatRequest(19), Settings())
    with pytest.raises(QueryError, match="there is no reference 'other'"):
        service.fit_heat(library, "other", service.HeatRequest(), Settings())
    with pytest.raises(QueryError, match="no study, series, instance or item 'nothing'"):
        service.heat_map(library, "told", "nothing", Settings())
    path = picture(tmp_path, blot=True)
    result = command(library, "heat", path, "--reference", "told", "--out", tmp_path / "no" / "a")
    assert result.exit_code == 2 and "cannot be written" in result.stderr


def test_an_encoder_that_tells_no_places_apart_is_refused(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TextureEncoder, "spec", replace(TextureEncoder.spec, has_patches=False))
    with pytest.raises(QueryError, match="fit one with an encoder that has regions"):
        service.fit_heat(library, "told", service.HeatRequest(), Settings())
