"""Labels of a sample, carried to all rows along the neighbour graph."""

from __future__ import annotations

import numpy as np

from clustering.contract import NO_ROW, NOISE, Neighbours

_BLOCK = 65_536


def joined_by_vote(
    graph: Neighbours, known_rows: np.ndarray, known_labels: np.ndarray, confidence: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Labels and confidence of all rows; others take what most of their neighbours have.

    Votes are weighted by cosine. Rows that see no labelled neighbour wait until one of theirs has
    joined; those that never do are noise.

    Args:
        graph: of all n rows.
        known_rows: ``(m,)``, whose labels are known and stay.
        known_labels: ``(m,)``, `NOISE` or from 0 upwards.
        confidence: float32 ``(m,)`` of those.

    Returns:
        int64 ``(n,)`` and float32 ``(n,)``.
    """
    count, n_labels = len(graph.rows), int(known_labels.max(initial=NOISE)) + 2
    known = np.zeros(count, bool)
    known[known_rows] = True
    labels = np.full(count, NOISE, np.int64)
    labels[known_rows] = known_labels
    strengths = np.zeros(count, np.float32)
    strengths[known_rows] = confidence
    waiting = np.flatnonzero(~known)
    while len(waiting):
        joined = np.zeros(len(waiting), bool)
        given, sure = np.empty(len(waiting), np.int64), np.empty(len(waiting), np.float32)
        for start in range(0, len(waiting), _BLOCK):
            part = slice(start, start + _BLOCK)
            near = graph.rows[waiting[part]]
            there = (near != NO_ROW) & known[near]
            weight = np.where(there, np.maximum(graph.scores[waiting[part]], 0), 0)
            own = np.repeat(np.arange(len(near)), near.shape[1])
            cells = own * n_labels + labels[near].ravel() + 1
            votes = np.bincount(cells, weight.ravel(), len(near) * n_labels)
            strong = np.bincount(cells, (weight * strengths[near]).ravel(), len(near) * n_labels)
            votes, strong = votes.reshape(-1, n_labels), strong.reshape(-1, n_labels)
            most = votes.argmax(axis=1)
            at = np.arange(len(near))
            joined[part] = there.any(axis=1)
            given[part] = most - 1
            sure[part] = strong[at, most] / np.maximum(votes.sum(axis=1), 1e-12)
        if not joined.any():
            break
        new = waiting[joined]
        labels[new], strengths[new], known[new] = given[joined], sure[joined], True
        waiting = waiting[~joined]
    return labels, strengths
