"""References that stay loaded between questions: reading a large one takes seconds."""

from __future__ import annotations

from collections.abc import Mapping

from api.service.judging.fitted import Fitted, fitted_sets
from indexer.groups.references import StoredReference
from indexer.kept import Kept
from indexer.library import Library


class KeptReferences:
    """Loads each reference once; safe to share between threads, which wait for who loads it.

    A reference is known by the digest of its file, so that one that was fitted anew under the same
    name is loaded anew, and by the generation of its space: with every removal from the library
    that grows, and what was removed is not named any more.

    Args:
        library: whose.
        most: how many are kept; that which was not asked for longest goes.
    """

    def __init__(self, library: Library, most: int = 4) -> None:
        self._library = library
        self._kept: Kept[Mapping[str, Fitted]] = Kept(most)

    def __len__(self) -> int:
        return len(self._kept)

    def sets(self, stored: StoredReference) -> Mapping[str, Fitted]:
        """As `fitted_sets`.

        Raises:
            ReferenceSetError: its file is gone or damaged.
        """
        spaces = self._library.spaces()
        generation = next(each.generation for each in spaces if each.id == stored.space_id)
        return self._kept.get(stored.sha256, generation, lambda: fitted_sets(self._library, stored))
