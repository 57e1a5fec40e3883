"""``syntopy jobs``: what was asked for over HTTP, and the worker that does it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from api.cli.options import JsonOption, LibraryOption
from api.cli.output import (
    INTERRUPTED,
    errors_on_one_line,
    out,
    print_json,
    print_json_line,
    settings_with,
    user_name,
)

if TYPE_CHECKING:
    from api.jobs.worker import Ended
    from api.rights import Principal
    from api.service.jobs import Job

app = typer.Typer(
    name="jobs", help="Long work that was asked for, and the worker that does it.",
    no_args_is_help=True,
)  # fmt: skip

UidArgument = Annotated[str, typer.Argument(help="Id of the job, as listed.", show_default=False)]


@app.command("list")
def list_(
    state: Annotated[
        str, typer.Option(help="queued, running, done, failed or stopped.", show_default=False)
    ] = "",
    kind: Annotated[str, typer.Option(help="Only of this kind.", show_default=False)] = "",
    cursor: Annotated[
        str, typer.Option(help="Of the page before, as --json tells it.", show_default=False)
    ] = "",
    limit: Annotated[int, typer.Option(help="At most so many, the newest.")] = 50,
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """List jobs, the newest first."""
    with errors_on_one_line(as_json=as_json):
        from api.service import jobs as service
        from indexer.library import Library

        with Library.open(settings_with(library).library) as opened:
            page = service.listed(
                opened, _asker(), state=state, kind=kind, cursor=cursor, limit=limit
            )
    if as_json:
        print_json({"jobs": page.rows, "cursor": page.cursor})
        return
    if not page.rows:
        out.print("no jobs")
        return
    table = Table("id", "kind", "state", "asked by", "asked at", "progress")
    for job in page.rows:
        table.add_row(job.id, job.kind, job.state, job.asked_by, job.created_at[:19], _far(job))
    out.print(table)


@app.command()
def show(uid: UidArgument, library: LibraryOption = None, as_json: JsonOption = False) -> None:
    """Show one job: how far it is, what came of it."""
    with errors_on_one_line(as_json=as_json):
        from api.service import jobs as service
        from indexer.library import Library

        with Library.open(settings_with(library).library) as opened:
            job = service.show(opened, uid, _asker())
    if as_json:
        print_json(job)
        return
    _print(job)


@app.command()
def cancel(uid: UidArgument, library: LibraryOption = None, as_json: JsonOption = False) -> None:
    """Stop a job that waits, or have one stopped that runs."""
    with errors_on_one_line(as_json=as_json):
        from api.service import jobs as service
        from indexer.library import Library

        with Library.open(settings_with(library).library) as opened:
            job = service.cancel(opened, uid, _asker())
    if as_json:
        print_json(job)
        return
    _print(job)


@app.command()
def work(
    once: Annotated[bool, typer.Option("--once", help="End when no job waits.")] = False,
    log: Annotated[
        bool, typer.Option("--log", help="Log as the service does: JSON lines on standard error.")
    ] = False,
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Do jobs, one after the other, in the order in which they were asked for.

    syntopy serve starts such workers by itself ($SYNTOPY_JOBS_WORKERS). Ctrl-C stops the job that
    runs, which the next worker begins again (exit code 130); SIGTERM lets it run on for
    $SYNTOPY_JOBS_GRACE seconds. With --json one line a job.

    [bold]Example[/]

      syntopy jobs work --once --library chest
    """
    with errors_on_one_line(as_json=as_json):
        from api.jobs.worker import work as service
        from api.logs import log_to_stderr

        if log:
            log_to_stderr()

        def told(ended: Ended) -> None:
            if as_json:
                print_json_line(ended)
            else:
                out.print(f"{ended.uid} {ended.kind}: {ended.state} {ended.message}".rstrip())

        if service(settings_with(library), once=once, on_end=told):
            raise typer.Exit(INTERRUPTED)


def _asker() -> Principal:
    """Who works on this machine may do all."""
    from api.rights import EVERY_LIBRARY, Principal, Role

    return Principal(user_name(), Role.ADMIN, frozenset({EVERY_LIBRARY}), "cli")


def _far(job: Job) -> str:
    if job.state == "failed":
        return f"{job.code}: {job.error}"
    of = f" {job.done:,} of {job.total:,}" if job.total else ""
    return "" if job.ended else f"{job.what}{of}"


def _print(job: Job) -> None:
    out.print(
        f"{job.id} {job.kind}: {job.state}"
        + (", to be stopped" * (job.cancelled and not job.ended))
    )
    for name, value in (("progress", _far(job)), ("parameters", job.parameters)):
        if value:
            out.print(f"{name}: {value}")
    for name, value in (job.result or {}).items():
        out.print(f"{name}: {value}")
