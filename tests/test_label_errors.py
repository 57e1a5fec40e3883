"""Labels that may be wrong are found, ranked, and left as they are."""

from __future__ import annotations

import numpy as np
import pytest
from small_graphs import blobs, graph

from clustering.label_errors import REVIEW, LabelReview, label_errors
from clustering.probing import folds_of, out_of_fold, voted
from indexer.errors import QueryError

WRONG = (3, 17, 65)
both = pytest.mark.parametrize("classifier", ["linear", "knn"])


def archive() -> tuple[np.ndarray, list[str | None], list[str]]:
    """Three classes of forty items, two of each patient; three labels are wrong."""
    rows, own = blobs([40, 40, 40], noise=0.15)
    given_labels: list[str | None] = [("a", "b", "c")[each] for each in own]
    for row in WRONG:
        given_labels[row] = "c" if given_labels[row] != "c" else "a"
    return rows, given_labels, [f"p{row // 2}" for row in range(120)]


def review(classifier: str = "linear") -> LabelReview:
    rows, given_labels, patients = archive()
    return label_errors(
        rows, given_labels, graph(rows, 15), patients=patients, classifier=classifier
    )


@both
def test_wrong_labels_are_found(classifier: str) -> None:
    found = review(classifier)
    assert {suspect.item for suspect in found.suspects} == set(WRONG)
    assert any(suspect.confident for suspect in found.suspects)
    by_item = {suspect.item: suspect for suspect in found.suspects}
    assert (by_item[3].given, by_item[3].suggested) == ("c", "a")
    assert (by_item[65].given, by_item[65].suggested) == ("c", "b")
    assert found.notes == (REVIEW,)


def test_the_worst_comes_first_with_the_neighbours_that_disagree() -> None:
    _, given_labels, _ = archive()
    found = review()
    qualities = [suspect.quality for suspect in found.suspects]
    assert qualities == sorted(qualities)
    for suspect in found.suspects:
        assert len(suspect.disagreeing) == 5
        assert all(given_labels[row] != suspect.given for row in suspect.disagreeing)
        assert suspect.agreeing_share is not None and suspect.agreeing_share < 0.5


def test_the_same_again() -> None:
    assert review() == review()


@both
def test_unlabelled_items_and_rare_classes_are_counted(classifier: str) -> None:
    rows, given_labels, patients = archive()
    given_labels[100], given_labels[110], given_labels[111] = None, "rare", "rare"
    found = label_errors(
        rows, given_labels, graph(rows, 15), patients=patients, classifier=classifier
    )
    assert (found.reviewed, found.unlabelled, found.left_out) == (117, 1, 2)
    assert not {100, 110, 111} & {suspect.item for suspect in found.suspects}


def test_without_patients_it_says_so() -> None:
    rows, given_labels, _ = archive()
    found = label_errors(rows, given_labels, graph(rows, 15), classifier="knn")
    assert any("patients were not given" in note for note in found.notes)


def test_a_patients_own_images_do_not_vouch_for_it() -> None:
    """Both images of patient 0 have the same wrong label, and are each other's nearest."""
    rows, given_labels, patients = archive()
    rows[1] = rows[0]
    given_labels[0] = given_labels[1] = "b"
    found = label_errors(rows, given_labels, graph(rows, 15), patients=patients, classifier="knn")
    assert {0, 1} <= {suspect.item for suspect in found.suspects}


def test_patients_stay_together_and_classes_are_dealt_out() -> None:
    codes = np.repeat([0, 1], [30, 10])
    owners = np.arange(40) // 2
    fold = folds_of(codes, owners, 5, seed=0)
    assert np.array_equal(fold[::2], fold[1::2])
    assert np.bincount(fold[:30]).tolist() == [6] * 5
    assert np.bincount(fold[30:]).tolist() == [2] * 5


def test_a_class_of_two_patients_is_always_learnt() -> None:
    rows, own = blobs([20, 2])
    shares = out_of_fold(rows, own, np.arange(22))
    assert (shares.argmax(axis=1) == own).all()
    assert shares.sum(axis=1) == pytest.approx(1)


def test_votes_by_hand() -> None:
    rows, _ = blobs([3])
    shares = voted(graph(rows, 2), np.array([0, 1, -1]), np.array([0, 1, 2]), 2)
    assert shares.tolist() == [[0.25, 0.75], [0.75, 0.25], [0.5, 0.5]]
    own = voted(graph(rows, 2), np.array([0, 1, 1]), np.array([0, 0, 2]), 2)
    assert own[0].tolist() == [0.25, 0.75]


def test_what_cannot_be_reviewed() -> None:
    rows, given_labels, _ = archive()
    near = graph(rows, 5)
    with pytest.raises(QueryError, match="linear or knn, not 'tree'"):
        label_errors(rows, given_labels, near, classifier="tree")
    with pytest.raises(QueryError, match="folds is 2 or more"):
        label_errors(rows, given_labels, near, folds=1)
    with pytest.raises(QueryError, match="two classes are needed"):
        label_errors(rows, ["a"] * 120, near)
    with pytest.raises(QueryError, match="given: 1 values for 120 items"):
        label_errors(rows, ["a"], near)
