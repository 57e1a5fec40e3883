"""How well detectors tell shifts apart: who fits and who tests, kinds of shift, figures, files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from placed_library import Placed, on_circle, place
from told_library import make_told
from typer.testing import CliRunner, Result

from api.cli.main import app
from api.service.evaluating.evaluate_ood import OodEvaluation, OodRequest, TriedShift, evaluate_ood
from api.service.judging.corrupted import VARIANTS, corrupted_pixels
from indexer.config import Settings
from indexer.errors import ConfigError, FilterError, QueryError, ReferenceSetError
from indexer.library import Library
from indexer.types import ImagePixels, VolumePixels
from ood.protocol import TOGETHER, Trial, parted
from ood.registry import Recipe

OWNERS = st.lists(st.sampled_from("abcdefghijklmnopqrstuvwxyz"), min_size=1, max_size=120)


@given(owners=OWNERS, data=st.data(), seed=st.integers(0, 9))
@settings(max_examples=60)
def test_a_patient_is_on_one_side_alone(owners: list[str], data: st.DataObject, seed: int) -> None:
    away = data.draw(st.lists(st.booleans(), min_size=len(owners), max_size=len(owners)))
    outside = np.array(away)
    parts = parted(owners, outside, seed=seed)
    inside = [parts.fits, parts.calibrates, parts.inside]
    assert sorted(np.concatenate(inside)) == np.flatnonzero(~outside).tolist()
    people = [{owners[row] for row in rows} for rows in inside]
    assert not people[0] & people[1] and not people[2] & (people[0] | people[1])
    strangers = {owners[row] for row in parts.outside}
    assert not strangers & (people[0] | people[1])
    left_out = set(np.flatnonzero(outside)) - set(parts.outside)
    assert all(owners[row] in people[0] | people[1] for row in left_out)
    again = parted(owners, outside, seed=seed)
    assert np.array_equal(again.fits, parts.fits) and np.array_equal(again.inside, parts.inside)


@given(patients=st.integers(60, 300), each=st.integers(1, 3), seed=st.integers(0, 9))
@settings(max_examples=30)
def test_half_fits_a_fifth_calibrates_and_three_tenths_test(
    patients: int, each: int, seed: int
) -> None:
    owners = [f"p{number // each}" for number in range(patients * each)]
    parts = parted(owners, seed=seed)
    count = len(owners)
    assert abs(len(parts.inside) / count - 0.3) < 0.03
    assert abs(len(parts.calibrates) / count - 0.2) < 0.03
    assert not len(parts.outside)


def test_too_few_to_fit_on_are_refused() -> None:
    rows = np.eye(30, dtype=np.float32)
    owners = [str(number) for number in range(30)]
    with pytest.raises(ReferenceSetError, match="15 cases to fit on, 20 are needed"):
        Trial.of([Recipe("knn")], rows, owners, parted(owners))


def about(degrees: float, count: int, **said: Any) -> list[Placed]:
    """Items near a place, two of each patient."""
    random = np.random.default_rng(int(degrees))
    return [
        Placed(
            f"patient {degrees}-{number // 2}",
            (*on_circle(degrees + random.normal(0, 5)), float(random.normal(0, 0.08))),
            **said,
        )
        for number in range(count)
    ]


@pytest.fixture(scope="module")
def placed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """Chests of two readings that look alike, hands that do not, three knees."""
    items = about(20, 120, modality="CR", body_part="CHEST", labels={"finding": "a"})
    items += about(20.5, 60, modality="CR", body_part="CHEST", labels={"finding": "b"})
    items += about(110, 30, modality="CR", body_part="HAND")
    items += about(21, 3, modality="CR", body_part="CHEST", labels={"finding": "c"})
    items += about(200, 3, modality="MR", body_part="KNEE")
    with Library.open(place(tmp_path_factory.mktemp("placed") / "library", items)) as opened:
        yield opened


def tried(library: Library, **said: Any) -> OodEvaluation:
    return evaluate_ood(library, OodRequest(**{"corruptions": 0} | said), Settings())


def by_kind(found: OodEvaluation) -> dict[str, TriedShift]:
    return {each.kind: each for each in found.shifts}


def test_each_value_of_a_label_is_held_out_in_turn_and_told_apart_or_not(placed: Library) -> None:
    found = tried(placed, filter="modality=CR", labels=("finding", "body_part"))
    shifts = by_kind(found)
    assert set(shifts) == {"finding a", "finding b", "body_part HAND"}
    assert {each.shift for each in found.shifts} == {"near"}
    hands, alike = shifts["body_part HAND"], shifts["finding b"]
    assert set(hands.detectors) == {"knn", "mahalanobis", "residual", TOGETHER}
    assert hands.detectors["knn"].auroc == 1 and hands.detectors["knn"].outside == 30
    assert hands.detectors["knn"].fpr95 == 0
    low, high = alike.detectors["knn"].auroc_interval
    assert low < 0.5 < high, "what looks alike is not told apart"
    for each in found.shifts:
        single = {name: own.auroc for name, own in each.detectors.items() if name != TOGETHER}
        assert single[each.best] == max(single.values()) >= single["knn"]
    assert found.notes[0].startswith("finding c was not held out: 3 cases of other patients")
    assert found.notes[1].startswith("body_part CHEST was not held out: 14 cases to fit on")


def test_items_that_do_not_pass_are_outside_each_kind_for_itself(placed: Library) -> None:
    found = tried(placed, filter="body_part=CHEST")
    (hands,) = found.shifts
    assert (hands.shift, hands.kind) == ("far", "other items: CR · HAND")
    first = hands.detectors["knn"]
    assert (hands.fitted + hands.calibrated + first.inside, first.outside) == (183, 30)
    assert hands.detectors[TOGETHER].auroc > 0.95
    assert any("MR · KNEE was not measured: 3 cases" in note for note in found.notes)


def test_the_detectors_asked_for_are_tried_and_the_seed_repeats_all(placed: Library) -> None:
    said = {"filter": "body_part=CHEST", "recipes": (Recipe.named("pca:2/knn"), Recipe("residual"))}
    first, second = tried(placed, **said), tried(placed, **said)
    assert set(first.shifts[0].detectors) == {"pca:2/knn", "residual", TOGETHER}
    assert first.shifts == second.shifts
    assert tried(placed, **said, seed=4).shifts != first.shifts


def test_files_that_are_gone_are_said_and_not_measured(placed: Library) -> None:
    found = tried(placed, labels=("body_part",), corruptions=10)
    assert {each.shift for each in found.shifts} == {"near"}
    assert "left out: 10 items whose files are gone, or not what they were" in found.notes
    with pytest.raises(QueryError, match=r"no kind of shift can be measured.*files are gone"):
        tried(placed, corruptions=10)


def test_what_cannot_be_measured_is_refused(placed: Library) -> None:
    with pytest.raises(QueryError, match="name a label"):
        tried(placed)
    with pytest.raises(QueryError, match="no item carries a label 'shade'"):
        tried(placed, labels=("shade",))
    with pytest.raises(QueryError, match="0 or more, not -1"):
        tried(placed, corruptions=-1)
    with pytest.raises(QueryError, match="to fit on, 20 are needed"):
        tried(placed, filter="body_part=HAND")
    with pytest.raises(FilterError):
        tried(placed, filter="body_part==")
    with pytest.raises(ConfigError, match="there is no detector 'energy'"):
        tried(placed, labels=("finding",), recipes=(Recipe("energy"),))
    with pytest.raises(QueryError, match="there is no file or folder"):
        tried(placed, outside=(Path("nowhere"),))


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_told(tmp_path_factory.mktemp("told"), 110)


def command(library: Path, *words: object) -> Result:
    return CliRunner().invoke(app, ["eval", "ood", *map(str, words), "-L", str(library)])


def test_corrupted_tests_and_files_of_no_library_are_outside(told: Path, tmp_path: Path) -> None:
    folder = tmp_path / "whose secret folder" / "noise"
    folder.mkdir(parents=True)
    random = np.random.default_rng(1)
    for number in range(12):
        noise = random.integers(0, 255, (128, 128)).astype(np.uint8)
        Image.fromarray(noise).save(folder / f"{number}.png")
    (folder / "broken.png").write_bytes(b"no picture")
    file = tmp_path / "ood.json"
    done = command(
        told, "--outside", folder, "--corruptions", 10, "--detector", "knn", "--out", file, "--json"
    )
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found == json.loads(file.read_text())
    assert "secret" not in done.stdout, "of a path only the last part is told"
    shifts = {each["kind"]: each["detectors"]["knn"] for each in found["shifts"]}
    assert shifts["files of noise"]["auroc"] == 1
    assert "1 files of noise cannot be judged" in found["notes"]
    corrupted = {f"{kind} {severity}" for kind, severity in VARIANTS}
    assert corrupted <= set(shifts)
    assert shifts["noise 5"]["auroc"] > 0.95 > shifts["noise 1"]["auroc"]
    assert {shifts[kind]["outside"] for kind in corrupted} == {10}


def test_the_table_has_a_line_for_each_kind_of_shift(told: Path) -> None:
    done = command(told, "--label", "finding", "--corruptions", 0)
    assert done.exit_code == 0, done.output
    rows = [line for line in done.stdout.splitlines() if "near" in line]
    assert len(rows) == 2 and "lying_lines" in done.stdout
    wrong = command(told, "--label", "finding", "--corruptions", 0, "--out", told / "no" / "f.json")
    assert wrong.exit_code == 2 and "cannot be written" in wrong.stderr
    refused = command(told, "--corruptions", 0, "--json")
    assert refused.exit_code == 2 and json.loads(refused.stdout)["error"]["code"]


def test_of_a_volume_the_slices_looked_at_are_corrupted_and_padding_stays() -> None:
    values = np.random.default_rng(2).integers(0, 1000, (5, 32, 32)).astype(np.int16)
    values[:, :4] = -2000
    turned = (1.0, 0, 0, 0, 1, 0, 0, 0, 1)
    volume = VolumePixels(values, "CT", (1, 1, 1), turned, (0, 0, 0), padding_value=-2000)
    made = corrupted_pixels(volume, ("noise", 3), (1, 3), seed=0)
    assert np.array_equal(made.values == -2000, values == -2000)
    changed = [bool((made.values[place] != values[place]).any()) for place in range(5)]
    assert changed == [False, True, False, True, False]
    everywhere = corrupted_pixels(volume, ("noise", 3), seed=0)
    assert all((everywhere.values[place] != values[place]).any() for place in range(5))


def test_colour_is_not_corrupted() -> None:
    colour = ImagePixels(np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(QueryError):
        corrupted_pixels(colour, ("blur", 1), seed=0)
