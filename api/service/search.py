"""Find the neighbours of files, of what is in the library, of words, or of a mix of them."""

from __future__ import annotations

from pathlib import Path

from api.service.links import Links
from api.service.options import read_options
from indexer.config import Settings
from indexer.errors import QueryError, StorageFullError
from indexer.library import Library
from indexer.searching import search as engine
from indexer.searching.answers import SearchAnswer
from indexer.searching.asking import SearchRequest
from indexer.sheet import MOST_PRIORS, MOST_TILES, contact_sheet

_LONGEST_REPORT = 1 << 20


def search(library: Library, request: SearchRequest, settings: Settings) -> SearchAnswer:
    """Answer a search request; see `indexer.searching.search.Searcher.search`."""
    found = engine.search(library, request, read_options(library, settings))
    return Links(settings).answer(found)


def open_searcher(library: Library, settings: Settings) -> engine.Searcher:
    """What answers many requests: indexes stay open between them."""
    return engine.Searcher(library, read_options(library, settings))


def report_text(said: str) -> str:
    """The words of a report: those of the text file of this name, if there is one, else as said.

    Raises:
        QueryError: the file cannot be read, or is no text.
    """
    path = Path(said)
    if not said.lower().endswith(".txt") or "\n" in said:
        return said
    try:
        if path.stat().st_size > _LONGEST_REPORT:
            raise QueryError(f"{path.name} is longer than a report")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise QueryError(f"{path.name} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise QueryError(f"{path.name} is no text in UTF-8") from error


def write_sheet(library: Library, answer: SearchAnswer, path: Path) -> Path:
    """Write an answer as a contact sheet PNG: the query left, its neighbours right.

    Raises:
        StorageFullError: the picture cannot be written there.
    """
    shown = [hit.id for hit in (*answer.hits[:MOST_TILES], *answer.priors[-MOST_PRIORS:])]
    pictures = engine.thumbnails(library, [*shown, *(q.item for q in answer.queries[:1])])
    try:
        contact_sheet(answer, pictures).save(path, "PNG")
    except (OSError, ValueError) as error:
        raise StorageFullError(f"{path} cannot be written: {error}") from error
    return path
