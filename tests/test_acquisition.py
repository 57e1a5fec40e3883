"""What a header tells by itself, and against the cases of a reference."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.types import Flag, Role
from ood.acquisition import Facts, Usual, against, alone

CT = Facts(
    scanner="SIEMENS FORCE", rows=512, columns=512, spacing_mm=(5.0, 0.7, 0.7), slices=60
)  # fmt: skip
REFERENCE = [replace(CT, slices=60 + number % 5) for number in range(40)]
USUAL = Usual.of(REFERENCE)


def codes(facts: Facts, beside: int = 1) -> list[str]:
    return [each.code for each in [*alone(facts, beside), *against(facts, USUAL)]]


def test_a_case_like_the_others_has_no_findings() -> None:
    assert codes(CT) == []


@pytest.mark.parametrize(
    ("role", "code"),
    [
        (Role.LOCALIZER, "localizer"),
        (Role.SECONDARY, "secondary_capture"),
        (Role.DERIVED, "derived"),
        (Role.TEST, "test_object"),
    ],
)
def test_what_is_no_primary_image_is_named(role: Role, code: str) -> None:
    assert codes(replace(CT, role=role)) == [code]


def test_a_single_image_beside_a_long_volume_is_taken_for_a_localizer() -> None:
    single = Facts()
    assert [each.code for each in alone(single, beside=60)] == ["localizer_suspect"]
    assert alone(single, beside=4) == []


def test_flags_of_reading_become_findings() -> None:
    flags = frozenset({Flag.MISSING_SLICES, Flag.HU_IMPLAUSIBLE, Flag.NO_PREAMBLE})
    assert codes(replace(CT, flags=flags)) == ["missing_slices", "implausible_values"]


@pytest.mark.parametrize(
    ("side", "words", "contradicted"),
    [
        ("R", "KNEE LEFT AP", True),
        ("L", "Hüfte rechts", True),
        ("L", "knee left", False),
        ("R", "left and right hand", False),
        ("R", "leftover", False),
        ("", "knee left", False),
    ],
)
def test_a_side_that_the_description_contradicts(side: str, words: str, contradicted: bool) -> None:
    found = alone(replace(CT, laterality=side, description=words))
    assert [each.code for each in found] == ["laterality_mismatch"] * contradicted


def test_a_shorter_volume_is_partial_and_a_longer_one_is_not() -> None:
    half = against(replace(CT, slices=30), USUAL)
    assert [each.code for each in half] == ["partial_volume"]
    assert half[0].sentence == ("it reaches over 145 mm; of 40 reference cases: 295 to 315")
    assert half[0].value == 145
    assert against(replace(CT, slices=120), USUAL) == []


def test_matrix_spacing_and_scanner_that_no_case_has() -> None:
    assert codes(replace(CT, rows=128, columns=128)) == ["unusual_matrix"] * 2
    assert codes(replace(CT, spacing_mm=(5.0, 2.0, 2.0))) == ["unusual_spacing"] * 2
    assert codes(replace(CT, scanner="CANON ONE")) == ["unknown_scanner"]


def test_what_too_few_cases_tell_is_never_unusual() -> None:
    told = [replace(CT, scanner="", spacing_mm=())] * 30 + REFERENCE[:19]
    few = Usual.of(told)
    assert set(few.ranges) == {"rows", "columns"} and few.scanners == ()
    assert against(replace(CT, spacing_mm=(50.0, 9, 9), scanner="CANON ONE"), few) == []


@given(
    st.lists(
        st.builds(
            Facts,
            rows=st.integers(16, 4096),
            spacing_mm=st.tuples(*[st.floats(0.1, 10)] * 3),
            slices=st.integers(2, 900),
            scanner=st.sampled_from(["A", "B"]),
        ),
        min_size=20,
        max_size=60,
    )
)
def test_no_case_of_the_reference_is_unusual_in_it(cases: list[Facts]) -> None:
    usual = Usual.of(cases)
    assert all(against(each, usual) == [] for each in cases)
    assert Usual.from_told(asdict(usual)) == usual
