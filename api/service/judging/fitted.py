"""Reference sets of a library as they were fitted, loaded to be asked again and again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from api.service.judging.cases import SLICES, VECTOR
from indexer.catalog.database import reading
from indexer.errors import ReferenceSetError
from indexer.groups.items import Described, describe
from indexer.groups.references import IDS, StoredReference, load_reference
from indexer.library import Library
from indexer.types import ItemIds
from ood.acquisition import Usual
from ood.reference import ReferenceSet, Stratum
from ood.registry import part
from ood.tags import FIELDS, VOTERS, Vote, counted


@dataclass(frozen=True)
class Fitted:
    """A reference set of a library: its cases are items.

    Attributes:
        reference: that was fitted.
        ids: private numbers of its cases.
        known: what the catalog knows of them now.
        usual: how the cases of each stratum were taken, by its name in words.
    """

    reference: ReferenceSet
    ids: ItemIds
    known: Described
    usual: Mapping[str, Usual]

    @cached_property
    def learned(self) -> frozenset[int]:
        """Items that a detector was fitted on."""
        rows = [each.fitted for each in self.reference.strata.values()]
        return frozenset(self.ids[np.unique(np.concatenate(rows))].tolist())

    @cached_property
    def held(self) -> Mapping[str, Mapping[str, int]]:
        """How many of the cases that the coarsest stratum was fitted on have which tag."""
        rows = self._root.fitted.tolist()
        return counted({name: [self.known.fields[name][row] for row in rows] for name in FIELDS})

    def vote(self, row: np.ndarray, uid: str) -> Vote:
        """What the reference has, and what is nearest to a row ``(1, dim)``, itself left out."""
        root = self._root
        _, near = root.near.nearest(row, min(VOTERS + 1, len(root.fitted)))
        rows = [number for number in root.fitted[near[0][near[0] >= 0]].tolist()
                if not uid or self.known.uids[number] != uid][:VOTERS]  # fmt: skip
        nearest = {name: [self.known.fields[name][each] for each in rows] for name in FIELDS}
        return Vote(self.held, nearest)

    @cached_property
    def _root(self) -> Stratum:
        """The coarsest: everything, most often."""
        return self.reference.strata[min(self.reference.strata, key=len)]


def fitted_sets(library: Library, stored: StoredReference) -> dict[str, Fitted]:
    """The sets of a reference by what describes their cases: vectors of items, or slices.

    Raises:
        ReferenceSetError: its file is gone or damaged.
    """
    arrays = load_reference(library, stored)
    usual: dict[str, dict[str, Usual]] = {VECTOR: {}, SLICES: {}}
    for each in stored.report["strata"]:
        usual[each["described_by"]][each["stratum"]] = Usual.from_told(each["usual"])
    made = {}
    for how in (VECTOR, SLICES):
        own = part(how, arrays)
        if own:
            ids = own.pop(IDS)
            with reading(library.engine) as db:
                known = describe(db, ids, labels=())
            made[how] = Fitted(ReferenceSet.from_state(own), ids, known, usual[how])
    if not made:
        raise ReferenceSetError(f"the reference '{stored.name}' has no cases: fit it again")
    return made
