"""API keys: made, listed, revoked, by administrators."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query, Request

from api.recording import asked_event
from api.rights import Principal, Role
from api.routing import router
from api.schemas.upkeep import Key, KeyAsked, NewKey
from api.served import Service
from api.service.access import keys
from api.service.access.keys import KeyRequest

routes = router("keys", Role.ADMIN)
Prefix = Annotated[
    str,
    Path(
        min_length=1,
        max_length=12,
        description="The part of a key that may be seen.",
        examples=["3f9a0c1b2d4e"],
    ),
]


@routes.get("/keys")
def list_keys(
    served: Service,
    all: Annotated[bool, Query(description="Also those that are expired or revoked.")] = False,
) -> list[Key]:
    """Keys in the order in which they were made; never what is secret of them."""
    return [Key.model_validate(each) for each in keys.listed(served.library, everything=all)]


@routes.post("/keys", status_code=201)
def create_key(request: Request, served: Service, asked: KeyAsked) -> NewKey:
    """Make a key that may do nothing that whoever asks may not. It is told once, here."""
    asker: Principal = request.state.principal
    wanted = KeyRequest(asked.name, Role(asked.role), asked.days, asked.libraries)
    keys.grantable(asker, wanted, served.library.config.id)
    made = keys.create(served.library, wanted, actor=asker.name, asked=asked_event(request))
    request.state.recorded = True  # by the row that came with the key, in one transaction
    return NewKey.model_validate(made)


@routes.delete("/keys/{prefix}")
def revoke_key(request: Request, served: Service, prefix: Prefix) -> Key:
    """Let a key, and all sessions that began with it, be accepted no more."""
    asker: Principal = request.state.principal
    gone = keys.revoke(served.library, prefix, actor=asker.name, asked=asked_event(request))
    request.state.recorded = True  # as above
    return Key.model_validate(gone)
