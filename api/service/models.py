"""Models: bring their files here, by network or by hand, and see at once that they are right."""

from __future__ import annotations

import shutil
import tempfile
import urllib.error
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from api.service.checking import EXPECTED, try_out
from indexer.config import Settings
from indexer.encoders.cards import CARDS, ModelCard
from indexer.encoders.download import BROKEN, fetch
from indexer.encoders.extras import require_extra
from indexer.encoders.open_ended import README, licence_in, with_facts
from indexer.encoders.weights import (
    MANIFEST,
    Manifest,
    card_of,
    file_sha256,
    model_folder,
    read_manifest,
    under,
    write_manifest,
)
from indexer.errors import (
    LicenceError,
    MissingExtraError,
    StorageFullError,
    SyntopyError,
    WeightsError,
)

_HUB = "https://huggingface.co"
_NOT_FOUND = 404


@dataclass(frozen=True)
class Registered:
    """A model that was brought here.

    Attributes:
        manifest: what it is.
        vectors: of drawn images, made and kept for later checks; 0 where its network could not be
            loaded here.
        notes: what should be known of it.
    """

    manifest: Manifest
    vectors: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Origin:
    """Where files came from, and whether a licence that needs it was consented to."""

    place: str
    revision: str
    accepted: bool


def explain(name: str) -> list[str]:
    """How to bring a model to a machine without internet: which files, from where, to where."""
    card = card_of(name)
    licence = card.licence if card.name in CARDS else f"licence: see {_HUB}/{card.repo}"
    lines = [f"on a machine with internet, fetch into an empty folder F ({licence}):"]
    lines += [f"  {_HUB}/{card.address(file)}  ->  F/{file.path}" for file in card.files]
    if card.name not in CARDS:
        lines.append(f"  {_HUB}/{_readme(card)}  ->  F/{README}")
    consent = "" if card.commercial or card.name not in CARDS else " --accept-licence"
    return [*lines, "bring F here, then run:", f"  syntopy models add {card.name} F{consent}"]


def pull(
    settings: Settings,
    name: str,
    *,
    accept_licence: bool = False,
    on_progress: Callable[[str, int, int], None] | None = None,
    on_check: Callable[[], None] | None = None,
) -> Registered:
    """Fetch a model's files from its hub or mirror; repeated after a break it goes on.

    Args:
        settings: name the models folder and, if any, the mirror.
        name: of the model.
        accept_licence: the user consents to a licence that does not allow every use.
        on_progress: called with a file's path, bytes that have arrived, and all its bytes.
        on_check: called when all files are here and the network is tried out.

    Raises:
        LicenceError: consent is needed.
        WeightsError: the hub cannot be reached, a file has another digest than was published, or
            the files are not those of the network; they are kept, and not registered.
    """
    card = card_of(name)
    folder = model_folder(settings.models, card.name)
    bring = partial(_bring, settings, card, on_progress)
    if card.name not in CARDS:
        require_extra(card.extra)  # without it nothing can be said of the network
        (folder / README).unlink(missing_ok=True)
        bring(README, _readme(card), required=False)
        card = with_facts(card, {"licence": licence_in(folder / README)})
    _check_licence(card, accept_licence)
    for file in card.files:
        bring(file.path, card.address(file))
    if on_check:
        on_check()
    origin = _Origin(card.repo, card.revision, accept_licence)
    return _register(settings, settings.models, card, origin)


def _bring(
    settings: Settings,
    card: ModelCard,
    on_progress: Callable[[str, int, int], None] | None,
    path: str,
    address: str,
    *,
    required: bool = True,
) -> None:
    """Fetch one file; one that is not required may not exist at the hub."""
    hub = settings.mirror.rstrip("/") or _HUB
    target = model_folder(settings.models, card.name) / path
    with _writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    show = partial(on_progress, path) if on_progress else None
    try:
        fetch(f"{hub}/{address}", target, show)
    except BROKEN as error:
        absent = isinstance(error, urllib.error.HTTPError) and error.code == _NOT_FOUND
        if absent and not required:
            return
        raise WeightsError(
            f"{hub} cannot be reached, breaks off, or does not have it ({_what(error)}); what "
            "has arrived is kept, the same command goes on.\n" + "\n".join(explain(card.name))
        ) from error


def add(
    settings: Settings,
    name: str,
    folder: Path,
    *,
    accept_licence: bool = False,
    on_check: Callable[[], None] | None = None,
) -> Registered:
    """Register files that are on this machine, laid out as published; they are copied.

    What was registered before stays until the new files have been found to be right.

    Raises:
        LicenceError: consent is needed.
        WeightsError: a file is not there, or the files are not those of this model.
    """
    card = card_of(name)
    if card.name not in CARDS:
        require_extra(card.extra)
        card = with_facts(card, {"licence": licence_in(folder / README)})
    _check_licence(card, accept_licence)
    missing = [file.path for file in card.files if not (folder / file.path).is_file()]
    if missing:
        raise WeightsError(f"{folder} lacks {', '.join(missing)} of '{card.name}'")
    origin = _Origin(str(folder), "", accept_licence)
    target = model_folder(settings.models, card.name)
    if target.exists() and target.samefile(folder):
        if on_check:
            on_check()
        return _register(settings, settings.models, card, origin)
    with _writing(target):
        settings.models.mkdir(parents=True, exist_ok=True)
        stage = tempfile.TemporaryDirectory(prefix=".adding-", dir=settings.models)
    with stage as beside:
        staged = settings.model_copy(update={"models": Path(beside)})
        new = model_folder(staged.models, card.name)
        with _writing(target):
            for path in _beside(folder, card):
                (new / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(folder / path, new / path)
        if on_check:
            on_check()
        registered = _register(staged, settings.models, card, origin)
        with _writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():
                target.rename(Path(beside) / ".before")
            new.rename(target)
    return registered


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageFullError(f"{target} cannot be written: {error.strerror or error}") from error


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
    return sorted((wanted | small) - {MANIFEST, EXPECTED})


def _readme(card: ModelCard) -> str:
    return f"{card.repo}/resolve/{card.revision}/{README}"


def _what(error: Exception) -> str:
    """An error of the way to the server, shortly."""
    said = getattr(error, "reason", "") or error
    return f"{type(error).__name__}: {said}"[:120]


def _register(settings: Settings, before: Path, card: ModelCard, origin: _Origin) -> Registered:
    """Write the manifest of files that lie in the models folder, unless they are wrong.

    Args:
        settings: name the models folder.
        before: the models folder with what was registered until now; it may be the same.
        card: of the model.
        origin: of the files.
    """
    folder, known = model_folder(settings.models, card.name), _known(before, card.name)
    digests = {path: file_sha256(folder / path) for path in _beside(folder, card)}
    _check_digests(folder, card, digests, origin)
    if known is None or known.files != digests:
        for path in (MANIFEST, EXPECTED):  # of other weights
            (folder / path).unlink(missing_ok=True)
    elif before != settings.models and (expected := _expected(before, card.name)).is_file():
        shutil.copyfile(expected, _expected(settings.models, card.name))
    manifest = Manifest(
        name=card.name,
        origin=origin.place,
        revision=origin.revision,
        files=digests,
        accepted=card.licence if origin.accepted else "",
        facts=_facts(folder, card),
    )
    write_manifest(settings.models, manifest)
    notes = [*_other_sizes(folder, card), *_left_out(manifest)]
    try:
        tried = try_out(settings, card.name)
    except MissingExtraError as error:
        return Registered(manifest, 0, (*notes, f"not checked: {error}"))
    except SyntopyError:
        (folder / MANIFEST).unlink()
        raise
    return Registered(manifest, tried.vectors, (*notes, *tried.findings))


def _known(models: Path, name: str) -> Manifest | None:
    """What was registered until now; a damaged manifest is about to be written anew."""
    try:
        return read_manifest(models, name)
    except WeightsError:
        return None


def _expected(models: Path, name: str) -> Path:
    return model_folder(models, name) / EXPECTED


def _check_digests(folder: Path, card: ModelCard, digests: dict[str, str], origin: _Origin) -> None:
    for file in card.files:
        if origin.revision and file.sha256 and digests[file.path] != file.sha256:
            (folder / file.path).unlink()
            (folder / MANIFEST).unlink(missing_ok=True)
            raise WeightsError(
                f"{file.path} of '{card.name}' is not what was published (its SHA-256 differs); "
                "it was removed, fetch it again"
            )


def _facts(folder: Path, card: ModelCard) -> dict[str, object]:
    """Of a model without a row in the table of cards, what its files and its network tell."""
    if card.name in CARDS:
        return {}
    from indexer.encoders.backbone import facts_of  # noqa: PLC0415 - only for these

    return facts_of(folder, card.name) | {"licence": card.licence}


def _other_sizes(folder: Path, card: ModelCard) -> list[str]:
    sizes = {file: (folder / file.path).stat().st_size for file in card.files}
    return [
        f"{file.path} has {size:,} bytes, and {file.size:,} were published"
        for file, size in sizes.items()
        if file.size and size != file.size
    ]


def _left_out(manifest: Manifest) -> list[str]:
    names = manifest.facts.get("left_out")
    return [f"left out, the head of a classifier: {', '.join(names)}"] if names else []


def _check_licence(card: ModelCard, accepted: bool) -> None:
    if not card.commercial and not accepted:
        raise LicenceError(
            f"{under(card)}; read it at {_HUB}/{card.repo}, then repeat with --accept-licence"
        )
