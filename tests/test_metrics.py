"""Retrieval figures, against a slow obvious version and by hand."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from cohort_library import Indexed
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from api.cli.main import app
from api.service.evaluate import EvaluationRequest, evaluate_retrieval
from indexer.errors import QueryError
from indexer.library import Library
from indexer.metrics import RetrievalReport, retrieval
from indexer.types import Embeddings


def on_a_line(*degrees: float) -> Embeddings:
    """Unit vectors in a plane: the nearer the angles, the nearer the vectors."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def labelled(*words: str) -> list[frozenset[str]]:
    return [frozenset(word.split("|")) - {""} for word in words]


def test_by_hand() -> None:
    vectors = on_a_line(0, 10, 25, 45)
    report = retrieval(vectors, labelled("a", "b", "a", "a"), ["", "", "", ""])
    # Item 0 sees b a a, 1 has no like, 2 sees b a a (15, 20 and 25 degrees), 3 sees a b a.
    assert report.precision_at_1.value == pytest.approx(1 / 3)
    assert report.precision_at_5.value == pytest.approx(2 / 3)
    halves = np.mean([1 / 2, 2 / 3])
    assert report.map.value == pytest.approx(np.mean([halves, halves, np.mean([1, 2 / 3])]))
    assert report.knn_accuracy.value == 1
    assert report.chance == pytest.approx(2 / 3)
    assert (report.n_queries, report.n_items, report.n_patients) == (3, 4, 3)


def test_the_own_patient_is_left_out() -> None:
    vectors = on_a_line(0, 1, 2, 90, 91)
    labels = labelled("a", "a", "b", "a", "b")
    alone = retrieval(vectors, labels, [""] * 5)
    together = retrieval(vectors, labels, ["p", "p", "", "", ""])
    assert alone.precision_at_1.value > together.precision_at_1.value
    assert together.n_patients == 4


def slow(
    vectors: Embeddings, labels: list[frozenset[str]], patients: list[str]
) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {"p1": [], "p5": [], "p10": [], "ap": [], "knn": []}
    for i in range(len(vectors)):
        others = [
            j
            for j in range(len(vectors))
            if j != i and not (patients[i] and patients[i] == patients[j])
        ]
        others.sort(key=lambda j: (-float(np.float32(vectors[i] @ vectors[j])), j))
        hits = [bool(labels[i] & labels[j]) for j in others]
        if not any(hits):
            continue
        for k in (1, 5, 10):
            found[f"p{k}"].append(sum(hits[:k]) / len(hits[:k]))
        precisions = [sum(hits[: r + 1]) / (r + 1) for r, hit in enumerate(hits) if hit]
        found["ap"].append(sum(precisions) / sum(hits))
        votes = Counter(label for j in others[:5] for label in sorted(labels[j]))
        found["knn"].append(votes.most_common(1)[0][0] in labels[i] if votes else False)
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
@settings(max_examples=150, deadline=None)
def test_it_equals_the_obvious_version(drawn: list[tuple[int, str, str]]) -> None:
    degrees, words, patients = zip(*drawn, strict=True)
    # Squares, so that no two pairs are equally far apart but by chance of rounding.
    vectors = on_a_line(*(d + d * d / 1e5 for d in degrees))
    expected = slow(vectors, labelled(*words), list(patients))
    if not expected["ap"]:
        with pytest.raises(QueryError, match="shares a label"):
            retrieval(vectors, labelled(*words), patients)
        return
    report = retrieval(vectors, labelled(*words), patients, draws=20)
    got = {
        "p1": report.precision_at_1,
        "p5": report.precision_at_5,
        "p10": report.precision_at_10,
        "ap": report.map,
        "knn": report.knn_accuracy,
    }
    for name, measure in got.items():
        assert measure.value == pytest.approx(np.mean(expected[name])), name
    assert report.n_queries == len(expected["ap"])


def clustered(n: int, seed: int) -> tuple[Embeddings, list[frozenset[str]]]:
    rng = np.random.default_rng(seed)
    kinds = rng.integers(0, 3, n)
    vectors = np.eye(3)[kinds] + rng.normal(0, 0.5, (n, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), [frozenset({str(k)}) for k in kinds]


def measure(n: int, drawn: int, **options: int) -> RetrievalReport:
    vectors, labels = clustered(n, drawn)
    return retrieval(vectors, labels, [""] * n, **options)


def test_the_interval_holds_the_value_and_shrinks_with_more_patients() -> None:
    few, many = measure(60, 1), measure(1500, 1)
    for report in (few, many):
        assert report.map.low < report.map.value < report.map.high
    assert many.map.high - many.map.low < (few.map.high - few.map.low) / 2


def test_the_interval_holds_the_true_value_about_as_often_as_it_says() -> None:
    truth = measure(3000, 99).precision_at_1.value
    reports = [measure(150, seed, draws=300).precision_at_1 for seed in range(40)]
    held = sum(report.low <= truth <= report.high for report in reports)
    assert held >= 33


def test_a_sample_of_queries_is_drawn_by_the_seed() -> None:
    whole, some, again = measure(900, 2), measure(900, 2, queries=300), measure(900, 2, queries=300)
    assert some == again
    assert some.n_queries == 300
    assert some.map.value == pytest.approx(whole.map.value, abs=0.05)
    assert measure(900, 2, queries=300, seed=5) != some


def test_a_library_of_phantoms_is_better_than_chance(indexed: Indexed) -> None:
    with Library.open(indexed.library) as library:
        report = evaluate_retrieval(library, EvaluationRequest("modality"))["texture"]
        assert report.precision_at_1.value > report.chance + 0.3
        narrowed = EvaluationRequest("label", filter="modality in (CR,DX)")
        assert evaluate_retrieval(library, narrowed)["texture"].n_items < report.n_items
        with pytest.raises(QueryError, match="'nosuch'"):
            evaluate_retrieval(library, EvaluationRequest("nosuch"))


def test_the_command_prints_what_the_service_measured(indexed: Indexed) -> None:
    call = ["eval", "retrieval", "--label", "modality", "--library", str(indexed.library)]
    said = json.loads(CliRunner().invoke(app, [*call, "--json"]).stdout)["encoders"]["texture"]
    with Library.open(Path(indexed.library)) as library:
        report = evaluate_retrieval(library, EvaluationRequest("modality"))["texture"]
    assert said["precision_at_5"] == report.precision_at_5.value
    assert said["map_interval"] == [report.map.low, report.map.high]
    names = {"precision_at_1", "precision_at_10", "knn_accuracy", "n_queries", "chance"}
    assert names <= said.keys()
    assert f"{report.map.value:.3f}" in CliRunner().invoke(app, call).stdout
