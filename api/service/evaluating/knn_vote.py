"""The kNN vote: which label do the nearest items name?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from api.service.evaluating.protocol import TEST, TRAIN, Mask, Setting, splits
from indexer.catalog.database import reading
from indexer.errors import QueryError
from indexer.evaluating.evaluation import Compared, Figures, Report, Row, Table, row_of
from indexer.evaluating.labelled import LabelledItems, Stored, read_items, read_vectors
from indexer.evaluating.metrics import vote
from indexer.evaluating.protocols import vote_shares
from indexer.evaluating.rankings import ExactRanking, Places, unit_rows
from indexer.evaluating.resampling import Measure, PatientDraws, auroc, interval
from indexer.types import Scores


def knn_vote(setting: Setting) -> Report:
    """Let the nearest k vote, plainly, and weighted by ``exp(cosine / 0.07)`` as in DINO.

    Items of the test split ask those of the train split; without splits all of other patients.

    Raises:
        QueryError: no label is named, or no item carries it.
    """
    if not setting.label:
        raise QueryError("the protocol knn-vote needs a label: --label finding")
    with reading(setting.library.engine) as db:
        items = read_items(db, setting.label, expression=setting.expression, by=("split",))
        vectors, present = read_vectors(db, setting.space, items.ids)
    items, vectors = items.among(present), vectors[present]
    split = splits(items)
    parted = bool((split == TEST).any() and (split == TRAIN).any())
    asked = np.flatnonzero(split == TEST) if parted else np.arange(len(items.ids))
    gallery: Mask = (split == TRAIN) if parted else np.ones(len(items.ids), bool)
    plan = setting.plan
    if 0 < plan.queries < len(asked):
        asked = np.sort(np.random.default_rng(plan.seed).choice(asked, plan.queries, replace=False))
    heard = list(_neighbours(setting, items, vectors, asked, gallery))
    if not heard:
        raise QueryError("no item may ask another: all that carry the label are of one patient")
    listed = Counter(
        value for at in np.flatnonzero(gallery).tolist() for value in items.labels[at]
    ).most_common(1)[0][0]
    places = np.array([each.query for each in heard], np.int64)
    owners = Compared(items.labels, items.patients).owners[places]
    draws = PatientDraws(owners, plan.draws, plan.seed)
    rows, by_value = list[Row](), list[Row]()
    for k in plan.ks:
        row, by_value = _of_k(k, heard, items.labels, listed=listed, owners=owners, draws=draws)
        rows.append(row)
    told = (
        f"{len(asked)} items of the test split ask {int(gallery.sum())} of the train split"
        if parted
        else "no train and test split: every item asks all items of other patients"
    )
    notes = (told, f"majority: always '{listed}', the most frequent value")
    tables = (
        Table("vote", tuple(rows)),
        Table(f"{setting.label}, k = {plan.ks[-1]}", tuple(by_value)),
    )
    return Report(tables, n_items=len(items.ids), notes=notes)


@dataclass(frozen=True)
class _Heard:
    """A query, its neighbours, nearest first, and their cosines."""

    query: int
    near: list[int]
    scores: Scores


def _neighbours(
    setting: Setting, items: LabelledItems, vectors: Stored, asked: Places, gallery: Mask
) -> Iterator[_Heard]:
    """The nearest of the gallery, of other patients; queries without any are left out."""
    owners = Compared(items.labels, items.patients).owners
    most = max(setting.plan.ks)
    orders = ExactRanking(vectors)(asked)
    for done, (query, order) in enumerate(zip(asked.tolist(), orders, strict=True), 1):
        near = order[gallery[order] & (owners[order] != owners[query])][:most]
        if len(near):
            rows = unit_rows(vectors[np.append(near, query)])
            yield _Heard(query, near.tolist(), rows[:-1] @ rows[-1])
        setting.on_progress(done, len(asked))


def _of_k(
    k: int,
    heard: Sequence[_Heard],
    labels: Sequence[frozenset[str]],
    *,
    listed: str,
    owners: Places,
    draws: PatientDraws,
) -> tuple[Row, list[Row]]:
    """The votes of k neighbours: over all queries, and for each value of the label.

    ``listed`` is the value that always naming would be right most often.
    """
    own = [labels[each.query] for each in heard]
    values = sorted(frozenset().union(*own))
    near = [[labels[at] for at in each.near[:k]] for each in heard]
    shares = np.array(
        [vote_shares(said, each.scores[:k], values) for said, each in zip(near, heard, strict=True)]
    )
    right = np.array(
        [
            [vote(said, k) in mine for said, mine in zip(near, own, strict=True)],
            [values[at] in mine for at, mine in zip(shares.argmax(1).tolist(), own, strict=True)],
            [listed in mine for mine in own],
        ],
        np.float64,
    )
    names = ("accuracy", "weighted_accuracy", "majority")
    figures = Figures(names, right, np.array([each.query for each in heard]), owners)
    by_value, recalls, areas = list[Row](), list[np.ndarray](), list[tuple[float, np.ndarray]]()
    for at, value in enumerate(values):
        has: Mask = np.array([value in mine for mine in own])
        row = row_of(value, figures, draws, has)
        recalls.append(draws.means(right[:1], has)[:, 0])
        measures = {name: row.measures[name] for name in names[:2]}
        if not has.all():
            areas.append((auroc(shares[:, at], has), draws.aurocs(shares[:, at], has)))
            measures["auroc"] = interval(*areas[-1])
        by_value.append(replace(row, measures=measures))
    every: Mask = np.ones(len(heard), bool)
    row = row_of(f"k = {k}", figures, draws, every)
    means = {"balanced_accuracy": _mean([r.measures["accuracy"].value for r in by_value], recalls)}
    if areas:
        means["macro_auroc"] = _mean([area for area, _ in areas], [drawn for _, drawn in areas])
    return replace(row, measures={**row.measures, **means}), by_value


def _mean(values: Sequence[float], drawn: Sequence[np.ndarray]) -> Measure:
    """Mean over the values of a label, in a sample over those that were drawn."""
    stacked = np.stack(drawn)
    known = np.isfinite(stacked)
    sums = np.where(known, stacked, 0).sum(axis=0)
    counts = known.sum(axis=0)
    means = np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)
    return interval(float(np.mean(values)), means)
