"""API keys: made, listed, revoked, and recognised.

A key is ``syn_``, twelve hex digits that name it and may be seen, ``_``, and 32 random bytes in
URL-safe base64. It is shown once; what is stored is an HMAC-SHA256 of it under a key derived from
the library's key file. The random part cannot be guessed, so no slow hash is needed, and as the
key file lies outside the catalog, a copy of the catalog tells nothing of the keys and who can
only write to it cannot make one. The HMAC covers role, libraries and expiry too, and is replaced by
one of itself when the key is revoked: a row that was changed by hand is no key any more.
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import insert, select, update

from api.rights import EVERY_LIBRARY, Principal, Role
from indexer.catalog.audit import Action, AuditEvent, append
from indexer.catalog.database import reading, transaction
from indexer.catalog.tables import ApiKey, now
from indexer.errors import (
    AccessDeniedError,
    ConfigError,
    ItemNotFoundError,
    NotAuthenticatedError,
)
from indexer.library import Library

LONGEST_DAYS = 3_650
_TOKEN = re.compile(r"syn_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_LIBRARY = re.compile(r"\*|[A-Za-z0-9._-]{1,64}")
_REFUSED = "this API key is not accepted; check that it was copied whole, or ask for a new one"
# Compared with where nobody has the key, so that time tells nothing; no digest is like it.
_NOBODY = {
    "prefix": "",
    "role": "",
    "libraries": [],
    "expires_at": datetime.max,
    "digest": "-" * 64,
    "revoked_at": None,
}


@dataclass(frozen=True)
class KeyRequest:
    """What a key shall be.

    Attributes:
        name: who or what will ask with it; it appears in the audit.
        role: what it may do.
        days: after which it expires, 1 to `LONGEST_DAYS`.
        libraries: ids of the libraries it is for; only this one by default, ``*`` for all.
    """

    name: str
    role: Role = Role.READER
    days: int = 365
    libraries: Sequence[str] = ()


@dataclass(frozen=True)
class KeyInfo:
    """What may be told of a key; times are ISO, in UTC.

    Attributes:
        state: ``active``, ``expired`` or ``revoked``.
        last_used_on: a date, or "".
        revoked_at: a time, or "".
    """

    prefix: str
    name: str
    role: str
    libraries: tuple[str, ...]
    state: str
    created_at: str
    expires_at: str
    last_used_on: str
    revoked_at: str


@dataclass(frozen=True)
class NewKey:
    """A key that was just made; ``token`` is the whole of it, told only now."""

    token: str = field(repr=False)
    key: KeyInfo


def create(
    library: Library, request: KeyRequest, *, actor: str, asked: AuditEvent | None = None
) -> NewKey:
    """Make a key.

    Args:
        library: whose catalog keeps it.
        request: what it shall be.
        actor: who makes it.
        asked: the request over HTTP by which they do, whose row of the audit this becomes.

    Raises:
        ConfigError: the name is empty or too long, or days or libraries are wrong.
    """
    _check(request)
    made = now().replace(tzinfo=None, microsecond=0)
    row = {
        "prefix": secrets.token_hex(6),
        "name": request.name.strip(),
        "role": request.role.value,
        "libraries": sorted(set(request.libraries)) or [library.config.id],
        "created_at": made,
        "expires_at": made + timedelta(days=request.days),
        "last_used_on": "",
        "revoked_at": None,
    }
    secret = secrets.token_urlsafe(32)
    row["digest"] = _digest(library, secret, row)
    with transaction(library.engine) as db:
        db.execute(insert(ApiKey).values(row))
        append(db, [_event(actor, "create", row, asked)])
    return NewKey(f"syn_{row['prefix']}_{secret}", _info(row))


def listed(library: Library, *, everything: bool = False) -> list[KeyInfo]:
    """Keys in the order in which they were made; without ``everything`` only those in use."""
    with reading(library.engine) as db:
        rows = db.execute(select(ApiKey.__table__).order_by(ApiKey.id)).mappings()
        keys = [_info(dict(row)) for row in rows]
    return [key for key in keys if everything or key.state == "active"]


def revoke(
    library: Library, prefix: str, *, actor: str, asked: AuditEvent | None = None
) -> KeyInfo:
    """Let a key be accepted no more, from the next request on; ``asked`` as of `create`.

    Raises:
        ItemNotFoundError: no key has this prefix, or it is revoked already.
    """
    there = ApiKey.prefix == prefix, ApiKey.revoked_at.is_(None)
    revoked_at = now().replace(tzinfo=None, microsecond=0)
    with transaction(library.engine) as db:
        # The first statement takes the write lock: of two who revoke a key one finds it revoked.
        db.execute(update(ApiKey).where(*there).values(last_used_on=ApiKey.last_used_on))
        found = db.execute(select(ApiKey.__table__).where(*there)).mappings().first()
        if found is None:
            raise ItemNotFoundError(
                f"no key '{prefix}' is in use; list them with: syntopy keys list"
            )
        row = {**found, "revoked_at": revoked_at}
        sealed = _of_revoked(library, row["digest"])
        db.execute(update(ApiKey).where(*there).values(revoked_at=revoked_at, digest=sealed))
        append(db, [_event(actor, "revoke", row, asked)])
    return _info(row)


def grantable(asker: Principal, request: KeyRequest, library: str) -> None:
    """Return if somebody may make such a key: it may do nothing that they may not.

    How long it lasts is free, or an administrator could not make the key that follows theirs.

    Args:
        asker: who asks for it.
        request: what it shall be.
        library: id of the one that it is for if it names none.

    Raises:
        AccessDeniedError: it would have a higher role, or rights in another library.
    """
    if not asker.role.includes(request.role):
        raise AccessDeniedError(f"{asker.name} is {asker.role.value}, and makes no stronger key")
    beyond = set(request.libraries or [library]) - asker.libraries
    if EVERY_LIBRARY not in asker.libraries and beyond:
        raise AccessDeniedError(
            f"{asker.name} has no rights in {', '.join(sorted(beyond))}, and makes no key for it"
        )


def authenticate(library: Library, token: str, *, at: datetime | None = None) -> Principal:
    """Who asks with this key.

    A wrong key takes the same steps as one that nobody made, and is answered alike.

    Args:
        library: whose catalog has the keys.
        token: the whole key.
        at: the time, in UTC; now by default.

    Raises:
        NotAuthenticatedError: it is no key of this library, or expired or revoked.
    """
    parts = _TOKEN.fullmatch(token)
    if parts is None:
        raise NotAuthenticatedError(_REFUSED)
    at = at or now()
    with reading(library.engine) as db:
        query = select(ApiKey.__table__).where(ApiKey.prefix == parts[1])
        found = db.execute(query).mappings().first()
    row = dict(_NOBODY if found is None else found)
    given = _digest(library, parts[2], row)
    if row["revoked_at"] is not None:
        given = _of_revoked(library, given)
    if not hmac.compare_digest(given.encode(), row["digest"].encode()):
        raise NotAuthenticatedError(_REFUSED)
    info = _info(row, at)
    if info.state != "active":
        raise NotAuthenticatedError(f"the API key {info.prefix} is {info.state}; ask for a new one")
    _note_use(library, info, at.date().isoformat())
    return Principal(info.name, Role(info.role), frozenset(info.libraries), f"key:{info.prefix}")


def _note_use(library: Library, info: KeyInfo, today: str) -> None:
    if info.last_used_on < today:  # to the day, so that reading hardly ever writes
        with transaction(library.engine) as db:
            used = update(ApiKey).where(ApiKey.prefix == info.prefix)
            db.execute(used.values(last_used_on=today))


def _check(request: KeyRequest) -> None:
    name = request.name.strip()
    if not 1 <= len(name) <= 128 or not name.isprintable():
        raise ConfigError("the name of a key is 1 to 128 printable characters")
    if not 1 <= request.days <= LONGEST_DAYS:
        raise ConfigError(f"a key lasts 1 to {LONGEST_DAYS} days, not {request.days}")
    for library in request.libraries:
        if not _LIBRARY.fullmatch(library):
            raise ConfigError(
                f"'{library}' is no id of a library; see: syntopy info, or '{EVERY_LIBRARY}' for "
                "all"
            )


def _digest(library: Library, secret: str, row: Mapping[str, Any]) -> str:
    """The keyed hash of a secret together with what the key may do and until when."""
    bound = {name: row[name] for name in ("prefix", "role", "libraries")}
    bound |= {"secret": secret, "expires_at": row["expires_at"].isoformat()}
    return _keyed(library, json.dumps(bound, sort_keys=True))


def _of_revoked(library: Library, digest: str) -> str:
    """What stands in place of the digest of a key that is revoked."""
    return _keyed(library, f"revoked {digest}")


def _keyed(library: Library, text: str) -> str:
    key = hmac.digest(library.key, b"syntopy api keys", "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


def _event(actor: str, what: str, row: Mapping[str, Any], asked: AuditEvent | None) -> AuditEvent:
    told = {name: row[name] for name in ("prefix", "name", "role", "libraries")}
    event = asked or AuditEvent(actor=actor, action=Action.KEYS)
    return replace(event, subject={**event.subject, "what": what, **told})


def _info(row: Mapping[str, Any], at: datetime | None = None) -> KeyInfo:
    at = (at or now()).astimezone(UTC).replace(tzinfo=None)
    expired = row["expires_at"] <= at
    return KeyInfo(
        row["prefix"],
        row["name"],
        row["role"],
        tuple(row["libraries"]),
        "revoked" if row["revoked_at"] is not None else "expired" if expired else "active",
        _iso(row["created_at"]),
        _iso(row["expires_at"]),
        row["last_used_on"],
        "" if row["revoked_at"] is None else _iso(row["revoked_at"]),
    )


def _iso(at: datetime) -> str:
    return at.replace(tzinfo=UTC).isoformat(timespec="seconds")
