"""The stages of an answer, for whoever wants to know how long each takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar

Begin = Callable[[str], AbstractContextManager[object]]
_BEGIN: ContextVar[Begin | None] = ContextVar("begin", default=None)


def stage(name: str) -> AbstractContextManager[object]:
    """Entered as long as a stage takes; nothing happens unless somebody is told."""
    begin = _BEGIN.get()
    return nullcontext() if begin is None else begin(name)


@contextmanager
def stages_told(begin: Begin) -> Iterator[None]:
    """Tell of every stage of what is done here, also in threads that take over this context.

    Args:
        begin: called with the name of a stage, a word of ours; what it gives is entered for it.
    """
    token = _BEGIN.set(begin)
    try:
        yield
    finally:
        _BEGIN.reset(token)
