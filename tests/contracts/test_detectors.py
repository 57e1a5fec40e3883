"""What every out-of-distribution detector promises (`ood.contract`)."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from mixtures import mixture

from indexer.errors import ConfigError, ReferenceSetError, VectorError
from ood.contract import Detector
from ood.registry import DETECTORS, Recipe, detector_names

DRAWN, _ = mixture((200, 150, 100), seed=4)
ROWS, INSIDE = DRAWN[:350], DRAWN[350:]
RANDOM = np.random.default_rng(5).standard_normal((40, ROWS.shape[1])).astype(np.float32)
OUTSIDE = RANDOM / np.linalg.norm(RANDOM, axis=1, keepdims=True)
SEES_FAR = [(name, "") for name in DETECTORS] + [("knn", "pca:16")]
# UMAP lays what is far from all among the reference.
WAYS = [*SEES_FAR, ("knn", "umap:4")]


@pytest.fixture(params=WAYS, ids=lambda way: " after ".join(filter(None, way)))
def way(request: pytest.FixtureRequest) -> tuple[str, str]:
    if request.param[1].startswith("umap"):
        pytest.importorskip("umap", reason="needs the extra 'clusters'")
    name, reduction = request.param
    return name, reduction


@pytest.fixture
def detector(way: tuple[str, str]) -> Detector:
    return Recipe(way[0], reduction=way[1]).make()


@pytest.mark.parametrize("way", SEES_FAR, ids=" after ".join, indirect=True)
def test_what_the_reference_has_not_scores_higher(detector: Detector) -> None:
    fitted = detector.fit(ROWS)
    inside, outside = fitted.score(INSIDE), fitted.score(OUTSIDE)
    assert inside.dtype == np.float32 and inside.shape == (len(INSIDE),)
    assert np.median(outside) > np.quantile(inside, 0.95)


def test_a_score_does_not_depend_on_its_neighbours_in_the_batch(detector: Detector) -> None:
    fitted = detector.fit(ROWS)
    alone = np.concatenate([fitted.score(row[None]) for row in OUTSIDE[:5]])
    np.testing.assert_allclose(fitted.score(OUTSIDE)[:5], alone, rtol=1e-4)


def test_the_same_seed_gives_the_same_scores(detector: Detector) -> None:
    first, second = (detector.fit(ROWS, seed=3).score(OUTSIDE) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_a_state_goes_through_a_file_and_scores_alike(
    detector: Detector, way: tuple[str, str]
) -> None:
    fitted = detector.fit(ROWS)
    file = io.BytesIO()
    np.savez(file, **fitted.state())
    file.seek(0)
    with np.load(file, allow_pickle=False) as state:
        again = Recipe(way[0], reduction=way[1]).rebuilt(dict(state))
    np.testing.assert_array_equal(again.score(OUTSIDE), fitted.score(OUTSIDE))
    assert again.notes == fitted.notes


def test_a_memory_map_of_halves_is_read_and_left_as_it_is(
    detector: Detector, tmp_path: Path
) -> None:
    ROWS.astype(np.float16).tofile(tmp_path / "rows.f16")
    halves = np.memmap(tmp_path / "rows.f16", np.float16, "r", shape=ROWS.shape)
    before = (tmp_path / "rows.f16").read_bytes()
    fitted = detector.fit(halves)
    assert np.isfinite(fitted.score(halves)).all()
    assert (tmp_path / "rows.f16").read_bytes() == before


def test_nothing_is_learned_of_one_row_or_of_copies(detector: Detector) -> None:
    for rows in (ROWS[:0], ROWS[:1]):
        with pytest.raises(ReferenceSetError, match="two vectors or more"):
            detector.fit(rows)
    with pytest.raises(ReferenceSetError, match="all vectors of the reference are equal"):
        detector.fit(np.repeat(ROWS[:1], 30, axis=0))


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_rows_that_are_no_embeddings_are_named(detector: Detector, value: float) -> None:
    wrong = ROWS.copy()
    wrong[7] = value
    with pytest.raises(VectorError, match="vector 7 "):
        detector.fit(wrong)
    with pytest.raises(VectorError, match="vector 7 "):
        detector.fit(ROWS).score(wrong)


def test_a_reference_of_another_space_is_refused(detector: Detector) -> None:
    with pytest.raises(VectorError, match="fitted in another space"):
        detector.fit(ROWS).score(ROWS[:, :-1])


def test_what_is_not_fitted_does_not_score(detector: Detector) -> None:
    with pytest.raises(ReferenceSetError, match="not fitted"):
        detector.score(ROWS)


def test_a_state_without_an_array_is_refused(way: tuple[str, str], detector: Detector) -> None:
    state = dict(detector.fit(ROWS).state())
    gone = next(name for name in state if not name.endswith("told"))
    del state[gone]
    with pytest.raises(ReferenceSetError, match="is missing"):
        Recipe(way[0], reduction=way[1]).rebuilt(state)


def test_a_name_or_parameter_that_is_not_there_is_told() -> None:
    assert set(detector_names()) >= set(DETECTORS)
    with pytest.raises(ConfigError, match="there are: knn, mahalanobis, quality, residual"):
        Recipe("energy").make()
    with pytest.raises(ConfigError, match="it has: k, normalise, exact"):
        Recipe("knn", {"metric": "cosine"}).make()
    with pytest.raises(ConfigError, match="parameter 'k'"):
        Recipe("knn", {"k": "many"}).make()
    with pytest.raises(ConfigError, match="write pca:64"):
        Recipe("knn", reduction="tsne:2").make()
