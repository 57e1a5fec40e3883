"""``syntopy search`` and ``syntopy show``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from api.cli.options import JsonOption, LibraryOption
from api.cli.output import errors_on_one_line, out, print_json, print_note, settings_with

if TYPE_CHECKING:
    from indexer.search import SearchAnswer
    from indexer.types import Hit, Role


def search(
    image: Annotated[
        Path | None, typer.Option(help="Search with this file (DICOM, PNG, JPEG, TIFF, NIfTI …).")
    ] = None,
    uid: Annotated[
        str, typer.Option(help="Search with a study, series, instance UID or item id.")
    ] = "",
    text: Annotated[
        str, typer.Option(help="Search with a phrase, where an encoder or a bridge knows words.")
    ] = "",
    library: LibraryOption = None,
    k: Annotated[int, typer.Option("--k", "-k", help="How many neighbours.")] = 10,
    filter_: Annotated[
        str,
        typer.Option(
            "--filter",
            help="Only items that pass, such as: modality=CT and age>=60 and "
            "not label:finding=normal",
        ),
    ] = "",
    sheet: Annotated[
        Path | None, typer.Option(help="Write a contact sheet PNG: query left, neighbours right.")
    ] = None,
    same_patient: Annotated[
        bool, typer.Option(help="Let the query's own patient be among the hits.")
    ] = False,
    own_study: Annotated[
        bool, typer.Option(help="Let the query's own study be among the hits.")
    ] = False,
    role: Annotated[
        list[str] | None,
        typer.Option(
            help="Look at these roles too: primary, localizer, secondary, derived, test, or all."
        ),
    ] = None,
    group: Annotated[str, typer.Option(help="List each 'study' once, or every 'item'.")] = "study",
    encoder: Annotated[str, typer.Option(help="Search this encoder's space.")] = "",
    rank: Annotated[
        str,
        typer.Option(
            help="'pooled' compares one vector a volume; 'frequency', 'max' or 'sum' rank volumes "
            "by their slices, where the encoder takes them one by one."
        ),
    ] = "pooled",
    pooling: Annotated[
        str, typer.Option(help="Slices of a volume to its one vector: mean, median, max, min.")
    ] = "mean",
    as_json: JsonOption = False,
) -> None:
    """Find the studies most like a file, or like something in the library.

    The query's own study and its patient are left out unless asked for.

    [bold]Examples[/]

      syntopy search --image today.dcm --library chest --k 5 --sheet neighbours.png

      syntopy search --text "large pleural effusion" --library chest

      syntopy search --uid 1.2.840.113619.2.1 --filter "modality=CT and study_date>=2024-01-01"
    """
    with errors_on_one_line(as_json=as_json):
        from api.service import search as service
        from indexer.library import Library
        from indexer.search import SearchRequest

        settings = settings_with(library)
        request = SearchRequest(
            image=image,
            uid=uid or None,
            text=text.strip() or None,
            k=k,
            filter=filter_,
            own_study=own_study,
            same_patient=same_patient or own_study,
            roles=_roles(role or []),
            group=group,
            encoder=encoder or None,
            rank=rank,
            pooling=pooling,
        )
        with Library.open(settings.library) as opened:
            answer = service.search(opened, request, settings)
            if sheet is not None:
                service.write_sheet(opened, answer, sheet)
    if as_json:
        print_json(answer)
        return
    print_answer(answer)
    if sheet is not None:
        out.print(f"contact sheet: {sheet}")


def show(
    uid: Annotated[str, typer.Argument(help="A study, series, instance UID or item id.")],
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show all that is known of a study: series, items, flags, labels, reports, files.

    [bold]Example[/]

      syntopy show 1.2.840.113619.2.1 --library chest
    """
    with errors_on_one_line(as_json=as_json):
        from api.service import library as service
        from indexer.library import Library

        settings = settings_with(library)
        with Library.open(settings.library) as opened:
            described = service.show(opened, uid)
    if as_json:
        print_json(described)
        return
    _print_tree(described, 0)


def print_answer(answer: SearchAnswer) -> None:
    """The ranked table, and all that must be said about it."""
    said = [answer.query[name] for name in ("modality", "body_part", "description")]
    said.append(_words(answer.query["labels"]))
    out.print(f"query: {' · '.join(str(part) for part in said if part) or 'an image'}")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("#", "score", "image", "who", "labels", "id", "more"):
        right = name in ("#", "score", "more")
        # The id is copied into the next command, so it is never broken over lines.
        table.add_column(name, justify="right" if right else "left", no_wrap=name == "id")
    for number, hit in enumerate(answer.hits, 1):
        age = f"{hit.age_years:.0f}" if hit.age_years is not None else ""
        labels = _words(hit.labels)
        table.add_row(
            str(number),
            f"{hit.score:.3f}",
            " ".join(p for p in (hit.modality, hit.body_part, hit.view, _slice(hit)) if p),
            f"{hit.sex} {age}".strip(),
            labels or hit.description,
            hit.id,
            f"+{hit.more_in_study}" if hit.more_in_study else "",
        )
    out.print(table, soft_wrap=False)
    how = "exact" if answer.exact else "approximate"
    out.print(
        f"{answer.candidates} candidates, {how}, encoder {answer.encoder}, "
        f"{answer.seconds * 1000:.0f} ms",
        style="dim",
    )
    for note in answer.notes:
        print_note(note)
    if answer.notice:
        out.print(answer.notice, style="yellow")


def _slice(hit: Hit) -> str:
    """Which slice of a volume fits best."""
    return f"slice {hit.match.number}/{hit.match.of}" if hit.match else ""


def _words(labels: object) -> str:
    """The values of all labels, each once."""
    said = labels.values() if isinstance(labels, Mapping) else []
    return ", ".join(dict.fromkeys(v for values in said for v in values))


def _roles(names: list[str]) -> frozenset[Role] | None:
    from indexer.errors import QueryError
    from indexer.types import Role

    if not names:
        return None
    if "all" in names:
        return frozenset(Role)
    try:
        return frozenset({Role.PRIMARY, *(Role(name) for name in names)})
    except ValueError as error:
        raise QueryError(f"--role is one of {', '.join(Role)} or all") from error


def _print_tree(value: object, depth: int, name: str = "") -> None:
    pad = "  " * depth
    if isinstance(value, dict):
        if name:
            out.print(f"{pad}{name}", style="dim")
        for key, part in value.items():
            _print_tree(part, depth + bool(name), key)
    elif isinstance(value, list):
        for part in value:
            _print_tree(part, depth, name)
    elif value not in ("", None, []):
        out.print(Text.assemble((f"{pad}{name}:", "dim"), " ", str(value)))
