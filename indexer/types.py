"""The words the parts of the indexer share: array shapes, pixels, outcomes, hits. No behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from jaxtyping import Float32, Int64, Shaped, UInt8

Embeddings = Float32[np.ndarray, "n dim"]
"""L2-normalised rows unless a docstring says otherwise."""
Embedding = Float32[np.ndarray, " dim"]
ItemIds = Int64[np.ndarray, " n"]
Scores = Float32[np.ndarray, " n"]
GreyImage = Float32[np.ndarray, "height width"]
RgbImage = UInt8[np.ndarray, "height width 3"]
Volume = Shaped[np.ndarray, "slices height width"]
"""int16 where every modality value is a whole number in range, else float32."""
Prepared = Shaped[np.ndarray, "..."]
"""What an encoder's ``prepare`` made of one image or volume."""
Patches = Float32[np.ndarray, "n rows columns dim"]
"""Vectors of the places of ``n`` pictures, from top to bottom and left to right."""
Box = tuple[float, float, float, float]
"""Left edge, top edge, width and height, in pixels; the first pixel begins at 0."""


class Outcome(StrEnum):
    """What became of one file that was handed in: exactly one of these."""

    INDEXED = "indexed"
    """In the catalog with its metadata and, being an image, its vectors."""
    UNCHANGED = "unchanged"
    """Known already, with the same content."""
    LINKED = "linked"
    """Not an image: kept as evidence beside its study."""
    REJECTED = "rejected"
    """Not usable; the reason says why."""
    CONFLICT = "conflict"
    """Its SOP Instance UID is taken by other pixels; the first one stays."""
    SKIPPED = "skipped"
    """Not for us: by name and content no medical image. Nothing is stored but the ledger row."""


class Reason(StrEnum):
    """Why a file did not become an item. docs/reasons.md explains each and how to mend it."""

    NOT_DICOM = "not_dicom"
    METADATA_TABLE = "metadata_table"
    UNREADABLE = "unreadable"
    ARCHIVE_CORRUPT = "archive_corrupt"
    ARCHIVE_ENCRYPTED = "archive_encrypted"
    ARCHIVE_BOMB = "archive_bomb"
    ARCHIVE_NESTED = "archive_nested"
    HEADER_CORRUPT = "header_corrupt"
    NO_UIDS = "no_uids"
    NO_TRANSFER_SYNTAX = "no_transfer_syntax"
    UNSUPPORTED_TRANSFER_SYNTAX = "unsupported_transfer_syntax"
    NO_PIXEL_DATA = "no_pixel_data"
    MISSING_PIXEL_ATTRIBUTE = "missing_pixel_attribute"
    TRUNCATED = "truncated"
    DECODE_FAILED = "decode_failed"
    UNSUPPORTED_PHOTOMETRIC = "unsupported_photometric"
    TOO_LARGE = "too_large"
    BLANK = "blank"
    DICOMDIR = "dicomdir"
    UID_CONFLICT = "uid_conflict"
    SERIES_INCOMPLETE_SOURCE = "series_incomplete_source"
    ENCODER_FAILED = "encoder_failed"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    WORKER_DIED = "worker_died"
    UNSTABLE = "unstable"
    INTERNAL_ERROR = "internal_error"


class Flag(StrEnum):
    """Something a reader of the item should know; it was accepted all the same."""

    NO_PREAMBLE = "no_preamble"
    GUESSED_TRANSFER_SYNTAX = "guessed_transfer_syntax"
    DERIVED_UIDS = "derived_uids"
    EXCESS_PIXEL_BYTES = "excess_pixel_bytes"
    BITS_INCONSISTENT = "bits_inconsistent"
    ELEMENT_IGNORED = "element_ignored"
    CHARSET_REPLACED = "charset_replaced"
    VOI_INVALID = "voi_invalid"
    RESCALE_INVALID = "rescale_invalid"
    HU_IMPLAUSIBLE = "hu_implausible"
    NON_SQUARE_PIXELS = "non_square_pixels"
    OVERLAY_STRIPPED = "overlay_stripped"
    NO_GEOMETRY = "no_geometry"
    FEW_SLICES = "few_slices"
    DUPLICATE_POSITIONS = "duplicate_positions"
    UNEVEN_SPACING = "uneven_spacing"
    MISSING_SLICES = "missing_slices"
    GANTRY_TILT = "gantry_tilt"
    THICKNESS_DIFFERS = "thickness_differs"
    SLICES_SAMPLED = "slices_sampled"
    FRAMES_SAMPLED = "frames_sampled"
    STACKS_SAMPLED = "stacks_sampled"
    MOSAIC = "mosaic"
    WHOLE_SLIDE_TILES = "whole_slide_tiles"
    BURNED_IN_SUSPECT = "burned_in_suspect"
    MODALITY_UNKNOWN = "modality_unknown"
    OUTSIDE_PURPOSE = "outside_purpose"


class Role(StrEnum):
    """What an image is for. Search looks at ``primary`` unless told otherwise."""

    PRIMARY = "primary"
    LOCALIZER = "localizer"
    SECONDARY = "secondary"
    DERIVED = "derived"
    TEST = "test"
    """Phantom, quality-assurance or test-pattern acquisitions."""


@dataclass(frozen=True)
class Window:
    """A VOI window: ``center`` and ``width`` in modality units (HU for CT), PS3.3 C.11.2.1.2."""

    center: float
    width: float
    function: str = "LINEAR"


@dataclass(frozen=True)
class ImagePixels:
    """One frame, decoded, the modality LUT applied, before any window.

    Attributes:
        values: grey: float32 ``(h, w)`` in modality units; colour: uint8 RGB ``(h, w, 3)``.
        modality, body_part: as DICOM codes them, ``""`` where unknown.
        inverted: low values are to be shown bright (MONOCHROME1, or PresentationLUTShape INVERSE).
            The values themselves are as stored: whoever shows or encodes inverts, once.
        window: the file's own first VOI window, or None.
        voi_lut: the file's own VOI LUT as (first mapped value, entries scaled to 0..1), or None.
        padding: bool ``(h, w)``, True where there is no image (pixel padding), or None.
        spacing: row and column spacing in mm, or None.
        aspect: height of a pixel divided by its width.
    """

    values: GreyImage | RgbImage
    modality: str = ""
    inverted: bool = False
    window: Window | None = None
    voi_lut: tuple[float, GreyImage] | None = None
    padding: np.ndarray | None = None
    spacing: tuple[float, float] | None = None
    aspect: float = 1.0
    body_part: str = ""


@dataclass(frozen=True)
class VolumePixels:
    """A stack of parallel slices in the order of their positions.

    Attributes:
        values: ``(slices, rows, columns)`` in modality units (HU for CT).
        modality, body_part: as DICOM codes them, ``""`` where unknown.
        spacing: slice, row and column spacing in mm.
        orientation: unit vectors (patient LPS) along slices, rows' index and columns' index, as a
            flat tuple of nine; ``values[k, j, i]`` lies at ``origin + k*s0*o[0:3] + j*s1*o[3:6] +
            i*s2*o[6:9]``.
        origin: position (mm, LPS) of ``values[0, 0, 0]``.
        inverted, window: as for `ImagePixels`.
        padding_value: modality value that marks "no image", or None.
        sheared: the slice step is not along the slice normal (gantry tilt); not yet corrected.
    """

    values: Volume
    modality: str
    spacing: tuple[float, float, float]
    orientation: tuple[float, ...]
    origin: tuple[float, float, float]
    inverted: bool = False
    window: Window | None = None
    padding_value: float | None = None
    sheared: bool = False
    body_part: str = ""


Pixels = ImagePixels | VolumePixels


@dataclass(frozen=True)
class Frame:
    """Size of an image, or of the slices of a volume, as it was read.

    Attributes:
        rows, columns: of pixels.
        aspect: height of a pixel divided by its width.
    """

    rows: int
    columns: int
    aspect: float = 1.0


@dataclass(frozen=True)
class EncoderSpec:
    """What an encoder is, as stored with every space it fills.

    Attributes:
        name: registry name.
        dim: length of its vectors.
        inputs: ``"image"``, ``"volume"`` or both.
        modalities, body_parts: as DICOM codes them, what it was made for; empty means any.
        weights: SHA-256 of its weights, or ``"builtin-<version>"``.
        preprocessing: version of its `prepare`; a change makes a new space.
        licence: SPDX identifier of the weights.
        notice: a sentence that every answer made with it repeats, or ``""``.
        has_text, has_patches: whether it also is a `TextEncoder`, a `PatchEncoder`.
    """

    name: str
    dim: int
    inputs: frozenset[str]
    modalities: frozenset[str]
    weights: str
    preprocessing: str
    licence: str
    notice: str = ""
    has_text: bool = False
    has_patches: bool = False
    body_parts: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Attributes:
    """What a catalog row, a CSV row or a DICOM header says about an image. Empty means unknown.

    ``labels`` maps a label's name to its values; ``extra`` keeps what has no column of its own.
    ``patient_id`` is the real one and never leaves the ingest: the catalog keeps a pseudonym.
    """

    patient_id: str = ""
    issuer: str = ""
    sex: str = ""
    age_years: float | None = None
    study_instance_uid: str = ""
    series_instance_uid: str = ""
    study_date: str = ""
    modality: str = ""
    body_part: str = ""
    view: str = ""
    laterality: str = ""
    study_description: str = ""
    series_description: str = ""
    manufacturer: str = ""
    model: str = ""
    report: str = ""
    split: str = ""
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class SliceMatch:
    """The slice of a volume that is most like the query.

    Attributes:
        number, of: which slice, from one, of how many.
        sop_instance_uid, frame_number: where it is.
        score: its cosine with the query's slice.
        query_slice: which slice of the query's volume, from one; None if the query is no volume.
    """

    number: int
    of: int
    sop_instance_uid: str
    frame_number: int | None
    score: float
    query_slice: int | None


@dataclass(frozen=True)
class VoiceRank:
    """One of the voices that found a hit.

    Attributes:
        voice: name of the encoder whose space found it, or ``keywords``.
        how: ``image``, ``region``, ``text tower``, ``bridge`` or ``words``.
        rank: place in that voice's own list, from one.
        score: cosine; of keywords BM25, higher is better.
        exact: whether the voice compared every candidate.
    """

    voice: str
    how: str
    rank: int
    score: float
    exact: bool


@dataclass(frozen=True)
class PairMatch:
    """A part of the query and the part of a study that is most like it (late interaction).

    Attributes:
        query_series, query_slice: series of the query's part, and its slice from one; None of an
            image.
        item: public id of the item that fits best.
        slice_number: its slice from one; None of an image.
        score: cosine of the two.
    """

    query_series: str
    query_slice: int | None
    item: str
    slice_number: int | None
    score: float


@dataclass(frozen=True)
class Evidence:
    """What speaks for a hit, beside its score.

    Attributes:
        percentile: share of random pairs of other patients, of the same space and modality, that
            are less alike than query and hit, 0 to 100; None where there are too few pairs.
        pairs: how many random pairs that rests on.
        shared, differing: tags of query and hit by field: the value, or (the query's, the hit's).
    """

    percentile: float | None
    pairs: int
    shared: Mapping[str, str]
    differing: Mapping[str, tuple[str, str]]


@dataclass(frozen=True)
class Hit:
    """One neighbour.

    Attributes:
        id: public id of the item.
        score: higher is nearer: cosine in [-1, 1], or what the ranking counts.
        patient: pseudonym, ``""`` where the id is missing or shared by strangers.
        more: further items of the same study, or patient, among those looked at.
        match: of a volume whose slices are known, the one that is most like the query.
        voices: which spaces and words found it, at which place of their own lists.
        snippet: the words around those that were looked up.
        pairs: of late interaction the parts of query and study that are most alike, best first.
        evidence: what speaks for it, where that was asked for.
        viewer_url: where a viewer shows it; None without one.
    """

    id: str
    score: float
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    frame_number: int | None
    kind: str
    modality: str
    body_part: str
    view: str
    description: str
    patient: str
    sex: str
    age_years: float | None
    study_date: str
    role: str
    flags: tuple[str, ...]
    labels: Mapping[str, tuple[str, ...]]
    more: int = 0
    match: SliceMatch | None = None
    voices: tuple[VoiceRank, ...] = ()
    snippet: str = ""
    pairs: tuple[PairMatch, ...] = ()
    evidence: Evidence | None = None
    viewer_url: str | None = None


@dataclass(frozen=True)
class LabelVote:
    """What the nearest patients say of a label.

    Attributes:
        name, value: the label.
        share: weighted share of the votes.
        probability: calibrated on the library, leaving each patient out in turn; None where there
            are too few labelled patients for that.
        voters: patients that voted.
        note: why there is no probability, else "".
        fitted_on: patients of the library that the probability was calibrated on.
        error: expected calibration error of such probabilities, on patients they were not
            calibrated on; None without a probability.
    """

    name: str
    value: str
    share: float
    probability: float | None
    voters: int
    note: str = ""
    fitted_on: int = 0
    error: float | None = None
