"""Links from viewers, PACS and RIS into the page."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request
from fastapi.responses import RedirectResponse

from api.problems import ProblemError
from api.routing import router

routes = router("service", None, prefix="")
_UID = r"^[0-9]+(\.[0-9]+)*$"
UidParam = Annotated[
    str | None,
    Query(max_length=64, pattern=_UID, description="A DICOM UID.", examples=["1.2.840.1"]),
]


@routes.get(
    "/similar",
    status_code=303,
    response_class=RedirectResponse,
    responses={303: {"description": "The page, on what was named."}},
)
async def open_similar(
    request: Request,
    study: UidParam = None,
    series: UidParam = None,
    item: Annotated[
        str | None,
        Query(max_length=32, pattern=r"^[0-9a-z]+$", description="The id of an item."),
    ] = None,
) -> RedirectResponse:
    """Open the page on what is like a study, a series or an item: exactly one of them.

    For links of other programs. It says nothing of the library; who may see what, the page asks.
    """
    given = [
        (name, said)
        for name, said in (("study", study), ("series", series), ("item", item))
        if said is not None
    ]
    if len(given) != 1:
        raise ProblemError(422, "name one of study, series and item")
    ((name, said),) = given
    root = request.scope.get("root_path", "")
    return RedirectResponse(f"{root}/#/search?{name}={said}", status_code=303)
