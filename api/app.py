"""The HTTP service: one application made from settings, with nothing global."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio.to_thread
from fastapi import FastAPI
from fastapi.middleware import Middleware
from fastapi.routing import APIRoute

from api.access import Authenticate, anyone_on_loopback, known_by
from api.doorkeeper import Doorkeeper
from api.edge import Edge, Limits
from api.openapi import described
from api.page import PAGE, add_page
from api.problems import add_handlers
from api.routes import catalog, dicomweb, facets, groups, ood, pictures, search, system
from api.served import Served, serving
from api.tokens import TokenVerifier, token_rules
from indexer import __version__
from indexer.config import Settings

_ABOUT = (
    "Neighbours, clusters and outliers among the images of a library. For research; not a medical "
    "device. Errors are RFC 9457 problem documents with stable codes."
)


def create_app(
    settings: Settings,
    authenticate: Authenticate | None = anyone_on_loopback,
    *,
    receive: bool = False,
    page: Path = PAGE,
) -> FastAPI:
    """The service of one library, which is opened when it starts and closed when it ends.

    Args:
        settings: which library, and all limits.
        authenticate: who asks; without another one everybody does who can reach it on loopback,
            and it must listen nowhere else. None takes the API keys of the library and the tokens
            of the issuer that the settings name; then everything is recorded in the audit.
        receive: take studies that are sent; ``syntopy arrivals --follow`` indexes them.
        page: folder of the page as it was built.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # Each worker holds at most two connections to the catalog, of the 15 that there are.
        anyio.to_thread.current_default_thread_limiter().total_tokens = settings.serve_threads
        with serving(settings, guarded=authenticate is None, receive=receive) as served:
            app.state.served = served
            app.state.authenticate = authenticate or known_by(_doorkeeper(served))
            yield

    app = FastAPI(
        title="Syntopy",
        description=_ABOUT,
        version=__version__,
        lifespan=lifespan,
        openapi_url="/v1/openapi.json",
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
        generate_unique_id_function=_operation_id,
        middleware=[Middleware(Edge), Middleware(Limits, settings=settings)],
    )
    for routes in (
        system.open_to_all,
        system.for_readers,
        catalog.routes,
        facets.routes,
        pictures.routes,
        search.routes,
        groups.clusters,
        groups.on_maps,
        ood.routes,
        dicomweb.routes,
    ):
        app.include_router(routes)
    add_page(app, settings, page)
    add_handlers(app)
    app.openapi = lambda: described(app)  # type: ignore[method-assign] # FastAPI's own way
    return app


def _doorkeeper(served: Served) -> Doorkeeper:
    rules = token_rules(served.settings, frozenset({served.library.config.id}))
    return Doorkeeper(served.library, None if rules is None else TokenVerifier(rules))


def _operation_id(route: APIRoute) -> str:
    return route.name
