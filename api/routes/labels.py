"""Labels of studies and items, and tags: read by readers, written by curators."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query, Response

from api.rights import Role
from api.routing import router
from api.schemas.common import Uid
from api.schemas.edited import Changed, LabelName, LabelSheet, Tag
from api.schemas.edits import LabelItemsAsked, LabelsAsked, LabelsChange, TagChange
from api.served import Service
from api.service.curating import labelling as service
from api.writing import TAGGED, MadeFrom, Writer, give_tag

reading = router("labels", Role.READER)
writing = router("labels", Role.CURATOR)
OneName = Annotated[str, Query(max_length=64, description="Of labels; empty for all.")]


@reading.get("/labels")
def list_labels(served: Service, name: OneName = "") -> list[LabelName]:
    """All names of labels, with their values and how many studies and items have each."""
    return [LabelName.model_validate(each) for each in service.label_names(served.library, name)]


@writing.post("/labels")
def change_labels(served: Service, author: Writer, asked: LabelsChange) -> Changed:
    """Give many labels, or take them away: all of them or none.

    No If-Match: what others give or take meanwhile stays as they want it.
    """
    lines = [each.as_line() for each in asked.lines]
    done = service.change_labels(served.library, lines, author, remove=asked.remove)
    return Changed.model_validate(done)


@writing.post("/labels/items")
def label_items(served: Service, author: Writer, asked: LabelItemsAsked) -> Changed:
    """Give items a label, or take it away: those named, those that pass a filter, a cluster.

    No If-Match: what others give or take meanwhile stays as they want it.
    """
    done = service.change_items(
        served.library, asked.name, asked.value, asked.as_choice(), author, remove=asked.remove
    )
    return Changed.model_validate(done)


@reading.get("/studies/{uid}/labels", responses=TAGGED)
def get_study_labels(served: Service, response: Response, uid: Uid) -> LabelSheet:
    """The labels of a study as a whole."""
    return _told(service.sheet_of_study(served.library, uid), response)


@writing.put("/studies/{uid}/labels", responses=TAGGED)
def put_study_labels(
    served: Service,
    author: Writer,
    expected: MadeFrom,
    response: Response,
    uid: Uid,
    asked: LabelsAsked,
) -> LabelSheet:
    """Give a study these labels and no others."""
    done = service.put_labels(served.library, uid, asked.labels, expected, author, of_item=False)
    return _told(done, response)


@writing.delete("/studies/{uid}/labels", responses=TAGGED)
def delete_study_labels(
    served: Service,
    author: Writer,
    expected: MadeFrom,
    response: Response,
    uid: Uid,
    name: OneName = "",
) -> LabelSheet:
    """Take the labels of one name from a study, or all."""
    done = service.drop_labels(served.library, uid, expected, author, of_item=False, name=name)
    return _told(done, response)


@reading.get("/items/{uid}/labels", responses=TAGGED)
def get_item_labels(served: Service, response: Response, uid: Uid) -> LabelSheet:
    """The labels of an item; those of its study are not among them."""
    return _told(service.sheet_of_item(served.library, uid), response)


@writing.put("/items/{uid}/labels", responses=TAGGED)
def put_item_labels(
    served: Service,
    author: Writer,
    expected: MadeFrom,
    response: Response,
    uid: Uid,
    asked: LabelsAsked,
) -> LabelSheet:
    """Give an item these labels and no others."""
    done = service.put_labels(served.library, uid, asked.labels, expected, author, of_item=True)
    return _told(done, response)


@writing.delete("/items/{uid}/labels", responses=TAGGED)
def delete_item_labels(
    served: Service,
    author: Writer,
    expected: MadeFrom,
    response: Response,
    uid: Uid,
    name: OneName = "",
) -> LabelSheet:
    """Take the labels of one name from an item, or all."""
    done = service.drop_labels(served.library, uid, expected, author, of_item=True, name=name)
    return _told(done, response)


@reading.get("/tags")
def list_tags(served: Service) -> list[Tag]:
    """All tags, with how many items and studies have each."""
    return [Tag(name=name, count=count) for name, count in service.tags(served.library).items()]


@writing.post("/tags/{name:path}/items")
def change_tag(
    served: Service,
    author: Writer,
    name: Annotated[str, Path(min_length=1, max_length=64, description="Of the tag.")],
    asked: TagChange,
) -> Changed:
    """Tag items, or take the tag away from them; found by the filter ``label:tag=NAME``."""
    done = service.change_tag(served.library, name, asked.as_choice(), author, remove=asked.remove)
    return Changed.model_validate(done)


def _told(sheet: service.LabelSheet, response: Response) -> LabelSheet:
    give_tag(response, sheet.tag)
    return LabelSheet.model_validate(sheet)
