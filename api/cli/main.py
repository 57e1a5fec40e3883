"""The ``syntopy`` command."""

from __future__ import annotations

from typing import Annotated

import typer

from api.cli.audit import app as audit
from api.cli.backup import backup
from api.cli.bridge import app as bridge
from api.cli.cluster import app as cluster
from api.cli.curate import app as curate
from api.cli.demo import demo
from api.cli.drift import drift
from api.cli.evaluate import app as evaluate
from api.cli.export import export
from api.cli.heat import heat, patches
from api.cli.index import index, rejected
from api.cli.jobs import app as jobs
from api.cli.keys import app as keys
from api.cli.labels import app as labels
from api.cli.labels import tag
from api.cli.library import info, init, remove, verify
from api.cli.maps import app as maps
from api.cli.models import app as models
from api.cli.models import route
from api.cli.ood import app as ood
from api.cli.pull import app as pull
from api.cli.receive import arrivals, listen
from api.cli.regions import regions
from api.cli.reindex import reindex
from api.cli.reports import reports
from api.cli.reviews import app as reviews
from api.cli.search import search, show
from api.cli.serve import serve
from api.cli.sets import app as sets
from api.cli.sr import app as sr
from api.cli.watch import deliveries, monitors, watch
from indexer import __version__

app = typer.Typer(
    name="syntopy",
    help="Find the medical images most like this one. Embedding index and retrieval for DICOM "
    "archives. For research; not a medical device.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,  # a traceback with local variables could show patient data
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"syntopy {__version__}")
        raise typer.Exit


@app.callback()
def main(
    _version_wanted: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Take the options that go before the command."""


commands = (
    init,
    index,
    search,
    reports,
    regions,
    show,
    info,
    rejected,
    remove,
    verify,
    backup,
    reindex,
    route,
    tag,
    export,
    listen,
    arrivals,
    demo,
    serve,
)
for command in commands:
    app.command()(command)
ood.command()(patches)
ood.command()(heat)
app.add_typer(models)
app.add_typer(evaluate)
app.add_typer(bridge)
app.add_typer(cluster)
app.add_typer(curate)
app.add_typer(maps)
app.add_typer(labels)
app.add_typer(sets)
app.add_typer(reviews)
ood.command()(drift)
ood.command()(watch)
ood.add_typer(deliveries)
ood.add_typer(monitors)
app.add_typer(ood)
app.add_typer(jobs)
app.add_typer(pull)
app.add_typer(sr)
app.add_typer(keys)
app.add_typer(audit)


def run() -> None:
    """Entry point of the console script."""
    app()


if __name__ == "__main__":
    run()
