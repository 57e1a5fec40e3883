"""``syntopy regions``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from api.cli.answers import words_of
from api.cli.options import JsonOption, LibraryOption
from api.cli.output import err, errors_on_one_line, out, print_json, print_remarks, settings_with

if TYPE_CHECKING:
    from indexer.evidence.matching import Matching
    from indexer.searching.region_search import RegionAnswer
    from indexer.types import Box


def regions(
    image: Annotated[
        Path | None, typer.Option(help="Ask with this file (DICOM, PNG, JPEG, TIFF, NIfTI …).")
    ] = None,
    uid: Annotated[
        str, typer.Option(help="Ask with a study, series, instance UID or item id.")
    ] = "",
    library: LibraryOption = None,
    hit: Annotated[
        str, typer.Option(help="Draw where the query is like this item of the library.")
    ] = "",
    picture: Annotated[
        Path, typer.Option("--out", help="Where to draw it, as a PNG: query left, hit right.")
    ] = Path("regions.png"),
    region: Annotated[
        str,
        typer.Option(
            help="Find images with something like this part of the query: left edge, top edge, "
            "width and height in its pixels, such as 420,310,120,90."
        ),
    ] = "",
    slice_number: Annotated[
        int | None,
        typer.Option("--slice", help="Slice of a volume, or frame, of the region, from 1."),
    ] = None,
    k: Annotated[int, typer.Option("--k", "-k", help="How many images.")] = 10,
    candidates: Annotated[
        int, typer.Option(help="How many images are read again and looked at place by place.")
    ] = 20,
    filter_: Annotated[
        str, typer.Option("--filter", help="Only items that pass, as for search.")
    ] = "",
    encoder: Annotated[str, typer.Option(help="Compare with this encoder's eyes.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Show where a query and a hit are alike, or find what is like a part of a picture.

    Both need an encoder that tells places apart (syntopy models list), and the source files where
    they were when they were indexed.

    [bold]Examples[/]

      syntopy regions --image today.dcm --hit k5txw2r4n7 --out map.png --library chest

      syntopy regions --image today.dcm --region 420,310,120,90 --candidates 50 --library chest
    """
    with errors_on_one_line(as_json=as_json):
        from api.service import regions as service
        from indexer.errors import QueryError
        from indexer.library import Library

        if bool(hit) == bool(region):
            raise QueryError("name either --hit, to see where it is alike, or a --region to find")
        uid_, encoder_ = uid or None, encoder or None
        settings = settings_with(library)
        with Library.open(settings.library) as opened:
            if hit:
                asked = service.MatchingRequest(hit, image, uid_, encoder_)
                with err.status("comparing"):
                    matching = service.matching_regions(opened, asked, settings)
                service.write_matching(matching, picture)
                _print_matching(matching, picture, as_json=as_json)
                return
            wanted = service.RegionRequest(
                box=_box(region),
                image=image,
                uid=uid_,
                encoder=encoder_,
                slice_number=slice_number,
                k=k,
                candidates=candidates,
                filter=filter_,
            )
            with err.status("comparing") as status:
                answer = service.search_region(
                    opened,
                    wanted,
                    settings,
                    lambda done, total: status.update(f"looking: {done} of {total} images"),
                )
    if as_json:
        print_json(answer)
    else:
        _print(answer)


def _print_matching(matching: Matching, picture: Path, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "picture": picture,
                "encoder": matching.encoder,
                "query_slice": matching.query.slice_number,
                "hit_slice": matching.hit.slice_number,
            }
        )
        return
    out.print(f"matching regions: {picture}")
    if matching.notice:
        out.print(matching.notice, style="yellow")


def _print(answer: RegionAnswer) -> None:
    """The ranked table, and all that must be said about it."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("#", "region", "whole", "image", "where", "labels", "id"):
        right = name in ("#", "region", "whole")
        table.add_column(name, justify="right" if right else "left", no_wrap=name == "id")
    for number, one in enumerate(answer.hits, 1):
        hit = one.hit
        where = ",".join(f"{value:.0f}" for value in one.box)
        table.add_row(
            str(number),
            f"{one.score:.3f}",
            f"{hit.score:.3f}",
            " ".join(part for part in (hit.modality, hit.body_part, hit.view) if part),
            where if one.slice_number is None else f"{where} on slice {one.slice_number}",
            words_of(hit.labels) or hit.description,
            hit.id,
        )
    out.print(table, soft_wrap=False)
    out.print(
        f"{answer.looked_at} candidates by {answer.by}, encoder {answer.encoder}, "
        f"{answer.seconds:.1f} s",
        style="dim",
    )
    print_remarks(answer.notes, answer.notice)


def _box(said: str) -> Box:
    from indexer.errors import QueryError

    try:
        x, y, width, height = (float(part) for part in said.split(","))
    except ValueError as error:
        raise QueryError(
            "--region is left edge, top edge, width and height, such as 420,310,120,90"
        ) from error
    return x, y, width, height
