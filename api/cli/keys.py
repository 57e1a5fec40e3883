"""``syntopy keys``: API keys of the library."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from api.cli.options import JsonOption, LibraryOption
from api.cli.output import err, errors_on_one_line, out, print_json, settings_with, user_name

app = typer.Typer(
    name="keys", help="API keys: who may ask over HTTP, and for what.", no_args_is_help=True
)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Who or what asks with it, as the audit will say.")],
    role: Annotated[
        str,
        typer.Option(help="reader, curator, operator or admin; each may what those before may."),
    ] = "reader",
    days: Annotated[int, typer.Option(help="After which it expires.")] = 365,
    libraries: Annotated[
        list[str] | None,
        typer.Option(
            "--for",
            help="Id of a library it is for, or '*' for all; this one by default. May be repeated.",
            show_default=False,
        ),
    ] = None,
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key and print it, once: it is not stored and cannot be shown again.

    [bold]Example[/]

      syntopy keys create viewer --role reader --days 90 --library chest
    """
    with errors_on_one_line(as_json=as_json):
        from api.rights import parse_role
        from api.service.access import keys as service
        from indexer.library import Library

        request = service.KeyRequest(name, parse_role(role), days, libraries or ())
        with Library.open(settings_with(library).library) as opened:
            made = service.create(opened, request, actor=user_name())
    if as_json:
        print_json({"token": made.token, "key": made.key})
        return
    out.print(made.token)
    until = made.key.expires_at[:10]
    err.print(f"role {made.key.role}, until {until}; keep it now, it is not shown again")


@app.command("list")
def list_(
    everything: Annotated[
        bool, typer.Option("--all", help="Also those that are expired or revoked.")
    ] = False,
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """List keys by the part of them that may be seen."""
    with errors_on_one_line(as_json=as_json):
        from api.service.access import keys as service
        from indexer.library import Library

        with Library.open(settings_with(library).library) as opened:
            found = service.listed(opened, everything=everything)
    if as_json:
        print_json({"keys": found})
        return
    if not found:
        out.print("no keys")
        return
    table = Table("prefix", "name", "role", "libraries", "state", "made", "expires", "last used")
    for key in found:
        dates = (key.created_at[:10], key.expires_at[:10], key.last_used_on)
        table.add_row(key.prefix, key.name, key.role, ", ".join(key.libraries), key.state, *dates)
    out.print(table)


@app.command()
def revoke(
    prefix: Annotated[str, typer.Argument(help="Of the key, as listed.")],
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a key be accepted no more.

    [bold]Example[/]

      syntopy keys revoke 3f9a0c1b2d4e --library chest
    """
    with errors_on_one_line(as_json=as_json):
        from api.service.access import keys as service
        from indexer.library import Library

        with Library.open(settings_with(library).library) as opened:
            gone = service.revoke(opened, prefix, actor=user_name())
    if as_json:
        print_json({"key": gone})
        return
    out.print(f"the key {gone.prefix} of {gone.name} is revoked")


@app.command("sessions")
def sessions_(library: LibraryOption = None, as_json: JsonOption = False) -> None:
    """List who is signed in with a browser."""
    with errors_on_one_line(as_json=as_json):
        from api.service.access import sessions as service
        from indexer.library import Library

        settings = settings_with(library)
        with Library.open(settings.library) as opened:
            found = service.listed(opened, settings)
    if as_json:
        print_json({"sessions": found})
        return
    if not found:
        out.print("no sessions")
        return
    table = Table("prefix", "name", "role", "signed in with", "since", "last asked", "expires")
    for each in found:
        times = (each.created_at[:16], each.used_at[:16], each.expires_at[:16])
        table.add_row(each.prefix, each.name, each.role, each.via, *times)
    out.print(table)


@app.command("sign-out")
def sign_out(
    prefix: Annotated[str, typer.Argument(help="Of the session, as listed.")],
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sign somebody out, from their next request on.

    [bold]Example[/]

      syntopy keys sign-out 5b1e0c9d2a3f --library chest
    """
    with errors_on_one_line(as_json=as_json):
        from api.service.access import sessions as service
        from indexer.library import Library

        with Library.open(settings_with(library).library) as opened:
            service.sign_out(opened, prefix, actor=user_name())
    if as_json:
        print_json({"ended": prefix})
        return
    out.print(f"the session {prefix} has ended")
