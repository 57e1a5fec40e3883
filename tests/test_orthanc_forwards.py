"""The Orthanc of deploy/, really: what it receives comes to Syntopy by itself, also late."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from dicom_senders import node
from free_ports import free_port
from postgres_cluster import postgres, unusable
from sent_objects import as_file, small_slice

from api.dimse.node import Node
from api.dimse.options import NodeOptions
from indexer.receiving.inbox import Inbox

DEPLOY = Path(__file__).resolve().parents[1] / "deploy" / "orthanc"
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
INDEX_PLUGIN = PLUGIN.with_name("libOrthancPostgreSQLIndex.so")
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY.parents[1] / "compose.yaml").read_text())
_PATIENCE = 60.0
pytestmark = pytest.mark.skipif(shutil.which("Orthanc") is None, reason="Orthanc is not installed")


def configured(
    folder: Path, receiver: int, index: dict[str, Any] | None = None
) -> tuple[Path, int]:
    """The configuration of deploy/ with what is of this machine; and the port of HTTP."""
    config: dict[str, Any] = json.loads((DEPLOY / "orthanc.json").read_text())
    port = free_port()
    config["DicomModalities"]["syntopy"] |= {"Host": "127.0.0.1", "Port": receiver}
    config |= {
        "HttpPort": port,
        "DicomPort": free_port(),
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "LuaScripts": [str(DEPLOY / "forward.lua")],
        "StableAge": 1,
        "LuaHeartBeatPeriod": 1,
        "RegisteredUsers": {"test": "test"},
        "Plugins": [str(PLUGIN)] if PLUGIN.exists() else [],
    }
    if index is not None:
        config["Plugins"].append(str(INDEX_PLUGIN))
        config["PostgreSQL"] = index
    path = folder / "orthanc.json"
    path.write_text(json.dumps(config))
    return path, port


@contextmanager
def orthanc(
    folder: Path, receiver: int, index: dict[str, Any] | None = None
) -> Iterator[httpx.Client]:
    folder.mkdir()
    path, port = configured(folder, receiver, index)
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(["Orthanc", str(path)], stdout=log, stderr=log) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", auth=("test", "test")) as client,
    ):
        try:
            until = time.monotonic() + _PATIENCE
            while True:
                assert process.poll() is None, (folder / "log").read_text()
                try:
                    assert client.get("/system").status_code == 200
                    break
                except httpx.TransportError:
                    assert time.monotonic() < until
                    time.sleep(0.1)
            yield client
        finally:
            process.terminate()
            process.wait(_PATIENCE)


def objects(inbox: Inbox) -> int:
    return sum(len(list(day.iterdir())) for day in inbox.days())


def wait_for(inbox: Inbox, number: int) -> None:
    until = time.monotonic() + _PATIENCE
    while objects(inbox) < number:
        assert time.monotonic() < until, f"{objects(inbox)} of {number} came"
        time.sleep(0.1)


def hand_in(client: httpx.Client, numbers: range, **more: int) -> None:
    for number in numbers:
        sent = client.post("/instances", content=as_file(small_slice(number, **more)))
        assert sent.status_code == 200, sent.text


def test_what_it_receives_comes_here_by_itself(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path / "inbox")
    with node(inbox) as port, orthanc(tmp_path / "orthanc", port) as client:
        hand_in(client, range(5))
        wait_for(inbox, 5)
        hand_in(client, range(5, 8))  # the series grows
        wait_for(inbox, 8)
        hand_in(client, range(2), series=2, study=2)
        wait_for(inbox, 10)


def index_of_compose(cluster_port: int, password: str) -> dict[str, Any]:
    """What compose.yaml tells the image of Orthanc of its index, as the image writes it down."""
    prefix, index = "ORTHANC__POSTGRESQL__", {}
    for name, value in COMPOSE["services"]["orthanc"]["environment"].items():
        if name.startswith(prefix):
            key = "".join(word.capitalize() for word in name.removeprefix(prefix).split("_"))
            index[key] = {"true": True, "false": False}.get(value, value)
    return index | {"Host": "127.0.0.1", "Port": cluster_port, "Password": password}


@pytest.mark.skipif(not INDEX_PLUGIN.exists(), reason="orthanc-postgresql is not installed")
@pytest.mark.skipif(bool(unusable()), reason=unusable())
def test_with_its_index_in_postgresql_it_sends_as_well(tmp_path: Path) -> None:
    told = COMPOSE["services"]["postgres"]["environment"]
    inbox, password = Inbox(tmp_path / "inbox"), "0c5e" * 16
    with (
        postgres(
            told["POSTGRES_USER"],
            told["POSTGRES_DB"],
            password,
            told["POSTGRES_INITDB_ARGS"].split(),
            free_port(),
        ) as cluster,
        node(inbox) as port,
    ):
        index = index_of_compose(cluster.port, password)
        with orthanc(tmp_path / "orthanc", port, index) as client:
            assert client.get("/system").json()["DatabaseBackendPlugin"]
            hand_in(client, range(3))
            wait_for(inbox, 3)
        assert cluster.rows("SELECT count(*) FROM resources WHERE resourcetype = 3") == ["3"]
        files = [each for each in (tmp_path / "orthanc" / "storage").rglob("*") if each.is_file()]
        assert len(files) >= 3 and not list(tmp_path.rglob("index")), "files stay outside of it"


def test_what_could_not_be_sent_is_sent_later(tmp_path: Path) -> None:
    inbox, port = Inbox(tmp_path / "inbox"), free_port()
    with orthanc(tmp_path / "orthanc", port) as client:
        hand_in(client, range(3))
        until = time.monotonic() + _PATIENCE
        while "Failure" not in client.get("/jobs?expand").text:
            assert time.monotonic() < until, "it did not try"
            time.sleep(0.1)
        late = Node(inbox, NodeOptions(port=port), lambda _ended: None)
        late.start()
        try:
            # Older ones look for what is left over only when something comes.
            hand_in(client, range(1), series=2, study=2)
            wait_for(inbox, 4)
        finally:
            late.stop()


def test_nobody_gets_in_without_a_user(tmp_path: Path) -> None:
    with orthanc(tmp_path / "orthanc", free_port()) as client:
        bare = str(client.base_url)
        assert httpx.get(f"{bare}/system").status_code == 401
        assert httpx.get(f"{bare}/system", auth=("orthanc", "orthanc")).status_code == 401
        ran = client.post("/tools/execute-script", content="print('x')")
        assert ran.status_code == 403, "no scripts from outside"
        if PLUGIN.exists():
            assert client.get("/dicom-web/studies").status_code == 200
