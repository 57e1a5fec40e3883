"""Originals over DICOMweb (PS3.18 section 10.4): objects, metadata, frames, without who it is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
from pydicom import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from api.service.dicomweb.originals_kept import Kept
from indexer.config import Settings
from indexer.dicom.confidential import cleaned, identified
from indexer.dicom.json_model import JsonSet, json_model
from indexer.dicom.opening import number_of, tolerant
from indexer.dicom.stored import (
    Header,
    as_file,
    decoded_frames,
    frames_in_place,
    lone_frame,
    native_frames,
    read_header,
    uncompress,
)
from indexer.errors import (
    FileRejectedError,
    ItemNotFoundError,
    OriginalGoneError,
    QueryError,
    SyntopyError,
)
from indexer.library import Library

NATIVE = str(ExplicitVRLittleEndian)
_PIXELS, _SYNTAXES, _RETRIEVE_URL = "7FE00010", "00083002", "00081190"

Wanted = Callable[[str], bool | None]
"""From the transfer syntax of an instance to whether it is given as it is (True), or in Explicit VR
Little Endian (False); None where neither is wanted."""


class NotGivenError(QueryError):
    """What is asked for exists, but cannot be given in the form in which it is asked for."""

    code = "not_acceptable"


def compressed(syntax: str) -> bool:
    """Whether pixels in a transfer syntax have to be decoded to be read."""
    uid = UID(syntax)
    return bool(syntax) and uid.is_transfer_syntax and uid.is_compressed


class Wado:
    """Gives what the originals of a library hold; without ``--phi keep`` nothing tells who it is.

    Args:
        library: whose.
        settings: limits of files and pixels.
        root: URL of the DICOMweb service, without a slash at its end.
    """

    def __init__(self, library: Library, settings: Settings, root: str) -> None:
        self._keep = library.config.phi == "keep"
        self._root = root
        self._file_bytes = settings.max_file_mb << 20
        self._pixel_bytes = settings.max_pixel_mb << 20

    def givable(self, found: Sequence[Kept], wanted: Wanted) -> list[Kept]:
        """Those of the instances that can be given as files.

        Raises:
            NotGivenError: none can; they are none, are words alone, or in no syntax that is wanted.
            OriginalGoneError: none can; their files are gone, or are not what they were.
        """
        return _those(found, lambda kept: self._check(kept, wanted))

    def readable(self, found: Sequence[Kept]) -> list[Kept]:
        """Those of the instances whose headers can be given.

        Raises:
            NotGivenError, OriginalGoneError: none can, as `givable`.
        """
        return _those(found, self._check_header)

    def _check_header(self, kept: Kept) -> None:
        _check_dicom(kept)
        kept.check(self._file_bytes)

    def _check(self, kept: Kept, wanted: Wanted) -> None:
        _check_dicom(kept)
        if not (kept.has_pixels or self._keep):
            raise NotGivenError(
                f"instance {kept.identity.instance} has no pixels: it is not given without what "
                "may tell who the patient is; its metadata are"
            )
        if wanted(kept.syntax) is None:
            raise NotGivenError(
                f"instance {kept.identity.instance} is in transfer syntax {kept.syntax}: ask for "
                f"that, for {NATIVE}, or with transfer-syntax=* for whatever it is in"
            )
        kept.check(self._file_bytes)

    def file(self, kept: Kept, wanted: Wanted) -> tuple[bytes, str]:
        """A whole DICOM file, and its transfer syntax.

        Raises:
            NotGivenError: its pixels cannot be decoded.
            OriginalGoneError: the file is gone, or is not what it was.
        """
        with _readable(kept):
            opened = kept.opened(self._file_bytes)
            ds = self._cleaned(opened.dataset, kept)
            syntax = str(opened.transfer_syntax or "")
            if not (compressed(syntax) and wanted(syntax)):
                uncompress(opened, self._pixel_bytes)
                syntax = NATIVE
            return as_file(ds, UID(syntax)), syntax

    def metadata(self, kept: Kept) -> JsonSet:
        """The header of an instance in the DICOM JSON model, with the address of its pixels.

        Raises:
            NotGivenError: it is no DICOM file.
            OriginalGoneError: its file is gone, or is not what it was.
        """
        _check_dicom(kept)
        with _readable(kept), kept.stream(self._file_bytes) as stream:
            header = read_header(stream)
            has_pixels = stream.read(4)[:2] == b"\xe0\x7f" or "Rows" in header.dataset
            model = json_model(self._cleaned(header.dataset, kept))
        model[_RETRIEVE_URL] = {"vr": "UR", "Value": [self.url(kept)]}
        if kept.syntax:
            model[_SYNTAXES] = {"vr": "UI", "Value": [kept.syntax]}
        if has_pixels:
            uri = f"{self.url(kept)}/bulkdata/{_PIXELS}"
            model[_PIXELS] = {"vr": "OW", "BulkDataURI": uri}
        return dict(sorted(model.items()))

    def frames(self, kept: Kept, numbers: Sequence[int], *, native: bool) -> list[bytes]:
        """Frames by their numbers, from one; none for all of them.

        Args:
            kept: the instance.
            numbers: which; in any order.
            native: little endian, and what is compressed is decoded, colour as RGB; what is not is
                as the metadata say, such as colour by plane. Else as they are stored.

        Raises:
            NotGivenError: they cannot be decoded, or it is no DICOM file.
            ItemNotFoundError: it has no such frame.
            OriginalGoneError: its file is gone, or is not what it was.
        """
        _check_dicom(kept)
        if not kept.has_pixels:
            raise ItemNotFoundError(f"instance {kept.identity.instance} has no frames")
        with _readable(kept), kept.stream(self._file_bytes) as stream:
            header = read_header(stream)
            indices = _indices(numbers, header.frames)
            self._check_size(header, len(indices))
            if native and compressed(kept.syntax):
                return [self._decoded(kept, stream, header, index) for index in indices]
            stored = frames_in_place(stream, header, indices)
            if stored is not None:
                return list(stored)
            opened = kept.opened(self._file_bytes)
            stored = native_frames(opened, indices)
            if stored is not None:
                return list(stored)
            frames = decoded_frames(opened, indices, self._pixel_bytes)
            return [_packed(frame, opened.dataset) for frame in frames]

    def _check_size(self, header: Header, frames: int) -> None:
        said = [number_of(header.dataset, k) or 0 for k in ("Rows", "Columns", "BitsAllocated")]
        samples = number_of(header.dataset, "SamplesPerPixel") or 1
        size = math.prod(said) * samples / 8
        if size * frames > self._pixel_bytes:
            most = max(1, int(self._pixel_bytes / size))
            raise NotGivenError(f"{frames:,} frames are too much; ask for {most:,} at once")

    def _decoded(self, kept: Kept, stream: BinaryIO, header: Header, index: int) -> bytes:
        alone = lone_frame(stream, header, index)
        if alone is not None:
            return next(decoded_frames(alone, [0], self._pixel_bytes)).tobytes()
        opened = kept.opened(self._file_bytes)
        return next(decoded_frames(opened, [index], self._pixel_bytes)).tobytes()

    def url(self, kept: Kept) -> str:
        """Of an instance."""
        of = kept.identity
        return f"{self._root}/studies/{of.study}/series/{of.series}/instances/{of.instance}"

    def _cleaned(self, ds: Dataset, kept: Kept) -> Dataset:
        return (identified if self._keep else cleaned)(ds, kept.identity)


def _those(found: Sequence[Kept], check: Callable[[Kept], None]) -> list[Kept]:
    """What passes a check; its first complaint where nothing does."""
    passed, trouble = list[Kept](), list[SyntopyError]()
    for kept in found:
        try:
            check(kept)
        except (NotGivenError, OriginalGoneError) as error:
            trouble.append(error)
        else:
            passed.append(kept)
    if not passed:
        raise trouble[0]
    return passed


def _check_dicom(kept: Kept) -> None:
    if not kept.is_dicom:
        raise NotGivenError(
            f"instance {kept.identity.instance} was no DICOM file: ask for it rendered"
        )


@contextmanager
def _readable(kept: Kept) -> Iterator[None]:
    """What cannot be read of an original is told as something that cannot be given."""
    try:
        with tolerant(set()):
            yield
    except FileRejectedError as error:
        raise NotGivenError(
            f"instance {kept.identity.instance} cannot be given so: {error.detail}"
        ) from error


def _indices(numbers: Sequence[int], frames: int) -> Sequence[int]:
    wrong = next((n for n in numbers if not 1 <= n <= frames), None)
    if wrong is not None:
        raise ItemNotFoundError(f"the instance has frames 1 to {frames}, not {wrong}")
    return [n - 1 for n in numbers] or range(frames)


def _packed(frame: np.ndarray, ds: Dataset) -> bytes:
    """A frame as bytes; of one bit a pixel eight of them in each, the first one lowest."""
    if ds.get("BitsAllocated") == 1:
        return np.packbits(frame.ravel() != 0, bitorder="little").tobytes()
    return frame.tobytes()
