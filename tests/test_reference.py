"""Reference sets: which stratum judges, what it says, and that alarms are as rare as declared."""

from __future__ import annotations

import io

import numpy as np
import pytest
from mixtures import mixture
from scipy import stats

from indexer.errors import ReferenceSetError, VectorError
from ood.reference import ReferenceSet
from ood.registry import Recipe
from ood.strata import Key, beginnings, held_out, key_of, said

FRONTAL, LATERAL, HAND = ("CR", "CHEST", "PA"), ("CR", "CHEST", "LL"), ("CR", "HAND")
QUICK = (Recipe("knn"), Recipe("residual", {"dimensions": 8}))


def archive(sizes: tuple[int, ...], seed: int = 0) -> tuple[np.ndarray, list[Key], list[str]]:
    """Cases of the three kinds, two of each patient."""
    rows, groups = mixture(sizes, dim=24, spread=0.6, seed=seed)
    order = np.argsort(groups, kind="stable")
    kinds = (FRONTAL, LATERAL, HAND)
    return (
        rows[order],
        [kinds[group] for group in groups[order]],
        [f"patient {row // 2}" for row in range(len(rows))],
    )


def test_a_key_ends_with_what_is_not_known() -> None:
    assert key_of(["CR", "CHEST", "PA"]) == FRONTAL
    assert key_of(["CR", None, "PA"]) == ("CR",)
    assert beginnings(HAND) == [("CR", "HAND"), ("CR",), ()]
    assert (said(FRONTAL), said(())) == ("CR · CHEST · PA", "all of the reference")


def test_all_of_a_patient_or_none_is_held_out_and_stays_so_when_others_come() -> None:
    patients = [f"p{row // 3}" for row in range(300)]
    chosen = held_out(patients, 30)
    per_patient = chosen.reshape(-1, 3)
    assert (per_patient.all(axis=1) | ~per_patient.any(axis=1)).all()
    assert per_patient[:, 0].sum() == 20, "a fifth at least"
    assert held_out(patients, 90).reshape(-1, 3)[:, 0].sum() == 30
    assert held_out(patients, 1000).mean() == 0.5, "half at most"
    more = held_out([*patients, *(f"q{row}" for row in range(10))], 30)
    assert (more[:300] == chosen).mean() > 0.9


def test_the_finest_stratum_with_enough_patients_judges_and_is_named() -> None:
    rows, keys, patients = archive((1000, 300, 30))
    made = ReferenceSet.fit(rows, keys, patients, alarm=0.05, recipes=QUICK)
    assert set(made.strata) == {(), ("CR",), ("CR", "CHEST"), FRONTAL, LATERAL}
    assert [each.key for each in made.refused] == [HAND]
    fine, coarse, none, strange = made.judge(
        rows[[0, 1000, 1320, 1320]], [FRONTAL, LATERAL, HAND, ("MG", "BREAST")], alarm=0.05
    )
    assert (fine.stratum, fine.why) == (FRONTAL, "judged as CR · CHEST · PA")
    assert coarse.stratum == ("CR", "CHEST")
    assert coarse.why == (
        "judged as CR · CHEST; CR · CHEST · LL has 150 calibration cases, a rate of 0.05 needs 200"
    )
    assert none.stratum == ("CR",)
    assert strange.stratum == ()
    assert "MG is not in the reference" in strange.why


def test_where_nothing_can_judge_nothing_is_called_in_distribution() -> None:
    rows, keys, patients = archive((300, 100, 30))
    made = ReferenceSet.fit(rows, keys, patients, alarm=0.05, recipes=QUICK)
    answer = made.judge(rows[:1], [FRONTAL], alarm=0.01)[0]
    assert answer.flagged is None
    assert answer.why.startswith("cannot judge; CR · CHEST · PA has 150 calibration cases")
    assert "needs 1,000" in answer.why


def test_an_answer_has_score_p_value_threshold_interval_and_nearest_cases() -> None:
    rows, keys, patients = archive((1000, 300, 30))
    made = ReferenceSet.fit(rows, keys, patients, alarm=0.05, recipes=QUICK)
    far = -rows[:1]
    usual, odd = made.judge(np.concatenate([rows[:1], far]), [FRONTAL, FRONTAL], alarm=0.05)
    assert (usual.flagged, odd.flagged) == (False, True)
    assert odd.p_value <= 0.05 < usual.p_value
    for name, verdict in odd.verdicts.items():
        assert verdict.score > verdict.threshold, name
        assert verdict.p_value <= 0.05
    assert 0 < odd.interval.low < 0.05 < odd.interval.high < 0.12
    assert len(usual.nearest) == 5
    distances = [away for _, away in usual.nearest]
    assert distances == sorted(distances)
    assert all(keys[row] == FRONTAL for row, _ in usual.nearest)


@pytest.mark.parametrize("recipes", [QUICK, QUICK[1:], (Recipe("knn", reduction="pca:6"),)])
def test_a_state_goes_through_a_file_and_judges_alike(recipes: tuple[Recipe, ...]) -> None:
    rows, keys, patients = archive((1000, 300, 30))
    made = ReferenceSet.fit(rows, keys, patients, alarm=0.05, recipes=recipes)
    file = io.BytesIO()
    np.savez(file, **made.state())
    file.seek(0)
    with np.load(file, allow_pickle=False) as state:
        again = ReferenceSet.from_state(dict(state))
    assert again.refused == made.refused
    assert again.judge(rows[:3], keys[:3], alarm=0.05) == made.judge(rows[:3], keys[:3], alarm=0.05)
    with pytest.raises(ReferenceSetError, match="fit it again"):
        ReferenceSet.from_state({})


def test_a_stratum_with_the_cases_of_the_one_above_is_kept_once() -> None:
    rows, _, patients = archive((400, 10, 10))
    made = ReferenceSet.fit(rows, [FRONTAL] * len(rows), patients, alarm=0.05, recipes=QUICK)
    assert len({id(each.together) for each in made.strata.values()}) == 1
    assert set(made.strata) == {(), ("CR",), ("CR", "CHEST"), FRONTAL}
    assert sum("reference" in name for name in made.state()) == 1


def test_alarms_on_patients_never_seen_are_as_rare_as_the_interval_says() -> None:
    inside = 0
    for seed in range(60):
        rows, keys, patients = archive((2600, 20, 20), seed=seed)
        rows, keys, patients = rows[:2600], keys[:2600], patients[:2600]
        made = ReferenceSet.fit(rows[:600], keys[:600], patients[:600], alarm=0.05, recipes=QUICK)
        judged = made.judge(rows[600:], keys[600:], alarm=0.1)
        rate = float(np.mean([each.flagged for each in judged]))
        low, high = judged[0].interval.low, judged[0].interval.high
        # The rate of 2,000 new cases is itself only known to within its own spread.
        slack = 2 * np.sqrt(0.1 * 0.9 / 1000)
        inside += low - slack <= rate <= high + slack
    assert stats.binomtest(inside, 60, 0.95, alternative="less").pvalue > 0.001


def test_too_few_cases_and_another_space_are_refused() -> None:
    rows, keys, patients = archive((20, 10, 4))
    with pytest.raises(ReferenceSetError, match="20 of each are the least"):
        ReferenceSet.fit(rows, keys, patients, alarm=0.05, recipes=QUICK)
    with pytest.raises(ReferenceSetError, match="no cases"):
        ReferenceSet.fit(rows[:0], [], [], recipes=QUICK)
    rows, keys, patients = archive((1000, 300, 30))
    made = ReferenceSet.fit(rows, keys, patients, alarm=0.05, recipes=QUICK)
    with pytest.raises(VectorError, match="another space"):
        made.judge(rows[:1, :10], keys[:1], alarm=0.05)
