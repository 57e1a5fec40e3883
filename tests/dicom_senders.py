"""Senders of objects for tests, and nodes that listen for them on this machine."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import UID
from pynetdicom import AE, evt
from pynetdicom.association import Association

from api.dimse.finding import Finder
from api.dimse.node import AssociationEnded, Node
from api.dimse.options import NodeOptions
from indexer.receiving.inbox import Inbox

needs_dcmtk = pytest.mark.skipif(
    shutil.which("storescu") is None, reason="dcmtk is not installed (storescu)"
)


@contextmanager
def node(
    inbox: Inbox,
    told: list[AssociationEnded] | None = None,
    find: Finder | None = None,
    **options: Any,
) -> Iterator[int]:
    """A node on a free port of this machine; gives the port."""
    tell = (told if told is not None else []).append
    receiver = Node(inbox, NodeOptions(port=0, **options), tell, find)
    receiver.start()
    try:
        yield receiver.port
    finally:
        receiver.stop()


@contextmanager
def association(
    port: int,
    contexts: Sequence[tuple[str, str]],
    *,
    title: str = "TESTER",
    **more: Any,
) -> Iterator[Association]:
    """An association that asks for pairs of SOP class and transfer syntax."""
    entity = AE(title)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 20
    for sop_class, syntax in contexts:
        entity.add_requested_context(sop_class, syntax)
    opened: list[socket.socket] = []
    handlers = [
        (evt.EVT_CONN_OPEN, lambda event: opened.append(event.assoc.dul.socket.socket)),
        *more.pop("evt_handlers", []),
    ]
    made = entity.associate("127.0.0.1", port, evt_handlers=handlers, **more)
    try:
        yield made
    finally:
        if made.is_established:
            made.release()
        if made.is_alive():
            made.join()
        for each in opened:  # pynetdicom leaves one open that the node has closed first
            each.close()


def context_of(path: Path) -> tuple[UID, UID]:
    """SOP class and transfer syntax of a file."""
    meta = pydicom.dcmread(path, stop_before_pixels=True).file_meta
    return meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID


@contextmanager
def listening(library: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """``syntopy listen`` in a process of its own, killed at the end; gives it and its port."""
    command = [sys.executable, "-m", "api.cli.main", "listen", "--json", "--port", "0"]
    with subprocess.Popen(
        [*command, "--library", str(library), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        line = process.stdout.readline()
        try:
            yield process, json.loads(line)["port"]
        finally:
            process.kill()


def storescu(port: int, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Send with dcmtk."""
    return subprocess.run(
        ["storescu", "-v", "127.0.0.1", str(port), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=80,
        check=False,
    )
