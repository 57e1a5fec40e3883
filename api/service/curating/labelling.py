"""Labels and tags as people give them, several at once: each change from what it was made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from api.service.curating.choosing import Choice, check_known, chosen
from api.service.curating.editing import Author, Expected, digest, plain, plain_labels
from indexer.catalog.database import reading, transaction
from indexer.catalog.labels import TAG
from indexer.catalog.lookup import Place, places_of, pseudonyms_of, pseudonyms_of_items
from indexer.catalog.tables import Study
from indexer.errors import ItemNotFoundError, QueryError
from indexer.groups.labels import (
    LabelLine,
    Labels,
    count_labels,
    give_labels,
    label_items,
    own_labels,
    replace_labels,
    take_labels,
    unlabel_some,
)
from indexer.library import Library

MOST = 10_000
"""Lines of one change."""
_SHOWN = 100


@dataclass(frozen=True)
class LabelSheet:
    """The labels of a study, or of an item alone.

    Attributes:
        uid: of the study, or id of the item.
        study_instance_uid: of the study that it is or belongs to.
        labels: of each name its values, sorted.
    """

    uid: str
    study_instance_uid: str
    labels: Labels

    @property
    def tag(self) -> str:
        """Changes with the labels, and with nothing else."""
        return digest({name: list(values) for name, values in self.labels.items()})


@dataclass(frozen=True)
class LabelName:
    """A name, how many studies and items have it (each value counts), and its values.

    Attributes:
        values: the `_SHOWN` most frequent, with how many have each.
        others: how many further values there are.
    """

    name: str
    count: int
    values: Mapping[str, int]
    others: int


@dataclass(frozen=True)
class Changed:
    """What came of a change of many: how many were changed, and how many were so before."""

    changed: int
    unchanged: int


def sheet_of_study(library: Library, uid: str) -> LabelSheet:
    """The labels of a study as a whole.

    Raises:
        ItemNotFoundError: there is none.
    """
    with reading(library.engine) as db:
        return _sheet(db, uid, _place(db, uid, of_item=False))


def sheet_of_item(library: Library, uid: str) -> LabelSheet:
    """The labels of an item; those of its study are not among them.

    Raises:
        ItemNotFoundError: there is none.
    """
    with reading(library.engine) as db:
        return _sheet(db, uid, _place(db, uid, of_item=True))


def put_labels(
    library: Library,
    uid: str,
    labels: Mapping[str, Sequence[str]],
    expected: Expected,
    author: Author,
    *,
    of_item: bool,
) -> LabelSheet:
    """Give a study or an item these labels and no others.

    Raises:
        ItemNotFoundError: there is none.
        QueryError: a name or a value cannot be one.
        ChangedMeanwhileError: it has other labels than the change was made from.
    """
    wanted = plain_labels(labels)
    with transaction(library.engine) as db:
        place = _place(db, uid, of_item=of_item)
        before = _sheet(db, uid, place)
        expected.check(_what(uid, of_item=of_item), before.tag, before)
        replace_labels(db, place, wanted)
        author.sign(db, pseudonyms_of(db, [uid]), uid=uid)
        return _sheet(db, uid, place)


def drop_labels(
    library: Library,
    uid: str,
    expected: Expected,
    author: Author,
    *,
    of_item: bool,
    name: str = "",
) -> LabelSheet:
    """Take the labels of one name from a study or an item; of all names with ``""``.

    Raises:
        ItemNotFoundError, ChangedMeanwhileError: as `put_labels`.
    """
    with transaction(library.engine) as db:
        place = _place(db, uid, of_item=of_item)
        before = _sheet(db, uid, place)
        expected.check(_what(uid, of_item=of_item), before.tag, before)
        kept = {each: said for each, said in before.labels.items() if name and each != name}
        replace_labels(db, place, kept)
        author.sign(db, pseudonyms_of(db, [uid]), uid=uid)
        return _sheet(db, uid, place)


def label_names(library: Library, name: str = "") -> list[LabelName]:
    """All names, or one, sorted."""
    with reading(library.engine) as db:
        counts = count_labels(db, name)
    told = []
    for each, values in counts.items():
        frequent = sorted(values, key=lambda value, of=values: (-of[value], value))  # type: ignore[misc]
        shown = {value: values[value] for value in frequent[:_SHOWN]}
        told.append(LabelName(each, sum(values.values()), shown, len(values) - len(shown)))
    return told


def change_labels(
    library: Library, lines: Sequence[LabelLine], author: Author, *, remove: bool = False
) -> Changed:
    """Give many labels, or take them away: all or none.

    It needs no version: labels are a set, and what others give or take meanwhile stays.

    Raises:
        QueryError: more than `MOST` lines, or a name or a value that cannot be one.
        UnknownLinesError: some lines are of no study and no item.
    """
    _few_enough(len(lines))
    clean = [
        LabelLine(
            line.uid,
            plain("the name of a label", line.name, 64),
            plain("a label", line.value, 1_000),
        )
        for line in lines
    ]
    uids = [line.uid for line in clean]
    with transaction(library.engine) as db:
        places = places_of(db, uids)
        check_known(uids, [uid in places for uid in uids], "study and no item")
        if remove:
            there = {(places[line.uid], line.name, line.value) for line in clean}
            changed = take_labels(db, there)
        else:
            changed = give_labels(db, clean).added
        author.sign(db, pseudonyms_of(db, sorted(set(uids))), labels=changed)
    return Changed(changed, len(clean) - changed)


def tags(library: Library) -> dict[str, int]:
    """All tags with how many items and studies have each."""
    with reading(library.engine) as db:
        return count_labels(db, TAG).get(TAG, {})


def change_tag(
    library: Library, name: str, choice: Choice, author: Author, *, remove: bool = False
) -> Changed:
    """Tag items, or take the tag away from them; it needs no version, as `change_labels`.

    Raises:
        QueryError, FilterError, UnknownLinesError: the tag cannot be one, or as
            `api.service.curating.choosing.chosen`.
    """
    called = plain("a tag", name, 64)
    return _change_items(library, TAG, called, choice, author, remove=remove)


def change_items(
    library: Library,
    name: str,
    value: str,
    choice: Choice,
    author: Author,
    *,
    remove: bool = False,
) -> Changed:
    """Give items a label, or take it away; it needs no version, as `change_labels`.

    Raises:
        QueryError, FilterError, UnknownLinesError: name or value cannot be one, or as
            `api.service.curating.choosing.chosen`.
    """
    called = plain("the name of a label", name, 64)
    given = plain("a label", value, 1_000)
    return _change_items(library, called, given, choice, author, remove=remove)


def _change_items(
    library: Library, name: str, value: str, choice: Choice, author: Author, *, remove: bool
) -> Changed:
    _few_enough(len(choice.ids or ()))
    with transaction(library.engine) as db:
        ids = chosen(db, choice)
        if remove:
            changed = unlabel_some(db, ids, name, value)
        else:
            changed = label_items(db, ids, name, value).added
        author.sign(db, pseudonyms_of_items(db, ids.tolist()), labels=changed)
    return Changed(changed, len(ids) - changed)


def _few_enough(lines: int) -> None:
    if lines > MOST:
        raise QueryError(f"a change has at most {MOST:,} lines, not {lines:,}: send it in parts")


def _what(uid: str, *, of_item: bool) -> str:
    return f"the labels of the {'item' if of_item else 'study'} '{uid}'"


def _place(db: Connection, uid: str, *, of_item: bool) -> Place:
    place = places_of(db, [uid]).get(uid)
    if place is None or (place.item is not None) != of_item:
        raise ItemNotFoundError(
            f"there is no {'item' if of_item else 'study'} '{uid}' in the library"
        )
    return place


def _sheet(db: Connection, uid: str, place: Place) -> LabelSheet:
    study = select(Study.study_instance_uid).where(Study.id == place.study)
    return LabelSheet(uid, db.execute(study).scalar_one(), own_labels(db, place))
