"""How good a space is at putting like beside like: every item asks, all items of others answer.

Told over all queries, for each label, and for groups of people, so that unfairness shows. Pure:
arrays in, figures out. `indexer.evaluating.metrics` says what each measure is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat

import numpy as np
from jaxtyping import Bool, Float64, Int64

from indexer.errors import QueryError
from indexer.evaluating.metrics import KS, NEIGHBOURS, Gains, measure, measure_names, vote
from indexer.evaluating.rankings import Places, Ranking
from indexer.evaluating.resampling import Measure, PatientDraws, gap_by_chance, interval

MAX_K = 10_000
MIN_PATIENTS = 10
"""Groups of fewer patients are not compared: their intervals would say anything."""
MOST_ROWS = 40
"""Values of a label, or groups of a field, that get a row; the largest do."""
UNKNOWN = "unknown"
"""Group of those of whom nothing is said."""
VOTE = "knn_accuracy"
_ANN_KS = (10, 100)

Mask = Bool[np.ndarray, " n"]
Codes = Int64[np.ndarray, " n"]
Values = Float64[np.ndarray, "measures queries"]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Row:
    """Some queries and how they fared.

    Attributes:
        name: which queries.
        measures: by name; none where there are too few patients.
        n_queries: queries that have at least one relevant candidate; only these count.
        n_patients: whose they are.
        note: what must be said about it.
    """

    name: str
    measures: Mapping[str, Measure]
    n_queries: int
    n_patients: int
    note: str = ""


@dataclass(frozen=True)
class Table:
    """Rows that are read together: ``name`` says by what the queries were parted."""

    name: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Gap:
    """How far apart the best and the worst group of a field are.

    Attributes:
        field: by which the groups are parted.
        measure: that is compared.
        best, worst: the groups.
        difference: best less worst, with the interval of this very difference.
        by_chance: what the gap stays below in 95 of 100 random partings of the same sizes; a
            smaller gap says nothing.
    """

    field: str
    measure: str
    best: str
    worst: str
    difference: Measure
    by_chance: float


@dataclass(frozen=True)
class Report:
    """What was measured of one space.

    Attributes:
        tables: the first has one row, over all queries.
        gaps: between groups.
        n_items: items compared.
        notes: plain sentences.
    """

    tables: tuple[Table, ...]
    gaps: tuple[Gap, ...] = ()
    n_items: int = 0
    notes: tuple[str, ...] = ()

    @property
    def overall(self) -> Row:
        """All queries together."""
        return self.tables[0].rows[0]


@dataclass(frozen=True)
class Compared:
    """The items of an evaluation, in the order of their ranking's places.

    Attributes:
        labels: of each; two items are relevant to each other if they share one.
        patients: of each; "" is a patient that nobody else is.
        groups: by field, of each item its group; "" where nothing is known.
        gallery: which items may be found; None for all.
    """

    labels: Sequence[frozenset[str]]
    patients: Sequence[str]
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    gallery: Mask | None = None

    @property
    def owners(self) -> Codes:
        """Patients as numbers; one that is not known gets a number of its own."""
        known: dict[str, int] = {}
        return np.array(
            [known.setdefault(p, len(known)) if p else -1 - i for i, p in enumerate(self.patients)],
            np.int64,
        )


@dataclass(frozen=True)
class Plan:
    """How to measure.

    Attributes:
        ks: cut-offs.
        queries: at most so many, drawn by the seed; 0 asks with all.
        draws: samples of patients behind the intervals.
        seed: of the draws.
        min_patients: groups of fewer are told as too few.
        label: name of the label, for headings.
    """

    ks: tuple[int, ...] = KS
    queries: int = 0
    draws: int = 1000
    seed: int = 0
    min_patients: int = MIN_PATIENTS
    label: str = "label"


@dataclass(frozen=True)
class Figures:
    """What each query that counts got.

    Attributes:
        names: of the measures.
        values: ``(measures, queries)``.
        asked: places of the queries.
        owners: their patients, as numbers.
    """

    names: tuple[str, ...]
    values: Values
    asked: Places
    owners: Codes


def retrieval(
    ranking: Ranking,
    items: Compared,
    plan: Plan,
    *,
    exact: Ranking | None = None,
    on_progress: Progress | None = None,
) -> Report:
    """Measure retrieval, leaving out the query and everything of its patient.

    Args:
        ranking: of the items.
        items: what they are.
        plan: how to measure.
        exact: with a ranking that may miss some, the one that does not: then
            ``ann_recall_at_10`` and ``_100`` tell how much of the latter's nearest is found.
        on_progress: called with (queries done, all).

    Raises:
        QueryError: k out of range, one patient only, or no item has a relevant one of another.
    """
    check_ks(plan.ks)
    figures = ask(ranking, items, plan, exact=exact, on_progress=on_progress)
    draws = PatientDraws(figures.owners, plan.draws, plan.seed)
    everyone: Mask = np.ones(len(figures.asked), bool)
    tables = [Table("overall", (row_of("all queries", figures, draws, everyone),))]
    notes = []
    most = max(plan.ks)
    if most >= len(items.labels):
        notes.append(f"there are {len(items.labels)} items: of a k of {most} fewer count")
    values, note = _parted([items.labels[at] for at in figures.asked.tolist()])
    notes += [f"label {plan.label}: {note}"] * bool(note)
    tables.append(_table(plan.label, values, figures, draws, 1))
    gaps: list[Gap] = []
    for name, of_item in items.groups.items():
        own = [frozenset({of_item[at] or UNKNOWN}) for at in figures.asked.tolist()]
        groups, note = _parted(own)
        if list(groups) == [UNKNOWN]:
            notes.append(f"{name}: {UNKNOWN} of all items, so no groups are compared")
            continue
        notes += [f"{name}: {note}"] * bool(note)
        tables.append(_table(name, groups, figures, draws, plan.min_patients))
        gaps += _gaps(tables[-1], groups, figures, draws, plan)
    return Report(tuple(tables), tuple(gaps), len(items.labels), tuple(notes))


def check_ks(ks: Sequence[int]) -> None:
    """Raise a QueryError for no cut-off, one out of range, or one given twice."""
    if not ks or len(set(ks)) < len(ks) or not all(1 <= k <= MAX_K for k in ks):
        raise QueryError(
            f"k is 1 to {MAX_K}, each once, not {', '.join(map(str, ks)) or 'nothing'}"
        )


def ask(
    ranking: Ranking,
    items: Compared,
    plan: Plan,
    *,
    exact: Ranking | None = None,
    on_progress: Progress | None = None,
) -> Figures:
    """Let items ask, and measure what each gets; arguments as of `retrieval`."""
    n, owners = len(items.labels), items.owners
    if len(set(owners.tolist())) < 2:
        raise QueryError(
            "all items are of one patient, and a query's own patient is left out: there is nothing "
            "to compare"
        )
    asked = np.arange(n)
    if 0 < plan.queries < n:
        asked = np.sort(np.random.default_rng(plan.seed).choice(n, plan.queries, replace=False))
    names = (*measure_names(plan.ks), VOTE)
    names += tuple(f"ann_recall_at_{k}" for k in _ANN_KS) if exact else ()
    gains_of = _sharing(items.labels)
    rows, kept = list[tuple[float, ...]](), list[int]()
    best: Iterator[Places | None] = exact(asked) if exact else repeat(None)
    for done, (query, order, truth) in enumerate(
        zip(asked.tolist(), ranking(asked), best, strict=False), 1
    ):
        others: Mask = owners != owners[query]
        if items.gallery is not None:
            others &= items.gallery
        row = _of_one(
            items.labels, query, order[others[order]], others, gains=gains_of(query), ks=plan.ks
        )
        if row is not None:
            if truth is not None:
                row += _found(order[others[order]], truth[others[truth]])
            rows.append(row)
            kept.append(query)
        if on_progress:
            on_progress(done, len(asked))
    if not rows:
        raise QueryError("no item shares a label with an item of another patient")
    places = np.array(kept, np.int64)
    return Figures(names, np.array(rows).T, places, owners[places])


def _of_one(
    labels: Sequence[frozenset[str]],
    query: int,
    order: Places,
    others: Mask,
    *,
    gains: Gains,
    ks: Sequence[int],
) -> tuple[float, ...] | None:
    """The measures of a query; None of one that nothing is relevant to."""
    possible = gains[others]
    total = int((possible > 0).sum())
    if not total:
        return None
    most = min(max(ks), len(possible))
    ideal = np.sort(np.partition(possible, len(possible) - most)[len(possible) - most :])[::-1]
    row = measure(gains[order], total=total, ideal=ideal, candidates=len(possible), ks=ks)
    nearest = [labels[at] for at in order[:NEIGHBOURS].tolist()]
    return (*row, float(vote(nearest) in labels[query]))


def _found(order: Places, truth: Places) -> tuple[float, ...]:
    """Share of the truly nearest k that are among the nearest k."""
    return tuple(float(np.isin(truth[:k], order[:k]).mean()) for k in _ANN_KS)


def _sharing(labels: Sequence[frozenset[str]]) -> Callable[[int], Gains]:
    """How many labels all items share with a query."""
    places: dict[str, list[int]] = {}
    for at, own in enumerate(labels):
        for label in own:
            places.setdefault(label, []).append(at)
    holders = {label: np.array(held, np.int64) for label, held in places.items()}

    def shared(query: int) -> Gains:
        gains = np.zeros(len(labels), np.int64)
        for label in labels[query]:
            gains[holders[label]] += 1
        return gains

    return shared


def _parted(own: Sequence[frozenset[str]]) -> tuple[dict[str, Mask], str]:
    """The queries of each value, by name, with a note if small ones are left out."""
    counts = Counter(value for values in own for value in values)
    kept = sorted(value for value, _ in counts.most_common(MOST_ROWS))
    note = "" if len(kept) == len(counts) else f"the {MOST_ROWS} largest of {len(counts)} are told"
    return {value: np.array([value in values for values in own]) for value in kept}, note


def _table(
    name: str, parts: Mapping[str, Mask], figures: Figures, draws: PatientDraws, fewest: int
) -> Table:
    rows = tuple(row_of(value, figures, draws, among, fewest) for value, among in parts.items())
    return Table(name, rows)


def row_of(name: str, figures: Figures, draws: PatientDraws, among: Mask, fewest: int = 1) -> Row:
    """Some of the queries as a row, without measures if there are too few patients."""
    patients = len(np.unique(figures.owners[among]))
    n = int(among.sum())
    if patients < fewest:
        return Row(name, {}, n, patients, f"too few patients ({patients} of {fewest} needed)")
    means = figures.values[:, among].mean(axis=1)
    drawn = draws.means(figures.values, among)
    measures = {
        each: interval(mean, drawn[:, i])
        for i, (each, mean) in enumerate(zip(figures.names, means.tolist(), strict=True))
    }
    return Row(name, measures, n, patients)


def compared_measures(ks: Sequence[int]) -> tuple[str, ...]:
    """The measures by which groups are compared."""
    return (f"precision_at_{max(ks)}", f"ndcg_at_{max(ks)}", "map", VOTE)


def _gaps(
    table: Table,
    parts: Mapping[str, Mask],
    figures: Figures,
    draws: PatientDraws,
    plan: Plan,
) -> Iterator[Gap]:
    """Best and worst of the groups that are known and large enough, if there are two."""
    rows = [row for row in table.rows if row.measures and row.name != UNKNOWN]
    if len(rows) < 2:
        return
    among = {row.name: parts[row.name] for row in rows}
    every = np.logical_or.reduce(list(among.values()))
    code = np.zeros(len(figures.asked), np.int64)
    for number, mask in enumerate(among.values()):
        code[mask] = number
    for measured in compared_measures(plan.ks):
        at = figures.names.index(measured)
        ranked = sorted(rows, key=lambda row: row.measures[measured].value)
        best, worst = ranked[-1], ranked[0]
        one = figures.values[at : at + 1]
        drawn = draws.means(one, among[best.name]) - draws.means(one, among[worst.name])
        yield Gap(
            table.name,
            measured,
            best.name,
            worst.name,
            interval(best.measures[measured].value - worst.measures[measured].value, drawn[:, 0]),
            gap_by_chance(
                figures.values[at, every],
                figures.owners[every],
                code[every],
                draws=plan.draws,
                seed=plan.seed,
            ),
        )
