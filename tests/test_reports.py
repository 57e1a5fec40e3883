"""From an image to reports: whose words are heard, by which voice, and what is said about it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from served_library import own_copy
from sqlalchemy import delete, insert, select, update
from tiny_models import shared_models
from told_library import CLOSING, LINES, SIDES, Told, make_told, plan
from typer.testing import CliRunner

from api.cli.main import app
from api.service import bridge as bridging
from api.service import library as pruning
from api.service import reports as service
from api.service import search as searching
from api.service.options import read_options
from indexer.catalog.database import reading, transaction
from indexer.catalog.tables import EmbeddingRow, Instance, Item, Report, Series, Study
from indexer.config import Settings
from indexer.encoders.contract import EncoderContext
from indexer.errors import ItemNotFoundError, QueryError
from indexer.library import Library
from indexer.registry import make_encoder
from indexer.searching.asking import SearchRequest, like
from indexer.texts.bridges import load_bridge
from indexer.texts.reports import ReportsAnswer, ReportsRequest

STUDIES, ALL = 96, 1000


@pytest.fixture(scope="module")
def bridged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library with a bridge that counts words; not to be changed."""
    path = make_told(tmp_path_factory.mktemp("told"), STUDIES)
    with Library.open(path) as library:
        bridging.fit(library, bridging.FitRequest(features="tfidf"), Settings())
    return path


@pytest.fixture
def library(bridged: Path, tmp_path: Path) -> Iterator[Library]:
    with Library.open(own_copy(bridged, tmp_path)) as opened:
        yield opened


def ask(library: Library, uid: str, **request: object) -> ReportsAnswer:
    asked = ReportsRequest(uid=uid, **request)  # type: ignore[arg-type]
    return service.reports(library, asked, Settings())


def uid_of(library: Library, told: Told) -> str:
    with reading(library.engine) as db:
        return db.execute(
            select(Study.study_instance_uid)
            .join(Series)
            .join(Instance)
            .where(Instance.source.like(f"%/{told.file}"))
        ).scalar_one()


# -- what is found ---------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 1, 3, 5])
def test_an_image_finds_the_words_for_what_it_shows(library: Library, number: int) -> None:
    told = plan(STUDIES)[number]
    answer = ask(library, uid_of(library, told), k=4)
    report = f"{LINES[told.lines]} {SIDES[told.side]} {CLOSING}"
    assert [found.text for found in answer.neighbours] == [report] * 4
    assert answer.reports[0].text == report
    order = [found.text for found in ask(library, uid_of(library, told)).sentences]
    assert set(order) == {*LINES.values(), *SIDES.values(), CLOSING}
    for names, true in ((LINES, told.lines), (SIDES, told.side)):
        for name, sentence in names.items():
            assert name == true or order.index(names[true]) < order.index(sentence)
    assert {found.voice for found in answer.neighbours} == {"neighbour"}
    assert {found.voice for found in (*answer.reports, *answer.sentences)} == {"text"}


def test_the_neighbours_are_those_of_search(library: Library) -> None:
    uid = uid_of(library, plan(STUDIES)[4])
    answer = ask(library, uid, k=5)
    hits = searching.search(library, SearchRequest(like(uid=uid), k=ALL), Settings()).hits
    scores = {hit.study_instance_uid: hit.score for hit in hits}
    with_report = [
        told_uid
        for told_uid in scores
        if told_uid in {uid_of(library, told) for told in plan(STUDIES) if told.report}
    ]
    assert [found.study_instance_uid for found in answer.neighbours] == with_report[:5]
    assert [found.score for found in answer.neighbours] == [scores[u] for u in with_report[:5]]


def test_equal_words_are_listed_once_with_the_number_of_their_studies(library: Library) -> None:
    told = plan(STUDIES)[4]
    with transaction(library.engine) as db:
        for report in db.execute(select(Report.id, Report.text).where(Report.id % 2 == 0)).all():
            changed = report.text.replace(SIDES["left"], "THE LEFT  field is affected!")
            db.execute(update(Report).where(Report.id == report.id).values(text=changed))
    answer = ask(library, uid_of(library, told), k=ALL)
    others = [t for t in plan(STUDIES) if t.report and t.patient != told.patient]
    counts = Counter(part for t in others for part in (LINES[t.lines], SIDES[t.side], CLOSING))
    found = {one.text.lower().rstrip(".!"): one.studies for one in answer.sentences}
    assert found == {part.lower().rstrip("."): count for part, count in counts.items()}
    assert sum(one.studies for one in answer.reports) == len(others)
    assert [one.score for one in answer.sentences] == sorted(
        (one.score for one in answer.sentences), reverse=True
    )


def test_the_words_of_the_own_patient_are_left_out(library: Library) -> None:
    """Studies 4 and 5 are of one patient, 7 is of another."""
    rare = "Lying lines in a rare whorl."
    with transaction(library.engine) as db:
        study = db.execute(
            select(Study.id).where(Study.study_instance_uid == uid_of(library, plan(STUDIES)[4]))
        ).scalar_one()
        db.execute(update(Report).where(Report.study_id == study).values(text=rare))
    for number, heard in ((4, False), (5, False), (7, True)):
        answer = ask(library, uid_of(library, plan(STUDIES)[number]), k=ALL)
        for found in (answer.neighbours, answer.reports, answer.sentences):
            assert (rare in {one.text for one in found}) is heard, number


def test_the_words_of_a_copy_under_other_uids_are_left_out(library: Library) -> None:
    copied, copy, other = (uid_of(library, plan(STUDIES)[number]) for number in (4, 7, 10))
    rare = "Lying lines in a rare whorl."
    with transaction(library.engine) as db:
        item = select(Item.id).join(Series).join(Study)
        pixels = db.execute(
            select(Item.pixel_hash)
            .join(Series)
            .join(Study)
            .where(Study.study_instance_uid == copied)
        ).scalar_one()
        same = item.where(Study.study_instance_uid == copy)
        db.execute(update(Item).where(Item.id.in_(same)).values(pixel_hash=pixels))
        study = select(Study.id).where(Study.study_instance_uid == copy).scalar_subquery()
        db.execute(update(Report).where(Report.study_id == study).values(text=rare))
    for uid, heard in ((copied, False), (other, True)):
        answer = ask(library, uid, k=ALL)
        for found in (answer.neighbours, answer.reports, answer.sentences):
            assert (rare in {one.text for one in found}) is heard
    assert any("1 exact copy" in note for note in ask(library, copied).notes)


def test_a_file_is_asked_with_as_its_study_is(library: Library, bridged: Path) -> None:
    told = plan(STUDIES)[8]
    by_uid = ask(library, uid_of(library, told), k=6)
    image = bridged.parent / "files" / told.file
    by_file = service.reports(library, ReportsRequest(image=image, k=6), Settings())
    for name in ("neighbours", "reports", "sentences"):
        one, two = getattr(by_uid, name), getattr(by_file, name)
        assert [found.text for found in one] == [found.text for found in two], name
    assert by_file.query.labels == {"finding": (f"{told.lines}_lines",)}


# -- what is said about it -------------------------------------------------------------------------


def test_the_measured_quality_of_the_bridge_is_told(library: Library) -> None:
    answer = ask(library, uid_of(library, plan(STUDIES)[4]))
    (version,) = bridging.bridge_versions(library)
    assert version.about is not None
    assert answer.quality == version.about.quality
    assert answer.words == "a bridge (tfidf)"
    assert any("the other way (by chance 52%)" in note for note in answer.notes)
    assert answer.notice == "built-in encoder, not clinical"


def test_texts_are_compared_with_the_image_less_the_mean_of_all(library: Library) -> None:
    uid = uid_of(library, plan(STUDIES)[4])
    bridge = load_bridge(library, library.spaces()[0], read_options(library, Settings()))
    assert bridge is not None
    with reading(library.engine) as db:
        query = select(EmbeddingRow.vector).join(Item, Item.id == EmbeddingRow.item_id)
        query = query.join(Series).join(Study).where(Study.study_instance_uid == uid)
        image = np.frombuffer(db.execute(query).scalar_one(), "<f2").astype(np.float32)
    apart = image - bridge.middle
    said = ask(library, uid).sentences
    cosines = bridge.embed([one.text for one in said]) @ apart / np.linalg.norm(apart)
    np.testing.assert_allclose([one.score for one in said], cosines, atol=1e-3)


def test_without_words_only_neighbours_speak(library: Library) -> None:
    bridging.remove(library, 1)
    answer = ask(library, uid_of(library, plan(STUDIES)[4]), k=3)
    assert len(answer.neighbours) == 3
    assert (answer.reports, answer.sentences, answer.words, answer.quality) == ([], [], "", None)
    assert any("'texture' has no words" in note and "bridge fit" in note for note in answer.notes)


def test_texts_without_a_known_word_are_not_listed(library: Library) -> None:
    with transaction(library.engine) as db:
        study = db.execute(select(Report.study_id).limit(1)).scalar_one()
        db.execute(insert(Report).values(study_id=study, source="x", text="Qwx zyv. Uvw zzz."))
    answer = ask(library, uid_of(library, plan(STUDIES)[9]), k=ALL)
    assert not {"Qwx zyv.", "Uvw zzz."} & {one.text for one in answer.sentences}


def test_few_reports_and_a_limit_are_said(library: Library) -> None:
    uid = uid_of(library, plan(STUDIES)[4])
    cut = ask(library, uid, k=5, studies=10)
    assert sum(one.studies for one in cut.reports) == 10
    assert any("newest 10 studies with reports were compared, those of 52" in n for n in cut.notes)
    with transaction(library.engine) as db:
        kept = db.execute(select(Report.id).limit(2)).scalars().all()
        db.execute(delete(Report).where(Report.id.not_in(kept)))
    few = ask(library, uid, k=5)
    assert len(few.neighbours) <= 2
    assert any("nearest studies have a report" in note for note in few.notes)


def test_wrong_questions_are_refused(library: Library) -> None:
    for k in (0, 1001):
        with pytest.raises(QueryError, match=f"k is 1 to 1000, not {k}"):
            ask(library, "1.2.3", k=k)
    with pytest.raises(ItemNotFoundError, match=r"1\.2\.3"):
        ask(library, "1.2.3")
    with pytest.raises(QueryError, match="either an image file or a UID"):
        service.reports(library, ReportsRequest(), Settings())
    uid = uid_of(library, plan(STUDIES)[4])
    with transaction(library.engine) as db:
        db.execute(delete(Report))
    with pytest.raises(QueryError, match="the library has no reports"):
        ask(library, uid)


def test_the_command_prints_all_three(library: Library) -> None:
    told = plan(STUDIES)[4]
    call = ["reports", "--uid", uid_of(library, told), "-L", str(library.path), "-k", "2"]
    said = CliRunner().invoke(app, call)
    assert said.exit_code == 0, said.output
    for part in ("nearest studies", "reports nearest", "sentences nearest", LINES[told.lines]):
        assert part in said.stdout
    found = json.loads(CliRunner().invoke(app, [*call, "--json"]).stdout)
    assert [len(found[name]) for name in ("neighbours", "reports", "sentences")] == [2, 2, 2]
    quality = found["quality"]
    assert quality["report_hit_rate_at_10"] > quality["chance_at_10"] + 0.25
    refused = CliRunner().invoke(app, ["reports", "--uid", "1.2.3", "-L", str(library.path)])
    assert refused.exit_code == 2
    assert "1.2.3" in refused.stderr


# -- by a text tower -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(models=shared_models(tmp_path_factory), device="cpu")


@pytest.fixture(scope="module")
def towered(tmp_path_factory: pytest.TempPathFactory, settings: Settings) -> Path:
    """Nine studies in the space of the tiny MedImageInsight."""
    folder = tmp_path_factory.mktemp("towered")
    return make_told(folder, 9, encoders=("medimageinsight",), settings=settings)


@pytest.fixture
def tall(towered: Path, tmp_path: Path) -> Iterator[Library]:
    with Library.open(own_copy(towered, tmp_path)) as opened:
        yield opened


def test_a_space_with_a_text_tower_needs_no_bridge(tall: Library, settings: Settings) -> None:
    told = plan(9)[4]
    request = ReportsRequest(uid=uid_of(tall, told), k=ALL)
    heard: list[tuple[int, int]] = []
    answer = service.reports(tall, request, settings, lambda *said: heard.append(said))
    assert answer.words == "the text tower of 'medimageinsight'"
    assert answer.quality is None
    assert any("was not measured" in note for note in answer.notes)
    encoder = make_encoder(EncoderContext("medimageinsight", settings.models, "cpu"))
    parts = [one.text for one in answer.sentences]
    rows = encoder.embed_text(parts)  # type: ignore[attr-defined]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    with reading(tall.engine) as db:
        blob = db.execute(
            select(EmbeddingRow.vector)
            .join(Item, Item.id == EmbeddingRow.item_id)
            .join(Series)
            .join(Study)
            .where(Study.study_instance_uid == request.uid)
        ).scalar_one()
    cosines = rows @ np.frombuffer(blob, "<f2").astype(np.float32)
    np.testing.assert_allclose([one.score for one in answer.sentences], cosines, atol=3e-3)
    assert set(parts) == {
        part
        for t in plan(9)
        if t.report and t.patient != told.patient
        for part in (LINES[t.lines], SIDES[t.side], CLOSING)
    }
    assert heard
    heard.clear()
    again = service.reports(tall, request, settings, lambda *said: heard.append(said))
    assert not heard, "what was embedded once is kept"
    assert again.sentences == answer.sentences


def test_changed_and_removed_reports_are_heard_no_more(tall: Library, settings: Settings) -> None:
    request = ReportsRequest(uid=uid_of(tall, plan(9)[4]), k=ALL)
    service.reports(tall, request, settings)
    changed, removed = uid_of(tall, plan(9)[1]), uid_of(tall, plan(9)[7])
    with transaction(tall.engine) as db:
        number = db.execute(
            select(Study.id).where(Study.study_instance_uid == changed)
        ).scalar_one()
        db.execute(update(Report).where(Report.study_id == number).values(text="Quite new."))
    pruning.remove(tall, "study", removed, actor="test")
    answer = service.reports(tall, request, settings)
    assert "Quite new." in {one.text for one in answer.sentences}
    everywhere = (*answer.neighbours, *answer.reports, *answer.sentences)
    assert removed not in {one.study_instance_uid for one in everywhere}
    assert sum(one.studies for one in answer.reports) == sum(
        1 for t in plan(9) if t.report and t.number not in (4, 5, 7)
    )


def test_what_is_removed_while_texts_are_read_is_not_kept(
    tall: Library, settings: Settings
) -> None:
    removed = uid_of(tall, plan(9)[7])
    heard: list[int] = []

    def remove_once(done: int, _total: int) -> None:
        if not heard:
            pruning.remove(tall, "study", removed, actor="test")
        heard.append(done)

    request = ReportsRequest(uid=uid_of(tall, plan(9)[4]))
    service.reports(tall, request, settings, remove_once)
    assert heard
    assert not list(tall.index_folder.glob("words-*"))


def test_beside_a_writer_the_answer_comes_and_nothing_is_kept(
    tall: Library, settings: Settings
) -> None:
    request = ReportsRequest(uid=uid_of(tall, plan(9)[4]))
    with Library.open(tall.path) as other, other.writing():
        answer = service.reports(tall, request, settings)
    assert answer.sentences
    assert any("were not kept for the next time" in note for note in answer.notes)
    assert not list(tall.index_folder.glob("words-*"))
