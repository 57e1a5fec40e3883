"""What settings and library together say of how files are read."""

from __future__ import annotations

from indexer.config import Settings
from indexer.library import Library
from indexer.reading.drafts import ReadOptions


def read_options(library: Library, settings: Settings) -> ReadOptions:
    """How this library reads files."""
    return ReadOptions(
        encoders=library.config.encoders,
        key=library.key,
        keep_phi=library.config.phi == "keep",
        max_file_bytes=settings.max_file_mb << 20,
        max_pixel_bytes=settings.max_pixel_mb << 20,
        models=settings.models,
        device=settings.device,
        precision=settings.precision,
        compile=settings.compile,
        rules=library.rules,
    )
