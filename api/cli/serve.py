"""``syntopy serve``."""

from __future__ import annotations

from typing import Annotated

import typer

from api.cli.options import LibraryOption
from api.cli.output import INTERRUPTED, err, errors_on_one_line, settings_with


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

        for module in ("fastapi", "prometheus_client", "python_multipart", "uvicorn"):
            extra(module)
        from api.access import anyone, anyone_on_loopback
        from api.app import create_app
        from api.children import arrivals, beside, job_workers
        from api.connections import ConnectionLimits
        from api.logs import log_to_stderr
        from api.origins import is_loopback
        from api.server import listening, server_of
        from api.tracing import tracing

        settings = settings_with(library)
        guarded = auth if auth is not None else not is_loopback(host)
        if not guarded and not is_loopback(host) and not insecure:
            raise ConfigError(
                f"nobody would have to say who they are on {host}: listen on 127.0.0.1, or leave "
                "out --no-auth; --insecure insists"
            )
        limits = ConnectionLimits(settings.serve_connections, settings.serve_header_seconds)
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
            address = listener.getsockname()
            shown = f"[{address[0]}]" if ":" in address[0] else address[0]
            err.print(f"serving {settings.library} on http://{shown}:{address[1]}")
            log_to_stderr()
            children = [*job_workers(settings), *([arrivals(settings)] if receive else [])]
            with tracing() as tracer, beside(children):
                try:
                    app = create_app(settings, let_in, receive=receive, tracer=tracer)
                    server_of(app, limits).run(sockets=[listener])
                except KeyboardInterrupt:
                    raise typer.Exit(INTERRUPTED) from None
