"""What is wrong with one grey picture, told without a reference.

The checks are heuristics that would rather miss than cry wolf. Their docstrings give false alarms
among real pictures: 900 of 64 x 64 pixels (Medical MNIST: CT, MRI, radiographs) and 426 chest
radiographs of about 512 x 512 (NIH ChestX-ray14, Hannover).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool
from scipy import ndimage

from indexer.errors import QueryError
from indexer.types import GreyImage
from ood.lettering import letters_in_rows
from ood.pixels import grey

_BLANK = 0.002
_CLIPPED, _NEAR, _WIDE = 0.2, 0.01, 0.2
_LETTERS = 4
_LOST, _ACROSS, _UNLIKE = 0.1, 0.6, 0.05
_UNRELATED, _CONTRAST = 0.1, 0.2

Mask = Bool[np.ndarray, "height width"]
Field = tuple[slice, slice]
Sides = Callable[[Iterable[bool]], bool]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a picture.

    Attributes:
        code: of the check, for machines.
        sentence: what was seen, for people.
        value: what was measured; the check's docstring says what.
    """

    code: str
    sentence: str
    value: float


@dataclass(frozen=True)
class Seen:
    """A picture and the grey values it could have.

    Attributes:
        picture: float32 ``(h, w)``.
        lowest, highest: of its bits, or else of its pixels.
    """

    picture: GreyImage
    lowest: float
    highest: float

    @cached_property
    def contrast(self) -> float:
        """From the 1st to the 99th percentile, as a share of all grey values; 0..1."""
        low, high = np.percentile(self.picture, (1, 99))
        return float((high - low) / max(self.highest - self.lowest, np.finfo(float).tiny))


def look_at(picture: np.ndarray, bits: int | None = None) -> list[Finding]:
    """All findings of one picture, in the order of `PICTURE_CHECKS`.

    Args:
        picture: ``(h, w)`` of any values.
        bits: stored for each pixel, if the values are as stored: 0 to ``2**bits - 1``. Without
            them the lowest and the highest value of the picture are taken for the limits.

    Raises:
        QueryError: no grey picture, bits out of 1..32, or values that the bits cannot hold.
    """
    grey(picture)
    lowest, highest = float(picture.min()), float(picture.max())
    if bits is not None:
        if not 1 <= bits <= 32:
            raise QueryError(f"bits are 1 to 32, not {bits}")
        if lowest < 0 or highest > 2**bits - 1:
            raise QueryError(
                f"{bits} bits hold 0 to {2**bits - 1}, the picture has {lowest:g} to {highest:g}: "
                "leave the bits out of a picture whose values are not as stored"
            )
        lowest, highest = 0.0, 2.0**bits - 1
    seen = Seen(np.asarray(picture, np.float32), lowest, highest)
    return [found for check in PICTURE_CHECKS if (found := check(seen)) is not None]


def blank(seen: Seen) -> Finding | None:
    """Hardly any contrast: nearly all pixels are equal or, of known bits, nearly equal.

    ``value`` is the contrast, at most 0.002 of all grey values. No false alarm among 1,326; one
    picture of Medical MNIST (a head CT) is truly of one value.
    """
    if seen.contrast > _BLANK:
        return None
    sentence = f"the picture is blank: 98 % of its pixels differ by {seen.contrast:.2%} or less"
    return Finding("blank", f"{sentence} of the grey scale", seen.contrast)


def saturated_high(seen: Seen) -> Finding | None:
    """A fifth of the field or more lies at the highest grey value, the rest is spread widely.

    Outer rows and columns of one value do not count, nor what surrounds the field on all sides.
    ``value`` is the share. False alarms: 2 of 900, white slices of the top of the head, and none of
    426. Of the 900 inverted, 99 are taken for clipped: those whose white air does not surround the
    body. Of 61 chest films, brightened to 1.6 times their values and clipped, 79 % are found.
    """
    top = seen.picture >= seen.highest - _NEAR * (seen.highest - seen.lowest)
    share = _clipped(seen, top, all)
    if not share:
        return None
    return Finding("saturated_high", f"{share:.0%} of the field are as bright as can be", share)


def saturated_low(seen: Seen) -> Finding | None:
    """A fifth of the field or more lies at the lowest grey value without touching its edges.

    Dark air round a body is no finding, so what touches an edge does not count. ``value`` is the
    share. False alarms: 2 of 900, hands in a white frame, and none of 426. It misses most: of 61
    chest films that were clipped below 100 of 255, 7 % are found, as black lungs join the edge.
    """
    bottom = seen.picture <= seen.lowest + _NEAR * (seen.highest - seen.lowest)
    share = _clipped(seen, bottom, any)
    if not share:
        return None
    return Finding("saturated_low", f"{share:.0%} within the field are as dark as can be", share)


def burned_in_text(seen: Seen) -> Finding | None:
    """Four or more bright letters in a row; see `ood.lettering.letters_in_rows`.

    ``value`` is the number of letters. No false alarm among 900, which are too small for text, and
    426: it speaks up at 19 of these, and each has a word such as PORTABLE. A single L or R is not
    found. Of 43 films with a name and a date drawn 10 to 32 points tall, 86 to 93 % are found;
    9 % of them hold such a word already.
    """
    count = letters_in_rows(seen.picture, _LETTERS)
    if not count:
        return None
    sentence = f"{count} bright marks in rows look like text: it may name the patient"
    return Finding("burned_in_text", sentence, float(count))


def truncated(seen: Seen) -> Finding | None:
    """The last rows or columns are of one value, a tenth or more, and cut through the picture.

    The row before has to be unlike that value over most of its length, so that air below a body is
    no finding; nor is a frame, whose first row has the value, too. ``value`` is the share of rows
    or columns. No false alarm among 1,326. Of chest films cut within a row and filled with black
    99 % or more are found, of hands 54 %, of breast MRI none: where the cut goes through black air,
    nothing tells it from air.
    """
    lost = max(_filled(seen, seen.picture), _filled(seen, seen.picture.T))
    if lost < _LOST:
        return None
    return Finding("truncated", f"the last {lost:.0%} of the picture are of one value", lost)


def noise(seen: Seen) -> Finding | None:
    """Neighbouring pixels are unrelated though there is contrast: a file decoded wrongly.

    ``value`` is the correlation of a pixel with the next in its row and in its column, mean of
    both. No false alarm among 1,326; the lowest of these is 0.14, thin specks of chest CT. All
    films with shuffled pixels are found, but only 16 % of 43 films of 12 bits with swapped bytes.
    """
    if seen.contrast < _CONTRAST or min(seen.picture.shape) < 2:
        return None
    wide = seen.picture.astype(np.float64)
    related = (_related(wide[1:], wide[:-1]) + _related(wide[:, 1:], wide[:, :-1])) / 2
    if related > _UNRELATED:
        return None
    sentence = f"noise in place of a picture: neighbouring pixels correlate by {related:.2f}"
    return Finding("noise", sentence, related)


PICTURE_CHECKS: tuple[Callable[[Seen], Finding | None], ...] = (
    blank,
    saturated_high,
    saturated_low,
    burned_in_text,
    truncated,
    noise,
)


def _clipped(seen: Seen, mask: Mask, sides: Sides) -> float:
    """Share of the field that a mask covers without reaching its sides; 0 if it is small.

    Nor is anything clipped where the other pixels are of few grey values, as in a mask.
    """
    field, rest = _field(seen.picture), seen.picture[~mask]
    if mask[field].mean() < _CLIPPED or not rest.size:
        return 0.0
    low, high = np.percentile(rest, (1, 99))
    if high - low < _WIDE * (seen.highest - seen.lowest):
        return 0.0
    share = float((mask & ~_reaching(mask, field, sides))[field].mean())
    return share if share >= _CLIPPED else 0.0


def _field(picture: GreyImage) -> Field:
    """Rows and columns without the outer ones that are of one value."""
    rows = np.flatnonzero(np.ptp(picture, axis=1))
    columns = np.flatnonzero(np.ptp(picture, axis=0))
    if not (len(rows) and len(columns)):
        return slice(0, picture.shape[0]), slice(0, picture.shape[1])
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _reaching(mask: Mask, field: Field, sides: Sides) -> Mask:
    """Connected parts of a mask that reach all, or any, of the four sides of the field."""
    rows, columns = field
    labels, _ = ndimage.label(mask)
    reached = [False]
    for down, right in ndimage.find_objects(labels):
        starts = (down.start <= rows.start, right.start <= columns.start)
        stops = (down.stop >= rows.stop, right.stop >= columns.stop)
        reached.append(sides((*starts, *stops)))
    found: Mask = np.array(reached)[labels]
    return found


def _filled(seen: Seen, picture: GreyImage) -> float:
    """Share of last rows of one value, 0 if the picture does not end there at once."""
    fill = picture[-1, -1]
    whole = (picture == fill).all(axis=1)
    if whole.all() or whole[0]:
        return 0.0
    count = int(whole[::-1].argmin())
    # A file that is cut within a row leaves that row filled in part: the one before counts, too.
    before = picture[: len(picture) - count][-2:]
    unlike = np.abs(before - fill) > _UNLIKE * (seen.highest - seen.lowest)
    return count / len(picture) if unlike.mean(axis=1).max() >= _ACROSS else 0.0


def _related(one: np.ndarray, other: np.ndarray) -> float:
    """Pearson correlation; 1 where one of them does not vary."""
    mine, theirs = one - one.mean(), other - other.mean()
    lengths = float(np.sqrt((mine**2).sum() * (theirs**2).sum()))
    return float((mine * theirs).sum()) / lengths if lengths else 1.0
