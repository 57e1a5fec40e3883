"""A bridge of words: from the words of a report to where its image lies in a space.

A ridge regression from text features (`indexer.texts.features`) to the image vectors of one space,
fitted on a library's own reports and labels. It lets spaces without a text tower be asked in words,
and images be answered with reports, as far as the reports of this library speak of what the vectors
show; how far that is, is measured on patients that were not fitted on, and stored with it.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Float32

from indexer.errors import ConfigError, QueryError
from indexer.texts.features import Features, TfidfFeatures, Tower, TowerFeatures, unit
from indexer.types import Embeddings

FORMAT = 2

Matrix = Float32[np.ndarray, "rows columns"]
Row = Float32[np.ndarray, " columns"]


@dataclass(frozen=True)
class BridgeQuality:
    """How often a report finds its own image among those of its fold, and an image its report.

    Attributes:
        pairs, patients: that it was fitted on.
        hit_rate_at_1, hit_rate_at_5, hit_rate_at_10: share of held-out reports whose image is among
            the nearest k of the held-out images.
        report_hit_rate_at_1, report_hit_rate_at_5, report_hit_rate_at_10: the other way: share of
            images whose report is among the nearest k.
        chance_at_10: what a random order gives at 10, either way.
        penalty: of the ridge, the greatest of four whose mean reciprocal rank of the own image is
            within a standard error of the best.
    """

    pairs: int
    patients: int
    hit_rate_at_1: float
    hit_rate_at_5: float
    hit_rate_at_10: float
    report_hit_rate_at_1: float
    report_hit_rate_at_5: float
    report_hit_rate_at_10: float
    chance_at_10: float
    penalty: float


@dataclass(frozen=True)
class BridgeAbout:
    """What a file says of its bridge before it is read whole.

    Attributes:
        made: when, ISO 8601 in UTC.
        tower: encoder whose text tower gives the features, "" for TF-IDF.
        weights: digest of the tower's weights.
        with_labels: pairs whose text was made from labels, wholly or in part.
        quality: measured on held-out patients.
    """

    made: str
    tower: str
    weights: str
    with_labels: int
    quality: BridgeQuality

    @property
    def features(self) -> str:
        """What the texts' features are, in a word."""
        return self.tower or "tfidf"


@dataclass(frozen=True)
class Bridge:
    """A fitted map from words to vectors.

    Attributes:
        features: of texts.
        projection: text features to image space, ``(features, dim)``.
        middle: mean of the image vectors, which words are told apart from.
        quality: measured on held-out patients.
        with_labels: pairs whose text was made from labels, wholly or in part.
        made: when, ISO 8601 in UTC.
    """

    features: Features
    projection: Matrix
    middle: Row
    quality: BridgeQuality
    with_labels: int
    made: str

    def rows(self, texts: Sequence[str]) -> Embeddings:
        """Unit vectors of texts, float32 ``(n, dim)``; zeros for one without a known word."""
        return unit(self.features.rows(texts) @ self.projection)

    def embed(self, texts: Sequence[str]) -> Embeddings:
        """Unit vectors of phrases: float32 ``(n, dim)``.

        Raises:
            QueryError: a phrase has no word that the reports know.
        """
        rows = self.rows(texts)
        for text, row in zip(texts, rows, strict=True):
            if not row.any():
                raise QueryError(
                    f"no word of '{text[:60]}' occurs in the reports that the bridge was fitted on"
                )
        return rows

    @property
    def about(self) -> BridgeAbout:
        """What is told of it in a list."""
        return BridgeAbout(
            self.made, self.features.tower, self.features.weights, self.with_labels, self.quality
        )

    def save(self, path: Path) -> None:
        """Write to an ``.npz`` file, by rename."""
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        with temporary.open("wb") as handle:
            np.savez(
                handle,
                about=np.array(json.dumps({"format": FORMAT} | asdict(self.about))),
                projection=self.projection,
                middle=self.middle,
                **self.features.arrays(),  # type: ignore[arg-type]  # an option of savez has a type
            )
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path, towers: Callable[[BridgeAbout], Tower] | None = None) -> Bridge:
        """Read what `save` wrote.

        Args:
            path: the file.
            towers: gives the tower that a bridge was fitted with, or raises.

        Raises:
            ConfigError: the file is damaged, or its tower is not at hand.
        """
        stored = _read(path)
        try:
            about = _about(stored)
            features: Features
            if not about.tower:
                features = TfidfFeatures.of(stored)
            elif towers is None:
                raise ConfigError(f"the bridge {path.name} needs the text tower of '{about.tower}'")
            else:
                features = TowerFeatures(towers(about), stored["tower_middle"])
            return cls(
                features=features,
                projection=stored["projection"],
                middle=stored["middle"],
                quality=about.quality,
                with_labels=about.with_labels,
                made=about.made,
            )
        except (ValueError, KeyError, TypeError) as error:
            raise _damaged(path) from error


def read_about(path: Path) -> BridgeAbout:
    """What a bridge's file says of it.

    Raises:
        ConfigError: the file is damaged.
    """
    try:
        return _about(_read(path, ("about",)))
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path) from error


def _read(path: Path, names: Sequence[str] = ()) -> dict[str, np.ndarray]:
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
            return {name: stored[name] for name in names or stored.files}
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise _damaged(path) from error


def _about(stored: dict[str, np.ndarray]) -> BridgeAbout:
    said: dict[str, Any] = json.loads(str(stored["about"]))
    if said.pop("format") != FORMAT:
        raise ValueError("another format")
    return BridgeAbout(**(said | {"quality": BridgeQuality(**said["quality"])}))


def _damaged(path: Path) -> ConfigError:
    return ConfigError(
        f"the bridge {path.name} is damaged, or of another version of Syntopy; fit it again with: "
        "syntopy bridge fit"
    )
