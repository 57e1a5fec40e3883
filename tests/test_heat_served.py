"""Where items of a library are unlike a reference, over HTTP."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from asking_jobs import done
from PIL import Image
from served_library import REFERENCE, get, own_copy, serving

from indexer.config import Settings


@pytest.fixture(scope="module")
def http(served: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Of a library with patches, which a job has kept."""
    library = own_copy(served, tmp_path_factory.mktemp("heat"))
    with serving(Settings(library=library)) as client:
        item = get(client, "items", limit=1)["rows"][0]["id"]
        refused = client.get(f"/v1/items/{item}/heat", params={"reference": REFERENCE})
        assert (refused.status_code, refused.json()["code"]) == (422, "query")
        assert get(client, "ood/reference", name=REFERENCE)["heat"] is None
        about, _ = done(
            library, "ood-patches", reference=REFERENCE, most_images=40, most_patches=1500
        )
        assert about["strata"][0]["patches"] <= 1500
        yield client


def test_heat_is_laid_over_the_frame_as_it_is_drawn(http: httpx.Client) -> None:
    item = get(http, "items", limit=1)["rows"][0]["id"]
    answer = http.get(f"/v1/items/{item}/heat", params={"reference": REFERENCE})
    with Image.open(io.BytesIO(answer.content)) as picture:
        colours = np.asarray(picture)
    frame = http.get(f"/v1/items/{item}/rendered", params={"size": 640})
    with Image.open(io.BytesIO(frame.content)) as drawn:
        assert colours.shape == (drawn.height, drawn.width, 4)
    assert (colours[..., 3] == 0).mean() > 0.3, "most of a usual picture has no colour"
    again = http.get(
        f"/v1/items/{item}/heat",
        params={"reference": REFERENCE},
        headers={"If-None-Match": answer.headers["etag"]},
    )
    assert again.status_code == 304


def test_its_figures_say_how_usual_the_oddest_place_is(http: httpx.Client) -> None:
    item = get(http, "items", limit=1)["rows"][0]["id"]
    told = get(http, f"items/{item}/heat/figures", reference=REFERENCE)
    assert (told["item"], told["reference"], told["slice_number"]) == (item, REFERENCE, None)
    assert 0 < told["p_value"] <= 1 and told["usual_pictures"] >= 20
    shares = [level["share"] for level in told["levels"]]
    assert shares == sorted(shares) and shares[-1] == 1
    report = get(http, "ood/reference", name=REFERENCE)["heat"]
    assert report["strata"][0]["stratum"] == told["stratum"]


def test_what_is_not_in_the_library_is_not_looked_for_elsewhere(
    http: httpx.Client, tmp_path: Path
) -> None:
    Image.new("L", (64, 64)).save(tmp_path / "x.png")
    for uid in ("none", str(tmp_path / "x.png").replace("/", "%2F")):
        asked = http.get(f"/v1/items/{uid}/heat", params={"reference": REFERENCE})
        assert asked.status_code in (404, 422), asked.text
    item = get(http, "items", limit=1)["rows"][0]["id"]
    asked = http.get(f"/v1/items/{item}/heat", params={"reference": "none"})
    assert asked.status_code == 404
