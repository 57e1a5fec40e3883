"""``syntopy init``, ``info``, ``remove`` and ``verify``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from api.cli.options import JsonOption, LibraryOption
from api.cli.output import (
    USAGE,
    err,
    errors_on_one_line,
    out,
    print_json,
    print_note,
    settings_with,
    user_name,
)


def init(
    path: Annotated[
        Path | None, typer.Argument(help="A new or empty folder.", show_default=False)
    ] = None,
    library: LibraryOption = None,
    phi: Annotated[
        str, typer.Option(help="'pseudonym', or 'keep' to store real patient ids as well.")
    ] = "pseudonym",
    encoder: Annotated[
        list[str] | None, typer.Option(help="Encoder to fill the library with. May be repeated.")
    ] = None,
    store: Annotated[
        str,
        typer.Option(
            help="Vector store: faiss, faiss:hnsw and other kinds (docs/index.md), exact, or a URL."
        ),
    ] = "faiss",
    rules: Annotated[
        Path | None,
        typer.Option(help="TOML file that says which encoders get what (docs/encoders.md)."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make an empty library.

    [bold]Example[/]

      syntopy init chest --phi keep
    """
    with errors_on_one_line(as_json=as_json):
        from indexer.library import Library

        settings = settings_with(path or library)
        encoders = tuple(encoder or ["texture"])
        made = Library.create(
            settings.library, phi=phi, encoders=encoders, store=store, rules=rules
        )
        with made:
            if as_json:
                print_json({"path": made.path, **vars(made.config)})
            else:
                out.print(f"made a library in {made.path}")
                out.print(f"next: syntopy index FOLDER --library {made.path}")


def info(library: LibraryOption = None, as_json: JsonOption = False) -> None:
    """Describe a library: what it holds, what filled it, how big it is.

    [bold]Example[/]

      syntopy info --library chest --json
    """
    with errors_on_one_line(as_json=as_json):
        from api.service import library as service
        from indexer.library import Library

        settings = settings_with(library)
        with Library.open(settings.library) as opened:
            described = service.info(opened)
    if as_json:
        print_json(described)
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in vars(described).items():
        if isinstance(value, dict):
            text = ", ".join(f"{k} {v}" for k, v in value.items())
        elif isinstance(value, list):
            text = "; ".join(
                ", ".join(f"{k} {v}" for k, v in part.items())
                if isinstance(part, dict)
                else str(part)
                for part in value
            )
        else:
            text = f"{value / 2**20:.1f} MiB" if name == "bytes" else str(value)
        table.add_row(name.replace("_", " "), text)
    out.print(table, soft_wrap=False)


def remove(
    uid: Annotated[
        str,
        typer.Argument(
            help="UID of a study or series. Of a patient the pseudonym or the patient id, "
            "as issuer|id where the files name an issuer (0010,0021)."
        ),
    ],
    level: Annotated[str, typer.Option(help="study, series or patient.")] = "study",
    library: LibraryOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Take a study, series or patient out: metadata, vectors, thumbnails, index entries.

    Source files are not touched; indexing them again brings the study back.

    [bold]Example[/]

      syntopy remove 1.2.840.113619.2.1 --level study --library chest --yes

      syntopy remove "St Elsewhere|4711" --level patient --library chest
    """
    with errors_on_one_line(as_json=as_json):
        from api.service import library as service
        from api.service.judging.ood import with_removed_cases
        from api.service.options import index_options
        from indexer.library import Library

        settings = settings_with(library)
        if not yes and not typer.confirm(f"Remove this {level} from {settings.library}?", err=True):
            raise typer.Exit(1)
        with Library.open(settings.library) as opened:
            removed = service.remove(
                opened, level, uid, actor=user_name(), index=index_options(settings)
            )
            kept = with_removed_cases(opened)
    if as_json:
        print_json(asdict(removed) | {"notes": kept})
        return
    out.print(
        f"removed {removed.studies} studies, {removed.series} series, "
        f"{removed.instances} instances, {removed.items} items with their vectors"
    )
    for note in kept:
        print_note(note)


def verify(
    library: LibraryOption = None,
    repair: Annotated[bool, typer.Option(help="Put right what can be put right.")] = False,
    sources: Annotated[
        bool, typer.Option(help="Also read every source file again and compare it.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check that catalog, vectors, index, thumbnails and ledger agree; exit code 2 if not.

    [bold]Example[/]

      syntopy verify --library chest --repair
    """
    with errors_on_one_line(as_json=as_json):
        from api.service import library as service
        from indexer.library import Library

        settings = settings_with(library)
        with Library.open(settings.library) as opened, err.status("checking") as status:
            report = service.verify(
                opened,
                repair=repair,
                sources=sources,
                on_progress=lambda name: status.update(f"checking {name}"),
            )
    if as_json:
        print_json({"clean": report.clean, **vars(report)})
    else:
        for finding in report.findings:
            state = "repaired" if finding.repaired else "wrong"
            out.print(f"{state}: {finding.check}: {finding.message}")
        state = "clean" if report.clean else "not clean; try --repair"
        out.print(f"{report.items} items, {report.vectors} vectors, {report.files} files: {state}")
    if not report.clean:
        raise typer.Exit(USAGE)
