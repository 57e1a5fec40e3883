"""Recipes from the settings that are published with a network.

Hubs hold them in three forms: transformers' ``preprocessor_config.json``, open_clip's
``open_clip_config.json`` and timm's ``config.json``. What they leave open, how DICOM values become
8 bits, is ours: a window for CT, percentiles for all else. A setting that is not known here is
refused by its name, since leaving it out would make other vectors without a word.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from indexer.encoders.recipe import (
    CentreCrop,
    Levels,
    Recipe,
    Resize,
    Rgb,
    RoundedCentreCrop,
    Step,
)
from indexer.errors import WeightsError

Settings = Mapping[str, Any]
NAME = "published"
"""Of the recipe that is made here."""
LEVELS = Levels(1.0, 99.0, ct_window=(40.0, 400.0))

# -- transformers ----------------------------------------------------------------------------------

_RESAMPLING = {1: "lanczos", 2: "bilinear", 3: "bicubic"}
"""Pillow's numbers."""
_SQUARE_IF_A_NUMBER = {"Beit", "DeiT", "Siglip", "ViT"}
_SHORTEST_IF_A_NUMBER = {"Bit", "CLIP", "ConvNext"}
_NEVER_CROP = {"ConvNext", "DINOv3ViT", "Siglip", "ViT"}
_PROCESSORS = _SQUARE_IF_A_NUMBER | _SHORTEST_IF_A_NUMBER | _NEVER_CROP
"""Those whose settings say all that they do (ImageProcessor, and FeatureExtractor of old)."""
_UNTOUCHED_BELOW = 384
"""ConvNext: sides smaller than this are cut out of a larger picture, others are not."""
_SAYS_NOTHING = {
    "_valid_processor_keys",
    "do_convert_rgb",
    "do_reduce_labels",
    "feature_extractor_type",
    "image_processor_type",
    "processor_class",
    "reduce_labels",
}
"""Of other things than pictures, or true of every picture here."""
_KNOWN = _SAYS_NOTHING | {
    "crop_pct",
    "crop_size",
    "do_center_crop",
    "do_normalize",
    "do_rescale",
    "do_resize",
    "image_mean",
    "image_std",
    "resample",
    "rescale_factor",
    "size",
}


def recipe_of_processor(config: Settings, where: str) -> Recipe:
    """The recipe that a ``preprocessor_config.json`` states.

    Raises:
        WeightsError: a setting is missing, of another kind, or not known here.
    """
    kind = str(config.get("image_processor_type") or config.get("feature_extractor_type") or "")
    kind = re.sub(r"(ImageProcessor|FeatureExtractor)(Fast|Pil)?$", "", kind)
    if kind not in _PROCESSORS:
        raise WeightsError(f"{where}: 'image_processor_type' is none of {_list(_PROCESSORS)}")
    _refuse_unknown(config, _KNOWN, where)
    if not config.get("do_rescale", True) or not config.get("do_normalize", True):
        raise WeightsError(f"{where}: 'do_rescale' and 'do_normalize' have to be true")
    if not math.isclose(config.get("rescale_factor") or 1 / 255, 1 / 255, rel_tol=1e-6):
        raise WeightsError(f"{where}: 'rescale_factor' is not 1/255")
    steps = [*_resize(config, kind, where), *_crop(config, kind, where), Rgb()]
    mean, std = (_numbers(config, key, where) for key in ("image_mean", "image_std"))
    return Recipe(NAME, (LEVELS, *steps), mean, std)


def _resize(config: Settings, kind: str, where: str) -> list[Step]:
    if not config.get("do_resize", True):
        raise WeightsError(f"{where}: 'do_resize' is false, and pictures have to be of one size")
    if config.get("resample") not in _RESAMPLING:
        raise WeightsError(f"{where}: 'resample' is none of {_list(_RESAMPLING)}")
    filter_name = _RESAMPLING[config["resample"]]
    size = config.get("size")
    if isinstance(size, int) and kind in _SQUARE_IF_A_NUMBER:
        return [Resize((size, size), filter_name)]
    if isinstance(size, int) and kind in _SHORTEST_IF_A_NUMBER:
        size = {"shortest_edge": size}
    if isinstance(size, dict) and size.keys() == {"shortest_edge"}:
        side = _whole(size["shortest_edge"], "size", where)
        if kind != "ConvNext":
            return [Resize(side, filter_name)]
        if side >= _UNTOUCHED_BELOW:
            return [Resize((side, side), filter_name)]
        if not config.get("crop_pct"):
            raise WeightsError(f"{where}: 'crop_pct' is not stated")
        larger = int(side / config["crop_pct"])
        return [Resize(larger, filter_name), CentreCrop((side, side))]
    return [Resize(_pair(size, "size", where), filter_name)]


def _crop(config: Settings, kind: str, where: str) -> list[Step]:
    wanted = config.get("do_center_crop")
    if wanted is None and kind not in _NEVER_CROP:
        raise WeightsError(f"{where}: 'do_center_crop' is not stated")
    if not wanted:
        return []
    size = config.get("crop_size")
    if isinstance(size, int):
        return [CentreCrop((size, size))]
    return [CentreCrop(_pair(size, "crop_size", where))]


# -- open_clip -------------------------------------------------------------------------------------


def recipe_of_open_clip(preprocess: Settings, image_size: object, where: str) -> Recipe:
    """The recipe that ``preprocess_cfg`` states; what it leaves out is as open_clip has it.

    Raises:
        WeightsError: a setting is of another kind, or not known here.
    """
    known = {"fill_color", "interpolation", "mean", "mode", "resize_mode", "size", "std"}
    _refuse_unknown(preprocess, known, where)
    if preprocess.get("mode", "RGB") != "RGB":
        raise WeightsError(f"{where}: 'mode' is not RGB")
    # open_clip goes by the network's size, whatever the settings say.
    side = _whole(image_size, "image_size", where)
    filter_name = str(preprocess.get("interpolation") or "bicubic")
    _check_filter(filter_name, where)
    mode = preprocess.get("resize_mode") or "shortest"
    steps: dict[str, tuple[Step, ...]] = {
        "shortest": (Resize(side, filter_name), RoundedCentreCrop((side, side))),
        "squash": (Resize((side, side), filter_name),),
    }
    if mode not in steps:
        raise WeightsError(f"{where}: 'resize_mode' is none of {_list(steps)}")
    mean, std = (_numbers(preprocess, key, where) for key in ("mean", "std"))
    return Recipe(NAME, (LEVELS, *steps[mode], Rgb()), mean, std)


# -- timm ------------------------------------------------------------------------------------------


def recipe_of_timm(pretrained: Settings, where: str) -> Recipe:
    """The recipe that ``pretrained_cfg`` states.

    Raises:
        WeightsError: a setting is missing or of another kind.
    """
    size = pretrained.get("input_size")
    if not isinstance(size, list) or len(size) != 3 or size[0] != 3 or size[1] != size[2]:
        raise WeightsError(f"{where}: 'input_size' is not 3 channels of a square")
    side, share = _whole(size[1], "input_size", where), pretrained.get("crop_pct")
    if not isinstance(share, int | float) or not 0 < share <= 1:
        raise WeightsError(f"{where}: 'crop_pct' is no share")
    filter_name = str(pretrained.get("interpolation"))
    _check_filter(filter_name, where)
    larger = math.floor(side / share)
    mode = pretrained.get("crop_mode") or "center"
    sizes: dict[str, int | tuple[int, int]] = {"center": larger, "squash": (larger, larger)}
    if mode not in sizes:
        raise WeightsError(f"{where}: 'crop_mode' is none of {_list(sizes)}")
    steps = (LEVELS, Resize(sizes[mode], filter_name), RoundedCentreCrop((side, side)), Rgb())
    mean, std = (_numbers(pretrained, key, where) for key in ("mean", "std"))
    return Recipe(NAME, steps, mean, std)


# -- what settings are made of ---------------------------------------------------------------------


def _refuse_unknown(config: Settings, known: set[str], where: str) -> None:
    """A setting that is null or false asks for nothing."""
    unknown = sorted(k for k, v in config.items() if k not in known and v not in (None, False))
    if unknown:
        raise WeightsError(f"{where}: '{unknown[0]}' is not known here")


def _check_filter(name: str, where: str) -> None:
    if name not in _RESAMPLING.values():
        raise WeightsError(f"{where}: 'interpolation' is none of {_list(_RESAMPLING.values())}")


def _numbers(config: Settings, key: str, where: str) -> tuple[float, ...]:
    values = config.get(key)
    if (
        not isinstance(values, Sequence)
        or len(values) != 3
        or not all(isinstance(v, int | float) for v in values)
    ):
        raise WeightsError(f"{where}: '{key}' is no list of three numbers")
    return tuple(float(value) for value in values)


def _whole(value: object, key: str, where: str) -> int:
    if not isinstance(value, int) or not 0 < value <= 4096:
        raise WeightsError(f"{where}: '{key}' is no size")
    return value


def _pair(size: object, key: str, where: str) -> tuple[int, int]:
    if not isinstance(size, dict) or size.keys() != {"height", "width"}:
        raise WeightsError(f"{where}: '{key}' is no size")
    return _whole(size["height"], key, where), _whole(size["width"], key, where)


def _list(values: Any) -> str:
    return ", ".join(sorted(map(str, values)))
