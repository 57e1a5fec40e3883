"""Queues of work: read by readers, decided by curators."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Path, Query, Response

from api.rights import Role
from api.routing import router
from api.schemas.common import CursorParam, LimitParam, PageOf
from api.schemas.edited import Changed, Claimed, QueueCounts, Review, Reviewed
from api.schemas.edits import DecisionAsked, NextAsked, ReleaseAsked, SubjectsAsked
from api.served import Service
from api.service.curating import reviews as service
from api.service.paging import Paging
from api.writing import TAGGED, MadeFrom, MadeFromOrNew, Writer, give_tag

reading = router("reviews", Role.READER)
writing = router("reviews", Role.CURATOR)
Queue = Annotated[
    str,
    Path(
        min_length=1,
        max_length=service.LONGEST_QUEUE,
        description="Name of the queue.",
        examples=["duplicates"],
    ),
]
Subject = Annotated[
    str,
    Path(
        min_length=1,
        max_length=140,
        description="A UID or the id of an item; two with a comma between, in any order.",
        examples=["1.2.3"],
    ),
]
StateParam = Annotated[
    Literal["", "open", "claimed", "decided", "accept", "reject", "skip"],
    Query(description="Only those that stand so; claimed: open, and somebody is at it."),
]


@reading.get("/reviews")
def list_reviews(
    served: Service,
    queue: Annotated[
        str,
        Query(max_length=service.LONGEST_QUEUE, description="Of one queue; empty for all."),
    ] = "",
    state: StateParam = "",
    cursor: CursorParam = "",
    limit: LimitParam = 50,
) -> PageOf[Review]:
    """Subjects of queues and how they stand, in the order in which they were put there."""
    paging = Paging(cursor=cursor, limit=limit)
    found = service.reviews(served.library, queue, state, paging)
    return PageOf[Review].model_validate(found)


@reading.get("/reviews/queues")
def list_queues(served: Service) -> list[QueueCounts]:
    """All queues, with how many of their subjects are in each state."""
    return [QueueCounts.model_validate(each) for each in service.queues(served.library)]


@writing.post("/reviews/{queue:path}/next")
def take_next(served: Service, author: Writer, queue: Queue, asked: NextAsked) -> Claimed:
    """Take the next open subjects that nobody is at; for some minutes nobody else gets them."""
    taken = service.next_reviews(
        served.library, queue, author, count=asked.count, minutes=asked.minutes
    )
    return Claimed.model_validate(taken)


@writing.post("/reviews/{queue:path}/release")
def release(served: Service, author: Writer, queue: Queue, asked: ReleaseAsked) -> Changed:
    """Let others have subjects that were taken and not decided."""
    done = service.release_reviews(served.library, queue, asked.subjects, author)
    return Changed.model_validate(done)


@writing.post("/reviews/{queue:path}/subjects")
def add_subjects(served: Service, author: Writer, queue: Queue, asked: SubjectsAsked) -> Changed:
    """Put subjects at the end of a queue, all or none; those that it has stay as they are."""
    done = service.fill_queue(served.library, queue, asked.subjects, author)
    return Changed.model_validate(done)


@reading.get("/reviews/{queue:path}/subjects/{subject}", responses=TAGGED)
def get_review(served: Service, response: Response, queue: Queue, subject: Subject) -> Reviewed:
    """How a subject stands, and all that happened to it."""
    return _told(service.review(served.library, queue, subject), response)


@writing.put("/reviews/{queue:path}/subjects/{subject}", responses=TAGGED)
def put_review(
    served: Service,
    author: Writer,
    expected: MadeFromOrNew,
    response: Response,
    queue: Queue,
    subject: Subject,
    asked: DecisionAsked,
) -> Reviewed:
    """Decide about a subject; with If-None-Match: * about one that the queue has not yet."""
    done = service.put_review(
        served.library, queue, subject, asked.as_decision(), expected=expected, author=author
    )
    return _told(done, response)


@writing.post("/reviews/{queue:path}/subjects/{subject}/undo", responses=TAGGED)
def undo_review(
    served: Service,
    author: Writer,
    expected: MadeFrom,
    response: Response,
    queue: Queue,
    subject: Subject,
) -> Reviewed:
    """Take the last verdict back: the one before it holds again."""
    done = service.undo_review(served.library, queue, subject, expected, author)
    return _told(done, response)


def _told(found: service.Reviewed, response: Response) -> Reviewed:
    give_tag(response, found.tag)
    return Reviewed.model_validate(found)
