"""Studies, series and items: lists, and each by its UID."""

from __future__ import annotations

from api.rights import Role
from api.routing import router
from api.schemas.catalog import Item, Series, Study, StudyDetails
from api.schemas.common import CursorParam, FilterParam, LimitParam, PageOf, SortParam, Uid
from api.served import Service
from api.service import browse
from api.service import library as service
from api.service.paging import Paging

routes = router("catalog", Role.READER)


@routes.get("/studies")
def list_studies(
    served: Service,
    filter: FilterParam = "",
    sort: SortParam = "",
    cursor: CursorParam = "",
    limit: LimitParam = 50,
) -> PageOf[Study]:
    """Studies, page by page; with a filter those of which an item passes.

    Sorted by study_date, age, description or study.
    """
    found = browse.studies(served.library, Paging(filter, sort, cursor, limit))
    return PageOf[Study].model_validate(served.links.page(found))


@routes.get("/studies/{uid}")
def get_study(served: Service, uid: Uid) -> StudyDetails:
    """All that is known of a study, found by its UID or by that of anything in it."""
    told = StudyDetails.model_validate(service.show(served.library, uid))
    told.viewer_url = served.links.study(told.study_instance_uid)
    return told


@routes.get("/series")
def list_series(
    served: Service,
    filter: FilterParam = "",
    sort: SortParam = "",
    cursor: CursorParam = "",
    limit: LimitParam = 50,
) -> PageOf[Series]:
    """Series, page by page; those of one study with the filter ``study=UID``.

    Sorted by modality, body_part, description, series or study_date.
    """
    found = browse.series(served.library, Paging(filter, sort, cursor, limit))
    return PageOf[Series].model_validate(found)


@routes.get("/series/{uid}")
def get_series(served: Service, uid: Uid) -> Series:
    """A series."""
    return Series.model_validate(browse.one_series(served.library, uid))


@routes.get("/items")
def list_items(
    served: Service,
    filter: FilterParam = "",
    sort: SortParam = "",
    cursor: CursorParam = "",
    limit: LimitParam = 50,
) -> PageOf[Item]:
    """Items of all roles, page by page.

    Sorted by modality, body_part, kind, slices, study_date or age.
    """
    found = browse.items(served.library, Paging(filter, sort, cursor, limit))
    return PageOf[Item].model_validate(served.links.page(found))


@routes.get("/items/{uid}")
def get_item(served: Service, uid: Uid) -> Item:
    """An item by its id."""
    return Item.model_validate(served.links.on(browse.item(served.library, uid)))
