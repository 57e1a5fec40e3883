"""Where the bridges of a library lie: numbered by space, older ones kept, one of them in use."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from indexer.errors import ConfigError, QueryError
from indexer.library import Library, SpaceInfo
from indexer.reading.drafts import ReadOptions
from indexer.texts.bridge import Bridge, BridgeAbout, read_about
from indexer.texts.features import TfidfFeatures, Tower, TowerFeatures
from indexer.texts.fitting import fit_bridge
from indexer.texts.pairs import Pairs, read_pairs
from indexer.texts.towers import Progress, TextTower, open_tower

_FOLDER = "bridges"


@dataclass(frozen=True)
class BridgeVersion:
    """One bridge of a space.

    Attributes:
        encoder: of the space.
        version: counts up in a space; a number is not given twice.
        in_use: whether words go by this one.
        about: what its file says, None if that is damaged.
    """

    encoder: str
    version: int
    in_use: bool
    about: BridgeAbout | None


def load_bridge(
    library: Library,
    space: SpaceInfo,
    options: ReadOptions,
    on_progress: Progress | None = None,
    *,
    reread: bool = True,
) -> Bridge | None:
    """The bridge in use of a space, None if none was fitted.

    Args:
        library: that the space is of.
        space: that is asked in words.
        options: say where the text tower's weights lie.
        on_progress: called with texts embedded by a text tower, and all there are to embed.
        reread: see `indexer.texts.towers.open_tower`.

    Raises:
        ConfigError: its file is damaged or gone, or its text tower has other weights now.
        WeightsError: its text tower is not there any more.
    """
    used, _ = _numbers(library, space)
    if not used:
        return None
    path = _path(library, space, used)
    if not path.is_file():
        raise ConfigError(
            f"version {used} of the bridge for '{space.encoder}' is gone; take another with: "
            "syntopy bridge use VERSION"
        )
    return Bridge.load(path, partial(_tower, library, options, on_progress, reread))


def _tower(
    library: Library,
    options: ReadOptions,
    on_progress: Progress | None,
    reread: bool,
    about: BridgeAbout,
) -> Tower:
    tower = open_tower(library, options.context(about.tower), on_progress, reread=reread)
    if tower.weights != about.weights:
        raise ConfigError(
            f"the text tower of '{about.tower}' has other weights than those that the bridge was "
            "fitted with; fit again with: syntopy bridge fit"
        )
    return tower


def bridge_note(bridge: Bridge) -> str:
    """How far words by a bridge can be trusted, in a sentence."""
    quality = bridge.quality
    return (
        f"words by a bridge fitted on {quality.pairs} texts of this library "
        f"({bridge.about.features}): of texts not fitted on, {quality.hit_rate_at_10:.0%} find "
        f"their image among ten, {quality.report_hit_rate_at_10:.0%} the other way (by chance "
        f"{quality.chance_at_10:.0%})"
    )


def make_bridge(
    library: Library,
    space: SpaceInfo,
    tower: TextTower | None = None,
    *,
    labels: bool = True,
    seed: int = 0,
) -> tuple[Bridge, int, Pairs]:
    """Fit a bridge on the library's reports and labels, keep it and take it into use.

    Args:
        library: to read and to keep it in.
        space: that is to be asked in words.
        tower: that gives the features of texts; None counts words.
        labels: whether labels count as words.
        seed: of folds and draws.

    Returns:
        The bridge, its version in this space, and what it was fitted on.

    Raises:
        QueryError: too few pairs, or something was taken out of the library meanwhile.
    """
    pairs = read_pairs(library, space, labels=labels, seed=seed)
    bridge = fit_bridge(
        pairs.texts,
        pairs.vectors,
        pairs.patients,
        learn=TfidfFeatures.learn
        if tower is None
        else lambda texts, _seed: TowerFeatures.learn(tower, texts),
        with_labels=pairs.with_labels,
        seed=seed,
    )
    with library.writing():
        if space not in library.spaces():  # its count of deletions has grown
            raise QueryError(
                "something was removed from the library while the bridge was fitted; fit again"
            )
        (library.path / _FOLDER).mkdir(exist_ok=True)
        version = _numbers(library, space)[1] + 1
        bridge.save(_path(library, space, version))
        _write_numbers(library, space, version, version)
        if tower is not None:
            tower.save()
    return bridge, version, pairs


def bridge_versions(library: Library) -> list[BridgeVersion]:
    """All bridges, by space and version."""
    found = []
    for space in library.spaces():
        used, _ = _numbers(library, space)
        for version, path in sorted(_files(library, space)):
            found.append(
                BridgeVersion(space.encoder, version, version == used, _about_if_sound(path))
            )
    return found


def _about_if_sound(path: Path) -> BridgeAbout | None:
    try:
        return read_about(path)
    except ConfigError:
        return None


def use_bridge(library: Library, space: SpaceInfo, version: int) -> None:
    """Let words go by this version from now on.

    Raises:
        ConfigError: there is no such version, or its file is damaged.
    """
    _check(library, space, version)
    read_about(_path(library, space, version))
    with library.writing():
        _write_numbers(library, space, version, _numbers(library, space)[1])


def remove_bridge(library: Library, space: SpaceInfo, version: int) -> int:
    """Delete one version.

    Returns:
        The version in use afterwards: if it was this one, the newest that is left; 0 if none is.

    Raises:
        ConfigError: there is no such version.
    """
    _check(library, space, version)
    with library.writing():
        used, last = _numbers(library, space)
        _path(library, space, version).unlink()
        if used == version:
            used = max((number for number, _ in _files(library, space)), default=0)
        _write_numbers(library, space, used, last)
    return used


def drop_bridges(library: Library) -> None:
    """Forget all bridges: their words come from reports, which may have been taken out."""
    for path in (library.path / _FOLDER).glob("*"):
        path.unlink()


def _check(library: Library, space: SpaceInfo, version: int) -> None:
    there = sorted(number for number, _ in _files(library, space))
    if version not in there:
        raise ConfigError(
            f"the bridge for '{space.encoder}' has no version {version}; it has: "
            f"{', '.join(map(str, there)) or 'none'}"
        )


def _files(library: Library, space: SpaceInfo) -> Iterator[tuple[int, Path]]:
    prefix = f"space-{space.id}-"
    for path in (library.path / _FOLDER).glob(f"{prefix}[0-9][0-9][0-9][0-9].npz"):
        yield int(path.stem.removeprefix(prefix)), path


def _path(library: Library, space: SpaceInfo, version: int) -> Path:
    return library.path / _FOLDER / f"space-{space.id}-{version:04}.npz"


def _numbers_path(library: Library, space: SpaceInfo) -> Path:
    return library.path / _FOLDER / f"space-{space.id}.json"


def _numbers(library: Library, space: SpaceInfo) -> tuple[int, int]:
    """The version in use and the last one given; 0 for none."""
    path = _numbers_path(library, space)
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return int(stored["use"]), int(stored["last"])
    except FileNotFoundError:
        newest = max((number for number, _ in _files(library, space)), default=0)
        return newest, newest
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path} is damaged; remove it, and the newest bridge is in use"
        ) from error


def _write_numbers(library: Library, space: SpaceInfo, use: int, last: int) -> None:
    path = _numbers_path(library, space)
    temporary = path.with_suffix(f".{os.getpid()}")
    temporary.write_text(json.dumps({"use": use, "last": last}), encoding="utf-8")
    temporary.replace(path)
