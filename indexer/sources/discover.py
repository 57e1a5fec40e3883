"""Where files come from: files, folders, and zip and tar archives walked as folders."""

# Paths are plain strings here: there may be millions.
# ruff: noqa: PTH100, PTH114, PTH116, PTH118, PTH119, PTH120, PTH123
from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from indexer.errors import FileRejectedError, SourceError
from indexer.sources import archives
from indexer.sources.archives import ArchiveLimits
from indexer.types import Reason


@dataclass(frozen=True)
class SourceFile:
    """One file on disk or in an archive.

    Attributes:
        path: absolute path of the file on disk, of the archive for its members. Open files with
            this; show and store `key`, which is always valid UTF-8.
        member: name inside the archive, exactly as stored there, or None.
        size: bytes, unpacked (as declared by the archive).
        mtime_ns: of the file on disk, so a rewritten archive makes all its members new.
    """

    path: str
    member: str | None
    size: int
    mtime_ns: int

    @property
    def key(self) -> str:
        """``path`` or ``path!/member``; what is not valid Unicode is shown escaped."""
        whole = self.path if self.member is None else f"{self.path}!/{self.member}"
        return _printable(whole)

    @property
    def name(self) -> str:
        """The last component of the member or path."""
        if self.member is None:
            return _printable(os.path.basename(self.path))
        return _printable(self.member.replace("\\", "/").rsplit("/", 1)[-1])

    def read_bytes(self, limit: int) -> bytes:
        """The whole content.

        Raises:
            FileRejectedError: TOO_LARGE beyond `limit` bytes (never reading much more than that),
                UNREADABLE, or an ARCHIVE_* reason.
        """
        if self.size > limit:
            raise _too_large(self.size, limit)
        data = self._read(limit + 1)
        if len(data) > limit:
            raise _too_large(len(data), limit)
        return data

    def head(self, n: int) -> bytes:
        """At most the first `n` bytes; raises as `read_bytes` does, but never TOO_LARGE."""
        return self._read(n)

    def _read(self, count: int) -> bytes:
        if self.member is not None:
            return archives.read_member(self.path, self.member, count)
        try:
            with open(self.path, "rb") as stream:
                return archives.read_up_to(stream, count)
        except OSError as error:
            raise FileRejectedError(Reason.UNREADABLE, _os_detail(error)) from error


@dataclass(frozen=True)
class Problem:
    """Something met on the way that cannot even be opened."""

    key: str
    reason: Reason
    detail: str


def discover(
    paths: Sequence[Path], *, limits: ArchiveLimits | None = None
) -> Iterator[SourceFile | Problem]:
    """Every file under `paths`, one by one, in an order that depends only on the names.

    Folders are sorted by name and walked depth first; only one folder's listing per level is held.
    Links are followed, but each file and each folder is met once, however many links or `paths`
    lead to it. Hard links are files of their own. Archives are walked as folders, their members
    in the order of the archive; directories and macOS resource forks in them are passed over.

    Args:
        paths: files and folders.
        limits: what an archive may contain; the default allows 2 GiB a member.

    Yields:
        A `SourceFile`, or a `Problem` (UNREADABLE or ARCHIVE_*) in its place.

    Raises:
        SourceError: a path does not exist. Raised at once, before anything is yielded.
    """
    return _checked_walk(paths, limits or ArchiveLimits(), expand=True)


def discover_on_disk(paths: Sequence[Path]) -> Iterator[SourceFile | Problem]:
    """As `discover`, but archives stay the single files that they are on disk."""
    return _checked_walk(paths, ArchiveLimits(), expand=False)


def _checked_walk(
    paths: Sequence[Path], limits: ArchiveLimits, *, expand: bool
) -> Iterator[SourceFile | Problem]:
    for path in paths:
        if not path.exists() and not path.is_symlink():
            msg = f"{path} does not exist; check the spelling and that the disk is mounted"
            raise SourceError(msg)
    return _Walk(limits, expand=expand).all_of(paths)


class _Walk:
    """One walk. What it remembers grows with the number of folders and links, not of files."""

    def __init__(self, limits: ArchiveLimits, *, expand: bool) -> None:
        self._limits = limits
        self._expand = expand
        self._folders: set[tuple[int, int]] = set()
        self._taken: set[str] = set()
        """Real paths of files met through a link, or named by the caller."""

    def all_of(self, paths: Sequence[Path]) -> Iterator[SourceFile | Problem]:
        for path in paths:
            absolute = os.path.abspath(path)
            yield from self._visit(absolute, os.path.realpath(absolute), indirect=True)

    def _visit(self, path: str, real: str, *, indirect: bool) -> Iterator[SourceFile | Problem]:
        """Walk the tree under `path`, with a stack of our own: trees may be deeper than Python's.

        `real` is the path without links; `indirect` when it was not found by listing its folder.
        """
        stack: list[Iterator[tuple[str, str, bool]]] = [iter([(path, real, indirect)])]
        while stack:
            entry = next(stack[-1], None)
            if entry is None:
                stack.pop()
                continue
            found = self._look(*entry)
            if isinstance(found, Problem):
                yield found
            elif found is not None and stat.S_ISDIR(found.st_mode):
                listing = self._list(*entry[:2])
                if isinstance(listing, Problem):
                    yield listing
                else:
                    stack.append(listing)
            elif found is not None:
                yield from self._file(entry[0], found)

    def _look(self, path: str, real: str, indirect: bool) -> os.stat_result | Problem | None:
        """What lies at `path`; None where it was or will be met on another way."""
        try:
            status = os.stat(path)
        except OSError as error:
            if os.path.islink(path):
                return Problem(_printable(path), Reason.UNREADABLE, "a link that leads nowhere")
            return Problem(_printable(path), Reason.UNREADABLE, _os_detail(error))
        if stat.S_ISDIR(status.st_mode):
            return status if self._is_new_folder(path, real, status) else None
        if not stat.S_ISREG(status.st_mode):
            return Problem(_printable(path), Reason.UNREADABLE, "neither a file nor a folder")
        return status if self._is_new_file(real, indirect=indirect) else None

    def _is_new_folder(self, path: str, real: str, status: os.stat_result) -> bool:
        identity = (status.st_dev, status.st_ino)
        if identity in self._folders:
            return False
        if os.path.islink(path):
            here = os.path.realpath(os.path.dirname(path))
            if _is_within(here, real):
                return False  # a link to an ancestor, maybe one above the folder we were given
        self._folders.add(identity)
        return True

    def _is_new_file(self, real: str, *, indirect: bool) -> bool:
        if real in self._taken:
            return False
        if indirect:
            if self._is_listed(os.path.dirname(real)):
                return False
            self._taken.add(real)
        return True

    def _is_listed(self, folder: str) -> bool:
        """Whether this folder was or is being walked, so that its files are met directly."""
        try:
            status = os.stat(folder)
        except OSError:
            return False
        return (status.st_dev, status.st_ino) in self._folders

    def _list(self, path: str, real: str) -> Iterator[tuple[str, str, bool]] | Problem:
        try:
            with os.scandir(path) as entries:
                found = sorted((entry.name, entry.is_symlink()) for entry in entries)
        except OSError as error:
            return Problem(_printable(path), Reason.UNREADABLE, _os_detail(error))
        return (_child(path, real, name, is_link) for name, is_link in found)

    def _file(self, path: str, status: os.stat_result) -> Iterator[SourceFile | Problem]:
        source = SourceFile(path, None, status.st_size, status.st_mtime_ns)
        try:
            if not os.access(path, os.R_OK):
                raise PermissionError(13, "Permission denied")
            kind = archives.archive_kind(path) if self._expand else None
        except OSError as error:
            yield Problem(source.key, Reason.UNREADABLE, _os_detail(error))
            return
        if kind is None:
            yield source
            return
        for member in archives.list_members(path, kind, self._limits):
            yield _of_member(source, member)


def _child(path: str, real: str, name: str, is_link: bool) -> tuple[str, str, bool]:
    child = os.path.join(path, name)
    if is_link:
        return child, os.path.realpath(child), True
    return child, os.path.join(real, name), False


def _of_member(archive: SourceFile, member: archives.Member) -> SourceFile | Problem:
    if not member.name:
        return Problem(archive.key, member.reason or Reason.ARCHIVE_CORRUPT, member.detail)
    source = SourceFile(archive.path, member.name, member.size, archive.mtime_ns)
    if member.reason is not None:
        return Problem(source.key, member.reason, member.detail)
    return source


def _is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _printable(path: str) -> str:
    """A path with undecodable bytes as escapes: surrogates can be neither stored nor shown."""
    return path.encode("utf-8", "backslashreplace").decode("utf-8")


def _too_large(size: int, limit: int) -> FileRejectedError:
    return FileRejectedError(Reason.TOO_LARGE, f"{size} bytes, {limit} are allowed")


def _os_detail(error: OSError) -> str:
    return f"cannot be read: {error.strerror or type(error).__name__}"
