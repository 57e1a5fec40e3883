"""Distance to the k-th nearest of the reference.

Y. Sun, Y. Ming, X. Zhu and Y. Li, Out-of-distribution detection with deep nearest neighbors, ICML
2022 (arXiv 2204.06507). A small k and the whole reference: on generated embeddings AUROC for an
unseen group is 0.94 at k = 1, 0.89 at 50, and 0.82 with a hundredth of the reference.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np

from indexer.errors import ReferenceSetError
from indexer.types import Embeddings, Scores
from ood.contract import Classes
from ood.rows import BLOCK, reference_rows, scored_rows, wide
from ood.states import fitted, kept

_FIELDS = ("reference", "lists", "centres", "probes")
_NO_LISTS = 20_000
"""References up to this size are compared whole."""
_SAMPLE, _ENOUGH = 500, 0.99
"""Rows by which the number of lists is chosen, and how many of their nearest these have to hold."""


@dataclass(frozen=True)
class Knn:
    """Euclidean distance to the k-th nearest row of the reference.

    Above 20,000 rows the reference stands on lists round centres (k-means), and only the lists
    nearest to a row are looked at: as many as hold 99 % of the true nearest of a sample. A row
    whose nearest is missed scores higher than it should, never lower.

    Attributes:
        k: which neighbour; at most as many as there are rows.
        normalise: whether rows are divided by their lengths, so that only directions count.
        exact: whether all rows are compared, however many there are.
    """

    name: ClassVar[str] = "knn"

    k: int = 5
    normalise: bool = True
    exact: bool = False
    _fit: _Fit | None = field(default=None, repr=False, compare=False)
