"""The mail to the sender: attachments became links, nothing need be done (RFC 3834). Best effort, once a message."""

from pfilter import header, notice, reinject, rewrite
from pfilter.model import Download, Envelope, Message
from pfilter.names import domain_of, header_texts
from pfilter.patterns import is_own
from pfilter.policy import Policy
from pfilter.spool import Spool, finished

SUBJECT = "Your attachments have been replaced with links"
TIME_LIMIT = 8  # seconds
SUBJECT_LIMIT = 200  # characters of the message's subject that are shown
BULK = (b"bulk", b"list", b"junk")


def why_not(message: Message, envelope: Envelope, policy: Policy) -> str:
    """Return why the sender is not told, or ""."""
    if not policy.notify_sender:
        return "notify.sender = false"
    if not envelope.sender:
        return "null sender"
    if any(octet < 32 or octet == 127 for octet in envelope.sender):
        return "sender with control characters"
    if not is_own(domain_of(envelope.sender), policy.own_domains):
        return "sender is not ours"
    if any(field.name.startswith(b"list-") for field in message.fields):
        return "list mail"
    if any(header.token(value) in BULK for value in message.values(b"precedence")):
        return "bulk mail"
    if any(header.token(value.split(b";")[0]) != b"no" for value in message.values(b"auto-submitted")):
        return "automatic mail"
    return ""


def notify(spool: Spool, message: Message, envelope: Envelope, download: Download, policy: Policy) -> None:
    """Send it, the way results are sent. Raises ReinjectError, OSError, ConfigError."""
    subject = b"".join(b"Subject:" + value for value in message.values(b"subject")[:1])
    shown = _subject(spool, message, subject)
    content = compose(message, envelope, download, shown, policy)
    mail = finished([content], str)
    # The message itself is sent; until this process ends, a crash would send it again.
    hurried = policy.replace(reinject_timeout=min(policy.reinject_timeout, TIME_LIMIT))
    try:
        reinject.send(mail, Envelope(sender=b"", recipients=(envelope.sender,)), hurried)
    finally:
        mail.close()


def _subject(spool: Spool, message: Message, field: bytes) -> str:
    if not field:
        return "(no subject)"
    if b"=?" not in field and field.isascii():
        return header.unfold(field.partition(b":")[2]).decode("ascii")[:SUBJECT_LIMIT]
    return header_texts(field)["subject"][:SUBJECT_LIMIT]


def compose(message: Message, envelope: Envelope, download: Download, subject: str, policy: Policy) -> bytes:
    """Return the notification as a message with LF line ends."""
    import os
    import time

    domain = domain_of(envelope.sender).decode("utf-8", "replace")
    author = policy.notify_from or f"postmaster@{domain}"
    known = message.message_id.encode("ascii", "ignore")
    fields, body = rewrite.text_entity(notice.notification(download, subject, policy), b"\n")
    lines = [
        b"From: " + author.encode("utf-8"),
        b"To: <" + envelope.sender + b">",
        b"Subject: " + header.encoded_words(SUBJECT, b"\n"),
        b"Date: " + _date(time.time()),
        f"Message-ID: <{time.time_ns()}.{os.getpid()}.{os.urandom(8).hex()}@{author.rpartition('@')[2]}>".encode(),
        b"Auto-Submitted: auto-replied",
        *([b"In-Reply-To: " + known, b"References: " + known] if known else []),
        b"MIME-Version: 1.0",
    ]
    return b"\n".join(lines) + b"\n" + b"".join(fields.values()) + b"\n" + body


def _date(seconds: float) -> bytes:
    """Return a date as RFC 5322, 3.3 has it, whatever the locale."""
    from time import gmtime

    when = gmtime(seconds)
    day = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[when.tm_wday]
    clock = f"{when.tm_hour:02}:{when.tm_min:02}:{when.tm_sec:02}"
    return f"{day}, {when.tm_mday} {notice.MONTHS[when.tm_mon - 1][:3]} {when.tm_year} {clock} +0000".encode("ascii")
