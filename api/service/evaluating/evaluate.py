"""Measure a library: how good are its spaces at what people use them for?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from api.service.evaluating.protocol import Setting
from api.service.evaluating.protocols import PROTOCOLS
from indexer.catalog.database import reading
from indexer.config import Settings
from indexer.errors import QueryError
from indexer.evaluating.evaluation import MIN_PATIENTS, Compared, Plan, Report, check_ks, retrieval
from indexer.evaluating.labelled import read_items, read_vectors
from indexer.evaluating.metrics import KS
from indexer.evaluating.rankings import ExactRanking, Ranking, StoreRanking
from indexer.index.projection import open_projection
from indexer.library import Library, SpaceInfo

GROUPS = ("sex", "age", "manufacturer")
"""Fields by which groups are compared unless others are asked for."""
THROUGH = ("exact", "index")
MOST_DRAWS = 100_000

Progress = Callable[[str, int, int], None]
"""Called with what is being measured, how much is done and how much there is."""


@dataclass(frozen=True)
class EvaluationRequest:
    """What to measure.

    Attributes:
        label: name of the label that neighbours should share; ``view``, ``modality`` and
            ``body_part`` stand for what the catalog says of the series. A protocol may do without.
        by: fields of the groups that are compared.
        ks: cut-offs; none takes those of the protocol, or `indexer.evaluating.metrics.KS`.
        encoders: whose spaces; none takes all.
        through: ``exact`` compares every vector, ``index`` asks the library's own store.
        depth: of the ranking through the store.
        protocol: name of a published protocol to follow, "" for none.
        filter: only items that pass, ``""`` for all.
        queries: at most so many, drawn by the seed; 0 asks with all.
        seed: of the draw and of the bootstrap.
        draws: samples of patients behind the intervals.
        min_patients: groups of fewer are told as too few.
    """

    label: str = ""
    by: tuple[str, ...] = GROUPS
    ks: tuple[int, ...] = ()
    encoders: tuple[str, ...] = ()
    through: str = "exact"
    depth: int = 1000
    protocol: str = ""
    filter: str = ""
    queries: int = 2000
    seed: int = 0
    draws: int = 1000
    min_patients: int = MIN_PATIENTS


@dataclass(frozen=True)
class Evaluation:
    """What was measured.

    Attributes:
        request: what was asked for.
        encoders: by encoder, what its space reached.
        notes: plain sentences about the whole.
    """

    request: EvaluationRequest
    encoders: dict[str, Report]
    notes: tuple[str, ...] = ()


def evaluate_retrieval(
    library: Library,
    request: EvaluationRequest,
    settings: Settings | None = None,
    on_progress: Progress | None = None,
) -> Evaluation:
    """Measure spaces of a library by encoder, with primary items; nothing is written.

    Raising in ``on_progress`` stops it.

    Args:
        library: to measure.
        request: what to measure.
        settings: say where models lie, for protocols that ask in words.
        on_progress: called as `Progress` says.

    Raises:
        QueryError: no such label, encoder, field or protocol, a k out of range, nothing to compare.
        FilterError: the filter cannot be read.
    """
    _check(request)
    spaces = _spaces(library, request.encoders)
    found: dict[str, Report] = {}
    notes, failed = list[str](), list[str]()
    for name, space in spaces.items():

        def show(done: int, total: int, name: str = name) -> None:
            if on_progress:
                on_progress(name, done, total)

        try:
            if request.protocol:
                plan, asked = _plan(request), settings or Settings()
                setting = Setting(library, space, asked, show, request.label, request.filter, plan)
                found[name] = PROTOCOLS[request.protocol].run(setting)
            else:
                found[name] = _retrieval(library, space, request, show)
        except QueryError as error:
            # One space that cannot be measured does not keep the others from it.
            if len(spaces) == 1:
                raise
            failed.append(str(error))
            notes.append(f"'{name}' was not measured: {error}")
    if not found:
        raise QueryError(failed[0] if failed else f"{library.path} holds no vectors yet")
    return Evaluation(request, found, tuple(notes))


def _check(request: EvaluationRequest) -> None:
    if request.protocol and request.protocol not in PROTOCOLS:
        raise QueryError(
            f"there is no protocol '{request.protocol}'; there are {', '.join(PROTOCOLS)}"
        )
    if not request.protocol and not request.label:
        raise QueryError("name the label that neighbours should share: --label finding")
    if request.through not in THROUGH:
        raise QueryError(f"through is one of {', '.join(THROUGH)}, not '{request.through}'")
    if request.protocol and request.through != "exact":
        raise QueryError("a protocol compares every vector: leave out --through")
    for name, value, least, most in (
        ("queries", request.queries, 0, None),
        ("draws", request.draws, 20, MOST_DRAWS),
        ("min-patients", request.min_patients, 2, None),
        ("depth", request.depth, 1, None),
    ):
        if value < least or (most is not None and value > most):
            limit = f"{least} to {most}" if most else f"{least} or more"
            raise QueryError(f"{name} is {limit}, not {value}")
    check_ks(request.ks or KS)
    if request.through == "index" and request.depth < max(request.ks or KS):
        raise QueryError(f"a ranking {request.depth} deep has no k of {max(request.ks or KS)}")


def _spaces(library: Library, wanted: Sequence[str]) -> dict[str, SpaceInfo]:
    """Spaces by encoder, by encoder and weights where an encoder has several."""
    spaces = library.spaces()
    counts = Counter(space.encoder for space in spaces)
    unknown = sorted(set(wanted) - set(counts))
    if unknown:
        raise QueryError(
            f"the library has no space of {', '.join(unknown)}; "
            f"it has {', '.join(counts) or 'none'}"
        )
    return {
        space.encoder
        if counts[space.encoder] == 1
        else f"{space.encoder} ({space.weights[:8]}, {space.preprocessing})": space
        for space in spaces
        if not wanted or space.encoder in wanted
    }


def _plan(request: EvaluationRequest) -> Plan:
    protocol = PROTOCOLS.get(request.protocol)
    return Plan(
        ks=request.ks or (protocol.ks if protocol else KS),
        queries=request.queries,
        draws=request.draws,
        seed=request.seed,
        min_patients=request.min_patients,
        label=request.label,
    )


def _retrieval(
    library: Library,
    space: SpaceInfo,
    request: EvaluationRequest,
    on_progress: Callable[[int, int], None],
) -> Report:
    """By the label, for all queries, for each value and for each group."""
    with reading(library.engine) as db:
        items = read_items(db, request.label, expression=request.filter, by=request.by)
        vectors, present = read_vectors(db, space, items.ids)
    if not present.all():
        items, vectors = items.among(present), vectors[present]
    if not present.any():
        raise QueryError(
            f"no item that carries '{request.label}' has a vector of '{space.encoder}'"
        )
    notes = []
    left_out = int((~present).sum())
    if left_out:
        notes.append(f"{left_out} items that carry the label have no vector of '{space.encoder}'")
    exact = ExactRanking(vectors)
    ranking: Ranking = exact
    if request.through == "index":
        projection = open_projection(library, space)
        stats = projection.store.stats()
        most = max(Counter(filter(None, items.patients)).values(), default=1)
        depth = min(request.depth + most, len(items.ids))
        ranking = StoreRanking(projection.store, items.ids, vectors, depth)
        notes += [projection.note] * bool(projection.note)
        notes.append(f"through the index ({stats.kind}), the nearest {depth}")
    report = retrieval(
        ranking,
        Compared(items.labels, items.patients, items.groups),
        _plan(request),
        exact=None if ranking is exact else exact,
        on_progress=on_progress,
    )
    return replace(report, notes=(*notes, *report.notes))
