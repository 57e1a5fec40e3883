"""The Qdrant store, in the local mode of its client: contract, filters, spaces side by side."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("qdrant_client", reason="the extra qdrant is not installed")

from contracts import test_stores as contract

from indexer.stores.contract import Place
from indexer.stores.qdrant import QdrantStore

DIM = contract.DIM


def place(**changes: object) -> Place:
    same = {"library": "lib-1", "encoder": "texture", "weights": "w", "preprocessing": "p"}
    return Place(**{**same, "layer": "space", "dim": DIM, **changes})  # type: ignore[arg-type]


@pytest.fixture
def spec(tmp_path: Path) -> str:
    return f"qdrant+local://{tmp_path}/qdrant?collection=tests"


@pytest.fixture
def store(spec: str) -> Iterator[QdrantStore]:
    made = QdrantStore.connect(spec, place())
    made.prepare()
    yield made
    made.close()


# Every test of the contract that asks for a store is run with this module's.
globals().update(
    {
        name: test
        for name, test in vars(contract).items()
        if name.startswith("test_") and "store" in inspect.signature(test).parameters
    }
)
