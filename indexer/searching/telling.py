"""What a search tells of what it found: hits, priors and copies described, and plain sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import bindparam, select

from indexer.catalog.tables import Item, Series, Study
from indexer.searching.answers import QUERY, LinkedCopy
from indexer.searching.asking import LATE, Described
from indexer.searching.examples import Subject, completed
from indexer.searching.exclusions import among
from indexer.searching.finding import Finding, Found
from indexer.searching.fusion import K
from indexer.searching.hits import describe_items
from indexer.searching.keywords import keyword_snippets
from indexer.searching.late import LATE_SAID, LateRanker
from indexer.searching.queries import Asked
from indexer.searching.slices import matches
from indexer.searching.voices import KEYWORDS, View, Voice, words_of
from indexer.types import Hit

_COPIES = (
    select(Item.id, Item.uid, Study.study_instance_uid)
    .select_from(Item)
    .join(Series)
    .join(Study)
    .where(Item.id.in_(bindparam("items", expanding=True)))
    .order_by(Item.id)
)


def described(
    view: View,
    voices: Sequence[Voice],
    finding: Finding,
    priors: Sequence[tuple[int, float, int]],
    subjects: Sequence[Subject],
) -> tuple[list[Hit], list[Hit], tuple[Described, ...]]:
    """Hits, with the slices and pairs that fit best, priors by date, and the examples."""
    found = finding.found
    items = [one.group.item for one in found]
    first = next((voice for voice in voices if voice.query is not None), None)
    volumes, pairs = {}, {}
    if first is not None and first.query is not None:
        if first.sliced:
            volumes = matches(view.db, first.query.space, first.query.pictures, items)
        if isinstance(first.ranker, LateRanker):
            pairs = first.ranker.pairs(items)
    words = _snippets(view, found)
    told = [(one.group.item, one.group.score, one.group.more) for one in found]
    # At once: each question to the catalog takes its time.
    known = [(s.middle, 1.0, 0) for s in subjects if s.middle is not None]
    described = describe_items(view.db, [*told, *priors, *known], volumes)
    hits = [
        replace(
            hit,
            voices=one.voices,
            snippet=words.get(one.group.item, ""),
            pairs=pairs.get(one.group.item, ()),
        )
        for hit, one in zip(described[: len(told)], found, strict=True)
    ]
    by_date = sorted(
        described[len(told) : len(told) + len(priors)],
        key=lambda hit: (not hit.study_date, hit.study_date, hit.study_instance_uid),
    )
    # A writer may have taken an example away since it was looked up.
    own = {hit.id: hit for hit in described[len(told) + len(priors) :]}
    asked = (s.description for s in subjects)
    return hits, by_date, tuple(completed(d, own[d.item]) if d.item in own else d for d in asked)


def _snippets(view: View, found: Sequence[Found]) -> dict[int, str]:
    """The words around those that were looked up, of what these found, by item."""
    items = [f.group.item for f in found if any(v.voice == KEYWORDS for v in f.voices)]
    if not items:
        return {}
    studies = view.studies(items)
    said = keyword_snippets(view.db, words_of(view.request), list(studies.values()))
    return {item: said[study] for item, study in studies.items() if study in said}


def linked(view: View, finding: Finding) -> list[LinkedCopy]:
    """Exact copies: of the query, and of hits."""
    of_query = among(view.excluded.copies, view.allowed.ids)
    wanted = {*of_query, *finding.copies, *finding.copies.values()}
    if not wanted:
        return []
    rows = {row.id: row for row in view.db.execute(_COPIES, {"items": sorted(wanted)})}
    return [
        LinkedCopy(rows[item].uid, rows[item].study_instance_uid, QUERY) for item in of_query
    ] + [
        LinkedCopy(rows[copy].uid, rows[copy].study_instance_uid, rows[item].uid)
        for copy, item in finding.copies.items()
    ]


def notes_of(view: View, asked: Asked, voices: Sequence[Voice], finding: Finding) -> list[str]:
    """What must be said, in plain sentences; that a list is short comes last."""
    request = view.request
    notes = [*asked.notes, *(note for voice in voices for note in voice.notes)]
    if not asked.queries:
        notes += asked.refusals
    notes += view.excluded.notes
    if request.rank == LATE:
        most = max(
            (v.ranker.compared for v in voices if isinstance(v.ranker, LateRanker)), default=0
        )
        notes.append(f"{LATE_SAID}; the nearest {most} studies were compared so")
    if not asked.queries and finding.found:
        notes.append("scores are BM25 of the words: comparable within this list alone")
    if finding.fused:
        notes.append(f"the lists of {_names(voices)} are fused by reciprocal rank (k = {K})")
    if request.diversity and asked.queries:
        notes.append(
            f"hits were chosen to differ, by maximal marginal relevance, lambda "
            f"{1 - request.diversity:g}: they are in the order of choosing"
        )
    copies = among(view.excluded.copies, view.allowed.ids)
    if copies:
        notes.append(
            "1 exact copy of the query, under another UID, is linked, not listed"
            if len(copies) == 1
            else f"{len(copies)} exact copies of the query, under other UIDs, are linked, not "
            "listed"
        )
    if view.other_roles:
        notes.append(
            f"{view.other_roles} localizers, captures, derived and test images were not looked at "
            "(--role all looks at them too)"
        )
    return notes + _short(view, finding)


def _names(voices: Sequence[Voice]) -> str:
    return " and ".join(voice.name for voice in voices)


def _short(view: View, finding: Finding) -> list[str]:
    """Why there are fewer hits than were asked for, in one sentence."""
    request, count = view.request, len(finding.found)
    if count >= request.k:
        return []
    if not view.allowed.count:
        return [f"only {count} found: nothing passes the filter"]
    if finding.cut and not count:
        near = f"{finding.nearest:.3f}, below {request.min_score:g}"
        return [f"nothing is close enough: the nearest has {near}"]
    if finding.cut:
        return [f"only {count} found: no more have a score of at least {request.min_score:g}"]
    return [f"only {count} found: no more pass the filter and the exclusions"]
