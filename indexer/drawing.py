"""How pictures of results are drawn: colours, tiles, text that is cut to its width."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

GROUND, TILE = (16, 19, 24), (0, 0, 0)
INK, SOFT, ACCENT, WARN = (232, 236, 240), (150, 160, 172), (92, 200, 255), (255, 190, 92)
_LONGEST = 200


def paste_tile(sheet: Image.Image, place: tuple[int, int], side: int, webp: bytes) -> None:
    """A WebP picture as large as fits into a square; the square alone where there is none."""
    tile = Image.new("RGB", (side, side), TILE)
    if webp:
        with Image.open(io.BytesIO(webp)) as picture:
            paste_picture(tile, (0, 0), side, picture.convert("RGB"))
    sheet.paste(tile, place)


def paste_picture(
    sheet: Image.Image, place: tuple[int, int], side: int, picture: Image.Image
) -> None:
    """A picture as large as fits into a square, in the middle of it."""
    scale = side / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    shown = picture.resize(size, Image.Resampling.LANCZOS)
    at = (place[0] + (side - shown.width) // 2, place[1] + (side - shown.height) // 2)
    sheet.paste(shown, at)


def ramp(colours: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """Float ``(..., 3)``: the colour of each strength, 0 the first of some and 1 the last."""
    stops = np.linspace(0, 1, len(colours))
    return np.stack([np.interp(strength, stops, colours[:, c]) for c in range(3)], axis=-1)


def joined(parts: Sequence[object]) -> str:
    """What is not empty, with dots between."""
    return " · ".join(str(p) for p in parts if p)


def cut(draw: ImageDraw.ImageDraw, text: str, width: int, size: int) -> str:
    """As much of a text as fits into a width."""
    text = " ".join(text[:_LONGEST].split())
    while text and draw.textlength(text, font=font(size)) > width:
        text = text[:-2].rstrip(" ·…") + "…"
    return text


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own, of a size in pixels."""
    return ImageFont.load_default(size)
