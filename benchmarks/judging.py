"""What one judgement costs when its reference is read anew, and when it stays loaded.

    python benchmarks/judging.py --items 30000

Fills a library as `search_service` does, fits a reference of all of it, and judges one study again
and again, as ``POST /v1/ood/score`` does.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import search_service

from api.service.judging import ood
from api.service.judging.judge import Judge
from api.service.judging.kept_references import KeptReferences
from indexer.config import Settings
from indexer.library import Library


def seconds(judge: Callable[[], Judge], times: int, study: str) -> list[float]:
    """How long each judgement took, loading included."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        assert len(list(judge().of_items(f"study='{study}'"))) == 1
        taken.append(time.perf_counter() - start)
    return taken


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=30_000)
    parser.add_argument("--dim", type=int, default=768)
    arguments = parser.parse_args()
    search_service.DIM = arguments.dim
    with tempfile.TemporaryDirectory() as folder, Library.create(Path(folder) / "l") as library:
        search_service.fill(library, arguments.items)
        ood.fit_reference(library, ood.FitRequest("all", alarm=0.05))
        study, settings, kept = "1.2.1", Settings(), KeptReferences(library)
        anew = seconds(lambda: Judge(library, "all", settings=settings, look=False), 5, study)
        stays = seconds(
            lambda: Judge(library, "all", settings=settings, look=False, fitted=kept.sets),
            21,
            study,
        )
        print(f"{arguments.items} cases of {arguments.dim} numbers")
        print(f"read anew: {np.median(anew):.3f} s")
        print(f"kept: first {stays[0]:.3f} s, then {np.median(stays[1:]) * 1000:.1f} ms")


if __name__ == "__main__":
    main()
