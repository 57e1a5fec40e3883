"""Answers with the addresses at which a viewer shows what they name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from api.service.browse import StudyLine
from api.service.paging import Page
from indexer.config import Settings
from indexer.searching.answers import SearchAnswer
from indexer.types import Hit
from indexer.viewing import ViewerTemplate

if TYPE_CHECKING:
    from api.service.judging.judge import StudyAnswer

_T = TypeVar("_T", Hit, StudyLine, "StudyAnswer")


class Links:
    """Adds addresses to answers.

    Args:
        settings: that have the template; without one nothing is added.
    """

    def __init__(self, settings: Settings) -> None:
        self._template = ViewerTemplate(settings.viewer_url)

    def study(self, uid: str) -> str | None:
        """The address of a study."""
        return self._template.of(uid)

    def on(self, one: _T) -> _T:
        """A hit, a study of a list, or what a reference says of a study."""
        if not self._template.text or not one.study_instance_uid:
            return one
        series = getattr(one, "series_instance_uid", "")
        instance = getattr(one, "sop_instance_uid", "")
        return replace(one, viewer_url=self._template.of(one.study_instance_uid, series, instance))

    def page(self, page: Page[_T]) -> Page[_T]:
        """A page of them."""
        return replace(page, rows=self.each(page.rows))

    def each(self, found: Iterable[_T]) -> list[_T]:
        """Several of them."""
        return [self.on(one) for one in found]

    def answer(self, answer: SearchAnswer) -> SearchAnswer:
        """What a search found."""
        if not self._template.text:
            return answer
        return replace(answer, hits=self.each(answer.hits), priors=self.each(answer.priors))
