"""The studies most like a study, as a tree of our own.

No standard template speaks of images of other patients: TID 1500 measures those of its subject.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from api.structured import codes, tree
from api.structured.subject import Reference
from indexer.library import Library
from indexer.searching.answers import SearchAnswer
from indexer.types import Hit


def similar_tree(
    library: Library, answer: SearchAnswer, images: Mapping[str, Reference], *, references: bool
) -> Any:
    """The content of a report.

    Args:
        library: that was searched.
        answer: what was found.
        images: an instance of each item, where others know it.
        references: name the studies and show their images; else scores alone are told.
    """
    spaces = {query.space.id: query.space for query in answer.asked}
    searched = [f"library={library.config.id}", f"candidates={answer.candidates}"]
    searched.append(f"exact={'yes' if answer.exact else 'no'}")
    children = [
        *tree.language(),
        *tree.observer(library),
        *tree.algorithm("Syntopy image retrieval", [*spaces.values()], *searched),
    ]
    asked = [images[example.item] for example in answer.queries if example.item in images]
    children += [tree.image(codes.QUERY, each) for each in asked]
    for rank, hit in enumerate(answer.hits, 1):
        said = _said(rank, hit, images.get(hit.id), references=references)
        children.append(tree.container(codes.NEIGHBOUR, said))
    children += [tree.text(codes.COMMENT, note) for note in answer.notes]
    if answer.notice:
        children.append(tree.text(codes.NOTICE, answer.notice))
    children.append(tree.text(codes.NOTICE, tree.DISCLAIMER))
    return tree.container(codes.SIMILAR, children, root=True)


def _said(rank: int, hit: Hit, image: Reference | None, *, references: bool) -> Iterator[Any]:
    yield tree.number(codes.RANK, rank)
    yield tree.number(codes.SCORE, hit.score)
    if hit.evidence is not None and hit.evidence.percentile is not None:
        yield tree.number(codes.PERCENTILE, hit.evidence.percentile, codes.PERCENT)
    if not references:
        return
    yield tree.uid(codes.STUDY, hit.study_instance_uid)
    yield tree.uid(codes.SERIES, hit.series_instance_uid)
    if image is not None:
        yield tree.image(codes.IMAGE, image)
