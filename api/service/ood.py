"""What is unlike a reference: fit one on part of a library, then judge its items or other files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import indexer
from api.service.cluster import chosen_space
from api.service.options import read_options
from clustering.contract import Progress, no_progress
from indexer.catalog.database import reading
from indexer.config import Settings
from indexer.embedding import Embedded, embed_each
from indexer.errors import FileRejectedError, QueryError
from indexer.evaluating.labelled import read_vectors
from indexer.groups.items import Described, describe, gather, gather_ids
from indexer.groups.references import (
    ReferenceDraft,
    StoredReference,
    check_reference_name,
    find_reference,
    list_references,
    load_reference,
    remove_reference,
    save_reference,
)
from indexer.library import Library, SpaceInfo
from indexer.reading.study import QueryItem, read_study
from indexer.registry import usable_encoder
from indexer.sources.discover import Problem, discover
from indexer.types import ItemIds
from ood.calibrate import PER_ALARM, Interval
from ood.measures import separation
from ood.reference import DEFAULT, Judgement, ReferenceSet, Stratum, Verdict
from ood.registry import Recipe
from ood.strata import LEVELS, Key, key_of, said

_IDS = "ids"
_OTHERS = 5_000
"""Items of other strata that a stratum is set against at most."""
_BATCH = 1_024
_LEARNED = ("the reference was fitted on it: it looks more usual than it is",)


@dataclass(frozen=True)
class FitRequest:
    """What to make a reference of.

    Attributes:
        name: of the reference.
        filter: only items that pass, ``""`` for all primary items.
        encoder: whose space; empty takes the library's first that has vectors.
        alarm: the false-alarm rate to hold patients out for.
        recipes: of the detectors.
        seed: of all that is random.
    """

    name: str
    filter: str = ""
    encoder: str = ""
    alarm: float = 0.01
    recipes: tuple[Recipe, ...] = DEFAULT
    seed: int = 0


@dataclass(frozen=True)
class Near:
    """A case of the reference near to one that was judged."""

    item: str
    study_instance_uid: str
    distance: float


@dataclass(frozen=True)
class ItemAnswer:
    """What a reference says of one image or volume.

    Attributes:
        item: its id; "" of what is in no library.
        flagged: None where it cannot be judged, which is not the same as in distribution.
        why: which stratum judged, and why no finer one; or why none can.
        stratum: that judged, None where none can.
        p_value: how often a case of the stratum's own kind is as unlike, all detectors together;
            None where it cannot be judged.
        verdicts: score, p-value and threshold of each detector.
        nearest: cases of the reference.
    """

    item: str
    flagged: bool | None
    why: str
    stratum: str | None
    p_value: float | None
    verdicts: Mapping[str, Verdict]
    nearest: tuple[Near, ...]


@dataclass(frozen=True)
class StudyAnswer:
    """What a reference says of a study.

    Attributes:
        study_instance_uid: of it; "" where nothing could be read.
        source: the file or folder that was handed in; "" of a library's own.
        flagged: whether its p-value is at or below the rate; None where no item can be judged.
        p_value: the least of its items times their number (Bonferroni), 1 at most.
        alarm: the false-alarm rate.
        alarm_interval: where the rate of this calibration lies, with 95 % probability.
        items: of it.
        notes: what a reader should know.
    """

    study_instance_uid: str
    source: str
    flagged: bool | None
    p_value: float | None
    alarm: float
    alarm_interval: Interval | None
    items: tuple[ItemAnswer, ...]
    notes: tuple[str, ...] = ()


def fit_reference(
    library: Library, request: FitRequest, progress: Progress = no_progress
) -> StoredReference:
    """Fit, calibrate and store; raising in ``progress`` stops it, and nothing is stored then.

    Raises:
        ConfigError: there is a reference of this name, or no such detector or encoder.
        FilterError: the filter cannot be read.
        ReferenceSetError: too few items.
    """
    check_reference_name(library, request.name)
    space = chosen_space(library, request.encoder)
    progress("reading vectors", 0, 0)
    with reading(library.engine) as db:
        gathered = gather(db, space, request.filter)
        known = describe(db, gathered.ids, labels=())
    made = ReferenceSet.fit(
        gathered.vectors,
        _keys(known),
        _owners(known),
        alarm=request.alarm,
        recipes=request.recipes,
        seed=request.seed,
        progress=progress,
    )
    progress("comparing with other items", 0, 0)
    report = _report(library, space, made, gathered.ids)
    if gathered.missing:
        report["notes"] = [
            f"{gathered.missing:,} items have no vector of '{space.encoder}' yet and are left out"
        ]
    draft = ReferenceDraft(
        name=request.name,
        filter=request.filter,
        alarm=request.alarm,
        seed=request.seed,
        items=len(gathered.ids),
        report=report,
        version=indexer.__version__,
        arrays=made.state() | {_IDS: gathered.ids},
    )
    with library.writing():
        return save_reference(library, space, draft)


class Judge:
    """A reference that was loaded, ready to judge.

    Args:
        library: whose.
        name: of the reference.
        alarm: the false-alarm rate; None takes the one that it was fitted for.

    Raises:
        QueryError: there is none of this name.
        ReferenceSetError: its file is gone or damaged, or the rate is none.
    """

    def __init__(self, library: Library, name: str, alarm: float | None = None) -> None:
        self.library, self.stored = library, find_reference(library, name)
        self.alarm = self.stored.alarm if alarm is None else alarm
        arrays = load_reference(library, self.stored)
        self._ids = arrays.pop(_IDS)
        self._reference = ReferenceSet.from_state(arrays)
        rows = [each.fitted for each in self._reference.strata.values()]
        self._fitted = set(self._ids[np.unique(np.concatenate(rows))].tolist())
        self.space = next(each for each in library.spaces() if each.id == self.stored.space_id)
        with reading(library.engine) as db:
            self._known = describe(db, self._ids, labels=())

    def of_items(self, expression: str, progress: Progress = no_progress) -> Iterator[StudyAnswer]:
        """Judge items of the library that pass a filter, study by study.

        Raises:
            FilterError: the filter cannot be read.
            QueryError: none passes.
        """
        progress("reading vectors", 0, 0)
        with reading(self.library.engine) as db:
            gathered = gather(db, self.space, expression)
            known = describe(db, gathered.ids, labels=())
        if not len(gathered.ids):
            raise QueryError("no item with a vector passes the filter")
        keys = _keys(known)
        of_study: dict[str, list[int]] = defaultdict(list)
        for row, study in enumerate(known.studies):
            of_study[study].append(row)
        studies = list(of_study.items())
        for start in range(0, len(studies), _BATCH):
            progress("judging", start, len(studies))
            some = studies[start : start + _BATCH]
            rows = [row for _, own in some for row in own]
            judged = iter(
                self._reference.judge(
                    gathered.vectors[rows], [keys[row] for row in rows], alarm=self.alarm
                )
            )
            for study, own in some:
                items = [(known.uids[row], next(judged)) for row in own]
                learned = any(int(gathered.ids[row]) in self._fitted for row in own)
                yield self._study(study, "", items, _LEARNED if learned else ())

    @property
    def made_of(self) -> ItemIds:
        """Items that the reference was fitted or calibrated on."""
        return self._ids

    def of_ids(self, ids: ItemIds) -> list[StudyAnswer]:
        """Judge items of the library by their numbers, study by study.

        Args:
            ids: ascending; those without a vector in the reference's space are left out.
        """
        with reading(self.library.engine) as db:
            vectors, present = read_vectors(db, self.space, ids)
            known = describe(db, ids[present], labels=())
        judged = self._reference.judge(vectors[present], _keys(known), alarm=self.alarm)
        of_study: dict[str, list[tuple[str, Judgement]]] = defaultdict(list)
        for study, uid, answer in zip(known.studies, known.uids, judged, strict=True):
            of_study[study].append((uid, answer))
        return [self._study(study, "", items, ()) for study, items in of_study.items()]

    def of_files(
        self, paths: Iterable[Path], settings: Settings, *, each: bool = False
    ) -> Iterator[StudyAnswer]:
        """Judge files, folders or archives that need not be in any library; nothing is stored.

        Args:
            paths: each a study.
            settings: how files are read.
            each: take every file of a folder for itself.
        """
        options = replace(read_options(self.library, settings), encoders=(self.space.encoder,))
        encoder = usable_encoder(options.context(self.space.encoder))
        for path in _one_by_one(paths) if each else paths:
            if isinstance(path, Problem):
                yield self._nothing(path.key, path.detail)
                continue
            try:
                read = read_study(path, options)
            except (FileRejectedError, QueryError) as error:
                yield self._nothing(str(path), str(error))
                continue
            name = self.space.encoder
            usable = [one for one in read.items if name in one.item.tensors]
            if not usable:
                yield self._nothing(str(path), f"'{name}' was not made for it")
                continue
            found = embed_each(encoder, [one.item.tensors[name] for one in usable])
            made = [
                (one, vector)
                for one, vector in zip(usable, found, strict=True)
                if isinstance(vector, Embedded)
            ]
            if not made:
                yield self._nothing(str(path), f"cannot be embedded: {found[0]}")
                continue
            rows = np.stack([vector.unit for _, vector in made])
            keys = [_key_of(one) for one, _ in made]
            judged = self._reference.judge(rows, keys, alarm=self.alarm)
            study = made[0][0].draft.study_instance_uid
            yield self._study(study, str(path), [("", each) for each in judged], read.notes)

    def _study(
        self,
        study: str,
        source: str,
        items: Sequence[tuple[str, Judgement]],
        notes: Sequence[str],
    ) -> StudyAnswer:
        """The answer to a study of which each item, by its id, was judged."""
        judged = [answer for _, answer in items if answer.stratum is not None]
        decides = min(judged, key=lambda answer: answer.p_value, default=None)
        least = None if decides is None else min(1.0, decides.p_value * len(judged))
        return StudyAnswer(
            study,
            source,
            None if least is None else least <= self.alarm,
            least,
            self.alarm,
            None if decides is None else decides.interval,
            tuple(self._item(uid, answer) for uid, answer in items),
            tuple(notes),
        )

    def _item(self, uid: str, answer: Judgement) -> ItemAnswer:
        uids, studies = self._known.uids, self._known.studies
        # What was removed from the library since is not named.
        nearest = [
            Near(uids[row], studies[row], round(distance, 5))
            for row, distance in answer.nearest
            if uids[row]
        ]
        judged = answer.stratum is not None
        return ItemAnswer(
            uid,
            answer.flagged,
            answer.why,
            said(answer.stratum) if answer.stratum is not None else None,
            answer.p_value if judged else None,
            answer.verdicts,
            tuple(nearest),
        )

    def _nothing(self, source: str, why: str) -> StudyAnswer:
        note = f"cannot judge: {why}"
        return StudyAnswer("", source, None, None, self.alarm, None, (), (note,))


def references(library: Library) -> list[StoredReference]:
    """All reference sets, oldest first."""
    return list_references(library)


def show_reference(library: Library, name: str) -> StoredReference:
    """One with its report.

    Raises:
        QueryError: there is none of this name.
    """
    return find_reference(library, name)


def remove(library: Library, name: str) -> StoredReference:
    """Delete one; items and vectors stay.

    Raises:
        QueryError: there is none of this name.
    """
    with library.writing():
        return remove_reference(library, name)


def _keys(known: Described) -> list[Key]:
    columns = [known.fields[level] for level in LEVELS]
    return [key_of(values) for values in zip(*columns, strict=True)]


def _key_of(one: QueryItem) -> Key:
    return key_of([getattr(one.draft.attributes, level) for level in LEVELS])


def _owners(known: Described) -> list[str]:
    """Whose each item is; of unknown patients each study counts as one."""
    pairs = zip(known.patients, known.studies, strict=True)
    return [patient or f"study {study}" for patient, study in pairs]


def _report(
    library: Library, space: SpaceInfo, made: ReferenceSet, ids: np.ndarray
) -> dict[str, Any]:
    """Of each stratum its size, what rates it can judge at, and how it tells other items apart."""
    with reading(library.engine) as db:
        others = np.setdiff1d(gather_ids(db), ids, assume_unique=True)
        keys = _keys(describe(db, others, labels=()))
    strata = []
    for key, stratum in made.strata.items():
        rows = [row for row in range(len(others)) if keys[row][: len(key)] != key]
        strata.append(
            {
                "stratum": said(key),
                "fitted": len(stratum.fitted),
                "held_out": stratum.held_out,
                "patients": stratum.patients,
                "least_alarm": PER_ALARM / stratum.held_out,
                "notes": [note for each in stratum.detectors.values() for note in each.notes],
                "against_other_items": _against(library, space, stratum, others[rows]),
            }
        )
    refused = [
        {"stratum": said(each.key), "cases": each.cases, "patients": each.patients, "why": each.why}
        for each in made.refused
    ]
    return {"strata": strata, "refused": refused}


def _against(
    library: Library, space: SpaceInfo, stratum: Stratum, others: ItemIds
) -> dict[str, Any]:
    """How each detector of a stratum tells items of other kinds from those it was calibrated on."""
    if len(others) > _OTHERS:
        others = np.sort(np.random.default_rng(0).choice(others, _OTHERS, replace=False))
    with reading(library.engine) as db:
        vectors, present = read_vectors(db, space, others)
    if not present.any():
        return {}
    pairs = zip(stratum.detectors.items(), stratum.together.parts, strict=True)
    return {
        name: asdict(separation(calibration.scores, detector.score(vectors[present])))
        for (name, detector), calibration in pairs
    }


def _one_by_one(paths: Iterable[Path]) -> Iterator[Path | Problem]:
    """Every file under some paths."""
    for found in discover(list(paths)):
        yield found if isinstance(found, Problem) else Path(found.path)
