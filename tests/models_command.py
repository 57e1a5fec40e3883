"""The ``syntopy models`` command, called in this process."""

from __future__ import annotations

import json
from typing import Any

from typer.testing import CliRunner, Result

from api.cli.main import app


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["models", *(str(a) for a in arguments)])


def answer(*arguments: object, code: int = 0) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == code, result.output
    found = json.loads(result.stdout)
    assert isinstance(found, dict)
    return found
