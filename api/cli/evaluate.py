"""``syntopy eval``."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from api.cli.options import JsonOption, LibraryOption
from api.cli.output import err, errors_on_one_line, out, print_json, settings_with

app = typer.Typer(
    name="eval",
    help="Measure a library on its own labels.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@app.callback()
def main() -> None:
    """Take the measure to be made as the next word."""


@app.command()
def retrieval(
    label: Annotated[
        str,
        typer.Option(help="Label that neighbours should share; also view, modality, body_part."),
    ],
    library: LibraryOption = None,
    filter_: Annotated[str, typer.Option("--filter", help="Only items that pass.")] = "",
    queries: Annotated[
        int,
        typer.Option(help="Ask with so many items at most, drawn by the seed; 0 asks with all."),
    ] = 2000,
    seed: Annotated[int, typer.Option(help="Of the draw and the intervals.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Measure how often the nearest items of other patients share a label, by encoder.

    Precision at 1, 5 and 10, mean average precision and kNN accuracy, each with its 95 % interval.

    [bold]Example[/]

      syntopy eval retrieval --library chest --label finding
    """
    with errors_on_one_line(as_json=as_json):
        from api.service import evaluate as service
        from indexer.library import Library

        settings = settings_with(library)
        request = service.EvaluationRequest(label, filter_, queries, seed)
        with Library.open(settings.library) as opened, err.status("comparing") as status:
            reports = service.evaluate_retrieval(
                opened,
                request,
                lambda done, total: status.update(f"comparing: {done} of {total} queries"),
            )
    if as_json:
        print_json({"encoders": {name: _flat(report) for name, report in reports.items()}})
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("encoder", "P@1", "P@5", "P@10", "mAP", "kNN", "chance", "queries", "patients"):
        table.add_column(title, justify="left" if title == "encoder" else "right")
    for name, report in reports.items():
        measures = (
            report.precision_at_1,
            report.precision_at_5,
            report.precision_at_10,
            report.map,
            report.knn_accuracy,
        )
        cells = (f"{m.value:.3f} ({m.low:.2f}-{m.high:.2f})" for m in measures)
        counts = (str(report.n_queries), str(report.n_patients))
        table.add_row(name, *cells, f"{report.chance:.3f}", *counts)
    out.print(table, soft_wrap=False)


def _flat(report: object) -> dict[str, object]:
    """Each measure as a number, its interval beside it."""
    from indexer.metrics import Measure

    flat: dict[str, object] = {}
    for name, value in vars(report).items():
        if isinstance(value, Measure):
            flat[name] = value.value
            flat[f"{name}_interval"] = [value.low, value.high]
        else:
            flat[name] = value
    return flat
