"""Patches of usual pictures: what is kept, how far others are, and what is usual where."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.errors import ReferenceSetError, VectorError
from ood.heat import HeatReference, HeatStratum
from ood.oddness import Oddness
from ood.patches import PatchMemory

SHAPE = (4, 5, 6)


def grids(count: int, seed: int = 0, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, *shape)).astype(np.float16)


@settings(max_examples=25)
@given(st.integers(1, 6), st.integers(0, 99))
def test_a_patch_of_the_reference_is_at_no_distance_where_all_are_kept(
    count: int, seed: int
) -> None:
    usual = grids(count, seed)
    memory = PatchMemory.fit(usual, seed=seed)
    assert memory.radius == 0
    for grid in usual:
        np.testing.assert_allclose(memory.scores(grid), 0, atol=1e-5)


def test_the_memory_covers_the_better_the_more_it_holds() -> None:
    usual = grids(60)
    memories = [PatchMemory.fit(usual, most=most, seed=3) for most in (5, 50, 500, 1_200)]
    radii = [memory.radius for memory in memories]
    assert radii == sorted(radii, reverse=True) and radii[0] > 2 * radii[2] > 0 == radii[-1]
    furthest = [max(float(memory.scores(grid).max()) for grid in usual) for memory in memories]
    assert furthest == sorted(furthest, reverse=True)


def test_what_is_chosen_depends_on_the_seed_alone_and_grids_may_come_one_by_one() -> None:
    usual = grids(30)
    one = PatchMemory.fit(usual, most=40, seed=1)
    again = PatchMemory.fit(iter(usual), most=40, seed=1)
    other = PatchMemory.fit(usual, most=40, seed=2)
    new = grids(1, seed=9)[0]
    np.testing.assert_array_equal(one.scores(new), again.scores(new))
    assert not np.array_equal(one.rows, other.rows)


def test_of_more_patches_than_lie_in_memory_each_has_the_same_chance() -> None:
    """45,000 come, 30,000 are drawn: of early and late ones about two in three."""
    ramp = np.linspace(0, 1, 450, dtype=np.float32)
    usual = (np.full((10, 10, 2), value) + np.eye(10)[:, :, None] for value in ramp)
    memory = PatchMemory.fit(usual, most=30_000, seed=0)
    assert len(memory.rows) == 30_000
    early = float(np.mean(memory.rows[:, 0] % 1 < 0.5))
    assert early == pytest.approx(0.5, abs=0.02)


def test_a_patch_is_the_odder_the_farther_it_is_and_the_farther_from_its_place() -> None:
    usual = np.tile(grids(1), (8, 1, 1, 1)) + grids(8, seed=4) * np.float16(0.05)
    memory = PatchMemory.fit(usual)
    grid = usual[0].astype(np.float32)
    grid[1, 2] += 3
    grid[3, 4] += 1
    scores = memory.scores(grid)
    assert np.argmax(scores) == 1 * SHAPE[1] + 2
    assert scores[1, 2] > scores[3, 4] > np.median(scores)
    moved = np.roll(usual[0], 2, axis=1)
    assert memory.scores(moved).min() > memory.scores(usual[0]).max()


def test_places_that_are_not_looked_at_are_left_out() -> None:
    usual = grids(6).astype(np.float32)
    usual[:, 0] = np.nan
    memory = PatchMemory.fit(usual)
    assert len(memory.rows) == 6 * 3 * SHAPE[1]
    scores = memory.scores(usual[0])
    assert np.isnan(scores[0]).all() and np.isfinite(scores[1:]).all()


@pytest.mark.parametrize(
    ("usual", "kind", "said"),
    [
        (grids(0), ReferenceSetError, "needs two patches or more, not 0"),
        (np.ones((3, *SHAPE)), ReferenceSetError, "all patches of the reference are equal"),
        ([grids(1)[0], grids(1, shape=(4, 5, 7))[0]], VectorError, "embedded by one encoder"),
        (np.full((2, *SHAPE), np.inf), VectorError, "not finite"),
        (grids(2) * 0 + np.arange(6) * 1e6, VectorError, "beyond float16"),
        (grids(2)[0], VectorError, "of shape \\(rows, columns, dim\\)"),
    ],
)
def test_patches_that_nothing_can_be_learned_from_are_refused(
    usual: np.ndarray, kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said):
        PatchMemory.fit(usual)


def test_a_memory_of_nothing_and_patches_of_another_encoder_are_refused() -> None:
    with pytest.raises(ReferenceSetError, match="one patch or more, not 0"):
        PatchMemory.fit(grids(3), most=0)
    memory = PatchMemory.fit(grids(3))
    for shape in ((4, 5, 7), (5, 4, 6)):
        with pytest.raises(VectorError, match="fitted with another encoder"):
            memory.scores(grids(1, shape=shape)[0])


def test_a_fit_is_told_of_and_stops_where_the_listener_raises() -> None:
    told: list[tuple[str, int, int]] = []
    PatchMemory.fit(grids(30), most=300, progress=lambda *said: told.append(said))
    assert told == [("choosing patches", 0, 300), ("choosing patches", 200, 300)]

    def stop(_what: str, _done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        PatchMemory.fit(grids(30), most=300, progress=stop)


def test_what_varies_at_a_place_is_odd_there_only_if_it_varies_more() -> None:
    random = np.random.default_rng(2)
    spread = np.where(np.arange(12) < 6, 1.0, 0.1)
    usual = Oddness.of([[5 + random.normal(size=(12, 12)) * spread] for _ in range(40)])
    new = np.full((12, 12), 5.0)
    new[3, 2], new[3, 9] = 6.0, 6.0
    odd = usual(new)
    assert odd[3, 2] == pytest.approx(1, abs=0.2) and odd[3, 9] > 5
    assert usual.levels[2] < odd[3, 9]


@settings(max_examples=25)
@given(st.integers(4, 30), st.integers(0, 99))
def test_levels_rise_and_the_oddest_place_is_ranked_among_pictures(count: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    usual = Oddness.of([[each] for each in random.normal(5, 1, (count, 4, 5))])
    assert list(usual.levels) == sorted(usual.levels)
    assert usual.at(1) == pytest.approx(usual.highest[-1])
    assert usual.p_value(np.inf) == pytest.approx(1 / (1 + count))
    assert usual.p_value(float(usual.highest[0])) == 1


def test_places_that_no_picture_shows_do_not_make_others_odd() -> None:
    maps = np.random.default_rng(0).normal(5, 1, (20, 6, 6))
    maps[:, 4:] = np.nan
    usual = Oddness.of([[each] for each in maps])
    assert np.isfinite(usual.pooled).all() and np.isfinite(usual.middle).all()
    assert np.isnan(usual(maps[0].astype(np.float32))[5]).all()


def test_too_few_pictures_tell_nothing_of_what_is_usual() -> None:
    with pytest.raises(ReferenceSetError, match="4 are the least"):
        Oddness.of([[np.zeros((4, 4))]] * 3)
    with pytest.raises(ReferenceSetError, match="no place of a held-out picture"):
        Oddness.of([[np.full((4, 4), np.nan)]] * 4)


def test_all_comes_back_from_a_state_and_the_finest_stratum_answers() -> None:
    memory = PatchMemory.fit(grids(20), most=50)
    usual = Oddness.of([[memory.scores(grid)] for grid in grids(10, seed=1)])
    stratum = HeatStratum(np.arange(20), memory, usual)
    made = HeatReference({(): stratum, ("CR",): stratum})
    back = HeatReference.from_state(made.state())
    assert back.strata[()] is back.strata["CR",]
    assert back.stratum_for(("CR", "CHEST")) == ("CR",) and back.stratum_for(("MR",)) == ()
    assert HeatReference({("CR",): stratum}).stratum_for(("MR",)) is None
    new = grids(1, seed=9)[0]
    one = back.strata[()]
    np.testing.assert_array_equal(one.memory.scores(new), memory.scores(new))
    np.testing.assert_array_equal(one.usual(memory.scores(new)), usual(memory.scores(new)))
    assert (one.memory.radius, one.usual.levels) == (memory.radius, usual.levels)


@pytest.mark.parametrize("missing", ["told", "0/fitted", "0/memory/axes", "0/usual/pooled"])
def test_a_state_with_a_part_missing_is_refused(missing: str) -> None:
    memory = PatchMemory.fit(grids(5))
    usual = Oddness.of([[memory.scores(grid)] for grid in grids(4, seed=1)])
    state = HeatReference({(): HeatStratum(np.arange(5), memory, usual)}).state()
    with pytest.raises(ReferenceSetError, match=r"fit .* again"):
        HeatReference.from_state({name: each for name, each in state.items() if name != missing})
