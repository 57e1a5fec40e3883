"""How well part of a volume is told from whole ones, by what describes its slices' vectors.

    python benchmarks/partial_volumes.py --volumes 60

Phantom volumes; each slice embedded with the built-in encoder as an image. The nearest-neighbour
detector is fitted on one half of the volumes; inside is the other half, outside the same volumes
with some slices alone. Printed is the AUROC.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

from indexer.dicom.render import volume_slice
from indexer.encoders.contract import EncoderContext
from indexer.phantoms.draw_3d import abdomen_ct, brain_mr, head_ct
from indexer.registry import make_encoder
from indexer.types import VolumePixels
from ood.knn import Knn
from ood.measures import auroc
from ood.profile import profile_of

BODIES = {
    "head CT": (head_ct, "CT"),
    "abdomen CT": (abdomen_ct, "CT"),
    "brain MR": (brain_mr, "MR"),
}
AXES = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
DESCRIBED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mean": lambda rows: rows.mean(axis=0),
    "mean, spread": lambda rows: np.concatenate([rows.mean(axis=0), rows.std(axis=0)]),
    "mean, spread, quartiles": lambda rows: np.concatenate(
        [rows.mean(axis=0), rows.std(axis=0), *np.quantile(rows, (0.25, 0.5, 0.75), axis=0)]
    ),
    "profile": profile_of,
}
PARTS: dict[str, Callable[[int], slice]] = {
    "first three quarters": lambda count: slice(0, 3 * count // 4),
    "last half": lambda count: slice(count // 2, None),
    "every second": lambda _: slice(None, None, 2),
}


def slices_of(body: str, number: int) -> np.ndarray:
    """Unit vectors of the slices of one phantom."""
    draw, modality = BODIES[body]
    values = draw(np.random.default_rng([number, 4]))
    volume = VolumePixels(values, modality, (5.0, 1.0, 1.0), AXES, (0.0, 0.0, 0.0))
    encoder = make_encoder(EncoderContext("texture"))
    frames = [volume_slice(volume, place) for place in range(len(values))]
    rows = encoder.embed([encoder.prepare(frame) for frame in frames if np.ptp(frame.values)])
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--volumes", type=int, default=60, help="of each kind")
    count = options.parse_args().volumes
    print("| body | left | " + " | ".join(DESCRIBED) + " |")
    print("|---" * (len(DESCRIBED) + 2) + "|")
    for body in BODIES:
        volumes = [slices_of(body, number) for number in range(count)]
        fitted, inside = volumes[: count // 2], volumes[count // 2 :]
        for part, cut in PARTS.items():
            figures = []
            for described in DESCRIBED.values():
                detector = Knn().fit(np.stack([described(rows) for rows in fitted]))
                usual = detector.score(np.stack([described(rows) for rows in inside]))
                outside = [described(rows[cut(len(rows))]) for rows in inside]
                figures.append(f"{auroc(usual, detector.score(np.stack(outside))):.2f}")
            print(f"| {body} | {part} | " + " | ".join(figures) + " |", flush=True)


if __name__ == "__main__":
    main()
