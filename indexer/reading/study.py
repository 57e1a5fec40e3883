"""A folder or an archive read as one study, to search with: as ingest reads it, nothing written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from indexer.errors import QueryError
from indexer.reading.drafts import InstanceDraft, ItemDraft, ReadOptions, SeriesTask, SliceRef
from indexer.reading.files import read_file
from indexer.reading.series import read_series
from indexer.reading.tasks import file_tasks, read_query
from indexer.sources.archives import archive_kind
from indexer.sources.discover import Problem, discover
from indexer.types import Outcome, Role

MOST_FILES = 20_000
"""Of a folder or an archive: more are no study."""
_NAMED = 3
"""Files that cannot be used and are named; of more the number is said."""


@dataclass(frozen=True)
class QueryItem:
    """An image or volume that was read, with the instance that it comes from."""

    draft: InstanceDraft
    item: ItemDraft


@dataclass(frozen=True)
class QueryStudy:
    """What was read, in the order of series and files.

    Attributes:
        items: at least one.
        notes: files that could not be used, in plain sentences.
    """

    items: tuple[QueryItem, ...]
    notes: tuple[str, ...] = ()


def read_study(path: Path, options: ReadOptions) -> QueryStudy:
    """Read a file, or all of a folder or an archive, as if it were indexed.

    Raises:
        QueryError: it is missing, holds no picture, or pictures of several studies.
        FileRejectedError: of a single file, with the reason that indexing it would give.
    """
    if not path.is_dir() and not (path.is_file() and archive_kind(str(path))):
        draft, items = read_query(path, options)
        return QueryStudy(tuple(QueryItem(draft, item) for item in items))
    found, bad = _read_all(path, options)
    if not found:
        what = f"; {bad[0]}" if bad else ""
        raise QueryError(f"{_name(path)} holds no picture to search with{what}")
    return QueryStudy(_of_one_study(found), tuple(_notes(bad)))


def _read_all(path: Path, options: ReadOptions) -> tuple[list[QueryItem], list[str]]:
    """All items, and a sentence for each file that cannot be used."""
    files = list(islice(discover([path]), MOST_FILES + 1))
    if len(files) > MOST_FILES:
        raise QueryError(f"{_name(path)} holds more than {MOST_FILES} files: more than one study")
    found: list[QueryItem] = []
    bad: list[str] = []
    waiting: dict[str, list[SliceRef]] = defaultdict(list)
    studies, seen = set[str](), set[str]()
    for number, file in enumerate(files):
        if isinstance(file, Problem):
            bad.append(f"{Path(file.key).name}: {file.detail}")
            continue
        for task in file_tasks(file, None, explicit=False):
            result = read_file(task, options)
            drafts = result.instances
            if result.waiting is not None:
                draft, header, role = result.waiting
                drafts = (draft,)
                ref = SliceRef(number, file, result.sha256, draft, header, role)
                waiting[draft.series_instance_uid].append(ref)
            elif result.outcome is Outcome.REJECTED:
                bad.append(f"{file.name}: {result.detail}")
            elif drafts and drafts[0].sop_instance_uid not in seen:
                seen.update(draft.sop_instance_uid for draft in drafts)
                found += _paired(drafts, result.items)
            _check_one_study(path, drafts, studies)
    for name, refs in waiting.items():
        series = read_series(SeriesTask(name, tuple(refs)), options, lambda _step: None)
        names = {ref.order: ref.source.name for ref in refs}
        bad += [f"{names[order]}: {detail}" for order, (_, detail) in series.rejected.items()]
        found += _paired(tuple(series.drafts.values()), series.items)
    return found, bad


def _check_one_study(path: Path, drafts: Iterable[InstanceDraft], studies: set[str]) -> None:
    """Stop at the second study; pictures without a header have none of their own."""
    studies.update(draft.study_instance_uid for draft in drafts if draft.sop_class_uid)
    if len(studies) > 1:
        raise QueryError(f"{_name(path)} holds pictures of several studies; search with one")


def _paired(drafts: tuple[InstanceDraft, ...], items: tuple[ItemDraft, ...]) -> Iterator[QueryItem]:
    """Each item with the instance it begins with."""
    by_uid = {draft.sop_instance_uid: draft for draft in drafts}
    for item in items:
        draft = by_uid.get(item.instance_uids[0]) if item.instance_uids else None
        yield QueryItem(draft or drafts[0], item)


def _of_one_study(found: Sequence[QueryItem]) -> tuple[QueryItem, ...]:
    """The items under one study and patient, also those that have none of their own.

    Localizers and their like are left out, unless they are all there is.
    """
    told = [each.draft for each in found if each.draft.sop_class_uid]
    first = told[0] if told else found[0].draft
    uid, patient = first.study_instance_uid, first.patient
    primary = [each for each in found if each.item.role is Role.PRIMARY] or found
    return tuple(
        replace(each, draft=replace(each.draft, study_instance_uid=uid, patient=patient))
        for each in primary
    )


def _name(path: Path) -> str:
    return path.name or "the folder"


def _notes(bad: list[str]) -> Iterator[str]:
    for sentence in bad[:_NAMED]:
        yield f"left out of the query: {sentence}"
    if len(bad) > _NAMED:
        yield f"left out of the query: {len(bad) - _NAMED} further files that cannot be used"
