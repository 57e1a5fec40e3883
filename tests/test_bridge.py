"""Words to images: fitted on a library's own reports, measured on patients it has not seen."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from cohort_library import Indexed
from sqlalchemy import select
from typer.testing import CliRunner

from api.cli.main import app
from api.service import bridge as service
from api.service import library as pruning
from api.service import search as searching
from api.service.options import read_options
from indexer.catalog.database import reading
from indexer.catalog.tables import EmbeddingRow, Item, Report, Series
from indexer.config import Settings
from indexer.errors import ConfigError, QueryError
from indexer.library import Library
from indexer.searching.asking import SearchRequest, like
from indexer.texts.bridge import Bridge
from indexer.texts.bridges import load_bridge
from indexer.texts.fitting import fit_bridge
from indexer.types import Embeddings

FINDINGS = ("effusion", "nodule", "fracture", "oedema", "emphysema", "cardiomegaly")


def pairs(n: int, seed: int = 0, noise: float = 0.3) -> tuple[list[str], Embeddings, list[str]]:
    """Reports of two findings each, vectors that are the sum of their findings' directions."""
    rng = np.random.default_rng(seed)
    directions = np.random.default_rng(7).normal(0, 1, (len(FINDINGS), 32))
    texts, rows = [], []
    for _ in range(n):
        first, second = rng.choice(len(FINDINGS), 2, replace=False)
        texts.append(f"There is {FINDINGS[first]} and some {FINDINGS[second]}.")
        rows.append(directions[first] + directions[second] + rng.normal(0, noise, 32))
    vectors = np.array(rows, np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return texts, vectors, [f"patient {i // 2}" for i in range(n)]


def test_a_word_lies_where_its_images_lie() -> None:
    texts, vectors, patients = pairs(200)
    bridge = fit_bridge(texts, vectors, patients)
    for word in FINDINGS:
        order = np.argsort(-(vectors @ bridge.embed([f"large {word}"])[0]))
        with_word = sum(word in texts[i] for i in order[:20])
        assert with_word >= 18, word
    rows = bridge.embed(["effusion", "nodule and fracture"])
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)


def test_its_quality_is_measured_on_other_patients_than_it_was_fitted_on() -> None:
    texts, vectors, patients = pairs(200, noise=0.1)
    good = fit_bridge(texts, vectors, patients).quality
    assert good.hit_rate_at_10 > 0.9 > 0.3 > good.chance_at_10
    assert good.hit_rate_at_1 <= good.hit_rate_at_5 <= good.hit_rate_at_10
    assert (good.pairs, good.patients) == (200, 100)
    shuffled = np.random.default_rng(3).permutation(len(vectors))
    bad = fit_bridge(texts, vectors[shuffled], patients).quality
    for rate in (bad.hit_rate_at_10, bad.report_hit_rate_at_10):
        assert rate == pytest.approx(bad.chance_at_10, abs=0.12)


def test_no_patient_is_fitted_on_and_measured_with() -> None:
    """Each patient has a word and a direction of his own: known from his other reports only."""
    rng = np.random.default_rng(0)
    own = np.repeat(rng.normal(0, 1, (40, 32)), 5, axis=0)
    vectors = (own + rng.normal(0, 0.2, own.shape)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    words = [f"mark{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(40)]
    texts, patients = [words[i // 5] for i in range(200)], [f"patient {i // 5}" for i in range(200)]
    quality = fit_bridge(texts, vectors, patients).quality
    assert quality.hit_rate_at_10 == quality.report_hit_rate_at_10 == 0
    leaked = fit_bridge(texts, vectors, [str(i) for i in range(200)]).quality
    # Not nearer to 1, as a word of which a fold leaves fewer than three reports is not known.
    assert leaked.hit_rate_at_10 > 0.75


def test_images_find_their_reports_too() -> None:
    texts, vectors, patients = pairs(200, noise=0.1)
    quality = fit_bridge(texts, vectors, patients).quality
    assert quality.report_hit_rate_at_10 > 0.9
    assert (
        quality.report_hit_rate_at_1
        <= quality.report_hit_rate_at_5
        <= quality.report_hit_rate_at_10
    )


def test_of_reports_that_say_the_same_the_own_one_counts_last() -> None:
    """Of fifteen pairs of findings most occur more than once among forty: no hits at one."""
    texts, vectors, patients = pairs(200, noise=0.01)
    quality = fit_bridge(texts, vectors, patients).quality
    assert quality.report_hit_rate_at_1 < 0.2
    assert quality.report_hit_rate_at_10 > 0.95


def test_reports_that_are_all_alike_find_nothing() -> None:
    _, vectors, patients = pairs(100)
    quality = fit_bridge(
        ["chest film"] * 60 + ["chest film normal"] * 40, vectors, patients
    ).quality
    assert quality.hit_rate_at_1 < 0.2


def test_the_same_pairs_give_the_same_bridge_and_a_file_gives_it_back(tmp_path: Path) -> None:
    texts, vectors, patients = pairs(80)
    bridge, again = (fit_bridge(texts, vectors, patients) for _ in range(2))
    bridge.save(tmp_path / "bridge.npz")
    stored = Bridge.load(tmp_path / "bridge.npz")
    assert stored.quality == bridge.quality == again.quality
    for other in (again, stored):
        np.testing.assert_array_equal(other.embed(["some oedema"]), bridge.embed(["some oedema"]))


def test_words_of_few_reports_are_not_kept_as_they_may_be_names(tmp_path: Path) -> None:
    texts, vectors, patients = pairs(80)
    texts[3] += " Seen by Dr Zwiebelfisch on 12345678."
    bridge = fit_bridge(texts, vectors, patients)
    assert bridge.embed(["effusion"]).any()
    for name in ("Zwiebelfisch", "12345678"):
        with pytest.raises(QueryError, match=f"no word of '{name}'"):
            bridge.embed([name])
    bridge.save(tmp_path / "bridge.npz")
    with np.load(tmp_path / "bridge.npz") as stored:
        words = str(stored["vocabulary"]).split()
    assert "effusion" in words
    assert not {"zwiebelfisch", "12345678"} & set(words)


def test_too_few_pairs_and_unknown_words_are_refused() -> None:
    texts, vectors, patients = pairs(80)
    with pytest.raises(QueryError, match="30 pairs of report and image of 15 patients"):
        fit_bridge(texts[:30], vectors[:30], patients[:30])
    with pytest.raises(QueryError, match="of 1 patients"):
        fit_bridge(texts, vectors, ["one"] * 80)
    with pytest.raises(QueryError, match="no words in common"):
        fit_bridge([f"word{i}" for i in range(80)], vectors, patients)
    with pytest.raises(QueryError, match="no word of 'xyzzy'"):
        fit_bridge(texts, vectors, patients).embed(["xyzzy"])


@pytest.fixture
def bridged(copy: Library) -> Library:
    """The library with a bridge; its forty reports are each given twice, as forty are too few."""
    space = copy.spaces()[0]
    with reading(copy.engine) as db:
        rows = db.execute(
            select(Report.text, EmbeddingRow.vector, Report.study_id)
            .join(Series, Series.study_id == Report.study_id)
            .join(Item)
            .join(EmbeddingRow, EmbeddingRow.item_id == Item.id)
            .where(Item.role == "primary")
        ).all()
    vectors = np.stack([np.frombuffer(row.vector, "<f2") for row in rows]).astype(np.float32)
    texts, owners = [row.text for row in rows], [str(row.study_id) for row in rows]
    bridge = fit_bridge(texts * 2, np.concatenate([vectors] * 2), owners * 2)
    (copy.path / "bridges").mkdir()
    bridge.save(copy.path / "bridges" / f"space-{space.id}-0001.npz")
    return copy


def test_a_library_is_asked_in_words(bridged: Library) -> None:
    for words, modalities in (("chest radiograph", {"CR", "DX"}), ("brain MR", {"MR"})):
        answer = searching.search(bridged, SearchRequest(like(text=words), k=3), Settings())
        assert {hit.modality for hit in answer.hits} <= modalities, words
        assert any("words by a bridge fitted on" in note for note in answer.notes)
        assert answer.queries[0].description == words


def test_words_that_no_report_knows_are_said(bridged: Library) -> None:
    answer = searching.search(bridged, SearchRequest(like(text="chest xyzzy"), k=1), Settings())
    assert any("not known from the reports: xyzzy" in note for note in answer.notes)
    long = SearchRequest(like(text="chest radiograph " + "nonsense " * 1_111), k=1)
    assert len(long.examples[0].text) > 10_000
    assert len(searching.search(bridged, long, Settings()).hits) == 1
    with pytest.raises(QueryError, match="no word of 'xyzzy'"):
        searching.search(bridged, SearchRequest(like(text="xyzzy")), Settings())


def test_the_command_asks_in_words_too(bridged: Library, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    call = ["search", "--text", "chest radiograph", "--library", str(bridged.path), "--k", "2"]
    said = json.loads(CliRunner().invoke(app, [*call, "--json"]).stdout)
    assert len(said["hits"]) == 2
    assert "chest radiograph" in CliRunner().invoke(app, [*call, "--sheet", str(sheet)]).stdout
    assert sheet.is_file()


def test_without_a_bridge_or_with_too_few_reports_it_is_said(copy: Library) -> None:
    with pytest.raises(QueryError, match="syntopy bridge fit"):
        searching.search(copy, SearchRequest(like(text="effusion"), keywords=""), Settings())
    with pytest.raises(QueryError, match="a bridge needs 60 pairs"):
        service.fit(copy, service.FitRequest(labels=False), Settings(models=copy.path))
    with pytest.raises(ConfigError, match="no space of 'rad-dino'; it has: texture"):
        service.fit(copy, service.FitRequest(("rad-dino",)), Settings())


def test_a_damaged_bridge_is_named(bridged: Library) -> None:
    path = next((bridged.path / "bridges").iterdir())
    path.write_bytes(path.read_bytes()[:100])
    options = read_options(bridged, Settings())
    with pytest.raises(ConfigError, match="fit it again"):
        load_bridge(bridged, bridged.spaces()[0], options)
    with pytest.raises(ConfigError, match="fit it again"):
        searching.search(bridged, SearchRequest(like(text="chest")), Settings())


def test_what_is_removed_is_forgotten_by_the_bridge_too(bridged: Library, indexed: Indexed) -> None:
    pruning.remove(bridged, "study", indexed.plan[0].study_instance_uid, actor="test")
    options = read_options(bridged, Settings())
    assert load_bridge(bridged, bridged.spaces()[0], options) is None
    assert not list((bridged.path / "bridges").iterdir())


def test_between_penalties_that_differ_by_less_than_chance_the_strongest_is_taken() -> None:
    """Texts that say little of images: no penalty is better than another for certain."""
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(200, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    words = ("heart", "lung", "clear", "large", "small", "left", "right", "fluid")
    texts = [" ".join(rng.choice(words, 4)) for _ in range(200)]
    for seed in range(5):
        patients = [f"patient {(number * 7 + seed) % 200}" for number in range(200)]
        assert fit_bridge(texts, vectors, patients, seed=seed).quality.penalty == 100.0
