"""Answers that are not JSON: pictures and packed numbers, with tags by which they are kept."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from fastapi.responses import Response

_KEPT = "private, no-cache"
"""A browser keeps it for whoever is logged in, and asks each time whether it is still the same."""


def _binary(media_type: str, said: str) -> dict[int | str, dict[str, Any]]:
    schema = {"type": "string", "format": "binary"}
    return {
        200: {"description": said, "content": {media_type: {"schema": schema}}},
        304: {"description": "What the client has, by its ETag, is what there is."},
    }


WEBP = _binary("image/webp", "A picture.")
PNG = _binary("image/png", "A picture.")
FLOATS = _binary(
    "application/octet-stream", "Pairs of little-endian float32: x and y of each point."
)
NUMBERS = _binary(
    "application/octet-stream", "Little-endian uint16 of a category, float32 of a number."
)
BITS = _binary("application/octet-stream", "One bit of each point, the lowest of a byte first.")


def with_tag(content: bytes, media_type: str, tag: str) -> Response:
    """A response that may be kept and asked for again by its tag."""
    headers = {"ETag": f'"{tag}"', "Cache-Control": _KEPT}
    return Response(content, media_type=media_type, headers=headers)


def known_already(request: Request, tag: str) -> Response | None:
    """304 where the client has what it asks for, else None (RFC 9110, 13.1.2)."""
    said = request.headers.get("if-none-match", "")
    tags = {each.strip().removeprefix("W/") for each in said.split(",")}
    if not tags & {f'"{tag}"', "*"}:
        return None
    return Response(status_code=304, headers={"ETag": f'"{tag}"', "Cache-Control": _KEPT})
