"""The notice in the bodies of a message: one decision for its text and its HTML about where it stands.

Directly below what the sender wrote: above a signature and above what is quoted, as a reader sees no more than that.
Where the end of his words is not known it stands at the end; but a reply, which quotes in a way that nobody knows, has
it at the top.
"""

import re

from pfilter.base.spool import Spool
from pfilter.message.model import Message, Part
from pfilter.notices.texts import Notice
from pfilter.rewriting import body_html, body_text
from pfilter.rewriting.splice import Edit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pfilter.base.scratch_file import ScratchFile
    from pfilter.config.settings import Place

# "Re:" and what programs of other languages make of it; with a number in Re[2]: or Re^2:.
_RE = re.compile(
    rb"(?i)\s*(?:re|r\xc3\xa9f|aw|antw|antwort|sv|vs|odp|ynt|rif|r|res|rsp|bls|atb|"
    rb"\xe7\xad\x94\xe5\xa4\x8d|\xe5\x9b\x9e\xe5\xa4\x8d|\xe5\x9b\x9e\xe8\xa6\x86)"
    rb"(?:\[\d+\]|\^\d+|\(\d+\))?\s*(?::|\xef\xbc\x9a)"
)


def claims_to_be_reply(message: Message) -> bool:
    """Whether a message says that it answers another one (RFC 5322, 3.6.4 and 3.6.5)."""
    if any(value.strip() for name in (b"in-reply-to", b"references") for value in message.values(name)):
        return True
    return any(_RE.match(value) for value in message.values(b"subject"))


def put_notice(
    spool: Spool, message: Message, bodies: "Sequence[Part]", said: Notice, place: "Place", scratch_file: "ScratchFile"
) -> "list[Edit] | None":
    """Return the edits that put a notice into all bodies, None where one of them can't hold it. Raises OSError."""
    read = [_read(spool, part) for part in bodies]
    if None in read:
        return None
    if place == "auto":
        is_reply = claims_to_be_reply(message) or any(one.history for one in read if one)
        otherwise: Place = "top" if is_reply else "end"
    else:
        otherwise = place
    edits: list[Edit] = []
    for one in read:
        where: Place = "auto" if one and place == "auto" and one.below else otherwise
        if isinstance(one, body_html.Html):
            found = body_html.put(spool, one, said.html, message.eol, where)
        else:
            assert one
            found = body_text.put(spool, one, said.text, message.eol, scratch_file, where)
        if found is None:
            return None
        edits += found
    return edits


def _read(spool: Spool, part: Part) -> "body_html.Html | body_text.Text | None":
    return body_html.read(spool, part) if part.type == b"text/html" else body_text.read(spool, part)
