"""Indexing, indexes and words as jobs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from api.jobs.work import Encoder, Kind, Parameters, Seed, Work
from api.rights import Role
from api.service import bridge, ingest
from api.service.reindex import reindex
from indexer.config import Settings
from indexer.errors import ConfigError
from indexer.ingest import IngestProgress
from indexer.library import Library
from indexer.registry import address_of, check_store, is_remote


class ReindexParameters(Parameters):
    """Which store is to answer searches; null makes the present index anew."""

    store: Annotated[str | None, Field(min_length=1, max_length=200)] = None
    drop_old: bool = False


class BridgeParameters(Parameters):
    """Which spaces are to be asked in words."""

    encoders: Annotated[tuple[Encoder, ...], Field(max_length=32)] = ()
    features: Annotated[str, Field(min_length=1, max_length=200)] = bridge.AUTO
    labels: bool = True
    seed: Seed = 0


class IndexParameters(Parameters):
    """Files and folders of the server, below one of its ``SYNTOPY_INDEX_ROOTS``."""

    paths: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=4096)], ...],
        Field(min_length=1, max_length=100),
    ]
    metadata: Annotated[str | None, Field(min_length=1, max_length=4096)] = None
    retry_rejected: bool = False


def _check_reindex(library: Library, _settings: Settings, asked: ReindexParameters) -> None:
    if asked.store is None:
        return
    check_store(asked.store)
    # Whoever may name a server would be sent the key of the server that there is.
    same = address_of(asked.store) == address_of(library.config.store)
    if is_remote(asked.store) and not same:
        raise ConfigError("a library is moved to a server on the command line: syntopy reindex")


def _reindex(work: Work, asked: ReindexParameters) -> Mapping[str, Any]:
    """Rows are the indexes that were made."""
    made = reindex(work.library, asked.store, work.settings, work.tell, drop_old=asked.drop_old)
    for layer in made.layers:
        work.row(layer)
    return {"before": made.before, "store": made.store, "seconds": round(made.seconds, 3)}


def _bridge(work: Work, asked: BridgeParameters) -> Mapping[str, Any]:
    """Rows are the bridges that were fitted."""
    request = bridge.FitRequest(**asked.model_dump())
    work.tell("fitting", 0, 0)

    def embedded(done: int, total: int) -> None:
        work.tell("reading texts", done, total)

    fitted = bridge.fit(work.library, request, work.settings, embedded)
    for each in fitted:
        work.row(each)
    return {"bridges": [{"encoder": each.encoder, "version": each.version} for each in fitted]}


def below_roots(settings: Settings, said: str) -> Path:
    """A path, links resolved, that is below one of the folders that may be indexed.

    Raises:
        ConfigError: it is not, or there is nothing.
    """
    roots = [Path(root).resolve() for root in settings.index_roots.split(os.pathsep) if root]
    if not roots:
        raise ConfigError("no folder may be indexed by jobs: SYNTOPY_INDEX_ROOTS names none")
    try:
        path = Path(said).resolve(strict=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigError("paths: one of them is not below SYNTOPY_INDEX_ROOTS") from error
    if not any(path.is_relative_to(root) for root in roots):
        raise ConfigError("paths: one of them is not below SYNTOPY_INDEX_ROOTS")
    return path


def _index_request(settings: Settings, asked: IndexParameters) -> ingest.IndexRequest:
    return ingest.IndexRequest(
        [below_roots(settings, path) for path in asked.paths],
        metadata=None if asked.metadata is None else below_roots(settings, asked.metadata),
        retry_rejected=asked.retry_rejected,
    )


def _check_index(_library: Library, settings: Settings, asked: IndexParameters) -> None:
    _index_request(settings, asked)


def _index(work: Work, asked: IndexParameters) -> Mapping[str, Any]:
    def show(progress: IngestProgress) -> None:
        work.tell("indexing", progress.done, 0 if progress.discovering else progress.found)

    request = _index_request(work.settings, asked)
    summary = ingest.index(work.library, request, work.settings, on_progress=show, stop=work.stop)
    return {
        "files": summary.files,
        "items": summary.items,
        "outcomes": {name.value: count for name, count in summary.outcomes.items()},
        "reasons": {name.value: count for name, count in summary.reasons.items()},
        "seconds": round(summary.seconds, 3),
    }


KINDS: tuple[Kind[Any], ...] = (
    Kind(
        "reindex",
        "Make the index anew, or of another kind.",
        Role.OPERATOR,
        ReindexParameters,
        _reindex,
        _check_reindex,
    ),
    Kind("bridge", "Fit words for spaces.", Role.CURATOR, BridgeParameters, _bridge),
    Kind(
        "index",
        "Index files and folders of the server.",
        Role.OPERATOR,
        IndexParameters,
        _index,
        _check_index,
        ends_itself=True,
        withheld=("paths", "metadata"),
    ),
)
