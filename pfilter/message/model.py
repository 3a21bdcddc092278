"""The values that stages hand to each other: made once, never changed.

A message is octets in a file; a part is ranges of them. All offsets are absolute, in octets from the start of the
message as it was received; ranges are half open.
"""

from pfilter.base.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pfilter.base.spool import Spool


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

    `value` is what follows the colon, raw: folded, with its line ends but the last.
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
    eol: bytes  # b"\\n" or b"\\r\\n": that of its first line
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


class Refused(Frozen):
    """A recipient whom the SMTP server refused, for good, for the address alone."""

    address: bytes
    status: str  # RFC 3463: "5.1.3"
    said: str  # the server's reply: "501 5.1.3 Bad recipient address syntax"
    server: str  # its name, as it greets


class AttachmentFacts(Frozen):
    """What `measure` found out about one attachment."""

    part: int  # number of the part
    name: str  # safe file name
    size: int  # decoded octets; where nothing depends on it, estimated
    wire: int  # octets that it takes in the message, delimiter and header included
    zip_size: int = -1  # octets of the finished zip; -1: is not zipped
    zip_wire: int = -1  # octets that the zip takes in the message in its place
    why_no_zip: str = ""


class Measured(Frozen):
    """What decisions need to know about a message beyond its structure."""

    attachments: tuple[AttachmentFacts, ...] = ()  # those that may be edited, in document order
    kept: tuple[tuple[int, str], ...] = ()  # other named parts, and why they are left alone
    protection: str = ""  # why nothing at all may be touched


class Action(Frozen):
    """What happens to one part, and why. `what` is "keep", "zip", "link", "strip" or "drop" (a form of the body)."""

    part: int
    what: str
    reason: str
    name: str = ""
    size: int = 0  # decoded octets
    zip_size: int = 0  # octets of the zip, where it becomes one
    event: str = ""  # the log's name for it: "compress", "part size", "bandwidth", "unknown sender"


class Plan(Frozen):
    """What happens to a message. `reason` says why it passes untouched, or what was the cause of the change."""

    reason: str
    actions: tuple[Action, ...] = ()  # one for each attachment, in document order
    remarks: tuple[str, ...] = ()  # what the log should say besides

    def chosen(self, what: str) -> "list[Action]":
        """Return the actions of one kind."""
        return [action for action in self.actions if action.what == what]

    @property
    def changes(self) -> bool:
        """Whether anything is to be done."""
        return any(action.what != "keep" for action in self.actions)


class Edit(Frozen):
    """A range of the message replaced by finished octets, or by a finished file of known length."""

    range: Range
    content: "bytes | Spool"

    @property
    def growth(self) -> int:
        """By how many octets the message grows."""
        size = len(self.content) if isinstance(self.content, bytes) else self.content.size
        return size - self.range.size


class Link(Frozen):
    """A stored file as readers are told of it."""

    name: str  # safe file name, unique in its message
    size: int  # octets
    sha256: str
    url: str


class Download(Frozen):
    """The stored files of one message."""

    id: str
    url: str  # of the page
    links: tuple[Link, ...]
    until: int  # promised date, seconds since the epoch


class Outcome(Frozen):
    """What became of a message: for the log, and the line that Postfix logs."""

    linked: int = 0
    zipped: int = 0
    stripped: int = 0
    size_in: int = 0
    size_out: int = 0
    note: str = ""  # why it passed: decide.in_a_word, or what kept a change from being made
    held: str = ""  # why it was not sent but is in quarantine

    def line(self) -> str:
        """Return one line such as `1 linked, 2 zipped, 18.4 MB -> 41 kB`, or `passed (signed)`."""
        if self.held:
            return f"quarantined ({self.held})"
        counts = ((self.linked, "linked"), (self.zipped, "zipped"), (self.stripped, "stripped"))
        done = ", ".join(f"{count} {word}" for count, word in counts if count)
        if not done:
            return f"passed ({self.note})" if self.note else "passed"
        from pfilter.base.text import human_size  # not for what passes

        sizes = f"{human_size(self.size_in)} -> {human_size(self.size_out)}"
        return f"{done}, {sizes}" + (f" ({self.note})" if self.note else "")
