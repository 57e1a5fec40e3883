"""``syntopy cluster``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from api.cli.options import JsonOption, LibraryOption
from api.cli.output import (
    errors_on_one_line,
    out,
    print_json,
    print_note,
    settings_with,
)
from api.cli.progress import telling

if TYPE_CHECKING:
    from api.service.grouping.cluster import ShownRun
    from indexer.groups.runs import NamedCluster

app = typer.Typer(
    name="cluster",
    help="Group what is in a library, without labels.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
_SHOWN = 40


@app.command()
def run(
    name: Annotated[str, typer.Option(help="What to call it.")],
    method: Annotated[
        str, typer.Option(help="hdbscan, kmeans, graph, micro, scan, cpp; docs/clustering.md.")
    ] = "hdbscan",
    n_clusters: Annotated[
        str, typer.Option("--n-clusters", "-c", help="How many; auto finds out.")
    ] = "auto",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="A parameter of the method, as name=value. May be repeated."),
    ] = None,
    library: LibraryOption = None,
    encoder: Annotated[str, typer.Option(help="Whose space.", show_default=False)] = "",
    filter_: Annotated[
        str, typer.Option("--filter", help="Only items that pass.", show_default=False)
    ] = "",
    seed: Annotated[int, typer.Option(help="Of all that is random.")] = 0,
    sheets: Annotated[
        Path | None,
        typer.Option(help="Folder for a contact sheet PNG of each cluster.", show_default=False),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Cluster the items of a space, and store the clustering whole.

    [bold]Examples[/]

      syntopy cluster run --name first --library chest

      syntopy cluster run --name cpp-12 --method cpp --n-clusters 12 --sheets sheets

      syntopy cluster run --name ct --method scan --set heads=20 --filter "modality=CT"

    Ctrl-C stops it (exit code 130); nothing is stored then.
    """
    with errors_on_one_line(as_json=as_json):
        from api.service.grouping import cluster as service
        from indexer.library import Library

        settings = settings_with(library)
        request = service.ClusterRequest(
            name=name,
            method=method,
            options=_options(set_ or []),
            n_clusters=_count(n_clusters),
            encoder=encoder,
            filter=filter_,
            seed=seed,
        )
        with Library.open(settings.library) as opened:
            with telling("reading", "nothing was stored") as show:
                service.run_clustering(opened, request, settings, show)
            shown = service.show_run(opened, name)
            if sheets is not None:
                service.write_sheets(opened, name, sheets)
    if as_json:
        print_json(shown)
        return
    _print_run(shown)
    if sheets is not None:
        out.print(f"contact sheets: {sheets}")


@app.command("list")
def list_(library: LibraryOption = None, as_json: JsonOption = False) -> None:
    """List the clusterings of a library."""
    with errors_on_one_line(as_json=as_json):
        from api.service.grouping import cluster as service
        from indexer.library import Library

        with Library.open(settings_with(library).library) as opened:
            found = service.runs(opened)
    if as_json:
        print_json({"runs": found})
        return
    if not found:
        out.print("no clusterings yet; make one with: syntopy cluster run --name first")
        return
    table = Table("name", "method", "space", "clusters", "noise", "items", "filter", "made")
    for each in found:
        table.add_row(
            each.name,
            each.method,
            each.encoder,
            f"{each.clusters}",
            f"{each.noise:,}",
            f"{each.left:,}",
            each.filter,
            each.created_at,
        )
    out.print(table)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="Of the clustering.")],
    label: Annotated[
        str,
        typer.Option(help="Compare with this label, or modality, body_part …", show_default=False),
    ] = "",
    sheets: Annotated[
        Path | None,
        typer.Option(help="Folder for a contact sheet PNG of each cluster.", show_default=False),
    ] = None,
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a clustering: its clusters, what distinguishes each, and how good it is.

    [bold]Examples[/]

      syntopy cluster show first --library chest

      syntopy cluster show first --label class --json
    """
    with errors_on_one_line(as_json=as_json):
        from api.service.grouping import cluster as service
        from indexer.library import Library

        with Library.open(settings_with(library).library) as opened:
            shown = service.show_run(opened, name, label)
            if sheets is not None:
                service.write_sheets(opened, name, sheets)
    if as_json:
        print_json(shown)
        return
    _print_run(shown)
    if sheets is not None:
        out.print(f"contact sheets: {sheets}")


@app.command()
def stability(
    name: Annotated[str, typer.Argument(help="Of the clustering.")],
    repetitions: Annotated[
        int, typer.Option(help="With other seeds, and again as many on parts of the items.")
    ] = 3,
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Do a clustering again, with other seeds and on parts of its items: does it come out alike?

    Nothing is stored. It takes as long as so many runs.
    """
    with errors_on_one_line(as_json=as_json):
        from api.service.grouping import cluster as service
        from indexer.library import Library

        with (
            Library.open(settings_with(library).library) as opened,
            telling("reading", "nothing was changed") as show_,
        ):
            found = service.run_stability(opened, name, repetitions, show_)
    if as_json:
        print_json(found)
        return
    out.print(
        f"{name}, with {repetitions} other seeds: ARI {found.seeds.mean:.3f} on average, "
        f"{found.seeds.lowest:.3f} at least; the stored run with them {found.stored:.3f}"
    )
    out.print(
        f"on {repetitions} parts of four fifths of the items: ARI {found.subsamples.mean:.3f} on "
        f"average, {found.subsamples.lowest:.3f} at least"
    )
    print_note("1 is the same grouping every time, 0 no more alike than by chance")


@app.command()
def compare(
    first: Annotated[str, typer.Argument(help="A clustering.")],
    second: Annotated[str, typer.Argument(help="Another.")],
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what stayed together and what moved between two clusterings."""
    with errors_on_one_line(as_json=as_json):
        from api.service.grouping import cluster as service
        from indexer.library import Library

        with Library.open(settings_with(library).library) as opened:
            found = service.compare_runs(opened, first, second)
    if as_json:
        print_json(found)
        return
    out.print(
        f"{found.items:,} items in both: ARI {found.ari:.3f}, NMI {found.nmi:.3f}; "
        f"{found.moved:,} are elsewhere now"
    )
    for count, run_name in ((found.only_first, first), (found.only_second, second)):
        if count:
            print_note(f"{count:,} items are only in '{run_name}'")
    table = Table(first, second, "shared", "overlap")
    for each in found.clusters[:_SHOWN]:
        table.add_row(
            each.first or "-",
            each.second or "-",
            f"{each.match.shared:,}",
            f"{each.match.jaccard:.0%}",
        )
    out.print(table)
    _more(len(found.clusters))


@app.command()
def export(
    name: Annotated[str, typer.Argument(help="Of the clustering.")],
    path: Annotated[Path, typer.Argument(help="A file ending in .csv, .parquet or .json.")],
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write which cluster each item is in as a table."""
    with errors_on_one_line(as_json=as_json):
        from api.service.grouping import cluster as service
        from indexer.library import Library

        with Library.open(settings_with(library).library) as opened:
            rows = service.export_run(opened, name, path)
    if as_json:
        print_json({"path": path, "rows": rows})
        return
    out.print(f"{path}: {rows:,} items")


@app.command()
def rename(
    name: Annotated[str, typer.Argument(help="Of the clustering.")],
    cluster: Annotated[int, typer.Argument(help="Number of the cluster.")],
    called: Annotated[str, typer.Argument(help="Its name; '' brings back the one found for it.")],
    library: LibraryOption = None,
) -> None:
    """Give a cluster a name."""
    with errors_on_one_line():
        from api.service.grouping import cluster as service
        from indexer.library import Library

        with Library.open(settings_with(library).library) as opened:
            service.rename(opened, name, cluster, called)
    out.print(f"cluster {cluster} of '{name}' is now called '{called}'" if called else "done")


@app.command()
def remove(
    name: Annotated[str, typer.Argument(help="Of the clustering.")],
    library: LibraryOption = None,
) -> None:
    """Delete a clustering; images and vectors stay."""
    with errors_on_one_line():
        from api.service.grouping import cluster as service
        from indexer.library import Library

        with Library.open(settings_with(library).library) as opened:
            service.remove(opened, name)
    out.print(f"the clustering '{name}' is gone")


def _options(said: list[str]) -> dict[str, object]:
    from indexer.errors import ConfigError

    options: dict[str, object] = {}
    for each in said:
        name, sign, value = each.partition("=")
        if not sign or not name.strip():
            raise ConfigError(f"--set is name=value, such as heads=20; not '{each}'")
        options[name.strip().replace("-", "_")] = value.strip()
    return options


def _count(said: str) -> int | None:
    from indexer.errors import ConfigError

    if said.strip().lower() == "auto":
        return None
    try:
        return int(said)
    except ValueError as error:
        raise ConfigError(f"--n-clusters is a number or auto, not '{said}'") from error


def _print_run(shown: ShownRun) -> None:
    run = shown.run
    out.print(
        f"{run.name}: {run.clusters} clusters of {run.left:,} items by {run.method} in "
        f"'{run.encoder}', {run.noise:,} in none; {run.seconds:.1f} s"
    )
    if shown.agreement:
        found = shown.agreement
        out.print(
            f"  against the label: ACC {found.acc:.3f}, NMI {found.nmi:.3f}, ARI {found.ari:.3f} "
            f"({found.n_classes} classes, {found.labelled:,} items)"
        )
    if shown.silhouette:
        out.print(f"  silhouette {shown.silhouette.value:.3f}", end="")
        if shown.confidence:
            out.print(f", mean confidence {shown.confidence.mean:.2f}", end="")
        out.print()
    for criterion, curve in run.curves.items():
        said = ", ".join(f"{int(k)}: {value:.4g}" for k, value in curve)
        out.print(f"  {criterion}: {said}", style="dim")
    table = Table("#", "name", "items", "what distinguishes it")
    for each in shown.clusters[:_SHOWN]:
        table.add_row(
            "-" if each.cluster < 0 else f"{each.cluster}",
            each.called,
            f"{each.size:,}",
            _told(each),
        )
    out.print(table)
    _more(len(shown.clusters))
    for note in shown.notes:
        print_note(note)


def _told(cluster: NamedCluster) -> str:
    about: Any = cluster.about
    return "; ".join(about.get("told", ()))


def _more(count: int) -> None:
    if count > _SHOWN:
        out.print(f"… and {count - _SHOWN} more; --json has all")
