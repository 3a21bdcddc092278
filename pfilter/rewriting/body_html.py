"""A notice in a text/html body: below the sender's words (`history_html`), and only where a reader sees it (`visible`).

What the charset can't hold stands as a character reference, so no HTML is ever relabelled.
"""

from pfilter.base.frozen import Frozen
from pfilter.base.spool import Spool
from pfilter.message import codec
from pfilter.message.model import Part
from pfilter.rewriting import body, history_html, insert, parts
from pfilter.rewriting.splice import Edit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pfilter.config.settings import Place

WHOLE = 4 << 20  # octets: HTML beyond is not looked at, and the notice is a part of its own
ESCAPED = ("iso2022", "hz")  # a tag is ASCII in these, but not all octets that look like one are a tag


class Html(Frozen):
    """A text/html body that was read."""

    part: Part
    charset: str
    decoded: body.Decoded
    octets: bytes  # decoded
    found: history_html.Read
    text: bytes  # where its charset is one of ESCAPED, the same in UTF-8

    @property
    def below(self) -> "history_html.Below | None":
        """The place below the sender's words, if their end is known."""
        return self.found.below

    @property
    def history(self) -> bool:
        """Whether it quotes anything."""
        return bool(self.found.below and self.found.below.history)


def read(spool: Spool, part: Part) -> Html | None:
    """Read a body, None where it does not decode or nothing of what its reader sees is certain. Raises OSError."""
    charset = body.charset_of(part)
    decoded = body.decode(spool, part, charset) if charset else None
    if decoded is None or decoded.size > WHOLE or charset.replace("_", "-").startswith(body.WIDE):
        return None  # what is open at a place, only all before it can tell
    octets = b"".join(codec.decode(spool, part.body, part.encoding))
    text = octets.decode(charset).encode("utf-8") if charset.startswith(ESCAPED) else octets
    found = history_html.read(text, "utf-8" if charset.startswith(ESCAPED) else charset)
    if found is None:
        return None
    return Html(part=part, charset=charset, decoded=decoded, octets=octets, found=found, text=text)


def put(spool: Spool, read: Html, html: str, eol: bytes, place: "Place" = "end") -> list[Edit] | None:
    """Return the edits that put a notice into a body, None where no reader is certain to see it.

    `place` is "top", "end", or "auto" for below the sender's words, if their end is known. Raises OSError.
    """
    part, charset = read.part, read.charset
    newline = body.newline_of(read.decoded.tail, part, eol)
    added = ("\n" + html.strip("\n") + "\n").replace("\n", newline)
    escaped = charset.startswith(ESCAPED)
    plain = added.encode("ascii", "xmlcharrefreplace")
    octets = plain if escaped else added.encode(charset.removesuffix("-sig"), "xmlcharrefreplace")
    if charset == "hz":
        octets = octets.replace(b"~", b"~~")
    if part.encoding == b"7bit" and not octets.isascii():
        octets = plain
    offset = _offset(read, place)
    if offset < 0:
        return None
    if escaped and offset == len(read.octets) and not body.reads_as(read.decoded.decoder, octets, plain.decode()):
        return None  # ends within an escape sequence
    edits = insert.insert(spool, part, offset, octets, eol)
    return [*edits, *parts.drop_md5(part)] if edits else None


def _offset(read: Html, place: "Place") -> int:
    """Return where the notice goes in decoded octets; -1 where no reader is certain to see it."""
    found = read.found
    if place == "auto":
        where = found.below.place if found.below else found.end
    else:
        where = found.top if place == "top" else found.end
    if where < 0 or read.text is read.octets:
        return where
    ending = read.text[where:].decode("utf-8").encode(read.charset)
    return len(read.octets) - len(ending) if read.octets.endswith(ending) else -1
