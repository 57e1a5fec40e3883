"""What takes long to load, loaded once and shared between threads."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

Thing = TypeVar("Thing")


class Kept(Generic[Thing]):
    """Things by name, each loaded once; threads wait for the one that loads what they ask for.

    Args:
        most: how many are kept; that which was not asked for longest goes.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[Hashable, tuple[Hashable, Future[Thing]]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, name: Hashable, state: Hashable, load: Callable[[], Thing]) -> Thing:
        """The thing of a name in a state.

        Args:
            name: whose.
            state: of which it has to be. One of another state is let go before this is loaded,
                for both at once might not fit.
            load: called without a lock, where it is not there; what it raises is raised for all
                who wait, and is not kept.
        """
        with self._lock:
            known = self._kept.pop(name, None)
            mine = known is None or known[0] != state
            known = (state, Future()) if known is None or mine else known
            self._kept[name] = known
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        if mine:
            self._load(name, known[1], load)
        return known[1].result()

    def _load(self, name: Hashable, loading: Future[Thing], load: Callable[[], Thing]) -> None:
        try:
            loading.set_result(load())
        except BaseException as error:
            with self._lock:
                if name in self._kept and self._kept[name][1] is loading:
                    del self._kept[name]
            loading.set_exception(error)
            raise


class once(Generic[Thing]):  # noqa: N801 - it decorates, as `functools.cached_property` does
    """A property that is made when it is first asked for, once, by however many threads.

    That of Python makes it several times then, from 3.12 on; weights may not fit twice.
    """

    def __init__(self, make: Callable[[Any], Thing]) -> None:
        self._make, self._name = make, make.__name__
        self._alone = threading.RLock()

    def __get__(self, instance: object, owner: type | None = None) -> Thing:
        if instance is None:
            return self  # type: ignore[return-value] # of the class itself
        with self._alone:
            made: dict[str, Thing] = vars(instance)  # found there from now on, without this
            if self._name not in made:
                made[self._name] = self._make(instance)
            return made[self._name]
