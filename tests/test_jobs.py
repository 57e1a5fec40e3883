"""Jobs: asked for, done, read, refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from asking_jobs import CURATOR, OPERATOR, ask, ask_with, do_all, done, shown
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from served_library import REFERENCE, RUN, own_copy
from sqlalchemy import case, update
from typer.testing import CliRunner

from api.cli.main import app
from api.jobs.errors import JobNotDoneError, TooManyJobsError
from api.jobs.kinds import KINDS
from api.jobs.results import RowsFile, read_rows
from api.jobs.work import Kind, Parameters, Work
from api.jobs.worker import work
from api.rights import EVERY_LIBRARY, Principal, Role
from api.service import jobs
from api.service.curating import reviews
from api.service.jobs import JobRequest, ParametersError
from api.service.paging import Paging
from indexer.catalog.database import reading, transaction
from indexer.catalog.tables import Study
from indexer.config import Settings
from indexer.errors import (
    AccessDeniedError,
    ConfigError,
    ItemNotFoundError,
    LibraryLockedError,
    QueryError,
    SourceError,
)
from indexer.groups.references import find_reference
from indexer.groups.runs import list_runs
from indexer.groups.scores import kept_scores
from indexer.library import Library

SYNTOPY = [sys.executable, "-m", "api.cli.main"]
_PATIENCE = 60.0


@pytest.fixture
def library(served: Path, tmp_path: Path) -> Path:
    """A library of drawn pictures of its own."""
    return own_copy(served, tmp_path)


# -- what is asked for is done ---------------------------------------------------------------------


def test_a_clustering_is_made_by_a_worker(library: Path) -> None:
    job = ask(library, "cluster", CURATOR, name="second", method="kmeans", n_clusters=2)
    assert (job.state, job.asked_by, job.result) == ("queued", "curator", None)
    assert [(ended.uid, ended.state) for ended in do_all(library)] == [(job.id, "done")]
    after = shown(library, job.id)
    assert after.result == {"run": "second", "clusters": 2, "items": 120, "noise": 0, "rows": 0}
    assert after.started_at and after.ended_at and after.attempts == 1
    with Library.open(library) as opened:
        assert [run.name for run in list_runs(opened)] == [RUN, "second"]


def test_how_far_a_clustering_comes_out_alike_is_told_of_each_cluster(library: Path) -> None:
    ask(library, "cluster", CURATOR, name="second", method="kmeans", n_clusters=2)
    do_all(library)
    uid = ask(library, "cluster-stability", CURATOR, run="second", repetitions=2).id
    do_all(library)
    told = shown(library, uid).result
    assert told is not None and (told["run"], told["seeds"]["repetitions"]) == ("second", 3)
    with Library.open(library) as opened:
        rows = jobs.result(opened, uid, OPERATOR, limit=500).rows
    assert [row["cluster"] for row in rows] == [0, 1]
    assert sum(row["size"] for row in rows) == 120
    assert all(row["lowest"] <= row["mean"] <= 1 and row["repetitions"] == 4 for row in rows)


def test_the_rows_of_a_report_are_read_page_by_page(library: Path) -> None:
    uid = ask(library, "curate-outliers", count=25).id
    do_all(library)
    rows, cursor = [], ""
    with Library.open(library) as opened:
        whole = jobs.result(opened, uid, OPERATOR, limit=500)
        while True:
            page = jobs.result(opened, uid, OPERATOR, cursor, 7)
            rows += page.rows
            cursor = page.cursor
            if not cursor:
                break
    assert whole.cursor == "" and rows == whole.rows
    assert [row["rank"] for row in rows] == list(range(1, 26))


def test_every_report_of_curation_is_a_job(library: Path) -> None:
    about, _ = done(library, "curate-duplicates", threshold=0.999)
    assert "near-duplicate pairs" in about["summary"][0]
    _, rows = done(library, "curate-selection", budget=3)
    assert [row["rank"] for row in rows] == [1, 2, 3]
    about, _ = done(library, "curate-labels", label="finding", classifier="knn")
    assert "120 labels" in about["summary"][0]
    _, rows = done(library, "curate-subset", size=10)
    assert len({row["item"] for row in rows}) == 10


def test_what_a_report_finds_fills_a_queue_that_keeps_what_was_said(library: Path) -> None:
    about, rows = done(
        library, "curate-labels", label="finding", classifier="knn", queue="label-errors:finding"
    )
    assert (about["queue"], about["added"], about["known"]) == (
        "label-errors:finding", len(rows), 0,
    )  # fmt: skip
    pairs, found = done(library, "curate-duplicates", threshold=0.99, queue="duplicates")
    sure = [row for row in found if row["confirmed"]]
    assert pairs["added"] == len(sure) > 0
    again, _ = done(library, "curate-duplicates", threshold=0.99, queue="duplicates")
    assert (again["added"], again["known"]) == (0, len(sure))
    with Library.open(library) as opened:
        suspects = reviews.reviews(opened, "label-errors:finding", "", Paging(limit=500)).rows
        twins = reviews.reviews(opened, "duplicates", "", Paging(limit=500)).rows
    assert [each.subject for each in suspects] == [row["item"] for row in rows]
    for each, row in zip(suspects, rows, strict=True):
        assert each.finding["task"] == "labels" and each.finding["label"] == "finding"
        assert each.finding["suggested"] == row["suggested"]
    assert {len(each.parts) for each in twins} == {2}
    assert twins[0].finding["first"] == sure[0]["first"]


def test_leaks_are_queued_as_pairs_with_one_item_in_either_split(library: Path) -> None:
    with Library.open(library) as opened, transaction(opened.engine) as db:
        halves = case((Study.id % 2 == 0, "train"), else_="test")
        db.execute(update(Study).values(split=halves))
    about, _ = done(library, "curate-leakage", queue="leakage")
    with Library.open(library) as opened:
        found = reviews.reviews(opened, "leakage", "", Paging(limit=500)).rows
    assert len(found) == about["added"] > 0
    for each in found:
        said = each.finding
        assert (said["split"], said["other_split"]) == ("test", "train")
        assert {part.uid for part in each.parts} == {said["first"], said["second"]}
    assert "patient" in {each.finding["kind"] for each in found}


def test_scores_are_told_study_by_study_and_kept_if_asked_for(library: Path) -> None:
    about, rows = done(library, "ood-score", reference=REFERENCE, filter="view=PA", store=True)
    assert about["studies"] == len(rows) == 120 and about["stored"]
    assert about["flagged"] == sum(row["flagged"] for row in rows)
    assert all(0 < row["p_value"] <= 1 and "source" not in row for row in rows)
    with Library.open(library) as opened, reading(opened.engine) as db:
        kept = kept_scores(db, find_reference(opened, REFERENCE))
    assert len(kept) == 120


def test_references_measures_words_and_indexes_are_jobs(library: Path) -> None:
    about, _ = done(library, "ood-fit", name="again", detectors=["knn"], alarm=0.3)
    assert about["items"] == 120
    _, rows = done(library, "evaluate-retrieval", label="finding", draws=20)
    assert rows[0]["encoder"] == "texture"
    _, rows = done(library, "bridge", features="tfidf")
    assert rows[0]["version"] == 1
    about, rows = done(library, "reindex", store="exact")
    assert about["store"] == "exact" and rows[0]["stats"]["exact"]


def test_drift_is_told_window_by_window(library: Path) -> None:
    # No study has a date, and all are part of the reference: that is said, and nothing breaks.
    uid = ask(library, "drift", reference=REFERENCE, studies=10).id
    do_all(library)
    job = shown(library, uid)
    assert (job.state, job.code) == ("failed", "query")


def test_folders_of_the_server_are_indexed_below_roots_alone(library: Path) -> None:
    files = library.parent / "more"
    files.mkdir()
    original = next((library.parent).glob("*/"), None)
    assert original is not None
    asked = JobRequest("index", {"paths": [str(files)]})
    with Library.open(library) as opened:
        for roots in ("", str(library), f"{files}x"):
            with pytest.raises(ConfigError, match="INDEX_ROOTS"):
                jobs.create(opened, asked, Settings(index_roots=roots), OPERATOR)
        roots = Settings(index_roots=f"/nowhere:{files.parent}")
        up = JobRequest("index", {"paths": [f"{files}/../../../etc"]})
        with pytest.raises(ConfigError, match="INDEX_ROOTS"):
            jobs.create(opened, up, roots, OPERATOR)
        link = files / "link"
        link.symlink_to("/etc")
        with pytest.raises(ConfigError, match="INDEX_ROOTS"):
            jobs.create(opened, JobRequest("index", {"paths": [str(link)]}), roots, OPERATOR)
        link.unlink()
        (files / "notes.txt").write_text("nothing")
        uid = jobs.create(opened, asked, roots, OPERATOR).id
    do_all(library, index_roots=str(files.parent), workers=1)
    job = shown(library, uid)
    assert job.result is not None, job.error
    assert (job.result["files"], job.result["items"]) == (1, 0)


# -- what cannot be asked for ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "parameters", "where"),
    [
        ("cluster", {}, "parameters.name"),
        ("cluster", {"name": "x", "clusters": 3}, "parameters.clusters"),
        ("cluster", {"name": "x", "seed": -1}, "parameters.seed"),
        ("cluster", {"name": "x", "filter": "age>=old"}, "parameters.filter"),
        ("ood-score", {"reference": "usual", "alarm": float("nan")}, "parameters.alarm"),
        ("index", {"paths": []}, "parameters.paths"),
    ],
)
def test_a_wrong_parameter_is_named(
    library: Path, kind: str, parameters: dict[str, Any], where: str
) -> None:
    with pytest.raises(ParametersError) as raised:
        ask(library, kind, **parameters)
    assert str(raised.value).startswith(f"{where}:")


def test_what_would_fail_at_once_is_not_queued(library: Path) -> None:
    for kind, parameters in (
        ("cluster", {"name": RUN}),
        ("cluster-stability", {"run": "none"}),
        ("cluster", {"name": "x", "method": "magic"}),
        ("cluster", {"name": "x", "options": {"strange": 1}}),
        ("map", {"encoder": "none"}),
        ("ood-fit", {"name": REFERENCE}),
        ("ood-fit", {"name": "x", "detectors": ["magic"]}),
        ("ood-score", {"reference": "none"}),
        ("curate-selection", {"strategy": "magic"}),
        ("curate-outliers", {"run": "none"}),
        ("evaluate-retrieval", {}),
        ("reindex", {"store": "magic"}),
        ("reindex", {"store": "qdrant://127.0.0.1:1"}),
        ("nothing", {}),
    ):
        with pytest.raises((ConfigError, QueryError)):
            ask(library, kind, **parameters)
    assert do_all(library) == []


def test_a_kind_takes_its_role(library: Path) -> None:
    with pytest.raises(AccessDeniedError, match="operator"):
        ask(library, "reindex", CURATOR)
    reader = Principal("reader", Role.READER, frozenset({EVERY_LIBRARY}), "test")
    with pytest.raises(AccessDeniedError, match="curator"):
        ask(library, "map", reader)


def test_nobody_fills_the_queue_alone(library: Path) -> None:
    first = [ask(library, "map").id for _ in range(5)]
    with pytest.raises(TooManyJobsError, match="5 of your jobs"):
        ask(library, "map")
    ask(library, "map", CURATOR)
    with Library.open(library) as opened:
        jobs.cancel(opened, first[0], OPERATOR)
    ask(library, "map")


def test_a_request_that_is_sent_again_makes_no_second_job(library: Path) -> None:
    request = JobRequest("map", {"seed": 3}, key="a key")
    first = ask_with(library, request)
    assert ask_with(library, request).id == first.id
    assert ask_with(library, request, CURATOR).id != first.id, "another's key is another key"
    with pytest.raises(QueryError, match="another job"):
        ask_with(library, JobRequest("map", {"seed": 4}, key="a key"))


def test_a_job_has_no_rows_before_it_is_done(library: Path) -> None:
    uid = ask(library, "map").id
    with Library.open(library) as opened:
        with pytest.raises(JobNotDoneError, match="queued"):
            jobs.result(opened, uid, OPERATOR)
        with pytest.raises(ItemNotFoundError):
            jobs.show(opened, "nothing", OPERATOR)


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(kind=st.sampled_from(sorted(KINDS)), said=st.dictionaries(st.text(max_size=8), st.none()))
def test_what_is_accepted_is_read_again_as_it_was(kind: str, said: dict[str, Any]) -> None:
    model = KINDS[kind].parameters
    try:
        asked = model.model_validate(said)
    except ValidationError:
        return
    assert model.model_validate(json.loads(json.dumps(asked.model_dump(mode="json")))) == asked


# -- rows ------------------------------------------------------------------------------------------


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(
    texts=st.lists(st.text(max_size=12), max_size=30),
    limit=st.integers(1, 9),
    cursor=st.text(max_size=6),
)
def test_rows_come_back_in_pages_whatever_they_hold(
    tmp_path: Path, texts: list[str], limit: int, cursor: str
) -> None:
    library = Library.open(tmp_path / "x") if (tmp_path / "x").exists() else None
    library = library or Library.create(tmp_path / "x")
    with library:
        with RowsFile(library, "rows") as file:
            for text in texts:
                file.add({"text": text, "none": float("nan")})
            file.publish()
        found, at = [], ""
        while True:
            page = read_rows(library, "rows", at, limit)
            found += page.rows
            at = page.cursor
            if not at:
                break
        assert [row["text"] for row in found] == texts
        assert all(row["none"] is None for row in found)
        try:
            read_rows(library, "rows", cursor, limit)
        except QueryError as error:
            assert "cursor" in str(error)


# -- the command -----------------------------------------------------------------------------------


def command(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["jobs", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_jobs_are_listed_shown_and_cancelled_on_the_command_line(library: Path) -> None:
    uids = [
        ask(library, kind).id for kind in ("curate-outliers", "curate-subset", "curate-outliers")
    ]
    here = ["-L", str(library)]
    listed = json.loads(command("list", "--json", *here))
    assert [job["id"] for job in listed["jobs"]] == uids[::-1]
    only = json.loads(command("list", "--json", "--kind", "curate-outliers", "--limit", "1", *here))
    assert [job["id"] for job in only["jobs"]] == [uids[2]]
    more = command("list", "--json", "--kind", "curate-outliers", "--cursor", only["cursor"], *here)
    assert [job["id"] for job in json.loads(more)["jobs"]] == [uids[0]]
    assert "stopped" in command("cancel", uids[0], *here)
    assert json.loads(command("show", uids[0], "--json", *here))["state"] == "stopped"
    assert "done" in command("work", "--once", *here)
    assert command("list", "--state", "queued", *here).strip() == "no jobs"
    wrong = CliRunner().invoke(app, ["jobs", "show", "nothing", *here])
    assert wrong.exit_code == 2 and "no job" in wrong.stderr


def test_who_is_no_operator_any_more_hears_of_their_job_without_its_paths(
    library: Path, tmp_path: Path
) -> None:
    files = tmp_path / "in"
    files.mkdir()
    with Library.open(library) as opened:
        asked = JobRequest("index", {"paths": [str(files)], "metadata": str(files)})
        uid = jobs.create(opened, asked, Settings(index_roots=str(files)), OPERATOR).id
        lesser = replace(OPERATOR, role=Role.CURATOR)
        (told,) = jobs.listed(opened, lesser).rows
        for job in (told, jobs.show(opened, uid, lesser)):
            assert (job.id, job.parameters) == (uid, {"retry_rejected": False})
        assert set(jobs.show(opened, uid, OPERATOR).parameters) > {"paths", "metadata"}
        with pytest.raises(AccessDeniedError, match="takes the role operator"):
            jobs.show(opened, uid, CURATOR)


class Nothing(Parameters):
    """A kind that is asked with nothing."""


def kind_of(run: Callable[[Work, Nothing], dict[str, Any]]) -> Kind[Nothing]:
    return Kind("of a test", "Does what a test does.", Role.CURATOR, Nothing, run)


def test_rows_are_there_once_though_the_catalog_was_locked_meanwhile(
    library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[str] = []

    def run(work: Work, _asked: Nothing) -> dict[str, Any]:
        for number in range(3 - len(tries)):
            work.row({"try": len(tries), "number": number})
        tries.append(work.job.uid)
        if len(tries) == 1:
            raise LibraryLockedError("the catalog is locked")
        return {}

    monkeypatch.setitem(KINDS, "of a test", kind_of(run))  # type: ignore[arg-type]
    result, rows = done(library, "of a test")
    assert len(tries) == 2
    assert rows == [{"try": 1, "number": 0}, {"try": 1, "number": 1}]
    assert result["rows"] == 2


def test_rows_of_an_attempt_whose_worker_died_are_dropped(library: Path) -> None:
    with Library.open(library) as opened:
        (library / "jobs").mkdir(exist_ok=True)
        (library / "jobs" / "a job.writing").write_text('{"attempt": 1}\n' * 3)
        with RowsFile(opened, "a job") as rows:
            rows.add({"attempt": 2})
            rows.publish()
        assert read_rows(opened, "a job", "", 10).rows == [{"attempt": 2}]


def test_what_went_wrong_is_told_without_the_folders_of_this_machine(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    link.symlink_to(real)

    def run(work: Work, _asked: Nothing) -> dict[str, Any]:
        raise SourceError(f"{real}/a, {link}/b and {work.library.path}/c cannot be read")

    monkeypatch.setitem(KINDS, "of a test", kind_of(run))  # type: ignore[arg-type]
    uid = ask(library, "of a test").id
    work(Settings(library=library, index_roots=str(link)), once=True)
    told = shown(library, uid)
    assert told.error == "INDEX_ROOT/a, INDEX_ROOT/b and LIBRARY/c cannot be read"
