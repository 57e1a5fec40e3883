"""Telling of something long on one line of standard error, so that it can be watched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from api.cli.output import err


@contextmanager
def telling(first: str) -> Iterator[Callable[[str, int, int], None]]:
    """A function to be told what is being done, how much of it is done, and of how much."""
    with err.status(first) as status:

        def show(what: str, done: int, total: int) -> None:
            so_far = f": {done:,} of {total:,}" if total else f": {done:,}" if done else ""
            status.update(f"{what}{so_far}")

        yield show
