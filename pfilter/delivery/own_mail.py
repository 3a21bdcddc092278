"""Our own mail: what all of it has in its header, and how it is sent. Best effort: it must harm nobody's mail."""

import os
import time

from pfilter.base.spool import finished
from pfilter.config.settings import Settings
from pfilter.delivery import reinject
from pfilter.message.fields import date, encoded_words, text_entity
from pfilter.message.model import Envelope

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pfilter.delivery.smtp import Way

TIME_LIMIT = 8  # seconds
# Auto-Submitted (RFC 3834, 5): what comes of one message, and what does not.
REPLIED = b"auto-replied"
GENERATED = b"auto-generated"


def compose(
    author: str, to: bytes, subject: str, how: bytes, content: bytes, references: "Sequence[bytes]" = ()
) -> bytes:
    """Return a mail as a message with LF line ends; `content` is its Content-* fields, a blank line and its body."""
    domain = author.rpartition("@")[2].partition(" ")[0].rstrip(">")
    lines = [
        b"From: " + author.encode("utf-8"),
        b"To: <" + to + b">",
        b"Subject: " + encoded_words(subject, b"\n"),
        b"Date: " + date(time.time()),
        f"Message-ID: <{time.time_ns()}.{os.getpid()}.{os.urandom(8).hex()}@{domain}>".encode(),
        b"Auto-Submitted: " + how,
        *references,
        b"MIME-Version: 1.0",
    ]
    return b"\n".join(lines) + b"\n" + content


def plain(text: str) -> bytes:
    """Return a text as the content of a mail, or of one of its parts."""
    fields, body = text_entity(text, b"\n")
    return b"".join(fields.values()) + b"\n" + body


def send(
    mail: bytes, recipient: bytes, settings: Settings, way: "Way | None" = None, seconds: int = TIME_LIMIT
) -> None:
    """Send it as results are sent, from the null sender, within so many seconds. Raises ReinjectError, OSError."""
    spool = finished([mail], str)
    # The message itself is done; until this process ends, a crash would do it again.
    hurried = settings.replace(reinject_timeout=min(settings.reinject_timeout, seconds), reinject_data_done_timeout=0)
    try:
        reinject.send(spool, Envelope(sender=b"", recipients=(recipient,)), hurried, None, way)
    finally:
        spool.close()
