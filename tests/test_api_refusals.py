"""What hostile and clumsy clients send: a problem document, and nothing is left behind."""

from __future__ import annotations

import io
import json
import logging
import socket
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from served_library import own_copy, serving

from api.access import anyone_on_loopback
from api.app import create_app
from api.edge import JSON_BYTES
from api.problems import status_of
from api.rights import Principal
from api.routing import MOST_DEEP
from indexer import errors
from indexer.config import Settings

BOUNDARY = "limit"
TYPE = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the server puts temporary files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("temporary")))
        yield Path(tempfile.gettempdir())


@pytest.fixture(scope="module")
def client(served: Path, place: Path) -> Iterator[httpx.Client]:
    limits = Settings(
        library=served, upload_mb=1, upload_files=3, upload_seconds=2.0, max_pixel_mb=1
    )
    with serving(limits) as client:
        yield client


@pytest.fixture(autouse=True)
def nothing_left(client: httpx.Client, place: Path) -> Iterator[None]:
    """After each test, whatever it sent, no upload is on the disk and the service answers."""
    yield
    until = time.monotonic() + 5
    while left(place) and time.monotonic() < until:
        time.sleep(0.02)
    assert left(place) == []
    assert client.get("/v1/health").status_code == 200


def left(place: Path) -> list[Path]:
    return [path for path in place.rglob("*") if path.parent != place and path.name != "lock"]


def problem(answer: httpx.Response, status: int, code: str = "") -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told: dict[str, Any] = answer.json()
    assert told["status"] == status
    assert told["request_id"] == answer.headers["x-request-id"]
    if code:
        assert told["code"] == code
    return told


def part(name: str, content: bytes, filename: str | None = None) -> bytes:
    given = f'; filename="{filename}"' if filename is not None else ""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{given}\r\n\r\n'
    return head.encode() + content + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()


def send(client: httpx.Client, body: bytes) -> httpx.Response:
    return client.post("/v1/search/files", content=body, headers=TYPE)


def json_body(client: httpx.Client, body: bytes) -> httpx.Response:
    return client.post(
        "/v1/search", content=body, headers={"Content-Type": "application/json; charset=utf-8"}
    )


# -- addresses, methods, parameters ---------------------------------------------------------------


def test_no_such_address_or_method(client: httpx.Client) -> None:
    problem(client.get("/v1/nothing"), 404, "no_such_route")
    problem(client.get("/nothing"), 404, "no_such_route")
    refused = client.put("/v1/search")
    problem(refused, 405, "method_not_allowed")
    assert refused.headers["allow"] == "POST"


def test_a_misspelt_or_repeated_parameter_is_not_passed_over(client: httpx.Client) -> None:
    told = problem(client.get("/v1/studies?fliter=modality%3DCT"), 422, "invalid_request")
    assert "filter" in told["detail"]
    problem(client.get("/v1/studies?sort=age&sort=study"), 422)


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        ({"filter": "age>=old"}, 422, "filter"),
        ({"filter": "(" * 2000}, 422, "filter"),
        ({"sort": "password"}, 422, "query"),
        ({"limit": 0}, 422, "invalid_request"),
        ({"limit": 10**30}, 422, "invalid_request"),
        ({"cursor": "nonsense"}, 422, "query"),
        ({"cursor": "W10="}, 422, "query"),
        ({"cursor": "\u202e\x00"}, 422, "query"),
    ],
)
def test_wrong_parameters_are_named(
    client: httpx.Client, asked: dict[str, Any], status: int, code: str
) -> None:
    problem(client.get("/v1/items", params=asked), status, code)


def test_a_cursor_continues_its_own_list_alone(client: httpx.Client) -> None:
    cursor = client.get("/v1/items?limit=1&sort=age").json()["cursor"]
    assert client.get("/v1/items", params={"sort": "age", "cursor": cursor}).status_code == 200
    for asked in ({"sort": "-age"}, {"sort": "age", "filter": "view=PA"}, {}):
        problem(client.get("/v1/items", params={**asked, "cursor": cursor}), 422, "query")
    problem(client.get("/v1/series", params={"cursor": cursor}), 422, "query")


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(uid=st.text(min_size=1, max_size=70).filter(lambda said: said not in (".", "..")))
def test_what_is_no_uid_is_not_found(client: httpx.Client, uid: str) -> None:
    for path in ("studies", "series", "items"):
        answer = client.get(f"/v1/{path}/{quote(uid, safe='')}")
        assert answer.status_code in (404, 422), answer.text
        problem(answer, answer.status_code)
    problem(client.post("/v1/search", json={"examples": [{"uid": uid[:64]}]}), 404, "not_found")


def test_pictures_refuse_what_cannot_be_drawn(client: httpx.Client) -> None:
    uid = client.get("/v1/items?limit=1").json()["rows"][0]["id"]
    address = f"/v1/items/{uid}/rendered"
    for window in ("40", "a,b", "1,0", "1,-5", "nan,1", "1,inf", "1e30,1", "1,2,3"):
        problem(client.get(address, params={"window": window}), 422)
    problem(client.get(address, params={"size": 100_000}), 422)
    problem(client.get(address, params={"slice": 2}), 422, "query")
    problem(client.get("/v1/items/nothing/rendered"), 404, "not_found")
    problem(client.get("/v1/items/nothing/thumbnail"), 404, "not_found")


def test_names_that_nothing_has(client: httpx.Client) -> None:
    for address, name in (
        ("clusters/run?run=none", "none"),
        ("clusters/items?run=none&number=0", "none"),
        ("maps/points?version=9", "version"),
        ("ood/reference?name=none", "reference"),
    ):
        assert name in problem(client.get(f"/v1/{address}"), 404, "unknown_name")["detail"]
    asked = {"reference": "none"}
    problem(client.post("/v1/ood/score", json=asked), 404, "unknown_name")


# -- JSON -----------------------------------------------------------------------------------------


def test_another_type_of_body_is_refused(client: httpx.Client) -> None:
    problem(client.post("/v1/search", content=b"{}"), 415, "unsupported_media_type")
    problem(client.post("/v1/search", data={"k": "5"}), 415)
    problem(client.post("/v1/search/files", json={}), 415)
    problem(client.post("/v1/search/files", content=b"", headers={"Content-Type": "x"}), 415)


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"k": }', b"\xff\xfe", b'{"k": ' + b"9" * 5000 + b"}", b'"\\']
)
def test_what_is_no_json_is_malformed(client: httpx.Client, body: bytes) -> None:
    answer = json_body(client, body)
    assert answer.status_code in (400, 422)
    problem(answer, answer.status_code)


def test_huge_and_deep_json_is_refused_before_it_is_read(client: httpx.Client) -> None:
    problem(json_body(client, b'"' + b"x" * JSON_BYTES + b'"'), 413, "too_large")

    long = (b" " * 65536 for _ in range(2 * JSON_BYTES // 65536))
    problem(json_body(client, long), 413, "too_large")  # type: ignore[arg-type]
    deep = b'{"examples": ' + b"[" * 100_000
    assert "deeper" in problem(json_body(client, deep), 400)["detail"]
    quoted = {"keywords": "lines " + "[{" * MOST_DEEP}
    assert client.post("/v1/search", json=quoted).status_code == 200


@pytest.mark.parametrize(
    "asked",
    [
        {"k": 0, "keywords": "x"},
        {"k": 5.5, "keywords": "x"},
        {"K": 5, "keywords": "x"},
        {"keywords": "x", "group": "family"},
        {"keywords": "x", "roles": ["everything"]},
        {"keywords": "x", "diversity": 2},
        {"examples": []},
        {"examples": [{}]},
        {"examples": [{"uid": "1", "text": "a"}]},
        {"examples": [{"file": 0}]},
        {"examples": [{"text": "a", "weight": 0}]},
        {"examples": [{"uid": "1"}] * 101},
        {"examples": [{"text": "a", "region": {"box": [0, 0, 1, 1]}}]},
        {"keywords": "lines", "encoders": ["none"]},
    ],
)
def test_a_question_that_cannot_be_asked_is_named(
    client: httpx.Client, asked: dict[str, Any]
) -> None:
    told = problem(client.post("/v1/search", json=asked), 422)
    assert told["detail"]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_numbers_that_are_none_are_refused(client: httpx.Client, number: str) -> None:
    body = f'{{"keywords": "x", "min_score": {number}}}'.encode()
    problem(json_body(client, body), 422)


def test_a_problem_repeats_no_value_that_was_sent(client: httpx.Client) -> None:
    name = "Doe^Jane"
    answer = client.post("/v1/search", json={"k": name, "roles": [name], "examples": name})
    problem(answer, 422, "invalid_request")
    assert name not in answer.text


@pytest.mark.parametrize(
    "said",
    ['"\\ud800"', '"\\u0000"', '"\\u202e\\ufeff"', '"' + "\u0301" * 500 + '"', '"\U0001f9e0"'],
)
def test_unicode_tricks_are_words_or_are_refused(client: httpx.Client, said: str) -> None:
    for field in ("keywords", "filter", "text"):
        body = f'{{"{field}": {said}}}'
        if field == "text":
            body = f'{{"examples": [{body}]}}'
        answer = json_body(client, body.encode())
        assert answer.status_code in (200, 400, 422), answer.text


# -- files ----------------------------------------------------------------------------------------


def test_a_multipart_body_that_breaks_off_is_malformed(client: httpx.Client) -> None:
    whole = part("file", b"x" * 1000, "a.png") + END
    for cut in (0, 3, 40, 80, 500, len(whole) - 4):
        problem(send(client, whole[:cut]), 400, "bad_request")


@pytest.mark.parametrize(
    "kind",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=" + "x" * 200,
        "multipart/mixed; boundary=limit",
    ],
)
def test_a_boundary_is_needed(client: httpx.Client, kind: str) -> None:
    body = part("file", b"x", "a.png") + END
    answer = client.post("/v1/search/files", content=body, headers={"Content-Type": kind})
    assert answer.status_code in (400, 415)
    problem(answer, answer.status_code)


def test_parts_of_other_kinds_are_refused(client: httpx.Client) -> None:
    problem(send(client, part("files", b"x", "a.png") + END), 422)
    problem(send(client, part("request", b"{}") * 2 + END), 422)
    problem(send(client, part("request", b"[" * 1000) + END), 400)
    problem(send(client, part("request", b"{nonsense") + END), 400)
    problem(send(client, b"--limit\r\nContent-Type: text/plain\r\n\r\nx\r\n" + END), 422)
    headers = b"".join(b"X-%d: y\r\n" % n for n in range(50))
    problem(send(client, b"--limit\r\n" + headers + b"\r\nx\r\n" + END), 400)
    problem(send(client, b"--limit\r\nX: " + b"y" * 100_000 + b"\r\n\r\nx\r\n" + END), 400)
    problem(send(client, END), 422, "query")


def test_too_many_and_too_large_files_are_refused(client: httpx.Client) -> None:
    problem(send(client, part("file", b"x", "a.png") * 4 + END), 413)
    large = part("file", b"x" * (1 << 20), "a.png") + END
    problem(send(client, large), 413, "too_large")
    chunks = (large[at : at + 65536] for at in range(0, len(large), 65536))
    problem(send(client, chunks), 413, "too_large")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name",
    [
        "../../../etc/passwd",
        "/etc/passwd.png",
        "..\\..\\a.png",
        "a.png\x00.dcm",
        "\u202egnp.a",
        "x" * 3000,
        ".",
        "",
        "a.png/../../b.png",
        "%2e%2e%2fa.png",
    ],
)
def test_names_of_files_lead_nowhere(client: httpx.Client, place: Path, name: str) -> None:
    before = {path for path in place.parent.rglob("*") if not path.is_relative_to(place)}
    answer = send(client, part("file", b"no picture", name) + END)
    assert answer.status_code in (400, 422)
    problem(answer, answer.status_code)
    assert {p for p in place.parent.rglob("*") if not p.is_relative_to(place)} == before


def test_files_that_cannot_be_used_say_why(client: httpx.Client) -> None:
    told = problem(send(client, part("file", b"no picture", "a.png") + END), 422, "file_rejected")
    assert told["reason"]
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.dcm", b"\0" * (200 << 20))
    answer = send(client, part("file", bomb.getvalue(), "a.zip") + END)
    assert answer.status_code == 422
    problem(answer, 422)


def test_an_upload_that_is_given_up_leaves_nothing(client: httpx.Client) -> None:
    head = (
        "POST /v1/search/files HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Content-Type: {TYPE['Content-Type']}\r\nContent-Length: 100000\r\n\r\n"
    )
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", client.base_url.port)) as raw:
            raw.sendall(head.encode() + part("file", b"x" * 1000, "a.png"))


def test_a_client_that_sends_too_slowly_is_told_so(client: httpx.Client) -> None:
    head = (
        "POST /v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    )
    with socket.create_connection(("127.0.0.1", client.base_url.port), timeout=20) as raw:
        raw.sendall(head.encode())
        answer = raw.recv(65536)
        while chunk := raw.recv(65536):  # until the server hangs up
            answer += chunk
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "too_slow"


# -- who asks, and how many -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "images.example.org"},
        {"Host": "127.0.0.1.example.org"},
        {"Origin": "https://example.org"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_pages_of_other_sites_may_not_ask(client: httpx.Client, headers: dict[str, str]) -> None:
    refused = client.get("/v1/studies", headers=headers)
    problem(refused, 401, "not_authenticated")
    assert refused.headers["www-authenticate"] == "Bearer"
    assert "access-control-allow-origin" not in refused.headers


def test_a_page_of_this_machine_may_ask(client: httpx.Client) -> None:
    headers = {"Host": "localhost:8000", "Origin": "http://localhost:8000"}
    assert client.get("/v1/studies", headers=headers).status_code == 200


def test_answers_are_not_kept_and_run_nothing(client: httpx.Client) -> None:
    for path in ("/v1/studies", "/v1/nothing", "/v1/health"):
        headers = client.get(path).headers
        assert headers["cache-control"] == "no-store"
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert headers["x-content-type-options"] == "nosniff"
        assert "server" not in headers


@pytest.mark.parametrize("path", ["/", "/v1/studies", "/v1/nothing", "/dicomweb/studies"])
def test_the_page_may_run_its_own_scripts_and_nothing_else_may_run_any(
    client: httpx.Client, path: str
) -> None:
    first = client.get(path)
    again = client.get(path, headers={"If-None-Match": first.headers.get("etag", "none")})
    for answer in (first, again):  # a browser takes the policy of the last, 304 or not
        said = answer.headers["content-security-policy"]
        policy = dict(part.split(" ", 1) for part in said.split("; "))
        assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
        assert policy.get("script-src", "'none'") == ("'self'" if path == "/" else "'none'")
        assert "unsafe" not in said


def test_more_requests_than_are_taken_at_once_are_told_to_wait(served: Path) -> None:
    with serving(Settings(library=served, serve_waiting=1)) as client:
        head = b"POST /v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        with socket.create_connection(("127.0.0.1", client.base_url.port)) as raw:
            raw.sendall(head + b"Content-Length: 2\r\n\r\n{")
            raw.settimeout(0.5)
            with pytest.raises(TimeoutError):  # it is inside, and waited for
                raw.recv(1)
            answer = client.get("/v1/studies")
            problem(answer, 429, "too_many_requests")
            assert answer.headers["retry-after"] == "1"
            assert client.get("/v1/health").status_code == 200
            raw.settimeout(30)
            raw.sendall(b"}")
            assert raw.recv(65536).startswith(b"HTTP/1.1 422 ")
        assert client.get("/v1/studies").status_code == 200


def test_a_service_that_is_busy_still_says_how_it_is(served: Path, tmp_path: Path) -> None:
    settings = Settings(library=own_copy(served, tmp_path), serve_threads=1)
    go_on = threading.Event()

    def slow(headers: Mapping[str, str]) -> Principal:
        assert go_on.wait(30)
        return anyone_on_loopback(headers)

    app = create_app(settings, slow)
    with serving(settings, app) as client, ThreadPoolExecutor(3) as others:
        waiting = [others.submit(client.get, "/v1/library") for _ in range(3)]
        try:
            for path in ("health", "ready", "version"):
                assert client.get(f"/v1/{path}").status_code == 200
            assert not any(each.done() for each in waiting)
        finally:
            go_on.set()
        assert [each.result().status_code for each in waiting] == [200, 200, 200]


# -- what goes wrong inside -----------------------------------------------------------------------


def test_an_error_inside_is_told_by_its_id_and_logged_without_its_words(
    served: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(library=own_copy(served, tmp_path))

    def broken(_headers: Mapping[str, str]) -> Principal:
        raise ValueError("Doe^Jane")

    app = create_app(settings, broken)
    with caplog.at_level(logging.INFO), serving(settings, app) as client:
        answer = client.get("/v1/studies")
    told = problem(answer, 500, "internal")
    assert "Doe" not in answer.text
    (record,) = [each for each in caplog.records if each.getMessage() == "failed"]
    said = record.said  # type: ignore[attr-defined]
    assert (said["request_id"], said["error"]) == (told["request_id"], "ValueError")
    assert any("broken" in place for place in said["trace"])
    assert "Doe" not in caplog.text


def test_every_error_of_ours_has_a_status() -> None:
    def below(kind: type[errors.SyntopyError]) -> Iterator[type[errors.SyntopyError]]:
        yield kind
        for each in kind.__subclasses__():
            yield from below(each)

    for kind in below(errors.SyntopyError):
        assert 400 <= status_of(kind.__new__(kind)) < 600
