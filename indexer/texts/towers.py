"""The text tower of an encoder, with the vectors of texts that it has seen kept in the library.

A text that is longer than the tower takes is split into sentences; its row is the mean of their
unit rows. What is kept goes by a keyed hash of the text, so it is right whatever becomes of the
reports, and the text cannot be had back from it. It lies among the index files, which a removal
deletes.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from indexer.encoders.contract import EncoderContext, TextEncoder
from indexer.errors import ConfigError
from indexer.library import Library
from indexer.registry import usable_encoder
from indexer.texts.features import Matrix, sentences, unit

MOST_KEPT = 200_000
"""Vectors; when there are more, those that the last run did not ask for are dropped."""
_BATCH = 32
_HASH_BYTES = 16

Progress = Callable[[int, int], None]


class TextTower:
    """A tower of `indexer.texts.features.Tower`: texts to unit rows, each embedded once.

    Args:
        name: of the encoder.
        weights: digest of its weights.
        encoder: that has the tower.
        dim: of its vectors.
        file: where vectors are kept between runs; one that cannot be read counts as empty.
        reread: begin with those that are kept there; without it nothing may be saved.
        key: of the hash.
        on_progress: called with texts embedded and texts to embed.
    """

    def __init__(
        self,
        name: str,
        weights: str,
        encoder: TextEncoder,
        dim: int,
        *,
        file: Path,
        key: bytes,
        on_progress: Progress | None = None,
        reread: bool = True,
    ) -> None:
        self.name, self.weights = name, weights
        self._encoder, self._dim = encoder, dim
        self._file, self._key, self._on_progress = file, key, on_progress
        self._known = _read(file, dim) if reread else {}
        self._asked: set[bytes] = set()
        self._new = 0

    def rows(self, texts: Sequence[str]) -> Matrix:
        """Unit rows, one for each text; of equal texts and in any batch the same."""
        keys = [self._hash(text) for text in texts]
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._known}
        self._embed(new)
        self._asked.update(keys)
        rows = [self._known[key] for key in keys]
        return unit(np.array(rows, np.float32).reshape(-1, self._dim))

    def note(self, text: str) -> str:
        """How a text that is longer than the tower takes is read; "" for one that is not."""
        limit = self._encoder.token_limit
        tokens = self._encoder.text_tokens([text])[0]
        if tokens <= limit:
            return ""
        parts = sentences(text)
        cut = sum(count > limit for count in self._encoder.text_tokens(parts))
        if len(parts) < 2:
            return f"of {tokens} tokens the first {limit} count"
        note = (
            f"{tokens} tokens are more than the tower's {limit}: the mean of {len(parts)} sentences"
        )
        return note + (f", {cut} of them cut" if cut else "")

    @property
    def has_new(self) -> bool:
        """Whether there is anything to save."""
        return self._new > 0

    def save(self) -> None:
        """Keep what was embedded for the next run; only a writer should."""
        if not self.has_new:
            return
        if len(self._known) > MOST_KEPT:
            self._known = {k: row for k, row in self._known.items() if k in self._asked}
        keys = np.frombuffer(b"".join(self._known), np.uint8).reshape(-1, _HASH_BYTES)
        temporary = self._file.with_name(f".{self._file.name}.{os.getpid()}")
        self._file.parent.mkdir(exist_ok=True)
        with temporary.open("wb") as handle:
            np.savez(handle, keys=keys, rows=np.array(list(self._known.values())))
        temporary.replace(self._file)
        self._new = 0

    def _embed(self, texts: Mapping[bytes, str]) -> None:
        """Put the rows of texts among what is known."""
        parts = dict(zip(texts, self._parts(list(texts.values())), strict=True))
        single = {self._hash(part): part for each in parts.values() for part in each}
        todo = [(key, part) for key, part in single.items() if key not in self._known]
        for start in range(0, len(todo), _BATCH):
            batch = todo[start : start + _BATCH]
            rows = unit(self._encoder.embed_text([part for _, part in batch]))
            self._keep([key for key, _ in batch], rows)
            if self._on_progress:
                self._on_progress(start + len(batch), len(todo))
        for key, each in parts.items():
            if key not in self._known:
                rows = np.array([self._known[self._hash(part)] for part in each], np.float32)
                self._keep([key], unit(rows.mean(axis=0, keepdims=True)))

    def _parts(self, texts: Sequence[str]) -> list[list[str]]:
        """Each text itself where it is short enough, or has no sentences; else these."""
        counts = self._encoder.text_tokens(texts)
        limit = self._encoder.token_limit
        return [
            [text] if count <= limit else sentences(text) or [text]
            for text, count in zip(texts, counts, strict=True)
        ]

    def _keep(self, keys: Sequence[bytes], rows: Matrix) -> None:
        # In half precision at once: a row must not depend on whether it was kept before.
        self._known.update(zip(keys, rows.astype(np.float16), strict=True))
        self._new += len(keys)

    def _hash(self, text: str) -> bytes:
        data = text.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(data, key=self._key, digest_size=_HASH_BYTES).digest()


def open_tower(
    library: Library,
    context: EncoderContext,
    on_progress: Progress | None = None,
    *,
    reread: bool = True,
) -> TextTower:
    """The text tower of an encoder.

    Args:
        library: that keeps vectors of texts.
        context: of the encoder.
        on_progress: as of `TextTower`.
        reread: read these vectors; of a single phrase it is quicker to make it anew.

    Raises:
        ConfigError: the encoder has none.
        WeightsError: its weights are not there.
    """
    encoder = usable_encoder(context)
    if not isinstance(encoder, TextEncoder):
        raise ConfigError(f"the encoder '{context.name}' has no text tower")
    spec = encoder.spec
    whose = hashlib.sha256(f"{spec.name.partition(':')[0]}\0{spec.weights}".encode()).hexdigest()
    return TextTower(
        spec.name,
        spec.weights,
        encoder,
        spec.dim,
        file=library.index_folder / f"words-{whose[:16]}.npz",
        key=library.key,
        on_progress=on_progress,
        reread=reread,
    )


def _read(file: Path, dim: int) -> dict[bytes, np.ndarray]:
    try:
        # From memory: of a damaged file numpy leaves the handle open.
        with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as stored:
            keys, rows = stored["keys"], stored["rows"]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return {}
    if keys.shape != (len(rows), _HASH_BYTES) or rows.shape[1:] != (dim,):
        return {}
    return {key.tobytes(): row for key, row in zip(keys, rows, strict=True)}
