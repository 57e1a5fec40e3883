"""A data set in the DICOM JSON model (PS3.18 annex F)."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Sequence
from typing import Any

from pydicom import Dataset
from pydicom.dataelem import DataElement
from pydicom.multival import MultiValue
from pydicom.valuerep import PersonName

from indexer.dicom.opening import elements_of

JsonSet = dict[str, dict[str, Any]]
"""Elements by their tags, eight hexadecimal digits in upper case."""
_BULK = frozenset(["OB", "OW", "OF", "OD", "OL", "OV", "UN"])
_REAL = frozenset(["DS", "FL", "FD"])
_WHOLE = frozenset(["IS", "SL", "SS", "UL", "US", "SV", "UV"])
_SAFE = 1 << 53
"""Larger whole numbers are strings: a reader may know no number but floating point ones."""


def json_model(ds: Dataset) -> JsonSet:
    """A data set as an object of JSON; what cannot be read in it is left out, and group lengths.

    Binary values stand in it as they are, in base64.
    """
    model = {}
    for element in elements_of(ds):
        if element.tag.element == 0:
            continue
        said = json_element(element)
        if said is not None:
            model[f"{element.tag:08X}"] = said
    return model


def json_element(element: DataElement) -> dict[str, Any] | None:
    """One element; None where its value is not what its VR asks for."""
    vr, value = str(element.VR), element.value
    if " or " in vr:  # pydicom could not tell
        vr = "OW" if vr.endswith("OW") or vr.startswith("OB") else "US"
    if vr == "SQ":
        items = [json_model(item) for item in value or ()]
        return {"vr": vr, "Value": items} if items else {"vr": vr}
    if vr in _BULK:
        if not isinstance(value, bytes) or not value:
            return {"vr": vr}
        return {"vr": vr, "InlineBinary": base64.b64encode(value).decode()}
    try:
        values = [_FORMS.get(vr, _text)(part) for part in _parts(value)]
    except (TypeError, ValueError, OverflowError):
        return None
    return {"vr": vr} if not values or values == [None] else {"vr": vr, "Value": values}


def _parts(value: object) -> Sequence[object]:
    if value is None or value == "":
        return ()
    return value if isinstance(value, list | tuple | MultiValue) else (value,)


def _text(part: object) -> str | None:
    return str(part) or None


def _real(part: object) -> float | str | None:
    """A number; what JSON has no number for is written as PS3.18 F.2.3 does."""
    if part in (None, ""):
        return None
    number = float(part)  # type: ignore[arg-type] # else it is none
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else ("inf" if number > 0 else "-inf")


def _whole(part: object) -> int | str | None:
    if part in (None, ""):
        return None
    number = int(part)  # type: ignore[call-overload] # else it is none
    return number if abs(number) < _SAFE else str(number)


def _tag(part: object) -> str:
    return f"{int(part):08X}"  # type: ignore[call-overload] # else it is none


def _name(part: object) -> dict[str, str] | None:
    name = part if isinstance(part, PersonName) else PersonName(str(part))
    groups = {
        "Alphabetic": name.alphabetic,
        "Ideographic": name.ideographic,
        "Phonetic": name.phonetic,
    }
    return {key: said for key, said in groups.items() if said} or None


_FORMS: dict[str, Callable[[object], Any]] = {
    **dict.fromkeys(_REAL, _real),
    **dict.fromkeys(_WHOLE, _whole),
    "AT": _tag,
    "PN": _name,
}
