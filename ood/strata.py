"""Strata: what kind of image a case is, from coarse to fine, and who is held out.

A key names a case's modality, body part and view. A case belongs to the stratum of every beginning
of its key; what is not known ends the key.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

import numpy as np

LEVELS = ("modality", "body_part", "view")
Key = tuple[str, ...]
"""Values of the first of `LEVELS`; () is everything."""

_HALF, _LEAST = 0.5, 0.2


def key_of(values: Sequence[str | None]) -> Key:
    """The key of a case: its values up to the first that is not known."""
    known: list[str] = []
    for value in values:
        if not value:
            break
        known.append(value)
    return tuple(known)


def beginnings(key: Key) -> list[Key]:
    """The strata that a case is in, the finest first, () last."""
    return [key[:depth] for depth in range(len(key), -1, -1)]


def said(key: Key) -> str:
    """A stratum in words."""
    return " · ".join(key) if key else "all of the reference"


def held_out(patients: Sequence[str], wanted: int, seed: int = 0) -> np.ndarray:
    """Which cases calibrate, bool ``(n,)``: all of a patient or none.

    Patients are taken in the order of a hash of their name and the seed, so that a patient keeps
    its place when others come: until calibration has as many cases as it wants, and a fifth of all
    at least, but no more than half.

    Args:
        patients: whose each case is.
        wanted: calibration cases that the false-alarm rate needs.
        seed: of the order.
    """
    count = len(patients)
    enough = min(max(wanted, _LEAST * count), _HALF * count)
    sizes = Counter(patients)
    chosen, taken = set[str](), 0
    for patient in sorted(sizes, key=lambda name: _order(name, seed)):
        if taken >= enough:
            break
        if taken + sizes[patient] <= _HALF * count:
            chosen.add(patient)
            taken += sizes[patient]
    return np.array([patient in chosen for patient in patients], bool)


def _order(patient: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{patient}".encode()).digest()
