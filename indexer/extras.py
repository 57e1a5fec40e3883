"""Optional packages, imported when a method first needs them."""

from __future__ import annotations

from contextlib import nullcontext
from importlib import import_module
from typing import Any
from warnings import catch_warnings, simplefilter

from indexer.blas import kernels_of_this_cpu
from indexer.errors import MissingExtraError

_OF = {
    "faiss": "cpu",
    "fastapi": "serve",
    "highdicom": "sr",
    "httpx": "serve",
    "jwt": "serve",
    "opentelemetry": "tracing",
    "prometheus_client": "serve",
    "pynetdicom": "dimse",
    "python_multipart": "serve",
    "uvicorn": "serve",
}
"""Extras of modules that are not in ``clusters``."""


def extra(module: str) -> Any:
    """A module of an optional package.

    Raises:
        MissingExtraError: it is not installed; the message says how to install it.
    """
    try:
        with kernels_of_this_cpu() if module == "faiss" else nullcontext(), catch_warnings():
            # UMAP tells whoever loads it that it has a part for TensorFlow.
            simplefilter("ignore", ImportWarning)
            return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        named = _OF.get(package, "clusters")
        raise MissingExtraError(
            f"{package} needs an extra: pip install 'syntopy[{named}]' ({error})"
        ) from error
