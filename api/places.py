"""Messages without the folders of this machine that they may name."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from indexer.config import Settings
from indexer.library import Library


def without_places(said: str, places: Iterable[tuple[str | Path, str]]) -> str:
    """A message in which a word stands for each folder, as it is written and with links resolved.

    Args:
        said: the message.
        places: folders, and the word for each.
    """
    words = dict[str, str]()
    for place, instead in places:
        for written in (str(place), str(Path(place).resolve())):
            words.setdefault(written, instead)
    for written in sorted(words, key=len, reverse=True):  # a folder before the one around it
        if len(written) > 1:  # '/' and '.' stand in any message
            said = said.replace(written, words[written])
    return said


def of_jobs(library: Library, settings: Settings) -> list[tuple[str | Path, str]]:
    """Folders that a message of a job may name."""
    roots = [root for root in settings.index_roots.split(os.pathsep) if root]
    return [(library.path, "LIBRARY"), *((root, "INDEX_ROOT") for root in roots)]
