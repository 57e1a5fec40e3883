"""The contract of an out-of-distribution detector; third parties register under ``syntopy.ood``.

tests/contracts/test_detectors.py holds every detector to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, Self

import numpy as np

from indexer.types import Embeddings, Scores

Classes = np.ndarray
"""int64 ``(n,)``, the class of each row from 0 upwards."""


class Detector(Protocol):
    """Scores how unlike a reference embeddings are; higher is more unlike. No I/O.

    A dataclass whose init fields are its parameters; `fit` gives a fitted copy.

    Contract:
        - the same reference, parameters and seed give the same scores; a row's score does not
          depend on the rows that are scored with it.
        - fewer than two rows, rows that are all equal: ReferenceSetError.
        - NaN, infinite or zero rows, rows of another length than the reference: VectorError, naming
          the first.
        - a state rebuilds a detector whose scores are equal.
        - inputs are never modified.
    """

    @property
    def name(self) -> str:
        """What it is called; that of its registration, unless something stands in front of it."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the scores should know of the fit, in sentences."""

    def fit(self, embeddings: Embeddings, classes: Classes | None = None, *, seed: int = 0) -> Self:
        """A copy that has learned what is in distribution.

        Args:
            embeddings: ``(n, dim)`` of float32 or float16; may be a memory map. Rows need not have
                unit length: a detector may look at lengths, too.
            classes: real classes of the rows, for detectors that tell them apart.
            seed: of all that is random.

        Raises:
            ReferenceSetError: nothing can be learned from these rows.
            VectorError: they are no embeddings.
        """

    def score(self, embeddings: Embeddings) -> Scores:
        """Float32 ``(n,)``, higher is more unlike.

        Raises:
            ReferenceSetError: it has not been fitted.
            VectorError: these are no embeddings, or of another length.
        """

    def state(self) -> Mapping[str, np.ndarray]:
        """All that `from_state` needs, as plain arrays by name."""


class RegisteredDetector(Detector, Protocol):
    """What is registered under a name."""

    @classmethod
    def from_state(cls, state: Mapping[str, np.ndarray]) -> Self:
        """Rebuild a fitted detector.

        Raises:
            ReferenceSetError: an array is missing.
        """
