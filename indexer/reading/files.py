"""One file in, one result out: what a worker process does first. Never raises for a bad file."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from pathlib import Path

from indexer.errors import FileRejectedError
from indexer.reading.dicom import read_dicom
from indexer.reading.drafts import FileResult, FileTask, ReadOptions, refused
from indexer.reading.pictures import read_array_rows, read_picture, read_volume_file
from indexer.sources.discover import SourceFile
from indexer.sources.formats import Format, claims_to_be_image, may_be_bare_dicom, sniff
from indexer.types import Outcome, Reason

_DICOM_NAMES = (".dcm", ".dicom", ".ima")
_SETTLE_SECONDS = 0.5


def read_file(task: FileTask, options: ReadOptions) -> FileResult:
    """Read one file completely: classify, decode, hash, prepare for the encoders.

    A single-frame CT, MR or PET slice comes back ``waiting`` for its series (see `read_series`).
    """
    sha256 = ""
    try:
        data = _settled_bytes(task.source, options.max_file_bytes)
        sha256 = hashlib.sha256(data).hexdigest()
        result = _read(task, data, sha256, options)
    except FileRejectedError as error:
        result = refused(task, error.reason, error.detail)
    except MemoryError:
        result = refused(task, Reason.OUT_OF_MEMORY, "reading it needs more memory than allowed")
    return replace(result, sha256=sha256, rows=task.rows, last=task.last)


def _settled_bytes(source: SourceFile, limit: int) -> bytes:
    """The content, read again once if it was being written (F10)."""
    data = source.read_bytes(limit)
    if source.member is not None or not source.mtime_ns:
        return data
    if (len(data), _mtime(source)) == (source.size, source.mtime_ns):
        return data
    time.sleep(_SETTLE_SECONDS)
    again = source.read_bytes(limit)
    if again != data:
        raise FileRejectedError(Reason.UNSTABLE, "the file is still being written")
    return again


def _mtime(source: SourceFile) -> int:
    try:
        return Path(source.path).stat().st_mtime_ns
    except OSError as error:
        raise FileRejectedError(Reason.UNREADABLE, "the file vanished while being read") from error


def _skipped(task: FileTask, reason: Reason, detail: str) -> FileResult:
    return FileResult(task.source, Outcome.SKIPPED, reason=reason, detail=detail)


def _read(task: FileTask, data: bytes, sha256: str, options: ReadOptions) -> FileResult:
    head, name = data[:1024], task.source.name
    fmt = sniff(head, name)
    if fmt is Format.DICOM:
        return read_dicom(task, data, sha256, options, bare=False)
    if name.lower().endswith(_DICOM_NAMES) and fmt is not Format.OTHER:
        return refused(task, Reason.NOT_DICOM, f"named as DICOM, but the content is {fmt.value}")
    if fmt is Format.TABLE:
        return _skipped(task, Reason.METADATA_TABLE, "a table; hand it in with --metadata")
    if fmt is Format.OTHER:
        return _read_unknown(task, data, sha256, options)
    return _read_picture(task, fmt, data, sha256, options)


def _read_picture(
    task: FileTask, fmt: Format, data: bytes, sha256: str, options: ReadOptions
) -> FileResult:
    if fmt is Format.NPZ and task.source.member is not None:
        return refused(
            task, Reason.ARCHIVE_NESTED, "a NumPy archive inside an archive; unpack the outer one"
        )
    if fmt is Format.NPZ:
        return read_array_rows(task, sha256, options)
    if fmt in (Format.NIFTI, Format.NRRD):
        return read_volume_file(task, fmt, data, sha256, options)
    return read_picture(task, fmt, data, sha256, options)


def _read_unknown(task: FileTask, data: bytes, sha256: str, options: ReadOptions) -> FileResult:
    """A file without any known mark: DICOM without preamble, or not for us (F1, F2)."""
    promised = claims_to_be_image(task.source.name)
    if data and may_be_bare_dicom(data[:1024]):
        try:
            return read_dicom(task, data, sha256, options, bare=True)
        except FileRejectedError as error:
            if promised or error.reason is not Reason.NOT_DICOM:
                raise
    detail = "the file is empty" if not data else "neither DICOM nor a picture nor a volume"
    answer = refused if promised else _skipped
    return answer(task, Reason.NOT_DICOM, detail)
