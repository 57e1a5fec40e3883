"""NumPy archives as MedMNIST distributes them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from indexer.errors import FileRejectedError
from indexer.sources.arrays import ArrayRow, close_arrays, describe_npz, read_npz_rows
from indexer.types import ImagePixels, Reason, VolumePixels

Save = Callable[..., None]
GREY = np.random.default_rng(0).integers(0, 255, (30, 6, 8)).astype(np.uint8)
CLASSES = np.array(["cat", "dog", "owl"])
BOTH = pytest.mark.parametrize("save", [np.savez, np.savez_compressed])


@pytest.fixture(autouse=True)
def _closed_arrays() -> Iterator[None]:
    yield
    close_arrays()


def all_rows(path: Path, chunk: int = 7) -> list[ArrayRow]:
    info = describe_npz(path)
    starts = range(0, info.rows, chunk)
    return [row for start in starts for row in read_npz_rows(path, info, start, start + chunk)]


def values_of(row: ArrayRow) -> npt.NDArray[Any]:
    assert row.pixels is not None
    return row.pixels.values


def rejected(path: Path) -> Reason:
    with pytest.raises(FileRejectedError) as caught:
        all_rows(path)
    return caught.value.reason


@BOTH
def test_images_with_labels_and_classes(tmp_path: Path, save: Save) -> None:
    path = tmp_path / "a.npz"
    labels = np.arange(30) % 4
    save(path, labels=labels, images=GREY, classes=CLASSES)
    info = describe_npz(path)
    assert info.classes == ("cat", "dog", "owl")
    (images,) = info.sets
    assert (images.images, images.labels, images.n, images.split) == ("images", "labels", 30, "")
    assert images.row_bytes == 48
    rows = all_rows(path)
    assert [row.row for row in rows] == list(range(30))
    assert np.array_equal([values_of(row) for row in rows], GREY)
    assert values_of(rows[0]).dtype == np.float32
    names = [row.labels["class"] for row in rows[:4]]
    assert names == [("cat",), ("dog",), ("owl",), ("3",)]  # beyond the classes: as it is


@BOTH
def test_medmnist_splits_are_numbered_through(tmp_path: Path, save: Save) -> None:
    path = tmp_path / "pathmnist.npz"
    parts = {"train": GREY[:20], "val": GREY[20:23], "test": GREY[23:]}
    arrays = {f"{split}_images": part for split, part in parts.items()}
    arrays |= {f"{s}_labels": np.full((len(p), 1), len(p)) for s, p in parts.items()}
    save(path, **arrays)
    rows = all_rows(path)
    assert np.array_equal([values_of(row) for row in rows], GREY)
    assert [row.split for row in rows] == ["train"] * 20 + ["val"] * 3 + ["test"] * 7
    assert [row.labels["class"] for row in (rows[0], rows[20], rows[29])] == [
        ("20",),
        ("3",),
        ("7",),
    ]
    across = read_npz_rows(path, describe_npz(path), 18, 25)
    assert [row.row for row in across] == list(range(18, 25))
    assert np.array_equal([values_of(row) for row in across], GREY[18:25])


@pytest.mark.parametrize("key", ["multilabel", "labels"])
def test_yes_or_no_columns_become_findings(tmp_path: Path, key: str) -> None:
    path = tmp_path / "chest.npz"
    yes = np.array([[0, 0, 0], [1, 0, 1]], np.uint8)
    np.savez(path, images=GREY[:2], classes=CLASSES, **{key: yes})
    assert [row.labels for row in all_rows(path)] == [
        {"finding": ("none",)},
        {"finding": ("cat", "owl")},
    ]


def test_labels_may_be_missing_or_text(tmp_path: Path) -> None:
    np.savez(tmp_path / "bare.npz", images=GREY)
    assert all_rows(tmp_path / "bare.npz")[0].labels == {}
    np.savez(tmp_path / "text.npz", images=GREY[:1], labels=np.array(["fox"]))
    assert all_rows(tmp_path / "text.npz")[0].labels == {"class": ("fox",)}


def test_shapes_decide_between_grey_colour_and_cubes(tmp_path: Path) -> None:
    def pixels(values: npt.NDArray[Any]) -> object:
        np.savez(tmp_path / "x.npz", images=values)
        close_arrays()
        return all_rows(tmp_path / "x.npz")[0].pixels

    colour = np.random.default_rng(1).integers(0, 255, (2, 6, 8, 3)).astype(np.uint8)
    rgb = pixels(colour)
    assert isinstance(rgb, ImagePixels)
    assert np.array_equal(rgb.values, colour[0])
    grey = pixels(np.repeat(GREY[..., None], 3, axis=-1))
    assert isinstance(grey, ImagePixels)
    assert np.array_equal(grey.values, GREY[0])
    one_channel = pixels(GREY[..., None])
    assert isinstance(one_channel, ImagePixels)
    assert one_channel.values.shape == (6, 8)
    cube = pixels(GREY.reshape(3, 10, 6, 8))
    assert isinstance(cube, VolumePixels)
    assert cube.values.dtype == np.int16
    assert np.array_equal(cube.values, GREY[:10])
    deep = pixels(GREY.astype(">f4") / 7)
    assert isinstance(deep, ImagePixels)
    assert np.array_equal(deep.values, (GREY[0].astype(np.float32) / 7))


@BOTH
def test_rows_can_be_read_in_any_order(tmp_path: Path, save: Save) -> None:
    path = tmp_path / "a.npz"
    save(path, images=GREY)
    info = describe_npz(path)
    for start, stop in ((20, 25), (25, 30), (3, 4), (0, 30), (29, 40)):
        rows = read_npz_rows(path, info, start, stop)
        assert np.array_equal([values_of(row) for row in rows], GREY[start:stop])
    assert read_npz_rows(path, info, 30, 40) == []


def test_column_major_arrays_are_read_right(tmp_path: Path) -> None:
    path = tmp_path / "f.npz"
    np.savez(path, images=np.asfortranarray(GREY))
    assert np.array_equal([values_of(row) for row in all_rows(path)], GREY)


def test_chunks_in_order_unpack_the_array_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, images=GREY)
    opened = []
    real = zipfile.ZipFile.open

    def counting(self: zipfile.ZipFile, *args: Any, **kwargs: Any) -> Any:
        opened.append(args)
        return real(self, *args, **kwargs)

    monkeypatch.setattr(zipfile.ZipFile, "open", counting)
    assert len(all_rows(path, chunk=2)) == 30
    assert len(opened) == 2  # one to describe, one to read


def test_a_replaced_archive_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, images=GREY)
    all_rows(path)
    np.savez(path, images=GREY[::-1][:10])
    assert np.array_equal([values_of(row) for row in all_rows(path)], GREY[::-1][:10])


def test_a_row_of_gaps_does_not_spoil_the_others(tmp_path: Path) -> None:
    values = GREY[:3].astype(np.float32)
    values[1] = np.nan
    np.savez(tmp_path / "a.npz", images=values)
    rows = all_rows(tmp_path / "a.npz")
    assert [row.reason for row in rows] == [None, Reason.BLANK, None]
    assert rows[1].pixels is None


def test_archives_of_something_else_are_rejected(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, weights=GREY)
    assert rejected(path) is Reason.NO_PIXEL_DATA
    np.savez(path, images=GREY[:0])
    assert rejected(path) is Reason.NO_PIXEL_DATA
    np.savez(path, images=np.zeros((5, 7)))
    assert rejected(path) is Reason.UNSUPPORTED_PHOTOMETRIC
    np.savez(path, images=GREY, labels=np.zeros(7))
    assert rejected(path) is Reason.HEADER_CORRUPT
    path.write_bytes(path.read_bytes()[:-40])
    assert rejected(path) is Reason.ARCHIVE_CORRUPT
    path.unlink()
    assert rejected_to_describe(path) is Reason.UNREADABLE


def rejected_to_describe(path: Path) -> Reason:
    with pytest.raises(FileRejectedError) as caught:
        describe_npz(path)
    return caught.value.reason


def test_python_objects_are_never_loaded(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    for arrays in (
        {"images": np.array([{}, {}], dtype=object)},
        {"images": GREY[:2], "labels": np.array(["a", {}], dtype=object)},
        {"images": GREY[:2], "classes": np.array([{}], dtype=object)},
    ):
        np.savez(path, **arrays)
        close_arrays()
        assert rejected(path) is Reason.HEADER_CORRUPT


def test_headers_that_promise_more_than_there_is_are_truncated(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": "|u1", "fortran_order": False, "shape": (10**6, 1000, 1000)}
    )
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("images.npy", buffer.getvalue() + b"\0" * 1000)
    assert rejected(tmp_path / "a.npz") is Reason.TRUNCATED


def test_a_header_that_is_not_python_is_corrupt(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=GREY)
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        data = archive.read("images.npy")
    for damage in (b"(((((((", b"'", b"       "):
        with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
            archive.writestr("images.npy", data.replace(b"{'descr", damage))
        assert rejected(tmp_path / "b.npz") is Reason.HEADER_CORRUPT
