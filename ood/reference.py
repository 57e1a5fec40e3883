"""Reference sets: detectors fitted and calibrated for each kind of image, and what they say.

A case is judged by the finest stratum of its kind that has enough calibration cases for the
false-alarm rate that is asked for; the answer names it. What nothing can judge is not called in
distribution.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property

import numpy as np

from indexer.errors import ReferenceSetError
from indexer.types import Embeddings, Scores
from ood.calibrate import Calibration, Interval, Together, needed
from ood.columns import Columns
from ood.contract import Detector
from ood.knn import Knn
from ood.registry import Recipe, part, whole
from ood.strata import Key, beginnings, held_out, said

DEFAULT = (Recipe("knn"), Recipe("mahalanobis"), Recipe("residual"), Recipe("quality"))
_FEWEST = 20
"""Fewer cases to fit on, or patients to calibrate on, are no stratum of their own."""
_SHOWN = 5
_MOST_LIMITS = 100


def _nobody(_what: str, _done: int, _total: int) -> None:
    """Nobody is told."""


@dataclass(frozen=True)
class Stratum:
    """One kind of image.

    Attributes:
        key: which.
        fitted: numbers of the reference's cases that detectors were fitted on, int64 ``(n,)``.
        detectors: by name.
        together: their calibrations, in the same order.
        near: finds the nearest cases of the reference.
    """

    key: Key
    fitted: np.ndarray
    detectors: Mapping[str, Detector]
    together: Together
    near: Knn | Columns

    @property
    def held_out(self) -> int:
        """How many cases calibrate."""
        return len(self.together.parts[0].scores)

    @property
    def patients(self) -> int:
        """Calibration patients."""
        return self.together.parts[0].patients

    @property
    def by_embedding(self) -> tuple[str, Detector, Calibration] | None:
        """The first detector that looks at embeddings; None where none does."""
        for pair, calibration in zip(self.detectors.items(), self.together.parts, strict=True):
            name, detector = pair
            if not isinstance(detector, Columns) or detector.start is None:
                return name, detector, calibration
        return None

    def limits(self, alarm: float) -> tuple[list[float], Interval]:
        """The threshold of each detector, and where the false-alarm rate of all together lies.

        Raises:
            ReferenceSetError: the rate is none.
        """
        found = self._limits.get(alarm)
        if found is None:
            thresholds = [part.threshold(alarm) for part in self.together.parts]
            found = thresholds, self.together.least.alarm_interval(alarm)
            if len(self._limits) < _MOST_LIMITS:
                self._limits[alarm] = found
        return found

    @cached_property
    def _limits(self) -> dict[float, tuple[list[float], Interval]]:
        """Those that were asked for: cases come one by one."""
        return {}

    def looked_at(self, embeddings: Embeddings) -> tuple[list[Scores], np.ndarray, np.ndarray]:
        """Scores of each detector, and distances and numbers of the nearest cases, ``(n, k)``."""
        shown = min(_SHOWN, len(self.fitted))
        # What finds the nearest is asked once, also where it is a detector.
        k = min(max(self.near.k, shown), len(self.fitted))
        away, near = self.near.nearest(embeddings, k)
        of_near = away[:, min(self.near.k, k) - 1]
        scores = [
            of_near if each is self.near else each.score(embeddings)
            for each in self.detectors.values()
        ]
        return scores, away[:, :shown], near[:, :shown]

    def state(self) -> dict[str, np.ndarray]:
        """Everything but the key, as plain arrays by name."""
        own = {"fitted": self.fitted}
        parts = {
            f"detector {number}": each.state()
            for number, each in enumerate(self.detectors.values())
        }
        calibrations = [*self.together.parts, self.together.least]
        parts |= {
            f"calibration {number}": {"scores": each.scores, "weights": each.weights}
            for number, each in enumerate(calibrations)
        }
        if _knn_of(self.detectors) is None:
            parts["near"] = self.near.state()
        return own | whole(parts)

    @classmethod
    def from_state(
        cls, key: Key, recipes: Sequence[Recipe], state: Mapping[str, np.ndarray], qualities: int
    ) -> Stratum:
        """What `state` was taken of.

        Raises:
            ReferenceSetError: an array is missing.
            ConfigError: a detector is not there any more.
        """
        detectors = {
            recipe.label: recipe.rebuilt(part(f"detector {number}", state), qualities)
            for number, recipe in enumerate(recipes)
        }
        try:
            calibrations = [
                Calibration(**part(f"calibration {number}", state))
                for number in range(len(recipes) + 1)
            ]
            fitted = state["fitted"]
        except (KeyError, TypeError) as error:
            raise ReferenceSetError("a part of the reference is missing: fit it again") from error
        near = _knn_of(detectors)
        if near is None:
            near = _finding(Recipe("knn").rebuilt(part("near", state), qualities))
        together = Together(tuple(calibrations[:-1]), calibrations[-1])
        return cls(key, fitted, detectors, together, near)


@dataclass(frozen=True)
class Refusal:
    """A kind of image of which there is too little for a stratum of its own.

    Attributes:
        key: which.
        cases, patients: that the reference has of it.
        why: in a sentence, with the number that is needed.
    """

    key: Key
    cases: int
    patients: int
    why: str


@dataclass(frozen=True)
class Verdict:
    """What one detector says of a case.

    Attributes:
        score: higher is more unlike.
        p_value: how often a case of the stratum's own kind scores as high.
        threshold: the score above which this detector alone would flag.
    """

    score: float
    p_value: float
    threshold: float


@dataclass(frozen=True)
class Judgement:
    """What a reference says of a case.

    Attributes:
        flagged: whether the p-value is at or below the declared rate; None where it cannot be
            judged.
        why: the stratum in words, and why no finer one judged; or why none can.
        stratum: that judged; None where none can.
        p_value: of all detectors together.
        alarm: the false-alarm rate that was declared.
        interval: where the rate of this calibration lies, with 95 % probability.
        verdicts: of each detector, by name.
        nearest: numbers of the nearest cases of the reference, and their distances.
    """

    flagged: bool | None
    why: str
    stratum: Key | None = None
    p_value: float = math.nan
    alarm: float = math.nan
    interval: Interval = field(default_factory=lambda: Interval(math.nan, math.nan))
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    nearest: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class ReferenceSet:
    """Strata by their key.

    Attributes:
        recipes: of the detectors.
        strata: those that were fitted. One that has the same cases as the one above it is the same.
        refused: kinds of image that have none of their own.
        qualities: how many columns at the end of each row are qualities of the picture; see
            `ood.columns`.
    """

    recipes: tuple[Recipe, ...]
    strata: Mapping[Key, Stratum]
    refused: tuple[Refusal, ...] = ()
    qualities: int = 0

    @classmethod
    def fit(
        cls,
        embeddings: Embeddings,
        keys: Sequence[Key],
        patients: Sequence[str],
        *,
        alarm: float = 0.01,
        recipes: Sequence[Recipe] = DEFAULT,
        qualities: int = 0,
        seed: int = 0,
        progress: Callable[[str, int, int], None] = _nobody,
    ) -> ReferenceSet:
        """Fit and calibrate every stratum that has enough cases.

        Args:
            embeddings: ``(n, dim)``; may be a memory map.
            keys: what kind of image each case is.
            patients: whose it is; those that are held out calibrate every stratum they are in.
            alarm: the false-alarm rate to hold out patients for.
            recipes: of the detectors; those of qualities are left out where rows have none.
            qualities: how many columns at the end of each row are qualities of the picture.
            seed: of what is random.
            progress: told what is being done, how much of it is done, and of how much; what it
                raises stops the fit.

        Raises:
            ConfigError: a recipe that cannot be made.
            ReferenceSetError: no stratum has enough, or the rate is none.
            VectorError: rows that are no embeddings.
        """
        recipes = [each for each in recipes if qualities or not each.of_qualities]
        if not recipes:
            raise ReferenceSetError("there are no qualities of pictures, and no other detector")
        detectors = {each.label: each.make(qualities) for each in recipes}
        strata: dict[Key, Stratum] = {}
        refused = []
        every = _rows_of(keys)
        for number, (key, rows) in enumerate(every.items()):
            progress("fitting strata", number, len(every))
            above = strata.get(key[:-1])
            if key and above is not None and len(rows) == len(every[key[:-1]]):
                strata[key] = replace(above, key=key)
                continue
            owners = [patients[row] for row in rows]
            calibrates = held_out(owners, max(needed(alarm), 2 * _FEWEST), seed)
            why = _too_little(calibrates, owners)
            if why:
                refused.append(Refusal(key, len(rows), len(set(owners)), why))
                continue
            cases = _Cases(embeddings, np.asarray(rows), owners, calibrates)
            strata[key] = _fitted(key, cases, detectors, qualities, seed)
        if not strata:
            raise ReferenceSetError(
                f"{len(keys):,} cases are too few for a reference: {refused[0].why}"
                if refused
                else "there are no cases to make a reference of"
            )
        return cls(tuple(recipes), strata, tuple(refused), qualities)

    def state(self) -> dict[str, np.ndarray]:
        """Everything, as plain arrays by name."""
        own = {key: each for key, each in self.strata.items() if self._first(key) == key}
        told = {
            "recipes": [asdict(each) for each in self.recipes],
            "strata": [[*key] for key in self.strata],
            "same_as": [[*self._first(key)] for key in self.strata],
            "refused": [asdict(each) for each in self.refused],
            "qualities": self.qualities,
        }
        parts = {str(number): each.state() for number, each in enumerate(own.values())}
        return {"told": np.array(json.dumps(told))} | whole(parts)

    @classmethod
    def from_state(cls, state: Mapping[str, np.ndarray]) -> ReferenceSet:
        """What `state` was taken of.

        Raises:
            ReferenceSetError: an array is missing.
            ConfigError: a detector is not there any more.
        """
        if "told" not in state:
            raise ReferenceSetError("this is no state of a reference: fit it again")
        told = json.loads(str(state["told"]))
        recipes = tuple(Recipe(**each) for each in told["recipes"])
        qualities = told["qualities"]
        strata: dict[Key, Stratum] = {}
        number = 0
        for names, other in zip(told["strata"], told["same_as"], strict=True):
            key, same = tuple(names), tuple(other)
            if same != key:
                strata[key] = replace(strata[same], key=key)
                continue
            strata[key] = Stratum.from_state(key, recipes, part(str(number), state), qualities)
            number += 1
        refused = [Refusal(**{**each, "key": tuple(each["key"])}) for each in told["refused"]]
        return cls(recipes, strata, tuple(refused), qualities)

    def _first(self, key: Key) -> Key:
        """The coarsest stratum that has the same cases."""
        above = key[:-1]
        if not key or above not in self.strata:
            return key
        same = self.strata[above].together is self.strata[key].together
        return self._first(above) if same else key

    def judge(
        self, embeddings: Embeddings, keys: Sequence[Key], *, alarm: float = 0.01
    ) -> list[Judgement]:
        """Judge cases, each by its kind.

        Args:
            embeddings: ``(n, dim)``.
            keys: what kind of image each is.
            alarm: the false-alarm rate.

        Raises:
            ReferenceSetError: the rate is none.
            VectorError: rows that are no embeddings, or of another space.
        """
        judged: list[Judgement | None] = [None] * len(keys)
        chosen: dict[tuple[Key | None, str], list[int]] = {}
        for row, key in enumerate(keys):
            chosen.setdefault(self.stratum_for(key, alarm), []).append(row)
        for (by, why), rows in chosen.items():
            if by is None:
                answers = [Judgement(None, why, alarm=alarm)] * len(rows)
            else:
                answers = _judged(self.strata[by], embeddings[rows], why, alarm)
            for row, answer in zip(rows, answers, strict=True):
                judged[row] = answer
        return [each for each in judged if each is not None]

    def stratum_for(self, key: Key, alarm: float) -> tuple[Key | None, str]:
        """The finest stratum that can judge a kind of image, None if none can, and why.

        Raises:
            ReferenceSetError: the rate is none.
        """
        passed = []
        for beginning in beginnings(key):
            stratum = self.strata.get(beginning)
            if stratum is None:
                passed.append(f"{said(beginning)} is not in the reference, or with too few cases")
            elif not stratum.together.parts[0].enough_for(alarm):
                passed.append(
                    f"{said(beginning)} has {stratum.held_out:,} calibration cases, a rate of "
                    f"{alarm:g} needs {needed(alarm):,}"
                )
            else:
                return beginning, f"judged as {said(beginning)}" + _because(passed)
        return None, "cannot judge" + _because(passed)


def _rows_of(keys: Sequence[Key]) -> dict[Key, list[int]]:
    """Cases of each stratum, the coarsest first."""
    rows: dict[Key, list[int]] = {}
    for row, key in enumerate(keys):
        for beginning in beginnings(key):
            rows.setdefault(beginning, []).append(row)
    return dict(sorted(rows.items(), key=lambda each: (len(each[0]), each[0])))


def _too_little(calibrates: np.ndarray, owners: Sequence[str]) -> str:
    """Why there is too little of a kind; "" where there is enough."""
    fitted = int((~calibrates).sum())
    patients = len({owner for owner, yes in zip(owners, calibrates, strict=True) if yes})
    if fitted >= _FEWEST and patients >= _FEWEST:
        return ""
    return (
        f"{fitted:,} cases to fit on and {patients:,} patients to calibrate on: {_FEWEST} of each "
        "are the least"
    )


@dataclass(frozen=True)
class _Cases:
    """Cases of one stratum: their rows, whose they are, and which calibrate."""

    embeddings: Embeddings
    rows: np.ndarray
    owners: Sequence[str]
    calibrates: np.ndarray


def _fitted(
    key: Key, cases: _Cases, detectors: Mapping[str, Detector], qualities: int, seed: int
) -> Stratum:
    inside = cases.rows[~cases.calibrates]
    reference = np.asarray(cases.embeddings[inside])
    held = np.asarray(cases.embeddings[cases.rows[cases.calibrates]])
    made = {name: each.fit(reference, seed=seed) for name, each in detectors.items()}
    scores = [each.score(held) for each in made.values()]
    whose = [owner for owner, yes in zip(cases.owners, cases.calibrates, strict=True) if yes]
    near = _knn_of(made)
    if near is None:
        near = _finding(Recipe("knn").make(qualities).fit(reference, seed=seed))
    return Stratum(key, inside, made, Together.of(scores, whose), near)


def _knn_of(detectors: Mapping[str, Detector]) -> Knn | Columns | None:
    """The detector that finds the nearest cases, too, if there is one."""
    for each in detectors.values():
        if isinstance(each, Knn) or (isinstance(each, Columns) and isinstance(each.detector, Knn)):
            return each
    return None


def _finding(detector: Detector) -> Knn | Columns:
    """A detector that is known to find nearest cases."""
    assert isinstance(detector, Knn | Columns)  # noqa: S101 - made by the recipe of one
    return detector


def _judged(stratum: Stratum, embeddings: Embeddings, why: str, alarm: float) -> list[Judgement]:
    scores, away, near = stratum.looked_at(embeddings)
    together = stratum.together
    own = [part.p_values(each) for part, each in zip(together.parts, scores, strict=True)]
    thresholds, interval = stratum.limits(alarm)
    p_values = together.p_values(scores)
    judged = []
    for row in range(len(embeddings)):
        verdicts = {
            name: Verdict(float(score[row]), float(p[row]), threshold)
            for name, score, p, threshold in zip(
                stratum.detectors, scores, own, thresholds, strict=True
            )
            if np.isfinite(score[row])
        }
        found = near[row] >= 0
        nearest = zip(
            stratum.fitted[near[row][found]].tolist(), away[row][found].tolist(), strict=True
        )
        p_value = float(p_values[row])
        judged.append(
            Judgement(
                p_value <= alarm,
                why,
                stratum.key,
                p_value,
                alarm,
                interval,
                verdicts,
                tuple(nearest),
            )
        )
    return judged


def _because(passed: Sequence[str]) -> str:
    return f"; {'; '.join(passed)}" if passed else ""
