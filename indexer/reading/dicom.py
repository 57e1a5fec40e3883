"""A DICOM file to drafts: identity, pixels, items. A slice is sent back to wait for its series."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace

import numpy as np
from pydicom import Dataset

from indexer.dicom.attributes import attributes_of, fingerprint_of
from indexer.dicom.classify import (
    Kind,
    burned_in_suspect,
    is_derived,
    is_whole_slide,
    kind_of,
    role_of,
)
from indexer.dicom.frames import (
    demosaic,
    enhanced_headers,
    is_mosaic,
    mosaic_headers,
    mosaic_is_square,
    slice_header,
)
from indexer.dicom.geometry import SliceHeader
from indexer.dicom.identity import names_nobody, pseudonym, study_pseudonym
from indexer.dicom.opening import (
    READ_ERRORS,
    OpenedDicom,
    elements_of,
    open_dicom,
    text_of,
    tolerant,
    uid_of,
    value_of,
)
from indexer.dicom.pixels import FrameReader, hash_pixels, is_blank
from indexer.dicom.report import is_own, report_text
from indexer.dicom.sampling import sample_indices
from indexer.errors import FileRejectedError
from indexer.reading.drafts import (
    FileResult,
    FileTask,
    InstanceDraft,
    ItemDraft,
    PatientDraft,
    ReadOptions,
    derived_uid,
    item_uid,
)
from indexer.reading.preparing import prepare_item
from indexer.reading.slices import SliceAssembler
from indexer.types import Attributes, Flag, ImagePixels, Outcome, Reason, Role

_DICOMDIR = "1.2.840.10008.1.3.10"
_VECTOR_KEYWORDS = (
    "RescaleSlope",
    "RescaleIntercept",
    "ModalityLUTSequence",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "VOILUTSequence",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "PixelAspectRatio",
    "PixelPaddingValue",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)
"""With the pixels these decide an instance's vector; if one differs, the content differs."""


def read_dicom(
    task: FileTask, data: bytes, sha256: str, options: ReadOptions, *, bare: bool
) -> FileResult:
    """Read a DICOM file; a single-frame CT, MR or PET slice comes back ``waiting``.

    Raises:
        FileRejectedError: with the reason.
    """
    opened = open_dicom(data, bare=bare, max_inflated=options.max_file_bytes)
    with tolerant(opened.flags):
        return _read_opened(task, opened, sha256, options)


def _read_opened(
    task: FileTask, opened: OpenedDicom, sha256: str, options: ReadOptions
) -> FileResult:
    ds = opened.dataset
    if _class_of(ds) == _DICOMDIR:
        return FileResult(
            task.source,
            Outcome.SKIPPED,
            reason=Reason.DICOMDIR,
            detail="a DICOMDIR; the files it names are read themselves",
        )
    kind = kind_of(ds)
    draft = _instance(opened, kind, task, sha256, options)
    if kind is Kind.EVIDENCE:
        if opened.cut:
            raise FileRejectedError(Reason.TRUNCATED, "the file ends in the middle of an element")
        if is_own(ds):  # "similar studies" is no word about the study
            said = replace(draft.attributes, series_description="")
            draft = replace(draft, attributes=said)
        draft = replace(
            draft,
            report=report_text(ds),
            flags=_flags(opened),
            content_hash=_evidence_hash(ds),
        )
        return FileResult(task.source, Outcome.LINKED, instances=(draft,))
    reader = FrameReader(opened, options.max_pixel_bytes)
    shape = reader.shape
    draft = replace(draft, rows=shape.rows, columns=shape.columns, frames=shape.frames)
    tiles = mosaic_headers(ds)
    if tiles:
        draft, items = _read_mosaic(reader, draft, tiles, options)
    elif is_mosaic(ds):
        draft, items = _read_uncut_mosaic(reader, draft, options)
    elif kind is Kind.MULTIFRAME_VOLUME and shape.frames > 1:
        draft, items = _read_multiframe(reader, draft, options)
    elif kind is Kind.SLICE and shape.frames == 1:
        # Its pixels are decoded once, with its siblings; now only the header is needed.
        waiting = (replace(draft, flags=_flags(opened)), slice_header(ds, 0), role_of(ds))
        return FileResult(task.source, Outcome.INDEXED, waiting=waiting)
    else:
        draft, items = _read_frames(reader, draft, options)
    # Complete in itself: never to be assembled with other files of its series.
    kind = Kind.IMAGE if items[0].kind == "image" else Kind.MULTIFRAME_VOLUME
    draft = replace(draft, kind=kind.value, flags=_flags(opened), decoder=reader.decoder)
    return FileResult(task.source, Outcome.INDEXED, instances=(draft,), items=tuple(items))


def _class_of(ds: Dataset) -> str:
    return uid_of(ds, "SOPClassUID") or uid_of(ds.file_meta, "MediaStorageSOPClassUID")


def _flags(opened: OpenedDicom) -> tuple[Flag, ...]:
    return tuple(sorted(opened.flags))


def _instance(
    opened: OpenedDicom, kind: Kind, task: FileTask, sha256: str, options: ReadOptions
) -> InstanceDraft:
    """Identity and attributes, missing UIDs derived (I5) and the patient pseudonymised."""
    ds = opened.dataset
    said = merged(attributes_of(ds), task.attributes if task.explicit else None)
    sop = uid_of(ds, "SOPInstanceUID") or uid_of(ds.file_meta, "MediaStorageSOPInstanceUID")
    study, series = said.study_instance_uid, said.series_instance_uid
    if not (sop and study and series):
        opened.flags.add(Flag.DERIVED_UIDS)
    nobody = not (study and series)
    sop = sop or derived_uid("instance", sha256)
    study = study or derived_uid("study", series or sop)
    series = series or derived_uid("series", sop)
    if burned_in_suspect(ds):
        opened.flags.add(Flag.BURNED_IN_SUSPECT)
    fingerprint = fingerprint_of(options.key, ds)
    return InstanceDraft(
        sop_instance_uid=sop,
        series_instance_uid=series,
        study_instance_uid=study,
        kind=kind.value,
        patient=replace(
            patient_draft(said, study, options, nobody=nobody), fingerprint=fingerprint
        ),
        attributes=replace(said, patient_id="", issuer=""),
        sop_class_uid=_class_of(ds),
        transfer_syntax_uid=str(opened.transfer_syntax or ""),
    )


def patient_draft(
    said: Attributes, study: str, options: ReadOptions, *, nobody: bool = False
) -> PatientDraft:
    """Pseudonymise a patient; an id that names nobody stands for the one study only (I5)."""
    nobody = nobody or names_nobody(said.patient_id)
    name = (
        study_pseudonym(options.key, study)
        if nobody
        else pseudonym(options.key, said.patient_id, said.issuer)
    )
    return PatientDraft(name, said.patient_id if options.keep_phi else None, nobody)


def merged(header: Attributes, table: Attributes | None) -> Attributes:
    """What the file says, with what a table adds; where both speak, the table does.

    Identity stays the file's: a table cannot move an instance to another patient or study.
    """
    if table is None:
        return header
    own = ("patient_id", "issuer", "study_instance_uid", "series_instance_uid")
    chosen = {
        f.name: getattr(table, f.name)
        for f in fields(Attributes)
        if getattr(table, f.name) not in ("", None, {})
        and not (f.name in own and getattr(header, f.name))
    }
    return replace(header, **chosen)


def _read_frames(
    reader: FrameReader, draft: InstanceDraft, options: ReadOptions
) -> tuple[InstanceDraft, list[ItemDraft]]:
    """Radiographs, ultrasound, photographs, cines: each sampled frame is an item (W7)."""
    ds, frames = reader.ds, reader.shape.frames
    chosen = sample_indices(frames, options.max_frames)
    if len(chosen) < frames:
        reader.flags.add(Flag.FRAMES_SAMPLED)
    if is_whole_slide(ds):
        reader.flags.add(Flag.WHOLE_SLIDE_TILES)
    items: list[ItemDraft] = []
    hashes: list[str] = []
    role = role_of(ds)
    rest = sorted(set(range(frames)) - set(chosen))  # looked at while all of the sample is blank
    for index, stored in zip([*chosen, *rest], reader.frames([*chosen, *rest]), strict=True):
        if index in rest and items:
            break
        hashes.append(hash_pixels([stored]))
        if is_blank(stored):
            continue
        image = reader.image(stored, index)
        prepared = prepare_item(image, options)
        reader.flags.update(prepared.flags)
        items.append(
            ItemDraft(
                uid=item_uid(draft.sop_instance_uid, index if frames > 1 else None),
                kind="image",
                role=role,
                pixel_hash=hashes[-1],
                tensors=prepared.tensors,
                thumbnail=prepared.thumbnail,
                frame=prepared.frame,
                pixels=prepared.pixels,
                instance_uids=(draft.sop_instance_uid,),
                frame_index=index if frames > 1 else None,
                details=prepared.details
                | ({"frames": frames, "sampled": chosen} if frames > 1 else {}),
            )
        )
    if not items:
        raise FileRejectedError(Reason.BLANK, "all pixels have the same value")
    own = _flags(reader.opened)
    items = [replace(item, flags=own) for item in items]
    return with_hashes(draft, ds, hashes), items


def _read_multiframe(
    reader: FrameReader, draft: InstanceDraft, options: ReadOptions
) -> tuple[InstanceDraft, list[ItemDraft]]:
    """Enhanced CT, MR and PET: frames are slices with places of their own (V6)."""
    ds = reader.ds
    headers = enhanced_headers(ds)
    if all(h.position is None for h in headers):
        reader.flags.add(Flag.NO_GEOMETRY)
        return _read_frames(reader, draft, options)
    images = (
        (reader.image(stored, index), stored)
        for index, stored in enumerate(reader.frames(range(reader.shape.frames)))
    )
    return _assemble(reader, draft, headers, images, options)


def _read_mosaic(
    reader: FrameReader, draft: InstanceDraft, headers: Sequence[SliceHeader], options: ReadOptions
) -> tuple[InstanceDraft, list[ItemDraft]]:
    """A mosaic is cut into the slices it holds (V7)."""
    reader.flags.add(Flag.MOSAIC)
    stored = next(iter(reader.frames([0])))
    whole = reader.image(stored, 0)
    square = mosaic_is_square(reader.ds)
    tiles = demosaic(whole.values, len(headers), square=square)
    raw = demosaic(stored, len(headers), square=square)
    images = ((replace(whole, values=v, padding=None), r) for v, r in zip(tiles, raw, strict=True))
    return _assemble(reader, draft, headers, images, options)


def _read_uncut_mosaic(
    reader: FrameReader, draft: InstanceDraft, options: ReadOptions
) -> tuple[InstanceDraft, list[ItemDraft]]:
    """A mosaic that lost what says how to cut it: a picture of many slices, not to be compared."""
    reader.flags.add(Flag.MOSAIC)
    draft, items = _read_frames(reader, draft, options)
    return draft, [replace(item, role=Role.DERIVED) for item in items]


def _assemble(
    reader: FrameReader,
    draft: InstanceDraft,
    headers: Sequence[SliceHeader],
    images: Iterable[tuple[ImagePixels, np.ndarray]],
    options: ReadOptions,
) -> tuple[InstanceDraft, list[ItemDraft]]:
    uid = draft.sop_instance_uid
    role = role_of(reader.ds)
    derived = {h.key for h in headers if role is Role.PRIMARY and is_derived(h.image_type)}
    roles = {h.key: Role.DERIVED if h.key in derived else role for h in headers}
    assembler = SliceAssembler(uid, headers, roles, options, one_object=True)
    hashes = []
    for key, (image, stored) in enumerate(images):
        hashes.append(hash_pixels([stored]))
        assembler.add(key, image, uid, hashes[-1], reader.flags)
    items = assembler.items()
    if not items:
        reason, detail = next(
            iter(assembler.rejected.values()), (Reason.BLANK, "no frame could be used")
        )
        raise FileRejectedError(reason, detail)
    return with_hashes(draft, reader.ds, hashes), items


def with_hashes(draft: InstanceDraft, ds: Dataset, hashes: Sequence[str]) -> InstanceDraft:
    """The draft with the hashes of its frames' pixels and of all that decides its vector."""
    pixel_hash = hashes[0] if len(hashes) == 1 else _sha(*hashes)
    return replace(draft, pixel_hash=pixel_hash, content_hash=content_hash(ds, pixel_hash))


def content_hash(ds: Dataset, pixel_hash: str) -> str:
    """SHA-256 of all that decides the vector: decoded pixels, rescale, window, geometry.

    Demographics are not in it, so a corrected resend is a metadata update (I2), and neither is the
    encoding, so a lossless copy is the same content, however it writes its decimals.
    """
    photometric = text_of(ds, "PhotometricInterpretation").upper()
    shown = "MONOCHROME1" if photometric == "MONOCHROME1" else ""
    values = [f"{k}={_canonical(value_of(ds, k))}" for k in _VECTOR_KEYWORDS]
    return _sha(pixel_hash, shown, text_of(ds, "PresentationLUTShape"), *values)


def _canonical(value: object) -> str:
    """A value as text, the same for 1 and 1.000; what is broken is left out (F7)."""
    match value:
        case str() | bytes():
            return str(value)
        case int() | float():
            return f"{float(value):.9g}"
        case Dataset():
            return "".join(f"{e.tag}{_canonical(e.value)}" for e in elements_of(value))
        case Sequence():
            return f"[{'|'.join(map(_canonical, value))}]"
        case _:
            return str(value)


def _evidence_hash(ds: Dataset) -> str:
    """SHA-256 of all elements but the bulk of the pixels, which may be compressed or not."""
    bulk = (0x0002, 0x7FE0)
    return _sha(*(_printed(e) for e in elements_of(ds) if e.tag.group not in bulk))


def _printed(value: object) -> str:
    """A value or element as text; one that holds something broken has none (F7)."""
    try:
        return str(value)
    except READ_ERRORS:
        return ""


def _sha(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
