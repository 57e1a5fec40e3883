"""Detectors score as those of pytorch-ood do on the same rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("pytorch_ood", reason="pytorch-ood is not on the path; make test puts it there")

from mixtures import mixture
from pytorch_ood.detector import KNN
from pytorch_ood.detector import Mahalanobis as Known

from ood.knn import Knn
from ood.mahalanobis import Mahalanobis

DRAWN, GROUPS = mixture((400, 300, 200), dim=24, spread=0.5, seed=8)
LENGTHS = np.random.default_rng(1).uniform(1, 9, (len(DRAWN), 1)).astype(np.float32)
ROWS, NEW = (DRAWN * LENGTHS)[:700], (DRAWN * LENGTHS)[700:]
CLASSES = GROUPS[:700]


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("k", [1, 5, 50])
def test_the_distance_to_the_kth_nearest_is_the_same(k: int, normalise: bool) -> None:
    known = KNN(None, k=k, normalize=normalise)
    known.fit_features(torch.from_numpy(ROWS), torch.zeros(len(ROWS), dtype=torch.long))
    expected = known.predict_features(torch.from_numpy(NEW)).numpy()
    found = Knn(k=k, normalise=normalise).fit(ROWS).score(NEW)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("classes", [np.zeros(700, np.int64), CLASSES], ids=["one", "three"])
def test_the_distance_to_the_nearest_class_is_the_same_but_for_its_unit(
    classes: np.ndarray,
) -> None:
    # There it is half the distance, by the sum of squares, not their mean, and with a ridge.
    known = Known(None).fit_features(torch.from_numpy(ROWS), torch.from_numpy(classes))
    expected = known.predict_features(torch.from_numpy(NEW)).numpy() * 2 * len(ROWS)
    fitted = Mahalanobis(normalise=False, covariance="empirical").fit(ROWS, classes)
    np.testing.assert_allclose(fitted.score(NEW), expected, rtol=1e-3)
