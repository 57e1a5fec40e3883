"""Write the OpenAPI document that the types of the page are made from: src/api/openapi.json."""

from __future__ import annotations

import json
from pathlib import Path

from api.app import create_app
from indexer.config import Settings

DOCUMENT = Path(__file__).parent / "src" / "api" / "openapi.json"


def document() -> str:
    """The document of the service, one way of writing it; its version is that of the routes."""
    described = create_app(Settings()).openapi()
    return json.dumps(described | {"info": {"title": "Syntopy", "version": "v1"}}, indent=1) + "\n"


if __name__ == "__main__":
    DOCUMENT.write_text(document(), encoding="utf-8")
