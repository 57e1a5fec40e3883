"""The nginx of deploy/, really, in front of a service on loopback."""

from __future__ import annotations

import re
import shutil
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml
from fastapi.responses import StreamingResponse
from nginx_site import DEPLOY, NAME, TEMPLATE, nginx, site_values
from served_library import own_copy, serving

from api.app import create_app
from api.rights import Role
from api.routing import router
from api.service.access import keys
from indexer.catalog.audit import rows_since
from indexer.catalog.database import reading
from indexer.config import Settings
from indexer.library import Library

_PATIENCE = 20.0
pytestmark = pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")


@dataclass(frozen=True)
class Site:
    """What runs: nginx in front of a service, and a key to it."""

    library: Path
    direct: str
    ports: dict[str, int]
    certificate: Path
    key: dict[str, str]
    more: threading.Event

    @contextmanager
    def client(
        self, port: str = "HTTPS_PORT", *, http2: bool = False, address: str = "127.0.0.2"
    ) -> Iterator[httpx.Client]:
        """A browser on another address, which asks the site by its name."""
        trusted = ssl.create_default_context(cafile=str(self.certificate))
        transport = httpx.HTTPTransport(verify=trusted, http2=http2, local_address=address)
        base = f"https://127.0.0.1:{self.ports[port]}"
        with httpx.Client(
            transport=transport, base_url=base, timeout=_PATIENCE, headers=self.key
        ) as client:
            yield client

    def get(self, client: httpx.Client, path: str, **more: object) -> httpx.Response:
        named = {"sni_hostname": NAME}
        headers = {"Host": NAME, **more.pop("headers", {})}  # type: ignore[dict-item]
        return client.request("GET", path, headers=headers, extensions=named, **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def site(served: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("nginx")
    library = own_copy(served, folder)
    with Library.open(library) as opened:
        token = keys.create(opened, keys.KeyRequest("viewer", Role.OPERATOR), actor="test").token
    settings = Settings(
        library=library,
        public_url=f"https://{NAME}:443",
        trusted_proxies="127.0.0.1",
        serve_burst=1000,
    )
    app, more = create_app(settings, None), threading.Event()
    events = router("service", None)

    @events.get("/events")
    def told() -> StreamingResponse:
        def parts() -> Iterator[str]:
            yield "data: first\n\n"
            assert more.wait(_PATIENCE)
            yield "data: second\n\n"

        return StreamingResponse(parts(), media_type="text/event-stream")

    app.include_router(events)
    with serving(settings, app) as direct:
        values = site_values(folder, syntopy=direct.base_url.port or 0, ohif=0)
        with nginx(folder, values):
            key = {"Authorization": f"Bearer {token}"}
            ports = {name: int(port) for name, port in values.items() if name.endswith("_PORT")}
            trusted = folder / "tls" / "tls.crt"
            yield Site(library, str(direct.base_url), ports, trusted, key, more)


@pytest.fixture(scope="module")
def cookie(site: Site) -> dict[str, str]:
    """What a browser sends that has signed in with the key, at any port of the site."""
    token = site.key["Authorization"].removeprefix("Bearer ")
    own = {"Host": NAME, "Origin": f"https://{NAME}", "X-Syntopy": "page"}
    with site.client() as client:
        del client.headers["Authorization"]
        answer = client.post(
            "/v1/session", json={"key": token}, headers=own, extensions={"sni_hostname": NAME}
        )
    assert answer.status_code == 200, answer.text
    name, _, value = answer.headers["set-cookie"].partition(";")[0].partition("=")
    assert name == "__Host-syntopy"
    return {"Cookie": f"{name}={value}"}


def origins(library: Path) -> list[tuple[str, str]]:
    with Library.open(library) as opened, reading(opened.engine) as db:
        return [(row.origin, row.request_id) for row in rows_since(db) if row.origin]


@pytest.mark.parametrize("http2", [False, True])
def test_it_is_asked_over_tls_by_its_name(site: Site, http2: bool) -> None:
    with site.client(http2=http2) as client:
        answer = site.get(client, "/v1/studies?limit=2")
    assert answer.status_code == 200, answer.text
    assert answer.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
    assert answer.headers["strict-transport-security"].startswith("max-age=")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["server"] == "nginx", "and no version"


def test_by_another_name_it_does_not_shake_hands(site: Site) -> None:
    with site.client() as client, pytest.raises(httpx.ConnectError):
        client.get("/v1/health", extensions={"sni_hostname": "elsewhere.example"})


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_tls_is_refused(site: Site, version: ssl.TLSVersion) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        context.minimum_version = context.maximum_version = version
    address = ("127.0.0.1", site.ports["HTTPS_PORT"])
    with socket.create_connection(address) as raw, pytest.raises(OSError):
        context.wrap_socket(raw, server_hostname=NAME)


def test_without_tls_it_says_where_to_ask(site: Site) -> None:
    address = f"http://127.0.0.1:{site.ports['HTTP_PORT']}/v1/studies?limit=2"
    answer = httpx.get(address, headers={"Host": NAME})
    assert answer.status_code == 308
    assert answer.headers["location"] == f"https://{NAME}/v1/studies?limit=2"


def test_the_audit_has_the_address_of_the_browser_whatever_it_claims(site: Site) -> None:
    spoofed = {"X-Forwarded-For": "6.6.6.6", "Forwarded": "for=6.6.6.6", "X-Request-Id": "a" * 32}
    with site.client() as client:
        answer = site.get(client, "/v1/spaces", headers=spoofed)
    origin, request_id = origins(site.library)[-1]
    assert origin == "127.0.0.2"
    assert answer.headers["x-request-id"] == request_id != "a" * 32
    transport = httpx.HTTPTransport(local_address="127.0.0.3")
    with httpx.Client(transport=transport, base_url=site.direct) as past:
        assert past.get("/v1/spaces", headers={**site.key, **spoofed}).status_code == 200
    assert origins(site.library)[-1][0] == "127.0.0.3", "who comes past the proxy is not believed"


def test_prometheus_cannot_ask_from_outside(site: Site) -> None:
    with site.client() as client:
        assert site.get(client, "/metrics").status_code == 404
    assert httpx.get(f"{site.direct}/metrics", headers=site.key).status_code == 200


def test_what_is_too_large_does_not_come_in(site: Site) -> None:
    named, headers = {"sni_hostname": NAME}, {"Host": NAME, "Content-Type": "application/json"}
    with site.client() as client:
        for size, status in ((2 << 20, 413), (1000, 422)):
            answer = client.post(
                "/v1/search", content=b'"' + b"x" * size + b'"', headers=headers, extensions=named
            )
            assert answer.status_code == status


def test_events_come_one_by_one(site: Site) -> None:
    with (
        site.client() as client,
        client.stream(
            "GET", "/v1/events", headers={"Host": NAME}, extensions={"sni_hostname": NAME}
        ) as answer,
    ):
        lines = answer.iter_lines()
        assert next(lines) == "data: first"
        site.more.set()
        assert [line for line in lines if line] == ["data: second"]


def test_ohif_has_a_port_and_its_own_way_to_dicomweb(site: Site) -> None:
    with site.client("OHIF_PORT") as client:
        assert site.get(client, "/").status_code == 502, "no OHIF runs here"
        configured = site.get(client, "/app-config.js")
        asked = site.get(client, "/dicomweb/studies")
    assert configured.text == (DEPLOY / "ohif" / "app-config.js").read_text()
    assert configured.headers["content-type"] == "text/javascript"
    assert "x-request-id" in asked.headers, "Syntopy was asked"


def test_who_signed_in_to_the_page_asks_with_the_cookie(site: Site, cookie: dict[str, str]) -> None:
    with site.client() as client:
        del client.headers["Authorization"]
        assert site.get(client, "/v1/studies").status_code == 401
        assert site.get(client, "/v1/studies", headers=cookie).status_code == 200


def test_who_signed_in_to_the_page_reads_in_ohif(site: Site, cookie: dict[str, str]) -> None:
    asked = {"Host": f"{NAME}:8444", **cookie}
    with site.client("OHIF_PORT") as client:
        del client.headers["Authorization"]
        assert site.get(client, "/dicomweb/studies").status_code == 401
        answer = site.get(client, "/dicomweb/studies?limit=3", headers=asked)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/dicom+json"
        addresses = [study["00081190"]["Value"][0] for study in answer.json()]
        written = client.post("/dicomweb/studies", headers=asked, extensions={"sni_hostname": NAME})
    assert len(addresses) == 3
    assert all(each.startswith(f"https://{NAME}:8444/dicomweb/studies/") for each in addresses)
    assert written.status_code == 403, "there it is for reading alone"


def test_at_another_port_it_says_so_too(tmp_path: Path) -> None:
    values = site_values(tmp_path, syntopy=0, ohif=0, PUBLIC_PORT="9443")
    with nginx(tmp_path, values):
        answer = httpx.get(f"http://127.0.0.1:{values['HTTP_PORT']}/a", headers={"Host": NAME})
    assert answer.headers["location"] == f"https://{NAME}:9443/a"


def test_nginx_is_told_all_that_its_configuration_asks_for() -> None:
    compose = yaml.safe_load((TEMPLATE.parents[2] / "compose.yaml").read_text())
    asked = set(re.findall(r"\$\{(\w+)\}", TEMPLATE.read_text()))
    assert asked == set(compose["services"]["nginx"]["environment"])


def test_the_log_has_no_questions(site: Site) -> None:
    text = TEMPLATE.read_text()
    (told,) = re.findall(r"log_format \w+ ([^;]+);", text)
    assert "$uri" in told and not re.search(r"\$(request|args|request_uri|query_string)\b", told)
