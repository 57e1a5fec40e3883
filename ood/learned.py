"""What fitted detectors and reductions have in common: parameters, arrays, and both as a state."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Self

import numpy as np

from indexer.errors import ReferenceSetError

_TOLD = "told"


@dataclass(frozen=True, kw_only=True)
class Learned:
    """A base for what is fitted once and then only read; fields that subclasses add are parameters.

    Attributes:
        arrays: what was learned, by the names in `ARRAYS`; empty before the fit.
        notes: what a reader should know of the fit, in sentences.
    """

    ARRAYS: ClassVar[tuple[str, ...]]
    # Parameters are checked by pydantic, which is to leave arrays alone.
    __pydantic_config__: ClassVar[dict[str, bool]] = {"arbitrary_types_allowed": True}

    arrays: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False, compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)

    def fitted(self, arrays: Mapping[str, np.ndarray], notes: tuple[str, ...] = ()) -> Self:
        """A copy that has learned these."""
        return replace(self, arrays=dict(arrays), notes=notes)

    def array(self, name: str) -> np.ndarray:
        """What was learned.

        Raises:
            ReferenceSetError: it has not been fitted.
        """
        if not self.arrays:
            raise ReferenceSetError(f"this {type(self).__name__} is not fitted: call fit first")
        return self.arrays[name]

    def parameters(self) -> dict[str, Any]:
        """By name."""
        own = [each.name for each in fields(self) if each.name not in {"arrays", "notes"}]
        return {name: getattr(self, name) for name in own}

    def state(self) -> Mapping[str, np.ndarray]:
        """Everything, as plain arrays by name; parameters and notes as one array of text."""
        told = json.dumps({"parameters": self.parameters(), "notes": self.notes})
        return {_TOLD: np.array(told)} | {name: self.array(name) for name in self.ARRAYS}

    @classmethod
    def from_state(cls, state: Mapping[str, np.ndarray]) -> Self:
        """What `state` was taken of.

        Raises:
            ReferenceSetError: an array is missing.
        """
        missing = [name for name in (_TOLD, *cls.ARRAYS) if name not in state]
        if missing:
            raise ReferenceSetError(
                f"this is no state of {cls.__name__}: '{missing[0]}' is missing; fit it again"
            )
        told = json.loads(str(state[_TOLD]))
        arrays = {name: np.asarray(state[name]) for name in cls.ARRAYS}
        return cls(**told["parameters"]).fitted(arrays, tuple(told["notes"]))
