"""All kinds of jobs, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.jobs import auditing, curating, grouping, judging, upkeep
from api.jobs.work import Kind

KINDS: Mapping[str, Kind[Any]] = {
    kind.name: kind
    for kinds in (grouping.KINDS, judging.KINDS, curating.KINDS, upkeep.KINDS, auditing.KINDS)
    for kind in kinds
}
