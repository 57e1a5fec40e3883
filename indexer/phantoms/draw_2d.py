"""Projection and ultrasound pictures: chest radiographs and abdominal sonograms."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from indexer.phantoms.draw import (
    Field,
    Pose,
    blend,
    bump,
    ellipse,
    plane,
    require_finding,
    resize,
    smooth_noise,
    soft,
)

RADIOGRAPH_FINDINGS = ("normal", "nodule", "effusion", "cardiomegaly")
ULTRASOUND_FINDINGS = ("normal", "cyst")
_COARSE = 256
# No edge of the anatomy is sharper than a pixel of this size; only the grain is drawn finer.
_DETAIL = 384


@dataclass(frozen=True)
class _Chest:
    """One person's thorax; lengths in the coordinates of `plane`."""

    width: float
    apex: float
    base: float
    dome: float
    heart: float
    heart_tilt: float
    rib_pitch: float
    rib_phase: float
    rib_bend: float
    clavicle: float
    clavicle_slope: float
    fat: float
    breast: float
    bone: float
    vessels: float
    bubble: float
    side: int
    spot: tuple[float, float]
    spot_radius: float
    fluid: float
    seed: int

    @classmethod
    def draw(cls, patient: np.random.Generator) -> _Chest:
        u = patient.uniform
        return cls(
            width=u(0.68, 0.86),
            apex=u(-0.82, -0.68),
            base=u(0.34, 0.58),
            dome=u(0.10, 0.22),
            heart=u(0.25, 0.32),
            heart_tilt=u(0.35, 0.75),
            rib_pitch=u(0.145, 0.19),
            rib_phase=u(0, 1),
            rib_bend=u(0.28, 0.55),
            clavicle=u(-0.70, -0.58),
            clavicle_slope=u(0.05, 0.30),
            fat=u(0.0, 1.0),
            breast=max(0.0, u(-0.10, 0.14)),
            bone=u(0.7, 1.2),
            vessels=u(0.7, 1.2),
            bubble=max(0.0, u(-0.5, 1.0)),
            side=1 if u() < 0.5 else -1,
            spot=(u(0.35, 0.68), u(0.15, 0.70)),
            spot_radius=u(0.055, 0.10),
            fluid=u(0.30, 0.52),
            seed=int(patient.integers(2**31)),
        )


def radiograph(
    rng: np.random.Generator,
    finding: str = "normal",
    size: int | tuple[int, int] = 512,
    *,
    patient: np.random.Generator | None = None,
) -> Field:
    """Draw a frontal chest radiograph, bone bright.

    Args:
        rng: generator of this examination: position, exposure, grain.
        finding: one of `RADIOGRAPH_FINDINGS`.
        size: side of a square, or rows and columns.
        patient: generator of the anatomy; ``rng`` where absent.

    Returns:
        float32 ``(rows, columns)`` in 0..1; the patient's left is on the right.
    """
    require_finding(finding, RADIOGRAPH_FINDINGS)
    shape = (size, size) if isinstance(size, int) else size
    chest = _Chest.draw(patient or rng)
    reduction = min(1.0, _DETAIL / max(shape))
    x, y = plane(
        (max(1, round(shape[0] * reduction)), max(1, round(shape[1] * reduction))), Pose.draw(rng)
    )
    density = _density(chest, x, y, finding, breath=float(rng.uniform(-0.02, 0.02)))
    return _exposed(rng, density, shape, margin=0.995 - 0.02 * chest.fat)


def _density(chest: _Chest, x: Field, y: Field, finding: str, breath: float) -> Field:
    """What the rays meet on their way: about 0 (air) to 1 (spine behind the liver)."""
    texture = np.random.default_rng(chest.seed)
    shape = (x.shape[0], x.shape[1])
    lung = _lungs(chest, x, y, breath)
    density = _soft_tissue(chest, x, y)
    air = lung * (0.74 + 0.07 * smooth_noise(texture, shape, 6))
    air = air * (1 - _heart(chest, x, y, finding == "cardiomegaly"))
    if finding == "effusion":
        air = air * (1 - np.float32(0.94) * _fluid(chest, x, y))
    density = density * (1 - air)
    density += np.float32(0.15 * chest.vessels) * lung * _vessels(texture, shape)
    density += _bones(chest, x, y)
    density -= np.float32(0.12) * _trachea(x, y)
    density -= np.float32(0.22 * chest.bubble) * _stomach(chest, x, y)
    density += np.float32(0.03) * smooth_noise(texture, shape, 9)
    if finding == "nodule":
        density += np.float32(0.22) * _nodule(chest, x, y)
    return np.asarray(density, dtype=np.float32)


def _lateral(chest: _Chest, y: Field) -> Field:
    """Distance of the lateral chest wall from the midline at every height."""
    rest = 1 - np.clip((y - chest.apex) / (0.95 * (chest.base - chest.apex)), 0, 1)
    return np.asarray(chest.width * np.sqrt(1 - 0.72 * rest * rest), dtype=np.float32)


def _lungs(chest: _Chest, x: Field, y: Field, breath: float) -> Field:
    """Share of aerated lung along each ray: 0..1."""
    total = np.zeros_like(x)
    for side in (-1, 1):
        # The liver lifts the right dome, which is on the left of the picture.
        base = chest.base + breath - (0.06 if side < 0 else 0.0)
        across = x * side
        height = np.clip((y - chest.apex) / (base - chest.apex), 0, 1.6)
        medial = 0.12 + 0.06 * height
        bend = (across - 0.55 * chest.width) / (0.5 * chest.width)
        floor = base - 0.5 * chest.dome + chest.dome * bend * bend
        top = chest.apex + 0.10 * ((across - 0.30) / 0.2) ** 2
        inside = soft(_lateral(chest, y) - across, 0.05) * soft(across - medial, 0.10)
        total += inside * soft(floor - y, 0.035) * soft(y - top, 0.10)
    return total


def _soft_tissue(chest: _Chest, x: Field, y: Field) -> Field:
    """Thickness of soft tissue along each ray, about 0..0.8."""
    neck = 0.24 + 0.05 * chest.fat
    trunk = chest.width + 0.11 + 0.08 * chest.fat
    shoulders = soft(y + 0.80, 0.42)
    half = neck + (trunk + 0.40 * soft(-0.30 - y, 0.6) - neck) * shoulders
    inside = soft(half - np.abs(x), 0.03)
    relative = np.clip(np.abs(x) / half, 0, 1)
    thick = (
        np.sqrt(1 - relative * relative * relative) * inside * (0.46 + 0.04 * y + 0.07 * chest.fat)
    )
    thick += 0.12 * bump(x, 0.16) * soft(y + 0.75, 0.5)
    thick += 0.13 * soft(y - chest.base + 0.05, 0.30) * soft(half - np.abs(x), 0.2)
    for side in (-1, 1):
        breast = soft(ellipse(x * side, y, (0.45, 0.30), (0.34, 0.26)), 0.16)
        thick += np.float32(chest.breast) * breast
    return thick


def _heart(chest: _Chest, x: Field, y: Field, large: bool) -> Field:
    """Shadow of heart, great vessels and mediastinum: 0..1."""
    radius = chest.heart * (1.50 if large else 1.0)
    centre = (0.09 + 0.24 * radius, chest.base - 0.24)
    body = soft(ellipse(x, y, centre, (radius * 1.22, radius * 0.86), chest.heart_tilt), 0.07)
    right = soft(ellipse(x, y, (-0.05, centre[1] - 0.02), (radius * 0.62, radius * 0.85)), 0.07)
    knob = soft(ellipse(x, y, (0.10, -0.27), (0.12, 0.12)), 0.07)
    waist = soft(ellipse(x, y, (0.10, -0.08), (0.16, 0.22), -0.3), 0.10)
    cava = soft(ellipse(x, y, (-0.06, -0.28), (0.13, 0.36)), 0.08)
    clear = (1 - body) * (1 - right) * (1 - knob) * (1 - waist) * (1 - cava)
    return np.asarray(0.92 * (1 - clear), dtype=np.float32)


def _bones(chest: _Chest, x: Field, y: Field) -> Field:
    """Added density of ribs, clavicles and spine."""
    across = np.abs(x)
    cage = soft(_lateral(chest, y) + 0.05 - across, 0.05) * soft(across - 0.07, 0.08)
    cage = cage * soft(y - chest.apex + 0.04, 0.10) * soft(chest.base + 0.15 - y, 0.40)
    drop = chest.rib_bend * np.clip(across - 0.12, 0, None) ** 2 - 0.06 * bump(across - 0.28, 0.18)
    back = _bands((y - drop) / chest.rib_pitch + chest.rib_phase, 0.22)
    rise = 0.62 * chest.rib_bend * (across - chest.width)
    front = _bands((y + rise) / (1.15 * chest.rib_pitch) + chest.rib_phase + 0.3, 0.24)
    front = front * soft(across - 0.36, 0.20)
    density = cage * (0.085 * back + 0.038 * front)
    # The cage seen along its wall is thicker.
    density = density * (1 + 0.7 * bump(across - _lateral(chest, y), 0.08))
    line = y - chest.clavicle + chest.clavicle_slope * (across - 0.12) - 0.25 * (across - 0.4) ** 2
    clavicle = soft(0.034 - np.abs(line), 0.022) - 0.35 * soft(0.016 - np.abs(line), 0.02)
    density += 0.09 * clavicle * soft(across - 0.10, 0.05) * soft(0.80 - across, 0.10)
    column = soft(0.095 - across, 0.03)
    discs = 0.6 + 0.4 * _bands(y / (0.75 * chest.rib_pitch) + chest.rib_phase, 0.40)
    density += 0.09 * column * discs
    return np.asarray(np.float32(chest.bone) * density, dtype=np.float32)


def _bands(phase: Field, half: float) -> Field:
    """Bands around every whole ``phase``, with the bright rims of cortical bone."""
    away = np.abs(phase - np.rint(phase))
    return soft(half - away, 0.10) - np.float32(0.40) * soft(half - 0.09 - away, 0.10)


def _trachea(x: Field, y: Field) -> Field:
    """The air column above the carina and the start of the main bronchi."""
    tube = soft(0.036 - np.abs(x + 0.012), 0.05) * soft(-0.16 - y, 0.08)
    fork = soft(0.022 - np.abs(np.abs(x + 0.012) - 0.9 * (y + 0.18)), 0.04)
    fork = fork * soft(y + 0.18, 0.04) * soft(-0.04 - y, 0.08)
    return tube * soft(y + 0.95, 0.4) + np.float32(0.4) * fork


def _stomach(chest: _Chest, x: Field, y: Field) -> Field:
    """The gas bubble below the left dome."""
    return soft(ellipse(x, y, (0.42, chest.base + 0.10), (0.14, 0.07)), 0.06)


def _vessels(texture: np.random.Generator, shape: tuple[int, int]) -> Field:
    """Branches that run outwards from both hila, drawn coarsely: they are soft anyway."""
    longest = max(shape)
    coarse = (
        max(2, round(_COARSE * shape[0] / longest)),
        max(2, round(_COARSE * shape[1] / longest)),
    )
    x, y = plane(coarse, Pose((0.0, 0.0), 1.0, 0.0))
    total = np.zeros(coarse, dtype=np.float32)
    for side in (-1, 1):
        u, v = x * side - 0.14, y + 0.02
        radius = np.sqrt(u * u + v * v)
        # Noise that is fine across the direction from the hilum and coarse along it is branches.
        noise = smooth_noise(texture, (90, 480), (9, 80))
        wobble = smooth_noise(texture, coarse, 14)
        rows = np.clip(radius * 75, 0, 88)
        columns = (np.arctan2(v, u) / (2 * np.pi) + 0.5 + 0.02 * wobble) * 479
        rays = ndimage.map_coordinates(noise, [rows, columns], order=1, mode="grid-wrap")
        total += (u > 0) * soft(rays - 0.15, 1.0) * np.exp(-radius / 0.26)
        total += np.float32(0.7) * bump(radius, 0.075)
    return resize(total, shape)


def _fluid(chest: _Chest, x: Field, y: Field) -> Field:
    """Pleural fluid on one side: a meniscus that climbs the lateral wall."""
    across = x * chest.side
    level = chest.base - chest.fluid + 0.12 - 0.55 * np.clip(across - 0.35, 0, None) ** 2
    return soft(y - level, 0.13) * soft(across - 0.08, 0.08)


def _nodule(chest: _Chest, x: Field, y: Field) -> Field:
    """A round opacity in one lung, clear of heart and diaphragm."""
    centre = (
        chest.side * max(0.36, chest.spot[0] * chest.width),
        chest.apex + 0.25 + chest.spot[1] * (chest.base - chest.apex - 0.45),
    )
    radius = chest.spot_radius
    return soft(ellipse(x, y, centre, (radius, radius * 0.9)), 0.06)


def _exposed(
    rng: np.random.Generator, density: Field, shape: tuple[int, int], margin: float
) -> Field:
    """Turn density into film brightness: exposure, scatter, grain, collimation."""
    rows, columns = density.shape
    y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in (rows, columns))
    tilt = rng.uniform(-0.02, 0.02, 2).astype(np.float32)
    scatter = np.float32(0.03 + rng.uniform(-0.015, 0.015)) + tilt[0] * x + tilt[1] * y[:, None]
    contrast = np.float32(rng.uniform(1.75, 1.95))
    picture = np.float32(1.1) * resize(
        1 - np.exp(-contrast * np.clip(density + scatter, 0, None)), shape
    )
    # Fewer photons arrive behind dense tissue: the grain is coarser there.
    grain = rng.standard_normal(shape, dtype=np.float32)
    picture += grain * (np.float32(0.006) + np.float32(0.010) * picture)
    y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in shape)
    field = soft(margin - np.abs(x), 0.004) * soft(margin - np.abs(y), 0.004)[:, None]
    return np.clip(picture * (np.float32(0.02) + np.float32(0.98) * field), 0, 1)


@dataclass(frozen=True)
class _Sonogram:
    """One person's upper abdomen below the probe; depth and angle run 0..1 and -1..1."""

    wall: float
    kidney: tuple[float, float]
    kidney_radii: tuple[float, float]
    kidney_angle: float
    vein: tuple[float, float]
    diaphragm: float
    gain: float
    attenuation: float
    opening: float
    cyst: tuple[float, float]  # depth, and angle as a share of the opening
    cyst_radius: float
    seed: int

    @classmethod
    def draw(cls, patient: np.random.Generator) -> _Sonogram:
        u = patient.uniform
        return cls(
            wall=u(0.06, 0.14),
            kidney=(u(-0.30, 0.30), u(0.58, 0.74)),
            kidney_radii=(u(0.26, 0.36), u(0.11, 0.15)),
            kidney_angle=u(-0.5, 0.5),
            vein=(u(-0.3, 0.3), u(0.28, 0.42)),
            diaphragm=u(0.86, 0.96),
            gain=u(0.42, 0.55),
            attenuation=u(0.10, 0.45),
            opening=u(0.58, 0.80),
            cyst=(u(0.28, 0.50), u(-0.55, 0.55)),
            cyst_radius=u(0.085, 0.14),
            seed=int(patient.integers(2**31)),
        )


def ultrasound(
    rng: np.random.Generator,
    finding: str = "normal",
    frames: int = 1,
    size: tuple[int, int] = (240, 320),
    *,
    patient: np.random.Generator | None = None,
) -> Field:
    """Draw sector-shaped sonograms of liver and kidney.

    Args:
        rng: generator of this examination: probe position, gain, speckle.
        finding: one of `ULTRASOUND_FINDINGS`.
        frames: pictures of a short loop during which the patient breathes.
        size: rows and columns.
        patient: generator of the anatomy; ``rng`` where absent.

    Returns:
        float32 ``(frames, rows, columns)`` in 0..1, 0 outside the sector.
    """
    require_finding(finding, ULTRASOUND_FINDINGS)
    body = _Sonogram.draw(patient or rng)
    rows, columns = size
    pose = Pose.draw(rng, 1.5)
    gain = float(rng.uniform(0.95, 1.05))
    # The sector's tip lies above the picture, as with a curved probe.
    tip, reach = 0.22, 1.20
    j = (np.arange(columns, dtype=np.float32) + 0.5 - columns / 2) / rows
    i = (np.arange(rows, dtype=np.float32) + 0.5) / rows * (reach - tip) * 0.99 + tip
    x, y = np.broadcast_arrays(j[None, :] * (reach - tip), i[:, None])
    radius, angle = np.sqrt(x * x + y * y), np.arctan2(x, y)
    depth = (radius - tip - 0.005) / (reach - tip) * 1.02
    sector = soft(body.opening - np.abs(angle), 0.012) * soft(depth, 0.01) * soft(1 - depth, 0.01)
    speckle = _speckle(rng, radius, angle)
    loop = np.empty((frames, rows, columns), dtype=np.float32)
    for frame in range(frames):
        # One breath over the loop: up and down again, so neighbours differ a little.
        breath = 0.012 * math.sin(2 * math.pi * frame / max(frames, 2))
        echo = _echo(body, x - pose.shift[0], depth - pose.shift[1] - breath, finding)
        picture = echo * (1 - np.float32(body.attenuation) * depth) * gain
        flicker = rng.standard_normal(size, dtype=np.float32)
        loop[frame] = picture * (speckle + np.float32(0.04) * flicker) * sector
    return np.clip(loop, 0, 1)


def _speckle(rng: np.random.Generator, radius: Field, angle: Field) -> Field:
    """Multiplicative grain, mean about 1, that widens with depth as real speckle does."""
    real, imaginary = (
        ndimage.gaussian_filter(rng.standard_normal((360, 220), dtype=np.float32), (0.9, 1.1))
        for _ in range(2)
    )
    rayleigh = np.sqrt(real * real + imaginary * imaginary)
    grain = rayleigh / rayleigh.mean()
    where = [np.clip(radius * 290, 0, 359), np.clip((angle + 1) * 110, 0, 219)]
    # The display compresses the dynamic range.
    spread: Field = ndimage.map_coordinates(grain, where, order=1, mode="nearest")
    return np.asarray(spread, dtype=np.float32) ** np.float32(0.7)


def _echo(body: _Sonogram, x: Field, depth: Field, finding: str) -> Field:
    """Mean brightness of the tissue at every pixel."""
    shape = (depth.shape[0], depth.shape[1])
    texture = np.random.default_rng(body.seed)
    echo = np.float32(body.gain) * (1 + 0.16 * smooth_noise(texture, shape, 7))
    layers = 0.5 + 0.5 * np.cos(depth * np.float32(2 * np.pi / 0.035))
    echo = blend(echo, 0.35 + 0.5 * layers, soft(body.wall - depth, 0.02))
    vein = soft(ellipse(x, depth, body.vein, (0.17, 0.022), 0.5 + body.kidney_angle), 0.015)
    echo = blend(echo, 0.10, vein)
    a, b = body.kidney_radii
    kidney = ellipse(x, depth, body.kidney, (a, b), body.kidney_angle)
    echo = blend(echo, 0.62, bump(kidney, 0.012))
    echo = blend(echo, 0.24, soft(kidney, 0.02))
    sinus = ellipse(x, depth, body.kidney, (0.6 * a, 0.42 * b), body.kidney_angle)
    echo = blend(echo, 0.68, soft(sinus + 0.02 * smooth_noise(texture, shape, 18), 0.04))
    arc = depth - body.diaphragm + 0.25 * (x - 0.1) ** 2
    echo = blend(echo, 0.95, bump(arc, 0.012))
    echo = echo * (1 - np.float32(0.6) * soft(arc - 0.03, 0.04))
    if finding == "cyst":
        r, turn = body.cyst_radius, body.cyst[1] * body.opening
        centre = (math.tan(turn) * (0.22 + 0.98 * body.cyst[0]), body.cyst[0])
        behind = soft(r * 0.9 - np.abs(x - centre[0]), 0.05) * soft(depth - centre[1], 0.05)
        echo = echo * (1 + np.float32(0.45) * behind)
        edge = ellipse(x, depth, centre, (r, r * 0.92))
        echo = blend(echo, 0.03, soft(edge, 0.012))
        echo = blend(echo, 0.75, 0.6 * bump(edge, 0.006))
    return np.asarray(echo, dtype=np.float32)
