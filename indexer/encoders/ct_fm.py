"""CT-FM: computed tomography volumes to 512 numbers (Pai et al. 2025, arXiv 2501.09001).

The network is MONAI's `SegResEncoder` with batch norm, whose running statistics come with the
weights. The authors publish three preparations, which differ in spacing, cropping and pooling; each
is a recipe here, that of their 3D-MIR retrieval being the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32, Int16

from indexer.dicom.sampling import sample_indices
from indexer.encoders.contract import EncoderContext
from indexer.encoders.recipe import digest_of
from indexer.encoders.volume import foreground, resampled, straight_ct, turned
from indexer.encoders.weights import (
    load_state,
    load_strictly,
    read_config,
    ready_folder,
    spec_of,
)
from indexer.errors import UnsupportedInputError, WeightsError
from indexer.kept import once
from indexer.types import Embeddings, Pixels, Prepared

if TYPE_CHECKING:
    from torch import Tensor, nn

Hounsfield = Int16[np.ndarray, "depth height width"]
Patch = Float32[np.ndarray, "1 depth height width"]
AIR, TOP = -1024, 2048
"""HU that become 0 and 1; what lies beyond is cut."""
LEAST = 16
"""Voxels an axis is padded to: the network halves four times."""
BUDGET = 64
"""Patches of a scan that are embedded at most, evenly taken; each costs seconds on a CPU."""
_LEAST_HU, _MOST_HU = -32_000, 32_000


@dataclass(frozen=True)
class VolumeRecipe:
    """How a scan is prepared, cut and pooled.

    Attributes:
        name: of the recipe.
        spacing: mm a voxel along superior, posterior and left; None keeps the scan's own.
        above: the smallest box of voxels above so many HU is kept.
        patch: voxels of a patch, or None for the whole volume at once.
        overlap: of neighbouring patches, as a share of the patch.
        pooling: of the patches' vectors: ``min`` or ``mean``, element by element.
        budget: patches at most.
    """

    name: str
    spacing: tuple[float, float, float] | None
    above: int
    patch: tuple[int, int, int] | None
    overlap: float
    pooling: str
    budget: int = BUDGET

    @property
    def version(self) -> str:
        """Name and hash: the space's preprocessing version."""
        return f"{self.name}-{digest_of([self], AIR, TOP)}"

    def says(self) -> list[str]:
        """Each step in a sentence."""
        spacing = self.spacing and " x ".join(f"{mm:g}" for mm in self.spacing)
        cut = self.patch and " x ".join(map(str, self.patch))
        return [
            "turn so that slices go from feet to head, rows to the back, columns to the left",
            f"resample, linear, to {spacing} mm" if spacing else "keep the spacing of the scan",
            f"keep the smallest box with all voxels above {self.above} HU",
            f"{AIR} to {TOP} HU onto 0 to 1, clipped",
            f"patches of {cut} voxels, overlapping by {self.overlap:.1%}, at most {self.budget}, "
            "evenly taken"
            if cut
            else "the whole volume at once",
            "average over places within a patch; "
            + ("least" if self.pooling == "min" else "mean")
            + " over the patches, number by number",
        ]


RECIPES = {
    recipe.name: recipe
    for recipe in (
        VolumeRecipe("3d-mir", (3.0, 1.0, 1.0), 0, (24, 128, 128), 0.625, "min"),
        VolumeRecipe("pretraining", (3.0, 1.0, 1.0), 0, (32, 128, 128), 0.0, "mean"),
        VolumeRecipe("card", None, AIR, None, 0.0, "mean"),
    )
}


class CtFm:
    """Computed tomography volumes to 512 numbers."""

    def __init__(self, context: EncoderContext) -> None:
        self._context = context
        self.recipe = context.choose(RECIPES)
        self._folder = ready_folder(context)
        config = read_config(self._folder / "config.json")
        try:
            self._filters = int(config.get("init_filters", 32))
            self._blocks = tuple(int(n) for n in config.get("blocks_down", (1, 2, 2, 4, 4)))
        except (TypeError, ValueError) as error:
            raise WeightsError(f"{self._folder / 'config.json'} cannot be used") from error
        dim = self._filters << (len(self._blocks) - 1)
        self.spec = spec_of(context, dim=dim, preprocessing=self.recipe.version)

    def prepare(self, pixels: Pixels) -> Prepared:
        """Turn, resample and crop: int16 HU ``(depth, height, width)``.

        Raises:
            UnsupportedInputError: no CT volume, too few slices, sheared, or nothing in it.
        """
        values, spacing = turned(straight_ct(pixels))
        if np.ptp(values) == 0:
            raise UnsupportedInputError("constant volume")
        if self.recipe.spacing is not None:
            values = resampled(values, spacing, self.recipe.spacing)
        # What is beyond int16 would turn round.
        values = np.rint(np.clip(values, _LEAST_HU, _MOST_HU)).astype(np.int16)
        values = foreground(values, self.recipe.above)
        if not values.size:
            raise UnsupportedInputError(f"no voxel above {self.recipe.above} HU")
        return values

    def embed(self, batch: Sequence[Prepared]) -> Embeddings:
        """Pooled vectors: float32 ``(n, 512)``, not normalised."""
        if not batch:
            return np.empty((0, self.spec.dim), np.float32)
        pool = np.min if self.recipe.pooling == "min" else np.mean
        return np.stack([pool(self.embed_patches_of(volume), axis=0) for volume in batch])

    def embed_patches_of(self, volume: Prepared) -> Embeddings:
        """Vectors of one scan's patches: float32 ``(patches, 512)``."""
        from indexer.encoders.engine import engine_of  # noqa: PLC0415 - torch

        return engine_of(self._context).run(self._pooled, patches_of(volume, self.recipe))

    def _pooled(self, patches: Tensor) -> Tensor:
        deepest: Tensor = self._network(patches)[-1]
        return deepest.mean(dim=(2, 3, 4))

    @once
    def _network(self) -> nn.Module:
        import torch  # noqa: PLC0415 - heavy
        from monai.networks.nets.segresnet_ds import SegResEncoder  # noqa: PLC0415 - optional

        from indexer.encoders.engine import engine_of  # noqa: PLC0415 - torch

        with torch.device("meta"):
            network = SegResEncoder(
                spatial_dims=3,
                in_channels=1,
                init_filters=self._filters,
                blocks_down=self._blocks,
            )
        state = load_state(self._folder / "model.safetensors")
        where = f"model.safetensors of '{self.spec.name}'"
        return engine_of(self._context).settle(load_strictly(network, state, where))


def patches_of(values: Hounsfield, recipe: VolumeRecipe) -> Iterator[Patch]:
    """What goes into the network: float32 ``(1, d, h, w)`` in 0..1, in the order of the places."""
    size = recipe.patch or tuple(max(LEAST, count) for count in values.shape)
    places = [
        _starts(count, side, recipe.overlap) for count, side in zip(values.shape, size, strict=True)
    ]
    corners = list(product(*places))
    for index in sample_indices(len(corners), recipe.budget):
        window = tuple(slice(c, c + s) for c, s in zip(corners[index], size, strict=True))
        part = values[window].astype(np.float32)
        missing = [(0, side - have) for side, have in zip(size, part.shape, strict=True)]
        padded = np.pad(part, missing, constant_values=AIR)
        yield np.clip((padded - AIR) / np.float32(TOP - AIR), 0, 1)[None]


def _starts(count: int, side: int, overlap: float) -> range:
    """Where patches begin along an axis: the last one may reach over the end."""
    step = round(side - side * overlap)
    return range(0, max(count - side + step, 1), step) if count > side else range(1)
