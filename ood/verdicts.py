"""What a p-value says, alone and among others: Holm, Scand. J. Statist. 6 (1979) 65."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from indexer.errors import QueryError

ALPHA = 0.01
"""How often a test may say "changed" where nothing has changed, unless another is given."""


@dataclass(frozen=True)
class Verdict:
    """A p-value and the level it is held against.

    Attributes:
        p: of the test by itself.
        alpha: share of false alarms that is allowed over all ``tests`` together.
        corrected: the p-value after Holm's correction; ``p`` where it is the only test.
        tests: how many it was corrected for.
    """

    p: float
    alpha: float
    corrected: float
    tests: int = 1

    @property
    def differs(self) -> bool:
        """Whether the window is taken to differ from the reference."""
        return self.corrected <= self.alpha

    @property
    def words(self) -> str:
        """The figures for a sentence: "p 0.0004" or "p 0.0004, by Holm's correction 0.0012"."""
        alone = _figure(self.p)
        if self.tests == 1:
            return f"p {alone}"
        return f"p {alone}, by Holm's correction {_figure(self.corrected)}"


def alone(p: float, alpha: float) -> Verdict:
    """The verdict of a test that is the only one.

    Raises:
        QueryError: ``alpha`` does not lie between 0 and 1.
    """
    checked_share("alpha", alpha)
    return Verdict(p=p, alpha=alpha, corrected=p)


def holm(verdicts: Sequence[Verdict]) -> tuple[Verdict, ...]:
    """Correct p-values for being several, in the order given.

    The chance of any false "differs" stays at or below alpha, however the tests depend on each
    other: the i-th smallest of k p-values is multiplied by k - i + 1, and none may be below the one
    before it.
    """
    count = len(verdicts)
    order = np.argsort([each.p for each in verdicts], kind="stable")
    found = list(verdicts)
    least = 0.0
    for place, index in enumerate(order):
        least = max(least, min(1.0, (count - place) * verdicts[index].p))
        found[index] = replace(verdicts[index], corrected=least, tests=count)
    return tuple(found)


def checked_share(name: str, value: float) -> None:
    """See that a share lies between 0 and 1, both excluded.

    Raises:
        QueryError: it does not; the message names it.
    """
    if not 0 < value < 1:
        raise QueryError(f"{name} lies between 0 and 1, not {value}")


def _figure(p: float) -> str:
    return "below 0.0001" if p < 0.0001 else f"{p:.2g}"
