"""A library that is served on loopback by a real server, in a thread of its own."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from fastapi import FastAPI
from told_library import make_told

from api.app import create_app
from api.server import listening, server_of
from api.service.judging import ood
from indexer.catalog.database import reading
from indexer.config import Settings
from indexer.groups.items import gather_ids
from indexer.groups.maps import Points, save_map
from indexer.groups.runs import NamedCluster, RunDraft, save_run
from indexer.library import Library

STUDIES = 120
REFERENCE, RUN = "usual", "lines / first"
_PATIENCE = 30.0


def make_served(folder: Path) -> Path:
    """A told library with a reference set, a clustering in two and a map; returns its folder."""
    path = make_told(folder, STUDIES)
    with Library.open(path) as library:
        ood.fit_reference(library, ood.FitRequest(REFERENCE, alarm=0.3))
        _group(library)
    return path


def own_copy(served: Path, folder: Path) -> Path:
    """A copy of such a library for a test that changes it."""
    # Readers in other processes make and delete these; after the build they hold nothing.
    ignored = shutil.ignore_patterns("*-wal", "*-shm", "*.lock")
    return Path(shutil.copytree(served, folder / "library", ignore=ignored))


def _group(library: Library) -> None:
    space = library.spaces()[0]
    with reading(library.engine) as db:
        ids = gather_ids(db)
        first = gather_ids(db, "label:finding=lying_lines")
    labels = np.where(np.isin(ids, first), 0, 1)
    names = {0: "lying", 1: "standing"}
    draft = RunDraft(
        RUN, "by hand", {}, 0, "", ids, labels, np.full(len(ids), 0.75, np.float32), (), {},
        [NamedCluster(n, int((labels == n).sum()), name) for n, name in names.items()], 0.0,
    )  # fmt: skip
    places = np.stack([np.arange(len(ids)), -np.arange(len(ids))], axis=1).astype(np.float32)
    points = Points(ids, places, np.ones(len(ids), bool))
    with library.writing():
        save_run(library, space, draft)
        save_map(library, space, points, expression="", parameters={}, report={})


@contextmanager
def serving(
    settings: Settings, app: FastAPI | None = None, *, buffer: int = 0
) -> Iterator[httpx.Client]:
    """A client of a server that runs as long as this is entered, and is ready.

    ``buffer``: bytes that the kernel keeps of what was sent and not read; 0 is its own choice.
    """
    server = server_of(app or create_app(settings))
    small = [(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)] if buffer else []
    with listening("127.0.0.1", 0) as listener:
        if buffer:  # connections take it over
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            transport = httpx.HTTPTransport(socket_options=small)
            with httpx.Client(base_url=address, timeout=_PATIENCE, transport=transport) as client:
                wait_until_ready(client)
                yield client
        finally:
            server.should_exit = True
            thread.join(_PATIENCE)
    assert not thread.is_alive()


@contextmanager
def running(
    library: Path, *arguments: str, settings: Mapping[str, str]
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command, killed at the end, and the address that it prints."""
    command = [sys.executable, "-m", "api.cli.main", "serve", "-L", str(library), "--port", "0"]
    usual = {name: value for name, value in os.environ.items() if not name.startswith("SYNTOPY_")}
    environment = {**usual, "SYNTOPY_JOBS_WORKERS": "0", **settings}
    with subprocess.Popen(
        [*command, *arguments], stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            assert process.stderr is not None
            said = process.stderr.readline()
            found = re.search(r"http://127\.0\.0\.1:\d+", said)
            assert found, said
            yield process, found[0]
        finally:
            process.kill()


def wait_until_ready(client: httpx.Client) -> None:
    until = time.monotonic() + _PATIENCE
    while client.get("/v1/ready").status_code != 200:
        assert time.monotonic() < until, "the service did not become ready"
        time.sleep(0.05)


def get(client: httpx.Client, path: str, **asked: Any) -> Any:
    answer = client.get(f"/v1/{path}", params=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()


def post(client: httpx.Client, path: str, asked: object) -> Any:
    answer = client.post(f"/v1/{path}", json=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()


def all_rows(client: httpx.Client, path: str, **asked: Any) -> list[dict[str, Any]]:
    rows, cursor = [], ""
    while True:
        page = get(client, path, cursor=cursor, **asked)
        rows += page["rows"]
        cursor = page["cursor"]
        if not cursor:
            return rows
