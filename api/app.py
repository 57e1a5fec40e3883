"""The HTTP service: one application made from settings, with nothing global."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import anyio.to_thread
from fastapi import FastAPI
from fastapi.middleware import Middleware
from fastapi.middleware.cors import CORSMiddleware
from fastapi.routing import APIRoute
from fastapi.telemetry import TelemetryConfig
from opentelemetry.trace import Tracer

from api.access import Authenticate, anyone_on_loopback, known_by
from api.doorkeeper import Doorkeeper
from api.downloads import Downloads
from api.edge import Edge, Limits
from api.following import Followed
from api.measuring import Measuring
from api.metrics import Metrics
from api.openapi import described
from api.origins import Site, checked_origin
from api.page import PAGE, add_page
from api.problems import add_handlers
from api.proxies import Proxied, trusted_networks
from api.routes import (
    audit,
    catalog,
    dicomweb,
    exports,
    facets,
    groups,
    heat,
    jobs,
    keys,
    labels,
    links,
    metrics,
    ood,
    pictures,
    qido,
    regions,
    reviews,
    search,
    session,
    sets,
    structured,
    system,
    upkeep,
    wado,
    wado_pictures,
)
from api.served import Served, serving
from api.tokens import TokenVerifier, token_rules
from api.tracing import Traced
from indexer import __version__
from indexer.config import Settings

_ABOUT = (
    "Neighbours, clusters and outliers among the images of a library. For research; not a medical "
    "device. Errors are RFC 9457 problem documents with stable codes."
)

# FastAPI's own would send addresses with their UIDs and filters, and messages of errors, to
# wherever the environment names; `api.tracing` sends neither.
_NO_TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}


def create_app(
    settings: Settings,
    authenticate: Authenticate | None = anyone_on_loopback,
    *,
    receive: bool = False,
    tracer: Tracer | None = None,
    page: Path = PAGE,
) -> FastAPI:
    """The service of one library, which is opened when it starts and closed when it ends.

    Args:
        settings: which library, and all limits.
        authenticate: who asks; without another one everybody does who can reach it on loopback,
            and it must listen nowhere else. None takes the API keys of the library and the tokens
            of the issuer that the settings name, and lets people sign in with either; then
            everything is recorded in the audit.
        receive: take studies that are sent; ``syntopy arrivals --follow`` indexes them.
        tracer: of `api.tracing`, if there shall be traces.
        page: folder of the page as it was built.

    Raises:
        ConfigError: settings say wrongly who may ask, or which proxies are trusted.
    """
    counted = Metrics()
    if authenticate is None:
        token_rules(settings, frozenset())  # refused here, not when the service has started
    Site(settings.public_url)
    elsewhere = [checked_origin(each, "SYNTOPY_CORS_ORIGINS") for each in settings.cors_origins]

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # Each thread holds at most two connections to the catalog, of which there are enough.
        anyio.to_thread.current_default_thread_limiter().total_tokens = settings.serve_threads
        answering = ThreadPoolExecutor(settings.serve_threads, "answering")
        asyncio.get_running_loop().set_default_executor(answering)
        with serving(settings, counted, guarded=authenticate is None, receive=receive) as served:
            app.state.served = served
            app.state.downloads = Downloads()
            app.state.authenticate = authenticate or known_by(_doorkeeper(served))
            async with Followed(served, app.state.ending) as app.state.followed:
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
        telemetry=_NO_TELEMETRY,
        middleware=[
            Middleware(Proxied, trusted=trusted_networks(settings.trusted_proxies)),
            Middleware(Traced, tracer=tracer, believing=authenticate is anyone_on_loopback),
            Middleware(Measuring, metrics=counted),
            Middleware(Edge),
            *([_shared_with(elsewhere)] if elsewhere else []),
            Middleware(Limits, settings=settings),
        ],
    )
    app.state.ending = asyncio.Event()
    for routes in (  # in this order they are looked through: what is asked most comes first
        pictures.routes,
        search.routes,
        system.open_to_all,
        system.for_readers,
        session.routes,
        catalog.routes,
        facets.routes,
        regions.routes,
        groups.clusters,
        groups.naming,
        groups.on_maps,
        labels.reading,
        labels.writing,
        sets.reading,
        sets.writing,
        reviews.reading,
        reviews.writing,
        ood.routes,
        heat.routes,
        dicomweb.routes,
        qido.routes,
        wado.routes,
        wado_pictures.routes,
        metrics.routes,
        jobs.routes,
        exports.routes,
        structured.routes,
        links.routes,
        upkeep.watching,
        upkeep.reading,
        upkeep.for_operators,
        keys.routes,
        audit.routes,
    ):
        app.include_router(routes)
    add_page(app, settings, page)
    add_handlers(app)
    app.openapi = lambda: described(app)  # type: ignore[method-assign] # FastAPI's own way
    return app


def _doorkeeper(served: Served) -> Doorkeeper:
    rules = token_rules(served.settings, frozenset({served.library.config.id}))
    tokens = None if rules is None else TokenVerifier(rules)
    return Doorkeeper(served.library, tokens, site=served.site, settings=served.settings)


def _shared_with(sites: list[str]) -> Middleware:
    """Pages of these sites may ask with a key or a token, and never with a cookie."""
    return Middleware(
        CORSMiddleware,
        allow_origins=sites,
        allow_credentials=False,
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "If-Match", "If-None-Match", "Range"],
        expose_headers=["ETag", "X-Request-Id", "Retry-After"],
    )


def _operation_id(route: APIRoute) -> str:
    return route.name
