"""The tables of a catalog (SQLite embedded, PostgreSQL scaled out), through SQLAlchemy.

Row numbers (``id``) are private to one catalog; what leaves it are DICOM UIDs and ``item.uid``,
which depend on content alone, so that two libraries of the same files name everything alike.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    DateTime,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


def now() -> datetime:
    """The current time in UTC."""
    return datetime.now(UTC)


class Base(DeclarativeBase):
    """Declarative base; constraint names are fixed so that migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - (SQLAlchemy's own name)
        dict[str, Any]: JSON,
        list[str]: JSON,
        list[dict[str, Any]]: JSON,
        datetime: DateTime,
    }


def _cascade(target: str) -> ForeignKey:
    return ForeignKey(target, ondelete="CASCADE")


class Patient(Base):
    """A person by pseudonym. ``shared``: the id is used by strangers, so it groups nothing."""

    __tablename__ = "patient"
    id: Mapped[int] = mapped_column(primary_key=True)
    pseudonym: Mapped[str] = mapped_column(String(32), unique=True)
    real_id: Mapped[str | None] = mapped_column(Text)
    shared: Mapped[bool] = mapped_column(default=False)
    fingerprint: Mapped[dict[str, Any]] = mapped_column(default=dict)


class Study(Base):
    """A DICOM study."""

    __tablename__ = "study"
    id: Mapped[int] = mapped_column(primary_key=True)
    study_instance_uid: Mapped[str] = mapped_column(String(64), unique=True)
    patient_id: Mapped[int] = mapped_column(_cascade("patient.id"), index=True)
    study_date: Mapped[str] = mapped_column(String(10), default="", index=True)
    age_years: Mapped[float | None] = mapped_column(index=True)
    sex: Mapped[str] = mapped_column(String(1), default="")
    description: Mapped[str] = mapped_column(Text, default="")
    split: Mapped[str] = mapped_column(String(32), default="", index=True)


class Series(Base):
    """A DICOM series."""

    __tablename__ = "series"
    id: Mapped[int] = mapped_column(primary_key=True)
    series_instance_uid: Mapped[str] = mapped_column(String(64), unique=True)
    study_id: Mapped[int] = mapped_column(_cascade("study.id"), index=True)
    modality: Mapped[str] = mapped_column(String(16), default="", index=True)
    body_part: Mapped[str] = mapped_column(String(64), default="", index=True)
    view: Mapped[str] = mapped_column(String(32), default="")
    laterality: Mapped[str] = mapped_column(String(16), default="")
    description: Mapped[str] = mapped_column(Text, default="")
    manufacturer: Mapped[str] = mapped_column(Text, default="")
    model: Mapped[str] = mapped_column(Text, default="")


class Instance(Base):
    """A DICOM instance, or a file that stands for one, and where it was read from."""

    __tablename__ = "instance"
    id: Mapped[int] = mapped_column(primary_key=True)
    sop_instance_uid: Mapped[str] = mapped_column(String(64), unique=True)
    series_id: Mapped[int] = mapped_column(_cascade("series.id"), index=True)
    sop_class_uid: Mapped[str] = mapped_column(String(64), default="")
    kind: Mapped[str] = mapped_column(String(20))
    transfer_syntax_uid: Mapped[str] = mapped_column(String(64), default="")
    decoder: Mapped[str] = mapped_column(String(32), default="")
    rows: Mapped[int | None]
    columns: Mapped[int | None]
    frames: Mapped[int] = mapped_column(default=1)
    content_hash: Mapped[str] = mapped_column(String(64), default="")
    """SHA-256 of all that decides its vector: pixels, rescale, window, geometry."""
    pixel_hash: Mapped[str] = mapped_column(String(64), default="", index=True)
    source: Mapped[str] = mapped_column(Text)
    """Ledger key of the file it came from."""
    file_sha256: Mapped[str] = mapped_column(String(64))
    flags: Mapped[list[str]] = mapped_column(default=list)


class Item(Base):
    """What gets one vector a space: a frame, or a volume."""

    __tablename__ = "item"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012 - vector ids are never reused
    id: Mapped[int] = mapped_column(primary_key=True)
    uid: Mapped[str] = mapped_column(String(32), unique=True)
    series_id: Mapped[int] = mapped_column(_cascade("series.id"), index=True)
    kind: Mapped[str] = mapped_column(String(8))
    role: Mapped[str] = mapped_column(String(16), index=True)
    frame_index: Mapped[int | None]
    stack: Mapped[str] = mapped_column(Text, default="")
    slices: Mapped[int] = mapped_column(default=1)
    pixel_hash: Mapped[str] = mapped_column(String(64), index=True)
    flags: Mapped[list[str]] = mapped_column(default=list)
    details: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """Geometry and sampling, as read."""


class ItemInstance(Base):
    """Which instances an item was made from, in slice order."""

    __tablename__ = "item_instance"
    item_id: Mapped[int] = mapped_column(_cascade("item.id"), primary_key=True)
    instance_id: Mapped[int] = mapped_column(_cascade("instance.id"), primary_key=True, index=True)
    position: Mapped[int] = mapped_column(default=0)


class Thumbnail(Base):
    """A small WebP picture of an item; both commit together, so neither is without the other."""

    __tablename__ = "thumbnail"
    item_id: Mapped[int] = mapped_column(_cascade("item.id"), primary_key=True)
    webp: Mapped[bytes] = mapped_column(LargeBinary)


class Space(Base):
    """One encoder with its weights and preprocessing. Vectors of two spaces are never compared."""

    __tablename__ = "space"
    __table_args__ = (UniqueConstraint("encoder", "weights", "preprocessing"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    encoder: Mapped[str] = mapped_column(String(64))
    weights: Mapped[str] = mapped_column(String(80))
    preprocessing: Mapped[str] = mapped_column(String(80))
    dim: Mapped[int]
    metric: Mapped[str] = mapped_column(String(16), default="cosine")
    notice: Mapped[str] = mapped_column(Text, default="")
    generation: Mapped[int] = mapped_column(default=0)
    """Grows with every deletion; an index of another generation looks for what is gone."""


class EmbeddingRow(Base):
    """One L2-normalised vector as little-endian float16, and its norm before normalising.

    ``seq`` only grows; an index that knows the highest ``seq`` it holds can be topped up.
    """

    __tablename__ = "embedding"
    __table_args__ = (
        UniqueConstraint("space_id", "item_id"),
        Index("ix_embedding_space_seq", "space_id", "seq"),
        {"sqlite_autoincrement": True},
    )
    seq: Mapped[int] = mapped_column(primary_key=True)
    space_id: Mapped[int] = mapped_column(_cascade("space.id"))
    item_id: Mapped[int] = mapped_column(_cascade("item.id"), index=True)
    vector: Mapped[bytes] = mapped_column(LargeBinary)
    norm: Mapped[float]


class SliceRow(Base):
    """The vector of one slice of a volume, as `EmbeddingRow` has it; of images there is none.

    All slices of an item come in one transaction, so their ``seq`` follow each other.
    """

    __tablename__ = "slice_embedding"
    __table_args__ = (
        UniqueConstraint("space_id", "item_id", "slice_index"),
        Index("ix_slice_embedding_space_seq", "space_id", "seq"),
        {"sqlite_autoincrement": True},
    )
    seq: Mapped[int] = mapped_column(primary_key=True)
    space_id: Mapped[int] = mapped_column(_cascade("space.id"))
    item_id: Mapped[int] = mapped_column(_cascade("item.id"), index=True)
    slice_index: Mapped[int]
    """Zero-based place among the ``slices`` of the item."""
    vector: Mapped[bytes] = mapped_column(LargeBinary)


class Report(Base):
    """The words about a study: from a structured report or a table."""

    __tablename__ = "report"
    __table_args__ = (UniqueConstraint("study_id", "source"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(_cascade("study.id"), index=True)
    source: Mapped[str] = mapped_column(String(128))
    """SOP Instance UID of the report, or ``table``."""
    text: Mapped[str] = mapped_column(Text)


class Label(Base):
    """A named value of a study, or of one item of it."""

    __tablename__ = "label"
    __table_args__ = (
        UniqueConstraint("study_id", "item_id", "name", "value"),
        Index("ix_label_name_value", "name", "value"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(_cascade("study.id"), index=True)
    item_id: Mapped[int | None] = mapped_column(_cascade("item.id"), index=True)
    name: Mapped[str] = mapped_column(String(64))
    value: Mapped[str] = mapped_column(Text)


class StudyChange(Base):
    """When a study last changed in anything that a filter or a word can see; kept by triggers.

    ``revision`` only grows, so whoever knows the highest one it has seen can ask what came after.
    A removed study has no row.
    """

    __tablename__ = "study_change"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012 - revisions are never reused
    revision: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(unique=True)


class WordsState(Base):
    """How far the full-text table ``words`` follows ``study_change``; one row.

    ``purge``: words that were taken out can still be read in the index.
    """

    __tablename__ = "words_state"
    id: Mapped[int] = mapped_column(primary_key=True)
    revision: Mapped[int]
    purge: Mapped[bool]


class LedgerRow(Base):
    """What became of each file handed in; `rejected` ones are the rows with that outcome."""

    __tablename__ = "ledger"
    __table_args__ = (Index("ix_ledger_outcome", "outcome", "reason"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    source: Mapped[str] = mapped_column(Text, unique=True)
    size: Mapped[int]
    mtime_ns: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64), default="")
    outcome: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(String(40), default="")
    detail: Mapped[str] = mapped_column(Text, default="")
    sop_instance_uid: Mapped[str] = mapped_column(String(64), default="", index=True)
    seen_at: Mapped[datetime] = mapped_column(default=now)


class ClusterRun(Base):
    """One clustering, stored whole; but for names that people give it is never changed."""

    __tablename__ = "cluster_run"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(128), unique=True)
    space_id: Mapped[int] = mapped_column(_cascade("space.id"))
    method: Mapped[str] = mapped_column(String(64))
    parameters: Mapped[dict[str, Any]] = mapped_column(default=dict)
    seed: Mapped[int] = mapped_column(default=0)
    filter: Mapped[str] = mapped_column(Text, default="")
    items: Mapped[int] = mapped_column(default=0)
    """How many there were; items that were removed since have no assignment any more."""
    items_sha256: Mapped[str] = mapped_column(String(64), default="")
    """Of the items' public ids, sorted, each ended by a newline."""
    notes: Mapped[list[str]] = mapped_column(default=list)
    curves: Mapped[dict[str, Any]] = mapped_column(default=dict)
    version: Mapped[str] = mapped_column(String(32), default="")
    """Of Syntopy."""
    seconds: Mapped[float] = mapped_column(default=0.0)
    created_at: Mapped[datetime] = mapped_column(default=now)


class ClusterRow(Base):
    """What is told of a cluster of a run; -1 is noise."""

    __tablename__ = "cluster"
    run_id: Mapped[int] = mapped_column(_cascade("cluster_run.id"), primary_key=True)
    cluster: Mapped[int] = mapped_column(primary_key=True)
    size: Mapped[int]
    name: Mapped[str] = mapped_column(Text, default="")
    given_name: Mapped[str] = mapped_column(Text, default="")
    """By a person; empty where nobody gave one."""
    about: Mapped[dict[str, Any]] = mapped_column(default=dict)


class ClusterAssignment(Base):
    """The cluster of an item in a run; -1 is noise."""

    __tablename__ = "cluster_assignment"
    run_id: Mapped[int] = mapped_column(_cascade("cluster_run.id"), primary_key=True)
    item_id: Mapped[int] = mapped_column(_cascade("item.id"), primary_key=True, index=True)
    cluster: Mapped[int]
    confidence: Mapped[float | None]


class MapRow(Base):
    """A map of a space in two dimensions; a refit is a new version beside the old ones."""

    __tablename__ = "map"
    __table_args__ = (UniqueConstraint("space_id", "version"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    space_id: Mapped[int] = mapped_column(_cascade("space.id"))
    version: Mapped[int]
    filter: Mapped[str] = mapped_column(Text, default="")
    parameters: Mapped[dict[str, Any]] = mapped_column(default=dict)
    report: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """How far items moved since the version before."""
    created_at: Mapped[datetime] = mapped_column(default=now)


class MapPoint(Base):
    """Where an item lies on a map; it never moves."""

    __tablename__ = "map_point"
    map_id: Mapped[int] = mapped_column(_cascade("map.id"), primary_key=True)
    item_id: Mapped[int] = mapped_column(_cascade("item.id"), primary_key=True, index=True)
    x: Mapped[float]
    y: Mapped[float]
    fitted: Mapped[bool] = mapped_column(default=False)
    """Whether the map was fitted on it; others were placed among those."""


class Reference(Base):
    """A named reference set for out-of-distribution scores."""

    __tablename__ = "reference"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(128), unique=True)
    space_id: Mapped[int] = mapped_column(_cascade("space.id"))
    definition: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(default=now)


class OodScore(Base):
    """What a reference last said of an item."""

    __tablename__ = "ood_score"
    reference_id: Mapped[int] = mapped_column(_cascade("reference.id"), primary_key=True)
    item_id: Mapped[int] = mapped_column(_cascade("item.id"), primary_key=True, index=True)
    score: Mapped[float]
    """Of the detector that finds it oddest; higher is more unlike."""
    p_value: Mapped[float | None]
    """Of all detectors together; None where it cannot be judged."""
    verdicts: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """Of each detector its score and p-value."""
    stratum: Mapped[str] = mapped_column(Text, default="")
    flagged: Mapped[bool | None]
    findings: Mapped[list[dict[str, Any]]] = mapped_column(default=list)
    """What checks found: ``code``, ``sentence``, ``value``."""
    judged_at: Mapped[datetime] = mapped_column(default=now)


class Monitor(Base):
    """Where the watch over one group of what arrives stands; see `ood.alarms`."""

    __tablename__ = "monitor"
    reference_id: Mapped[int] = mapped_column(_cascade("reference.id"), primary_key=True)
    watched: Mapped[str] = mapped_column(String(200), primary_key=True)
    """Which detector, and of which site, scanner or protocol."""
    state: Mapped[dict[str, Any]] = mapped_column(default=dict)
    updated_at: Mapped[datetime] = mapped_column(default=now)


class Delivery(Base):
    """A message for a webhook: written before it is sent, kept until it is taken or given up."""

    __tablename__ = "delivery"
    id: Mapped[int] = mapped_column(primary_key=True)
    url: Mapped[str] = mapped_column(Text)
    body: Mapped[str] = mapped_column(Text)
    """JSON, byte for byte as it is signed and sent."""
    state: Mapped[str] = mapped_column(String(16), default="waiting", index=True)
    """waiting, delivered or dead: a dead letter is kept until someone sends it again."""
    attempts: Mapped[int] = mapped_column(default=0)
    next_at: Mapped[datetime] = mapped_column(default=now)
    error: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[datetime] = mapped_column(default=now)


class Job(Base):
    """One run of something long: what, when, how far, how it ended."""

    __tablename__ = "job"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(32))
    state: Mapped[str] = mapped_column(String(16))
    """running, done, stopped or failed; a run that was killed stays ``running``."""
    summary: Mapped[dict[str, Any]] = mapped_column(default=dict)
    started_at: Mapped[datetime] = mapped_column(default=now)
    ended_at: Mapped[datetime | None]


class SavedSet(Base):
    """A set of items under a name: fixed ones, or a question that is kept."""

    __tablename__ = "saved_set"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(128), unique=True)
    note: Mapped[str] = mapped_column(Text, default="")
    kind: Mapped[str] = mapped_column(String(8))
    """items, filter or search."""
    query: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """``filter``, or the JSON of a search; empty for fixed items."""
    made_by: Mapped[str] = mapped_column(String(128))
    made_at: Mapped[datetime] = mapped_column(default=now)
    changed_by: Mapped[str] = mapped_column(String(128))
    changed_at: Mapped[datetime] = mapped_column(default=now)
    version: Mapped[str] = mapped_column(String(32))
    """Another one after each change, and never one that a set of this name had before."""


class SavedSetItem(Base):
    """An item of a set of fixed ones."""

    __tablename__ = "saved_set_item"
    set_id: Mapped[int] = mapped_column(_cascade("saved_set.id"), primary_key=True)
    item_id: Mapped[int] = mapped_column(_cascade("item.id"), primary_key=True, index=True)


class Review(Base):
    """What people said of a subject in a queue of work; goes with its studies."""

    __tablename__ = "review"
    __table_args__ = (
        UniqueConstraint("queue", "subject"),
        Index("ix_review_queue_verdict", "queue", "verdict"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    queue: Mapped[str] = mapped_column(String(160))
    subject: Mapped[str] = mapped_column(String(140))
    """A UID or the id of an item, or two of them, sorted, with a comma between."""
    study_id: Mapped[int] = mapped_column(_cascade("study.id"), index=True)
    other_study_id: Mapped[int | None] = mapped_column(_cascade("study.id"), index=True)
    verdict: Mapped[str] = mapped_column(String(8), default="")
    """accept, reject or skip; empty while it is open."""
    comment: Mapped[str] = mapped_column(Text, default="")
    by: Mapped[str] = mapped_column(String(128), default="")
    at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(default=0)
    """The number of its last event."""
    stands: Mapped[int] = mapped_column(default=0)
    """The number of the event whose verdict holds; 0 before the first one."""
    claimed_by: Mapped[str] = mapped_column(String(128), default="")
    claimed_until: Mapped[datetime | None]
    finding: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    """What was said of it when it was put into the queue: scores, reasons, what is suggested."""
    labels: Mapped[list[str] | None] = mapped_column(JSON)
    """The values that the verdict gave to the label that the finding is about."""


class ReviewEvent(Base):
    """A verdict, or that one was taken back; triggers refuse to change or delete one alone."""

    __tablename__ = "review_event"
    review_id: Mapped[int] = mapped_column(_cascade("review.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    """From 1 without gaps."""
    undo: Mapped[bool] = mapped_column(default=False)
    verdict: Mapped[str] = mapped_column(String(8))
    comment: Mapped[str] = mapped_column(Text, default="")
    """Both as they are after it."""
    by: Mapped[str] = mapped_column(String(128))
    at: Mapped[datetime] = mapped_column(default=now)
    beneath: Mapped[int] = mapped_column(default=0)
    """The number of the event whose verdict held before; what an undo goes back to."""
    labels: Mapped[list[str] | None] = mapped_column(JSON)
    """The values that it gave to the label that the finding is about."""
    replaced: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    """Whose label that was (``uid``), and which ``values`` were there before."""


class AskedJob(Base):
    """Something long that somebody asked for; one worker at a time does it.

    Runs of ``syntopy index`` on the command line are rows of ``job``, and none of these.
    """

    __tablename__ = "asked_job"
    __table_args__ = (
        UniqueConstraint("asked_how", "asked_by", "idempotency_key"),
        Index("ix_asked_job_state", "state", "id"),
        {"sqlite_autoincrement": True},
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    uid: Mapped[str] = mapped_column(String(32), unique=True)
    kind: Mapped[str] = mapped_column(String(32))
    parameters: Mapped[dict[str, Any]] = mapped_column(default=dict)
    state: Mapped[str] = mapped_column(String(16))
    """queued, running, done, failed or stopped."""
    revision: Mapped[int] = mapped_column(default=1)
    """Grows with every change that can be seen."""
    what: Mapped[str] = mapped_column(Text, default="")
    done: Mapped[int] = mapped_column(default=0)
    total: Mapped[int] = mapped_column(default=0)
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    error_code: Mapped[str] = mapped_column(String(64), default="")
    error: Mapped[str] = mapped_column(Text, default="")
    asked_by: Mapped[str] = mapped_column(String(128))
    asked_how: Mapped[str] = mapped_column(String(200))
    """With the name it tells apart all who ask."""
    idempotency_key: Mapped[str | None] = mapped_column(String(200))
    attempts: Mapped[int] = mapped_column(default=0)
    cancelled: Mapped[bool] = mapped_column(default=False)
    """Somebody wants it to stop."""
    worker: Mapped[int | None]
    """The place of the worker that does it; who is alive holds a lock of that place."""
    created_at: Mapped[datetime] = mapped_column(default=now)
    started_at: Mapped[datetime | None]
    """Of the first attempt."""
    updated_at: Mapped[datetime] = mapped_column(default=now)
    ended_at: Mapped[datetime | None]


class Audit(Base):
    """Who did what to which patients' data; append-only, written by `indexer.catalog.audit`.

    Triggers refuse to change or delete a row, and to insert one that does not follow the last.
    """

    __tablename__ = "audit"
    id: Mapped[int] = mapped_column(primary_key=True)
    """Its place in the chain, from 1 without gaps."""
    at: Mapped[datetime] = mapped_column(default=now)
    actor: Mapped[str] = mapped_column(String(128))
    action: Mapped[str] = mapped_column(String(64))
    subject: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """Pseudonyms and UIDs, never more."""
    patients: Mapped[list[str]] = mapped_column(default=list)
    """Pseudonyms."""
    outcome: Mapped[str] = mapped_column(String(16))
    origin: Mapped[str] = mapped_column(String(128))
    """Address that was asked from; empty for a command on this machine."""
    request_id: Mapped[str] = mapped_column(String(64))
    previous_hash: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))
    """SHA-256 of all the other columns; see `indexer.catalog.audit.row_hash`."""


class ApiKey(Base):
    """A key that a program asks with; of its secret only a keyed hash is kept."""

    __tablename__ = "api_key"
    id: Mapped[int] = mapped_column(primary_key=True)
    prefix: Mapped[str] = mapped_column(String(12), unique=True)
    """The public part, by which it is named."""
    name: Mapped[str] = mapped_column(String(128))
    role: Mapped[str] = mapped_column(String(16))
    libraries: Mapped[list[str]] = mapped_column(default=list)
    digest: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime]
    last_used_on: Mapped[str] = mapped_column(String(10), default="")
    """ISO date, UTC; empty until it is used."""
    revoked_at: Mapped[datetime | None]


class Session(Base):
    """Somebody who signed in with a browser; of the cookie only a keyed hash is kept."""

    __tablename__ = "session"
    id: Mapped[int] = mapped_column(primary_key=True)
    prefix: Mapped[str] = mapped_column(String(12), unique=True)
    """The part of the cookie by which it is named."""
    name: Mapped[str] = mapped_column(String(255))
    role: Mapped[str] = mapped_column(String(16))
    libraries: Mapped[list[str]] = mapped_column(default=list)
    via: Mapped[str] = mapped_column(Text)
    """What was signed in with: ``key:PREFIX`` or ``token:ISSUER``."""
    digest: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime]
    """To the minute."""
