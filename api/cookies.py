"""Cookies of the page: how they are called, set, read and taken back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from fastapi.responses import Response

SESSION, STARTED = "syntopy", "syntopy-start"
"""That of who is signed in; and that of who is just doing so with the issuer."""


def read(headers: Mapping[str, str], name: str, origin: str) -> str:
    """The value of a cookie; "" if there is none, or more than one of the name."""
    wanted, found = _named(name, origin), []
    for each in headers.get("cookie", "").split(";"):
        given, mark, value = each.strip().partition("=")
        if mark and given == wanted:
            found.append(value)
    return found[0] if len(found) == 1 else ""


def put(
    response: Response,
    name: str,
    value: str,
    origin: str,
    *,
    same_site: Literal["strict", "lax"] = "strict",
    seconds: int | None = None,
) -> None:
    """Have the browser keep a cookie, for a time or until it is closed; "" takes it back.

    Over https its name begins with ``__Host-``, which browsers believe of nobody but the very
    host that set it. On this machine there is no TLS, and not every browser keeps such cookies.
    """
    response.set_cookie(
        _named(name, origin),
        value,
        max_age=seconds if value else 0,
        path="/",
        secure=_is_tls(origin),
        httponly=True,
        samesite=same_site,
    )


def _named(name: str, origin: str) -> str:
    return f"__Host-{name}" if _is_tls(origin) else name


def _is_tls(origin: str) -> bool:
    return origin.startswith("https://")
