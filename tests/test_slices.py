"""Volumes slice by slice: what is kept, how volumes are ranked by it, and which slice fits."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from alembic import command
from alembic.config import Config
from tiny_models import shared_models
from typer.testing import CliRunner

from api.cli.main import app
from api.service import ingest
from api.service import search as service
from api.service.library import remove
from api.service.options import read_options
from indexer.catalog import database
from indexer.catalog.database import reading, transaction
from indexer.config import Settings
from indexer.dicom.sampling import sample_indices
from indexer.encoders.contract import EncoderContext, SliceEncoder
from indexer.errors import QueryError
from indexer.index.projection import SLICES, open_projection
from indexer.ingest import IngestOptions, index_paths
from indexer.library import Library
from indexer.registry import make_encoder
from indexer.searching.answers import SearchAnswer
from indexer.searching.asking import SearchRequest, like
from indexer.searching.slices import POOLINGS, SAID, slices_of
from indexer.types import ImagePixels
from indexer.verify import verify

sys.path.insert(0, str(Path(__file__).parent / "pitfalls"))
from making import CR, CT, dicom, enhanced, picture, save, stack

SPACE = "medimageinsight"
LONG, SHORT, FRAMES = 40, 5, 6
"""Slices of the volumes; of a long one every encoder of slices takes 24."""


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shared_models(tmp_path_factory)


@pytest.fixture
def settings(models: Path) -> Settings:
    return Settings(workers=1, models=models, device="cpu")


@dataclass(frozen=True)
class Archive:
    """Two CT series, an enhanced MR, a film, and a CT slice of somebody else to ask with."""

    folder: Path
    alone: Path
    uids: dict[str, str]
    slices: dict[str, list[str]]

    def name_of(self, study: str) -> str:
        return next(name for name, uid in self.uids.items() if uid == study)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    folder = tmp_path_factory.mktemp("archive")
    uids, slices = {}, {}
    body = {
        name: np.stack([picture(seed + n, top=3000) for n in range(count)])
        for name, seed, count in (("long", 0, LONG), ("short", 100, SHORT))
    }
    body["long"][:2] = 0  # nothing but air below the patient
    for name, pixels in body.items():
        series = stack(CT, len(pixels), pixels=pixels, PatientID=name)
        for number, ds in enumerate(series):
            save(ds, folder / "in" / name / f"{number:02}.dcm")
        uids[name] = series[0].StudyInstanceUID
        slices[name] = [ds.SOPInstanceUID for ds in series]
    order = [3, 0, 5, 1, 4, 2]
    frames = np.stack([picture(200 + n) for n in range(FRAMES)])
    mr = enhanced(frames[order], [3.0 * n for n in order], PatientID="mr")
    save(mr, folder / "in" / "mr.dcm")
    film = dicom(picture(300, 64, 64), CR, PatientID="film")
    save(film, folder / "in" / "film.dcm")
    uids |= {"mr": mr.StudyInstanceUID, "film": film.StudyInstanceUID}
    # The eleventh slice of the long volume, with one pixel changed, so that it is no copy.
    asked = body["long"][10].copy()
    asked[0, 0] += 1
    one = stack(CT, 1, pixels=asked[None], PatientID="somebody else")[0]
    return Archive(folder / "in", save(one, folder / "alone.dcm"), uids, slices)


@pytest.fixture(scope="module")
def indexed(
    tmp_path_factory: pytest.TempPathFactory, archive: Archive, models: Path
) -> Iterator[Library]:
    """Not to be changed."""
    path = tmp_path_factory.mktemp("slices") / "library"
    with Library.create(path, encoders=(SPACE,)) as made:
        settings = Settings(workers=1, models=models, device="cpu")
        ingest.index(made, ingest.IndexRequest([archive.folder]), settings)
        yield made


@pytest.fixture
def copy(tmp_path: Path, archive: Archive, settings: Settings) -> Iterator[Library]:
    """May be changed."""
    with Library.create(tmp_path / "copy", encoders=(SPACE,)) as made:
        ingest.index(made, ingest.IndexRequest([archive.folder]), settings)
        yield made


def search(library: Library, models: Path, **request: object) -> SearchAnswer:
    settings = Settings(models=models, device="cpu")
    said = {name: request.pop(name) for name in ("file", "uid", "text") if name in request}
    asked = SearchRequest(like(**said), **request)  # type: ignore[arg-type]
    return service.search(library, asked, settings)


def stored(library: Library, archive: Archive) -> dict[str, np.ndarray]:
    """Vectors of the slices of each study by its name; of a film its only vector."""
    (space,) = library.spaces()
    found: dict[str, np.ndarray] = {}
    with reading(library.engine) as db:
        rows = db.exec_driver_sql(
            "SELECT item.id, study_instance_uid, vector FROM item JOIN series ON series.id = "
            "series_id JOIN study ON study.id = study_id JOIN embedding ON item_id = item.id"
        ).all()
        for item, study, vector in rows:
            own = slices_of(db, space, [item]).get(item)
            whole = np.frombuffer(vector, "<f2").astype(np.float32)[None]
            found[archive.name_of(study)] = own.rows if own else whole
    return {name: unit(rows) for name, rows in found.items()}


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


# -- what is kept ----------------------------------------------------------------------------------


def places(library: Library, name: str, archive: Archive) -> list[int]:
    with reading(library.engine) as db:
        return list(
            db.exec_driver_sql(
                "SELECT slice_index FROM slice_embedding JOIN item ON item.id = item_id "
                "JOIN series ON series.id = series_id JOIN study ON study.id = study_id "
                "WHERE study_instance_uid = ? ORDER BY slice_index",
                (archive.uids[name],),
            ).scalars()
        )


def test_evenly_taken_slices_of_volumes_are_kept_but_not_the_empty_ones(
    indexed: Library, archive: Archive, models: Path
) -> None:
    encoder = make_encoder(EncoderContext(SPACE, models, "cpu"))
    assert isinstance(encoder, SliceEncoder)
    sampled = encoder.sampled_slices(LONG)
    assert len(sampled) == 24
    assert places(indexed, "long", archive) == [n for n in sampled if n > 1]
    assert places(indexed, "short", archive) == list(range(SHORT))
    assert places(indexed, "mr", archive) == list(range(FRAMES))
    assert places(indexed, "film", archive) == []


def test_a_slice_has_the_vector_of_its_picture_and_the_volume_their_mean(
    indexed: Library, archive: Archive, models: Path
) -> None:
    encoder = make_encoder(EncoderContext(SPACE, models, "cpu"))
    file = pydicom.dcmread(archive.folder / "short" / "03.dcm")
    values = file.pixel_array.astype(np.float32) - 1024
    alone = encoder.embed([encoder.prepare(ImagePixels(values, "CT"))])[0]
    rows = stored(indexed, archive)["short"]
    assert rows[3] == pytest.approx(unit(alone), abs=1e-3)
    near = search(indexed, models, uid=archive.uids["short"], own_study=True, k=1)
    assert near.queries[0].study_instance_uid == archive.uids["short"]
    with reading(indexed.engine) as db:
        blob = db.exec_driver_sql(
            "SELECT vector FROM embedding JOIN item ON item.id = item_id JOIN series ON series.id "
            "= series_id JOIN study ON study.id = study_id WHERE study_instance_uid = ?",
            (archive.uids["short"],),
        ).scalar_one()
    assert np.frombuffer(blob, "<f2") == pytest.approx(unit(rows.mean(axis=0)), abs=1e-3)


def test_of_a_volume_that_was_thinned_out_the_places_are_those_in_the_whole(
    tmp_path: Path, archive: Archive, settings: Settings
) -> None:
    """Of 40 slices 10 are read, at the centres of bins of four."""
    with Library.create(tmp_path / "thin", encoders=(SPACE,)) as library:
        read = replace(read_options(library, settings), max_slices=10)
        options = IngestOptions(workers=1, read=read)
        index_paths(library, [archive.folder / "long"], options)
        wanted = [n for n in sample_indices(LONG, 10) if n > 1]
        assert len(wanted) >= 9
        assert places(library, "long", archive) == wanted


# -- which slice fits ------------------------------------------------------------------------------


@pytest.mark.parametrize("rank", ["pooled", "frequency", "max", "sum"])
def test_a_hit_says_which_slice_of_the_volume_is_meant(
    rank: str, indexed: Library, archive: Archive, models: Path
) -> None:
    answer = search(indexed, models, file=archive.alone, rank=rank)
    (long,) = [h for h in answer.hits if h.study_instance_uid == archive.uids["long"]]
    assert long.match is not None
    assert (long.match.number, long.match.of) == (11, LONG)
    assert long.match.sop_instance_uid == archive.slices["long"][10]
    assert long.match.frame_number is None
    assert long.match.query_slice is None
    assert long.match.score > 0.999
    (film,) = [h for h in answer.hits if h.study_instance_uid == archive.uids["film"]]
    assert film.match is None


def test_of_a_multi_frame_object_the_frame_is_named(
    indexed: Library, archive: Archive, models: Path
) -> None:
    answer = search(indexed, models, uid=archive.uids["mr"], own_study=True, same_patient=True)
    request = {"uid": archive.uids["long"], "k": 3}
    match = next(
        hit.match
        for hit in search(indexed, models, **request).hits
        if hit.study_instance_uid == archive.uids["mr"]
    )
    assert match is not None
    # Frame 1 of the file is the fourth slice, frame 2 the first, and so on.
    frames = {4: 1, 1: 2, 6: 3, 2: 4, 5: 5, 3: 6}
    assert match.frame_number == frames[match.number]
    assert match.query_slice in range(1, LONG + 1)
    assert archive.uids["mr"] not in {hit.study_instance_uid for hit in answer.hits}


# -- ranking by slices -----------------------------------------------------------------------------


def expected(
    vectors: dict[str, np.ndarray], query: np.ndarray, how: str, deep: int
) -> list[tuple[str, float]]:
    """By the definition: each slice of the query brings its nearest; written out slowly."""
    brought: dict[str, list[float]] = {}
    for row in query:
        near = sorted(
            ((float(row @ one), name) for name, rows in vectors.items() for one in rows),
            reverse=True,
        )
        for score, name in near[:deep]:
            brought.setdefault(name, []).append(score)
    count = {"frequency": len, "max": max, "sum": sum}[how]
    return sorted(((n, float(count(s))) for n, s in brought.items()), key=lambda x: -x[1])


@pytest.mark.parametrize("how", ["frequency", "max", "sum"])
@pytest.mark.parametrize("asked", ["long", "short", "mr", "film"])
def test_the_rankings_are_those_of_3d_mir(
    how: str, asked: str, indexed: Library, archive: Archive, models: Path
) -> None:
    vectors = stored(indexed, archive)
    query = vectors.pop(asked)
    answer = search(indexed, models, uid=archive.uids[asked], rank=how, k=2)
    wanted = expected(vectors, query, how, 20)
    if len(wanted) < 2:  # then each slice of the query brings more
        wanted = expected(vectors, query, how, 80)
    got = [(archive.name_of(hit.study_instance_uid), hit.score) for hit in answer.hits]
    assert dict(got) == pytest.approx({name: dict(wanted)[name] for name, _ in got}, abs=2e-3)
    assert [score for _, score in got] == pytest.approx([s for _, s in wanted[:2]], abs=2e-3)


@pytest.mark.parametrize("how", ["frequency", "max", "sum"])
def test_filters_and_exclusions_hold_for_slices_too(
    how: str, indexed: Library, archive: Archive, models: Path
) -> None:
    only = search(indexed, models, file=archive.alone, rank=how, filter="modality=MR")
    assert [archive.name_of(h.study_instance_uid) for h in only.hits] == ["mr"]
    assert SAID[how] in only.notes
    assert only.candidates == 1
    films = search(indexed, models, file=archive.alone, rank=how, filter="modality=CR")
    assert [archive.name_of(h.study_instance_uid) for h in films.hits] == ["film"]
    others = search(indexed, models, uid=archive.uids["long"], rank=how)
    assert {archive.name_of(h.study_instance_uid) for h in others.hits} == {"short", "mr", "film"}


@pytest.mark.parametrize("asked", ["long", "short", "mr"])
def test_late_interaction_pairs_each_slice_with_the_best_of_the_study(
    asked: str, indexed: Library, archive: Archive, models: Path
) -> None:
    vectors = stored(indexed, archive)
    query = vectors.pop(asked)
    answer = search(indexed, models, uid=archive.uids[asked], rank="late")
    assert {archive.name_of(h.study_instance_uid) for h in answer.hits} == set(vectors)
    for hit in answer.hits:
        name = archive.name_of(hit.study_instance_uid)
        cosines = query @ vectors[name].T
        assert hit.score == pytest.approx(float(cosines.max(axis=1).mean()), abs=2e-3)
        assert len(hit.pairs) == min(8, len(query))
        ours, theirs = places(indexed, asked, archive), places(indexed, name, archive)
        for pair in hit.pairs:
            assert pair.query_slice is not None
            column = theirs.index(pair.slice_number - 1) if pair.slice_number else 0
            cosine = float(cosines[ours.index(pair.query_slice - 1), column])
            assert pair.score == pytest.approx(cosine, abs=2e-3)
            assert pair.item == hit.id


@pytest.mark.parametrize("how", ["median", "max", "min"])
def test_volumes_can_be_pooled_otherwise_than_they_are_stored(
    how: str, indexed: Library, archive: Archive, models: Path
) -> None:
    def pooled(rows: np.ndarray) -> np.ndarray:
        return unit(POOLINGS[how](rows))

    vectors = {name: pooled(rows) for name, rows in stored(indexed, archive).items()}
    query = vectors.pop("long")
    answer = search(indexed, models, uid=archive.uids["long"], pooling=how)
    got = {archive.name_of(hit.study_instance_uid): hit.score for hit in answer.hits}
    assert got == pytest.approx({n: float(query @ v) for n, v in vectors.items()}, abs=2e-3)


def test_a_phrase_finds_slices(indexed: Library, models: Path) -> None:
    answer = search(indexed, models, text="chest lung", rank="max", k=3)
    matched = [hit.match for hit in answer.hits if hit.kind == "volume"]
    assert all(match is not None and match.query_slice is None for match in matched)
    assert [h.score for h in answer.hits if h.match] == [m.score for m in matched if m]


def test_what_cannot_be_ranked_is_said(indexed: Library, archive: Archive, models: Path) -> None:
    with pytest.raises(
        QueryError, match="rank is one of pooled, late, frequency, max, sum, not 'best'"
    ):
        search(indexed, models, file=archive.alone, rank="best")
    with pytest.raises(QueryError, match="pooling is one of mean, median, max, min, not 'std'"):
        search(indexed, models, file=archive.alone, pooling="std")
    with pytest.raises(QueryError, match="leave out pooling"):
        search(indexed, models, file=archive.alone, rank="max", pooling="min")


def test_a_space_without_slices_says_so(
    tmp_path: Path, archive: Archive, settings: Settings
) -> None:
    with Library.create(tmp_path / "textures") as library:
        ingest.index(library, ingest.IndexRequest([archive.folder]), settings)
        answer = service.search(
            library, SearchRequest(like(file=archive.alone), rank="max", k=2), settings
        )
        assert "'texture' keeps no vectors of slices: each item counts as one" in answer.notes
        plain = service.search(library, SearchRequest(like(file=archive.alone), k=2), settings)
        assert [h.id for h in answer.hits] == [h.id for h in plain.hits]


def test_the_command_shows_the_slice(
    indexed: Library, archive: Archive, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNTOPY_MODELS", str(models))
    monkeypatch.setenv("SYNTOPY_DEVICE", "cpu")
    call = ["search", "--image", str(archive.alone), "-L", str(indexed.path), "--rank", "max"]
    said = json.loads(CliRunner().invoke(app, [*call, "--json"]).stdout)
    assert said["hits"][0]["match"]["number"] == 11
    assert "slice 11/40" in CliRunner().invoke(app, call).stdout


# -- nothing is lost -------------------------------------------------------------------------------


def test_slices_go_with_their_study_and_come_with_new_ones(
    copy: Library, archive: Archive, settings: Settings, models: Path, tmp_path: Path
) -> None:
    (space,) = copy.spaces()
    before = open_projection(copy, space, SLICES).store.count()
    remove(copy, "study", archive.uids["short"], actor="a test")
    after = open_projection(copy, space, SLICES).store
    assert after.count() == before - SHORT
    assert verify(copy).clean
    answer = search(copy, models, file=archive.alone, rank="max")
    assert archive.uids["short"] not in {hit.study_instance_uid for hit in answer.hits}
    ingest.index(copy, ingest.IndexRequest([archive.folder]), settings)
    projection = open_projection(copy, space, SLICES)
    assert projection.store.count() == before
    assert not projection.note
    assert verify(copy).clean


def test_a_damaged_slice_is_found_and_made_anew(
    copy: Library, archive: Archive, settings: Settings
) -> None:
    with transaction(copy.engine) as db:
        db.exec_driver_sql("UPDATE slice_embedding SET vector = x'00' WHERE slice_index = 3")
    assert [f.check for f in verify(copy).findings] == ["vectors"]
    assert verify(copy, repair=True).clean
    ingest.index(copy, ingest.IndexRequest([archive.folder]), settings)
    assert not verify(copy).findings
    assert places(copy, "short", archive) == list(range(SHORT))


def test_a_library_of_before_there_were_slices_goes_on(
    copy: Library, archive: Archive, models: Path
) -> None:
    """Its volumes have no slices: each counts as one, by its only vector."""
    path = copy.path
    copy.close()
    config = Config()
    config.set_main_option(
        "script_location", str(database.__file__).replace("database.py", "migrations")
    )
    engine = database.open_engine(path / "catalog.sqlite")
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
        connection.commit()
    engine.dispose()
    for file in (path / "index").glob("slices-*"):
        file.unlink()
    with Library.open(path) as again:
        answer = search(again, models, file=archive.alone, rank="max")
        assert len(answer.hits) == 4
        assert all(hit.match is None for hit in answer.hits)
        assert verify(again).clean
