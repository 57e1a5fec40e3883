"""The phrase of a vocabulary that is nearest to a cluster and not as near to the others.

Phrases and images lie in one space by a text tower or a bridge. Images are nearer to some phrases
whatever they show, so what counts is by how much a phrase is nearer to one cluster than to the
others, not how near it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from jaxtyping import Float32

from clustering.centres import unit
from clustering.columns import aligned
from indexer.errors import VectorError

LEAST_MARGIN = 0.5
"""Standard deviations to the next phrase from which on a cluster is named."""

Vectors = Float32[np.ndarray, "n dim"]


@dataclass(frozen=True)
class NearestPhrase:
    """The phrase that stands out for a cluster.

    Attributes:
        cluster: its number.
        phrase: as in the vocabulary.
        similarity: cosine with the cluster's middle.
        margin: by how much it stands out more than the next phrase that shares no word with it, in
            standard deviations over all clusters and phrases.
        runner_up: that phrase, "" if there is none.
        named: whether the margin is large enough to call the cluster so.
    """

    cluster: int
    phrase: str
    similarity: float
    margin: float
    runner_up: str
    named: bool


def vocabulary() -> tuple[str, ...]:
    """The radiology phrases that come with Syntopy, in their order in ``vocabulary.txt``."""
    text = files("clustering").joinpath("vocabulary.txt").read_text(encoding="utf-8")
    lines = (line.strip() for line in text.splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


def nearest_phrases(
    middles: Vectors,
    phrase_vectors: Vectors,
    phrases: Sequence[str],
    *,
    least_margin: float = LEAST_MARGIN,
) -> tuple[NearestPhrase, ...]:
    """For each cluster the phrase that stands out most against the other clusters.

    A single cluster has no others to stand out against: the nearest phrase is told, unnamed.

    Args:
        middles: ``(clusters, dim)`` unit rows.
        phrase_vectors: ``(phrases, dim)`` of the same space.
        phrases: their texts.
        least_margin: see `LEAST_MARGIN`.

    Raises:
        QueryError: not as many phrases as vectors.
        VectorError: vectors of another length than the middles.
    """
    aligned(len(phrase_vectors), phrases=phrases)
    if phrase_vectors.shape[1:] != middles.shape[1:]:
        raise VectorError(
            f"phrases have vectors of shape {phrase_vectors.shape[1:]}, clusters "
            f"{middles.shape[1:]}"
        )
    if not len(phrases):
        return ()
    near = unit(middles) @ unit(phrase_vectors).T
    worth = _standing_out(near)
    return tuple(_best(cluster, near, worth, phrases, least_margin) for cluster in range(len(near)))


def _standing_out(near: np.ndarray) -> np.ndarray:
    """Similarity above the mean of the other clusters, in standard deviations over all."""
    above: np.ndarray = near - near.mean()
    if len(near) < 2:
        return above
    others = (near.sum(axis=0) - near) / (len(near) - 1)
    above = near - others
    above /= max(float(above.std()), float(np.finfo(np.float32).eps))
    return above


def _best(
    cluster: int, near: np.ndarray, worth: np.ndarray, phrases: Sequence[str], least: float
) -> NearestPhrase:
    order = np.argsort(-worth[cluster], kind="stable")
    first = int(order[0])
    words = set(phrases[first].lower().split())
    next_ = next(
        (int(at) for at in order[1:] if words.isdisjoint(phrases[at].lower().split())), None
    )
    margin = float(worth[cluster, first] - worth[cluster, next_]) if next_ is not None else 0.0
    return NearestPhrase(
        cluster,
        phrases[first],
        float(near[cluster, first]),
        margin,
        phrases[next_] if next_ is not None else "",
        len(near) > 1 and margin >= least,
    )
