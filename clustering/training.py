"""What the methods that train a network share: where it runs, and rows as it takes them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

import numpy as np

from indexer.errors import ConfigError
from indexer.extras import extra
from indexer.types import Embeddings

if TYPE_CHECKING:
    from torch import Tensor
    from torch import device as Device  # noqa: N812 - a class, named as one

_BLOCK = 16_384
_SAMPLE = 100_000


def device_of(name: str) -> Device:
    """The device that ``cpu``, ``cuda``, ``cuda:1`` or ``auto`` means.

    Raises:
        ConfigError: it is not there, or is no device.
        MissingExtraError: PyTorch is not installed.
    """
    torch = extra("torch")
    there = torch.cuda.is_available()
    if name == "auto":
        name = "cuda" if there else "cpu"
    if name.startswith("cuda") and not there:
        raise ConfigError(f"the device '{name}' is not there; use device=cpu")
    try:
        device: Device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"'{name}' is no device; use cpu, cuda or auto") from error
    return device


class Rows:
    """Rows centred, and stretched to a length of ``temperature`` in the root mean square.

    Of unit rows a linear head makes tiny logits, of centred rows at a length of about ten it makes
    logits that a usual learning rate moves.
    """

    def __init__(self, embeddings: Embeddings, temperature: float, device: Device) -> None:
        self._embeddings, self.device = embeddings, device
        step = -(-len(embeddings) // _SAMPLE)
        sample = np.asarray(embeddings[::step], np.float32)
        self._centre = sample.mean(axis=0)
        away = float(np.sqrt(np.square(sample - self._centre).sum(axis=1).mean()))
        self._stretch = np.float32(temperature / max(away, 1e-6))

    @property
    def dim(self) -> int:
        """The length of a row."""
        return int(self._embeddings.shape[1])

    def __len__(self) -> int:
        return len(self._embeddings)

    def __getitem__(self, rows: np.ndarray | slice) -> Tensor:
        """Float32 ``(m, dim)`` on the device."""
        torch = extra("torch")
        wide = np.asarray(self._embeddings[rows], np.float32)
        taken: Tensor = torch.from_numpy((wide - self._centre) * self._stretch)
        return taken.to(self.device)

    def blocks(self) -> Iterator[Tensor]:
        """All rows, some at a time."""
        for start in range(0, len(self), _BLOCK):
            yield self[start : start + _BLOCK]


def batches(count: int, size: int, random: np.random.Generator) -> Iterator[np.ndarray]:
    """Row numbers without end: each once in a new order, ``size`` at a time, full batches only."""
    size = min(size, count)
    while True:
        order = random.permutation(count)
        for start in range(0, count - size + 1, size):
            yield order[start : start + size]


class Paced(Protocol):
    """What says how long a method trains."""

    @property
    def epochs(self) -> int:
        """Times that each row is seen, unless the steps are spent before."""

    @property
    def steps(self) -> int:
        """The most steps."""

    @property
    def batch(self) -> int:
        """Rows of a step."""


def steps_of(method: Paced, count: int) -> int:
    """How many steps are trained on so many rows."""
    return min(method.steps, method.epochs * max(count // method.batch, 1))
