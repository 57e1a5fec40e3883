"""Examples that are words: they reach images by an encoder's text tower, else by a bridge."""

from __future__ import annotations

import numpy as np

from indexer.encoders.contract import TextEncoder
from indexer.errors import QueryError
from indexer.library import Library, SpaceInfo
from indexer.reading.drafts import ReadOptions
from indexer.registry import usable_encoder
from indexer.searching.asking import Described, Example
from indexer.searching.examples import Subject, View
from indexer.searching.mixing import centre
from indexer.texts.bridges import bridge_note, load_bridge
from indexer.texts.features import sentences
from indexer.types import Embedding

TOWER, BRIDGE = "text tower", "bridge"


class WordsExample:
    """A phrase or a report."""

    def __init__(self, library: Library, example: Example, options: ReadOptions) -> None:
        self.example = example
        self._library, self._options = library, options
        self._words = example.text or example.report
        said = Described(example.kind, description=self._words, weight=example.weight)
        self.subject = Subject(said)

    def view(self, space: SpaceInfo) -> View | str:
        """The words as a vector of the space."""
        encoder = usable_encoder(self._options.context(space.encoder))
        if isinstance(encoder, TextEncoder):
            row, note = self._by_tower(space, encoder)
            return View.whole(row, TOWER, note=note)
        bridge = load_bridge(self._library, space, self._options, reread=False)
        if bridge is None:
            return (
                f"'{space.encoder}' cannot be asked in words; fit a bridge from this library's "
                f"reports with: syntopy bridge fit --library {self._library.path}"
            )
        try:
            (row,) = bridge.embed([self._words])
        except QueryError as error:
            return str(error)
        said = (bridge_note(bridge), bridge.features.note(self._words))
        return View.whole(_unit(row), BRIDGE, note="; ".join(filter(None, said)))

    def _by_tower(self, space: SpaceInfo, encoder: TextEncoder) -> tuple[Embedding, str]:
        """A phrase as it is; a report that is too long for the tower sentence by sentence."""
        note = f"words by the text tower of '{space.encoder}'"
        tokens = encoder.text_tokens([self._words])[0]
        parts = sentences(self._words) if self.example.report else []
        if tokens <= encoder.token_limit or len(parts) < 2:
            if tokens > encoder.token_limit:
                note += f"; of {tokens} tokens the first {encoder.token_limit} count"
            return _unit(encoder.embed_text([self._words])[0]), note
        rows = np.stack([_unit(row) for row in encoder.embed_text(parts)])
        return centre(rows), f"{note}: the mean of the report's {len(parts)} sentences"


def _unit(row: Embedding) -> Embedding:
    return np.asarray(row / np.linalg.norm(row), np.float32)
