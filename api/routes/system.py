"""Whether the service lives, is ready, what it is, and what it serves."""

from __future__ import annotations

from fastapi import Request

from api.edge import request_id
from api.problems import problem
from api.rights import Role
from api.routing import router
from api.schemas.system import LibraryInfo, Model, Space, State, Version
from api.served import Service
from api.service import encoders
from api.service import library as service
from indexer import __version__

open_to_all = router("service", None)
for_readers = router("library", Role.READER)


@open_to_all.get("/version")
async def version() -> Version:
    """What is running."""
    return Version(version=__version__, api="v1")


@open_to_all.get("/health")
async def health() -> State:
    """Whether the process answers at all."""
    return State(status="ok")


@open_to_all.get("/ready", response_model=State)
async def ready(request: Request, served: Service) -> object:
    """Whether the indexes are loaded; 503 until they are, when searches would wait for them."""
    if served.ready.is_set():
        return State(status="ok")
    return problem(
        503,
        "the indexes are being loaded",
        request_id(request),
        code="not_ready",
        headers={"Retry-After": "1"},
    )


@for_readers.get("/library")
def library(served: Service) -> LibraryInfo:
    """The library in figures."""
    return LibraryInfo.model_validate(service.info(served.library))


@for_readers.get("/spaces")
def spaces(served: Service) -> list[Space]:
    """The spaces of the library, oldest first."""
    return [Space.model_validate(each) for each in served.library.spaces()]


@for_readers.get("/models")
def models(served: Service) -> list[Model]:
    """Encoders that have a name here, and whether they can be used."""
    return [Model.model_validate(each) for each in encoders.list_models(served.settings)]
