"""Draw the pictures that the built-in encoder is fitted on. No photograph, no patient's image.

Each picture comes twice: two examinations of one made-up patient, or one drawing with two
exposures.

    python benchmarks/texture_pictures.py --out pool.npz

takes about five minutes on one core.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from scipy import ndimage

from indexer.phantoms.draw_2d import RADIOGRAPH_FINDINGS, radiograph, ultrasound
from indexer.phantoms.draw_3d import abdomen_ct, brain_mr, head_ct

Grey = npt.NDArray[np.float32]
Pair = tuple[Grey, Grey]
Rng = np.random.Generator

SIZE = 128
MARGIN = 16
"""Drawings are larger than the picture by this on each side, so that a warp sees no border."""
WIDE = SIZE + 2 * MARGIN
KINDS = (
    "radiograph",
    "ultrasound",
    "head_ct",
    "abdomen_ct",
    "brain_mr",
    "leaves",
    "spectrum",
    "stripes",
    "blobs",
    "limbs",
    "section",
    "projection",
)
COUNTS = {"radiograph": 2600, "ultrasound": 700, "leaves": 1500}
VOLUMES = 110
COUNT = 1000
CUBE = 96


def _noise(
    rng: Rng, shape: tuple[int, int], slope: float, turn: float = 0, flat: float = 1
) -> Grey:
    """Noise whose amplitude falls as frequency to the power of minus ``slope``; unit variance."""
    fy, fx = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None]
    along, across = fx * np.cos(turn) + fy * np.sin(turn), fy * np.cos(turn) - fx * np.sin(turn)
    radius = np.sqrt(along**2 + (flat * across) ** 2)
    radius[0, 0] = np.inf
    phase = rng.standard_normal((*radius.shape, 2)) @ np.array([1, 1j])
    field = np.fft.irfft2(phase * radius**-slope, s=shape)
    return np.asarray((field - field.mean()) / max(field.std(), 1e-9), dtype=np.float32)


def _grid() -> tuple[Grey, Grey]:
    y, x = np.mgrid[-1 : 1 : WIDE * 1j, -1 : 1 : WIDE * 1j].astype(np.float32)
    return y, x


def _leaves(rng: Rng) -> Grey:
    """Occluding shapes of a power law of sizes, each with its own grey and texture."""
    canvas = Image.new("F", (WIDE, WIDE), 0.5)
    labels = Image.new("I", (WIDE, WIDE), 0)
    pens = (ImageDraw.Draw(canvas), ImageDraw.Draw(labels))
    count = int(rng.integers(15, 250))
    low, high = rng.uniform(2, 6), rng.uniform(25, 70)
    shape = rng.integers(4)
    for index in range(count):
        u = rng.random()
        radius = (low**-2 + u * (high**-2 - low**-2)) ** -0.5
        cx, cy = rng.uniform(0, WIDE, 2)
        corners = 24 if shape == 0 else int(rng.integers(3, 7)) if shape == 1 else 12
        angles = (
            np.sort(rng.uniform(0, 2 * np.pi, corners))
            if shape == 1
            else (np.linspace(0, 2 * np.pi, corners, endpoint=False))
        )
        squeeze, turn = rng.uniform(0.3, 1) if shape >= 2 else 1.0, rng.uniform(0, np.pi)
        px, py = radius * np.cos(angles), radius * squeeze * np.sin(angles)
        points = [
            (
                float(cx + a * np.cos(turn) - b * np.sin(turn)),
                float(cy + a * np.sin(turn) + b * np.cos(turn)),
            )
            for a, b in zip(px, py, strict=True)
        ]
        pens[0].polygon(points, fill=float(rng.random()))
        pens[1].polygon(points, fill=index + 1)
    grey, owner = np.array(canvas, np.float32), np.array(labels, np.int32)
    layers = np.stack(
        [_noise(rng, (WIDE, WIDE), rng.uniform(0.3, 2), rng.uniform(0, 3), 2) for _ in range(3)]
    )
    strength = (rng.uniform(0, 0.25, count + 1) * (rng.random(count + 1) < 0.6))[owner]
    grain = strength * np.take_along_axis(layers, (owner % 3)[None], 0)[0]
    return np.asarray(grey + grain, dtype=np.float32)


def _spectrum(rng: Rng) -> Grey:
    field = _noise(
        rng, (WIDE, WIDE), rng.uniform(0.5, 2.5), rng.uniform(0, np.pi), rng.choice([1, 2, 5])
    )
    if rng.random() < 0.4:
        power = np.exp(_noise(rng, (WIDE, WIDE), 2.0))
        field = field * power
    return np.tanh(field * rng.uniform(0.2, 1.5)) if rng.random() < 0.5 else field


def _stripes(rng: Rng) -> Grey:
    y, x = _grid()
    warp = _noise(rng, (WIDE, WIDE), 2.5) * rng.uniform(0, 0.15)
    total = np.zeros_like(x)
    for _ in range(int(rng.integers(1, 4))):
        turn, pitch = rng.uniform(0, np.pi), rng.uniform(4, 30)
        bend = rng.uniform(-0.6, 0.6)
        phase = x * np.cos(turn) + y * np.sin(turn) + warp
        phase = phase + bend * (x * np.sin(turn) - y * np.cos(turn)) ** 2
        wave = np.sin(pitch * phase + rng.uniform(0, 6))
        wave = np.tanh(wave * rng.uniform(0.5, 6))
        window = np.exp(
            -(
                ((x - rng.uniform(-0.6, 0.6)) ** 2 + (y - rng.uniform(-0.6, 0.6)) ** 2)
                / rng.uniform(0.1, 2)
            )
        )
        total += rng.uniform(0.3, 1) * wave * window
    return (total + rng.uniform(0, 0.6) * _noise(rng, (WIDE, WIDE), 1.5)).astype(np.float32)


def _blobs(rng: Rng) -> Grey:
    field = _noise(rng, (WIDE, WIDE), rng.uniform(1.5, 3))
    total = np.zeros_like(field)
    for _ in range(int(rng.integers(1, 4))):
        level, sharp = rng.uniform(-1, 1.5), rng.uniform(1, 12)
        total += rng.uniform(-1, 1) / (1 + np.exp(-np.clip(sharp * (field - level), -30, 30)))
        field = _noise(rng, (WIDE, WIDE), rng.uniform(1.2, 3))
    return (total + rng.uniform(0, 0.15) * field).astype(np.float32)


def _limbs(rng: Rng) -> Grey:
    """Bones in flesh: a stem that branches into chains of segments."""
    flesh, bone = (Image.new("L", (2 * WIDE, 2 * WIDE), 0) for _ in range(2))
    pens = (ImageDraw.Draw(flesh), ImageDraw.Draw(bone))

    def segment(
        start: tuple[float, float], angle: float, length: float, thick: float
    ) -> tuple[float, float]:
        end = (start[0] + length * np.cos(angle), start[1] + length * np.sin(angle))
        for pen, width in ((pens[0], 2.3 * thick), (pens[1], thick)):
            pen.line([start, end], fill=255, width=max(1, int(width)))
            for cx, cy in (start, end):
                r = width * (0.5 if pen is pens[0] else 0.65)
                pen.ellipse([cx - r, cy - r, cx + r, cy + r], fill=255)
        return end

    scale = rng.uniform(0.7, 1.3)
    base = rng.choice([-0.5, 0.5, 0.0, 1.0], p=[0.6, 0.2, 0.1, 0.1]) * np.pi + rng.normal(0, 0.2)
    centre = WIDE + rng.normal(0, 15, 2) - 30 * scale * np.array([np.cos(base), np.sin(base)])
    for _ in range(int(rng.integers(1, 3))):
        segment(
            tuple(centre + rng.normal(0, 14, 2)),
            base + np.pi + rng.normal(0, 0.1),
            rng.uniform(60, 160),
            scale * rng.uniform(14, 26),
        )
    for turn in np.linspace(-1, 1, int(rng.integers(1, 6))) * rng.uniform(0.3, 0.8):
        angle = base + turn + rng.normal(0, 0.05)
        at = tuple(centre + scale * rng.uniform(5, 20) * np.array([np.cos(angle), np.sin(angle)]))
        length, thick = scale * rng.uniform(35, 60), scale * rng.uniform(8, 14)
        for _ in range(int(rng.integers(1, 5))):
            at = segment(at, angle, length, thick)
            length, thick, angle = length * 0.72, thick * 0.85, angle + rng.normal(0, 0.12)
            at = (at[0] + 6 * scale * np.cos(angle), at[1] + 6 * scale * np.sin(angle))
    soft = [
        np.asarray(image.resize((WIDE, WIDE), Image.Resampling.BOX), np.float32) / 255
        for image in (flesh, bone)
    ]
    rim = soft[1] - ndimage.gaussian_filter(soft[1], rng.uniform(1, 2))
    grey = (
        rng.uniform(0.2, 0.5) * ndimage.gaussian_filter(soft[0], rng.uniform(1.5, 4))
        + rng.uniform(0.2, 0.5) * soft[1]
        + rng.uniform(0, 0.6) * rim
    )
    return (grey * (1 + rng.uniform(0, 0.15) * _noise(rng, (WIDE, WIDE), 1.2))).astype(np.float32)


def _bodies(rng: Rng, y: Grey, x: Grey, centre: npt.NDArray[np.float64], size: float) -> Grey:
    """Depth below the skin of a wobbly ellipse, about 1 in its middle, negative outside."""
    turn, squeeze = rng.uniform(0, np.pi), rng.uniform(0.45, 1)
    u = (x - centre[0]) * np.cos(turn) + (y - centre[1]) * np.sin(turn)
    v = (y - centre[1]) * np.cos(turn) - (x - centre[0]) * np.sin(turn)
    angle, radius = np.arctan2(v, u), np.sqrt(u * u + (v / squeeze) ** 2)
    wobble = sum(
        rng.normal(0, 0.12 / k) * np.cos(k * angle + rng.uniform(0, 6)) for k in range(2, 6)
    )
    return np.asarray(1 - radius / (size * (1 + wobble)), np.float32)


def _step(depth: Grey, width: float) -> Grey:
    return np.asarray(1 / (1 + np.exp(-np.clip(depth / width, -30, 30))), np.float32)


def _section(rng: Rng) -> Grey:
    """A cut through something with a skin, shells and organs."""
    y, x = _grid()
    sharp = rng.uniform(0.01, 0.05)
    texture = _noise(rng, (WIDE, WIDE), rng.uniform(0.6, 2))
    picture = np.full_like(x, rng.uniform(0, 0.1))
    for _ in range(int(rng.choice([1, 1, 1, 2]))):
        centre = rng.normal(0, 0.08, 2)
        outer = _bodies(rng, y, x, centre, rng.uniform(0.5, 0.85))
        depth = 0.0
        for _ in range(int(rng.integers(1, 5))):
            inside = _step(outer - depth, sharp)
            value = rng.random() + rng.uniform(0, 0.15) * texture
            picture = picture + (value - picture) * inside
            depth += rng.uniform(0.04, 0.2)
        room = _step(outer - depth, sharp)
        mirrored = rng.random() < 0.5
        for _ in range(int(rng.integers(0, 12))):
            at, size = rng.normal(0, 0.3, 2), rng.uniform(0.05, 0.35)
            value = rng.random() + rng.uniform(0, 0.2) * texture
            state = rng.bit_generator.state
            organ = _step(_bodies(rng, y, x, at, size), sharp * 2) * room
            picture = picture + (value - picture) * organ
            if mirrored:
                rng.bit_generator.state = state
                organ = _step(_bodies(rng, y, -x, at, size * rng.uniform(0.9, 1.1)), sharp * 2)
                picture = picture + (value - picture) * organ * room
    return picture.astype(np.float32)


def _projection(rng: Rng) -> Grey:
    """Rays through soft bodies, air, and rows of curved bands: any radiograph."""
    y, x = _grid()
    density = np.zeros_like(x)
    for _ in range(int(rng.integers(2, 6))):
        size = rng.uniform(0.3, 1.1)
        depth = _bodies(rng, y, x, rng.normal(0, 0.4, 2), size)
        density += rng.uniform(0.2, 0.8) * size * np.sqrt(np.clip(depth, 0, None))
    for _ in range(int(rng.integers(0, 4))):
        depth = _bodies(rng, y, x, rng.normal(0, 0.4, 2), rng.uniform(0.15, 0.6))
        density *= 1 - rng.uniform(0.2, 0.8) * _step(depth, rng.uniform(0.03, 0.15))
    for _ in range(int(rng.integers(0, 3))):
        turn, pitch, bend = rng.normal(0, 0.5), rng.uniform(8, 30), rng.uniform(-1, 1)
        across = np.abs(x - rng.normal(0, 0.1)) if rng.random() < 0.6 else x
        wave = np.sin(pitch * (y + turn * across + bend * across * across) + rng.uniform(0, 6))
        density += rng.uniform(0.03, 0.15) * _step(
            np.asarray(wave - rng.uniform(-0.3, 0.5), np.float32), 0.2
        )
    density *= 1 + rng.uniform(0, 0.1) * _noise(rng, (WIDE, WIDE), 1.5)
    picture = 1 - np.exp(-rng.uniform(0.8, 3) * np.clip(density, 0, None))
    return np.asarray(picture, dtype=np.float32)


def _hounsfield(rng: Rng, values: npt.NDArray[Any]) -> Grey:
    """Apply the encoder's two CT windows, or a window as people save pictures with."""
    grey = values.astype(np.float32)
    windows = ((40, 400), (0, 2000), (40, 80), (-600, 1500), (300, 2000))
    choice = int(rng.integers(len(windows) + 1))
    if choice == len(windows):
        parts = [np.clip((grey - c + w / 2) / w, 0, 1) for c, w in windows[:2]]
        return np.asarray((parts[0] + parts[1]) / 2, np.float32)
    centre, width = windows[choice]
    return np.asarray(np.clip((grey - centre + width / 2) / width, 0, 1), np.float32)


def _slices(rng: Rng, draw: Any) -> Iterator[Pair]:
    """Slices of one made-up patient's two scans, in all three planes."""
    seed = int(rng.integers(2**31))
    scans = [
        draw(rng, shape=(CUBE, CUBE, CUBE), patient=np.random.default_rng(seed)) for _ in range(2)
    ]
    if scans[0].dtype == np.int16:
        state = rng.bit_generator.state
        grey = []
        for scan in scans:
            rng.bit_generator.state = state
            grey.append(_hounsfield(rng, scan))
        scans = grey
    for axis, places in ((0, np.linspace(0.1, 0.9, 6)), (1, (0.35, 0.5, 0.65)), (2, (0.35, 0.5))):
        for place in places:
            at = place * CUBE + rng.uniform(-4, 4)
            pair = []
            for scan in scans:
                index = int(np.clip(at + rng.uniform(-1.5, 1.5), 0, CUBE - 1))
                cut = np.take(scan, index, axis)
                cut = cut if axis == 0 else cut[::-1]
                image = Image.fromarray(np.ascontiguousarray(cut, dtype=np.float32))
                pair.append(np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BILINEAR)))
            yield np.pad(pair[0], MARGIN, mode="edge"), np.pad(pair[1], MARGIN, mode="edge")


def _raw(rng: Rng, kind: str) -> Pair:
    """Two examinations before warp and exposure."""
    seed = int(rng.integers(2**31))
    if kind == "radiograph":
        finding = str(rng.choice(RADIOGRAPH_FINDINGS, p=[0.55, 0.1, 0.15, 0.2]))
        pair = [
            radiograph(rng, finding, WIDE, patient=np.random.default_rng(seed)) for _ in range(2)
        ]
        # The drawing's own dark rim goes: the warp adds borders of its own.
        pair = [np.pad(p[4:-4, 4:-4], 4, mode="edge") for p in pair]
        return pair[0], pair[1]
    if kind == "ultrasound":
        pair = [
            ultrasound(rng, size=(120, 160), patient=np.random.default_rng(seed))[0]
            for _ in range(2)
        ]
        return np.pad(pair[0], ((20, 20), (0, 0))), np.pad(pair[1], ((20, 20), (0, 0)))
    draw = {
        "leaves": _leaves,
        "spectrum": _spectrum,
        "stripes": _stripes,
        "blobs": _blobs,
        "limbs": _limbs,
        "section": _section,
        "projection": _projection,
    }[kind]
    picture = draw(rng)
    return picture, picture


def _warp(rng: Rng, pair: Pair, *, strong: bool) -> Pair:
    """Bend both pictures alike: another body than the drawing's few shapes."""
    y, x = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    turn = rng.normal(0, 0.06 if strong else 0.03)
    zoom = np.exp(rng.normal(0, 0.10, 2))
    u, v = x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)
    u, v = zoom[0] * u + rng.normal(0, 0.05), zoom[1] * v + rng.normal(0, 0.05)
    for field in (u, v):
        coarse = rng.normal(0, 0.07, (4, 4)).astype(np.float32)
        bend = ndimage.zoom(coarse, SIZE / 4, order=3, mode="nearest", grid_mode=True)
        np.add(field, bend, out=field)
    middle = (WIDE - 1) / 2
    places = np.stack([middle + v * SIZE / 2, middle + u * SIZE / 2])
    first, second = (ndimage.map_coordinates(p, places, order=1, mode="nearest") for p in pair)
    return first, second


def _expose(rng: Rng, picture: Grey, curve: float) -> npt.NDArray[np.uint8]:
    """Tone curve, blur, grain, sometimes a border or a marker; then as the encoder prepares."""
    low, high = np.percentile(picture, (0.5, 99.5))
    grey = np.clip((picture - low) / max(high - low, 1e-6), 0, 1) ** np.exp(curve)
    blur = max(0.0, rng.normal(0.2, 0.4))
    if blur > 0.2:
        grey = ndimage.gaussian_filter(grey, blur)
    grain = rng.uniform(0, 0.03)
    grey = grey + grain * rng.standard_normal(grey.shape, dtype=np.float32)
    if rng.random() < 0.25:
        side, width = int(rng.integers(4)), int(rng.integers(2, 16))
        turned = np.rot90(grey, side)
        turned[:width] = rng.choice([0.0, 0.0, 1.0])
        if rng.random() < 0.6:
            turned[-width:] = turned[0, 0]
    if rng.random() < 0.3:
        top, left = rng.integers(2, 30), rng.choice([rng.integers(2, 30), rng.integers(95, 120)])
        size = int(rng.integers(3, 8))
        stamp = rng.random((size, size)) < 0.6
        patch = grey[top : top + size, left : left + size]
        patch[stamp[: patch.shape[0], : patch.shape[1]]] = 1.0
    low, high = np.percentile(grey[::2, ::2], (1, 99))
    if high - low < 1e-3:
        low, high = 0.0, 1.0
    scaled = np.clip((grey - low) / (high - low), 0, 1)
    return np.asarray(scaled * 255 + 0.5, dtype=np.uint8)


def pool(seed: int, share: float = 1.0) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Draw the pool.

    Args:
        seed: of the random generator; equal seeds give equal pictures.
        share: of the usual number of pictures.

    Returns:
        uint8 pictures ``(n, 2, 128, 128)`` and the kind of each (index into `KINDS`).
    """
    rng = np.random.default_rng(seed)
    pictures: list[npt.NDArray[np.uint8]] = []
    kinds: list[int] = []

    def keep(pair: Pair, kind: int, *, strong: bool) -> None:
        warped = _warp(rng, pair, strong=strong)
        curve = rng.normal(0, 0.3)
        shots = [_expose(rng, p, curve + rng.normal(0, 0.12)) for p in warped]
        if min(int(s.std()) for s in shots) >= 4:
            pictures.append(np.stack(shots))
            kinds.append(kind)

    volumes = {"head_ct": head_ct, "abdomen_ct": abdomen_ct, "brain_mr": brain_mr}
    for number, kind in enumerate(KINDS):
        if kind in volumes:
            for _ in range(round(share * VOLUMES)):
                for pair in _slices(rng, volumes[kind]):
                    keep(pair, number, strong=True)
        else:
            for _ in range(round(share * COUNTS.get(kind, COUNT))):
                keep(_raw(rng, kind), number, strong=kind != "radiograph")
        print(kind, len(kinds), flush=True)
    return np.stack(pictures), np.array(kinds, np.uint8)


def main() -> None:
    """Draw the pool and save it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "pool.npz")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--share", type=float, default=1.0)
    options = parser.parse_args()
    pictures, kinds = pool(options.seed, options.share)
    np.savez(options.out, pictures=pictures, kinds=kinds)


if __name__ == "__main__":
    main()
