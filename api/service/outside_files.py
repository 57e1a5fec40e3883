"""Vectors of files that are in no library, read as queries; nothing is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from api.service.options import read_options
from clustering.contract import Progress
from indexer.config import Settings
from indexer.embedding import Embedded, embed_each
from indexer.errors import FileRejectedError, QueryError
from indexer.library import Library, SpaceInfo
from indexer.reading.drafts import ReadOptions
from indexer.reading.study import read_study
from indexer.registry import usable_encoder
from indexer.sources.discover import Problem, discover
from indexer.types import Embeddings, Prepared


def outside_rows(
    library: Library, space: SpaceInfo, path: Path, settings: Settings, progress: Progress
) -> tuple[Embeddings, int]:
    """The images and volumes of every file under a path, each file for itself.

    Args:
        library: how it reads files.
        space: whose encoder embeds.
        path: a file or a folder.
        settings: how files are read.
        progress: told how many files are read; what it raises stops it.

    Returns:
        Unit rows ``(n, dim)``, float16 as the catalog keeps vectors; and how many files gave none.

    Raises:
        MissingExtraError: the encoder cannot be used here.
        QueryError: there is no such file or folder.
    """
    if not path.exists():
        raise QueryError(f"there is no file or folder {path}")
    options = replace(read_options(library, settings), encoders=(space.encoder,))
    encoder = usable_encoder(options.context(space.encoder))
    rows, lost = [], 0
    for number, found in enumerate(discover([path])):
        progress("reading files that are outside", number, 0)
        prepared = [] if isinstance(found, Problem) else _prepared(Path(found.path), options)
        vectors = [
            each.unit.astype(np.float16)
            for each in embed_each(encoder, prepared)
            if isinstance(each, Embedded)
        ]
        rows += vectors
        lost += not vectors
    return np.array(rows, np.float16).reshape(-1, space.dim), lost


def _prepared(path: Path, options: ReadOptions) -> Sequence[Prepared]:
    """What the encoder takes of a file; nothing of one that cannot be used."""
    (name,) = options.encoders
    try:
        items = read_study(path, options).items
    except (FileRejectedError, QueryError):
        return []
    return [one.item.tensors[name] for one in items if name in one.item.tensors]
