"""Words of reports as a facet: how many studies have each, and which words are never offered."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from placed_library import Placed, add, place
from sqlalchemy import delete, insert, select, update

from api.service.facet_words import FEWEST
from api.service.facets import MOST_VALUES, Facet, FacetCounts
from indexer.catalog.database import transaction
from indexer.catalog.tables import Label, Patient, Report, Study
from indexer.dicom.identity import fingerprint
from indexer.library import Library

EFFUSION = "There is a large effusion on the left. Heart of normal size, 12 mm, T2."
NODULE = "Rundherd links, kein Pleuraerguß; Größe unverändert."
EMPTY = "Nothing of note."
REPORTS = [EFFUSION] * 3 + [NODULE] * 4 + [EMPTY] * 3 + [""] * 2


def placed(reports: list[str], patient: str = "") -> list[Placed]:
    """A study for each report, each of a patient of its own if none is named."""
    return [
        Placed(patient or f"p{n}", (1, 0), sex="FM"[n % 2], report=report)
        for n, report in enumerate(reports)
    ]


def words(counts: FacetCounts, expression: str = "") -> dict[str, int]:
    facet = facet_of(counts, expression)
    return {each.value: each.studies for each in facet.values} if facet else {}


def facet_of(counts: FacetCounts, expression: str = "") -> Facet | None:
    return next((f for f in counts.count(expression).facets if f.field == "word"), None)


def test_words_that_say_something_are_counted_by_study(tmp_path: Path) -> None:
    with Library.open(place(tmp_path / "library", placed(REPORTS))) as library:
        counts = FacetCounts(library)
        assert words(counts) == {
            "rundherd": 4, "links": 4, "pleuraerguß": 4, "größe": 4, "unverändert": 4,
            "large": 3, "effusion": 3, "left": 3, "heart": 3, "normal": 3, "size": 3,
            "nothing": 3, "note": 3,
        }  # fmt: skip
        facet = facet_of(counts)
    assert facet
    assert (facet.unknown, facet.more) == (2, 0)
    told = [each.studies for each in facet.values]
    assert told == sorted(told, reverse=True)


def test_a_filter_narrows_them_and_a_word_is_one(tmp_path: Path) -> None:
    with Library.open(place(tmp_path / "library", placed(REPORTS))) as library:
        counts = FacetCounts(library)
        assert words(counts, "word=GROSSE or word=größe") == dict.fromkeys(
            ["rundherd", "links", "pleuraerguß", "größe", "unverändert"], 4
        )
        women = words(counts, "sex=F and not word=nothing")
        assert (women["effusion"], women["rundherd"]) == (2, 2)
        narrowed = facet_of(counts, "sex=F and not word=effusion")
        assert narrowed
        assert narrowed.unknown == 1, "a study without a report has not the word"


def test_words_of_every_report_and_words_of_few_patients_are_not_offered(tmp_path: Path) -> None:
    common = [f"Befund: {said}" for said in ["Fraktur"] * 3 + ["Ödem"] * 2 + ["Zyste"] * 5]
    of_one = placed(["Befund: Doppelname"] * 6, "the same")
    with Library.open(place(tmp_path / "library", [*placed(common), *of_one])) as library:
        assert words(FacetCounts(library)) == {"fraktur": FEWEST, "zyste": 5}


def test_names_are_not_offered_however_often_they_stand_there(tmp_path: Path) -> None:
    signed = [f"{said} Signed by Dr. Okafor." for said in (EFFUSION, NODULE, EMPTY) * 4]
    letters = [f"Seen by Smithson and by Lee. {said}" for said in (EFFUSION, EMPTY) * 3]
    klein = ["Klein ist der Herd im Unterlappen, die Lunge sonst frei."] * 4
    path = place(tmp_path / "library", placed([*signed, *letters, *klein]))
    with Library.open(path) as library:
        counts = FacetCounts(library)
        assert "klein" in words(counts), "no patient is called so yet"
        assert not {"okafor", "smithson", "lee", "signed"} & set(words(counts))
        called = asdict(fingerprint(library.key, "", "", "KLEIN^Änne"))
        with transaction(library.engine) as db:
            first = select(Patient.id).limit(1).scalar_subquery()
            db.execute(update(Patient).where(Patient.id == first).values(fingerprint=called))
            db.execute(insert(Label).values(study_id=1, name="a", value="b"))
        offered = words(counts)
    assert {"herd", "unterlappen", "effusion"} <= set(offered)
    assert "klein" not in offered


def test_a_report_that_comes_goes_or_changes_is_counted_from_then_on(tmp_path: Path) -> None:
    with Library.open(place(tmp_path / "library", placed(REPORTS))) as library:
        counts = FacetCounts(library)
        assert words(counts)["effusion"] == 3
        with transaction(library.engine) as db:
            db.execute(update(Report).where(Report.text == EMPTY).values(text=EFFUSION))
        assert words(counts)["effusion"] == 6
        add(library, [Placed("another", (1, 0), report=EFFUSION)])
        assert words(counts)["effusion"] == 7
        with transaction(library.engine) as db:
            db.execute(delete(Report).where(Report.text == EFFUSION))
        assert "effusion" not in words(counts)


def test_words_follow_whose_studies_are(tmp_path: Path) -> None:
    with Library.open(place(tmp_path / "library", placed(REPORTS))) as library:
        counts = FacetCounts(library)
        assert words(counts)["effusion"] == 3
        with transaction(library.engine) as db:
            two = db.execute(select(Report.study_id).where(Report.text == EFFUSION).limit(2))
            whose = select(Study.patient_id).where(Study.id == 3).scalar_subquery()
            some = Study.id.in_(two.scalars().all())
            db.execute(update(Study).where(some).values(patient_id=whose))
        assert "effusion" not in words(counts), "all of it is of one patient now"


def test_a_label_changes_no_word(tmp_path: Path) -> None:
    with Library.open(place(tmp_path / "library", placed(REPORTS))) as library:
        counts = FacetCounts(library)
        before = words(counts)
        with transaction(library.engine) as db:
            study = db.execute(select(Study.id).limit(1)).scalar_one()
            db.execute(insert(Label).values(study_id=study, name="a", value="effusion"))
        assert words(counts) == before
        assert words(counts, "label:a=effusion and word=effusion")["effusion"] == 1


def test_rare_words_are_counted_and_not_listed(tmp_path: Path) -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    many = [f"wort{letters[n // 26]}{letters[n % 26]}" for n in range(MOST_VALUES + 9)]
    reports = [" ".join(many)] * 3 + ["etwas"] * 3
    with Library.open(place(tmp_path / "library", placed(reports))) as library:
        facet = facet_of(FacetCounts(library))
    assert facet
    assert (len(facet.values), facet.more) == (MOST_VALUES, 9)


def test_without_reports_there_is_no_such_facet(tmp_path: Path) -> None:
    with Library.open(place(tmp_path / "library", placed(["", ""]))) as library:
        assert facet_of(FacetCounts(library)) is None
    with Library.open(place(tmp_path / "empty", [])) as library:
        assert facet_of(FacetCounts(library)) is None


@pytest.mark.parametrize("narrowed", ["", "sex=F", "word!=herd"])
@settings(max_examples=6)
@given(
    drawn=st.lists(
        st.lists(
            st.sampled_from(
                ["herd", "Größe", "GROSSE", "Café", "cafe\u0301", "x-ray", "öd\u0308em"]
            ),
            max_size=4,
        ).map(", ".join),
        min_size=3,
        max_size=12,
    )
)
def test_each_count_is_that_of_the_word_as_a_filter(
    tmp_path_factory: pytest.TempPathFactory, narrowed: str, drawn: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("drawn") / "library"
    with Library.open(place(folder, placed(drawn))) as library:
        counts = FacetCounts(library)
        for word, studies in words(counts, narrowed).items():
            both = f'({narrowed}) and word="{word}"' if narrowed else f'word="{word}"'
            assert counts.count(both).studies == studies
