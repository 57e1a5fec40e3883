"""Models: what there is, fetch, register, check, show, and what a network gets to see."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from indexer.config import Settings
from indexer.encoders.cards import CARDS, ModelCard
from indexer.encoders.contract import EncoderContext, TextEncoder
from indexer.encoders.download import BROKEN, fetch
from indexer.encoders.weights import (
    MANIFEST,
    Manifest,
    card_of,
    damaged_files,
    file_sha256,
    model_folder,
    present,
    read_manifest,
    write_manifest,
)
from indexer.errors import (
    FileRejectedError,
    LicenceError,
    MissingExtraError,
    StorageFullError,
    SyntopyError,
    WeightsError,
)
from indexer.phantoms import probe_fundus, probe_images, probe_volume
from indexer.reading.drafts import ItemDraft, ReadOptions
from indexer.reading.preparing import not_made_for
from indexer.registry import encoder_names, make_encoder, recipes_of
from indexer.types import EncoderSpec, Flag, Pixels, Reason

_HUB = "https://huggingface.co"
_EXPECTED = "expected.json"
_AGREEMENT = 0.9999
"""Least cosine between a vector of a probe image and the one that was recorded."""
_NEEDED = {"encoders": ("torch", "transformers", "monai", "safetensors")}


@dataclass(frozen=True)
class ModelState:
    """A model, and whether it can be used here.

    Attributes:
        state: ``ready``, ``built in``, ``not here``, ``licence`` (consent is missing) or
            ``unavailable``.
        why: what is missing, and what to do.
    """

    name: str
    title: str
    state: str
    why: str
    licence: str
    commercial: bool
    bytes: int
    dim: int
    inputs: tuple[str, ...]
    modalities: tuple[str, ...]
    text: bool
    patches: bool
    recipes: tuple[str, ...]


@dataclass(frozen=True)
class Route:
    """Whether an encoder gets a file, and why."""

    encoder: str
    taken: bool
    why: str


@dataclass(frozen=True)
class CheckReport:
    """What was looked at, and what was found wrong. ``recorded``: there was nothing to compare."""

    name: str
    files: int
    vectors: int
    findings: list[str]
    recorded: bool


def list_models(settings: Settings) -> list[ModelState]:
    """All encoders that are registered, whether their weights are here or not."""
    return [_state(settings, name) for name in encoder_names()]


def _state(settings: Settings, name: str) -> ModelState:
    card = CARDS.get(name)
    if card is None:
        return _state_without_card(settings, name)
    state, why = "ready", ""
    try:
        require_extra(card.extra)
        present(settings.models, card)
    except MissingExtraError as error:
        state, why = "unavailable", str(error)
    except LicenceError as error:
        state, why = "licence", str(error)
    except WeightsError as error:
        state, why = "not here", str(error)
    return ModelState(
        name=name,
        title=card.title,
        state=state,
        why=why,
        licence=card.licence,
        commercial=card.commercial,
        bytes=card.size,
        dim=card.dim,
        inputs=tuple(sorted(card.inputs)),
        modalities=tuple(sorted(card.modalities)),
        text=card.text,
        patches=card.patches,
        recipes=tuple(recipes_of(name)),
    )


def _state_without_card(settings: Settings, name: str) -> ModelState:
    """The built-in encoder, and those of other packages: what they are stands in their spec."""
    blank = ModelState(name, "", "unavailable", "", "", True, 0, 0, (), (), False, False, ())
    try:
        spec = make_encoder(EncoderContext(name, settings.models, settings.device)).spec
    except SyntopyError as error:
        return replace(blank, why=str(error))
    return ModelState(
        name=name,
        title=spec.notice,
        state="built in",
        why="",
        licence=spec.licence,
        commercial=True,
        bytes=0,
        dim=spec.dim,
        inputs=tuple(sorted(spec.inputs)),
        modalities=tuple(sorted(spec.modalities)),
        text=spec.has_text,
        patches=spec.has_patches,
        recipes=(),
    )


def require_extra(extra: str) -> None:
    """Raise MissingExtraError where the packages of an extra are not installed."""
    missing = [n for n in _NEEDED.get(extra, ()) if importlib.util.find_spec(n) is None]
    if missing:
        raise MissingExtraError(
            f"{', '.join(missing)} not installed; run: pip install 'syntopy[{extra}]'"
        )


def explain(name: str) -> list[str]:
    """How to bring a model to a machine without internet: which files, from where, to where."""
    card = card_of(name)
    lines = [f"on a machine with internet, fetch into an empty folder F ({card.licence}):"]
    lines += [f"  {_HUB}/{card.address(file)}  ->  F/{file.path}" for file in card.files]
    consent = "" if card.commercial else " --accept-licence"
    return [*lines, "bring F here, then run:", f"  syntopy models add {card.name} F{consent}"]


def pull(
    settings: Settings,
    name: str,
    *,
    accept_licence: bool = False,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> Manifest:
    """Fetch a model's files from its hub or mirror; repeated after a break it goes on.

    Args:
        settings: name the models folder and, if any, the mirror.
        name: of the model.
        accept_licence: the user consents to a licence that does not allow every use.
        on_progress: called with a file's path, bytes that have arrived, and all its bytes.

    Raises:
        LicenceError: consent is needed.
        WeightsError: the hub cannot be reached, or a file has another digest than was published.
    """
    card = card_of(name)
    _check_licence(card, accept_licence)
    hub = settings.mirror.rstrip("/") or _HUB
    folder = model_folder(settings.models, card.name)
    for file in card.files:
        target = folder / file.path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageFullError(f"{folder} cannot be written: {error.strerror}") from error
        show = partial(on_progress, file.path) if on_progress else None
        try:
            fetch(f"{hub}/{card.address(file)}", target, show)
        except BROKEN as error:
            raise WeightsError(
                f"{hub} cannot be reached, breaks off, or does not have it ({_what(error)}); what "
                "has arrived is kept, the same command goes on.\n" + "\n".join(explain(name))
            ) from error
    return _register(settings, card, card.repo, card.revision, accept_licence)


def add(settings: Settings, name: str, folder: Path, *, accept_licence: bool = False) -> Manifest:
    """Register files that are on this machine, laid out as published; they are copied.

    Raises:
        LicenceError: consent is needed.
        WeightsError: a file is not there, or the files are not those of this model.
    """
    card = card_of(name)
    _check_licence(card, accept_licence)
    missing = [file.path for file in card.files if not (folder / file.path).is_file()]
    if missing:
        raise WeightsError(f"{folder} lacks {', '.join(missing)} of '{card.name}'")
    target = model_folder(settings.models, card.name)
    try:
        target.mkdir(parents=True, exist_ok=True)
        for extra in _beside(folder, card):
            _copy(folder / extra, target / extra)
    except OSError as error:
        raise StorageFullError(f"{target} cannot be written: {error.strerror or error}") from error
    return _register(settings, card, str(folder), "", accept_licence)


def _copy(file: Path, to: Path) -> None:
    """Beside it and then in its place: a process that has the old one open keeps that."""
    if to.exists() and to.samefile(file):
        return
    to.parent.mkdir(parents=True, exist_ok=True)
    temporary = to.with_name(f"{to.name}.{os.getpid()}")
    shutil.copyfile(file, temporary)
    temporary.replace(to)


def _beside(folder: Path, card: ModelCard) -> list[str]:
    """The files of the card, and small ones beside them that a loader reads: tokenizer settings."""
    wanted = {file.path for file in card.files}
    parents = {(folder / path).parent for path in wanted}
    small = {
        str(path.relative_to(folder))
        for parent in parents
        for path in parent.glob("*.json")
        if path.stat().st_size < 1 << 24
    }
    return sorted(wanted | small)


def _what(error: Exception) -> str:
    """An error of the way to the server, shortly."""
    said = getattr(error, "reason", "") or error
    return f"{type(error).__name__}: {said}"[:120]


def _register(
    settings: Settings, card: ModelCard, origin: str, revision: str, accepted: bool
) -> Manifest:
    folder = model_folder(settings.models, card.name)
    ours = {MANIFEST, _EXPECTED}
    digests = {
        path: file_sha256(folder / path) for path in _beside(folder, card) if path not in ours
    }
    for file in card.files:
        if revision and file.sha256 and digests[file.path] != file.sha256:
            (folder / file.path).unlink()
            raise WeightsError(
                f"{file.path} of '{card.name}' is not what was published (its SHA-256 differs); "
                "it was removed, fetch it again"
            )
    manifest = Manifest(
        card.name, origin, revision, digests, accepted=card.licence if accepted else ""
    )
    try:
        known = read_manifest(settings.models, card.name)
    except WeightsError:  # damaged, and about to be written anew
        known = None
    if known is None or known.digest != manifest.digest:
        (folder / _EXPECTED).unlink(missing_ok=True)  # the vectors of other weights
    write_manifest(settings.models, manifest)
    return manifest


def _check_licence(card: ModelCard, accepted: bool) -> None:
    if not card.commercial and not accepted:
        raise LicenceError(
            f"'{card.name}' is under {card.licence}, which does not allow every use; read it at "
            f"{_HUB}/{card.repo}, then repeat with --accept-licence"
        )


def check(settings: Settings, name: str) -> CheckReport:
    """Compare a model's files with their digests, and its vectors with those recorded here first.

    Raises:
        WeightsError: it is not here.
    """
    card = card_of(name)
    manifest = present(settings.models, card)
    findings = [f"{path} has changed" for path in damaged_files(settings.models, manifest)]
    context = EncoderContext(name, settings.models, settings.device)
    vectors = _probe(context) if not findings else {}
    path = model_folder(settings.models, card.name) / _EXPECTED
    known = _read_expected(path)
    mine = known.get(context.name)
    recorded = bool(vectors) and mine is None
    if recorded:
        known[context.name] = {key: [round(float(v), 7) for v in vectors[key]] for key in vectors}
        path.write_text(json.dumps(known), encoding="utf-8")
    findings += [
        f"the vector of probe '{key}' is not the one recorded here"
        for key, row in vectors.items()
        if mine is not None and _cosine(row, np.array(mine.get(key, ()))) < _AGREEMENT
    ]
    return CheckReport(name, len(manifest.files), len(vectors), findings, recorded)


def _probe(context: EncoderContext) -> dict[str, np.ndarray]:
    """Vectors of drawn images or of a volume, as far as the encoder is for them, and of a phrase.

    The first is embedded twice: a network left in training mode would give two answers.
    """
    encoder = make_encoder(context)
    drawn: dict[str, Pixels] = {f"image {n}": image for n, image in enumerate(probe_images())}
    drawn |= {} if "image" in encoder.spec.inputs else {"volume": probe_volume()}
    probes = {k: pixels for k, pixels in drawn.items() if not not_made_for(encoder.spec, pixels)}
    probes = probes or {"fundus": probe_fundus()}
    prepared = [encoder.prepare(pixels) for pixels in probes.values()]
    rows = encoder.embed(prepared)
    if not np.allclose(encoder.embed(prepared[:1])[0], rows[0], rtol=1e-4, atol=1e-5):
        raise WeightsError(f"'{context.name}' gives two vectors for one image")
    found = dict(zip(probes, rows, strict=True))
    if isinstance(encoder, TextEncoder):
        found["text"] = encoder.embed_text(["x-ray chest anteroposterior pneumonia."])[0]
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


def describe(settings: Settings, name: str) -> dict[str, object]:
    """A model's card, and its preparation step by step in words.

    Raises:
        WeightsError: there is no such model.
    """
    card = card_of(name)
    manifest = read_manifest(settings.models, card.name)
    recipes = {recipe.name: recipe.says() for recipe in recipes_of(card.name).values()}
    wanted = name.partition(":")[2]
    if wanted and wanted not in recipes:
        EncoderContext(name).choose(recipes)
    return {
        "name": card.name,
        "title": card.title,
        "source": card.source,
        "licence": card.licence,
        "commercial use": card.commercial,
        "repository": f"{card.repo} @ {card.revision}",
        "digest": manifest.digest if manifest else "not here",
        "dim": card.dim,
        "inputs": sorted(card.inputs),
        "modalities": sorted(card.modalities) or ["any"],
        "body parts": sorted(card.body_parts) or ["any"],
        "text": card.text,
        "regions": card.patches,
        "preparation": {wanted: recipes[wanted]} if wanted else recipes,
    }


def preview(settings: Settings, name: str, file: Path, out: Path) -> tuple[int, int]:
    """Write the exact picture that a network sees of a file; of a volume or cine its middle.

    Returns:
        Height and width of the picture.

    Raises:
        QueryError, FileRejectedError: the file cannot be used, or the encoder does not take it.
    """
    from indexer.reading.tasks import read_query  # noqa: PLC0415 - decoders, slow to load

    options = ReadOptions((name,), key=b"", models=settings.models, device=settings.device)
    _, items = read_query(file, options)
    picture = _as_picture(items[len(items) // 2].tensors[name])
    try:
        Image.fromarray(picture).save(out)
    except (OSError, ValueError) as error:
        raise StorageFullError(f"{out} cannot be written: {error}") from error
    return picture.shape[0], picture.shape[1]


def route(settings: Settings, names: Sequence[str], file: Path) -> list[Route]:
    """For each encoder whether it gets a file, and why.

    Raises:
        QueryError, FileRejectedError: the file cannot be used at all.
    """
    from indexer.reading.tasks import read_query  # noqa: PLC0415 - decoders, slow to load

    found = []
    for name in names:
        options = ReadOptions((name,), key=b"", models=settings.models, device=settings.device)
        try:
            _, items = read_query(file, options)
        except WeightsError as error:
            found.append(Route(name, False, str(error)))
        except FileRejectedError as error:
            if error.reason is not Reason.ENCODER_FAILED:
                raise
            found.append(Route(name, False, error.detail.rpartition(f"{name}: ")[2]))
        else:
            spec = make_encoder(options.context(name)).spec
            found.append(Route(name, True, _why(spec, items)))
    return found


def _why(spec: EncoderSpec, items: Sequence[ItemDraft]) -> str:
    said = f"{len(items)} {items[0].kind}{'s' if len(items) > 1 else ''}"
    if not spec.modalities:
        return f"{said}; takes every modality"
    made_for = ", ".join(sorted(spec.modalities))
    if any(Flag.MODALITY_UNKNOWN in item.flags for item in items):
        return f"{said}; made for {made_for}, and the modality of the file is not stated"
    return f"{said}; made for {made_for}"


def _as_picture(prepared: np.ndarray) -> np.ndarray:
    """What `prepare` gave as uint8 grey or RGB; of several slices the middle one."""
    while prepared.ndim > 3 or (prepared.ndim == 3 and prepared.shape[-1] != 3):
        prepared = prepared[len(prepared) // 2]
    if prepared.dtype == np.uint8:
        return prepared
    low, high = float(prepared.min()), float(prepared.max())
    if prepared.dtype == np.int16:  # Hounsfield units, as far as the network tells them apart
        low, high = -1024.0, 2048.0
    return (np.clip((prepared - low) / max(high - low, 1e-6), 0, 1) * 255).astype(np.uint8)
