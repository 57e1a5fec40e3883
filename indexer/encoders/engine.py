"""Running a network: device, precision, threads, and batches that fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, nn

from indexer.errors import ConfigError

Array = Float32[np.ndarray, "n ..."]
TOLERANCE = 0.999
"""Least cosine between a vector made in half precision on a GPU and the one made in float32."""
_AT_ONCE = {False: 4, True: 64}
"""Inputs forwarded together on a CPU, where more gains little, and on a GPU."""


@dataclass(frozen=True)
class Engine:
    """Where and how networks run. Half precision (bfloat16) on a GPU alone: on a CPU it is slower.

    Attributes:
        device: ``cpu``, ``cuda`` or ``cuda:1``; ``auto`` takes a GPU where there is one.
    """

    device: str = "auto"

    @property
    def place(self) -> torch.device:
        """The device itself.

        Raises:
            ConfigError: it is not there.
        """
        name = self.device
        if name == "auto":
            name = "cuda" if torch.cuda.is_available() else "cpu"
        if name.startswith("cuda") and not torch.cuda.is_available():
            raise ConfigError(f"the device '{name}' is not there; set SYNTOPY_DEVICE=cpu")
        try:
            return torch.device(name)
        except RuntimeError as error:
            raise ConfigError(f"'{name}' is no device; use cpu, cuda or auto") from error

    def settle(self, network: nn.Module) -> nn.Module:
        """Put a network where it runs, in evaluation mode."""
        return network.eval().to(self.place)

    def run(self, forward: Callable[[Tensor], Tensor], inputs: Iterable[np.ndarray]) -> Array:
        """Forward equal-shaped float32 inputs, in halves where memory does not suffice.

        Args:
            forward: of the network, ``(n, ...)`` to ``(n, ...)``.
            inputs: one at least; taken as they are needed, so that a generator costs little memory.

        Returns:
            float32, one row an input.
        """
        size = _AT_ONCE[self.place.type == "cuda"]
        source = iter(inputs)
        found = []
        while part := list(islice(source, size)):
            found.append(self._halving(forward, part))
        return np.concatenate(found)

    def _halving(self, forward: Callable[[Tensor], Tensor], batch: Sequence[np.ndarray]) -> Array:
        try:
            return self._forward(forward, batch)
        except torch.OutOfMemoryError:
            if len(batch) == 1:
                raise
        torch.cuda.empty_cache()
        middle = len(batch) // 2
        halves = (self._halving(forward, batch[:middle]), self._halving(forward, batch[middle:]))
        return np.concatenate(halves)

    def _forward(self, forward: Callable[[Tensor], Tensor], batch: Sequence[np.ndarray]) -> Array:
        place = self.place
        inputs = torch.from_numpy(np.stack(batch))
        on_gpu = place.type == "cuda"
        with torch.inference_mode(), torch.autocast("cuda", torch.bfloat16, enabled=on_gpu):
            if on_gpu:
                inputs = inputs.pin_memory().to(place, non_blocking=True)
            found: Array = forward(inputs).float().cpu().numpy()
            return found
