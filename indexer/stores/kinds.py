"""The kinds of index behind the FAISS store, and which of them suits how many vectors."""

from __future__ import annotations

import os
from pathlib import Path

from indexer.errors import ConfigError
from indexer.stores.lists import ListsCoded, ListsFlat
from indexer.stores.structures import Bytes, Graph, Structure

KINDS = ("auto", "flat", "flat-f32", "flat-8bit", "hnsw", "ivf-flat", "ivf-pq")
EXACT = ("flat", "flat-f32")
STRUCTURES: dict[str, type[Structure]] = {
    each.kind: each for each in (Graph, ListsFlat, ListsCoded, Bytes)
}
"""What finds candidates in the other kinds."""
_OF_GPU = 0.8
"""Share of a GPU's free memory that vectors may take; a search needs some too."""
FLAT_UP_TO = 200_000
"""Vectors that are compared one by one in some tens of milliseconds on two cores."""


def checked_kind(kind: str) -> str:
    """A kind by name; none is ``auto``.

    Raises:
        ConfigError: there is no such kind; the message lists those there are.
    """
    if kind and kind not in KINDS:
        known = ", ".join(f"faiss:{each}" for each in KINDS)
        raise ConfigError(f"there is no kind of index 'faiss:{kind}'; there are: faiss, {known}")
    return kind or "auto"


def choose(
    kind: str, count: int, dim: int, *, gpu_free: int | None = None, current: str = ""
) -> tuple[str, str]:
    """The kind to build, and why, in a sentence.

    Args:
        kind: what was asked for, ``auto`` among them.
        count: vectors.
        dim: numbers of a vector.
        gpu_free: bytes that are free on the GPU that shall hold the index; None without one.
        current: what there is; near the borders it stays.
    """
    if kind != "auto":
        return kind, f"'{kind}' was asked for"
    border = FLAT_UP_TO if current in ("", *EXACT) else FLAT_UP_TO // 2
    if gpu_free is not None:
        if 2 * count * dim < _OF_GPU * gpu_free:
            return "flat", f"{count:,} vectors are compared one by one on the GPU"
        return "ivf-pq", (
            f"{count:,} vectors ({2 * count * dim / 2**30:.1f} GB) do not fit on the GPU, codes do"
        )
    if count <= border:
        return "flat", f"{count:,} vectors are compared one by one quickly enough"
    memory, needed = memory_available(), 4 * count * dim
    if current == "ivf-pq" or (current != "ivf-flat" and memory is not None and memory < needed):
        return "ivf-pq", (
            f"{count:,} vectors are too many to compare one by one, and lists of whole vectors "
            f"({needed / 2**30:.1f} GB with the vectors) would not stay in memory"
        )
    return "ivf-flat", (
        f"{count:,} vectors are too many to compare one by one; lists keep their recall with "
        "filters"
    )


def memory_available() -> int | None:
    """Bytes of memory that can be had without swapping; None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        try:
            return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        except (OSError, ValueError):
            return None
    found = {line.split(":")[0]: line.split()[1] for line in lines if ":" in line}
    return int(found["MemAvailable"]) * 1024 if "MemAvailable" in found else None
