"""The UIDs of a DICOM file, read from its beginning alone.

Several threads receive at once, and pydicom's way of forgiving is a setting of the whole process:
so elements are walked over here, and nothing is converted.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)

from indexer.errors import FileRejectedError
from indexer.types import Reason

_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_TRANSFER_SYNTAX = 0x00020010
_CLASS, _INSTANCE, _STUDY, _SERIES = 0x00080016, 0x00080018, 0x0020000D, 0x0020000E
_LONG = frozenset(
    (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
)
_DEEPEST = 32
_MOST_INFLATED = 16 << 20
"""Of a deflated data set, which the UIDs have to be in."""
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")


@dataclass(frozen=True)
class ObjectHeader:
    """What an object says of itself; study and series are "" where it belongs to none."""

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str


def read_header(path: Path) -> ObjectHeader:
    """The UIDs of a file in the DICOM File Format (PS3.10 section 7), in bounded memory.

    Raises:
        FileRejectedError: not_dicom, no_transfer_syntax, header_corrupt or no_uids.
    """
    with path.open("rb") as stream:
        if stream.read(132)[128:] != b"DICM":
            raise FileRejectedError(Reason.NOT_DICOM, "it has no DICOM preamble")
        try:
            syntax = _uid(_Walk(stream, explicit=True).until(0x0002FFFF), _TRANSFER_SYNTAX)
            if not syntax:
                raise FileRejectedError(Reason.NO_TRANSFER_SYNTAX, "it names no transfer syntax")
            found = _data_set(stream, syntax).until(_SERIES)
        except (struct.error, zlib.error, OverflowError) as error:
            raise FileRejectedError(Reason.HEADER_CORRUPT, "it ends within its header") from error
    uids = [_uid(found, tag) for tag in (_CLASS, _INSTANCE, _STUDY, _SERIES)]
    if not (uids[0] and uids[1]):
        raise FileRejectedError(Reason.NO_UIDS, "it has no valid SOP Class or SOP Instance UID")
    return ObjectHeader(uids[0], uids[1], uids[2], uids[3], syntax)


def _data_set(stream: IO[bytes], syntax: str) -> _Walk:
    if syntax == DeflatedExplicitVRLittleEndian:
        head = zlib.decompressobj(-zlib.MAX_WBITS).decompress(
            stream.read(_MOST_INFLATED), _MOST_INFLATED
        )
        stream = io.BytesIO(head)
    start = stream.read(6)
    stream.seek(-len(start), io.SEEK_CUR)
    # Some writers name an explicit syntax and write none: the first element tells.
    explicit = syntax != ImplicitVRLittleEndian and start[4:].isalpha() and start[4:].isupper()
    return _Walk(stream, explicit=explicit, big=syntax == ExplicitVRBigEndian)


class _Walk:
    """Elements one after another; `struct.error` where the stream ends within one."""

    def __init__(self, stream: IO[bytes], *, explicit: bool, big: bool = False) -> None:
        self._stream, self._explicit = stream, explicit
        order = ">" if big else "<"
        self._tag, self._short, self._long = (
            struct.Struct(order + form) for form in ("HH", "H", "L")
        )

    def until(self, last: int) -> Mapping[int, bytes]:
        """Values of at most 64 bytes by tag, up to ``last``; the element behind is not taken."""
        values: dict[int, bytes] = {}
        while len(head := self._stream.read(4)) == 4:
            group, element = self._tag.unpack(head)
            tag = group << 16 | element
            if tag > last:
                self._stream.seek(-4, io.SEEK_CUR)
                break
            kind, length = self._length(explicit=self._explicit)
            if length == _UNDEFINED:
                self._sequence(1, explicit=self._explicit and kind != b"UN")
            elif length <= 64:
                values[tag] = self._exactly(length)
            else:
                self._stream.seek(length, io.SEEK_CUR)
        return values

    def _length(self, *, explicit: bool) -> tuple[bytes, int]:
        """VR and length of the element whose tag was read."""
        if not explicit:
            return b"", int(self._long.unpack(self._exactly(4))[0])
        kind = self._exactly(2)
        if kind not in _LONG:
            return kind, int(self._short.unpack(self._exactly(2))[0])
        self._exactly(2)
        return kind, int(self._long.unpack(self._exactly(4))[0])

    def _sequence(self, depth: int, *, explicit: bool) -> None:
        """Pass over the items of a sequence of undefined length."""
        if depth > _DEEPEST:
            raise FileRejectedError(Reason.HEADER_CORRUPT, "its sequences are nested too deep")
        while (tag := self._next_tag()) != _SEQUENCE_END:
            length = self._long.unpack(self._exactly(4))[0]
            if tag != _ITEM:
                raise FileRejectedError(Reason.HEADER_CORRUPT, "a sequence holds no item")
            if length == _UNDEFINED:
                self._item(depth, explicit=explicit)
            else:
                self._stream.seek(length, io.SEEK_CUR)
        self._exactly(4)

    def _item(self, depth: int, *, explicit: bool) -> None:
        """Pass over the elements of an item of undefined length."""
        while self._next_tag() != _ITEM_END:
            kind, length = self._length(explicit=explicit)
            if length == _UNDEFINED:
                self._sequence(depth + 1, explicit=explicit and kind != b"UN")
            else:
                self._stream.seek(length, io.SEEK_CUR)
        self._exactly(4)

    def _next_tag(self) -> int:
        group, element = self._tag.unpack(self._exactly(4))
        return int(group << 16 | element)

    def _exactly(self, count: int) -> bytes:
        data = self._stream.read(count)
        if len(data) < count:
            raise struct.error
        return data


def _uid(values: Mapping[int, bytes], tag: int) -> str:
    """A UID as text, "" where it is absent or malformed (PS3.5 section 9.1)."""
    text = values.get(tag, b"").decode("ascii", "replace").strip("\0 ")
    return text if _UID.fullmatch(text) else ""
