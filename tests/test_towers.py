"""Texts read by an encoder's text tower: each once, long ones by sentences, kept without words."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from served_library import own_copy
from tiny_models import MEDIMAGEINSIGHT, shared_models
from told_library import make_told, plan

from api.service import bridge as service
from api.service import encoders as encoding
from api.service import library as pruning
from api.service import models as modelling
from api.service import search as searching
from indexer.config import Settings
from indexer.encoders.contract import EncoderContext
from indexer.errors import ConfigError, QueryError, WeightsError
from indexer.library import Library
from indexer.registry import make_encoder
from indexer.searching.asking import SearchRequest, like
from indexer.texts.features import TowerFeatures, sentences
from indexer.texts.fitting import fit_bridge
from indexer.texts.towers import TextTower, open_tower

LONG = (
    "The left lung shows a round opacity. No effusion is seen on either side. The heart is of "
    "normal size."
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shared_models(tmp_path_factory)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_told(tmp_path_factory.mktemp("told"))


@pytest.fixture
def library(told: Path, tmp_path: Path) -> Iterator[Library]:
    with Library.open(own_copy(told, tmp_path)) as opened:
        yield opened


def tower_of(
    library: Library, models: Path, heard: list[tuple[int, int]] | None = None
) -> TextTower:
    context = EncoderContext("medimageinsight", models, "cpu")
    return open_tower(library, context, lambda *said: (heard or []).append(said))


def kept(library: Library) -> list[Path]:
    return list(library.index_folder.glob("words-*"))


# -- reading ---------------------------------------------------------------------------------------


def test_a_text_ends_its_sentences_with_stops_and_lines() -> None:
    assert sentences("Heart 3.2 cm.  No\teffusion!\nImpression:\n1. Normal; clear.\n\n") == [
        "Heart 3.2 cm.",
        "No effusion!",
        "Impression:",
        "Normal;",
        "clear.",
    ]
    assert sentences(" \n 1. \n") == []


def test_rows_are_those_of_the_tower_at_unit_length(library: Library, models: Path) -> None:
    tower = tower_of(library, models)
    encoder = make_encoder(EncoderContext("medimageinsight", models, "cpu"))
    expected = encoder.embed_text(["lung", "chest ray"])  # type: ignore[attr-defined]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(tower.rows(["lung", "chest ray"]), expected, atol=2e-3)
    assert tower.rows([]).shape == (0, encoder.spec.dim)


def test_a_text_beyond_the_limit_is_the_mean_of_its_sentences(
    library: Library, models: Path
) -> None:
    tower = tower_of(library, models)
    parts = sentences(LONG)
    assert len(parts) == 3
    mean = tower.rows(parts).mean(axis=0)
    np.testing.assert_allclose(tower.rows([LONG])[0], mean / np.linalg.norm(mean), atol=2e-3)
    note = tower.note(LONG)
    assert "more than the tower's 77: the mean of 3 sentences" in note
    assert "cut" not in note
    assert tower.note("lung") == ""
    one = "lung " * 2_000
    assert "the first 77 count" in tower.note(one)
    assert "mean of 2 sentences, 1 of them cut" in tower.note(f"{one}. Heart is normal.")
    assert tower.rows([one]).any()


# -- keeping ---------------------------------------------------------------------------------------


def test_a_text_is_embedded_once_and_kept_without_its_words(library: Library, models: Path) -> None:
    heard: list[tuple[int, int]] = [(0, 0)]
    tower = tower_of(library, models, heard)
    rows = tower.rows(["lung", LONG, "lung"])
    assert heard[-1] == (4, 4), "one text and three sentences"
    tower.save()
    (file,) = kept(library)
    assert b"opacity" not in file.read_bytes()
    heard.clear()
    heard.append((0, 0))
    again = tower_of(library, models, heard)
    np.testing.assert_array_equal(again.rows(["lung", LONG, "lung"]), rows)
    assert heard == [(0, 0)], "nothing is embedded a second time"
    assert not again.has_new


def test_of_too_many_texts_those_asked_for_last_are_kept(
    library: Library, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexer.texts.towers.MOST_KEPT", 3)
    for texts in (["lung", "ray"], ["chest", "ray"]):
        tower = tower_of(library, models)
        tower.rows(texts)
        tower.save()
    heard: list[tuple[int, int]] = [(0, 0)]
    again = tower_of(library, models, heard)
    again.rows(["chest", "ray", "heart"])
    assert heard[-1] == (1, 1), "three fit"
    again.save()
    with np.load(kept(library)[0]) as stored:
        assert len(stored["keys"]) == 3, "the lung was not asked for"


def test_a_damaged_file_of_kept_rows_costs_time_only(library: Library, models: Path) -> None:
    tower = tower_of(library, models)
    rows = tower.rows(["lung", "ray"])
    tower.save()
    (file,) = kept(library)
    file.write_bytes(file.read_bytes()[:80])
    np.testing.assert_array_equal(tower_of(library, models).rows(["lung", "ray"]), rows)


def test_a_removal_forgets_what_was_kept(library: Library, models: Path) -> None:
    settings = Settings(models=models, device="cpu")
    service.fit(library, service.FitRequest(), settings)
    assert kept(library)
    study = searching.search(library, SearchRequest(like(text="lying lines"), k=1), settings).hits[
        0
    ]
    pruning.remove(library, "study", study.study_instance_uid, actor="test")
    assert not kept(library)


# -- a bridge by a tower ---------------------------------------------------------------------------


def test_what_is_linear_in_the_rows_of_a_tower_is_recovered(library: Library, models: Path) -> None:
    tower = tower_of(library, models)
    rng = np.random.default_rng(0)
    words = ("lung", "ray", "chest", "pneumonia", "heart", "left", "right", "clear")
    texts = [f"{' '.join(rng.choice(words, 5))} {number}." for number in range(150)]
    rows = tower.rows(texts)
    hidden = (rows - rows.mean(axis=0)) @ rng.normal(0, 1, (rows.shape[1], 24))
    vectors = hidden + rng.normal(0, 0.1 * hidden.std(), hidden.shape)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    patients = [f"patient {number // 2}" for number in range(150)]

    def learn(said: object, _seed: int) -> TowerFeatures:
        return TowerFeatures.learn(tower, said)  # type: ignore[arg-type]

    good = fit_bridge(texts, vectors, patients, learn=learn).quality
    assert min(good.hit_rate_at_1, good.report_hit_rate_at_1) > 0.9
    shuffled = rng.permutation(len(vectors))
    bad = fit_bridge(texts, vectors[shuffled], patients, learn=learn).quality
    assert bad.hit_rate_at_10 == pytest.approx(bad.chance_at_10, abs=0.12)
    with pytest.raises(QueryError, match="no words in common"):
        fit_bridge(["lung"] * 150, vectors, patients, learn=learn)


def test_a_space_without_words_is_asked_through_the_tower_of_another(
    library: Library, models: Path
) -> None:
    settings = Settings(models=models, device="cpu")
    (fitted,) = service.fit(library, service.FitRequest(), settings)
    assert fitted.about.features == "medimageinsight"
    assert fitted.why == "the library's encoders have no text tower, and this model is ready"
    assert fitted.about.quality.hit_rate_at_10 > fitted.about.quality.chance_at_10 + 0.2
    right = 0
    for report, lines in {told.report: told.lines for told in plan(96) if told.report}.items():
        answer = searching.search(library, SearchRequest(like(text=report), k=5), settings)
        right += sum(hit.labels["finding"] == (f"{lines}_lines",) for hit in answer.hits)
        assert any("(medimageinsight)" in note for note in answer.notes)
    # Of four reports; the folds go by pseudonyms, which differ from library to library.
    assert right >= 16
    long = searching.search(library, SearchRequest(like(text="lung ray. " * 1_000), k=1), settings)
    assert any("mean of 1000 sentences" in note for note in long.notes)


def test_other_weights_than_it_was_fitted_with_are_refused(
    library: Library, models: Path, tmp_path: Path
) -> None:
    service.fit(library, service.FitRequest(), Settings(models=models, device="cpu"))
    published = tmp_path / "published"
    shutil.copytree(models / "medimageinsight", published)
    state = load_file(published / MEDIMAGEINSIGHT)
    state["lang_projection"] = state["lang_projection"] * -1
    save_file(state, published / MEDIMAGEINSIGHT)
    changed = Settings(models=tmp_path / "changed", device="cpu")
    modelling.add(changed, "medimageinsight", published)
    asked = SearchRequest(like(text="lying lines"))
    with pytest.raises(
        ConfigError, match="has other weights than those that the bridge was fitted"
    ):
        searching.search(library, asked, changed)
    with pytest.raises(WeightsError, match="models pull medimageinsight"):
        searching.search(library, asked, Settings(models=tmp_path / "none"))


# -- which features --------------------------------------------------------------------------------


def test_auto_says_what_it_took_and_why(library: Library, models: Path, tmp_path: Path) -> None:
    states = {state.name: state for state in encoding.list_models(Settings(models=models))}
    none = {state.name: state for state in encoding.list_models(Settings(models=tmp_path / "no"))}
    assert service.choose_features(library, "auto", states)[0] == "medimageinsight"
    name, why = service.choose_features(library, "auto", none)
    assert (name, why) == (
        "tfidf",
        "neither the library's encoders nor 'medimageinsight' have a text tower ready",
    )
    assert service.choose_features(library, "tfidf", states) == ("tfidf", "as asked for")
    own = ("texture", "medimageinsight:mirror")
    with Library.create(tmp_path / "own", encoders=own) as both:
        name, why = service.choose_features(both, "auto", states)
        assert (name, why) == (own[1], "the text tower of one of the library's encoders")
    with pytest.raises(ConfigError, match="cannot be used: the weights of 'medimageinsight'"):
        service.choose_features(library, "medimageinsight", none)
    for wrong in ("texture", "nosuch"):
        with pytest.raises(ConfigError, match=f"text tower .*medimageinsight.*, not '{wrong}'"):
            service.choose_features(library, wrong, states)
