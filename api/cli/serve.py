"""``syntopy serve``."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.options import LibraryOption
from api.cli.output import INTERRUPTED, err, errors_on_one_line, settings_with

if TYPE_CHECKING:
    from api.access import Authenticate
    from indexer.config import Settings

MODULES = ("fastapi", "prometheus_client", "python_multipart", "uvicorn")
"""Of the extra ``serve``."""


def serve(
    library: LibraryOption = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = 8000,
    auth: Annotated[
        bool | None,
        typer.Option(
            "--auth/--no-auth",
            help="Everyone has to send an API key (syntopy keys create) or a token of the issuer "
            "in SYNTOPY_OIDC_ISSUER, and what they ask is recorded. Off on loopback by default.",
            show_default=False,
        ),
    ] = None,
    receive: Annotated[
        bool,
        typer.Option(
            "--receive", help="Take studies that are sent (STOW-RS), and index them as they come."
        ),
    ] = False,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Insist on --no-auth beyond this machine.")
    ] = False,
) -> None:
    """Answer over HTTP: search, lists, pictures, clusters, maps, out-of-distribution scores.

    Routes and examples are in docs/api.md, and at /v1/openapi.json. The log is JSON lines on
    standard error. Ctrl-C ends it when what is being answered has been answered.

    [bold]Example[/]

      syntopy serve --library chest --port 8000

      syntopy keys create viewer --library chest && syntopy serve --auth --host 192.0.2.1
    """
    with errors_on_one_line():
        from indexer.errors import ConfigError
        from indexer.extras import extra
        from indexer.library import Library

        for module in MODULES:
            extra(module)
        from api.access import anyone, anyone_on_loopback
        from api.logs import log_to_stderr
        from api.origins import is_loopback
        from api.server import listening

        settings = settings_with(library)
        guarded = auth if auth is not None else not is_loopback(host)
        if not guarded and not is_loopback(host) and not insecure:
            raise ConfigError(
                f"nobody would have to say who they are on {host}: listen on 127.0.0.1, or leave "
                "out --no-auth; --insecure insists"
            )
        if settings.trusted_proxies and not guarded and not insecure:
            raise ConfigError(
                "through the proxy in SYNTOPY_TRUSTED_PROXIES others ask, and nobody would have to "
                "say who they are: add --auth; --insecure insists"
            )
        let_in = None if guarded else anyone_on_loopback if is_loopback(host) else anyone
        if let_in is anyone:
            err.print(
                "INSECURE: whoever reaches this address may see everything, and nobody will know",
                style="bold red",
            )
        Library.open(settings.library).close()  # what is wrong with it is said on one line
        with listening(host, port) as listener:
            err.print(f"serving {settings.library} on {address_of(listener)}")
            log_to_stderr()
            try:
                answer_on(listener, settings, let_in, receive=receive)
            except KeyboardInterrupt:
                raise typer.Exit(INTERRUPTED) from None


def address_of(listener: socket.socket) -> str:
    """The address of a socket as a URL."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def answer_on(
    listener: socket.socket,
    settings: Settings,
    let_in: Authenticate | None,
    *,
    receive: bool = False,
) -> None:
    """Serve a library, with the processes beside it, until told to end.

    Raises:
        KeyboardInterrupt: it was told so by Ctrl-C; all that was asked has been answered.
    """
    from api.app import create_app
    from api.children import arrivals, beside, job_workers
    from api.connections import ConnectionLimits
    from api.server import server_of
    from api.tracing import tracing

    limits = ConnectionLimits(settings.serve_connections, settings.serve_header_seconds)
    children = [*job_workers(settings), *([arrivals(settings)] if receive else [])]
    with tracing() as tracer, beside(children):
        app = create_app(settings, let_in, receive=receive, tracer=tracer)
        server_of(app, limits).run(sockets=[listener])
