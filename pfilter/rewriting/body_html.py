"""A notice at the end of a text/html body: where it ends to an HTML5 parser, and only where that shows it (`visible`).

What the charset can't hold stands as a character reference, so no HTML is ever relabelled.
"""

from pfilter.base.spool import Spool
from pfilter.message import codec
from pfilter.message.model import Part
from pfilter.rewriting import body, insert, parts, visible
from pfilter.rewriting.splice import Edit

WHOLE = 4 << 20  # octets: HTML beyond is not looked at, and the notice is a part of its own
ESCAPED = ("iso2022", "hz")  # a tag is ASCII in these, but not all octets that look like one are a tag


def append_html(spool: Spool, part: Part, html: str, eol: bytes) -> list[Edit] | None:
    """Return the edits that put a piece of HTML at the end of a text/html body, or None. Raises OSError."""
    charset = body.charset_of(part)
    decoded = body.decode(spool, part, charset) if charset else None
    if decoded is None or charset.replace("_", "-").startswith(body.WIDE):
        return None
    newline = body.newline_of(decoded.tail, part, eol)
    added = ("\n" + html.strip("\n") + "\n").replace("\n", newline)
    escaped = charset.startswith(ESCAPED)
    plain = added.encode("ascii", "xmlcharrefreplace")
    octets = plain if escaped else added.encode(charset.removesuffix("-sig"), "xmlcharrefreplace")
    if charset == "hz":
        octets = octets.replace(b"~", b"~~")
    if part.encoding == b"7bit" and not octets.isascii():
        octets = plain
    behind = _octets_behind_body(spool, part, decoded.size, charset if escaped else "")
    if escaped and not behind and not body.reads_as(decoded.decoder, octets, plain.decode("ascii")):
        return None  # ends within an escape sequence
    edits = insert.insert(spool, part, behind, octets, eol) if behind >= 0 else None
    return [*edits, *parts.drop_md5(part)] if edits else None


def _octets_behind_body(spool: Spool, part: Part, size: int, escaped_charset: str) -> int:
    """Return how many decoded octets follow the place for the notice; -1 where no reader is certain to see it."""
    if size > WHOLE:
        return -1  # what is open at its end, only all of it can tell
    data = b"".join(codec.decode(spool, part.body, part.encoding))
    text = data.decode(escaped_charset).encode("utf-8") if escaped_charset else data
    place = visible.place_at_end(text)
    if place < 0 or not escaped_charset:
        return len(data) - place if place >= 0 else -1
    ending = text[place:].decode("utf-8").encode(escaped_charset)
    return len(ending) if data.endswith(ending) else -1
