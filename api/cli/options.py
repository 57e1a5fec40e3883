"""Options that several commands share, with their help in one place."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

LibraryOption = Annotated[
    Path | None,
    typer.Option(
        "--library",
        "-L",
        help="Folder of the library. Default: $SYNTOPY_LIBRARY, else ./library.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers",
        help="Reading processes. Default: one a CPU ($SYNTOPY_WORKERS).",
        show_default=False,
    ),
]
