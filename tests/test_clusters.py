"""Clusterings of a library: stored whole, shown, compared, exported; maps; curation; labels."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import pytest
from PIL import Image
from placed_library import Placed, add, on_circle, place
from typer.testing import CliRunner, Result

from api.cli.main import app
from api.service import export
from api.service.curating import curate
from api.service.curating import labels as labelling
from api.service.grouping import cluster, maps
from api.service.grouping.cluster import ClusterRequest
from api.service.grouping.run_quality import KeptQualities
from api.service.library import remove
from indexer.catalog.database import reading
from indexer.config import Settings
from indexer.errors import ClusteringError, ConfigError, FilterError, QueryError, SourceError
from indexer.groups.graph import read_graph
from indexer.groups.items import gather
from indexer.library import Library

KINDS = ("lung", "heart", "bone")
EACH = 30


def three_kinds(each: int = EACH) -> list[Placed]:
    """Three groups of items, a right angle and more apart; two makers, two splits."""
    rng = np.random.default_rng(3)
    found = []
    for number, kind in enumerate(KINDS):
        for at in range(each):
            degrees = 100 * number + float(rng.normal(0, 4))
            found.append(
                Placed(
                    f"{kind}-{at // 2}",
                    (*on_circle(degrees), float(rng.normal(0, 0.05))),
                    {"finding": kind},
                    manufacturer="ACME" if kind == "bone" else ("ACME", "Zeta")[at % 2],
                    split="train" if at % 3 else "test",
                    report=f"The {kind} is described with care.",
                )
            )
    return found


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    with Library.open(place(tmp_path / "library", three_kinds())) as opened:
        yield opened


def run(library: Library, name: str = "first", **said: Any) -> cluster.StoredRun:
    request = ClusterRequest(name, **({"method": "kmeans", "n_clusters": 3} | said))
    return cluster.run_clustering(library, request, Settings())


def test_a_run_is_stored_whole(library: Library) -> None:
    stored = run(library, seed=5, filter="manufacturer=ACME")
    assert (stored.name, stored.method, stored.seed) == ("first", "kmeans", 5)
    assert (stored.filter, stored.encoder) == ("manufacturer=ACME", "texture")
    assert stored.items == stored.left == 2 * EACH
    assert stored.clusters == 3
    assert stored.noise == 0
    assert len(stored.items_sha256) == 64
    assert stored.parameters
    assert cluster.runs(library) == [stored]


def test_clusters_are_found_named_and_compared_with_a_label(library: Library) -> None:
    run(library)
    shown = cluster.show_run(library, "first", "finding")
    assert (shown.acc, shown.nmi, shown.ari, shown.n_clusters) == (1, 1, 1, 3)
    assert [each.size for each in shown.clusters] == [EACH] * 3
    assert {kind for each in shown.clusters for kind in KINDS if kind in each.name} == set(KINDS)
    bone = next(each for each in shown.clusters if "bone" in each.name)
    assert any("one manufacturer" in said for said in bone.about["warnings"])
    assert len(set(bone.about["exemplars"])) == len(bone.about["exemplars"]) > 3
    assert shown.silhouette is not None
    assert shown.silhouette.value > 0.8


def test_the_same_request_gives_the_same_run(library: Library) -> None:
    first, second = run(library, "one", seed=2), run(library, "two", seed=2)
    assert first.items_sha256 == second.items_sha256
    compared = cluster.compare_runs(library, "one", "two")
    assert (compared.items, compared.moved, compared.ari) == (3 * EACH, 0, 1)


def test_two_runs_are_compared_over_the_items_that_both_have(library: Library) -> None:
    run(library, "three")
    run(library, "two", n_clusters=2, filter="not label:finding=bone")
    compared = cluster.compare_runs(library, "three", "two")
    assert (compared.items, compared.only_first, compared.only_second) == (2 * EACH, EACH, 0)
    assert compared.ari == 1
    assert sum(items for _, _, items in compared.confusion) == 2 * EACH


def test_a_run_is_never_changed_but_for_names_that_people_give(library: Library) -> None:
    stored = run(library)
    with pytest.raises(ConfigError, match="never changed: take another name, or remove it"):
        run(library, n_clusters=2)
    cluster.rename(library, "first", 1, "  chests of adults ")
    shown = cluster.show_run(library, "first")
    assert shown.clusters[1].called == "chests of adults"
    cluster.rename(library, "first", 1, "")
    assert cluster.show_run(library, "first").clusters[1].called == shown.clusters[1].name
    assert cluster.runs(library) == [stored]
    with pytest.raises(QueryError, match="no cluster 7; it has 0 to 2"):
        cluster.rename(library, "first", 7, "x")
    cluster.remove(library, "first")
    assert cluster.runs(library) == []


def test_items_that_are_removed_later_are_told_of(library: Library) -> None:
    run(library)
    with reading(library.engine) as db:
        study = db.exec_driver_sql("SELECT study_instance_uid FROM study LIMIT 1").scalar_one()
    remove(library, "study", study, actor="test")
    shown = cluster.show_run(library, "first", "finding")
    assert (shown.run.items, shown.run.left) == (3 * EACH, 3 * EACH - 1)
    assert "1 items were removed from the library since" in shown.notes
    assert shown.acc == 1


def test_how_good_a_run_is_is_measured_once_until_items_are_removed(library: Library) -> None:
    run(library)
    kept = KeptQualities(library)

    def both() -> tuple[cluster.ShownRun, cluster.ShownRun]:
        shown = cluster.show_run(library, "first", quality=kept.of)
        return shown, cluster.show_run(library, "first")

    first, fresh = both()
    assert (first.silhouette, first.confidence) == (fresh.silhouette, fresh.confidence)
    assert both()[0].silhouette is first.silhouette
    with reading(library.engine) as db:
        study = db.exec_driver_sql("SELECT study_instance_uid FROM study LIMIT 1").scalar_one()
    remove(library, "study", study, actor="test")
    second, fresh = both()
    assert second.silhouette == fresh.silhouette != first.silhouette
    cluster.remove(library, "first")
    run(library, n_clusters=2)
    third, fresh = both()
    assert third.silhouette == fresh.silhouette != second.silhouette


def test_a_run_is_exported_as_a_table(library: Library, tmp_path: Path) -> None:
    run(library)
    for ending in ("csv", "json", "parquet"):
        assert cluster.export_run(library, "first", tmp_path / f"run.{ending}") == 3 * EACH
    with (tmp_path / "run.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["cluster"] for row in rows} == {"0", "1", "2"}
    assert json.loads((tmp_path / "run.json").read_text())[0]["item"] == rows[0]["item"]
    assert parquet.read_table(tmp_path / "run.parquet").num_rows == 3 * EACH
    with pytest.raises(ConfigError, match="a table ends in"):
        cluster.export_run(library, "first", tmp_path / "run.xlsx")


def test_every_cluster_has_a_sheet(library: Library, tmp_path: Path) -> None:
    run(library)
    written = cluster.write_sheets(library, "first", tmp_path / "sheets")
    assert [path.name for path in written] == [f"cluster-00{n}.png" for n in range(3)]
    with Image.open(written[0]) as picture:
        assert picture.size[0] > 900


@pytest.mark.parametrize(
    ("said", "error", "message"),
    [
        ({"method": "magic"}, ConfigError, "no clustering method 'magic'; there are:"),
        ({"options": {"heads": "2"}}, ConfigError, "'kmeans' has no parameter 'heads'"),
        ({"encoder": "rad-dino"}, ConfigError, "no space of 'rad-dino'"),
        ({"filter": "modalty=CT"}, FilterError, "unknown field 'modalty'"),
        ({"filter": "label:finding=liver"}, ClusteringError, "no primary item passes the filter"),
        ({"n_clusters": 1000}, ClusteringError, "1000 clusters of 90 vectors"),
        ({"name": " "}, ConfigError, "1 to 128 printable characters"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_stored(
    library: Library, said: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run(library, **({"name": "first"} | said))
    assert cluster.runs(library) == []


def test_a_run_that_is_stopped_stores_nothing(library: Library) -> None:
    def stop(what: str, _done: int, _total: int) -> None:
        if what == "naming clusters":
            raise KeyboardInterrupt

    request = ClusterRequest("first", method="kmeans", n_clusters=3)
    with pytest.raises(KeyboardInterrupt):
        cluster.run_clustering(library, request, Settings(), stop)
    assert cluster.runs(library) == []


def test_a_label_or_run_that_is_not_there_is_named(library: Library) -> None:
    with pytest.raises(QueryError, match="make one with: syntopy cluster run"):
        cluster.show_run(library, "first")
    run(library)
    with pytest.raises(QueryError, match="no clustering 'frist'; there are: first"):
        cluster.show_run(library, "frist")
    with pytest.raises(QueryError, match=r"no item carries a label 'colour'; there are: .*finding"):
        cluster.show_run(library, "first", "colour")


def test_the_neighbour_graph_is_kept_and_topped_up(library: Library) -> None:
    run(library)
    space = library.spaces()[0]
    kept = read_graph(library, space)
    assert kept is not None
    with reading(library.engine) as db:
        gathered = gather(db, space)
    rows = gathered.vectors.astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = rows @ rows.T
    np.fill_diagonal(cosines, -np.inf)
    nearest = -np.sort(-cosines, axis=1)[:, : kept.scores.shape[1]]
    np.testing.assert_allclose(kept.scores, nearest, atol=1e-5)
    stamp = next(library.index_folder.glob("graph-*.npz")).stat().st_mtime_ns
    run(library, "second")
    assert next(library.index_folder.glob("graph-*.npz")).stat().st_mtime_ns == stamp


# -- map ----------------------------------------------------------------------------------------


def test_a_map_is_fitted_versioned_and_grown_without_moving(library: Library) -> None:
    first = maps.fit(library, expression="label:finding in (lung,heart)")
    assert (first.version, first.points, first.fitted) == (1, 2 * EACH, 2 * EACH)
    assert maps.place(library).added == 0
    second = maps.fit(library, sample=40, seed=4)
    assert (second.version, second.points, second.fitted) == (2, 3 * EACH, 40)
    assert second.report["since"] == 1
    assert second.report["items"] == 2 * EACH
    assert [each.version for each in maps.versions(library)] == [1, 2]
    maps.remove(library, 1)
    assert [each.version for each in maps.versions(library)] == [2]
    with pytest.raises(QueryError, match="has no version 1; it has 2"):
        maps.place(library, version=1)


def test_items_that_come_later_are_placed_near_their_like(library: Library, tmp_path: Path) -> None:
    maps.fit(library)
    maps.export(library, tmp_path / "before.json")
    before = {row["item"]: row for row in json.loads((tmp_path / "before.json").read_text())}
    add(library, [Placed("new", (*on_circle(101), 0.0), {"finding": "heart"})])
    placed = maps.place(library)
    assert (placed.added, placed.map.points) == (1, 3 * EACH + 1)
    maps.export(library, tmp_path / "after.json")
    after = {row["item"]: row for row in json.loads((tmp_path / "after.json").read_text())}
    assert {item: after[item] for item in before} == before
    (new,) = (row for item, row in after.items() if item not in before)
    assert not new["fitted"]


def test_a_map_is_drawn_by_field_and_by_cluster(library: Library, tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="has no map yet; make one with: syntopy map fit"):
        maps.draw(library, tmp_path / "map.png")
    maps.fit(library)
    run(library)
    maps.draw(library, tmp_path / "map.png", colour="finding")
    maps.draw(library, tmp_path / "clusters.png", run="first")
    with Image.open(tmp_path / "map.png") as picture:
        assert len(picture.convert("RGB").getcolors(1 << 21) or ()) > 20
    with pytest.raises(QueryError, match="there is no field 'colour'"):
        maps.draw(library, tmp_path / "map.png", colour="colour")


# -- curation -----------------------------------------------------------------------------------


def test_copies_under_two_patients_are_told_first(library: Library) -> None:
    at = (*on_circle(200), 0.3)
    add(library, [Placed("one", at), Placed("one", at), Placed("other", at)])
    found = curate.duplicates(library, curate.Scope(), threshold=0.999999, pixels=False)
    new = {f"item-{3 * EACH + number}" for number in range(3)}
    copies = [row for row in found.rows if {row["first"], row["second"]} <= new]
    assert sorted(row["kinship"] for row in copies) == [
        "different patients",
        "different patients",
        "same patient",
    ]
    assert new in [set(group) for group in found.about["groups"]]
    assert found.rows[0]["kinship"] == "different patients"


def test_patients_on_both_sides_of_a_split_are_leaks(library: Library) -> None:
    found = curate.leaks(library, curate.Scope())
    patients = [row for row in found.rows if row["kind"] == "patient"]
    assert {row["split"] for row in patients} == {"train", "test"}
    assert any("share" in line and "patients" in line for line in found.summary)
    with pytest.raises(QueryError, match="no item has a 'fold'; there are:"):
        curate.leaks(library, curate.Scope(), split="fold")


def test_the_odd_one_is_listed_first(library: Library) -> None:
    add(library, [Placed("odd", (0.0, 0.0, 1.0), {"finding": "odd"})])
    found = curate.odd_ones(library, curate.Scope(), count=3)
    assert found.rows[0]["item"] == f"item-{3 * EACH}"
    typical = curate.odd_ones(library, curate.Scope(), count=3, typical=True)
    assert f"item-{3 * EACH}" not in {row["item"] for row in typical.rows}


def test_what_to_label_next_covers_every_kind(library: Library) -> None:
    run(library)
    found = curate.label_next(library, curate.Scope(), budget=3, run="first")
    assert len(found.rows) == 3
    assert found.about["curves"]["typiclust"]["clusters"][-1] == 1
    assert set(found.about["curves"]) == {"typiclust", "probcover", "dropquery", "random"}
    with pytest.raises(QueryError, match="no strategy 'best'"):
        curate.label_next(library, curate.Scope(), strategy="best")


def test_a_wrong_label_is_suspected_and_left_as_it_is(library: Library) -> None:
    add(library, [Placed("wrong", (*on_circle(0), 0.0), {"finding": "bone"})])
    found = curate.suspects(library, curate.Scope(), label="finding")
    assert (found.rows[0]["given"], found.rows[0]["suggested"]) == ("bone", "lung")
    again = curate.suspects(library, curate.Scope(), label="finding")
    assert again.rows == found.rows


def test_a_maker_that_goes_with_the_finding_is_told(library: Library) -> None:
    found = curate.batch(library, curate.Scope(), by=["manufacturer"], label="finding")
    assert [row["field"] for row in found.rows] == ["manufacturer"]
    with pytest.raises(QueryError, match="neither manufacturer, model nor year differs"):
        curate.batch(library, curate.Scope(filter="label:finding=bone"))


# -- labels -------------------------------------------------------------------------------------


def test_labels_go_out_and_come_in(library: Library, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    assert labelling.export_labels(library, path) == 3 * EACH
    assert labelling.import_labels(library, path).added == 0
    with path.open(newline="") as file:
        first = next(csv.DictReader(file))
    wide = tmp_path / "wide.csv"
    wide.write_text(f"uid,grade,reader\n{first['uid']},3,\nnobody,1,me\n", encoding="utf-8")
    done = labelling.import_labels(library, wide)
    assert (done.added, done.unknown, done.unknown_count) == (1, ("nobody",), 1)
    (tmp_path / "none.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(SourceError, match=r"none.csv has no column uid or item"):
        labelling.import_labels(library, tmp_path / "none.csv")


def test_a_tag_keeps_a_set_of_items(library: Library) -> None:
    run(library)
    assert labelling.tag(library, "pilot", expression="label:finding=heart").added == EACH
    assert labelling.tag(library, "pilot", expression="label:finding=heart").known == EACH
    assert run(library, "tagged", filter="label:tag=pilot", n_clusters=1).items == EACH
    assert labelling.tag(library, "zero", cluster="first:0").added == EACH
    with pytest.raises(QueryError, match="no cluster 9"):
        labelling.tag(library, "zero", cluster="first:9")
    assert labelling.untag(library, "pilot") == EACH
    with pytest.raises(QueryError, match="nothing is tagged 'pilot'"):
        labelling.untag(library, "pilot")


def test_items_are_exported_with_labels_and_clusters(library: Library, tmp_path: Path) -> None:
    run(library)
    assert export.write_manifest(library, tmp_path / "all.csv", "label:finding=bone") == EACH
    with (tmp_path / "all.csv").open(newline="") as file:
        row = next(csv.DictReader(file))
    assert row["label:finding"] == "bone"
    assert row["cluster:first"][0] in "012"
    assert row["patient"].startswith("bone")


# -- the commands -------------------------------------------------------------------------------


def command(library: Library, *arguments: object) -> Result:
    said = [str(each) for each in arguments]
    return CliRunner().invoke(app, [*said, "--library", str(library.path)])


def test_the_commands_do_the_same(library: Library, tmp_path: Path) -> None:
    told = ("cluster", "run", "--name", "first", "--method", "kmeans", "-c", "3")
    done = command(library, *told, "--sheets", tmp_path / "sheets")
    assert done.exit_code == 0, done.output
    assert "first: 3 clusters of 90 items by kmeans in 'texture'" in done.stdout
    assert len(list((tmp_path / "sheets").iterdir())) == 3
    shown = json.loads(
        command(library, "cluster", "show", "first", "--label", "finding", "--json").stdout
    )
    assert (shown["acc"], shown["nmi"], shown["ari"], shown["n_clusters"]) == (1, 1, 1, 3)
    assert "first" in command(library, "cluster", "list").stdout
    assert command(library, "cluster", "compare", "first", "first").exit_code == 0
    again = json.loads(
        command(library, "cluster", "stability", "first", "--repetitions", 2, "--json").stdout
    )
    assert (again["stored"], again["seeds"]["repetitions"]) == (1, 3)
    assert again["subsamples"]["lowest"] == 1
    assert command(library, "cluster", "rename", "first", 0, "zero").exit_code == 0
    assert command(library, "cluster", "export", "first", tmp_path / "run.csv").exit_code == 0
    assert command(library, "map", "fit").exit_code == 0
    assert "0 items placed" in command(library, "map", "place").stdout
    assert command(library, "map", "export", tmp_path / "map.png", "--run", "first").exit_code == 0
    for words in (
        ("duplicates", "--threshold", 0.9999),
        ("leakage",),
        ("outliers", "--count", 2),
        ("next", "--budget", 3),
        ("labels", "--label", "finding"),
        ("batch", "--by", "manufacturer"),
        ("subset", "--size", 9),
    ):
        done = command(library, "curate", *words, "--out", tmp_path / "table.csv")
        assert done.exit_code == 0, done.output
    drawn = command(library, "curate", "outliers", "--sheet", tmp_path / "odd.png")
    assert f"contact sheet: {tmp_path / 'odd.png'}" in drawn.stdout.replace("\n", "")
    with Image.open(tmp_path / "odd.png") as sheet:
        assert sheet.width > 1000, "six pictures abreast"
    assert command(library, "tag", "pilot", "--cluster", "first:0").exit_code == 0
    assert command(library, "labels", "export", tmp_path / "labels.csv").exit_code == 0
    assert command(library, "cluster", "remove", "first").exit_code == 0


def test_a_wrong_word_ends_with_one_line(library: Library) -> None:
    done = command(library, "cluster", "run", "--name", "x", "--set", "heads")
    assert (done.exit_code, "--set is name=value" in done.stderr) == (2, True)
    done = command(library, "cluster", "run", "--name", "x", "-c", "many")
    assert "--n-clusters is a number or auto, not 'many'" in done.stderr
