"""Where files come from, and reading everything that is not DICOM."""

from indexer.sources.archives import ArchiveLimits, close_archives
from indexer.sources.discover import Problem, SourceFile, discover
from indexer.sources.formats import Format, claims_to_be_image, may_be_bare_dicom, sniff
from indexer.sources.tables import MetadataTable, find_table

__all__ = [
    "ArchiveLimits",
    "Format",
    "MetadataTable",
    "Problem",
    "SourceFile",
    "claims_to_be_image",
    "close_archives",
    "discover",
    "find_table",
    "may_be_bare_dicom",
    "sniff",
]
