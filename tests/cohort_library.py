"""What the tests know of the library that conftest.py makes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from indexer.phantoms import PhantomStudy


@dataclass(frozen=True)
class Indexed:
    """Forty studies in ``cohort``, and the library they were indexed into: not to be changed."""

    library: Path
    cohort: Path
    plan: list[PhantomStudy]

    def folder(self, study: PhantomStudy) -> Path:
        return self.cohort / study.patient_id / study.study_instance_uid
