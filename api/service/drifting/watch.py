"""Watch what arrives in a library: judge it against a reference, tell of flags and of drift.

Scores, averages and messages that follow from a batch are written in one transaction: after kill -9
at any moment no item is judged twice, and no message is lost. Messages are sent between passes.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from api.service.drifting.arrival_windows import ALL, GROUPS, Figures, item_figure, take_figures
from api.service.judging.judge import ItemAnswer, Judge, StudyAnswer
from api.service.outgoing.webhooks import (
    Attempt,
    Message,
    Posting,
    check_webhook,
    deliver,
    seconds_to_next,
)
from clustering.contract import Progress, no_progress
from indexer.catalog.database import reading, transaction
from indexer.config import Settings
from indexer.errors import ConfigError
from indexer.groups.monitors import ARRIVALS, keep_monitor, monitor_state, move_on
from indexer.groups.outbox import add_deliveries
from indexer.groups.scores import (
    Arrived,
    Score,
    items_without_score,
    keep_scores,
    newest_vector,
)
from indexer.library import Library

_BATCH = 1_024
_LISTED = 100
"""Items that a message lists at most, the oddest ones."""
_SOONEST = 0.05
"""Seconds between two looks at the outbox, at least."""


@dataclass(frozen=True)
class WatchRequest:
    """What to watch and whom to tell.

    Attributes:
        reference: its name.
        alarm: the false-alarm rate; None takes the one that it was fitted for.
        once: a single pass over what has arrived since the last; else for ever.
        every: seconds between passes.
        backlog: take what was there before the first watch, too.
        window: studies in a window of the moving average.
        by: one of `GROUPS` that studies are grouped by, "" for all together.
        posting: webhooks, and how messages get there.
    """

    reference: str
    alarm: float | None = None
    once: bool = False
    every: float = 30.0
    backlog: bool = False
    window: int = 50
    by: str = ""
    posting: Posting = field(default_factory=Posting)


@dataclass(frozen=True)
class Judged:
    """One batch of arrivals: how many studies, and what was said of them."""

    studies: int
    items: int
    flagged: int
    cannot_be_judged: int


Event = Message | Judged | Attempt


def watch(
    library: Library,
    request: WatchRequest,
    progress: Progress = no_progress,
    stop: threading.Event | None = None,
    settings: Settings | None = None,
) -> Iterator[Event]:
    """Judge what arrives, and send what follows from it; each event comes after it was stored.

    Arrivals are primary items whose vector came after the first watch of this reference began;
    those that came while no watch ran are taken up by the next. Items that the reference is made
    of are never judged.

    Args:
        library: whose.
        request: what to watch.
        progress: told what is being done; what it raises ends the watch.
        stop: ends it before the next batch or message when it is set.
        settings: how files are read again for reasons; None takes those of the environment.

    Raises:
        ConfigError: an option or a webhook is wrong.
        LibraryLockedError: another process watches the same reference.
        QueryError: there is no such reference, or it was removed meanwhile.
        ReferenceSetError: its file is gone or damaged, or the rate is none.
    """
    _check(request)
    stop = stop or threading.Event()
    progress("loading the reference", 0, 0)
    judge = Judge(library, request.reference, request.alarm, settings=settings)
    busy = f"the reference '{request.reference}' is being watched"
    with library.busy_with(f"watch-{judge.stored.id}", busy):
        watcher = _Watcher(library, request, judge)
        watcher.begin()
        while not stop.is_set():
            yield from watcher.arrivals(progress, stop)
            progress("waiting for arrivals", 0, 0)
            if request.once:
                while not stop.is_set() and (sent := deliver(library, request.posting)):
                    yield from sent
                return
            yield from _between(library, request, stop)


def _check(request: WatchRequest) -> None:
    if request.by not in ("", *GROUPS):
        raise ConfigError(f"studies are grouped by {', '.join(GROUPS)}, not by '{request.by}'")
    if request.window < 2:
        raise ConfigError(f"a window has two studies or more, not {request.window}")
    if not (math.isfinite(request.every) and request.every > 0):
        raise ConfigError(f"the time between passes is above 0 seconds, not {request.every}")
    for url in request.posting.urls:
        check_webhook(url, insecure=request.posting.insecure)
    if request.posting.urls and not request.posting.secret:
        raise ConfigError("webhooks need a secret that signs messages")


def _between(library: Library, request: WatchRequest, stop: threading.Event) -> Iterator[Event]:
    """Send what is due until the next pass."""
    ends = time.monotonic() + request.every
    while not stop.is_set() and (left := ends - time.monotonic()) > 0:
        yield from deliver(library, request.posting)
        places = (*request.posting.urls, *request.posting.reports)
        due = seconds_to_next(library, places)
        stop.wait(left if due is None else min(left, max(due, _SOONEST)))


class _Watcher:
    """A watch of one reference."""

    def __init__(self, library: Library, request: WatchRequest, judge: Judge) -> None:
        self._library, self._request, self._judge = library, request, judge
        self._reference = judge.stored

    def begin(self) -> None:
        """Note where arrivals begin: after what is there now, unless a watch noted it before."""
        with transaction(self._library.engine) as db:
            if self._request.backlog:
                keep_monitor(db, self._reference, ARRIVALS, {"after": 0})
            elif monitor_state(db, self._reference, ARRIVALS) is None:
                newest = newest_vector(db, self._judge.space)
                keep_monitor(db, self._reference, ARRIVALS, {"after": newest})

    def arrivals(self, progress: Progress, stop: threading.Event) -> Iterator[Event]:
        """Judge what has arrived, batch by batch."""
        done = 0
        while not stop.is_set() and (batch := self._next()):
            progress("judging", done, 0)
            own = np.isin([each.id for each in batch], self._judge.made_of)
            new = [each for each, skip in zip(batch, own, strict=True) if not skip]
            answers = self._judge.of_ids(np.array(sorted(each.id for each in new), np.int64))
            messages = self._store(batch[-1].seq, new, answers)
            done += len(new)
            yield from messages
            if answers:
                yield Judged(
                    len(answers),
                    sum(len(each.items) for each in answers),
                    sum(each.flagged is True for each in answers),
                    sum(each.flagged is None for each in answers),
                )

    def _next(self) -> list[Arrived]:
        """The next arrivals; a study at the end of a full batch is left whole to the next."""
        with reading(self._library.engine) as db:
            state = monitor_state(db, self._reference, ARRIVALS)
            after = 0 if state is None else state["after"]
            space = self._judge.space
            found = items_without_score(db, self._reference, space, _BATCH, after)
        if len(found) < _BATCH:
            return found
        last = found[-1].study_id
        ends = next((at for at in range(len(found), 0, -1) if found[at - 1].study_id != last), 0)
        return found[:ends] or found

    def _store(
        self, seq: int, arrived: Sequence[Arrived], answers: Sequence[StudyAnswer]
    ) -> list[Message]:
        """Write all that follows from a batch; its messages."""
        by_uid = {each.item: each for each in arrived}
        scores = [score_of(by_uid[one.item].id, one) for each in answers for one in each.items]
        with transaction(self._library.engine) as db:
            move_on(db, self._reference, seq)
            there = keep_scores(db, self._reference, scores)
            # An item may have been removed, or made anew, since it was read.
            kept = {uid: each for uid, each in by_uid.items() if each.id in there}
            messages = [
                Message(event="flag", data=self._flag(each, kept))
                for each in answers
                if each.flagged and any(one.item in kept for one in each.items)
            ]
            figures = [made for each in answers if (made := self._figures(each, kept)) is not None]
            alarms = take_figures(db, self._reference, figures, self._request.window)
            messages += [Message(event="drift", data=self._about() | each) for each in alarms]
            posting = self._request.posting
            for message in messages:
                places = posting.reports if message.event == "flag" else ()
                add_deliveries(db, (*posting.urls, *places), message.body)
        return messages

    def _about(self) -> dict[str, Any]:
        return {
            "library": self._library.config.id,
            "reference": self._reference.name,
            "encoder": self._reference.encoder,
        }

    def _flag(self, answer: StudyAnswer, kept: dict[str, Arrived]) -> dict[str, Any]:
        """What a message tells of a flagged study: UIDs, and nothing of the patient."""
        items = [one for one in answer.items if one.item in kept]
        items.sort(key=lambda one: 2.0 if one.p_value is None else one.p_value)
        series = dict.fromkeys(kept[one.item].series_instance_uid for one in items)
        return self._about() | {
            "study_instance_uid": answer.study_instance_uid,
            "series_instance_uids": list(series),
            "p_value": answer.p_value,
            "alarm": answer.alarm,
            "reason": answer.reason,
            "judged_items": len(items),
            "items": [_told(one, kept[one.item]) for one in items[:_LISTED]],
            "notes": list(answer.notes),
        }

    def _figures(self, answer: StudyAnswer, kept: dict[str, Arrived]) -> Figures | None:
        """What a study adds to its window; None where nothing of it was judged."""
        judged = [
            item_figure(one.p_value, one.stratum, one.described_by, self._reference)
            for one in answer.items
            if one.item in kept and one.p_value is not None and one.stratum is not None
        ]
        if not judged:
            return None
        first = next(kept[one.item] for one in answer.items if one.item in kept)
        by = self._request.by
        group = f"{by}={getattr(first, by)}" if by else ALL
        scores, patients = zip(*judged, strict=True)
        return Figures(group, first.study_id, scores, patients)


def score_of(number: int, answer: ItemAnswer) -> Score:
    """What is kept of an answer about the item of a number."""
    if answer.p_value is None:
        why = {"code": "cannot_judge", "sentence": answer.why, "value": None}
        return Score(number, 0.0, None, None, {}, "", [why])
    oddest = min(answer.verdicts.values(), key=lambda each: each.p_value)
    verdicts = {
        name: {"score": each.score, "p_value": each.p_value}
        for name, each in answer.verdicts.items()
    }
    stratum = answer.stratum or ""
    findings = [asdict(each) for each in answer.findings]
    return Score(number, oddest.score, answer.p_value, answer.flagged, verdicts, stratum, findings)


def _told(answer: ItemAnswer, arrived: Arrived) -> dict[str, Any]:
    return {
        "item": answer.item,
        "series_instance_uid": arrived.series_instance_uid,
        "modality": arrived.modality,
        "body_part": arrived.body_part,
        "flagged": answer.flagged,
        "p_value": answer.p_value,
        "stratum": answer.stratum,
        "judged_as": answer.why,
        "reason": answer.reason,
        "findings": [asdict(each) for each in answer.findings],
        "detectors": {
            name: {
                "score": each.score,
                "p_value": each.p_value,
                # With few patients a threshold can lie at infinity, which JSON does not know.
                "threshold": each.threshold if math.isfinite(each.threshold) else None,
            }
            for name, each in answer.verdicts.items()
        },
    }
