"""3D-MIR: retrieval of CT volumes by tumour flag and stage, within each organ."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from api.service.evaluating.protocol import TEST, TRAIN, Mask, Setting, lacking, splits
from indexer.catalog.database import reading
from indexer.evaluating.evaluation import Compared, Figures, Plan, Report, Row, Table, row_of
from indexer.evaluating.labelled import LabelledItems, Stored, label_names, read_items, read_vectors
from indexer.evaluating.protocols import order_by_slices, three_d_mir_row
from indexer.evaluating.rankings import Places, unit_rows
from indexer.evaluating.resampling import PatientDraws
from indexer.searching.slices import POOLINGS, RANKINGS, SliceSet, slices_of
from indexer.types import Embeddings

ORGAN, TUMOR, STAGE = "organ", "tumor", "stage"
_ALL = "all organs"


def three_d_mir(setting: Setting) -> Report:
    """3D-MIR (Ben Abacha et al. 2023, arXiv 2311.13752): does a volume find like volumes?

    Within each organ, volumes of the test split ask those of the train split; relevant is what
    has the same tumour flag, or the same stage.

    Raises:
        QueryError: labels or splits are missing; the message says which.
    """
    items, vectors = _volumes(setting)
    ways = _Ways(setting, items, vectors)
    owners = Compared(items.labels, items.patients).owners
    organs = np.array([min(own) for own in items.labels])
    kept, rows = _ask(setting, items, organs, owners, ways)
    names = (*(f"precision_at_{k}" for k in setting.plan.ks), "ap_at_10", "chance")
    tables = []
    for task in (TUMOR, STAGE):
        places = np.array(kept[task], np.int64)
        if not len(places):
            raise lacking("3d-mir", f"a train and a test volume of one organ with a '{task}'")
        told = [
            (way, Figures(names, np.array(own).T, places, owners[places]))
            for (of, way), own in rows.items()
            if of == task
        ]
        tables.append(_by_organ(task, told, organs[places], setting.plan))
    return Report(tuple(tables), n_items=len(items.ids), notes=ways.notes)


def _ask(
    setting: Setting, items: LabelledItems, organs: np.ndarray, owners: Places, ways: _Ways
) -> tuple[dict[str, list[int]], dict[tuple[str, str], list[tuple[float, ...]]]]:
    """Which volumes ask by each task, and the measures of each by task and way of ranking."""
    split = splits(items)
    asked = np.flatnonzero(split == TEST)
    values = {task: np.array(items.groups[f"label:{task}"]) for task in (TUMOR, STAGE)}
    kept: dict[str, list[int]] = {task: [] for task in values}
    rows: dict[tuple[str, str], list[tuple[float, ...]]] = defaultdict(list)
    for done, query in enumerate(asked.tolist(), 1):
        mine = (split == TRAIN) & (organs == organs[query]) & (owners != owners[query])
        known = {task: mine & (own != "") for task, own in values.items() if own[query]}
        known = {task: gallery for task, gallery in known.items() if gallery.any()}
        for task in known:
            kept[task].append(query)
        for way, order in ways.orders(query, np.flatnonzero(mine)) if known else ():
            for task, gallery in known.items():
                same = values[task] == values[task][query]
                row = three_d_mir_row(same[order[gallery[order]]], setting.plan.ks)
                rows[task, way].append((*row, float(same[gallery].mean())))
        setting.on_progress(done, len(asked))
    return kept, rows


def _by_organ(
    task: str, told: Sequence[tuple[str, Figures]], organs: np.ndarray, plan: Plan
) -> Table:
    """A row for each way of ranking, over all organs, then within each."""
    rows = list[Row]()
    for organ in (_ALL, *sorted(set(organs.tolist()))):
        among: Mask = (organs == organ) | (organ == _ALL)
        for way, figures in told:
            draws = PatientDraws(figures.owners, plan.draws, plan.seed)
            rows.append(row_of(f"{organ}, {way}", figures, draws, among))
    return Table(task, tuple(rows))


def _volumes(setting: Setting) -> tuple[LabelledItems, Stored]:
    """Items that have an organ and a vector; at least one of each split with flag and stage."""
    fields = (f"label:{TUMOR}", f"label:{STAGE}", "split")
    with reading(setting.library.engine) as db:
        missing = [f"'{name}'" for name in (ORGAN, TUMOR, STAGE) if name not in label_names(db)]
        if missing:
            raise lacking("3d-mir", f"labels that this library lacks: {', '.join(missing)}")
        items = read_items(db, ORGAN, expression=setting.expression, by=fields)
        vectors, present = read_vectors(db, setting.space, items.ids)
    items, vectors = items.among(present), vectors[present]
    split = np.array(items.groups["split"])
    for name, needed in (("test", split == TEST), ("train", split == TRAIN)):
        if not needed.any():
            raise lacking("3d-mir", f"volumes of the {name} split")
        for task in (TUMOR, STAGE):
            if not (np.array(items.groups[f"label:{task}"])[needed] != "").any():
                raise lacking("3d-mir", f"a label '{task}' in the {name} split")
    return items, vectors


class _Ways:
    """The ways in which a volume asks others: by its stored vector, by slices pooled or ranked."""

    def __init__(self, setting: Setting, items: LabelledItems, vectors: Stored) -> None:
        self._mean = unit_rows(vectors)
        with reading(setting.library.engine) as db:
            found = slices_of(db, setting.space, items.ids.tolist())
        whole = len(items.ids) - len(found)
        self.notes: tuple[str, ...] = ()
        if whole:
            note = f"{whole} of {len(items.ids)} volumes have no vectors of slices: "
            self.notes = (note + "all are ranked by their stored vectors alone",)
        self._slices = (
            [
                replace(found[item], owners=np.full(len(found[item].rows), at))
                for at, item in enumerate(items.ids.tolist())
            ]
            if not whole
            else []
        )
        self._pooled: dict[str, Embeddings] = {"stored": self._mean}
        for how in POOLINGS if self._slices else ():
            if how != "mean":
                pooled = [own.pooled(how)[0] for own in self._slices]
                self._pooled[f"pooled by {how}"] = np.stack(pooled)
        self._joined: tuple[bytes, SliceSet] | None = None

    def orders(self, query: int, gallery: Places) -> Iterator[tuple[str, Places]]:
        """Places in the gallery, nearest first, by each way."""
        for way, rows in self._pooled.items():
            scores = np.round(rows[gallery] @ rows[query], 6)
            yield way, gallery[np.argsort(-scores, kind="stable")]
        if not self._slices:
            return
        joined = self._gallery(gallery)
        for how in RANKINGS:
            yield f"slices by {how}", order_by_slices(self._slices[query], joined, how)

    def _gallery(self, places: Places) -> SliceSet:
        """All slices of some volumes; those of the last query again, as a rule."""
        key = places.tobytes()
        if self._joined is None or self._joined[0] != key:
            own = [self._slices[at] for at in places.tolist()]
            joined = SliceSet(
                np.concatenate([each.rows for each in own]),
                np.concatenate([each.owners for each in own]),
                np.concatenate([each.places for each in own]),
            )
            self._joined = (key, joined)
        return self._joined[1]
