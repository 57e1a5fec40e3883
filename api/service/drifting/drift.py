"""Whether what arrives has changed against a reference: window by window, and over all windows.

Scores of strata cannot be compared with each other, and a window has images of several. So each
score is turned into the normal quantile of its place among the calibration cases of its stratum
(`ood.standing`): standard normal without a change, whatever the stratum, for each detector apart.
The reference side of every test are held-out cases, one image of each patient, the same for scores,
columns and embeddings; a group is compared with held-out cases of its own if there are enough, for
a scanner that was always a little unlike the others is no change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from api.service.drifting.answers import DriftAnswer, DriftRequest, WatchAnswer
from api.service.drifting.cases import Side, Sides
from api.service.drifting.compare import TESTED, Compared
from api.service.drifting.windows import Window, by_days, by_studies
from clustering.contract import Progress, no_progress
from indexer.catalog.database import reading
from indexer.errors import QueryError
from indexer.library import Library
from ood.verdicts import checked_share

_GROUPS = 8


def drift(library: Library, request: DriftRequest, progress: Progress = no_progress) -> DriftAnswer:
    """Compare; raising in ``progress`` stops it. Nothing is stored.

    Raises:
        FilterError: the filter cannot be read.
        QueryError: no such reference, grouping or clustering; nothing passes the filter, or nothing
            has a date; a number out of range.
        ReferenceSetError: the reference is damaged, or has too few held-out patients.
    """
    checked_share("alpha", request.alpha)
    if request.most < 1:
        raise QueryError(f"1 window or more is looked at, not {request.most}")
    progress("reading", 0, 0)
    sides = Sides(
        library,
        request.reference,
        by=request.by,
        run=request.run,
        alarm=request.alarm,
        seed=request.seed,
    )
    with reading(library.engine) as db:
        arrived, notes = sides.arrived(db, request.filter, progress)
        windows, undated = _cut(arrived, request)
        held_out = sides.held_out(db, progress)
    groups, others = _groups(arrived, windows, request.by)
    compared = Compared(held_out, arrived, request, sides.alarm, groups)
    answers = []
    for number, window in enumerate(windows):
        progress("comparing windows", number, len(windows))
        answers.append(compared.window(window))
    watches = compared.watches(windows)
    changed, headline = _headline(windows, watches)
    return DriftAnswer(
        reference=request.reference,
        encoder=sides.space.encoder,
        filter=request.filter,
        by=request.by,
        alarm=sides.alarm,
        alpha=request.alpha,
        detectors=sides.detectors,
        held_out=len(compared.base),
        patients=len({arrived.owners[row] for window in windows for row in window.rows}),
        changed=changed,
        headline=headline,
        sentences=(*compared.power(answers), *_of_alarms(windows, watches)),
        notes=(*notes, *undated, *others, *compared.notes),
        windows=tuple(answers),
        watches=watches,
    )


def _cut(arrived: Side, request: DriftRequest) -> tuple[list[Window], tuple[str, ...]]:
    if request.studies:
        windows = by_studies(arrived.studies, arrived.dates, request.studies, request.most)
        missing = 0
    else:
        windows = by_days(arrived.dates, request.days, request.most)
        missing = sum(not day for day in arrived.dates)
    older = len(arrived.owners) - missing - sum(len(each.rows) for each in windows)
    notes = [
        (missing, "are of studies without a date"),
        (older, f"came before the newest {request.most:,} windows"),
    ]
    return windows, tuple(f"left out: {count:,} items {why}" for count, why in notes if count)


def _groups(arrived: Side, windows: Sequence[Window], by: str) -> tuple[list[str], tuple[str, ...]]:
    """The groups that are watched, the largest first, and what is said of the others.

    Raises:
        QueryError: nothing is known of the field.
    """
    if not by:
        return [], ()
    rows = [row for window in windows for row in window.rows]
    pairs = {(arrived.groups[row], arrived.owners[row]) for row in rows}
    sizes = Counter(group for group, _ in sorted(pairs, key=str) if group)
    if not sizes:
        raise QueryError(f"nothing is known of '{by}' for what arrived: group by something else")
    large = [name for name, size in sizes.most_common() if size >= TESTED]
    kept = large[:_GROUPS]
    notes = []
    if len(kept) < len(sizes):
        notes.append(
            f"{len(sizes) - len(kept):,} groups are not watched apart: they are not among the "
            f"{_GROUPS} largest, or have fewer than {TESTED} patients"
        )
    unknown = sum(not arrived.groups[row] for row in rows)
    if unknown:
        notes.append(f"the group of {unknown:,} items is not known; they count among all")
    return kept, tuple(notes)


def _headline(windows: Sequence[Window], watches: Sequence[WatchAnswer]) -> tuple[bool, str]:
    """Whether anything changed, and the answer in a sentence."""
    patients = sum(step.cases for step in watches[0].steps)
    seen = f"{len(windows):,} windows" if len(windows) != 1 else "the only window"
    found = sorted((each for each in watches if each.first is not None), key=_soonest)
    if not found:
        few = ", which alone seldom shows one" if len(windows) == 1 else ""
        return False, f"No sustained change in {seen}{few} ({patients:,} images, one of a patient)."
    since = next(each.since for each in found if each.since is not None)
    levels = [each.steps[_first(each)].level for each in found]
    unlike = "less usual" if min(levels) > 0 else "more usual" if max(levels) < 0 else "different"
    groups = list(dict.fromkeys(each.group for each in found if each.group))
    where = f" in {', '.join(groups)}" if groups else ""
    names = ", ".join(dict.fromkeys(each.detector for each in found))
    began = windows[since].first or windows[since].name
    start = f"since about {began}" if since else f"from the first window on ({began})"
    over = "" if any(each.lasting for each in found) else ", over by the last window"
    return True, (
        f"Sustained change{where} {start}{over}: images look {unlike} "
        f"than those of the reference ({names}; first alarm in {windows[_first(found[0])].name})."
    )


def _soonest(watch: WatchAnswer) -> tuple[int, float]:
    """The order of alarms: the first, and of those the one furthest beyond its limit."""
    step = watch.steps[_first(watch)]
    return _first(watch), -abs(step.level) / step.limit


def _first(watch: WatchAnswer) -> int:
    """The number of the window of the first alarm; after all others where there is none."""
    return len(watch.steps) if watch.first is None else watch.first


def _of_alarms(windows: Sequence[Window], watches: Sequence[WatchAnswer]) -> list[str]:
    told = []
    for each in watches:
        if each.first is None or each.since is None:
            continue
        step, last = each.steps[each.first], each.steps[-1]
        own = "of its own" if each.group and each.own else "of the reference"
        told.append(
            f"'{each.detector}' of {each.group or 'all images'}: away from 0 since "
            f"{windows[each.since].name}; first alarm in {windows[each.first].name}, where the "
            f"moving average is {step.level:+.2f} and its limits are {step.limit:.2f} to both "
            f"sides; in the last window it is {last.level:+.2f}; compared with "
            f"{each.reference:,} held-out patients {own}; without a change one alarm in "
            f"{each.run_length:,.0f} windows"
        )
    return told
