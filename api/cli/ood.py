"""``syntopy ood``."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from api.cli.options import JsonOption, LibraryOption
from api.cli.output import (
    errors_on_one_line,
    out,
    print_json,
    print_json_line,
    print_note,
    settings_with,
)
from api.cli.progress import telling

if TYPE_CHECKING:
    from api.service.judging.judge import StudyAnswer
    from indexer.groups.references import StoredReference

FLAGGED = 10
"""Exit code of a run that flagged something."""
_LINES = 40

app = typer.Typer(
    name="ood",
    help="Flag what is unlike a reference: fit one on part of a library, score the rest, or files.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@app.command()
def fit(
    name: Annotated[str, typer.Option(help="Of the reference.")],
    where: Annotated[
        str, typer.Option("--where", help="Only items that pass this filter.", show_default=False)
    ] = "",
    alarm: Annotated[
        float, typer.Option(help="False-alarm rate to hold patients out for; 0.01 is 1 %.")
    ] = 0.01,
    detector: Annotated[
        list[str] | None,
        typer.Option(
            help="knn, mahalanobis, residual or quality, with a reduction in front as "
            "pca:64/knn. May be repeated; all four by default."
        ),
    ] = None,
    corruptions: Annotated[
        int,
        typer.Option(
            help="Corrupt so many held-out items of each kind, to say what would be noticed; 0 for "
            "none."
        ),
    ] = 20,
    seed: Annotated[int, typer.Option(help="Of all that is random.")] = 0,
    encoder: Annotated[str, typer.Option(help="Whose space.", show_default=False)] = "",
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fit a reference: what is usual, for every kind of image of which there is enough.

    [bold]Examples[/]

      syntopy ood fit --name chest-v1 --where "modality in (CR,DX) and body_part=CHEST"

      syntopy ood fit --name small --alarm 0.05

    Ctrl-C stops it (exit code 130); nothing is stored then.
    """
    with errors_on_one_line(as_json=as_json):
        from api.service.judging import ood as service
        from indexer.library import Library
        from ood.registry import Recipe

        request = service.FitRequest(
            name, where, encoder, alarm, corruptions=corruptions, seed=seed
        )
        settings = settings_with(library)
        if detector:
            request = replace(request, recipes=tuple(Recipe.named(each) for each in detector))
        with (
            Library.open(settings.library) as opened,
            telling("reading", "nothing was stored") as show_,
        ):
            stored = service.fit_reference(opened, request, show_, settings)
    if as_json:
        print_json(stored)
        return
    _print_reference(stored)


@app.command("list")
def list_(library: LibraryOption = None, as_json: JsonOption = False) -> None:
    """List the references of a library."""
    with errors_on_one_line(as_json=as_json):
        from api.service.judging import ood as service
        from indexer.library import Library

        with Library.open(settings_with(library).library) as opened:
            found = service.references(opened)
    if as_json:
        print_json({"references": found})
        return
    if not found:
        out.print("no references yet; make one with: syntopy ood fit --name NAME")
        return
    table = Table("name", "space", "items", "strata", "alarm", "filter", "made")
    for each in found:
        strata = len(each.report["strata"])
        table.add_row(
            each.name,
            each.encoder,
            f"{each.items:,}",
            f"{strata}",
            f"{each.alarm:g}",
            each.filter,
            each.created_at,
        )
    out.print(table)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="Of the reference.")],
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a reference: its strata, how well each tells other items apart, what is too rare."""
    with errors_on_one_line(as_json=as_json):
        from api.service.judging import ood as service
        from indexer.library import Library

        with Library.open(settings_with(library).library) as opened:
            stored = service.show_reference(opened, name)
    if as_json:
        print_json(stored)
        return
    _print_reference(stored)


@app.command()
def score(
    reference: Annotated[str, typer.Option(help="Name of the reference.")],
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Files, folders or archives, each a study; they need not be indexed."),
    ] = None,
    where: Annotated[
        str | None,
        typer.Option("--where", help="Items of the library that pass this filter instead."),
    ] = None,
    alarm: Annotated[
        float | None,
        typer.Option(help="False-alarm rate; that of the fit by default.", show_default=False),
    ] = None,
    each: Annotated[
        bool, typer.Option("--each", help="Take every file of a folder for itself.")
    ] = False,
    look: Annotated[
        bool,
        typer.Option(
            "--look/--no-look",
            help="Look at the pixels of files, and of what is flagged, for the reason.",
        ),
    ] = True,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Exit code 10 also where a check has a finding, flag or no."),
    ] = False,
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what is unlike a reference, and why. Exit code 0: nothing; 10: something was flagged.

    With --json one line a study, as soon as it is judged. What cannot be judged is said to be so,
    with the reason, and is not called in distribution. Checks of header and pixels are told with
    every study; they flag nothing by themselves but with --strict.

    [bold]Examples[/]

      syntopy ood score incoming/study-1 incoming/study-2.zip --reference chest-v1 --json

      syntopy ood score --where "modality=CR" --reference chest-v1 --alarm 0.05
    """
    flagged = False
    with errors_on_one_line(as_json=as_json):
        from api.service.judging.judge import Judge
        from api.service.links import Links
        from indexer.errors import ConfigError
        from indexer.library import Library

        if bool(paths) == (where is not None):
            raise ConfigError("name files to score, or items with --where, and not both")
        settings = settings_with(library)
        answers: list[StudyAnswer] = []
        with Library.open(settings.library) as opened:
            judge = Judge(opened, reference, alarm, settings=settings, look=look)
            with telling("judging", "what was judged before it was printed") as show_:
                found = (
                    judge.of_items(where, show_)
                    if where is not None
                    else judge.of_files(paths or [], each=each)
                )
                for answer in map(Links(settings).on, found):
                    flagged = flagged or bool(answer.flagged or (strict and answer.findings))
                    if as_json:
                        print_json_line(answer)
                    else:
                        answers.append(answer)
    if not as_json:
        _print_answers(answers)
    if flagged:
        raise typer.Exit(FLAGGED)


@app.command()
def remove(
    name: Annotated[str, typer.Argument(help="Of the reference.")],
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete a reference; items and vectors stay."""
    with errors_on_one_line(as_json=as_json):
        from api.service.judging import ood as service
        from indexer.library import Library

        with Library.open(settings_with(library).library) as opened:
            gone = service.remove(opened, name)
    if as_json:
        print_json({"removed": gone.name})
        return
    out.print(f"removed {gone.name}")


def _print_reference(stored: StoredReference) -> None:
    out.print(
        f"{stored.name}: {stored.items:,} items in '{stored.encoder}', false-alarm rate "
        f"{stored.alarm:g}"
    )
    table = Table("stratum", "fitted", "held out", "patients", "least rate", "AUROC", "FPR95")
    for each in stored.report["strata"]:
        against = each["against_other_items"]
        table.add_row(
            each["stratum"] + ("" if each["described_by"] == "its vector" else ", by slices"),
            f"{each['fitted']:,}",
            f"{each['held_out']:,}",
            f"{each['patients']:,}",
            f"{each['least_alarm']:.2g}",
            ", ".join(f"{name} {own['auroc']:.3f}" for name, own in against.items()),
            ", ".join(f"{name} {own['fpr95']:.3f}" for name, own in against.items()),
        )
    out.print(table)
    _print_corruptions(stored)
    for each in stored.report["refused"]:
        print_note(f"{each['stratum']} is no stratum of its own: {each['why']}")
    able = [each for each in stored.report["strata"] if each["least_alarm"] <= stored.alarm]
    if not able:
        least = min(each["least_alarm"] for each in stored.report["strata"])
        print_note(
            f"no stratum has enough held-out cases for a rate of {stored.alarm:g}; score with "
            f"--alarm {least:.2g} or more"
        )
    for note in stored.report["notes"]:
        print_note(note)
    for note in sorted({note for each in stored.report["strata"] for note in each["notes"]}):
        print_note(note)


def _print_corruptions(stored: StoredReference) -> None:
    """Of each stratum whether corrupted copies would be noticed."""
    tried = [each for each in stored.report["strata"] if each.get("against_corruptions")]
    if not tried:
        return
    kinds = list(dict.fromkeys(kind for each in tried for kind in each["against_corruptions"]))
    table = Table("corrupted, best AUROC", *kinds)
    for each in tried:
        found = each["against_corruptions"]
        best = [max(found[kind].items(), key=_figure) if kind in found else None for kind in kinds]
        cells = ["" if one is None else f"{one[1]:.2f} {one[0]}" for one in best]
        table.add_row(each["stratum"], *cells)
    out.print(table)


def _figure(named: tuple[str, float]) -> float:
    return named[1]


def _print_answers(answers: list[StudyAnswer]) -> None:
    counts = Counter(_word(each) for each in answers)
    told = ", ".join(f"{count:,} {what}" for what, count in counts.most_common())
    found = sum(bool(each.findings) for each in answers if not each.flagged)
    more = f"; checks found something in {found:,} that are not flagged" if found else ""
    out.print(f"{len(answers):,} studies: {told}{more}")
    order = sorted(answers, key=lambda each: (each.flagged is not True, each.p_value or 1.0))
    odd = [each for each in order if each.flagged is not False or each.findings]
    if not odd:
        return
    table = Table("", "p", "study", "judged as", "why")
    for each in odd[:_LINES]:
        table.add_row(
            _word(each),
            "" if each.p_value is None else f"{each.p_value:.4f}",
            escape(each.source or each.study_instance_uid),
            _stratum(each),
            escape(_why(each)),
        )
    out.print(table)
    if len(odd) > _LINES:
        out.print(f"… and {len(odd) - _LINES:,} more; --json prints all")


def _word(answer: StudyAnswer) -> str:
    if answer.flagged is None:
        return "cannot be judged"
    return "flagged" if answer.flagged else "as usual"


def _stratum(answer: StudyAnswer) -> str:
    return ", ".join(sorted({item.stratum for item in answer.items if item.stratum}))


def _why(answer: StudyAnswer) -> str:
    """The reason, what checks found beside it, and what else is to be said."""
    told = [answer.reason] if answer.reason else []
    if answer.flagged is None:
        told += [item.why for item in answer.items[:1]]
    told += [each.sentence for each in answer.findings if each.sentence not in answer.reason]
    return "; ".join([*told, *answer.notes])
