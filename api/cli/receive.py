"""``syntopy listen`` and ``syntopy arrivals``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.index import progress_bar, stopped_by_signal
from api.cli.options import JsonOption, LibraryOption, WorkersOption
from api.cli.output import (
    INTERRUPTED,
    err,
    errors_on_one_line,
    out,
    print_error,
    print_json_line,
    print_note,
    settings_with,
)

if TYPE_CHECKING:
    from api.dimse.options import Address, NodeOptions, Tls
    from api.service.arriving.arrivals import Held
    from api.service.arriving.listen import ListenEvent
    from indexer.ingest import IngestSummary
    from indexer.library import Library
    from indexer.receiving.inbox import InboxLimits

MetricsOption = Annotated[
    str,
    typer.Option(
        help="Tell Prometheus how it goes, at this port of 127.0.0.1, or at HOST:PORT.",
        metavar="PORT",
        show_default=False,
    ),
]
_STOPPED = "stopped; what was acknowledged is safe, and what waits is indexed by the next run"


def listen(
    ae_title: Annotated[str, typer.Option(help="Our AE title.")] = "SYNTOPY",
    port: Annotated[int, typer.Option(help="To listen on; 0 takes a free one.")] = 11112,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    allow: Annotated[
        list[str] | None,
        typer.Option(help="AE title that may send; all by default. May be repeated."),
    ] = None,
    allow_address: Annotated[
        list[str] | None,
        typer.Option(help="IP address or network that may connect. May be repeated."),
    ] = None,
    peer: Annotated[
        list[str] | None,
        typer.Option(
            help="TITLE=HOST:PORT, where a sender is told of storage commitment; on its own "
            "association by default. May be repeated."
        ),
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate (PEM): TLS alone.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its key (PEM).")] = None,
    tls_ca: Annotated[
        Path | None, typer.Option(help="CA (PEM) that senders' certificates have to be of.")
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Let anybody send, also beyond this machine.")
    ] = False,
    find: Annotated[
        bool,
        typer.Option("--find", help="Answer C-FIND requests of those who may send, too."),
    ] = False,
    associations: Annotated[int, typer.Option(help="At once, at most.")] = 16,
    pdu: Annotated[int, typer.Option(help="Bytes of a PDU, at most.")] = 262_144,
    timeout: Annotated[float, typer.Option(help="Seconds of silence until an abort.")] = 60.0,
    max_object_mb: Annotated[int, typer.Option(help="Of one object, at most.", min=1)] = 2_048,
    min_free_mb: Annotated[
        int, typer.Option(help="Free disk below which nothing is accepted.", min=0)
    ] = 1_024,
    max_waiting: Annotated[
        int, typer.Option(help="Objects that may wait to be indexed.", min=1)
    ] = 1_000_000,
    index: Annotated[bool, typer.Option(help="Index what comes, too.")] = True,
    metrics: MetricsOption = "",
    library: LibraryOption = None,
    workers: WorkersOption = None,
    as_json: JsonOption = False,
) -> None:
    """Receive studies over DICOM (C-STORE, C-ECHO, storage commitment) and index them.

    With --find it also tells who may send what the library has (C-FIND, Study Root).
    An object is acknowledged once it lies safely in the library's inbox (docs/receiving.md).
    With --json one line an event. Ctrl-C ends it (exit code 130).

    [bold]Examples[/]

      syntopy listen --library chest

      syntopy listen --host 0.0.0.0 --allow CT1 --allow PACS --tls-cert node.pem --tls-key node.key
    """
    with errors_on_one_line(as_json=as_json):
        from api.dimse.options import NodeOptions
        from api.service.library import open_or_create
        from indexer.extras import extra

        extra("pynetdicom")
        from api.service.arriving.listen import ListenRequest
        from api.service.arriving.listen import listen as service

        node = NodeOptions(
            ae_title=ae_title,
            host=host,
            port=port,
            allow=tuple(allow or ()),
            addresses=tuple(allow_address or ()),
            peers=dict(map(_peer, peer or ())),
            tls=_tls(tls_cert, tls_key, tls_ca),
            insecure=insecure,
            associations=associations,
            pdu_bytes=pdu,
            timeout=timeout,
        )
        request = ListenRequest(
            node,
            inbox_limits(max_object_mb, min_free_mb, max_waiting),
            index=index,
            find=find,
        )
        settings = settings_with(library, workers)
        opened, _ = open_or_create(settings.library)
        with opened, stopped_by_signal() as stop, progress_bar(as_json) as show:
            events = service(opened, request, settings, on_progress=show, stop=stop)
            with closing(events), _metrics(metrics, opened) as count:
                for event in events:
                    count(event)
                    _print(event, node, as_json=as_json)
    print_error(_STOPPED)
    raise typer.Exit(INTERRUPTED)


def arrivals(
    follow: Annotated[
        bool, typer.Option("--follow", help="Stay, and index what comes later (Ctrl-C ends it).")
    ] = False,
    metrics: MetricsOption = "",
    library: LibraryOption = None,
    workers: WorkersOption = None,
    as_json: JsonOption = False,
) -> None:
    """Index what was received and waits in the library's inbox, oldest first.

    A receiver does so by itself, unless it was told to leave that to another process, which is
    this. With --json one line a batch.

    [bold]Examples[/]

      syntopy arrivals --library chest

      syntopy arrivals --follow --library chest
    """
    with errors_on_one_line(as_json=as_json):
        from api.service.arriving.arrivals import index_arrivals
        from indexer.library import Library
        from indexer.receiving.inbox import Inbox

        settings = settings_with(library, workers)
        with (
            Library.open(settings.library) as opened,
            stopped_by_signal() as stop,
            progress_bar(as_json) as show,
            _metrics(metrics, opened),
        ):
            inbox = Inbox(opened.inbox_folder)
            batches = index_arrivals(
                opened, inbox, settings, once=not follow, on_progress=show, stop=stop
            )
            files = 0
            for batch in batches:
                files += print_batch(batch, as_json=as_json)
            stopped = stop.is_set()
    if stopped:
        print_error(_STOPPED)
        raise typer.Exit(INTERRUPTED)
    if not as_json:
        out.print(f"{files:,} files indexed, nothing waits")


@contextmanager
def _metrics(address: str, library: Library) -> Iterator[Callable[[ListenEvent], None]]:
    """Metrics, where they are wanted; what is given back counts an event."""
    if not address:
        yield lambda _event: None
        return
    from indexer.errors import ConfigError
    from indexer.extras import extra

    extra("prometheus_client")
    from api.metrics import Metrics, told_at
    from api.service.figures import FiguresReader

    host, _, port = address.rpartition(":")
    if not port.isdigit() or int(port) > 65535:
        raise ConfigError(f"--metrics takes PORT or HOST:PORT, not '{address}'")

    def count(event: ListenEvent) -> None:
        from api.dimse.node import AssociationEnded

        if isinstance(event, AssociationEnded):
            stored = event.stored + event.repeated
            metrics.received("dimse", stored=stored, refused=event.refused)

    metrics = Metrics()
    metrics.watch(FiguresReader(library).read, lambda: True)
    with told_at(metrics, host or "127.0.0.1", int(port)) as told:
        err.print(f"metrics at http://{host or '127.0.0.1'}:{told}/metrics")
        yield count


def _peer(text: str) -> tuple[str, Address]:
    from indexer.errors import ConfigError

    title, _, address = text.partition("=")
    host, _, port = address.rpartition(":")
    if not (title and host and port.isdecimal()):
        raise ConfigError(f"--peer takes TITLE=HOST:PORT, not '{text}'")
    return title, (host, int(port))


def _tls(certificate: Path | None, key: Path | None, ca: Path | None) -> Tls | None:
    from api.dimse.options import Tls
    from indexer.errors import ConfigError

    if certificate is None and key is None and ca is None:
        return None
    if certificate is None or key is None:
        raise ConfigError("TLS needs both --tls-cert and --tls-key")
    return Tls(certificate, key, ca)


def inbox_limits(object_mb: int, free_mb: int, waiting: int = 1_000_000) -> InboxLimits:
    """Limits as options have them."""
    from indexer.receiving.inbox import InboxLimits

    return InboxLimits(object_mb << 20, free_mb << 20, waiting)


def _print(event: ListenEvent, node: NodeOptions, *, as_json: bool) -> None:
    from api.dimse.node import AssociationEnded
    from api.service.arriving.listen import Listening

    if isinstance(event, Listening):
        if as_json:
            print_json_line({"event": "listening", **vars(event)})
            return
        secured = "with TLS" if event.tls else "without TLS"
        out.print(
            f"{event.ae_title} listens on {event.host}:{event.port} {secured}; Ctrl-C ends it"
        )
        if node.insecure:
            err.print("insecure: anybody who reaches this address can send", style="bold red")
    elif isinstance(event, AssociationEnded):
        if as_json:
            print_json_line({"event": "association", **vars(event)})
            return
        why = f" ({event.reason})" if event.reason else ""
        out.print(
            f"{event.calling} at {event.address}: {event.stored:,} stored, "
            f"{event.repeated:,} known already, {event.refused:,} refused{why}"
        )
    else:
        print_batch(event, as_json=as_json)


def print_batch(event: IngestSummary | Held, *, as_json: bool) -> int:
    """Tell of a batch; the number of its files that were indexed."""
    from api.service.arriving.arrivals import Held

    if isinstance(event, Held):
        if as_json:
            print_json_line({"event": "held", **vars(event)})
        else:
            print_note(f"{event.waiting:,} objects wait: {event.reason}")
        return 0
    counts = {outcome.value: number for outcome, number in event.outcomes.items()}
    if as_json:
        print_json_line({"event": "indexed", "files": event.files, "outcomes": counts})
    else:
        said = ", ".join(f"{number:,} {outcome}" for outcome, number in counts.items())
        out.print(f"{event.files:,} files: {said}")
    return event.files
