"""What a client of the HTTP service asks about files beside a search with them; none is kept.

All methods raise `api.client.ApiError` where the service refuses, or cannot be reached, and
QueryError where one of the files is a folder, which cannot be sent: send an archive of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from api.client_asking import Asking
from api.schemas.pictures import FileLook, FileLookAsked
from api.schemas.regions import Matched, MatchingFilesAsked, RegionFilesAsked, RegionsFound


class Files(Asking):
    """A part of `api.client.Client`."""

    def look_at_files(self, files: Sequence[Path], asked: FileLookAsked) -> FileLook:
        """A frame of a file, or of those of one study, drawn as those of items are."""
        answer = self._with_files("files/look", asked.model_dump(), files)
        return FileLook.model_validate_json(answer.content)

    def match_files(self, files: Sequence[Path], asked: MatchingFilesAsked) -> Matched:
        """Where a file, or those of one study, and an item are alike, place by place."""
        answer = self._with_files("files/matching", asked.model_dump(), files)
        return Matched.model_validate_json(answer.content)

    def search_region_of_files(
        self, files: Sequence[Path], asked: RegionFilesAsked
    ) -> RegionsFound:
        """The images that have something like a part of a file's picture, and where."""
        answer = self._with_files("search/region/files", asked.model_dump(), files)
        return RegionsFound.model_validate_json(answer.content)
