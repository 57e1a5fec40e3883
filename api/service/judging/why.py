"""Why a case was flagged: checks of its header, its pixels, and what it lies near to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from api.service.judging.cases import Case, with_qualities
from indexer.dicom.render import LUMINANCE, volume_slice
from indexer.embedding import Embedded, embed_each
from indexer.encoders.contract import Encoder
from indexer.errors import UnsupportedInputError
from indexer.types import ImagePixels, Pixels
from ood.acquisition import Usual, against, alone
from ood.picture_checks import Finding, look_at
from ood.quality import Quality
from ood.reference import Judgement, Stratum
from ood.tags import Vote, contradicted
from ood.turns import TURNS, best_turn

_INVERTED = "inverted in its grey scale"
_LONGEST = 1_024
"""Pixels of a side that checks look at; letters and clipping stay what they are."""
_BY_ITSELF = frozenset({"localizer_suspect", "unknown_scanner", "burned_in_text"})
"""Findings that a usual picture can have as well: they do not explain a flag alone."""


def of_header(case: Case, usual: Usual | None) -> list[Finding]:
    """What the header tells; compared with the stratum where one judged."""
    found = alone(case.facts, case.beside)
    return found if usual is None else found + against(case.facts, usual)


def of_pixels(pixels: Pixels) -> list[Finding]:
    """What the picture tells by itself; of a volume its middle slice."""
    return look_at(_grey(_picture(pixels)))


def of_votes(case: Case, vote: Vote) -> list[Finding]:
    """Whether what it lies near to contradicts its tags."""
    return contradicted(case.declared, vote)


def of_turns(
    pixels: Pixels, stratum: Stratum, answer: Judgement, encoder: Encoder, columns: int
) -> list[Finding]:
    """Whether a turned, mirrored or inverted copy of an image looks usual where it does not.

    ``value`` is by how much the copy's score is lower, in interquartile ranges of the stratum's;
    ``columns`` are those of qualities that the stratum's rows have.
    """
    looking = stratum.by_embedding
    if looking is None or not isinstance(pixels, ImagePixels):
        return []
    name, detector, calibration = looking
    margin = float(np.subtract(*np.percentile(calibration.scores, (75, 25))))
    copies = _embedded(pixels, encoder)
    if not copies:
        return []
    rows = with_qualities(np.stack(list(copies.values())), [()] * len(copies), columns)
    scores = detector.score(rows)
    usual = calibration.p_values(scores) > answer.alarm
    of_copy = {
        each: float(score) for each, score, fits in zip(copies, scores, usual, strict=True) if fits
    }
    before = answer.verdicts[name].score
    best = best_turn(before, of_copy, margin)
    if best is None:
        return []
    code = "inverted" if best == _INVERTED else "turned"
    told = f"a copy that is {best} looks as usual"
    return [Finding(code, told, (before - of_copy[best]) / max(margin, 1e-12))]


def reason(answer: Judgement, findings: list[Finding]) -> str:
    """Why it was flagged, in words: what explains it; else that it looks unlike the reference."""
    telling = [each.sentence for each in findings if each.code not in _BY_ITSELF]
    if telling:
        return "; ".join(telling)
    name, verdict = min(answer.verdicts.items(), key=lambda each: each[1].p_value)
    what = "exposure or sharpness" if name == Quality.name else "appearance"
    return (
        f"{what} unlike the reference: {name} scores {verdict.score:.3g}, the threshold is "
        f"{verdict.threshold:.3g}"
    )


def _embedded(pixels: ImagePixels, encoder: Encoder) -> Mapping[str, np.ndarray]:
    """Unit vectors of the copies that can be embedded, by what was done."""
    prepared = {}
    for name in TURNS:
        copy = _turned(pixels, name)
        if copy is not None:
            try:
                prepared[name] = encoder.prepare(copy)
            except UnsupportedInputError:
                continue
    found = zip(prepared, embed_each(encoder, list(prepared.values())), strict=True)
    return {name: made.unit for name, made in found if isinstance(made, Embedded)}


def _turned(pixels: ImagePixels, name: str) -> ImagePixels | None:
    """A copy; None of what cannot be done, as to invert colours."""
    if name == _INVERTED:
        return None if pixels.values.ndim == 3 else replace(pixels, inverted=not pixels.inverted)
    turn = TURNS[name]
    if pixels.values.ndim == 3:
        values = np.stack([turn(pixels.values[..., each]) for each in range(3)], axis=-1)
    else:
        values = turn(pixels.values)
    quarter = "90" in name
    return replace(
        pixels,
        values=values,
        padding=None if pixels.padding is None else turn(pixels.padding.astype(np.uint8)) > 0,
        spacing=pixels.spacing[::-1] if quarter and pixels.spacing else pixels.spacing,
        aspect=1 / pixels.aspect if quarter else pixels.aspect,
    )


def _picture(pixels: Pixels) -> ImagePixels:
    if isinstance(pixels, ImagePixels):
        return pixels
    return volume_slice(pixels, len(pixels.values) // 2)


def _grey(image: ImagePixels) -> np.ndarray:
    """Bright where it is shown bright; what is no image is as dark as can be."""
    values = np.asarray(image.values, np.float32)
    if values.ndim == 3:
        values = values @ LUMINANCE
    if image.inverted:
        values = values.min() + (values.max() - values)
    if image.padding is not None and not image.padding.all():
        values = np.where(image.padding, values[~image.padding].min(), values)
    step = max(1, -(-max(values.shape) // _LONGEST))
    return np.ascontiguousarray(values[::step, ::step])
