"""``syntopy ood watch``, ``deliveries`` and ``monitors``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from api.cli.options import JsonOption, LibraryOption
from api.cli.output import (
    err,
    errors_on_one_line,
    out,
    print_json,
    print_json_line,
    settings_with,
    user_name,
)
from api.cli.progress import telling

if TYPE_CHECKING:
    from api.service.drifting.watch import Event
    from api.service.outgoing.webhooks import Message, Posting
    from indexer.config import Settings
    from indexer.library import Library

deliveries = typer.Typer(
    name="deliveries",
    help="Messages to webhooks that wait, or were given up.",
    no_args_is_help=True,
)
monitors = typer.Typer(
    name="monitors",
    help="Where the watch for drift stands, by group of studies.",
    no_args_is_help=True,
)
_STOPPED = "what was judged is stored, and what is to be sent waits for the next watch"

ReferenceOption = Annotated[str, typer.Option(help="Name of the reference.")]


def watch(
    reference: ReferenceOption,
    webhook: Annotated[
        list[str] | None,
        typer.Option(help="URL that is told of flags and drift. May be repeated."),
    ] = None,
    send_sr: Annotated[
        list[str] | None,
        typer.Option(
            help="Send a structured report of each flagged study to this destination of "
            "destinations.toml. May be repeated.",
            show_default=False,
        ),
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="One pass over what has arrived, for cron.")
    ] = False,
    every: Annotated[float, typer.Option(help="Seconds between passes.")] = 30.0,
    backlog: Annotated[
        bool, typer.Option("--backlog", help="Judge what was there before the first watch, too.")
    ] = False,
    alarm: Annotated[
        float | None,
        typer.Option(help="False-alarm rate; that of the fit by default.", show_default=False),
    ] = None,
    window: Annotated[int, typer.Option(help="Studies in a window of the watch for drift.")] = 50,
    by: Annotated[
        str,
        typer.Option(
            help="Watch for drift by manufacturer, model, modality or body_part; all together by "
            "default.",
            show_default=False,
        ),
    ] = "",
    secret_file: Annotated[
        Path | None,
        typer.Option(
            help="File with the secret that signs messages. Default: $SYNTOPY_WEBHOOK_SECRET.",
            show_default=False,
        ),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Let webhooks beyond this machine be http.")
    ] = False,
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Judge what arrives in the library, print what is flagged, and tell webhooks.

    With --json one line a message, as webhooks get it. Ctrl-C ends it (exit code 130); the next
    watch of the reference goes on where this one ended, also after kill -9.

    [bold]Examples[/]

      syntopy ood watch --reference chest-v1 --webhook https://example.org/hooks/ood

      syntopy ood watch --reference chest-v1 --once --json
    """
    with errors_on_one_line(as_json=as_json):
        from api.service.drifting.watch import WatchRequest
        from api.service.drifting.watch import watch as service
        from indexer.library import Library

        settings = settings_with(library)
        posting = _posting(settings, webhook or [], secret_file, insecure=insecure)
        with Library.open(settings.library) as opened, telling("watching", _STOPPED) as show_:
            posting = _with_reports(opened, settings, posting, send_sr or [])
            request = WatchRequest(
                reference, alarm, once, every, backlog, window=window, by=by, posting=posting
            )
            for event in service(opened, request, show_, settings=settings):
                _print(event, as_json=as_json)


@deliveries.command("list")
def list_(
    state: Annotated[
        str,
        typer.Option(
            help="waiting, dead or delivered; waiting and dead by default.", show_default=False
        ),
    ] = "",
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """List messages, oldest first."""
    with errors_on_one_line(as_json=as_json):
        from api.service.outgoing import deliveries as service
        from indexer.library import Library

        with Library.open(settings_with(library).library) as opened:
            found = service.listed(opened, state)
    if as_json:
        print_json({"deliveries": found})
        return
    if not found:
        out.print("no messages")
        return
    table = Table("number", "webhook", "event", "state", "failed", "next", "error", "made")
    for each in found:
        table.add_row(
            str(each.delivery),
            each.webhook,
            each.event,
            each.state,
            str(each.attempts),
            each.next_at,
            each.error,
            each.created_at,
        )
    out.print(table)


@deliveries.command()
def retry(
    numbers: Annotated[
        list[int] | None, typer.Argument(help="Of the messages; all dead ones by default.")
    ] = None,
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let messages be sent anew by the next pass of a watch."""
    with errors_on_one_line(as_json=as_json):
        from api.service.outgoing import deliveries as service
        from indexer.library import Library

        with Library.open(settings_with(library).library) as opened:
            chosen = service.retry(opened, numbers or [])
    if as_json:
        print_json({"waiting": chosen})
        return
    out.print(f"{len(chosen):,} messages wait to be sent anew")


@deliveries.command()
def drop(
    numbers: Annotated[list[int], typer.Argument(help="Of the messages.")],
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete messages that wait or are dead; they are never sent."""
    with errors_on_one_line(as_json=as_json):
        from api.service.outgoing import deliveries as service
        from indexer.library import Library

        with Library.open(settings_with(library).library) as opened:
            gone = service.drop(opened, numbers)
    if as_json:
        print_json({"dropped": gone})
        return
    out.print(f"{len(gone):,} messages dropped")


@monitors.command("list")
def list_monitors(
    reference: ReferenceOption, library: LibraryOption = None, as_json: JsonOption = False
) -> None:
    """Show the moving average of each group of studies and its limit."""
    with errors_on_one_line(as_json=as_json):
        from api.service.drifting import arrival_windows as service
        from indexer.library import Library

        with Library.open(settings_with(library).library) as opened:
            found = service.standings(opened, reference)
    if as_json:
        print_json({"monitors": found})
        return
    table = Table("group", "windows", "waiting", "moving average", "limits", "")
    for each in found:
        table.add_row(
            each.group,
            f"{each.windows:,}",
            f"{each.waiting:,}",
            f"{each.moving_average:+.2f}",
            f"±{each.limit:.2f}",
            "drift" if each.alarm else "",
        )
    out.print(table)


@monitors.command()
def reset(
    reference: ReferenceOption,
    group: Annotated[str, typer.Option(help="Only this one, as listed.", show_default=False)] = "",
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start the moving averages anew, once the cause of a drift is mended."""
    with errors_on_one_line(as_json=as_json):
        from api.service.drifting import arrival_windows as service
        from indexer.library import Library

        with Library.open(settings_with(library).library) as opened:
            chosen = service.reset(opened, reference, group)
    if as_json:
        print_json({"reset": chosen})
        return
    out.print(f"{len(chosen):,} groups start anew")


def _posting(
    settings: Settings, urls: list[str], secret_file: Path | None, *, insecure: bool
) -> Posting:
    from api.service.outgoing.signatures import read_secret
    from api.service.outgoing.webhooks import Posting

    if not urls:
        return Posting()
    secret = read_secret(settings.webhook_secret.get_secret_value(), secret_file)
    return Posting(tuple(dict.fromkeys(urls)), secret=secret, insecure=insecure)


def _with_reports(
    opened: Library, settings: Settings, posting: Posting, names: list[str]
) -> Posting:
    from dataclasses import replace

    from api.service.outgoing.destinations import find_destination
    from api.service.outgoing.structured import reporting
    from api.service.outgoing.webhooks import REPORTS
    from indexer.extras import extra

    if not names:
        return posting
    extra("highdicom")
    for name in names:
        find_destination(opened, name)
    reports = tuple(f"{REPORTS}{name}" for name in dict.fromkeys(names))
    return replace(
        posting, reports=reports, send_report=reporting(opened, settings, actor=user_name())
    )


def _print(event: Event, *, as_json: bool) -> None:
    from api.service.drifting.watch import Judged
    from api.service.outgoing.webhooks import Attempt

    if isinstance(event, Attempt):
        if event.error:
            then = f"sent again at {event.next_at}" if event.next_at else "given up"
            err.print(f"message {event.delivery} to {event.webhook}: {event.error}; {then}")
    elif isinstance(event, Judged):
        if not as_json:
            out.print(
                f"{event.studies:,} studies judged: {event.flagged:,} flagged, "
                f"{event.cannot_be_judged:,} cannot be judged"
            )
    elif as_json:
        print_json_line(event)
    else:
        out.print(_line(event))


def _line(message: Message) -> str:
    data = message.data
    if message.event == "drift":
        return f"drift    {data['group']}: {data['reasons'][0]}"
    oddest = data["items"][0]
    return (
        f"flagged  p {data['p_value']:.4f}  {data['study_instance_uid']}  {oddest['stratum']}, "
        f"items judged: {data['judged_items']:,}"
    )
