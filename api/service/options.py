"""What settings and library together say of how files are read."""

from __future__ import annotations

from indexer.config import Settings
from indexer.encoders.contract import EncoderContext
from indexer.library import Library
from indexer.reading.drafts import ReadOptions
from indexer.stores.contract import IndexOptions


def encoder_context(settings: Settings, name: str) -> EncoderContext:
    """What an encoder of this name is made with."""
    return EncoderContext(
        name, settings.models, settings.device, settings.precision, settings.compile
    )


def index_options(settings: Settings) -> IndexOptions:
    """How an index is built."""
    return IndexOptions(recall=settings.index_recall, device=settings.device)


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
