"""``syntopy bridge``."""

from __future__ import annotations

from typing import Annotated

import typer

from api.cli.options import JsonOption, LibraryOption
from api.cli.output import err, errors_on_one_line, out, print_json, settings_with

app = typer.Typer(
    name="bridge",
    help="Words for encoders that have none, learnt from the library's own reports.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@app.callback()
def main() -> None:
    """Take what is to be done as the next word."""


@app.command()
def fit(
    library: LibraryOption = None,
    encoder: Annotated[
        list[str] | None, typer.Option(help="Only this encoder's space. May be repeated.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the folds.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Fit a map from words to each space without a text tower, and measure it.

    Then: syntopy search --text. Removing something from the library forgets its bridges.

    [bold]Example[/]

      syntopy bridge fit --library chest
    """
    with errors_on_one_line(as_json=as_json):
        from api.service import bridge as service
        from indexer.library import Library

        settings = settings_with(library)
        with Library.open(settings.library) as opened, err.status("fitting"):
            fitted = service.fit(opened, encoder or [], seed=seed)
    if as_json:
        print_json({"bridges": fitted})
        return
    for each in fitted:
        quality = each.quality
        out.print(
            f"{each.encoder}: version {each.version}, {quality.pairs} pairs of {quality.patients} "
            "patients"
        )
        out.print(
            f"  a report finds its own image first in {quality.hit_rate_at_1:.1%}, among five in "
            f"{quality.hit_rate_at_5:.1%}, among ten in {quality.hit_rate_at_10:.1%} "
            f"(by chance {quality.chance_at_10:.1%}), patients not fitted on"
        )
