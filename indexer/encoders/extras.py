"""Whether the optional packages that an encoder needs are here, and can be imported."""

from __future__ import annotations

import importlib
import importlib.util
from functools import cache

from indexer.errors import MissingExtraError

_NEEDED = {
    "encoders": ("torch", "transformers", "monai", "safetensors"),
    "timm": ("torch", "safetensors", "torchvision", "timm"),
    "open-clip": ("torch", "transformers", "safetensors", "torchvision", "timm", "open_clip"),
}
_TRIED = {"encoders": "torchvision", "timm": "timm", "open-clip": "open_clip"}
"""Being there is not enough for these: a torchvision that does not fit torch breaks them, and where
there is one transformers' vision classes as well."""


def require_extra(extra: str, *, vision: bool = True) -> None:
    """See that the packages of an extra can be used.

    Args:
        extra: of Syntopy.
        vision: whether a torchvision that does not fit torch matters; it breaks transformers.

    Raises:
        MissingExtraError: some are not installed, or cannot be imported; the message says which.
    """
    missing = [n for n in _NEEDED.get(extra, ()) if importlib.util.find_spec(n) is None]
    if missing:
        raise MissingExtraError(
            f"{', '.join(missing)} not installed; run: pip install 'syntopy[{extra}]'"
        )
    tried = _TRIED.get(extra) if vision else None
    if tried and importlib.util.find_spec(tried) is not None:
        fault = _fault(tried)
        if fault:
            raise MissingExtraError(fault)


@cache
def _fault(package: str) -> str:
    """Why a package cannot be imported, or ""."""
    try:
        importlib.import_module(package)
    except Exception as error:  # noqa: BLE001 - whatever builds that do not fit raise
        said = str(error).partition("\n")[0]
        if "torchvision::" in said:
            return f"torchvision does not fit torch ({said}); install both from the same index"
        return f"{package} cannot be imported ({type(error).__name__}: {said[:120]})"
    return ""
