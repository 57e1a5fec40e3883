"""Where a picture is unlike a reference: fit patches of its cases, then map another over them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import select

from api.service.judging.cases import keys_of
from api.service.judging.fitted import Fitted, fitted_sets
from api.service.originals import Originals
from clustering.contract import Progress, no_progress
from indexer.catalog.database import reading
from indexer.catalog.tables import Item
from indexer.config import Settings
from indexer.errors import ConfigError, QueryError, ReferenceSetError, SourceError, StorageFullError
from indexer.evidence.heat import HeatMap, draw_heat
from indexer.evidence.matching import laid_over, over_frame, slice_number
from indexer.evidence.originals import items_under
from indexer.groups.items import describe
from indexer.groups.references import (
    StoredReference,
    find_reference,
    load_patches,
    save_patches,
)
from indexer.library import Library
from indexer.reading.drafts import ItemDraft
from indexer.reading.study import read_study
from ood.heat import HeatReference, HeatStratum
from ood.oddness import LEVELS, Oddness
from ood.patches import Grid, Map, PatchMemory
from ood.strata import LEVELS as FIELDS
from ood.strata import Key, key_of, said

_FEWEST = 20
"""Pictures to fit on, and to calibrate on, without which a stratum has no patches of its own."""
_UNLIKE = 0.99
_NAME = "{}: {} of {} pictures can be read again, {} are the least"


@dataclass(frozen=True)
class HeatRequest:
    """How patches are fitted.

    Attributes:
        most_images: of each stratum, that are read again to fit on; half as many calibrate.
        most_patches: of each stratum, that are kept.
        seed: of all that is random.
    """

    most_images: int = 500
    most_patches: int = 10_000
    seed: int = 0


def fit_heat(
    library: Library,
    name: str,
    request: HeatRequest,
    settings: Settings,
    progress: Progress = no_progress,
) -> Mapping[str, Any]:
    """Read cases of a reference again, keep patches of them, and calibrate; stored at the end.

    Raising in ``progress`` stops it, and nothing is stored then. Patches that were fitted before
    are replaced. Half of the held-out cases calibrate, 20 at least; the others stay unseen.

    Returns:
        Of each stratum how many pictures it was fitted and calibrated on, and its patches; and why
        others have none.

    Raises:
        ConfigError: fewer than 20 images or one patch are asked for.
        QueryError: no such reference, or its encoder tells no places of a picture apart.
        ReferenceSetError: its file is damaged, or too few of its pictures can be read again.
    """
    if request.most_images < _FEWEST or request.most_patches < 1:
        raise ConfigError(f"patches are fitted on {_FEWEST} images or more, and 1 patch or more")
    stored = find_reference(library, name)
    originals = Originals(library, stored, settings)
    strata: dict[Key, HeatStratum] = {}
    refused: list[str] = []
    for fitted in fitted_sets(library, stored).values():
        fitting = _Fitting(originals, fitted, request, progress, refused)
        # What volumes and images both have, as everything, is told by the first.
        strata = fitting.all() | strata
    if not strata:
        raise ReferenceSetError(
            f"patches cannot be fitted: {'; '.join(refused)}. Their files are gone, or not "
            "what they were when they were indexed; syntopy verify names them"
        )
    report = {"strata": [_told(*each) for each in strata.items()], "refused": refused}
    with library.writing():
        save_patches(library, stored, HeatReference(strata).state(), report)
    return report


def heat_map(library: Library, name: str, asked: str, settings: Settings) -> HeatMap:
    """Where a file, or what a UID of the library stands for, is unlike a reference.

    Of several pictures it is the oddest, of a volume the slice with the oddest place.

    Args:
        library: whose.
        name: of the reference.
        asked: a file, folder or archive; or a UID or item id of the library.
        settings: how files are read.

    Raises:
        QueryError: no such reference, it has no patches, or nothing usable was named.
        ReferenceSetError: the file of its patches is gone or damaged.
        FileRejectedError: the file cannot be used.
        ItemNotFoundError: the UID is not in the library.
        SourceError: the files of an item are gone, or have changed.
    """
    stored, originals = _readable(library, name, settings)
    from_file = Path(asked).exists()
    cases = _cases_of_file(originals, Path(asked)) if from_file else _cases(originals, asked)
    return _oddest(stored, originals, patches_of(library, stored), cases)


def patches_of(library: Library, stored: StoredReference) -> HeatReference:
    """The patches of a reference, read from its file.

    Raises:
        QueryError, ReferenceSetError: as `heat_map`.
    """
    return HeatReference.from_state(load_patches(library, stored))


def heat_of(
    library: Library,
    name: str,
    uid: str,
    settings: Settings,
    patches: Callable[[StoredReference], HeatReference],
) -> HeatMap:
    """As `heat_map`, of a UID or item id of the library alone, never of a file.

    Raises:
        QueryError, ReferenceSetError, ItemNotFoundError, SourceError: as `heat_map`.
    """
    stored, originals = _readable(library, name, settings)
    return _oddest(stored, originals, patches(stored), _cases(originals, uid))


def _readable(library: Library, name: str, settings: Settings) -> tuple[StoredReference, Originals]:
    stored = find_reference(library, name)
    return stored, Originals(library, stored, settings)


def _oddest(
    stored: StoredReference,
    originals: Originals,
    reference: HeatReference,
    cases: Iterable[_Case],
) -> HeatMap:
    maps = [one for case in cases if (one := _map(originals, reference, stored, case)) is not None]
    if not maps:
        raise QueryError(
            f"'{stored.name}' has no stratum for this kind of image, or it is empty: it cannot be "
            "compared place by place"
        )
    return max(maps, key=lambda one: one.highest)


def write_heat(heat: HeatMap, path: Path) -> Path:
    """Write it as a PNG.

    Raises:
        StorageFullError: it cannot be written there.
    """
    try:
        draw_heat(heat).save(path, "PNG")
    except (OSError, ValueError) as error:
        raise StorageFullError(f"{path} cannot be written: {error}") from error
    return path


@dataclass(frozen=True)
class _Fitting:
    """Fits one stratum after the other.

    Attributes:
        originals: reads them.
        fitted: the reference's cases.
        request: how.
        progress: told.
        refused: why strata have no patches of their own; added to.
    """

    originals: Originals
    fitted: Fitted
    request: HeatRequest
    progress: Progress
    refused: list[str]

    def all(self) -> dict[Key, HeatStratum]:
        """Every stratum of which enough pictures can be read again."""
        strata: dict[Key, HeatStratum] = {}
        made: dict[int, HeatStratum | None] = {}
        for key, stratum in self.fitted.reference.strata.items():
            # Strata with the same cases share their calibration, and then their patches, too.
            same = id(stratum.together)
            if same not in made:
                made[same] = self.of(key, stratum.fitted)
            if (found := made[same]) is not None:
                strata[key] = found
        return strata

    def of(self, key: Key, fitted: np.ndarray) -> HeatStratum | None:
        """Patches of a stratum; None where too few of its pictures can be read again."""
        ids, keys = self.fitted.ids, keys_of(self.fitted.known)
        inside = np.array([each[: len(key)] == key for each in keys])
        learns = np.zeros(len(ids), bool)
        learns[fitted] = True
        most = self.request.most_images
        order = np.random.default_rng([self.request.seed, 84]).permutation(len(ids))
        rows = order[learns[order]][:most]
        held = order[(inside & ~learns)[order]]
        held = held[: max(_FEWEST, min(len(held), most) // 2)]
        taken: list[int] = []
        memory = None
        grids = (grid for case in self._read(rows, "reading pictures", taken) for grid in case)
        first = next(grids, None)
        if first is not None:
            memory = PatchMemory.fit(
                chain([first], grids),
                most=self.request.most_patches,
                seed=self.request.seed,
                progress=self.progress,
            )
        if memory is None or len(taken) < _FEWEST:
            self.refused.append(_NAME.format(said(key), len(taken), len(rows), _FEWEST))
            return None
        usual = [
            [memory.scores(grid) for grid in case] for case in self._read(held, "calibrating", [])
        ]
        if len(usual) < _FEWEST:
            what = f"{said(key)}, held out"
            self.refused.append(_NAME.format(what, len(usual), len(held), _FEWEST))
            return None
        return HeatStratum(np.sort(ids[taken]), memory, Oddness.of(usual))

    def _read(self, rows: np.ndarray, what: str, taken: list[int]) -> Iterator[list[Grid]]:
        """Patches of each case that can be read again; its number is put down as taken."""
        for number, row in enumerate(rows.tolist()):
            self.progress(what, number, len(rows))
            try:
                item = self.originals.read(self.fitted.known.uids[row])
            except (SourceError, QueryError):
                continue
            _, grids = self.originals.grids(item)
            if grids:
                taken.append(row)
                yield grids


@dataclass(frozen=True)
class _Case:
    """A picture that is asked about; ``number`` is its private id, of what is in no library 0."""

    item: ItemDraft
    key: Key
    study: str
    number: int = 0


def _cases_of_file(originals: Originals, path: Path) -> Iterator[_Case]:
    for one in read_study(path, originals.options).items:
        if originals.spec.name in one.item.tensors:
            attributes = one.draft.attributes
            key = key_of([getattr(attributes, level) for level in FIELDS])
            yield _Case(one.item, key, one.draft.study_instance_uid)


def _cases(originals: Originals, asked: str) -> Iterator[_Case]:
    with reading(originals.library.engine) as db:
        uids = items_under(db, asked)
        ids = np.array(
            db.execute(select(Item.id).where(Item.uid.in_(uids)).order_by(Item.id)).scalars().all()
        )
        known = describe(db, ids, labels=())
    for place, key in enumerate(keys_of(known)):
        item = originals.read(known.uids[place])
        yield _Case(item, key, known.studies[place], int(ids[place]))


def _map(
    originals: Originals, reference: HeatReference, stored: StoredReference, case: _Case
) -> HeatMap | None:
    key = reference.stratum_for(case.key)
    pictures, grids = originals.grids(case.item)
    if key is None or not grids:
        return None
    stratum = reference.strata[key]
    usual = stratum.usual
    odd = [usual(stratum.memory.scores(grid)) for grid in grids]
    shown = max(range(len(odd)), key=lambda number: float(np.nanmax(odd[number])))
    place, prepared = [*pictures.items()][shown]
    filled = _filled(odd[shown])
    picture, laid = laid_over(originals.encoder, case.item, place, prepared, filled)
    highest = float(np.nanmax(odd[shown]))
    seen = odd[shown][~np.isnan(odd[shown])]
    notes = []
    if case.number and case.number in stratum.fitted:
        notes.append("the patches were fitted on it: it looks more usual than it is")
    if key != case.key:
        notes.append(f"compared with {said(key)}: {said(case.key)} has no patches of its own")
    return HeatMap(
        picture=picture,
        oddness=laid,
        over_frame=over_frame(originals.encoder, case.item, filled),
        levels=(*zip(LEVELS, usual.levels, strict=True), (1.0, usual.at(1.0))),
        item=case.item.uid if case.number else "",
        study_instance_uid=case.study,
        reference=stored.name,
        stratum=said(key),
        highest=highest,
        p_value=usual.p_value(highest),
        usual_pictures=len(usual.highest),
        unlike_share=float(np.mean(seen > usual.at(_UNLIKE))),
        slice_number=slice_number(originals.encoder, case.item, place),
        slices=case.item.slices,
        encoder=originals.spec.name,
        notice=originals.spec.notice,
        notes=tuple(notes),
    )


def _filled(odd: Map) -> Map:
    """With the outermost places that are seen continued over those that are not."""
    seen = ~np.isnan(odd)
    for axis in (0, 1):
        there = np.flatnonzero(seen.any(axis=1 - axis))
        odd = odd.take(np.clip(np.arange(odd.shape[axis]), there[0], there[-1]), axis)
    return odd


def _told(key: Key, stratum: HeatStratum) -> dict[str, Any]:
    return {
        "stratum": said(key),
        "fitted": len(stratum.fitted),
        "held_out": len(stratum.usual.highest),
        "patches": len(stratum.memory.rows),
    }
