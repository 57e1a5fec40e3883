"""What curation finds, as queues of work that keep what was said of each subject."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.service.curating import reviews
from api.service.curating.curate import Report
from api.service.curating.editing import Author
from api.service.curating.labelling import MOST, Changed
from indexer.library import Library

_KNOWN = ("item", "modality", "body_part")
"""Of a row: the catalog tells it of the subject, and maybe otherwise by then."""


def queue_findings(
    library: Library,
    queue: str,
    report: Report,
    author: Author,
    *,
    task: str,
    label: str = "",
    most: int | None = None,
) -> Changed:
    """Let a queue have what was found; what it has already stays as it is.

    Args:
        library: whose.
        queue: its name.
        report: of `api.service.curating.curate`.
        author: who asked for it.
        task: name of the report, as ``duplicates``.
        label: that the report is about; "" for none.
        most: subjects, from the first on; None takes all.

    Raises:
        QueryError: that is no name of a queue.
    """
    rows = report.rows if report.pairs is None else report.pairs
    findings: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in rows:
        uids, said = finding_of(task, row, label)
        findings.setdefault(uids, said)
    subjects, added = list(findings)[:most], 0
    for start in range(0, len(subjects), MOST):
        some = subjects[start : start + MOST]
        of_each = [findings[each] for each in some]
        added += reviews.fill_queue(library, queue, some, author, of_each).changed
    return Changed(added, len(subjects) - added)


def finding_of(
    task: str, row: Mapping[str, Any], label: str
) -> tuple[tuple[str, ...], dict[str, Any]]:
    """The subject of a row of a report, and what the row says of it.

    Args:
        task: name of the report.
        row: of an item, or of a pair: ``first`` and ``second``.
        label: that the report is about; "" for none.
    """
    uids = (row["item"],) if "item" in row else (row["first"], row["second"])
    said = {name: each for name, each in row.items() if name not in _KNOWN}
    return uids, {"task": task, **({"label": label} if label else {}), **said}
