"""The Python client reaches the whole service: every operation is asked, and answers as typed."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pydicom
import pytest
from archive_library import STUDIES as ARCHIVED
from archive_library import make_archive, study_uid
from asking_jobs import done
from PIL import Image
from served_library import REFERENCE, RUN, STUDIES, own_copy, serving
from told_library import Told

from api.app import create_app
from api.client import ApiError, Client
from api.jobs.worker import work
from api.schemas.pictures import FileLookAsked
from api.schemas.regions import MatchingFilesAsked, RegionFilesAsked
from api.schemas.structured import OodReportAsked, SimilarReportAsked
from indexer.config import Settings
from indexer.errors import QueryError
from indexer.library import Library
from indexer.searching.asking import Example, SearchRequest
from indexer.types import Window

NOT_OF_THE_CLIENT = {
    "/dicomweb/": "any client of the standard asks it, such as dicomweb-client",
    "/v1/session": "a browser signs in by it; the client sends its key",
    "/v1/health": "for who starts the service again when it does not answer",
    "/metrics": "for Prometheus",
    "/similar": "a link, which a browser opens",
}
"""Beginnings of addresses, and why no method reaches them."""
OPERATIONS = [
    (path, method.upper(), operation["operationId"])
    for path, methods in create_app(Settings()).openapi()["paths"].items()
    for method, operation in methods.items()
]
REACHED: set[str] = set()
"""Operations that a test below asks by a method of the client."""
NOTED: set[str] = set()
"""Operations that the test which runs has asked, and that answered."""


def note(answer: httpx.Response) -> None:
    if not answer.is_success:
        return
    asked = answer.request.url.raw_path.decode().partition("?")[0]
    fitting = {
        path: name
        for path, method, name in OPERATIONS
        if method == answer.request.method
        and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), asked)
    }
    # Of those that fit the one without a place for a name is meant: /jobs/kinds.
    NOTED.add(fitting[min(fitting, key=lambda path: path.count("{"))])


def reaches(*operations: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Of a test: it has to get an answer from each of these operations."""
    REACHED.update(operations)

    def of(test: Callable[..., None]) -> Callable[..., None]:
        @wraps(test)
        def noting(**fixtures: Any) -> None:
            NOTED.clear()
            test(**fixtures)
            assert set(operations) <= NOTED

        return noting

    return of


@contextmanager
def client_of(library: Path, *, receive: bool = False) -> Iterator[Client]:
    settings = Settings(library=library)
    app = create_app(settings, receive=receive)
    with serving(settings, app) as http, Client(str(http.base_url)) as client:
        client._http.event_hooks["response"].append(note)
        yield client


@pytest.fixture(scope="module")
def library(served: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return own_copy(served, tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def client(library: Path) -> Iterator[Client]:
    with client_of(library) as client:
        yield client


def drawn(path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return path


@reaches("version", "ready", "library", "spaces", "models", "get_facets", "list_studies")
def test_the_service_and_its_library(client: Client) -> None:
    assert client.version().api == "v1" and client.ready()
    assert client.library().studies == STUDIES
    (space,) = client.spaces()
    assert space.encoder in {model.name for model in client.models() if model.dim == space.dim}
    told = client.facets("label:finding=lying_lines")
    assert told.studies == len(list(client.studies("label:finding=lying_lines")))
    assert {value.value for facet in told.facets if facet.field == "view" for value in facet.values}


@reaches(
    "list_items",
    "get_item",
    "list_series",
    "get_series",
    "get_study",
    "get_thumbnail",
    "get_rendered",
)
def test_studies_series_and_items(client: Client) -> None:
    item = next(client.items())
    assert client.item(item.id) == item
    series = next(client.series())
    assert client.one_series(series.series_instance_uid).study_instance_uid == (
        series.study_instance_uid
    )
    assert client.study(item.study_instance_uid).study_instance_uid == item.study_instance_uid
    assert client.thumbnail(item.id).startswith(b"RIFF")
    picture = client.rendered(item.id, window=Window(100, 50), size=32)
    with Image.open(io.BytesIO(picture)) as frame:
        assert frame.size == (32, 32)
    with pytest.raises(ApiError, match="slice"):
        client.rendered(item.id, slice=99)


@reaches("neighbours", "search", "search_files")
def test_neighbours_are_those_of_a_search(client: Client, tmp_path: Path) -> None:
    item = next(client.items())
    near = client.neighbours(item.id, 4, filter="view=PA", group="item")
    asked = SearchRequest(
        (Example(uid=item.id),), k=4, filter="view=PA", group="item", evidence=True
    )
    assert near.hits == client.search(asked).hits and len(near.hits) == 4
    picture = drawn(tmp_path / "a.png", Told(907, "lying", "left").picture())
    assert client.search(SearchRequest((Example(picture),), k=1)).hits


@reaches("get_matching", "get_frame", "search_by_region")
def test_places_of_two_items_and_of_one(client: Client) -> None:
    first, second = list(client.items("view=PA"))[:2]
    matched = client.matching(first.id, second.id)
    assert (matched.query.id, matched.hit.id) == (first.id, second.id)
    frame = client.frame(first.id)
    assert (frame, frame.rows) == (matched.query.frame, 128)
    found = client.search_region(first.id, (10, 10, 60, 60), 2, filter="view=PA", candidates=3)
    assert len(found.hits) == 2 and found.looked_at == 3


@reaches("look_at_files", "match_files", "search_by_region_of_files")
def test_a_file_that_no_library_has(client: Client, tmp_path: Path) -> None:
    picture = drawn(tmp_path / "a.png", Told(908, "lying", "left").picture())
    look = client.look_at_files([picture], FileLookAsked(size=64))
    assert Image.open(io.BytesIO(look.picture)).size == (64, 64)
    item = next(client.items("view=PA"))
    matched = client.match_files([picture], MatchingFilesAsked(hit=item.id))
    assert (matched.query.id, matched.hit.id, matched.query.frame) == ("", item.id, look.frame)
    asked = RegionFilesAsked(box=(10, 10, 60, 60), k=2, candidates=3)
    assert len(client.search_region_of_files([picture], asked).hits) == 2


@reaches("reports")
def test_reports_near_to_an_image(client: Client) -> None:
    answer = client.reports(next(client.items()).id, 3)
    assert len(answer.neighbours) == 3 and answer.encoder == client.spaces()[0].encoder


@reaches("list_clusterings", "get_clustering", "list_members", "get_cluster_name", "name_cluster")
def test_clusterings_with_their_clusters_and_items(client: Client) -> None:
    assert [run.name for run in client.clusterings()] == [RUN]
    shown = client.clustering(RUN, "finding")
    assert {each.name for each in shown.clusters} == {"lying", "standing"} and shown.acc == 1
    members = list(client.cluster_items(RUN, 0, "view=PA", "-age"))
    assert len(members) == shown.clusters[0].size
    assert {member.confidence for member in members} == {0.75}
    named = client.name_cluster(client.cluster_name(RUN, 0), "they lie")
    assert named.value.called == "they lie"


@reaches("list_methods", "compare_clusterings", "list_items_in_both", "label_items")
def test_clusterings_are_compared_and_their_items_labelled(client: Client) -> None:
    assert client.cluster_methods()[0].name == "hdbscan"
    compared = client.compare_clusterings(RUN, RUN)
    assert (compared.ari, compared.moved, len(compared.confusion)) == (1, 0, 2)
    (first, second, shared), _ = compared.confusion
    members = list(client.items_in_both((RUN, first), (RUN, second)))
    assert len(members) == shared == len(list(client.cluster_items(RUN, first)))
    assert list(client.items_in_both((RUN, 0), (RUN, 1))) == []
    given = client.label_items("group", "lying", {"cluster": f"{RUN}:0"})
    taken = client.label_items("group", "lying", {"cluster": f"{RUN}:0"}, remove=True)
    assert given.changed == taken.changed == shared


@reaches("list_maps", "get_map_items", "find_map_items", "get_map_place", "get_map_points")
def test_points_of_a_map_in_the_order_of_its_items(client: Client) -> None:
    (stored,) = client.maps()
    told = client.map_items(stored.encoder, stored.version)
    points = client.map_points(stored.encoder, told.map.version, told.tag)
    assert points.dtype == np.float32 and points.shape == (STUDIES, 2)
    assert points.tolist() == [[n, -n] for n in range(STUDIES)]
    assert told.items == [item.id for item in client.items()]
    assert client.map_items_at([3, 1], told.tag).items == [told.items[3], told.items[1]]
    assert client.map_place(told.items[3], told.tag).at == 3
    with pytest.raises(ApiError, match="unknown_name"):
        client.map_points(version=9)
    with pytest.raises(ApiError, match="changed_meanwhile"):
        client.map_points(tag="another")


@reaches("get_map_legend", "get_map_values", "get_map_mask", "get_map_missing")
def test_values_of_the_points_of_a_map(client: Client) -> None:
    legend = client.map_legend(f"cluster:{RUN}")
    values = client.map_values(legend)
    assert [int((values == n).sum()) for n in (1, 2)] == [each.points for each in legend.values]
    first = legend.values[0].value
    mask = client.map_mask(
        f"label:finding={'lying' if first == '0' else 'standing'}_lines", datetime(2026, 1, 1)
    )
    assert (mask[:STUDIES] == (values == 1)).all()
    assert client.map_missing().missing == 0


@reaches("list_references", "get_reference", "list_scores", "score", "score_files", "get_drift")
def test_references_judge_items_and_files(client: Client, tmp_path: Path) -> None:
    (reference,) = client.references()
    assert client.reference(REFERENCE) == reference and reference.name == REFERENCE
    judged = client.score(REFERENCE, "view=PA", alarm=0.2, limit=3)
    assert len(judged.studies) == 3 and judged.more
    assert {study.alarm for study in judged.studies} == {0.2}
    usual = drawn(tmp_path / "usual.png", Told(903, "lying", "left").picture())
    odd = drawn(tmp_path / "odd.png", np.random.default_rng(1).integers(0, 255, (128, 128)))
    one, other = client.score_files(REFERENCE, [usual, odd]).studies
    assert other.flagged and other.p_value is not None and one.p_value is not None
    assert other.p_value < one.p_value
    together = client.score_files(REFERENCE, [usual, odd], one_study=True).studies
    assert [len(study.items) for study in together] == [2]
    assert client.drift(REFERENCE) == [] == list(client.flagged_studies(REFERENCE))
    with pytest.raises(QueryError, match="send an archive"):
        client.score_files(REFERENCE, [tmp_path])
    with pytest.raises(ApiError, match="unknown_name"):
        client.reference("none")


@reaches("get_heat", "get_heat_figures", "count_scores")
def test_heat_and_what_came_of_scores(client: Client, library: Path) -> None:
    done(library, "ood-patches", reference=REFERENCE, most_images=30, most_patches=1_000)
    item = next(client.items()).id
    assert client.heat(item, REFERENCE).startswith(b"\x89PNG")
    assert client.heat_figures(item, REFERENCE).item == item
    assert client.count_scores(REFERENCE, "view=PA").studies == 0


@reaches(
    "get_study_labels",
    "put_study_labels",
    "delete_study_labels",
    "get_item_labels",
    "put_item_labels",
    "delete_item_labels",
)
def test_labels(client: Client) -> None:
    item = next(client.items())
    for uid, of_item in ((item.study_instance_uid, False), (item.id, True)):
        seen = client.put_labels(
            client.labels(uid, of_item=of_item), {"quality": ["good"], "view": ["PA"]}
        )
        left = client.delete_labels(seen, "quality")
        assert left.value.labels == {"view": ("PA",)}
        with pytest.raises(ApiError, match="changed_meanwhile"):
            client.delete_labels(seen)
        assert client.delete_labels(left).value.labels == {}


@reaches("list_labels", "change_labels", "list_tags", "change_tag")
def test_labels_of_many_and_tags(client: Client) -> None:
    item = next(client.items())
    client.change_labels([(item.id, "side", "left")])
    client.change_tag("pilot", {"ids": [item.id]})
    assert "side" in {each.name for each in client.label_names()}
    assert [tag.name for tag in client.tags()] == ["pilot"]


@reaches("list_sets", "get_set", "put_set", "change_set", "delete_set", "list_set_items")
def test_saved_sets(client: Client) -> None:
    first, second = [item.id for item in client.items()][:2]
    made = client.put_set("pilot", {"items": {"ids": [first]}})
    made = client.change_set(made, {"add": {"ids": [second]}})
    assert client.saved_set("pilot") == made and client.sets() == [made.value]
    assert {item.id for item in client.set_items("pilot")} == {first, second}
    client.delete_set(made)
    assert client.sets() == []


@reaches(
    "list_reviews",
    "list_queues",
    "get_review",
    "put_review",
    "take_next",
    "release",
    "add_subjects",
    "undo_review",
)
def test_reviews(client: Client) -> None:
    first, second = [item.id for item in client.items()][:2]
    assert client.fill_queue("odd", [[first], [second]]).changed == 2
    taken, other = client.next_reviews("odd", 2).reviews
    client.release_reviews("odd", [other.subject])
    decided = client.decide(taken, "accept")
    assert client.review("odd", taken.subject) == decided
    client.undo(decided.value.review)
    assert [(each.queue, each.open) for each in client.queues()] == [("odd", 2)]
    assert len(list(client.reviews("odd", "open"))) == 2


@reaches(
    "create_job", "list_jobs", "list_kinds", "get_job", "cancel_job", "get_result", "follow_job"
)
def test_jobs(client: Client, library: Path) -> None:
    job = client.ask_for("curate-outliers", count=2)
    assert job.kind in {kind.name for kind in client.job_kinds()}
    work(Settings(library=library), once=True)
    assert client.wait(job.id).state == client.job(job.id).state == "done"
    assert len(list(client.result(job.id))) == 2
    other = client.ask_for("map")
    assert client.cancel(other.id).state == "stopped"
    assert {each.id for each in client.jobs()} >= {job.id, other.id}


@reaches(
    "export_items",
    "export_studies",
    "export_labels",
    "export_clusters",
    "export_scores",
    "export_map",
    "export_reviews",
)
def test_tables(client: Client, tmp_path: Path) -> None:
    client.fill_queue("told", [[next(client.items()).id]])
    asked = {
        "clusters": {"run": RUN},
        "scores": {"reference": REFERENCE},
        "reviews": {"queue": "told"},
    }
    for table in ("items", "studies", "labels", "clusters", "scores", "map", "reviews"):
        client.export(table, tmp_path / "table.csv", **asked.get(table, {}))
        assert (tmp_path / "table.csv").read_text().count(",") > 2


@reaches("get_library_state", "list_runs", "get_sources", "list_rejected")
def test_how_the_library_does(client: Client) -> None:
    state = client.library_state()
    assert (state.rows["studies"], state.waiting) == (STUDIES, 0)
    assert [run.number for run in client.runs()][:1] == [state.last_run]
    assert client.sources().roots == []
    assert list(client.rejected("truncated")) == []


@reaches("list_keys", "create_key", "revoke_key", "list_audit", "export_audit")
def test_keys_and_the_audit(client: Client) -> None:
    made = client.create_key("viewer", days=1)
    assert made.token.startswith(f"syn_{made.key.prefix}_") and made.key in client.api_keys()
    assert client.revoke_key(made.key.prefix).state == "revoked"
    assert made.key.prefix in {each.prefix for each in client.api_keys(everything=True)}
    last, *_ = client.audit(action="keys")
    assert last.subject["what"] == "revoke"
    (line,) = client.audit_lines("dicom")[last.number - 1 : last.number]
    assert line.startswith("<")


@reaches("make_report", "send_report", "list_destinations")
def test_structured_reports_are_given_and_sent(tmp_path: Path) -> None:
    library = make_archive(tmp_path / "archive")
    Library.create(library.parent / "pacs").close()
    with client_of(library.parent / "pacs", receive=True) as pacs:
        url = str(pacs._http.base_url.join("/dicomweb"))
        (library / "destinations.toml").write_text(f'[pacs]\nkind = "dicomweb"\nurl = "{url}"\n')
        with client_of(library) as client:
            assert [each.name for each in client.destinations()] == ["pacs"]
            uid = study_uid(ARCHIVED)
            flag = OodReportAsked(kind="ood", reference=REFERENCE)
            made = pydicom.dcmread(io.BytesIO(client.structured_report(uid, flag)))
            assert (made.StudyInstanceUID, made.Modality) == (uid, "SR")
            similar = SimilarReportAsked(kind="similar", k=3)
            sent = client.send_structured_report(uid, similar, "pacs")
    (stored,) = (library.parent / "pacs" / "inbox").glob("*/*.dcm")
    assert pydicom.dcmread(stored).SOPInstanceUID == sent.sop_instance_uid


def test_no_operation_is_out_of_reach() -> None:
    assert {name for _, _, name in OPERATIONS} >= REACHED
    others = {path for path, _, name in OPERATIONS if name not in REACHED}
    for start in NOT_OF_THE_CLIENT:
        assert any(path.startswith(start) for path in others), f"{start} is no exception any more"
    assert [path for path in others if not path.startswith(tuple(NOT_OF_THE_CLIENT))] == []
