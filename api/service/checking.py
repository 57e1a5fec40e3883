"""Whether a model still is what it was: its files, and the vectors that it gives."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from api.service.options import encoder_context
from indexer.config import Settings
from indexer.encoders.contract import Encoder, TextEncoder
from indexer.encoders.extras import require_extra
from indexer.encoders.weights import card_here, card_of, damaged_files, model_folder, present
from indexer.errors import WeightsError
from indexer.phantoms import probe_fundus, probe_images, probe_volume
from indexer.reading.routing import verdict_on
from indexer.registry import build_encoder
from indexer.types import Pixels

EXPECTED = "expected.json"
_AGREEMENT = 0.9999
"""Least cosine between a vector of a probe image and the one that was recorded, in float32."""


@dataclass(frozen=True)
class Tried:
    """Vectors of drawn images, and what was found wrong. ``recorded``: none to compare with."""

    vectors: int
    findings: list[str]
    recorded: bool


@dataclass(frozen=True)
class CheckReport:
    """What was looked at, and what was found wrong. ``recorded``: there was nothing to compare."""

    name: str
    files: int
    vectors: int
    findings: list[str]
    recorded: bool


def check(settings: Settings, name: str) -> CheckReport:
    """Compare a model's files with their digests, and its vectors with those recorded here first.

    Raises:
        WeightsError: it is not here, or its files are not those of its network.
        MissingExtraError: the packages that it needs cannot be used.
    """
    manifest = present(settings.models, card_here(settings.models, name))
    damaged = [f"{path} has changed" for path in damaged_files(settings.models, manifest)]
    if damaged:
        return CheckReport(name, len(manifest.files), 0, damaged, False)
    tried = try_out(settings, name)
    return CheckReport(name, len(manifest.files), tried.vectors, tried.findings, tried.recorded)


def try_out(settings: Settings, name: str) -> Tried:
    """Load a model's network, embed drawn images, and compare with what was recorded here first.

    Raises:
        WeightsError: its files are not those of its network.
        MissingExtraError: the packages that it needs cannot be used.
    """
    card = card_of(name)
    require_extra(card.extra, vision=card.vision)
    from indexer.encoders.engine import TOLERANCE, engine_of  # noqa: PLC0415 - torch

    context = encoder_context(settings, name)
    # One that nobody keeps: the files may be moved or replaced right after.
    vectors = _probe(build_encoder(context))
    path = model_folder(settings.models, card.name) / EXPECTED
    known = _read_expected(path)
    mine = known.get(name)
    if mine is None:
        known[name] = {key: [round(float(v), 7) for v in row] for key, row in vectors.items()}
        path.write_text(json.dumps(known), encoding="utf-8")
        return Tried(len(vectors), [], True)
    least = TOLERANCE if engine_of(context).half else _AGREEMENT
    findings = [
        f"the vector of probe '{key}' is not the one recorded here"
        for key, row in vectors.items()
        if _cosine(row, np.array(mine.get(key, ()))) < least
    ]
    return Tried(len(vectors), findings, False)


def _probe(encoder: Encoder) -> dict[str, np.ndarray]:
    """Vectors of drawn images, of a volume for an encoder that takes no images, and of a phrase.

    The first is embedded twice: a network left in training mode would give two answers.
    """
    drawn: dict[str, Pixels] = {f"image {n}": image for n, image in enumerate(probe_images())}
    drawn |= {} if "image" in encoder.spec.inputs else {"volume": probe_volume()}
    drawn |= {"fundus": probe_fundus()} if "OP" in encoder.spec.modalities else {}
    probes = {
        k: pixels for k, pixels in drawn.items() if not verdict_on(encoder.spec, pixels).refusal
    }
    # Made for something that is not drawn here: then as pictures of which nothing is known.
    probes = probes or {k: replace(pixels, modality="") for k, pixels in drawn.items()}
    prepared = [encoder.prepare(pixels) for pixels in probes.values()]
    rows = encoder.embed(prepared)
    if rows.shape[1] != encoder.spec.dim:
        raise WeightsError(
            f"'{encoder.spec.name}' gives {rows.shape[1]} numbers, not its dimension"
        )
    if not np.allclose(encoder.embed(prepared[:1])[0], rows[0], rtol=1e-4, atol=1e-5):
        raise WeightsError(f"'{encoder.spec.name}' gives two vectors for one image")
    found = dict(zip(probes, rows, strict=True))
    if isinstance(encoder, TextEncoder):
        found["text"] = encoder.embed_text(["x-ray chest anteroposterior pneumonia."])[0]
    if not all(np.isfinite(row).all() and row.any() for row in found.values()):
        raise WeightsError(f"'{encoder.spec.name}' gives vectors that are zero or not finite")
    return found


def _read_expected(path: Path) -> dict[str, dict[str, list[float]]]:
    try:
        known: dict[str, dict[str, list[float]]] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    if a.shape != b.shape:
        return -1.0
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
