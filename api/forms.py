"""Requests with files: their part ``request``, and how OpenAPI tells of them."""

from __future__ import annotations

from typing import Any, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from api.routing import check_depth

_M = TypeVar("_M", bound=BaseModel)


def read_request(kind: type[_M], said: bytes) -> _M:
    """The part ``request`` of a multipart body, JSON; empty for a request of defaults alone.

    Raises:
        RequestValidationError: as for a body of JSON.
    """
    check_depth(said)
    try:
        return kind.model_validate_json(said or b"{}")
    except ValidationError as error:
        told = [
            {**each, "loc": ("request", *each["loc"])}
            for each in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        raise RequestValidationError(told) from error


def body_of(kind: type[BaseModel], what: str) -> dict[str, Any]:
    """What OpenAPI says of the body of a route with files."""
    name = kind.__name__
    return {
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "properties": {
                            "request": {
                                "$ref": f"#/components/schemas/{name}",
                                "description": "JSON.",
                            },
                            "file": {
                                "type": "array",
                                "items": {"type": "string", "format": "binary"},
                                "description": what,
                            },
                        },
                    },
                    "encoding": {"request": {"contentType": "application/json"}},
                }
            },
        }
    }
