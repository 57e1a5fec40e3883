"""``syntopy ood patches`` and ``syntopy ood heat``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from api.cli.options import JsonOption, LibraryOption
from api.cli.output import (
    err,
    errors_on_one_line,
    out,
    plain,
    print_json,
    print_note,
    print_remarks,
    settings_with,
)
from api.cli.progress import telling

if TYPE_CHECKING:
    from indexer.evidence.heat import HeatMap


def patches(
    reference: Annotated[str, typer.Argument(help="Name of the reference.")],
    images: Annotated[
        int, typer.Option(help="Pictures of each stratum that are read again, at most.")
    ] = 500,
    most: Annotated[
        int, typer.Option("--patches", help="Patches of each stratum that are kept, at most.")
    ] = 10_000,
    seed: Annotated[int, typer.Option(help="Of all that is random.")] = 0,
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Learn what places of a reference's pictures look like; syntopy ood heat compares with them.

    Needs an encoder that tells places apart (syntopy models list), and the source files where they
    were when they were indexed. Patches that were fitted before are replaced.

    [bold]Examples[/]

      syntopy ood patches chest-v1

    Ctrl-C stops it (exit code 130); nothing is stored then.
    """
    with errors_on_one_line(as_json=as_json):
        from api.service.judging import heat as service
        from indexer.library import Library

        settings = settings_with(library)
        request = service.HeatRequest(images, most, seed)
        with (
            Library.open(settings.library) as opened,
            telling("reading pictures", "nothing was stored") as show,
        ):
            report = service.fit_heat(opened, reference, request, settings, show)
    if as_json:
        print_json({"reference": reference, **report})
        return
    table = Table("stratum", "fitted", "held out", "patches")
    for each in report["strata"]:
        numbers = (f"{each[name]:,}" for name in ("fitted", "held_out", "patches"))
        table.add_row(each["stratum"], *numbers)
    out.print(table)
    for why in report["refused"]:
        print_note(f"no patches of its own: {why}")


def heat(
    asked: Annotated[
        str,
        typer.Argument(
            metavar="PATH_OR_UID",
            help="A file, folder or archive; or a study, series, instance UID or item id.",
        ),
    ],
    reference: Annotated[str, typer.Option(help="Name of the reference.")],
    picture: Annotated[Path, typer.Option("--out", help="Where to draw it, as a PNG.")] = Path(
        "heat.png"
    ),
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw where a picture is unlike a reference: as it is on the left, heat over it on the right.

    Of several pictures it is the oddest, of a volume the slice with the oddest place.

    [bold]Examples[/]

      syntopy ood heat today.dcm --reference chest-v1 --out heat.png
    """
    with errors_on_one_line(as_json=as_json):
        from api.service.judging import heat as service
        from indexer.library import Library

        settings = settings_with(library)
        with Library.open(settings.library) as opened, err.status("comparing"):
            found = service.heat_map(opened, reference, asked, settings)
        service.write_heat(found, picture)
    if as_json:
        print_json({"picture": picture} | plain(found))
        return
    _print(found, picture)


def _print(found: HeatMap, picture: Path) -> None:
    where = "" if found.slice_number is None else f", slice {found.slice_number}/{found.slices}"
    out.print(f"heat over {found.item or 'the file'}{where}: {picture}")
    out.print(
        f"{found.unlike_share:.1%} of it is odder than 99 % of places of usual pictures of "
        f"{found.stratum}; {found.p_value:.1%} of {found.usual_pictures:,} such pictures have a "
        "place as odd as its oddest"
    )
    print_remarks(found.notes, found.notice)
