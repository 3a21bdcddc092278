"""A notice in a text/plain body. Where its charset can't hold it, the whole part becomes UTF-8."""

from pfilter.base.frozen import Frozen
from pfilter.base.spool import Spool
from pfilter.message.fields import fits_lines
from pfilter.message.model import Part
from pfilter.rewriting import body, history_text, insert, parts
from pfilter.rewriting.splice import Edit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pfilter.base.scratch_file import ScratchFile
    from pfilter.config.settings import Place


class Text(Frozen):
    """A text/plain body that was read."""

    part: Part
    charset: str
    decoded: body.Decoded
    below: "history_text.Below | None"  # the sender's words

    @property
    def history(self) -> bool:
        """Whether it quotes anything."""
        return bool(self.below and self.below.history)


def read(spool: Spool, part: Part) -> Text | None:
    """Read a body, None where it does not decode. Raises OSError."""
    charset = body.charset_of(part)
    decoded = body.decode(spool, part, charset) if charset else None
    if decoded is None:
        return None
    return Text(part=part, charset=charset, decoded=decoded, below=history_text.below_words(decoded.text))


def put(
    spool: Spool, read: Text, text: str, eol: bytes, scratch_file: "ScratchFile", place: "Place" = "end"
) -> list[Edit]:
    """Return the edits that put a notice into a body; "auto" is below the sender's words. Raises OSError."""
    part, charset, decoded = read.part, read.charset, read.decoded
    if part.param(b"format").lower() == b"flowed":
        text = _stuffed(text)
    newline = body.newline_of(decoded.tail, part, eol)
    spot = _spot(read, place)
    if spot is None:
        before, after = _around(decoded.tail)
    else:
        before, after = _between(decoded.text[: spot.characters], decoded.text[spot.characters :])
    added = (before + text.strip("\n") + after).replace("\n", newline)
    try:
        octets = added.encode(charset)
    except UnicodeError:
        octets = b""
    holds = bool(octets) and body.reads_as(spot.decoder if spot else decoded.decoder, octets, added)
    if holds and (octets.isascii() or part.encoding != b"7bit") and fits_lines(octets):
        offset = decoded.size if spot is None else spot.octets
        edits = insert.insert(spool, part, offset, octets, eol, newline.encode(charset))
        if edits:
            return [*edits, *parts.drop_md5(part)]
    return body.recoded(spool, part, charset, added, spot.characters if spot else -1, eol, scratch_file)


def _spot(read: Text, place: "Place") -> "body.Spot | None":
    """Return where the notice goes; None for the end."""
    below = read.below if place == "auto" else None
    if not read.decoded.size or not (below or place == "top"):
        return None
    characters = below.place if below else 0
    if characters and characters == len(read.decoded.text):
        return None
    return body.spot(read.decoded, read.charset, characters)


def _between(before: str, after: str) -> tuple[str, str]:
    """Return what goes around a notice inside of a text, so that a blank line stands on either side."""
    return (
        "" if not before.strip("\ufeff") or before.endswith(("\n\n", "\n\r\n")) else "\n",
        "\n" if after.startswith(("\n", "\r\n")) else "\n\n",
    )


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
