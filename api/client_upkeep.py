"""What a client of the HTTP service asks to look after a library.

All methods raise `api.client.ApiError` where the service refuses, or cannot be reached.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from api.client_asking import Asking, part
from api.schemas.upkeep import AuditRow, IndexRun, Key, LibraryState, NewKey, Refused, Sources


class Upkeep(Asking):
    """A part of `api.client.Client`."""

    def library_state(self) -> LibraryState:
        """What changes by the minute: rows, files, what waits, jobs, indexes, the disk."""
        return self._told(LibraryState, "library/state")

    def runs(self) -> Iterator[IndexRun]:
        """Runs of indexing, however they were started; the newest first."""
        return self._rows(IndexRun, "library/runs", {})

    def sources(self) -> Sources:
        """Folders of the server below which jobs may index; for operators."""
        return self._told(Sources, "library/sources")

    def rejected(self, reason: str = "") -> Iterator[Refused]:
        """Files that were rejected or are in conflict, those known last first; for operators."""
        return self._rows(Refused, "rejected", {"reason": reason})

    def api_keys(self, *, everything: bool = False) -> list[Key]:
        """Keys in the order in which they were made, and with ``everything`` old ones, too."""
        return self._list(Key, "keys", all=str(everything).lower())

    def create_key(
        self, name: str, role: str = "reader", days: int = 365, libraries: Sequence[str] = ()
    ) -> NewKey:
        """Make a key that may do nothing that whoever asks may not; its token is told once."""
        asked = {"name": name, "role": role, "days": days, "libraries": list(libraries)}
        return NewKey.model_validate_json(self._ask("POST", "keys", json=asked).content)

    def revoke_key(self, prefix: str) -> Key:
        """Let a key be accepted no more."""
        return Key.model_validate_json(self._ask("DELETE", f"keys/{part(prefix)}").content)

    def audit(
        self, *, since: str = "", actor: str = "", action: str = "", outcome: str = ""
    ) -> Iterator[AuditRow]:
        """Rows of the audit that fit, the newest first; what is empty takes all."""
        asked = {"since": since, "actor": actor, "action": action, "outcome": outcome}
        return self._rows(AuditRow, "audit", asked)

    def audit_lines(self, form: str = "jsonl", since: str = "") -> list[str]:
        """The audit as lines of text: JSON, or with ``dicom`` XML of DICOM PS3.15 A.5."""
        answer = self._ask("GET", "audit/export", params={"format": form, "since": since})
        return answer.text.splitlines()
