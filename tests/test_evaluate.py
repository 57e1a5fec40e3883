"""How good a library is, on vectors whose right figures are known."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cohort_library import Indexed
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from placed_library import Placed, on_circle, place
from typer.testing import CliRunner

from api.cli.main import app
from api.service.evaluating.evaluate import Evaluation, EvaluationRequest, evaluate_retrieval
from api.service.evaluating.evaluation_files import markdown, sheets, write_evaluation
from indexer.errors import FilterError, QueryError, StorageFullError
from indexer.evaluating.evaluation import Compared, Plan, Report, Row, ask, retrieval, row_of
from indexer.evaluating.rankings import ExactRanking
from indexer.evaluating.resampling import PatientDraws
from indexer.library import Library

Labels = list[frozenset[str]]


def on_a_line(*degrees: float) -> np.ndarray:
    return np.array([on_circle(each) for each in degrees], np.float32)


def labelled(*words: str) -> Labels:
    return [frozenset(word.split("|")) - {""} for word in words]


def report_of(vectors: np.ndarray, labels: Labels, patients: list[str], **options: Any) -> Report:
    items = Compared(labels, patients)
    return retrieval(ExactRanking(vectors), items, Plan(**{"draws": 20, **options}))


def values(report: Report) -> dict[str, float]:
    return {name: measure.value for name, measure in report.overall.measures.items()}


def test_by_hand() -> None:
    report = report_of(on_a_line(0, 10, 25, 45), labelled("a", "b", "a", "a"), [""] * 4)
    # Item 0 sees b a a, 1 has no like, 2 sees b a a (15, 20 and 25 degrees), 3 sees a b a.
    found = values(report)
    assert found["precision_at_1"] == pytest.approx(1 / 3)
    assert found["precision_at_5"] == pytest.approx(2 / 3)
    assert found["recall_at_1"] == pytest.approx(np.mean([0, 0, 1 / 2]))
    assert found["map"] == pytest.approx(np.mean([7 / 12, 7 / 12, 5 / 6]))
    assert found["mrr"] == pytest.approx(np.mean([1 / 2, 1 / 2, 1]))
    assert found["r_precision"] == pytest.approx(1 / 2)
    assert found["knn_accuracy"] == 1
    assert found["chance"] == pytest.approx(2 / 3)
    assert (report.overall.n_queries, report.n_items, report.overall.n_patients) == (3, 4, 3)


def test_the_own_patient_is_left_out() -> None:
    vectors, labels = on_a_line(0, 1, 2, 90, 91), labelled("a", "a", "b", "a", "b")
    alone = report_of(vectors, labels, [""] * 5)
    together = report_of(vectors, labels, ["p", "p", "", "", ""])
    assert values(alone)["precision_at_1"] > values(together)["precision_at_1"]
    assert together.overall.n_patients == 4


def test_labels_that_are_shared_twice_gain_twice() -> None:
    report = report_of(on_a_line(0, 10, 20), labelled("a|b", "a", "a|b"), [""] * 3, ks=(1,))
    # Item 0 has the lesser one first, 2 as well; for 1 both are equal.
    assert values(report)["ndcg_at_1"] == 1
    assert values(report)["graded_ndcg_at_1"] == pytest.approx(np.mean([1 / 2, 1, 1 / 2]))


def slow(vectors: np.ndarray, labels: Labels, patients: list[str]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for i in range(len(vectors)):
        others = [
            j
            for j in range(len(vectors))
            if j != i and not (patients[i] and patients[i] == patients[j])
        ]
        others.sort(key=lambda j: (-round(float(np.float32(vectors[i] @ vectors[j])), 6), j))
        hits = [bool(labels[i] & labels[j]) for j in others]
        if not any(hits):
            continue
        votes = Counter(label for j in others[:5] for label in sorted(labels[j]))
        precisions = [sum(hits[: r + 1]) / (r + 1) for r, hit in enumerate(hits) if hit]
        row = {"map": sum(precisions) / sum(hits), "mrr": 1 / (1 + hits.index(True))}
        row["knn_accuracy"] = float(votes.most_common(1)[0][0] in labels[i])
        row["chance"] = sum(hits) / len(hits)
        for k in (1, 5, 10):
            row[f"precision_at_{k}"] = sum(hits[:k]) / len(hits[:k])
            row[f"recall_at_{k}"] = sum(hits[:k]) / sum(hits)
            dcg = sum(hit / math.log2(r + 2) for r, hit in enumerate(hits[:k]))
            row[f"ndcg_at_{k}"] = dcg / sum(1 / math.log2(r + 2) for r in range(min(k, sum(hits))))
        for name, value in row.items():
            found.setdefault(name, []).append(value)
    return found


items = st.lists(
    st.tuples(
        st.integers(0, 359),
        st.sampled_from(["a", "b", "c", "a|b"]),
        st.sampled_from(["", "p", "q"]),
    ),
    min_size=2,
    max_size=30,
    unique_by=lambda item: item[0],
)


@given(items)
@settings(max_examples=60)
def test_it_equals_the_obvious_version(drawn: list[tuple[int, str, str]]) -> None:
    degrees, words, patients = zip(*drawn, strict=True)
    # Squares, so that no two pairs are equally far apart but by chance of rounding.
    vectors = on_a_line(*(d + d * d / 1e5 for d in degrees))
    expected = slow(vectors, labelled(*words), list(patients))
    if not expected:
        with pytest.raises(QueryError, match=r"shares a label|one patient"):
            report_of(vectors, labelled(*words), list(patients))
        return
    report = report_of(vectors, labelled(*words), list(patients))
    found = values(report)
    for name, each in expected.items():
        assert found[name] == pytest.approx(np.mean(each)), name
    assert report.overall.n_queries == len(expected["map"])
    by_value = {row.name: row.n_queries for row in report.tables[1].rows}
    assert sum(by_value.values()) >= report.overall.n_queries


def clustered(n: int, seed: int) -> tuple[np.ndarray, Labels]:
    rng = np.random.default_rng(seed)
    kinds = rng.integers(0, 3, n)
    vectors = np.eye(3)[kinds] + rng.normal(0, 0.5, (n, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), [frozenset({str(k)}) for k in kinds]


def measured(n: int, drawn: int, **options: Any) -> Report:
    vectors, labels = clustered(n, drawn)
    return report_of(vectors, labels, [""] * n, **{"draws": 300, **options})


def asked_of(gallery: int, queries: int, seed: int) -> Row:
    """Fresh queries to a gallery that is always the same."""
    of_gallery, of_queries = clustered(gallery, 7), clustered(queries, 1000 + seed)
    vectors = np.concatenate([of_gallery[0], of_queries[0]])
    held = np.arange(gallery + queries) < gallery
    items = Compared([*of_gallery[1], *of_queries[1]], [""] * len(held), gallery=held)
    figures = ask(ExactRanking(vectors), items, Plan(ks=(5,)))
    return row_of("fresh", figures, PatientDraws(figures.owners, 300), figures.asked >= gallery)


def test_intervals_hold_what_other_queries_get_from_the_same_gallery() -> None:
    rows = [asked_of(100, 100, seed) for seed in range(60)]
    for name in ("precision_at_5", "map"):
        measures = [row.measures[name] for row in rows]
        truth = np.mean([measure.value for measure in measures])
        # Of 60 at 95 % fewer than 51 hold once in a thousand times.
        assert sum(measure.low <= truth <= measure.high for measure in measures) >= 51, name


def test_a_sample_of_queries_is_drawn_by_the_seed() -> None:
    whole, some, again = (
        measured(600, 2),
        measured(600, 2, queries=200),
        measured(600, 2, queries=200),
    )
    assert some == again
    assert some.overall.n_queries == 200
    assert values(some)["map"] == pytest.approx(values(whole)["map"], abs=0.06)
    assert measured(600, 2, queries=200, seed=5) != some


@pytest.fixture(scope="module")
def unfair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Women's images lie beside like ones, men's anywhere; three children; two makers."""
    rng = np.random.default_rng(4)
    placed = []
    for number in range(120):
        sex, finding = "FM"[number % 2], "ab"[number // 2 % 2]
        angle = {"a": 20, "b": 70}[finding] + rng.normal(0, 4)
        if sex == "M":
            angle = rng.uniform(0, 90)
        placed.append(
            Placed(
                patient=f"p{number // 2 * 2 + number % 2}",
                at=on_circle(angle),
                labels={"finding": finding},
                sex=sex,
                age=10 if number < 3 else 50,
                manufacturer=("Maker", "MAKER ", "Other")[number // 4 % 3],
                split="train" if number % 3 else "test",
            )
        )
    return place(tmp_path_factory.mktemp("unfair") / "library", placed)


def evaluate(folder: Path, **options: Any) -> Evaluation:
    with Library.open(folder) as library:
        return evaluate_retrieval(
            library,
            EvaluationRequest("finding", draws=200)
            if not options
            else replace(EvaluationRequest("finding", draws=200), **options),
        )


def test_unfairness_shows(unfair: Path) -> None:
    report = evaluate(unfair, ks=(5,)).encoders["texture"]
    tables = {table.name: {row.name: row for row in table.rows} for table in report.tables}
    assert list(tables) == ["overall", "finding", "sex", "age", "manufacturer"]
    assert tables["manufacturer"].keys() == {"MAKER", "OTHER"}
    women, men = (tables["sex"][sex].measures["map"].value for sex in "FM")
    assert women > men + 0.1
    children = tables["age"]["0-17"]
    assert (children.measures, children.n_patients) == ({}, 3)
    assert "too few" in children.note
    gaps = {(gap.field, gap.measure): gap for gap in report.gaps}
    assert {field for field, _ in gaps} == {"sex", "manufacturer"}
    gap = gaps["sex", "map"]
    assert (gap.best, gap.worst) == ("F", "M")
    assert gap.difference.value == pytest.approx(women - men)
    assert 0 < gap.difference.low < gap.difference.value < gap.difference.high
    assert gap.by_chance < gap.difference.value
    makers = gaps["manufacturer", "map"]
    assert makers.difference.value < makers.by_chance


def test_groups_by_any_field(unfair: Path) -> None:
    tables = evaluate(unfair, by=("split", "label:finding", "view")).encoders["texture"].tables
    assert [table.name for table in tables[2:]] == ["split", "label:finding"]
    assert [row.name for row in tables[3].rows] == ["a", "b"]
    notes = evaluate(unfair, by=("view",)).encoders["texture"].notes
    assert notes == ("view: unknown of all items, so no groups are compared",)


def test_through_the_index_as_it_answers(unfair: Path) -> None:
    exact = evaluate(unfair).encoders["texture"]
    through = evaluate(unfair, through="index").encoders["texture"]
    found = values(through)
    assert found.pop("ann_recall_at_10") == found.pop("ann_recall_at_100") == 1
    assert found == pytest.approx(values(exact))
    cut = evaluate(unfair, through="index", depth=10).encoders["texture"]
    assert values(cut)["precision_at_10"] == values(exact)["precision_at_10"]
    assert values(cut)["map"] < values(exact)["map"]
    assert any("the nearest" in note for note in cut.notes)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (
            {"label": "nosuch"},
            r"no item carries a label 'nosuch'; there are finding \(120 studies\)",
        ),
        ({"label": ""}, "name the label"),
        ({"filter": "sex=O"}, "passes the filter"),
        ({"filter": "sex=F and label:finding=a and age<18"}, "one patient|shares a label"),
        ({"ks": (0,)}, "k is 1 to 10000"),
        ({"ks": (5, 5)}, "each once"),
        ({"ks": (20_000,)}, "not 20000"),
        ({"by": ("eyes",)}, "cannot be parted by 'eyes'; by age"),
        ({"encoders": ("rad-dino",)}, "no space of rad-dino; it has texture"),
        ({"through": "air"}, "through is one of exact, index"),
        ({"through": "index", "depth": 5}, "no k of 10"),
        ({"queries": -1}, "queries is 0 or more"),
        ({"min_patients": 1}, "min-patients is 2 or more"),
        ({"protocol": "mine"}, "there are 3d-mir, bimcv-r, knn-vote"),
    ],
)
def test_what_cannot_be_measured_is_said(unfair: Path, wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(QueryError, match=said):
        evaluate(unfair, **wrong)


def test_one_patient_and_a_wrong_filter(unfair: Path, tmp_path: Path) -> None:
    alone = place(tmp_path / "one", [Placed("p", on_circle(d), {"finding": "a"}) for d in (1, 2)])
    with pytest.raises(QueryError, match="all items are of one patient"):
        evaluate(alone)
    with pytest.raises(FilterError):
        evaluate(unfair, filter="sex==")
    small = [Placed(p, on_circle(ord(p)), {"finding": "a"}) for p in "pq"]
    notes = evaluate(place(tmp_path / "two", small)).encoders["texture"].notes
    assert "there are 2 items: of a k of 10 fewer count" in notes


def test_it_can_be_stopped_and_shows_how_far_it_is(unfair: Path) -> None:
    seen: list[tuple[str, int, int]] = []

    def stop(encoder: str, done: int, total: int) -> None:
        seen.append((encoder, done, total))
        if done == 5:
            raise KeyboardInterrupt

    with Library.open(unfair) as library, pytest.raises(KeyboardInterrupt):
        evaluate_retrieval(library, EvaluationRequest("finding"), on_progress=stop)
    assert seen == [("texture", done, 120) for done in range(1, 6)]


def test_files_say_the_same(unfair: Path, tmp_path: Path) -> None:
    evaluation = evaluate(unfair)
    files = write_evaluation(evaluation, tmp_path / "figures")
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == sorted(
        path.name for path in files
    )
    stored = json.loads(files[0].read_text())
    row = stored["encoders"]["texture"]["tables"][0]["rows"][0]
    measure = evaluation.encoders["texture"].overall.measures["map"]
    assert row["measures"]["map"] == vars(measure)
    assert f"{measure.value:.3f}" in files[1].read_text()
    with Image.open(files[2]) as picture:
        assert picture.width == 1480
        assert picture.height > 500
        assert len(picture.convert("RGB").getcolors(1 << 20) or []) > 50
    write_evaluation(evaluation, tmp_path / "figures")  # over the old ones
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageFullError, match="cannot be written"):
        write_evaluation(evaluation, tmp_path / "file")


def test_tables_have_as_many_cells_as_columns(unfair: Path) -> None:
    evaluation = evaluate(unfair, by=("age", "sex"))
    for sheet in sheets(evaluation):
        assert all(len(row) == len(sheet.columns) for row in sheet.rows)
    assert "too few patients (3 of 10 needed)" in markdown(evaluation)


def test_a_library_of_phantoms_is_better_than_chance(indexed: Indexed) -> None:
    with Library.open(indexed.library) as library:
        report = evaluate_retrieval(library, EvaluationRequest("modality")).encoders["texture"]
        found = values(report)
        assert found["precision_at_1"] > found["chance"] + 0.3
        narrowed = EvaluationRequest("label", filter="modality in (CR,DX)")
        some = evaluate_retrieval(library, narrowed).encoders["texture"]
        assert some.n_items < report.n_items


def test_the_command_prints_what_the_service_measured(indexed: Indexed, tmp_path: Path) -> None:
    call = ["eval", "retrieval", "--label", "modality", "--library", str(indexed.library)]
    said = json.loads(CliRunner().invoke(app, [*call, "--json"]).stdout)
    with Library.open(Path(indexed.library)) as library:
        report = evaluate_retrieval(library, EvaluationRequest("modality")).encoders["texture"]
    row = said["encoders"]["texture"]["tables"][0]["rows"][0]
    assert row["measures"]["precision_at_5"] == vars(report.overall.measures["precision_at_5"])
    told = CliRunner().invoke(app, [*call, "--k", "3", "--by", "view", "--out", str(tmp_path)])
    assert f"{report.overall.measures['map'].value:.3f}" in told.stdout
    assert "P@3" in told.stdout
    assert (tmp_path / "retrieval.png").exists()
    wrong = CliRunner().invoke(app, [*call, "--k", "three"])
    assert (wrong.exit_code, "whole numbers" in wrong.stderr) == (2, True)
