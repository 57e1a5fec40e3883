"""Encoders: which there are, how they see, and which of them get a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from api.service.options import encoder_context
from indexer.config import Settings
from indexer.encoders.cards import CARDS
from indexer.encoders.contract import EncoderContext
from indexer.encoders.extras import require_extra
from indexer.encoders.open_ended import family_of, open_models
from indexer.encoders.weights import (
    MANIFEST,
    Manifest,
    card_here,
    card_of,
    model_folder,
    present,
    read_manifest,
)
from indexer.errors import (
    FileRejectedError,
    LicenceError,
    MissingExtraError,
    StorageFullError,
    SyntopyError,
    WeightsError,
)
from indexer.reading.drafts import ItemDraft, ReadOptions
from indexer.reading.routing import Rule
from indexer.registry import encoder_names, make_encoder, recipes_of
from indexer.types import EncoderSpec, Flag, Reason


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


def list_models(settings: Settings) -> list[ModelState]:
    """All encoders that have a name here, their weights here or not, and other backbones there are.

    Of the latter there is no end: they are listed when they are here.
    """
    names = [*encoder_names(), *open_models(settings.models, MANIFEST)]
    return [_state(settings, name) for name in names]


def _state(settings: Settings, name: str) -> ModelState:
    if name not in CARDS and not family_of(name):
        return _state_without_card(settings, name)
    state, why, size = "ready", "", 0
    recipes: Sequence[str] = ()
    card = card_of(name)
    try:
        card = card_here(settings.models, name)
        recipes = list(recipes_of(name, settings.models))
        require_extra(card.extra, vision=card.vision)
        size = _bytes_here(settings, present(settings.models, card))
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
        bytes=size or card.size,
        dim=card.dim,
        inputs=tuple(sorted(card.inputs)),
        modalities=tuple(sorted(card.modalities)),
        text=card.text,
        patches=card.patches,
        recipes=tuple(recipes),
    )


def _bytes_here(settings: Settings, manifest: Manifest) -> int:
    folder = model_folder(settings.models, manifest.name)
    return sum((folder / path).stat().st_size for path in manifest.files)


def _state_without_card(settings: Settings, name: str) -> ModelState:
    """The built-in encoder, and those of other packages: what they are stands in their spec."""
    blank = ModelState(name, "", "unavailable", "", "", True, 0, 0, (), (), False, False, ())
    try:
        spec = make_encoder(encoder_context(settings, name)).spec
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


def describe(settings: Settings, name: str) -> dict[str, object]:
    """A model's card, and its preparation step by step in words.

    Raises:
        WeightsError: there is no such model.
    """
    card = card_here(settings.models, name)
    manifest = read_manifest(settings.models, card.name)
    found = recipes_of(card.name, settings.models)
    recipes = {recipe.name: recipe.says() for recipe in found.values()}
    known, unknown = manifest is not None or card.name in CARDS, "not known before it is here"
    wanted = name.partition(":")[2]
    if wanted and wanted not in recipes:
        EncoderContext(name).choose(recipes)
    return {
        "name": card.name,
        "title": card.title,
        "source": card.source,
        "licence": card.licence if known else unknown,
        "commercial use": card.commercial if known else unknown,
        "repository": f"{card.repo} @ {card.revision}",
        "digest": manifest.digest if manifest else "not here",
        "dim": card.dim or unknown,
        "inputs": sorted(card.inputs),
        "modalities": sorted(card.modalities) or ["any"],
        "body parts": sorted(card.body_parts) or ["any"],
        "text": card.text,
        "regions": card.patches,
        "preparation": ({wanted: recipes[wanted]} if wanted else recipes)
        or "published with the weights, which are not here",
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


def route(
    settings: Settings, names: Sequence[str], file: Path, rules: tuple[Rule, ...] = ()
) -> list[Route]:
    """For each encoder whether it gets a file, and why.

    Raises:
        QueryError, FileRejectedError: the file cannot be used at all.
    """
    from indexer.reading.tasks import read_query  # noqa: PLC0415 - decoders, slow to load

    found = []
    for name in names:
        options = ReadOptions(
            (name,), key=b"", models=settings.models, device=settings.device, rules=rules
        )
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
    if any(Flag.OUTSIDE_PURPOSE in item.flags for item in items):
        made_for = ", ".join(sorted(spec.modalities | spec.body_parts))
        return f"{said}; by a rule, though made for {made_for}"
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
