"""Published protocols on libraries whose right figures are known by construction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from placed_library import Placed, on_circle, place
from sklearn.metrics import roc_auc_score
from tiny_models import shared_models
from told_library import make_told

from api.service.evaluating.evaluate import EvaluationRequest, evaluate_retrieval
from api.service.evaluating.protocols import PROTOCOLS
from indexer.config import Settings
from indexer.encoders.contract import EncoderContext, TextEncoder
from indexer.errors import QueryError
from indexer.evaluating.evaluation import Report, Row
from indexer.library import Library
from indexer.registry import make_encoder
from indexer.texts.fitting import fit_bridge
from indexer.texts.pairs import read_pairs


def run(folder: Path, protocol: str, **options: Any) -> Report:
    request = EvaluationRequest(protocol=protocol, draws=50, **options)
    with Library.open(folder) as library:
        return evaluate_retrieval(library, request).encoders["texture"]


def rows_of(report: Report, table: int = 0) -> dict[str, Row]:
    return {row.name: row for row in report.tables[table].rows}


def value(row: Row, measure: str) -> float:
    return row.measures[measure].value


def volume(
    patient: str, organ: str, stage: str, split: str, *degrees: float, whole: float | None = None
) -> Placed:
    """A volume with slices at these angles; its own vector lies at the first, or at ``whole``."""
    return Placed(
        patient,
        on_circle(degrees[0] if whole is None else whole),
        {"organ": organ, "tumor": "0" if stage == "none" else "1", "stage": stage},
        split=split,
        slices=[on_circle(each) for each in degrees],
    )


def test_3d_mir_by_hand(tmp_path: Path) -> None:
    folder = place(
        tmp_path / "library",
        [
            volume("a", "liver", "none", "train", 10, 11),
            volume("b", "liver", "1", "train", 20, 21),
            volume("c", "liver", "2", "train", 30, 31),
            volume("d", "lung", "none", "train", 5, 6),
            volume("e", "lung", "1", "Train", 50, 51),
            volume("q", "liver", "1", "test", 19, 32, whole=29),
            volume("r", "lung", "none", "test", 4, 5),
        ],
    )
    report = run(folder, "3d-mir")
    tumor, stage = rows_of(report, 0), rows_of(report, 1)
    # By its own vector q lists c b a: with the tumour are c and b, of its stage is b alone.
    liver = tumor["liver, stored"]
    assert value(liver, "precision_at_3") == pytest.approx(2 / 3)
    assert value(liver, "ap_at_10") == pytest.approx(1)
    assert value(liver, "chance") == pytest.approx(2 / 3)
    assert value(stage["liver, stored"], "ap_at_10") == pytest.approx(1 / 2)
    assert value(stage["liver, stored"], "chance") == pytest.approx(1 / 3)
    # r, of the lung, lists d e: its like first.
    assert value(tumor["lung, stored"], "precision_at_3") == pytest.approx(1 / 2)
    assert value(tumor["lung, stored"], "ap_at_10") == 1
    both = tumor["all organs, stored"]
    assert value(both, "precision_at_3") == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert (both.n_queries, both.n_patients) == (2, 2)
    assert report.n_items == 7


def test_3d_mir_ranks_by_slices_in_every_way(tmp_path: Path) -> None:
    # Of the slices of the query one lies at b, and three at c: c is brought more often.
    gallery = [
        volume("b", "liver", "1", "train", 40, *([170] * 30), whole=40),
        volume("c", "liver", "2", "train", *([80 + i for i in range(22)]), whole=100),
    ]
    query = volume("q", "liver", "1", "test", 40, 80, 85, 90, whole=40)
    report = run(place(tmp_path / "library", [*gallery, query]), "3d-mir")
    stage = rows_of(report, 1)
    ways = {name.removeprefix("liver, ") for name in stage if name.startswith("liver")}
    assert ways == {
        "stored",
        "pooled by median",
        "pooled by max",
        "pooled by min",
        "slices by frequency",
        "slices by max",
        "slices by sum",
    }
    assert value(stage["liver, stored"], "ap_at_10") == 1
    assert value(stage["liver, slices by frequency"], "ap_at_10") == 1 / 2
    assert value(stage["liver, slices by sum"], "ap_at_10") == 1 / 2
    assert report.notes == ()


def test_3d_mir_without_slices_goes_by_stored_vectors(tmp_path: Path) -> None:
    whole = [
        Placed(p, on_circle(d), {"organ": "lung", "tumor": "1", "stage": "1"}, split=split)
        for p, d, split in (("a", 0, "train"), ("b", 9, "train"), ("c", 4, "test"))
    ]
    report = run(place(tmp_path / "library", whole), "3d-mir")
    assert {row.name for row in report.tables[0].rows} == {"all organs, stored", "lung, stored"}
    assert "3 of 3 volumes have no vectors of slices" in report.notes[0]


def test_3d_mir_says_what_is_missing(tmp_path: Path) -> None:
    bare = [Placed(p, on_circle(1), {"organ": "lung"}, split="test") for p in "ab"]
    with pytest.raises(QueryError, match="lacks: 'tumor', 'stage'"):
        run(place(tmp_path / "bare", bare), "3d-mir")
    full = {"organ": "lung", "tumor": "1", "stage": "1"}
    unsplit = [Placed(p, on_circle(1), full, split="test") for p in "ab"]
    with pytest.raises(QueryError, match="volumes of the train split"):
        run(place(tmp_path / "unsplit", unsplit), "3d-mir")
    apart = [
        Placed("a", on_circle(1), full, split="test"),
        Placed("b", on_circle(1), full | {"organ": "liver"}, split="train"),
    ]
    with pytest.raises(QueryError, match="volume of one organ"):
        run(place(tmp_path / "apart", apart), "3d-mir")


def test_the_vote_by_hand(tmp_path: Path) -> None:
    train = [("a", 0), ("a", 2), ("b", 10), ("b", 12), ("b", 14)]
    placed = [
        Placed(f"t{i}", on_circle(d), {"finding": label}, split="train")
        for i, (label, d) in enumerate(train)
    ]
    asked = [("a", 1), ("b", 13), ("a", 9)]
    placed += [
        Placed(f"q{i}", on_circle(d), {"finding": label}, split="test")
        for i, (label, d) in enumerate(asked)
    ]
    report = run(place(tmp_path / "library", placed), "knn-vote", label="finding", ks=(1, 3, 5))
    one, three, five = (rows_of(report)[f"k = {k}"] for k in (1, 3, 5))
    assert value(one, "accuracy") == value(three, "accuracy") == pytest.approx(2 / 3)
    # All five vote: b has three of them for every query.
    assert value(five, "accuracy") == pytest.approx(1 / 3)
    assert value(five, "balanced_accuracy") == pytest.approx((0 + 1) / 2)
    assert value(five, "majority") == pytest.approx(1 / 3)
    # Weighted, the near ones win over the many.
    assert value(five, "weighted_accuracy") >= value(five, "accuracy")
    assert value(three, "macro_auroc") == pytest.approx(
        roc_auc_score([0, 1, 0], [0, 1, 1])  # shares of b: none, all, all
    )
    assert "3 items of the test split ask 5 of the train split" in report.notes[0]


def test_the_vote_without_splits_leaves_the_own_patient_out(tmp_path: Path) -> None:
    placed = [
        Placed(patient, on_circle(d), {"finding": label})
        for patient, d, label in (("p", 0, "a"), ("p", 1, "b"), ("q", 2, "b"), ("r", 40, "a"))
    ]
    report = run(place(tmp_path / "library", placed), "knn-vote", label="finding", ks=(1,))
    # 0 asks 2: b; 1 asks 2: b; 2 asks 1: b; 40 asks 2: b.
    assert value(rows_of(report)["k = 1"], "accuracy") == 2 / 4
    with pytest.raises(QueryError, match="needs a label"):
        run(tmp_path / "library", "knn-vote")
    alone = [Placed("p", on_circle(d), {"finding": "a"}) for d in (1, 2)]
    with pytest.raises(QueryError, match="one patient"):
        run(place(tmp_path / "alone", alone), "knn-vote", label="finding")


WORDS = ("nodule", "effusion", "fracture", "normal")


def reported(n: int, split: str, start: int = 0) -> list[Placed]:
    """Reports of four kinds; each has its own corner, and its own place there."""
    rng = np.random.default_rng(start)
    placed = []
    for number in range(start, start + n):
        kind = number % len(WORDS)
        at = np.eye(len(WORDS))[kind] + rng.normal(0, 0.1, len(WORDS))
        text = f"There is {WORDS[kind]} in this image. Nothing else is seen."
        placed.append(Placed(f"p{number}", at.tolist(), split=split, report=text))
    return placed


def test_bimcv_r_finds_the_kind_and_no_more(tmp_path: Path) -> None:
    folder = place(
        tmp_path / "library", [*reported(120, "train"), *reported(40, "test", start=120)]
    )
    report = run(folder, "bimcv-r", ks=(1, 10, 40))
    there, back = (rows_of(report)[name] for name in ("text to image", "image to text"))
    # A report's own image is among the ten of its kind, and that is all that words tell.
    assert value(there, "hit_rate_at_10") == 1
    assert value(there, "mean_rank") == pytest.approx(5.5)
    assert 5 <= value(there, "median_rank") <= 6
    # Of ten texts that are alike the own one counts last.
    assert (value(back, "hit_rate_at_1"), value(back, "hit_rate_at_10")) == (0, 1)
    assert value(back, "mean_rank") == 10
    assert value(there, "hit_rate_at_40") == 1
    assert "40 pairs of the test split" in report.notes[1]
    with Library.open(folder) as library:
        pairs = read_pairs(library, library.spaces()[0], labels=False)
        train = [i for i, split in enumerate(pairs.splits) if split == "train"]
        test = [i for i, split in enumerate(pairs.splits) if split == "test"]
        bridge = fit_bridge(
            [pairs.texts[i] for i in train],
            pairs.vectors[train],
            [pairs.patients[i] for i in train],
        )
        scores = (
            bridge.rows([pairs.texts[i] for i in test]) @ (pairs.vectors[test] - bridge.middle).T
        )
    ranks = [1 + sum(row[j] > row[i] for j in range(40) if j != i) for i, row in enumerate(scores)]
    assert value(there, "mean_rank") == pytest.approx(np.mean(ranks))


def test_bimcv_r_asks_by_the_spaces_own_tower(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    settings = Settings(models=shared_models(tmp_path_factory), device="cpu")
    folder = make_told(tmp_path, 12, encoders=("medimageinsight",), settings=settings)
    request = EvaluationRequest(protocol="bimcv-r", ks=(1, 8), draws=50)
    with Library.open(folder) as library:
        evaluation = evaluate_retrieval(library, request, settings)
        pairs = read_pairs(library, library.spaces()[0], labels=False)
    encoder = make_encoder(EncoderContext("medimageinsight", settings.models, "cpu"))
    assert isinstance(encoder, TextEncoder)
    texts = encoder.embed_text(pairs.texts)
    scores = texts / np.linalg.norm(texts, axis=1, keepdims=True) @ pairs.vectors.T
    n = len(scores)
    report = evaluation.encoders["medimageinsight"]
    assert (n, report.n_items) == (8, 8)  # every third study has no report
    assert "by the text tower of 'medimageinsight'" in report.notes[0]
    there = rows_of(report)["text to image"]
    ranks = [sum(scores[i] >= scores[i, i] - 1e-4) for i in range(n)]
    least = [sum(scores[i] > scores[i, i] + 1e-4) + 1 for i in range(n)]
    assert np.mean(least) <= value(there, "mean_rank") <= np.mean(ranks)
    assert value(there, "hit_rate_at_8") == 1


def test_bimcv_r_says_what_is_missing(tmp_path: Path) -> None:
    silent = place(tmp_path / "silent", [Placed(p, on_circle(1)) for p in "ab"])
    with pytest.raises(QueryError, match="has none of a study with an image"):
        run(silent, "bimcv-r")
    unsplit = place(tmp_path / "unsplit", reported(8, ""))
    with pytest.raises(QueryError, match="train and a test split"):
        run(unsplit, "bimcv-r")
    with pytest.raises(QueryError, match="no --filter, no --label"):
        run(unsplit, "bimcv-r", label="finding")


def test_every_protocol_is_documented() -> None:
    page = (Path(__file__).parent.parent / "docs" / "evaluation.md").read_text()
    for name, protocol in PROTOCOLS.items():
        assert f"### `{name}`" in page
        assert protocol.ks
