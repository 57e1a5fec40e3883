"""open_clip, timm and pytorch-ood are in a folder beside the environment; without it, skipped."""

from __future__ import annotations

import importlib
import importlib.util
import sys

import torch

_DECLARED = []
"""Operators live as long as the library that declares them."""


def _torchvision() -> None:
    """Import torchvision, though its build may not fit that of torch.

    Package indexes without a CPU build of torchvision have one for CUDA alone, whose compiled
    operators do not load beside a CPU build of torch. Nothing here uses them, but Python code of
    torchvision asks for two by name.
    """
    try:
        importlib.import_module("torchvision")
        return
    except RuntimeError:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _DECLARED.append(library)
    importlib.import_module("torchvision")


if importlib.util.find_spec("torchvision") is not None:
    _torchvision()
