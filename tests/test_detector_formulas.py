"""Each detector against scikit-learn or its formula; what its parameters change."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mixtures import mixture

from indexer.errors import ReferenceSetError
from ood.knn import Knn
from ood.mahalanobis import Mahalanobis
from ood.reduce import Pca, pooled
from ood.registry import Recipe
from ood.residual import Residual

covariance = pytest.importorskip("sklearn.covariance", reason="needs the extra 'clusters'")
decomposition = pytest.importorskip("sklearn.decomposition", reason="needs the extra 'clusters'")
neighbors = pytest.importorskip("sklearn.neighbors", reason="needs the extra 'clusters'")

DRAWN, GROUPS = mixture((400, 300, 200), dim=24, spread=0.5, seed=8)
ROWS, NEW = DRAWN[:700], DRAWN[700:]
CLASSES = GROUPS[:700]
LONG = ROWS * np.random.default_rng(1).uniform(1, 9, (len(ROWS), 1)).astype(np.float32)


@given(k=st.integers(1, 60), seed=st.integers(0, 5))
@settings(max_examples=25)
def test_knn_is_the_distance_that_scikit_learn_finds(k: int, seed: int) -> None:
    reference = np.random.default_rng(seed).permutation(LONG)[:120]
    known = neighbors.NearestNeighbors(n_neighbors=k, algorithm="brute").fit(reference)
    expected = known.kneighbors(NEW.astype(np.float64))[0][:, -1]
    found = Knn(k=k, normalise=False).fit(reference).score(NEW)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_row_of_the_reference_is_at_no_distance_from_it() -> None:
    assert Knn(k=1).fit(ROWS).score(ROWS).max() == 0


def test_lists_hold_nearly_all_that_is_near_and_never_score_too_low() -> None:
    drawn, _ = mixture(tuple([400] * 20), dim=24, spread=0.5, seed=8)
    rows, new = drawn[:7600], drawn[7600:]
    exact = Knn(exact=True).fit(rows)
    lists = Knn().fit(rows)
    assert len(lists.array("centres")) > 100
    assert int(lists.array("probes")) < len(lists.array("centres")) / 2
    expected, found = exact.score(new), lists.score(new)
    assert (found >= expected - 1e-6).all()
    assert (found <= expected + 1e-6).mean() > 0.9
    alone = np.concatenate([lists.score(row[None]) for row in new[:50]])
    np.testing.assert_allclose(alone, found[:50], rtol=1e-5)


def test_fewer_rows_than_k_are_told() -> None:
    fitted = Knn(k=9).fit(ROWS[:4])
    assert fitted.notes == ("the reference has 4 vectors: the last counts as number 9",)
    farthest = np.linalg.norm(NEW[:, None] - ROWS[:4], axis=2).max(axis=1)
    np.testing.assert_allclose(fitted.score(NEW), farthest, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "estimator"),
    [("empirical", "EmpiricalCovariance"), ("ledoit-wolf", "LedoitWolf"), ("oas", "OAS")],
)
def test_distances_of_one_class_are_those_of_scikit_learn(name: str, estimator: str) -> None:
    known = getattr(covariance, estimator)().fit(LONG.astype(np.float64))
    made = Recipe("mahalanobis", {"normalise": False, "covariance": name}).make().fit(LONG)
    np.testing.assert_allclose(made.score(NEW), known.mahalanobis(NEW), rtol=1e-3)


def test_with_classes_the_nearest_counts_and_the_covariance_is_tied() -> None:
    middles = np.stack([ROWS[each == CLASSES].mean(axis=0) for each in range(3)])
    about = (ROWS - middles[CLASSES]).astype(np.float64)
    inverse = np.linalg.inv(about.T @ about / len(about))
    away = [np.einsum("ij,jk,ik->i", NEW - middle, inverse, NEW - middle) for middle in middles]
    found = Mahalanobis(normalise=False).fit(ROWS, CLASSES).score(NEW)
    np.testing.assert_allclose(found, np.min(away, axis=0), rtol=1e-3)


def test_the_relative_distance_is_less_that_to_all() -> None:
    told = Mahalanobis(relative=True).fit(ROWS, CLASSES).score(NEW)
    classes = Mahalanobis().fit(ROWS, CLASSES).score(NEW)
    together = Mahalanobis().fit(ROWS).score(NEW)
    np.testing.assert_allclose(told, classes - together, rtol=1e-3, atol=1e-3)
    with pytest.raises(ReferenceSetError, match="needs two real classes"):
        Mahalanobis(relative=True).fit(ROWS)


def test_too_few_rows_or_a_constant_number_are_shrunk_and_it_is_said() -> None:
    few = Mahalanobis().fit(ROWS[:20])
    assert few.notes[0].startswith("the covariance is singular: it was shrunk by 0.")
    assert np.isfinite(few.score(NEW)).all()
    constant = ROWS.copy()
    constant[:, 3] = 0.5
    fitted = Mahalanobis(normalise=False).fit(constant)
    assert fitted.notes[0].startswith("the covariance is singular")
    with pytest.raises(ReferenceSetError, match="singular: take covariance=ledoit-wolf"):
        Mahalanobis(normalise=False, covariance="empirical").fit(constant)
    assert not Mahalanobis().fit(ROWS[:600]).notes, "enough rows are taken as they are"


def test_residual_is_what_principal_components_leave_out() -> None:
    known = decomposition.PCA(n_components=6).fit(LONG.astype(np.float64))
    left = NEW - known.inverse_transform(known.transform(NEW.astype(np.float64)))
    found = Residual(dimensions=6, normalise=False).fit(LONG).score(NEW)
    np.testing.assert_allclose(found, np.linalg.norm(left, axis=1), rtol=1e-3)


def test_a_principal_space_of_more_than_the_rows_span_is_told() -> None:
    fitted = Residual(dimensions=12).fit(ROWS[:8])
    assert "has 6 dimensions, not 12: 8 vectors of length 24 span 7" in fitted.notes[0]


def test_principal_components_keep_what_rows_differ_in_most() -> None:
    reduced = Pca(dimensions=5).fit(ROWS).apply(ROWS)
    assert reduced.shape == (len(ROWS), 5)
    spread = reduced.var(axis=0)
    assert (np.diff(spread) <= 1e-6).all()
    np.testing.assert_allclose(reduced.mean(axis=0), 0, atol=1e-5)


def test_pooling_averages_squares_of_the_map() -> None:
    maps = np.random.default_rng(2).standard_normal((3, 5, 4, 6)).astype(np.float32)
    made = pooled(maps, 3, 1)
    assert made.shape == (3, 3 * 2 * 6)
    np.testing.assert_allclose(made[1, :6], maps[1, :3, :3].mean(axis=(0, 1)), rtol=1e-5)
    with pytest.raises(ReferenceSetError, match="no square of 7"):
        pooled(maps, 7, 1)
