"""Drift reports of a library: what changed, since when, in which group; files; refusals."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from placed_library import Placed, add, on_circle, place
from sqlalchemy import delete, select
from typer.testing import CliRunner, Result

from api.cli.main import app
from api.service.drifting.answers import DriftAnswer, DriftRequest
from api.service.drifting.drift import drift
from api.service.judging import ood
from indexer.catalog.database import reading, transaction
from indexer.catalog.tables import Item, Series, Study
from indexer.errors import FilterError, QueryError, ReferenceSetError, SyntopyError
from indexer.groups.runs import NamedCluster, RunDraft, save_run
from indexer.library import Library

FIRST, WEEKS, EACH, CHANGE = date(2026, 6, 1), 10, 40, 6
MAKERS = ("ACME", "BETA")
SINCE = f"study_date>={FIRST}"


def film(rng: np.random.Generator, patient: str, day: date | None, *, off: float = 0.0) -> Placed:
    return Placed(
        patient,
        (*on_circle(20 + rng.normal(0, 5)), rng.normal(off, 0.08), *rng.normal(0, 0.05, 4)),
        modality="CR",
        body_part="CHEST",
        manufacturer=MAKERS[int(rng.random() < 0.5)],
        date=str(day or ""),
        sex=str(rng.choice(["F", "M"])),
    )


def weeks(seed: int, *, off: float = 0.0, dated: bool = True, count: int = WEEKS) -> list[Placed]:
    """Films of new patients, 40 a week; those of BETA are off from the seventh week on."""
    rng = np.random.default_rng(seed)
    made = []
    for week in range(count):
        for number in range(EACH):
            day = FIRST + timedelta(days=7 * week + number % 7) if dated else None
            one = film(rng, f"new-{seed}-{week}-{number}", day)
            if off and week >= CHANGE and one.manufacturer == "BETA":
                one = replace(one, at=(*one.at[:2], one.at[2] + off, *one.at[3:]))
            made.append(one)
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """600 older films of 300 patients, and a reference made of them."""
    rng = np.random.default_rng(8)
    old = [film(rng, f"old-{n // 2}", FIRST - timedelta(days=1 + n // 5)) for n in range(600)]
    made = place(tmp_path_factory.mktemp("drift") / "library", old)
    with Library.open(made) as opened:
        ood.fit_reference(opened, ood.FitRequest("chest", alarm=0.05))
    return made


@pytest.fixture
def library(folder: Path, tmp_path: Path) -> Iterator[Library]:
    with Library.open(Path(shutil.copytree(folder, tmp_path / "library"))) as opened:
        yield opened


@pytest.fixture(scope="module")
def quiet(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """Ten weeks without a change; a report stores nothing, so tests share it."""
    with Library.open(
        Path(shutil.copytree(folder, tmp_path_factory.mktemp("quiet") / "library"))
    ) as opened:
        arrive(opened, weeks(2))
        yield opened


@pytest.fixture(scope="module")
def shifted(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """Ten weeks, from the seventh of which on films of BETA are off."""
    with Library.open(
        Path(shutil.copytree(folder, tmp_path_factory.mktemp("shifted") / "library"))
    ) as opened:
        arrive(opened, weeks(1, off=0.3))
        yield opened


def arrive(library: Library, items: list[Placed]) -> None:
    with library.writing():
        add(library, items)


def asked(library: Library, **said: object) -> DriftAnswer:
    return drift(library, replace(DriftRequest("chest"), **said))


def command(library: Library, *words: object) -> Result:
    told = ["ood", "drift", "--reference", "chest", *map(str, words), "-L", str(library.path)]
    return CliRunner().invoke(app, told)


def test_a_scanner_that_changes_is_named_with_the_week_in_which_it_began(shifted: Library) -> None:
    answer = asked(shifted, filter=SINCE, by="manufacturer")
    assert answer.changed and len(answer.windows) == WEEKS
    alarmed = {each.group: each for each in answer.watches if each.first is not None}
    assert "BETA" in alarmed and "ACME" not in alarmed
    beta = alarmed["BETA"]
    assert beta.first is not None and beta.since is not None and beta.own and beta.lasting
    assert CHANGE <= beta.first <= CHANGE + 3
    assert abs(beta.since - CHANGE) <= 1
    assert answer.headline.startswith("Sustained change in BETA since about 2026-07-")
    assert "less usual" in answer.headline
    assert any(each.startswith("'knn' of BETA: ") for each in answer.sentences)
    before, after = answer.windows[2], answer.windows[-1]
    assert not before.whole.differs and after.whole.differs
    shares = {part.group: part.flagged or 0.0 for part in after.groups}
    assert shares["BETA"] > 0.4 > 0.2 > shares["ACME"]


def test_without_a_change_nothing_is_raised(quiet: Library) -> None:
    answer = asked(quiet, by="manufacturer")
    assert not answer.changed
    assert answer.headline == "No sustained change in 10 windows (400 images, one of a patient)."
    assert any("600 items are part of the reference" in note for note in answer.notes)
    differing = sum(bool(each.whole.differs) for each in answer.windows)
    assert differing <= 1, "1 % of windows differ by chance"
    again = asked(quiet, by="manufacturer", most=2)
    wholes = [each.whole for each in answer.windows[-2:]]
    assert [each.whole for each in again.windows] == wholes, "a window stays the same"


def test_the_page_needs_nothing_else_and_the_files_are_whole(
    shifted: Library, tmp_path: Path
) -> None:
    out = tmp_path / "report"
    done = command(shifted, "--where", SINCE, "--by", "manufacturer", "--out", out)
    assert done.exit_code == 10, done.output
    assert done.stdout.startswith("Sustained change in BETA since about 2026-07-")
    assert {each.name for each in out.iterdir()} == {"drift.json", "drift.png", "drift.html"}
    with Image.open(out / "drift.png") as picture:
        assert picture.width == 1480 and picture.height > 800
    page = (out / "drift.html").read_text()
    assert not re.search(r"https?:|<script|<link|@import|url\(", page)
    assert re.findall(r'src="([^,]+),', page) == ["data:image/png;base64"]
    told = json.loads((out / "drift.json").read_text())
    assert told["headline"] in page and len(told["windows"]) == WEEKS
    assert len(told["watches"]) == 3 * (1 + len(MAKERS))
    assert told["windows"][0]["whole"]["sentences"][0].startswith("5 tests were made")
    for text in (page, json.dumps(told), done.stdout):
        assert "new-1-" not in text and "old-" not in text, "patients are not named"


def test_scripts_read_json_and_exit_codes(quiet: Library) -> None:
    done = command(quiet, "--json", "--days", 28, "--windows", 2)
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["changed"], len(told["windows"])) == (False, 2)
    assert any("came before the newest 2 windows" in note for note in told["notes"])
    wrong = command(quiet, "--json", "--by", "weather")
    assert wrong.exit_code == 2
    assert json.loads(wrong.stdout)["error"]["code"] == "query"


def test_archives_without_dates_are_cut_by_numbers_of_studies(library: Library) -> None:
    arrive(library, weeks(4, dated=False, count=3))
    with pytest.raises(QueryError, match="has a date: take windows by number"):
        asked(library)
    answer = asked(library, studies=50)
    assert [each.whole.studies for each in answer.windows] == [50, 50, 20]
    assert answer.windows[1].name == "studies 51 to 100" and answer.windows[1].first == ""


def test_a_window_of_one_image_and_windows_without_any_are_told(library: Library) -> None:
    rng = np.random.default_rng(5)
    arrive(library, [film(rng, "first", FIRST), film(rng, "last", FIRST + timedelta(days=21))])
    answer = asked(library)
    assert [each.whole.patients for each in answer.windows] == [1, 0, 0, 1]
    assert answer.windows[0].whole.differs is None
    assert "too few to test" in answer.windows[0].whole.sentences[-1]
    assert answer.windows[1].whole.sentences == ("nothing came",)
    assert not answer.changed
    single = asked(library, most=1)
    assert single.headline.startswith("No sustained change in the only window, which alone seldom")


def test_a_group_that_appears_midway_is_compared_with_all(library: Library) -> None:
    items = weeks(6, count=4)
    late = [
        replace(one, manufacturer="NEWCOMER") if number >= 2 * EACH and number % 3 == 0 else one
        for number, one in enumerate(items)
    ]
    arrive(library, late)
    answer = asked(library, by="manufacturer")
    parts = [{part.group: part for part in each.groups}["NEWCOMER"] for each in answer.windows]
    assert [bool(part.patients) for part in parts] == [False] * 2 + [True] * 2
    assert any(note.startswith("NEWCOMER has fewer than 20 held-out") for note in answer.notes)
    told = " ".join(answer.windows[-1].whole.sentences)
    assert "never seen in the reference as a value of 'manufacturer': 'NEWCOMER'" in told


def test_a_patient_counts_once_in_a_window_and_known_patients_not_at_all(library: Library) -> None:
    rng = np.random.default_rng(7)
    again = [film(rng, f"new-{n // 3}", FIRST) for n in range(90)]
    known = [film(rng, f"old-{n}", FIRST) for n in range(300)]
    arrive(library, [*again, *known])
    answer = asked(library, filter=SINCE)
    (window,) = answer.windows
    held_out = window.whole.patients - 30
    assert held_out == answer.held_out, "patients that were held out may come again"
    note = f"{300 - held_out} items are of patients that it was fitted on"
    assert any(note in each for each in answer.notes)


def test_clusters_of_a_run_are_compared_too(library: Library) -> None:
    with reading(library.engine) as db:
        ids = np.array(db.execute(select(Item.id).order_by(Item.id)).scalars().all(), np.int64)
    draft = RunDraft(
        name="halves",
        method="by hand",
        parameters={},
        seed=0,
        filter="",
        ids=ids,
        labels=np.arange(len(ids)) % 2,
        confidence=np.ones(len(ids), np.float32),
        clusters=(NamedCluster(0, 300, "even", "", {}), NamedCluster(1, 300, "odd", "", {})),
        notes=(),
        curves={},
        seconds=0.0,
    )
    with library.writing():
        save_run(library, library.spaces()[0], draft)
    arrive(library, weeks(8, count=1))
    answer = asked(library, run="halves")
    report = answer.windows[0].whole.report
    assert report is not None
    cluster = next(each for each in report.columns if each.field == "cluster")
    assert {share.value for share in cluster.shares} == {"0 even", "1 odd"}


def refused(library: Library, error: type[SyntopyError], match: str, **said: object) -> None:
    with pytest.raises(error, match=match):
        asked(library, **said)


def test_what_cannot_be_compared_is_refused_with_what_to_do(library: Library) -> None:
    refused(library, QueryError, "part of the reference 'chest'.*name what arrived later")
    arrive(library, weeks(9, count=1))
    refused(library, QueryError, "no item with a vector passes", filter="body_part=KNEE")
    refused(library, FilterError, "body_part", filter="body_part==")
    refused(library, QueryError, "there is no reference 'hand'", reference="hand")
    refused(library, QueryError, "'weather' is no grouping", by="weather")
    refused(library, QueryError, "nothing is known of 'label:site'", by="label:site")
    refused(library, QueryError, "there is no clustering 'none'", run="none")
    refused(library, QueryError, "1 day or more", days=0)
    refused(library, QueryError, "1 study or more", studies=-1)
    refused(library, QueryError, "1 window or more", most=0)
    refused(library, QueryError, "alpha lies between 0 and 1", alpha=0.0)
    refused(library, QueryError, "can be judged: .* needs 10,000", alarm=0.001)
    old = select(Series.study_id).join(Item).where(Item.id <= 590)
    with library.writing(), transaction(library.engine) as db:
        db.execute(delete(Study).where(Study.id.in_(old)))
    refused(library, ReferenceSetError, "20 are needed: fit one of more studies")
