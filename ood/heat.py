"""Where pictures are unlike a reference: its patches and what is usual of them, by stratum."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from indexer.errors import ReferenceSetError
from ood.oddness import Oddness
from ood.patches import PatchMemory
from ood.registry import part, whole
from ood.strata import Key, beginnings


@dataclass(frozen=True)
class HeatStratum:
    """Patches of one kind of image.

    Attributes:
        fitted: ids of the items that they are of, int64 ``(n,)``, rising.
        memory: the patches.
        usual: how odd places of held-out pictures are.
    """

    fitted: np.ndarray = field(repr=False)
    memory: PatchMemory
    usual: Oddness = field(repr=False)

    def state(self) -> dict[str, np.ndarray]:
        """Everything, as plain arrays by name."""
        parts = {"memory": self.memory.state(), "usual": self.usual.state()}
        return {"fitted": self.fitted} | whole(parts)

    @classmethod
    def from_state(cls, state: Mapping[str, np.ndarray]) -> HeatStratum:
        """What `state` was taken of.

        Raises:
            ReferenceSetError: an array is missing.
        """
        if "fitted" not in state:
            raise ReferenceSetError("a part of the patches is missing: fit them again")
        return cls(
            state["fitted"],
            PatchMemory.from_state(part("memory", state)),
            Oddness.from_state(part("usual", state)),
        )


@dataclass(frozen=True)
class HeatReference:
    """Strata by their key; several keys have the same one where the finer has no other cases."""

    strata: Mapping[Key, HeatStratum]

    def stratum_for(self, key: Key) -> Key | None:
        """The finest stratum that a kind of image is in; None if it is in none."""
        return next((each for each in beginnings(key) if each in self.strata), None)

    def state(self) -> dict[str, np.ndarray]:
        """Everything, as plain arrays by name."""
        own = {id(each): each for each in self.strata.values()}
        number = {name: place for place, name in enumerate(own)}
        told = [[[*key], number[id(each)]] for key, each in self.strata.items()]
        parts = {str(place): each.state() for place, each in enumerate(own.values())}
        return {"told": np.array(json.dumps(told))} | whole(parts)

    @classmethod
    def from_state(cls, state: Mapping[str, np.ndarray]) -> HeatReference:
        """What `state` was taken of.

        Raises:
            ReferenceSetError: an array is missing.
        """
        if "told" not in state:
            raise ReferenceSetError("this is no state of a reference's patches: fit them again")
        told = json.loads(str(state["told"]))
        own = {
            number: HeatStratum.from_state(part(str(number), state))
            for number in sorted({number for _, number in told})
        }
        return cls({tuple(names): own[number] for names, number in told})
