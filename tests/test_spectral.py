"""The neighbour graph cut into parts: digits, and rows that join a sample."""

from __future__ import annotations

import numpy as np
import pytest
from handwriting import accuracy, digits
from mixtures import mixture

from clustering.agreement import ari
from clustering.spectral import Spectral

pytest.importorskip("sklearn", reason="needs the extra 'clusters'")


def test_digits_are_told_apart_better_than_by_k_means() -> None:
    rows, classes = digits()
    found = Spectral().fit(rows, 10)
    assert accuracy(classes, found.labels) > 0.84, "k-means reaches 0.79"


def test_rows_that_are_not_cut_join_by_vote() -> None:
    rows, groups = mixture((300, 200, 100), seed=2)
    found = Spectral(fit_up_to=150).fit(rows, 3)
    assert ari(groups, found.labels) > 0.98
    assert found.notes == ("150 vectors were cut, the others joined by their neighbours",)
    assert np.isfinite(found.confidence).all() and found.confidence.max() <= 1
