"""Whether a message comes from ourselves: then the wiring in master.cf sends what we hand over back to us."""

import os

from pfilter.base.spool import Spool
from pfilter.config.settings import Settings


def newest_received(spool: Spool) -> bytes:
    """Return the message's first Received field, b"" where there is none near its start."""
    start = b"\n" + spool.lf_read(0, 16384)
    blank = start.find(b"\n\n")
    blank = len(start) if blank < 0 else blank
    with_cr = start.find(b"\n\r\n", 0, blank)
    blank = blank if with_cr < 0 else with_cr
    found = start[:blank].lower().find(b"\nreceived:")
    if found < 0:
        return b""
    end = found + 1
    while True:
        end = start.find(b"\n", end) + 1
        if not end or start[end : end + 1] not in (b" ", b"\t"):
            return start[found + 1 : end or len(start)]


def refuse_loop(spool: Spool, settings: Settings) -> None:
    """Raise LoopError where a message's newest Received field says that we ourselves have just reinjected it.

    pickup(8) writes `by HOST (Postfix, from userid 990)`, smtpd(8) `from NAME (HOST [ADDRESS])`, with the name from
    EHLO and the address of the connection: XFORWARD changes neither (measured with Postfix 3.7).
    """
    received = newest_received(spool)
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
