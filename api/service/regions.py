"""Where a query and a hit are alike, and what is like a part of a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from sqlalchemy import select

from api.service.options import read_options
from indexer.catalog.database import reading
from indexer.catalog.tables import Item, Patient, Series, Study
from indexer.config import Settings
from indexer.encoders.contract import Encoder
from indexer.errors import ConfigError, QueryError, StorageFullError
from indexer.evidence.matching import SIDE, Matching, match_items
from indexer.evidence.originals import held_by, items_under, read_again
from indexer.evidence.overlay import draw_matching
from indexer.index.opened import OpenStores
from indexer.library import Library, SpaceInfo
from indexer.reading.drafts import ItemDraft, ReadOptions
from indexer.reading.study import read_study
from indexer.registry import make_encoder, usable_encoder
from indexer.searching.region_search import CANDIDATES, RegionAnswer, RegionQuery, region_search
from indexer.types import Box


@dataclass(frozen=True)
class MatchingRequest:
    """What is to be compared.

    Attributes:
        image: a query file, or a folder or archive that is one study, or
        uid: a UID or item id of the library.
        hit: a UID or item id of the library.
        encoder: which encoder's eyes; None takes the library's first that tells places apart and
            has both.
    """

    hit: str
    image: Path | None = None
    uid: str | None = None
    encoder: str | None = None


@dataclass(frozen=True)
class RegionRequest:
    """What is looked for.

    Attributes:
        box: left edge, top edge, width and height in pixels of the image or slice.
        image: the file it is on, or a folder or archive that is one study, or
        uid: the UID or item id of the library.
        slice_number: of a volume the slice it is on, of several frames the frame, from one.
        k: hits wanted.
        candidates: images that are read again and looked at place by place.
        filter: an expression of `indexer.filters`, "" for none.
        encoder: as of `MatchingRequest`.
    """

    box: Box
    image: Path | None = None
    uid: str | None = None
    slice_number: int | None = None
    k: int = 10
    candidates: int = CANDIDATES
    filter: str = ""
    encoder: str | None = None


Found = TypeVar("Found")
_SEVERAL = "a region is on one picture, and {} has {}; name the {}"


@dataclass(frozen=True)
class _Asked:
    item: ItemDraft
    encoder: Encoder
    space: SpaceInfo
    study: str
    patient: str


def matching_regions(library: Library, request: MatchingRequest, settings: Settings) -> Matching:
    """Compare a query with a hit, place by place; both are read again from their files.

    Raises:
        QueryError: nothing to ask with, or no encoder tells places apart and has both.
        FileRejectedError: the query file cannot be used.
        ItemNotFoundError: a UID is not in the library.
        SourceError: the files of an item are gone, or have changed.
    """
    options = replace(read_options(library, settings), thumbnail=SIDE)
    with reading(library.engine) as db:
        hit = _middle(items_under(db, request.hit))
        spaces = [s for s in _spaces(library, request.encoder, options) if held_by(db, s, hit)]
    asked = _asked(library, spaces, request.image, request.uid, options)
    item = read_again(library, hit, asked.encoder.spec.name, options)
    return match_items(asked.encoder, asked.item, item)


def write_matching(matching: Matching, path: Path) -> Path:
    """Write it as a PNG: the query left, the hit right.

    Raises:
        StorageFullError: it cannot be written there.
    """
    try:
        draw_matching(matching).save(path, "PNG")
    except (OSError, ValueError) as error:
        raise StorageFullError(f"{path} cannot be written: {error}") from error
    return path


def search_region(
    library: Library,
    request: RegionRequest,
    settings: Settings,
    on_progress: Callable[[int, int], None] | None = None,
    stores: OpenStores | None = None,
) -> RegionAnswer:
    """Find images that have something like a region; see `indexer.searching.region_search`.

    A service gives the stores that it holds open for searches, so that none is loaded for this.

    Raises:
        QueryError: nothing to ask with, no such region, or no encoder that tells places apart.
        FilterError, FileRejectedError, ItemNotFoundError, SourceError: as they say.
    """
    options = read_options(library, settings)
    spaces = _spaces(library, request.encoder, options)
    asked = _asked(
        library, spaces, request.image, request.uid, options, one=True, frame=request.slice_number
    )
    return region_search(
        library,
        asked.space,
        asked.encoder,
        RegionQuery(asked.item, request.box, request.slice_number, asked.study, asked.patient),
        options,
        k=request.k,
        candidates=max(request.candidates, request.k),
        filter_=request.filter,
        on_progress=on_progress,
        stores=stores,
    )


def _spaces(library: Library, encoder: str | None, options: ReadOptions) -> list[SpaceInfo]:
    """Spaces of the library whose encoders tell places apart, in the library's order."""
    known = library.config.encoders
    if encoder is not None and encoder not in known:
        raise ConfigError(f"the library has no space of '{encoder}'; it has {', '.join(known)}")
    specs = [make_encoder(options.context(name)).spec for name in ([encoder] if encoder else known)]
    found = [library.space_for(spec) for spec in specs if spec.has_patches]
    if not any(found):
        names = ", ".join(spec.name for spec in specs)
        raise QueryError(
            f"{names}: tells no places of a picture apart, or holds no items yet; syntopy models "
            "list shows which encoders have regions"
        )
    return [space for space in found if space is not None]


def _asked(
    library: Library,
    spaces: list[SpaceInfo],
    image: Path | None,
    uid: str | None,
    options: ReadOptions,
    *,
    one: bool = False,
    frame: int | None = None,
) -> _Asked:
    """The query, read for the first of these spaces that has it.

    Args:
        library: of the spaces.
        spaces: to try.
        image: a file, or
        uid: of the library.
        options: how files are read.
        one: refuse what has several pictures, in place of taking the middle one.
        frame: of several frames this one, from one.
    """
    if (image is None) == (not uid):
        raise QueryError("ask with either an image file or a UID of the library")
    if image is not None:
        return _asked_by_file(library, spaces, image, options, one=one, frame=frame)
    with reading(library.engine) as db:
        items = items_under(db, uid or "")
        if one and len(items) > 1:
            raise QueryError(_SEVERAL.format(f"'{uid}'", len(items), "id of one (syntopy show)"))
        item = _middle(items)
        space = next((space for space in spaces if held_by(db, space, item)), None)
        if space is None:
            raise QueryError(f"no encoder that tells places apart has both '{uid}' and the hit")
        study, patient, shared = db.execute(
            select(Study.study_instance_uid, Patient.pseudonym, Patient.shared)
            .select_from(Item)
            .join(Series)
            .join(Study)
            .join(Patient)
            .where(Item.uid == item)
        ).one()
    read = read_again(library, item, space.encoder, options)
    encoder = usable_encoder(options.context(space.encoder))
    return _Asked(read, encoder, space, study, "" if shared else patient)


def _asked_by_file(
    library: Library,
    spaces: list[SpaceInfo],
    image: Path,
    options: ReadOptions,
    *,
    one: bool,
    frame: int | None,
) -> _Asked:
    names = tuple(space.encoder for space in spaces)
    if not names:
        raise QueryError("no encoder that tells places apart has the hit")
    read = read_study(image, replace(options, encoders=names)).items
    space = next((s for s in spaces if any(s.encoder in each.item.tensors for each in read)), None)
    if space is None:
        raise QueryError(f"{image.name}: none of {', '.join(names)} can take it")
    usable = [each for each in read if space.encoder in each.item.tensors]
    if len(usable) > 1 and frame is not None:
        usable = [each for each in usable if each.item.frame_index == frame - 1]
    if one and len(usable) != 1:
        raise QueryError(_SEVERAL.format(image.name, len(read), "number of one (--slice)"))
    draft, item = _middle(usable).draft, _middle(usable).item
    patient = draft.patient
    with reading(library.engine) as db:
        shared = db.execute(
            select(Patient.shared).where(Patient.pseudonym == patient.pseudonym)
        ).scalar()
    known = "" if patient.names_nobody or shared else patient.pseudonym
    encoder = usable_encoder(options.context(space.encoder))
    return _Asked(item, encoder, space, draft.study_instance_uid, known)


def _middle(found: Sequence[Found]) -> Found:
    return found[len(found) // 2]
