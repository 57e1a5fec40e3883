"""A service says that it is not ready while its indexes load, and that it is when they have."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import httpx
import pytest

from api.app import create_app
from api.server import listening, server_of
from api.service.options import read_options
from indexer.config import Settings
from indexer.library import Library
from indexer.searching.search import Searcher


class Waiting(Searcher):
    """Its indexes take until somebody lets them."""

    may_load = threading.Event()

    def load(self) -> None:
        assert self.may_load.wait(60)
        super().load()


def test_it_is_not_ready_until_the_indexes_are_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Library.create(tmp_path / "library").close()
    monkeypatch.setattr(
        "api.served.open_searcher",
        lambda library, settings: Waiting(library, read_options(library, settings)),
    )
    server = server_of(create_app(Settings(library=tmp_path / "library")))
    with listening("127.0.0.1", 0) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            with httpx.Client(timeout=30) as client:
                early = client.get(f"{address}/ready")
                assert early.status_code == 503
                assert early.json()["code"] == "not_ready"
                assert early.headers["content-type"] == "application/problem+json"
                assert early.headers["retry-after"] == "1"
                assert client.get(f"{address}/health").status_code == 200, "it lives"
                Waiting.may_load.set()
                until = time.monotonic() + 30
                while (now := client.get(f"{address}/ready")).status_code != 200:
                    assert time.monotonic() < until, now.text
                    time.sleep(0.02)
                assert now.json() == {"status": "ok"}
        finally:
            Waiting.may_load.set()
            server.should_exit = True
            thread.join(40)
    assert not thread.is_alive()
