"""Synthetic studies with known truth, drawn by our own code: for tests, demo and benchmarks.

They imitate the looks of radiographs, CT, MR and ultrasound. They show no person, and nothing
learnt from them holds for patients.
"""

from indexer.phantoms.arrivals import plan_arrivals, write_arrivals
from indexer.phantoms.cohort import Kind, PhantomStudy, Trait, plan_cohort
from indexer.phantoms.draw_2d import (
    RADIOGRAPH_FINDINGS,
    ULTRASOUND_FINDINGS,
    radiograph,
    ultrasound,
)
from indexer.phantoms.draw_3d import (
    ABDOMEN_CT_FINDINGS,
    BRAIN_MR_FINDINGS,
    HEAD_CT_FINDINGS,
    MR_CONTRASTS,
    abdomen_ct,
    brain_mr,
    head_ct,
)
from indexer.phantoms.probe import probe_fundus, probe_images, probe_volume
from indexer.phantoms.write import write_cohort, write_study

__all__ = [
    "ABDOMEN_CT_FINDINGS",
    "BRAIN_MR_FINDINGS",
    "HEAD_CT_FINDINGS",
    "MR_CONTRASTS",
    "RADIOGRAPH_FINDINGS",
    "ULTRASOUND_FINDINGS",
    "Kind",
    "PhantomStudy",
    "Trait",
    "abdomen_ct",
    "brain_mr",
    "head_ct",
    "plan_arrivals",
    "plan_cohort",
    "probe_fundus",
    "probe_images",
    "probe_volume",
    "radiograph",
    "ultrasound",
    "write_arrivals",
    "write_cohort",
    "write_study",
]
