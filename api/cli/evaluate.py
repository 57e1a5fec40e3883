"""``syntopy eval``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from api.cli.options import JsonOption, LibraryOption
from api.cli.output import (
    INTERRUPTED,
    err,
    errors_on_one_line,
    out,
    print_error,
    print_json,
    print_note,
    settings_with,
)
from api.cli.progress import telling

if TYPE_CHECKING:
    from api.service.evaluating.evaluate import Evaluation, EvaluationRequest
    from api.service.evaluating.evaluate_ood import OodEvaluation
    from indexer.config import Settings

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
    ] = "",
    library: LibraryOption = None,
    encoder: Annotated[
        list[str] | None,
        typer.Option(help="Only this encoder's space. May be repeated.", show_default=False),
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            help="Compare groups by this field too, beside sex, age and manufacturer: model, view, "
            "split, label:NAME … May be repeated.",
            show_default=False,
        ),
    ] = None,
    k: Annotated[
        str, typer.Option("--k", help="Cut-offs.  [default: 1,5,10]", show_default=False)
    ] = "",
    through: Annotated[
        str,
        typer.Option(help="exact compares every vector; index asks the library's own store."),
    ] = "exact",
    depth: Annotated[int, typer.Option(help="With --through index: hits a query asks for.")] = 1000,
    protocol: Annotated[
        str,
        typer.Option(help="Follow 3d-mir, bimcv-r or knn-vote.", show_default=False),
    ] = "",
    filter_: Annotated[
        str, typer.Option("--filter", help="Only items that pass.", show_default=False)
    ] = "",
    queries: Annotated[
        int,
        typer.Option(help="Ask with so many items at most, drawn by the seed; 0 asks with all."),
    ] = 2000,
    min_patients: Annotated[
        int, typer.Option(help="Groups of fewer patients are told as too few.")
    ] = 10,
    seed: Annotated[int, typer.Option(help="Of the draw and the intervals.")] = 0,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Folder for retrieval.json, retrieval.md and retrieval.png.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure how often the nearest items of other patients share a label, by encoder.

    Precision, recall, hit rate and nDCG at k, mAP, R-precision, MRR, kNN accuracy; by value of the
    label and by groups of people; with 95 % intervals, for other queries to this gallery.
    docs/evaluation.md says what each is.

    [bold]Examples[/]

      syntopy eval retrieval --library chest --label finding

      syntopy eval retrieval --label finding --by view --k 5,20 --out figures

      syntopy eval retrieval --protocol knn-vote --label finding

    Ctrl-C stops it (exit code 130); nothing is written then.
    """
    with errors_on_one_line(as_json=as_json):
        from api.service.evaluating import evaluate as service

        request = service.EvaluationRequest(
            label=label,
            by=tuple(dict.fromkeys([*service.GROUPS, *(by or ())])),
            ks=_ks(k),
            encoders=tuple(encoder or ()),
            through=through,
            depth=depth,
            protocol=protocol,
            filter=filter_,
            queries=queries,
            seed=seed,
            min_patients=min_patients,
        )
        try:
            evaluation = _measure(request, settings_with(library))
        except KeyboardInterrupt:
            print_error("stopped; nothing was written")
            raise typer.Exit(INTERRUPTED) from None
        files = list[Path]()
        if folder is not None:
            from api.service.evaluating.evaluation_files import write_evaluation

            files = write_evaluation(evaluation, folder)
    if as_json:
        from api.service.evaluating.evaluation_files import as_json as plain

        print_json(plain(evaluation))
        return
    _print(evaluation)
    for file in files:
        out.print(f"wrote {file}")


@app.command()
def ood(
    label: Annotated[
        list[str] | None,
        typer.Option(
            help="Hold out each value of this label in turn; also view, modality, body_part. May "
            "be repeated.",
            show_default=False,
        ),
    ] = None,
    where: Annotated[
        str,
        typer.Option("--where", help="What is usual: other items are outside.", show_default=False),
    ] = "",
    outside: Annotated[
        list[Path] | None,
        typer.Option(
            help="File or folder that is outside; it need not be indexed. May be repeated.",
            show_default=False,
        ),
    ] = None,
    corruptions: Annotated[
        int, typer.Option(help="Corrupt so many items at most, in every way; 0 for none.")
    ] = 100,
    detector: Annotated[
        list[str] | None,
        typer.Option(
            help="knn, mahalanobis or residual, with a reduction in front as pca:64/knn. May be "
            "repeated; all three by default."
        ),
    ] = None,
    encoder: Annotated[str, typer.Option(help="Whose space.", show_default=False)] = "",
    seed: Annotated[int, typer.Option(help="Of all that is random.")] = 0,
    file: Annotated[
        Path | None, typer.Option("--out", help="File for the JSON.", show_default=False)
    ] = None,
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure how well each detector tells what is out of distribution, by kind of shift.

    AUROC, AUPR, FPR95 and FPR90 with 95 % intervals. Patients are parted: some fit, some
    calibrate, others test. docs/ood.md says what each shift is.

    [bold]Examples[/]

      syntopy eval ood --where "modality in (CR,DX)" --label view --outside photographs

      syntopy eval ood --label body_part --corruptions 0 --json

    Ctrl-C stops it (exit code 130); nothing is written then.
    """
    with errors_on_one_line(as_json=as_json):
        from api.service.evaluating import evaluate_ood as service
        from indexer.library import Library
        from ood.reference import DEFAULT
        from ood.registry import Recipe

        request = service.OodRequest(
            labels=tuple(label or ()),
            filter=where,
            outside=tuple(outside or ()),
            corruptions=corruptions,
            recipes=tuple(map(Recipe.named, detector)) if detector else DEFAULT,
            encoder=encoder,
            seed=seed,
        )
        settings = settings_with(library)
        with (
            Library.open(settings.library) as opened,
            telling("reading", "nothing was written") as show,
        ):
            found = service.evaluate_ood(opened, request, settings, show)
        if file is not None:
            service.write_ood(found, file)
        if as_json:
            print_json(service.ood_json(found))
            return
    _print_ood(found)
    if file is not None:
        out.print(f"wrote {file}")


def _ks(text: str) -> tuple[int, ...]:
    from indexer.errors import QueryError

    try:
        return tuple(int(part) for part in text.split(",")) if text.strip() else ()
    except ValueError as error:
        raise QueryError(f"--k is whole numbers such as 1,5,10, not '{text}'") from error


def _measure(request: EvaluationRequest, settings: Settings) -> Evaluation:
    from api.service.evaluating.evaluate import evaluate_retrieval
    from indexer.library import Library

    with Library.open(settings.library) as opened, err.status("reading the catalog") as status:

        def show(encoder: str, done: int, total: int) -> None:
            status.update(f"{encoder}: {done} of {total}")

        return evaluate_retrieval(opened, request, settings, show)


def _print(evaluation: Evaluation) -> None:
    from api.service.evaluating.evaluation_files import said, sheets

    for sheet in sheets(evaluation):
        out.print(sheet.title, style="bold")
        table = Table(box=None, pad_edge=False, header_style="dim")
        for at, title in enumerate(sheet.columns):
            table.add_column(title, justify="right" if at else "left")
        for row in sheet.rows:
            table.add_row(*row)
        out.print(table, soft_wrap=False)
        out.print()
    first, *notes = said(evaluation)
    out.print(first, style="dim")
    for note in notes:
        print_note(note)


def _print_ood(found: OodEvaluation) -> None:
    names = list(found.shifts[0].detectors)
    table = Table("shift", "kind", "fitted", "inside", "outside", *names, "best")
    for each in found.shifts:
        first = each.detectors[names[0]]
        cells = [f"{own.auroc:.3f} ({own.fpr95:.2f})" for own in each.detectors.values()]
        counts = [f"{count:,}" for count in (each.fitted, first.inside, first.outside)]
        table.add_row(each.shift, each.kind, *counts, *cells, each.best)
    out.print(table)
    out.print(
        "AUROC, and in brackets the share of what is outside that is accepted where 95 % of what "
        "is inside is; --json has all figures with their intervals",
        style="dim",
    )
    for note in found.notes:
        print_note(note)
