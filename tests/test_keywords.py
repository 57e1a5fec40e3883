"""Keyword search: what it finds, that its table never goes out of step, that removed is removed."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from alembic import command
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sqlalchemy import Connection, Engine, delete, func, insert, select, update

from api.service import ingest
from api.service import library as service
from indexer.catalog import database
from indexer.catalog.database import migrate, open_engine, reading, transaction
from indexer.catalog.removal import remove_matching
from indexer.catalog.tables import Item, Label, Patient, Report, Series, Study, StudyChange
from indexer.catalog.writer import CatalogWriter
from indexer.config import Settings
from indexer.errors import QueryError
from indexer.library import Library
from indexer.reading.drafts import FileResult, InstanceDraft, ItemDraft, PatientDraft
from indexer.searching.keywords import (
    MOST_WORDS,
    KeywordHit,
    keyword_note,
    keyword_ranks,
    keyword_snippets,
)
from indexer.sources.discover import SourceFile
from indexer.types import Attributes, Frame, Outcome, Role
from indexer.verify import verify

SETTINGS = Settings(workers=1)

REPORTS = {
    "1": "Large pleural effusion on the left. No pneumothorax.",
    "2": "Small effusion. Pleural thickening after surgery.",
    "3": "Kein Pleuraerguss. Röntgenbild der Größe nach unauffällig.",
    "4": "Normal chest radiograph, no pathology of any kind in lung, heart or bone.",
    "5": "",
}


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    """Five studies with an item each; what else is said of some stands below."""
    engine = new_catalog(tmp_path_factory.mktemp("words"))
    said = {
        "4": {"labels": {"finding": ("no_finding",)}, "study_description": "Chest PA"},
        "5": {"labels": {"finding": ("Effusion",)}, "manufacturer": "Effusion Works"},
    }
    for uid, report in REPORTS.items():
        add(engine, uid, Attributes(modality="DX", report=report, **said.get(uid, {})))
    with reading(engine) as db:
        yield db
    engine.dispose()


def new_catalog(folder: Path) -> Engine:
    engine = open_engine(folder / "catalog.sqlite")
    migrate(engine, create=True)
    return engine


def add(engine: Engine, uid: str, said: Attributes, *, series: str = "1", person: str = "") -> None:
    """Write an instance with one item, as an ingest does; of a known UID the metadata."""
    instance = f"{uid}.{series}.1"
    draft = InstanceDraft(
        instance, f"{uid}.{series}", uid, "image", PatientDraft(person or uid, None, False), said
    )
    item = ItemDraft(
        f"item{instance}", "image", Role.PRIMARY, "", {}, b"", (instance,), Frame(8, 8, 1.0)
    )
    with transaction(engine) as db:
        result = FileResult(
            SourceFile(instance, None, 1, 1), Outcome.INDEXED, instances=(draft,), items=(item,)
        )
        known = db.execute(select(Item.id).where(Item.uid == item.uid)).scalar()
        if known is not None:
            result = FileResult(result.source, result.outcome, instances=(draft,))
        CatalogWriter({}).file(db, result, [{}] if known is None else [])


def found(db: Connection, words: str, **kept: Any) -> list[str]:
    return [uid_of(db, hit) for hit in keyword_ranks(db, words, 10, **kept)]


def uid_of(db: Connection, hit: KeywordHit) -> str:
    return db.execute(select(Study.study_instance_uid).where(Study.id == hit.study_id)).scalar_one()


# -- what is found --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "uids"),
    [
        ("pneumothorax", ["1"]),
        ("PNEUMOTHORAX!", ["1"]),
        ("rontgenbild", ["3"]),
        ("RÖNTGENBILD", ["3"]),
        ("roentgenbild", []),
        ("pleura", []),
        ("pleura*", ["1", "2", "3"]),
        ('"pleural effusion"', ["1"]),
        ('"pleural eff"*', ["1"]),
        ('"effusion pleural"', ["2"]),  # over the full stop
        ("pleural -thickening", ["1"]),
        ('pleural -"pleural effusion"', ["2"]),
        ("chest", ["4"]),
        ("no_finding", ["4"]),
        ("finding:effusion", ["5"]),
        ("nosuchword", []),
        ('surgery "', ["2"]),
    ],
)
def test_words_phrases_beginnings_and_exclusions(
    catalog: Connection, words: str, uids: list[str]
) -> None:
    assert sorted(found(catalog, words)) == uids


def test_studies_with_all_words_come_before_those_with_some(catalog: Connection) -> None:
    hits = keyword_ranks(catalog, "small effusion", 10)
    assert [hit.all_words for hit in hits] == [True, False, False]
    assert uid_of(catalog, hits[0]) == "2"
    assert {uid_of(catalog, hit) for hit in hits[1:]} == {"1", "5"}


def test_a_label_weighs_more_than_a_report(catalog: Connection) -> None:
    assert found(catalog, "effusion")[0] == "5"


def test_negation_is_not_understood(catalog: Connection) -> None:
    assert "4" in found(catalog, "pathology"), "its report says that there is none"


def test_a_hit_shows_where_the_words_are(catalog: Connection) -> None:
    (hit,) = keyword_ranks(catalog, "thickening", 1)
    assert hit.score > 0
    said = keyword_snippets(catalog, "thickening -fracture", [hit.study_id, 10_000])
    assert "Pleural thickening after surgery" in said.pop(hit.study_id)
    assert not said


def test_never_more_than_asked_for_and_always_in_the_same_order(catalog: Connection) -> None:
    everything = keyword_ranks(catalog, "dx effusion pleural", 10)
    assert len(everything) == 5
    for limit in range(1, 6):
        assert keyword_ranks(catalog, "dx effusion pleural", limit) == everything[:limit]
    equal = keyword_ranks(catalog, "dx", 10)
    tied = [hit.study_id for hit in equal if hit.score == equal[-1].score]
    assert tied == sorted(tied)


def test_only_studies_with_an_allowed_item_that_are_not_excluded(catalog: Connection) -> None:
    items = dict(
        catalog.execute(
            select(Study.study_instance_uid, Item.id).select_from(Item).join(Series).join(Study)
        ).all()
    )
    allowed = np.array(sorted([items["2"], items["3"]]), np.int64)
    assert found(catalog, "effusion", allowed=allowed) == ["2"]
    assert found(catalog, "effusion", allowed=np.empty(0, np.int64)) == []
    excluded = {hit.study_id for hit in keyword_ranks(catalog, "thickening", 1)}
    assert sorted(found(catalog, "effusion", excluded_studies=excluded)) == ["1", "5"]


@pytest.mark.parametrize("words", ["", "   ", '"', "-effusion", "***", "()", "- -"])
def test_nothing_to_look_for_is_said(catalog: Connection, words: str) -> None:
    with pytest.raises(QueryError, match="at least one word"):
        keyword_ranks(catalog, words, 5)


def test_a_limit_of_nothing_is_a_mistake(catalog: Connection) -> None:
    with pytest.raises(ValueError, match="limit is at least 1"):
        keyword_ranks(catalog, "effusion", 0)


def test_of_a_long_text_the_first_words_count_and_that_is_said(catalog: Connection) -> None:
    text = " ".join(["effusion", *(f"w{n}" for n in range(MOST_WORDS + 8))])
    assert sorted(found(catalog, text)) == ["1", "2", "5"]
    assert keyword_note(text) == f"of {MOST_WORDS + 9} different words the first {MOST_WORDS} count"
    assert keyword_note("effusion Effusion " * 100) == ""


@given(st.text(max_size=60) | st.text(alphabet='"*-():^+{}. \x00aeNOTRANDfusi\ud800', max_size=60))
@settings(max_examples=300)
def test_any_text_is_a_question_or_refused(catalog: Connection, words: str) -> None:
    try:
        hits = keyword_ranks(catalog, words, 3)
    except QueryError:
        return
    assert len(hits) <= 3


@given(
    st.lists(st.sampled_from(["pleural", "effusion", "no", "chest", "dx"]), min_size=1, unique=True)
)
@settings(max_examples=40)
def test_every_study_with_a_word_is_found_and_no_other(
    catalog: Connection, words: list[str]
) -> None:
    held = {
        row.study_instance_uid: set(
            " ".join(row[1:]).lower().replace(".", "").replace(",", "").replace("_", " ").split()
        )
        for row in catalog.exec_driver_sql(
            "SELECT study_instance_uid, study_words.description, report, label, tags "
            "FROM study JOIN study_words ON study_words.study_id = study.id"
        )
    }
    hits = keyword_ranks(catalog, " ".join(words), 10)
    assert {uid_of(catalog, h) for h in hits} == {u for u, has in held.items() if has & {*words}}
    complete = {uid_of(catalog, h) for h in hits if h.all_words}
    assert complete == {u for u, has in held.items() if has >= {*words}}


# -- in step with the tables ----------------------------------------------------------------------


@dataclass(frozen=True)
class Write:
    """One write as an ingest, a table or a user makes it."""

    how: str
    study: str
    series: str
    person: str
    said: Attributes


def attributes() -> st.SearchStrategy[Attributes]:
    word = st.sampled_from(["", "lung", "Größe", "node", "mass"])
    labels = st.dictionaries(
        st.sampled_from(["finding", "site"]), st.sampled_from([("lung",), ("mass", "node")])
    )
    return st.builds(
        Attributes,
        study_description=word,
        series_description=word,
        body_part=word,
        report=word,
        sex=st.sampled_from(["", "F", "M"]),
        modality=st.sampled_from(["", "CT", "MR"]),
        labels=labels,
    )


writes = st.builds(
    Write,
    how=st.sampled_from(["file", "file", "file", "annotate", "study", "series", "patient"]),
    study=st.sampled_from("12"),
    series=st.sampled_from("12"),
    person=st.sampled_from(["anna", "otto"]),
    said=attributes(),
)


@pytest.fixture(scope="module")
def changing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = new_catalog(tmp_path_factory.mktemp("changing"))
    yield engine
    engine.dispose()


@given(st.lists(writes, min_size=1, max_size=8))
@settings(max_examples=30)
def test_words_and_revisions_follow_every_write(changing: Engine, steps: list[Write]) -> None:
    for person in ("anna", "otto"):
        with transaction(changing) as db:
            remove_matching(db, "patient", "", "test", [person])
    for step in steps:
        before, marks = seen(changing), revisions(changing)
        do(changing, step)
        after = seen(changing)
        with transaction(changing) as db:
            assert in_step(db)
        changed = {study for study, rows in after.items() if before.get(study) != rows}
        newest = max(marks.values(), default=0)
        assert set(revisions(changing)) == set(after), "removed studies have no revision"
        assert changed <= {s for s, mark in revisions(changing).items() if mark > newest}


def do(engine: Engine, step: Write) -> None:
    uid = step.study
    if step.how == "file":
        add(engine, uid, step.said, series=step.series, person=step.person)
        return
    with transaction(engine) as db:
        if step.how == "annotate":
            instances = db.exec_driver_sql("SELECT sop_instance_uid FROM instance").scalars().all()
            for instance in instances[:1]:
                CatalogWriter({}).annotate(db, instance, step.said)
        else:
            name = {"study": uid, "series": f"{uid}.{step.series}", "patient": ""}[step.how]
            remove_matching(db, step.how, name, "test", [step.person])


def in_step(db: Connection) -> bool:
    """The table holds what the view says, and the index what the table holds."""
    db.exec_driver_sql("INSERT INTO words (words) VALUES ('integrity-check')")
    held = db.exec_driver_sql("SELECT rowid, * FROM words ORDER BY rowid").all()
    return held == db.exec_driver_sql("SELECT * FROM study_words ORDER BY study_id").all()


def seen(engine: Engine) -> dict[int, list[Any]]:
    """All that a filter or a word can see of each study."""
    with reading(engine) as db:
        studies = db.execute(
            select(Study.__table__, Patient.pseudonym, Patient.shared).join(Patient)
        ).all()
        found: dict[int, list[Any]] = {row.id: [tuple(row)] for row in studies}
        for query in (
            select(Series.study_id, Series.__table__),
            select(Label.study_id, Label.__table__),
            select(Report.study_id, Report.__table__),
            select(Series.study_id, Item.id, Item.kind, Item.role, Item.slices)
            .select_from(Item)
            .join(Series),
        ):
            for row in db.execute(query.order_by(query.selected_columns[1])):
                found[row[0]].append(tuple(row))
        return found


def revisions(engine: Engine) -> dict[int, int]:
    with reading(engine) as db:
        return dict(db.execute(select(StudyChange.study_id, StudyChange.revision)).all())


def test_a_revision_is_never_used_twice(tmp_path: Path) -> None:
    engine = new_catalog(tmp_path)
    add(engine, "1", Attributes())
    add(engine, "2", Attributes())
    newest = max(revisions(engine).values())
    with transaction(engine) as db:
        remove_matching(db, "study", "2", "test")
    add(engine, "1", Attributes(report="new"))
    assert max(revisions(engine).values()) > newest
    engine.dispose()


def test_an_older_catalog_gets_its_words_when_it_is_opened(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "catalog.sqlite")
    older = command.upgrade
    with (
        patch.object(command, "upgrade", lambda config, _: older(config, "0002")),
        patch.object(database, "HEAD", "0002"),
    ):
        migrate(engine, create=True)
    with engine.begin() as db:
        db.execute(insert(Patient).values(pseudonym="p"))
        for number in (1, 2):
            values = {"study_instance_uid": str(number), "patient_id": 1}
            db.execute(insert(Study).values(values | {"description": f"number{number}"}))
        db.execute(insert(Report).values(study_id=2, source="table", text="Kein Erguss"))
    migrate(engine)
    with transaction(engine) as db:
        assert in_step(db)
        assert found(db, "erguss") == ["2"]
        assert found(db, "number1") == ["1"]
    assert set(revisions(engine)) == {1, 2}
    engine.dispose()


# -- what is removed ------------------------------------------------------------------------------


def pictures(folder: Path, reports: dict[str, str]) -> ingest.IndexRequest:
    """Pictures with a table of reports."""
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(reports):
        if not (folder / name).exists():
            values = np.random.default_rng(number).integers(0, 255, (64, 64), np.uint8)
            Image.fromarray(values).save(folder / name)
    with (folder.parent / "table.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["filename", "patient", "report"])
        rows.writerows([name, name, report] for name, report in reports.items())
    return ingest.IndexRequest([folder], metadata=folder.parent / "table.csv")


def holds(library: Library, word: str) -> bool:
    library.close()
    return any(
        word.encode() in path.read_bytes() for path in library.path.rglob("*") if path.is_file()
    )


def test_words_of_what_is_removed_or_replaced_are_nowhere_in_the_files(tmp_path: Path) -> None:
    reports = {
        "a.png": "qqremoved fracture",
        "b.png": "zzreplaced fracture",
        "c.png": "xxkept fracture",
    }
    with Library.create(tmp_path / "library") as library:
        ingest.index(library, pictures(tmp_path / "in", reports), SETTINGS)
        assert all(holds(library, w) for w in ("qqremoved", "zzreplaced", "xxkept"))
        with reading(library.engine) as db:
            (gone,) = found(db, "qqremoved")
        service.remove(library, "study", gone, actor="test")
        assert not holds(library, "qqremoved")
        reports["b.png"] = "yynew fracture"
        ingest.index(library, pictures(tmp_path / "in", reports), SETTINGS)
        assert not holds(library, "zzreplaced")
        with reading(library.engine) as db:
            assert len(found(db, "yynew")) == len(found(db, "xxkept")) == 1
        assert verify(library).clean


def test_verify_finds_words_out_of_step_and_mends_them(tmp_path: Path) -> None:
    with Library.create(tmp_path / "library") as library:
        asked = pictures(tmp_path / "in", {"a.png": "effusion", "b.png": "nodule"})
        ingest.index(library, asked, SETTINGS)
        with library.engine.begin() as db:  # as a foreign tool may do
            db.exec_driver_sql("UPDATE words SET report = 'tumour' WHERE rowid = 1")
            db.exec_driver_sql("DELETE FROM words WHERE rowid = 2")
        assert about_words(library) == ["2 studies cannot be found by their words"]
        assert about_words(library, repair=True) == ["2 studies cannot be found by their words"]
        assert about_words(library) == []
        assert not holds(library, "tumour")
        with library.engine.begin() as db:
            db.exec_driver_sql("UPDATE words_content SET c1 = 'tumour' WHERE id = 1")
            db.exec_driver_sql("UPDATE report SET text = 'tumour' WHERE study_id = 1")
        assert "the index of words does not equal the text" in about_words(library, repair=True)
        with transaction(library.engine) as db:
            assert in_step(db)
            assert len(found(db, "tumour")) == len(found(db, "nodule")) == 1


def about_words(library: Library, *, repair: bool = False) -> list[str]:
    findings = [f for f in verify(library, repair=repair).findings if f.check == "words"]
    assert all(f.repaired == repair for f in findings)
    return [f.message.split(",")[0] for f in findings]


def test_a_write_that_passed_by_the_words_is_caught_up_with_by_the_next(tmp_path: Path) -> None:
    engine = new_catalog(tmp_path)
    add(engine, "1", Attributes(report="effusion"))
    with engine.begin() as db:
        db.execute(update(Report).values(text="nodule"))
        db.execute(delete(Label))
    with transaction(engine) as db:
        db.execute(select(func.count()).select_from(Study))
    with reading(engine) as db:
        assert found(db, "nodule") == ["1"]
        assert found(db, "effusion") == []
    engine.dispose()
