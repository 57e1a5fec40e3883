"""``syntopy serve``: where it listens, what it says, how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from cohort_library import Indexed
from typer.testing import CliRunner

from api.cli.main import app
from api.uploads import uploads_folder
from indexer.library import Library
from indexer.phantoms import Kind


@pytest.fixture
def library(tmp_path: Path) -> Path:
    Library.create(tmp_path / "library").close()
    return tmp_path / "library"


@contextmanager
def running(library: Path, temporary: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command, and the address that it prints."""
    command = [sys.executable, "-m", "api.cli.main", "serve", "-L", str(library), "--port", "0"]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stderr is not None
            said = process.stderr.readline()
            found = re.search(r"http://127\.0\.0\.1:\d+", said)
            assert found, said
            yield process, found[0]
        finally:
            process.kill()


def test_it_says_where_it_listens_and_ends_with_ctrl_c(library: Path, tmp_path: Path) -> None:
    with running(library, tmp_path) as (process, address):
        assert httpx.get(f"{address}/v1/health", timeout=60).status_code == 200
        assert list(tmp_path.glob("syntopy-uploads-*"))
        process.send_signal(signal.SIGINT)
        _, log = process.communicate(timeout=60)
    assert process.returncode == 130
    assert not list(tmp_path.glob("syntopy-uploads-*"))
    lines = [json.loads(line) for line in log.splitlines()]
    (answered,) = [line for line in lines if line["event"] == "answered"]
    assert (answered["route"], answered["status"]) == ("/v1/health", 200)


def test_what_a_killed_service_has_left_is_cleared_by_the_next(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(library, tmp_path) as (process, address):
        assert httpx.get(f"{address}/v1/health", timeout=60).status_code == 200
        process.kill()
        process.wait(timeout=60)
    (left,) = tmp_path.glob("syntopy-uploads-*")
    (left / "upload").write_bytes(b"a picture")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with uploads_folder() as mine, uploads_folder() as another:
        assert {*tmp_path.glob("syntopy-uploads-*")} == {mine, another}


def test_the_demonstration_ends_with_the_page(
    indexed: Indexed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    study = next(s for s in indexed.plan if s.kind is Kind.CHEST)
    command = [sys.executable, "-m", "api.cli.main", "demo", "--port", "0"]
    command += ["--data", str(indexed.folder(study))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = next(line for line in process.stdout if line.startswith("open "))
            address = said.split()[1]
            example = next(process.stdout)
            assert example.rstrip().endswith(f"{address}#/search?study={study.study_instance_uid}")
            assert httpx.get(address, timeout=60).headers["content-type"].startswith("text/html")
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=60) == 0
        finally:
            process.kill()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])  # noqa: S104
def test_it_listens_on_loopback_alone_while_nobody_says_who_they_are(
    library: Path, host: str
) -> None:
    result = CliRunner().invoke(app, ["serve", "-L", str(library), "--host", host, "--no-auth"])
    assert result.exit_code == 2
    assert "127.0.0.1" in result.stderr


def test_a_port_that_is_taken_is_named(library: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = CliRunner().invoke(app, ["serve", "-L", str(library), "--port", port])
    assert result.exit_code == 2
    assert port in result.stderr


def test_a_library_that_is_none_is_said_at_once(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["serve", "-L", str(tmp_path / "nothing")])
    assert result.exit_code == 2
    assert "nothing" in result.stderr
