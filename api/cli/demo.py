"""``syntopy demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from api.cli.index import print_outcomes, progress_bar, stopped_by_signal
from api.cli.output import INTERRUPTED, err, errors_on_one_line, out, settings_with
from api.cli.search import print_answer


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
) -> None:
    """Index real sample files and drawn phantoms, search with one, write a contact sheet.

    [bold]Example[/]

      syntopy demo --data /my/dicoms
    """
    del no_serve  # the demonstration ends with the search
    with errors_on_one_line():
        from api.service.demo import run_demo

        settings = settings_with()
        with (
            stopped_by_signal() as stop,
            progress_bar(False) as show,
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
    for summary in result.summaries:
        print_outcomes(summary)
    if any(summary.stopped for summary in result.summaries):
        raise typer.Exit(INTERRUPTED)
    out.print()
    print_answer(result.answer)
    out.print(f"\ncontact sheet: [bold]{result.sheet}[/]")
    out.print("\ntry next:")
    command = ".venv/bin/syntopy" if Path(".venv/bin/syntopy").exists() else "syntopy"
    out.print(f"  {command} search -L {result.library} --uid {result.query_uid} --k 5 --json")
    out.print(f"  {command} search -L {result.library} --image YOUR.dcm --sheet mine.png")
    out.print(f"  {command} rejected -L {result.library}")
    out.print(f"  {command} index YOUR/FOLDER -L my-library")
