"""References that stay loaded between questions: reading a large one takes seconds."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import Future

from api.service.fitted import Fitted, fitted_sets
from indexer.groups.references import StoredReference
from indexer.library import Library

_Key = tuple[str, int]


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
        self._library, self._most = library, most
        self._kept: OrderedDict[_Key, Future[Mapping[str, Fitted]]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def sets(self, stored: StoredReference) -> Mapping[str, Fitted]:
        """As `fitted_sets`.

        Raises:
            ReferenceSetError: its file is gone or damaged.
        """
        spaces = self._library.spaces()
        generation = next(each.generation for each in spaces if each.id == stored.space_id)
        key = stored.sha256, generation
        with self._lock:
            known = self._kept.get(key)
            loading = self._kept.setdefault(key, Future())
            self._kept.move_to_end(key)
            self._tidy(key)
        if known is None:
            self._load(key, loading, stored)
        return loading.result()

    def _tidy(self, newest: _Key) -> None:
        """Let go of earlier states of the same reference, and of more than are kept."""
        for key in [each for each in self._kept if each[0] == newest[0] and each != newest]:
            del self._kept[key]
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def _load(
        self, key: _Key, loading: Future[Mapping[str, Fitted]], stored: StoredReference
    ) -> None:
        try:
            loading.set_result(fitted_sets(self._library, stored))
        except BaseException as error:
            with self._lock:
                if self._kept.get(key) is loading:
                    del self._kept[key]
            loading.set_exception(error)
            raise
