"""Quality of clusterings, against scikit-learn and by hand."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import (
    adjusted_rand_score,
    normalized_mutual_info_score,
    silhouette_score,
)
from small_graphs import blobs

from clustering.comparison import Match, compare
from clustering.contract import NOISE, Clustering
from clustering.quality import (
    against,
    confidence_of,
    sampled,
    silhouette,
    stability,
    subsample_stability,
)
from indexer.errors import QueryError

labelled = st.lists(st.tuples(st.integers(-1, 4), st.sampled_from("abc")), min_size=1, max_size=60)


def labels(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


@given(labelled)
def test_nmi_and_ari_are_those_of_scikit_learn(items: list[tuple[int, str]]) -> None:
    own, given_labels = labels(*(label for label, _ in items)), [name for _, name in items]
    found = against(own, given_labels)
    assert found.ari == pytest.approx(adjusted_rand_score(given_labels, own))
    assert found.nmi == pytest.approx(normalized_mutual_info_score(given_labels, own), abs=1e-9)


@given(labelled)
def test_the_names_of_clusters_do_not_matter(items: list[tuple[int, str]]) -> None:
    own, given_labels = labels(*(label for label, _ in items)), [name for _, name in items]
    renamed = np.where(own == NOISE, NOISE, 7 - own)
    assert astuple(against(own, given_labels)) == pytest.approx(
        astuple(against(renamed, given_labels))
    )


def test_accuracy_pairs_clusters_with_classes() -> None:
    found = against(labels(1, 1, 1, 0, 0, 2), list("aaabbb"))
    assert found.acc == pytest.approx(5 / 6)
    assert (found.n_clusters, found.n_classes) == (3, 2)


def test_noise_is_wrong_and_items_without_label_are_left_out() -> None:
    found = against(labels(0, 0, NOISE, 1, 1), ["a", "a", "a", "b", None])
    assert found.acc == pytest.approx(3 / 4)
    assert found.noise_share == pytest.approx(1 / 4)
    assert found.core_ari == 1.0
    assert (found.labelled, found.unlabelled) == (4, 1)


def test_all_noise() -> None:
    found = against(labels(NOISE, NOISE), ["a", "b"])
    assert (found.acc, found.core_ari, found.n_clusters) == (0.0, None, 0)


@pytest.mark.parametrize(
    ("given_labels", "message"),
    [(["a"], "given: 1 values for 2 items"), ([None, ""], "no item has a label")],
)
def test_labels_that_cannot_be_compared(given_labels: list[str | None], message: str) -> None:
    with pytest.raises(QueryError, match=message):
        against(labels(0, 1), given_labels)


def test_silhouette_is_that_of_scikit_learn() -> None:
    rows, own = blobs([12, 7, 1])
    found = silhouette(rows, own)
    assert found is not None
    assert found.value == pytest.approx(silhouette_score(rows, own, metric="cosine"), abs=1e-4)


def test_silhouette_of_a_sample_repeats_and_leaves_noise_out() -> None:
    rows, own = blobs([200, 200])
    own[:5] = NOISE
    once, again = (silhouette(rows, own, sample=100, seed=3) for _ in range(2))
    whole = silhouette(rows, own)
    assert once == again
    assert once is not None and whole is not None
    assert (once.items, whole.items) == (100, 395)
    assert once.value == pytest.approx(whole.value, abs=0.05)


def test_silhouette_of_a_sample_needs_the_rows_of_the_sample_alone() -> None:
    rows, own = blobs([200, 200])
    own[:5] = NOISE
    some = sampled(own, sample=100, seed=3)
    assert silhouette(rows[some], own[some]) == silhouette(rows, own, sample=100, seed=3)


def test_no_silhouette_of_one_cluster() -> None:
    rows, _ = blobs([5])
    assert silhouette(rows, np.zeros(5, np.int64)) is None


def test_equal_repetitions_are_stable_and_random_ones_are_not() -> None:
    rng = np.random.default_rng(0)
    same = [labels(0, 0, 1, 1), labels(1, 1, 0, 0)]
    assert stability(same).lowest == 1.0
    assert abs(stability([rng.integers(0, 3, 500) for _ in range(4)]).mean) < 0.05


def test_parts_are_compared_on_what_they_share() -> None:
    truth = np.repeat(np.arange(3), 20)
    asked: list[int] = []

    def fit(rows: np.ndarray, seed: int) -> np.ndarray:
        asked.append(len(rows))
        return (truth[rows] + seed) % 3

    found = subsample_stability(fit, 60, repetitions=3)
    assert (found.mean, found.repetitions) == (1.0, 3)
    assert set(asked) == {48}


def test_what_cannot_be_repeated() -> None:
    with pytest.raises(QueryError, match="two or more"):
        stability([labels(0, 1)])
    with pytest.raises(QueryError, match="different numbers"):
        stability([labels(0, 1), labels(0, 1, 1)])
    with pytest.raises(QueryError, match=r"above 0\.5"):
        subsample_stability(lambda rows, _: rows, 10, share=0.4)


def test_summary_of_confidence() -> None:
    sure = np.array([0.2, 0.4, 0.6, 0.8, 1.0], np.float32)
    found = confidence_of(Clustering(labels(0, 0, 0, 1, 1), sure, {}))
    assert found.median == pytest.approx(0.6)
    assert found.unsure_share == pytest.approx(2 / 5)


def test_compare_tells_what_moved() -> None:
    #                    a  a  a  b  b  noise
    first = labels(0, 0, 0, 1, 1, NOISE)
    second = labels(1, 1, 0, 0, 0, NOISE)
    found = compare(first, second)
    assert found.matches == (Match(0, 1, 2, 2 / 3), Match(1, 0, 2, 2 / 3))
    assert found.moved.tolist() == [2]
    assert sum(each.items for each in found.overlaps) == 6


def test_compare_tells_what_is_gone_and_new() -> None:
    merged = compare(labels(0, 0, 0, 1), labels(0, 0, 0, 0))
    assert merged.matches == (Match(0, 0, 3, 3 / 4), Match(1, None, 0, 0.0))
    assert merged.moved.tolist() == [3]
    split = compare(labels(0, 0, 0, 0), labels(0, 0, 0, 1))
    assert Match(None, 1, 0, 0.0) in split.matches


@given(st.lists(st.integers(-1, 4), min_size=1, max_size=40), st.permutations(range(5)))
def test_a_renamed_run_has_not_moved(values: list[int], names: list[int]) -> None:
    first = labels(*values)
    second = np.where(first == NOISE, NOISE, np.array(names)[first])
    found = compare(first, second)
    assert (len(found.moved), found.ari) == (0, pytest.approx(1.0))


def test_runs_over_other_items_cannot_be_compared() -> None:
    with pytest.raises(QueryError, match="second: 3 values for 2 items"):
        compare(labels(0, 1), labels(0, 1, 1))
