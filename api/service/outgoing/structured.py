"""Structured reports: what a reference or a search says of a study, to be kept with it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from api.service.access.audit import recorded
from api.service.judging.judge import Judge, StudyAnswer
from api.service.options import read_options
from api.service.outgoing.destinations import Destination, find_destination
from api.service.outgoing.sending import send
from api.service.search import search
from api.structured.document import OOD, SIMILAR, Document, document
from api.structured.ood_tree import LISTED, ood_tree
from api.structured.similar_tree import similar_tree
from api.structured.subject import images_of, read_subject, study_under
from indexer.catalog.audit import Action, AuditEvent
from indexer.catalog.database import reading
from indexer.catalog.lookup import pseudonyms_of
from indexer.config import Settings
from indexer.errors import (
    ConfigError,
    QueryError,
    StorageFullError,
    SyntopyError,
)
from indexer.extras import extra
from indexer.library import Library
from indexer.searching.asking import SearchRequest, like
from indexer.searching.search import Searcher

MOST = 100
"""Neighbours that a report lists at most."""


@dataclass(frozen=True)
class OodReportRequest:
    """What a reference says of a study.

    Attributes:
        uid: of the study, or of anything in it.
        reference: name of the reference.
        alarm: the false-alarm rate; None takes the one that it was fitted for.
        references: name the nearest study of the reference.
    """

    uid: str
    reference: str
    alarm: float | None = None
    references: bool = True


@dataclass(frozen=True)
class SimilarReportRequest:
    """Which studies are most like a study.

    Attributes:
        uid: of the study, or of anything in it, which is searched with then.
        k: neighbours, 1 to `MOST`.
        filter: of hits.
        encoders: whose spaces, see `SearchRequest`.
        references: name the neighbours by their UIDs; else scores alone are told.
    """

    uid: str
    k: int = 5
    filter: str = ""
    encoders: tuple[str, ...] = ()
    references: bool = True


def ood_report(
    library: Library, request: OodReportRequest, settings: Settings, judge: Judge | None = None
) -> tuple[Document, StudyAnswer]:
    """Judge a study of the library and report it.

    Args:
        library: whose.
        request: what to report.
        settings: how files are read.
        judge: of that reference and rate, if one is loaded.

    Raises:
        MissingExtraError: the extra ``sr`` is not installed.
        ItemNotFoundError: there is no such study.
        QueryError: no such reference; it cannot judge any of the study; it is not of DICOM files.
        OriginalGoneError: the files of the study are gone.
        ReferenceSetError: the file of the reference is gone or damaged, or the rate is none.
        StorageFullError: the library's folder cannot be written.
    """
    extra("highdicom")
    with reading(library.engine) as db:
        study = study_under(db, request.uid)
    judge = judge or Judge(library, request.reference, request.alarm, settings=settings)
    answer = next(judge.of_items(f"study={study}"))
    subject = read_subject(library, study, read_options(library, settings))
    with reading(library.engine) as db:
        images = images_of(db, [one.item for one in answer.items[:LISTED]])
    by = (judge.stored, judge.space)
    tree = ood_tree(library, answer, by, images, references=request.references)
    made = document(library, OOD, subject, tree)
    near = [each.study_instance_uid for one in answer.items for each in one.nearest[:1]]
    named = (*made.studies, *near) if request.references else made.studies
    return replace(made, studies=tuple(dict.fromkeys(named))), answer


def similar_report(
    library: Library,
    request: SimilarReportRequest,
    settings: Settings,
    searcher: Searcher | None = None,
) -> Document:
    """Search with a study of the library and report the neighbours.

    Args:
        library: whose.
        request: what to report.
        settings: how files are read.
        searcher: with its indexes open, if there is one.

    Raises:
        MissingExtraError: the extra ``sr`` is not installed.
        ItemNotFoundError: there is no such study.
        QueryError: k is out of range; the search cannot be made; it is not of DICOM files.
        OriginalGoneError: the files of the study are gone.
        StorageFullError: the library's folder cannot be written.
    """
    extra("highdicom")
    if not 1 <= request.k <= MOST:
        raise QueryError(f"a report lists 1 to {MOST} neighbours, not {request.k}")
    with reading(library.engine) as db:
        study = study_under(db, request.uid)
    asked = SearchRequest(
        like(uid=request.uid),
        k=request.k,
        filter=request.filter,
        encoders=request.encoders,
        evidence=True,
    )
    answer = searcher.search(asked) if searcher else search(library, asked, settings)
    subject = read_subject(library, study, read_options(library, settings))
    with reading(library.engine) as db:
        images = images_of(db, [*(q.item for q in answer.queries), *(h.id for h in answer.hits)])
    tree = similar_tree(library, answer, images, references=request.references)
    hits = answer.hits if request.references else []
    made = document(
        library, SIMILAR, subject, tree, [images[hit.id] for hit in hits if hit.id in images]
    )
    named = dict.fromkeys((*made.studies, *(hit.study_instance_uid for hit in hits)))
    return replace(made, studies=tuple(named))


def reporting(library: Library, settings: Settings, *, actor: str) -> Callable[..., str]:
    """What sends a report of a study that a watch has flagged.

    It is one of the ways of `api.service.outgoing.webhooks.Posting`.

    The report is made when it is sent: nothing of the patient waits in the outbox. It is the same
    object whenever that is, so that one that is sent twice is stored once.
    """
    judges: dict[tuple[str, float], Judge] = {}

    def send_report(destination: str, told: Mapping[str, Any]) -> str:
        by = told["reference"], told["alarm"]
        try:
            to = find_destination(library, destination)
            if by not in judges:
                judges.clear()
                judges[by] = Judge(library, *by, settings=settings)
            request = OodReportRequest(told["study_instance_uid"], *by)
            made, _ = ood_report(library, request, settings, judges[by])
            hand_over(library, made, actor=actor, to=[to])
        except SyntopyError as error:
            return str(error)
        return ""

    return send_report


def hand_over(
    library: Library,
    made: Document,
    *,
    actor: str,
    output: Path | None = None,
    to: Sequence[Destination] = (),
) -> None:
    """Write a report to a file, and send it; what leaves the library stands in the audit.

    Args:
        library: whose report it is.
        made: the report.
        actor: who asks for it.
        output: the file, None for none; one that is there is replaced.
        to: destinations.

    Raises:
        ConfigError: neither a file nor a destination is named.
        StorageFullError: the file cannot be written.
        NotSentError: a destination cannot be reached, or did not take it.
    """
    if output is None and not to:
        raise ConfigError("say where the report goes: --output FILE, or --send DESTINATION")
    if output is not None:
        with recorded(library, _event(library, made, actor, "file")):
            _write(output, made.content)
    for each in to:
        with recorded(library, _event(library, made, actor, each.name)):
            send(each, made.content)


def patients_of(library: Library, made: Document) -> tuple[str, ...]:
    """Pseudonyms of all whose data a report holds, sorted."""
    with reading(library.engine) as db:
        return pseudonyms_of(db, made.studies)


def _event(library: Library, made: Document, actor: str, where: str) -> AuditEvent:
    said = {"what": "structured report", "uid": made.study_instance_uid, "to": where}
    said["sop_instance_uid"] = made.sop_instance_uid
    patients = patients_of(library, made)
    return AuditEvent(actor=actor, action=Action.EXPORT, subject=said, patients=patients)


def _write(output: Path, content: bytes) -> None:
    """Write a file that names a patient: nobody else may read it, from its first byte on."""
    try:
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "wb") as handle:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):  # not a device or a pipe
                os.fchmod(descriptor, 0o600)
                handle.truncate(0)
            handle.write(content)
    except OSError as error:
        raise StorageFullError(f"{output} cannot be written: {error.strerror}") from error
