"""``syntopy search`` and ``syntopy show``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from api.cli.answers import print_answer
from api.cli.options import JsonOption, LibraryOption
from api.cli.output import errors_on_one_line, out, print_json, settings_with

if TYPE_CHECKING:
    from indexer.searching.asking import Example, Region, Rocchio
    from indexer.types import Role


def search(
    image: Annotated[
        list[Path] | None,
        typer.Option(
            help="Like this file (DICOM, PNG, JPEG, TIFF, NIfTI …); a folder or a zip is one "
            "study. May be given several times, like all that says what hits should be like."
        ),
    ] = None,
    uid: Annotated[
        list[str] | None, typer.Option(help="Like this study, series, instance UID or item id.")
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option(help="Like this phrase, where an encoder, a bridge or reports know words."),
    ] = None,
    report: Annotated[
        list[str] | None, typer.Option(help="Like this report: its text, or a .txt file of it.")
    ] = None,
    unlike_image: Annotated[list[Path] | None, typer.Option(help="Less like this file.")] = None,
    unlike_uid: Annotated[list[str] | None, typer.Option(help="Less like this UID.")] = None,
    unlike_text: Annotated[list[str] | None, typer.Option(help="Less like this phrase.")] = None,
    region: Annotated[
        str,
        typer.Option(
            help="Only this part of the first image or UID: left edge, top edge, width, height in "
            "its pixels, and of several frames or slices which: 420,310,120,90 or …,90,17."
        ),
    ] = "",
    mix: Annotated[
        str,
        typer.Option(
            help="Weights of several examples: of the first, of the mean of what else hits shall "
            "be like, and of the mean of what not."
        ),
    ] = "1,0.75,0.15",
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
    keywords: Annotated[
        str | None,
        typer.Option(
            help="Look these words up in descriptions, reports and labels; without it those of "
            "--text and --report, with '' none."
        ),
    ] = None,
    encoder: Annotated[
        list[str] | None,
        typer.Option(help="Search this encoder's space; several are fused, 'all' takes all."),
    ] = None,
    group: Annotated[
        str, typer.Option(help="List each 'study' once, each 'patient', or every 'item'.")
    ] = "study",
    min_score: Annotated[
        float | None, typer.Option(help="Leave out what has a lower cosine, -1 to 1.")
    ] = None,
    diversity: Annotated[
        float, typer.Option(help="How far hits shall differ from each other, 0 to 1.")
    ] = 0.0,
    rank: Annotated[
        str,
        typer.Option(
            help="'pooled' compares one vector a volume; 'late' compares studies of several "
            "series part by part; 'frequency', 'max' or 'sum' rank volumes by their slices, where "
            "the encoder takes them one by one."
        ),
    ] = "pooled",
    pooling: Annotated[
        str, typer.Option(help="Slices of a volume to its one vector: mean, median, max, min.")
    ] = "mean",
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
    sheet: Annotated[
        Path | None, typer.Option(help="Write a contact sheet PNG: query left, neighbours right.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Find the studies most like files, phrases, reports, or what is in the library.

    The query's own study is left out; its patient's other studies are listed apart.

    [bold]Examples[/]

      syntopy search --image today.dcm --library chest --k 5 --sheet neighbours.png

      syntopy search --text "large pleural effusion" --library chest

      syntopy search --uid 1.2.840.113619.2.1 --unlike-text pacemaker --encoder all

      syntopy search --uid 1.2.840.113619.2.1 --filter "modality=CT and study_date>=2024-01-01"
    """
    with errors_on_one_line(as_json=as_json):
        from api.service import search as service
        from indexer.library import Library
        from indexer.searching.asking import SearchRequest

        settings = settings_with(library)
        request = SearchRequest(
            examples=(
                *_examples(image, uid, text, report, region=_region(region)),
                *_examples(unlike_image, unlike_uid, unlike_text, None, weight=-1.0),
            ),
            k=k,
            filter=filter_,
            keywords=keywords,
            encoders=tuple(encoder or ()),
            own_study=own_study,
            same_patient=same_patient or own_study,
            roles=_roles(role or []),
            group=group,
            min_score=min_score,
            diversity=diversity,
            rank=rank,
            pooling=pooling,
            mix=_mix(mix),
            evidence=True,
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


def _examples(
    images: list[Path] | None,
    uids: list[str] | None,
    texts: list[str] | None,
    reports: list[str] | None,
    *,
    weight: float = 1.0,
    region: Region | None = None,
) -> list[Example]:
    """Files, UIDs, phrases and reports in this order; a region belongs to the first."""
    from api.service.search import report_text
    from indexer.searching.asking import Example

    found = [
        *(Example(file=image, weight=weight) for image in images or ()),
        *(Example(uid=uid, weight=weight) for uid in uids or ()),
        *(Example(text=text.strip(), weight=weight) for text in texts or ()),
        *(Example(report=report_text(said).strip(), weight=weight) for said in reports or ()),
    ]
    if region is not None and found:
        found[0] = dataclasses.replace(found[0], region=region)
    return found


def _region(said: str) -> Region | None:
    """Four numbers, and perhaps the number of a frame or slice."""
    from indexer.errors import QueryError
    from indexer.searching.asking import Region

    if not said:
        return None
    try:
        left, top, width, height, *number = (float(part) for part in said.split(","))
        (at,) = number or (None,)
        if at is not None and at != int(at):
            raise ValueError
    except ValueError as error:
        raise QueryError(
            "--region is left edge, top edge, width and height in pixels, and of several frames "
            f"or slices the number of one, such as 420,310,120,90,17; not '{said}'"
        ) from error
    return Region((left, top, width, height), None if at is None else int(at))


def _mix(said: str) -> Rocchio:
    from indexer.errors import QueryError
    from indexer.searching.asking import Rocchio

    try:
        alpha, beta, gamma = (float(part) for part in said.split(","))
    except ValueError as error:
        raise QueryError(
            f"--mix is three numbers, such as 1,0.75,0.15: weights of the first example, of what "
            f"else is liked and of what is not; not '{said}'"
        ) from error
    return Rocchio(alpha, beta, gamma)


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
        from api.service.links import Links
        from indexer.library import Library

        settings = settings_with(library)
        with Library.open(settings.library) as opened:
            described = service.show(opened, uid)
            study = str(described["study_instance_uid"])
            described["viewer_url"] = Links(settings).study(study)
    if as_json:
        print_json(described)
        return
    _print_tree(described, 0)


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
