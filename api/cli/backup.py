"""``syntopy backup``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from api.cli.options import JsonOption, LibraryOption
from api.cli.output import errors_on_one_line, out, print_json, settings_with, user_name
from api.cli.progress import telling

_STOPPED = "what was copied stays; run it again, and it goes on"


def backup(
    target: Annotated[Path, typer.Argument(help="A new folder, or one with an earlier copy.")],
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy a library while it is in use, so that it can be put back.

    A copy is a library itself; what was removed is removed from it too (docs/deploy.md). Ctrl-C
    leaves the catalog of the copy before.

    [bold]Example[/]

      syntopy backup /backups/chest --library chest
    """
    with errors_on_one_line(as_json=as_json):
        from api.service.backup import backup as service
        from indexer.library import Library

        with (
            Library.open(settings_with(library).library) as opened,
            telling("copying", _STOPPED) as tell,
        ):
            made = service(opened, target, tell, actor=user_name())
    if as_json:
        print_json(asdict(made))
    else:
        out.print(
            f"{target}: catalog and {made.files:,} files, {made.bytes / 1e6:,.0f} MB "
            f"({made.copied:,} new, {made.forgotten:,} removed)"
        )
