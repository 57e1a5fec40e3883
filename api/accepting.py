"""What a client accepts (RFC 9110 section 12.5.1; PS3.18 section 8.7), and bodies of many parts."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from email.message import Message

from api.problems import ProblemError
from api.service.dicomweb.wado import NATIVE, compressed

DICOM, OCTETS, JSON = "application/dicom", "application/octet-stream", "application/dicom+json"
_RELATED = "multipart/related"
_MOST = 50
_UIDS = "1.2.840.10008.1.2."
_MEDIA = {
    **dict.fromkeys(("4.50", "4.51", "4.57", "4.70"), "image/jpeg"),
    **dict.fromkeys(("4.80", "4.81"), "image/jls"),
    **dict.fromkeys(("4.90", "4.91"), "image/jp2"),
    **dict.fromkeys(("4.92", "4.93"), "image/jpx"),
    **dict.fromkeys(("4.201", "4.202", "4.203"), "image/jphc"),
    "5": "image/dicom-rle",
}
"""PS3.18 table 8.7.3-4: media types of compressed frames by their transfer syntax."""


@dataclass(frozen=True)
class Range:
    """A media type, or a range of them, that a client accepts.

    Attributes:
        media: in lower case; of multipart/related that of its parts.
        many: whether it may come as multipart/related.
        syntax: transfer syntax, ``*`` for any; "" where it is not said.
    """

    media: str
    many: bool
    syntax: str

    def covers(self, media: str) -> bool:
        """Whether a media type is in it."""
        return self.media in (media, "*/*", media.partition("/")[0] + "/*")


@dataclass(frozen=True)
class FramesAs:
    """How frames are given: the media type of each part, their syntax, whether decoded."""

    media: str
    syntax: str
    native: bool
    many: bool = True


def accepted(header: str) -> list[Range]:
    """The ranges of an Accept header, the most wanted first; without one anything is.

    Raises:
        ProblemError: 400, it cannot be read.
    """
    said = [each for each in _split(header or "*/*") if each.strip()][:_MOST]
    found = sorted((_range(each) for each in said), key=lambda pair: -pair[0])
    return [each for quality, each in found if quality > 0]


def _split(header: str) -> Iterator[str]:
    """Its parts between commas that are in no quotes."""
    part, quoted = "", False
    for letter in header:
        quoted ^= letter == '"'
        if letter == "," and not quoted:
            yield part
            part = ""
        else:
            part += letter
    yield part


def _range(said: str) -> tuple[float, Range]:
    message = Message()
    message["content-type"] = said.strip()
    media = said.partition(";")[0].strip().lower()
    found = {
        str(name).lower(): str(value)
        for name, value in message.get_params(failobj=[], unquote=True)[1:]
    }
    try:
        quality = float(found.get("q", "1"))
    except ValueError as error:
        raise ProblemError(400, "the Accept header has a weight that is no number") from error
    many = media in (_RELATED, "multipart/*", "*/*")
    if media.startswith("multipart/"):
        media = found.get("type", "*/*").lower()
    return quality, Range(media, many, found.get("transfer-syntax", ""))


def one_of(ranges: Sequence[Range], offered: Sequence[str]) -> str:
    """The media type that is given, of those that there are; the first one where all are accepted.

    Raises:
        ProblemError: 406, none is accepted.
    """
    for each in ranges:
        for media in offered:
            if each.covers(media):
                return media
    raise ProblemError(406, f"this is given as {', '.join(offered)} alone")


def file_wanted(ranges: Sequence[Range], syntax: str) -> bool | None:
    """Whether a file in a transfer syntax is given as it is, or native; None: not at all."""
    for each in ranges:
        if not each.covers(DICOM):
            continue
        if each.syntax in ("*", syntax) and each.syntax:
            return True
        if each.syntax in ("", NATIVE):
            return False
    return None


def files_in_parts(ranges: Sequence[Range], *, one: bool) -> bool:
    """Whether files are given as parts of a body; ``one`` alone may be the body itself.

    Raises:
        ProblemError: 406, neither is accepted.
    """
    fitting = [each.many for each in ranges if each.covers(DICOM) and (each.many or one)]
    if not fitting:
        raise ProblemError(406, f'this is given as multipart/related; type="{DICOM}" alone')
    return fitting[0]


def frames_wanted(ranges: Sequence[Range], syntax: str, *, one: bool) -> FramesAs:
    """How frames in a transfer syntax are given to who accepts these; see `files_in_parts`.

    Raises:
        ProblemError: 406, in no way.
    """
    packed = compressed(syntax)
    media = _MEDIA.get(syntax.removeprefix(_UIDS), "") if packed else ""
    for each in ranges:
        if not (each.many or one):
            continue
        if each.covers(OCTETS):
            if each.syntax in ("", NATIVE) or (not packed and each.syntax == "*"):
                return FramesAs(OCTETS, NATIVE, True, each.many)
            if each.syntax in ("*", syntax):
                return FramesAs(OCTETS, syntax, False, each.many)
        elif media and each.covers(media) and each.syntax in ("", "*", syntax):
            return FramesAs(media, syntax, False, each.many)
    there = f'type="{media}", or ' if media else ""
    raise ProblemError(
        406, f'frames are given as multipart/related; {there}type="{OCTETS}", here; '
        "transfer-syntax=* takes them as they are stored"
    )  # fmt: skip


def new_boundary() -> str:
    """Between the parts of a body."""
    return secrets.token_hex(16)


def related(media: str, boundary: str) -> str:
    """The Content-Type of a body with parts of a media type."""
    return f'{_RELATED}; type="{media}"; boundary={boundary}'


def parts(boundary: str, each: Iterable[tuple[str, bytes]]) -> Iterator[bytes]:
    """A body from the Content-Type and the content of each part."""
    for media, content in each:
        yield f"--{boundary}\r\nContent-Type: {media}\r\n\r\n".encode()
        yield content
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode()
