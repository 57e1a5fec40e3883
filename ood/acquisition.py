"""What is odd about how an image or volume was taken, told from its header alone."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from indexer.types import Flag, Role
from ood.picture_checks import Finding

_FEWEST = 20
"""Cases of a stratum that have to tell a quantity before anything is unusual in it."""
_WIDER = 1.1
_VOLUME = 10
"""Slices."""
_AXES = ("slices", "rows", "columns")
RANGE, GRAIN, DETAIL = 0, 3, 4
_SIDES = MappingProxyType({"L": ("left", "links"), "R": ("right", "rechts")})

_ROLES: Mapping[Role, tuple[str, str]] = MappingProxyType(
    {
        Role.LOCALIZER: ("localizer", "a localizer, taken to plan other images"),
        Role.SECONDARY: ("secondary_capture", "a secondary capture, no image of a scanner"),
        Role.DERIVED: ("derived", "computed from other images, not taken by a scanner"),
        Role.TEST: ("test_object", "an image of a phantom or of a quality test"),
    }
)
_FLAGS: Mapping[Flag, tuple[str, str]] = MappingProxyType(
    {
        Flag.MISSING_SLICES: ("missing_slices", "slices are missing: there is a gap in the stack"),
        Flag.UNEVEN_SPACING: ("uneven_spacing", "slices lie at uneven distances"),
        Flag.DUPLICATE_POSITIONS: ("duplicate_slices", "several slices lie at one position"),
        Flag.THICKNESS_DIFFERS: ("thickness_differs", "slices are of different thickness"),
        Flag.HU_IMPLAUSIBLE: ("implausible_values", "no CT has such values in Hounsfield units"),
        Flag.BITS_INCONSISTENT: ("inconsistent_bits", "pixels have more bits than are declared"),
    }
)


@dataclass(frozen=True)
class Facts:
    """How an image or volume was taken; empty or None where the header does not say.

    Attributes:
        role: what it is for.
        laterality, description: as the header says; the description is that of the series.
        scanner: maker and model.
        rows, columns: of pixels.
        spacing_mm: of slices, rows and columns of a volume; of rows and columns of an image.
        slices: how many; 1 of an image.
        qualities: logarithms of the grey range and of grain and detail stand at the places of
            `RANGE`, `GRAIN` and `DETAIL` (`indexer.reading.quality`).
        flags: what reading it told.
    """

    role: Role = Role.PRIMARY
    laterality: str = ""
    description: str = ""
    scanner: str = ""
    rows: int | None = None
    columns: int | None = None
    spacing_mm: tuple[float, ...] = ()
    slices: int = 1
    qualities: tuple[float, ...] = ()
    flags: frozenset[Flag] = frozenset()

    @property
    def step(self) -> float | None:
        """From slice to slice, in mm; None of an image."""
        return self.spacing_mm[0] if len(self.spacing_mm) == len(_AXES) else None

    @property
    def extent(self) -> float | None:
        """From the first slice to the last, in mm; None of an image."""
        return None if self.step is None else self.step * (self.slices - 1)


@dataclass(frozen=True)
class Range:
    """Least and greatest value of a quantity among so many cases."""

    low: float
    high: float
    cases: int


@dataclass(frozen=True)
class Usual:
    """How the cases of a stratum were taken.

    Attributes:
        ranges: by the name of the quantity; only those that enough cases tell.
        scanners: maker and model of all; empty where too few cases tell.
    """

    ranges: Mapping[str, Range]
    scanners: tuple[str, ...] = ()

    @classmethod
    def of(cls, cases: Iterable[Facts]) -> Usual:
        """What is usual among cases; a quantity or a maker that 20 cases tell counts."""
        known = list(cases)
        ranges = {}
        for name, measured in _QUANTITIES.items():
            values = [value for each in known if (value := measured(each)) is not None]
            if len(values) >= _FEWEST:
                ranges[name] = Range(min(values), max(values), len(values))
        scanners = [each.scanner for each in known if each.scanner]
        enough = len(scanners) >= _FEWEST
        return cls(ranges, tuple(sorted(set(scanners))) if enough else ())

    @classmethod
    def from_told(cls, told: Mapping[str, Any]) -> Usual:
        """What `dataclasses.asdict` made of one."""
        ranges = {name: Range(**each) for name, each in told["ranges"].items()}
        return cls(ranges, tuple(told["scanners"]))


def _quality(facts: Facts, place: int) -> float | None:
    """One of them, as it was before the logarithm."""
    return math.exp(facts.qualities[place]) if facts.qualities else None


_QUANTITIES: Mapping[str, Callable[[Facts], float | None]] = MappingProxyType(
    {
        "rows": lambda each: each.rows,
        "columns": lambda each: each.columns,
        "row spacing": lambda each: each.spacing_mm[-2] if each.spacing_mm else None,
        "column spacing": lambda each: each.spacing_mm[-1] if each.spacing_mm else None,
        "slice spacing": lambda each: each.step,
        "extent": lambda each: each.extent,
        "grey range": lambda each: _quality(each, RANGE),
        "grain": lambda each: _quality(each, GRAIN),
        "detail": lambda each: _quality(each, DETAIL),
    }
)


def alone(facts: Facts, beside: int = 1) -> list[Finding]:
    """What needs no reference: the role, flags of reading, a side that words contradict.

    Args:
        facts: of the case.
        beside: slices of the longest volume in its series. A single image beside a volume was
            taken to plan it, most often.
    """
    found = []
    if facts.role in _ROLES:
        code, sentence = _ROLES[facts.role]
        found.append(Finding(code, f"it is {sentence}", 1.0))
    found += [Finding(code, said, 1.0) for flag, (code, said) in _FLAGS.items()
              if flag in facts.flags]  # fmt: skip
    if facts.role is Role.PRIMARY and facts.slices == 1 and beside >= _VOLUME:
        told = f"a single image in a series with a volume of {beside} slices"
        found.append(Finding("localizer_suspect", told, float(beside)))
    other = _other_side(facts)
    if other:
        told = f"the header says side {facts.laterality}, the series description says {other}"
        found.append(Finding("laterality_mismatch", told, 1.0))
    return found


def against(facts: Facts, usual: Usual) -> list[Finding]:
    """What no case of the stratum has: matrix, spacing, exposure, a shorter extent, a scanner.

    A quantity is unusual if it lies outside the range of the cases, widened by a tenth at both
    ends: of n cases that tell it at most two in n + 1 new ones do, if they are like them.
    ``value`` is the quantity: pixels, mm, grey values, or without a unit.
    """
    found = []
    for name, below, above, said in _UNUSUAL:
        value, limits = _QUANTITIES[name](facts), usual.ranges.get(name)
        if value is None or limits is None:
            continue
        code = below if value < limits.low / _WIDER else ""
        code = above if value > limits.high * _WIDER else code
        if code:
            among = f"of {limits.cases:,} reference cases: {limits.low:.3g} to {limits.high:.3g}"
            found.append(Finding(code, f"{said.format(value)}; {among}", float(value)))
    if facts.scanner and usual.scanners and facts.scanner not in usual.scanners:
        told = f"{facts.scanner} is none of the {len(usual.scanners)} scanners of the reference"
        found.append(Finding("unknown_scanner", told, float(len(usual.scanners))))
    return found


_UNUSUAL = (
    ("grey range", "low_contrast", "high_contrast", "grey values reach over {:.3g} of the scale"),
    ("detail", "unsharp", "noisy", "its detail is {:.3g} of the grey range"),
    ("grain", "unsharp", "noisy", "its grain is {:.3g} of the grey range"),
    ("rows", "unusual_matrix", "unusual_matrix", "{:.0f} rows"),
    ("columns", "unusual_matrix", "unusual_matrix", "{:.0f} columns"),
    ("row spacing", "unusual_spacing", "unusual_spacing", "rows are {:.3g} mm apart"),
    ("column spacing", "unusual_spacing", "unusual_spacing", "columns are {:.3g} mm apart"),
    ("slice spacing", "unusual_spacing", "unusual_spacing", "slices are {:.3g} mm apart"),
    ("extent", "partial_volume", "", "it reaches over {:.0f} mm"),
)
"""Of each quantity the code below its range and above it, "" for none, and words."""


def _other_side(facts: Facts) -> str:
    """The side that the description names, where the header says the other one."""
    side = facts.laterality.upper()[:1]
    if side not in _SIDES:
        return ""
    words = set(re.findall(r"[a-z]+", facts.description.lower()))
    own, other = _SIDES[side], _SIDES["R" if side == "L" else "L"]
    named = [word for word in other if word in words]
    return named[0] if named and not words & set(own) else ""
