"""Items of a library with their pixels spoilt, embedded anew: what a detector should notice."""

from __future__ import annotations

import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from api.service.options import read_options
from clustering.contract import Progress
from indexer.config import Settings
from indexer.embedding import Embedded, embed_each
from indexer.encoders.contract import Encoder, PatchEncoder, SliceEncoder
from indexer.errors import ItemNotFoundError, SourceError, UnsupportedInputError
from indexer.evidence.originals import read_again
from indexer.library import Library, SpaceInfo
from indexer.reading.quality import qualities_of
from indexer.registry import usable_encoder
from indexer.types import Embeddings, GreyImage, ImagePixels, Pixels, Prepared
from ood.corruptions import CORRUPTIONS, SEVERITIES, UNGRADED, corrupted

Variant = tuple[str, int]
"""Kind and severity."""
VARIANTS: tuple[Variant, ...] = tuple(
    (kind, severity)
    for kind in CORRUPTIONS
    for severity in ((max(SEVERITIES),) if kind in UNGRADED else SEVERITIES)
)

WORST = tuple(each for each in VARIANTS if each[1] == max(SEVERITIES))
"""Each kind at its top severity."""


@dataclass(frozen=True)
class Spoilt:
    """Vectors of corrupted copies.

    Attributes:
        rows: by variant, unit rows ``(n, dim)``, float16 as the catalog keeps vectors: the
            detectors are not to see how they were rounded.
        qualities: by variant, of the same copies.
        lost: why items or copies gave no vector, and how many.
    """

    rows: Mapping[Variant, Embeddings]
    qualities: Mapping[Variant, Sequence[tuple[float, ...]]]
    lost: Mapping[str, int]


def spoilt_items(
    library: Library,
    space: SpaceInfo,
    uids: Sequence[str],
    settings: Settings,
    progress: Progress,
    *,
    variants: Sequence[Variant] = VARIANTS,
) -> Spoilt:
    """Read items again from their files, corrupt them in every way, and embed the copies.

    Args:
        library: that holds the items.
        space: whose encoder embeds.
        uids: public ids of the items.
        settings: how files are read.
        progress: told how many items are done; what it raises stops it.
        variants: which corruptions.

    Raises:
        MissingExtraError: the encoder cannot be used here.
    """
    options = replace(read_options(library, settings), keep_pixels=True)
    encoder = usable_encoder(options.context(space.encoder))
    rows: dict[Variant, list[np.ndarray]] = defaultdict(list)
    qualities: dict[Variant, list[tuple[float, ...]]] = defaultdict(list)
    lost = Counter[str]()
    for done, uid in enumerate(uids):
        progress("corrupting items", done, len(uids))
        try:
            pixels = read_again(library, uid, space.encoder, options).pixels
        except (SourceError, ItemNotFoundError):
            lost["items whose files are gone, or not what they were"] += 1
            continue
        if pixels is None or _is_colour(pixels):
            lost["items in colour, which are not corrupted"] += 1
            continue
        made = list(_copies(encoder, pixels, variants, seed=zlib.crc32(uid.encode())))
        lost["corrupted copies that the encoder could not take"] += len(variants) - len(made)
        found = embed_each(encoder, [each.prepared for each in made])
        for copy, vector in zip(made, found, strict=True):
            if isinstance(vector, Embedded):
                rows[copy.variant].append(vector.unit.astype(np.float16))
                qualities[copy.variant].append(copy.qualities)
            else:
                lost["corrupted copies that could not be embedded"] += 1
    stacked = {variant: np.stack(rows[variant]) for variant in variants if rows[variant]}
    return Spoilt(stacked, qualities, +lost)


def corrupted_pixels(
    pixels: Pixels, variant: Variant, places: Sequence[int] | None = None, *, seed: int
) -> Pixels:
    """A copy of grey pixels that has lost something; what is padding stays so.

    Whole numbers stay whole, as in a file: with little contrast few levels of grey are left.

    Args:
        pixels: an image, or a volume, of which each slice is corrupted alike.
        variant: kind and severity.
        places: slices of the volume that are, None for all; the others stay.
        seed: of all that is random.

    Raises:
        QueryError: the image has colour.
    """
    if isinstance(pixels, ImagePixels):
        return replace(pixels, values=_corrupted(pixels.values, variant, seed))
    values = pixels.values.astype(np.float32)
    for place in range(len(values)) if places is None else places:
        values[place] = _corrupted(pixels.values[place], variant, seed)
    if pixels.padding_value is not None:
        values[pixels.values == pixels.padding_value] = pixels.padding_value
    return replace(pixels, values=values)


def _corrupted(picture: np.ndarray, variant: Variant, seed: int) -> GreyImage:
    made = corrupted(picture, *variant, seed=seed)
    return np.rint(made) if (picture == np.rint(picture)).all() else made


@dataclass(frozen=True)
class _Copy:
    variant: Variant
    prepared: Prepared
    qualities: tuple[float, ...]


def _copies(
    encoder: Encoder, pixels: Pixels, variants: Sequence[Variant], *, seed: int
) -> Iterator[_Copy]:
    """Each variant that the encoder takes, prepared."""
    places = None
    if not isinstance(pixels, ImagePixels) and isinstance(encoder, SliceEncoder | PatchEncoder):
        places = encoder.sampled_slices(len(pixels.values))
    for variant in variants:
        try:
            copy = corrupted_pixels(pixels, variant, places, seed=seed)
            yield _Copy(variant, encoder.prepare(copy), qualities_of(copy))
        except UnsupportedInputError:
            continue


def _is_colour(pixels: Pixels) -> bool:
    return isinstance(pixels, ImagePixels) and pixels.values.ndim != 2
