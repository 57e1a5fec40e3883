"""Which encoders an image or volume gets: by the rules of a library, else by what each is made for.

Rules stand in ``routing.toml`` of a library; the first one that fits decides:

    [[rule]]
    modality = ["CR", "DX", "RF"]
    body_part = ["CHEST"]
    kind = "image"
    channels = 1
    encoders = ["rad-dino"]
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from indexer.errors import ConfigError
from indexer.types import EncoderSpec, Flag, ImagePixels, Pixels

FILE = "routing.toml"


class Rule(BaseModel):
    """What fits every condition that is stated goes to these encoders and to no other.

    Attributes:
        modality: DICOM modality codes; ``""`` is one that is not stated.
        body_part: words of BodyPartExamined; ``""`` is one that is not stated.
        kind: image or volume.
        channels: 1 grey, 3 colour; a volume has 1.
        encoders: of the library; none at all rejects what fits.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    modality: tuple[str, ...] | None = None
    body_part: tuple[str, ...] | None = None
    kind: Literal["image", "volume"] | None = None
    channels: Literal[1, 3] | None = None
    encoders: tuple[str, ...]

    def fits(self, pixels: Pixels) -> bool:
        """Whether the rule is about these pixels."""
        return (
            (self.modality is None or pixels.modality in self.modality)
            and (self.body_part is None or _names(self.body_part, pixels.body_part))
            and (self.kind is None or self.kind == kind_of(pixels))
            and (self.channels is None or self.channels == channels_of(pixels))
        )


@dataclass(frozen=True)
class Verdict:
    """Whether an encoder gets an image or volume.

    Attributes:
        refusal: why not, "" where it does.
        why: what decided: a rule, or "" where it was what the encoder is made for.
        flags: what must be said of the item if it does.
    """

    refusal: str = ""
    why: str = ""
    flags: frozenset[Flag] = frozenset()


def read_rules(path: Path, encoders: Collection[str]) -> tuple[Rule, ...]:
    """The rules of a file; none where it is not there.

    Args:
        path: a TOML file.
        encoders: those there are; rules may name no other.

    Raises:
        ConfigError: naming the file, the rule and the field.
    """
    try:
        stored = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ()
    except (OSError, ValueError) as error:  # ValueError: TOML, or UTF-8
        raise ConfigError(f"{path} cannot be read: {error}") from error
    if stored.keys() - {"rule"} or not isinstance(stored.get("rule", []), list):
        raise ConfigError(f"{path} holds more than [[rule]] tables: {', '.join(stored)}")
    rules = []
    for number, table in enumerate(stored.get("rule", []), 1):
        try:
            rule = Rule.model_validate(table)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"])
            raise ConfigError(f"{path}, rule {number}, {field}: {first['msg']}") from error
        unknown = sorted(set(rule.encoders) - set(encoders))
        if unknown:
            raise ConfigError(
                f"{path}, rule {number}, encoders: the library has no {', '.join(unknown)}; it has "
                f"{', '.join(encoders)}"
            )
        rules.append(rule)
    return tuple(rules)


def verdict_on(spec: EncoderSpec, pixels: Pixels, rules: Sequence[Rule] = ()) -> Verdict:
    """Whether an encoder gets an image or volume, and what must be said of it then.

    What is not stated speaks against nothing: many archives have no body part, and pictures have no
    modality. A rule may send an encoder what it was not made for, but no volume to one of images.
    """
    number = next((n for n, rule in enumerate(rules, 1) if rule.fits(pixels)), None)
    why = f"rule {number} of {FILE}" if number else ""
    if number and spec.name not in rules[number - 1].encoders:
        named = ", ".join(rules[number - 1].encoders) or "no encoder"
        return Verdict(f"{why} names {named}", why)
    kind = kind_of(pixels)
    if kind not in spec.inputs:
        return Verdict(f"takes no {kind}", why)
    flags = set[Flag]()
    foreign = _foreign(spec, pixels)
    if foreign and not number:
        return Verdict(foreign)
    if foreign:
        flags.add(Flag.OUTSIDE_PURPOSE)
    if spec.modalities and not pixels.modality:
        flags.add(Flag.MODALITY_UNKNOWN)
    return Verdict("", why, frozenset(flags))


def kind_of(pixels: Pixels) -> str:
    """``image`` or ``volume``."""
    return "image" if isinstance(pixels, ImagePixels) else "volume"


def channels_of(pixels: Pixels) -> int:
    """1 grey, 3 colour."""
    return 3 if isinstance(pixels, ImagePixels) and pixels.values.ndim == 3 else 1


def _foreign(spec: EncoderSpec, pixels: Pixels) -> str:
    """Why an encoder was not made for an image or volume; "" where it was."""
    if spec.modalities and pixels.modality and pixels.modality not in spec.modalities:
        return f"made for {', '.join(sorted(spec.modalities))}, not {pixels.modality[:16]}"
    if spec.body_parts and pixels.body_part and not _names(spec.body_parts, pixels.body_part):
        return f"made for {', '.join(sorted(spec.body_parts))}, not {pixels.body_part[:16]}"
    return ""


def _names(wanted: Collection[str], body_part: str) -> bool:
    """Body parts come with additions, as in ``CHEST ABDOMEN``."""
    return any(word in body_part if word else not body_part for word in wanted)
