"""Percentiles, tags and votes: what is said of a hit beside its score."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from cohort_library import Indexed
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sqlalchemy import Connection, insert, select, update

from indexer.catalog.database import reading, transaction
from indexer.catalog.tables import EmbeddingRow, Item, Label, Patient, Series, Space, Study
from indexer.encoders.texture import TextureEncoder
from indexer.evidence.calibration import (
    LabelScaling,
    Voter,
    calibrate,
    label_votes,
    read_calibration,
    refresh_calibration,
)
from indexer.evidence.grounds import (
    attach_evidence,
    grounds_of,
    refresh_grounds,
    tags_from,
    tags_of,
    votes_of,
)
from indexer.evidence.kept import State, read_kept
from indexer.evidence.percentiles import (
    ALL,
    KIND,
    LEAST_PAIRS,
    VERSION,
    Background,
    background_of,
    random_pairs,
    read_background,
    refresh_background,
)
from indexer.evidence.votes import (
    Quality,
    Scaling,
    calibration_error,
    fit_scaling,
    quality_of,
    running_shares,
    shares_of,
    weights_of,
)
from indexer.library import Library
from indexer.searching.hits import describe_items
from indexer.types import Attributes

COSINES = st.integers(-8, 8).map(lambda n: n / 8)
"""Few different values, so that many are equal."""

# -- percentiles -----------------------------------------------------------------------------------


def strangers(n: int = 60, dim: int = 16, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@given(st.lists(COSINES, min_size=1, max_size=40), st.lists(COSINES, min_size=1, max_size=20))
def test_a_percentile_is_the_mean_rank_among_strangers(
    known: list[float], asked: list[float]
) -> None:
    background = Background({ALL: np.sort(np.array(known, np.float32))})
    scores = np.sort(np.array(asked, np.float32))
    found = background.percentile("CT", scores)
    n = len(known)
    assert (np.diff(found) >= 0).all()
    assert (found > 0).all()
    assert (found <= 100 * n / (n + 1)).all(), "more than the sample can tell"
    for score, percentile in zip(scores.tolist(), found.tolist(), strict=True):
        below, equal = sum(k < score for k in known), sum(k == score for k in known)
        if equal:
            assert percentile == pytest.approx(100 * (below + (equal + 1) / 2) / (n + 1))
        elif 0 < below < n:
            assert 100 * below / (n + 1) - 50 < percentile < 100 * (below + 1) / (n + 1) + 50


def test_between_two_known_cosines_it_is_interpolated() -> None:
    background = Background({ALL: np.array([0.0, 1.0], np.float32)})
    found = background.percentile(ALL, np.array([-1, 0, 0.25, 1, 2], np.float32))
    assert found == pytest.approx([100 / 3, 100 / 3, 100 / 3 + 25 / 3, 200 / 3, 200 / 3])


@given(arrays(np.int64, st.integers(0, 30), elements=st.integers(0, 5)), st.integers(1, 60))
def test_pairs_are_of_different_patients(patients: np.ndarray, most: int) -> None:
    first, second = random_pairs(patients, np.random.default_rng(0), most)
    assert len(first) == len(second) <= most
    assert (patients[first] != patients[second]).all()
    every = len(patients) * (len(patients) - 1) // 2
    if every <= most:
        apart = sum(a != b for i, a in enumerate(patients) for b in patients[:i])
        assert len({(a, b) for a, b in zip(first, second, strict=True)}) == apart


def test_a_modality_with_too_few_pairs_is_compared_with_all() -> None:
    modalities = ["CT"] * 40 + ["US"] * 20
    background = background_of(strangers(60), modalities, np.arange(60))
    assert background.pairs("CT") == 40 * 39 // 2
    assert LEAST_PAIRS > 20 * 19 // 2
    assert background.pairs("US") == background.pairs("PT") == background.pairs(ALL) == 1770
    some = np.array([0.3], np.float32)
    assert background.percentile("US", some) == background.percentile(ALL, some)


def test_of_a_handful_of_items_there_is_no_percentile() -> None:
    background = background_of(strangers(10), ["CT"] * 10, np.arange(10))
    assert background.pairs("CT") == 0
    assert np.isnan(background.percentile("CT", np.array([0.9], np.float32))).all()


def test_the_same_seed_draws_the_same_pairs() -> None:
    vectors, modalities = strangers(400), ["CT"] * 400
    one, again = (background_of(vectors, modalities, np.arange(400), seed=3) for _ in range(2))
    other = background_of(vectors, modalities, np.arange(400), seed=4)
    np.testing.assert_array_equal(one.cosines["CT"], again.cosines["CT"])
    assert not np.array_equal(one.cosines["CT"], other.cosines["CT"])


def test_strangers_are_spread_evenly_over_the_percentiles() -> None:
    """New pairs from the same space: a tenth of them in each tenth."""
    vectors = strangers(600, seed=1)
    background = background_of(vectors[:300], ["CT"] * 300, np.arange(300))
    fresh = np.einsum("ij,ij->i", vectors[300:450], vectors[450:])
    counts, _ = np.histogram(background.percentile("CT", fresh), bins=5, range=(0, 100))
    assert counts.min() > 15, counts


# -- kept beside the index -------------------------------------------------------------------------


def test_an_index_run_keeps_what_evidence_rests_on(indexed: Indexed) -> None:
    with Library.open(indexed.library) as library, reading(library.engine) as db:
        space = library.spaces()[0]
        stored = read_kept(library, space, KIND, VERSION)
        assert stored is not None
        fresh = grounds_of(library, space, db)
        kept = read_background(library, space, db)
        assert kept.pairs("CT") > LEAST_PAIRS
        np.testing.assert_array_equal(kept.cosines[ALL], fresh.background.cosines[ALL])
        assert grounds_of(library, space, db) is fresh, "held while nothing changes"


def test_what_is_damaged_or_foreign_is_made_anew(copy: Library) -> None:
    space = copy.spaces()[0]
    path = copy.index_folder / f"{KIND}-{space.id}.npz"
    with reading(copy.engine) as db:
        before = read_background(copy, space, db)
        data = path.read_bytes()
        for spoilt in (data[: len(data) // 2], b"", data[:-300] + bytes(300)):
            path.write_bytes(spoilt)
            found = read_background(copy, space, db)
            np.testing.assert_array_equal(found.cosines[ALL], before.cosines[ALL])
        path.unlink()
        found = read_background(copy, space, db)
        np.testing.assert_array_equal(found.cosines[ALL], before.cosines[ALL])
        assert not path.exists(), "a reader writes nothing"
        refresh_background(copy, space, db)
        path.write_bytes(path.read_bytes())
        assert read_kept(copy, replace(space, encoder="other"), KIND, VERSION) is None
        assert read_kept(copy, space, KIND, VERSION + 1) is None
        assert read_kept(copy, space, KIND, VERSION) is not None


@pytest.mark.parametrize(
    ("now", "serves"),
    [
        (State(1, 100, 100), True),
        (State(1, 125, 125), True),
        (State(1, 126, 100), False),
        (State(1, 100, 126), False),
        (State(2, 100, 100), False),
    ],
)
def test_it_serves_until_a_deletion_or_a_quarter_more(now: State, serves: bool) -> None:
    assert State(1, 100, 100).still_serves(now) is serves


def test_a_deletion_makes_the_next_writer_draw_again(copy: Library) -> None:
    space = copy.spaces()[0]
    with transaction(copy.engine) as db:
        db.execute(update(Space).values(generation=Space.generation + 1))
    refresh_grounds(copy)
    stored = read_kept(copy, space, KIND, VERSION)
    assert stored is not None
    assert stored[0].generation == space.generation + 1


# -- tags ------------------------------------------------------------------------------------------


def test_tags_say_what_is_shared_and_what_differs(indexed: Indexed) -> None:
    with Library.open(indexed.library) as library, reading(library.engine) as db:
        rows = db.execute(
            select(Item.id, Item.uid).join(Series).where(Series.modality == "CT").limit(3)
        ).all()
        hits = describe_items(db, [(row.id, 0.9, 0) for row in rows])
        tags = tags_of(db, [row.uid for row in rows])
        query = {"modality": "CT", "sex": "X", "laterality": "L", "unheard of": "1"}
        grounds = grounds_of(library, library.spaces()[0], db)
        found = attach_evidence(db, grounds, query, hits, [0.9] * len(hits))
        for hit, evidence in zip(hits, found, strict=True):
            assert evidence.shared == {"modality": "CT"}
            assert evidence.differing == {"sex": ("X", hit.sex)}, "only where both are known"
            assert evidence.pairs == grounds.background.pairs("CT")
            assert evidence.percentile is not None
            age = hit.age_years
            assert age is not None
            low, high = map(int, tags[hit.id]["age"].split("-"))
            assert low <= age < high + 1 == low + 10


def test_another_modality_is_compared_with_pairs_of_all(indexed: Indexed) -> None:
    with Library.open(indexed.library) as library, reading(library.engine) as db:
        item = db.execute(select(Item.id).join(Series).where(Series.modality == "CT")).scalar()
        hits = describe_items(db, [(item, 0.5, 0)])
        grounds = grounds_of(library, library.spaces()[0], db)
        for query in ({"modality": "US"}, {}):
            (found,) = attach_evidence(db, grounds, query, hits, [0.5])
            assert found.pairs == grounds.background.pairs(ALL)
        (by_words,) = attach_evidence(db, grounds, {}, hits, [float("nan")])
        assert by_words.percentile is None


def test_a_file_that_is_not_in_the_library_has_the_same_tags() -> None:
    said = Attributes(
        modality="DX", sex="F", age_years=60.0, labels={"finding": ("b", "a")}, study_date="2024"
    )
    assert tags_from(said, kind="image") == {
        "kind": "image",
        "modality": "DX",
        "sex": "F",
        "age": "60-69",
        "label:finding": "a, b",
    }


# -- votes: the arithmetic -------------------------------------------------------------------------


def test_near_voters_count_for_more_and_each_may_say_several_things() -> None:
    cosines = np.array([0.9, 0.83, 0.2])
    weights = weights_of(cosines)
    assert weights.sum() == pytest.approx(1)
    assert weights[0] / weights[1] == pytest.approx(np.e)
    shares = shares_of(cosines, [frozenset("a"), frozenset("ab"), frozenset("c")])
    assert shares["a"] == pytest.approx(weights[0] + weights[1])
    assert shares["b"] == pytest.approx(weights[1])
    assert shares["c"] < 0.001


@given(st.lists(st.tuples(COSINES, st.frozensets(st.sampled_from("abc"))), min_size=1, max_size=9))
def test_running_shares_are_those_of_the_first_voters(
    said: list[tuple[float, frozenset[str]]],
) -> None:
    said.sort(key=lambda one: -one[0])
    cosines = np.array([cosine for cosine, _ in said])
    votes = np.array([[value in own for _, own in said] for value in "abc"])
    found = running_shares(cosines, votes)
    for number in range(1, len(said) + 1):
        shares = shares_of(cosines[:number], [own for _, own in said[:number]])
        for value, share in zip("abc", found[:, number - 1], strict=True):
            assert share == pytest.approx(shares.get(value, 0.0))


@pytest.mark.parametrize("truth", [Scaling(1.0, 0.0), Scaling(0.4, -0.5), Scaling(2.5, 0.7)])
def test_a_known_probability_is_found_again(truth: Scaling) -> None:
    rng = np.random.default_rng(0)
    shares = rng.uniform(0, 1, 20_000)
    true = rng.uniform(0, 1, shares.size) < truth(shares, 10)
    found = fit_scaling(shares, 10, true)
    grid = np.linspace(0.05, 0.95, 19)
    assert found(grid, 10) == pytest.approx(truth(grid, 10), abs=0.02)
    quality = quality_of(shares, 10, true, np.arange(shares.size) % 500)
    assert quality.patients == 500
    assert quality.error < 0.02
    if truth != Scaling(1.0, 0.0):
        assert quality.error < quality.raw_error


def test_votes_without_any_worth_become_the_base_rate() -> None:
    rng = np.random.default_rng(1)
    shares, true = rng.uniform(0, 1, 5000), rng.uniform(0, 1, 5000) < 0.2
    scaling = fit_scaling(shares, 10, true)
    assert scaling(np.array([0.1, 0.9]), 10) == pytest.approx([0.2, 0.2], abs=0.03)


@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans(), st.integers(3, 20)), min_size=1, max_size=60)
)
def test_probabilities_rise_with_the_share_and_stay_within_bounds(
    said: list[tuple[float, bool, int]],
) -> None:
    shares, truths, voters = (np.array(column) for column in zip(*said, strict=True))
    scaling = fit_scaling(shares, voters, truths)
    found = scaling(np.linspace(0, 1, 11), 5)
    assert ((found > 0) & (found < 1)).all()
    assert (np.diff(found) >= -1e-12).all()


def test_the_calibration_error_is_the_mean_gap() -> None:
    probabilities = np.array([0.25, 0.25, 0.25, 0.25, 1.0, 1.0])
    truths = np.array([1, 0, 0, 0, 1, 0], bool)
    assert calibration_error(probabilities, truths) == pytest.approx((4 * 0 + 2 * 0.5) / 6)


# -- votes: of a library ---------------------------------------------------------------------------

CALIBRATION = {"finding": LabelScaling({3: Scaling(1.0, 0.0)}, Quality(40, 99, 0.02, 0.1))}


def voter(patient: str, cosine: float, *values: str) -> Voter:
    return Voter(patient, cosine, {"finding": values} if values else {})


def test_tags_are_not_voted_on() -> None:
    tagged = [Voter(name, 0.9, {"finding": ("cyst",), "tag": ("teaching",)}) for name in "abc"]
    assert {vote.name for vote in label_votes(tagged, CALIBRATION)} == {"finding"}


def test_each_patient_has_one_vote() -> None:
    voters = [voter("p", 0.9, "a"), voter("p", 0.8, "b"), voter("q", 0.9, "b")]
    votes = label_votes(voters, None)
    assert [(v.value, v.share, v.voters) for v in votes] == [("a", 0.5, 2), ("b", 0.5, 2)]
    nobody = [voter("", 0.9, "a"), voter("", 0.9, "b"), voter("r", 0.9)]
    assert {v.voters for v in label_votes(nobody, None)} == {2}, "unknown patients are not one"


def test_a_vote_says_why_it_has_no_probability() -> None:
    two, three = [voter("p", 0.9, "a"), voter("q", 0.9, "a")], voter("r", 0.9, "b")
    (few,) = label_votes(two, CALIBRATION)
    assert few.probability is None
    assert few.note == "2 of the nearest patients have 'finding', and 3 are needed"
    likely, other = label_votes([*two, three], CALIBRATION)
    assert (likely.value, likely.fitted_on, likely.error, likely.note) == ("a", 40, 0.02, "")
    assert likely.probability == pytest.approx(2.5 / 4, abs=1e-3)
    assert other.probability == pytest.approx(1.5 / 4, abs=1e-3)
    assert "the next index run" in label_votes([*two, three], None)[0].note
    assert "patients can be asked" in label_votes([*two, three], {})[0].note


def test_forty_studies_of_few_patients_are_not_calibrated(indexed: Indexed) -> None:
    with Library.open(indexed.library) as library, reading(library.engine) as db:
        space = library.spaces()[0]
        patients = len(set(db.execute(select(Study.patient_id)).scalars()))
        assert (calibrate(db, space) == {}) is (patients < 30)


KINDS, PATIENTS, AGREE = ("a", "b", "c", "d"), 200, 0.8


@pytest.fixture(scope="module")
def voting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two hundred patients in four clusters; four fifths have their cluster's label.

    Each has two items that lie together, so that whoever asks itself is always right.
    """
    path = tmp_path_factory.mktemp("voting") / "library"
    rng = np.random.default_rng(0)
    centres = np.eye(len(KINDS), TextureEncoder.spec.dim)
    with Library.create(path) as library:
        space = library.ensure_space(TextureEncoder.spec)
        with transaction(library.engine) as db:
            for number in range(PATIENTS):
                own = rng.integers(len(KINDS))
                place = centres[own] + 0.03 * rng.standard_normal(space.dim)
                said = own if rng.random() < AGREE else rng.integers(len(KINDS))
                add_patient(db, space.id, number, place, KINDS[said])
    return path


def add_patient(db: Connection, space: int, number: int, place: np.ndarray, value: str) -> None:
    """A study with a label and two items."""
    key = number + 1
    db.execute(insert(Patient).values(id=key, pseudonym=f"p{key}", shared=False))
    db.execute(insert(Study).values(id=key, patient_id=key, study_instance_uid=f"1.{key}"))
    series = {"id": key, "study_id": key, "series_instance_uid": f"2.{key}", "modality": "CT"}
    db.execute(insert(Series).values(series))
    db.execute(insert(Label).values(study_id=key, name="kind", value=value))
    vector = (place / np.linalg.norm(place)).astype("<f2").tobytes()
    for item in (2 * key, 2 * key + 1):
        about = {"kind": "image", "role": "primary", "pixel_hash": ""}
        db.execute(insert(Item).values(id=item, uid=f"i{item}", series_id=key, **about))
        stored = {"space_id": space, "item_id": item, "vector": vector, "norm": 1.0}
        db.execute(insert(EmbeddingRow).values(stored))


def test_votes_are_calibrated_on_the_patients_of_the_library(voting: Path) -> None:
    with Library.open(voting) as library, reading(library.engine) as db:
        space = library.spaces()[0]
        steps: list[tuple[int, int]] = []
        found = calibrate(db, space, lambda done, total: steps.append((done, total)))["kind"]
        assert steps[-1][0] == steps[-1][1] > 0
        assert found.quality.patients == PATIENTS
        assert found.quality.error < found.quality.raw_error < 0.3
        right = AGREE + (1 - AGREE) / len(KINDS)
        assert found.scalings[20](np.array([0.9]), 20) == pytest.approx([right], abs=0.1)
        assert found.scalings[20](np.array([0.1]), 20) < 0.15


def test_a_calibration_is_kept_and_read_back(voting: Path) -> None:
    with Library.open(voting) as library:
        space = library.spaces()[0]
        with library.writing(), reading(library.engine) as db:
            refresh_calibration(library, space, db)
        with reading(library.engine) as db:
            kept, made = read_calibration(library, space, db), calibrate(db, space)
            assert kept == made
            hits = describe_items(
                db,
                [
                    (item, 0.9, 0)
                    for item in db.execute(
                        select(Item.id).where(Item.id % 2 == 0).limit(12)
                    ).scalars()
                ],
            )
            votes = votes_of(grounds_of(library, space, db), hits, [hit.score for hit in hits])
        assert sum(vote.share for vote in votes) == pytest.approx(1, abs=0.01)
        assert all(0 < vote.probability < 1 for vote in votes if vote.probability is not None)
        shares = [vote.share for vote in votes]
        assert all(a >= b for a, b in pairwise(shares))
        assert {(vote.name, vote.voters, vote.fitted_on) for vote in votes} == {
            ("kind", 12, PATIENTS)
        }


def test_what_a_killed_writer_left_is_cleared_away(copy: Library) -> None:
    space = copy.spaces()[0]
    left = copy.index_folder / f".{KIND}-{space.id}.npz.99999"
    left.write_bytes(b"half")
    path = copy.index_folder / f"{KIND}-{space.id}.npz"
    path.unlink()
    refresh_grounds(copy)
    assert path.is_file()
    assert not left.exists()
