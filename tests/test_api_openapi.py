"""The OpenAPI document tells all, every route has a rule, and nothing that it allows breaks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pytest
import schemathesis
from fastapi import APIRouter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from schemathesis.specs.openapi.checks import response_schema_conformance
from served_library import REFERENCE, RUN, own_copy, serving

from api.app import create_app
from api.problems import MEDIA_TYPE
from api.rights import Principal, Role
from api.routing import Route
from api.schemas.common import Asked
from indexer.config import Settings
from indexer.errors import NotAuthenticatedError

DOCUMENT = create_app(Settings()).openapi()
SIGNING_IN = {"/v1/session", "/v1/session/start", "/v1/session/callback"}
"""Anybody may try; tests/test_sessions.py has what comes of it."""
OPEN = {"/v1/version": 200, "/v1/health": 200, "/v1/ready": 200, "/similar": 422}
"""Who they let in may ask; without parameters they answer so."""
OPERATIONS = [
    (method.upper(), path, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
]
STOW = 'multipart/related; type="application/dicom"; boundary=frontier'
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)


@pytest.fixture(scope="module")
def client(served: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    library = own_copy(served, tmp_path_factory.mktemp("asked"))  # that may be changed
    asked = Settings(library=library, upload_mb=1)
    with serving(asked, create_app(asked, receive=True)) as client:
        yield client


@pytest.fixture(scope="module")
def guarded(served: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service that knows one of another library, one of this one, and nobody else."""

    def authenticate(headers: Mapping[str, str]) -> Principal:
        key = headers.get("authorization", "").removeprefix("Bearer ")
        if key not in ("here", "elsewhere"):
            raise NotAuthenticatedError("send a key")
        return Principal(key, Role.ADMIN, frozenset({"*" if key == "here" else "another"}), "test")

    asked = Settings(library=own_copy(served, tmp_path_factory.mktemp("guarded")))  # it records
    with serving(asked, create_app(asked, authenticate)) as client:
        yield client


# -- rules ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"), [(m, p) for m, p, _ in OPERATIONS if p not in SIGNING_IN]
)
def test_no_route_but_a_few_answers_strangers(
    guarded: httpx.Client, method: str, path: str
) -> None:
    address = path.replace("{uid}", "1.2.3")
    strangers = guarded.request(method, address)
    of_another = guarded.request(method, address, headers={"Authorization": "Bearer elsewhere"})
    known = guarded.request(method, address, headers={"Authorization": "Bearer here"})
    if path in OPEN:
        assert strangers.status_code == of_another.status_code == known.status_code == OPEN[path]
        return
    assert (strangers.status_code, strangers.json()["code"]) == (401, "not_authenticated")
    assert (of_another.status_code, of_another.json()["code"]) == (403, "access_denied")
    assert known.status_code not in (401, 403)


def test_a_route_without_a_rule_cannot_be_made() -> None:
    routes = APIRouter(route_class=Route)
    with pytest.raises(TypeError, match="/open declares no rule"):
        routes.get("/open")(lambda: None)


# -- the document ---------------------------------------------------------------------------------


def test_every_operation_is_named_described_and_tagged() -> None:
    names = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(set(names)) == len(names) > 20
    tags = {tag["name"] for tag in DOCUMENT["tags"]}
    for _, path, operation in OPERATIONS:
        assert operation["description"], path
        assert set(operation["tags"]) <= tags
        for parameter in operation.get("parameters", ()):
            assert parameter["schema"].get("description") or parameter.get("description"), path


def test_every_operation_has_an_example_in_the_documents() -> None:
    text = (Path(__file__).parents[1] / "docs" / "api.md").read_text()
    for _, path, _ in OPERATIONS:
        address = "$API" + path.removeprefix("/v1") if path.startswith("/v1") else "$HOST" + path
        address = re.sub(r"\{(series|instance)\}", lambda found: f"${found[1].upper()}", address)
        address = address.replace("{frames}", "1").replace("{tag}", "7FE00010")
        for name in ("name", "prefix", "queue", "subject"):
            address = address.replace(f"{{{name}}}", f"${name.upper()}")
        forms = {address.replace("{uid}", name) for name in ("$UID", "$ID")}
        assert any(re.search(re.escape(form) + r"[?\s\"]", text) for form in forms), path


def test_every_problem_is_a_problem_document() -> None:
    for _, path, operation in OPERATIONS:
        problems = {s: r for s, r in operation["responses"].items() if int(s) >= 400}
        assert {"422", "500"} <= set(problems), path
        told = {MEDIA_TYPE, "application/dicom+json"} if "dicomweb" in path else {MEDIA_TYPE}
        assert all(set(each["content"]) <= told for each in problems.values()), path


EXAMPLES = [
    (name, example)
    for name, schema in DOCUMENT["components"]["schemas"].items()
    if name.endswith(("Asked", "Change", "Which"))
    for example in schema.get("examples", ())
]
PARAMETERS = [
    (path, parameter)
    for _, path, operation in OPERATIONS
    for parameter in operation.get("parameters", ())
]


def test_examples_of_bodies_are_such_bodies() -> None:
    assert len(EXAMPLES) > 15
    for name, example in EXAMPLES:
        _models()[name].model_validate(example)


def test_every_body_of_json_has_an_example() -> None:
    names = {
        body["schema"]["$ref"].rpartition("/")[2]
        for _, _, operation in OPERATIONS
        for kind, body in operation.get("requestBody", {}).get("content", {}).items()
        if kind == "application/json" and "$ref" in body["schema"]
    }
    # A key is told by nobody, not as an example either; the placeholder stands at its field.
    assert names - {name for name, _ in EXAMPLES} == {"SignInAsked"}


def _models() -> dict[str, type[BaseModel]]:
    """The schemas of requests by their names."""
    found, left = {}, [Asked]
    while left:
        kind = left.pop()
        found[kind.__name__] = kind
        left += kind.__subclasses__()
    return found


def test_examples_of_parameters_and_fields_fit_their_schemas() -> None:
    told = [(path, each["schema"], each) for path, each in PARAMETERS]
    for name, schema in DOCUMENT["components"]["schemas"].items():
        told += [(name, field, {}) for field in schema.get("properties", {}).values()]
    checked = 0
    for where, schema, parameter in told:
        examples = [*schema.get("examples", ()), *parameter.get("examples", {}).values()]
        examples += [parameter["example"]] if "example" in parameter else []
        for example in examples:
            whole = {**schema, "components": DOCUMENT["components"]}
            assert jsonschema_rs.is_valid(whole, example), (where, example)
            checked += 1
    assert checked > 50


def test_every_example_of_a_parameter_can_be_asked(client: httpx.Client) -> None:
    uid = client.get("/v1/items?limit=1").json()["rows"][0]["id"]
    queue = client.post("/v1/reviews/duplicates/subjects", json={"subjects": [[uid]]})
    assert queue.is_success
    # Those that are there.
    names = {"run": RUN, "reference": REFERENCE, "name": REFERENCE, "with": uid}
    names |= {"first": RUN, "second": RUN}
    for method, path, operation in OPERATIONS:
        if method != "GET" or not path.startswith("/v1") or path in SIGNING_IN:
            continue
        asked = {
            each["name"]: names.get(each["name"], each["schema"]["examples"][0])
            for each in operation.get("parameters", ())
            if each["in"] == "query" and each["schema"].get("examples")
        }
        answer = client.get(re.sub(r"\{\w+\}", uid, path), params=asked)
        # What the item is not, a job or a set, is not there; heat takes patches.
        known = answer.status_code == (422 if "/heat" in path else 404) and "{" in path
        assert answer.is_success or known, (path, answer.text)


def test_requests_have_examples_that_are_answered(client: httpx.Client) -> None:
    uid = client.get("/v1/items?limit=1").json()["rows"][0]["id"]
    for name, path in (("SearchAsked", "search"), ("ReportsAsked", "reports")):
        for example in DOCUMENT["components"]["schemas"][name]["examples"]:
            asked = _with_uids(example, uid)
            answer = client.post(f"/v1/{path}", json=asked)
            assert answer.status_code == 200, answer.text


def _with_uids(example: Any, uid: str) -> Any:
    """An example, with a UID that the library has."""
    if isinstance(example, dict):
        return {k: uid if k == "uid" else _with_uids(v, uid) for k, v in example.items()}
    return [_with_uids(each, uid) for each in example] if isinstance(example, list) else example


def test_the_document_is_served_and_is_whole(client: httpx.Client) -> None:
    assert client.get("/v1/openapi.json").json() == DOCUMENT
    names = set(DOCUMENT["components"]["schemas"])
    assert _references(DOCUMENT) <= names


def _references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"].rpartition("/")[2]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*map(_references, value.values()))
    return set().union(*map(_references, value)) if isinstance(value, list) else set()


# -- nothing that it allows breaks ----------------------------------------------------------------


@schemathesis.serializer("multipart/related")
def of_parts(_context: schemathesis.SerializationContext, value: Any) -> bytes:
    """Whatever it is, as a part of a body; what says that it is DICOM goes past the first check."""
    part = value if isinstance(value, bytes) else str(value).encode()
    head = bytes(128) + b"DICM" if len(part) % 2 else b""
    begin = b"--frontier\r\nContent-Type: application/dicom\r\n\r\n"
    return begin + head + part + b"\r\n--frontier--\r\n"


@pytest.mark.parametrize("path", ["/dicomweb/studies", "/dicomweb/studies/1.2.3"])
@given(content=st.binary(max_size=400), whole=st.booleans())
@settings(max_examples=25, suppress_health_check=list(HealthCheck))
def test_whatever_bytes_are_stored_each_is_answered_for(
    client: httpx.Client, path: str, content: bytes, whole: bool
) -> None:
    """The bytes are an object after its preamble, or the body as it is."""
    begin = b"--frontier\r\nContent-Type: application/dicom\r\n\r\n" + bytes(128) + b"DICM"
    body = begin + content + b"\r\n--frontier--\r\n" if whole else content
    answer = client.post(path, content=body, headers={"Content-Type": STOW})
    if b"\r\n--frontier" not in content and whole:
        assert answer.status_code == 409, answer.text
        told = answer.json()  # FailedSOPSequence, or OtherFailuresSequence where it has no UID
        (failed,) = told.get("00081198", told.get("0008119A"))["Value"]
        assert failed["00081197"]["Value"][0] > 0
    else:
        assert 400 <= answer.status_code < 500, answer.text


@SCHEMA.parametrize()
@settings(max_examples=10, suppress_health_check=list(HealthCheck))
def test_whatever_is_sent_is_answered_as_the_document_says(
    client: httpx.Client, case: schemathesis.Case
) -> None:
    headers = {"Content-Type": STOW} if case.media_type == "multipart/related" else None
    answer = case.call(base_url=str(client.base_url), headers=headers)
    assert answer.status_code < 500, answer.text
    assert b"takes no studies" not in answer.content
    case.validate_response(answer, checks=[response_schema_conformance])
