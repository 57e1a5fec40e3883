"""How surely clusters come back."""

from __future__ import annotations

import numpy as np
import pytest

from clustering.recurrence import recurrence

EVERY = np.arange(6)
LABELS = np.array([0, 0, 0, 1, 1, -1])


def test_a_cluster_that_comes_back_under_another_number_is_the_same() -> None:
    found = recurrence(LABELS, [(EVERY, np.array([1, 1, 1, 0, 0, -1]))])
    assert [(each.cluster, each.size, each.mean) for each in found] == [(0, 3, 1), (1, 2, 1)]


def test_of_a_cluster_that_falls_apart_the_part_most_like_it_counts() -> None:
    split = (EVERY, np.array([0, 0, 1, 2, 2, 2]))
    same = (EVERY, LABELS)
    first, second = recurrence(LABELS, [split, same])
    assert (first.lowest, first.mean) == pytest.approx((2 / 3, 5 / 6))
    assert (second.lowest, second.mean) == pytest.approx((2 / 3, 5 / 6))


def test_what_became_noise_did_not_come_back() -> None:
    (first, second) = recurrence(LABELS, [(EVERY, np.array([-1, -1, -1, 0, 0, 0]))])
    assert (first.mean, second.mean) == pytest.approx((0, 2 / 3))


def test_a_part_speaks_for_the_clusters_that_have_items_in_it() -> None:
    found = recurrence(LABELS, [(np.array([0, 1]), np.array([0, 0]))])
    assert [(each.cluster, each.size, each.mean) for each in found] == [(0, 3, 1)]
    assert recurrence(np.full(6, -1), [(EVERY, LABELS)]) == []
