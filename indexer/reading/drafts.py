"""What passes from the readers to the writer: plain data, picklable, no behaviour but identity."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from indexer.dicom.identity import PatientFingerprint
from indexer.encoders.contract import EncoderContext
from indexer.reading.routing import Rule
from indexer.sources.discover import SourceFile
from indexer.types import Attributes, Flag, Frame, Outcome, Pixels, Prepared, Reason, Role

if TYPE_CHECKING:
    from indexer.dicom.geometry import SliceHeader


@dataclass(frozen=True)
class ReadOptions:
    """How files are read; the same for every worker of a run.

    Attributes:
        encoders: names of the encoders to prepare for.
        key: the library's pseudonym key.
        keep_phi: also keep real patient ids.
        max_file_bytes, max_pixel_bytes: caps checked before reading and before decoding (F9).
        max_frames: frames of a cine that become items, evenly spaced (W7).
        max_slices: slices of a stack that reach the encoder, evenly spaced (V8).
        min_slices: shorter stacks go the 2-D way (V8).
        max_stacks: stacks of a series that become items, evenly spaced (V7).
        thumbnail: side of the thumbnails in pixels.
        models, device, precision, compile: where weights lie, and where and how networks run.
        rules: which encoders get what; without any each gets what it was made for.
        keep_pixels: items carry their pixels, too; for few files, in one process.
    """

    encoders: tuple[str, ...]
    key: bytes
    keep_phi: bool = False
    max_file_bytes: int = 1 << 30
    max_pixel_bytes: int = 512 << 20
    max_frames: int = 16
    max_slices: int = 512
    min_slices: int = 3
    max_stacks: int = 64
    thumbnail: int = 256
    models: Path = Path("models")
    device: str = "auto"
    precision: str = "auto"
    compile: bool = False
    rules: tuple[Rule, ...] = ()
    keep_pixels: bool = False

    def context(self, encoder: str) -> EncoderContext:
        """What an encoder of this name is made with."""
        return EncoderContext(encoder, self.models, self.device, self.precision, self.compile)


@dataclass(frozen=True)
class PatientDraft:
    """A patient by pseudonym; ``names_nobody`` where the id cannot stand for one person."""

    pseudonym: str
    real_id: str | None
    names_nobody: bool
    fingerprint: PatientFingerprint = field(default_factory=PatientFingerprint)


@dataclass(frozen=True)
class InstanceDraft:
    """One instance as the catalog will hold it."""

    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str
    kind: str
    patient: PatientDraft
    attributes: Attributes
    sop_class_uid: str = ""
    transfer_syntax_uid: str = ""
    decoder: str = ""
    rows: int | None = None
    columns: int | None = None
    frames: int = 1
    content_hash: str = ""
    pixel_hash: str = ""
    flags: tuple[Flag, ...] = ()
    report: str = ""


@dataclass(frozen=True)
class ItemDraft:
    """One item with what the encoders need of it; the pixels themselves stay in the worker."""

    uid: str
    kind: str
    role: Role
    pixel_hash: str
    tensors: Mapping[str, Prepared]
    thumbnail: bytes
    instance_uids: tuple[str, ...]
    frame: Frame
    """Size of the image, or of each slice."""
    frame_index: int | None = None
    stack: str = ""
    slices: int = 1
    used: tuple[int, ...] | None = None
    """Which of the slices reach the encoders, where not all do."""
    flags: tuple[Flag, ...] = ()
    details: Mapping[str, object] = field(default_factory=dict)
    pixels: Pixels | None = None
    """What the encoders were given, where they are kept."""

    @property
    def used_slices(self) -> Sequence[int]:
        """Places of the slices that reach the encoders."""
        return range(self.slices) if self.used is None else self.used


@dataclass(frozen=True)
class FileTask:
    """One file to read, with what a metadata table says of it; ``rows`` of a NumPy archive."""

    source: SourceFile
    attributes: Attributes | None = None
    is_label_map: bool = False
    explicit: bool = False
    """The table was named by the user, so what it says of a DICOM file by its name counts too."""
    rows: tuple[int, int] | None = None
    row_attributes: tuple[Attributes | None, ...] = ()
    last: bool = True
    """Whether the file is done with this task: archives of arrays are read in chunks."""


@dataclass(frozen=True)
class SliceRef:
    """One single-frame file of a CT, MR or PET series, waiting for its siblings.

    ``order`` is its place in the run and decides which of two files with one UID came first.
    """

    order: int
    source: SourceFile
    sha256: str
    draft: InstanceDraft
    header: SliceHeader
    role: Role


@dataclass(frozen=True)
class FileResult:
    """What reading one file gave: an outcome, and what the catalog needs for it."""

    source: SourceFile
    outcome: Outcome
    sha256: str = ""
    reason: Reason | None = None
    detail: str = ""
    instances: tuple[InstanceDraft, ...] = ()
    items: tuple[ItemDraft, ...] = ()
    waiting: tuple[InstanceDraft, SliceHeader, Role] | None = None
    """Set for a slice that waits for its siblings; the outcome is not final then."""
    rows: tuple[int, int] | None = None
    lost_rows: tuple[int, ...] = ()
    """Of a NumPy archive: which rows this is about, and which of them are not usable."""
    last: bool = True


def refused(task: FileTask, reason: Reason, detail: str) -> FileResult:
    """The result of a task that came to nothing."""
    return FileResult(
        task.source,
        Outcome.REJECTED,
        reason=reason,
        detail=detail,
        rows=task.rows,
        lost_rows=tuple(range(*task.rows)) if task.rows else (),
        last=task.last,
    )


@dataclass(frozen=True)
class EarlierSlice:
    """A slice that an earlier run put into the catalog; ``order`` is negative."""

    order: int
    source: SourceFile
    sha256: str


@dataclass(frozen=True)
class SeriesTask:
    """All slices of one series.

    Attributes:
        slices: new files, with `earlier` what the series' items are made of.
        copies: new files whose SOP Instance UID the catalog has already; only compared.
        earlier: slices of earlier runs, to be read again because the series has grown.
        lost: slices that killed or stalled a worker before, with the reason, by order.
    """

    series_instance_uid: str
    slices: tuple[SliceRef, ...]
    copies: tuple[SliceRef, ...] = ()
    earlier: tuple[EarlierSlice, ...] = ()
    lost: Mapping[int, tuple[Reason, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class SeriesResult:
    """What became of a series: its items, and for each slice a draft or a rejection, by order."""

    task: SeriesTask
    drafts: Mapping[int, InstanceDraft]
    rejected: Mapping[int, tuple[Reason, str]]
    items: tuple[ItemDraft, ...]


def item_uid(*parts: object) -> str:
    """A public item id of 26 characters that depends on nothing but these parts."""
    digest = hashlib.sha256("\0".join(str(p) for p in parts).encode()).digest()
    return base64.b32encode(digest).decode().lower()[:26]


def derived_uid(*parts: object) -> str:
    """A DICOM UID under 2.25 (PS3.5 B.2) that depends on nothing but these parts."""
    digest = hashlib.sha256("\0".join(str(p) for p in parts).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"
