"""Whether a message has a virus, as clamd knows them: the whole of it, and its parts decoded.

The whole comes first, as every mail filter does it: clamd knows MIME. But it reads it in its own way (of a
multipart/signed it skips parts, which mail clients show), and its limits are for what it is given, so that a large
attachment could hide behind a larger message: what is base64 it is given again, decoded.
"""

from time import monotonic

from pfilter.antivirus import clamd
from pfilter.antivirus.clamd import Verdict
from pfilter.base.spool import Spool
from pfilter.config.settings import Settings
from pfilter.message import codec
from pfilter.message.model import Message, Part

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

SHARE = 0.75  # of the time before a reinjection must have begun
MOST_PARTS = 100  # questions about one message beside that about the whole


def examine(spool: Spool, message: Message, settings: Settings) -> Verdict:
    """Return what clamd says about a message. Raises OSError where the message can't be read.

    All questions together have one time limit: a hundred that are each in time would pass the deadline.
    """
    end = monotonic() + min(settings.clamav_timeout, (settings.deadline - settings.reinject_timeout) * SHARE)
    whole = _ask(spool.lf_windows(0, spool.size), settings, end)  # its limits are the same by whichever door
    if whole.is_final:
        return whole
    return _parts(spool, message, whole, settings, end)


def _parts(spool: Spool, message: Message, whole: Verdict, settings: Settings, end: float) -> Verdict:
    """Ask about what is base64, and about all parts where the whole was too much for clamd."""
    asked = [part for part in message.parts if not part.children and _is_asked(part, whole)]
    if whole.status == "unscanned" and (len(asked) > MOST_PARTS or message.defects):
        return whole
    unscanned = ""
    asked.sort(key=lambda part: spool.lf_size_of(part.body.start, part.body.end), reverse=True)
    for part in asked[:MOST_PARTS]:
        try:
            chunks = codec.decode(spool, part.body, part.encoding)
            found = _ask(chunks, settings, end)
        except codec.Undecodable:
            found = whole  # nobody can say what it decodes to
        if found.is_final:
            return found
        if found.status == "unscanned":
            unscanned = unscanned or f"part {part.section or '1'}: {found.reason}"
    return Verdict("unscanned", unscanned) if unscanned else clamd.CLEAN


def _ask(chunks: "Iterable[bytes]", settings: Settings, end: float) -> Verdict:
    left = end - monotonic()
    found = clamd.scan(chunks, settings.clamav_socket, left) if left > 0 else Verdict("error")
    if found.status != "error" or monotonic() < end:
        return found
    return Verdict("error", f"clamd at {settings.clamav_socket} took too long for a message and its parts")


def _is_asked(part: Part, whole: Verdict) -> bool:
    return part.body.size > 0 and (part.encoding == b"base64" or whole.status == "unscanned")
