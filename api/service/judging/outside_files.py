"""Vectors of files that are in no library, read as queries; nothing is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from api.service.judging.cases import qualities_in
from api.service.options import read_options
from clustering.contract import Progress
from indexer.config import Settings
from indexer.embedding import Embedded, embed_each
from indexer.errors import FileRejectedError, QueryError
from indexer.library import Library, SpaceInfo
from indexer.reading.drafts import ItemDraft, ReadOptions
from indexer.reading.study import read_study
from indexer.registry import usable_encoder
from indexer.sources.discover import Problem, discover
from indexer.types import Embeddings


@dataclass(frozen=True)
class OutsideRows:
    """What was made of files.

    Attributes:
        rows: unit rows ``(n, dim)``, float16 as the catalog keeps vectors.
        qualities: of the same pictures.
        lost: how many files gave none.
    """

    rows: Embeddings
    qualities: Sequence[tuple[float, ...]]
    lost: int


def outside_rows(
    library: Library, space: SpaceInfo, path: Path, settings: Settings, progress: Progress
) -> OutsideRows:
    """The images and volumes of every file under a path, each file for itself.

    Args:
        library: how it reads files.
        space: whose encoder embeds.
        path: a file or a folder.
        settings: how files are read.
        progress: told how many files are read; what it raises stops it.

    Raises:
        MissingExtraError: the encoder cannot be used here.
        QueryError: there is no such file or folder.
    """
    if not path.exists():
        raise QueryError(f"there is no file or folder {path}")
    options = replace(read_options(library, settings), encoders=(space.encoder,))
    encoder = usable_encoder(options.context(space.encoder))
    rows, qualities, lost = list[np.ndarray](), list[tuple[float, ...]](), 0
    for number, found in enumerate(discover([path])):
        progress("reading files that are outside", number, 0)
        items = [] if isinstance(found, Problem) else _items(Path(found.path), options)
        made = embed_each(encoder, [each.tensors[space.encoder] for each in items])
        before = len(rows)
        for item, each in zip(items, made, strict=True):
            if isinstance(each, Embedded):
                rows.append(each.unit.astype(np.float16))
                qualities.append(qualities_in(item.details))
        lost += len(rows) == before
    return OutsideRows(np.array(rows, np.float16).reshape(-1, space.dim), qualities, lost)


def _items(path: Path, options: ReadOptions) -> Sequence[ItemDraft]:
    """What of a file the encoder takes; nothing of one that cannot be used."""
    (name,) = options.encoders
    try:
        items = read_study(path, options).items
    except (FileRejectedError, QueryError):
        return []
    return [one.item for one in items if name in one.item.tensors]
