"""Radiographs that come week by week from three sites, of which one has a detector that ages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

from indexer.phantoms.cohort import Kind, PhantomStudy, plan_cohort, years_between
from indexer.phantoms.write import write_studies

FIRST_DAY = date(2025, 1, 6)
"""A Monday, after all studies of a cohort."""
SITES = ("city", "harbour", "hillside")
"""Each has one scanner, of a maker of its own."""
AGEING = "harbour"
"""Where the detector ages."""
_SOUND_WEEKS, _NOISE = 3, 0.05
_EACH = 4  # studies of a site in a week
_FIRST_PATIENT = 5001  # none of a cohort's


def plan_arrivals(weeks: int = 7) -> list[PhantomStudy]:
    """Plan chest radiographs of new patients; nothing is drawn.

    Each site sends four a week. From the fourth week on those of `AGEING` are noisier; nothing else
    changes.

    Args:
        weeks: how many, from `FIRST_DAY` on.

    Returns:
        The studies by week, the sites in turns.
    """
    count = weeks * _EACH * len(SITES)
    # Two in five are of the chest, and one in five is of somebody who was there before.
    films = [s for s in plan_cohort(4 * count, 1) if s.kind is Kind.CHEST and s.visit == 0]
    return [_arriving(film, number) for number, film in enumerate(films[:count])]


def _arriving(film: PhantomStudy, number: int) -> PhantomStudy:
    """The study of a cohort as one that arrives: of another patient, at another place and time."""
    week, place = divmod(number, _EACH * len(SITES))
    day = FIRST_DAY + timedelta(days=7 * week + place % 5)
    born = date.fromisoformat(film.birth_date)
    born += day - date.fromisoformat(film.study_date)
    site = SITES[number % len(SITES)]
    patient = _FIRST_PATIENT + number
    arriving = replace(
        film,
        index=number,
        patient_number=patient,
        patient_id=f"DRAWN-{patient}",
        study_date=f"{day:%Y%m%d}",
        birth_date=f"{born:%Y%m%d}",
        age_years=years_between(born, day),
        split="",
        site=site,
        noise=_NOISE if site == AGEING and week >= _SOUND_WEEKS else 0.0,
    )
    return replace(arriving, study_instance_uid=arriving.uid())


def write_arrivals(
    folder: Path, weeks: int = 7, on_study: Callable[[int, int], None] | None = None
) -> list[PhantomStudy]:
    """Write them as `indexer.phantoms.write.write_cohort` does; the table tells their sites alone.

    Nobody has said yet what they show.

    Args:
        folder: made if missing; not that of a cohort.
        weeks: as of `plan_arrivals`.
        on_study: called after each study with how many are done and how many there are.

    Raises:
        ConfigError: the folder holds studies of another phantom cohort.
    """
    plan = plan_arrivals(weeks)
    table = [("study_instance_uid", "patient_id", "site")]
    table += [(s.study_instance_uid, s.patient_id, s.site) for s in plan]
    write_studies(folder, plan, table, {"weeks": weeks}, on_study)
    return plan
