"""Labels that may be wrong, for review; nothing is changed.

Confident learning (Northcutt, Jiang, Chuang, JAIR 70 (2021) 1373) by cleanlab. Between fine medical
classes label errors are an unsolved problem (CleanPatrick, arXiv 2505.11034): a suspect is a
question to a reader, no answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from clustering.columns import UNKNOWN, Codes, Column, aligned, coded
from clustering.contract import NO_ROW, Neighbours
from clustering.probing import Probabilities, out_of_fold, owners_of, voted, with_two_owners
from indexer.errors import QueryError
from indexer.extras import extra
from indexer.types import Embeddings

CLASSIFIERS = ("linear", "knn")
REVIEW = "for review: nothing has been changed"
_SHOWN = 5


@dataclass(frozen=True)
class Suspect:
    """An item whose label may be wrong.

    Attributes:
        item: its row.
        given: its label.
        suggested: the class that is most probable without it.
        quality: probability of the given label, in 0..1; the lowest is the most suspect.
        suggested_probability: of the suggested one.
        confident: whether confident learning says so; otherwise another class is only more
            probable.
        disagreeing: neighbours of other patients with another label, nearest first, five at most.
        agreeing_share: of the labelled neighbours of other patients that have the given label; None
            if there are none.
    """

    item: int
    given: str
    suggested: str
    quality: float
    suggested_probability: float
    confident: bool
    disagreeing: tuple[int, ...]
    agreeing_share: float | None


@dataclass(frozen=True)
class LabelReview:
    """Suspected label errors.

    Attributes:
        suspects: the most suspect first.
        reviewed: items that were looked at.
        unlabelled: items without a label.
        left_out: items of a class that fewer than two patients have.
        notes: what a reader should know, in sentences.
    """

    suspects: tuple[Suspect, ...]
    reviewed: int
    unlabelled: int
    left_out: int
    notes: tuple[str, ...]


def label_errors(
    embeddings: Embeddings,
    given: Column,
    neighbours: Neighbours,
    *,
    patients: Column | None = None,
    classifier: str = "linear",
    folds: int = 5,
    seed: int = 0,
) -> LabelReview:
    """Rank the labels that are the least likely.

    Args:
        embeddings: ``(n, dim)`` unit rows.
        given: the label of each item, None where there is none.
        neighbours: of all items.
        patients: whose each item is; an item's label is judged without its patient.
        classifier: ``linear`` (logistic regression, cross-validated) or ``knn`` (vote of the
            neighbours).
        folds: of the cross-validation.
        seed: of the folds.

    Raises:
        QueryError: lengths differ, no such classifier, fewer than two folds, or fewer than two
            classes of two patients each.
        MissingExtraError: cleanlab or scikit-learn is not installed.
    """
    count = len(embeddings)
    aligned(count, given=given, neighbours=neighbours.rows, patients=patients)
    if classifier not in CLASSIFIERS:
        raise QueryError(f"classifier is {' or '.join(CLASSIFIERS)}, not '{classifier}'")
    if folds < 2:
        raise QueryError(f"folds is 2 or more, not {folds}")
    codes, names = coded(given)
    owners = owners_of(coded(patients)[0] if patients is not None else np.full(count, UNKNOWN))
    kept = np.flatnonzero(with_two_owners(codes, owners))
    classes, own = np.unique(codes[kept], return_inverse=True)
    if len(classes) < 2:
        raise QueryError("given: two classes are needed that items of two patients each have")
    if classifier == "linear":
        rows = np.asarray(embeddings[kept], np.float32)
        shares = out_of_fold(rows, own, owners[kept], folds=folds, seed=seed)
    else:
        every = np.full(count, UNKNOWN)
        every[kept] = own
        shares = voted(neighbours, every, owners, len(classes))[kept]
    suspects = _suspects(kept, own, shares, [names[code] for code in classes])
    found = tuple(_with_neighbours(each, neighbours, codes, owners) for each in suspects)
    unlabelled = int((codes == UNKNOWN).sum())
    return LabelReview(
        found, len(kept), unlabelled, count - unlabelled - len(kept), _notes(patients)
    )


def _suspects(
    kept: np.ndarray, own: Codes, shares: Probabilities, names: Sequence[str]
) -> list[Suspect]:
    issues, rank = extra("cleanlab.filter"), extra("cleanlab.rank")
    confident = issues.find_label_issues(own, shares, filter_by="confident_learning", n_jobs=1)
    quality = rank.get_label_quality_scores(own, shares)
    best = shares.argmax(axis=1)
    doubtful = np.flatnonzero(confident | (best != own))
    order = doubtful[np.argsort(quality[doubtful], kind="stable")]
    return [
        Suspect(
            item=int(kept[at]),
            given=names[own[at]],
            suggested=names[best[at]],
            quality=float(quality[at]),
            suggested_probability=float(shares[at, best[at]]),
            confident=bool(confident[at]),
            disagreeing=(),
            agreeing_share=None,
        )
        for at in order
    ]


def _with_neighbours(
    suspect: Suspect, neighbours: Neighbours, codes: Codes, owners: Codes
) -> Suspect:
    rows = neighbours.rows[suspect.item]
    rows = rows[rows != NO_ROW]
    others = rows[(owners[rows] != owners[suspect.item]) & (codes[rows] != UNKNOWN)]
    agree = codes[others] == codes[suspect.item]
    return replace(
        suspect,
        disagreeing=tuple(int(row) for row in others[~agree][:_SHOWN]),
        agreeing_share=float(agree.mean()) if len(agree) else None,
    )


def _notes(patients: Column | None) -> tuple[str, ...]:
    if patients is None:
        return (REVIEW, "patients were not given: images of one patient may vouch for each other")
    return (REVIEW,)
