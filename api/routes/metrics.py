"""What Prometheus asks for."""

from __future__ import annotations

from fastapi import Response
from fastapi.responses import PlainTextResponse

from api.metrics import CONTENT_TYPE
from api.rights import Role
from api.routing import router
from api.served import Service

routes = router("service", Role.MONITOR, prefix="", recorded=False)


@routes.get("/metrics", response_class=PlainTextResponse)
def metrics(served: Service) -> Response:
    """Figures for Prometheus, in its text format: no patients, no UIDs, no keys.

    Those of the library are some seconds old.
    """
    return Response(served.metrics.told(), media_type=CONTENT_TYPE)
