"""``syntopy ood drift``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from api.cli.options import JsonOption, LibraryOption
from api.cli.output import errors_on_one_line, out, print_json, print_note, settings_with
from api.cli.progress import telling

if TYPE_CHECKING:
    from api.service.drifting.answers import DriftAnswer, PartAnswer

CHANGED = 10
"""Exit code of a report that found a sustained change."""
_TESTS = {None: "too few", False: "as the reference", True: "differs"}


def drift(
    reference: Annotated[str, typer.Option(help="Name of the reference.")],
    where: Annotated[
        str,
        typer.Option(
            "--where",
            help="What arrived: items that pass this filter; those of the reference are left out.",
            show_default=False,
        ),
    ] = "",
    days: Annotated[int, typer.Option(help="Of a window, by the date of the study.")] = 7,
    studies: Annotated[
        int, typer.Option(help="In a window, in place of days.", show_default=False)
    ] = 0,
    by: Annotated[
        str,
        typer.Option(
            help="Watch groups apart: manufacturer, model, description, or label:NAME.",
            show_default=False,
        ),
    ] = "",
    run: Annotated[
        str, typer.Option("--run", help="Compare clusters of this run, too.", show_default=False)
    ] = "",
    alarm: Annotated[
        float | None,
        typer.Option(help="False-alarm rate of flags. Default: that of the reference."),
    ] = None,
    alpha: Annotated[
        float, typer.Option(help="How often a window without a change may be said to differ.")
    ] = 0.01,
    windows: Annotated[int, typer.Option(help="Look at so many at most, the newest.")] = 104,
    seed: Annotated[int, typer.Option(help="Of all that is drawn.")] = 0,
    folder: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for drift.json, drift.png and drift.html."),
    ] = None,
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Report whether what arrives has changed against a reference, window by window.

    [bold]Examples[/]

      syntopy ood drift --reference chest-v1 --where "study_date>=2026-10-01" --out report

      syntopy ood drift --reference chest-v1 --by model --studies 200

    Exit code 10: a sustained change was found. Ctrl-C stops it (exit code 130).
    """
    with errors_on_one_line(as_json=as_json):
        from api.service.drifting import drift as service
        from api.service.drifting.answers import DriftRequest
        from api.service.drifting.files import write_report
        from indexer.library import Library

        request = DriftRequest(
            reference, where, days, studies, by, run, alarm, alpha, seed, most=windows
        )
        with (
            Library.open(settings_with(library).library) as opened,
            telling("reading", "nothing was written") as show_,
        ):
            answer = service.drift(opened, request, show_)
            written = write_report(answer, folder) if folder else []
    if as_json:
        print_json(answer)
    else:
        _print_answer(answer)
        for path in written:
            out.print(f"{path}")
    if answer.changed:
        raise typer.Exit(CHANGED)


def _print_answer(answer: DriftAnswer) -> None:
    out.print(answer.headline, style="bold")
    names = [part.group for part in answer.windows[0].groups] if answer.windows else []
    table = Table("window", "studies", "patients", "flagged", "95 % interval", "tests", *names)
    for each in answer.windows:
        table.add_row(each.name, *_cells(each.whole), *(_short(part) for part in each.groups))
    out.print(table)
    for sentence in answer.sentences:
        out.print(sentence)
    for note in answer.notes:
        print_note(note)


def _cells(part: PartAnswer) -> tuple[str, ...]:
    if part.flagged is None or part.low is None or part.high is None:
        return "0", "0", "", "", "nothing came"
    return (
        f"{part.studies:,}",
        f"{part.patients:,}",
        f"{part.flagged:.1%}",
        f"{part.low:.1%} to {part.high:.1%}",
        _TESTS[part.differs],
    )


def _short(part: PartAnswer) -> str:
    if part.flagged is None:
        return ""
    return f"{part.flagged:.1%} of {part.patients:,}{' differs' if part.differs else ''}"
