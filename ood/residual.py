"""How much of a row lies outside the principal space of the reference.

H. Wang, Z. Li, L. Feng and W. Zhang, ViM: out-of-distribution with virtual-logit matching, CVPR
2022 (arXiv 2203.10807), section 4.1, without logits: about the mean of the reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from indexer.types import Embeddings, Scores
from ood.contract import Classes
from ood.learned import Learned
from ood.principal import moments
from ood.rows import BLOCK, reference_rows, scored_rows, wide


@dataclass(frozen=True)
class Residual(Learned):
    """Length of a row's part outside the reference's principal space.

    Attributes:
        dimensions: of the principal space; None as in the paper: 1,000 of 1,500 or more, 512 of 768
            or more, else half. Never more than the rows of the reference span.
        normalise: whether rows are divided by their lengths.
    """

    name: ClassVar[str] = "residual"
    ARRAYS: ClassVar[tuple[str, ...]] = ("mean", "outside")

    dimensions: int | None = None
    normalise: bool = True

    def fit(self, embeddings: Embeddings, classes: Classes | None = None, *, seed: int = 0) -> Self:  # noqa: ARG002 - of the contract
        """Learn the principal space; see `ood.contract.Detector.fit`. Classes are not used."""
        reference_rows(embeddings)
        mean, values, axes = moments(embeddings, normalise=self.normalise)
        count, dim = embeddings.shape
        wanted = self.dimensions or _usual(dim)
        spanned = int((values > values[0] * np.finfo(np.float32).eps * dim).sum())
        # With all that rows span inside, any other row would be infinitely unlike.
        inside = max(1, min(wanted, dim - 1, spanned - 1))
        notes: tuple[str, ...] = ()
        if inside < wanted:
            why = f"{count:,} vectors of length {dim} span {spanned}"
            notes = (f"the principal space has {inside} dimensions, not {wanted}: {why}",)
        return self.fitted({"mean": mean, "outside": axes[:, inside:]}, notes)

    def score(self, embeddings: Embeddings) -> Scores:
        """Lengths; see `ood.contract.Detector.score`."""
        mean, outside = self.array("mean"), self.array("outside")
        scored_rows(embeddings, len(mean))
        scores = np.empty(len(embeddings), np.float32)
        for start in range(0, len(embeddings), BLOCK):
            rows = wide(embeddings[start : start + BLOCK], normalise=self.normalise)
            away = (rows - mean) @ outside
            scores[start : start + BLOCK] = np.linalg.norm(away, axis=1)
        return scores


def _usual(dim: int) -> int:
    if dim >= 1500:
        return 1000
    return 512 if dim >= 768 else max(1, dim // 2)
