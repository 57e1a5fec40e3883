"""The gallery: what it answers equals the catalog as asked, whatever was written in between."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, delete, insert, select, update

from indexer.catalog.database import reading, transaction
from indexer.catalog.tables import Item, Label, Patient, Series, Study
from indexer.filters import Filter, parse_filter, sql_condition
from indexer.library import Library
from indexer.searching import gallery as module
from indexer.searching.gallery import MOST_FILTERS, Gallery
from indexer.types import Role

EVERY_ROLE, PRIMARY = frozenset(Role), frozenset({Role.PRIMARY})
FILTERS = [None, *map(parse_filter, ["modality=ct", "not label:finding=mass", "age>40", "sex=x"])]


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    with Library.create(tmp_path / "library") as made:
        write(made, *"ab")
        yield made


def write(library: Library, *names: str) -> None:
    """Studies of these names, two to a patient, with one to three items each."""
    with transaction(library.engine) as db:
        for name in names:
            rng = random.Random(name)
            pseudonym = f"patient{ord(name) // 2}"
            known = db.execute(select(Patient.id).where(Patient.pseudonym == pseudonym)).scalar()
            patient = known or new(db, Patient, pseudonym=pseudonym)
            age = rng.choice([None, 30.0, 60.0])
            study = new(db, Study, study_instance_uid=name, patient_id=patient, age_years=age)
            value = rng.choice(["mass", "normal"])
            db.execute(insert(Label).values(study_id=study, name="finding", value=value))
            modality = rng.choice(["CT", "MR"])
            uid = f"{name}.1"
            series = new(db, Series, series_instance_uid=uid, study_id=study, modality=modality)
            for place in range(rng.choice([1, 2, 3])):
                role = rng.choice(["primary", "primary", "localizer"])
                values = {"kind": "image", "role": role, "pixel_hash": ""}
                new(db, Item, uid=f"{uid}.{place}", series_id=series, **values)


def new(db: Connection, table: type, **values: object) -> int:
    return int(db.execute(insert(table).values(values).returning(table.id)).scalar_one())


def passing(db: Connection, tree: Filter | None, roles: frozenset[Role]) -> list[int]:
    query = select(Item.id).select_from(Item).join(Series).join(Study).join(Patient)
    query = query.where(Item.role.in_([role.value for role in roles])).order_by(Item.id)
    return list(db.execute(query if tree is None else query.where(sql_condition(tree))).scalars())


def agrees(gallery: Gallery, db: Connection) -> None:
    """Every answer is what the tables say."""
    rows = db.execute(
        select(Item.id, Series.study_id, Study.patient_id)
        .select_from(Item)
        .join(Series)
        .join(Study)
        .order_by(Item.id)
    ).all()
    everything = [row.id for row in rows]
    assert gallery.allowed(db, None, EVERY_ROLE).total == len(everything)
    asked = np.array([*everything, 10**6], np.int64)
    assert gallery.study_of(db, asked).tolist() == [*(r.study_id for r in rows), -1]
    assert gallery.patient_of(db, asked).tolist() == [*(r.patient_id for r in rows), -1]
    for tree in FILTERS:
        for roles in (EVERY_ROLE, PRIMARY):
            allowed = gallery.allowed(db, tree, roles)
            wanted = passing(db, tree, roles)
            assert allowed.count == len(wanted)
            if allowed.ids is None:
                assert wanted == everything
            else:
                assert allowed.ids.tolist() == wanted != everything


def change(db: Connection, what: str, study: int) -> None:
    match what:
        case "remove study":
            db.execute(delete(Study).where(Study.id == study))
        case "remove items":
            series = select(Series.id).where(Series.study_id == study)
            db.execute(delete(Item).where(Item.series_id.in_(series)))
        case "other label":
            db.execute(update(Label).where(Label.study_id == study).values(value="mass"))
        case "other patient":
            somebody = select(Patient.id).limit(1).scalar_subquery()
            db.execute(update(Study).where(Study.id == study).values(patient_id=somebody))
        case "other roles":
            db.execute(update(Item).values(role="localizer"))


CHANGES = ["add", "remove study", "remove items", "other label", "other patient", "other roles"]


@pytest.fixture(scope="module")
def changing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Library, Gallery]]:
    with Library.create(tmp_path_factory.mktemp("changing") / "library") as library:
        yield library, Gallery(library)


@given(st.lists(st.sampled_from(CHANGES), min_size=1, max_size=5), st.randoms())
@settings(max_examples=15)
def test_answers_follow_the_catalog(
    changing: tuple[Library, Gallery], changes: list[str], rng: random.Random
) -> None:
    library, gallery = changing
    names = iter("cdefgh")
    with transaction(library.engine) as db:
        db.execute(delete(Patient))
    with reading(library.engine) as db:
        agrees(gallery, db)
    write(library, *"ab")
    for what in changes:
        with transaction(library.engine) as db:
            studies = db.execute(select(Study.id)).scalars().all()
            if studies:
                change(db, what, rng.choice(studies))
        if what == "add":
            write(library, next(names))
        with reading(library.engine) as db:
            agrees(gallery, db)


def test_the_same_question_gets_the_very_same_array(library: Library) -> None:
    gallery = Gallery(library)
    question = parse_filter("not study=a")
    with reading(library.engine) as db:
        first = gallery.allowed(db, question, EVERY_ROLE).ids
        again = gallery.allowed(db, parse_filter("not study=a"), EVERY_ROLE).ids
    assert first is not None
    assert first is again
    with pytest.raises(ValueError, match="read-only"):
        first[0] = 7
    with reading(library.engine) as db:
        assert gallery.allowed(db, question, EVERY_ROLE).ids is first, "nothing changed meanwhile"
    write(library, "c")
    with reading(library.engine) as db:
        assert gallery.allowed(db, question, EVERY_ROLE).ids is not first


def test_an_older_view_gets_its_own_answers_and_disturbs_none(library: Library) -> None:
    gallery = Gallery(library)
    with reading(library.engine) as old:
        before = passing(old, None, EVERY_ROLE)
        write(library, "c")
        with reading(library.engine) as new_view:
            kept = gallery.allowed(new_view, FILTERS[1], PRIMARY)
            agrees(gallery, new_view)
        agrees(gallery, old)
        assert gallery.allowed(old, None, EVERY_ROLE).total == len(before)
        with reading(library.engine) as new_view:
            assert gallery.allowed(new_view, FILTERS[1], PRIMARY) is kept


def test_changes_of_other_processes_are_seen(library: Library) -> None:
    gallery = Gallery(library)
    with reading(library.engine) as db:
        agrees(gallery, db)
    with Library.open(library.path) as other:  # connections of its own, as another process has
        write(other, "c")
    with reading(library.engine) as db:
        agrees(gallery, db)


def test_what_is_remembered_is_bounded(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery = Gallery(library)
    questions = [parse_filter(f"study=a and not age={n}.5") for n in range(MOST_FILTERS + 1)]
    with reading(library.engine) as db:
        found = [gallery.allowed(db, question, EVERY_ROLE) for question in questions]
        assert gallery.allowed(db, questions[1], EVERY_ROLE) is found[1]
        assert gallery.allowed(db, questions[0], EVERY_ROLE) is not found[0], "the oldest one"
        assert gallery.allowed(db, questions[2], EVERY_ROLE) is not found[2], "then the next"
        monkeypatch.setattr(module, "MOST_BYTES", 1)
        before = gallery.bytes
        last = gallery.allowed(db, questions[5], EVERY_ROLE)
        assert gallery.bytes < before
        assert gallery.allowed(db, questions[5], EVERY_ROLE) is last, "the last one stays"


def test_a_view_of_another_library_is_refused(library: Library, tmp_path: Path) -> None:
    with (
        Library.create(tmp_path / "other") as other,
        reading(other.engine) as db,
        pytest.raises(ValueError, match="another library"),
    ):
        Gallery(library).allowed(db, None, PRIMARY)
