"""The digits that scikit-learn ships, as rows to cluster, and how well labels fit classes."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment


def digits() -> tuple[np.ndarray, np.ndarray]:
    """1,797 pictures of 8 x 8 as unit rows, and what they show."""
    from sklearn.datasets import load_digits  # noqa: PLC0415 - an extra

    pictures, shown = load_digits(return_X_y=True)
    rows = (pictures / 16).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True), shown


def accuracy(truth: np.ndarray, labels: np.ndarray) -> float:
    """Share of items that are right when clusters are matched with classes as well as can be."""
    counts = np.zeros((truth.max() + 1, labels.max() + 1), int)
    np.add.at(counts, (truth, labels), 1)
    matched = linear_sum_assignment(counts, maximize=True)
    return float(counts[matched].sum() / len(truth))
