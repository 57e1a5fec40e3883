"""Packages of the extra ``clusters``, loaded where they are needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from indexer.errors import MissingExtraError


def extra(module: str) -> Any:
    """A module of an optional package.

    Raises:
        MissingExtraError: it is not installed; the message says how to install it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise MissingExtraError(
            f"{package} needs an extra: pip install 'syntopy[clusters]'"
        ) from error
