"""How detectors are tried: who fits, who calibrates, who tests, and what each then tells apart.

Cases of one patient are alike, so patients are on one side alone. Calibration cases are needed for
the p-value of all detectors together, which is tried as one detector more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from indexer.errors import ReferenceSetError
from indexer.types import Embeddings, Scores
from ood.calibrate import Together
from ood.contract import Detector
from ood.measures import Separation, separation
from ood.registry import Recipe
from ood.strata import held_out

TOGETHER = "together"
FEWEST_FITTED, FEWEST = 20, 10
"""Cases to fit on at least; cases to calibrate on, and to test on of either side."""
_TESTS, _CALIBRATES = 0.3, 0.2
"""Shares of the cases inside; the rest fits."""


@dataclass(frozen=True)
class Parts:
    """Who does what; rows, int64, ascending.

    Attributes:
        fits: those that detectors learn from.
        calibrates: those that the p-value of all together is taken from.
        inside: tests, in distribution.
        outside: tests, out of it; none of a patient that fits or calibrates.
    """

    fits: np.ndarray
    calibrates: np.ndarray
    inside: np.ndarray
    outside: np.ndarray


def parted(patients: Sequence[str], outside: np.ndarray | None = None, *, seed: int = 0) -> Parts:
    """Part cases by patient: of those inside about half fit, a fifth calibrates, three tenths test.

    Args:
        patients: whose each case is.
        outside: bool ``(n,)``, which cases are out of distribution; None for none.
        seed: of the order of patients.
    """
    away = np.zeros(len(patients), bool) if outside is None else outside
    inside = np.flatnonzero(~away)
    tests = _held_out(patients, inside, _TESTS * len(inside), seed)
    others = inside[~tests]
    calibrates = _held_out(patients, others, _CALIBRATES * len(inside), seed)
    known = {patients[row] for row in others.tolist()}
    strangers = [row for row in np.flatnonzero(away).tolist() if patients[row] not in known]
    return Parts(
        others[~calibrates], others[calibrates], inside[tests], np.array(strangers, np.int64)
    )


def too_few(parts: Parts, outside: int) -> str:
    """Why these parts and so many cases outside measure nothing, "" where they do."""
    for count, least, what in (
        (len(parts.fits), FEWEST_FITTED, "to fit on"),
        (len(parts.calibrates), FEWEST, "to calibrate on"),
        (len(parts.inside), FEWEST, "of other patients inside"),
        (outside, FEWEST, "of other patients outside"),
    ):
        if count < least:
            return f"{count:,} cases {what}, {least} are needed"
    return ""


@dataclass(frozen=True)
class Trial:
    """Detectors that were fitted and calibrated, with their scores of the tests inside.

    Attributes:
        detectors: by the label of their recipe.
        together: their calibrations.
        inside: scores of each detector, and of `TOGETHER`, by name.
    """

    detectors: Mapping[str, Detector]
    together: Together
    inside: Mapping[str, Scores]

    @classmethod
    def of(
        cls,
        recipes: Sequence[Recipe],
        embeddings: Embeddings,
        patients: Sequence[str],
        parts: Parts,
        *,
        qualities: int = 0,
        seed: int = 0,
    ) -> Trial:
        """Fit on one part, calibrate on another, score the third.

        Args:
            recipes: of the detectors.
            embeddings: ``(n, dim)``.
            patients: whose each row is.
            parts: of the rows; ``outside`` is not looked at.
            qualities: how many columns at the end of each row are qualities of the picture;
                detectors of qualities are left out where there are none.
            seed: of all that is random.

        Raises:
            ConfigError: a recipe that cannot be made.
            ReferenceSetError: too few rows inside.
            VectorError: rows that are no embeddings.
        """
        why = too_few(parts, FEWEST)
        if why:
            raise ReferenceSetError(f"detectors cannot be tried: {why}")
        usable = [each for each in recipes if qualities or not each.of_qualities]
        made = {each.label: each.make(qualities) for each in usable}
        rows = np.asarray(embeddings[parts.fits])
        fitted = {name: each.fit(rows, seed=seed) for name, each in made.items()}
        held = np.asarray(embeddings[parts.calibrates])
        owners = [patients[row] for row in parts.calibrates]
        together = Together.of([each.score(held) for each in fitted.values()], owners)
        tests = np.asarray(embeddings[parts.inside])
        return cls(fitted, together, _scores(fitted, together, tests))

    def against(self, outside: Embeddings, *, seed: int = 0) -> dict[str, Separation]:
        """How well each detector, and all together, tell rows from the tests inside.

        Args:
            outside: ``(m, dim)``, rows out of distribution, of one kind of shift.
            seed: of the bootstrap.

        Raises:
            QueryError: there are no rows.
            VectorError: rows that are no embeddings, or of another space.
        """
        found = _scores(self.detectors, self.together, outside)
        return {
            name: separation(self.inside[name], scores, seed=seed) for name, scores in found.items()
        }


def best_of(found: Mapping[str, Separation]) -> str:
    """The detector of the greatest AUROC, the first of equals; `TOGETHER` is none."""
    single = [name for name in found if name != TOGETHER]
    return max(single, key=lambda name: found[name].auroc)


def _held_out(patients: Sequence[str], rows: np.ndarray, wanted: float, seed: int) -> np.ndarray:
    return held_out([patients[row] for row in rows], math.ceil(wanted), seed)


def _scores(
    detectors: Mapping[str, Detector], together: Together, rows: Embeddings
) -> dict[str, Scores]:
    found = {name: each.score(rows) for name, each in detectors.items()}
    least = together.p_values(list(found.values()))
    return found | {TOGETHER: (1 - least).astype(np.float32)}
