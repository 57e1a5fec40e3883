"""What a reference says of a study, as a Measurement Report (TID 1500)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from api.service.judging.judge import ItemAnswer, Near, StudyAnswer
from api.structured import codes, tree
from api.structured.subject import Reference
from indexer.extras import extra
from indexer.groups.references import StoredReference
from indexer.library import Library, SpaceInfo
from indexer.reading.drafts import derived_uid

LISTED = 100
"""Items that are listed at most, the oddest ones."""


def ood_tree(
    library: Library,
    answer: StudyAnswer,
    by: tuple[StoredReference, SpaceInfo],
    images: Mapping[str, Reference],
    *,
    references: bool,
) -> Any:
    """The content of a report: a group for the study, and one for each item.

    Args:
        library: whose reference it is.
        answer: what it said.
        by: the reference, and its space.
        images: an instance of each item, where others know it.
        references: name the nearest study of the reference.
    """
    sr = extra("highdicom.sr")
    study = answer.study_instance_uid
    method = _algorithm(library, by, answer.alarm)
    items = sorted(answer.items, key=lambda one: 2.0 if one.p_value is None else one.p_value)
    near = [near for one in items[:1] for near in one.nearest[:1]] if references else []
    groups = [_group(study, "study", method, answer.flagged, _of_study(answer, near))]
    for one in items[:LISTED]:
        said = _of_item(one, references=references)
        groups.append(
            _group(
                study, f"item {one.item}", method, one.flagged, said, source=images.get(one.item)
            )
        )
    report = sr.MeasurementReport(
        observation_context=tree.observer(library),
        procedure_reported=codes.PROCEDURE,
        imaging_measurements=groups,
        language_of_content_item_and_descendants=tree.language(),
    )
    report[0].ContentSequence.append(tree.text(codes.NOTICE, tree.DISCLAIMER))
    return report[0]


def _algorithm(library: Library, by: tuple[StoredReference, SpaceInfo], alarm: float) -> Any:
    stored, space = by
    return tree.algorithm(
        "Syntopy out-of-distribution detection",
        [space],
        f"reference={stored.name}",
        f"reference sha256={stored.sha256}",
        f"library={library.config.id}",
        f"alarm={alarm:g}",
    )


def _group(
    study: str,
    name: str,
    method: Any,
    flagged: bool | None,
    said: Iterator[Any],
    *,
    source: Reference | None = None,
) -> Any:
    """A Measurement Group (TID 1501), which may hold more than the template says."""
    sr = extra("highdicom.sr")
    verdict = codes.UNDETERMINED if flagged is None else codes.YES if flagged else codes.NO
    tracking = sr.TrackingIdentifier(
        uid=derived_uid("tracked", study, name), identifier=f"Syntopy: {name}"
    )
    pictures = []
    if source is not None:
        frames = None if source.frame is None else [source.frame]
        pictures.append(
            sr.SourceImageForMeasurementGroup(source.sop_class_uid, source.sop_instance_uid, frames)
        )
    made = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=tracking,
        algorithm_id=method,
        qualitative_evaluations=[sr.QualitativeEvaluation(codes.FLAGGED, verdict)],
        source_images=pictures,
    )
    made[0].ContentSequence.extend(said)
    return made


def _of_study(answer: StudyAnswer, near: Sequence[Near]) -> Iterator[Any]:
    if answer.p_value is not None:
        yield tree.number(codes.P_VALUE, answer.p_value)
    yield tree.number(codes.ALARM, answer.alarm)
    if answer.reason:
        yield tree.text(codes.REASON, answer.reason)
    yield from _nearest(near)
    for note in answer.notes:
        yield tree.text(codes.COMMENT, note)


def _of_item(one: ItemAnswer, *, references: bool) -> Iterator[Any]:
    if one.p_value is not None:
        yield tree.number(codes.P_VALUE, one.p_value)
    if one.why:
        yield tree.text(codes.JUDGED_BY, one.why)
    if one.reason:
        yield tree.text(codes.REASON, one.reason)
    for finding in one.findings:
        yield tree.text(codes.FINDING, f"{finding.sentence} [{finding.code}]")
    if references:
        yield from _nearest(one.nearest[:1])


def _nearest(near: Sequence[Near]) -> Iterator[Any]:
    for each in near:
        yield tree.text(codes.NEAREST, each.study_instance_uid)
        yield tree.number(codes.DISTANCE, each.distance)
