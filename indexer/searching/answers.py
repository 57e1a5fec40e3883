"""What a search answers: plain data."""

from __future__ import annotations

from dataclasses import dataclass, field

from indexer.searching.asking import Described
from indexer.searching.queries import Query
from indexer.types import Hit, LabelVote


@dataclass(frozen=True)
class SpaceUse:
    """A space that was searched.

    Attributes:
        encoder, notice: what made its vectors, and what must be said about it.
        how: how the examples reached it: ``image``, ``region``, ``text tower``, ``bridge``.
        kind: of its index.
        recall: recall@10 of that against exact search; None where it has not been measured.
        exact: whether every candidate was compared.
        held, items: so many of all items have a vector there, and can be found by it.
    """

    encoder: str
    notice: str
    how: str
    kind: str
    recall: float | None
    exact: bool
    held: int
    items: int


@dataclass(frozen=True)
class LinkedCopy:
    """Exactly the same pixels under another UID: told, not listed as similar.

    Attributes:
        id, study_instance_uid: of the copy.
        of: id of the hit that it copies, or ``query``.
    """

    id: str
    study_instance_uid: str
    of: str


QUERY = "query"


@dataclass(frozen=True)
class SearchAnswer:
    """What was found, and how far it can be trusted.

    Attributes:
        queries: what was searched with.
        mix: how several examples were mixed, in a sentence; else "".
        hits: nearest first.
        priors: other studies of the examples' patients, by date, those without one last.
        linked: exact copies of the query and of hits.
        passed: items that pass the filter and have the roles that are looked at.
        candidates: of these, what is left after the exclusions.
        fused: whether scores are sums of reciprocal ranks; else they are cosines, or what the
            ranking by slices counts.
        exact: whether every candidate was compared.
        spaces: those that were searched.
        votes: what the hits say of labels, where evidence was asked for.
        notes: plain sentences: exclusions that could not be made, copies, short lists.
        seconds: wall time.
        asked: what each space was asked, for who asks on with it.
        query_thumbnail: of the first example that is a file the library does not have.
    """

    queries: tuple[Described, ...]
    mix: str
    hits: list[Hit]
    priors: list[Hit]
    linked: list[LinkedCopy]
    passed: int
    candidates: int
    fused: bool
    exact: bool
    spaces: tuple[SpaceUse, ...]
    votes: tuple[LabelVote, ...]
    notes: list[str]
    seconds: float
    asked: tuple[Query, ...] = field(repr=False, compare=False)
    query_thumbnail: bytes = field(default=b"", repr=False)

    @property
    def encoder(self) -> str:
        """Names of what made the vectors."""
        return ", ".join(space.encoder for space in self.spaces)

    @property
    def notice(self) -> str:
        """What must be said about them, each once."""
        return " ".join(dict.fromkeys(space.notice for space in self.spaces if space.notice))
