"""Cross-sectional volumes: head CT, abdominal CT and brain MR."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from indexer.phantoms.draw import (
    Field,
    Pose,
    blend,
    bump,
    ellipse,
    ellipsoid,
    plane,
    require_finding,
    smooth_noise,
    soft,
)

HEAD_CT_FINDINGS = ("normal", "bleed")
ABDOMEN_CT_FINDINGS = ("normal", "liver-lesion")
BRAIN_MR_FINDINGS = ("normal", "tumour")
MR_CONTRASTS = ("T1", "T2")

HounsfieldUnits = npt.NDArray[np.int16]
_Space = tuple[Field, Field, Field]
_AIR = -1000.0
_SLAB = 4


def _space(shape: tuple[int, int, int], pose: Pose, reach: tuple[float, float]) -> _Space:
    """Coordinates of every voxel; ``reach`` is z of the first and the last slice."""
    x, y = plane((shape[1], shape[2]), pose)
    z = np.linspace(reach[0], reach[1], shape[0], dtype=np.float32)
    return x[None], y[None], z[:, None, None]


def _in_slabs(
    space: _Space, textures: tuple[Field, ...], paint: Callable[[_Space, tuple[Field, ...]], Field]
) -> Field:
    """Paint a few slices at a time: the many intermediate arrays stay in the processor's cache."""
    x, y, z = space
    slabs = [slice(first, first + _SLAB) for first in range(0, z.shape[0], _SLAB)]
    return np.concatenate([paint((x, y, z[s]), tuple(t[s] for t in textures)) for s in slabs])


@dataclass(frozen=True)
class _Head:
    """One person's head; x and y as in `plane`, z from the skull base to above the vertex."""

    radii: tuple[float, float, float]
    bone: float
    ventricle: float
    horn: float
    asymmetry: float
    sinus: float
    grey: float
    side: int
    spot: tuple[float, float, float]
    spot_radius: float
    seed: int

    @classmethod
    def draw(cls, patient: np.random.Generator) -> _Head:
        u = patient.uniform
        return cls(
            radii=(u(0.57, 0.70), u(0.72, 0.88), u(0.82, 0.94)),
            bone=u(0.045, 0.070),
            ventricle=u(0.6, 1.8),
            horn=u(0.20, 0.50),
            asymmetry=u(-0.03, 0.03),
            sinus=u(0.6, 1.3),
            grey=u(0.8, 1.2),
            side=1 if u() < 0.5 else -1,
            spot=(u(0.22, 0.36), u(-0.30, 0.30), u(0.0, 0.35)),
            spot_radius=u(0.14, 0.22),
            seed=int(patient.integers(2**31)),
        )


@dataclass(frozen=True)
class _HeadTissues:
    """Shares 0..1 of the tissues; each later one lies inside or on top of the earlier ones."""

    scalp: Field
    skull: Field
    marrow: Field
    inside: Field
    sulci: Field
    cortex: Field
    ventricles: Field
    falx: Field
    base: Field
    air: Field
    eyes: Field


def _head_textures(head: _Head, shape: tuple[int, int, int]) -> tuple[Field, Field, Field]:
    """Folds of the cortex, unevenness of the skull and of a lump: ``shape`` each."""
    texture = np.random.default_rng(head.seed)
    return (
        smooth_noise(texture, shape, (9, 26, 26)),
        np.float32(0.025) * smooth_noise(texture, shape, (3, 5, 5)),
        np.float32(0.50) * smooth_noise(texture, shape, (5, 9, 9)),
    )


def _head_tissues(head: _Head, space: _Space, folds: Field, outline: Field) -> _HeadTissues:
    x, y, z = space
    skin = ellipsoid(space, (0, 0, 0), _grown(head.radii, 0.06), outline)
    outer = ellipsoid(space, (0, 0, 0), head.radii, outline)
    depth = outer - np.float32(head.bone)
    inside = soft(depth, 0.02)
    ridge = bump(folds, 0.16) * soft(0.20 - depth, 0.12)
    surface = soft(0.035 - depth, 0.03)
    ventricles = _ventricles(head, space)
    falx = bump(x - np.float32(0.02 * head.asymmetry), 0.010) * soft(z - 0.02, 0.1)
    falx = falx * soft(np.abs(y) - 0.34 * np.float32(head.radii[1]), 0.06)
    base, air, eyes = _skull_base(head, space, outer)
    return _HeadTissues(
        scalp=soft(skin, 0.02),
        skull=soft(outer, 0.02) * (1 - inside),
        marrow=bump(outer - np.float32(0.5 * head.bone), 0.016),
        inside=inside,
        sulci=np.clip(ridge + surface, 0, 1) * inside,
        cortex=soft(0.13 + 0.07 * folds - depth, 0.05) * inside,
        ventricles=ventricles * inside,
        falx=falx * inside,
        base=base,
        air=air,
        eyes=eyes,
    )


def _grown(radii: tuple[float, float, float], by: float) -> tuple[float, float, float]:
    return radii[0] + by, radii[1] + by, radii[2] + by


def _ventricles(head: _Head, space: _Space) -> Field:
    """Two curved lateral ventricles and the slit of the third between them."""
    x, y, z = space
    size = head.ventricle
    total: Field = np.zeros((1, 1, 1), dtype=np.float32)
    for side in (-1, 1):
        spread = 0.055 + 0.10 * head.horn + 0.50 * (y - 0.02) ** 2
        bent = (x * side - spread * (1 + side * head.asymmetry), y - 0.02, z - 0.18)
        horn = ellipsoid(bent, (0, 0, 0), (0.045 * size, 0.30 + 0.05 * size, 0.16 * size))
        total = total + soft(horn, 0.02)
    third = ellipsoid(space, (0, 0.0, 0.02), (0.018 * size, 0.09, 0.10))
    return np.clip(total + soft(third, 0.015), 0, 1)


def _skull_base(head: _Head, space: _Space, outer: Field) -> tuple[Field, Field, Field]:
    """Petrous ridges and floor of the skull, air-filled sinuses, eyes; y runs to the back."""
    x, y, z = space
    low = soft(-0.27 - z, 0.14)
    ridge = np.abs(y - 0.12 + 0.55 * (np.abs(x) - 0.1))
    petrous = soft(0.03 + 0.07 * np.abs(x) - ridge, 0.06) * soft(np.abs(x) - 0.12, 0.08) * low
    wings = soft(0.025 - np.abs(y + 0.28 + 0.3 * (np.abs(x) - 0.2) ** 2), 0.03) * low
    base = np.clip(petrous + 0.8 * wings * soft(np.abs(x) - 0.16, 0.10), 0, 1)
    base = base * soft(outer - 0.03, 0.04)
    size = head.sinus
    air: Field = np.zeros((1, 1, 1), dtype=np.float32)
    eyes: Field = np.zeros((1, 1, 1), dtype=np.float32)
    front = -head.radii[1]
    for side in (-1, 1):
        mirrored = (x * side, y, z)
        cells = ellipsoid(mirrored, (0.05, front + 0.30, -0.46), (0.04, 0.20, 0.20))
        mastoid = ellipsoid(mirrored, (0.42, 0.22, -0.46), (0.09 * size, 0.08, 0.12))
        air = air + soft(cells, 0.03) + 0.7 * soft(mastoid, 0.04)
        globe = ellipsoid(mirrored, (0.27, front + 0.16, -0.45), (0.12, 0.12, 0.15))
        eyes = eyes + soft(globe, 0.02)
    frontal = ellipsoid(space, (0.03, front + 0.07, -0.12), (0.14 * size, 0.035, 0.12))
    return base, np.clip(air + soft(frontal, 0.02), 0, 1), np.clip(eyes, 0, 1)


def _lump(head: _Head, space: _Space, relative: float, warp: Field) -> Field:
    """Signed distance to an uneven lump in the brain, ``relative`` to the patient's own size."""
    radius = head.spot_radius * relative
    centre = (head.side * head.spot[0], head.spot[1], head.spot[2])
    return ellipsoid(space, centre, (0.85 * radius, radius, 1.1 * radius), warp)


def head_ct(
    rng: np.random.Generator,
    finding: str = "normal",
    shape: tuple[int, int, int] = (24, 128, 128),
    *,
    patient: np.random.Generator | None = None,
) -> HounsfieldUnits:
    """Draw an axial CT of the head.

    Args:
        rng: generator of this examination: position, noise.
        finding: one of `HEAD_CT_FINDINGS`.
        shape: slices, rows, columns.
        patient: generator of the anatomy; ``rng`` where absent.

    Returns:
        int16 Hounsfield units ``(slices, rows, columns)``, from the skull base upwards; rows run
        from front to back, columns from the patient's right to the left.
    """
    require_finding(finding, HEAD_CT_FINDINGS)
    head = _Head.draw(patient or rng)
    space = _space(shape, Pose.draw(rng), (-0.55, 0.80))

    def paint(space: _Space, textures: tuple[Field, ...]) -> Field:
        return _head_hu(head, space, textures, finding)

    return _noisy_hu(rng, _in_slabs(space, _head_textures(head, shape), paint), 4.0)


def _head_hu(head: _Head, space: _Space, textures: tuple[Field, ...], finding: str) -> Field:
    """Hounsfield units without noise."""
    folds, outline, warp = textures
    t = _head_tissues(head, space, folds, outline)
    values: Field = np.full(folds.shape, _AIR, dtype=np.float32)
    values = blend(values, 45.0, t.scalp)
    values = blend(values, 1000.0, t.skull)
    values = blend(values, 600.0, np.float32(0.6) * t.skull * t.marrow)
    brain = 34 + 5 * np.float32(head.grey) * t.cortex
    values = blend(values, brain, t.inside)
    values = blend(values, 10.0, np.float32(0.8) * t.sulci)
    values = blend(values, 8.0, t.ventricles)
    values = blend(values, 60.0, np.float32(0.7) * t.falx)
    values = blend(values, 850.0, t.base)
    values = blend(values, 12.0, t.eyes * t.scalp)
    values = blend(values, _AIR, t.air * t.scalp)
    if finding == "bleed":
        values = blend(values, 20.0, soft(_lump(head, space, 1.35, warp), 0.08) * t.inside)
        values = blend(values, 70.0, soft(_lump(head, space, 1.0, warp), 0.025) * t.inside)
    return _headrest(space, values)


def _headrest(space: _Space, values: Field) -> Field:
    """The plastic cradle behind the head."""
    x, y, _ = space
    radius = np.sqrt(x * x + (y + 0.05) ** 2)
    cradle = bump(radius - 0.955, 0.010) * soft(y - 0.45, 0.1)
    return np.maximum(values, np.float32(_AIR) + 900 * cradle)


def _noisy_hu(rng: np.random.Generator, values: Field, sigma: float) -> HounsfieldUnits:
    """Blur as the scanner does, add grainy noise, round to whole Hounsfield units."""
    noise = rng.standard_normal(values.shape, dtype=np.float32)
    noise = np.asarray(ndimage.gaussian_filter(noise, (0, 0.6, 0.6)), dtype=np.float32)
    sharp = np.asarray(ndimage.gaussian_filter(values, (0, 0.45, 0.45)), dtype=np.float32)
    # The blur above leaves 0.47 of the noise's standard deviation.
    noisy = sharp + noise * np.float32(sigma / 0.47)
    return np.clip(np.rint(noisy), -1024, 3071).astype(np.int16)


@dataclass(frozen=True)
class _Abdomen:
    """One person's upper abdomen; x to the patient's left, y to the back, z to the head."""

    radii: tuple[float, float]
    fat: float
    liver: tuple[float, float, float]
    liver_size: float
    spleen: float
    kidney: float
    kidney_offset: float
    stomach: float
    gas: float
    spine: float
    contrast: float
    lesions: tuple[tuple[float, float, float], ...]
    lesion_radius: float
    seed: int

    @classmethod
    def draw(cls, patient: np.random.Generator) -> _Abdomen:
        u = patient.uniform
        return cls(
            radii=(u(0.74, 0.92), u(0.52, 0.66)),
            fat=u(0.04, 0.13),
            liver=(u(-0.38, -0.30), u(-0.06, 0.02), u(0.30, 0.48)),
            liver_size=u(0.88, 1.10),
            spleen=u(0.8, 1.3),
            kidney=u(0.85, 1.15),
            kidney_offset=u(-0.10, 0.10),
            stomach=u(0.8, 1.25),
            gas=u(-0.16, -0.05),
            spine=u(0.115, 0.145),
            contrast=u(0.0, 1.0),
            lesions=tuple((u(-0.5, 0.4), u(-0.5, 0.5), u(-0.45, 0.3)) for _ in range(3)),
            lesion_radius=u(0.10, 0.15),
            seed=int(patient.integers(2**31)),
        )


def abdomen_ct(
    rng: np.random.Generator,
    finding: str = "normal",
    shape: tuple[int, int, int] = (24, 128, 128),
    *,
    patient: np.random.Generator | None = None,
) -> HounsfieldUnits:
    """Draw an axial CT of the upper abdomen.

    Args:
        rng: generator of this examination: position, breath, noise.
        finding: one of `ABDOMEN_CT_FINDINGS`.
        shape: slices, rows, columns.
        patient: generator of the anatomy; ``rng`` where absent.

    Returns:
        int16 Hounsfield units ``(slices, rows, columns)``, from the pelvis upwards; rows run from
        front to back, columns from the patient's right to the left.
    """
    require_finding(finding, ABDOMEN_CT_FINDINGS)
    body = _Abdomen.draw(patient or rng)
    breath = float(rng.uniform(-0.03, 0.03))
    space = _space(shape, Pose.draw(rng), (-0.95 + breath, 0.95 + breath))
    texture = np.random.default_rng(body.seed)
    textures = (
        np.float32(0.03) * smooth_noise(texture, shape, (3, 5, 5)),
        np.float32(0.10) * smooth_noise(texture, shape, (4, 8, 8)),
        smooth_noise(texture, shape, (7, 15, 15)),
    )

    def paint(space: _Space, textures: tuple[Field, ...]) -> Field:
        return _abdomen_hu(body, space, textures, finding)

    return _noisy_hu(rng, _in_slabs(space, textures, paint), 9.0)


def _abdomen_hu(body: _Abdomen, space: _Space, textures: tuple[Field, ...], finding: str) -> Field:
    """Hounsfield units without noise."""
    wall, organ, loops = textures
    values: Field = np.full(wall.shape, _AIR, dtype=np.float32)
    rx, ry = body.radii
    skin = ellipsoid(space, (0, 0, 0), (rx, ry, 6.0), wall)
    muscle = skin - np.float32(body.fat)
    cavity = muscle - 0.055
    values = blend(values, -100.0, soft(skin, 0.02))
    values = blend(values, 55.0, soft(muscle, 0.02))
    values = blend(values, -90.0, soft(cavity, 0.02))
    room = soft(cavity - 0.01, 0.02)
    values = _bowel(body, space, values, loops, room)
    values = _organs(body, space, values, organ, room, finding=finding)
    values = _lung_bases(space, values, room)
    values = _skeleton(body, space, values, cavity)
    return _table(space, values)


def _bowel(body: _Abdomen, space: _Space, values: Field, loops: Field, room: Field) -> Field:
    """Loops of bowel in front and below, with pockets of gas, and the stomach."""
    _, y, z = space
    zone = soft(0.12 - y, 0.15) * soft(0.18 - z, 0.30) * room
    values = blend(values, 35.0, soft(loops + 0.10, 0.25) * zone)
    values = blend(values, -900.0, soft(loops - 0.62, 0.20) * zone * soft(-0.02 - y, 0.1))
    size = body.stomach
    stomach = ellipsoid(space, (0.32, -0.14, 0.42), (0.26 * size, 0.22 * size, 0.42))
    values = blend(values, 25.0, soft(stomach, 0.02) * room)
    level = soft(np.float32(body.gas) - 0.06 - y, 0.015)
    return blend(values, -950.0, soft(stomach - 0.025, 0.02) * level * room)


def _organs(
    body: _Abdomen, space: _Space, values: Field, warp: Field, room: Field, *, finding: str
) -> Field:
    """Liver, spleen, kidneys and the great vessels, brighter the more contrast medium there is."""
    x, y, z = space
    boost = body.contrast
    cx, cy, cz = body.liver
    size = body.liver_size
    radii = (0.46 * size, 0.42 * size, 0.66 * size)
    right = ellipsoid(space, (cx, cy, cz), radii, warp)
    left = ellipsoid(space, (0.06, -0.22, cz + 0.12), (0.36 * size, 0.16, 0.34), warp)
    liver = np.maximum(soft(right, 0.02), soft(left, 0.02)) * room
    values = blend(values, 62 + 45 * boost, liver)
    branches = bump(np.sin(9 * x + 3 * y) + np.sin(8 * z - 4 * y) + 4 * warp, 0.12)
    values = values + (25 * boost) * branches * liver
    if finding == "liver-lesion":
        for dx, dy, dz in body.lesions:
            centre = (cx + dx * radii[0], cy + dy * radii[1], cz + dz * radii[2])
            radius = body.lesion_radius
            lesion = ellipsoid(space, centre, (radius, radius, 1.5 * radius), warp)
            values = blend(values, 18.0, soft(lesion, 0.025) * liver)
    spleen = ellipsoid(space, (0.52, 0.16, 0.45), (0.15, 0.22, 0.34 * body.spleen), warp)
    values = blend(values, 55 + 60 * boost, soft(spleen, 0.02) * room)
    for side in (-1, 1):
        centre = (0.31 * side, 0.24, -0.20 + 0.08 * side + body.kidney_offset)
        k = body.kidney
        kidney = ellipsoid(space, centre, (0.125 * k, 0.135 * k, 0.46 * k), 0.5 * warp)
        values = blend(values, 38 + 140 * boost, soft(kidney, 0.02) * room)
        inner = (centre[0] - 0.04 * side, centre[1], centre[2])
        sinus = ellipsoid(space, inner, (0.05 * k, 0.045 * k, 0.22 * k))
        values = blend(values, -30.0, soft(sinus, 0.02) * room)
    for px, radius in ((0.05, 0.050), (-0.08, 0.058)):
        vessel = _column(space, (px, 0.12), (radius, radius))
        values = blend(values, 45 + 130 * boost, soft(vessel, 0.015) * room)
    return values


def _lung_bases(space: _Space, values: Field, room: Field) -> Field:
    """The lungs that reach behind the liver and spleen in the uppermost slices."""
    x, y, z = space
    for side in (-1, 1):
        inner = ellipsoid((x * side, y, z), (0.40, 0.02, 0.30), (0.34, 0.34, 0.50))
        shell = soft(z - 0.42, 0.10) * soft(x * side - 0.07, 0.06)
        values = blend(values, -850.0, shell * soft(-inner, 0.03) * room * soft(z - 0.3 + y, 0.3))
    heart = ellipsoid(space, (0.09, -0.14, 1.0), (0.36, 0.26, 0.32))
    return blend(values, 60.0, soft(heart, 0.03) * room)


def _skeleton(body: _Abdomen, space: _Space, values: Field, cavity: Field) -> Field:
    """Vertebrae with their canal, back muscles and ribs cut across."""
    x, y, z = space
    back = body.radii[1] - body.fat
    cy = back - 0.24
    for side in (-1, 1):
        muscle = _column(space, (0.14 * side, back - 0.08), (0.13, 0.10))
        values = blend(values, 58.0, soft(muscle, 0.02))
    r = body.spine
    vertebra = _column(space, (0, cy), (1.15 * r, r))
    disc = soft(np.sin(z * 20) - 0.75, 0.3)
    values = blend(values, 180 - 100 * disc, soft(vertebra, 0.015))
    values = blend(values, 450.0, bump(vertebra, 0.012) * (1 - disc))
    arch = _column(space, (0, cy + r + 0.07), (0.09, 0.08))
    values = blend(values, 550.0, bump(arch, 0.018))
    values = blend(values, 15.0, soft(arch - 0.025, 0.02))
    process = soft(0.018 - np.abs(x), 0.015) * soft(0.09 - np.abs(y - back + 0.02), 0.03)
    values = blend(values, 450.0, process * soft(np.sin(z * 20 + 1) + 0.5, 0.5))
    # A rib slants through the slices: seen across, it is a spot that wanders along the wall.
    around = np.arctan2(y, np.abs(x)) * 4.5 + z * 7
    ribs = soft(np.cos(around * math.tau / 4) - 0.55, 0.3) * bump(cavity + 0.022, 0.020)
    return blend(values, 420.0, ribs * soft(z + 0.35, 0.2) * soft(np.abs(x) - 0.22, 0.1))


def _column(space: _Space, centre: tuple[float, float], radii: tuple[float, float]) -> Field:
    """Signed distance to a column along z: one slice, as it is the same in all."""
    return ellipse(space[0], space[1], centre, radii)


def _table(space: _Space, values: Field) -> Field:
    """The table top below the patient."""
    x, y, _ = space
    top = bump(y - 0.80 + 0.12 * x * x, 0.012) * soft(0.80 - np.abs(x), 0.05)
    return np.maximum(values, np.float32(_AIR) + 850 * top)


# Brightness of the tissues in either contrast: T1 shows fat and white matter, T2 shows water.
_SCALP, _MARROW, _WHITE, _GREY, _FLUID, _LUMP, _OEDEMA = range(7)
_BRIGHTNESS = {
    "T1": (0.95, 0.45, 0.70, 0.50, 0.16, 0.34, 0.50),
    "T2": (0.55, 0.35, 0.36, 0.52, 0.95, 0.98, 0.75),
}


def brain_mr(
    rng: np.random.Generator,
    finding: str = "normal",
    shape: tuple[int, int, int] = (20, 128, 128),
    contrast: str = "T2",
    *,
    patient: np.random.Generator | None = None,
) -> Field:
    """Draw an axial MR of the brain.

    Args:
        rng: generator of this examination: position, coil shading, noise.
        finding: one of `BRAIN_MR_FINDINGS`.
        shape: slices, rows, columns.
        contrast: ``"T1"`` or ``"T2"``.
        patient: generator of the anatomy; ``rng`` where absent.

    Returns:
        float32 ``(slices, rows, columns)``, about 0..1.1 in arbitrary units, from the skull base
        upwards; rows run from front to back, columns from the patient's right to the left.
    """
    require_finding(finding, BRAIN_MR_FINDINGS)
    if contrast not in MR_CONTRASTS:
        raise ValueError(f"unknown contrast {contrast!r}: expected one of {MR_CONTRASTS}")
    head = _Head.draw(patient or rng)
    space = _space(shape, Pose.draw(rng), (-0.48, 0.78))

    def paint(space: _Space, textures: tuple[Field, ...]) -> Field:
        return _brightness(head, space, textures, finding, _BRIGHTNESS[contrast])

    return _scanned(rng, _in_slabs(space, _head_textures(head, shape), paint))


def _brightness(
    head: _Head, space: _Space, textures: tuple[Field, ...], finding: str, tone: tuple[float, ...]
) -> Field:
    """Signal without shading and noise; ``tone`` is a row of `_BRIGHTNESS`."""
    folds, outline, warp = textures
    t = _head_tissues(head, space, folds, outline)
    values: Field = np.zeros(folds.shape, dtype=np.float32)
    values = blend(values, tone[_SCALP], t.scalp)
    values = blend(values, 0.05, t.skull)
    values = blend(values, tone[_MARROW], np.float32(0.6) * t.skull * t.marrow)
    values = blend(values, tone[_WHITE], t.inside)
    values = blend(values, tone[_GREY], t.cortex)
    values = blend(values, tone[_FLUID], np.float32(0.9) * t.sulci)
    values = blend(values, tone[_FLUID], t.ventricles)
    values = blend(values, 0.30, np.float32(0.5) * t.falx)
    values = blend(values, 0.08, np.float32(0.8) * t.base)
    values = blend(values, tone[_FLUID], t.eyes * t.scalp)
    values = blend(values, 0.02, t.air * t.scalp)
    if finding == "tumour":
        values = blend(values, tone[_OEDEMA], soft(_lump(head, space, 1.4, warp), 0.08) * t.inside)
        values = blend(values, tone[_LUMP], soft(_lump(head, space, 1.0, warp), 0.03) * t.inside)
    return values


def _scanned(rng: np.random.Generator, values: Field) -> Field:
    """Shading of the receive coil and Rician noise."""
    shading = 1 + np.float32(0.10) * smooth_noise(rng, values.shape, 3)
    sharp = np.asarray(ndimage.gaussian_filter(values * shading, (0, 0.4, 0.4)), dtype=np.float32)
    real, imaginary = (
        np.float32(0.018) * rng.standard_normal(values.shape, dtype=np.float32) for _ in range(2)
    )
    return np.asarray(np.hypot(sharp + real, imaginary), dtype=np.float32)
