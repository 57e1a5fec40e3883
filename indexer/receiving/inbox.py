"""The inbox: a folder of the library in which received objects are safe before they are indexed.

An object is written to ``.partial``, checked, brought to the disk, and renamed to
``<day>/<hash of its SOP Instance UID>-<hash of its bytes>.dcm``; only then may it be acknowledged.
No name comes from a sender. What a killed process left in ``.partial`` was never acknowledged.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from indexer.errors import FileRejectedError, InboxFullError, StorageFullError
from indexer.receiving.header import ObjectHeader, read_header
from indexer.types import Reason

_PARTIAL = ".partial"
_HASHED = 32
"""Hexadecimal digits of a hash in a name: 128 bits."""
_LOOK_EVERY = 32 << 20
"""Bytes of an object after which free disk is looked at again."""


@dataclass(frozen=True)
class InboxLimits:
    """What is accepted.

    Attributes:
        object_bytes: of one object, at most.
        free_bytes: of the disk, below which nothing is accepted.
        waiting: objects that are not indexed yet, at most.
    """

    object_bytes: int = 2 << 30
    free_bytes: int = 1 << 30
    waiting: int = 1_000_000


@dataclass(frozen=True)
class Received:
    """An object that is safe.

    Attributes:
        header: its UIDs.
        path: where it lies.
        new: False where the same bytes had been received before.
    """

    header: ObjectHeader
    path: Path
    new: bool


def free_bytes(folder: Path) -> int:
    """What is free on the disk of a folder."""
    return shutil.disk_usage(folder).free


class Inbox:
    """Receives objects, from several threads and processes at once.

    Args:
        folder: made if it is not there.
        limits: what is accepted.
        free: tells how many bytes are free on the disk of a folder.

    Raises:
        StorageFullError: the folder cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        limits: InboxLimits | None = None,
        free: Callable[[Path], int] = free_bytes,
    ) -> None:
        self.folder, self.limits, self._free = folder, limits or InboxLimits(), free
        self._guard = threading.Lock()
        self._waiting = 0
        try:
            (folder / _PARTIAL).mkdir(parents=True, exist_ok=True)
            self._sweep()
        except OSError as error:
            raise _not_written(error) from error

    def begin(self) -> Incoming:
        """Begin with an object.

        Raises:
            InboxFullError: nothing is accepted now.
            StorageFullError: the inbox cannot be written.
        """
        self.check_space()
        if self._waiting >= self.limits.waiting:
            raise InboxFullError(f"{self._waiting} objects wait to be indexed; send again later")
        try:
            return Incoming(self, self.folder / _PARTIAL / uuid.uuid4().hex)
        except OSError as error:
            raise _not_written(error) from error

    def check_space(self) -> None:
        """See that enough of the disk is free.

        Raises:
            InboxFullError: it is not.
        """
        if self._free(self.folder) < self.limits.free_bytes:
            raise InboxFullError("the disk of the inbox is almost full; free space, send again")

    def tell_waiting(self, count: int) -> None:
        """Note how many objects are known to wait to be indexed."""
        with self._guard:
            self._waiting = count

    def days(self) -> list[Path]:
        """Folders of the days on which something came, oldest first."""
        return sorted(each for each in self.folder.iterdir() if _is_day(each.name))

    def holding(self, sop_instance_uids: Iterable[str]) -> dict[str, list[Path]]:
        """Where the objects of some SOP Instance UIDs lie, those that are not here left out."""
        wanted = {uid_key(uid): uid for uid in sop_instance_uids}
        found: dict[str, list[Path]] = {}
        for path in self._files():
            uid = wanted.get(path.name.partition("-")[0])
            if uid is not None:
                found.setdefault(uid, []).append(path)
        return found

    def forget(self, sop_instance_uids: Iterable[str]) -> int:
        """Delete all objects of some SOP Instance UIDs; returns how many there were.

        Raises:
            StorageFullError: one cannot be deleted.
        """
        paths = [path for each in self.holding(sop_instance_uids).values() for path in each]
        try:
            for path in paths:
                path.unlink(missing_ok=True)
            for folder in {path.parent for path in paths}:
                _sync(folder)
        except OSError as error:
            raise _not_written(error) from error
        return len(paths)

    def place(self, partial: Path, uid: str, digest: str) -> tuple[Path, bool]:
        """Rename a finished file to its place, unless the same is there; whether it is new."""
        name = f"{uid_key(uid)}-{digest[:_HASHED]}.dcm"
        today = self.folder / datetime.now(UTC).strftime("%Y-%m-%d")
        with self._guard:
            if not today.is_dir():
                today.mkdir(exist_ok=True)
                _sync(self.folder)
            for day in reversed(self.days()):
                if (day / name).exists():
                    # Whoever renamed it may not have come to bring its folder to the disk.
                    _sync(day)
                    return day / name, False
            partial.rename(today / name)
            self._waiting += 1
        _sync(today)
        return today / name, True

    def _files(self) -> Iterator[Path]:
        for day in self.days():
            with os.scandir(day) as entries:
                names = sorted(entry.name for entry in entries)
            yield from (day / name for name in names)

    def _sweep(self) -> None:
        """Delete what killed processes left; what is being received is locked."""
        for path in (self.folder / _PARTIAL).iterdir():
            with suppress(OSError), path.open("rb") as handle:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()


class Incoming:
    """An object that is being received: `write` its bytes, then `keep` or `discard` it."""

    def __init__(self, inbox: Inbox, path: Path) -> None:
        self._inbox, self._path = inbox, path
        self._handle = path.open("xb")
        fcntl.flock(self._handle, fcntl.LOCK_EX)
        self._sha256 = hashlib.sha256()
        self._size = self._looked = 0

    def write(self, data: bytes) -> None:
        """Add bytes of the file.

        Raises:
            FileRejectedError: too_large.
            StorageFullError: the disk is full, or almost (InboxFullError).
        """
        self._size += len(data)
        most = self._inbox.limits.object_bytes
        if self._size > most:
            raise FileRejectedError(Reason.TOO_LARGE, f"more than the {most} bytes allowed")
        if self._size - self._looked > _LOOK_EVERY:
            self._looked = self._size
            self._inbox.check_space()
        self._sha256.update(data)
        try:
            self._handle.write(data)
        except OSError as error:
            raise _not_written(error) from error

    def check(self) -> ObjectHeader:
        """Its UIDs, once it is written.

        Raises:
            FileRejectedError: it is no DICOM file with UIDs.
            StorageFullError: as `write`.
        """
        try:
            self._handle.flush()
            return read_header(self._path)
        except OSError as error:
            raise _not_written(error) from error

    def keep(self, header: ObjectHeader) -> Received:
        """Make it safe; when this returns, it may be acknowledged.

        Raises:
            StorageFullError: the inbox cannot be written; nothing is kept.
        """
        try:
            self._handle.flush()
            os.fsync(self._handle.fileno())
            path, new = self._inbox.place(
                self._path, header.sop_instance_uid, self._sha256.hexdigest()
            )
        except OSError as error:
            raise _not_written(error) from error
        finally:
            self.discard()
        return Received(header, path, new)

    def discard(self) -> None:
        """Let go of it; what was kept stays."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
        with suppress(OSError):  # what was not written on a full disk is tried again here
            self._handle.close()


def uid_key(sop_instance_uid: str) -> str:
    """What names of the objects of a SOP Instance UID begin with, up to the first ``-``."""
    return hashlib.sha256(sop_instance_uid.encode()).hexdigest()[:_HASHED]


def _is_day(name: str) -> bool:
    return len(name) == 10 and name[4] == name[7] == "-" and name.replace("-", "").isdigit()


def _sync(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _not_written(error: OSError) -> StorageFullError:
    return StorageFullError(f"the inbox cannot be written: {error.strerror or 'input or output'}")
