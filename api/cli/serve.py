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
) -> None:
    """Answer over HTTP: search, lists, pictures, clusters, maps, out-of-distribution scores.

    Routes and examples are in docs/api.md, and at /v1/openapi.json. The log is JSON lines on
    standard error. Ctrl-C ends it when what is being answered has been answered.

    [bold]Example[/]

      syntopy serve --library chest --port 8000
    """
    with errors_on_one_line():
        from indexer.errors import ConfigError
        from indexer.extras import extra
        from indexer.library import Library

        for module in ("fastapi", "python_multipart", "uvicorn"):
            extra(module)
        from api.access import is_loopback
        from api.app import create_app
        from api.logs import log_to_stderr
        from api.server import listening, server_of

        settings = settings_with(library)
        if not is_loopback(host):
            raise ConfigError(
                f"nobody would have to say who they are: listen on 127.0.0.1, not on {host}"
            )
        Library.open(settings.library).close()  # what is wrong with it is said on one line
        with listening(host, port) as listener:
            address = listener.getsockname()
            shown = f"[{address[0]}]" if ":" in address[0] else address[0]
            err.print(f"serving {settings.library} on http://{shown}:{address[1]}")
            log_to_stderr()
            try:
                server_of(create_app(settings)).run(sockets=[listener])
            except KeyboardInterrupt:
                raise typer.Exit(INTERRUPTED) from None
