"""Any clustering method as a scikit-learn estimator. Importing this needs scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import numpy as np

from clustering.centres import unit
from clustering.contract import Clustering
from clustering.registry import DEFAULT, make_method
from indexer.extras import extra

_base = extra("sklearn.base")
_validation = extra("sklearn.utils.validation")


class Clusterer(_base.ClusterMixin, _base.BaseEstimator):  # type: ignore[misc, name-defined]
    """A method of `clustering.registry` by name.

    Args:
        method: its name.
        n_clusters: how many clusters; None lets the method find out.
        options: parameters of the method by name.
        random_state: the seed.

    Attributes:
        labels_: int64 ``(n,)``, -1 for noise.
        result_: the whole `clustering.contract.Clustering`.
        n_features_in_: length of the rows.
    """

    def __init__(
        self,
        method: str = DEFAULT,
        *,
        n_clusters: int | None = None,
        options: Mapping[str, object] | None = None,
        random_state: int = 0,
    ) -> None:
        self.method = method
        self.n_clusters = n_clusters
        self.options = options
        self.random_state = random_state

    def fit(self, X: np.ndarray, y: object = None) -> Self:  # noqa: ARG002, N803 - scikit-learn's
        """Cluster the rows of ``X``, ``(n, dim)``, which are divided by their lengths.

        Raises:
            ConfigError: no such method or parameter.
            ClusteringError: these rows cannot be grouped so.
        """
        rows = _validation.validate_data(self, X, dtype=[np.float32, np.float16], order="C")
        self.result_: Clustering = make_method(self.method, self.options).fit(
            unit(rows), self.n_clusters, seed=self.random_state
        )
        self.labels_ = self.result_.labels
        return self
