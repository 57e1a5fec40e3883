"""What the built-in encoder sees in a picture: three blocks of numbers, by NumPy and SciPy alone.

* ``edges``: histograms of oriented gradients (Dalal and Triggs, CVPR 2005), normalised by four
  neighbouring blocks (Felzenszwalb et al., TPAMI 2010): where edges run in which direction.
* ``relations``: logarithms of the energy of directions at a coarse scale within the energy of
  directions at a finer one, as in the second order of a scattering transform (Bruna and Mallat,
  TPAMI 2013): how texture, sharpness and grain are laid out.
* ``words``: patches compared with a dictionary (Coates, Lee and Ng, AISTATS 2011).

Each block is centred, turned onto its principal components and made unit long; ``relations``,
whose logarithms mostly rise and fall together, is partly whitened on the way. Dictionary, means
and components come from drawn pictures only (``benchmarks/train_texture.py``).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view
from scipy import ndimage

Array = npt.NDArray[np.float32]

WEIGHTS = Path(__file__).parent / "texture.npz"
SIZE = 128
"""Side of a picture."""
SHARES = {"edges": 0.25, "relations": 0.25, "words": 0.5}
"""Share of each block in a cosine: half to what was learned, half to what was not."""

CELLS = 10
BINS = 10
SMOOTHING = 0.7
"""Sigma before the gradient: calms noise."""
CLIP = 0.14
"""A direction's share of its block is cut here, so that no single strong edge rules."""
FLOOR = 0.01
EVENNESS = 0.3
"""How much of a cell's mean over the directions is taken away; the rest tells empty from full."""

FINE_BINS, COARSE_BINS = 8, 4
RELATION_CELLS = 4
FINE_FLOOR, COARSE_FLOOR = np.float32(0.003), np.float32(0.0015)
"""Energies far below these (of the full grey range a pixel) count as empty."""

PATCH = 8
STRIDE = 3
WORD_CELLS = 4
PATCH_FLOOR = np.float32(0.02)
"""Patches whose grey varies less than this are not stretched to full contrast."""

PLACES = 16
"""Places a side of a picture, of eight pixels each."""
PLACE_REACH = 3
"""Full width of the soft window around a place, in places."""
GREY_BINS, SPOT_BINS = 8, 7
SPOT_SIGMAS = (1.4, 2.8, 5.6, 11.2)
SPOT_REACH = 0.5
"""Root of the contrast that the outermost bins are for."""
PLACE_SHARES = {"grey": 0.3, "spots": 0.7, "edges": 0.1, "words": 0.1}
PLACE_WORDS_FLOOR = 0.5


@dataclass(frozen=True)
class Weights:
    """What was fitted; float16 in the file, float32 here."""

    patch_mean: Array
    dictionary: Array
    edges_mean: Array
    edges_axes: Array
    relations_mean: Array
    relations_axes: Array
    words_mean: Array
    words_axes: Array

    @classmethod
    def load(cls, path: Path = WEIGHTS) -> Weights:
        """Read the file that ``benchmarks/train_texture.py`` wrote."""
        with np.load(path) as stored:
            return cls(*(stored[field.name].astype(np.float32) for field in fields(cls)))


@cache
def built_in() -> Weights:
    """The weights that come with the package, read once."""
    return Weights.load()


def describe(picture: Array, weights: Weights) -> Array:
    """A picture's unit vector, float32 ``(768,)``.

    Args:
        picture: float32 ``(128, 128)`` in 0..1.
        weights: fitted by ``benchmarks/train_texture.py``.
    """
    parts = []
    for name, block in raw_blocks(picture, weights.patch_mean, weights.dictionary).items():
        part = (block - getattr(weights, f"{name}_mean")) @ getattr(weights, f"{name}_axes")
        length = max(float(np.linalg.norm(part)), 1e-9)
        parts.append(part * np.float32(np.sqrt(SHARES[name]) / length))
    return np.concatenate(parts)


def raw_blocks(picture: Array, patch_mean: Array, dictionary: Array) -> dict[str, Array]:
    """Return the blocks before centring and projection."""
    smooth = ndimage.gaussian_filter(picture, SMOOTHING)
    return {
        "edges": _edges(smooth),
        "relations": _relations(smooth),
        "words": _words(picture, patch_mean, dictionary),
    }


@cache
def _tents(size: int, cells: int) -> Array:
    """Weights that pool pixels into overlapping cells, so that small shifts change little."""
    cell = size / cells
    centres = (np.arange(cells) + 0.5) * cell
    distance = np.abs(np.arange(size)[None] + 0.5 - centres[:, None]) / cell
    tents = np.maximum(0, 1 - distance)
    return np.asarray(tents / tents.sum(axis=1, keepdims=True), dtype=np.float32)


def _pool(maps: Array, cells: int) -> Array:
    """Pool the last two axes, which are equally long."""
    tents = _tents(maps.shape[-1], cells)
    return np.asarray(tents @ maps @ tents.T, dtype=np.float32)


def _halve(maps: Array) -> Array:
    """Average 2x2 pixels of the last two axes."""
    rows = maps[..., 0::2, :] + maps[..., 1::2, :]
    return np.asarray((rows[..., 0::2] + rows[..., 1::2]) * np.float32(0.25), dtype=np.float32)


def _gradient(maps: Array) -> tuple[Array, Array]:
    """Differences of both neighbours down and to the right; zero on the border."""
    down, right = np.zeros_like(maps), np.zeros_like(maps)
    np.subtract(maps[..., 2:, :], maps[..., :-2, :], out=down[..., 1:-1, :])
    np.subtract(maps[..., 2:], maps[..., :-2], out=right[..., 1:-1])
    return down, right


def _edges(smooth: Array) -> Array:
    """Histograms of oriented gradients of a smoothed picture."""
    shares = _normalised(_pool(_directions(smooth), CELLS))
    shares -= np.float32(EVENNESS) * shares.mean(axis=0, keepdims=True)
    shares -= shares.mean()
    length = np.linalg.norm(shares)
    return np.asarray(shares.ravel() / np.float32(max(float(length), 1e-9)))


def _directions(smooth: Array) -> Array:
    """Spread each pixel's gradient over the two nearest directions, taken modulo 180 degrees."""
    down, right = _gradient(smooth)
    strength = np.hypot(down, right).ravel()
    place = np.arctan2(down, right).ravel() * np.float32(BINS / np.pi)
    lower = np.floor(place)
    part = place - lower
    lower_bin = lower.astype(np.intp) % BINS
    layers = np.zeros((BINS, smooth.size), dtype=np.float32)
    pixel = np.arange(smooth.size)
    layers[lower_bin, pixel] = strength * (1 - part)
    layers[(lower_bin + 1) % BINS, pixel] = strength * part
    return layers.reshape(BINS, *smooth.shape)


def _normalised(pooled: Array) -> Array:
    """Divide each cell by the energy of the four 2x2 blocks it lies in, cut, and average."""
    energy = np.pad((pooled**2).sum(axis=0), 1, mode="edge")
    blocks = energy[:-1, :-1] + energy[1:, :-1] + energy[:-1, 1:] + energy[1:, 1:]
    scale = 1 / np.sqrt(blocks + np.float32(FLOOR**2))
    corners = (scale[:-1, :-1], scale[1:, :-1], scale[:-1, 1:], scale[1:, 1:])
    total = np.zeros_like(pooled)
    for corner in corners:
        total += np.minimum(pooled * corner, np.float32(CLIP))
    return np.asarray(total / 4, dtype=np.float32)


def _oriented(maps: Array, bins: int) -> Array:
    """Gradient strength within smooth windows around ``bins`` directions, modulo 180 degrees.

    Args:
        maps: ``(..., rows, columns)``.
        bins: number of directions.

    Returns:
        ``(..., bins, rows, columns)``.
    """
    down, right = _gradient(maps)
    square = down * down + right * right
    # The double angle has no sign of the gradient: its cosine and sine, times the strength.
    scale = 1 / np.sqrt(np.maximum(square, np.float32(1e-20)))
    strength_cosine = (right * right - down * down) * scale
    strength_sine = 2 * right * down * scale
    result = np.empty((*maps.shape[:-2], bins, *maps.shape[-2:]), dtype=np.float32)
    for index in range(bins):
        angle = 2 * np.pi * index / bins
        aligned = np.float32(np.cos(angle)) * strength_cosine
        aligned += np.float32(np.sin(angle)) * strength_sine
        np.maximum(aligned, 0, out=aligned)
        # strength * max(0, cos)^2 = max(0, strength * cos)^2 / strength
        aligned *= aligned
        np.multiply(aligned, scale, out=result[..., index, :, :])
    return result


def _relations(smooth: Array) -> Array:
    """Log energies of directions at a coarse scale relative to those at a finer one."""
    parts = []
    for level in (smooth, _halve(smooth)):
        energy = _oriented(level, FINE_BINS)
        base = np.log(_pool(energy, RELATION_CELLS) + FINE_FLOOR)
        for _ in range(2):
            energy = _halve(energy)
            pooled = _pool(_oriented(energy, COARSE_BINS), RELATION_CELLS)
            relative = np.log(pooled + COARSE_FLOOR) - base[:, None]
            parts.append(relative.ravel() / np.float32(RELATION_CELLS))
            whole = pooled.mean(axis=(-2, -1))
            parts.append(np.log(whole + COARSE_FLOOR).ravel())
    return np.concatenate(parts)


@cache
def _shares(size: int, places: int, reach: int) -> Array:
    """Weights of ``size`` pixels in ``places`` windows, each as wide as ``reach`` places."""
    place = size / places
    centres = (np.arange(places) + 0.5) * place
    distance = np.abs(np.arange(size)[None] + 0.5 - centres[:, None]) / (place * reach / 2)
    shares = np.maximum(0, 1 - distance)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True), dtype=np.float32)


def describe_places(picture: Array, weights: Weights) -> Array:
    """What each of 16 x 16 places looks like: float32 ``(16, 16, 231)``, not normalised.

    Within a soft window around each place: how often each shade of grey occurs, how often each
    strength of a spot (differences of Gaussians at three sizes), which way edges run, and how
    patches answer to the dictionary, signs apart.
    """
    blurred = [ndimage.gaussian_filter(picture, sigma) for sigma in (1.0, *SPOT_SIGMAS)]
    spots = [fine - coarse for fine, coarse in pairwise(blurred[1:])]
    rooted = [np.sign(spot) * np.sqrt(np.abs(spot)) for spot in spots]
    grey = _binned(blurred[0], 0, 1, GREY_BINS)
    strengths = np.concatenate([_binned(m, -SPOT_REACH, SPOT_REACH, SPOT_BINS) for m in rooted])
    directions = _directions(ndimage.gaussian_filter(picture, SMOOTHING))
    blocks = {
        "grey": np.sqrt(_windows(grey)),
        "spots": np.sqrt(_windows(strengths) / len(spots)),
        "edges": _calmed(_windows(directions), FLOOR),
        "words": _calmed(_windows(_word_maps(picture, weights)), PLACE_WORDS_FLOOR),
    }
    parts = [np.float32(np.sqrt(PLACE_SHARES[name])) * block for name, block in blocks.items()]
    return np.asarray(np.concatenate(parts, axis=-1), np.float32)


def _binned(values: Array, low: float, high: float, bins: int) -> Array:
    """Each pixel spread over the two nearest of ``bins`` values: ``(bins, rows, columns)``."""
    place = np.clip((values - low) / (high - low), 0, 1) * (bins - 1)
    shares = [np.maximum(0, 1 - np.abs(place - number)) for number in range(bins)]
    return np.stack(shares).astype(np.float32)


def _windows(maps: Array) -> Array:
    """Pool square maps into overlapping windows: ``(n, size, size)`` to ``(16, 16, n)``."""
    shares = _shares(maps.shape[-1], PLACES, PLACE_REACH)
    return np.asarray(np.moveaxis(shares @ maps @ shares.T, 0, -1), np.float32)


def _calmed(vectors: Array, floor: float) -> Array:
    """Of length one, but for those that are not much longer than ``floor``."""
    squares = np.einsum("...i,...i->...", vectors, vectors)
    return np.asarray(vectors / np.sqrt(squares + np.float32(floor**2))[..., None])


def _word_maps(picture: Array, weights: Weights) -> Array:
    """Answers of patches to each word, beyond the usual, signs apart."""
    answers = (patches_of(picture) - weights.patch_mean) @ weights.dictionary
    usual = np.abs(answers).mean(axis=1, keepdims=True)
    both = np.concatenate([np.maximum(answers - usual, 0), np.maximum(-answers - usual, 0)], axis=1)
    side = (SIZE - PATCH) // STRIDE + 1
    return np.asarray(both.T.reshape(-1, side, side))


def patches_of(picture: Array) -> Array:
    """Return patches without their mean and contrast, one a row; rows of the picture first."""
    windows = sliding_window_view(picture, (PATCH, PATCH))[::STRIDE, ::STRIDE]
    patches: Array = windows.reshape(-1, PATCH * PATCH)
    patches = patches - patches.mean(axis=1, keepdims=True)
    variance = np.einsum("ij,ij->i", patches, patches) / np.float32(PATCH * PATCH)
    return np.asarray(patches / np.sqrt(variance + PATCH_FLOOR**2)[:, None])


def _words(picture: Array, patch_mean: Array, dictionary: Array) -> Array:
    """How strongly, beyond the usual, patches of each cell answer to each word; signs apart."""
    answers = (patches_of(picture) - patch_mean) @ dictionary
    usual = np.abs(answers).mean(axis=1, keepdims=True)
    side = (SIZE - PATCH) // STRIDE + 1
    tents = _tents(side, WORD_CELLS)
    parts = []
    beyond = np.empty_like(answers)
    for combine in (np.subtract, np.add):
        # answers - usual, then -answers - usual, cut at zero and without temporaries
        combine(answers, usual, out=beyond)
        if combine is np.add:
            np.negative(beyond, out=beyond)
        np.maximum(beyond, 0, out=beyond)
        rows = (tents @ beyond.reshape(side, -1)).reshape(WORD_CELLS, side, -1)
        parts.append(np.sqrt(tents @ rows).ravel() / np.float32(WORD_CELLS))
    return np.concatenate(parts)
