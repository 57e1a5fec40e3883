"""``syntopy reports``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from api.cli.options import JsonOption, LibraryOption
from api.cli.output import err, errors_on_one_line, out, print_json, print_remarks, settings_with

if TYPE_CHECKING:
    from indexer.texts.hearing import FoundText


def reports(
    image: Annotated[
        Path | None, typer.Option(help="Ask with this file (DICOM, PNG, JPEG, TIFF, NIfTI …).")
    ] = None,
    uid: Annotated[
        str, typer.Option(help="Ask with a study, series, instance UID or item id.")
    ] = "",
    library: LibraryOption = None,
    k: Annotated[int, typer.Option("--k", "-k", help="How many of each kind.")] = 10,
    encoder: Annotated[str, typer.Option(help="Search this encoder's space.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Find words for an image: reports of the nearest studies, and texts that lie near it.

    The query's own study and its patient are left out. Texts are compared with the image by the
    encoder's own text tower, or by a bridge (syntopy bridge fit).

    [bold]Example[/]

      syntopy reports --image today.dcm --library chest --k 5
    """
    with errors_on_one_line(as_json=as_json):
        from api.service import reports as service
        from indexer.library import Library
        from indexer.texts.reports import ReportsRequest

        settings = settings_with(library)
        request = ReportsRequest(image=image, uid=uid or None, k=k, encoder=encoder or None)
        with Library.open(settings.library) as opened, err.status("comparing") as status:
            answer = service.reports(
                opened,
                request,
                settings,
                lambda done, total: status.update(f"reading: {done} of {total} texts"),
            )
    if as_json:
        print_json(answer)
        return
    _print("reports of the nearest studies", answer.neighbours, numbered="study")
    if answer.words:
        _print(f"reports nearest in words, by {answer.words}", answer.reports, numbered="studies")
        _print(f"sentences nearest, by {answer.words}", answer.sentences, numbered="studies")
    out.print(f"encoder {answer.encoder}, {answer.seconds * 1000:.0f} ms", style="dim")
    print_remarks(answer.notes, answer.notice)


def _print(title: str, found: Sequence[FoundText], *, numbered: str) -> None:
    """A table of texts, with the study of each, or how many studies have it."""
    out.print(title, style="bold")
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("#", justify="right")
    table.add_column("score", justify="right")
    table.add_column(numbered, no_wrap=True)
    table.add_column("text", overflow="fold")
    for number, one in enumerate(found, 1):
        which = one.study_instance_uid if numbered == "study" else str(one.studies)
        table.add_row(str(number), f"{one.score:.3f}", which, " ".join(one.text.split()))
    out.print(table, soft_wrap=False)
