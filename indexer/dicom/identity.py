"""Who a study belongs to, without keeping who that is.

A patient id becomes a keyed pseudonym (HMAC-SHA-256). Names and birth dates are never stored;
keyed fingerprints of them only serve to notice that two strangers share an id (I4, I5).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import unicodedata
from dataclasses import dataclass

_GENERIC_IDS = frozenset(
    [
        "anon",
        "anonymous",
        "anonymized",
        "anonymised",
        "anonym",
        "none",
        "null",
        "na",
        "n/a",
        "nil",
        "unknown",
        "unnamed",
        "noid",
        "no_id",
        "patient",
        "patientid",
        "id",
        "demo",
        "dev",
        "test",
        "testpatient",
        "deidentified",
        "removed",
        "default",
        "dummy",
        "sample",
        "phantom",
        "qa",
        "qc",
        "service",
    ]
)


@dataclass(frozen=True)
class PatientFingerprint:
    """Keyed traces of demographics: equal input gives equal text, and nothing else is told."""

    birth: str = ""
    sex: str = ""
    names: tuple[str, ...] = ()


def pseudonym(key: bytes, patient_id: str, issuer: str = "") -> str:
    """A stable 16-character pseudonym of a patient id within its issuer (I4)."""
    return _keyed(key, "patient", issuer.strip(), patient_id.strip())[:16]


def study_pseudonym(key: bytes, study_instance_uid: str) -> str:
    """The pseudonym of the unknown person behind one study, for ids that name nobody."""
    return _keyed(key, "study", study_instance_uid)[:16]


def names_nobody(patient_id: str) -> bool:
    """Whether an id cannot stand for one person: empty, ``***``, ``DEV``, ``ANONYMOUS``, zeros."""
    plain = re.sub(r"[\W_]+", "", patient_id.lower())
    if patient_id.strip().lower() in _GENERIC_IDS or plain in _GENERIC_IDS:
        return True
    # A real id has a digit, and not only one repeated: "***", "XXXX", "0000".
    return not any(c.isdigit() for c in plain) or len(set(plain)) == 1


def fingerprint(key: bytes, birth_date: str, sex: str, name: str) -> PatientFingerprint:
    """Keyed traces of a patient's demographics; absent ones stay empty."""
    words = sorted(set(_words(name)))
    return PatientFingerprint(
        birth=_keyed(key, "birth", birth_date)[:12] if birth_date else "",
        sex=sex if sex in ("M", "F") else "",
        names=tuple(_keyed(key, "name", word)[:8] for word in words),
    )


def strangers(a: PatientFingerprint, b: PatientFingerprint) -> bool:
    """Whether two sets of demographics under one id contradict each other.

    Birth date decides where both have one (names change by marriage and spelling); else sex;
    else names that share no word.
    """
    if a.sex and b.sex and a.sex != b.sex:
        return True
    if a.birth and b.birth:
        return a.birth != b.birth
    return bool(a.names and b.names) and not set(a.names) & set(b.names)


def _words(name: str) -> list[str]:
    """The words of a name without case and accents; single letters and placeholders say nothing."""
    letters = unicodedata.normalize("NFKD", name).casefold()
    plain = "".join(c for c in letters if not unicodedata.combining(c))
    return [w for w in re.split(r"[\W\d_]+", plain) if len(w) > 1 and w not in _GENERIC_IDS]


def _keyed(key: bytes, *parts: str) -> str:
    digest = hmac.new(key, "\0".join(parts).encode(), hashlib.sha256).digest()
    return base64.b32encode(digest).decode().lower().rstrip("=")
