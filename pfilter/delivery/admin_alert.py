"""The mail to the administrator: a message is in quarantine. Best effort, and at most one in an interval."""

import os
import time
from fcntl import LOCK_EX, LOCK_NB, flock

from pfilter.base.durable import PRIVATE_FILE
from pfilter.config.settings import Settings
from pfilter.delivery import notification
from pfilter.message.model import Envelope
from pfilter.rewriting import parts
from pfilter.store.kept import QUARANTINE

TOLD = ".told"  # when the last one was sent
TEXT = """\
A message was not delivered but put into quarantine.

  reason      {reason}
  sender      {sender}
  login       {login}
  client      {client}
  recipients  {recipients}
  name        {name}

`pfilter quarantine list` shows what is there; `show`, `release` and `delete` are
for one message. Nobody else was told. No mail is sent about further messages
within [notify] admin_interval; they are in the log.
"""


def tell(name: str, reason: str, envelope: Envelope, settings: Settings) -> bool:
    """Tell [notify] admin about a message; return whether it was time to. Raises ReinjectError, OSError."""
    told = os.path.join(settings.store_path, QUARANTINE, TOLD)
    fd = os.open(told, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE_FILE)
    try:
        flock(fd, LOCK_EX | LOCK_NB)
        last = os.fstat(fd)
        if last.st_size and time.time() - last.st_mtime < settings.notify_admin_interval:
            return False
        notification.send(compose(name, reason, envelope, settings), settings.notify_admin.encode("ascii"), settings)
        os.pwrite(fd, b"told\n", 0)
    except BlockingIOError:
        return False  # another filter is at it
    finally:
        os.close(fd)
    return True


def compose(name: str, reason: str, envelope: Envelope, settings: Settings) -> bytes:
    """Return the mail as a message with LF line ends."""
    author = settings.notify_from or settings.notify_admin
    values = {
        "name": name,
        "reason": reason,
        "sender": envelope.sender.decode("utf-8", "replace") or "the null sender",
        "recipients": str(len(envelope.recipients)),
        "login": envelope.sasl_user or "none",
        "client": envelope.client or "unknown",
    }
    shown = {key: "".join(c if c.isprintable() else " " for c in value) for key, value in values.items()}
    fields, body = parts.text_entity(TEXT.format(**shown), b"\n")
    lines = [
        b"From: " + author.encode("utf-8"),
        b"To: <" + settings.notify_admin.encode("ascii") + b">",
        b"Subject: pfilter: a message is in quarantine",
        *notification.generated(author, b"auto-generated"),
        b"MIME-Version: 1.0",
    ]
    return b"\n".join(lines) + b"\n" + b"".join(fields.values()) + b"\n" + body
