"""Where pictures are alike, and what is like a part of one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cohort_library import Indexed
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sqlalchemy import select
from tiny_models import shared_models
from typer.testing import CliRunner

from api.cli.main import app
from api.service import ingest
from api.service import regions as service
from api.service.options import read_options
from indexer.catalog.database import reading
from indexer.catalog.tables import EmbeddingRow, Instance, Item, ItemInstance, Series
from indexer.config import Settings
from indexer.encoders.contract import EncoderContext
from indexer.encoders.placement import Placement
from indexer.encoders.texture import TextureEncoder
from indexer.errors import ConfigError, ItemNotFoundError, QueryError, SourceError
from indexer.evidence.matching import Matching, Side
from indexer.evidence.originals import read_again
from indexer.evidence.overlay import HIGH, LOW, coloured, draw_matching
from indexer.evidence.regions import (
    RegionMatcher,
    Whitening,
    patches_from,
    places_of,
    region_map,
    region_vector,
    within,
)
from indexer.index.projection import renormalised
from indexer.library import Library
from indexer.phantoms import radiograph
from indexer.registry import make_encoder
from indexer.types import Box, Frame, ImagePixels

TEXTURE = TextureEncoder()
FRAME = Frame(600, 500)


def film(seed: int, lesion: tuple[float, float] | None = None) -> np.ndarray:
    """A chest of 600 x 500, with a round shadow of about 90 pixels at (x, y)."""
    drawn = radiograph(np.random.default_rng(seed), size=(600, 500))
    if lesion is not None:
        y, x = np.mgrid[:600, :500]
        far = (x - lesion[0]) ** 2 + (y - lesion[1]) ** 2
        drawn = drawn + 0.5 * np.exp(-far / (2 * 22**2))
    return (drawn * 4000).astype(np.float32)


def noise(seed: int, spot: tuple[int, int] | None = None) -> ImagePixels:
    """Soft noise of 128 x 128, and a ring around (x, y)."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.normal(300, 60, (24, 24)).astype(np.float32))
    values = np.array(coarse.resize((128, 128), Image.Resampling.BICUBIC))
    if spot is not None:
        y, x = np.mgrid[:128, :128]
        values += 700 * np.exp(-((np.hypot(x - spot[0], y - spot[1]) - 8) ** 2) / 8)
    values[0, :2] = 0, 1200  # so that all are brought to the same grey
    return ImagePixels(values, modality="DX")


def pictured(pixels: ImagePixels) -> np.ndarray:
    return TEXTURE.prepare(pixels)


# -- places ----------------------------------------------------------------------------------------

SIZES = st.tuples(st.integers(1, 900), st.integers(1, 900))


@given(SIZES, st.lists(st.tuples(st.booleans(), SIZES, SIZES), max_size=4), st.data())
def test_a_box_comes_back_from_where_it_was_placed(
    frame: tuple[int, int],
    steps: list[tuple[bool, tuple[int, int], tuple[int, int]]],
    data: st.DataObject,
) -> None:
    placement = Placement.of(Frame(*frame, data.draw(st.floats(0.2, 5))))
    for resize, size, first in steps:
        placement = placement.resized(size) if resize else placement.cropped(first, size)
    x, y = data.draw(st.floats(0, frame[1])), data.draw(st.floats(0, frame[0]))
    box = (x, y, 10.0, 20.0)
    assert placement.to_frame(placement.to_picture(box)) == pytest.approx(box, abs=0.01)


@given(st.tuples(*[st.floats(-2000, 2000)] * 2, *[st.floats(0, 2000)] * 2))
def test_a_box_is_cut_off_at_the_edges(box: Box) -> None:
    x, y, width, height = within(box, FRAME)
    assert width >= 0
    assert height >= 0
    if width and height:
        assert x >= 0
        assert y >= 0
        assert x + width <= FRAME.columns + 1e-6
        assert y + height <= FRAME.rows + 1e-6


@pytest.mark.parametrize(
    ("box", "said"),
    [
        ((0, 0, 0, 5), "the last two above 0"),
        ((0, 0, float("nan"), 5), "the last two above 0"),
        ((-1, 0, 5, 5), "reaches beyond the image of 500 x 600 pixels"),
        ((450, 0, 51, 5), "reaches beyond the image of 500 x 600 pixels"),
        ((0, 590, 5, 11), "reaches beyond"),
    ],
)
def test_a_region_has_to_lie_in_the_image(box: Box, said: str) -> None:
    prepared = pictured(ImagePixels(film(1), modality="DX"))
    with pytest.raises(QueryError, match=said):
        region_vector(TEXTURE, prepared, box, FRAME)
    with pytest.raises(QueryError, match="no picture 2 of 1"):
        region_vector(TEXTURE, prepared, (0, 0, 50, 50), FRAME, picture=1)


def test_places_of_a_region_are_those_whose_middle_it_covers() -> None:
    square = Frame(128, 128)
    assert places_of(TEXTURE, (16, 16), (16, 32, 24, 8), square) == (slice(4, 5), slice(2, 5))
    assert places_of(TEXTURE, (16, 16), (33, 1, 1, 1), square) == (slice(0, 1), slice(4, 5))
    assert places_of(TEXTURE, (16, 16), (0, 0, 128, 128), square) == (slice(0, 16), slice(0, 16))


def test_a_region_that_the_preparation_cuts_off_is_refused(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Of a film twice as long as wide the card's preparation keeps the middle."""
    models = shared_models(tmp_path_factory)
    card, pad = (
        patches_from(make_encoder(EncoderContext(name, models, "cpu")))
        for name in ("rad-dino", "rad-dino:pad")
    )
    frame = Frame(1036, 518)
    assert places_of(card, (37, 37), (0, 259, 518, 518), frame) == (slice(0, 37), slice(0, 37))
    with pytest.raises(QueryError, match="cuts the image off"):
        places_of(card, (37, 37), (0, 0, 518, 100), frame)
    rows, columns = places_of(pad, (37, 37), (0, 0, 518, 100), frame)
    assert rows.start == 0
    assert (columns.start, columns.stop) == (9, 28)


def test_an_encoder_without_places_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    models = shared_models(tmp_path_factory)
    with pytest.raises(QueryError, match="'flair' does not tell the places of a picture apart"):
        patches_from(make_encoder(EncoderContext("flair", models, "cpu")))


# -- likeness --------------------------------------------------------------------------------------


def test_a_picture_is_like_itself_everywhere_that_it_is_particular() -> None:
    prepared = pictured(noise(1, (60, 40)))
    one, other = region_map(TEXTURE, prepared, prepared)
    np.testing.assert_allclose(one, other, atol=1e-5)
    assert one.shape == (16, 16)
    assert one[5, 7] == pytest.approx(1, abs=1e-3)
    assert one.max() <= 1 + 1e-5


def test_the_maps_change_places_with_the_pictures() -> None:
    first, second = pictured(noise(1, (60, 40))), pictured(noise(2, (90, 90)))
    one, other = region_map(TEXTURE, first, second)
    again, back = region_map(TEXTURE, second, first)
    np.testing.assert_allclose(one, back, atol=1e-4)
    np.testing.assert_allclose(other, again, atol=1e-4)


@pytest.mark.parametrize(("here", "there"), [((44, 44), (92, 84)), ((28, 100), (100, 28))])
def test_what_two_pictures_share_lights_up_in_both(
    here: tuple[int, int], there: tuple[int, int]
) -> None:
    """A ring in unlike noise, elsewhere in the other picture."""
    maps = region_map(TEXTURE, pictured(noise(1, here)), pictured(noise(2, there)))
    for found, (x, y) in zip(maps, (here, there), strict=True):
        row, column = np.unravel_index(int(found.argmax()), found.shape)
        assert (row, column) == (y // 8, x // 8)
        assert found.max() > 0.7 > 2 * np.median(found)


def test_a_region_as_a_vector_is_of_length_one_and_of_that_place() -> None:
    prepared = pictured(noise(1, (60, 40)))
    square = Frame(128, 128)
    ring, whole, rest = (
        region_vector(TEXTURE, prepared, box, square)
        for box in ((48, 28, 24, 24), (0, 0, 128, 128), (4, 100, 24, 24))
    )
    assert np.linalg.norm(ring) == pytest.approx(1, abs=1e-5)
    assert ring @ whole < 0.999
    assert ring @ rest < whole @ rest


@pytest.mark.parametrize("size", [(40, 8), (8, 40), (300, 30)])
def test_whitening_takes_away_what_all_places_share(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    vectors = (5 + rng.standard_normal(size) * np.linspace(0.1, 3, size[1])).astype(np.float32)
    white = Whitening.of(vectors)(vectors)
    assert np.isfinite(white).all()
    assert np.linalg.norm(white.mean(axis=0)) < 0.3
    assert np.linalg.norm(white, axis=1).max() <= 1 + 1e-5
    even = np.ones(size, np.float32)
    assert not Whitening.of(even)(even).any()


def test_a_lesion_is_found_again_in_other_chests() -> None:
    """At another place in another patient: within half its width in most of ten pairs."""
    rng = np.random.default_rng(0)
    found = 0
    for seed in range(10):
        (x, y), (u, v) = (
            (rng.choice([140, 350]) + rng.uniform(-25, 25), rng.uniform(150, 330)) for _ in "ab"
        )
        query = pictured(ImagePixels(film(10 + seed, (x, y)), modality="DX"))
        other = pictured(ImagePixels(film(100 + seed, (u, v)), modality="DX"))
        matcher = RegionMatcher(TEXTURE, query, (x - 45, y - 45, 90, 90), FRAME)
        window = matcher.best(other, FRAME)
        assert window is not None
        left, top, width, height = window.box
        found += np.hypot(left + width / 2 - u, top + height / 2 - v) < 45
        own = matcher.best(query, FRAME)
        assert own is not None
        assert own.score >= window.score
    assert found >= 6


# -- from the files --------------------------------------------------------------------------------


def test_an_item_read_again_has_the_vector_that_is_stored(indexed: Indexed) -> None:
    """Of every kind and modality: radiographs, cines, series of slices."""
    with Library.open(indexed.library) as library:
        options = read_options(library, Settings())
        with reading(library.engine) as db:
            rows = db.execute(
                select(Item.uid, EmbeddingRow.vector)
                .join(EmbeddingRow, EmbeddingRow.item_id == Item.id)
                .join(Series)
                .group_by(Series.modality, Item.kind, Item.role)
            ).all()
        assert len(rows) >= 5
        for row in rows:
            item = read_again(library, row.uid, "texture", options)
            (made,) = TEXTURE.embed([item.tensors["texture"]])
            (stored,) = renormalised(np.frombuffer(row.vector, "<f2")[None])
            assert made @ stored / np.linalg.norm(made) > 0.9999
            assert item.frame.rows > 0


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve chests as PNG files, four of them with a lesion, and an archive of arrays."""
    folder = tmp_path_factory.mktemp("pictures")
    for seed in range(12):
        lesion = (140.0, 200.0 + 20 * seed) if seed < 4 else None
        grey = np.clip(film(seed, lesion) / 4000 * 180, 0, 255).astype(np.uint8)
        Image.fromarray(grey).save(folder / f"film-{seed}.png")
    rows = np.stack([np.clip(film(s) / 16, 0, 255).astype(np.uint8)[::9, ::9] for s in (50, 51)])
    np.savez(folder / "rows.npz", images=rows, labels=np.array([0, 1]))
    with Library.create(folder / "library") as library:
        done = ingest.index(library, ingest.IndexRequest([folder]), Settings(workers=1))
        assert done.items == 14
    return folder


def item_of(library: Path, place: int) -> str:
    with Library.open(library) as opened, reading(opened.engine) as db:
        return list(db.execute(select(Item.uid).order_by(Item.id)).scalars())[place]


def test_rows_of_an_archive_of_arrays_are_found_again(pictures: Path) -> None:
    with Library.open(pictures / "library") as library:
        with reading(library.engine) as db:
            rows = db.execute(
                select(Item.uid, Item.pixel_hash).order_by(Item.id.desc()).limit(14)
            ).all()
        options = read_options(library, Settings())
        frames = set()
        for row in rows:
            item = read_again(library, row.uid, "texture", options)
            assert item.pixel_hash == row.pixel_hash
            frames.add((item.frame.rows, item.frame.columns))
        assert frames == {(600, 500), (67, 56)}


def test_a_region_finds_the_films_that_have_it_and_where(pictures: Path) -> None:
    request = service.RegionRequest(
        box=(95, 155, 90, 90), image=pictures / "film-0.png", k=3, candidates=12
    )
    steps: list[tuple[int, int]] = []
    with Library.open(pictures / "library") as library:
        answer = service.search_region(
            library, request, Settings(), lambda done, total: steps.append((done, total))
        )
    assert (answer.encoder, answer.by, answer.looked_at) == ("texture", "whole image", 12)
    assert answer.notice == "built-in encoder, not clinical"
    assert steps == [(number, 12) for number in range(12)]
    scores = [one.score for one in answer.hits]
    assert scores == sorted(scores, reverse=True)
    for one in answer.hits:
        x, y, width, height = one.box
        assert abs(x + width / 2 - 140) < 50
        assert 200 < y + height / 2 < 300, "the lesions are at 220, 240 and 260"


def test_a_file_that_is_gone_is_said_and_the_search_goes_on(pictures: Path, tmp_path: Path) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    for seed in range(4):
        (folder / f"{seed}.png").write_bytes((pictures / f"film-{seed}.png").read_bytes())
    with Library.create(tmp_path / "library") as library:
        ingest.index(library, ingest.IndexRequest([folder]), Settings(workers=1))
        (folder / "1.png").unlink()
        (folder / "2.png").write_bytes((pictures / "film-9.png").read_bytes())
        request = service.RegionRequest(box=(95, 155, 90, 90), image=folder / "0.png")
        answer = service.search_region(library, request, Settings())
        assert len(answer.hits) == 1
        gone = [note for note in answer.notes if "are gone, or not what they were" in note]
        assert len(gone) == 2
        assert str(folder) not in "".join(answer.notes), "a path may tell who it is"
        for place in (1, 2):
            asked = service.MatchingRequest(
                hit=item_of(library.path, place), image=folder / "0.png"
            )
            with pytest.raises(SourceError, match="gone, or not what they were"):
                service.matching_regions(library, asked, Settings())


def test_a_hit_is_drawn_beside_its_query(pictures: Path, tmp_path: Path) -> None:
    asked = service.MatchingRequest(
        hit=item_of(pictures / "library", 1), image=pictures / "film-0.png"
    )
    with Library.open(pictures / "library") as library:
        matching = service.matching_regions(library, asked, Settings())
        path = service.write_matching(matching, tmp_path / "map.png")
    assert matching.query.picture.shape == (640, 533, 3)
    assert matching.query.likeness.shape == (640, 533)
    assert (matching.query.slice_number, matching.query.slices) == (None, 1)
    assert (matching.query.frame.rows, matching.query.coarse.shape) == (600, (48, 40))
    lesion = matching.query.likeness[int(200 * 640 / 600), int(140 * 533 / 500)]
    assert lesion > 0.5
    with Image.open(path) as drawn:
        assert drawn.size == draw_matching(matching).size


def test_of_volumes_the_most_similar_slices_are_compared(indexed: Indexed) -> None:
    with Library.open(indexed.library) as library:
        with reading(library.engine) as db:
            query, hit = db.execute(
                select(Item.uid)
                .join(Series)
                .where(Item.kind == "volume", Series.modality == "CT", Item.role == "primary")
                .limit(2)
            ).scalars()
        asked = service.MatchingRequest(hit=hit, uid=query)
        matching = service.matching_regions(library, asked, Settings())
        for side in (matching.query, matching.hit):
            assert side.slice_number is not None
            assert 1 <= side.slice_number <= side.slices
            assert side.picture.shape[:2] == side.likeness.shape
            assert np.isfinite(side.likeness).all()
        region = service.RegionRequest(box=(0, 0, 20, 20), uid=query, candidates=10, k=2)
        with pytest.raises(QueryError, match=f"1 to {matching.query.slices}"):
            service.search_region(library, region, Settings())
        answer = service.search_region(library, replace(region, slice_number=2), Settings())
        assert len(answer.hits) == 2
        own = {one.hit.id for one in answer.hits}
        assert query not in own
        filtered = replace(region, slice_number=2, filter="modality=US")
        answer = service.search_region(library, filtered, Settings())
        assert {one.hit.modality for one in answer.hits} == {"US"}


def test_a_region_is_on_one_picture(indexed: Indexed) -> None:
    with Library.open(indexed.library) as library:
        with reading(library.engine) as db:
            frame, series, source = db.execute(
                select(Item.uid, Series.series_instance_uid, Instance.source)
                .select_from(Item)
                .join(Series, Series.id == Item.series_id)
                .join(ItemInstance, ItemInstance.item_id == Item.id)
                .join(Instance, Instance.id == ItemInstance.instance_id)
                .where(Item.frame_index == 0, Item.role == "primary", Series.modality == "US")
                .limit(1)
            ).one()
        whole = service.RegionRequest(box=(20, 20, 60, 60), uid=series, candidates=4, k=2)
        with pytest.raises(QueryError, match=r"has \d+; name the id of one"):
            service.search_region(library, whole, Settings())
        film = replace(whole, uid=None, image=Path(source))
        with pytest.raises(QueryError, match=r"has \d+; name the number of one"):
            service.search_region(library, film, Settings())
        by_id = service.search_region(library, replace(whole, uid=frame), Settings())
        by_file = service.search_region(library, replace(film, slice_number=1), Settings())
        assert by_id.hits == by_file.hits
        assert by_id.hits


def test_colour_lies_where_it_is_alike_and_nowhere_else() -> None:
    picture = np.full((2, 2, 3), 100, np.uint8)
    likeness = np.array([[LOW - 0.1, HIGH], [np.nan, (LOW + HIGH) / 2]], np.float32)
    drawn = coloured(picture, likeness)
    assert (drawn[[0, 1], [0, 0]] == 100).all()
    strong, half = np.abs(drawn[[0, 1], 1].astype(int) - 100).sum(axis=1)
    assert strong > half > 0
    side = Side(picture, likeness, 2, 9, Frame(2, 2), likeness)
    assert draw_matching(Matching(side, side, "texture", "a notice")).width > 1000


# -- asking ----------------------------------------------------------------------------------------


def test_what_cannot_be_asked_is_said(pictures: Path) -> None:
    image, box = pictures / "film-0.png", (0.0, 0.0, 50.0, 50.0)
    with Library.open(pictures / "library") as library:
        for request, error, said in (
            (service.RegionRequest(box), QueryError, "either an image file or a UID"),
            (service.RegionRequest(box, image=image, uid="1.2"), QueryError, "either an image"),
            (service.RegionRequest(box, uid="1.2"), ItemNotFoundError, "'1.2'"),
            (service.RegionRequest(box, image=image, k=0), QueryError, "k is 1 to"),
            (service.RegionRequest(box, image=image, candidates=9999), QueryError, "at most 1000"),
            (service.RegionRequest(box, image=image, encoder="x"), ConfigError, "no space of 'x'"),
        ):
            with pytest.raises(error, match=said):
                service.search_region(library, request, Settings())
        with pytest.raises(ItemNotFoundError, match=r"'1\.2'"):
            service.matching_regions(
                library, service.MatchingRequest(hit="1.2", image=image), Settings()
            )


def test_the_command_draws_and_finds(pictures: Path, tmp_path: Path) -> None:
    run, library = CliRunner().invoke, ["--library", str(pictures / "library")]
    image = ["--image", str(pictures / "film-0.png")]
    drawn = tmp_path / "map.png"
    hit = item_of(pictures / "library", 1)
    done = run(app, ["regions", *image, *library, "--hit", hit, "--out", str(drawn)])
    assert (done.exit_code, drawn.is_file()) == (0, True), done.output
    found = run(app, ["regions", *image, *library, "--region", "95,155,90,90", "-k", "2"])
    assert found.exit_code == 0, found.output
    assert "13 candidates by whole image, encoder texture" in found.output
    told = run(app, ["regions", *image, *library, "--region", "95,155,90,90", "--json"])
    assert '"box": [' in told.output
    for wrong in (["--region", "1,2,3"], ["--hit", hit, "--region", "1,2,3,4"], []):
        refused = run(app, ["regions", *image, *library, *wrong])
        assert refused.exit_code == 2
        assert "Traceback" not in refused.output
