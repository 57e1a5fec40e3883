"""A small library that several people work on over HTTP, each with a key."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
from placed_library import Placed, on_circle, place
from served_library import serving

from api.app import create_app
from api.rights import Role
from api.service.access import keys
from indexer.catalog.audit import Action, AuditRow, rows_since, verify_chain
from indexer.catalog.database import reading
from indexer.config import Settings
from indexer.groups.runs import NamedCluster, RunDraft, save_run
from indexer.library import Library

ITEMS, RUN = 8, "kinds / first"


def make_library(folder: Path, items: int = ITEMS) -> Path:
    """Items ``item-0`` … of studies ``2.25.0`` …, two of each patient, every second one of CT.

    A clustering, `RUN`, tells CR (0) from CT (1).
    """
    place(
        folder,
        (
            Placed(f"patient-{n // 2}", on_circle(n), modality="CT" if n % 2 else "CR", age=50 + n)
            for n in range(items)
        ),
    )
    numbers = np.arange(1, items + 1)
    draft = RunDraft(
        RUN, "by hand", {}, 0, "", numbers, (numbers + 1) % 2, np.ones(items, np.float32), (), {},
        [NamedCluster(n, items // 2, name) for n, name in enumerate(("plain", "sliced"))], 0.0,
    )  # fmt: skip
    with Library.open(folder) as library:
        save_run(library, library.spaces()[0], draft)
    return folder


@contextmanager
def people_at(library: Path) -> Iterator[dict[str, httpx.Client]]:
    """Clients of one service: ``ann`` and ``bea`` are curators, ``rob`` reads."""
    roles = {"ann": Role.CURATOR, "bea": Role.CURATOR, "rob": Role.READER}
    with Library.open(library) as opened:
        tokens = {
            name: keys.create(opened, keys.KeyRequest(name, role=role), actor="test").token
            for name, role in roles.items()
        }
    limits = Settings(library=library, serve_rate=10_000, serve_burst=10_000)
    with serving(limits, create_app(limits, None)) as anybody:
        clients = {
            name: httpx.Client(
                base_url=f"{anybody.base_url}/v1/",
                headers={"Authorization": f"Bearer {token}"},
                timeout=30,
            )
            for name, token in tokens.items()
        }
        try:
            yield clients
        finally:
            for client in clients.values():
                client.close()


def changes(library: Path) -> list[AuditRow]:
    """What the audit says of changes, which is whole."""
    with Library.open(library) as opened, reading(opened.engine) as db:
        assert not verify_chain(db).findings
        return [row for row in rows_since(db) if row.action is Action.CHANGE]


def tag_of(answer: httpx.Response) -> dict[str, str]:
    """The header of a change that is made from what was answered."""
    assert answer.is_success, answer.text
    return {"If-Match": answer.headers["ETag"]}


NEW = {"If-None-Match": "*"}


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, object]:
    """The document of a problem that is the expected one."""
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    told: dict[str, object] = answer.json()
    return told
