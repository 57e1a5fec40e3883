"""Ranked items to what is listed: one a study or patient, copies linked, alike ones spread out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from indexer.types import Embeddings


@dataclass(frozen=True)
class Group:
    """A study, a patient or an item by the best of it.

    Attributes:
        key: which.
        item: its best item.
        score: of that.
        more: further items of it that were looked at.
    """

    key: int
    item: int
    score: float
    more: int


def grouped(ranked: Sequence[tuple[int, float]], keys: Mapping[int, int]) -> list[Group]:
    """The groups of ranked (item, score), best first.

    Args:
        ranked: best first.
        keys: the group of each item; items without one are left out: a writer took them away.
    """
    best: dict[int, tuple[int, float]] = {}
    more: dict[int, int] = {}
    for item, score in ranked:
        key = keys.get(item)
        if key is None:
            continue
        if key in best:
            more[key] += 1
        else:
            best[key], more[key] = (item, score), 0
    return [Group(key, item, score, more[key]) for key, (item, score) in best.items()]


def without_copies(
    groups: Sequence[Group], hashes: Mapping[int, str]
) -> tuple[list[Group], dict[int, int]]:
    """Groups without those whose best item has exactly the pixels of one before it.

    Args:
        groups: best first.
        hashes: of the pixels of each item.

    Returns:
        The groups that are left, and of each item that is not the item that it copies.
    """
    kept: list[Group] = []
    first: dict[str, int] = {}
    copies: dict[int, int] = {}
    for group in groups:
        pixels = hashes.get(group.item, "")
        if pixels and pixels in first:
            copies[group.item] = first[pixels]
            continue
        if pixels:
            first[pixels] = group.item
        kept.append(group)
    return kept, copies


def spread_out(
    relevance: Sequence[float], vectors: Embeddings, count: int, *, trade: float
) -> list[int]:
    """Choose so that the chosen are relevant and unlike each other: maximal marginal relevance.

    Each step takes what has the greatest ``trade * relevance - (1 - trade) * most alike chosen``
    (Carbonell and Goldstein, SIGIR 1998, with cosine for both similarities).

    Args:
        relevance: of each candidate, best first.
        vectors: unit rows of the candidates ``(n, dim)``; a row of zeros is like nothing.
        count: how many to choose.
        trade: lambda of the paper, 0 to 1; at 1 the order stays as it is.

    Returns:
        Places of the chosen among the candidates, in the order of choosing.
    """
    left = np.asarray(relevance, np.float64) * trade
    alike = np.zeros(len(left))
    chosen: list[int] = []
    taken = np.zeros(len(left), bool)
    for _ in range(min(count, len(left))):
        worth = np.where(taken, -np.inf, left - (1 - trade) * alike)
        best = int(np.argmax(worth.round(9)))
        own = vectors @ vectors[best]
        alike = np.maximum(alike, own) if chosen else own.astype(np.float64)
        taken[best] = True
        chosen.append(best)
    return chosen
