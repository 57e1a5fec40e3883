"""Pictures, volumes and arrays that are not DICOM, to drafts with UIDs made from their content."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from indexer.dicom.identity import fingerprint
from indexer.dicom.pixels import hash_pixels
from indexer.dicom.sampling import sample_indices
from indexer.errors import FileRejectedError
from indexer.reading.dicom import merged, patient_draft
from indexer.reading.drafts import (
    FileResult,
    FileTask,
    InstanceDraft,
    ItemDraft,
    ReadOptions,
    derived_uid,
    item_uid,
    refused,
)
from indexer.reading.preparing import prepare_item
from indexer.sources.arrays import describe_npz, read_npz_rows
from indexer.sources.formats import Format
from indexer.sources.raster import read_raster
from indexer.sources.volumes import read_volume
from indexer.types import Attributes, Flag, ImagePixels, Outcome, Pixels, Reason, Role

_UID = re.compile(r"(?=.{1,64}$)[0-2](\.(0|[1-9]\d*))+")


def read_picture(
    task: FileTask, fmt: Format, data: bytes, sha256: str, options: ReadOptions
) -> FileResult:
    """A PNG, JPEG or TIFF; the pages of a TIFF are sampled like the frames of a cine."""
    if task.is_label_map:
        return _linked(task, sha256, options)
    pages = read_raster(data, fmt, options.max_pixel_bytes // 4)
    chosen = sample_indices(len(pages), options.max_frames)
    flags = (Flag.FRAMES_SAMPLED,) if len(chosen) < len(pages) else ()
    draft = _draft(task.attributes, sha256, options)
    units = {i if len(pages) > 1 else None: pages[i] for i in chosen}
    return _result(task, draft, units, flags, options)


def read_volume_file(
    task: FileTask, fmt: Format, data: bytes, sha256: str, options: ReadOptions
) -> FileResult:
    """A NIfTI or NRRD file; masks and label maps are kept as evidence, not embedded."""
    if task.is_label_map:
        return _linked(task, sha256, options)
    limit = options.max_pixel_bytes // 4
    file = read_volume(data, fmt, limit, name=task.source.name)
    if file.is_label_map:
        return _linked(task, sha256, options)
    flags = (Flag.STACKS_SAMPLED,) if len(file.volumes) < file.total else ()
    draft = _draft(task.attributes, sha256, options)
    numbers = file.sampled if file.total > 1 else (None,)
    return _result(task, draft, dict(zip(numbers, file.volumes, strict=True)), flags, options)


def read_array_rows(task: FileTask, sha256: str, options: ReadOptions) -> FileResult:
    """Rows of a NumPy archive: each is an instance, a study and an item of its own."""
    path = Path(task.source.path)
    info = describe_npz(path)
    start, stop = task.rows or (0, info.rows)
    said = task.row_attributes or (None,) * (stop - start)
    instances, items = [], []
    lost: dict[int, FileRejectedError] = {}
    for row, table in zip(read_npz_rows(path, info, start, stop), said, strict=True):
        own = Attributes(split=row.split, labels=row.labels)
        draft = _draft(merged(own, table), row_key(sha256, row.row), options)
        try:
            if row.pixels is None:
                raise FileRejectedError(row.reason or Reason.DECODE_FAILED, row.detail)
            made = _items(draft, {None: row.pixels}, (), options)
        except FileRejectedError as error:
            lost[row.row] = error
            continue
        instances.append(_hashed(draft, made[0]))
        items.extend(made)
    detail = next((f"row {row}: {error.detail}" for row, error in lost.items()), "")
    if not items:
        reason = next((error.reason for error in lost.values()), Reason.NO_PIXEL_DATA)
        return refused(task, reason, detail or "it has no rows")
    return FileResult(
        task.source,
        Outcome.INDEXED,
        detail=detail,
        instances=tuple(instances),
        items=tuple(items),
        lost_rows=tuple(lost),
    )


def row_key(sha256: str, row: int) -> str:
    """What the UIDs of a row are derived from: rows may repeat, so their number counts."""
    return f"{sha256}#{row}"


def instance_uid(key: str) -> str:
    """The SOP Instance UID of a file that has none, from its SHA-256 or its `row_key`."""
    return derived_uid("instance", key)


def _draft(said: Attributes | None, key: str, options: ReadOptions) -> InstanceDraft:
    said = said or Attributes()
    study = _uid("study", said.study_instance_uid, key)
    patient = patient_draft(said, study, options)
    sex = fingerprint(options.key, "", said.sex, "")
    return InstanceDraft(
        sop_instance_uid=instance_uid(key),
        series_instance_uid=_uid("series", said.series_instance_uid, key),
        study_instance_uid=study,
        kind="image",
        patient=replace(patient, fingerprint=sex),
        attributes=replace(said, patient_id="", issuer=""),
    )


def _uid(level: str, said: str, key: str) -> str:
    """A table's UID if it is one; any other text there still groups what shares it."""
    return said if _UID.fullmatch(said) else derived_uid(level, said or key)


def _linked(task: FileTask, sha256: str, options: ReadOptions) -> FileResult:
    draft = replace(_draft(task.attributes, sha256, options), kind="evidence")
    return FileResult(task.source, Outcome.LINKED, instances=(draft,), detail="a label map")


def _result(
    task: FileTask,
    draft: InstanceDraft,
    units: Mapping[int | None, Pixels],
    flags: tuple[Flag, ...],
    options: ReadOptions,
) -> FileResult:
    items = _items(draft, units, flags, options)
    draft = _hashed(replace(draft, frames=len(units), flags=flags), items[0])
    return FileResult(task.source, Outcome.INDEXED, instances=(draft,), items=tuple(items))


def _hashed(draft: InstanceDraft, item: ItemDraft) -> InstanceDraft:
    """Without a header the pixels are all the content there is."""
    return replace(draft, pixel_hash=item.pixel_hash, content_hash=item.pixel_hash)


def _items(
    draft: InstanceDraft,
    units: Mapping[int | None, Pixels],
    flags: tuple[Flag, ...],
    options: ReadOptions,
) -> list[ItemDraft]:
    items = []
    for number, pixels in units.items():
        if (pixels.values == pixels.values.flat[0]).all():
            continue
        said = draft.attributes
        known = replace(
            pixels, modality=said.modality or pixels.modality, body_part=said.body_part.upper()
        )
        prepared = prepare_item(known, options)
        image = isinstance(pixels, ImagePixels)
        items.append(
            ItemDraft(
                uid=item_uid(draft.sop_instance_uid, number),
                kind="image" if image else "volume",
                role=Role.PRIMARY,
                pixel_hash=hash_pixels([pixels.values]),
                tensors=prepared.tensors,
                thumbnail=prepared.thumbnail,
                frame=prepared.frame,
                pixels=prepared.pixels,
                instance_uids=(draft.sop_instance_uid,),
                frame_index=number if image else None,
                stack="" if image or number is None else f"volume={number}",
                slices=1 if image else len(pixels.values),
                flags=(*flags, *prepared.flags),
                details=prepared.details,
            )
        )
    if not items:
        raise FileRejectedError(Reason.BLANK, "all pixels have the same value")
    return items
