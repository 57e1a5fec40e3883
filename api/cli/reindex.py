"""``syntopy reindex``."""

from __future__ import annotations

from typing import Annotated

import typer

from api.cli.options import JsonOption, LibraryOption
from api.cli.output import errors_on_one_line, out, print_json, print_note, settings_with
from api.cli.progress import telling


def reindex(
    store: Annotated[
        str,
        typer.Option(
            help="Where to: faiss, faiss:flat, faiss:hnsw, faiss:ivf-flat … (docs/index.md), "
            "exact, or a URL (docs/qdrant.md). Without it the present index is made anew."
        ),
    ] = "",
    drop_old: Annotated[
        bool,
        typer.Option(
            "--drop-old",
            help="When the index has moved away from a server, delete what that holds of it.",
        ),
    ] = False,
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Move the index to another store or kind, or make it anew.

    Searches go on with the old index until the new one is complete and agrees with the catalog.
    A run that was stopped goes on when it is repeated. In a Qdrant server new collections are
    filled beside those that answer: so they get other shards or another quantisation.

    [bold]Examples[/]

      syntopy reindex --store faiss:ivf-flat --library chest
      syntopy reindex --store "qdrant://db:6333/chest?tls=1&shards=4" --library chest
    """
    with errors_on_one_line(as_json=as_json):
        from api.service import reindex as service
        from indexer.library import Library

        settings = settings_with(library)
        with Library.open(settings.library) as opened, telling("reading") as show:
            report = service.reindex(opened, store or None, settings, show, drop_old=drop_old)
    if as_json:
        print_json(report)
        return
    for each in report.layers:
        stats = each.stats
        out.print(f"{each.encoder}, {each.of}: {stats.count:,} vectors in {stats.kind}")
        if stats.reason:
            out.print(f"  {stats.reason}")
        if stats.recall is not None and stats.recall_100 is not None and not stats.exact:
            out.print(
                f"  finds {stats.recall:.1%} of the ten nearest, {stats.recall_100:.1%} of the "
                f"hundred nearest; aimed for {stats.target:.1%}"
            )
        if stats.parameters:
            said = ", ".join(f"{name} {value:g}" for name, value in stats.parameters.items())
            out.print(f"  {said}")
        if stats.warning:
            print_note(stats.warning)
    if report.left:
        print_note(f"{report.left} still holds the vectors; --drop-old would have deleted them")
    moved = "made anew" if report.before == report.store else f"moved from {report.before}"
    out.print(f"the index is in {report.store}, {moved} in {report.seconds:.1f} s")
