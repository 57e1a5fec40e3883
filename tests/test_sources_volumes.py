"""NIfTI and NRRD files."""

from __future__ import annotations

import bz2
import gzip
import struct
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.errors import FileRejectedError
from indexer.sources.formats import Format
from indexer.sources.volumes import VolumeFile, read_volume
from indexer.types import ImagePixels, Reason, VolumePixels

PLENTY = 1 << 24
RAS = np.diag([0.5, 0.6, 3.0, 1.0])
RAS[:3, 3] = (10.0, 20.0, 30.0)
BLOCK = np.arange(4 * 5 * 6).reshape(4, 5, 6)
"""Columns, rows, slices: as both formats index."""


def nifti(
    values: npt.NDArray[Any],
    affine: npt.NDArray[np.float64] | None = RAS,
    *,
    slope: tuple[float, float] | None = None,
    version: int = 1,
) -> bytes:
    kind = nibabel.Nifti1Image if version == 1 else nibabel.Nifti2Image
    image = kind(values, affine)
    if slope is not None:
        image.header.set_slope_inter(*slope)
    return bytes(image.to_bytes())


def nrrd(values: npt.NDArray[Any], encoding: str = "raw", **fields: str) -> bytes:
    """An NRRD file written by hand; the array's first axis is the fastest."""
    kind = {"u1": "uchar", "i2": "short", "u2": "unsigned short", "f4": "float", "f8": "double"}
    raw = values.tobytes("F")
    packed = {"raw": bytes, "gzip": gzip.compress, "bzip2": bz2.compress}.get(encoding)
    text = " ".join(str(x) for x in values.ravel("F")).encode()
    header = {
        "type": kind[values.dtype.str[1:]],
        "dimension": str(values.ndim),
        "sizes": " ".join(map(str, values.shape)),
        "endian": "little",
        "encoding": encoding,
        **{name.replace("_", " "): value for name, value in fields.items()},
    }
    lines = "\n".join(f"{name}: {value}" for name, value in header.items())
    return f"NRRD0004\n{lines}\n\n".encode() + (packed(raw) if packed else text)


def volume_of(file: VolumeFile) -> VolumePixels:
    (pixels,) = file.volumes
    assert isinstance(pixels, VolumePixels)
    return pixels


def image_of(file: VolumeFile) -> ImagePixels:
    (pixels,) = file.volumes
    assert isinstance(pixels, ImagePixels)
    return pixels


def rejected(data: bytes, fmt: Format, max_voxels: int = PLENTY) -> Reason:
    with pytest.raises(FileRejectedError) as caught:
        read_volume(data, fmt, max_voxels)
    return caught.value.reason


def place(volume: VolumePixels, k: int, j: int, i: int) -> npt.NDArray[np.float64]:
    """Where a voxel lies, by the formula of `VolumePixels`."""
    axes = np.array(volume.orientation).reshape(3, 3)
    steps = axes * np.array(volume.spacing)[:, None]
    return np.asarray(volume.origin) + np.array([k, j, i]) @ steps


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_nifti_comes_as_slices_rows_columns(version: int, pack: Any, tmp_path: Path) -> None:
    data = pack(nifti(BLOCK.astype(np.int16), version=version))
    (tmp_path / "v").write_bytes(data)
    for source in (data, tmp_path / "v"):
        file = read_volume(source, Format.NIFTI, PLENTY)
        volume = volume_of(file)
        assert volume.values.dtype == np.int16
        assert np.array_equal(volume.values, BLOCK.T)
        assert volume.spacing == pytest.approx((3.0, 0.6, 0.5))
        assert not volume.sheared
        assert (file.total, file.sampled, file.is_label_map) == (1, (0,), False)


def test_nifti_places_are_turned_from_ras_to_lps() -> None:
    turn = np.array([[0.36, 0.48, -0.8], [-0.8, 0.6, 0.0], [0.48, 0.64, 0.6]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([0.5, 0.6, 3.0])
    affine[:3, 3] = (10, 20, 30)
    volume = volume_of(read_volume(nifti(BLOCK.astype(np.uint8), affine), Format.NIFTI, PLENTY))
    in_ras = affine @ (3, 1, 2, 1)
    expected = in_ras[:3] * (-1, -1, 1)
    assert place(volume, 2, 1, 3) == pytest.approx(expected, abs=1e-4)


def test_a_tilted_gantry_is_noticed() -> None:
    affine = RAS.copy()
    affine[1, 2] = 0.5
    volume = volume_of(read_volume(nifti(BLOCK.astype(np.uint8), affine), Format.NIFTI, PLENTY))
    assert volume.sheared


def test_a_header_without_sensible_geometry_counts_as_one_millimetre() -> None:
    data = bytearray(nifti(BLOCK.astype(np.uint8)))
    data[280:328] = struct.pack("<12f", *[float("nan")] * 12)  # the sform
    data[252:254] = struct.pack("<h", 0)  # no qform
    data[254:256] = struct.pack("<h", 1)
    volume = volume_of(read_volume(bytes(data), Format.NIFTI, PLENTY))
    assert volume.spacing == (1.0, 1.0, 1.0)
    assert volume.origin == (0.0, 0.0, 0.0)


def test_scaling_is_applied_and_whole_numbers_stay_small() -> None:
    raw = BLOCK.astype(np.int16)
    hounsfield = volume_of(read_volume(nifti(raw, slope=(2, -1024)), Format.NIFTI, PLENTY))
    assert hounsfield.values.dtype == np.int16
    assert np.array_equal(hounsfield.values, raw.T * 2 - 1024)
    fractions = volume_of(read_volume(nifti(raw, slope=(0.5, 0)), Format.NIFTI, PLENTY))
    assert fractions.values.dtype == np.float32
    assert np.array_equal(fractions.values, raw.T * 0.5)
    beyond = raw.astype(np.int32) + 40_000
    assert volume_of(read_volume(nifti(beyond), Format.NIFTI, PLENTY)).values.dtype == np.float32


def test_gaps_are_filled_and_nothing_but_gaps_is_blank() -> None:
    values = BLOCK.astype(np.float64) + 0.5
    values[0, 0, 0], values[1, 0, 0], values[2, 0, 0] = np.nan, np.inf, 1e300
    read = volume_of(read_volume(nifti(values), Format.NIFTI, PLENTY)).values
    assert np.isfinite(read).all()
    assert read[0, 0].tolist() == [1.5, 1.5, 1.5, 90.5]  # the smallest finite one is 1.5
    assert rejected(nifti(values * np.nan), Format.NIFTI) is Reason.BLANK


def test_one_slice_is_an_image() -> None:
    for values in (BLOCK[..., 0], BLOCK[..., :1]):
        image = image_of(read_volume(nifti(values.astype(np.int16)), Format.NIFTI, PLENTY))
        assert np.array_equal(image.values, BLOCK[..., 0].T)
        assert image.spacing == pytest.approx((0.6, 0.5))
        assert image.aspect == pytest.approx(1.2)


def test_of_a_series_four_volumes_are_taken_evenly() -> None:
    series = np.stack([BLOCK + 1000 * t for t in range(10)], axis=-1).astype(np.int16)
    for data in (nifti(series), gzip.compress(nifti(series))):
        file = read_volume(data, Format.NIFTI, PLENTY)
        assert (file.total, file.sampled) == (10, (0, 3, 6, 9))
        for pixels, t in zip(file.volumes, file.sampled, strict=True):
            assert np.array_equal(pixels.values, series[..., t].T)
    assert read_volume(nifti(series), Format.NIFTI, 2 * BLOCK.size).sampled == (0, 9)


def test_colour_slices_are_read_and_colour_volumes_are_not() -> None:
    colour = np.zeros((4, 5), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    colour["R"], colour["B"] = BLOCK[..., 0], 7
    image = image_of(read_volume(nifti(colour), Format.NIFTI, PLENTY))
    assert image.values.dtype == np.uint8
    assert np.array_equal(image.values[..., 0], BLOCK[..., 0].T)
    deep = np.zeros((4, 5, 6), dtype=colour.dtype)
    assert rejected(nifti(deep), Format.NIFTI) is Reason.UNSUPPORTED_PHOTOMETRIC
    waves = BLOCK.astype(np.complex64)
    assert rejected(nifti(waves), Format.NIFTI) is Reason.UNSUPPORTED_PHOTOMETRIC
    vectors = np.zeros((4, 5, 6, 1, 3), np.float32)
    assert rejected(nifti(vectors), Format.NIFTI) is Reason.UNSUPPORTED_PHOTOMETRIC


def test_headers_are_checked_before_the_data() -> None:
    data = bytearray(nifti(BLOCK.astype(np.uint8)))
    assert rejected(bytes(data), Format.NIFTI, BLOCK.size - 1) is Reason.TOO_LARGE
    data[40:48] = struct.pack("<4h", 3, 30_000, 30_000, 30_000)
    assert rejected(gzip.compress(bytes(data)), Format.NIFTI) is Reason.TOO_LARGE
    data[40:56] = struct.pack("<8h", 4, 4, 5, 6, 30_000, 1, 1, 1)
    assert rejected(gzip.compress(bytes(data)), Format.NIFTI, 1000) is Reason.TOO_LARGE
    data[40:48] = struct.pack("<4h", 3, -4, 5, 6)
    assert rejected(bytes(data), Format.NIFTI) is Reason.HEADER_CORRUPT
    data[344:348] = b"ni1\0"
    assert rejected(bytes(data), Format.NIFTI) is Reason.NO_PIXEL_DATA


def test_cut_volumes_are_truncated() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (20, 20, 20)).astype(np.uint8)
    whole = nifti(noise)
    assert rejected(whole[:-1], Format.NIFTI) is Reason.TRUNCATED
    packed = gzip.compress(whole)
    assert rejected(packed[: len(packed) // 2], Format.NIFTI) is Reason.TRUNCATED
    assert rejected(whole[:100], Format.NIFTI) is Reason.TRUNCATED
    for encoding in ("raw", "gzip", "bzip2"):
        data = nrrd(noise, encoding)
        assert rejected(data[: len(data) // 2], Format.NRRD) is Reason.TRUNCATED


@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2", "ascii"])
def test_nrrd_comes_as_slices_rows_columns(encoding: str) -> None:
    data = nrrd(
        BLOCK.astype(np.int16),
        encoding,
        space="left-posterior-superior",
        space_directions="(0.5,0,0) (0,0.6,0) (0,0,3)",
        space_origin="(1,2,3)",
    )
    volume = volume_of(read_volume(data, Format.NRRD, PLENTY))
    assert np.array_equal(volume.values, BLOCK.T)
    assert volume.spacing == pytest.approx((3.0, 0.6, 0.5))
    assert volume.orientation == (0, 0, 1, 0, 1, 0, 1, 0, 0)
    assert volume.origin == (1, 2, 3)


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        ("left-posterior-superior", (2.5, 5.0, 12.0)),
        ("right-anterior-superior", (-2.5, -5.0, 12.0)),
        ("RAS", (-2.5, -5.0, 12.0)),
        ("left-anterior-superior", (2.5, -5.0, 12.0)),
    ],
)
def test_nrrd_spaces_are_turned_to_lps(space: str, expected: tuple[float, ...]) -> None:
    data = nrrd(
        BLOCK.astype(np.uint8),
        space=space,
        space_directions="(0.5,0,0) (0,1,0) (0,0,3)",
        space_origin="(1,2,3)",
    )
    assert place(volume_of(read_volume(data, Format.NRRD, PLENTY)), 3, 3, 3) == pytest.approx(
        expected
    )


def test_nrrd_without_space_has_its_spacings() -> None:
    data = nrrd(BLOCK.astype(np.uint8), spacings="0.5 0.6 3")
    assert volume_of(read_volume(data, Format.NRRD, PLENTY)).spacing == (3.0, 0.6, 0.5)
    flat = nrrd(BLOCK[..., 0].astype(np.float32), spacings="0.5 0.6")
    image = image_of(read_volume(flat, Format.NRRD, PLENTY))
    assert np.array_equal(image.values, BLOCK[..., 0].T)
    assert image.spacing == (0.6, 0.5)


def test_nrrd_lists_of_volumes_may_come_first_or_last() -> None:
    directions = "(1,0,0) (0,1,0) (0,0,1)"
    parts = [BLOCK + 200 * t for t in range(3)]
    first = nrrd(
        np.stack(parts).astype(np.int16),
        space="LPS",
        kinds="list domain domain domain",
        space_directions=f"none {directions}",
    )
    last = nrrd(
        np.stack(parts, axis=-1).astype(np.int16),
        "gzip",
        space="LPS",
        kinds="domain domain domain list",
        space_directions=f"{directions} none",
    )
    for data in (first, last):
        file = read_volume(data, Format.NRRD, PLENTY)
        assert (file.total, file.sampled) == (3, (0, 1, 2))
        for pixels, part in zip(file.volumes, parts, strict=True):
            assert np.array_equal(pixels.values, part.T)


def test_nrrd_colour_slices_are_read() -> None:
    colour = np.stack([BLOCK[..., 0], BLOCK[..., 1], BLOCK[..., 2]]).astype(np.uint8)
    image = image_of(read_volume(nrrd(colour, kinds="RGB-color domain domain"), Format.NRRD, 999))
    assert np.array_equal(image.values, colour.T)


def test_nrrd_voxels_in_another_file_are_not_looked_for() -> None:
    data = nrrd(BLOCK.astype(np.uint8), data_file="/etc/passwd")
    assert rejected(data, Format.NRRD) is Reason.NO_PIXEL_DATA


def test_nrrd_bombs_stay_packed() -> None:
    data = nrrd(BLOCK.astype(np.uint8), "gzip").replace(b"4 5 6", b"40000 50000 60000")
    assert rejected(data, Format.NRRD) is Reason.TOO_LARGE


def test_label_maps_are_guessed_from_name_and_content() -> None:
    labels = nifti((BLOCK % 3).astype(np.uint8))
    for name in (
        "ct_label.nii.gz",
        "ct-label.nii",
        "BraTS_001_seg.nii.gz",
        "mask.nii",
        "label1.nii",
    ):
        assert read_volume(labels, Format.NIFTI, PLENTY, name=name).is_label_map, name
    for name in ("ct.nii.gz", "labelled_ct.nii", "segovia.nii", ""):
        assert not read_volume(labels, Format.NIFTI, PLENTY, name=name).is_label_map, name
    many = nifti(BLOCK.astype(np.uint8))
    fractions = nifti((BLOCK % 3 / 2).astype(np.float32))
    assert not read_volume(many, Format.NIFTI, PLENTY, name="ct_label.nii").is_label_map
    assert not read_volume(fractions, Format.NIFTI, PLENTY, name="ct_mask.nii").is_label_map


@settings(max_examples=150)
@given(st.data(), st.sampled_from(["nii", "nii.gz", "nrrd", "nrrd-gz"]), st.binary(max_size=6))
def test_damage_is_always_a_rejection(data: st.DataObject, kind: str, patch: bytes) -> None:
    values = BLOCK.astype(np.int16)
    directions = "(1,0,0) (0,1,0) (0,0,1)"
    whole = {
        "nii": nifti(values),
        "nii.gz": gzip.compress(nifti(values), mtime=0),
        "nrrd": nrrd(values, space="LPS", space_directions=directions, space_origin="(0,0,0)"),
        "nrrd-gz": nrrd(values, "gzip", kinds="domain domain domain", byte_skip="0"),
    }[kind]
    at = data.draw(st.integers(0, min(len(whole), 400) - 1))
    damaged = whole[:at] + patch + whole[at + len(patch) :]
    fmt = Format.NIFTI if kind.startswith("nii") else Format.NRRD
    try:
        file = read_volume(damaged, fmt, 1 << 16, name="a_mask")
    except FileRejectedError as error:
        assert error.detail
    else:
        assert all(np.isfinite(pixels.values).all() for pixels in file.volumes)


def test_the_source_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "v.nii.gz"
    path.write_bytes(gzip.compress(nifti(BLOCK.astype(np.uint8))))
    read_volume(path, Format.NIFTI, PLENTY)
    path.unlink()  # an open file would be a ResourceWarning, which is an error here
    with pytest.raises(FileRejectedError) as caught:
        read_volume(path, Format.NIFTI, PLENTY)
    assert caught.value.reason is Reason.UNREADABLE
