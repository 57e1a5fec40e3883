"""Has what arrives changed against a reference? All that is known of a window, in one report.

A window is what came in some days, or what came in them from one site, scanner or protocol: see
`by_group`. Change that lasts over many windows is for `ood.alarms`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from indexer.errors import QueryError
from indexer.types import Embeddings
from ood.mmd import PERMUTATIONS, EmbeddingDrift, embedding_drift
from ood.occupancy import Column, OccupancyDrift, occupancy_drift
from ood.shifts import (
    POWER,
    FlaggedShare,
    PValues,
    ScoreDrift,
    detectable_shift,
    flagged_share,
    score_drift,
)
from ood.verdicts import ALPHA, Verdict, checked_share, holm


@dataclass(frozen=True)
class Sample:
    """What is known of some items, one value for each in every part.

    Attributes:
        scores: of each detector by its name, float ``(n,)``, higher is more unlike.
        p_values: of each detector by its name, ``(n,)``; those of a reference are not looked at.
        columns: fields by name, the value of each item.
        embeddings: ``(n, dim)`` unit rows, or None.

    Raises:
        QueryError: parts of different lengths.
    """

    scores: Mapping[str, np.ndarray] = field(default_factory=dict)
    p_values: Mapping[str, PValues] = field(default_factory=dict)
    columns: Mapping[str, Column] = field(default_factory=dict)
    embeddings: Embeddings | None = None

    def __post_init__(self) -> None:
        lengths = [
            *((f"scores of '{name}'", len(values)) for name, values in self.scores.items()),
            *((f"p-values of '{name}'", len(values)) for name, values in self.p_values.items()),
            *((f"'{name}'", len(values)) for name, values in self.columns.items()),
        ]
        if self.embeddings is not None:
            lengths.append(("embeddings", len(self.embeddings)))
        if len({count for _, count in lengths}) > 1:
            told = ", ".join(f"{name} {count:,}" for name, count in lengths)
            raise QueryError(f"the parts of a sample have different lengths: {told}")

    def rows(self, kept: np.ndarray) -> Sample:
        """The sample of some rows, int64 ``(m,)``."""
        return Sample(
            scores={name: np.asarray(values)[kept] for name, values in self.scores.items()},
            p_values={name: np.asarray(values)[kept] for name, values in self.p_values.items()},
            columns={name: [values[at] for at in kept] for name, values in self.columns.items()},
            embeddings=None if self.embeddings is None else self.embeddings[kept],
        )


@dataclass(frozen=True)
class DriftReport:
    """All that was looked at in a window.

    Attributes:
        scores: of each detector, kept apart.
        embeddings: None where there are none.
        columns: of each field.
        flagged: of each detector that has p-values.
        tests: how many p-values Holm's correction was made for.
        alpha: how often any of them may say "differs" without a change.
    """

    scores: tuple[ScoreDrift, ...]
    embeddings: EmbeddingDrift | None
    columns: tuple[OccupancyDrift, ...]
    flagged: tuple[FlaggedShare, ...]
    tests: int
    alpha: float

    @property
    def differs(self) -> bool:
        """Whether any test says so, after the correction."""
        return any(each.differs for each in _verdicts(self))

    @property
    def sentences(self) -> tuple[str, ...]:
        """All of it, in words."""
        made = f"{self.tests} tests were made" if self.tests != 1 else "1 test was made"
        correction = (
            f"{made}; by Holm's correction a window without a change is said to differ in at most "
            f"{self.alpha:.1%} of cases"
        )
        shares = ("shares flagged have intervals of their own, apart from that correction",)
        parts = (*self.scores, self.embeddings, *self.columns, *self.flagged)
        told = [sentence for part in parts if part is not None for sentence in part.sentences]
        return (correction, *told, *(shares if self.flagged else ()))


def window_drift(
    reference: Sample,
    window: Sample,
    *,
    alarm: float = 0.05,
    alpha: float = ALPHA,
    power: float = POWER,
    seed: int = 0,
) -> DriftReport:
    """Compare a window with a reference in every part that both have.

    Shifts that the scores can show are stated for the level ``alpha / tests``, the strictest of
    Holm's steps: they are seen whatever the other tests say. Embeddings get so many permutations
    that their p-value can pass that step. The correction is for one report; who reads those of ten
    groups at once divides ``alpha`` by ten.

    Args:
        reference: its scores, columns and embeddings.
        window: the same of it, by the same names, and its p-values.
        alarm: declared false-alarm rate of the p-values.
        alpha: share of false alarms, over all tests together.
        power: of the shifts that are stated.
        seed: of all that is drawn.

    Raises:
        QueryError: a part is in one of the two only; otherwise as the single functions.
        ReferenceSetError, VectorError: as the single functions.
    """
    checked_share("alpha", alpha)
    _same_parts(reference, window)
    raw = DriftReport(
        scores=tuple(
            score_drift(reference.scores[name], values, detector=name, alpha=alpha, power=power)
            for name, values in window.scores.items()
        ),
        embeddings=_rows_drift(reference, window, alpha=alpha, seed=seed),
        columns=tuple(
            occupancy_drift(reference.columns[name], values, seed, field=name, alpha=alpha)
            for name, values in window.columns.items()
        ),
        flagged=tuple(
            flagged_share(values, alarm, detector=name) for name, values in window.p_values.items()
        ),
        tests=0,
        alpha=alpha,
    )
    return _corrected(raw)


def by_group(sample: Sample, groups: Column) -> dict[str, Sample]:
    """The part of each group, by its name; items whose group is not known are in none.

    Args:
        sample: of all items.
        groups: site, scanner or protocol of each.

    Raises:
        QueryError: the lengths differ.
    """
    replace(sample, columns={**sample.columns, "groups": groups})  # compares the lengths
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(groups):
        rows.setdefault(name or "", []).append(row)
    return {name: sample.rows(np.array(rows[name])) for name in sorted(rows) if name}


def _rows_drift(
    reference: Sample, window: Sample, *, alpha: float, seed: int
) -> EmbeddingDrift | None:
    if reference.embeddings is None or window.embeddings is None:
        return None
    most = 1 + len(window.scores) + len(window.columns)
    return embedding_drift(
        reference.embeddings,
        window.embeddings,
        seed,
        permutations=max(PERMUTATIONS, math.ceil(2 * most / alpha)),
        alpha=alpha,
    )


def _same_parts(reference: Sample, window: Sample) -> None:
    odd = {
        *(set(reference.scores) ^ set(window.scores)),
        *(set(reference.columns) ^ set(window.columns)),
    }
    if (reference.embeddings is None) != (window.embeddings is None):
        odd.add("embeddings")
    if odd:
        raise QueryError(
            f"in the reference or in the window only: {', '.join(sorted(odd))}; hand in both"
        )


def _verdicts(report: DriftReport) -> list[Verdict]:
    parts = (*report.scores, *report.columns, report.embeddings)
    return [part.verdict for part in parts if part is not None and part.verdict is not None]


def _corrected(report: DriftReport) -> DriftReport:
    """The same report with verdicts corrected for each other."""
    found = holm(_verdicts(report))
    after = iter(found)
    alpha = report.alpha / max(1, len(found))
    scores = tuple(
        replace(
            each,
            verdict=next(after),
            detectable=detectable_shift(each.reference, each.window, alpha=alpha, power=each.power),
        )
        for each in report.scores
    )
    columns = tuple(
        each if each.verdict is None else replace(each, verdict=next(after))
        for each in report.columns
    )
    rows = report.embeddings
    if rows is not None and rows.verdict is not None:
        rows = replace(rows, verdict=next(after))
    return replace(report, scores=scores, columns=columns, embeddings=rows, tests=len(found))
