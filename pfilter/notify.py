"""The mail to the sender: attachments became links, nothing need be done (RFC 3834). Best effort, once a message."""

from pfilter import header, language, notice, reinject, rewrite
from pfilter.model import Download, Envelope, Message
from pfilter.names import domain_of
from pfilter.patterns import is_own
from pfilter.policy import Policy
from pfilter.spool import Spool, finished

TIME_LIMIT = 8  # seconds
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
    content = compose(message, envelope, download, notice.subject_of(message), policy)
    send(content, envelope.sender, policy)


def send(content: bytes, recipient: bytes, policy: Policy) -> None:
    """Send a mail of our own, from the null sender. Raises ReinjectError, OSError."""
    mail = finished([content], str)
    # The message itself is done; until this process ends, a crash would do it again.
    hurried = policy.replace(reinject_timeout=min(policy.reinject_timeout, TIME_LIMIT), reinject_data_done_timeout=0)
    try:
        reinject.send(mail, Envelope(sender=b"", recipients=(recipient,)), hurried)
    finally:
        mail.close()


def compose(message: Message, envelope: Envelope, download: Download, subject: str, policy: Policy) -> bytes:
    """Return the notification as a message with LF line ends."""
    domain = domain_of(envelope.sender).decode("utf-8", "replace")
    author = policy.notify_from or f"postmaster@{domain}"
    known = message.message_id.encode("ascii", "ignore")
    letter = notice.notification(download, envelope.sender.decode("utf-8", "replace"), subject, policy)
    fields, body = rewrite.text_entity(letter.text, b"\n")
    lines = [
        b"From: " + author.encode("utf-8"),
        b"To: <" + envelope.sender + b">",
        b"Subject: " + header.encoded_words(letter.subject, b"\n"),
        *generated(author, b"auto-replied"),
        *([b"In-Reply-To: " + known, b"References: " + known] if known else []),
        b"MIME-Version: 1.0",
    ]
    return b"\n".join(lines) + b"\n" + b"".join(fields.values()) + b"\n" + body


def generated(author: str, how: bytes) -> "list[bytes]":
    """Return the header lines of every mail of our own: Date, Message-ID, Auto-Submitted (RFC 3834, 5)."""
    import os
    import time

    domain = author.rpartition("@")[2].rstrip(">")
    return [
        b"Date: " + _date(time.time()),
        f"Message-ID: <{time.time_ns()}.{os.getpid()}.{os.urandom(8).hex()}@{domain}>".encode(),
        b"Auto-Submitted: " + how,
    ]


def _date(seconds: float) -> bytes:
    """Return a date as RFC 5322, 3.3 has it, whatever the locale."""
    from time import gmtime

    when = gmtime(seconds)
    day = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[when.tm_wday]
    clock = f"{when.tm_hour:02}:{when.tm_min:02}:{when.tm_sec:02}"
    return f"{day}, {when.tm_mday} {language.MONTHS[when.tm_mon - 1][:3]} {when.tm_year} {clock} +0000".encode("ascii")
