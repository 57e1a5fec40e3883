"""Slices to items: one way for series of files, enhanced multi-frame objects and mosaics.

A plan is made from the headers first, so that of a long series only the slices that will reach an
encoder are held in memory; every slice is decoded all the same, to be checked and hashed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from indexer.dicom.geometry import SliceHeader, Stack, StackPlan, build_stacks
from indexer.dicom.render import LUMINANCE, render_frame
from indexer.dicom.sampling import sample_indices
from indexer.errors import FileRejectedError
from indexer.reading.drafts import ItemDraft, ReadOptions, item_uid
from indexer.reading.preparing import prepare_item
from indexer.types import Flag, ImagePixels, Reason, Role, Volume, VolumePixels

_CT_OUTSIDE = -1500.0
"""CT values that are padding, not air, become this; see indexer/dicom/pixels.py."""
_LOCALIZER_SLICES = 3
_PARALLEL = 0.99


class SliceAssembler:
    """Collects decoded slices and turns them into image and volume items.

    Args:
        name: what the uids of the items are made from: a series or SOP Instance UID.
        headers: places of all slices; keys are the caller's.
        roles: what each slice is for; slices of different roles never share a volume.
        one_object: the slices are frames of one instance: their items carry frame numbers, and of
            frames that make no volume only a sample becomes items (W7).
    """

    def __init__(
        self,
        name: str,
        headers: Sequence[SliceHeader],
        roles: Mapping[int, Role],
        options: ReadOptions,
        *,
        one_object: bool = False,
    ) -> None:
        self._name, self._roles, self._options = name, roles, options
        self._one_object = one_object
        self._headers = {h.key: h for h in headers}
        self._kept: dict[int, ImagePixels] = {}
        self._hashes: dict[int, str] = {}
        self._uids: dict[int, str] = {}
        self._flags: dict[int, frozenset[Flag]] = {}
        self._blank: set[int] = set()
        self._items: list[ItemDraft] = []
        self._spare: dict[str, tuple[int, ImagePixels]] = {}
        """Of each stack, and of the singles, the first slice neither sampled nor blank."""
        self.rejected: dict[int, tuple[Reason, str]] = {}
        self._plan()

    def add(
        self, key: int, image: ImagePixels, sop_uid: str, pixel_hash: str, flags: set[Flag]
    ) -> None:
        """Hand in one decoded slice."""
        self._hashes[key], self._uids[key] = pixel_hash, sop_uid
        self._flags[key] = frozenset(flags)
        if float(image.values.max()) == float(image.values.min()):
            self._blank.add(key)
        if key in self._singles:
            self._single(key, image)
        elif key in self._wanted:
            self._kept[key] = _compact(image)
        elif key not in self._blank:
            stack = self._stack_of.get(key, "")
            if stack or key in self._all_singles:
                self._spare.setdefault(stack, (key, _compact(image) if stack else image))

    def items(self) -> list[ItemDraft]:
        """All items, images first; slices that could not become one are in `rejected`."""
        if "" in self._spare and not self._items:
            key, image = self._spare[""]
            self._singles[key] = self._all_singles[key]
            self._single(key, image)
        for role, plan in self._plans:
            for stack in plan.stacks:
                self._volume(stack, role)
        return self._items

    def _plan(self) -> None:
        self._plans: list[tuple[Role, StackPlan]] = []
        for role in Role:
            chosen = [h for k, h in self._headers.items() if self._roles[k] == role]
            if chosen:
                plan = build_stacks(
                    chosen,
                    min_slices=self._options.min_slices,
                    max_stacks=self._options.max_stacks,
                )
                self._plans.append((role, plan))
        self._singles = self._chosen_singles()
        self._stack_of = {
            k: f"{role}{s.name}" for role, p in self._plans for s in p.stacks for k in s.keys
        }
        self._wanted = {k for _, p in self._plans for s in p.stacks for k in self._sampled(s)}

    def _chosen_singles(self) -> dict[int, tuple[Flag, ...]]:
        self._all_singles = singles = {k: flags for _, p in self._plans for k, flags in p.singles}
        if not self._one_object or len(singles) <= self._options.max_frames:
            return singles
        keys = sorted(singles)
        chosen = [keys[i] for i in sample_indices(len(keys), self._options.max_frames)]
        return {k: (*singles[k], Flag.FRAMES_SAMPLED) for k in chosen}

    def _sampled(self, stack: Stack) -> list[int]:
        header = self._headers[stack.keys[0]]
        slice_bytes = max(1, header.rows * header.columns * 4)
        cap = max(8, min(self._options.max_slices, self._options.max_pixel_bytes // slice_bytes))
        return [stack.keys[i] for i in sample_indices(len(stack.keys), cap)]

    def _single(self, key: int, image: ImagePixels) -> None:
        if key in self._blank:
            self.rejected[key] = (Reason.BLANK, "all pixels have the same value")
            return
        frame = self._headers[key]
        try:
            prepared = prepare_item(image, self._options)
        except FileRejectedError as error:
            self.rejected[key] = (error.reason, error.detail)
            return
        self._items.append(
            ItemDraft(
                uid=item_uid(self._uids[key], self._frame_name(key)),
                kind="image",
                role=self._role_by_plane(
                    Role.LOCALIZER if frame.localizer else self._roles[key], frame.orientation, 1
                ),
                pixel_hash=self._hashes[key],
                tensors=prepared.tensors,
                thumbnail=prepared.thumbnail,
                frame=prepared.frame,
                pixels=prepared.pixels,
                instance_uids=(self._uids[key],),
                frame_index=self._frame_name(key),
                flags=_sorted({*self._flags[key], *self._singles[key], *prepared.flags}),
                details=prepared.details
                | (
                    {"frames": len(self._headers), "sampled": sorted(self._singles)}
                    if self._one_object
                    else {}
                ),
            )
        )

    def _frame_name(self, key: int) -> int | None:
        """Frames of one object are told apart by index; files by their UID alone."""
        return key if self._one_object else None

    def _role_by_plane(self, role: Role, orientation: Sequence[float] | None, slices: int) -> Role:
        """A few slices across all volumes of the series are its localizer, tagged or not (W2).

        Args:
            role: what the tags say.
            orientation: along a row and down a column.
            slices: how many lie side by side.
        """
        volumes = [
            stack for _, plan in self._plans for stack in plan.stacks if len(stack.keys) > slices
        ]
        if role is not Role.PRIMARY or slices > _LOCALIZER_SLICES or not (volumes and orientation):
            return role
        normal = np.cross(orientation[:3], orientation[3:])
        across = all(
            abs(float(normal @ np.cross(s.orientation[3:6], s.orientation[6:9]))) < _PARALLEL
            for s in volumes
        )
        return Role.LOCALIZER if across else role

    def _volume(self, stack: Stack, role: Role) -> None:
        spare = self._spare.get(f"{role}{stack.name}")
        if spare and not any(k in self._kept and k not in self._blank for k in stack.keys):
            self._kept[spare[0]] = spare[1]
        held = [k for k in stack.keys if k in self._kept and k not in self._blank]
        if not held:
            for key in stack.keys:
                self.rejected[key] = (Reason.BLANK, "every slice of its volume is blank")
            return
        places = [place for place, k in enumerate(stack.keys) if k in self._kept]
        keys = [stack.keys[place] for place in places]
        pixels = _volume_pixels(stack, [self._kept.pop(k) for k in keys])
        try:
            prepared = prepare_item(pixels, self._options)
        except FileRejectedError as error:
            for key in stack.keys:
                self.rejected[key] = (error.reason, error.detail)
            return
        flags = {f for k in stack.keys for f in self._flags[k]}
        flags.update(stack.flags, prepared.flags)
        if len(keys) < len(stack.keys):
            flags.add(Flag.SLICES_SAMPLED)
        uids = tuple(dict.fromkeys(self._uids[k] for k in stack.keys))
        self._items.append(
            ItemDraft(
                uid=item_uid(self._name, role.value, stack.name),
                kind="volume",
                role=self._role_by_plane(
                    Role.LOCALIZER if stack.localizer else role,
                    (*stack.orientation[6:9], *stack.orientation[3:6]),
                    len(stack.keys),
                ),
                pixel_hash=_joined(self._hashes[k] for k in stack.keys),
                tensors=prepared.tensors,
                thumbnail=prepared.thumbnail,
                frame=prepared.frame,
                pixels=prepared.pixels,
                instance_uids=uids,
                stack=stack.label,
                slices=len(stack.keys),
                used=tuple(places) if len(places) < len(stack.keys) else None,
                flags=_sorted(flags),
                details=prepared.details
                | {
                    "spacing_mm": [round(v, 5) for v in stack.spacing],
                    "orientation": [round(v, 6) for v in stack.orientation],
                    "origin_mm": [round(v, 3) for v in stack.origin],
                    "tilt_degrees": round(stack.tilt_degrees, 2),
                    "slices_used": len(keys),
                }
                | ({"frames": list(stack.keys)} if self._one_object else {}),
            )
        )


def _volume_pixels(stack: Stack, frames: list[ImagePixels]) -> VolumePixels:
    kinds = {f.values.dtype for f in frames}
    dtype = np.int16 if kinds == {np.dtype(np.int16)} else np.float32
    values = np.stack([f.values.astype(dtype, copy=False) for f in frames])
    values, outside = _padded(values, frames)
    step = stack.spacing[0] * max(1.0, (len(stack.keys) - 1) / max(1, len(frames) - 1))
    windows = [f.window for f in frames if f.window]
    return VolumePixels(
        values=values,
        modality=frames[0].modality,
        body_part=frames[0].body_part,
        spacing=(step, stack.spacing[1], stack.spacing[2]),
        orientation=stack.orientation,
        origin=stack.origin,
        inverted=frames[0].inverted,
        window=windows[len(windows) // 2] if windows else None,
        padding_value=outside,
        sheared=stack.sheared,
    )


def _padded(values: Volume, frames: Sequence[ImagePixels]) -> tuple[Volume, float | None]:
    """Give all that is no image one value below the rest, which says so to the encoders (P8)."""
    if frames[0].modality == "CT":
        return values, _CT_OUTSIDE
    if all(f.padding is None for f in frames):
        return values, None
    nothing = np.zeros(values.shape[1:], bool)
    mask = np.stack([nothing if f.padding is None else f.padding for f in frames])
    low = float(values[~mask].min())
    outside = np.floor(low - max(1.0, abs(low) * 1e-3))
    if outside < np.iinfo(np.int16).min:
        values = values.astype(np.float32)
    values[mask] = outside
    return values, float(outside)


def _compact(image: ImagePixels) -> ImagePixels:
    """Hold a slice as int16 where that loses nothing: half the memory for CT and most MR.

    What is no image is made equal in CT, so that the mask need not be held.
    """
    values = image.values
    if values.ndim == 3:  # colour slices meet the encoders as luminance
        values = render_frame(image).astype(np.float32) @ LUMINANCE
    mask = image.padding
    if mask is not None and image.modality == "CT":
        values, mask = np.where(mask, np.float32(_CT_OUTSIDE), values), None
    low, high = float(values.min()), float(values.max())
    if low >= np.iinfo(np.int16).min and high <= np.iinfo(np.int16).max:
        whole = values.astype(np.int16)
        if np.array_equal(whole, values):
            values = whole
    return replace(image, values=values, padding=mask, voi_lut=None)


def _joined(hashes: Iterator[str]) -> str:
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def _sorted(flags: set[Flag]) -> tuple[Flag, ...]:
    return tuple(sorted(flags))
