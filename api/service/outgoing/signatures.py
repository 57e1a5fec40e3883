"""Signatures of messages to webhooks, made and checked.

They are those of Standard Webhooks 1.0.0 (standardwebhooks.com): HMAC-SHA256 of id, time and body,
under a secret that both sides know.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import time
from collections.abc import Mapping
from pathlib import Path

from indexer.errors import ConfigError

_PREFIX = "whsec_"
_FEWEST, _MOST = 24, 64
"""Bytes of a secret, as the specification has it."""


def read_secret(text: str, file: Path | None = None) -> bytes:
    """The bytes of a secret.

    Args:
        text: ``whsec_`` and base64 of 24 to 64 bytes; "" if a file has it.
        file: that has such a line.

    Raises:
        ConfigError: there is none, or it is no such secret; the message never quotes it.
    """
    if file is not None:
        try:
            text = file.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"the secret cannot be read from {file}") from error
    text = text.strip()
    try:
        secret = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        secret = b""
    if not text.startswith(_PREFIX) or not _FEWEST <= len(secret) <= _MOST:
        what = "the webhook secret is not right" if text else "webhooks need a secret"
        raise ConfigError(
            f"{what}: put {_PREFIX} and base64 of {_FEWEST} to {_MOST} bytes into "
            "SYNTOPY_WEBHOOK_SECRET or a file; make one with: "
            f'echo "{_PREFIX}$(openssl rand -base64 32)"'
        )
    return secret


def signed(secret: bytes, message_id: str, body: bytes, at: int) -> dict[str, str]:
    """The headers of a message that is sent at a time, in seconds since 1970."""
    signature = base64.b64encode(_mac(secret, message_id, str(at), body)).decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at),
        "webhook-signature": f"v1,{signature}",
    }


def verify(secret: str, headers: Mapping[str, str], body: bytes, tolerance: float = 300.0) -> bool:
    """Whether a message was signed with a secret, and not long ago; for receivers.

    Args:
        secret: ``whsec_`` and base64.
        headers: of the request, in any case.
        body: as it came.
        tolerance: seconds that its time may be off.

    Raises:
        ConfigError: that is no secret.
    """
    key = read_secret(secret)
    said = {name.lower(): value for name, value in headers.items()}
    at = said.get("webhook-timestamp", "")
    if not (at.isascii() and at.isdigit()) or abs(time.time() - int(at)) > tolerance:
        return False
    wanted = b"v1," + base64.b64encode(_mac(key, said.get("webhook-id", ""), at, body))
    given = said.get("webhook-signature", "").split(" ")
    return any(hmac.compare_digest(wanted, each.encode()) for each in given)


def _mac(secret: bytes, message_id: str, at: str, body: bytes) -> bytes:
    return hmac.digest(secret, f"{message_id}.{at}.".encode() + body, "sha256")
