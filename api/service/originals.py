"""Pictures of a reference's library, read again and embedded place by place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from api.service.options import read_options
from indexer.config import Settings
from indexer.encoders.contract import PatchEncoder
from indexer.errors import QueryError
from indexer.evidence.matching import SIDE
from indexer.evidence.originals import read_again
from indexer.evidence.regions import patches_from, seen_pictures
from indexer.groups.references import StoredReference
from indexer.library import Library
from indexer.reading.drafts import ItemDraft, ReadOptions
from indexer.registry import make_encoder, usable_encoder
from indexer.types import Prepared
from ood.patches import Grid


class Originals:
    """Reads what a reference is of, or is to judge.

    Args:
        library: whose.
        stored: the reference.
        settings: how files are read.

    Raises:
        QueryError: its encoder tells no places of a picture apart, or has other weights now.
    """

    def __init__(self, library: Library, stored: StoredReference, settings: Settings) -> None:
        options = read_options(library, settings)
        spec = make_encoder(options.context(stored.encoder)).spec
        if not spec.has_patches:
            raise QueryError(
                f"the reference '{stored.name}' is in the space of '{spec.name}', which does not "
                "tell the places of a picture apart: fit one with an encoder that has regions "
                "(syntopy models list), with: syntopy ood fit --encoder"
            )
        space = library.space_for(spec)
        if space is None or space.id != stored.space_id:
            raise QueryError(
                f"'{spec.name}' has other weights than when the reference '{stored.name}' was "
                "fitted: fit it again"
            )
        self.library = library
        self.options: ReadOptions = replace(options, encoders=(spec.name,), thumbnail=SIDE)
        self.encoder: PatchEncoder = patches_from(usable_encoder(options.context(spec.name)))
        self.spec = spec

    def read(self, uid: str) -> ItemDraft:
        """An item of the library; see `indexer.evidence.originals.read_again`."""
        return read_again(self.library, uid, self.spec.name, self.options)

    def grids(self, item: ItemDraft) -> tuple[dict[int, Prepared], list[Grid]]:
        """Its pictures that are not empty, by their place, and of each the patches.

        NaN where the encoder sees none of the picture, but a border around it.
        """
        pictures = seen_pictures(self.encoder, item.tensors[self.spec.name])
        if not pictures:
            return {}, []
        grids = np.array(self.encoder.embed_patches([*pictures.values()]), np.float32)
        placement = self.encoder.placement(item.frame)
        for axis, length in enumerate((item.frame.rows, item.frame.columns)):
            count = grids.shape[axis + 1]
            middle = (np.arange(count) + 0.5) * placement.size[axis] / count
            at = (middle - placement.offset[axis]) / placement.scale[axis]
            outside = (at < 0) | (at > length)
            grids[(slice(None),) * (axis + 1) + (outside,)] = np.nan
        return pictures, [*grids]
