"""Telling of something long on one line of standard error, so that it can be watched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer

from api.cli.output import INTERRUPTED, err, print_error


@contextmanager
def telling(first: str, stopped: str = "") -> Iterator[Callable[[str, int, int], None]]:
    """A function to be told what is being done, how much of it is done, and of how much.

    Args:
        first: said until it is told something.
        stopped: what is said of a run that Ctrl-C stops, which ends the command with its exit code
            then; without it the interruption goes on its way.
    """
    with _ending(stopped), err.status(first) as status:

        def show(what: str, done: int, total: int) -> None:
            so_far = f": {done:,} of {total:,}" if total else f": {done:,}" if done else ""
            status.update(f"{what}{so_far}")

        yield show


@contextmanager
def _ending(stopped: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        if not stopped:
            raise
        print_error(f"stopped; {stopped}")
        raise typer.Exit(INTERRUPTED) from None
