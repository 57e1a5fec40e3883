"""How the library does, where files come from, and those that were refused."""

from __future__ import annotations

import os
from typing import Annotated

from fastapi import Query

from api.rights import Role
from api.routing import router
from api.schemas.common import CursorParam, LimitParam, PageOf
from api.schemas.upkeep import IndexRun, LibraryState, Refused, Sources
from api.served import Service
from api.service import ingest, upkeep

# Asked again and again while somebody looks at it, and without patients: rows of the audit that
# say so would hide the others.
watching = router("library", Role.READER, recorded=False)
reading = router("library", Role.READER)
for_operators = router("library", Role.OPERATOR)


@watching.get("/library/state")
def get_library_state(served: Service) -> LibraryState:
    """What changes by the minute: rows, files, what waits, jobs, indexes, the disk."""
    return LibraryState.model_validate(upkeep.state(served.library, served.figures.read()))


@reading.get("/library/runs")
def list_runs(
    served: Service, cursor: CursorParam = "", limit: LimitParam = 50
) -> PageOf[IndexRun]:
    """Runs of indexing, however they were started; the newest first."""
    return PageOf[IndexRun].model_validate(upkeep.runs(served.library, cursor, limit))


@for_operators.get("/library/sources")
def get_sources(served: Service) -> Sources:
    """Folders of the server below which jobs may index, and whether studies are taken."""
    roots = [root for root in served.settings.index_roots.split(os.pathsep) if root]
    return Sources(roots=roots, receives=served.inbox is not None)


@for_operators.get("/rejected")
def list_rejected(
    served: Service,
    reason: Annotated[
        str, Query(max_length=40, description="Only of this reason.", examples=["truncated"])
    ] = "",
    cursor: CursorParam = "",
    limit: LimitParam = 50,
) -> PageOf[Refused]:
    """Files that were rejected or are in conflict; those known last first."""
    found = ingest.refused_page(served.library, reason, cursor, limit)
    return PageOf[Refused].model_validate(found)
