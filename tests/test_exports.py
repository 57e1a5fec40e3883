"""Tables as files: the same in each form, consistent, recorded, and closed when broken off."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from placed_library import Placed, place
from served_library import REFERENCE, RUN, STUDIES, own_copy, serving

from api.app import create_app
from api.rights import Role
from api.service import export as manifest
from api.service.access import keys
from api.service.exports import TABLES, ExportRequest, open_export
from api.service.table_streams import encoded
from indexer.catalog.audit import Action, rows_since, verify_chain
from indexer.catalog.database import reading, transaction
from indexer.config import Settings
from indexer.library import Library

FORMS = ("csv", "jsonl", "parquet")
QUEUE = "of two"
MORE = {"clusters": {"run": RUN}, "scores": {"reference": REFERENCE}, "reviews": {"queue": QUEUE}}


@pytest.fixture(scope="module")
def client(served: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    own = own_copy(served, tmp_path_factory.mktemp("queued"))
    with serving(Settings(library=own)) as client:
        rows = client.get("/v1/items", params={"limit": 2}).json()["rows"]
        pair = {"subjects": [[row["id"] for row in rows]]}
        assert client.post(f"/v1/reviews/{QUEUE}/subjects", json=pair).status_code == 200
        yield client


def table(client: httpx.Client, what: str, form: str = "jsonl", **asked: str) -> list[Any]:
    answer = client.get(f"/v1/exports/{what}", params={"format": form, **asked})
    assert answer.status_code == 200, answer.text
    assert f'filename="{what}.{form}"' in answer.headers["content-disposition"]
    if form == "csv":
        return list(csv.DictReader(io.StringIO(answer.text, newline="")))
    if form == "parquet":
        return list(pq.read_table(io.BytesIO(answer.content)).to_pylist())
    return [json.loads(line) for line in answer.text.splitlines()]


def test_a_cluster_is_a_part_of_its_clustering(client: httpx.Client) -> None:
    whole = table(client, "clusters", run=RUN)
    parts = [table(client, "clusters", run=RUN, number=str(number)) for number in (0, 1)]
    assert [{row["cluster"] for row in part} for part in parts] == [{0}, {1}]
    assert sum(map(len, parts)) == len(whole)
    assert table(client, "clusters", run=RUN, number="-1") == []


@pytest.mark.parametrize("what", TABLES)
def test_the_forms_of_a_table_say_the_same(client: httpx.Client, what: str) -> None:
    lines, parquet, text = (
        table(client, what, form, **MORE.get(what, {})) for form in ("jsonl", "parquet", "csv")
    )
    assert lines == parquet
    assert [list(row) for row in text] == [list(row) for row in lines]
    for said, row in zip(text, lines, strict=True):
        assert said == {name: "" if each is None else str(each) for name, each in row.items()}


def test_items_are_those_of_the_manifest(
    client: httpx.Client, served: Path, tmp_path: Path
) -> None:
    with Library.open(served) as library:
        manifest.write_manifest(library, tmp_path / "items.csv", "label:finding=lying_lines")
    with (tmp_path / "items.csv").open(newline="") as file:
        expected = list(csv.DictReader(file))
    found = table(client, "items", "csv", filter="label:finding=lying_lines")
    assert len(found) == len(expected) < STUDIES
    shared = ("item", "study_instance_uid", "patient", "view", "label:finding")
    assert [[row[name] for name in shared] for row in found] == [
        [row[name] for name in shared] for row in expected
    ]
    assert {row[f"cluster:{RUN}"] for row in found} == {"0"}
    assert "source" not in found[0], "where files lie is not told"


def test_each_table_has_its_rows(client: httpx.Client) -> None:
    assert len(table(client, "studies")) == len(table(client, "labels")) == STUDIES
    assert {row["name"] for row in table(client, "clusters", run=RUN)} == {"lying", "standing"}
    assert [row["x"] for row in table(client, "map")] == list(range(STUDIES))
    assert table(client, "scores", reference=REFERENCE) == []
    (review,) = table(client, "reviews", queue=QUEUE)
    assert (review["verdict"], review["finding"]) == (None, "{}") and "," in review["subject"]
    left = table(client, "labels", filter="label:finding=lying_lines")
    assert {row["value"] for row in left} == {"lying_lines"} and len(left) < STUDIES


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("items?format=xlsx", 422),
        ("items?filter=age>=old", 422),
        ("clusters", 422),
        ("clusters?run=none", 404),
        ("scores?reference=none", 404),
        ("reviews?queue=none", 404),
        ("map?version=9", 404),
        ("items?limit=5", 422),
        ("nothing", 404),
    ],
)
def test_what_cannot_be_exported_is_a_problem(client: httpx.Client, path: str, status: int) -> None:
    answer = client.get(f"/v1/exports/{path}")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_cells_that_a_spreadsheet_would_run_are_guarded(tmp_path: Path) -> None:
    folder = place(tmp_path / "library", [Placed("p", (1, 0), labels={"note": "=1+1"})])
    with Library.open(folder) as library:
        for form, expected in (("csv", "'=1+1"), ("jsonl", '"=1+1"')):
            with open_export(library, ExportRequest("items")) as export:
                made = b"".join(encoded(form, export.columns, export.batches)).decode()
            assert expected in made


def test_a_table_is_of_one_moment(tmp_path: Path) -> None:
    rows = [Placed(f"p{n}", (n, 1), labels={"n": str(n)}) for n in range(1, 1300)]
    folder = place(tmp_path / "library", rows)
    with Library.open(folder) as library, open_export(library, ExportRequest("items")) as export:
        first = next(export.batches)
        with transaction(library.engine) as db:
            db.exec_driver_sql("UPDATE label SET value = 'changed'")
            db.exec_driver_sql("DELETE FROM study WHERE id > 1100")
        rest = [row for batch in export.batches for row in batch]
    assert [row["label:n"] for row in first + rest] == [str(n) for n in range(1, 1300)]


@settings(max_examples=40)
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {
                "text": st.none() | st.text(st.characters(codec="utf-8"), max_size=9),
                "number": st.none() | st.integers(-(2**53), 2**53),
                "share": st.none() | st.floats(allow_nan=False, allow_infinity=False),
                "yes": st.none() | st.booleans(),
            }
        ),
        max_size=12,
    ),
    size=st.integers(1, 5),
)
def test_what_is_written_is_read_again(rows: list[dict[str, Any]], size: int) -> None:
    columns = {"text": str, "number": int, "share": float, "yes": bool}
    batches = [rows[at : at + size] for at in range(0, len(rows), size)]
    lines = b"".join(encoded("jsonl", columns, batches)).splitlines()
    assert [json.loads(line) for line in lines] == rows
    parquet = b"".join(encoded("parquet", columns, batches))
    assert pq.read_table(io.BytesIO(parquet)).to_pylist() == rows
    text = b"".join(encoded("csv", columns, batches)).decode()
    found = list(csv.DictReader(io.StringIO(text, newline="")))
    assert len(found) == len(rows)
    assert [row["number"] for row in found] == [
        "" if row["number"] is None else str(row["number"]) for row in rows
    ]


# -- broken off, busy, recorded --------------------------------------------------------------------


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library whose table fills more than what a connection takes at once."""
    rows = [
        Placed(f"patient-{n}", (n % 90 + 1, 1), labels={"note": "x" * 4000}) for n in range(1500)
    ]
    return place(tmp_path_factory.mktemp("large") / "library", rows)


def test_a_download_that_is_broken_off_leaves_its_place(large: Path) -> None:
    # What fits into buffers is sent at once, and is over.
    with serving(Settings(library=large), buffer=32_768) as client:
        path = "/v1/exports/items?format=jsonl"
        with client.stream("GET", path) as one, client.stream("GET", path) as two:
            parts = [answer.iter_bytes() for answer in (one, two)]  # one let go is broken off
            assert all(next(each) for each in parts)
            assert client.get("/v1/ready").status_code == 200
            busy = client.get(path)
            assert busy.status_code == 429 and "Retry-After" in busy.headers
        until = time.monotonic() + 30
        while (again := client.get(path)).status_code == 429:
            assert time.monotonic() < until
            time.sleep(0.1)
        assert len(again.text.splitlines()) == 1500


def test_it_is_recorded_whose_data_were_exported(large: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(large, tmp_path / "library"))
    with Library.open(folder) as library:
        made = keys.create(library, keys.KeyRequest("curator", Role.CURATOR), actor="test")
    config = Settings(library=folder)
    with serving(config, create_app(config, None)) as client:
        headers = {"Authorization": f"Bearer {made.token}"}
        answer = client.get("/v1/exports/studies?format=csv", headers=headers)
        assert answer.status_code == 200
    with Library.open(folder) as library, reading(library.engine) as db:
        assert not verify_chain(db).findings
        rows = [row for row in rows_since(db) if row.action is Action.EXPORT]
    assert [row.subject["part"] for row in rows] == [1, 2]
    assert max(len(row.patients) for row in rows) == 1000
    everyone = [each for row in rows for each in row.patients]
    assert everyone == sorted(f"patient-{n}" for n in range(1500))
    digest = hashlib.sha256("".join(f"{each}\n" for each in everyone).encode()).hexdigest()
    assert {(row.subject["patients"], row.subject["sha256"]) for row in rows} == {(1500, digest)}
    assert rows[0].subject["route"] == "/v1/exports/studies"
