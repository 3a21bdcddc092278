"""The mail to the sender: attachments became links, nothing need be done (RFC 3834). Best effort.

Once a message, up to `[notify] per_hour` of them; what follows within the hour is told in one.
"""

from pfilter.base import idn
from pfilter.config.settings import Settings
from pfilter.delivery import own_mail
from pfilter.message import decoded, field_values
from pfilter.message.addresses import domain_of, has_controls, matches, matches_domain
from pfilter.message.fields import encoded_words
from pfilter.message.model import Envelope, Message
from pfilter.notices import texts
from pfilter.store.record import Download

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pfilter.delivery.smtp import Way

BULK = (b"bulk", b"list", b"junk")
# Local parts that nobody reads, without the -, _ and . within them, and how those of returned mail begin.
ROBOTS = (b"noreply", b"donotreply", b"mailerdaemon", b"bounce", b"bounces")
VERP = (b"bounce-", b"bounces-")


def why_not(message: Message, envelope: Envelope, settings: Settings) -> str:
    """Return why the sender is not told, or ""."""
    if not settings.notify_sender:
        return "notify.sender = false"
    if not envelope.sender:
        return "null sender"
    if has_controls(envelope.sender):
        return "sender with control characters"
    if not matches_domain(domain_of(envelope.sender), settings.own_domains):
        return "sender is not ours"
    if is_robot(envelope.sender):
        return "robot"
    if matches(envelope.sender, settings.notify_never):
        return "notify.never"
    if any(field.name.startswith(b"list-") for field in message.fields):
        return "list mail"
    if any(field_values.token(value) in BULK for value in message.values(b"precedence")):
        return "bulk mail"
    if any(field_values.token(value.split(b";")[0]) != b"no" for value in message.values(b"auto-submitted")):
        return "automatic mail"
    return ""


def is_robot(address: bytes) -> bool:
    """Whether nobody reads mail to this address, going by its local part: no-reply, mailer-daemon, bounces."""
    local = address.rpartition(b"@")[0].lower().partition(b"+")[0]
    return local.replace(b"-", b"").replace(b"_", b"").replace(b".", b"") in ROBOTS or local.startswith(VERP)


def notify(
    message: Message,
    envelope: Envelope,
    download: Download,
    settings: Settings,
    held_back: str,
    way: "Way | None" = None,
) -> None:
    """Send it, the way results are sent, or hold it back in that file. Raises ReinjectError, OSError, ConfigError."""
    subject = decoded.subject_of(message)
    if settings.notify_per_hour:
        from time import time

        from pfilter.delivery import heldback

        key = idn.address(envelope.sender).decode("utf-8", "surrogateescape")
        to = envelope.sender.decode("utf-8", "surrogateescape")
        try:
            if not heldback.admit(held_back, key, to, subject, download, settings.notify_per_hour, time()):
                return
        except (OSError, ValueError):
            pass  # what can't be kept is told at once
    own_mail.send(compose(message, envelope, download, subject, settings), envelope.sender, settings, way)


def catch_up(settings: Settings, held_back: str, way: "Way | None" = None) -> None:
    """Send one sender the mail about what was held back from him. Raises ReinjectError, OSError, ConfigError."""
    from time import time

    from pfilter.delivery import heldback

    found = heldback.take(held_back, time())
    if not found:
        return
    key, to, downloads = found
    sender = to.encode("utf-8", "surrogateescape")
    letter = texts.summary(downloads, sender.decode("utf-8", "replace"), settings)
    own_mail.send(_mail(letter, sender, own_mail.GENERATED, [], settings), sender, settings, way)
    heldback.sent(held_back, key, len(downloads), time())


def compose(message: Message, envelope: Envelope, download: Download, subject: str, settings: Settings) -> bytes:
    """Return the notification as a message with LF line ends."""
    known = message.message_id.encode("ascii", "ignore")
    letter = texts.notification(download, envelope.sender.decode("utf-8", "replace"), subject, settings)
    references = [b"In-Reply-To: " + known, b"References: " + known] if known else []
    return _mail(letter, envelope.sender, own_mail.REPLIED, references, settings)


def _mail(letter: texts.Letter, to: bytes, how: bytes, references: "list[bytes]", settings: Settings) -> bytes:
    author = settings.notify_from or f"postmaster@{domain_of(to).decode('utf-8', 'replace')}"
    if settings.notice_organisation and "<" not in author:
        author = f"{_phrase(texts.service(to.decode('utf-8', 'replace'), settings))} <{author}>"
    return own_mail.compose(author, to, letter.subject, how, own_mail.plain(letter.text), references)


def _phrase(text: str) -> str:
    """Return a display name as From has it (RFC 5322, 3.2.5; RFC 2047, 5)."""
    if text.isascii():
        quoted = text.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}"'
    return encoded_words(text, b"\n").decode("ascii")
