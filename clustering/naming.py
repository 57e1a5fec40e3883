"""What a cluster is called, and why: by its known values, its words, its nearest phrase."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from clustering.columns import Column
from clustering.enrichment import DEVICE_FIELDS, Enriched, enrichment, shortcut_warnings
from clustering.exemplars import Exemplars, exemplars, middles
from clustering.phrases import NearestPhrase, nearest_phrases
from clustering.words import Word, distinctive_words
from indexer.errors import ClusteringError
from indexer.types import Embeddings

UNNAMED = "unnamed"
_SUBJECT = ("modality", "body_part", "view")
"""Fields that come first in a name, in this order."""
_MOST = 0.5
"""The share of a cluster that must have a value for the cluster to be called by it."""
_WORDS = 3
_OTHERS = 2


@dataclass(frozen=True)
class ClusterName:
    """A cluster's name with what speaks for it.

    Attributes:
        cluster: its number.
        text: one line, `UNNAMED` where nothing sets the cluster apart.
        exemplars: rows that show it.
        enriched: values it has more often than the rest, surest first.
        words: of its reports, the most distinctive first.
        phrase: that stands out for it; None without phrases.
        warnings: why it may not be what it seems, in sentences.
    """

    cluster: int
    text: str
    exemplars: Exemplars
    enriched: tuple[Enriched, ...]
    words: tuple[Word, ...]
    phrase: NearestPhrase | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Phrases:
    """A vocabulary in the space of the images.

    Attributes:
        texts: the phrases.
        vectors: ``(phrases, dim)`` unit rows by a text tower or a bridge.
    """

    texts: Sequence[str]
    vectors: np.ndarray


def name_clusters(
    embeddings: Embeddings,
    labels: np.ndarray,
    *,
    fields: Mapping[str, Column] | None = None,
    texts: Column | None = None,
    patients: Column | None = None,
    phrases: Phrases | None = None,
) -> tuple[ClusterName, ...]:
    """Name every cluster by what sets it apart from the rest.

    Args:
        embeddings: ``(n, dim)`` unit rows.
        labels: int64 ``(n,)``, see `Clustering`.
        fields: what is known of the items, ``{"modality": …, "manufacturer": …}``.
        texts: report of each item.
        patients: whose each item is: several images of one patient are no several cases.
        phrases: to look for the nearest.

    Raises:
        QueryError: a column has not one value for each item.
        VectorError: phrases of another space.
        ClusteringError: a label is below -1, or a number is left out.
    """
    _check(labels)
    shown = exemplars(embeddings, labels)
    enriched = enrichment(labels, fields or {}, patients=patients)
    warnings = shortcut_warnings(enriched)
    known = {word for text in (phrases.texts if phrases else ()) for word in text.split()}
    words = (
        () if texts is None else distinctive_words(labels, texts, patients=patients, known=known)
    )
    nearest: Sequence[NearestPhrase | None] = [None] * len(shown)
    if phrases is not None and len(shown):
        nearest = nearest_phrases(middles(embeddings, labels), phrases.vectors, phrases.texts)
    names = []
    for each, phrase in zip(shown, nearest, strict=True):
        values = tuple(value for value in enriched if value.cluster == each.cluster)
        own = tuple(word for word in words if word.cluster == each.cluster)
        line = _line(values, own, phrase)
        told = warnings.get(each.cluster, ())
        names.append(ClusterName(each.cluster, line, each, values, own, phrase, told))
    return tuple(names)


def _check(labels: np.ndarray) -> None:
    found = np.unique(labels)
    real = found[found >= 0]
    if found.min(initial=-1) < -1 or len(real) != real.max(initial=-1) + 1:
        raise ClusteringError("labels are -1 for noise, and 0 upwards without gaps")


def _line(enriched: Sequence[Enriched], words: Sequence[Word], phrase: NearestPhrase | None) -> str:
    usual: dict[str, str] = {}
    for each in enriched:
        if each.share_inside >= _MOST:
            usual.setdefault(each.field, each.value)
    subject = [
        usual[field].lower() if field == "body_part" else usual[field]
        for field in _SUBJECT
        if field in usual
    ]
    others = [field for field in usual if field not in _SUBJECT]
    # Findings before devices.
    others.sort(key=lambda field: field in DEVICE_FIELDS)
    parts = [" ".join(subject), *(usual[field] for field in others[:_OTHERS])]
    if phrase is not None and phrase.named:
        parts.append(f"'{phrase.phrase}'")
    elif words:
        parts.append(f"'{' '.join(word.word for word in words[:_WORDS])}'")
    return " · ".join(part for part in parts if part) or UNNAMED
