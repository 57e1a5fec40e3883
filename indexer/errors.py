"""The errors a caller can meet.

SyntopyError
├── ConfigError             a setting or option is wrong
│   └── MissingExtraError   an optional part is not installed
├── SourceError             something handed in cannot be used
│   ├── FileRejectedError   one file, with its machine-readable reason
│   └── OriginalGoneError   a file that was indexed is gone, or is not what it was
├── LibraryError
│   ├── LibraryNotFoundError
│   ├── LibraryVersionError
│   ├── LibraryLockedError
│   └── LibraryCorruptError
├── StorageFullError        disk full or not writable
│   └── InboxFullError      nothing is received for now: send again later
├── EncoderError
│   ├── UnknownEncoderError
│   ├── UnsupportedInputError
│   └── WeightsError         weights are absent, damaged or of another network
│       └── LicenceError     a licence needs a consent that was not given
├── StoreError
│   ├── IndexCorruptError
│   ├── IndexMemoryError     too little memory to build an index
│   ├── StoreUnavailableError  a server of vectors does not answer
│   └── VectorError         NaN, zero or wrong dimension
├── ClusteringError         these vectors cannot be grouped so
├── ReferenceSetError       nothing can be judged by these vectors
├── QueryError
│   ├── FilterError         with the place in the expression
│   ├── ItemNotFoundError
│   └── UnknownNameError    no clustering, reference or map of this name
├── EditError               something cannot be changed as asked
│   ├── ChangedMeanwhileError  it is not any more what the change was made from
│   └── UnknownLinesError   some of many lines name nothing in the library
├── NotSentError            a destination cannot be reached, or refuses
└── AccessError
    ├── NotAuthenticatedError   nobody knows who asks
    ├── AccessDeniedError       who asks may not do this
    └── IssuerUnavailableError  tokens cannot be checked now

Each has a stable ``code`` that the command line and HTTP share. Messages name the file or field
and say what to do; never a patient's name, id or dates.
"""

from __future__ import annotations

from typing import ClassVar

from indexer.types import Reason


class SyntopyError(Exception):
    """Base of all errors raised on purpose."""

    code: ClassVar[str] = "error"


class ConfigError(SyntopyError):
    """A setting or an option is wrong."""

    code = "config"


class MissingExtraError(ConfigError):
    """An optional part is not installed; the message names the extra."""

    code = "missing_extra"


class SourceError(SyntopyError):
    """Something handed in cannot be read at all: a path, a folder, a table."""

    code = "source"


class FileRejectedError(SourceError):
    """One file cannot become an item; ``reason`` is its code, ``detail`` one sentence."""

    code = "file_rejected"

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason.value}: {detail}")
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[type[FileRejectedError], tuple[Reason, str]]:
        """Keep both arguments when crossing a process border."""
        return (FileRejectedError, (self.reason, self.detail))


class OriginalGoneError(SourceError):
    """A file that was indexed is gone, or is not what it was, so its pixels cannot be read."""

    code = "original_gone"


class LibraryError(SyntopyError):
    """The library folder is not in order."""

    code = "library"


class LibraryNotFoundError(LibraryError):
    """There is no library at this path."""

    code = "library_not_found"


class LibraryVersionError(LibraryError):
    """The library was made by another version that this one cannot read."""

    code = "library_version"


class LibraryLockedError(LibraryError):
    """Another process is writing to the library."""

    code = "library_locked"


class LibraryCorruptError(LibraryError):
    """The catalog or its key cannot be read."""

    code = "library_corrupt"


class StorageFullError(SyntopyError):
    """The disk is full or not writable."""

    code = "storage_full"


class InboxFullError(StorageFullError):
    """Nothing is received for now, before the disk is full: senders have to wait."""

    code = "inbox_full"


class EncoderError(SyntopyError):
    """An encoder is unknown or cannot take this input."""

    code = "encoder"


class UnknownEncoderError(EncoderError):
    """No encoder of this name is registered."""

    code = "unknown_encoder"


class UnsupportedInputError(EncoderError):
    """The encoder was not made for this kind of input."""

    code = "unsupported_input"


class WeightsError(EncoderError):
    """Weights are not there, damaged, or not those of the network."""

    code = "weights"


class LicenceError(WeightsError):
    """The licence of the weights does not allow every use, and nobody has consented to it yet."""

    code = "licence"


class StoreError(SyntopyError):
    """A vector store refused."""

    code = "store"


class IndexCorruptError(StoreError):
    """An index file is damaged or belongs to another space."""

    code = "index_corrupt"


class IndexMemoryError(StoreError):
    """There is too little memory to build an index; the message says how much is needed."""

    code = "index_memory"


class StoreUnavailableError(StoreError):
    """A server of vectors does not answer; what it has confirmed is kept."""

    code = "store_unavailable"


class VectorError(StoreError):
    """A vector is NaN, zero or of the wrong dimension."""

    code = "vector"


class ClusteringError(SyntopyError):
    """Vectors cannot be grouped in the way that was asked for."""

    code = "clustering"


class ReferenceSetError(SyntopyError):
    """A reference set cannot be made of these vectors, or not be used for those."""

    code = "reference_set"


class QueryError(SyntopyError):
    """A search cannot be answered as asked."""

    code = "query"


class FilterError(QueryError):
    """A filter expression is wrong; ``position`` is the zero-based offset of the trouble."""

    code = "filter"

    def __init__(self, message: str, expression: str, position: int) -> None:
        super().__init__(f"{message}\n  {expression}\n  {' ' * position}^")
        self.position = position


class ItemNotFoundError(QueryError):
    """No such study, series, instance or item in the library."""

    code = "not_found"


class UnknownNameError(QueryError):
    """No clustering, reference or map of this name; the message lists those there are."""

    code = "unknown_name"


class EditError(SyntopyError):
    """Something cannot be changed as asked."""

    code = "edit"


class ChangedMeanwhileError(EditError):
    """Somebody else was quicker; ``current`` is what there is now, ``tag`` its version.

    Both are None and "" where there is nothing any more.
    """

    code = "changed_meanwhile"

    def __init__(self, message: str, current: object = None, tag: str = "") -> None:
        super().__init__(message)
        self.current, self.tag = current, tag


class UnknownLinesError(EditError):
    """Some of many lines name nothing in the library; ``lines`` are their zero-based places."""

    code = "unknown_lines"

    def __init__(self, message: str, lines: tuple[int, ...]) -> None:
        super().__init__(message)
        self.lines = lines


class NotSentError(SyntopyError):
    """A destination cannot be reached, or did not take what was sent to it."""

    code = "not_sent"


class AccessError(SyntopyError):
    """Who asks is not known, or may not do this."""

    code = "access"


class NotAuthenticatedError(AccessError):
    """A key or token is absent or not accepted; the message never quotes it."""

    code = "not_authenticated"


class AccessDeniedError(AccessError):
    """Who asks is known, and has no right to this."""

    code = "access_denied"


class IssuerUnavailableError(AccessError):
    """The issuer of tokens does not tell its keys, so no token can be checked."""

    code = "issuer_unavailable"
