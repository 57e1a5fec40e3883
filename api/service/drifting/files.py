"""A drift report as files: JSON, a picture, and a page that needs nothing else."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from api.service.drifting.answers import DriftAnswer, WatchAnswer
from api.service.drifting.page import page
from api.service.evaluating.evaluation_files import as_json, publish_all
from indexer.groups.drift_chart import Line, Plot, drift_chart
from ood.shifts import FlaggedShare

JSON_FILE, CHART_FILE, PAGE_FILE = "drift.json", "drift.png", "drift.html"


def write_report(answer: DriftAnswer, folder: Path) -> list[Path]:
    """Write the report's files; each is whole or not there at all.

    Raises:
        StorageFullError: the folder cannot be written.
    """
    picture = io.BytesIO()
    chart(answer).save(picture, "PNG", optimize=True)
    files = {
        JSON_FILE: (json.dumps(as_json(answer), ensure_ascii=False, indent=2) + "\n").encode(),
        CHART_FILE: picture.getvalue(),
        PAGE_FILE: page(answer, picture.getvalue()).encode(),
    }
    return publish_all(folder, files)


def chart(answer: DriftAnswer) -> Image.Image:
    """A row of panels for each detector: means, moving average with limits, share flagged."""
    groups = tuple(dict.fromkeys(each.group for each in answer.watches if each.group))
    rows = [(name, _plots(answer, name, groups)) for name in answer.detectors]
    about = (
        f"reference {answer.reference} · {answer.held_out:,} held-out patients · "
        f"{answer.patients:,} patients arrived in {len(answer.windows):,} windows"
    )
    lines = (about, answer.filter and f"only {answer.filter}")
    names = [each.first[5:] if each.first else each.name for each in answer.windows]
    return drift_chart(answer.headline, [each for each in lines if each], names, rows, groups)


def _plots(answer: DriftAnswer, detector: str, groups: Sequence[str]) -> tuple[Plot, ...]:
    own = {each.group: each for each in answer.watches if each.detector == detector}
    whole, others = own[""], [own[group] for group in groups]
    mean = Plot(
        "mean normal score",
        Line(
            [step.mean for step in whole.steps],
            [step.low for step in whole.steps],
            [step.high for step in whole.steps],
        ),
        [Line([step.mean for step in each.steps]) for each in others],
        mark=0.0,
    )
    average = Plot(
        "moving average",
        Line(_levels(whole)),
        [Line(_levels(each)) for each in others],
        limits=[step.limit for step in whole.steps],
        alarms=[
            at for at in range(len(whole.steps)) if any(w.steps[at].alarm for w in own.values())
        ],
    )
    shares = [_share(answer, detector, at, "") for at in range(len(answer.windows))]
    flagged = Plot(
        "share flagged",
        Line(
            [each.share if each else None for each in shares],
            [each.low if each else None for each in shares],
            [each.high if each else None for each in shares],
        ),
        [_shares(answer, detector, group) for group in groups],
        mark=answer.alarm,
        percent=True,
    )
    return mean, average, flagged


def _levels(watch: WatchAnswer) -> list[float | None]:
    """Averages from the first window in which anything came."""
    begun = next((at for at, step in enumerate(watch.steps) if step.cases), len(watch.steps))
    return [None if at < begun else step.level for at, step in enumerate(watch.steps)]


def _shares(answer: DriftAnswer, detector: str, group: str) -> Line:
    found = [_share(answer, detector, at, group) for at in range(len(answer.windows))]
    return Line([each.share if each else None for each in found])


def _share(answer: DriftAnswer, detector: str, at: int, group: str) -> FlaggedShare | None:
    """What a detector flags in a window, None where there is too little to test."""
    window = answer.windows[at]
    part = next(each for each in (window.whole, *window.groups) if each.group == group)
    found = part.report.flagged if part.report else ()
    return next((each for each in found if each.detector == detector), None)
