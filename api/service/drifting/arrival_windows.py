"""Whether what arrives has drifted: a moving average over windows of judged studies, by group.

The figure of a study is the mean of its items' normal scores, from the p-values of all detectors
together. One figure rather than one a detector: the p-value is high for usual cases whichever
detector sees what is odd, and each further average would raise further false alarms. The mean over
items rather than the least p-value: the least of many falls with their number, the mean of usual
items is 0, and varies by no more than 1 however alike they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from sqlalchemy import Connection

from indexer.catalog.database import reading, transaction
from indexer.errors import QueryError
from indexer.groups.monitors import forget_group, group_states, keep_monitor, monitor_state
from indexer.groups.references import StoredReference, find_reference
from indexer.library import Library
from ood.alarms import Ewma, normal_score, window_figure

GROUPS = ("manufacturer", "model", "modality", "body_part")
ALL = "all"


@dataclass(frozen=True)
class Figures:
    """What a study adds to the window of its group.

    Attributes:
        group: the name of it.
        study: private number; parts of one study that come in one window count as one.
        scores: normal scores of its items.
        patients: that each was calibrated on.
    """

    group: str
    study: int
    scores: tuple[float, ...]
    patients: tuple[int, ...]


@dataclass
class _Group:
    """The average of a group, the windows it has seen, and the one that is filling.

    Attributes:
        studies: of the window that fills, by number: sum of scores, of 1 / patients, and items.
        raised: whether the alarm was told, and has not fallen back since.
    """

    alarm: Ewma = field(default_factory=Ewma.for_run_length)
    windows: int = 0
    raised: bool = False
    studies: dict[str, list[float]] = field(default_factory=dict)

    @classmethod
    def of(cls, state: Mapping[str, Any] | None) -> _Group:
        return cls() if state is None else cls(**{**state, "alarm": Ewma(**state["alarm"])})

    def take(self, one: Figures, window: int) -> dict[str, Any] | None:
        """Add a study; what an alarm tells, if this raises one."""
        held = self.studies.setdefault(str(one.study), [0.0, 0.0, 0])
        held[0] += sum(one.scores)
        held[1] += sum(1 / each for each in one.patients)
        held[2] += len(one.scores)
        if len(self.studies) < window:
            return None
        sums, inverse, counts = np.array(list(self.studies.values())).T
        scores, patients = sums / counts, counts / inverse
        figure = window_figure(scores, patients, self.alarm.weight)
        before = self.raised
        self.alarm, self.raised = self.alarm.update(figure)
        self.windows, self.studies = self.windows + 1, {}
        if before or not self.raised:
            return None
        return {
            "studies": window,
            "windows": self.windows,
            "mean_normal_score": round(float(scores.mean()), 4),
            "moving_average": round(self.alarm.level, 4),
            "limit": round(self.alarm.limit, 4),
            "reasons": list(self.alarm.sentences),
        }


@dataclass(frozen=True)
class GroupStanding:
    """Where the watch over one group stands.

    Attributes:
        windows: that are full.
        waiting: studies in the one that fills.
        moving_average, limit: an average further from 0 is an alarm.
        alarm: whether it is one.
    """

    group: str
    windows: int
    waiting: int
    moving_average: float
    limit: float
    alarm: bool


def item_figure(
    p_value: float, stratum: str, described_by: str, reference: StoredReference
) -> tuple[float, int]:
    """The normal score of an item, and how many patients the stratum that judged has."""
    patients = next(
        int(each["patients"])
        for each in reference.report["strata"]
        if (each["stratum"], each["described_by"]) == (stratum, described_by)
    )
    return normal_score(p_value, patients), patients


def take_figures(
    db: Connection, reference: StoredReference, figures: Iterable[Figures], window: int
) -> list[dict[str, Any]]:
    """Add studies to the windows of their groups, in the caller's transaction; alarms they raise.

    An alarm is told once, and again only after the average has fallen back or was reset.
    """
    groups: dict[str, _Group] = {}
    alarms = []
    for each in figures:
        if each.group not in groups:
            groups[each.group] = _Group.of(monitor_state(db, reference, each.group))
        told = groups[each.group].take(each, window)
        if told is not None:
            alarms.append({"group": each.group, **told})
    for name, group in groups.items():
        keep_monitor(db, reference, name, asdict(group))
    return alarms


def standings(library: Library, name: str) -> list[GroupStanding]:
    """Where the watch over each group of a reference stands.

    Raises:
        QueryError: there is no reference of this name.
    """
    reference = find_reference(library, name)
    with reading(library.engine) as db:
        states = group_states(db, reference)
    found = []
    for watched, state in states.items():
        group = _Group.of(state)
        found.append(
            GroupStanding(
                watched,
                group.windows,
                len(group.studies),
                round(group.alarm.level, 4),
                round(group.alarm.limit, 4),
                group.raised,
            )
        )
    return found


def reset(library: Library, name: str, group: str = "") -> list[str]:
    """Start the averages of a reference anew, of one group or of all; scores stay.

    Raises:
        QueryError: there is no reference of this name, or no such group.
    """
    reference = find_reference(library, name)
    with transaction(library.engine) as db:
        there = list(group_states(db, reference))
        if group and group not in there:
            raise QueryError(f"no group '{group}' is watched; there are: {', '.join(there)}")
        chosen = [group] if group else there
        for each in chosen:
            forget_group(db, reference, each)
    return chosen
