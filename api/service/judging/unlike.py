"""What the references of a library say of files that it is searched with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from api.service.judging import ood
from api.service.judging.fitted import Fitted
from api.service.judging.judge import Judge
from indexer.config import Settings
from indexer.errors import SyntopyError
from indexer.groups.references import StoredReference
from indexer.library import Library

MOST = 5
"""References that are asked, the newest: each reads and embeds the files for itself."""


@dataclass(frozen=True)
class ReferenceSaid:
    """What a reference says of files.

    Attributes:
        reference: its name.
        flagged: whether it flags them.
        p_value: of the file that it finds oddest.
        reason: why that was flagged, in words; "" where it was not.
    """

    reference: str
    flagged: bool
    p_value: float
    reason: str


def said_of_files(
    library: Library,
    paths: Sequence[Path],
    settings: Settings,
    fitted: Callable[[StoredReference], Mapping[str, Fitted]],
) -> list[ReferenceSaid]:
    """What each of the newest references says; those that cannot judge the files say nothing.

    Args:
        library: whose references.
        paths: each a file, a folder or an archive, which is a study.
        settings: how they are read.
        fitted: gives the sets of a reference.
    """
    found = list[ReferenceSaid]()
    for stored in reversed(ood.references(library)[-MOST:]):
        with suppress(SyntopyError):  # its file is gone, or its encoder: the search goes on
            judge = Judge(library, stored.name, settings=settings, look=False, fitted=fitted)
            found += _oddest(judge, paths)
    return found


def _oddest(judge: Judge, paths: Sequence[Path]) -> list[ReferenceSaid]:
    """What is said of the file that is least like the reference; nothing where none is judged."""
    said = [
        ReferenceSaid(judge.stored.name, bool(each.flagged), each.p_value, each.reason)
        for each in judge.of_files(paths)
        if each.p_value is not None
    ]
    return sorted(said, key=lambda each: each.p_value)[:1]
