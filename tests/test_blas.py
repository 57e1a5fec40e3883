"""The kernels that FAISS's matrix products are made with."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from indexer.blas import kernels_for, kernels_of_this_cpu

WIDE = "avx2 fma avx512f avx512cd avx512bw avx512dq avx512vl"


def cpuinfo(folder: Path, *cpus: str) -> Path:
    path = folder / "cpuinfo"
    path.write_text("".join(f"processor : {n}\nflags : fpu {c}\n\n" for n, c in enumerate(cpus)))
    return path


@pytest.mark.parametrize(
    ("cpus", "kernels"),
    [
        ([WIDE, WIDE], "SkylakeX"),
        (["avx2 fma"], "Haswell"),
        ([WIDE, "avx2 fma"], "Haswell"),
        (["sse4_2"], ""),
        ([], ""),
    ],
)
def test_the_fastest_that_every_cpu_can_run(cpus: list[str], kernels: str, tmp_path: Path) -> None:
    assert kernels_for(cpuinfo(tmp_path, *cpus)) == kernels


def test_they_are_chosen_only_while_a_library_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    with kernels_of_this_cpu(cpuinfo(tmp_path, WIDE)):
        assert os.environ["OPENBLAS_CORETYPE"] == "SkylakeX"
    assert "OPENBLAS_CORETYPE" not in os.environ
    with kernels_of_this_cpu(tmp_path / "nothing"):
        assert "OPENBLAS_CORETYPE" not in os.environ


def test_a_choice_that_was_made_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    with kernels_of_this_cpu(cpuinfo(tmp_path, WIDE)):
        assert os.environ["OPENBLAS_CORETYPE"] == "Haswell"
    assert os.environ["OPENBLAS_CORETYPE"] == "Haswell"
