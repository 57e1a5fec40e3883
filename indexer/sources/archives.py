"""Zip and tar archives read as folders: list the members, read one, keep bombs out.

Nothing is ever unpacked to disk, so a member called ``../../etc/passwd`` is only an odd name.
"""

# Paths are plain strings here: there may be millions.
# ruff: noqa: PTH116, PTH123
from __future__ import annotations

import atexit
import bz2
import gzip
import lzma
import os
import re
import struct
import tarfile
import threading
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, Generic, Protocol, TypeVar, cast

from indexer.errors import FileRejectedError
from indexer.types import Reason

_CHUNK = 1 << 20
_KEPT_MEMBER_BYTES = 64 << 20
_LARGEST_SINGLE_READ = 64 << 20
_HEAD_BYTES = 512
_OPEN_ARCHIVES = 4
_DEFLATE_RATIO = 1032
"""Deflate cannot pack more tightly."""

_ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
_GZIP_MAGIC = b"\x1f\x8b"
_COMPRESSED_MAGIC = (_GZIP_MAGIC, b"BZh", b"\xfd7zXZ\x00")
_ZIP_NAMES = (".zip",)
_TAR_NAMES = (".tar", ".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz")
_ARCHIVE_NAMES = (*_ZIP_NAMES, *_TAR_NAMES, ".7z", ".rar")
_PLAIN_NAME = re.compile(
    # Images and documents by name are never archives, even where (docx, npz) they are zip inside.
    r"\.(dcm|dicom|ima|img|png|jpe?g|tiff?|bmp|gif|nii|nii\.gz|nrrd|nhdr|mha|mhd|np[yz]|bval|bvec"
    r"|csv|tsv|txt|md|json|xml|html?|pdf|rtf|doc[xm]?|xls[xm]?|pptx?|od[tsp]|vsdx|epub|jar|war|apk"
    r"|whl|egg|xpi|kmz|3mf|ora|mrb|pth?|keras|py|exe|dll|so|mp4|avi)$"
)


@dataclass(frozen=True)
class ArchiveLimits:
    """What an archive may contain before it counts as a bomb.

    Attributes:
        max_member_bytes: largest member, unpacked.
        max_ratio: unpacked to packed size, for members larger than `ratio_from_bytes`.
        ratio_from_bytes: smaller members may compress as well as they like.
        max_members: members listed from one archive.
    """

    max_member_bytes: int = 2 << 30
    max_ratio: int = 1000
    ratio_from_bytes: int = 10_000_000
    max_members: int = 5_000_000


class ArchiveKind(StrEnum):
    """The archives that are walked as folders."""

    ZIP = "zip"
    TAR = "tar"
    GZIP = "gzip"
    """One compressed file; it counts as its only member."""


@dataclass(frozen=True)
class Member:
    """One member of an archive, or what is wrong with it; an empty name means the archive."""

    name: str
    size: int
    reason: Reason | None = None
    detail: str = ""


class _Closable(Protocol):
    def close(self) -> None: ...


_Handle = TypeVar("_Handle", bound=_Closable)


class HandleCache(Generic[_Handle]):
    """A few open files of this process, the least recently used closed first.

    A handle is opened anew when the file's size or mtime changed. After a fork the child starts
    empty: both processes would move the same file position otherwise.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._open: OrderedDict[str, tuple[tuple[int, int], _Handle]] = OrderedDict()
        self.lock = threading.RLock()
        atexit.register(self.clear)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._after_fork)

    def get(self, key: str, path: str, opener: Callable[[], _Handle]) -> _Handle:
        """The open handle of `key`, whose file on disk is `path`; the caller holds `lock`."""
        status = os.stat(path)
        stamp = (status.st_mtime_ns, status.st_size)
        known = self._open.get(key)
        if known is not None and known[0] == stamp:
            self._open.move_to_end(key)
            return known[1]
        self.drop(key)
        handle = opener()
        self._open[key] = (stamp, handle)
        while len(self._open) > self._capacity:
            self._open.popitem(last=False)[1][1].close()
        return handle

    def drop(self, key: str) -> None:
        """Close and forget one handle."""
        known = self._open.pop(key, None)
        if known is not None:
            known[1].close()

    def clear(self) -> None:
        """Close every handle."""
        for key in list(self._open):
            self.drop(key)

    def _after_fork(self) -> None:
        self.lock = threading.RLock()
        self.clear()


def is_junk(name: str) -> bool:
    """Whether a member is macOS resource-fork litter rather than a file someone packed."""
    parts = name.replace("\\", "/").split("/")
    return "__MACOSX" in parts or parts[-1].startswith("._")


def archive_kind(path: str) -> ArchiveKind | None:
    """How to walk the file at `path` as a folder, or None for an ordinary file.

    Content decides; a name that promises an archive is believed too, so that a damaged one is
    reported instead of passed over. Raises OSError where the file cannot be opened.
    """
    name = path.lower()
    if _PLAIN_NAME.search(name):
        return None
    with open(path, "rb") as stream:
        head = stream.read(_HEAD_BYTES)
    if head[128:132] == b"DICM":
        return None
    if head.startswith(_ZIP_MAGIC) or name.endswith(_ZIP_NAMES):
        return ArchiveKind.ZIP
    is_packed_tar = head.startswith(_COMPRESSED_MAGIC) and _is_tar_header(_unpacked_head(path))
    if is_packed_tar or _is_tar_header(head) or name.endswith(_TAR_NAMES):
        return ArchiveKind.TAR
    if head.startswith(_GZIP_MAGIC) and name.endswith(".gz"):
        return ArchiveKind.GZIP
    return None


def list_members(path: str, kind: ArchiveKind, limits: ArchiveLimits) -> Iterator[Member]:
    """The members in archive order; directories and resource forks left out.

    A member that may not be read carries its reason. An archive that turns out to be damaged
    ends with a member of empty name that says so.
    """
    try:
        with _translated():
            yield from _WALKS[kind](path, limits)
    except FileRejectedError as error:
        yield Member("", 0, error.reason, error.detail)


def read_member(path: str, member: str, count: int) -> bytes:
    """At most the first `count` bytes of a member.

    The archive stays open in a small cache of this process. Reading the members of a compressed
    tar in archive order, each one's head first and then the whole, unpacks it once.

    Raises:
        FileRejectedError: UNREADABLE, ARCHIVE_CORRUPT or ARCHIVE_ENCRYPTED.
    """
    with _translated(), _ARCHIVES.lock:
        try:
            return _ARCHIVES.get(path, path, lambda: _open_archive(path)).read(member, count)
        except BaseException:
            # The position of a handle that failed half-way is not to be trusted.
            _ARCHIVES.drop(path)
            raise


def close_archives() -> None:
    """Close the archives that this process keeps open (to delete or replace them on Windows)."""
    with _ARCHIVES.lock:
        _ARCHIVES.clear()


def read_up_to(stream: IO[bytes], count: int) -> bytes:
    """At most `count` bytes, in steps, so that a wrong declared size allocates nothing."""
    parts: list[bytes] = []
    while count > 0 and (part := stream.read(min(count, _CHUNK))):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


@contextmanager
def _translated() -> Iterator[None]:
    """Turn what the archive modules raise into a rejection with a reason."""
    try:
        yield
    except NotImplementedError as error:
        detail = "the archive uses a compression method that is not supported"
        raise FileRejectedError(Reason.ARCHIVE_CORRUPT, detail) from error
    except RuntimeError as error:
        if "password" not in str(error):  # zipfile's way to ask for one
            raise
        raise FileRejectedError(Reason.ARCHIVE_ENCRYPTED, "a password is needed") from error
    except KeyError as error:
        raise FileRejectedError(Reason.UNREADABLE, "no longer in the archive") from error
    except OSError as error:
        # Decompressors raise OSError without errno for damaged data.
        if error.errno is not None:
            detail = f"cannot be read: {error.strerror}"
            raise FileRejectedError(Reason.UNREADABLE, detail) from error
        raise FileRejectedError(Reason.ARCHIVE_CORRUPT, "the archive is damaged") from error
    except _DAMAGE as error:
        raise FileRejectedError(Reason.ARCHIVE_CORRUPT, "the archive is damaged") from error


_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    struct.error,
    ValueError,
    OverflowError,
)


def _is_tar_header(head: bytes) -> bool:
    return head[257:262] == b"ustar"


def _unpacked_head(path: str) -> bytes:
    try:
        with closing(_open_unpacked(path)) as stream:
            return stream.read(_HEAD_BYTES)
    except (OSError, *_DAMAGE):
        return b""


def _open_unpacked(path: str) -> IO[bytes]:
    """The file's bytes with gzip, bzip2 or xz taken off."""
    with open(path, "rb") as stream:
        magic = stream.read(6)
    if magic.startswith(b"\x1f\x8b"):
        return cast(IO[bytes], gzip.open(path, "rb"))
    if magic.startswith(b"BZh"):
        return cast(IO[bytes], bz2.open(path, "rb"))
    if magic == b"\xfd7zXZ\x00":
        return cast(IO[bytes], lzma.open(path, "rb"))
    return open(path, "rb")


def _is_nested(name: str, read_head: Callable[[], bytes]) -> bool:
    lower = name.lower()
    if lower.endswith(_ARCHIVE_NAMES):
        return True
    if _PLAIN_NAME.search(lower):
        return False
    head = read_head()
    if head[128:132] == b"DICM":
        return False
    return head.startswith(_ZIP_MAGIC) or _is_tar_header(head)


def _is_bomb(size: int, packed: int, limits: ArchiveLimits) -> bool:
    return size > limits.ratio_from_bytes and size > limits.max_ratio * max(packed, 1)


def _trouble(
    name: str, size: int, packed: int, limits: ArchiveLimits, read_head: Callable[[], bytes]
) -> Member:
    """The member with the reason why it may not be read, if there is one."""
    if size > limits.max_member_bytes:
        detail = f"unpacks to {size} bytes, {limits.max_member_bytes} are allowed"
        return Member(name, size, Reason.ARCHIVE_BOMB, detail)
    if _is_bomb(size, packed, limits):
        detail = f"unpacks to more than {limits.max_ratio} times its packed size"
        return Member(name, size, Reason.ARCHIVE_BOMB, detail)
    if _is_nested(name, read_head):
        detail = "an archive inside an archive; unpack the outer one first"
        return Member(name, size, Reason.ARCHIVE_NESTED, detail)
    return Member(name, size)


def _too_many(limits: ArchiveLimits) -> Member:
    detail = f"more than {limits.max_members} members; the rest was not read"
    return Member("", 0, Reason.ARCHIVE_BOMB, detail)


def _zip_members(path: str, limits: ArchiveLimits) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        for count, info in enumerate(archive.infolist()):
            if count >= limits.max_members:
                yield _too_many(limits)
                return
            if not info.is_dir() and not is_junk(info.filename):
                yield _zip_member(archive, info, limits)


def _zip_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limits: ArchiveLimits) -> Member:
    name, size = info.filename, info.file_size
    if archive.getinfo(name) is not info:
        detail = "replaced by a later member of the same name"
        return Member(f"{name}#replaced@{info.header_offset}", size, Reason.ARCHIVE_CORRUPT, detail)
    if info.flag_bits & 0x1:
        return Member(name, size, Reason.ARCHIVE_ENCRYPTED, "a password is needed")

    def head() -> bytes:
        with archive.open(info) as stream:
            return stream.read(_HEAD_BYTES)

    try:
        with _translated():
            return _trouble(name, size, info.compress_size, limits, head)
    except FileRejectedError as error:
        return Member(name, size, error.reason, error.detail)


def _tar_members(path: str, limits: ArchiveLimits) -> Iterator[Member]:
    packed = Path(path).stat().st_size
    seen: set[int] = set()
    with closing(_TarStream(path)) as stream:
        archive = _open_tar(stream)
        for count, info in enumerate(_tar_headers(archive, stream)):
            if count >= limits.max_members:
                yield _too_many(limits)
                return
            if not info.isreg() or is_junk(info.name):
                continue
            if (mark := hash(info.name)) in seen:  # hashes: a set of names would be much larger
                detail = "a member of this name comes earlier in the archive; that one is used"
                name = f"{info.name}#repeated@{info.offset}"
                yield Member(name, info.size, Reason.ARCHIVE_CORRUPT, detail)
                continue
            seen.add(mark)
            yield _tar_member(archive, info, packed, limits)
            if _is_bomb(info.size, packed, limits):
                # Passing over it would unpack it; whoever packed this gets no more of our time.
                yield Member("", 0, Reason.ARCHIVE_BOMB, "the rest of the archive was not read")
                return


def _tar_member(
    archive: tarfile.TarFile, info: tarfile.TarInfo, packed: int, limits: ArchiveLimits
) -> Member:
    def head() -> bytes:
        stream = archive.extractfile(info)
        if stream is None:
            return b""
        with stream:
            return stream.read(_HEAD_BYTES)

    return _trouble(info.name, info.size, packed, limits, head)


def _gzip_members(path: str, limits: ArchiveLimits) -> Iterator[Member]:
    with open(path, "rb") as stream:
        packed = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, packed - 4))
        size = int.from_bytes(stream.read(4), "little")  # RFC 1952: length modulo 2^32
    name = Path(path).name[: -len(".gz")]
    if size > _DEFLATE_RATIO * packed:  # what stands at the end is no length
        yield Member(name, 0, Reason.ARCHIVE_CORRUPT, "the compressed file is cut off")
        return
    reader = _GzipReader(path)
    yield _trouble(name, size, packed, limits, lambda: reader.read(name, _HEAD_BYTES))


class _TarStream:
    """The unpacked bytes of a tar, refusing the huge single reads that only forged headers need."""

    def __init__(self, path: str) -> None:
        self._stream = _open_unpacked(path)

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _LARGEST_SINGLE_READ:
            msg = "header of implausible size"
            raise tarfile.ReadError(msg)
        return self._stream.read(size)

    def seek(self, position: int) -> int:
        return self._stream.seek(position)

    def tell(self) -> int:
        return self._stream.tell()

    def close(self) -> None:
        self._stream.close()


def _open_tar(stream: _TarStream) -> tarfile.TarFile:
    return tarfile.TarFile(fileobj=cast(IO[bytes], stream))


def _tar_headers(archive: tarfile.TarFile, stream: _TarStream) -> Iterator[tarfile.TarInfo]:
    """The headers from the archive's position on; tarfile's own list of them is kept empty."""
    reached = -1
    while (info := archive.next()) is not None:
        archive.members.clear()  # type: ignore[attr-defined]  # else every header stays in memory
        if info.size < 0 or archive.offset <= reached:
            # A forged negative size leads back to an earlier header, for ever.
            msg = "header of negative size"
            raise tarfile.ReadError(msg)
        reached = archive.offset
        yield info
    # tarfile takes a damaged header for the end; the real end is a block of zeros or of nothing.
    stream.seek(archive.offset)
    if any(stream.read(tarfile.BLOCKSIZE)):
        msg = "damaged header"
        raise tarfile.ReadError(msg)


class _ZipReader:
    """Reads members of one zip."""

    def __init__(self, path: str) -> None:
        self._zip = zipfile.ZipFile(path)

    def read(self, member: str, count: int) -> bytes:
        with self._zip.open(member) as stream:
            return read_up_to(stream, count)

    def close(self) -> None:
        self._zip.close()


class _GzipReader:
    """Reads the one file in a gzip."""

    def __init__(self, path: str) -> None:
        self._path = path

    def read(self, member: str, count: int) -> bytes:
        del member
        with gzip.open(self._path, "rb") as stream:
            return read_up_to(cast(IO[bytes], stream), count)

    def close(self) -> None:
        """Nothing stays open."""


class _TarReader:
    """Reads members of one tar.

    A compressed tar can only be unpacked forwards, and going back means starting over. So headers
    are searched from where the last search stopped, and the bytes of the last member are kept:
    asking for its head and then for all of it goes forwards only.
    """

    def __init__(self, path: str) -> None:
        self._stream = _TarStream(path)
        try:
            self._tar = _open_tar(self._stream)
        except BaseException:
            self._stream.close()
            raise
        self._headers = _tar_headers(self._tar, self._stream)
        self._offsets: dict[str, int] = {}
        self._scanned_to = 0
        self._name: str | None = None
        self._data: IO[bytes] | None = None
        self._kept = b""

    def read(self, member: str, count: int) -> bytes:
        if member != self._name:
            self._data, self._kept = self._open(member), b""
            self._name = member
        if self._data is not None and count > len(self._kept):
            self._kept += read_up_to(self._data, count - len(self._kept))
        result = self._kept[:count]
        if len(self._kept) > _KEPT_MEMBER_BYTES:
            self._name, self._data, self._kept = None, None, b""
        return result

    def close(self) -> None:
        self._stream.close()

    def _open(self, member: str) -> IO[bytes] | None:
        return self._tar.extractfile(self._find(member))

    def _find(self, member: str) -> tarfile.TarInfo:
        if member in self._offsets:
            return self._header_at(self._offsets[member])
        if self._scanned_to:
            self._tar.offset = self._scanned_to
        for info in self._headers:
            self._scanned_to = self._tar.offset
            if info.isreg():
                self._offsets.setdefault(info.name, info.offset)
                if info.name == member:
                    return info
        raise KeyError(member)

    def _header_at(self, offset: int) -> tarfile.TarInfo:
        self._stream.seek(offset)
        self._tar.offset = offset
        info = self._tar.next()
        self._tar.members.clear()  # type: ignore[attr-defined]
        if info is None:
            msg = "header gone"
            raise tarfile.ReadError(msg)
        return info


def _open_archive(path: str) -> _ZipReader | _TarReader | _GzipReader:
    kind = archive_kind(path)
    if kind is ArchiveKind.GZIP:
        return _GzipReader(path)
    return _ZipReader(path) if kind is ArchiveKind.ZIP else _TarReader(path)


_WALKS: dict[ArchiveKind, Callable[[str, ArchiveLimits], Iterator[Member]]] = {
    ArchiveKind.ZIP: _zip_members,
    ArchiveKind.TAR: _tar_members,
    ArchiveKind.GZIP: _gzip_members,
}
_ARCHIVES: HandleCache[_ZipReader | _TarReader | _GzipReader] = HandleCache(_OPEN_ARCHIVES)
