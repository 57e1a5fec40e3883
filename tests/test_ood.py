"""References of a library: fitted, stored, shown; items and files judged; refusals."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from placed_library import Placed, add, on_circle, place
from told_library import Told, make_told
from typer.testing import CliRunner, Result

from api.cli.main import app
from api.service.judging import ood
from api.service.judging.judge import Judge
from indexer.errors import ConfigError, FilterError, QueryError, ReferenceSetError
from indexer.library import Library
from ood.registry import Recipe

RANDOM = np.random.default_rng(6)
CHEST, HAND = 20.0, 110.0


def around(degrees: float, *, count: int, patient: str, body_part: str) -> list[Placed]:
    """Items of one kind, two of each patient."""
    return [
        Placed(
            f"{patient}-{number // 2}",
            (*on_circle(degrees + RANDOM.normal(0, 5)), float(RANDOM.normal(0, 0.08))),
            modality="CR",
            body_part=body_part,
        )
        for number in range(count)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    items = around(CHEST, count=480, patient="chest", body_part="CHEST")
    items += around(HAND, count=30, patient="hand", body_part="HAND")
    return place(tmp_path_factory.mktemp("ood") / "library", items)


@pytest.fixture
def library(folder: Path, tmp_path: Path) -> Iterator[Library]:
    with Library.open(Path(shutil.copytree(folder, tmp_path / "library"))) as opened:
        yield opened


def fit(library: Library, name: str = "chest", **said: Any) -> ood.StoredReference:
    asked = {"filter": "body_part=CHEST", "alarm": 0.05} | said
    return ood.fit_reference(library, ood.FitRequest(name, **asked))


def command(library: Library, *words: object) -> Result:
    return CliRunner().invoke(app, ["ood", *map(str, words), "-L", str(library.path)])


def test_a_reference_tells_its_strata_and_how_well_they_tell_other_items(library: Library) -> None:
    stored = fit(library)
    assert (stored.items, stored.encoder, stored.alarm) == (480, "texture", 0.05)
    strata = {each["stratum"]: each for each in stored.report["strata"]}
    assert set(strata) == {"all of the reference", "CR", "CR · CHEST"}
    chest = strata["CR · CHEST"]
    assert (chest["fitted"] + chest["held_out"], chest["least_alarm"]) == (480, 0.05)
    against = chest["against_other_items"]
    assert set(against) == {"knn", "mahalanobis", "residual"}
    assert against["knn"]["auroc"] == 1 and against["knn"]["outside"] == 30
    assert ood.references(library) == [stored] == [ood.show_reference(library, "chest")]


def test_items_are_judged_with_score_p_value_stratum_and_nearest_cases(library: Library) -> None:
    fit(library)
    judge = Judge(library, "chest")
    hands = list(judge.of_items("body_part=HAND"))
    assert len(hands) == 30 and all(each.flagged for each in hands)
    (item,) = hands[0].items
    assert item.why.startswith("judged as CR; CR · HAND is not in the reference")
    assert hands[0].p_value is not None and hands[0].p_value <= 0.05
    assert item.verdicts["knn"].score > item.verdicts["knn"].threshold
    assert len(item.nearest) == 5
    interval = hands[0].alarm_interval
    assert interval is not None and interval.low < 0.05 < interval.high
    chests = list(judge.of_items("body_part=CHEST"))
    assert np.mean([bool(each.flagged) for each in chests]) < 0.1
    learned = [each for each in chests if any("looks more usual" in note for note in each.notes)]
    assert len(learned) == 480 - 200, "as many are held out as the rate needs"


def test_new_patients_raise_about_as_many_alarms_as_declared(library: Library) -> None:
    fit(library)
    with library.writing():
        add(library, around(CHEST, count=200, patient="new", body_part="CHEST"))
    answers = list(Judge(library, "chest").of_items("body_part=CHEST"))[480:]
    assert len(answers) == 200
    rate = np.mean([bool(each.flagged) for each in answers])
    interval = answers[0].alarm_interval
    assert interval is not None
    slack = 2 * np.sqrt(0.05 * 0.95 / 100)
    assert interval.low - slack <= rate <= interval.high + slack


def test_what_there_is_too_little_for_cannot_be_judged(library: Library) -> None:
    fit(library)
    answers = list(Judge(library, "chest", alarm=0.001).of_items("body_part=HAND"))
    assert {each.flagged for each in answers} == {None}
    assert answers[0].p_value is None and answers[0].alarm_interval is None
    assert "needs 10,000" in answers[0].items[0].why
    assert answers[0].items[0].why.startswith("cannot judge")


def test_files_of_no_library_are_judged_and_what_is_no_picture_is_said(tmp_path: Path) -> None:
    library = make_told(tmp_path / "told", 120)
    random = np.random.default_rng(1)
    new, odd = tmp_path / "new", tmp_path / "odd"
    new.mkdir()
    odd.mkdir()
    for number in range(3):
        picture = Told(900 + number, "lying", "left").picture()
        Image.fromarray(picture.astype(np.uint8)).save(new / f"{number}.png")
        noise = random.integers(0, 255, (128, 128)).astype(np.uint8)
        Image.fromarray(noise).save(odd / f"{number}.png")
    (odd / "broken.png").write_bytes(b"no picture")
    with Library.open(library) as opened:
        fit(opened, "lines", filter="", alarm=0.3)
        judge = Judge(opened, "lines")
        usual = list(judge.of_files([new], each=True))
        strange = list(judge.of_files([odd], each=True))
    scores = [
        [each.items[0].verdicts["knn"].score for each in answers if each.items]
        for answers in (usual, strange)
    ]
    assert max(scores[0]) < min(scores[1]), "noise is further from the reference"
    assert sorted(str(each.flagged) for each in strange) == ["None", "True", "True", "True"]
    broken = next(each for each in strange if each.flagged is None)
    assert broken.source.endswith("broken.png") and broken.notes[0].startswith("cannot judge: ")


def test_a_reference_is_not_changed_and_not_lost_silently(library: Library) -> None:
    stored = fit(library)
    with pytest.raises(ConfigError, match="which is never changed"):
        fit(library)
    with pytest.raises(QueryError, match="there are: chest"):
        Judge(library, "hand")
    path = library.path / "references" / stored.file
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ReferenceSetError, match="gone or damaged"):
        Judge(library, "chest")
    path.unlink()
    with pytest.raises(ReferenceSetError, match="gone or damaged"):
        Judge(library, "chest")
    ood.remove(library, "chest")
    with pytest.raises(QueryError, match="there is no reference yet"):
        ood.show_reference(library, "chest")


def test_a_file_that_a_killed_run_left_goes_with_the_next(library: Library) -> None:
    (library.path / "references").mkdir()
    left = library.path / "references" / "left.npz"
    left.write_bytes(b"half")
    fit(library)
    assert not left.exists()


def test_what_cannot_be_fitted_or_asked_is_refused(library: Library) -> None:
    with pytest.raises(ReferenceSetError, match="20 of each are the least"):
        fit(library, "hand", filter="body_part=HAND")
    with pytest.raises(ReferenceSetError, match="no cases"):
        fit(library, "none", filter="body_part=KNEE")
    with pytest.raises(FilterError):
        fit(library, "wrong", filter="body_part==")
    with pytest.raises(ConfigError, match="there is no detector 'energy'"):
        fit(library, "energy", recipes=(Recipe("energy"),))
    with pytest.raises(ConfigError, match="printable characters"):
        fit(library, " ")
    with pytest.raises(ReferenceSetError, match="between 0 and 1"):
        fit(library, "rate", alarm=5)
    fit(library)
    with pytest.raises(QueryError, match="no item with a vector passes"):
        list(Judge(library, "chest").of_items("body_part=KNEE"))


def test_who_removes_a_study_is_told_of_the_references_that_hold_its_vector(
    library: Library,
) -> None:
    fit(library)
    words = ["remove", "2.25.3", "--yes", "-L", str(library.path)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "'chest' was made of 1 items that were removed since" in " ".join(done.stdout.split())
    answers = Judge(library, "chest").of_items("body_part=HAND")
    assert all(near.study_instance_uid != "2.25.3" for a in answers for near in a.items[0].nearest)


def test_everything_works_from_the_keyboard(library: Library) -> None:
    told = ("fit", "--name", "chest", "--where", "body_part=CHEST", "--alarm", 0.05)
    done = command(library, *told, "--detector", "knn", "--detector", "pca:2/mahalanobis")
    assert done.exit_code == 0, done.output
    assert "chest: 480 items in 'texture', false-alarm rate 0.05" in done.stdout
    assert "chest" in command(library, "list").stdout
    shown = json.loads(command(library, "show", "chest", "--json").stdout)
    assert "pca:2/mahalanobis" in shown["report"]["strata"][2]["against_other_items"]
    flagged = command(
        library, "score", "--where", "body_part=HAND", "--reference", "chest", "--json"
    )
    assert flagged.exit_code == 10, flagged.output
    lines = [json.loads(line) for line in flagged.stdout.splitlines()]
    assert len(lines) == 30 and all(line["flagged"] for line in lines)
    drawn = command(library, "score", "--where", "body_part=HAND", "--reference", "chest")
    assert "30 studies: 30 flagged" in drawn.stdout
    wrong = command(library, "score", "--reference", "chest")
    assert (wrong.exit_code, "name files to score" in wrong.stderr) == (2, True)
    assert command(library, "remove", "chest").exit_code == 0
