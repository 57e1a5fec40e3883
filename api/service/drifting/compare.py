"""Held-out cases against what arrived: every window, every group in it, and all over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from api.service.drifting.answers import DriftRequest, PartAnswer, WatchAnswer, WindowAnswer
from api.service.drifting.cases import FEWEST, TOGETHER, Side
from api.service.drifting.windows import Window
from ood.alarms import Ewma
from ood.drift import DriftReport, Sample, window_drift
from ood.mmd import FEWEST as FEWEST_ROWS
from ood.shifts import POWER, detectable_shift, flagged_share
from ood.sustained import began, sustained

RUN_LENGTH = 1_000.0
"""Windows between two false alarms, over all that is watched together."""
TESTED = 10
"""Fewer patients of a window are shown, and not tested."""
_LONGEST = 100_000.0


class Compared:
    """Both sides, and which held-out cases each group is compared with."""

    def __init__(
        self,
        held_out: Side,
        arrived: Side,
        request: DriftRequest,
        alarm: float,
        groups: Sequence[str],
    ) -> None:
        self._held, self._arrived, self._groups = held_out, arrived, groups
        self._request, self._alarm = request, alarm
        self._detectors = tuple(held_out.sample.scores)
        self.base = held_out.one_each(range(len(held_out.owners)))
        self._own: dict[str, np.ndarray] = {}
        for group in groups:
            rows = held_out.one_each(_of_group(held_out, range(len(held_out.groups)), group))
            if len(rows) >= FEWEST:
                self._own[group] = rows
        self._columns = _telling(held_out.sample.columns, arrived.sample.columns)
        self._rows = len(self.base) >= FEWEST_ROWS
        self.notes = tuple(self._notes())

    def window(self, window: Window) -> WindowAnswer:
        """All tests of a window."""
        groups = [
            self._part(group, _of_group(self._arrived, window.rows, group))
            for group in self._groups
        ]
        whole = self._part("", window.rows)
        return WindowAnswer(window.name, window.first, window.last, whole, tuple(groups))

    def watches(self, windows: Sequence[Window]) -> tuple[WatchAnswer, ...]:
        """Every detector, of all and of each group, over all windows."""
        count = len(self._detectors) * (1 + len(self._groups))
        run_length = min(RUN_LENGTH * count, _LONGEST)
        ewma = Ewma.for_run_length(run_length)
        found = []
        for group in ("", *self._groups):
            rows = [self._arrived.one_each(self._rows_of(each, group)) for each in windows]
            against = self._own.get(group, self.base)
            for name in self._detectors:
                before = self._held.sample.scores[name][against]
                scores = self._arrived.sample.scores[name]
                steps = sustained(before, [scores[each] for each in rows], ewma)
                first = next((at for at, step in enumerate(steps) if step.alarm), None)
                found.append(
                    WatchAnswer(
                        detector=name,
                        group=group,
                        reference=len(against),
                        own=not group or group in self._own,
                        run_length=run_length,
                        first=first,
                        since=None if first is None else began(steps, first),
                        lasting=first is not None and abs(steps[-1].level) > steps[-1].limit,
                        steps=steps,
                    )
                )
        return tuple(found)

    def power(self, windows: Sequence[WindowAnswer]) -> list[str]:
        """What windows like these can show at all."""
        sizes = [each.whole.patients for each in windows if each.whole.patients]
        usual = round(float(np.median(sizes)))
        watched = len(self._detectors) * (1 + len(self._groups))
        told = [
            (
                "scores are places among held-out cases of the same kind, as normal quantiles: 0 "
                "is usual, +1 is as unlike as one usual case in six"
            ),
            (
                f"without a change one false alarm of a sustained change in {RUN_LENGTH:,.0f} "
                f"windows is expected, over all {watched} averages that are watched; limits are "
                "wider where few held-out patients are compared with"
            ),
            (
                f"a window without a change is said to differ in at most {self._request.alpha:.1%} "
                "of cases, and any of its groups in as many again: of many windows some differ by "
                "chance"
            ),
        ]
        if usual >= TESTED:
            shift = detectable_shift(
                len(self.base),
                usual,
                alpha=self._request.alpha / len(self._detectors),
                power=POWER,
            )
            told.append(
                f"a window of {usual:,} patients, as is usual here, shows a shift of {shift:.2f} "
                f"standard deviations with a probability of {POWER:.0%}; smaller ones show over "
                "several windows, or not at all"
            )
        return told

    def _rows_of(self, window: Window, group: str) -> Sequence[int]:
        return _of_group(self._arrived, window.rows, group) if group else window.rows

    def _part(self, group: str, came: Sequence[int]) -> PartAnswer:
        rows = self._arrived.one_each(came)
        studies = len({self._arrived.studies[row] for row in came})
        if not len(rows):
            return PartAnswer(group, 0, 0, None, None, None, None, None, ("nothing came",))
        share = flagged_share(
            self._arrived.sample.p_values[TOGETHER][rows], self._alarm, detector=TOGETHER
        )
        figures = (share.share, share.low, share.high)
        if len(rows) < TESTED:
            told = (*share.sentences, f"{len(rows)} patients are too few to test: {TESTED} are")
            return PartAnswer(group, studies, len(rows), *figures, None, None, told)
        report = self._report(group, rows)
        return PartAnswer(
            group, studies, len(rows), *figures, report.differs, report, report.sentences
        )

    def _report(self, group: str, rows: np.ndarray) -> DriftReport:
        against = self._own.get(group, self.base)
        columns = self._columns
        if group:
            # What a group is grouped by differs from all others, and says nothing of a change.
            kept = self._columns if group in self._own else ()
            columns = tuple(name for name in kept if name != self._request.by)
        with_rows = self._rows and not group
        alpha = self._request.alpha / (max(1, len(self._groups)) if group else 1)
        reference = _parts(self._held.sample.rows(against), columns, with_rows=with_rows)
        return window_drift(
            replace(reference, p_values={}),
            _parts(self._arrived.sample.rows(rows), columns, with_rows=with_rows),
            alarm=self._alarm,
            alpha=alpha,
            power=POWER,
            seed=self._request.seed,
        )

    def _notes(self) -> list[str]:
        notes = [
            f"{group} has fewer than {FEWEST} held-out patients in the reference: it is compared "
            f"with all {len(self.base):,}"
            for group in self._groups
            if group not in self._own
        ]
        if not self._rows:
            notes.append(
                f"embeddings are not compared: that needs {FEWEST_ROWS} held-out patients, there "
                f"are {len(self.base)}"
            )
        return notes


def _of_group(side: Side, rows: Sequence[int], group: str) -> list[int]:
    return [row for row in rows if side.groups[row] == group]


def _telling(
    held_out: Mapping[str, Sequence[str | None]], arrived: Mapping[str, Sequence[str | None]]
) -> tuple[str, ...]:
    """Columns that have more than one value."""
    return tuple(name for name, values in held_out.items() if len({*values, *arrived[name]}) > 1)


def _parts(sample: Sample, columns: Sequence[str], *, with_rows: bool) -> Sample:
    return replace(
        sample,
        columns={name: sample.columns[name] for name in columns},
        embeddings=sample.embeddings if with_rows else None,
    )
