"""Fit the built-in encoder's dictionary, means and components on drawn pictures alone.

    python benchmarks/train_texture.py --out indexer/encoders/texture.npz

draws some 3,600 pictures (texture_pictures.py) and fits in a few minutes on one core. No
photograph, no patient's image.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from texture_pictures import pool

from indexer.encoders.texture_blocks import SHARES, WEIGHTS, patches_of, raw_blocks

Array = npt.NDArray[np.float32]

WORDS = 96
ROUNDS = 12
PATCHES = 60
"""Patches taken of each picture for the dictionary."""
FLATTEN = 0.05
"""Added to the eigenvalues of patches before whitening: keeps grain from ruling."""
POWERS = {"edges": 0.0, "relations": 0.25, "words": 0.0}
"""Components are divided by their variance to this power: 0.5 would be full whitening. Edges are
normalised by their blocks and patches are whitened already."""


def dictionary(pictures: Array, rng: np.random.Generator, words: int) -> tuple[Array, Array]:
    """Learn a dictionary of whitened patches by spherical k-means; signs do not matter.

    Args:
        pictures: float32 ``(n, 128, 128)``.
        rng: chooses patches and the first words.
        words: number of words.

    Returns:
        The mean patch, and the words as columns, with the whitening multiplied in.
    """
    taken = []
    for picture in pictures:
        patches = patches_of(picture)
        taken.append(patches[rng.choice(len(patches), PATCHES, replace=False)])
    stack = np.concatenate(taken)
    mean = stack.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(stack.T))
    whitening = ((vectors / np.sqrt(values + FLATTEN)) @ vectors.T).astype(np.float32)
    points = (stack - mean) @ whitening
    centres = _unit(points[rng.choice(len(points), words, replace=False)])
    for _ in range(ROUNDS):
        answers = points @ centres.T
        best = np.abs(answers).argmax(axis=1)
        strength = answers[np.arange(len(points)), best]
        sums = np.zeros_like(centres)
        np.add.at(sums, best, strength[:, None] * points)
        empty = np.linalg.norm(sums, axis=1) < 1e-6
        sums[empty] = points[rng.choice(len(points), int(empty.sum()))]
        centres = _unit(sums)
    return mean, whitening @ centres.T


def components(rows: Array, dim: int, power: float) -> tuple[Array, Array]:
    """Return the mean of ``rows`` and ``dim`` principal axes, divided by variance ** power."""
    mean = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    centred = (rows - mean).astype(np.float64)
    if rows.shape[1] <= len(rows):
        values, vectors = np.linalg.eigh(centred.T @ centred / len(rows))
        values, vectors = values[::-1][:dim], vectors[:, ::-1][:, :dim]
    else:
        values, left = np.linalg.eigh(centred @ centred.T / len(rows))
        values, left = values[::-1][:dim], left[:, ::-1][:, :dim]
        vectors = centred.T @ left / np.sqrt(values * len(rows))
    # The first axis gets unit length, so that float16 holds all of them.
    return mean, (vectors * (values / values[0]) ** -power).astype(np.float32)


def _unit(rows: Array) -> Array:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def fit(
    pictures: Array, *, seed: int, words: int, dim: int, powers: dict[str, float]
) -> dict[str, Array]:
    """Fit everything; the arrays are named as the fields of `texture_blocks.Weights`."""
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(pictures), min(1000, len(pictures)), replace=False)
    patch_mean, table = dictionary(pictures[chosen], rng, words)
    patch_mean, table = (a.astype(np.float16).astype(np.float32) for a in (patch_mean, table))
    described = [raw_blocks(picture, patch_mean, table) for picture in pictures]
    result = {"patch_mean": patch_mean, "dictionary": table}
    for name in SHARES:
        rows = np.stack([blocks[name] for blocks in described])
        result[f"{name}_mean"], result[f"{name}_axes"] = components(rows, dim, powers[name])
    return result


def main() -> None:
    """Draw, fit and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--pool", type=Path, help="pictures drawn before")
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--share", type=float, default=0.25, help="of 14,000 pictures")
    parser.add_argument("--words", type=int, default=WORDS)
    parser.add_argument("--dim", type=int, default=256, help="of each of the three blocks")
    parser.add_argument("--words-power", type=float, default=POWERS["words"])
    options = parser.parse_args()
    start = time.time()
    if options.pool is None:
        drawn, _ = pool(options.seed, options.share)
    else:
        with np.load(options.pool) as stored:
            drawn = stored["pictures"]
    pictures = drawn[:, 0].astype(np.float32) / np.float32(255)
    print(f"{len(pictures)} pictures, {time.time() - start:.0f} s")
    weights = fit(
        pictures,
        seed=options.seed,
        words=options.words,
        dim=options.dim,
        powers={**POWERS, "words": options.words_power},
    )
    small: dict[str, Any] = {name: array.astype(np.float16) for name, array in weights.items()}
    np.savez_compressed(options.out, **small)
    print(f"{options.out}: {options.out.stat().st_size:,} bytes, {time.time() - start:.0f} s")


if __name__ == "__main__":
    main()
