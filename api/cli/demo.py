"""``syntopy demo``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress

from api.cli.answers import print_answer
from api.cli.index import print_outcomes, progress_bar, stopped_by_signal
from api.cli.options import JsonOption
from api.cli.output import (
    INTERRUPTED,
    err,
    errors_on_one_line,
    out,
    print_json,
    settings_with,
)

if TYPE_CHECKING:
    from api.service.demo import DemoResult


def demo(
    data: Annotated[
        Path | None,
        typer.Option(help="Index this folder in place of the samples.", show_default=False),
    ] = None,
    folder: Annotated[Path, typer.Option(help="Where library and phantoms go.")] = Path("demo"),
    sheet: Annotated[Path, typer.Option(help="Contact sheet to write.")] = Path("neighbours.png"),
    no_serve: Annotated[
        bool, typer.Option("--no-serve", help="Stop after the search, for scripts.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Index real sample files and drawn phantoms, search with one, write a contact sheet.

    [bold]Example[/]

      syntopy demo --data /my/dicoms
    """
    del no_serve  # the demonstration ends with the search
    with errors_on_one_line(as_json=as_json):
        from api.service.demo import run_demo

        settings = settings_with()
        with (
            stopped_by_signal() as stop,
            progress_bar(as_json) as show,
            Progress(console=err, transient=True) as bar,
        ):
            drawing = bar.add_task("drawing phantom studies", total=None, visible=data is None)
            result = run_demo(
                folder,
                sheet,
                settings,
                data=data,
                on_phantom=lambda done, total: bar.update(drawing, completed=done, total=total),
                on_progress=show,
                stop=stop,
            )
    if as_json:
        print_json(result)
    else:
        _print_result(result)
    if any(summary.stopped for summary in result.summaries):
        raise typer.Exit(INTERRUPTED)


def _print_result(result: DemoResult) -> None:
    for summary in result.summaries:
        print_outcomes(summary)
    out.print()
    print_answer(result.answer)
    out.print(f"\ncontact sheet: {result.sheet}")
    out.print("\ntry next:")
    command = ".venv/bin/syntopy" if Path(".venv/bin/syntopy").exists() else "syntopy"
    library = result.library
    for line in (
        f"search -L {library} --uid {result.query_uid} --k 5 --json",
        f"search -L {library} --image YOUR.dcm --sheet mine.png",
        f"rejected -L {library}",
        "index YOUR/FOLDER -L my-library",
    ):
        out.print(f"  {command} {line}")
