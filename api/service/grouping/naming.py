"""What is told of the clusters of a run: names, exemplars, and what speaks for them."""

from __future__ import annotations

import numpy as np

from api.service.options import read_options
from clustering.contract import NOISE, Clustering
from clustering.naming import ClusterName, Phrases, name_clusters
from clustering.phrases import vocabulary
from indexer.catalog.database import reading
from indexer.config import Settings
from indexer.errors import SyntopyError
from indexer.groups.items import Described, Gathered, reports_of
from indexer.groups.runs import NamedCluster
from indexer.library import Library, SpaceInfo
from indexer.texts.hearing import keep_rows, voice_of

_TOLD = 3


def told_clusters(
    library: Library,
    space: SpaceInfo,
    made: Clustering,
    *,
    gathered: Gathered,
    described: Described,
    settings: Settings,
) -> tuple[list[NamedCluster], list[str]]:
    """Every cluster of a clustering with its name, and what should be said about the names.

    Args:
        library: whose reports and phrases.
        space: that the vectors are of.
        made: a clustering of the items.
        gathered: these, with their vectors.
        described: what is known of them.
        settings: say where models lie, for phrases by a text tower.
    """
    with reading(library.engine) as db:
        texts = reports_of(db, described.study_ids)
    notes = list[str]()
    phrases = _phrases(library, space, settings, notes)
    names = name_clusters(
        gathered.vectors,
        made.labels,
        fields={name: each for name, each in described.fields.items() if name != "kind"},
        texts=texts if any(texts) else None,
        patients=described.patients,
        phrases=phrases,
    )
    found = [
        NamedCluster(each.cluster, each.exemplars.size, each.text, about=_about(each, described))
        for each in names
    ]
    noise = int((made.labels == NOISE).sum())
    if noise:
        found.append(NamedCluster(NOISE, noise, "in no cluster"))
    return found, notes


def _phrases(
    library: Library, space: SpaceInfo, settings: Settings, notes: list[str]
) -> Phrases | None:
    """The vocabulary in the space of the images, where words reach it."""
    try:
        voice = voice_of(library, space, read_options(library, settings))
    except SyntopyError as error:
        notes.append(f"clusters have no phrases: {error}")
        return None
    if voice is None:
        return None
    texts = vocabulary()
    rows: np.ndarray = np.asarray(voice.rows(texts), np.float32)
    if voice.tower is not None and voice.tower.has_new:
        keep_rows(library, voice.tower, library.spaces(), notes)
    known = np.asarray(rows.any(axis=1))  # a bridge may know no word of a phrase
    if not known.any():
        return None
    kept = [text for text, yes in zip(texts, known.tolist(), strict=True) if yes]
    notes.append(f"phrases by {voice.words}")
    return Phrases(kept, rows[known])


def _about(each: ClusterName, described: Described) -> dict[str, object]:
    """As JSON: items by their public ids, the strongest first."""
    shown = each.exemplars
    return {
        "told": [
            f"{e.field} {e.value}: {e.share_inside:.0%} of it, {e.share_outside:.0%} of the rest"
            for e in each.enriched[:_TOLD]
        ],
        "medoid": described.uids[shown.medoid],
        "exemplars": [described.uids[row] for row in shown.spread],
        "borderline": [described.uids[row] for row in shown.borderline],
        "enriched": [
            {
                "field": e.field,
                "value": e.value,
                "inside": e.inside,
                "share_inside": round(e.share_inside, 4),
                "share_outside": round(e.share_outside, 4),
                "lift": round(e.lift, 3),
                "q": e.q,
            }
            for e in each.enriched
        ],
        "words": [word.word for word in each.words],
        "phrase": each.phrase.phrase if each.phrase and each.phrase.named else "",
        "warnings": list(each.warnings),
    }
