"""BIMCV-R: retrieval of CT volumes by their reports, and of reports by their volumes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from api.service.evaluating.protocol import TEST, TRAIN, Mask, Setting, lacking
from api.service.options import read_options
from indexer.encoders.contract import TextEncoder
from indexer.errors import QueryError
from indexer.evaluating.evaluation import Figures, Report, Row, Table, row_of
from indexer.evaluating.protocols import own_ranks
from indexer.evaluating.rankings import Places
from indexer.evaluating.resampling import PatientDraws, interval
from indexer.registry import make_encoder
from indexer.texts.fitting import fit_bridge
from indexer.texts.pairs import Pairs, read_pairs
from indexer.texts.towers import open_tower
from indexer.types import Embeddings


def bimcv_r(setting: Setting) -> Report:
    """BIMCV-R (Chen et al. 2024, arXiv 2403.15992): does a report find its own CT, and back?

    In words by the space's own text tower; where it has none, by a bridge that is fitted on the
    train split alone. The pairs of the test split ask each other.

    Raises:
        QueryError: no reports, or no splits where a bridge has to be fitted.
    """
    if setting.expression or setting.label:
        raise QueryError("the protocol bimcv-r pairs reports with images: no --filter, no --label")
    pairs = read_pairs(setting.library, setting.space, labels=False, seed=setting.plan.seed)
    if not pairs.texts:
        raise lacking("bimcv-r", "reports, and this library has none of a study with an image")
    split = np.array([name.strip().lower() for name in pairs.splits])
    test = np.flatnonzero(split == TEST)
    texts, images, words = _in_words(setting, pairs, np.flatnonzero(split == TRAIN), test)
    test = test if len(test) else np.arange(len(pairs.texts))
    n = len(test)
    if n < 2:
        raise lacking("bimcv-r", f"two studies with a report and an image, not {n}")
    patients = [pairs.patients[at] for at in test.tolist()]
    owners = np.unique(patients, return_inverse=True)[1].astype(np.int64)
    draws = PatientDraws(owners, setting.plan.draws, setting.plan.seed)
    rows = (
        _ranked("text to image", own_ranks(texts, images), owners, draws, setting.plan.ks),
        _ranked("image to text", own_ranks(images, texts), owners, draws, setting.plan.ks),
    )
    chance = f"a random order of {n} gives R@k of k/{n}, a median rank of {(n + 1) / 2:g}"
    parts = "of the test split" if (split == TEST).any() else "of all studies, as none has a split"
    notes = (words, f"{n} pairs {parts}", chance)
    return Report((Table("pairs", rows),), n_items=n, notes=notes)


def _in_words(
    setting: Setting, pairs: Pairs, train: Places, test: Places
) -> tuple[Embeddings, Embeddings, str]:
    """Vectors of the texts and of the images that ask each other, and how texts were read."""
    context = read_options(setting.library, setting.settings).context(setting.space.encoder)
    if isinstance(make_encoder(context), TextEncoder):
        asked = test if len(test) else np.arange(len(pairs.texts))
        tower = open_tower(setting.library, context, setting.on_progress)
        rows = tower.rows([pairs.texts[at] for at in asked.tolist()])
        return rows, pairs.vectors[asked], f"words by the text tower of '{setting.space.encoder}'"
    if not len(train) or not len(test):
        raise lacking(
            "bimcv-r",
            "reports in a train and a test split, as the space has no text tower and a bridge "
            "must not be asked about what it was fitted on",
        )
    bridge = fit_bridge(
        [pairs.texts[at] for at in train.tolist()],
        pairs.vectors[train],
        [pairs.patients[at] for at in train.tolist()],
        seed=setting.plan.seed,
    )
    setting.on_progress(1, 1)
    rows = bridge.rows([pairs.texts[at] for at in test.tolist()])
    return (
        rows,
        pairs.vectors[test] - bridge.middle,
        f"words by a bridge (tfidf) fitted on {len(train)} pairs of the train split",
    )


def _ranked(
    name: str,
    ranks: Places,
    owners: Places,
    draws: PatientDraws,
    ks: Sequence[int],
) -> Row:
    """Hit rates at each k (R@k of the paper), mean and median rank, mean reciprocal rank."""
    names = (*(f"hit_rate_at_{k}" for k in ks), "mrr", "mean_rank")
    values = np.stack([*(ranks <= k for k in ks), 1 / ranks, ranks]).astype(np.float64)
    everyone: Mask = np.ones(len(ranks), bool)
    row = row_of(name, Figures(names, values, np.arange(len(ranks)), owners), draws, everyone)
    wide = ranks.astype(np.float64)
    median = interval(float(np.median(wide)), draws.medians(wide))
    return replace(row, measures={**row.measures, "median_rank": median})
