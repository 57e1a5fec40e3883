"""Where items are unlike a reference: colours to lay over a frame, and their figures."""

from __future__ import annotations

from fastapi import Request
from fastapi.responses import Response

from api.answers import PNG, known_already, with_tag
from api.rights import Role
from api.routes.ood import NameParam
from api.routing import router
from api.schemas.common import Uid
from api.schemas.flags import ItemHeat
from api.served import Service

routes = router("ood", Role.READER)


@routes.get("/items/{uid}/heat", response_class=Response, responses=PNG)
def get_heat(request: Request, served: Service, uid: Uid, reference: NameParam) -> Response:
    """Where an item is unlike a reference, as colours to be laid over its drawn frame.

    Of a volume it is the slice with the oddest place. What is usual is transparent.
    """
    found = served.heat.of(reference, uid)
    return known_already(request, found.tag) or with_tag(found.png, "image/png", found.tag)


@routes.get("/items/{uid}/heat/figures")
def get_heat_figures(served: Service, uid: Uid, reference: NameParam) -> ItemHeat:
    """How odd the oddest place of an item is, on which slice, and how usual that is."""
    return ItemHeat.model_validate(served.heat.of(reference, uid))
