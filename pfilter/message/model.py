"""A message, its parts, and what Postfix tells beside it: values that are made once and never changed.

A message is octets in a file; a part is ranges of them. All offsets are absolute, in octets from the start of the
message as it was received; ranges are half open.
"""

from pfilter.base.frozen import Frozen


class Range(Frozen):
    """A run of octets: start inclusive, end exclusive."""

    start: int
    end: int

    @property
    def size(self) -> int:
        """Length in octets."""
        return self.end - self.start


class Field(Frozen):
    """A header field as it stands (RFC 5322, 2.2): `name` in lower case, `range` of all its lines with their ends.

    `value` is what follows the colon, raw: folded, with its line ends, which are LF where the message is in wire form.
    """

    name: bytes
    range: Range
    value: bytes


class Part(Frozen):
    """One entity of the message (RFC 2046): a leaf, a multipart, or a message/rfc822.

    `span` runs from the start of its delimiter line to the start of the next one of the same multipart; the span
    of the root is the whole message. `header` excludes the empty line; `body` excludes the line end that belongs
    to the next delimiter (RFC 2046, 5.1.1). `params` and `disposition_params` are pairs (name in lower case,
    value without quotes) as the sender wrote them: RFC 2231 and 2047 forms not decoded.
    """

    number: int  # position in Message.parts
    parent: int  # number of the enclosing part, -1 for the root
    section: str  # as IMAP names it (RFC 3501, 6.4.5): "1.2"; "" for the root
    span: Range
    header: Range
    body: Range
    fields: tuple[Field, ...]  # the Content-* fields
    type: bytes  # b"text/plain", lower case
    params: tuple[tuple[bytes, bytes], ...]
    encoding: bytes  # Content-Transfer-Encoding, lower case; b"7bit" where there is none
    disposition: bytes  # lower case; b"" where there is none
    disposition_params: tuple[tuple[bytes, bytes], ...]
    children: tuple[int, ...]
    closed: bool  # a multipart with its close delimiter; every other part
    embedded: bool  # inside a message/rfc822
    defect: str  # why this part is never edited; "" for a sound one

    @property
    def is_multipart(self) -> bool:
        """Whether it has parts of its own."""
        return self.type.startswith(b"multipart/")

    def field(self, name: bytes) -> Field | None:
        """Return the first Content-* field of that name (lower case)."""
        return next((field for field in self.fields if field.name == name), None)

    def param(self, name: bytes) -> bytes:
        """Return a parameter of Content-Type, b"" where there is none."""
        return next((value for key, value in self.params if key == name), b"")


class Message(Frozen):
    """A scanned message: parts in document order, the root first.

    `defects` say why its structure is ambiguous: parsers would disagree about it, so it is never edited.
    `fields` are those of the outermost header.
    """

    size: int
    lf_size: int  # octets with LF line ends where it is in wire form: what is compared with limits, and told
    eol: bytes  # b"\\n" or b"\\r\\n": that of its first line; b"\\n" in wire form, whose edits are written so
    parts: tuple[Part, ...]
    defects: tuple[str, ...]
    fields: tuple[Field, ...]

    @property
    def root(self) -> Part:
        """The outermost part."""
        return self.parts[0]

    def values(self, name: bytes) -> "list[bytes]":
        """Return the raw values of the header fields of that name (lower case), in order."""
        return [field.value for field in self.fields if field.name == name]

    @property
    def message_id(self) -> str:
        """The Message-ID as it stands, "" where there is none."""
        found = self.values(b"message-id")
        return b" ".join(found[0].split()).decode("ascii", "replace") if found else ""

    def ancestors(self, part: Part) -> "list[Part]":
        """Return the enclosing parts, nearest first."""
        found = []
        while part.parent >= 0:
            part = self.parts[part.parent]
            found.append(part)
        return found


class Envelope(Frozen):
    """What Postfix tells beside the message. Addresses as RFC 5321 writes them, quoted where they must be."""

    sender: bytes  # b"" is the null sender
    recipients: tuple[bytes, ...]
    queue_id: str = ""
    client: str = ""  # IP address
    helo: str = ""
    sasl_user: str = ""
    dsn: bytes = b""  # MAIL's parameters of RFC 3461 as they came: b"RET=HDRS ENVID=x"
    recipient_dsn: tuple[bytes, ...] = ()  # RCPT's, one for each recipient; () where nothing was said

    def only(self, chosen: "tuple[int, ...]") -> "Envelope":
        """Return the envelope for the recipients of these indices alone."""
        return self.replace(
            recipients=tuple(self.recipients[index] for index in chosen),
            recipient_dsn=tuple(self.recipient_dsn[index] for index in chosen) if self.recipient_dsn else (),
        )


class Refused(Frozen):
    """A recipient whom the SMTP server refused: for good, for the address alone (5.1.x), or for now (4.x.x)."""

    address: bytes
    status: str  # RFC 3463: "5.1.3"
    said: str  # the server's reply: "501 5.1.3 Bad recipient address syntax"
    server: str  # its name, as it greets
    index: int = 0  # in Envelope.recipients: the same address may stand there twice
