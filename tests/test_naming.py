"""What clusters are called: exemplars, values, words, phrases, and the warning of one scanner."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import fisher_exact
from scipy.stats.contingency import association
from small_graphs import blobs, unit

from clustering.contract import NOISE
from clustering.enrichment import associations, banded, enrichment, shortcut_warnings
from clustering.exemplars import exemplars, middles
from clustering.naming import UNNAMED, Phrases, name_clusters
from clustering.phrases import nearest_phrases, vocabulary
from clustering.words import distinctive_words, readable_words
from indexer.errors import ClusteringError, QueryError, VectorError


def labels(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def test_the_medoid_lies_in_the_middle_and_the_border_between_clusters() -> None:
    degrees = np.radians([0, 10, 20, 40, 70, 80, 90])
    rows = unit(np.stack([np.cos(degrees), np.sin(degrees)], axis=1))
    first, second = exemplars(rows, labels(0, 0, 0, 0, 1, 1, 1), count=2)
    assert (first.medoid, second.medoid) == (2, 5)
    assert first.borderline[0] == 3
    assert second.borderline[0] == 4
    assert (first.size, second.size) == (4, 3)


def test_spread_members_differ_and_begin_with_the_medoid() -> None:
    rows, own = blobs([60, 40])
    first, _ = exemplars(rows, own)
    assert first.spread[0] == first.medoid
    assert len(set(first.spread)) == 8
    chosen = rows[list(first.spread)]
    to_middle = rows[:60] @ middles(rows, own)[0]
    inner = np.argsort(-to_middle)[:30]
    assert set(first.spread) <= set(inner.tolist())
    usual = float(np.median(rows[inner] @ rows[inner].T))
    assert (chosen @ chosen.T)[np.triu_indices(8, 1)].mean() < usual


def test_clusters_of_one_member_and_of_noise_alone() -> None:
    rows, _ = blobs([3])
    (only, *_) = exemplars(rows, labels(0, NOISE, NOISE))
    assert (only.medoid, only.spread, only.borderline) == (0, (0,), (0,))
    assert exemplars(rows, np.full(3, NOISE)) == ()
    assert middles(rows, np.full(3, NOISE)).shape == (0, 16)


def test_enrichment_is_fishers_exact_test() -> None:
    own = labels(*[0] * 10, *[1] * 12)
    maker = ["A"] * 8 + ["B"] * 2 + ["A"] * 3 + ["B"] * 9
    found = enrichment(own, {"manufacturer": maker}, level=1.0)
    first = next(each for each in found if each.cluster == 0)
    expected = fisher_exact([[8, 2], [3, 9]], alternative="greater").pvalue
    assert first.p == pytest.approx(expected)
    assert (first.value, first.inside, first.known_inside) == ("A", 8, 10)
    assert first.lift == pytest.approx(0.8 / (11 / 22))
    assert first.share_outside == pytest.approx(3 / 12)


def test_unknown_values_are_left_out_and_noise_is_the_rest() -> None:
    own = labels(0, 0, 0, 0, NOISE, NOISE, NOISE, NOISE)
    found = enrichment(own, {"view": ["PA", "PA", "PA", None, "AP", "AP", "AP", ""]}, level=1.0)
    (only,) = found
    assert (only.inside, only.known_inside, only.share_outside) == (3, 3, 0.0)


def test_random_values_are_not_reported() -> None:
    rng = np.random.default_rng(0)
    own = rng.integers(0, 5, 500)
    fields = {f"f{at}": [str(value) for value in rng.integers(0, 4, 500)] for at in range(10)}
    assert enrichment(own, fields) == ()
    assert max(each.cramers_v for each in associations(own, fields)) < 0.12


def test_many_images_of_one_patient_are_one_case() -> None:
    own = labels(*[0] * 30, *[1] * 30)
    marker = ["L"] * 30 + ["R"] * 30
    patients = ["a"] * 30 + ["b"] * 30
    assert len(enrichment(own, {"marker": marker})) == 2
    assert enrichment(own, {"marker": marker}, patients=patients) == ()


def test_cramers_v_is_near_the_plain_one_for_many_items() -> None:
    rng = np.random.default_rng(0)
    own = rng.integers(0, 3, 5_000)
    value = np.where(rng.random(5_000) < 0.5, own, rng.integers(0, 3, 5_000))
    (found,) = associations(own, {"site": [str(each) for each in value]})
    table = np.zeros((3, 3))
    np.add.at(table, (own, value), 1)
    assert found.cramers_v == pytest.approx(association(table.astype(int)), abs=0.01)


def test_one_value_or_one_cluster_tells_nothing() -> None:
    assert enrichment(labels(0, 1), {"site": ["x", "x"]}) == ()
    (found,) = associations(labels(0, 0), {"site": ["x", "y"]})
    assert (found.cramers_v, found.p) == (0.0, 1.0)
    assert associations(labels(0, 1), {}) == ()


@given(st.lists(st.one_of(st.none(), st.integers(0, 99)), max_size=40))
def test_bands_hold_their_numbers(values: list[int | None]) -> None:
    for value, band in zip(values, banded(values), strict=True):
        assert (band is None) == (value is None)
        if value is not None and band is not None:
            low, _, high = band.partition(" to ")
            assert float(low) <= value <= float(high or low)


def test_one_scanner_is_a_warning() -> None:
    own = labels(*[0] * 40, *[1] * 60)
    model = ["X"] * 39 + ["Y"] + ["Y"] * 50 + ["X"] * 10
    told = shortcut_warnings(enrichment(own, {"model": model, "label": model}))
    assert list(told) == [0]
    assert told[0][0].startswith("this cluster is one model: 98% of it is 'X', of the rest 17%")
    assert len(told[0]) == 1


FRACTURE = "The left hip shows a displaced fracture. Dr. Anna Bergmann"
NORMAL = "The left hip shows no fracture line seen. Dr. Anna Bergmann"
EFFUSION = "Chest: large effusion, compared with 12.03.2024. Read by John Miller MD"
LUNGE = "Großer Erguss rechts im Thorax. Gez. Prof. Dr. Hans Schmidt, Pat. Erika Mustermann"


def numbered(text: str, count: int) -> list[str | None]:
    return [f"{text} {number}" for number in range(count)]


def test_words_that_set_a_cluster_apart() -> None:
    texts = [*numbered(FRACTURE, 20), *numbered(EFFUSION, 20)]
    found = distinctive_words(labels(*[0] * 20, *[1] * 20), texts)
    by_cluster = {
        number: {each.word for each in found if each.cluster == number} for number in (0, 1)
    }
    assert {"displaced", "fracture", "hip"} <= by_cluster[0]
    assert {"large", "effusion"} <= by_cluster[1]
    first = found[0]
    assert (first.reports, first.share_inside, first.share_outside) == (20, 1.0, 0.0)


def test_common_words_do_not_stand_out() -> None:
    texts = [*numbered(FRACTURE, 20), *numbered(NORMAL, 20)]
    found = distinctive_words(labels(*[0] * 20, *[1] * 20), texts)
    assert "hip" not in {each.word for each in found}


@pytest.mark.parametrize("text", [FRACTURE, EFFUSION, LUNGE, "DOE^JOHN of Munich, 2024-01-02 x17"])
def test_names_dates_and_numbers_are_never_words(text: str) -> None:
    words = set[str]().union(*readable_words([text] * 5))
    private = {"anna", "bergmann", "john", "miller", "hans", "schmidt", "erika", "mustermann"}
    assert not words & (private | {"doe", "munich"})
    assert not any(any(sign.isdigit() for sign in word) for word in words)


def test_names_within_english_sentences_are_told_by_their_capital() -> None:
    (words,) = readable_words(["Discussed with Smithson today. Opacity was seen. CT of the lung."])
    assert "smithson" not in words
    assert {"discussed", "opacity", "lung"} <= words


def test_german_nouns_are_words() -> None:
    (words,) = readable_words([LUNGE])
    assert {"erguss", "thorax", "rechts"} <= words
    assert "mustermann" not in words


def test_a_word_of_one_patient_is_left_out() -> None:
    texts = [*numbered("zebroid shadow", 9), *numbered("clear field", 9)]
    own = labels(*[0] * 9, *[1] * 9)
    patients = ["p"] * 9 + [f"q{row}" for row in range(9)]
    assert "zebroid" in {each.word for each in distinctive_words(own, texts)}
    found = distinctive_words(own, texts, patients=patients)
    assert "zebroid" not in {each.word for each in found}


def test_no_reports_no_words() -> None:
    assert distinctive_words(labels(0, 1), [None, ""]) == ()
    with pytest.raises(QueryError, match="texts: 1 values for 2 items"):
        distinctive_words(labels(0, 1), ["a"])


def test_a_phrase_stands_out_against_the_other_clusters() -> None:
    """All clusters are nearest to "image"; only what differs names them."""
    axes = np.eye(4)
    clusters = unit(np.stack([axes[0] + axes[1], axes[0] + axes[2]]))
    phrases = unit(np.stack([axes[0], axes[1], axes[2], axes[3]]))
    first, second = nearest_phrases(clusters, phrases, ["image", "knee", "chest", "nothing"])
    assert (first.phrase, second.phrase) == ("knee", "chest")
    assert first.named and second.named


def test_a_small_margin_leaves_a_cluster_unnamed() -> None:
    axes = np.eye(3)
    clusters = unit(np.stack([axes[0], axes[1]]))
    phrases = unit(np.stack([axes[0] + 0.01 * axes[2], axes[0] - 0.01 * axes[2], axes[1]]))
    first, _ = nearest_phrases(clusters, phrases, ["knee", "joint", "chest"])
    assert not first.named
    again, _ = nearest_phrases(clusters, phrases, ["knee", "right knee", "chest"])
    assert again.named and again.runner_up == "chest"


def test_one_cluster_has_nothing_to_stand_out_against() -> None:
    (only,) = nearest_phrases(np.eye(2)[:1], np.eye(2), ["a", "b"])
    assert (only.phrase, only.named) == ("a", False)
    assert nearest_phrases(np.eye(2)[:1], np.zeros((0, 2)), []) == ()


def test_phrases_of_another_space() -> None:
    with pytest.raises(VectorError, match="shape"):
        nearest_phrases(np.eye(2), np.eye(3), ["a", "b", "c"])
    with pytest.raises(QueryError, match="phrases: 1 values for 2 items"):
        nearest_phrases(np.eye(2), np.eye(2), ["a"])


def test_the_vocabulary() -> None:
    phrases = vocabulary()
    assert len(phrases) == len(set(phrases)) > 400
    assert {"pleural effusion", "pacemaker", "metal artefact"} <= set(phrases)
    assert not any(phrase.startswith("#") for phrase in phrases)


def test_names_in_one_line() -> None:
    rows, own = blobs([30, 30, 30])
    fields: dict[str, list[str | None]] = {
        "modality": ["CT"] * 30 + ["MR"] * 30 + ["CT"] * 30,
        "body_part": ["ABDOMEN"] * 30 + ["HEAD"] * 60,
        "manufacturer": ["Siemens"] * 30 + ["Philips"] * 30 + ["GE"] * 30,
    }
    phrases = Phrases(["contrast portal venous", "T2-weighted MR", "bleed"], np.eye(16)[:3])
    names = name_clusters(rows, own, fields=fields, phrases=phrases)
    assert [name.text for name in names] == [
        "CT abdomen · Siemens · 'contrast portal venous'",
        "MR head · Philips · 'T2-weighted MR'",
        "CT head · GE · 'bleed'",
    ]
    assert "one manufacturer" in names[0].warnings[0]
    assert names[0].exemplars.size == 30


def test_words_stand_in_for_phrases() -> None:
    rows, own = blobs([20, 20])
    texts = [*numbered(FRACTURE, 20), *numbered(EFFUSION, 20)]
    first, _ = name_clusters(rows, own, texts=texts)
    assert "fracture" in first.text or "displaced" in first.text


def test_nothing_known() -> None:
    rows, own = blobs([5, 5])
    assert {name.text for name in name_clusters(rows, own)} == {UNNAMED}


def test_labels_with_gaps() -> None:
    rows, _ = blobs([2])
    with pytest.raises(ClusteringError, match="without gaps"):
        name_clusters(rows, labels(0, 2))
