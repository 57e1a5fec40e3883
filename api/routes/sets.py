"""Saved sets: read by readers, written by curators."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Response

from api.rights import Role
from api.routing import router
from api.schemas.catalog import Item
from api.schemas.common import CursorParam, FilterParam, LimitParam, PageOf, SortParam
from api.schemas.edited import SavedSet
from api.schemas.edits import SetAsked, SetChangeAsked
from api.served import Service
from api.service.curating import sets as service
from api.service.paging import Paging
from api.writing import TAGGED, MadeFrom, MadeFromOrNew, Writer, give_tag
from indexer.groups.sets import StoredSet

reading = router("sets", Role.READER)
writing = router("sets", Role.CURATOR)
SetName = Annotated[
    str, Path(min_length=1, max_length=128, description="Of the set.", examples=["pilot"])
]


@reading.get("/sets")
def list_sets(served: Service) -> list[SavedSet]:
    """All saved sets, by name."""
    return [SavedSet.model_validate(each) for each in service.saved_sets(served.library)]


@reading.get("/sets/{name}", responses=TAGGED)
def get_set(served: Service, response: Response, name: SetName) -> SavedSet:
    """A saved set, without its items."""
    return _told(service.saved_set(served.library, name), response)


@reading.get("/sets/{name}/items")
def list_set_items(
    served: Service,
    name: SetName,
    filter: FilterParam = "",
    sort: SortParam = "",
    cursor: CursorParam = "",
    limit: LimitParam = 50,
) -> PageOf[Item]:
    """The items of a set, page by page, sorted as items are; of a filter those that pass now."""
    found = service.set_items(served.library, name, Paging(filter, sort, cursor, limit))
    return PageOf[Item].model_validate(found)


@writing.put("/sets/{name}", responses=TAGGED)
def put_set(
    served: Service,
    author: Writer,
    expected: MadeFromOrNew,
    response: Response,
    name: SetName,
    asked: SetAsked,
) -> SavedSet:
    """Make a set with If-None-Match: *, or exchange one with If-Match."""
    return _told(
        service.put_set(served.library, name, asked.as_request(), expected, author), response
    )


@writing.patch("/sets/{name}", responses=TAGGED)
def change_set(
    served: Service,
    author: Writer,
    expected: MadeFrom,
    response: Response,
    name: SetName,
    asked: SetChangeAsked,
) -> SavedSet:
    """Add items to a set of fixed ones, take items away, or say something else of it."""
    done = service.change_set(served.library, name, asked.as_change(), expected, author)
    return _told(done, response)


@writing.delete("/sets/{name}", status_code=204)
def delete_set(served: Service, author: Writer, expected: MadeFrom, name: SetName) -> None:
    """Delete a set; its items stay in the library."""
    service.delete_set(served.library, name, expected, author)


def _told(stored: StoredSet, response: Response) -> SavedSet:
    give_tag(response, stored.version)
    return SavedSet.model_validate(stored)
