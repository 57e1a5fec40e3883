"""SCAN, CPP and k-means on the features that their published code was run on.

    python benchmarks/clustering_reference.py --set digits --seeds 5
    python benchmarks/clustering_reference.py --set balanced --methods scan --seeds 2

``digits`` are scikit-learn's 1,797, divided by 16, as unit rows; ``balanced`` and ``long-tailed``
are 20,000 generated rows of 768 dimensions in 30 clusters, kept in --folder as X.npy and y.npy.
Printed is a table in Markdown: mean over seeds, least and most, and seconds of the processor.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from clustering.neighbours import neighbour_graph
from clustering.registry import make_method

Rows = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

PUBLISHED = {
    ("digits", "kmeans"): "0.794 / 0.741 / 0.668",
    ("digits", "scan"): "0.839 / 0.794 / 0.742",
    ("digits", "cpp"): "0.847 / 0.842 / 0.777",
    ("balanced", "scan"): "0.698 / 0.846 / 0.647",
    ("balanced", "cpp"): "0.433 / 0.500 / 0.277",
    ("long-tailed", "scan"): "0.389 / 0.727 / 0.316",
}
"""ACC / NMI / ARI of the authors' code on these features, mean over its seeds."""
