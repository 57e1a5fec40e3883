"""Tags that the nearest cases of a reference contradict."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ood.tags import FIELDS, Vote, contradicted, counted

HELD = counted(
    {
        "modality": ["CR"] * 60,
        "body_part": ["CHEST"] * 30 + ["HAND"] * 20 + ["SKULL"] * 4 + [None] * 6,
        "view": ["PA"] * 30 + ["LATERAL"] * 20 + [None] * 10,
        "laterality": ["L"] * 15 + ["R"] * 15 + [None] * 30,
    }
)


def vote(**nearest: list[str | None]) -> Vote:
    return Vote(HELD, {"modality": ["CR"] * 10} | nearest)


def test_a_hand_that_is_tagged_as_a_chest() -> None:
    (found,) = contradicted(
        {"modality": "CR", "body_part": "CHEST"}, vote(body_part=["HAND"] * 9 + ["CHEST"])
    )
    assert (found.code, found.value) == ("wrong_body_part", 0.9)
    assert found.sentence == "tagged body part CHEST; 9 of its 10 nearest cases are HAND"


def test_views_and_sides_are_voted_on_too() -> None:
    chest = {"modality": "CR", "body_part": "CHEST", "view": "PA", "laterality": "L"}
    usual = {"body_part": ["CHEST"] * 10}
    (found,) = contradicted(chest, vote(**usual, view=["LATERAL"] * 10))
    assert found.code == "wrong_view"
    (found,) = contradicted(chest, vote(**usual, view=["PA"] * 10, laterality=["R"] * 10))
    assert found.code == "laterality_mismatch"


def test_what_the_reference_has_none_of_is_said_to_be_so() -> None:
    (found,) = contradicted({"modality": "MR", "body_part": "HAND"}, vote(body_part=["HAND"] * 10))
    assert found.code == "not_in_reference"
    assert found.sentence == "the reference has no modality MR; the nearest of it are CR"


def test_nothing_is_said_where_votes_are_divided_or_few_or_the_tag_is_rare() -> None:
    chest = {"modality": "CR", "body_part": "CHEST"}
    assert contradicted(chest, vote(body_part=["HAND"] * 6 + ["CHEST"] * 4)) == []
    assert contradicted(chest, vote(body_part=["HAND"] * 4 + [None] * 6)) == []
    rare = {"modality": "CR", "body_part": "SKULL"}
    assert contradicted(rare, vote(body_part=["HAND"] * 10)) == []
    assert contradicted({"modality": None, "body_part": None}, vote(body_part=["HAND"] * 10)) == []


@given(st.data())
def test_cases_that_say_what_the_nearest_say_are_never_contradicted(data: st.DataObject) -> None:
    said = {name: data.draw(st.sampled_from(sorted(HELD[name]))) for name in FIELDS}
    near = {name: [said[name]] * data.draw(st.integers(0, 10)) for name in FIELDS}
    assert contradicted(said, Vote(HELD, near)) == []
