"""Links both ways: from answers into a viewer, and from other programs into the page."""

from __future__ import annotations

import json
import string
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from served_library import REFERENCE, get, own_copy, post, serving
from typer.testing import CliRunner

from api.app import create_app
from api.cli.main import app
from api.client import Client
from indexer.config import Settings, load_settings
from indexer.errors import ConfigError
from indexer.viewing import ViewerTemplate

OHIF = "https://ohif.example/viewer?StudyInstanceUIDs={study}"
DEEP = f"{OHIF}&SeriesInstanceUIDs={{series}}&initialSopInstanceUid={{instance}}"


@pytest.fixture(scope="module")
def client(served: Path) -> Iterator[httpx.Client]:
    with serving(Settings(library=served, viewer_url=DEEP)) as client:
        yield client


# -- the template ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("javascript:alert({study})", "address such as"),
        ("viewer?{study}", "address such as"),
        ("https://", "address such as"),
        ("https://host:0/{study}", "address such as"),
        ("https://host/ {study}", "address such as"),
        ("https://host/{study}\n", "address such as"),
        ("https://{study}.example/", "fixed"),
        ("https://user:pass@host/{study}", "fixed"),
        ("https://host/{study}/{patient}", "{study}, {series} and {instance}"),
        ("https://host/{study", "{study}, {series} and {instance}"),
        ("https://host/{{study}}", "{study}, {series} and {instance}"),
        ("https://host/{series}", "needs the place {study}"),
    ],
)
def test_a_template_that_is_none_is_refused_at_the_start(
    template: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNTOPY_VIEWER_URL", template)
    with pytest.raises(ConfigError, match="SYNTOPY_VIEWER_URL") as error:
        load_settings()
    assert said in str(error.value)
    refused = CliRunner().invoke(app, ["serve"])
    assert refused.exit_code == 2 and "SYNTOPY_VIEWER_URL" in refused.stderr


@given(st.text(min_size=1), st.text(min_size=1))
def test_whatever_a_uid_is_it_stays_in_its_place(study: str, series: str) -> None:
    study, series = (each.encode("utf-8", "replace").decode() for each in (study, series))
    url = ViewerTemplate("https://host/a?s={study}&t={series}#end").of(study, series)
    assert url is not None
    parts = urlsplit(url)
    assert set(url) <= {*string.ascii_letters, *string.digits, *":/?=&#%-._~"}
    assert (parts.netloc, parts.path, parts.fragment) == ("host", "/a", "end")
    assert parse_qs(parts.query, keep_blank_values=True) == {"s": [study], "t": [series]}


def test_there_is_no_link_without_a_template_or_where_something_is_not_known() -> None:
    assert ViewerTemplate().of("1.2") is None
    assert ViewerTemplate(DEEP).of("1.2", "1.2.3") is None
    assert ViewerTemplate(OHIF).of("1.2") == "https://ohif.example/viewer?StudyInstanceUIDs=1.2"


# -- from answers into a viewer -------------------------------------------------------------------


def leads_to(row: dict[str, str]) -> dict[str, list[str]]:
    return {
        "StudyInstanceUIDs": [row["study_instance_uid"]],
        "SeriesInstanceUIDs": [row["series_instance_uid"]],
        "initialSopInstanceUid": [row["sop_instance_uid"]],
    }


def test_hits_and_items_lead_to_the_viewer(client: httpx.Client) -> None:
    items = get(client, "items", limit=3)["rows"]
    answer = post(client, "search", {"examples": [{"uid": items[0]["id"]}], "k": 3})
    near = get(client, f"items/{items[0]['id']}/neighbours", k=3)
    alone = get(client, f"items/{items[1]['id']}")
    for row in (*items, *answer["hits"], *answer["priors"], *near["hits"], alone):
        assert parse_qs(urlsplit(row["viewer_url"]).query) == leads_to(row)
    with Client(str(client.base_url)) as asked:
        assert asked.item(items[1]["id"]).viewer_url == alone["viewer_url"]


def test_studies_and_what_a_reference_says_of_them_lead_to_the_viewer(
    served: Path, client: httpx.Client
) -> None:
    study = get(client, "studies", limit=1)["rows"][0]
    assert study["viewer_url"] is None, "the template wants a series, and a study has many"
    with serving(Settings(library=served, viewer_url=OHIF)) as plain:
        uid = study["study_instance_uid"]
        scored = post(plain, "ood/score", {"reference": REFERENCE, "filter": f"study={uid}"})
        rows = get(plain, "studies", limit=2)["rows"]
        for row in (*rows, get(plain, f"studies/{uid}"), *scored["studies"]):
            assert row["viewer_url"] == OHIF.replace("{study}", row["study_instance_uid"])


def test_without_a_template_there_are_no_links(served: Path) -> None:
    with serving(Settings(library=served)) as client:
        item = get(client, "items", limit=1)["rows"][0]
        assert item["viewer_url"] is None
        answer = post(client, "search", {"examples": [{"uid": item["id"]}], "k": 2})
        assert [hit["viewer_url"] for hit in answer["hits"]] == [None, None]


def test_commands_tell_the_same_links(
    served: Path, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNTOPY_VIEWER_URL", DEEP)
    item = get(client, "items", limit=1)["rows"][0]
    words = ["search", "--uid", item["id"], "-k", "2", "-L", str(served)]
    told = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    over_http = get(client, f"items/{item['id']}/neighbours", k=2)
    assert [h["viewer_url"] for h in told["hits"]] == [h["viewer_url"] for h in over_http["hits"]]
    assert told["hits"][0]["id"] in CliRunner().invoke(app, words).stdout
    monkeypatch.setenv("SYNTOPY_VIEWER_URL", OHIF)
    uid = item["study_instance_uid"]
    shown = CliRunner().invoke(app, ["show", uid, "-L", str(served), "--json"])
    assert json.loads(shown.stdout)["viewer_url"] == OHIF.replace("{study}", uid)


# -- from other programs into the page ------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "place"),
    [
        ("study=1.2.840.1", "study=1.2.840.1"),
        ("series=2.25.7", "series=2.25.7"),
        ("item=3kpic", "item=3kpic"),
    ],
)
def test_a_link_opens_the_page_on_what_it_names(
    client: httpx.Client, asked: str, place: str
) -> None:
    answer = client.get(f"/similar?{asked}")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/#/search?{place}")
    assert answer.content == b"" and answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "asked",
    [
        "", "study=", "study=x", "study=1..2", "study=1.2%0aSet-Cookie:a", "study=1.2%0a",
        "study=%31.2/..", f"study={'1' * 65}", "study=1.2&series=1.3", "study=1.2&study=1.3",
        "item=A", "item=a/b", "url=https://example.org", "study=1.2&next=//example.org",
    ],
)  # fmt: skip
def test_what_is_no_uid_leads_nowhere(client: httpx.Client, asked: str) -> None:
    answer = client.get(f"/similar?{asked}")
    assert answer.status_code == 422 and "location" not in answer.headers


def test_a_link_works_from_other_sites_and_tells_nothing_of_the_library(
    served: Path, tmp_path: Path
) -> None:
    settings = Settings(library=own_copy(served, tmp_path))  # what is asked is recorded
    with serving(settings, create_app(settings, None)) as guarded:
        known = get_study(served)
        from_elsewhere = {"Origin": "https://ris.example", "Sec-Fetch-Site": "cross-site"}
        answers = [
            guarded.get(f"/similar?study={uid}", headers=from_elsewhere) for uid in (known, "9.9")
        ]
        assert [each.status_code for each in answers] == [303, 303]


def get_study(served: Path) -> str:
    with serving(Settings(library=served)) as client:
        return str(get(client, "studies", limit=1)["rows"][0]["study_instance_uid"])
