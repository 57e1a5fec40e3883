"""What a reference says of studies: of a library, or of files that are in none."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from api.service.judging.cases import (
    SLICES,
    VECTOR,
    Case,
    ReadItems,
    case_of_file,
    cases_of_items,
    judged_by,
    read_items,
    row_in,
    with_qualities,
)
from api.service.judging.fitted import Fitted, fitted_sets
from api.service.judging.why import of_header, of_pixels, of_turns, of_votes, reason
from api.service.options import read_options
from clustering.contract import Progress, no_progress
from indexer.catalog.database import reading
from indexer.config import Settings
from indexer.embedding import Embedded, embed_each
from indexer.encoders.contract import Encoder
from indexer.errors import (
    EncoderError,
    FileRejectedError,
    ItemNotFoundError,
    QueryError,
    ReferenceSetError,
    SourceError,
)
from indexer.evaluating.labelled import read_vectors
from indexer.evidence.originals import read_again
from indexer.groups.items import Gathered
from indexer.groups.references import StoredReference, find_reference
from indexer.library import Library
from indexer.reading.drafts import ReadOptions
from indexer.reading.study import QueryStudy, read_study
from indexer.registry import usable_encoder
from indexer.sources.discover import Problem, discover
from indexer.types import Embeddings, ItemIds, Pixels
from ood.calibrate import Interval, simes
from ood.picture_checks import Finding
from ood.reference import Judgement, Verdict
from ood.strata import said

_BATCH = 1_024
_OTHERWISE = {
    VECTOR: "the reference describes nothing by slices: judged by its one vector",
    SLICES: "the reference has nothing but volumes of slices: judged as one of a single slice",
}
_LEARNED = ("the reference was fitted on it: it looks more usual than it is",)


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
        reason: why it was flagged, in words; "" where it was not.
        findings: of checks of its header and pixels; also of what was not flagged.
        stratum: that judged, None where none can.
        described_by: what was judged: its one vector, or its slices.
        p_value: how often a case of the stratum's own kind is as unlike, all detectors together;
            None where it cannot be judged.
        verdicts: score, p-value and threshold of each detector.
        nearest: cases of the reference.
    """

    item: str
    flagged: bool | None
    why: str
    reason: str
    findings: tuple[Finding, ...]
    stratum: str | None
    described_by: str
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
            One of several items that is flagged does not by itself flag the study.
        p_value: of its items together, see `ood.calibrate.simes`.
        alarm: the false-alarm rate.
        alarm_interval: where the rate of this calibration lies, with 95 % probability.
        reason: that of the item that decides; "" where it was not flagged.
        items: of it.
        notes: what a reader should know.
        viewer_url: where a viewer shows it; None without one.
    """

    study_instance_uid: str
    source: str
    flagged: bool | None
    p_value: float | None
    alarm: float
    alarm_interval: Interval | None
    reason: str
    items: tuple[ItemAnswer, ...]
    notes: tuple[str, ...] = ()
    viewer_url: str | None = None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Of all items; what several share once."""
        return tuple(dict.fromkeys(each for item in self.items for each in item.findings))


@dataclass(frozen=True)
class _Judged:
    """A case with what was said of it, as what it was judged, and by which set of cases."""

    case: Case
    answer: Judgement
    how: str
    by: Fitted


class Judge:
    """A reference that was loaded, ready to judge.

    Args:
        library: whose.
        name: of the reference.
        alarm: the false-alarm rate; None takes the one that it was fitted for.
        settings: how files are read, and where models lie; None takes those of the environment.
        look: also look at the pixels of what is flagged, and of files.
        fitted: gives the sets of the reference; None loads them.

    Raises:
        QueryError: there is none of this name.
        ReferenceSetError: its file is gone or damaged, or the rate is none.
    """

    def __init__(
        self,
        library: Library,
        name: str,
        alarm: float | None = None,
        *,
        settings: Settings | None = None,
        look: bool = True,
        fitted: Callable[[StoredReference], Mapping[str, Fitted]] | None = None,
    ) -> None:
        self.library, self.stored = library, find_reference(library, name)
        self.alarm = self.stored.alarm if alarm is None else alarm
        self.space = next(each for each in library.spaces() if each.id == self.stored.space_id)
        load = fitted or partial(fitted_sets, library)
        self.fitted = load(self.stored)
        self._look = look
        settings = settings or Settings()
        self._options: ReadOptions = replace(
            read_options(library, settings), encoders=(self.space.encoder,), keep_pixels=look
        )

    @cached_property
    def _encoder(self) -> Encoder:
        """The one that filled the reference's space.

        Raises:
            EncoderError: it cannot be used here.
            ReferenceSetError: it has other weights by now, or prepares otherwise.
        """
        found = usable_encoder(self._options.context(self.space.encoder))
        if (found.spec.weights, found.spec.preprocessing) != (
            self.space.weights,
            self.space.preprocessing,
        ):
            raise ReferenceSetError(
                f"the reference '{self.stored.name}' was fitted in another space: the weights or "
                f"the preparation of '{self.space.encoder}' are not those of then; index with "
                "what is installed now, and fit a reference of it"
            )
        return found

    def of_items(self, expression: str, progress: Progress = no_progress) -> Iterator[StudyAnswer]:
        """Judge items of the library that pass a filter, study by study.

        Raises:
            FilterError: the filter cannot be read.
            QueryError: none passes.
        """
        progress("reading vectors", 0, 0)
        with reading(self.library.engine) as db:
            items = read_items(db, self.space, expression)
        if not len(items.gathered.ids):
            raise QueryError("no item with a vector passes the filter")
        yield from self.of_read(items, progress)

    @cached_property
    def made_of(self) -> ItemIds:
        """Items that the reference was fitted or calibrated on, ascending."""
        return np.sort(np.concatenate([each.ids for each in self.fitted.values()]))

    def of_ids(self, ids: ItemIds) -> list[StudyAnswer]:
        """Judge items of the library by their numbers, study by study.

        Args:
            ids: ascending; those without a vector in the reference's space are left out.
        """
        with reading(self.library.engine) as db:
            vectors, present = read_vectors(db, self.space, ids)
            found = Gathered(ids[present], vectors[present], int((~present).sum()))
            items = ReadItems.of(db, self.space, found)
        return list(self.of_read(items))

    def of_read(self, items: ReadItems, progress: Progress = no_progress) -> Iterator[StudyAnswer]:
        """Judge items that were read, study by study."""
        of_study: dict[str, list[int]] = defaultdict(list)
        for row, study in enumerate(items.known.studies):
            of_study[study].append(row)
        studies = list(of_study.items())
        for start in range(0, len(studies), _BATCH):
            some = studies[start : start + _BATCH]
            rows = sorted(row for _, own in some for row in own)
            with reading(self.library.engine) as db:
                cases = cases_of_items(db, items, rows)
            judged = dict(zip(rows, self._judged(cases), strict=True))
            for number, (study, own) in enumerate(some, start):
                progress("judging", number, len(studies))
                yield self._of_study(study, [judged[row] for row in own])

    def of_files(self, paths: Iterable[Path], *, each: bool = False) -> Iterator[StudyAnswer]:
        """Judge files, folders or archives that need not be in any library; nothing is stored.

        Args:
            paths: each a study.
            each: take every file of a folder for itself.
        """
        for path in _one_by_one(paths) if each else paths:
            if isinstance(path, Problem):
                yield self._nothing(path.key, path.detail)
                continue
            try:
                yield self._of_path(path)
            except (FileRejectedError, QueryError, EncoderError) as error:
                yield self._nothing(str(path), str(error))

    def _of_study(self, study: str, judged: Sequence[_Judged]) -> StudyAnswer:
        """The answer to a study of the library."""
        notes: list[str] = []
        if any(each.case.number in each.by.learned for each in judged):
            notes += _LEARNED
        answers = []
        for each in judged:
            pixels = None
            if each.answer.flagged and self._look:
                try:
                    pixels = self._pixels_of(each.case.uid)
                except (ItemNotFoundError, SourceError) as error:
                    notes.append(f"the pixels were not checked: {error}")
            try:
                answers.append(self._answer(each, pixels))
            except (EncoderError, ReferenceSetError) as error:
                notes.append(f"turned copies were not looked at: {error}")
                answers.append(self._answer(each, pixels, turn=False))
        return self._study(study, "", judged, answers, tuple(dict.fromkeys(notes)))

    def _of_path(self, path: Path) -> StudyAnswer:
        """The answer to a study that was handed in.

        Raises:
            FileRejectedError, QueryError: it cannot be read, or nothing of it can be embedded.
            EncoderError: the encoder is at fault.
        """
        read, name = read_study(path, self._options), self.space.encoder
        usable = [one for one in read.items if name in one.item.tensors]
        if not usable:
            raise QueryError(f"'{name}' was not made for it")
        found = embed_each(self._encoder, [one.item.tensors[name] for one in usable])
        beside = _longest(read)
        cases, pixels = [], []
        for one, made in zip(usable, found, strict=True):
            if isinstance(made, Embedded):
                cases.append(case_of_file(one, made, beside[one.draft.series_instance_uid]))
                pixels.append(one.item.pixels)
        if not cases:
            raise QueryError(f"it cannot be embedded: {found[0]}")
        judged = self._judged(cases)
        answers = [self._answer(*each) for each in zip(judged, pixels, strict=True)]
        return self._study(cases[0].study, str(path), judged, answers, read.notes)

    def _judged(self, cases: Sequence[Case]) -> list[_Judged]:
        """What the set that is described as they are says of cases; else the other one."""
        chosen: dict[str, list[int]] = defaultdict(list)
        for row, case in enumerate(cases):
            chosen[judged_by(self.fitted, case.profile)].append(row)
        judged: dict[int, _Judged] = {}
        for how, rows in chosen.items():
            by = self.fitted[how]
            some = [cases[row] for row in rows]
            answers = by.reference.judge(
                _rows_of(some, how, by),
                [case.key for case in some],
                alarm=self.alarm,
            )
            for row, case, answer in zip(rows, some, answers, strict=True):
                if judged_by((VECTOR, SLICES), case.profile) != how:
                    answer = replace(answer, why=f"{answer.why}; {_OTHERWISE[how]}")  # noqa: PLW2901
                judged[row] = _Judged(case, answer, how, by)
        return [judged[row] for row in range(len(cases))]

    def _answer(self, judged: _Judged, pixels: Pixels | None, *, turn: bool = True) -> ItemAnswer:
        case, answer, known = judged.case, judged.answer, judged.by.known
        findings = self._findings(judged, pixels, turn=turn)
        # What was removed from the library since is not named.
        nearest = [
            Near(known.uids[row], known.studies[row], round(distance, 5))
            for row, distance in answer.nearest
            if known.uids[row]
        ]
        return ItemAnswer(
            case.uid,
            answer.flagged,
            answer.why,
            reason(answer, findings) if answer.flagged else "",
            tuple(findings),
            said(answer.stratum) if answer.stratum is not None else None,
            judged.how,
            answer.p_value if answer.stratum is not None else None,
            answer.verdicts,
            tuple(nearest),
        )

    def _findings(self, judged: _Judged, pixels: Pixels | None, *, turn: bool) -> list[Finding]:
        """What explains most comes first."""
        case, answer, by = judged.case, judged.answer, judged.by
        found = [] if pixels is None else of_pixels(pixels)
        if answer.flagged and answer.stratum is not None:
            stratum = by.reference.strata[answer.stratum]
            if turn and pixels is not None and case.profile is None:
                found += of_turns(pixels, stratum, answer, self._encoder, by.reference.qualities)
            found += of_votes(case, by.vote(_rows_of([case], judged.how, by), case.uid))
        usual = None if answer.stratum is None else by.usual.get(said(answer.stratum))
        return found + of_header(case, usual)

    def _study(
        self,
        study: str,
        source: str,
        judged: Sequence[_Judged],
        answers: Sequence[ItemAnswer],
        notes: Sequence[str],
    ) -> StudyAnswer:
        known = [
            (each.answer.p_value, each.answer.interval, answer.reason)
            for each, answer in zip(judged, answers, strict=True)
            if each.answer.stratum is not None
        ]
        _, interval, why = min(known, key=lambda each: each[0], default=(None, None, ""))
        p_value = simes([each for each, _, _ in known]) if known else None
        flagged = None if p_value is None else p_value <= self.alarm
        return StudyAnswer(
            study,
            source,
            flagged,
            p_value,
            self.alarm,
            interval,
            why if flagged else "",
            tuple(answers),
            tuple(notes),
        )

    def _pixels_of(self, uid: str) -> Pixels | None:
        """Pixels of an item, from the files that it was made of.

        Raises:
            ItemNotFoundError: it was removed since.
        SourceError: a file of it is gone, or is not what it was.
        """
        return read_again(self.library, uid, self.space.encoder, self._options).pixels

    def _nothing(self, source: str, why: str) -> StudyAnswer:
        note = f"cannot judge: {why}"
        return StudyAnswer("", source, None, None, self.alarm, None, "", (), (note,))


def _rows_of(cases: Sequence[Case], how: str, by: Fitted) -> Embeddings:
    """What describes cases among those of a set, and the qualities of their pictures."""
    rows = np.stack([row_in(how, case.vector, case.profile) for case in cases])
    return with_qualities(rows, [case.qualities for case in cases], by.reference.qualities)


def _longest(read: QueryStudy) -> dict[str, int]:
    """Slices of the longest volume of each series."""
    longest: dict[str, int] = defaultdict(lambda: 1)
    for one in read.items:
        name = one.draft.series_instance_uid
        longest[name] = max(longest[name], one.item.slices)
    return longest


def _one_by_one(paths: Iterable[Path]) -> Iterator[Path | Problem]:
    """Every file under some paths."""
    for found in discover(list(paths)):
        yield found if isinstance(found, Problem) else Path(found.path)
