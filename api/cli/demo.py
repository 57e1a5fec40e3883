"""``syntopy demo``."""

from __future__ import annotations

from contextlib import suppress
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
from api.cli.serve import MODULES, address_of, answer_on

if TYPE_CHECKING:
    from api.service.demo import DemoResult
    from indexer.config import Settings


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
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Where the page is shown; 0 takes a free one.")
    ] = 8000,
    as_json: JsonOption = False,
) -> None:
    """Index real sample files and drawn phantoms, search with one, show the page.

    Prints the table of neighbours, writes a contact sheet, makes a map, clusterings, a reference,
    a report on drift and queues of work, and serves the library on this machine until Ctrl-C; not
    with --no-serve or --json. What is there already is not made again.

    [bold]Example[/]

      syntopy demo --data /my/dicoms
    """
    with errors_on_one_line(as_json=as_json):
        from api.service.demo import run_demo

        settings = settings_with()
        with (
            stopped_by_signal() as stop,
            progress_bar(as_json) as show,
            Progress(console=err, transient=True) as bar,
        ):
            drawing = bar.add_task("drawing phantom studies", total=None, visible=data is None)
            making = bar.add_task("making", total=None, visible=False)

            def on_step(step: str, what: str, done: int, total: int) -> None:
                said = f"{step}: {what}"
                bar.update(
                    making, visible=True, description=said, completed=done, total=total or None
                )

            result = run_demo(
                folder,
                sheet,
                settings,
                data=data,
                on_phantom=lambda done, total: bar.update(drawing, completed=done, total=total),
                on_progress=show,
                on_step=on_step,
                stop=stop,
            )
    if as_json:
        print_json(result)
    else:
        _print_result(result)
    if result.stopped:
        raise typer.Exit(INTERRUPTED)
    if not no_serve and not as_json:
        with errors_on_one_line():
            _serve(result, settings, port)


def _serve(result: DemoResult, settings: Settings, port: int) -> None:
    """Show the library on this machine, until Ctrl-C."""
    from indexer.errors import ConfigError
    from indexer.extras import extra

    for module in MODULES:
        extra(module)
    from api.access import anyone_on_loopback
    from api.server import listening

    try:
        listener = listening("127.0.0.1", port)
    except ConfigError as error:
        err.print(f"{error}; taking a free port")
        listener = listening("127.0.0.1", 0)
    with listener:
        out.print(f"\nopen {address_of(listener)}/")
        out.print(f"or this search: {address_of(listener)}/#/search?study={result.query_uid}")
        out.print("Ctrl-C ends it")
        settings = settings.model_copy(update={"library": result.library})
        with suppress(KeyboardInterrupt):  # the demonstration is at its end
            answer_on(listener, settings, anyone_on_loopback)


def _print_result(result: DemoResult) -> None:
    for summary in result.summaries:
        print_outcomes(summary)
    out.print()
    print_answer(result.answer)
    out.print(f"\ncontact sheet: {result.sheet}\n")
    for step in result.steps:
        said = f": {step.said}" if step.said else ""
        out.print(f"{step.step}: {step.outcome.value}{said}", markup=False)
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
