"""Ask with an image, be answered with the words of reports."""

from __future__ import annotations

from collections.abc import Callable

from api.service.options import read_options
from indexer.config import Settings
from indexer.library import Library
from indexer.texts.reports import ReportsAnswer, ReportsRequest, find_reports


def reports(
    library: Library,
    request: ReportsRequest,
    settings: Settings,
    on_progress: Callable[[int, int], None] | None = None,
) -> ReportsAnswer:
    """Answer a request for reports; see `indexer.texts.reports.find_reports`."""
    return find_reports(library, request, read_options(library, settings), on_progress)
