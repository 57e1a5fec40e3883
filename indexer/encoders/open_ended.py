"""Encoders without a row of their own: any vision backbone, by the name of its repository.

``transformers/OWNER/NAME`` and ``timm/NAME``. What a card would say of them (dimension, pooling,
licence) is found when they are registered, and kept in ``syntopy.json``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from indexer.encoders.cards import ModelCard, WeightFile

NOT_STATED = "not stated"
README = "README.md"
"""Begins with what the hub knows of a model, its licence among it; no file that a network needs."""
OPEN_NAMES = ("timm/NAME", "transformers/OWNER/NAME")
_WORD = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_-])?"
_NAMES = {
    "timm": re.compile(rf"timm/{_WORD}"),
    "transformers": re.compile(rf"transformers/{_WORD}/{_WORD}"),
}
_FILES = {
    "timm": ("config.json", "model.safetensors"),
    "transformers": ("config.json", "preprocessor_config.json", "model.safetensors"),
}
_EXTRAS = {"timm": "timm", "transformers": "encoders"}
_FREE = {
    "afl-3.0", "apache-2.0", "bsd", "bsd-2-clause", "bsd-3-clause", "bsl-1.0", "cc-by-2.0",
    "cc-by-3.0", "cc-by-4.0", "cc0-1.0", "isc", "mit", "mpl-2.0", "ncsa", "pddl", "unlicense",
    "wtfpl", "zlib",
}  # fmt: skip
"""Identifiers of the hub for licences that allow commercial use; all others need consent."""
_LICENCE = re.compile(
    r"^license(_name)?:[ \t]*['\"]?([^'\"#\n]+?)['\"]?[ \t]*(#.*)?$", re.MULTILINE
)


def family_of(name: str) -> str:
    """``transformers`` or ``timm``, or "" for a name of another kind; a recipe does not count."""
    base = name.partition(":")[0]
    return next((family for family, form in _NAMES.items() if form.fullmatch(base)), "")


def open_card(name: str) -> ModelCard | None:
    """What is known of a backbone before it is here, or None for a name of another kind."""
    family = family_of(name)
    if not family:
        return None
    return ModelCard(
        name=name,
        title=f"a vision backbone of {family}",
        repo=name if family == "timm" else name.partition("/")[2],
        revision="main",
        files=tuple(WeightFile(path) for path in _FILES[family]),
        licence=NOT_STATED,
        commercial=False,
        dim=0,
        inputs=frozenset({"image", "volume"}),
        extra=_EXTRAS[family],
    )


def with_facts(card: ModelCard, facts: Mapping[str, Any]) -> ModelCard:
    """The card, with what was found when the model was registered."""
    return replace(
        card,
        dim=facts.get("dim", 0),
        patches=bool(facts.get("patches", False)),
        licence=facts.get("licence", NOT_STATED),
        commercial=facts.get("licence") in _FREE,
    )


def licence_in(readme: Path) -> str:
    """The licence that a README names in its head, as the hub writes it, or ``not stated``."""
    if not readme.is_file():
        return NOT_STATED
    text = readme.read_text(encoding="utf-8", errors="replace").replace("\r\n", "\n")
    head = re.match(r"---\n(.*?)\n---\s", text, re.DOTALL)
    said = {bool(m[1]): m[2].lower() for m in _LICENCE.finditer(head[1])} if head else {}
    # "other" is explained by a second field.
    return said.get(True) or said.get(False) or NOT_STATED


def open_models(models: Path, manifest: str) -> Iterator[str]:
    """Names of the backbones that are registered in a models folder, sorted."""
    for family in sorted(_NAMES):
        depth = "*/" * (2 if family == "transformers" else 1)
        for path in sorted(models.glob(f"{family}/{depth}{manifest}")):
            name = path.parent.relative_to(models).as_posix()
            if family_of(name):
                yield name
