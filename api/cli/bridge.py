"""``syntopy bridge``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from api.cli.options import JsonOption, LibraryOption
from api.cli.output import err, errors_on_one_line, out, print_json, settings_with

if TYPE_CHECKING:
    from indexer.texts.bridge import BridgeAbout
    from indexer.texts.bridges import BridgeVersion

app = typer.Typer(
    name="bridge",
    help="Words for encoders that have none, learnt from the library's own reports and labels.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
VersionArgument = Annotated[int, typer.Argument(help="Number of the version.", min=1)]
EncoderOption = Annotated[
    str, typer.Option(help="Of this encoder's space; needed where several have bridges.")
]


@app.callback()
def main() -> None:
    """Take what is to be done as the next word."""


@app.command()
def fit(
    library: LibraryOption = None,
    encoder: Annotated[
        list[str] | None, typer.Option(help="Only this encoder's space. May be repeated.")
    ] = None,
    features: Annotated[
        str,
        typer.Option(
            help="What reads the texts: tfidf, or an encoder with a text tower; auto takes a tower "
            "if one is ready."
        ),
    ] = "auto",
    labels: Annotated[bool, typer.Option(help="Whether labels count as words.")] = True,
    seed: Annotated[int, typer.Option(help="Of the folds.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Fit a map from words to each space without a text tower, and measure it.

    Then: syntopy search --text, syntopy reports. Earlier versions are kept; removing something
    from the library forgets all.

    [bold]Example[/]

      syntopy bridge fit --library chest
    """
    with errors_on_one_line(as_json=as_json):
        from api.service import bridge as service
        from indexer.library import Library

        settings = settings_with(library)
        request = service.FitRequest(tuple(encoder or ()), features, labels, seed)
        with Library.open(settings.library) as opened, err.status("fitting") as status:
            fitted = service.fit(
                opened,
                request,
                settings,
                lambda done, total: status.update(f"reading: {done} of {total} texts"),
            )
    if as_json:
        print_json({"bridges": fitted})
        return
    for each in fitted:
        out.print(f"{each.encoder}: version {each.version}")
        out.print(f"  texts read by {each.about.features}: {each.why}")
        _print_about(each.about)
        if each.left_out:
            out.print(f"  {each.left_out} further studies were not drawn")


@app.command(name="list")
def list_(library: LibraryOption = None, as_json: JsonOption = False) -> None:
    """List all bridges; the one in use of each space is marked.

    [bold]Example[/]

      syntopy bridge list --library chest
    """
    with errors_on_one_line(as_json=as_json):
        from indexer.library import Library
        from indexer.texts.bridges import bridge_versions

        with Library.open(settings_with(library).library) as opened:
            found = bridge_versions(opened)
    if as_json:
        print_json({"bridges": found})
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    titles = ("", "encoder", "version", "made", "features", "pairs", "image@10", "report@10")
    for title in (*titles, "chance"):
        table.add_column(title)
    for each in found:
        table.add_row("*" if each.in_use else "", each.encoder, str(each.version), *_cells(each))
    out.print(table, soft_wrap=False)


def _cells(version: BridgeVersion) -> tuple[str, ...]:
    about = version.about
    if about is None:
        return ("damaged",)
    quality = about.quality
    rates = (quality.hit_rate_at_10, quality.report_hit_rate_at_10, quality.chance_at_10)
    return (
        about.made[:10],
        about.features,
        str(quality.pairs),
        *(f"{rate:.1%}" for rate in rates),
    )


@app.command()
def show(
    version: VersionArgument,
    library: LibraryOption = None,
    encoder: EncoderOption = "",
    as_json: JsonOption = False,
) -> None:
    """Show how a bridge was made and how good it is.

    [bold]Example[/]

      syntopy bridge show 2 --library chest
    """
    with errors_on_one_line(as_json=as_json):
        from api.service import bridge as service
        from indexer.library import Library

        with Library.open(settings_with(library).library) as opened:
            found = service.show(opened, version, encoder)
    if as_json:
        print_json(found)
        return
    used = ", in use" if found.in_use else ""
    out.print(f"{found.encoder}: version {found.version}{used}")
    if found.about is None:
        out.print("  its file is damaged")
        return
    out.print(f"  made {found.about.made}, texts read by {found.about.features}")
    _print_about(found.about)


def _print_about(about: BridgeAbout) -> None:
    quality = about.quality
    out.print(
        f"  {quality.pairs} pairs of {quality.patients} patients, {about.with_labels} of them with "
        "labels"
    )
    out.print(
        f"  a report finds its own image first in {quality.hit_rate_at_1:.1%}, among five in "
        f"{quality.hit_rate_at_5:.1%}, among ten in {quality.hit_rate_at_10:.1%}"
    )
    out.print(
        f"  an image finds its own report first in {quality.report_hit_rate_at_1:.1%}, among five "
        f"in {quality.report_hit_rate_at_5:.1%}, among ten in {quality.report_hit_rate_at_10:.1%}"
    )
    out.print(f"  by chance among ten in {quality.chance_at_10:.1%}; patients not fitted on")


@app.command()
def use(
    version: VersionArgument,
    library: LibraryOption = None,
    encoder: EncoderOption = "",
    as_json: JsonOption = False,
) -> None:
    """Let words go by this version from now on.

    [bold]Example[/]

      syntopy bridge use 1 --library chest
    """
    with errors_on_one_line(as_json=as_json):
        from api.service import bridge as service
        from indexer.library import Library

        with Library.open(settings_with(library).library) as opened:
            name = service.use(opened, version, encoder)
    if as_json:
        print_json({"encoder": name, "in_use": version})
    else:
        out.print(f"{name}: version {version} is in use")


@app.command()
def remove(
    version: VersionArgument,
    library: LibraryOption = None,
    encoder: EncoderOption = "",
    as_json: JsonOption = False,
) -> None:
    """Delete a version; if it was in use, the newest that is left is.

    [bold]Example[/]

      syntopy bridge remove 1 --library chest
    """
    with errors_on_one_line(as_json=as_json):
        from api.service import bridge as service
        from indexer.library import Library

        with Library.open(settings_with(library).library) as opened:
            name, left = service.remove(opened, version, encoder)
    if as_json:
        print_json({"encoder": name, "removed": version, "in_use": left or None})
    else:
        state = f"version {left} is in use" if left else "no bridge is left"
        out.print(f"{name}: version {version} is removed, {state}")
