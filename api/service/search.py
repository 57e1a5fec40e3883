"""Find the neighbours of a file or of something in the library."""

from __future__ import annotations

from pathlib import Path

from api.service.options import read_options
from indexer import search as engine
from indexer.config import Settings
from indexer.errors import StorageFullError
from indexer.library import Library
from indexer.search import SearchAnswer, SearchRequest
from indexer.sheet import MOST_TILES, contact_sheet


def search(library: Library, request: SearchRequest, settings: Settings) -> SearchAnswer:
    """Answer a search request; see `indexer.search.search`."""
    return engine.search(library, request, read_options(library, settings))


def write_sheet(library: Library, answer: SearchAnswer, path: Path) -> Path:
    """Write an answer as a contact sheet PNG: the query left, its neighbours right.

    Raises:
        StorageFullError: the picture cannot be written there.
    """
    pictures = engine.thumbnails(library, [hit.id for hit in answer.hits[:MOST_TILES]])
    try:
        contact_sheet(answer, pictures).save(path, "PNG")
    except (OSError, ValueError) as error:
        raise StorageFullError(f"{path} cannot be written: {error}") from error
    return path
