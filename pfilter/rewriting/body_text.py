"""A notice at the end of a text/plain body. Where its charset can't hold it, the whole part becomes UTF-8."""

from pfilter.base.spool import Spool
from pfilter.message.fields import fits_lines
from pfilter.message.model import Part
from pfilter.rewriting import body, insert, parts
from pfilter.rewriting.splice import Edit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pfilter.base.scratch_file import ScratchFile


def append_text(spool: Spool, part: Part, text: str, eol: bytes, scratch_file: "ScratchFile") -> list[Edit] | None:
    """Return the edits that put a text at the end of a text/plain body, or None. Raises OSError."""
    charset = body.charset_of(part)
    decoded = body.decode(spool, part, charset) if charset else None
    if decoded is None:
        return None
    if part.param(b"format").lower() == b"flowed":
        text = _stuffed(text)
    newline = body.newline_of(decoded.tail, part, eol)
    before, after = _around(decoded.tail)
    added = (before + text.strip("\n") + after).replace("\n", newline)
    try:
        octets = added.encode(charset)
    except UnicodeError:
        octets = b""
    holds = bool(octets) and body.reads_as(decoded.decoder, octets, added)
    if holds and (octets.isascii() or part.encoding != b"7bit") and fits_lines(octets):
        edits = insert.insert(spool, part, 0, octets, eol)
        if edits:
            return [*edits, *parts.drop_md5(part)]
    return body.recoded(spool, part, charset, added, eol, scratch_file)


def _around(tail: str) -> tuple[str, str]:
    """Return what goes before and behind the notice, so that an empty line stands before it."""
    if not tail:
        return "", ""
    if not tail.endswith("\n"):
        return "\n\n", ""
    return ("" if tail.endswith(("\n\n", "\n\r\n")) else "\n"), "\n"


def _stuffed(text: str) -> str:
    """Stuff lines as format=flowed wants it (RFC 3676, 4.4); none ends in a blank, so none flows."""
    lines = [line.rstrip() for line in text.split("\n")]
    return "\n".join(" " + line if line.startswith((" ", ">", "From ")) else line for line in lines)
