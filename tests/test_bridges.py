"""The bridges of a library: what they are fitted on, and which of them is in use."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from served_library import own_copy
from sqlalchemy import select
from told_library import make_told, plan
from typer.testing import CliRunner

from api.cli.main import app
from api.service import bridge as service
from api.service import library as describing
from api.service import search as searching
from api.service.options import read_options
from indexer.catalog.database import reading, transaction
from indexer.catalog.tables import Item, Label, Report, Series, Study
from indexer.config import Settings
from indexer.errors import ConfigError, QueryError
from indexer.library import Library
from indexer.searching.asking import SearchRequest, like
from indexer.texts.bridges import bridge_versions, load_bridge, make_bridge
from indexer.texts.pairs import label_words, read_pairs

STUDIES = 96


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_told(tmp_path_factory.mktemp("told"), STUDIES)


@pytest.fixture
def library(told: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Library]:
    monkeypatch.setenv("SYNTOPY_MODELS", str(tmp_path / "models"))
    with Library.open(own_copy(told, tmp_path)) as opened:
        yield opened


def fit(library: Library, **request: Any) -> service.FittedBridge:
    settings = Settings()
    (fitted,) = service.fit(library, service.FitRequest(**request), settings)
    return fitted


def command(library: Library, *arguments: object, code: int = 0) -> dict[str, Any]:
    call = ["bridge", *map(str, arguments), "--library", str(library.path), "--json"]
    result = CliRunner().invoke(app, call)
    assert result.exit_code == code, result.output
    found = json.loads(result.stdout)
    assert isinstance(found, dict)
    return found


# -- what they are fitted on -----------------------------------------------------------------------


def test_labels_are_words_beside_reports_and_without(library: Library) -> None:
    pairs = read_pairs(library, library.spaces()[0])
    assert len(pairs.texts) == len(pairs.vectors) == pairs.with_labels == STUDIES
    lines = {told.lines for told in plan(STUDIES)}
    assert lines == {"lying", "standing"}
    for text in pairs.texts:
        assert text.endswith(
            ("finding: lying lines.\nview: PA.", "finding: standing lines.\nview: PA.")
        )
    with_report = [text for text in pairs.texts if "No other abnormality." in text]
    assert len(with_report) == sum(bool(told.report) for told in plan(STUDIES)) == 64
    assert len(set(pairs.patients)) == STUDIES // 2
    np.testing.assert_allclose(np.linalg.norm(pairs.vectors, axis=1), 1, atol=1e-5)
    assert label_words("finding_x", ["a b", "c\nd"]) == "finding x: a b, c d."


def test_without_labels_only_studies_with_a_report_take_part(library: Library) -> None:
    pairs = read_pairs(library, library.spaces()[0], labels=False)
    assert (len(pairs.texts), pairs.with_labels) == (64, 0)
    assert all(text.endswith("No other abnormality.") for text in pairs.texts)
    assert fit(library, labels=False).about.quality.pairs == 64
    assert fit(library).about.with_labels == STUDIES


def test_labels_alone_carry_a_bridge(library: Library) -> None:
    with transaction(library.engine) as db:
        db.execute(Report.__table__.delete())
    fitted = fit(library)
    assert fitted.about.quality.pairs == STUDIES
    answer = searching.search(library, SearchRequest(like(text="standing lines"), k=10), Settings())
    assert {hit.labels["finding"] for hit in answer.hits} == {("standing_lines",)}
    with pytest.raises(QueryError, match="0 pairs of report and image"):
        fit(library, labels=False)


def test_all_reports_of_a_study_and_the_labels_of_its_item_count(library: Library) -> None:
    with transaction(library.engine) as db:
        study = db.execute(select(Study.id).where(Study.id.in_(select(Report.study_id)))).scalar()
        db.execute(
            Report.__table__.insert().values(
                study_id=study, source="second", text="Addendum: as before."
            )
        )
        db.execute(
            Label.__table__.insert().values(study_id=study, item_id=None, name="grade", value="two")
        )
        item = db.execute(select(Item.id).join(Series).where(Series.study_id == study)).scalar()
        db.execute(
            Label.__table__.insert().values(study_id=study, item_id=item, name="side", value="one")
        )
    pairs = read_pairs(library, library.spaces()[0])
    assert len(pairs.texts) == STUDIES, "a study is one pair, however many reports it has"
    (text,) = [text for text in pairs.texts if "grade: two." in text]
    assert "side: one." in text
    assert text.index("No other abnormality.") < text.index("Addendum") < text.index("finding:")


def test_words_find_what_they_name(library: Library) -> None:
    quality = fit(library).about.quality
    assert quality.hit_rate_at_10 > quality.chance_at_10 + 0.2
    assert quality.report_hit_rate_at_10 > quality.chance_at_10 + 0.2
    for words in ("lying", "standing"):
        answer = searching.search(library, SearchRequest(like(text=words), k=10), Settings())
        assert {hit.labels["finding"] for hit in answer.hits} == {(f"{words}_lines",)}


def test_too_few_pairs_are_refused(tmp_path: Path) -> None:
    with Library.open(make_told(tmp_path, 20)) as few:
        with pytest.raises(QueryError, match="of 10 patients; a bridge needs 60 pairs"):
            service.fit(few, service.FitRequest(features="tfidf"), Settings())
        assert bridge_versions(few) == []


# -- versions --------------------------------------------------------------------------------------


def test_older_versions_are_kept_and_the_newest_is_in_use(library: Library) -> None:
    first, second = fit(library, labels=False), fit(library)
    assert (first.version, second.version) == (1, 2)
    found = bridge_versions(library)
    assert [(one.version, one.in_use) for one in found] == [(1, False), (2, True)]
    assert [one.about for one in found] == [first.about, second.about]
    space, options = library.spaces()[0], read_options(library, Settings())
    service.use(library, 1)
    used = load_bridge(library, space, options)
    assert used is not None
    assert used.quality == first.about.quality
    assert service.remove(library, 1) == ("texture", 2), "the newest that is left is in use"
    assert service.remove(library, 2) == ("texture", 0)
    assert load_bridge(library, space, options) is None
    assert fit(library).version == 3, "a number is not given twice"


def test_versions_by_the_command(library: Library) -> None:
    for _ in range(2):
        (made,) = command(library, "fit", "--features", "tfidf")["bridges"]
    assert made["version"] == 2
    assert made["why"] == "as asked for"
    listed = command(library, "list")["bridges"]
    assert [(one["version"], one["in_use"]) for one in listed] == [(1, False), (2, True)]
    assert command(library, "show", 1)["about"] == listed[0]["about"]
    assert {"hit_rate_at_10", "report_hit_rate_at_10"} <= listed[0]["about"]["quality"].keys()
    assert command(library, "use", 1, "--encoder", "texture") == {"encoder": "texture", "in_use": 1}
    (said,) = describing.info(library).bridges
    assert (said["encoder"], said["version"], said["features"]) == ("texture", 1, "tfidf")
    assert command(library, "remove", 1)["in_use"] == 2
    for words in ("list", "show 2", "use 2", "fit --no-labels", "remove 2"):
        call = ["bridge", *words.split(), "--library", str(library.path)]
        result = CliRunner().invoke(app, call)
        assert result.exit_code == 0, result.output
        assert "texture" in result.stdout


def test_versions_that_are_not_there_are_refused(library: Library) -> None:
    for call in (service.use, service.remove, service.show):
        with pytest.raises(ConfigError, match="no bridge; fit one"):
            call(library, 1)
    fit(library)
    for call in (service.use, service.remove):
        with pytest.raises(ConfigError, match="has no version 7; it has: 1"):
            call(library, 7)
    with pytest.raises(ConfigError, match="no space of 'ct-fm'"):
        service.use(library, 1, "ct-fm")
    (library.path / "bridges" / "space-1-0001.npz").unlink()
    with pytest.raises(ConfigError, match="version 1 of the bridge for 'texture' is gone"):
        searching.search(library, SearchRequest(like(text="lying")), Settings())


def test_a_damaged_version_is_listed_and_can_be_removed(library: Library) -> None:
    fit(library)
    fit(library)
    path = library.path / "bridges" / "space-1-0002.npz"
    path.write_bytes(path.read_bytes()[:200])
    assert [one.about is None for one in bridge_versions(library)] == [False, True]
    assert describing.info(library).bridges[0]["features"] == "damaged"
    assert "damaged" in CliRunner().invoke(app, ["bridge", "list", "-L", str(library.path)]).stdout
    with pytest.raises(ConfigError, match="damaged"):
        service.use(library, 2)
    assert service.remove(library, 2) == ("texture", 1)
    assert searching.search(library, SearchRequest(like(text="lying"), k=1), Settings()).hits


def test_a_bridge_of_another_format_is_to_be_fitted_again(library: Library) -> None:
    fit(library)
    path = library.path / "bridges" / "space-1-0001.npz"
    with np.load(path) as stored:
        arrays = dict(stored)
    about = json.loads(str(arrays.pop("about"))) | {"format": 1}
    np.savez(path, about=np.array(json.dumps(about)), **arrays)
    with pytest.raises(ConfigError, match="of another version of Syntopy; fit it again"):
        searching.search(library, SearchRequest(like(text="lying")), Settings())


def test_what_is_taken_out_meanwhile_is_not_in_a_bridge(library: Library) -> None:
    stale = library.spaces()[0]
    with reading(library.engine) as db:
        uid = db.execute(select(Study.study_instance_uid).limit(1)).scalar_one()
    describing.remove(library, "study", uid, actor="test")
    with pytest.raises(QueryError, match="removed from the library while"):
        make_bridge(library, stale)
    assert bridge_versions(library) == []
