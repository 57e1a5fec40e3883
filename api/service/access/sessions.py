"""Sessions: somebody signed in with a browser, is recognised by a cookie, and signs out.

A cookie is twelve hex digits that name the session, ``_``, and 32 random bytes in URL-safe base64.
As of API keys, an HMAC-SHA256 of it is all that is stored, and it covers role, libraries and
expiry too, and what the key that was signed in with is stored as: that changes when the key is
revoked, and then its sessions are none any more. A session that has ended is deleted.
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, insert, or_, select, update

from api.rights import SIGNED_IN, Principal, Role
from indexer.catalog.audit import Action, AuditEvent, append
from indexer.catalog.database import reading, transaction
from indexer.catalog.tables import ApiKey, Session, now
from indexer.config import Settings
from indexer.errors import (
    ItemNotFoundError,
    LibraryLockedError,
    NotAuthenticatedError,
    StorageFullError,
)
from indexer.library import Library

MOST = 20
"""Sessions that one key or person has at once; the oldest ends when there is one more."""
_COOKIE = re.compile(r"([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_REFUSED = "you are not signed in any more; sign in again"
_NOTED = timedelta(minutes=1)
# Compared with where nobody has the session, so that time tells nothing; no digest is like it.
_NOBODY = {
    "prefix": "",
    "name": "",
    "role": "",
    "libraries": [],
    "via": "",
    "expires_at": datetime.max,
    "used_at": datetime.max,
    "digest": "-" * 64,
}


@dataclass(frozen=True)
class SessionInfo:
    """What may be told of a session; times are ISO, in UTC.

    Attributes:
        prefix: by which it is named.
        via: what was signed in with: ``key:PREFIX`` or ``token:ISSUER``.
        used_at: when it last asked, to the minute.
    """

    prefix: str
    name: str
    role: str
    libraries: tuple[str, ...]
    via: str
    created_at: str
    expires_at: str
    used_at: str


@dataclass(frozen=True)
class Recognised:
    """A session, and who it is."""

    principal: Principal
    session: SessionInfo


@dataclass(frozen=True)
class NewSession:
    """A session that just began; ``cookie`` is told only now."""

    cookie: str = field(repr=False)
    session: SessionInfo


def start(
    library: Library,
    principal: Principal,
    settings: Settings,
    *events: AuditEvent,
    at: datetime | None = None,
) -> NewSession:
    """Begin the session of somebody who just said who they are with a key or a token.

    Args:
        library: whose catalog keeps it.
        principal: as the key or token tells; the session may no more, and lasts no longer.
        settings: how long it lasts.
        events: for the audit, written together with it or not at all.
        at: the time, in UTC; now by default.

    Raises:
        NotAuthenticatedError: the key was revoked just now.
    """
    at = _plain(at)
    secret = secrets.token_urlsafe(32)
    row: dict[str, Any] = {
        "prefix": secrets.token_hex(6),
        "name": principal.name,
        "role": principal.role.value,
        "libraries": sorted(principal.libraries),
        "via": principal.how,
        "created_at": at,
        "expires_at": at + timedelta(hours=settings.session_hours),
        "used_at": at,
    }
    with transaction(library.engine) as db:
        # Takes the write lock: a key that is in use now is revoked after this, or was not.
        db.execute(delete(Session).where(_over(settings, at)))
        key = _key_of(db, principal.how)
        if key is None or key["expires_at"] <= at:
            raise NotAuthenticatedError(_REFUSED)
        row["expires_at"] = min(row["expires_at"], key["expires_at"])
        row["digest"] = _digest(library, secret, row, key["digest"])
        db.execute(insert(Session).values(row))
        own = Session.via == row["via"], Session.name == row["name"]
        kept = select(Session.id).where(*own).order_by(Session.id.desc()).limit(MOST)
        db.execute(delete(Session).where(*own, Session.id.not_in(kept)))
        append(db, events)
    return NewSession(f"{row['prefix']}_{secret}", _info(row))


def recognise(
    library: Library,
    cookie: str,
    settings: Settings,
    *,
    use: bool = True,
    at: datetime | None = None,
) -> Recognised:
    """Who sent this cookie.

    Args:
        library: whose catalog keeps the session.
        cookie: the whole of it.
        settings: how long a session lasts.
        use: whether that puts off its end; a page that only asks who is signed in does not.
        at: the time, in UTC; now by default.

    Raises:
        NotAuthenticatedError: it is of no session, or of one that has ended, expired, not been
            used for long, or whose key is revoked.
    """
    at, parts = _plain(at), _COOKIE.fullmatch(cookie)
    if parts is None:
        raise NotAuthenticatedError(_REFUSED)
    with reading(library.engine) as db:
        query = select(Session.__table__).where(Session.prefix == parts[1])
        found = db.execute(query).mappings().first()
        row = dict(_NOBODY if found is None else found)
        key = _key_of(db, row["via"])
    given = _digest(library, parts[2], row, "" if key is None else key["digest"])
    known = hmac.compare_digest(given.encode(), row["digest"].encode())
    idle = at - row["used_at"]
    if not known or key is None or row["expires_at"] <= at or idle >= _idle(settings):
        raise NotAuthenticatedError(_REFUSED)
    if use and idle >= _NOTED:  # to the minute, so that reading hardly ever writes
        # Who only reads needs no place to write: the next request notes it as well.
        with suppress(LibraryLockedError, StorageFullError), transaction(library.engine) as db:
            used = update(Session).where(Session.prefix == row["prefix"])
            db.execute(used.values(used_at=at))
    how = SIGNED_IN + row["via"]
    principal = Principal(row["name"], Role(row["role"]), frozenset(row["libraries"]), how)
    return Recognised(principal, _info(row))


def end(library: Library, prefix: str, *events: AuditEvent) -> bool:
    """End a session, from the next request on.

    Args:
        library: whose.
        prefix: of the session.
        events: for the audit, written if there was such a session.

    Returns:
        Whether there was.
    """
    with transaction(library.engine) as db:
        gone = db.execute(delete(Session).where(Session.prefix == prefix)).rowcount > 0
        if gone:
            append(db, events)
    return gone


def sign_out(library: Library, prefix: str, *, actor: str) -> None:
    """End the session of somebody else.

    Raises:
        ItemNotFoundError: there is none of this prefix.
    """
    event = AuditEvent(actor=actor, action=Action.LOGOUT, subject={"prefix": prefix})
    if not end(library, prefix, event):
        raise ItemNotFoundError(
            f"there is no session '{prefix}'; list them with: syntopy keys sessions"
        )


def listed(library: Library, settings: Settings) -> list[SessionInfo]:
    """Sessions that have not ended, oldest first; also those whose key was revoked since."""
    query = select(Session.__table__).where(~_over(settings, _plain(None))).order_by(Session.id)
    with reading(library.engine) as db:
        return [_info(dict(row)) for row in db.execute(query).mappings()]


def _over(settings: Settings, at: datetime) -> Any:
    return or_(Session.expires_at <= at, Session.used_at <= at - _idle(settings))


def _idle(settings: Settings) -> timedelta:
    return timedelta(minutes=settings.session_minutes)


def _key_of(db: Connection, via: str) -> Mapping[str, Any] | None:
    """The key in use that was signed in with; of a token nothing is known that could change."""
    kind, _, prefix = via.partition(":")
    if kind != "key":
        return {"digest": "", "expires_at": datetime.max}
    query = select(ApiKey.digest, ApiKey.expires_at).where(
        ApiKey.prefix == prefix, ApiKey.revoked_at.is_(None)
    )
    found = db.execute(query).mappings().first()
    return None if found is None else dict(found)


def _digest(library: Library, secret: str, row: Mapping[str, Any], key_digest: str) -> str:
    bound = {name: row[name] for name in ("prefix", "name", "role", "libraries", "via")}
    bound |= {"secret": secret, "expires_at": row["expires_at"].isoformat(), "key": key_digest}
    key = hmac.digest(library.key, b"syntopy sessions", "sha256")
    return hmac.digest(key, json.dumps(bound, sort_keys=True).encode(), "sha256").hex()


def _plain(at: datetime | None) -> datetime:
    return (at or now()).astimezone(UTC).replace(tzinfo=None, microsecond=0)


def _info(row: Mapping[str, Any]) -> SessionInfo:
    names = "prefix", "name", "role", "via"
    times = "created_at", "expires_at", "used_at"
    told: dict[str, Any] = {name: row[name] for name in names}
    told |= {name: row[name].replace(tzinfo=UTC).isoformat(timespec="seconds") for name in times}
    return SessionInfo(**told, libraries=tuple(row["libraries"]))
