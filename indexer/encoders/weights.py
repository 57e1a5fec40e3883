"""Where model weights lie, what is there, and loading them so that a wrong file is never used.

Each model has a folder of its own below the models folder, with the files as they are published and
``syntopy.json``, which says where they came from and what they hashed to when they arrived. Weights
are read as safetensors, or by ``torch.load(weights_only=True)``: a checkpoint never runs code.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import os
import struct
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from indexer.encoders.cards import CARDS, ModelCard
from indexer.encoders.contract import EncoderContext
from indexer.encoders.open_ended import NOT_STATED, OPEN_NAMES, open_card, with_facts
from indexer.errors import LicenceError, WeightsError
from indexer.types import EncoderSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

MANIFEST = "syntopy.json"
_NOTICE = "for research, not for clinical use"


@dataclass(frozen=True)
class Manifest:
    """What ``syntopy.json`` says.

    Attributes:
        name: registry name of the model.
        origin: repository, or the local folder the files were copied from.
        revision: of the repository, "" for a local folder.
        files: SHA-256 by path.
        accepted: the licence that the user consented to, where consent was needed.
        added: when, ISO 8601 in UTC.
        facts: of a model without a row in the table of cards, found when it was registered.
    """

    name: str
    origin: str
    revision: str
    files: Mapping[str, str]
    accepted: str = ""
    added: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """SHA-256 over all files: stands for the weights in a space."""
        lines = "".join(f"{sha}  {path}\n" for path, sha in sorted(self.files.items()))
        return hashlib.sha256(lines.encode()).hexdigest()


def model_folder(models: Path, name: str) -> Path:
    """Where the files of a model lie, whether they are there or not."""
    return models / name


def read_manifest(models: Path, name: str) -> Manifest | None:
    """The manifest of a model that is present, else None.

    Raises:
        WeightsError: there is one, but it cannot be read.
    """
    path = model_folder(models, name) / MANIFEST
    try:
        return Manifest(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise WeightsError(
            f"{path} cannot be read ({type(error).__name__}); remove the folder and run: "
            f"syntopy models pull {name}"
        ) from error


def write_manifest(models: Path, manifest: Manifest) -> None:
    """Write ``syntopy.json``; the model counts as present from then on."""
    path = model_folder(models, manifest.name) / MANIFEST
    temporary = path.with_suffix(f".{os.getpid()}")
    temporary.write_text(json.dumps(asdict(manifest), indent=1), encoding="utf-8")
    temporary.replace(path)


def present(models: Path, card: ModelCard) -> Manifest:
    """The manifest of a model that is ready for use.

    Raises:
        WeightsError: it is not there, or a file of it is gone.
        LicenceError: its licence needs a consent that was not given.
    """
    manifest = read_manifest(models, card.name)
    if manifest is None:
        raise WeightsError(
            f"the weights of '{card.name}' are not in {models}; run: syntopy models pull "
            f"{card.name} (offline: syntopy models pull {card.name} --explain)"
        )
    for path in manifest.files:
        if not (model_folder(models, card.name) / path).is_file():
            raise WeightsError(
                f"{path} of '{card.name}' is gone from {model_folder(models, card.name)}; run: "
                f"syntopy models pull {card.name}"
            )
    if not card.commercial and manifest.accepted != card.licence:
        raise LicenceError(
            f"{under(card)}; read it, then consent once with: syntopy models pull {card.name} "
            "--accept-licence"
        )
    return manifest


def under(card: ModelCard) -> str:
    """What is said of a licence that has to be consented to."""
    if card.licence == NOT_STATED:
        return f"'{card.name}' states no licence, so that no use is allowed for certain"
    return f"'{card.name}' is under {card.licence}, which does not allow every use"


def ready_folder(context: EncoderContext) -> Path:
    """The folder of a model that is ready for use; raises as `present` does."""
    card = card_here(context.models, context.name)
    present(context.models, card)
    return model_folder(context.models, card.name)


def spec_of(context: EncoderContext, *, dim: int, preprocessing: str) -> EncoderSpec:
    """What a model is, by its card and by the digest of the weights that are here."""
    card = card_here(context.models, context.name)
    return EncoderSpec(
        name=context.name,
        dim=dim,
        inputs=card.inputs,
        modalities=card.modalities,
        body_parts=card.body_parts,
        weights=present(context.models, card).digest,
        preprocessing=preprocessing,
        licence=card.licence,
        notice=_NOTICE,
        has_text=card.text,
        has_patches=card.patches,
    )


def file_sha256(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def load_state(path: Path) -> dict[str, Tensor]:
    """Read a checkpoint, by what it is and not by its name (a ``.pt`` may be a safetensors file).

    Raises:
        WeightsError: truncated, no checkpoint, or one that would have to run code to be read.
    """
    import torch  # noqa: PLC0415 - optional and heavy

    try:
        if is_safetensors(path):
            from safetensors.torch import load_file  # noqa: PLC0415

            return load_file(path)
        # Given a path, torch goes by its name.
        with path.open("rb") as handle, torch.serialization.safe_globals(_numpy_scalars()):
            loaded: Any = torch.load(handle, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever the readers raise on damaged files
        raise WeightsError(
            f"{path.name} is no readable checkpoint ({type(error).__name__}): truncated, damaged, "
            "or a pickle that would run code; nothing of it was executed"
        ) from error
    state = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else loaded
    if not isinstance(state, dict) or not all(hasattr(v, "shape") for v in state.values()):
        raise WeightsError(f"{path.name} holds something else than named tensors")
    return state


def _numpy_scalars() -> list[Any]:
    """What a number of numpy is made of in a pickle: training checkpoints keep scores so."""
    scalar = np.float64().__reduce__()[0]
    return [
        scalar,
        (scalar, "numpy.core.multiarray.scalar"),
        np.dtype,
        np.dtypes.Float32DType,
        np.dtypes.Float64DType,
        codecs.encode,
    ]


def is_safetensors(path: Path) -> bool:
    """Whether a file is one: eight bytes of length, then that much JSON, within the file."""
    with path.open("rb") as handle:
        head = handle.read(9)
    if len(head) < 9 or head[8:9] != b"{":
        return False
    (length,) = struct.unpack("<Q", head[:8])
    return int(length) + 8 <= path.stat().st_size


def load_strictly(module: nn.Module, state: Mapping[str, Tensor], where: str) -> nn.Module:
    """Put weights into a network, made on the ``meta`` device: every key used, none missing.

    Raises:
        WeightsError: naming the first keys that do not fit.
    """
    wanted = module.state_dict()
    refuse_other_network(
        where,
        missing=wanted.keys() - state.keys(),
        unexpected=state.keys() - wanted.keys(),
        wrong=[k for k in wanted.keys() & state.keys() if wanted[k].shape != state[k].shape],
    )
    module.load_state_dict(dict(state), strict=True, assign=True)
    return module.eval()


def in_full_precision(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights that were published in half precision; whole numbers stay what they are."""
    return {k: t.float() if t.is_floating_point() else t for k, t in state.items()}


def numbered_parts(names: Collection[str], prefix: str) -> int:
    """How many different parts follow a prefix: the blocks or layers of a network."""
    return len({n.removeprefix(prefix).split(".")[0] for n in names if n.startswith(prefix)})


def refuse_other_network(
    where: str, *, missing: Collection[str], unexpected: Collection[str], wrong: Collection[str]
) -> None:
    """Raise WeightsError, naming the first keys, unless all three are empty."""
    problems = {"missing": missing, "unexpected": unexpected, "of another shape": wrong}
    said = [
        f"{len(keys)} {what} ({', '.join(sorted(keys)[:3])}{' …' if len(keys) > 3 else ''})"
        for what, keys in problems.items()
        if keys
    ]
    if said:
        raise WeightsError(f"{where}: not the weights of this network: {'; '.join(said)}")


def read_config(path: Path) -> dict[str, Any]:
    """A model's JSON file.

    Raises:
        WeightsError: it cannot be read.
    """
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read ({type(error).__name__})") from error
    if not isinstance(config, dict):
        raise WeightsError(f"{path} is no model configuration")
    return config


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes in a safetensors file, from its header alone.

    Raises:
        WeightsError: it is none.
    """
    if not is_safetensors(path):
        raise WeightsError(f"{path.name} is no safetensors file, or it is cut")
    with path.open("rb") as handle:
        (length,) = struct.unpack("<Q", handle.read(8))
        try:
            header = json.loads(handle.read(length))
            shapes = {k: tuple(v["shape"]) for k, v in header.items() if k != "__metadata__"}
            end = max((v["data_offsets"][1] for k, v in header.items() if k in shapes), default=0)
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise WeightsError(f"the header of {path.name} cannot be read") from error
    if length + 8 + end != path.stat().st_size:
        raise WeightsError(f"{path.name} is cut, or has something behind its end")
    return shapes


def card_of(name: str) -> ModelCard:
    """The card of a model; the recipe after a colon does not count.

    Raises:
        WeightsError: no such model; the message lists those there are.
    """
    base = name.partition(":")[0]
    card = CARDS.get(base) or open_card(base)
    if card is None:
        known = ", ".join([*sorted(CARDS), *OPEN_NAMES])
        raise WeightsError(f"there is no model '{base}'; there are: {known}")
    return card


def card_here(models: Path, name: str) -> ModelCard:
    """The card of a model, with what was found when it was registered here.

    Raises:
        WeightsError: no such model, or its manifest cannot be read.
    """
    card = card_of(name)
    if card.name in CARDS:
        return card
    manifest = read_manifest(models, card.name)
    return card if manifest is None else with_facts(card, manifest.facts)


def damaged_files(models: Path, manifest: Manifest) -> Iterator[str]:
    """Files of a model that do not have the digest they arrived with."""
    for path, sha256 in manifest.files.items():
        file = model_folder(models, manifest.name) / path
        if not file.is_file() or file_sha256(file) != sha256:
            yield path
