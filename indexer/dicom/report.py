"""The words of a structured report, as text a person can read and a search can use."""

from __future__ import annotations

from collections.abc import Iterator

from pydicom import Dataset

from indexer.dicom.opening import text_of, value_of

OWN_SCHEME = "99SYNTOPY"
"""The coding scheme of reports that Syntopy writes itself."""
_MAX_CHARS = 100_000
_MAX_DEPTH = 40


def is_own(ds: Dataset) -> bool:
    """Whether Syntopy wrote a report: it, or its headings down to the second level, say so.

    What it says is what a search or a reference answered. Read as a radiologist's words it would
    come back in answers, and be learned from.
    """
    schemes = value_of(ds, "CodingSchemeIdentificationSequence") or ()
    if any(text_of(each, "CodingSchemeDesignator") == OWN_SCHEME for each in schemes):
        return True
    items = [ds, *(value_of(ds, "ContentSequence") or ())]
    return any(_scheme(each) == OWN_SCHEME for each in items)


def report_text(ds: Dataset) -> str:
    """Text, code and number content of an SR tree (PS3.3 C.17.3), headings in front of lines.

    Person names, dates and UIDs in the tree are left out. ``""`` where there is nothing to read,
    and of reports that Syntopy wrote.
    """
    if is_own(ds):
        return ""
    return "\n".join(_lines(ds, 0))[:_MAX_CHARS]


def _lines(node: Dataset, depth: int) -> Iterator[str]:
    content = value_of(node, "ContentSequence")
    if content is None or depth > _MAX_DEPTH:
        return
    for item in content:
        heading, value = _concept(item, "ConceptNameCodeSequence"), _value(item)
        if value:
            yield f"{heading}: {value}" if heading else value
        elif heading and value_of(item, "ContentSequence") is not None:
            yield heading
        yield from _lines(item, depth + 1)


def _value(item: Dataset) -> str:
    match text_of(item, "ValueType"):
        case "TEXT":
            return text_of(item, "TextValue")
        case "CODE":
            return _concept(item, "ConceptCodeSequence")
        case "NUM":
            measured = value_of(item, "MeasuredValueSequence")
            return text_of(measured[0], "NumericValue") if measured else ""
        case _:
            return ""


def _scheme(item: Dataset) -> str:
    concepts = value_of(item, "ConceptNameCodeSequence")
    return text_of(concepts[0], "CodingSchemeDesignator") if concepts else ""


def _concept(item: Dataset, keyword: str) -> str:
    codes = value_of(item, keyword)
    return text_of(codes[0], "CodeMeaning") if codes else ""
