"""What takes long to load is loaded once, whoever asks for it and however many at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from served_library import get, post, serving

from indexer import registry
from indexer.config import Settings
from indexer.encoders.contract import EncoderContext
from indexer.encoders.texture import TextureEncoder
from indexer.kept import Kept, once

THREADS = 8


def at_once(act: Callable[[], object]) -> list[object]:
    """What several threads get that begin together."""
    begin = threading.Barrier(THREADS)

    def each(_: int) -> object:
        begin.wait()
        return act()

    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(each, range(THREADS)))


def test_threads_get_the_one_thing_that_one_of_them_loads() -> None:
    kept: Kept[object] = Kept(most=2)
    found = at_once(lambda: kept.get("a", 1, object))
    assert all(each is found[0] for each in found)


def test_another_state_of_a_thing_takes_its_place() -> None:
    kept: Kept[object] = Kept(most=2)
    first, second = kept.get("a", 1, object), kept.get("a", 2, object)
    assert first is not second
    assert len(kept) == 1
    assert kept.get("a", 2, object) is second
    assert kept.get("a", 1, object) is not first


def test_what_was_not_asked_for_longest_goes() -> None:
    kept: Kept[object] = Kept(most=2)
    first, second = kept.get("a", 1, object), kept.get("b", 1, object)
    assert kept.get("a", 1, object) is first
    kept.get("c", 1, object)
    assert kept.get("a", 1, object) is first
    assert kept.get("b", 1, object) is not second


def test_what_cannot_be_loaded_is_raised_for_all_and_tried_again() -> None:
    kept: Kept[int] = Kept(most=2)
    with pytest.raises(ZeroDivisionError):
        kept.get("a", 1, lambda: 1 // 0)
    assert len(kept) == 0
    assert kept.get("a", 1, lambda: 7) == 7


class Slow:
    """Has weights, which are not loaded before they are asked for."""

    def __init__(self) -> None:
        self.loads = 0

    @once
    def weights(self) -> object:
        self.loads += 1
        return object()


def test_a_property_is_made_once_by_several_threads_and_for_each_instance() -> None:
    slow, other = Slow(), Slow()
    assert slow.loads == 0
    found = at_once(lambda: slow.weights)
    assert all(each is found[0] for each in found)
    assert slow.loads == 1
    assert other.weights is not slow.weights


class Counted(TextureEncoder):
    """The built-in encoder, which notes when it is made."""

    made = 0

    def __init__(self, context: EncoderContext) -> None:
        super().__init__(context)
        Counted.made += 1


def test_all_that_a_service_is_asked_for_shares_one_encoder(
    served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry.ENCODERS, "texture", f"{__name__}:Counted")
    monkeypatch.setattr(registry, "_KEPT", Kept(most=2))
    monkeypatch.setattr(Counted, "made", 0)
    with serving(Settings(library=served)) as client:
        one, other = (row["id"] for row in get(client, "items", limit=2)["rows"])
        region = {"uid": one, "box": [8, 40, 48, 48], "k": 1, "candidates": 2}
        for _ in range(2):
            get(client, f"items/{one}/matching", **{"with": other})
            post(client, "search/region", region)
            post(client, "search", {"examples": [{"uid": one}]})
    assert Counted.made == 1
