"""How well a heat map finds what was drawn into films, and what fitting it costs.

    python benchmarks/heat.py --data cxr/labels.csv --reference 225 --test 60

Patients are drawn: films of some are fitted, of others calibrate, of others again are looked at as
they are and with something drawn in. Pixel AUROC is of the pixels of one picture, averaged over
pictures; image AUROC of the oddest place, pictures with something against those without, whose
patients are the same. ``plain`` is the distance alone, without what is usual at a place.
"""

from __future__ import annotations

import argparse
import csv
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage, stats

from indexer.encoders.texture import SIZE, TextureEncoder
from indexer.types import Frame, ImagePixels
from ood.oddness import Oddness
from ood.patches import Grid, PatchMemory

SIZES = (0.05, 0.10, 0.15)
KINDS = ("noise", "disc", "box", "corner")
TEXTURE = TextureEncoder()


def films(table: Path, seed: int) -> Iterator[np.ndarray]:
    """Grey pictures, patient by patient, patients in a drawn order."""
    with table.open(newline="") as file:
        lines = list(csv.DictReader(file))
    patients = sorted({line["patient_id"] for line in lines})
    order = dict(zip(np.random.default_rng(seed).permutation(patients), range(10**9), strict=False))
    for line in sorted(lines, key=lambda line: order[line["patient_id"]]):
        yield np.asarray(Image.open(table.parent / line["image"]).convert("L"), np.float32)


def grid_of(film: np.ndarray) -> Grid:
    return TEXTURE.embed_patches([TEXTURE.prepare(ImagePixels(film))])[0]


def drawn_into(
    film: np.ndarray, kind: str, size: float, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A copy with something in it, and where that is."""
    rows, columns = film.shape
    side = round(size * max(rows, columns))
    top, left = (int(random.integers(each // 8, each - each // 8 - side)) for each in film.shape)
    if kind == "corner":
        top, left = (int(random.choice([0, each - side])) for each in film.shape)
    y, x = np.mgrid[:rows, :columns]
    if kind == "disc":
        where = np.hypot(y - top - side / 2, x - left - side / 2) <= side / 2
    else:
        where = (y >= top) & (y < top + side) & (x >= left) & (x < left + side)
    value = {"noise": random.uniform(0, 255, film.shape), "disc": 250.0}.get(kind, 0.0)
    return np.where(where, value, film).astype(np.float32), where


def within_square(where: np.ndarray) -> np.ndarray:
    """A mask of the film as one of the prepared picture."""
    placement = TEXTURE.placement(Frame(*where.shape))
    sizes = [round(n * s) for n, s in zip(where.shape, placement.scale, strict=True)]
    small = Image.fromarray(where).convert("L").resize((sizes[1], sizes[0]), Image.Resampling.BOX)
    square = np.zeros((SIZE, SIZE), bool)
    top, left = (int(each) for each in placement.offset)
    square[top : top + sizes[0], left : left + sizes[1]] = np.asarray(small) > 127
    return square


def auroc(odd: np.ndarray, usual: np.ndarray) -> float:
    ranks = stats.rankdata(np.concatenate([odd, usual]))[: len(odd)]
    above = ranks.sum() - len(odd) * (len(odd) + 1) / 2
    return float(above / len(odd) / len(usual))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--reference", type=int, default=225)
    parser.add_argument("--calibration", type=int, default=60)
    parser.add_argument("--test", type=int, default=60)
    parser.add_argument("--patches", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    source, random = films(asked.data, asked.seed), np.random.default_rng([asked.seed, 1])
    wall, cpu = time.perf_counter(), time.process_time()
    usual = (grid_of(next(source)) for _ in range(asked.reference))
    memory = PatchMemory.fit(usual, most=asked.patches, seed=asked.seed)
    maps = [[memory.scores(grid_of(next(source)))] for _ in range(asked.calibration)]
    odd = Oddness.of(maps)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"fit: {time.perf_counter() - wall:.0f} s, {time.process_time() - cpu:.0f} CPU s, "
        f"peak {peak:.0f} MB, radius {memory.radius:.2f}"
    )
    tested = [next(source) for _ in range(asked.test)]
    plain = [memory.scores(grid_of(film)) for film in tested]
    tops = np.array([[each.max(), odd(each).max()] for each in plain])
    print("| drawn | side | pixel AUROC | image AUROC | plain: pixel | image |")
    for kind in KINDS:
        for size in SIZES:
            pixels, highest = [], []
            for film in tested[:: len(SIZES)]:
                changed, where = drawn_into(film, kind, size, random)
                inside, scores = within_square(where), memory.scores(grid_of(changed))
                both = (scores, odd(scores))
                highest.append([each.max() for each in both])
                large = [
                    ndimage.zoom(each, SIZE // len(each), order=1, grid_mode=True, mode="nearest")
                    for each in both
                ]
                pixels.append([auroc(each[inside], each[~inside]) for each in large])
            pixel, top = np.mean(pixels, axis=0), np.array(highest)
            image = [auroc(top[:, column], tops[:, column]) for column in (0, 1)]
            figures = " | ".join(f"{n:.3f}" for n in (pixel[1], image[1], pixel[0], image[0]))
            print(f"| {kind} | {size:.0%} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
