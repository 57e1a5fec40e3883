"""The page: how it is served, and that its types are those of the API."""

from __future__ import annotations

import gzip
import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from served_library import own_copy

from api.app import create_app
from indexer.config import Settings

UI = Path(__file__).parents[1] / "ui"


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A page of three files, as a build leaves it."""
    assets = tmp_path / "assets"
    assets.mkdir()
    (tmp_path / "index.html").write_text('<meta name="syntopy-upload-mb" content="0" />')
    (assets / "index-1a2b.js").write_bytes(b"let a = 1;")
    (assets / "index-1a2b.js.gz").write_bytes(gzip.compress(b"let a = 1;"))
    (assets / "licences.txt").write_text("react 19.3.1 (MIT)")
    return tmp_path


@pytest.fixture
def client(built: Path, served: Path) -> Iterator[TestClient]:
    settings = Settings(library=served, upload_mb=7)
    with TestClient(create_app(settings, page=built), base_url="http://127.0.0.1") as client:
        yield client


# -- how it is served -----------------------------------------------------------------------------


def test_the_page_is_asked_for_again_each_time_and_knows_the_limit_of_uploads(
    client: TestClient,
) -> None:
    first = client.get("/")
    assert first.headers["content-type"] == "text/html; charset=utf-8"
    assert 'content="7"' in first.text
    again = client.get("/", headers={"If-None-Match": first.headers["etag"]})
    assert (first.headers["cache-control"], again.status_code) == ("no-cache", 304)
    # A browser takes the policy of the last answer, also where that has no content.
    policy = first.headers["content-security-policy"]
    assert again.headers["content-security-policy"] == policy


def test_the_policy_of_the_page_allows_nothing_inline_and_nothing_from_elsewhere(
    client: TestClient,
) -> None:
    policy = client.get("/").headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert not re.search(r"https?:|\*", policy)
    api = client.get("/v1/version").headers["content-security-policy"]
    assert api.startswith("default-src 'none'; frame")


def test_assets_are_kept_for_ever_and_come_packed_to_who_takes_them_so(client: TestClient) -> None:
    packed = client.get("/assets/index-1a2b.js", headers={"Accept-Encoding": "gzip, br"})
    plain = client.get("/assets/index-1a2b.js", headers={"Accept-Encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.text == plain.text == "let a = 1;"
    assert packed.headers["content-type"].startswith("text/javascript")
    assert "immutable" in packed.headers["cache-control"]
    assert packed.headers["vary"] == "Accept-Encoding"


def test_the_licences_of_its_packages_are_read_as_text_and_asked_for_again(
    client: TestClient,
) -> None:
    answer = client.get("/assets/licences.txt")
    assert answer.text == "react 19.3.1 (MIT)"
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("name", ["index-0000.js", "..%2Findex.html", "index-1a2b.js.gz"])
def test_an_asset_that_does_not_exist_is_a_problem(client: TestClient, name: str) -> None:
    answer = client.get(f"/assets/{name}")
    assert (answer.status_code, answer.json()["status"]) == (404, 404)


def test_where_the_page_was_not_built_that_is_said_and_the_api_answers(
    served: Path, tmp_path: Path
) -> None:
    app = create_app(Settings(library=served), page=tmp_path)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        assert "make ui" in client.get("/").text
        assert client.get("/v1/version").status_code == 200


def test_who_has_no_right_gets_the_page_and_no_data(served: Path, tmp_path: Path) -> None:
    app = create_app(Settings(library=own_copy(served, tmp_path)), None)  # a refusal is recorded
    with TestClient(app, base_url="http://127.0.0.1") as client:
        assert client.get("/").status_code == 200
        assert client.get("/v1/facets").status_code == 401


# -- its types ------------------------------------------------------------------------------------


def test_the_document_that_its_types_are_made_from_is_that_of_the_api() -> None:
    writer = _module(UI / "openapi.py")
    fresh = writer.DOCUMENT.read_text(encoding="utf-8") == writer.document()
    assert fresh, "the API has changed: make ui-types"


# -- its building ---------------------------------------------------------------------------------


@pytest.mark.parametrize("script", ["ui/build_page.py", "tests/ohif_app.py"])
def test_what_make_calls_before_packages_are_there_needs_none(script: str) -> None:
    path = UI.parent / script
    without_packages = [sys.executable, "-S", "-c", f"import {path.stem}"]
    subprocess.run(without_packages, cwd=path.parent, check=True)


def _module(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"ui_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
