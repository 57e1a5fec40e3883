"""What is asked of a drift report, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass

from ood.drift import DriftReport
from ood.sustained import Step
from ood.verdicts import ALPHA


@dataclass(frozen=True)
class DriftRequest:
    """What to compare.

    Attributes:
        reference: name of it.
        filter: of what arrived; what is part of the reference is left out anyhow.
        days: of a window, by the date of the study.
        studies: in a window; above 0 it takes the place of ``days``.
        by: groups that are watched apart, see `api.service.drifting.cases.Sides`.
        run: a clustering whose clusters are compared, too.
        alarm: the false-alarm rate of flags; None takes that of the reference.
        alpha: how often a window without a change may be said to differ, and again as often any of
            its groups.
        seed: of all that is drawn.
        most: windows that are looked at, the newest.
    """

    reference: str
    filter: str = ""
    days: int = 7
    studies: int = 0
    by: str = ""
    run: str = ""
    alarm: float | None = None
    alpha: float = ALPHA
    seed: int = 0
    most: int = 104


@dataclass(frozen=True)
class PartAnswer:
    """A window, or what came in it of one group.

    Attributes:
        group: "" for all of the window.
        studies, patients: that came.
        flagged, low, high: share of patients' images that all detectors together flag, with its
            exact 95 % interval; None where nothing came.
        differs: whether a test says so; None where there were too few to test.
        report: of all tests.
        sentences: it in words.
    """

    group: str
    studies: int
    patients: int
    flagged: float | None
    low: float | None
    high: float | None
    differs: bool | None
    report: DriftReport | None
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class WindowAnswer:
    """A window with its groups; ``first`` and ``last`` are its dates, "" where none is known."""

    name: str
    first: str
    last: str
    whole: PartAnswer
    groups: tuple[PartAnswer, ...]


@dataclass(frozen=True)
class WatchAnswer:
    """One detector, of all or of a group, over all windows.

    Attributes:
        detector, group: of what; group "" is all.
        reference: held-out patients that it is compared with.
        own: whether these are of the group itself.
        run_length: windows between its false alarms.
        first: number of the window of the first alarm, from 0; None without one.
        since: of the window in which what raised it is likely to have begun; None without one.
        lasting: whether the average is beyond its limit in the last window, too.
        steps: one for each window.
    """

    detector: str
    group: str
    reference: int
    own: bool
    run_length: float
    first: int | None
    since: int | None
    lasting: bool
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class DriftAnswer:
    """What was found.

    Attributes:
        reference, encoder, filter, by: what was compared.
        alarm, alpha: the rates that were declared.
        detectors: names.
        held_out: patients of the reference's side.
        patients: that arrived.
        changed: whether any watch raised an alarm.
        headline: the answer in a sentence.
        sentences: what a reader should know of the method and its power, and of each alarm.
        notes: what was left out.
        windows: oldest first.
        watches: of all, then of the groups.
    """

    reference: str
    encoder: str
    filter: str
    by: str
    alarm: float
    alpha: float
    detectors: tuple[str, ...]
    held_out: int
    patients: int
    changed: bool
    headline: str
    sentences: tuple[str, ...]
    notes: tuple[str, ...]
    windows: tuple[WindowAnswer, ...]
    watches: tuple[WatchAnswer, ...]
