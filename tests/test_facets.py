"""Facets: how many studies have which value, among those that pass a filter."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from placed_library import Placed, add, place
from served_library import all_rows, get, serving

from api.service.facets import MOST_VALUES, FacetAnswer, FacetCounts
from indexer.config import Settings
from indexer.errors import FilterError
from indexer.library import Library

PLACED = [
    Placed("a", (1, 0), {"finding": "effusion"}, "F", 64.5, modality="CR", date="2019-05-01"),
    Placed("a", (1, 0), {"finding": "normal"}, "F", 66.0, modality="CR", date="2021-01-31"),
    Placed("b", (1, 0), {"finding": "normal"}, "M", 7.0, modality="CT", manufacturer="Acme"),
    Placed("c", (1, 0), {}, "", None, modality="CT", manufacturer="Zeta"),
]


def counts(answer: FacetAnswer, field: str) -> dict[str, int]:
    return {
        value.value: value.studies
        for facet in answer.facets
        if facet.field == field
        for value in facet.values
    }


def test_every_study_counts_once_a_value(tmp_path: Path) -> None:
    with Library.open(place(tmp_path / "library", PLACED)) as library:
        answer = FacetCounts(library).count()
    assert (answer.studies, answer.items) == (4, 4)
    assert counts(answer, "modality") == {"CR": 2, "CT": 2}
    assert counts(answer, "sex") == {"F": 2, "M": 1}
    assert counts(answer, "manufacturer") == {"Acme": 1, "Zeta": 1}
    assert counts(answer, "label:finding") == {"effusion": 1, "normal": 2}


def test_ages_are_decades_and_years_are_in_order(tmp_path: Path) -> None:
    with Library.open(place(tmp_path / "library", PLACED)) as library:
        answer = FacetCounts(library).count()
    assert list(counts(answer, "age").items()) == [("0-9", 1), ("60-69", 2)]
    assert list(counts(answer, "year").items()) == [("2019", 1), ("2021", 1)]


def test_what_is_not_known_is_told_and_is_no_value(tmp_path: Path) -> None:
    with Library.open(place(tmp_path / "library", PLACED)) as library:
        facets = {each.field: each for each in FacetCounts(library).count().facets}
    assert facets["sex"].unknown == 1
    assert facets["year"].unknown == 2
    assert facets["modality"].unknown == 0
    assert "body_part" not in facets, "nothing is known of it"


def test_a_filter_narrows_all_fields(tmp_path: Path) -> None:
    with Library.open(place(tmp_path / "library", PLACED)) as library:
        answer = FacetCounts(library).count("label:finding=normal and age>=60")
    assert (answer.studies, counts(answer, "modality")) == (1, {"CR": 1})


def test_rare_values_are_counted_and_not_listed(tmp_path: Path) -> None:
    many = [Placed(f"p{n}", (1, 0), manufacturer=f"maker {n:03}") for n in range(MOST_VALUES + 7)]
    with Library.open(place(tmp_path / "library", many)) as library:
        (facet,) = FacetCounts(library).count().facets
    assert (len(facet.values), facet.more) == (MOST_VALUES, 7)


def test_what_is_added_is_counted_from_then_on(tmp_path: Path) -> None:
    with Library.open(place(tmp_path / "library", PLACED)) as library:
        facets = FacetCounts(library)
        assert counts(facets.count(), "modality") == {"CR": 2, "CT": 2}
        add(library, [Placed("d", (1, 0), modality="MR")])
        assert counts(facets.count(), "modality") == {"CR": 2, "CT": 2, "MR": 1}


def test_a_filter_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with (
        Library.open(place(tmp_path / "library", PLACED)) as library,
        pytest.raises(FilterError, match="age is a number"),
    ):
        FacetCounts(library).count("age=old")


@settings(max_examples=8)
@given(
    st.lists(
        st.tuples(st.sampled_from(["CR", "CT", ""]), st.sampled_from("FMO")), min_size=1, max_size=9
    )
)
def test_counts_are_those_of_counting_by_hand(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("drawn") / "library"
    placed = [Placed(f"p{n}", (1, 0), modality=m, sex=s) for n, (m, s) in enumerate(drawn)]
    with Library.open(place(folder, placed)) as library:
        facets = FacetCounts(library)
        of_women = facets.count("sex=F")
        assert counts(facets.count(), "sex") == Counter(s for _, s in drawn)
    assert counts(of_women, "modality") == Counter(m for m, s in drawn if m and s == "F")


def test_over_http_each_count_is_that_of_the_list_with_the_value_as_a_filter(
    served: Path,
) -> None:
    with serving(Settings(library=served)) as client:
        answer = get(client, "facets")
        listed = {f["field"]: f["values"] for f in answer["facets"]}
        assert {"view", "label:finding"} <= set(listed)
        for field, values in listed.items():
            for each in values:
                studies = all_rows(client, "studies", filter=f'{field}="{each["value"]}"')
                assert len(studies) == each["studies"], (field, each)


def test_over_http_a_filter_that_cannot_be_read_is_a_problem_with_its_place(served: Path) -> None:
    with serving(Settings(library=served)) as client:
        problem: httpx.Response = client.get("/v1/facets", params={"filter": "sex=F and nose=1"})
    assert (problem.status_code, problem.json()["position"]) == (422, 10)
