"""Answers about cases: mixed queries, several voices, priors, groups, and what cannot be found."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cohort_library import Indexed
from PIL import Image
from sqlalchemy import insert
from tiny_models import shared_models

from api.service import ingest
from api.service import library as libraries
from api.service import search as service
from api.service.options import read_options
from indexer import registry
from indexer.catalog.database import reading, transaction
from indexer.catalog.tables import EmbeddingRow, Item, Series, Study
from indexer.config import Settings
from indexer.encoders.contract import EncoderContext
from indexer.errors import ItemNotFoundError, QueryError
from indexer.evidence.originals import read_again
from indexer.evidence.regions import patches_from, region_vector
from indexer.index.projection import embeddings
from indexer.kept import Kept
from indexer.library import Library
from indexer.phantoms import Kind, PhantomStudy, Trait, radiograph
from indexer.registry import usable_encoder
from indexer.searching.answers import SearchAnswer
from indexer.searching.asking import Example, Region, Rocchio, SearchRequest, like
from indexer.searching.fusion import K
from indexer.types import EncoderSpec

ALL = 1000
Vectors = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def library(indexed: Indexed) -> Iterator[Library]:
    with Library.open(indexed.library) as opened:
        yield opened


def ask(library: Library, *examples: Example, **request: object) -> SearchAnswer:
    asked = SearchRequest(examples, **request)  # type: ignore[arg-type]
    return service.search(library, asked, Settings())


def studies(answer: SearchAnswer) -> list[str]:
    return [hit.study_instance_uid for hit in answer.hits]


def of_kind(indexed: Indexed, kind: Kind) -> list[PhantomStudy]:
    return [s for s in indexed.plan if s.kind is kind and not s.prior_of]


def vectors_by_item(library: Library) -> Vectors:
    """The vectors of the library's first space by the public ids of items."""
    space = library.spaces()[0]
    with reading(library.engine) as db:
        uids = dict(db.execute(Item.__table__.select().with_only_columns(Item.id, Item.uid)).all())
        return {
            uids[int(item)]: row
            for _, ids, rows in embeddings(db, space)
            for item, row in zip(ids, rows, strict=True)
        }


def item_of(library: Library, study: PhantomStudy) -> str:
    shown = libraries.show(library, study.study_instance_uid)
    ids = [item["id"] for series in shown["series"] for item in series["items"]]  # type: ignore
    return str(ids[0])


# -- examples that are mixed -----------------------------------------------------------------------


def test_scores_of_a_mix_are_cosines_with_rocchio_s_vector(
    library: Library, indexed: Indexed
) -> None:
    vectors = vectors_by_item(library)
    chest, other = of_kind(indexed, Kind.CHEST)[:2]
    head = of_kind(indexed, Kind.HEAD)[0]
    query, more, unlike = (item_of(library, study) for study in (chest, other, head))
    mix = Rocchio(alpha=1, beta=0.5, gamma=0.25)
    answer = ask(
        library,
        Example(uid=unlike, weight=-2),
        Example(uid=query),
        Example(uid=more),
        mix=mix,
        group="item",
        k=ALL,
    )
    wanted = vectors[query] + 0.5 * vectors[more] - 0.25 * 2 * vectors[unlike]
    wanted /= np.linalg.norm(wanted)
    assert answer.mix.startswith("examples mixed by Rocchio: 1 x the first example + 0.5")
    for hit in answer.hits:
        assert hit.score == pytest.approx(float(vectors[hit.id] @ wanted), abs=1e-4)
    own = {study.study_instance_uid for study in (chest, other, head)}
    assert not own & set(studies(answer)), "no example's own study is a hit"


def test_more_like_and_less_like_move_the_hits(library: Library, indexed: Indexed) -> None:
    kinds = {s.study_instance_uid: s.kind for s in indexed.plan}
    chest, head = of_kind(indexed, Kind.CHEST)[0], of_kind(indexed, Kind.HEAD)[0]

    def share(*examples: Example) -> float:
        found = studies(ask(library, *examples, k=8))
        return sum(kinds[uid] is Kind.HEAD for uid in found) / len(found)

    query = Example(uid=chest.study_instance_uid)
    towards = Example(uid=head.study_instance_uid, weight=3)
    assert share(query) < share(query, towards)
    assert share(query, towards, replace(towards, weight=-20)) < share(query, towards)


def test_what_is_no_example_is_refused(library: Library) -> None:
    one = Example(uid="1.2.3")
    for examples, message in (
        ([replace(one, weight=0)], "the weight of an example"),
        ([replace(one, weight=float("nan"))], "the weight of an example"),
        ([replace(one, weight=-1)], "name at least one thing that hits should be like"),
        ([replace(one, text="chest")], "an example is either"),
        ([Example()], "an example is either"),
        ([], "search with a file, a UID, a text, a report or keywords"),
        ([one] * 101, "at most 100 examples"),
        ([Example(text="a", region=Region((0, 0, 5, 5)))], "a region is on a picture"),
        ([replace(one, region=Region((0, 0, 0, 5)))], "the last two above 0"),
        ([replace(one, region=Region((0, 0, 5, 5), 0))], "numbered from 1"),
    ):
        with pytest.raises(QueryError, match=message):
            ask(library, *examples)
    for request, message in (
        ({"min_score": 2.0}, "min_score is a cosine"),
        ({"min_score": float("nan")}, "min_score is a cosine"),
        ({"diversity": 1.5}, "diversity is 0 to 1"),
        ({"diversity": 0.5, "k": 1000}, "at most 200 hits can be diversified"),
        ({"rank": "late", "group": "item"}, "rank late compares studies"),
        ({"mix": Rocchio(alpha=0)}, "that of the query above zero"),
        ({"min_score": 0.5, "rank": "sum"}, "min_score is a cosine"),
    ):
        with pytest.raises(QueryError, match=message):
            ask(library, one, **request)
    with pytest.raises(QueryError, match="takes one example alone"):
        ask(library, one, one, rank="late")


# -- folders and archives --------------------------------------------------------------------------


def test_a_folder_or_an_archive_of_a_study_finds_what_its_uid_finds(
    library: Library, indexed: Indexed, tmp_path: Path
) -> None:
    for kind in (Kind.ABDOMEN, Kind.ULTRASOUND):
        study = of_kind(indexed, kind)[0]
        folder = tmp_path / kind.name
        shutil.copytree(indexed.folder(study), folder)
        (folder / "cut.dcm").write_bytes(next(folder.rglob("IM*.dcm")).read_bytes()[:3000])
        archive = tmp_path / f"{kind.name}.zip"
        with zipfile.ZipFile(archive, "w") as packed:
            for file in sorted(indexed.folder(study).rglob("*.dcm")):
                packed.write(file, file.relative_to(indexed.folder(study)))
        by_uid = ask(library, Example(uid=study.study_instance_uid), k=5)
        by_folder = ask(library, Example(file=folder), k=5)
        by_archive = ask(library, Example(file=archive), k=5)
        assert studies(by_folder) == studies(by_archive) == studies(by_uid)
        assert by_folder.candidates == by_uid.candidates
        assert any(note.startswith("left out of the query: cut.dcm") for note in by_folder.notes)
        assert by_folder.queries[0].study_instance_uid == study.study_instance_uid


def test_a_folder_that_is_no_study_is_refused(
    library: Library, indexed: Indexed, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "letter.txt").write_text("Dear colleague")
    with zipfile.ZipFile(tmp_path / "letters.zip", "w") as packed:
        packed.write(tmp_path / "letters" / "letter.txt", "letter.txt")
    for name in ("empty", "letters", "letters.zip"):
        with pytest.raises(QueryError, match=f"{name} holds no picture to search with"):
            ask(library, Example(file=tmp_path / name))
    with pytest.raises(QueryError, match="holds pictures of several studies"):
        ask(library, Example(file=indexed.cohort))


# -- words -----------------------------------------------------------------------------------------


def test_keywords_alone_find_studies_by_their_words(library: Library, indexed: Indexed) -> None:
    answer = ask(library, keywords="pneumothorax", k=ALL)
    truth = {s.study_instance_uid for s in indexed.plan if "pneumothorax" in s.label}
    assert truth <= set(studies(answer))
    assert not answer.fused
    assert answer.spaces == ()
    for place, hit in enumerate(answer.hits, 1):
        (voice,) = hit.voices
        assert (voice.voice, voice.how, voice.rank) == ("keywords", "words", place)
        assert "pneumothorax" in hit.snippet.lower()
    among = ask(library, keywords="pneumothorax", filter="modality=CT", k=ALL)
    assert {hit.modality for hit in among.hits} <= {"CT"}
    with pytest.raises(QueryError, match="name at least one word"):
        ask(library, keywords="!?")


def test_a_phrase_that_no_space_takes_goes_by_words_and_that_is_said(library: Library) -> None:
    answer = ask(library, Example(text="lung nodule"), k=3)
    assert [voice.voice for hit in answer.hits for voice in hit.voices] == ["keywords"] * 3
    assert any("cannot be asked in words" in note for note in answer.notes)
    with pytest.raises(QueryError, match=r"cannot be asked in words.*no study has such words"):
        ask(library, Example(text="xyzzy"))
    with pytest.raises(QueryError, match="cannot be asked in words"):
        ask(library, Example(text="lung nodule"), keywords="")


def test_an_image_and_keywords_are_fused_and_each_hit_says_who_found_it(
    library: Library, indexed: Indexed
) -> None:
    query = Example(uid=of_kind(indexed, Kind.CHEST)[0].study_instance_uid)
    image, words = ask(library, query, k=ALL), ask(library, query, keywords="nodule", k=ALL)
    by_image = {hit.study_instance_uid: n for n, hit in enumerate(image.hits, 1)}
    assert words.fused
    assert any("fused by reciprocal rank (k = 60)" in note for note in words.notes)
    for hit in words.hits:
        ranks = {voice.voice: voice.rank for voice in hit.voices}
        assert ranks["texture"] == by_image[hit.study_instance_uid]
        assert hit.score == pytest.approx(sum(1 / (K + r) for r in ranks.values()), abs=1e-6)
    assert {len(hit.voices) for hit in words.hits} == {1, 2}
    assert [h.score for h in words.hits] == sorted((h.score for h in words.hits), reverse=True)


# -- several spaces --------------------------------------------------------------------------------


class Coarse:
    """A second encoder of which the vectors alone count."""

    def __init__(self, context: EncoderContext) -> None:
        any_ = frozenset[str]()
        self.spec = EncoderSpec(
            context.name, 12, frozenset({"image", "volume"}), any_, "none", "1", "none", "coarse"
        )


@pytest.fixture
def two_spaces(copy: Library, monkeypatch: pytest.MonkeyPatch) -> Iterator[Library]:
    """The cohort with a second space that has vectors of every second item: half embedded."""
    monkeypatch.setitem(registry.ENCODERS, "coarse", f"{__name__}:Coarse")
    monkeypatch.setattr(registry, "_KEPT", Kept(most=2))
    space = copy.ensure_space(Coarse(EncoderContext("coarse")).spec)
    turn = np.random.default_rng(0).normal(size=(copy.spaces()[0].dim, space.dim))
    with reading(copy.engine) as db:
        found = [(ids, rows) for _, ids, rows in embeddings(db, copy.spaces()[0])]
    with transaction(copy.engine) as db:
        for ids, rows in found:
            coarse = rows @ turn
            coarse /= np.linalg.norm(coarse, axis=1, keepdims=True)
            values = [
                {"space_id": space.id, "item_id": int(i), "vector": v.tobytes(), "norm": 1.0}
                for i, v in zip(ids, coarse.astype("<f2"), strict=True)
                if i % 2
            ]
            db.execute(insert(EmbeddingRow), values)
    text = (copy.path / "library.toml").read_text()
    (copy.path / "library.toml").write_text(text.replace('["texture"]', '["texture", "coarse"]'))
    with Library.open(copy.path) as both:
        yield both


def test_several_spaces_are_fused_and_a_half_embedded_one_says_so(
    two_spaces: Library, indexed: Indexed
) -> None:
    with reading(two_spaces.engine) as db:
        odd = db.execute(
            Item.__table__.select().with_only_columns(Item.uid).where(Item.id % 2 == 1)
        ).scalar()
    query = Example(uid=str(odd))
    texture = ask(two_spaces, query, k=ALL, group="item")
    coarse = ask(two_spaces, query, k=ALL, group="item", encoders=("coarse",))
    both = ask(two_spaces, query, k=ALL, group="item", encoders=("all",))
    assert texture.encoder == "texture", "the library's first is taken"
    assert both.encoder == "texture, coarse"
    places = [{hit.id: place for place, hit in enumerate(one.hits, 1)} for one in (texture, coarse)]
    for hit in both.hits:
        ranks = [place[hit.id] for place in places if hit.id in place]
        assert [voice.rank for voice in hit.voices] == ranks
        assert hit.score == pytest.approx(sum(1 / (K + rank) for rank in ranks), abs=1e-6)
    use = both.spaces[1]
    assert 0 < use.held < use.items
    said = f"'coarse' has vectors of {use.held} of {use.items} items"
    assert any(said in note for note in both.notes)
    assert {hit.id for hit in coarse.hits} < {hit.id for hit in texture.hits}


def test_a_query_that_a_space_does_not_have_goes_to_the_next_or_is_refused(
    two_spaces: Library,
) -> None:
    with reading(two_spaces.engine) as db:
        even = db.execute(
            Item.__table__.select().with_only_columns(Item.uid).where(Item.id % 2 == 0)
        ).scalar()
    query = Example(uid=str(even))
    both = ask(two_spaces, query, encoders=("coarse", "texture"), k=3)
    assert both.encoder == "texture"
    assert any("'coarse' has no vector" in note for note in both.notes)
    with pytest.raises(QueryError, match="'coarse' has no vector"):
        ask(two_spaces, query, encoders=("coarse",))


# -- cases -----------------------------------------------------------------------------------------


def test_priors_are_listed_apart_by_date_with_their_similarity(
    library: Library, indexed: Indexed
) -> None:
    number = next(s.patient_number for s in indexed.plan if s.visit == 2 and s.kind is Kind.CHEST)
    before, query, after = (s for s in indexed.plan if s.patient_number == number)
    answer = ask(library, Example(uid=query.study_instance_uid), k=ALL)
    wanted = sorted((before, after), key=lambda s: s.study_date)
    assert [h.study_instance_uid for h in answer.priors] == [s.study_instance_uid for s in wanted]
    assert not {h.study_instance_uid for h in answer.priors} & set(studies(answer))
    among = ask(library, Example(uid=query.study_instance_uid), k=ALL, same_patient=True)
    scores = {hit.study_instance_uid: hit.score for hit in among.hits}
    for prior in answer.priors:
        assert prior.score == pytest.approx(scores[prior.study_instance_uid], abs=1e-6)
    assert among.priors == []
    date = wanted[0].study_date
    later = f"study_date>{date[:4]}-{date[4:6]}-{date[6:]}"
    filtered = ask(library, Example(uid=query.study_instance_uid), filter=later)
    assert [h.study_instance_uid for h in filtered.priors] == [wanted[1].study_instance_uid]


def test_each_patient_is_listed_once_by_the_best_study(library: Library, indexed: Indexed) -> None:
    query = Example(uid=of_kind(indexed, Kind.HEAD)[0].study_instance_uid)
    by_study = ask(library, query, k=ALL)
    by_patient = ask(library, query, k=ALL, group="patient")
    best: dict[str, str] = {}
    for hit in by_study.hits:
        best.setdefault(hit.patient, hit.id)
    assert [hit.id for hit in by_patient.hits] == list(best.values())


def test_a_cut_says_how_near_the_nearest_is(library: Library, indexed: Indexed) -> None:
    query = Example(uid=of_kind(indexed, Kind.CHEST)[0].study_instance_uid)
    everyone = ask(library, query, k=ALL)
    cut = everyone.hits[4].score
    some = ask(library, query, k=ALL, min_score=cut)
    assert [h.id for h in some.hits] == [h.id for h in everyone.hits if h.score >= cut]
    assert f"only {len(some.hits)} found: no more have a score of at least" in some.notes[-1]
    none = ask(library, query, min_score=1.0)
    assert none.hits == []
    nearest = f"{everyone.hits[0].score:.3f}"
    assert none.notes[-1] == f"nothing is close enough: the nearest has {nearest}, below 1"


def test_diverse_hits_differ_more_and_the_nearest_stays_first(
    library: Library, indexed: Indexed
) -> None:
    vectors = vectors_by_item(library)
    query = Example(uid=of_kind(indexed, Kind.CHEST)[0].study_instance_uid)

    def alike(answer: SearchAnswer) -> float:
        rows = np.stack([vectors[hit.id] for hit in answer.hits])
        return float((rows @ rows.T)[np.triu_indices(len(rows), 1)].mean())

    plain, diverse = ask(library, query, k=6), ask(library, query, k=6, diversity=0.6)
    assert diverse.hits[0].id == plain.hits[0].id
    assert len(diverse.hits) == 6
    assert alike(diverse) < alike(plain)
    assert any("lambda 0.4" in note for note in diverse.notes)


def test_a_filter_that_nothing_passes_is_a_statement_not_an_error(
    library: Library, indexed: Indexed
) -> None:
    query = Example(uid=indexed.plan[0].study_instance_uid)
    answer = ask(library, query, filter="modality=XX", min_score=0.1, diversity=0.5)
    assert (answer.hits, answer.passed, answer.candidates) == ([], 0, 0)
    assert answer.notes[-1] == "only 0 found: nothing passes the filter"
    assert ask(library, filter="modality=XX", keywords="chest").hits == []


def test_it_is_said_how_many_pass_and_how_many_are_left(library: Library, indexed: Indexed) -> None:
    study = of_kind(indexed, Kind.ULTRASOUND)[0]
    answer = ask(library, Example(uid=study.study_instance_uid), group="item", k=ALL)
    with reading(library.engine) as db:
        passing = db.execute(
            Item.__table__.select().with_only_columns(Item.id).where(Item.role == "primary")
        ).all()
    assert answer.passed == len(passing)
    linked_hits = [copy for copy in answer.linked if copy.of != "query"]
    assert len(answer.hits) + len(linked_hits) == answer.candidates


# -- regions ---------------------------------------------------------------------------------------


def test_a_region_needs_an_encoder_that_can_and_one_picture(
    library: Library, indexed: Indexed
) -> None:
    part = Region((10, 10, 40, 40))
    chest = of_kind(indexed, Kind.CHEST)[0]
    with pytest.raises(QueryError, match=r"'texture' compares places with places.*regions"):
        ask(library, Example(uid=item_of(library, chest), region=part))
    loop = next(s for s in indexed.plan if Trait.LOOP in s.traits)
    with pytest.raises(QueryError, match="a region is on one picture"):
        ask(library, Example(uid=loop.study_instance_uid, region=part))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shared_models(tmp_path_factory)


def test_a_region_finds_by_the_places_inside_it(tmp_path: Path, models: Path) -> None:
    settings = Settings(workers=1, models=models, device="cpu")
    files = [tmp_path / "films" / f"{n}.png" for n in range(5)]
    files[0].parent.mkdir()
    for number, file in enumerate(files):
        drawn = radiograph(np.random.default_rng(number), size=(120, 100))
        Image.fromarray((drawn * 255).astype(np.uint8)).save(file)
    with Library.create(tmp_path / "library", encoders=("rad-dino",)) as library:
        ingest.index(library, ingest.IndexRequest([files[0].parent]), settings)

        def answer(*examples: Example) -> SearchAnswer:
            asked = SearchRequest(examples, k=ALL, group="item", own_study=True)
            return service.search(library, asked, settings)

        region = Region((20, 30, 40, 40))
        by_file = answer(Example(file=files[0], region=region))
        item = answer(Example(file=files[0])).queries[0].item
        by_uid = answer(Example(uid=item, region=region))
        assert [hit.id for hit in by_uid.hits] == [hit.id for hit in by_file.hits]
        assert {voice.how for hit in by_file.hits for voice in hit.voices} == {"region"}
        encoder = usable_encoder(EncoderContext("rad-dino", models, "cpu"))
        read = read_again(library, item, "rad-dino", read_options(library, settings))
        places = patches_from(encoder)
        wanted = region_vector(places, read.tensors["rad-dino"], region.box, read.frame)
        vectors = vectors_by_item(library)
        for hit in by_uid.hits:
            assert hit.score == pytest.approx(float(vectors[hit.id] @ wanted), abs=1e-4)
        with pytest.raises(QueryError, match="reaches beyond the image of 100 x 120 pixels"):
            answer(Example(uid=item, region=Region((20, 30, 400, 40))))


# -- a searcher that stays open --------------------------------------------------------------------


def test_a_searcher_sees_what_others_write(copy: Library, indexed: Indexed, tmp_path: Path) -> None:
    searcher = service.open_searcher(copy, Settings())
    query = like(uid=of_kind(indexed, Kind.CHEST)[0].study_instance_uid)
    asked = SearchRequest(query, k=ALL)
    before = searcher.search(asked)
    gone = before.hits[0].study_instance_uid
    with Library.open(copy.path) as other:
        libraries.remove(other, "study", gone, actor="a test")
    after = searcher.search(asked)
    assert gone not in studies(after)
    assert len(after.hits) == len(before.hits) - 1
    with Library.open(copy.path) as other:
        ingest.index(other, ingest.IndexRequest([indexed.cohort]), Settings(workers=1))
    again = searcher.search(asked)
    assert [hit.id for hit in again.hits] == [hit.id for hit in before.hits]
    with pytest.raises(ItemNotFoundError):
        searcher.search(SearchRequest(like(uid="1.2.3")))


def test_threads_may_share_a_searcher(library: Library, indexed: Indexed) -> None:
    searcher = service.open_searcher(library, Settings())
    asked = [SearchRequest(like(uid=s.study_instance_uid), k=5) for s in indexed.plan[:8]]
    alone = [searcher.search(request).hits for request in asked]
    fresh = service.open_searcher(library, Settings())
    with ThreadPoolExecutor(4) as pool:
        assert [answer.hits for answer in pool.map(fresh.search, asked)] == alone


# -- late interaction ------------------------------------------------------------------------------


def parts_of(library: Library, vectors: Vectors) -> dict[str, dict[str, list[np.ndarray]]]:
    """Vectors of primary items by study and series."""
    found: dict[str, dict[str, list[np.ndarray]]] = {}
    with reading(library.engine) as db:
        rows = db.execute(
            Item.__table__.join(Series.__table__)
            .join(Study.__table__)
            .select()
            .with_only_columns(
                Item.uid, Item.role, Series.series_instance_uid, Study.study_instance_uid
            )
        ).all()
    for uid, role, series, study in rows:
        if role == "primary":
            found.setdefault(study, {}).setdefault(series, []).append(vectors[uid])
    return found


def late_score(query: dict[str, list[np.ndarray]], study: Sequence[np.ndarray]) -> float:
    """By the definition: the best match of each part, averaged in each series, then over these."""
    means = [
        np.mean([max(float(part @ other) for other in study) for part in parts])
        for parts in query.values()
    ]
    return float(np.mean(means))


def test_late_interaction_averages_the_best_match_of_each_part(
    library: Library, indexed: Indexed
) -> None:
    parts = parts_of(library, vectors_by_item(library))
    query = max(parts, key=lambda uid: sum(map(len, parts[uid].values())))
    answer = ask(library, Example(uid=query), rank="late", k=ALL)
    for hit in answer.hits:
        study = [row for rows in parts[hit.study_instance_uid].values() for row in rows]
        assert hit.score == pytest.approx(late_score(parts[query], study), abs=1e-5)
        assert hit.pairs
        assert {pair.query_series for pair in hit.pairs} == set(parts[query])
        best = max(pair.score for pair in hit.pairs)
        assert hit.pairs[0].score == best
        assert hit.id == hit.pairs[0].item
    assert [h.score for h in answer.hits] == sorted((h.score for h in answer.hits), reverse=True)
    assert any("best match in the study" in note for note in answer.notes)
