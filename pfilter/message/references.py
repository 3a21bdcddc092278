"""Which files the HTML of a message shows: by cid: (RFC 2392) or Content-Location (RFC 2557).

What is taken for a reference and is none costs nothing: its file stays where it is. So everything that a browser might
read as one counts, and where the HTML can't be read, every file that it could refer to.
"""

from re import compile as pattern

from pfilter.base.spool import Spool
from pfilter.message import codec, roles
from pfilter.message.model import Message, Part

REFERENCE_LIMIT = 10_000  # references of one message; beyond, every part that could be referred to counts as inline
_LENGTH = b"{1,998}"
_ANYWHERE = pattern(rb"""(?i)\bcid:([^"'\s>)]""" + _LENGTH + b")")
_ATTRIBUTE = pattern(
    rb"""(?i)\b(?:src|background|href|poster|data)\s*=\s*(?:"([^"]LENGTH)"|'([^']LENGTH)'|([^"'\s>]LENGTH))""".replace(
        b"LENGTH", _LENGTH
    )
)
_END_IN_STYLE = pattern(rb"""["'\s>)]""")
_OVERLAP = 1100  # octets: no reference is longer


def shown_by_html(spool: Spool, message: Message, candidates: list[Part]) -> set[int]:
    """Return the numbers of candidates that the displayed HTML refers to. Raises OSError."""
    ids = {part.number: field.value for part in candidates if (field := part.field(b"content-id"))}
    locations = {part.number: field.value for part in candidates if (field := part.field(b"content-location"))}
    references: set[bytes] = set()
    for part in roles.displayed(message):
        if part.type != b"text/html":
            continue
        tail = b""
        try:
            for chunk in codec.decode(spool, part.body, part.encoding):
                text = tail + chunk.replace(b"\0", b"")  # as of UTF-16
                _collect(text, references, locations=bool(locations))
                tail = text[-_OVERLAP:]
                if len(references) > REFERENCE_LIMIT:
                    return {*ids, *locations}
        except codec.Undecodable:
            return {*ids, *locations}
        if part.param(b"charset").lower() == b"utf-7":
            return {*ids, *locations}
    shown = {number for number, value in ids.items() if b"cid:" + value.strip().strip(b"<>") in references}
    return shown | {number for number, value in locations.items() if b"".join(value.split()) in references}


def _collect(text: bytes, references: set[bytes], *, locations: bool) -> None:
    """Add what a piece of HTML refers to: as cid:ID, and where they are asked for, URLs without blanks."""
    for found in set(_ANYWHERE.findall(text)):
        for form in _as_html_has_it(found):
            references.update(b"cid:" + one for one in _decoded(form))
            references.update(b"cid:" + one for one in _decoded(_END_IN_STYLE.split(form, maxsplit=1)[0]))
    for values in set(_ATTRIBUTE.findall(text)):
        for form in _as_html_has_it(b"".join(values)):
            url = form.strip()
            if url[:4].lower() == b"cid:":
                references.update(b"cid:" + one for one in _decoded(url[4:]))
            elif locations:
                references.add(b"".join(url.split()))


def _as_html_has_it(value: bytes) -> set[bytes]:
    """Return a value with its character references replaced, and as it stands: &copy=1 is none in an attribute."""
    if b"&" not in value:
        return {value}
    from html import unescape

    return {value, unescape(value.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")}


def _decoded(url: bytes) -> set[bytes]:
    """Return a URL without its percent-encoding, and as it stands."""
    if b"%" not in url:
        return {url}
    from urllib.parse import unquote_to_bytes

    return {url, unquote_to_bytes(url)}
