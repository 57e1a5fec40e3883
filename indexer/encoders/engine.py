"""Running a network: device, precision, threads, and batches that fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, nn

from indexer.encoders.contract import EncoderContext
from indexer.errors import ConfigError

Array = Float32[np.ndarray, "n ..."]
TOLERANCE = 0.999
"""Least cosine between a vector made in half precision and the one made in float32."""
_AT_ONCE = {False: 4, True: 64}
"""Inputs forwarded together on a CPU, where more gains little, and on a GPU."""


@dataclass(frozen=True)
class Engine:
    """Where and how networks run.

    Attributes:
        device: ``cpu``, ``cuda`` or ``cuda:1``; ``auto`` takes a GPU where there is one.
        precision: ``float32`` or ``bfloat16``; ``auto`` takes the latter on a GPU alone, as many
            CPUs are slower with it.
        compile: compile a network before it runs: half a minute at first, for long runs on a GPU.
    """

    device: str = "auto"
    precision: str = "auto"
    compile: bool = False

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

    @property
    def half(self) -> bool:
        """Whether arithmetic is in half precision."""
        on_gpu = self.place.type == "cuda"
        return self.precision == "bfloat16" or (self.precision == "auto" and on_gpu)

    def settle(self, network: nn.Module, *, busy: nn.Module | None = None) -> nn.Module:
        """Put a network where it runs, in evaluation mode; ``busy`` is the part worth compiling."""
        network.eval().to(self.place)
        if self.compile:
            (busy or network).compile()
        return network

    def run(self, forward: Callable[[Tensor], Tensor], inputs: Iterable[np.ndarray]) -> Array:
        """Forward equal-shaped float32 inputs, in halves where memory does not suffice.

        Args:
            forward: of the network, ``(n, ...)`` to ``(n, ...)``.
            inputs: one at least; taken as they are needed, so that a generator costs little memory.

        Returns:
            float32, one row an input.
        """
        size = _AT_ONCE[self.place.type == "cuda"]
        found = [self._halving(forward, part) for part in self._parts(inputs, size)]
        return np.concatenate(found)

    def _parts(self, inputs: Iterable[np.ndarray], size: int) -> Iterator[Tensor]:
        """Batches for the device; while the network is busy with one the next is made ready."""
        source = iter(inputs)

        def stacked() -> Tensor | None:
            part = list(islice(source, size))
            if not part:
                return None
            batch = torch.from_numpy(np.stack(part))
            return batch.pin_memory() if self.place.type == "cuda" else batch

        with ThreadPoolExecutor(1) as ahead:
            coming = ahead.submit(stacked)
            while (batch := coming.result()) is not None:
                coming = ahead.submit(stacked)
                yield batch

    def _halving(self, forward: Callable[[Tensor], Tensor], batch: Tensor) -> Array:
        try:
            return self._forward(forward, batch)
        except torch.OutOfMemoryError:
            if len(batch) == 1:
                raise
        torch.cuda.empty_cache()
        return np.concatenate([self._halving(forward, half) for half in batch.chunk(2)])

    def _forward(self, forward: Callable[[Tensor], Tensor], batch: Tensor) -> Array:
        place = self.place
        half = torch.autocast(place.type, torch.bfloat16, enabled=self.half)
        with torch.inference_mode(), half:
            found: Array = forward(batch.to(place, non_blocking=True)).float().cpu().numpy()
            return found


def engine_of(context: EncoderContext) -> Engine:
    """The engine that a context asks for."""
    return Engine(context.device, context.precision, context.compile)
