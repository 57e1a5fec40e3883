"""Whether a tag says what the picture looks like: a vote of the nearest cases of the reference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ood.picture_checks import Finding

FIELDS = ("modality", "body_part", "view", "laterality")
"""In this order: who is nearest to another modality says nothing about the rest."""
VOTERS = 10
_SHARE, _FEWEST = 0.8, 10
_CODES = {
    "modality": "wrong_modality",
    "body_part": "wrong_body_part",
    "view": "wrong_view",
    "laterality": "laterality_mismatch",
}

Values = Mapping[str, Sequence[str | None]]
"""Of each field the value of each case, None where it is not known."""


@dataclass(frozen=True)
class Vote:
    """What the reference has, and what the nearest of it have.

    Attributes:
        held: of each field how many cases have which value.
        nearest: of each field the values of the nearest cases, nearest first.
    """

    held: Mapping[str, Mapping[str, int]]
    nearest: Values


def counted(values: Values) -> dict[str, Mapping[str, int]]:
    """How many cases have which value, by field."""
    return {name: Counter(each for each in own if each) for name, own in values.items()}


def contradicted(declared: Mapping[str, str | None], vote: Vote) -> list[Finding]:
    """The first tag that the nearest cases contradict; [] where none is, or none can be.

    They contradict it if four fifths of those that have the tag say the same other thing. Nothing
    is said of a tag of which the reference has fewer than ten cases; that it has none of them is
    a finding of its own, ``not_in_reference``. ``value`` is the share of the votes.

    Args:
        declared: value of each field, None where it is not known.
        vote: of the reference, the case itself left out.
    """
    for name in FIELDS:
        said, held = declared.get(name), vote.held.get(name, {})
        votes = Counter(each for each in vote.nearest.get(name, ()) if each)
        if not said or not votes:
            continue
        words = name.replace("_", " ")
        winner, count = votes.most_common(1)[0]
        total = sum(votes.values())
        if said not in held and name != "laterality":
            told = f"the reference has no {words} {said}; the nearest of it are {winner}"
            return [Finding("not_in_reference", told, 0.0)]
        sure = total >= _FEWEST / 2 and count >= _SHARE * total
        if winner != said and sure and held.get(said, 0) >= _FEWEST:
            told = f"tagged {words} {said}; {count} of its {total} nearest cases are {winner}"
            return [Finding(_CODES[name], told, count / total)]
    return []
