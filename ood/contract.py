"""The contract of an out-of-distribution detector; third parties use ``syntopy.ood``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, Self

import numpy as np

from indexer.types import Embeddings, Scores


class Detector(Protocol):
    """Scores how unlike a fit set embeddings are; higher is more unlike. Pure, no I/O."""

    name: str

    def fit(self, embeddings: Embeddings) -> Self:
        """Learn what is in distribution."""

    def score(self, embeddings: Embeddings) -> Scores:
        """Float32 ``(n,)``, higher is more unlike."""

    def state(self) -> Mapping[str, np.ndarray]:
        """All that `from_state` needs to score alike."""

    @classmethod
    def from_state(cls, state: Mapping[str, np.ndarray]) -> Self:
        """Rebuild a fitted detector."""
