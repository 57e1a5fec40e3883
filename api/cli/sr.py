"""``syntopy sr``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from api.cli.options import JsonOption, LibraryOption
from api.cli.output import errors_on_one_line, out, print_json, settings_with, user_name
from api.cli.progress import telling

if TYPE_CHECKING:
    from api.structured.document import Document
    from indexer.library import Library

app = typer.Typer(
    name="sr",
    help="Write what was found as a DICOM Structured Report, and send it to a PACS.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
_STOPPED = "what was not sent by then was not sent"

StudyArgument = Annotated[str, typer.Argument(help="A study, series, instance UID or item id.")]
OutputOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Write the report to this file.", show_default=False),
]
SendOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Send it to this destination of destinations.toml. May be repeated.",
        show_default=False,
    ),
]
ReferencesOption = Annotated[
    bool,
    typer.Option(
        "--references/--no-references",
        help="Name other studies by their UIDs, which lead to their patients in the PACS.",
    ),
]


@app.command()
def ood(
    uid: StudyArgument,
    reference: Annotated[str, typer.Option(help="Name of the reference.")],
    alarm: Annotated[
        float | None,
        typer.Option(help="False-alarm rate; that of the fit by default.", show_default=False),
    ] = None,
    output: OutputOption = None,
    send: SendOption = None,
    references: ReferencesOption = True,
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Report what a reference says of a study: flag, p-value, reasons (TID 1500).

    [bold]Examples[/]

      syntopy sr ood 1.2.840.113619.2.1 --reference chest-v1 --output flag.dcm

      syntopy sr ood 1.2.840.113619.2.1 --reference chest-v1 --send pacs
    """
    with errors_on_one_line(as_json=as_json):
        from api.service.outgoing import structured as service
        from indexer.library import Library

        settings = settings_with(library)
        request = service.OodReportRequest(uid, reference, alarm, references)
        with Library.open(settings.library) as opened, telling("judging", _STOPPED):
            made, answer = service.ood_report(opened, request, settings)
            _hand_over(opened, made, output, send or [])
    _print(made, output, send or [], as_json=as_json, flagged=answer.flagged)


@app.command()
def similar(
    uid: StudyArgument,
    k: Annotated[int, typer.Option("--k", "-k", help="How many neighbours.")] = 5,
    filter_: Annotated[str, typer.Option("--filter", help="Only items that pass.")] = "",
    encoder: Annotated[
        list[str] | None,
        typer.Option(help="Search this encoder's space; several are fused, 'all' takes all."),
    ] = None,
    output: OutputOption = None,
    send: SendOption = None,
    references: ReferencesOption = True,
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Report the studies most like a study: rank, score, their UIDs, and an image of each.

    [bold]Examples[/]

      syntopy sr similar 1.2.840.113619.2.1 --k 5 --output similar.dcm

      syntopy sr similar 1.2.840.113619.2.1 --no-references --send pacs
    """
    with errors_on_one_line(as_json=as_json):
        from api.service.outgoing import structured as service
        from indexer.library import Library

        settings = settings_with(library)
        request = service.SimilarReportRequest(uid, k, filter_, tuple(encoder or ()), references)
        with Library.open(settings.library) as opened, telling("searching", _STOPPED):
            made = service.similar_report(opened, request, settings)
            _hand_over(opened, made, output, send or [])
    _print(made, output, send or [], as_json=as_json)


@app.command("destinations")
def list_destinations(library: LibraryOption = None, as_json: JsonOption = False) -> None:
    """List where reports may be sent: what destinations.toml in the library names."""
    with errors_on_one_line(as_json=as_json):
        from api.service.outgoing import destinations as service
        from indexer.library import Library

        with Library.open(settings_with(library).library) as opened:
            found = service.named(opened)
    if as_json:
        print_json({"destinations": found})
        return
    if not found:
        out.print("no destinations; docs/reports-back.md says how to name them")
        return
    table = Table("name", "kind", "where")
    for each in found:
        table.add_row(each.name, each.kind, each.where)
    out.print(table)


def _hand_over(opened: Library, made: Document, output: Path | None, names: list[str]) -> None:
    from api.service.outgoing.destinations import find_destination
    from api.service.outgoing.structured import hand_over

    to = [find_destination(opened, name) for name in dict.fromkeys(names)]
    hand_over(opened, made, actor=user_name(), output=output, to=to)


def _print(
    made: Document,
    output: Path | None,
    names: list[str],
    *,
    as_json: bool,
    flagged: bool | None = None,
) -> None:
    places = [*([str(output)] if output else []), *names]
    if as_json:
        told = {"report": made, "output": output, "sent": names, "flagged": flagged}
        print_json(told)
        return
    out.print(f"report {made.sop_instance_uid} of the study {made.study_instance_uid}")
    out.print(f"gone to: {', '.join(places)}")
