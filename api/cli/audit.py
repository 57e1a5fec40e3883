"""``syntopy audit``: whether the record of who did what is whole, and what it says."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TextIO

import typer

from api.cli.options import JsonOption, LibraryOption
from api.cli.output import (
    USAGE,
    err,
    errors_on_one_line,
    out,
    print_json,
    settings_with,
    user_name,
)
from api.cli.progress import telling

app = typer.Typer(name="audit", help="The record of who did what.", no_args_is_help=True)
_STOPPED = "nothing was changed"


@app.command()
def verify(
    head: Annotated[
        Path | None,
        typer.Option(
            help="File with a head that was kept elsewhere: then a cut end shows, too.",
            show_default=False,
        ),
    ] = None,
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look for rows that were changed, taken out or put elsewhere; exit code 2 if there are.

    [bold]Example[/]

      syntopy audit verify --head /safe/head.json --library chest
    """
    with errors_on_one_line(as_json=as_json), telling("checking the audit", _STOPPED) as show:
        from api.service.access import audit as service
        from indexer.library import Library

        anchor = None if head is None else service.read_head(head)
        with Library.open(settings_with(library).library) as opened:
            report = service.verify(
                opened, anchor, lambda done, total: show("checking the audit", done, total)
            )
    if as_json:
        print_json({"whole": not report.findings, **vars(report)})
    else:
        for finding in report.findings:
            out.print(f"row {finding.number}: {finding.problem}")
        state = "not whole" if report.findings else "whole"
        out.print(f"{report.rows:,} rows: {state}; head {report.head.number} {report.head.hash}")
    if report.findings:
        raise typer.Exit(USAGE)


@app.command()
def export(
    form: Annotated[
        str, typer.Option("--format", help="jsonl, or dicom: XML of DICOM PS3.15 A.5, one a line.")
    ] = "jsonl",
    since: Annotated[
        str, typer.Option(help="From this date or time on, in UTC.", show_default=False)
    ] = "",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File to write; standard output by default."),
    ] = None,
    head: Annotated[
        Path | None,
        typer.Option(help="File for number and hash of the last row.", show_default=False),
    ] = None,
    library: LibraryOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="With --output: print one JSON object.")
    ] = False,
) -> None:
    """Write the audit, a row a line, and tell the number and hash of its last row.

    Keep these two away from this machine: with them `syntopy audit verify` notices an end that
    was cut off. That the audit was read becomes a row of it.

    [bold]Examples[/]

      syntopy audit export --since 2026-01-01 --output audit.jsonl --head head.json

      syntopy audit export --format dicom > messages.xml
    """
    with errors_on_one_line(as_json=as_json), telling("exporting", _STOPPED) as show:
        from api.service.access import audit as service
        from indexer.library import Library

        start = service.parse_since(since) if since else None
        with Library.open(settings_with(library).library) as opened, _written(output) as file:
            done = service.export(
                opened,
                file,
                form=form,
                since=start,
                actor=user_name(),
                on_progress=lambda at, last: show("exporting", at, last),
            )
            if head is not None:
                service.write_head(done.head, head)
    if as_json and output is not None:
        print_json(done)
        return
    err.print(f"{done.rows:,} rows; head {done.head.number} {done.head.hash}")


@contextmanager
def _written(output: Path | None) -> Iterator[TextIO]:
    """Standard output, or a file that takes its name when it is whole."""
    from indexer.errors import StorageFullError

    if output is None:
        yield sys.stdout
        return
    part = output.with_name(f".{output.name}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            yield file
        part.replace(output)
    except OSError as error:
        raise StorageFullError(f"{output} cannot be written: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
