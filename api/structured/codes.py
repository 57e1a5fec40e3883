"""What structured reports speak of: standard codes where there are some, else our own.

Own codes are of the private coding scheme 99SYNTOPY (PS3.16 section 8); docs/reports-back.md lists
them.
"""

from __future__ import annotations

from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from indexer.dicom.report import OWN_SCHEME

SCHEME_UID = "2.25.324790257603931010870630561621375325314"
"""Names the scheme in CodingSchemeIdentificationSequence; a UID of its own, for good."""


def _own(value: str, meaning: str) -> Code:
    return Code(value, OWN_SCHEME, meaning)


FLAGGED = _own("FLAGGED", "Unlike the reference")
P_VALUE = _own("P_VALUE", "p-value")
ALARM = _own("ALARM", "False-alarm rate")
REASON = _own("REASON", "Reason for the flag")
JUDGED_BY = _own("JUDGED_BY", "What judged it")
NEAREST = _own("NEAREST", "Nearest reference study")
DISTANCE = _own("DISTANCE", "Distance to the nearest reference study")
SIMILAR = _own("SIMILAR", "Similar studies")
NEIGHBOUR = _own("NEIGHBOUR", "Similar study")
RANK = _own("RANK", "Rank")
SCORE = _own("SCORE", "Similarity score")
PERCENTILE = _own("PERCENTILE", "Random pairs that are less alike")
IMAGE = _own("IMAGE", "Image of the similar study")
QUERY = _own("QUERY", "Image that was searched with")
NOTICE = _own("NOTICE", "Notice")
OWN = (FLAGGED, P_VALUE, ALARM, REASON, JUDGED_BY, NEAREST, DISTANCE, SIMILAR, NEIGHBOUR, RANK,
       SCORE, PERCENTILE, IMAGE, QUERY, NOTICE)  # fmt: skip
"""All codes of the scheme."""

STUDY, SERIES = codes.DCM.StudyInstanceUID, codes.DCM.SeriesInstanceUID
FINDING, COMMENT = codes.DCM.Finding, codes.DCM.Comment
DEVICE, PROCEDURE = codes.DCM.Device, codes.SCT.ImagingProcedure
NO_UNITS, PERCENT = codes.UCUM.NoUnits, codes.UCUM.Percent
YES, NO, UNDETERMINED = codes.SCT.Yes, codes.SCT.No, codes.SCT.Undetermined


def scheme() -> Dataset:
    """The item of CodingSchemeIdentificationSequence for our scheme (PS3.3 C.12.1)."""
    item = Dataset()
    item.CodingSchemeDesignator = OWN_SCHEME
    item.CodingSchemeUID = SCHEME_UID
    item.CodingSchemeName = "Syntopy structured reports"
    item.CodingSchemeResponsibleOrganization = "The Syntopy authors"
    return item
