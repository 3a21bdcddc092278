"""SMTP, octet by octet: what is sent is what a test says, quoting, dots and missing line ends included."""

import re
import socket
from collections.abc import Iterable
from typing import Self

LIMIT = 30.0  # seconds that anything may take; usually less than one


class RefusedError(Exception):
    """The server said no."""


class Client:
    """An SMTP client that changes nothing."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), LIMIT)
        self._replies = self._socket.makefile("rb")
        self._expect("2")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._replies.close()
        self._socket.close()

    def _expect(self, wanted: str) -> str:
        while (line := self._replies.readline().decode("utf-8", "replace"))[3:4] == "-":
            pass
        if not line.startswith(wanted):
            raise RefusedError(line.strip())
        return line.strip()

    def command(self, line: str, wanted: str = "2") -> str:
        """Send a line and return the last line of the reply. Raises RefusedError."""
        self._socket.sendall(line.encode("utf-8") + b"\r\n")
        return self._expect(wanted)

    def data(self, octets: bytes) -> str:
        """Send a message by DATA, its octets as they are, dots doubled (RFC 5321, 4.5.2)."""
        self.command("DATA", "3")
        stuffed = re.sub(rb"(?m)^\.", b"..", octets)
        self._socket.sendall(stuffed + (b".\r\n" if stuffed.endswith(b"\r\n") else b"\r\n.\r\n"))
        return self._expect("2")

    def bdat(self, octets: bytes) -> str:
        """Send a message in one chunk (RFC 3030): the only way to end it without a line end."""
        self._socket.sendall(b"BDAT %d LAST\r\n" % len(octets) + octets)
        return self._expect("2")


def submit(
    port: int,
    octets: bytes,
    sender: str,
    recipients: Iterable[str],
    *,
    xclient: dict[str, str] | None = None,
    helo: str = "client.example.org",
    chunk: bool = False,
    mail_dsn: str = "",
    rcpt_dsn: str = "",
) -> str:
    """Send a message to a port and return its queue id. `xclient` plays another client: ADDR, HELO, LOGIN.

    `mail_dsn` and `rcpt_dsn` are parameters of RFC 3461, for MAIL and each RCPT.
    """
    recipients = list(recipients)
    with Client(port) as client:
        client.command(f"EHLO {helo}")
        if xclient:
            client.command("XCLIENT " + " ".join(f"{name}={value}" for name, value in xclient.items()))
            client.command(f"EHLO {helo}")
        parameters = "" if octets.isascii() else " BODY=8BITMIME"
        parameters += "" if all(map(str.isascii, [sender, *recipients])) else " SMTPUTF8"
        client.command(f"MAIL FROM:<{sender}>{parameters} {mail_dsn}".rstrip())
        for recipient in recipients:
            client.command(f"RCPT TO:<{recipient}> {rcpt_dsn}".rstrip())
        said = client.bdat(octets) if chunk else client.data(octets)
        client.command("QUIT")
    found = re.search(r"queued as (\w+)", said)
    assert found, said
    return found[1]
