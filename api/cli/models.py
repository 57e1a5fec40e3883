"""``syntopy models`` (list, show, pull, add, check, preview) and ``syntopy route``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from api.cli.options import JsonOption, LibraryOption
from api.cli.output import USAGE, err, errors_on_one_line, out, print_json, settings_with

if TYPE_CHECKING:
    from api.service.models import Registered
    from indexer.reading.routing import Rule

OnBytes = Callable[[str, int, int], None]
_CHECKING = "embedding drawn images"

app = typer.Typer(
    name="models",
    help="The encoders: which there are, their weights, and what they get to see.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
NameArgument = Annotated[str, typer.Argument(help="Name of the model, such as rad-dino.")]
AcceptOption = Annotated[
    bool,
    typer.Option("--accept-licence", help="I have read the licence and my use is allowed by it."),
]


@app.command("list")
def list_models(as_json: JsonOption = False) -> None:
    """List the encoders: present or not, size, licence, dimension, modalities, text.

    [bold]Example[/]

      syntopy models list --json
    """
    with errors_on_one_line(as_json=as_json):
        from api.service import encoders as service

        states = service.list_models(settings_with())
    if as_json:
        print_json({"models": states})
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("name", "state", "size", "licence", "dim", "takes", "text", "regions"):
        table.add_column(name, no_wrap=name == "name")
    for model in states:
        licence = model.licence + ("" if model.commercial else " (not commercial)")
        takes = "+".join(model.inputs) + (
            f" of {','.join(model.modalities)}" * bool(model.modalities)
        )
        table.add_row(
            model.name,
            model.state,
            f"{model.bytes / 1e6:,.0f} MB" if model.bytes else "",
            licence,
            str(model.dim or ""),
            takes,
            "yes" if model.text else "no",
            "yes" if model.patches else "no",
        )
    out.print(table, soft_wrap=False)
    for model in states:
        if model.why:
            out.print(f"{model.name}: {model.why}", style="dim")


@app.command()
def show(name: NameArgument, as_json: JsonOption = False) -> None:
    """Show a model's card, and step by step how images are prepared for it.

    [bold]Example[/]

      syntopy models show rad-dino
    """
    with errors_on_one_line(as_json=as_json):
        from api.service import encoders as service

        described = service.describe(settings_with(), name)
    if as_json:
        print_json(described)
        return
    for key, value in described.items():
        if isinstance(value, dict):
            for recipe, steps in value.items():
                out.print(f"{key} '{recipe}'", style="bold")
                for number, step in enumerate(steps, 1):
                    out.print(f"  {number}. {step}")
        else:
            said = ", ".join(value) if isinstance(value, list) else value
            out.print(f"{key}: {said}")


@contextmanager
def _transfer(quiet: bool) -> Iterator[tuple[OnBytes | None, Callable[[], None] | None]]:
    """Two functions to call: when bytes arrive, and when the network is tried out.

    A bar each on a terminal, a line each in a pipe.
    """
    if quiet:
        yield None, None
        return
    bars: dict[str, TaskID] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, TransferSpeedColumn(), TimeRemainingColumn(), console=err) as progress:
        progress.disable = not err.is_terminal

        def begin(path: str, said: str, total: int) -> None:
            if path not in bars:
                bars[path] = progress.add_task(path.rpartition("/")[2], total=total or None)
                if progress.disable:
                    err.print(said)

        def show(path: str, done: int, total: int) -> None:
            begin(path, f"fetching {path}", total)
            progress.update(bars[path], completed=done)

        yield show, lambda: begin(_CHECKING, _CHECKING, 0)


@app.command()
def pull(
    name: NameArgument,
    accept_licence: AcceptOption = False,
    explain: Annotated[
        bool, typer.Option(help="Only say which files to copy where, for a machine offline.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Fetch the weights of a model; the same command goes on after a break.

    [bold]Examples[/]

      syntopy models pull rad-dino

      syntopy models pull ct-fm --explain
    """
    with errors_on_one_line(as_json=as_json):
        from api.service import models as service

        settings = settings_with()
        if explain:
            lines = service.explain(name)
            if as_json:
                print_json({"steps": lines})
            else:
                out.print("\n".join(lines))
            return
        with _transfer(as_json) as (show, checking):
            registered = service.pull(
                settings,
                name,
                accept_licence=accept_licence,
                on_progress=show,
                on_check=checking,
            )
    _say(registered, name, as_json=as_json)


@app.command()
def add(
    name: NameArgument,
    folder: Annotated[Path, typer.Argument(help="Folder with the files as they are published.")],
    accept_licence: AcceptOption = False,
    as_json: JsonOption = False,
) -> None:
    """Register weights that are on this machine already; the files are copied.

    [bold]Example[/]

      syntopy models add ct-fm /media/usb/ct-fm
    """
    with errors_on_one_line(as_json=as_json):
        from api.service import models as service

        with _transfer(as_json) as (_, checking):
            registered = service.add(
                settings_with(), name, folder, accept_licence=accept_licence, on_check=checking
            )
    _say(registered, name, as_json=as_json)


def _say(registered: Registered, name: str, *, as_json: bool) -> None:
    """What became of a model that was brought here."""
    if as_json:
        extra = {"vectors": registered.vectors, "notes": registered.notes}
        print_json(asdict(registered.manifest) | extra)
        return
    for note in registered.notes:
        err.print(f"note: {note}")
    out.print(f"'{registered.manifest.name}' is ready; next: syntopy init LIBRARY --encoder {name}")


@app.command()
def check(name: NameArgument, as_json: JsonOption = False) -> None:
    """Check the files of a model, and that it still gives the vectors it gave at first.

    [bold]Example[/]

      syntopy models check medimageinsight
    """
    with errors_on_one_line(as_json=as_json):
        from api.service import checking as service

        with err.status(_CHECKING):
            report = service.check(settings_with(), name)
    if as_json:
        print_json(report)
    else:
        for finding in report.findings:
            out.print(f"wrong: {finding}")
        said = "recorded for later checks" if report.recorded else "compared with those recorded"
        state = "not as it was" if report.findings else "as it was"
        out.print(f"{report.files} files, {report.vectors} vectors {said}: {state}")
    if report.findings:
        raise typer.Exit(USAGE)


@app.command()
def preview(
    name: NameArgument,
    file: Annotated[Path, typer.Argument(help="An image or a slice: DICOM, PNG, NIfTI …")],
    picture: Annotated[Path, typer.Option("--out", help="PNG to write.")] = Path("preview.png"),
    as_json: JsonOption = False,
) -> None:
    """Write the exact picture that a network gets to see of a file; of a volume its middle.

    [bold]Example[/]

      syntopy models preview rad-dino today.dcm --out seen.png
    """
    with errors_on_one_line(as_json=as_json):
        from api.service import encoders as service

        height, width = service.preview(settings_with(), name, file, picture)
    if as_json:
        print_json({"picture": picture, "height": height, "width": width})
    else:
        out.print(f"{picture}: {height} x {width}")


def route(
    file: Annotated[Path, typer.Argument(help="An image, a slice or a volume.")],
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Explain which encoders get a file, and why; those of the library, or all there are.

    [bold]Example[/]

      syntopy route today.dcm --library chest
    """
    with errors_on_one_line(as_json=as_json):
        from api.service import encoders as service
        from indexer.library import Library
        from indexer.registry import encoder_names

        settings = settings_with(library)
        names: tuple[str, ...] = tuple(encoder_names())
        rules: tuple[Rule, ...] = ()
        if library is not None or (settings.library / "library.toml").is_file():
            with Library.open(settings.library) as opened:
                names, rules = opened.config.encoders, opened.rules
        found = service.route(settings, names, file, rules)
    if as_json:
        print_json({"routes": found})
        return
    for each in found:
        out.print(f"{'yes' if each.taken else 'no ':<3}  {each.encoder}: {each.why}")
