"""The notice in the bodies of a message: one decision for its text and its HTML about where it stands.

Directly below what the sender wrote: above a signature and above what is quoted, as a reader sees no more than that.
Where the end of his words is not known it stands at the end; but a reply, which quotes in a way that nobody knows, has
it at the top.
"""

from pfilter.base.spool import Spool
from pfilter.message.model import Message, Part
from pfilter.notices.texts import Notice
from pfilter.rewriting.splice import Edit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pfilter.base.scratch_file import ScratchFile
    from pfilter.config.settings import Place
    from pfilter.rewriting.body_html import Html
    from pfilter.rewriting.body_text import Text

# "Re:" and what programs of other languages make of it.
RE = frozenset(
    ("re", "réf", "aw", "antw", "antwort", "sv", "vs", "odp", "ynt", "rif", "r", "res", "rsp", "bls", "atb", "答复")
) | {"回复", "回覆"}


def claims_to_be_reply(message: Message) -> bool:
    """Whether a message says that it answers another one (RFC 5322, 3.6.4 and 3.6.5)."""
    if any(value.strip() for name in (b"in-reply-to", b"references") for value in message.values(name)):
        return True
    return any(_is_answer(value) for value in message.values(b"subject"))


def _is_answer(subject: bytes) -> bool:
    start, colon, _ = subject.decode("utf-8", "replace").replace("\uff1a", ":").partition(":")
    prefix = start.strip().lower()
    for before, behind in (("[", "]"), ("(", ")"), ("^", "")):  # with a number, as in Re[2]: or Re^2:
        word, _, number = prefix.partition(before)
        if number and number.endswith(behind) and number.removesuffix(behind).isdecimal():
            prefix = word
    return bool(colon) and prefix in RE


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
        found = _put(spool, one, said, message.eol, scratch_file, where)
        if found is None:
            return None
        edits += found
    return edits


def _read(spool: Spool, part: Part) -> "Html | Text | None":
    if part.type == b"text/html":
        from pfilter.rewriting import body_html

        return body_html.read(spool, part)
    from pfilter.rewriting import body_text

    return body_text.read(spool, part)


def _put(
    spool: Spool, one: "Html | Text | None", said: Notice, eol: bytes, scratch_file: "ScratchFile", place: "Place"
) -> "list[Edit] | None":
    assert one
    if one.part.type == b"text/html":
        from pfilter.rewriting import body_html

        assert isinstance(one, body_html.Html)
        return body_html.put(spool, one, said.html, eol, place)
    from pfilter.rewriting import body_text

    assert isinstance(one, body_text.Text)
    return body_text.put(spool, one, said.text, eol, scratch_file, place)
