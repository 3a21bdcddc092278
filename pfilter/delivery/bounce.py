"""The report to the sender that recipients were refused for their addresses, as Postfix's bounce(8) would make it.

A delivery status notification (RFC 3464, in the form of RFC 6522; with addresses in UTF-8, RFC 6533), from the null
sender. The message itself is out when it is made: whatever goes wrong here is an event, and no more.
"""

import os

from pfilter.base.log import Log
from pfilter.base.spool import Spool
from pfilter.base.text import printable, sentence, without_tokens
from pfilter.config.settings import Settings
from pfilter.delivery import own_mail
from pfilter.message.model import Envelope, Refused

HEADER_LIMIT = 50_000  # octets of the message's header that go back: Postfix's bounce_size_limit
LINE_LIMIT = 900  # octets; SMTP's is 998
SUBJECT = "Undelivered Mail Returned to Sender"
TEXT = """\
This is the mail system at host {host}.

Your message could not be delivered to the recipients below; all others got it.
Please check these addresses. The header of your message is attached.

{lines}
"""


def tell(refused: tuple[Refused, ...], sent: Spool, envelope: Envelope, settings: Settings, log: Log) -> None:
    """Log that recipients were refused, and report it to the envelope sender, if there is one. Raises nothing."""
    about = {"queue_id": envelope.queue_id, "sender": envelope.sender, "recipients": len(refused)}
    log.event("warning", "recipient refused", **about, reason=without_tokens(refused[0].said))
    if not envelope.sender:
        return
    try:
        # More time than a notification has: nobody else would ever tell the sender.
        own_mail.send(compose(refused, sent, envelope), envelope.sender, settings, seconds=settings.reinject_timeout)
    except Exception as error:  # noqa: BLE001  # it is sent: a failure now would send it again
        names = " ".join(one.address.decode("utf-8", "replace") for one in refused)
        log.event("error", "refusal not reported", **about, refused=names, reason=without_tokens(sentence(error)))


def compose(refused: tuple[Refused, ...], sent: Spool, envelope: Envelope) -> bytes:
    """Return the report as a message with LF line ends. Raises OSError."""
    host = _host(refused[0].server)
    lines = "\n".join(f"<{_shown(one.address)}>: {_line(one.said)}" for one in refused)
    header = _header(sent)
    addresses = (envelope.sender, *(one.address for one in refused))
    wide = b"" if all(address.isascii() for address in addresses) else b"global-"
    kind = b"utf-8" if wide else b"rfc822"
    boundary = b"pfilter-" + os.urandom(12).hex().encode("ascii")
    status = [b"Reporting-MTA: dns; " + host.encode("ascii")]
    if envelope.queue_id:
        status.append(b"X-Postfix-Queue-ID: " + _ascii(envelope.queue_id))
    for one in refused:
        status += [
            b"",
            b"Final-Recipient: " + kind + b"; " + one.address,
            b"Action: failed",
            b"Status: " + one.status.encode("ascii"),
            b"Remote-MTA: dns; " + _host(one.server).encode("ascii"),
            b"Diagnostic-Code: smtp; " + _ascii(one.said),
        ]
    entities = (
        own_mail.plain(TEXT.format(host=host, lines=lines)),
        _entity(b"message/" + wide + b"delivery-status", b"\n".join(status) + b"\n"),
        _entity(b"message/global-headers" if wide else b"text/rfc822-headers", header),
    )
    body = b"".join(b"--" + boundary + b"\n" + part + b"\n" for part in entities) + b"--" + boundary + b"--\n"
    content = _entity(b'multipart/report; report-type=delivery-status;\n\tboundary="' + boundary + b'"', body)
    author = f"MAILER-DAEMON@{host} (Mail Delivery System)"
    return own_mail.compose(author, envelope.sender, SUBJECT, own_mail.REPLIED, content)


def _entity(content_type: bytes, body: bytes) -> bytes:
    encoding = b"" if body.isascii() else b"Content-Transfer-Encoding: 8bit\n"
    return b"Content-Type: " + content_type + b"\n" + encoding + b"\n" + body


def _header(sent: Spool) -> bytes:
    """Return the message's header, cut at a line end where it is long."""
    start = sent.read(0, HEADER_LIMIT)
    whole = start.replace(b"\r\n", b"\n").replace(b"\r", b" ").replace(b"\0", b" ")
    if whole.startswith(b"\n"):
        return b""
    header, blank, _ = whole.partition(b"\n\n")
    if not blank and len(start) < sent.size:
        header = header.rpartition(b"\n")[0]
    return header.rstrip(b"\n") + b"\n" if header else b""


def _host(name: str) -> str:
    """Return a server's name where it is one, else this machine's."""
    for found in (name, os.uname().nodename):
        if found.isascii() and found.replace("-", "").replace(".", "").isalnum() and len(found) < 256:
            return found
    return "localhost"


def _line(text: str) -> str:
    return printable(text)[:LINE_LIMIT]


def _shown(address: bytes) -> str:
    return _line(address.decode("utf-8", "replace"))


def _ascii(text: str) -> bytes:
    return _line(text).encode("ascii", "replace")
