"""Rows of the audit as messages of DICOM PS3.15, A.5, in XML.

Elements, attributes and their values are those of the schema in A.5.1; which event is which
follows the tables of A.5.3. A message names patients by pseudonym and studies by UID.
"""

from __future__ import annotations

import base64
import ipaddress
import json
from collections.abc import Iterator
from typing import NamedTuple
from xml.etree.ElementTree import Element, SubElement, tostring

from indexer.catalog.audit import Action, AuditRow, Ending


class _Event(NamedTuple):
    """EventID, EventActionCode, EventTypeCode where there is one, and the life cycle of objects."""

    code: tuple[str, str]
    action: str
    type: tuple[str, str] | None = None
    life_cycle: str = "6"


_ACTIVITY = ("110100", "Application Activity")
_AUTHENTICATION = ("110114", "User Authentication")
_ALERT = ("110113", "Security Alert")
_EVENTS = {
    Action.QUERY: _Event(("110112", "Query"), "E"),
    Action.VIEW: _Event(("110103", "DICOM Instances Accessed"), "R"),
    Action.EXPORT: _Event(("110106", "Export"), "R", life_cycle="10"),
    Action.ARRIVE: _Event(("110107", "Import"), "C", life_cycle="2"),
    Action.CHANGE: _Event(("110110", "Patient Record"), "U", life_cycle="3"),
    Action.REMOVE: _Event(("110105", "DICOM Study Deleted"), "D", life_cycle="15"),
    Action.LOGIN: _Event(_AUTHENTICATION, "E", ("110122", "Login")),
    Action.LOGOUT: _Event(_AUTHENTICATION, "E", ("110123", "Logout")),
    Action.REFUSE: _Event(_ALERT, "E", ("110132", "Use of Restricted Function")),
    Action.KEYS: _Event(_ALERT, "E", ("110137", "User Security Attributes Changed")),
    Action.AUDIT: _Event(("110101", "Audit Log Used"), "R"),
    Action.START: _Event(_ACTIVITY, "E", ("110120", "Application Start")),
    Action.STOP: _Event(_ACTIVITY, "E", ("110121", "Application Stop")),
}
_OUTCOMES = {Ending.SUCCESS: "0", Ending.REFUSED: "4", Ending.FAILED: "8"}
_APPLICATION = ("110150", "Application")
_PATIENT_NUMBER, _SEARCH, _URI = ("2", "Patient Number"), ("10", "Search Criteria"), ("12", "URI")
_STUDY = ("110180", "Study Instance UID")
_RFC = "RFC-3881"


def audit_message(row: AuditRow, source: str) -> str:
    """A row as an ``AuditMessage``, on one line as syslog carries it.

    Args:
        row: of the audit.
        source: what ``AuditSourceID`` is: the id of the library.
    """
    event = _EVENTS[row.action]
    message = Element("AuditMessage")
    _identification(message, row, event)
    _participants(message, row)
    SubElement(message, "AuditSourceIdentification", AuditSourceID=source).append(
        Element("AuditSourceTypeCode", {"csd-code": "4"})
    )
    for pseudonym in row.patients:
        _object(message, pseudonym, ("1", "1"), _PATIENT_NUMBER, event)
    for uid, level in _named(row):
        _object(message, uid, ("2", "3"), _STUDY if level == "study" else _URI, event)
    _detail(message, row, event)
    told = tostring(message, encoding="unicode")
    return "".join(c if c.isprintable() else "\ufffd" for c in told)  # XML cannot hold all of them


def _identification(message: Element, row: AuditRow, event: _Event) -> None:
    identification = SubElement(
        message,
        "EventIdentification",
        EventActionCode=event.action,
        EventDateTime=row.at.isoformat(timespec="microseconds"),
        EventOutcomeIndicator=_OUTCOMES[row.outcome],
    )
    _code(identification, "EventID", event.code)
    if event.type is not None:
        _code(identification, "EventTypeCode", event.type)


def _participants(message: Element, row: AuditRow) -> None:
    """Who asked, from where, and the application that did it."""
    asker = SubElement(message, "ActiveParticipant", UserID=row.actor, UserIsRequestor="true")
    if row.origin:
        asker.set("NetworkAccessPointID", row.origin)
        asker.set("NetworkAccessPointTypeCode", "2" if _is_address(row.origin) else "1")
    own = SubElement(message, "ActiveParticipant", UserID="syntopy", UserIsRequestor="false")
    _code(own, "RoleIDCode", _APPLICATION)


def _is_address(origin: str) -> bool:
    try:
        ipaddress.ip_address(origin)
    except ValueError:
        return False
    return True


def _named(row: AuditRow) -> Iterator[tuple[str, str]]:
    """UIDs that the subject names, with their level; patients are told by themselves."""
    level = row.subject.get("level", "study")
    several = row.subject.get("uids", [])
    uids = [row.subject.get("uid"), *(several if isinstance(several, list) else [])]
    for uid in uids:
        if isinstance(uid, str) and uid and level != "patient":
            yield uid, str(level)


def _object(
    message: Element, uid: str, kind: tuple[str, str], code: tuple[str, str], event: _Event
) -> Element:
    told = SubElement(
        message,
        "ParticipantObjectIdentification",
        ParticipantObjectID=uid,
        ParticipantObjectTypeCode=kind[0],
        ParticipantObjectTypeCodeRole=kind[1],
        ParticipantObjectDataLifeCycle=event.life_cycle,
    )
    _code(told, "ParticipantObjectIDTypeCode", code)
    SubElement(told, "ParticipantObjectName").text = uid
    return told


def _detail(message: Element, row: AuditRow, event: _Event) -> None:
    """All of the subject, as what was asked, with the row's place in the chain."""
    told = SubElement(
        message,
        "ParticipantObjectIdentification",
        ParticipantObjectID=row.request_id or f"row-{row.number}",
        ParticipantObjectTypeCode="2",
        ParticipantObjectTypeCodeRole="24" if event.code[0] == "110112" else "13",
    )
    _code(told, "ParticipantObjectIDTypeCode", _SEARCH if event.code[0] == "110112" else _URI)
    asked = json.dumps(dict(row.subject), sort_keys=True).encode()
    SubElement(told, "ParticipantObjectQuery").text = base64.b64encode(asked).decode()
    for name, value in (("number", str(row.number)), ("hash", row.hash)):
        coded = base64.b64encode(value.encode()).decode()
        SubElement(told, "ParticipantObjectDetail", type=name, value=coded)


def _code(parent: Element, name: str, code: tuple[str, str]) -> None:
    system = "DCM" if len(code[0]) == 6 else _RFC
    values = {"csd-code": code[0], "codeSystemName": system, "originalText": code[1]}
    SubElement(parent, name, values)
