"""compose.yaml, Dockerfile and what they mount: whole, pinned, hardened, without a secret."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from typer.main import get_command

from api.app import create_app
from api.cli.main import app
from api.metrics import Answered, Metrics
from api.origins import Site
from api.rights import Role
from api.service.figures import FiguresReader
from api.tokens import token_rules
from indexer.config import Settings, load_settings
from indexer.library import Library

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OWN = [name for name in SERVICES if name.startswith("syntopy")]
WRITES_ITS_ROOT = {"ohif"}  # its start script rewrites a file of its own
AS_ITS_IMAGE_SAYS = {"orthanc"}  # what user it may run as is not documented
SECRET = re.compile("PASSWORD|TOKEN|SECRET|API_KEY|REGISTERED_USERS|_USER$")
Named = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*$")]
Port = Annotated[str, StringConstraints(pattern=r"^\S+:\d+$")]
Size = Annotated[str, StringConstraints(pattern=r"^(\$\{[A-Z_]+:-)?\d+[mg]\}?$")]


class Strict(BaseModel):
    """Of the Compose Specification what is used here; nothing else is known."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Check(Strict):
    test: Annotated[list[str], Field(min_length=2)]
    interval: str
    timeout: str
    start_period: str


class Build(Strict):
    context: str
    args: dict[str, str]


class Logging(Strict):
    driver: Literal["json-file"]
    options: dict[str, str]


class Condition(Strict):
    condition: Literal["service_started", "service_healthy"]
    required: bool = True


class OnNetwork(Strict):
    aliases: list[Named] = []
    ipv4_address: str = ""


class Service(Strict):
    image: str
    build: Build | None = None
    profiles: Annotated[list[Named], Field(min_length=1)]
    command: list[str] = []
    user: Annotated[str, StringConstraints(pattern=r"^[1-9]\d*$")] | None = None
    init: bool = False
    read_only: bool
    cap_drop: list[Literal["ALL"]]
    security_opt: list[Literal["no-new-privileges:true"]]
    restart: Literal["unless-stopped"]
    logging: Logging
    stop_grace_period: str = ""
    environment: dict[str, str] = {}
    tmpfs: list[str] = []
    volumes: list[str] = []
    secrets: list[str] = []
    ports: list[Port] = []
    networks: list[Named] | dict[Named, OnNetwork]
    depends_on: dict[Named, Condition] = {}
    healthcheck: Check
    mem_limit: Size
    pids_limit: int
    shm_size: str = ""
    deploy: dict[str, Any] = {}


class Compose(Strict):
    model_config = ConfigDict(extra="allow")
    name: Named
    services: dict[Named, Service]
    networks: dict[Named, dict[str, Any]]
    volumes: dict[Named, dict[str, Any]]
    secrets: dict[str, dict[Literal["file"], str]]


def test_the_file_is_what_compose_reads() -> None:
    found = Compose.model_validate(COMPOSE)
    assert all(name.startswith("x-") for name in found.model_extra or {})
    assert {"cpu", "gpu", "qdrant", "pacs", "monitoring", "folder"} == {
        profile for each in found.services.values() for profile in each.profiles
    }
    for name, service in found.services.items():
        assert set(service.networks) <= set(found.networks), name
        assert set(service.depends_on) <= set(found.services), name
        assert set(service.secrets) <= set(found.secrets), name


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_hardened(name: str) -> None:
    service = Service.model_validate(SERVICES[name])
    assert service.read_only is (name not in WRITES_ITS_ROOT)
    assert (service.user is None) is (name in AS_ITS_IMAGE_SAYS)
    assert service.cap_drop == ["ALL"] and service.security_opt
    assert service.healthcheck.test[0] in ("CMD", "CMD-SHELL")


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_has_a_version(name: str) -> None:
    image = SERVICES[name]["image"]
    if name in OWN:
        assert image.startswith("syntopy:${SYNTOPY_VERSION:-local}-")
    else:
        assert re.fullmatch(r"[a-z/-]+:v?\d+\.\d+(\.\d+)?(-[a-z]+)?", image), image


def test_no_secret_has_a_default() -> None:
    asked = re.compile(r"\$\{[A-Z_]+:\?[^}]+\}")
    told = {}
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            if SECRET.search(variable):
                told[name, variable] = value
    assert len(told) >= 8
    for where, value in told.items():
        if where[1] == "SYNTOPY_OIDC_CLIENT_SECRET":
            assert value == "${SYNTOPY_OIDC_CLIENT_SECRET:-}", "a public client has none"
        else:
            assert asked.search(value) or value == "orthanc", where
    assert asked.fullmatch(COMPOSE["secrets"]["prometheus_token"]["file"])


def test_every_variable_that_must_be_set_stands_in_the_example_empty() -> None:
    needed = set(re.findall(r"\$\{([A-Z_]+):\?", (ROOT / "compose.yaml").read_text()))
    lines = (DEPLOY / "example.env").read_text().splitlines()
    given = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert needed == set(given)
    assert set(given.values()) == {""}
    optional = set(re.findall(r"\$\{([A-Z_]+):-", (ROOT / "compose.yaml").read_text()))
    named = {match for line in lines for match in re.findall(r"^# ([A-Z_]+)=", line)}
    assert named <= optional, "something explained does not exist"


def test_what_keeps_data_is_reached_from_inside_alone() -> None:
    assert COMPOSE["networks"]["inside"]["internal"] is True
    for name in ("postgres", "qdrant", "prometheus", "syntopy-listen"):
        assert SERVICES[name]["networks"] == ["inside"]
        assert "ports" not in SERVICES[name]
    outside = {name: SERVICES[name]["ports"] for name in SERVICES if "ports" in SERVICES[name]}
    assert set(outside) == {"nginx", "orthanc", "grafana"}
    assert all(port.startswith("127.0.0.1:") for port in outside["grafana"])


def test_all_that_is_mounted_is_there() -> None:
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source = re.match(r"(\$\{[^}]+\}|[^:]+):/", volume)
            assert source, volume
            if source[1].startswith("./"):
                assert (ROOT / source[1]).exists(), volume
                assert volume.endswith(":ro")
            elif not source[1].startswith("${"):
                assert source[1] in COMPOSE["volumes"], name


@pytest.mark.parametrize("name", OWN)
def test_our_services_run_commands_that_exist(name: str) -> None:
    service = SERVICES[name]
    command = get_command(app).commands[service["command"][0]]  # type: ignore[attr-defined]
    known = {option for p in command.params for option in (*p.opts, *p.secondary_opts)}
    used = {a.partition("=")[0] for a in service["command"][1:] if a.startswith("--")}
    assert used <= known
    fields = {f"SYNTOPY_{field.upper()}" for field in Settings.model_fields}
    assert set(service["environment"]) <= fields
    assert not {"--no-auth", "--insecure"} & used, "everybody has to say who they are"


SERVING = [name for name in OWN if SERVICES[name]["command"][0] == "serve"]


def environment(name: str, site: dict[str, str]) -> dict[str, str]:
    """The environment of a service, as compose fills it in with what stands in .env."""

    def filled(found: re.Match[str]) -> str:
        return site.get(found[1]) or (found[3] if found[2] == "-" else f"any-{found[1].lower()}")

    told = SERVICES[name]["environment"].items()
    return {key: re.sub(r"\$\{([A-Z_]+):([-?])([^}]*)\}", filled, said) for key, said in told}


def explained(text: str) -> dict[str, str]:
    """What the example of .env explains, as if nothing of it were a comment."""
    found = re.findall(r"^(?:# )?([A-Z_]+)=(.*)$", text, re.MULTILINE)
    return {name: value.strip("'") for name, value in found}


@pytest.mark.parametrize("name", SERVING)
def test_the_service_is_told_all_about_who_signs_in(name: str) -> None:
    fields = {"public_url", *(f for f in Settings.model_fields if f.startswith("oidc_"))}
    assert {f"SYNTOPY_{field.upper()}" for field in fields} <= set(SERVICES[name]["environment"])


@pytest.mark.parametrize("name", SERVING)
@pytest.mark.parametrize("with_issuer", [False, True])
def test_the_service_starts_with_what_the_example_says(
    name: str, with_issuer: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = explained((DEPLOY / "example.env").read_text()) if with_issuer else {}
    site |= {"SERVER_NAME": "Images.example.org"}
    for variable, value in environment(name, site).items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("SYNTOPY_TRUSTED_PROXIES", "172.30.250.10")
    settings = load_settings()
    create_app(settings, None)
    assert Site(settings.public_url).origin({"host": "images.example.org"}) == (
        "https://images.example.org"
    )
    rules = token_rules(settings, frozenset())
    assert (rules is not None) is with_issuer is bool(settings.oidc_client_id)
    assert settings.oidc_scope == "openid profile" and settings.oidc_roles_claim == "roles"
    if rules is not None:
        assert rules.roles == {r.value: r for r in Role if r is not Role.MONITOR}
        assert "{study}" in settings.viewer_url


@pytest.mark.parametrize("name", SERVING)
def test_jobs_index_what_is_mounted_for_them(name: str) -> None:
    root = SERVICES[name]["environment"]["SYNTOPY_INDEX_ROOTS"]
    assert f"${{INCOMING:-/var/empty}}:{root}:ro" in SERVICES[name]["volumes"]


def test_ohif_is_configured_as_its_page_says() -> None:
    page = (ROOT / "docs" / "dicomweb.md").read_text()
    mounted = (DEPLOY / "ohif" / "app-config.js").read_text()
    setting = r"^ *(\w+): (.*),$"
    (said,) = re.findall(r"configuration: \{\n(.*?)\n *\},\n *\}", page, re.DOTALL)
    (done,) = re.findall(r"configuration: \{\n(.*?)\n *\},\n *\}", mounted, re.DOTALL)
    told = re.findall(setting, said, re.MULTILINE)
    assert len(told) >= 10
    assert told == re.findall(setting, done, re.MULTILINE)


def test_the_image_runs_as_nobody_in_particular() -> None:
    text = (ROOT / "Dockerfile").read_text()
    stages = re.findall(r"^FROM (\S+) AS (\w+)$", text, re.MULTILINE)
    assert [name for _, name in stages] == ["build", "runtime"]
    assert all(":" in image and "latest" not in image for image, _ in stages)
    last = text.rpartition("FROM ")[2]
    assert re.search(r"^USER 10001$", last, re.MULTILINE)
    assert "HEALTHCHECK" in last and "COPY . ." not in last
    assert all("--no-cache-dir" in line for line in re.findall(r"pip install[^\n]*", text))
    for label in ("title", "description", "licenses", "source", "version", "revision"):
        assert f"org.opencontainers.image.{label}=" in last
    extras = re.search(r'"\.\[\$\{EXTRAS\},([a-z,]+)\]"', text)
    assert extras
    tested = re.search(
        r"-e '\.\[cpu,([a-z,]+)\]' -r requirements-dev", (ROOT / "Makefile").read_text()
    )
    assert tested and extras[1].split(",") == tested[1].split(","), "what is tested is in the image"
    project = (ROOT / "pyproject.toml").read_text()
    for extra in extras[1].split(","):
        assert re.search(rf"^{extra} = \[", project, re.MULTILINE), extra
    arguments = {SERVICES[name]["build"]["args"]["EXTRAS"] for name in OWN}
    assert arguments == {"cpu", "gpu"}


def test_the_image_has_the_page_by_the_build_of_the_wheel() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert "npm" not in text and "--no-build-isolation" not in text, "ui/backend.py builds it"
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert "api/page" in ignored, "one that was built before may be an old one"
    assert "ui" not in ignored


def test_no_secret_and_no_data_go_into_the_image() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".git", ".env", "library", "tests", ".venv"} <= set(ignored)


# -- Prometheus and Grafana -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The samples that a service tells, with the names of their labels."""
    with Library.create(tmp_path_factory.mktemp("deploy") / "library") as library:
        counted = Metrics()
        counted.watch(FiguresReader(library).read, lambda: True)
        counted.answered(Answered("/metrics", "GET", 429, 0.1))
        counted.received("dimse", stored=1, refused=0)
        text = counted.told().decode()
    found: dict[str, set[str]] = {"up": {"job"}}
    for family in text_string_to_metric_families(text):
        labels = {label for sample in family.samples for label in sample.labels}
        for name in (family.name, *(sample.name for sample in family.samples)):
            found.setdefault(name, set()).update(labels, {"job"})
    # Whose rows are only there once something has happened.
    declared = re.findall(r'"(syntopy_\w+)", "[^"]+"', (ROOT / "api" / "metrics.py").read_text())
    for name in declared:
        found.setdefault(name, set())
    found["syntopy_searches_total"] = {"kind"}
    return found


def names_in(query: str) -> set[str]:
    return set(re.findall(r"\b(?:syntopy|process)_\w+\b|\bup\b", query))


def expressions(rules: dict[str, Any]) -> list[str]:
    return [rule["expr"] for group in rules["groups"] for rule in group["rules"]]


def test_the_dashboard_asks_for_metrics_that_exist(metrics: dict[str, set[str]]) -> None:
    board = json.loads((DEPLOY / "grafana" / "dashboards" / "syntopy.json").read_text())
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    assert len(queries) >= 15
    for query in queries:
        assert names_in(query), query
        assert names_in(query) <= set(metrics), query
    places = [tuple(panel["gridPos"].values()) for panel in board["panels"]]
    assert len(set(places)) == len(places)
    sources = yaml.safe_load(
        (DEPLOY / "grafana" / "provisioning" / "datasources" / "prometheus.yaml").read_text()
    )
    uids = {source["uid"] for source in sources["datasources"]}
    assert {panel["datasource"]["uid"] for panel in board["panels"]} == uids


def test_alerts_ask_for_metrics_that_exist_and_cover_what_can_fail(
    metrics: dict[str, set[str]],
) -> None:
    rules = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())
    for query in expressions(rules):
        assert names_in(query) and names_in(query) <= set(metrics), query
    asked = set().union(*map(names_in, expressions(rules)))
    assert {
        "up",
        "syntopy_inbox_waiting",
        "syntopy_index_recall",
        "syntopy_deliveries",
        "syntopy_disk_free_bytes",
        "syntopy_http_request_seconds_bucket",
    } <= asked


def test_prometheus_asks_services_that_exist() -> None:
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    static = [each for job in config["scrape_configs"] for each in job["static_configs"]]
    targets = [target for each in static for target in each["targets"]]
    assert targets == ["syntopy:8000", "syntopy-listen:9108"]
    (guarded,) = [job for job in config["scrape_configs"] if "authorization" in job]
    secret = Path(guarded["authorization"]["credentials_file"])
    assert secret.name in SERVICES["prometheus"]["secrets"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is of apt's prometheus")
def test_promtool_finds_nothing_wrong(tmp_path: Path) -> None:
    for name in ("prometheus.yml", "alerts.yml"):
        shutil.copy(DEPLOY / "prometheus" / name, tmp_path / name)
    (tmp_path / "token").write_text("x")
    config = tmp_path / "prometheus.yml"
    config.write_text(
        config.read_text().replace("/run/secrets/prometheus_token", str(tmp_path / "token"))
    )
    for arguments in (["config", str(config)], ["rules", str(tmp_path / "alerts.yml")]):
        checked = subprocess.run(
            ["promtool", "check", *arguments], capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr
