"""Queues of work: who is at what, verdicts, their history, and taking them back."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from people import ITEMS, NEW, changes, make_library, people_at, problem, tag_of
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError
from typer.testing import CliRunner

from api.cli.main import app
from api.service import library as library_service
from api.service.curating import labelling, reviews
from api.service.curating.editing import Author, Expected
from api.service.curating.reviews import Decision
from indexer.catalog.database import reading, transaction
from indexer.catalog.tables import Review, now
from indexer.errors import ChangedMeanwhileError, QueryError
from indexer.groups.labels import LabelLine
from indexer.library import Library

ANY, QUEUE = Expected(anything=True), "ood:chest / first"
PATH = f"reviews/{QUEUE.replace('/', '%2F')}"
SUBJECTS = [[f"item-{n}"] for n in range(ITEMS)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = make_library(tmp_path_factory.mktemp("made") / "library")
    with Library.open(path) as opened:
        reviews.fill_queue(opened, QUEUE, SUBJECTS, Author("job"))
    return path


@pytest.fixture
def library(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "library"))


@pytest.fixture
def people(library: Path) -> Iterator[dict[str, httpx.Client]]:
    with people_at(library) as clients:
        yield clients


def subjects(answer: httpx.Response) -> list[str]:
    assert answer.is_success, answer.text
    told = answer.json()
    return [each["subject"] for each in told.get("rows", told.get("reviews"))]


# -- verdicts -------------------------------------------------------------------------------------


def test_a_verdict_is_given_with_its_history_and_taken_back(
    people: dict[str, httpx.Client],
) -> None:
    ann, bea, rob = people["ann"], people["bea"], people["rob"]
    at = f"{PATH}/subjects/item-3"
    new = rob.get(at)
    assert (new.json()["review"]["verdict"], new.json()["history"]) == ("", [])
    said = {"verdict": "accept", "comment": "a hand\nnot a chest"}
    first = ann.put(at, json=said, headers=tag_of(new))
    review = first.json()["review"]
    assert (review["verdict"], review["comment"], review["by"]) == (*said.values(), "ann")
    assert review["parts"] == [{"uid": "item-3", "study_instance_uid": "2.25.3"}]
    second = bea.put(at, json={"verdict": "reject"}, headers=tag_of(first))
    back = bea.post(f"{at}/undo", headers=tag_of(second)).json()
    assert (back["review"]["verdict"], back["review"]["comment"]) == tuple(said.values())
    told = [(each["by"], each["verdict"], each["undo"]) for each in back["history"]]
    assert told == [("ann", "accept", False), ("bea", "reject", False), ("bea", "accept", True)]
    open_ = ann.post(f"{at}/undo", headers={"If-Match": "*"}).json()["review"]
    assert (open_["verdict"], open_["undoable"]) == ("", False)
    assert ann.post(f"{at}/undo", headers={"If-Match": "*"}).status_code == 422


def test_two_who_decide_at_once_hear_of_each_other(
    people: dict[str, httpx.Client], library: Path
) -> None:
    ann, bea, rob = people["ann"], people["bea"], people["rob"]
    at = f"{PATH}/subjects/item-0"
    seen = tag_of(rob.get(at))
    problem(rob.put(at, json={"verdict": "skip"}, headers=seen), 403, "access_denied")
    problem(ann.put(at, json={"verdict": "skip"}), 428, "precondition_required")
    problem(ann.post(f"{at}/undo"), 428, "precondition_required")
    first = ann.put(at, json={"verdict": "accept"}, headers=seen)
    told = problem(bea.put(at, json={"verdict": "reject"}, headers=seen), 412, "changed_meanwhile")
    assert (told["current"], told["etag"]) == (first.json(), first.headers["ETag"])
    problem(bea.post(f"{at}/undo", headers=seen), 412, "changed_meanwhile")
    problem(bea.put(at, json={"verdict": "skip"}, headers=NEW), 412, "changed_meanwhile")
    assert bea.put(at, json={"verdict": "maybe"}, headers=seen).status_code == 422
    (done,) = (row for row in changes(library) if row.outcome == "success")
    assert (done.actor, done.subject["verdict"], done.patients) == ("ann", "accept", ("patient-0",))


def test_a_subject_is_one_thing_or_two_in_any_order(people: dict[str, httpx.Client]) -> None:
    ann = people["ann"]
    asked = {"subjects": [["item-5", "item-1"], ["2.25.7"], ["2.25.6.1"]]}
    done = ann.post("reviews/duplicates/subjects", json=asked)
    assert done.json() == {"changed": 3, "unchanged": 0}
    turned = {"subjects": [["item-1", "item-5"], ["item-0", "2.25.0"]]}
    assert ann.post("reviews/duplicates/subjects", json=turned).json()["changed"] == 1
    pair = ann.get("reviews/duplicates/subjects/item-5,item-1").json()["review"]
    assert pair["subject"] == "item-1,item-5"
    assert [each["study_instance_uid"] for each in pair["parts"]] == ["2.25.1", "2.25.5"]
    strange = {"subjects": [["item-0"], ["item-99", "item-0"]]}
    told = problem(ann.post("reviews/duplicates/subjects", json=strange), 422, "unknown_lines")
    assert told["lines"] == [1]
    for bad in ([], ["item-0", "item-0"], ["item-0", "item-1", "item-2"]):
        answer = ann.post("reviews/duplicates/subjects", json={"subjects": [bad]})
        assert answer.status_code == 422, bad


def test_a_subject_that_no_queue_has_is_decided_all_the_same(
    people: dict[str, httpx.Client],
) -> None:
    ann, at = people["ann"], "reviews/seen/subjects/2.25.4"
    problem(ann.put(at, json={"verdict": "accept"}, headers={"If-Match": '"0"'}), 404, "not_found")
    assert ann.put(at, json={"verdict": "accept"}, headers=NEW).json()["review"]["by"] == "ann"
    at = "reviews/seen/subjects/9.9.9"
    problem(ann.put(at, json={"verdict": "accept"}, headers=NEW), 404, "not_found")
    assert [each["queue"] for each in ann.get("reviews/queues").json()] == [QUEUE, "seen"]


def test_of_many_who_decide_exactly_one_is_first(library: Path) -> None:
    with Library.open(library) as opened:
        ready, won, lost = threading.Barrier(6), list[str](), list[str]()

        def judge(name: str) -> None:
            ready.wait()
            try:
                reviews.put_review(
                    opened, QUEUE, "item-0", Decision("accept", name),
                    expected=Expected(frozenset({"0"})), author=Author(name),
                )  # fmt: skip
                won.append(name)
            except ChangedMeanwhileError as error:
                assert isinstance(error.current, reviews.Reviewed)
                lost.append(error.current.review.by)

        threads = [threading.Thread(target=judge, args=(f"p{n}",)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1 and lost == won * 5
        found = reviews.review(opened, QUEUE, "item-0")
        assert (found.review.comment, len(found.history)) == (won[0], 1)


STEP = st.one_of(
    st.just(None),
    st.tuples(st.sampled_from(["", "accept", "reject", "skip"]), st.text("ab\n ", max_size=3)),
)


@settings(max_examples=30, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(STEP, max_size=12))
def test_verdicts_lie_on_each_other_like_plates(
    made: Path, tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str] | None]
) -> None:
    path = shutil.copytree(made, tmp_path_factory.mktemp("plates") / "library")
    plates, events = [("", "")], 0
    at = (QUEUE, "item-0")
    with Library.open(path) as opened:
        for step in steps:
            if step is None and len(plates) == 1:
                with pytest.raises(QueryError, match="nothing was decided"):
                    reviews.undo_review(opened, *at, ANY, Author("a"))
                continue
            before = Expected(frozenset({str(events)}))
            if step is None:
                plates.pop()
                found = reviews.undo_review(opened, *at, before, Author("a"))
            else:
                plates.append(step)
                found = reviews.put_review(
                    opened, *at, Decision(*step), expected=before, author=Author("a")
                )
            events += 1
            assert (found.review.verdict, found.review.comment) == plates[-1]
            assert found.review.undoable == (len(plates) > 1)
            assert [each.number for each in found.history] == list(range(1, events + 1))


# -- lists and claims -----------------------------------------------------------------------------


def test_a_queue_is_listed_page_by_page_and_counted(people: dict[str, httpx.Client]) -> None:
    ann, rob = people["ann"], people["rob"]
    for number, verdict in enumerate(["accept", "reject", "reject", "skip"]):
        at = f"{PATH}/subjects/item-{number}"
        ann.put(at, json={"verdict": verdict}, headers=tag_of(ann.get(at)))
    ann.post(f"{PATH}/next", json={"count": 2})
    counts = {"open": 4, "claimed": 2, "accept": 1, "reject": 2, "skip": 1}
    assert rob.get("reviews/queues").json() == [{"queue": QUEUE} | counts]
    for state, count in (*counts.items(), ("decided", 4), ("", ITEMS)):
        asked = {"queue": QUEUE, "state": state, "limit": 3}
        found = page = rob.get("reviews", params=asked)
        listed = subjects(found)
        while page.json()["cursor"]:
            page = rob.get("reviews", params={**asked, "cursor": page.json()["cursor"]})
            listed += subjects(page)
        assert len(set(listed)) == len(listed) == count, state
        assert listed == sorted(listed), "in the order in which they were put there"
    assert rob.get("reviews", params={"state": "odd"}).status_code == 422
    assert subjects(rob.get("reviews", params={"queue": "none"})) == []


def test_two_at_one_queue_get_different_subjects(people: dict[str, httpx.Client]) -> None:
    ann, bea = people["ann"], people["bea"]
    mine = subjects(ann.post(f"{PATH}/next", json={"count": 3}))
    hers = ann.get(f"{PATH}/subjects/item-0").json()["review"]
    assert mine == ["item-0", "item-1", "item-2"] and hers["claimed_by"] == "ann"
    assert subjects(bea.post(f"{PATH}/next", json={})) == ["item-3"]
    # Who decides all the same may: a claim says who is at it, and no more.
    at = f"{PATH}/subjects/item-0"
    taken = bea.put(at, json={"verdict": "skip"}, headers=tag_of(bea.get(at)))
    assert taken.json()["review"]["claimed_by"] == ""
    freed = {"subjects": ["item-1", "item-3"]}
    assert ann.post(f"{PATH}/release", json=freed).json() == {"changed": 1, "unchanged": 1}
    assert subjects(bea.post(f"{PATH}/next", json={"count": 50})) == [
        "item-1", "item-4", "item-5", "item-6", "item-7",
    ]  # fmt: skip
    nothing = ann.post(f"{PATH}/next", json={}).json()
    assert nothing["reviews"] == [] and nothing["counts"]["open"] == 7
    problem(ann.post("reviews/none/next", json={}), 404, "not_found")
    assert people["rob"].post(f"{PATH}/next", json={}).status_code == 403


def test_a_claim_ends_by_itself(library: Path) -> None:
    with Library.open(library) as opened:
        reviews.next_reviews(opened, QUEUE, Author("ann"), count=2, minutes=5)
        with transaction(opened.engine) as db:
            ended = now() - timedelta(seconds=1)
            mine = update(Review).where(Review.subject == "item-0")
            db.execute(mine.values(claimed_until=ended))
        (again,) = reviews.next_reviews(opened, QUEUE, Author("bea")).reviews
        assert (again.subject, again.claimed_by) == ("item-0", "bea")


def test_many_who_take_at_once_share_a_queue_out(library: Path) -> None:
    with Library.open(library) as opened:
        ready, taken = threading.Barrier(4), list[str]()

        def work(name: str) -> None:
            ready.wait()
            for _ in range(2):
                found = reviews.next_reviews(opened, QUEUE, Author(name)).reviews
                taken.extend(each.subject for each in found)

        threads = [threading.Thread(target=work, args=(f"p{n}",)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(taken) == [f"item-{n}" for n in range(ITEMS)]


# -- what is kept ---------------------------------------------------------------------------------


def test_history_cannot_be_changed_and_goes_with_the_study(library: Path) -> None:
    with Library.open(library) as opened:
        said = {"expected": ANY, "author": Author("ann")}
        reviews.put_review(opened, QUEUE, "item-0", Decision("accept"), **said)  # type: ignore[arg-type]
        reviews.fill_queue(opened, "pairs", [["item-7", "item-0"]], Author("job"))
        for statement in ("UPDATE review_event SET verdict = 'skip'", "DELETE FROM review_event"):
            with (
                pytest.raises(IntegrityError, match="can only grow"),
                transaction(opened.engine) as db,
            ):
                db.exec_driver_sql(statement)
        library_service.remove(opened, "study", "2.25.0", actor="test")
        with reading(opened.engine) as db:
            assert db.exec_driver_sql("SELECT count(*) FROM review_event").scalar() == 0
        assert [each.queue for each in reviews.queues(opened)] == [QUEUE]
        assert reviews.queues(opened)[0].open == ITEMS - 1


def test_reviews_are_listed_and_exported_as_a_command(library: Path, tmp_path: Path) -> None:
    with Library.open(library) as opened:
        said = {"expected": ANY, "author": Author("ann")}
        reviews.put_review(opened, QUEUE, "item-1", Decision("accept", "=why"), **said)  # type: ignore[arg-type]
    run = CliRunner().invoke
    listed = run(app, ["reviews", "list", "--json", "-L", str(library)])
    (told,) = json.loads(listed.output)["queues"]
    assert (told["queue"], told["open"], told["accept"]) == (QUEUE, ITEMS - 1, 1)
    assert QUEUE in run(app, ["reviews", "list", "-L", str(library)]).output
    table = tmp_path / "reviews.json"
    done = run(app, ["reviews", "export", QUEUE, str(table), "-L", str(library)])
    assert done.exit_code == 0 and f"{ITEMS} reviews" in done.output
    rows = json.loads(table.read_text())
    assert [(row["subject"], row["verdict"], row["by"]) for row in rows][:2] == [
        ("item-0", "", ""), ("item-1", "accept", "ann"),
    ]  # fmt: skip
    missing = run(app, ["reviews", "export", "none", str(table), "-L", str(library)])
    assert missing.exit_code != 0 and "there is no queue 'none'" in missing.output


# -- what findings said, and labels that verdicts give --------------------------------------------

SUSPECT = {"task": "labels", "label": "finding", "given": "mass", "suggested": "nodule"}
SUSPECTS = "label-errors:finding"


@pytest.fixture
def suspected(library: Path) -> Path:
    """A library in which the label of an item is suspected."""
    with Library.open(library) as opened:
        labelling.change_labels(opened, [LabelLine("item-0", "finding", "mass")], Author("ann"))
        subjects, said = [["item-0"], ["item-1"]], [SUSPECT, {"task": "outliers"}]
        reviews.fill_queue(opened, SUSPECTS, subjects, Author("job"), said)
    return library


def own_labels_of(opened: Library, uid: str = "item-0") -> dict[str, tuple[str, ...]]:
    return dict(labelling.sheet_of_item(opened, uid).labels)


def test_a_queue_keeps_what_the_finding_said(
    suspected: Path, people: dict[str, httpx.Client]
) -> None:
    found = people["ann"].get("reviews", params={"queue": SUSPECTS}).json()["rows"]
    assert [each["finding"] for each in found] == [SUSPECT, {"task": "outliers"}]
    again = {"subjects": [["item-0"]]}
    assert people["ann"].post(f"reviews/{SUSPECTS}/subjects", json=again).json()["unchanged"] == 1
    taken = people["ann"].post(f"reviews/{SUSPECTS}/next", json={}).json()["reviews"]
    assert taken[0]["finding"] == SUSPECT


def test_taking_the_suggestion_gives_the_label_and_undoing_it_brings_the_old_one_back(
    suspected: Path,
) -> None:
    at: tuple[str, str] = (SUSPECTS, "item-0")
    with Library.open(suspected) as opened:

        def decide(*said: object) -> reviews.Reviewed:
            decision = Decision(*said)  # type: ignore[arg-type]
            return reviews.put_review(opened, *at, decision, expected=ANY, author=Author("ann"))

        taken = decide("accept", "", ("nodule",))
        assert own_labels_of(opened) == {"finding": ("nodule",)}
        assert taken.review.labels == taken.history[-1].labels == ("nodule",)
        decide("accept", "", ("nodule", "scar"))
        assert own_labels_of(opened) == {"finding": ("nodule", "scar")}
        decide("reject")  # the label was right: what the verdicts before gave holds no more
        assert own_labels_of(opened) == {"finding": ("mass",)}
        undone = reviews.undo_review(opened, *at, ANY, Author("ann"))
        assert own_labels_of(opened) == {"finding": ("nodule", "scar")}
        assert undone.review.labels == ("nodule", "scar")
        reviews.undo_review(opened, *at, ANY, Author("ann"))
        reviews.undo_review(opened, *at, ANY, Author("ann"))
        assert own_labels_of(opened) == {"finding": ("mass",)}


def test_what_somebody_else_made_of_the_label_since_is_not_taken_back(suspected: Path) -> None:
    at: tuple[str, str] = (SUSPECTS, "item-0")
    with Library.open(suspected) as opened:
        decision = Decision("accept", "", ("nodule",))
        reviews.put_review(opened, *at, decision, expected=ANY, author=Author("ann"))
        labelling.put_labels(
            opened, "item-0", {"finding": ["scar"]}, ANY, Author("rob"), of_item=True
        )
        reviews.undo_review(opened, *at, ANY, Author("ann"))
        assert own_labels_of(opened) == {"finding": ("scar",)}


def test_a_label_is_changed_where_it_stands(library: Path) -> None:
    with Library.open(library) as opened:
        reviews.fill_queue(opened, SUSPECTS, [["item-0"]], Author("job"), [{}])
        study = reviews.review(opened, SUSPECTS, "item-0").review.parts[0].study_instance_uid
        said = {**SUSPECT, "study_instance_uid": study}
        labelling.change_labels(opened, [LabelLine(study, "finding", "mass")], Author("ann"))
        reviews.fill_queue(opened, "of study", [["item-0"]], Author("job"), [said])
        decision = Decision("accept", "", ("nodule",))
        reviews.put_review(
            opened, "of study", "item-0", decision, expected=ANY, author=Author("ann")
        )
        assert own_labels_of(opened) == {}
        assert labelling.sheet_of_study(opened, study).labels == {"finding": ("nodule",)}


@pytest.mark.parametrize(
    ("subject", "verdict"), [("item-0", "reject"), ("item-0", ""), ("item-1", "accept")]
)
def test_labels_are_given_with_accept_where_the_finding_is_about_one(
    suspected: Path, subject: str, verdict: str
) -> None:
    decision = Decision(verdict, "", ("nodule",))
    with (
        Library.open(suspected) as opened,
        pytest.raises(QueryError, match="labels are given with accept"),
    ):
        reviews.put_review(opened, SUSPECTS, subject, decision, expected=ANY, author=Author("ann"))
