"""A spooled message becomes a flat tuple of parts (RFC 2045, 2046), without decoding anything.

Contract: one pass, forward only, memory by the number of parts and never by their size; never an exception for what a
message contains. Where parsers in the field disagree about the structure, `Message.defects` says why, and nobody
edits that message. Rules:

- A delimiter is a line `--boundary`, optionally `--`, then blanks only (RFC 2046, 5.1.1). A line that starts like a
  delimiter and goes on is ambiguous: Postfix (mime_state.c) takes it for one, the stdlib does not.
- A boundary may go on from an outer one: whole lines are compared. The other way round is ambiguous.
- A close delimiter that is repeated ends nothing more. A delimiter at the very end starts a part of no octets.
- A transfer encoding on a multipart is not applied (RFC 2045, 6.4), as by all parsers.
- Delimiters of outer multiparts win. An inner one left open then is ambiguous; left open at the end of the message,
  with everything else in order, it is common and clear.
- A message/rfc822 is opened, so that what is signed inside is seen, unless it is encoded. What is unsound inside does
  not matter to us: it is only ever handled as a whole.
- A bare CR is no line end to us, but to others: before something like a delimiter it is ambiguous.
"""

from pfilter.base.limits import Limits
from pfilter.base.spool import Spool
from pfilter.message import field_values, header
from pfilter.message.delimiters import Delimiters, confuses
from pfilter.message.model import Field, Message, Part, Range

IDENTITY = (b"7bit", b"8bit", b"binary")
ENCODINGS = (*IDENTITY, b"base64", b"quoted-printable")
BOUNDARY_OCTETS = bytes(octet for octet in range(32, 127) if octet not in b'"\\')  # more than RFC 2046's bchars
KEPT_PER_PART = 10  # Content-* fields and parameters that are kept, on the average of the parts that may be
KEPT_OCTETS_PER_PART = 1024
READ_PER_PART = 30  # fields of headers that are read at all, and their octets, as above
READ_OCTETS_PER_PART = 2048
DELIMITERS_PER_PART = 2  # a multipart has one more than it has parts
SINGLE_FIELDS = (b"content-type", b"content-transfer-encoding", b"content-disposition")


class _Draft:
    """A part while the scanner is in it."""

    def __init__(self, number: int, parent: int, section: str, start: int, embedded: bool) -> None:
        self.number = number
        self.parent = parent
        self.section = section
        self.start = start
        self.embedded = embedded
        self.children: list[int] = []
        self.boundary = b""
        self.started = False  # a delimiter was seen
        self.closed = False  # the close delimiter was seen
        self.span_end = -1
        self.body_end = -1
        self.defect = ""
        self.header = Range(start=start, end=start)
        self.body_start = start
        self.fields: tuple[Field, ...] = ()
        self.type = b"text/plain"
        self.params: tuple[tuple[bytes, bytes], ...] = ()
        self.encoding = b"7bit"
        self.disposition = b""
        self.disposition_params: tuple[tuple[bytes, bytes], ...] = ()

    def finish(self) -> Part:
        return Part(
            number=self.number,
            parent=self.parent,
            section=self.section,
            span=Range(start=self.start, end=self.span_end),
            header=self.header,
            body=Range(start=self.body_start, end=max(self.body_start, self.body_end)),
            fields=self.fields,
            type=self.type,
            params=self.params,
            encoding=self.encoding,
            disposition=self.disposition,
            disposition_params=self.disposition_params,
            children=tuple(self.children),
            closed=self.closed or not self.boundary,
            embedded=self.embedded,
            defect=self.defect,
        )


def scan(spool: Spool, limits: Limits | None = None) -> Message:
    """Return the message's parts. Raises OSError, and nothing for what is in the message."""
    return _Scanner(spool, limits or Limits()).run()


class _Scanner:
    def __init__(self, spool: Spool, limits: Limits) -> None:
        self.spool = spool
        self.limits = limits
        self.drafts: list[_Draft] = []
        self.open: list[_Draft] = []  # the entities around the current position, outermost first
        self.defects: dict[str, None] = {}  # in order, each once
        self.first = spool.find(b"\n", 0, min(spool.size, limits.header + bool(spool.wire)))
        eol = b"\r\n" if self.first > 0 and spool.read(self.first - 1, self.first) == b"\r" else b"\n"
        self.eol = b"\n" if spool.wire else eol
        self.delimiters = Delimiters(spool, eol, limits.boundary, self.defects)
        self.passed = 0  # delimiters
        self.read_fields_count = 0
        self.read_octets = 0
        self.full = False  # a limit was reached
        self.kept = 0  # fields and parameters
        self.kept_octets = 0
        self.fields: tuple[Field, ...] = ()

    def run(self) -> Message:
        size = self.spool.size
        start = 0
        if self.spool.read(0, 5) == b"From " and self.first > 0:
            start = self.first + 1  # QUIRK: an mbox separator (RFC 4155), which sendmail(1) and the stdlib skip too
        position = self.enter(start, start, parent=None)
        while not self.full:
            found = self.delimiters.following(position)
            if not found:
                break
            position = self.pass_delimiter(*found)
        self.leave(down_to=0, body_end=size, span_end=size, at_end=True)
        self.delimiters.check_bare_cr()
        parts = tuple(draft.finish() for draft in self.drafts)
        return Message(
            size=size,
            lf_size=self.spool.lf_size,
            eol=self.eol,
            parts=parts,
            defects=tuple(self.defects),
            fields=self.fields,
        )

    def enter(self, delimiter: int, start: int, parent: _Draft | None) -> int:
        """Read the header of an entity and of what it consists of; return where its content goes on."""
        draft = self.new_draft(delimiter, parent)
        block = header.read_block(self.spool, start, self.spool.size, self.limits.header, self.delimiters.has)
        draft.header, draft.body_start = block.range, block.body_start
        if block.defect:
            self.unsound(draft, block.defect)
        if parent is None:
            self.fields = block.fields
        self.count_read(block)
        if block.over_limit:
            self.stop(block.defect)  # wherever it is: what follows was not looked at
        elif block.body_start == start and self.delimiters.starts(start):
            self.unsound(draft, "delimiter directly after a delimiter")  # an empty part to us, none to the stdlib
        self.read_fields(draft, block.fields, parent)
        self.open.append(draft)
        if len(self.open) > self.limits.nesting:
            self.stop(f"nested deeper than {self.limits.nesting}")
        elif draft.type.startswith(b"multipart/"):
            self.enter_multipart(draft)
        elif draft.type in (b"message/rfc822", b"message/global") and draft.encoding in IDENTITY and not self.full:
            return self.enter(draft.body_start, draft.body_start, parent=draft)
        return draft.body_start

    def count_read(self, block: header.Block) -> None:
        """Count what was read of headers, with an end where that is too much: each line of them takes its time."""
        self.read_fields_count += len(block.fields)
        self.read_octets += block.octets
        if self.read_fields_count > header.FIELD_LIMIT + READ_PER_PART * self.limits.parts:
            self.stop("too many header fields in all parts")
        if self.read_octets > self.limits.header + READ_OCTETS_PER_PART * self.limits.parts:
            self.stop("too many octets in the headers of all parts")

    def new_draft(self, start: int, parent: _Draft | None) -> _Draft:
        number = len(self.drafts)
        if number >= self.limits.parts:
            self.stop(f"more than {self.limits.parts} parts")
        if parent is None:
            draft = _Draft(number, -1, "", start, embedded=False)
        else:
            embedded = parent.embedded or parent.type.startswith(b"message/")
            section = f"{parent.section}.{len(parent.children) + 1}".lstrip(".")
            draft = _Draft(number, parent.number, section, start, embedded)
            parent.children.append(number)
        self.drafts.append(draft)
        return draft

    def read_fields(self, draft: _Draft, fields: tuple[Field, ...], parent: _Draft | None) -> None:
        if parent is not None and parent.type == b"multipart/digest":
            draft.type = b"message/rfc822"  # RFC 2046, 5.1.5
        draft.fields = tuple(field for field in fields if field.name.startswith(b"content-"))
        if not self.may_keep(len(draft.fields), sum(len(field.value) for field in draft.fields)):
            draft.fields = ()
        seen = set()
        for field in draft.fields:
            if field.name in SINGLE_FIELDS and field.name in seen:
                self.unsound(draft, f"more than one {field.name.decode('ascii')}")
                continue
            seen.add(field.name)
            if field.name == b"content-type":
                self.read_type(draft, field.value)
            elif field.name == b"content-transfer-encoding":
                draft.encoding = field_values.token(field.value) or b"7bit"
                if b"(" in field.value:
                    draft.defect = draft.defect or "comment in Content-Transfer-Encoding"
            elif field.name == b"content-disposition":
                parsed = field_values.parameters(field.value)
                draft.disposition, draft.disposition_params = parsed.token, parsed.pairs
                draft.defect = draft.defect or parsed.defect
                if parsed.token.translate(None, field_values.TOKEN_OCTETS):
                    draft.defect = draft.defect or "malformed Content-Disposition"
        if not self.may_keep(len(draft.params) + len(draft.disposition_params), 0):
            draft.params = draft.disposition_params = ()
        composite = draft.type.startswith(b"multipart/")
        if composite and draft.encoding not in ENCODINGS:
            # RFC 2045, 6.4 forbids all but the identities. Of base64 and quoted-printable it is known that nobody
            # decodes them: whoever applied one has no delimiters that are seen, and that is told on leaving.
            self.unsound(draft, "multipart with an unknown transfer encoding")
        elif draft.encoding not in ENCODINGS:
            draft.defect = draft.defect or "unknown transfer encoding"

    def may_keep(self, count: int, octets: int) -> bool:
        """Count what is kept of the header of a part; False, and the end, where that is too much."""
        self.kept += count
        self.kept_octets += octets
        if self.kept > header.FIELD_LIMIT + KEPT_PER_PART * self.limits.parts:
            self.stop("too many Content-* fields and parameters")
            return False
        if self.kept_octets > self.limits.header + KEPT_OCTETS_PER_PART * self.limits.parts:
            self.stop("too many octets in Content-* fields")
            return False
        return True

    def read_type(self, draft: _Draft, value: bytes) -> None:
        parsed = field_values.parameters(value)
        main, slash, sub = parsed.token.partition(b"/")
        if (
            not (main and slash and sub)
            or parsed.token.translate(None, field_values.TOKEN_SPECIALS + b"/") != main + sub
        ):
            if main.strip().startswith((b"multipart", b"message")):
                self.unsound(draft, "malformed Content-Type of a multipart")
            draft.defect = draft.defect or "malformed Content-Type"  # text/plain then (RFC 2045, 5.2)
            return
        draft.type, draft.params = parsed.token, parsed.pairs
        if main == b"multipart" and any(b"\n" in quoted for quoted in value.split(b'"')[1::2]):
            self.unsound(draft, "line end within quotes in the Content-Type of a multipart")  # kept by the stdlib
        if main == b"multipart" and (parsed.defect or parsed.unusual):
            self.unsound(draft, parsed.defect or f"{parsed.unusual} in the Content-Type of a multipart")
        draft.defect = draft.defect or parsed.defect

    def enter_multipart(self, draft: _Draft) -> None:
        named = [value for name, value in draft.params if name.split(b"*")[0] == b"boundary"]
        boundary = named[0] if named else b""
        if not boundary:
            self.unsound(draft, "multipart without a boundary")
        elif len(named) > 1 or (b"boundary", boundary) not in draft.params:
            self.unsound(draft, "boundary in more than one form")
        elif len(boundary) > self.limits.boundary:
            self.unsound(draft, f"boundary over {self.limits.boundary} octets")
        elif boundary.startswith(b"<") and boundary.endswith(b">"):
            self.unsound(draft, "boundary in angle brackets")  # which the stdlib takes off
        elif boundary.translate(None, BOUNDARY_OCTETS) or boundary != boundary.strip():
            self.unsound(draft, "boundary with octets that are not allowed")
        else:
            for other in self.open:
                if other.boundary and confuses(other.boundary, boundary):
                    # Also between an embedded and an outer one: that decides where the outer part ends.
                    self.defects["boundary that is a prefix of another in use"] = None
            draft.boundary = boundary
            self.delimiters.add(draft.number, boundary)

    def pass_delimiter(self, start: int, end: int, number: int, closes: bool) -> int:
        """Close what the delimiter ends, enter what it starts; return where to go on."""
        draft = self.drafts[number]
        self.passed += 1
        if self.passed > DELIMITERS_PER_PART * self.limits.parts:
            self.stop(f"more than {DELIMITERS_PER_PART * self.limits.parts} delimiters")
            return end
        before = self.spool.read(max(0, start - 2), start)
        body_end = start - (2 if before == b"\r\n" else 1)
        level = self.open.index(draft)
        self.leave(down_to=level + 1, body_end=body_end, span_end=start, at_end=False)
        if draft.closed and not (closes and self.is_alone(draft)):
            self.unsound(draft, "delimiter after the close delimiter")
        draft.started = True
        if closes:
            draft.closed = True
            return end
        if end >= self.spool.size:
            if level or draft.type == b"multipart/digest":  # an empty message is read in more than one way
                self.unsound(draft, "delimiter at the end with nothing after it")
            added = len(self.drafts)
            self.enter(start, end, parent=draft)
            self.drafts[added].defect = "nothing after its delimiter"  # not even a place for a body
            return end
        return self.enter(start, end, parent=draft)

    def is_alone(self, draft: _Draft) -> bool:
        """Whether no multipart around this one has a boundary that its own starts with.

        Once closed, it is forgotten by Postfix, who would find the other one in a further close delimiter.
        """
        return not any(
            other is not draft and other.boundary and draft.boundary.startswith(other.boundary) for other in self.open
        )

    def leave(self, down_to: int, body_end: int, span_end: int, at_end: bool) -> None:
        """End the entities that are open from a level on."""
        left = self.open[down_to:]
        for draft in left:
            draft.body_end, draft.span_end = body_end, span_end
            if draft.boundary and not draft.started:
                self.unsound(draft, "multipart without its delimiter")
            elif draft.boundary and not draft.children:
                self.unsound(draft, "multipart without parts")
            elif draft.boundary and not draft.closed and not at_end:
                self.unsound(draft, "multipart that is not closed")
        del self.open[down_to:]
        if left:
            self.delimiters.drop(left[0].number)

    def unsound(self, draft: _Draft, why: str) -> None:
        draft.defect = draft.defect or why
        if not draft.embedded:
            self.defects[why] = None

    def stop(self, why: str) -> None:
        self.full = True
        self.defects[why] = None
