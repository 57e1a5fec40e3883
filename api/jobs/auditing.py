"""Checking the audit as a job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.jobs.work import Kind, Parameters, Work
from api.rights import Role
from api.service.access import audit


class AuditVerifyParameters(Parameters):
    """There is nothing to choose."""


def _verify(work: Work, _asked: AuditVerifyParameters) -> Mapping[str, Any]:
    """Rows are what is wrong, by the number in the chain."""
    report = audit.verify(
        work.library, None, lambda done, total: work.tell("checking the audit", done, total)
    )
    for finding in report.findings:
        work.row(finding)
    return {
        "whole": not report.findings,
        "checked": report.rows,
        "head": {"number": report.head.number, "hash": report.head.hash},
    }


KINDS: tuple[Kind[Any], ...] = (
    Kind(
        "audit-verify",
        "Look for rows of the audit that were changed, taken out or put elsewhere.",
        Role.ADMIN,
        AuditVerifyParameters,
        _verify,
    ),
)
