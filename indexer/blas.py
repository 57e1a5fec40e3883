"""Which kernels OpenBLAS takes: that which FAISS's wheels bring does not know newer CPUs.

Of a CPU that it does not know it takes the kernels of a very old one, and matrix products, which
all searches with many queries and all building consist of, take three times as long.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CHOICE = "OPENBLAS_CORETYPE"
_KERNELS = (
    ("SkylakeX", {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"}),
    ("Haswell", {"avx2", "fma"}),
)
"""Kernels, and what a CPU has to have for them, the fastest first."""


@contextmanager
def kernels_of_this_cpu(cpuinfo: Path = Path("/proc/cpuinfo")) -> Iterator[None]:
    """While this lasts, an OpenBLAS that is loaded takes the kernels that this CPU can run.

    A choice that is set already is left; so is all where the system does not say what the CPU has.
    """
    chosen = kernels_for(cpuinfo)
    if not chosen or _CHOICE in os.environ:
        yield
        return
    os.environ[_CHOICE] = chosen
    try:
        yield
    finally:
        del os.environ[_CHOICE]


def kernels_for(cpuinfo: Path) -> str:
    """The name of the fastest kernels that every CPU listed can run, "" if that is not known."""
    try:
        lines = cpuinfo.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return ""
    flags = [set(line.partition(":")[2].split()) for line in lines if line.startswith("flags")]
    if not flags:
        return ""
    common = set.intersection(*flags)
    return next((name for name, needed in _KERNELS if needed <= common), "")
