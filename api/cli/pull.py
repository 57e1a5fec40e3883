"""``syntopy pull``: fetch studies from an archive."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from api.cli.index import stopped_by_signal
from api.cli.options import JsonOption, LibraryOption, WorkersOption
from api.cli.output import (
    INTERRUPTED,
    PARTLY_REJECTED,
    errors_on_one_line,
    out,
    print_error,
    print_json_line,
    print_note,
    settings_with,
    user_name,
)
from api.cli.progress import telling
from api.cli.receive import inbox_limits, print_batch

if TYPE_CHECKING:
    import threading

    from api.service.arriving.archives import Archive, ArchiveQuery
    from api.service.arriving.pull import PullEvent, PullRequest, PullSummary
    from indexer.config import Settings
    from indexer.receiving.inbox import Inbox, InboxLimits

app = typer.Typer(name="pull", help="Fetch studies from an archive.", no_args_is_help=True)

_STOPPED = "stopped; what came is safe, and the same command fetches the rest"
_QueryOption = Annotated[
    list[str] | None,
    typer.Option(help="KEYWORD=VALUE that studies or series have to match. May be repeated."),
]
_LimitOption = Annotated[int | None, typer.Option(help="Studies at most.", min=1)]
_IndexOption = Annotated[bool, typer.Option(help="Index what comes, too.")]
_ObjectOption = Annotated[int, typer.Option(help="Of one instance, at most.", min=1)]
_FreeOption = Annotated[int, typer.Option(help="Free disk below which nothing is taken.", min=0)]
_TimeoutOption = Annotated[float, typer.Option(help="Seconds of silence.", min=0.1)]
_InsecureOption = Annotated[
    bool, typer.Option("--insecure", help="Take http, too, beyond this machine.")
]

MakeArchive = Callable[["Inbox", "ArchiveQuery", "Settings", "threading.Event"], "Archive"]


@app.command()
def dicomweb(
    url: Annotated[str, typer.Argument(help="Of the DICOMweb service: https://host/dicom-web.")],
    query: _QueryOption = None,
    limit: _LimitOption = None,
    ca: Annotated[
        Path | None, typer.Option(help="Authority (PEM) that is trusted instead of the system's.")
    ] = None,
    insecure: _InsecureOption = False,
    timeout: _TimeoutOption = 60.0,
    max_object_mb: _ObjectOption = 2_048,
    min_free_mb: _FreeOption = 1_024,
    index: _IndexOption = True,
    library: LibraryOption = None,
    workers: WorkersOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fetch studies over DICOMweb (QIDO-RS, WADO-RS) and index them.

    What is here already is not fetched again, so that the same command goes on where one was
    stopped. The archive is told who asks with SYNTOPY_PULL_TOKEN, or SYNTOPY_PULL_USER and
    SYNTOPY_PULL_PASSWORD. With --json one line an event. Exit code 4: some studies failed.

    [bold]Example[/]

      syntopy pull dicomweb https://pacs/dicom-web --query Modality=CR --query StudyDate=20260101-
    """

    def make(
        inbox: Inbox, asked: ArchiveQuery, settings: Settings, stop: threading.Event
    ) -> Archive:
        from indexer.extras import extra

        extra("httpx")
        from api.service.arriving.pull_web import WebArchive
        from api.service.arriving.web_client import WebOptions

        options = WebOptions(
            url,
            settings.pull_token,
            settings.pull_user,
            settings.pull_password,
            ca,
            insecure,
            timeout,
        )
        return WebArchive(inbox, asked, options, stop)

    with errors_on_one_line(as_json=as_json):
        from api.service.arriving.pull import PullRequest

        _pull(
            make,
            query or (),
            PullRequest(limit, index, host=_host(url), actor=user_name()),
            inbox_limits(max_object_mb, min_free_mb),
            settings_with(library, workers),
            as_json=as_json,
        )


@app.command()
def dimse(
    address: Annotated[str, typer.Argument(help="HOST:PORT of the archive.")],
    called: Annotated[str, typer.Option(help="AE title of the archive.")],
    calling: Annotated[str, typer.Option(help="Our AE title.")] = "SYNTOPY",
    query: _QueryOption = None,
    limit: _LimitOption = None,
    move: Annotated[
        bool,
        typer.Option(
            "--move",
            help="C-MOVE to --calling instead of C-GET: to syntopy listen of this library, or to "
            "--port.",
        ),
    ] = False,
    port: Annotated[
        int | None, typer.Option(help="With --move: listen here while studies are moved.")
    ] = None,
    host: Annotated[str, typer.Option(help="With --port: address to listen on.")] = "127.0.0.1",
    tls: Annotated[bool, typer.Option("--tls", help="TLS; implied by the next three.")] = False,
    tls_cert: Annotated[Path | None, typer.Option(help="Our certificate (PEM).")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its key (PEM).")] = None,
    tls_ca: Annotated[
        Path | None, typer.Option(help="CA (PEM) that is trusted instead of the system's.")
    ] = None,
    timeout: _TimeoutOption = 60.0,
    max_object_mb: _ObjectOption = 2_048,
    min_free_mb: _FreeOption = 1_024,
    index: _IndexOption = True,
    library: LibraryOption = None,
    workers: WorkersOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fetch studies over DICOM (C-FIND, then C-GET or C-MOVE) and index them.

    What is here already is not fetched again, so that the same command goes on where one was
    stopped. With --json one line an event. Exit code 4: some studies failed.

    [bold]Example[/]

      syntopy pull dimse pacs:104 --called PACS --query Modality=CR --query StudyDate=20260101-
    """

    def make(
        inbox: Inbox, asked: ArchiveQuery, settings: Settings, stop: threading.Event
    ) -> Archive:
        del settings
        from indexer.extras import extra

        extra("pynetdicom")
        from api.dimse.archive import DimseArchive
        from api.dimse.calling import DimseOptions
        from api.dimse.options import NodeOptions, Tls, calling_context, check_title

        secure = tls or any((tls_cert, tls_key, tls_ca))
        context = calling_context(tls_cert, tls_key, tls_ca) if secure else None
        check_title(called)
        check_title(calling)
        node = None
        if port is not None:
            own = Tls(tls_cert, tls_key, tls_ca) if tls_cert and tls_key else None
            node = NodeOptions(calling, host, port, allow=(called,), tls=own)
        options = DimseOptions(
            _address(address), called, calling, move, node, context, timeout=timeout
        )
        return DimseArchive(inbox, asked, options, stop)

    with errors_on_one_line(as_json=as_json):
        from api.service.arriving.pull import PullRequest

        _pull(
            make,
            query or (),
            PullRequest(limit, index, host=_address(address)[0], actor=user_name()),
            inbox_limits(max_object_mb, min_free_mb),
            settings_with(library, workers),
            as_json=as_json,
        )


def _host(url: str) -> str:
    """Of a URL; what is wrong with one is said where it is used."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _address(text: str) -> tuple[str, int]:
    from indexer.errors import ConfigError

    host, _, port = text.rpartition(":")
    if not (host and port.isdecimal() and 0 < int(port) < 65_536):
        raise ConfigError(f"an archive is at HOST:PORT, not at '{text}'")
    return host.strip("[]"), int(port)


def _pull(
    make: MakeArchive,
    query: Sequence[str],
    request: PullRequest,
    limits: InboxLimits,
    settings: Settings,
    *,
    as_json: bool,
) -> None:
    """Fetch, tell of it, and end with the exit code."""
    from api.service.arriving.archives import parse_query
    from api.service.arriving.pull import PullSummary, pull
    from api.service.library import open_or_create
    from indexer.receiving.inbox import Inbox

    asked = parse_query(query)
    summary = PullSummary()
    opened, _ = open_or_create(settings.library)
    with opened, stopped_by_signal() as stop, telling("asking the archive") as show:
        inbox = Inbox(opened.inbox_folder, limits)
        with closing(make(inbox, asked, settings, stop)) as archive:
            for event in pull(
                opened,
                inbox,
                archive,
                request,
                settings,
                on_pulled=lambda so_far: show(_so_far(so_far), so_far.fetched, 0),
                on_indexed=lambda far: show("indexing", far.done, far.found),
                stop=stop,
            ):
                if isinstance(event, PullSummary):
                    summary = event
                _print(event, as_json=as_json)
        stopped = stop.is_set()
    if stopped:
        print_error(_STOPPED)
        raise typer.Exit(INTERRUPTED)
    if summary.failed:
        raise typer.Exit(PARTLY_REJECTED)


def _so_far(summary: PullSummary) -> str:
    return f"{summary.studies:,} studies, {summary.bytes / 1e6:,.0f} MB, instances fetched"


def _print(event: PullEvent, *, as_json: bool) -> None:
    from api.service.arriving.pull import IndexedElsewhere, PullSummary, StudyFailed, StudyPulled

    names = {
        StudyPulled: "study",
        StudyFailed: "failed",
        IndexedElsewhere: "indexed_elsewhere",
        PullSummary: "summary",
    }
    if as_json and type(event) in names:
        print_json_line({"event": names[type(event)], **vars(event)})
    elif isinstance(event, StudyPulled):
        came = f"{event.fetched:,} fetched, {event.known:,} here already"
        out.print(f"{event.study_instance_uid}: {came}")
    elif isinstance(event, StudyFailed):
        print_error(f"{event.study_instance_uid}: {event.reason}")
    elif isinstance(event, IndexedElsewhere):
        print_note(f"what came is left to another process: {event.reason}")
    elif isinstance(event, PullSummary):
        out.print(
            f"{event.studies:,} studies: {event.fetched:,} instances fetched, {event.known:,} here "
            f"already; {event.failed:,} studies failed"
        )
    else:
        print_batch(event, as_json=as_json)
