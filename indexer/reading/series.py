"""A series of single-frame files to items."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace

from indexer.dicom.opening import open_dicom, tolerant
from indexer.dicom.pixels import FrameReader, hash_pixels
from indexer.errors import FileRejectedError
from indexer.reading.dicom import with_hashes
from indexer.reading.drafts import (
    FileTask,
    InstanceDraft,
    ReadOptions,
    SeriesResult,
    SeriesTask,
    SliceRef,
)
from indexer.reading.files import read_file
from indexer.reading.slices import SliceAssembler
from indexer.types import Flag, ImagePixels, Reason
from indexer.workers import Progress


def read_series(task: SeriesTask, options: ReadOptions, progress: Progress) -> SeriesResult:
    """Decode all slices of a series and make its items.

    Of several files with one SOP Instance UID the first in order that can be used is the instance;
    the drafts of the others carry their own content hash, for the writer to compare.
    """
    rejected = dict(task.lost)
    drafts: dict[int, InstanceDraft] = {}
    incomplete = False
    earlier = _reopened(task, options, progress, rejected)
    chosen = [ref for ref in (*earlier, *task.slices) if ref.order not in rejected]
    firsts = _firsts(chosen)
    assembler = SliceAssembler(
        task.series_instance_uid,
        [replace(ref.header, key=ref.order) for ref in firsts.values()],
        {ref.order: ref.role for ref in firsts.values()},
        options,
    )
    for ref in (*chosen, *task.copies):
        if ref.order in rejected:
            continue
        progress(ref.order)
        is_first = firsts.get(ref.draft.sop_instance_uid) is ref
        try:
            image, draft, flags = _decode_slice(ref, options)
        except FileRejectedError as error:
            rejected[ref.order] = (error.reason, error.detail)
            incomplete |= is_first
            continue
        drafts[ref.order] = draft
        if is_first:
            assembler.add(ref.order, image, draft.sop_instance_uid, draft.pixel_hash, flags)
    if incomplete:  # planned again as if the broken slices had never been there
        return read_series(replace(task, lost=rejected), options, progress)
    items = tuple(assembler.items())
    rejected.update(assembler.rejected)
    if any(ref.order in rejected and _has_heir(ref, drafts, rejected) for ref in firsts.values()):
        return read_series(replace(task, lost=rejected), options, progress)
    kept = {order: draft for order, draft in drafts.items() if order not in rejected}
    return SeriesResult(task, kept, rejected, items)


def _reopened(
    task: SeriesTask,
    options: ReadOptions,
    progress: Progress,
    rejected: dict[int, tuple[Reason, str]],
) -> list[SliceRef]:
    """Headers of the slices of earlier runs; one that is gone or changed goes to ``rejected``."""
    found = []
    for slice_ in task.earlier:
        if slice_.order in rejected:
            continue
        progress(slice_.order)
        result = read_file(FileTask(slice_.source), options)
        if result.waiting is None or result.sha256 != slice_.sha256:
            rejected[slice_.order] = (Reason.UNREADABLE, "gone or changed since it was indexed")
            continue
        draft, header, role = result.waiting
        found.append(SliceRef(slice_.order, slice_.source, result.sha256, draft, header, role))
    return found


def _has_heir(
    first: SliceRef, drafts: Mapping[int, InstanceDraft], rejected: Mapping[int, object]
) -> bool:
    """Whether another usable file can stand in for a rejected first one."""
    uid = first.draft.sop_instance_uid
    return any(d.sop_instance_uid == uid for order, d in drafts.items() if order not in rejected)


def _firsts(refs: list[SliceRef]) -> dict[str, SliceRef]:
    """The first slice of each SOP Instance UID."""
    seen: dict[str, SliceRef] = {}
    for ref in refs:
        seen.setdefault(ref.draft.sop_instance_uid, ref)
    return seen


def _decode_slice(
    ref: SliceRef, options: ReadOptions
) -> tuple[ImagePixels, InstanceDraft, set[Flag]]:
    data = ref.source.read_bytes(options.max_file_bytes)
    if hashlib.sha256(data).hexdigest() != ref.sha256:
        raise FileRejectedError(Reason.UNSTABLE, "the file changed while it was being indexed")
    bare = Flag.NO_PREAMBLE in ref.draft.flags or data[128:132] != b"DICM"
    opened = open_dicom(data, bare=bare, max_inflated=options.max_file_bytes)
    opened.flags.update(ref.draft.flags)
    with tolerant(opened.flags):
        reader = FrameReader(opened, options.max_pixel_bytes)
        stored = next(reader.frames([0]))
        image = reader.image(stored, 0)
        draft = with_hashes(ref.draft, opened.dataset, [hash_pixels([stored])])
    draft = replace(draft, decoder=reader.decoder, flags=tuple(sorted(opened.flags)))
    return image, draft, opened.flags
