"""Whether the categories of a window, its makers or clusters, are filled as in the reference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from indexer.errors import QueryError, ReferenceSetError
from ood.verdicts import ALPHA, Verdict, alone, checked_share

Column = Sequence[str | None]
"""None and "" mean that the value is not known."""
_LEAST_EXPECTED = 5
"""Cochran, Biometrics 10 (1954) 417: fewer say little by themselves."""
_DRAWS, _AT_ONCE = 10_000, 1_000

Table = Int64[np.ndarray, "2 categories"]


@dataclass(frozen=True)
class Share:
    """How frequent a value is in the reference and in the window, 0 to 1."""

    value: str
    reference: float
    window: float


@dataclass(frozen=True)
class OccupancyDrift:
    """The values of a field in a window against those of the reference.

    Attributes:
        field: its name.
        reference, window: numbers of items.
        shares: of all values, the most changed first; "" stands for those not known.
        unseen: values that the reference never has, and how many of the window's items have them.
        together: values that were too rare to be tested by themselves.
        cramers_v: size of the difference, 0 none, 1 no value in common; None without a test.
        verdict: of the test; None where fewer than two categories are left to compare.
    """

    field: str
    reference: int
    window: int
    shares: tuple[Share, ...]
    unseen: tuple[tuple[str, int], ...]
    together: tuple[str, ...]
    cramers_v: float | None
    verdict: Verdict | None

    @property
    def sentences(self) -> tuple[str, ...]:
        """What that means, in words; values that the reference never has are always named."""
        told = [_of_test(self)]
        if self.unseen:
            named = ", ".join(f"{_name(value)} ({count})" for value, count in self.unseen)
            told.append(f"never seen in the reference as a value of '{self.field}': {named}")
        if self.together:
            told.append(
                f"{len(self.together)} values of '{self.field}' were too rare to be tested by "
                "themselves and were put together"
            )
        return tuple(told)


def occupancy_drift(
    reference_values: Column,
    window_values: Column,
    seed: int = 0,
    *,
    field: str = "field",
    alpha: float = ALPHA,
) -> OccupancyDrift:
    """Pearson's chi-squared test of homogeneity, with Cramer's V as the size of the difference.

    Values that are not known count as a value of their own, since a field that is no longer filled
    is a change, too. Values of which fewer than 5 items are expected on either side are put
    together. The p-value is the share of 10,000 drawn windows that differ at least as much, the
    window counted in (Hope, J. R. Stat. Soc. B 30 (1968) 582): items of both sides are mixed and
    dealt out again. The chi-squared law would not do, as few are expected of a new value however
    much of the window has it.

    Args:
        reference_values: of each item of the reference.
        window_values: of each item of the window.
        seed: of the drawn windows.
        field: its name, for the sentences.
        alpha: share of false alarms.

    Raises:
        ReferenceSetError: the reference has no items.
        QueryError: the window has none, or ``alpha`` is out of range.
    """
    checked_share("alpha", alpha)
    if not len(reference_values):
        raise ReferenceSetError(f"{field}: the reference has no items")
    if not len(window_values):
        raise QueryError(f"{field}: the window has no items")
    before = Counter(value or "" for value in reference_values)
    now = Counter(value or "" for value in window_values)
    names = sorted(before | now, key=lambda name: (before[name] + now[name], name))
    table = np.array([[side[name] for name in names] for side in (before, now)], np.int64)
    rare = _rare(table)
    tested = _put_together(table, rare)
    v, verdict = None, None
    if tested.shape[1] > 1:
        v, p = _tested(tested, np.random.default_rng([seed, 59]))
        verdict = alone(p, alpha)
    return OccupancyDrift(
        field=field,
        reference=len(reference_values),
        window=len(window_values),
        shares=_shares(names, table),
        unseen=tuple((name, now[name]) for name in sorted(now) if name not in before),
        together=tuple(sorted(names[:rare])) if rare > 1 else (),
        cramers_v=v,
        verdict=verdict,
    )


def _rare(table: Table) -> int:
    """How many of the categories, rarest first, are too rare by themselves."""
    expected = table.sum(axis=0) * table.sum(axis=1).min() / table.sum()
    return int((expected < _LEAST_EXPECTED).sum())


def _put_together(table: Table, rare: int) -> Table:
    if not rare:
        return table
    return np.column_stack([table[:, :rare].sum(axis=1), table[:, rare:]])


def _tested(table: Table, rng: np.random.Generator) -> tuple[float, float]:
    """Cramer's V and p-value; the window is the second row."""
    both, window, total = table.sum(axis=0), int(table[1].sum()), int(table.sum())
    expected = both * (window / total)

    def statistic(counts: np.ndarray) -> np.ndarray:
        """Chi-squared over both rows: what one has too much, the other has too little."""
        found: np.ndarray = ((counts - expected) ** 2 / expected).sum(axis=-1)
        return found * total / (total - window)

    given = float(statistic(table[1]))
    reached = 1
    for _ in range(_DRAWS // _AT_ONCE):
        drawn = rng.multivariate_hypergeometric(both, window, size=_AT_ONCE, method="marginals")
        reached += int((statistic(drawn) >= given * (1 - 1e-9)).sum())
    return float(np.sqrt(given / total)), reached / (_DRAWS + 1)


def _shares(names: Sequence[str], table: Table) -> tuple[Share, ...]:
    before, now = table / table.sum(axis=1, keepdims=True)
    order = np.argsort(-np.abs(now - before), kind="stable")
    return tuple(Share(names[at], float(before[at]), float(now[at])) for at in order)


def _of_test(found: OccupancyDrift) -> str:
    if found.verdict is None:
        return (
            f"the values of '{found.field}' cannot be tested: too few are expected of each "
            f"in a window of {found.window}"
        )
    most = found.shares[0]
    differ = "differ" if found.verdict.differs else "do not differ"
    return (
        f"the values of '{found.field}' {differ} from the reference (Cramer's V "
        f"{found.cramers_v:.2f}, {found.verdict.words}); the greatest change is that of "
        f"{_name(most.value)}, from {most.reference:.1%} to {most.window:.1%}"
    )


def _name(value: str) -> str:
    return f"'{value}'" if value else "those not known"
