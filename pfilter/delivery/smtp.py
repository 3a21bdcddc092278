"""Messages to an SMTP server (RFC 5321), one transaction each.

Not smtplib: its sendmail() goes on to DATA when recipients were refused for any reason, and importing it costs 35 ms.

`send` is for who can only say one thing of a message: all recipients get it that have an address, or none. Any refusal,
4xx or 5xx, means RSET and an error: a broken relay must not bounce a company's mail. Only a recipient who is refused,
for good, for the address alone is left out, and told of: the server would say so for ever.

A `Way` is for who can answer each recipient by himself, and has many messages: it keeps its connection. MAIL, all RCPT
and DATA go out in one write (RFC 2920), and nothing of the content before each of them is answered. A message is sent
again, on a new connection, only where nothing of its content can have gone out: else it might come twice.
"""

import os
from time import monotonic

from pfilter.base.errors import ReinjectError
from pfilter.base.spool import Spool
from pfilter.delivery.smtp_connection import Connection, LostError
from pfilter.delivery.smtp_transaction import Transaction
from pfilter.message.model import Envelope, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

BYE_LIMIT = 1  # second


def send(
    message: Spool,
    envelope: Envelope,
    server: str,
    seconds: float,
    done_seconds: float = 0,
    meanwhile: "Callable[[], None] | None" = None,
) -> tuple[Refused, ...]:
    """Send a message with its envelope; return the recipients refused for their addresses, who did not get it.

    Raises ReinjectError where nobody gets it, RecipientsError where all were refused for their addresses.
    All up to the final dot has so many seconds; the answer to that has `done_seconds` of its own, since a server that
    is only slow has the message (RFC 5321, 4.5.3.2.6: 10 minutes), or what is left where they are 0. `meanwhile` is
    called while the server takes the message over, and must not raise.
    """
    way = Way(server)
    transaction = Transaction(message, envelope, done_seconds, meanwhile, apart=False)
    try:
        refused = way.take(transaction, seconds)
        way.close()
    except MemoryError:
        if transaction.taken is None:
            raise
        return transaction.taken
    return refused


class Way:
    """A connection to `server` that is kept over messages, and opened at first need."""

    def __init__(self, server: str) -> None:
        self.server = server
        self._connection: Connection | None = None

    def lead_to(self, server: str) -> None:
        """Go to another server from now on, where it is another."""
        if server != self.server:
            self.close()
            self.server = server

    def send(
        self,
        message: Spool,
        envelope: Envelope,
        seconds: float,
        done_seconds: float = 0,
        meanwhile: "Callable[[], None] | None" = None,
    ) -> tuple[Refused, ...]:
        """Send a message with its envelope; return the recipients who were refused and did not get it.

        A status of 5.1.x says that it is for good, and for the address alone; any other refusal has 4.x.x, 5xx too.
        Raises ReinjectError where nobody gets it, RecipientsError where all were refused for their addresses. Time
        limits and `meanwhile` are those of the function `send`. The connection is kept, but not after an error.
        """
        return self.take(Transaction(message, envelope, done_seconds, meanwhile, apart=True), seconds)

    def take(self, transaction: Transaction, seconds: float) -> tuple[Refused, ...]:
        """Carry a transaction through, on another connection where the one that was kept turns out to be closed."""
        end = monotonic() + seconds
        try:
            if self._connection and not self._connection.is_quiet():
                self.drop()
            is_kept = self._connection is not None
            try:
                return transaction.run(self._open(end))
            except LostError:
                if not is_kept or transaction.has_begun:
                    raise
            self.drop()
            return transaction.run(self._open(end))
        except MemoryError:
            self._connection = None  # which closes it, and calls nothing that might want memory
            if transaction.taken is None:
                raise
            return transaction.taken
        except OSError as error:
            self.drop()
            raise ReinjectError(f"SMTP server {self.server}: {error.strerror or error}") from error
        except BaseException:
            self.drop()
            raise

    def _open(self, end: float) -> Connection:
        if self._connection is None:
            self._connection = Connection(self.server, end, own_name(self.server))
        self._connection.end = end
        return self._connection

    def close(self) -> None:
        """Say good-bye, if they listen, and hang up."""
        if self._connection is None:
            return
        # The messages are theirs: nothing that fails from here on may look like a failure.
        try:
            self._connection.end = monotonic() + BYE_LIMIT
            self._connection.write(b"QUIT\r\n")
        except Exception:  # noqa: BLE001, S110  # MemoryError is one
            pass
        self.drop()

    def drop(self) -> None:
        """Hang up without a word."""
        connection, self._connection = self._connection, None
        if connection:
            connection.close()


def own_name(server: str) -> bytes:
    """Return what we call ourselves to a server (RFC 5321, 4.1.1.1), and nobody else does: it marks loops.

    Another pfilter on this machine has another port to hand its mail back to.
    """
    host = "".join(c if c.isascii() and (c.isalnum() or c in "-.") else "-" for c in os.uname().nodename).strip("-.")
    port = server.rpartition(":")[2]
    return f"pfilter-{port if port.isdecimal() else 0}.{host or 'localhost'}".encode("ascii")
