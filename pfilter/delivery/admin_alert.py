"""The mail to the administrator: a message is in quarantine. Best effort, and at most one in an interval."""

import os
import time

from pfilter.base.durable import locked
from pfilter.config.settings import Settings
from pfilter.delivery import own_mail
from pfilter.message.model import Envelope
from pfilter.notices import texts
from pfilter.store.kept import QUARANTINE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pfilter.delivery.smtp import Way

TOLD = ".told"  # when the last one was sent


def tell(name: str, reason: str, envelope: Envelope, settings: Settings, way: "Way | None" = None) -> bool:
    """Tell [notify] admin about a message; return whether it was time. Raises ReinjectError, OSError, ConfigError."""
    told = os.path.join(settings.store_path, QUARANTINE, TOLD)
    try:
        with locked(told, wait=False) as fd:
            last = os.fstat(fd)
            if last.st_size and time.time() - last.st_mtime < settings.notify_admin_interval:
                return False
            mail = compose(name, reason, envelope, settings)
            own_mail.send(mail, settings.notify_admin.encode("ascii"), settings, way)
            os.pwrite(fd, b"told\n", 0)
    except BlockingIOError:
        return False  # another filter is at it
    return True


def compose(name: str, reason: str, envelope: Envelope, settings: Settings) -> bytes:
    """Return the mail as a message with LF line ends. Raises ConfigError."""
    author = settings.notify_from or settings.notify_admin
    letter = texts.quarantined(name, reason, envelope, settings)
    to = settings.notify_admin.encode("ascii")
    return own_mail.compose(author, to, letter.subject, own_mail.GENERATED, own_mail.plain(letter.text))
