"""The log: one JSON object a line on standard error. No values of a request stand in it."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from types import TracebackType

_LOGGER = logging.getLogger("syntopy.http")
_OURS = "said"


class JsonLines(logging.Formatter):
    """A record as JSON: its time, level, logger and event, and what else was said."""

    def format(self, record: logging.LogRecord) -> str:
        """One line; of an exception its kind and places, not its words."""
        told: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **getattr(record, _OURS, {}),
        }
        if record.exc_info and record.exc_info[0] is not None:
            told |= {"error": record.exc_info[0].__name__, "trace": places(record.exc_info[2])}
        return json.dumps(told)


def log_to_stderr() -> None:
    """Send the log of this process to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    for name in (_LOGGER.name, "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.INFO)


def answered(**said: object) -> None:
    """A request that was answered."""
    _LOGGER.info("answered", extra={_OURS: said})


def noted(event: str, **said: object) -> None:
    """Anything else that an operator should know."""
    _LOGGER.info(event, extra={_OURS: said})


def failed(error: BaseException, request_id: str) -> None:
    """An error inside: its kind and where, without its message, which may quote what was asked."""
    told = {
        "request_id": request_id,
        "error": type(error).__name__,
        "trace": places(error.__traceback__),
    }
    if error.__cause__ is not None:
        told["cause"] = type(error.__cause__).__name__
        told["cause_trace"] = places(error.__cause__.__traceback__)
    _LOGGER.error("failed", extra={_OURS: told})


def places(trace: TracebackType | None) -> list[str]:
    """Files, lines and functions of a traceback, outermost first."""
    frames = traceback.extract_tb(trace)
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
