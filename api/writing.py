"""What routes that change something share: who does it, and from what it was made."""

from __future__ import annotations

import re
from typing import Annotated, Any

from fastapi import Depends, Header, Request
from fastapi.responses import Response

from api.problems import ProblemError, quoted
from api.served import Served
from api.service.curating.editing import Author, Expected

_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e]*)"')
_HOW = "GET it, and send its ETag as If-Match"
TAGGED: dict[int | str, dict[str, Any]] = {
    200: {
        "headers": {
            "ETag": {"description": "For If-Match of a change.", "schema": {"type": "string"}}
        }
    }
}
"""Of routes whose answers have a tag."""


async def _author(request: Request) -> Author:
    served: Served = request.app.state.served
    event = None if served.recording is None else served.recording.change(request)
    request.state.author = Author(request.state.principal.name, event)
    return request.state.author  # type: ignore[no-any-return] # the state of a request has none


IfMatch = Annotated[
    str,
    Header(max_length=1_000, description="ETag of what the change was made from; * for any."),
]
IfNoneMatch = Annotated[
    str, Header(max_length=1_000, description="* where there must be nothing yet.")
]


async def _made_from(if_match: IfMatch = "") -> Expected:
    if not if_match.strip():
        raise ProblemError(428, f"say what the change was made from: {_HOW}")
    return _read(if_match)


async def _made_from_or_new(if_match: IfMatch = "", if_none_match: IfNoneMatch = "") -> Expected:
    new = if_none_match.strip()
    if new and (new != "*" or if_match.strip()):
        raise ProblemError(400, "send If-None-Match: * to make something new, or If-Match")
    if new:
        return Expected(nothing=True)
    if not if_match.strip():
        raise ProblemError(
            428, f"say what the change was made from: {_HOW}, or If-None-Match: * if it is new"
        )
    return _read(if_match)


def _read(header: str) -> Expected:
    """Entity tags (RFC 9110, 13.1.1); weak ones are those of nothing."""
    if header.strip() == "*":
        return Expected(anything=True)
    tags = [_TAG.fullmatch(each.strip()) for each in header.split(",")]
    found = [tag for tag in tags if tag is not None]
    if len(found) < len(tags):
        raise ProblemError(400, 'If-Match is an ETag with its quotes, such as "1f3a"')
    return Expected(frozenset(tag[2] for tag in found if tag[1] is None and tag[2]))


Writer = Annotated[Author, Depends(_author)]
"""A parameter of a route: who changes something."""
MadeFrom = Annotated[Expected, Depends(_made_from)]
"""A parameter of a route: what the change was made from; 428 if that is not said."""
MadeFromOrNew = Annotated[Expected, Depends(_made_from_or_new)]
"""As `MadeFrom`; or there is nothing yet."""


def give_tag(response: Response, tag: str) -> None:
    """Tell the version of what is answered."""
    response.headers["ETag"] = quoted(tag)
