"""What can be wrong with asking for a job."""

from __future__ import annotations

from typing import ClassVar

from indexer.errors import SyntopyError


class JobError(SyntopyError):
    """A job cannot be asked for, or not be told of, as asked."""

    code: ClassVar[str] = "job"


class TooManyJobsError(JobError):
    """So many of somebody's jobs wait or run already."""

    code: ClassVar[str] = "too_many_jobs"


class JobNotDoneError(JobError):
    """A job has no result: it has not ended yet, or not well."""

    code: ClassVar[str] = "job_not_done"
