"""References stay loaded between questions, and are loaded anew when anything of them changed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from placed_library import Placed, on_circle, place
from served_library import post, serving

from api.service import library as libraries
from api.service.judging import ood
from api.service.judging.judge import Judge
from api.service.judging.kept_references import KeptReferences
from indexer.config import Settings
from indexer.errors import ReferenceSetError
from indexer.groups.references import StoredReference
from indexer.library import Library

USUAL = 120


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    placed = [
        Placed(f"P{n}", on_circle(n % 30 / 2), modality="CR", body_part="CHEST")
        for n in range(USUAL)
    ]
    odd = Placed("Q", on_circle(90), modality="CR", body_part="HAND")
    path = place(tmp_path_factory.mktemp("fitted") / "library", [*placed, odd])
    with Library.open(path) as library:
        fit(library)
    return path


@pytest.fixture
def library(folder: Path, tmp_path: Path) -> Iterator[Library]:
    with Library.open(Path(shutil.copytree(folder, tmp_path / "library"))) as library:
        yield library


def usual(library: Library) -> StoredReference:
    return ood.show_reference(library, "usual")


def fit(library: Library, name: str = "usual", seed: int = 0) -> StoredReference:
    request = ood.FitRequest(name, filter="body_part=CHEST", alarm=0.2, seed=seed)
    return ood.fit_reference(library, request)


def test_a_reference_is_loaded_once_and_says_the_same(library: Library) -> None:
    stored, kept = usual(library), KeptReferences(library)
    assert kept.sets(stored) is kept.sets(stored)
    anew = Judge(library, "usual", look=False)
    again = Judge(library, "usual", look=False, fitted=kept.sets)
    assert again.fitted is kept.sets(stored)
    assert list(anew.of_items("")) == list(again.of_items(""))


def test_threads_that_ask_at_once_wait_for_the_one_that_loads_it(library: Library) -> None:
    stored, kept = usual(library), KeptReferences(library)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: kept.sets(stored), range(32)))
    assert all(each is found[0] for each in found)


def test_a_reference_that_was_fitted_anew_is_loaded_anew(library: Library) -> None:
    before, kept = usual(library), KeptReferences(library)
    old = kept.sets(before)
    ood.remove(library, "usual")
    after = fit(library, seed=1)
    assert kept.sets(after) is not old


def test_a_case_that_was_removed_from_the_library_is_not_named_any_more(library: Library) -> None:
    stored, kept = usual(library), KeptReferences(library)

    def named() -> set[str]:
        judge = Judge(library, "usual", look=False, fitted=kept.sets)
        (odd,) = judge.of_items("body_part=HAND")
        return {near.study_instance_uid for near in odd.items[0].nearest}

    near = sorted(named())
    libraries.remove(library, "study", near[0], actor="test")
    assert near[0] not in named()
    assert len(kept) == 1, "the state before is let go of"
    assert kept.sets(stored) is kept.sets(stored)


def test_only_so_many_are_kept(library: Library) -> None:
    kept = KeptReferences(library, most=1)
    first = kept.sets(usual(library))
    assert kept.sets(fit(library, "another", seed=1)) is not first
    assert len(kept) == 1
    assert kept.sets(usual(library)) is not first


def test_one_that_cannot_be_loaded_is_tried_again(library: Library) -> None:
    stored, kept = usual(library), KeptReferences(library)
    path = library.path / "references" / stored.file
    content = path.read_bytes()
    path.write_bytes(b"damaged")
    for _ in range(2):
        with pytest.raises(ReferenceSetError, match="fit it again"):
            kept.sets(stored)
    path.write_bytes(content)
    assert kept.sets(stored)


def test_the_service_judges_again_and_again_and_sees_what_was_fitted_since(
    library: Library,
) -> None:
    asked: dict[str, Any] = {"reference": "usual", "filter": "body_part=HAND"}
    with serving(Settings(library=library.path)) as client:
        first = post(client, "ood/score", asked)
        assert post(client, "ood/score", asked) == first
        assert first["studies"][0]["flagged"]
        ood.remove(library, "usual")
        assert client.post("/v1/ood/score", json=asked).status_code == 404
        ood.fit_reference(
            library, ood.FitRequest("usual", filter="body_part=HAND or body_part=CHEST", alarm=0.3)
        )
        assert post(client, "ood/score", asked)["studies"][0]["alarm"] == 0.3
