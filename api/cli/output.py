"""How commands speak: tables for people, one JSON object for scripts, one line for an error."""

from __future__ import annotations

import dataclasses
import getpass
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from indexer.config import Settings

USAGE, NOTHING_INDEXED, PARTLY_REJECTED, INTERRUPTED = 2, 3, 4, 130


def _console(*, stderr: bool, width: int | None = None) -> Console:
    # What is printed comes from files: square brackets and colons in it are no markup of ours.
    return Console(
        stderr=stderr, width=width, soft_wrap=True, highlight=False, markup=False, emoji=False
    )


# In a pipe there is no width to fit into; tables keep one line a row.
out = _console(stderr=False, width=None if sys.stdout.isatty() else 160)
err = _console(stderr=True)


def print_json(value: object) -> None:
    """One JSON object on standard output; field names are those of the dataclasses."""
    sys.stdout.write(json.dumps(plain(value), ensure_ascii=False, indent=2) + "\n")


def print_json_list(name: str, values: Iterable[object]) -> None:
    """As `print_json` of ``{name: [value, …]}``, without holding all of them."""
    sys.stdout.write(f'{{"{name}": [')
    mark = "\n"
    for value in values:
        sys.stdout.write(f"{mark}  {json.dumps(plain(value), ensure_ascii=False)}")
        mark = ",\n"
    sys.stdout.write("\n]}\n")


def print_json_line(value: object) -> None:
    """One JSON object on one line, for streams: sent at once."""
    sys.stdout.write(json.dumps(plain(value), ensure_ascii=False) + "\n")
    sys.stdout.flush()


def plain(value: Any) -> Any:
    """Dataclasses, enums, paths and tuples as what JSON knows; bytes and hidden fields left out."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [f for f in dataclasses.fields(value) if f.repr]
        return {f.name: plain(getattr(value, f.name)) for f in fields}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {str(plain(k)): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(v) for v in value]
    return str(value) if isinstance(value, Path) else value


@contextmanager
def errors_on_one_line(*, as_json: bool = False) -> Iterator[None]:
    """End the command with exit code 2 and one clear line where we raise on purpose."""
    from indexer.errors import ConfigError, SyntopyError

    try:
        yield
    except (SyntopyError, UnicodeEncodeError) as error:
        code, message = ConfigError.code, "an argument is not valid Unicode"
        if isinstance(error, SyntopyError):
            code, message = error.code, str(error)
        if as_json:
            print_json({"error": {"code": code, "message": message}})
        print_error(message)
        raise typer.Exit(USAGE) from error


def print_error(message: str) -> None:
    """One line on standard error."""
    err.print(Text.assemble(("error:", "bold red"), " ", message))


def print_note(message: str) -> None:
    """One line of what must be said about an answer."""
    out.print(Text.assemble(("note:", "yellow"), " ", message))


def print_remarks(notes: Iterable[str], notice: str) -> None:
    """All that must be said about an answer, and about what made it."""
    for note in notes:
        print_note(note)
    if notice:
        out.print(notice, style="yellow")


def settings_with(library: Path | None = None, workers: int | None = None) -> Settings:
    """The environment's settings, with what the command line says put over them."""
    from indexer.config import load_settings
    from indexer.errors import ConfigError

    said: dict[str, object] = {}
    if library is not None:
        said["library"] = library
    if workers is not None:
        if not 1 <= workers <= 256:
            raise ConfigError(f"--workers is 1 to 256, not {workers}")
        said["workers"] = workers
    return load_settings().model_copy(update=said)


def user_name() -> str:
    """Who runs the command, for the audit."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # as in a container whose user has no name
        return str(os.getuid())
