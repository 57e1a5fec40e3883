"""kill -9 at any moment, a full disk, decoders that crash: nothing is lost or half stored."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import func, select

from api.service.ingest import IndexRequest, index, rejected
from api.service.library import verify
from api.service.search import search
from indexer.catalog.database import reading
from indexer.catalog.tables import EmbeddingRow, Instance, Item, LedgerRow, Thumbnail
from indexer.config import Settings
from indexer.library import Library
from indexer.phantoms import write_cohort
from indexer.searching.asking import SearchRequest, like
from indexer.types import Outcome

KILLS, PICTURES = 20, 60
SYNTOPY = [sys.executable, "-m", "api.cli.main"]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Volumes, radiographs, ultrasound, reports, pictures, and some files that are no good."""
    folder = tmp_path_factory.mktemp("archive")
    write_cohort(folder / "cohort", 10, seed=5)
    (folder / "pictures").mkdir()
    for number in range(PICTURES):
        values = np.random.default_rng(number).integers(0, 255, (300, 300), np.uint8)
        Image.fromarray(values).save(folder / "pictures" / f"{number:03}.png")
    for number in range(5):
        (folder / "pictures" / f"bad{number}.dcm").write_bytes(os.urandom(300))
    return folder


def contents(library: Library) -> list[tuple[object, ...]]:
    """Everything that does not depend on time or row numbers."""
    with reading(library.engine) as db:
        items = db.exec_driver_sql(
            "SELECT item.uid, item.kind, item.role, item.slices, item.flags, item.details, "
            "hex(embedding.vector), embedding.norm, hex(thumbnail.webp), series_instance_uid "
            "FROM item JOIN embedding ON item.id = embedding.item_id JOIN thumbnail ON "
            "item.id = thumbnail.item_id JOIN series ON series.id = series_id ORDER BY item.uid"
        ).fetchall()
        instances = db.exec_driver_sql(
            "SELECT sop_instance_uid, content_hash, source, flags, series_instance_uid, "
            "study_instance_uid, patient.pseudonym IS NOT NULL FROM instance "
            "JOIN series ON series.id = series_id JOIN study ON study.id = study_id "
            "JOIN patient ON patient.id = patient_id ORDER BY sop_instance_uid"
        ).fetchall()
        ledger = db.exec_driver_sql(
            "SELECT source, size, sha256, outcome, reason FROM ledger ORDER BY source"
        ).fetchall()
        words = db.exec_driver_sql(
            "SELECT study_instance_uid, text FROM report JOIN study ON study.id = study_id "
            "ORDER BY study_instance_uid"
        ).fetchall()
    return [tuple(row) for row in (*items, *instances, *ledger, *words)]


def check_invariants(library: Library) -> int:
    """Section 6 of the design, as far as one library shows it; returns the number of items."""
    report = verify(library)
    assert report.findings == []
    with reading(library.engine) as db:
        items = db.execute(select(func.count()).select_from(Item)).scalar_one()
        for table in (EmbeddingRow, Thumbnail):
            assert db.execute(select(func.count()).select_from(table)).scalar_one() == items
        # A file is in the catalog, or rejected with a reason, or untouched.
        for row in db.execute(select(LedgerRow.__table__)):
            known = db.execute(
                select(Instance.id).where(Instance.sop_instance_uid == row.sop_instance_uid)
            ).first()
            settled = row.outcome in (Outcome.INDEXED, Outcome.LINKED, Outcome.UNCHANGED)
            assert (known is not None) if settled else row.reason
        sources = set(db.execute(select(Instance.source)).scalars())
        assert sources <= set(db.execute(select(LedgerRow.source)).scalars())
        uid = db.execute(select(Item.uid).order_by(Item.id).limit(1)).scalar()
        uids = set(db.execute(select(Item.uid)).scalars())
    if uid is not None:
        answer = search(library, SearchRequest(like(uid=uid), k=5), Settings())
        assert {hit.id for hit in answer.hits} <= uids
    return int(items)


def start(library: Path, archive: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*SYNTOPY, "index", str(archive), "--library", str(library), "--workers", "2"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def wait_for_orphans(group: int) -> None:
    """Workers of a killed run end by themselves."""
    for _ in range(200):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    os.killpg(group, signal.SIGKILL)
    pytest.fail("workers of a killed run were still there after 10 s")


@pytest.mark.timeout(1500)  # twenty runs and more: minutes, where the machine is shared
def test_killed_at_twenty_random_moments_it_ends_as_if_never_killed(
    archive: Path, tmp_path: Path
) -> None:
    whole = tmp_path / "whole"
    began = time.monotonic()
    assert start(whole, archive).wait() == 0
    length = time.monotonic() - began
    with Library.open(whole) as library:
        expected, items = contents(library), check_invariants(library)

    moments = random.Random(20)
    killed, partial = tmp_path / "killed", 0
    kills = 0
    while kills < KILLS:
        fresh, began = not killed.exists(), time.monotonic()
        process = start(killed, archive)
        try:
            process.wait(timeout=moments.uniform(0.3, 1.0) * length)
            if fresh:  # the machine has more time for it now than it had for the first one
                length = time.monotonic() - began
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
        wait_for_orphans(process.pid)
        if not killed.exists():
            continue  # killed before the library was there
        with Library.open(killed) as library:
            partial += 0 < check_invariants(library) < items
            finished = contents(library) == expected
        if finished and kills < KILLS:
            shutil.rmtree(killed)  # done too early: begin again
    assert start(killed, archive).wait() == 0
    with Library.open(killed) as library:
        assert check_invariants(library)
        assert contents(library) == expected
    assert partial, "at least one kill must have met a library half way"


def test_a_full_disk_is_one_clear_line_and_what_was_committed_stays(
    archive: Path, tmp_path: Path
) -> None:
    target = tmp_path / "library"

    def small_disk() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (700_000, 700_000))

    done = subprocess.run(
        [*SYNTOPY, "index", str(archive / "pictures"), "--library", str(target)],
        capture_output=True,
        text=True,
        preexec_fn=small_disk,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "disk full" in done.stderr
    assert "Traceback" not in done.stderr
    with Library.open(target) as library:
        check_invariants(library)
    again = subprocess.run(
        [*SYNTOPY, "index", str(archive / "pictures"), "--library", str(target)],
        capture_output=True,
        check=False,
    )
    assert again.returncode == 0
    with Library.open(target) as library:
        assert check_invariants(library) == PICTURES


LANDMINE = '''
import os, time
from indexer.encoders.texture import TextureEncoder
from dataclasses import replace

class Landmine(TextureEncoder):
    """Crashes, hangs or swells on images of certain heights, as native decoders do."""
    def __init__(self, context):
        super().__init__(context)
        self.spec = replace(self.spec, name="landmine")
    def prepare(self, pixels):
        height = pixels.values.shape[0]
        if height == 101:
            os.abort()
        if height == 102:
            time.sleep(120)
        if height == 103:
            bytearray(3 << 30)
        if height == 104:
            raise KeyError("patient name")
        prepared = super().prepare(pixels)
        return prepared * float("nan") if height == 105 else prepared
'''


def test_files_that_crash_hang_or_swell_cost_only_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "package"
    (package / "landmine-1.dist-info").mkdir(parents=True)
    (package / "landmine.py").write_text(LANDMINE)
    (package / "landmine-1.dist-info" / "METADATA").write_text("Name: landmine\nVersion: 1\n")
    (package / "landmine-1.dist-info" / "entry_points.txt").write_text(
        "[syntopy.encoders]\nlandmine = landmine:Landmine\n"
    )
    monkeypatch.syspath_prepend(package)
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for height in range(96, 110):
        values = np.random.default_rng(height).integers(0, 255, (height, 96), np.uint8)
        Image.fromarray(values).save(pictures / f"{height}.png")
    with Library.create(tmp_path / "library", encoders=("landmine",), store="exact") as library:
        settings = Settings(workers=2, file_seconds=5, worker_memory_mb=1000)
        summary = index(library, IndexRequest([pictures]), settings)
        found = {Path(entry.source).stem: entry.reason for entry in rejected(library)}
        assert found == {
            "101": "worker_died",
            "102": "timeout",
            "103": "out_of_memory",
            "104": "internal_error",
            "105": "encoder_failed",
        }
        assert summary.outcomes == {Outcome.INDEXED: 9, Outcome.REJECTED: 5}
        assert all("patient name" not in entry.detail for entry in rejected(library))
        assert verify(library).clean
