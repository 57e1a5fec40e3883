"""Addresses of a viewer, from a template that the settings hold."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

NAMES = ("study", "series", "instance")
_PLACE = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class ViewerTemplate:
    """An address with places for UIDs: ``https://ohif.example/viewer?StudyInstanceUIDs={study}``.

    Attributes:
        text: the template; "" for none.

    Raises:
        ValueError: it is no http or https address, or has places other than `NAMES`.
    """

    text: str = ""

    def __post_init__(self) -> None:
        if not self.text:
            return
        try:
            parts = urlsplit(self.text)
            fine = parts.port != 0 and self.text.isprintable() and " " not in self.text
            fine = fine and parts.scheme in ("http", "https") and bool(parts.hostname)
        except ValueError:
            fine = False
        if not fine:
            raise ValueError(
                "a viewer has an address such as https://ohif.example/viewer?StudyInstanceUIDs={study}"
            )
        parts = urlsplit(self.text)
        if "{" in parts.netloc or parts.username is not None or parts.password is not None:
            raise ValueError("the host of a viewer is fixed, without a name or password")
        unknown = [name for name in _PLACE.findall(self.text) if name not in NAMES]
        if unknown or "{" in _PLACE.sub("", self.text) or "}" in _PLACE.sub("", self.text):
            raise ValueError(
                "the places of a viewer's address are {study}, {series} and {instance}"
            )
        if "{study}" not in self.text:
            raise ValueError("a viewer's address needs the place {study}")

    def of(self, study: str, series: str = "", instance: str = "") -> str | None:
        """The address of a study; None without a template, or where it wants what is not known."""
        known = {"study": study, "series": series, "instance": instance}
        if not self.text or any(not known[name] for name in _PLACE.findall(self.text)):
            return None
        return _PLACE.sub(lambda place: quote(known[place[1]], safe=""), self.text)
