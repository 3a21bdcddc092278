"""The result goes back to Postfix: by sendmail(1), or by SMTP. One attempt, all recipients or none.

A recipient whose address smtpd(8) does not take is the exception. sendmail(1) takes any: Postfix bounces by itself.
"""

import os

from pfilter.base.errors import ReinjectError
from pfilter.base.spool import Spool
from pfilter.config.settings import Settings
from pfilter.message.model import Envelope, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

POSTCONF_SECONDS = 10
QUEUE_FILE_OCTETS = 2048  # what a queue file holds beside the content and addresses (measured: some 1100)
RECORD_OCTETS = 64  # and beside the octets of each address


def send(
    message: Spool, envelope: Envelope, settings: Settings, meanwhile: "Callable[[], None] | None" = None
) -> tuple[Refused, ...]:
    """Hand a complete message over; return the recipients who were refused for their addresses and did not get it.

    Raises ReinjectError; then it may have been taken all the same. Raises RecipientsError where all were refused.
    `meanwhile` is called while Postfix works, and must not raise.
    """
    if settings.reinject_method == "smtp":
        from pfilter.delivery import smtp

        limits = (settings.reinject_timeout, settings.reinject_data_done_timeout)
        return smtp.send(message, envelope, settings.reinject_smtp, *limits, meanwhile)
    _by_sendmail(message, envelope, settings, meanwhile)
    return ()


def _by_sendmail(
    message: Spool, envelope: Envelope, settings: Settings, meanwhile: "Callable[[], None] | None"
) -> None:
    """-G: a gateway, so headers stay as they are. -i: a line with a single dot is a line (Postfix, sendmail(1))."""
    from pfilter.base.child import run

    os.lseek(message.fd, 0, os.SEEK_SET)
    argv = [os.fsencode(settings.reinject_sendmail), b"-G", b"-i", b"-f", envelope.sender, b"--", *envelope.recipients]

    def more() -> float:
        """Once it has read all it may have queued it, and to kill it would send the message twice."""
        try:
            read = os.lseek(message.fd, 0, os.SEEK_CUR)
        except OSError:
            read = message.size
        return settings.reinject_data_done_timeout if read >= message.size else 0

    try:
        status, said = run(argv, message.fd, settings.reinject_timeout, meanwhile, more)
    except OSError as error:
        from pfilter.base.text import sentence

        raise ReinjectError(f"{settings.reinject_sendmail}: {sentence(error)}") from error
    if status:
        ended = f"exited with {status}" if status > 0 else f"was killed by signal {-status}"
        raise ReinjectError(f"{settings.reinject_sendmail} {ended}: {said.strip() or 'no reason given'}")


def size_limit(settings: Settings, envelope: Envelope) -> int:
    """Return how many octets of content go back with this envelope, 0 where there is no limit or nobody knows."""
    if settings.reinject_max_size:
        return settings.reinject_max_size
    said = postconf(settings, "message_size_limit")
    # Postfix's limit is for the queue file, envelope included: each address stands there up to three times.
    addresses = sum(3 * len(address) + RECORD_OCTETS for address in (envelope.sender, *envelope.recipients))
    return max(1, int(said) - QUEUE_FILE_OCTETS - addresses) if said.isdecimal() and int(said) else 0


def postconf(settings: Settings, parameter: str) -> str:
    """Return what Postfix is configured to, "" where nobody says."""
    lines = postconf_lines(settings, "-h", parameter)  # warnings come first
    return lines[-1].strip() if lines else ""


def postconf_lines(settings: Settings, *arguments: str) -> list[str]:
    """Return what postconf(1) answers, warnings first, nothing where it can't be asked."""
    from pfilter.base.child import run

    beside = os.path.join(os.path.dirname(settings.reinject_sendmail), "postconf")
    command = beside if os.access(beside, os.X_OK) else "/usr/sbin/postconf"
    empty = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    try:
        status, said = run([command, *arguments], empty, POSTCONF_SECONDS)
    except (OSError, ReinjectError):
        return []
    finally:
        os.close(empty)
    return said.strip().splitlines() if status == 0 else []


def refuse_loop(received: bytes, settings: Settings) -> None:
    """Raise LoopError where a message's newest Received field says that we ourselves have just reinjected it.

    pickup(8) writes `by HOST (Postfix, from userid 990)`, smtpd(8) `from NAME (HOST [ADDRESS])`, with the name from
    EHLO and the address of the connection: XFORWARD changes neither (measured with Postfix 3.7).
    """
    words = received.lower().split(None, 3)
    if settings.reinject_method == "sendmail":
        # Clients choose what stands behind "from", and may choose this text.
        if words[1:2] == [b"by"] and b"from userid %d)" % os.getuid() in received:
            raise _loop("content_filter must not apply to pickup(8) while [reinject] method is sendmail")
        return
    from pfilter.delivery import smtp

    if words[1:3] == [b"from", smtp.own_name(settings.reinject_smtp).lower()] and _is_near(words[3:], settings):
        raise _loop(f"what comes back at {settings.reinject_smtp} goes to the filter: set -o content_filter= there")


def _is_near(client: list[bytes], settings: Settings) -> bool:
    """Whether a client had an address of loopback, where the way back is on loopback."""
    if not settings.reinject_smtp.startswith(("127.", "localhost:", "[::1]:")):
        return True
    address = client[0].partition(b"[")[2] if client else b""
    return address.startswith((b"127.", b"ipv6:::1]"))


def _loop(remedy: str) -> Exception:
    from pfilter.base.errors import LoopError

    return LoopError(
        f"loop: this message has just been reinjected by this filter; {remedy}; "
        "then postsuper -r frees it (pfilter-pipe(8), LOOPS)"
    )
