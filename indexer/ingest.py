"""Files to vectors: discover, read and prepare in workers, encode in batches, one writer.

Single-frame CT, MR and PET files wait in a scratch file until all of a round have been looked at,
then each series is assembled as a whole. The catalog only ever sees finished work: a file with its
metadata and vectors, or its rejection, in one transaction. A run that was killed is taken up by the
next one, because the ledger knows what is done.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, insert, select, update
from threadpoolctl import threadpool_limits

from indexer.catalog.database import reading, transaction
from indexer.catalog.tables import Instance, Job, LedgerRow, Series, now
from indexer.catalog.words import purge_words
from indexer.catalog.writer import (
    CatalogWriter,
    SeriesChangedError,
    StoredVector,
    Vectors,
    Written,
    uids_above,
)
from indexer.embedding import embed_each
from indexer.errors import StorageFullError
from indexer.evidence.grounds import refresh_grounds
from indexer.index.saving import save_all
from indexer.library import Library
from indexer.reading.dicom import merged
from indexer.reading.drafts import (
    FileResult,
    FileTask,
    InstanceDraft,
    ItemDraft,
    ReadOptions,
    SeriesResult,
    SeriesTask,
    SliceRef,
    refused,
)
from indexer.reading.tasks import earlier_slice, file_tasks, known_uids, read_task
from indexer.registry import usable_encoder
from indexer.searching.slices import SliceSet, volume_slices
from indexer.sources.discover import Problem, SourceFile, discover
from indexer.sources.tables import MetadataTable
from indexer.stores.contract import IndexOptions
from indexer.types import Attributes, Embedding, Outcome, Reason
from indexer.waiting import Waiting, rounds_of
from indexer.workers import Failure, WorkerLimits, WorkerPool

T = TypeVar("T")
Pool = WorkerPool[Any, Any]

_FLUSH_ITEMS = 64
_FLUSH_FILES = 256
_FLUSH_SECONDS = 2.0
_ROUND_FILES = 50_000
"""After so many files, at a change of folder, waiting series are assembled."""
_RETRIED = {Reason.UNREADABLE, Reason.UNSTABLE, Reason.SERIES_INCOMPLETE_SOURCE}
"""Rejections that the next run tries again by itself; the cause lies outside the file."""


@dataclass(frozen=True)
class IngestProgress:
    """How far a run is; ``found`` grows while ``discovering``."""

    found: int
    done: int
    rejected: int
    items: int
    discovering: bool
    seconds: float


@dataclass
class IngestSummary:
    """What a run did. ``outcomes`` adds up to ``files``, unless it was ``stopped``."""

    files: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    reasons: Counter[Reason] = field(default_factory=Counter)
    items: int = 0
    seconds: float = 0.0
    stopped: bool = False
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class IngestOptions:
    """How a run works.

    Attributes:
        workers: processes that read and prepare.
        limits: wall time and memory of one file.
        read: how files are read.
        table: metadata for the files, or None.
        explicit_table: the user named it, so file names in it count for DICOM files too.
        retry_rejected: read files again that an earlier run rejected.
        index: how the index is built.
    """

    workers: int
    read: ReadOptions
    limits: WorkerLimits = field(default_factory=WorkerLimits)
    table: MetadataTable | None = None
    explicit_table: bool = False
    retry_rejected: bool = False
    index: IndexOptions = field(default_factory=IndexOptions)


def index_paths(
    library: Library,
    paths: Sequence[Path],
    options: IngestOptions,
    *,
    on_progress: Callable[[IngestProgress], None] | None = None,
    stop: threading.Event | None = None,
) -> IngestSummary:
    """Index files, folders and archives into a library; idempotent, and resumed by repeating it.

    Args:
        library: open; its writer lock is taken for the run.
        paths: what to index.
        options: how.
        on_progress: called a few times a second from this thread.
        stop: when set, the batch in hand is committed and the run ends.

    Raises:
        SourceError: a path does not exist.
        LibraryLockedError, StorageFullError: nothing already stored is harmed.
    """
    return index_found(library, discover(paths), options, on_progress=on_progress, stop=stop)


def index_found(
    library: Library,
    found: Iterable[SourceFile | Problem],
    options: IngestOptions,
    *,
    on_progress: Callable[[IngestProgress], None] | None = None,
    stop: threading.Event | None = None,
) -> IngestSummary:
    """As `index_paths`, for files found by other means."""
    with library.writing():
        run = _Ingest(library, options, on_progress, stop or threading.Event())
        return run.run(found)


class _Ingest:
    """One run. The pool's thread discovers and hands out; this thread encodes, writes, counts."""

    def __init__(
        self,
        library: Library,
        options: IngestOptions,
        on_progress: Callable[[IngestProgress], None] | None,
        stop: threading.Event,
    ) -> None:
        self._library, self._options, self._stop = library, options, stop
        self._report = on_progress
        self._encoders = {
            name: usable_encoder(options.read.context(name)) for name in library.config.encoders
        }
        spaces = {n: library.ensure_space(e.spec) for n, e in self._encoders.items()}
        self._spaces = list(spaces.values())
        self._writer = CatalogWriter({name: space.id for name, space in spaces.items()})
        self._summary = IngestSummary()
        self._known: Counter[tuple[Outcome, Reason | None]] = Counter()
        self._annotations: list[tuple[str, Attributes | None]] = []
        self._guard = threading.Lock()  # for the two above and _found: both threads use them
        self._found, self._discovering = 0, True
        self._batch: list[FileResult] = []
        self._last_report = self._start = time.monotonic()
        self._last_flush = -math.inf  # the first item is encoded at once, while others are read

    def run(self, found: Iterable[SourceFile | Problem]) -> IngestSummary:
        job = self._begin_job()
        try:
            scratch = self._library.scratch_folder / "waiting.sqlite"
            with closing(Waiting(scratch)) as waiting, self._pool() as pool:
                rounds = rounds_of(self._counted(found), _ROUND_FILES)
                for part in rounds:
                    self._read_files(pool, part, waiting)
                    self._read_series(pool, waiting)
                    if self._stop.is_set():
                        break
        except BaseException:
            self._end_job(job, "failed")
            raise
        self._summary.stopped = self._stop.is_set()
        self._discovering = False
        save_all(self._library, self._options.index)
        with transaction(self._library.engine) as db:
            purge_words(db)
        if not self._summary.stopped:
            refresh_grounds(self._library)
        self._end_job(job, "stopped" if self._summary.stopped else "done")
        self._show(force=True)
        return self._summary

    def _pool(self) -> Pool:
        return WorkerPool(
            read_task,
            self._options.read,
            workers=self._options.workers,
            limits=self._options.limits,
        )

    # -- first pass: every file -----------------------------------------------------------------

    def _counted(self, found: Iterable[SourceFile | Problem]) -> Iterator[SourceFile | Problem]:
        for file in found:
            if isinstance(file, SourceFile) and self._is_own(file.path):
                continue
            with self._guard:
                self._found += 1
            yield file
        self._discovering = False

    def _is_own(self, path: str) -> bool:
        """Whether it is the library itself, inside what is indexed, and not what was sent to it."""
        received = f"{self._library.inbox_folder}/"
        if path.startswith(received):
            return path.startswith(f"{received}.")  # hidden there is what has not come whole
        return path.startswith(f"{self._library.path}/")

    def _tasks(self, found: Iterable[SourceFile | Problem]) -> Iterator[FileTask | Problem]:
        """Tasks for what the ledger does not know; runs in the pool's thread."""
        for group in _batches(found, 500):
            ledger = self._ledger([f.key for f in group])
            for file in group:
                if self._stop.is_set():
                    return
                if isinstance(file, Problem):
                    yield file
                    continue
                row = ledger.get(file.key)
                if row is not None and self._is_done(file, row):
                    self._count_known(file, row)
                else:
                    yield from self._file_tasks(file)

    def _file_tasks(self, file: SourceFile) -> Iterator[FileTask]:
        yield from file_tasks(file, self._options.table, explicit=self._options.explicit_table)

    def _ledger(self, keys: list[str]) -> dict[str, LedgerRow]:
        with reading(self._library.engine) as db:
            rows = db.execute(select(LedgerRow.__table__).where(LedgerRow.source.in_(keys)))
            return {row.source: row for row in rows}  # type: ignore[misc]

    def _is_done(self, file: SourceFile, row: LedgerRow) -> bool:
        if (row.size, row.mtime_ns) != (file.size, file.mtime_ns):
            return False
        if row.outcome == Outcome.REJECTED:
            return not self._options.retry_rejected and row.reason not in _RETRIED
        return True

    def _count_known(self, file: SourceFile, row: LedgerRow) -> None:
        """A file an earlier run has settled: what is in the catalog counts as unchanged."""
        outcome = Outcome(row.outcome)
        settled = outcome in (Outcome.INDEXED, Outcome.LINKED)
        reason = Reason(row.reason) if row.reason else None
        table = self._options.table
        said = (
            known_uids(file, row.sha256, row.sop_instance_uid, table)
            if table and (settled or outcome is Outcome.UNCHANGED)
            else []
        )
        with self._guard:
            self._known[Outcome.UNCHANGED if settled else outcome, reason] += 1
            self._annotations.extend(said)

    def _read_files(
        self, pool: Pool, found: Iterable[SourceFile | Problem], waiting: Waiting
    ) -> None:
        with closing(pool.run(self._tasks(found))) as results:
            for task, result in results:
                self._take(task, result, waiting)
                if self._stop.is_set():
                    break
        self._flush()

    def _take(self, task: FileTask | Problem, result: object, waiting: Waiting) -> None:
        match task, result:
            case FileTask(), Failure():
                self._batch.append(refused(task, result.reason, result.detail))
            case _, FileResult() if result.waiting is not None:
                draft, header, role = result.waiting
                draft = self._described(draft)
                waiting.add(
                    lambda order: SliceRef(
                        order, result.source, result.sha256, draft, header, role
                    ),
                    draft.series_instance_uid,
                )
            case _, FileResult():
                drafts = tuple(self._described(draft) for draft in result.instances)
                self._batch.append(replace(result, instances=drafts))
        self._flush_if_due()

    def _described(self, draft: InstanceDraft) -> InstanceDraft:
        """Add what the table says under the instance's UIDs."""
        table = self._options.table
        said = table and table.lookup_uid(
            draft.sop_instance_uid, draft.series_instance_uid, draft.study_instance_uid
        )
        return replace(draft, attributes=merged(draft.attributes, said)) if said else draft

    # -- second pass: series ---------------------------------------------------------------------

    def _read_series(self, pool: Pool, waiting: Waiting) -> None:
        again: list[SeriesTask] = []
        names = waiting.series()
        with closing(pool.run(self._series_tasks(names, waiting))) as results:
            for task, result in results:
                again.extend(self._take_series(task, result))
                if self._stop.is_set():
                    return
        while again and not self._stop.is_set():
            retry, again = again, []
            renewed = (self._series_task(t.series_instance_uid, _new(t), t.lost) for t in retry)
            with closing(pool.run(renewed)) as results:
                for task, result in results:
                    again.extend(self._take_series(task, result))
                    if self._stop.is_set():
                        return
        waiting.clear()

    def _series_tasks(self, names: Iterable[str], waiting: Waiting) -> Iterator[SeriesTask]:
        for name in names:
            if self._stop.is_set():
                return
            yield self._series_task(name, waiting.slices(name), {})

    def _series_task(
        self, name: str, new: Sequence[SliceRef], lost: Mapping[int, tuple[Reason, str]]
    ) -> SeriesTask:
        """Divide new files into slices and copies of known instances; add the known slices."""
        with reading(self._library.engine) as db:
            uids = [ref.draft.sop_instance_uid for ref in new]
            known = {
                uid
                for part in _batches(uids, 500)
                for uid in db.execute(
                    select(Instance.sop_instance_uid).where(Instance.sop_instance_uid.in_(part))
                ).scalars()
            }
            copies = tuple(ref for ref in new if ref.draft.sop_instance_uid in known)
            slices = tuple(ref for ref in new if ref.draft.sop_instance_uid not in known)
            rows = db.execute(
                select(Instance.source, Instance.file_sha256)
                .join(Series)
                .where(Series.series_instance_uid == name, Instance.kind == "slice")
                .order_by(Instance.id)
            ).all()
        earlier = [earlier_slice(i - len(rows), row.source, row[1]) for i, row in enumerate(rows)]
        return SeriesTask(name, slices, copies, tuple(earlier) if slices else (), lost)

    def _take_series(self, task: SeriesTask, result: object) -> list[SeriesTask]:
        """Write a series, or say that it must be read again without the slice that broke it."""
        refs = (*task.slices, *task.copies)
        if isinstance(result, Failure):
            if result.step is not None and result.step not in task.lost:
                why = (result.reason, result.detail)
                return [replace(task, lost={**task.lost, result.step: why})]
            lost = {ref.order: (result.reason, result.detail) for ref in refs}
            result = SeriesResult(task, {}, lost, ())
        assert isinstance(result, SeriesResult)  # noqa: S101 - narrows the pool's object
        if any(order < 0 for order in result.rejected):
            result = _without_new(result)
        vectors, words = self._embed(result.items)
        if any(words):
            why = (Reason.ENCODER_FAILED, next(filter(None, words)))
            result = SeriesResult(task, {}, {ref.order: why for ref in refs}, ())
            vectors = []
        try:
            with transaction(self._library.engine) as db:
                written = self._writer.series(db, result, vectors)
        except SeriesChangedError:
            return [task]
        self._count(written, len(result.items))
        self._show()
        return []

    # -- encoding, writing, counting ---------------------------------------------------------------

    def _flush_if_due(self) -> None:
        items = sum(len(r.items) for r in self._batch)
        waited = time.monotonic() - self._last_flush
        if items >= _FLUSH_ITEMS or len(self._batch) >= _FLUSH_FILES or waited > _FLUSH_SECONDS:
            self._flush()
        self._show()

    def _flush(self) -> None:
        """Encode and commit what has gathered."""
        batch, self._batch = self._batch, []
        with self._guard:
            annotations, self._annotations = self._annotations, []
            known, self._known = self._known, Counter()
        items = [item for r in batch for item in r.items]
        vectors, failed = self._embed(items)
        written: list[Written] = []
        count = 0
        if batch or annotations:
            with transaction(self._library.engine) as db:
                remaining = iter(zip(vectors, failed, strict=True))
                for result in batch:
                    own = list(islice(remaining, len(result.items)))
                    usable = _usable(result, [word for _, word in own])
                    kept = [vector for vector, word in own if not word]
                    final, new = self._writer.file(db, usable, kept)
                    count += new
                    if result.last:
                        written.append(final)
                for uid, said in annotations:
                    self._annotate(db, uid, said)
        self._count(written, count)
        for (outcome, reason), number in known.items():
            self._summary.files += number
            self._summary.outcomes[outcome] += number
            if reason:
                self._summary.reasons[reason] += number
        self._last_flush = time.monotonic()

    def _annotate(self, db: Connection, sop_instance_uid: str, said: Attributes | None) -> None:
        """Add to a known instance what the table says under its file's name and its UIDs."""
        levels = uids_above(db, sop_instance_uid)
        if levels is None or self._options.table is None:
            return
        more = self._options.table.lookup_uid(sop_instance_uid, *levels)
        both = merged(said, more) if said else more
        if both:
            self._writer.annotate(db, sop_instance_uid, both)

    def _embed(self, items: Sequence[ItemDraft]) -> tuple[list[Vectors], list[str]]:
        """Vectors of each item by encoder, and of each what an encoder failed on, or ""."""
        vectors: list[dict[str, StoredVector]] = [{} for _ in items]
        failed = [""] * len(items)
        for name, encoder in self._encoders.items():
            mine = [i for i, item in enumerate(items) if name in item.tensors]
            for part in _batches(mine, _FLUSH_ITEMS):
                # Linear algebra of NumPy: its threads would take the cores from the workers. Torch
                # has threads of its own, and a network needs all cores.
                with threadpool_limits(1, user_api="blas"):
                    found = embed_each(encoder, [items[i].tensors[name] for i in part])
                for i, one in zip(part, found, strict=True):
                    if isinstance(one, str):
                        failed[i] = f"{name}: {one}"
                    else:
                        slices = volume_slices(encoder, items[i], one)
                        vectors[i][name] = StoredVector(
                            _stored(one.unit), one.norm, _stored_slices(slices)
                        )
        return list(vectors), failed

    def _count(self, written: Sequence[Written], items: int) -> None:
        self._summary.items += items
        for final in written:
            self._summary.files += 1
            self._summary.outcomes[final.outcome] += 1
            if final.reason:
                self._summary.reasons[final.reason] += 1

    def _show(self, *, force: bool = False) -> None:
        moment = time.monotonic()
        if self._report is None or (not force and moment - self._last_report < 0.2):
            return
        self._last_report = moment
        summary = self._summary
        self._report(
            IngestProgress(
                found=self._found,
                done=summary.files,
                rejected=summary.outcomes[Outcome.REJECTED] + summary.outcomes[Outcome.CONFLICT],
                items=summary.items,
                discovering=self._discovering,
                seconds=moment - self._start,
            )
        )

    def _begin_job(self) -> int:
        with transaction(self._library.engine) as db:
            return db.execute(
                insert(Job).values(kind="index", state="running").returning(Job.id)
            ).scalar_one()

    def _end_job(self, job: int, state: str) -> None:
        self._summary.seconds = time.monotonic() - self._start
        summary = {
            "files": self._summary.files,
            "items": self._summary.items,
            "outcomes": {o.value: n for o, n in self._summary.outcomes.items()},
        }
        try:
            with transaction(self._library.engine) as db:
                db.execute(
                    update(Job)
                    .where(Job.id == job)
                    .values(state=state, ended_at=now(), summary=summary)
                )
        except StorageFullError:
            if state == "done":
                raise


def _stored_slices(slices: SliceSet | None) -> tuple[tuple[int, bytes], ...]:
    if slices is None:
        return ()
    return tuple(zip(slices.places.tolist(), map(_stored, slices.rows), strict=True))


def _stored(unit: Embedding) -> bytes:
    return unit.astype("<f2").tobytes()


def _batches(values: Iterable[T], size: int) -> Iterator[tuple[T, ...]]:
    """itertools.batched, which Python 3.11 lacks."""
    source = iter(values)
    while part := tuple(islice(source, size)):
        yield part


def _new(task: SeriesTask) -> list[SliceRef]:
    """The files of this run in a task."""
    return sorted((*task.slices, *task.copies), key=lambda ref: ref.order)


def _without_new(result: SeriesResult) -> SeriesResult:
    """Leave a stored series as it is: its earlier slices cannot be read any more."""
    why = (
        Reason.SERIES_INCOMPLETE_SOURCE,
        "earlier slices of its series are gone from where they were; put them back, index again",
    )
    task, copies = result.task, {ref.order for ref in result.task.copies}
    rejected = {ref.order: result.rejected.get(ref.order, why) for ref in task.slices}
    rejected |= {o: w for o, w in result.rejected.items() if o in copies}
    drafts = {o: d for o, d in result.drafts.items() if o in copies}
    return SeriesResult(task, drafts, rejected, ())


def _usable(result: FileResult, failed: Sequence[str]) -> FileResult:
    """The result without the items an encoder failed on; rejected if none is left."""
    word = next(filter(None, failed), "")
    if not word:
        return result
    items = tuple(item for item, bad in zip(result.items, failed, strict=True) if not bad)
    made = {uid for item in items for uid in item.instance_uids}
    instances = tuple(draft for draft in result.instances if draft.sop_instance_uid in made)
    lost = result.lost_rows
    if result.rows:
        rows = [row for row in range(*result.rows) if row not in lost]
        gone = (r for r, d in zip(rows, result.instances, strict=True) if d not in instances)
        lost = (*lost, *gone)
    return replace(
        result,
        outcome=result.outcome if items else Outcome.REJECTED,
        reason=None if items else Reason.ENCODER_FAILED,
        detail=word,
        instances=instances,
        items=items,
        lost_rows=lost,
    )
