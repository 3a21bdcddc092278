"""A message as it arrived behind the last Postfix."""

import email
import email.message
import email.policy
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass
class Arrived:
    """A message at the sink: envelope and octets as they were on the wire."""

    mail: str  # what stood behind MAIL FROM:
    recipients: list[str]
    raw: bytes
    parameters: list[str]  # what stood behind each recipient

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what the sink wrote: the envelope in a file of its own, beside the message."""
        envelope = json.loads(path.read_text())
        return cls(envelope["mail"], envelope["rcpt"], path.with_suffix(".eml").read_bytes(), envelope["parameters"])

    @property
    def sender(self) -> str:
        """The envelope sender, without angle brackets and parameters."""
        return self.mail.rpartition(">")[0].removeprefix("<")

    @property
    def message(self) -> email.message.EmailMessage:
        """The message, parsed."""
        return email.message_from_bytes(self.raw, policy=email.policy.default)

    @property
    def hops(self) -> int:
        """How many Received fields stand on top."""
        return len(re.findall(rb"(?i)(?:^|\n)Received:", self.raw[: len(self.raw) - len(self.content)]))

    @property
    def content(self) -> bytes:
        """The octets without the Received fields on top."""
        received = re.match(rb"(?i)(?:Received:.*\r\n(?:[ \t].*\r\n)*)*", self.raw)
        assert received
        return self.raw[received.end() :]

    def body(self, kind: str) -> str:
        """Return the text of the first displayed body of a type, as a mail client shows it; "" where there is none."""
        for part in self.message.walk():
            if part.get_content_type() == kind and part.get_content_disposition() != "attachment":
                payload = part.get_payload(decode=True)
                assert isinstance(payload, bytes)
                try:
                    return payload.decode(part.get_content_charset("ascii"))
                except LookupError:
                    return payload.decode("latin-1")
        return ""

    @property
    def text(self) -> str:
        """The text body."""
        return self.body("text/plain")

    @property
    def html(self) -> str:
        """The HTML body."""
        return self.body("text/html")

    @property
    def files(self) -> dict[str, bytes]:
        """The attachments by name."""
        parts = [part for part in self.message.walk() if part.get_filename() and not part.is_multipart()]
        found = {str(part.get_filename()): part.get_payload(decode=True) for part in parts}
        assert len(found) == len(parts)
        return found  # type: ignore[return-value]
