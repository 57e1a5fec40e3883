"""``syntopy index`` and ``syntopy rejected``."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from api.cli.options import JsonOption, LibraryOption, WorkersOption
from api.cli.output import (
    INTERRUPTED,
    NOTHING_INDEXED,
    PARTLY_REJECTED,
    err,
    errors_on_one_line,
    out,
    print_error,
    print_json,
    print_json_line,
    print_json_list,
    print_note,
    settings_with,
)

if TYPE_CHECKING:
    from api.service.ingest import IndexRequest
    from indexer.config import Settings
    from indexer.ingest import IngestProgress, IngestSummary
    from indexer.library import Library


def index(
    paths: Annotated[
        list[Path], typer.Argument(help="Files, folders, zip or tar archives.", show_default=False)
    ],
    library: LibraryOption = None,
    metadata: Annotated[
        Path | None,
        typer.Option(help="CSV table with patient, sex, age, view, label, report, split …"),
    ] = None,
    mapping: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            help="FIELD=COLUMN for table columns with other names, such as "
            "report=clinical_text or label:grade=Grade. May be repeated.",
        ),
    ] = None,
    workers: WorkersOption = None,
    watch: Annotated[
        bool, typer.Option(help="Stay, and index what arrives in the folders (Ctrl-C ends it).")
    ] = False,
    settle: Annotated[
        float, typer.Option(help="With --watch: seconds a file must stay unchanged.")
    ] = 5.0,
    retry_rejected: Annotated[
        bool, typer.Option(help="Read files again that an earlier run rejected.")
    ] = False,
    strict: Annotated[
        bool, typer.Option(help="Exit with code 4 if any file was rejected or in conflict.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Read files and put their embeddings into the library; run it again to resume or to add.

    Every file ends in exactly one outcome, and the summary adds up. Originals are never changed.

    [bold]Examples[/]

      syntopy index /archive --library chest

      syntopy index images/ --metadata labels.csv --map report=clinical_text

      syntopy index /incoming --watch

    Exit codes: 0 done, 2 wrong call or library, 3 nothing could be indexed, 4 some files rejected
    (with --strict), 130 stopped by Ctrl-C; what was done is kept.
    """
    with errors_on_one_line(as_json=as_json):
        from api.service import ingest as service
        from api.service.library import open_or_create

        settings = settings_with(library, workers)
        request = service.IndexRequest(paths, metadata, _pairs(mapping or []), retry_rejected)
        service.check_request(request)
        opened, created = open_or_create(settings.library)
        with opened, stopped_by_signal() as stop:
            if created and not as_json:
                out.print(f"made a new library in {opened.path}")
            if watch:
                _watch(opened, request, settings, settle, stop, as_json)
                return
            with progress_bar(as_json) as show:
                summary = service.index(opened, request, settings, on_progress=show, stop=stop)
        _print_summary(summary, opened, as_json)
    _exit(summary, strict)


def rejected(
    library: LibraryOption = None,
    everything: Annotated[
        bool, typer.Option("--all", help="List every file, whatever became of it.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Only files with this reason code.")] = "",
    limit: Annotated[int, typer.Option(help="At most so many; 0 lists all.", min=0)] = 0,
    as_json: JsonOption = False,
) -> None:
    """List the files that could not be indexed, with the reason (docs/reasons.md explains each).

    [bold]Examples[/]

      syntopy rejected --library chest --reason truncated

      syntopy rejected --all --json | jq -r '.files[].outcome' | sort | uniq -c
    """
    with errors_on_one_line(as_json=as_json):
        from api.service import ingest as service
        from indexer.library import Library

        settings = settings_with(library)
        with Library.open(settings.library) as opened:
            # There may be millions, so they are printed as they come.
            entries = service.rejected(opened, everything=everything, reason=reason, limit=limit)
            if as_json:
                print_json_list("files", entries)
                return
            entry = None
            for entry in entries:
                words = f"{entry.outcome:<9} {entry.reason:<27} {entry.source}  {entry.detail}"
                out.print(words.rstrip())
            if entry is None:
                out.print("no such file")


def _pairs(mapping: list[str]) -> dict[str, str]:
    from indexer.errors import ConfigError

    pairs = {}
    for text in mapping:
        field, mark, column = text.partition("=")
        if not (mark and field and column):
            raise ConfigError(f"--map takes FIELD=COLUMN, not '{text}'")
        pairs[field] = column
    return pairs


@contextmanager
def stopped_by_signal() -> Iterator[threading.Event]:
    """Ctrl-C and SIGTERM end the run after the batch in hand; a second one ends it at once."""
    stop = threading.Event()

    def handle(number: int, _frame: object) -> None:
        if stop.is_set():
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        stop.set()

    before = {s: signal.signal(s, handle) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def progress_bar(quiet: bool) -> Iterator[Callable[[IngestProgress], None] | None]:
    """A progress bar on a terminal; nothing in a pipe or with ``quiet``."""
    if quiet or not err.is_terminal:
        yield None
        return
    bar = Progress(
        SpinnerColumn(),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} files"),
        TextColumn("{task.fields[rate]:.1f}/s"),
        TextColumn("[red]{task.fields[rejected]} rejected[/]"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[state]}"),
        console=err,
        transient=True,
    )
    with bar:
        task = bar.add_task("index", total=0, rate=0.0, rejected=0, state="looking for files")

        def show(progress: IngestProgress) -> None:
            bar.update(
                task,
                completed=progress.done,
                total=progress.found,
                rate=progress.done / max(progress.seconds, 0.1),
                rejected=progress.rejected,
                state="looking for files" if progress.discovering else "",
            )

        yield show


def _watch(
    library: Library,
    request: IndexRequest,
    settings: Settings,
    settle: float,
    stop: threading.Event,
    as_json: bool,
) -> None:
    from api.service import ingest as service

    if not as_json:
        out.print(f"watching {', '.join(map(str, request.paths))}; Ctrl-C ends it")
    for summary in service.watch(library, request, settings, settle_seconds=settle, stop=stop):
        if as_json:
            print_json_line(_as_dict(summary, library))
        else:
            counts = ", ".join(f"{n} {o.value}" for o, n in summary.outcomes.items())
            out.print(f"{summary.files} files: {counts}")


def _as_dict(summary: IngestSummary, library: Library) -> dict[str, object]:
    from indexer.types import Outcome

    return {
        "library": str(library.path),
        "files": summary.files,
        "outcomes": {o.value: summary.outcomes[o] for o in Outcome},
        "reasons": {r.value: n for r, n in summary.reasons.most_common()},
        "items": summary.items,
        "seconds": round(summary.seconds, 3),
        "stopped": summary.stopped,
        "notes": summary.notes,
    }


def _print_summary(summary: IngestSummary, library: Library, as_json: bool) -> None:
    from indexer.types import Outcome

    if as_json:
        print_json(_as_dict(summary, library))
        return
    print_outcomes(summary)
    out.print(f"library {library.path}")
    if summary.stopped:
        out.print("stopped; the same command goes on where it ended")
    elif summary.outcomes[Outcome.REJECTED] + summary.outcomes[Outcome.CONFLICT]:
        out.print(f"why: syntopy rejected --library {library.path}")


def print_outcomes(summary: IngestSummary) -> None:
    """The counts of a run; they add up to the number of files."""
    from indexer.types import Outcome

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(justify="right")
    table.add_column()
    table.add_row(str(summary.files), "files")
    for outcome in Outcome:
        if summary.outcomes[outcome]:
            table.add_row(str(summary.outcomes[outcome]), f"  {outcome.value}")
    for reason, number in summary.reasons.most_common():
        table.add_row(str(number), Text(f"    {reason.value}", "dim"))
    table.add_row(str(summary.items), "new items with vectors")
    out.print(table, soft_wrap=False)
    rate = summary.files / max(summary.seconds, 1e-3)
    out.print(f"{summary.seconds:.1f} s, {rate:.{1 if rate >= 1 else 3}f} files/s")
    for note in summary.notes:
        print_note(note)


def _exit(summary: IngestSummary, strict: bool) -> None:
    from indexer.types import Outcome

    if summary.stopped:
        raise typer.Exit(INTERRUPTED)
    usable = (Outcome.INDEXED, Outcome.UNCHANGED, Outcome.LINKED)
    if not any(summary.outcomes[o] for o in usable):
        print_error("nothing could be indexed")
        raise typer.Exit(NOTHING_INDEXED)
    if strict and summary.outcomes[Outcome.REJECTED] + summary.outcomes[Outcome.CONFLICT]:
        raise typer.Exit(PARTLY_REJECTED)
