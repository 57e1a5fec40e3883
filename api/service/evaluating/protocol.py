"""What a protocol is run on. `api.service.evaluating.protocols` lists those there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from indexer.config import Settings
from indexer.errors import QueryError
from indexer.evaluating.evaluation import Plan, Report
from indexer.evaluating.labelled import LabelledItems
from indexer.library import Library, SpaceInfo

TRAIN, TEST = "train", "test"
"""Splits, as a data set parts its studies; in any case."""

Mask = Bool[np.ndarray, " n"]


@dataclass(frozen=True)
class Setting:
    """What a protocol is run on.

    Attributes:
        library, space: whose vectors.
        settings: say where models lie.
        on_progress: called with (done, all).
        label: that is asked for, "" for none.
        expression: a filter, "" for none.
        plan: cut-offs, draws, seed.
    """

    library: Library
    space: SpaceInfo
    settings: Settings
    on_progress: Callable[[int, int], None]
    label: str
    expression: str
    plan: Plan


@dataclass(frozen=True)
class Protocol:
    """A protocol: what runs it, and its cut-offs."""

    run: Callable[[Setting], Report]
    ks: tuple[int, ...]


def lacking(protocol: str, what: str) -> QueryError:
    """The error of a library that lacks what a protocol needs."""
    return QueryError(
        f"the protocol {protocol} needs {what}; docs/evaluation.md says what a library has to carry"
    )


def splits(items: LabelledItems) -> np.ndarray:
    """The split of each item, in lower case; of `TRAIN` and `TEST` alone is spoken."""
    return np.array([split.strip().lower() for split in items.groups["split"]])
