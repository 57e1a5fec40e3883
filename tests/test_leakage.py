"""What splits share, and tables of results as files."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clustering.leakage import DUPLICATES, Leak, leakage
from clustering.tables import write_table
from indexer.errors import ConfigError, QueryError

SPLITS = ["train", "train", "test", "test", "val", None]
PATIENTS = ["a", "b", "a", "c", "d", "a"]


def test_a_patient_on_both_sides() -> None:
    found = leakage(SPLITS, {"patient": PATIENTS})
    by_split = {(leak.first, leak.second): leak for leak in found if leak.kind == "patient"}
    assert by_split["test", "train"] == Leak("test", "train", "patient", 1, (2,), (0,))
    assert by_split["train", "val"].shared == 0
    assert len(by_split) == 3


def test_near_duplicates_across_splits() -> None:
    found = leakage(SPLITS, {"patient": PATIENTS}, [(1, 3), (3, 1), (0, 1), (3, 5)])
    shared = {(leak.first, leak.second): leak for leak in found if leak.kind == DUPLICATES}
    assert shared["test", "train"] == Leak("test", "train", DUPLICATES, 1, (3,), (1,))
    assert shared["test", "val"].shared == 0


def test_unknown_owners_are_nobodys() -> None:
    found = leakage(["train", "test"], {"patient": [None, None], "study": ["", ""]})
    assert [leak.shared for leak in found] == [0, 0, 0]


@given(st.lists(st.tuples(st.sampled_from("xyz"), st.sampled_from("abcdef")), min_size=2))
def test_splits_by_patient_share_none(items: list[tuple[str, str]]) -> None:
    """Whoever gives each patient one split has no leak."""
    home = dict(reversed([(patient, split) for split, patient in items]))
    splits = [home[patient] for _, patient in items]
    if len(set(splits)) > 1:
        found = leakage(splits, {"patient": [patient for _, patient in items]})
        assert all(leak.shared == 0 for leak in found)


@pytest.mark.parametrize(
    ("splits", "patients", "pairs", "message"),
    [
        (["train"], ["a"], [], "two or more"),
        (["train", "test"], ["a"], [], "patient: 1 values for 2 items"),
        (["train", "test"], ["a", "b"], [(0, 2)], "outside of the 2 items"),
    ],
)
def test_what_cannot_be_looked_at(
    splits: list[str | None], patients: list[str], pairs: list[tuple[int, int]], message: str
) -> None:
    with pytest.raises(QueryError, match=message):
        leakage(splits, {"patient": patients}, pairs)


@dataclass(frozen=True)
class Row:
    name: str
    score: float
    rows: tuple[int, ...] = (1, 2)


def test_csv_is_safe_to_open_in_a_spreadsheet(tmp_path: Path) -> None:
    rows = [Row("=1+1", -0.5), Row("@x", float("nan")), Row("plain - text", 1.0)]
    write_table(rows, tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert [row["name"] for row in found] == ["'=1+1", "'@x", "plain - text"]
    assert [row["score"] for row in found] == ["-0.5", "", "1.0"]
    assert found[0]["rows"] == "1; 2"


def test_json_and_parquet_hold_the_same(tmp_path: Path) -> None:
    rows = [Row("=1+1", 0.5), Row("ü", 1.5)]
    write_table(rows, tmp_path / "t.json")
    write_table(rows, tmp_path / "t.parquet")
    told = json.loads((tmp_path / "t.json").read_text(encoding="utf-8"))
    assert told == [
        {"name": "=1+1", "score": 0.5, "rows": [1, 2]},
        {"name": "ü", "score": 1.5, "rows": [1, 2]},
    ]
    assert parquet.read_table(tmp_path / "t.parquet").to_pylist() == told


def test_rows_may_be_mappings_and_none_at_all(tmp_path: Path) -> None:
    write_table([{"a": np.float32(1), "b": None}], tmp_path / "t.csv", ["b", "a"])
    assert (tmp_path / "t.csv").read_text() == "b,a\n,1.0\n"
    write_table([], tmp_path / "t.csv", ["b", "a"])
    assert (tmp_path / "t.csv").read_text() == "b,a\n"
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


def test_other_endings(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"t\.xlsx: a table ends in"):
        write_table([], tmp_path / "t.xlsx")
