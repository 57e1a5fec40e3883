"""The content of structured reports (PS3.3 C.17.3), item by item."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pydicom.sr.coding import Code

from api.structured import codes
from api.structured.subject import Reference
from indexer import __version__
from indexer.extras import extra
from indexer.library import Library, SpaceInfo
from indexer.reading.drafts import derived_uid

CONTAINS, MODIFIED_BY = "CONTAINS", "HAS CONCEPT MOD"
DISCLAIMER = (
    "For research use; not a medical device. Made by a program and seen by nobody: no diagnosis "
    "follows from it."
)
MANUFACTURER = "Syntopy"


def text(name: Code, value: str) -> Any:
    """Words."""
    return _sr().TextContentItem(name=name, value=value, relationship_type=CONTAINS)


def number(name: Code, value: float, unit: Code = codes.NO_UNITS) -> Any:
    """A number, to six significant digits; whole ones stay whole."""
    said = value if isinstance(value, int) else float(f"{value:.6g}")
    return _sr().NumContentItem(name=name, value=said, unit=unit, relationship_type=CONTAINS)


def code(name: Code, value: Code) -> Any:
    """A concept by its code."""
    return _sr().CodeContentItem(name=name, value=value, relationship_type=CONTAINS)


def uid(name: Code, value: str) -> Any:
    """A UID."""
    return _sr().UIDRefContentItem(name=name, value=value, relationship_type=CONTAINS)


def image(name: Code, to: Reference) -> Any:
    """A reference to an instance, and a frame of it."""
    return _sr().ImageContentItem(
        name=name,
        referenced_sop_class_uid=to.sop_class_uid,
        referenced_sop_instance_uid=to.sop_instance_uid,
        referenced_frame_numbers=None if to.frame is None else [to.frame],
        relationship_type=CONTAINS,
    )


def container(name: Code, children: Iterable[Any], *, root: bool = False) -> Any:
    """A heading with what stands under it."""
    sr = _sr()
    made = sr.ContainerContentItem(name=name, relationship_type=None if root else CONTAINS)
    made.ContentSequence = sr.ContentSequence([*children])
    return made


def observer(library: Library) -> Any:
    """Who says it: a device, that of a library (TID 1002, TID 1004)."""
    sr = _sr()
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=derived_uid("observer", library.config.id),
        name=MANUFACTURER,
        manufacturer_name=MANUFACTURER,
        model_name=MANUFACTURER,
        serial_number=library.config.id,
    )
    context = sr.ObserverContext(observer_type=codes.DEVICE, observer_identifying_attributes=device)
    return sr.ObservationContext(observer_device_context=context)


def algorithm(name: str, spaces: Sequence[SpaceInfo], *parameters: str) -> Any:
    """Which algorithm, which version, and all that decides what it answers (TID 4019)."""
    made = [
        said
        for space in spaces
        for said in (
            f"encoder={space.encoder}",
            f"weights={space.weights}",
            f"preprocessing={space.preprocessing}",
        )
    ]
    return _sr().AlgorithmIdentification(
        name=name, version=__version__, manufacturer=MANUFACTURER, parameters=[*made, *parameters]
    )


def language() -> Any:
    """English (TID 1204)."""
    sr = _sr()
    return sr.LanguageOfContentItemAndDescendants(
        sr.CodedConcept("en-US", "RFC5646", "English (US)")
    )


def _sr() -> Any:
    return extra("highdicom.sr")
