"""What other parsers see in another way than pfilter, and why pfilter edits such mail all the same."""

import re
from collections.abc import Callable
from typing import NamedTuple

from pfilter.message.model import Part
from tests.tools.differential.compare import Disagreement, Ours


def reason(one: Disagreement, seen: Ours, data: bytes) -> str:
    """Return why a disagreement is no reason to leave a message alone, or ""."""
    parts = [part for part in seen.message.parts if part.section == one.section and not part.embedded]
    case = Case(one, parts[0] if parts else None, seen, data)
    return next((why for why, applies in EXCEPTIONS.items() if applies(case)), "")


class Case(NamedTuple):
    """A disagreement, and all that is known about it."""

    one: Disagreement
    part: "Part | None"
    seen: Ours
    data: bytes

    @property
    def encoding(self) -> bytes:
        """The transfer encoding of the part."""
        return self.part.encoding if self.part else b""

    @property
    def body(self) -> bytes:
        """The octets of the part, without CR."""
        return self.data[self.part.body.start : self.part.body.end].replace(b"\r", b"") if self.part else b""


def _name(case: Case) -> bool:
    return case.one.kind == "name"


def _raw_name(case: Case) -> bool:
    raw = case.one.ours is not None and not case.one.ours.name.isascii()
    return case.one.peer == "MIME-tools" and case.one.kind == "a file to us alone" and raw


def _line_ends(case: Case) -> bool:
    ours, theirs = case.one.ours, case.one.theirs
    if not (ours and theirs):
        return False
    return case.one.kind == "content" and ours.text_sha256 == theirs.text_sha256


def _blanks(case: Case) -> bool:
    blanks = b" \n" in case.body or b"\t\n" in case.body or case.body.endswith((b" ", b"\t"))
    return case.one.kind != "structure" and case.encoding == b"quoted-printable" and blanks


def _last_soft_break(case: Case) -> bool:
    soft = case.encoding == b"quoted-printable" and case.body.endswith(b"=")
    return case.one.kind == "content" and soft


def _blanks_around_encoding(case: Case) -> bool:
    field = case.part.field(b"content-transfer-encoding") if case.part else None
    # Between "Content-Transfer-Encoding: " and the line end, nothing but the token is what the stdlib understands.
    odd = field is not None and field.value.rstrip(b"\r\n").removeprefix(b" ").lower() != case.encoding
    return case.one.peer == "stdlib" and case.one.kind == "content" and odd


def _unquoted_boundary(case: Case) -> bool:
    fields = [part.field(b"content-type") for part in case.seen.message.parts if part.is_multipart]
    unquoted = re.compile(rb'(?i)boundary\s*=\s*[^"\s;]*[()<>@,:/\[\]?=]')
    return (
        case.one.peer == "MIME-tools"
        and case.one.kind == "structure"
        and any(field and unquoted.search(field.value) for field in fields)
    )


def _bare_cr(case: Case) -> bool:
    body = case.data[case.part.body.start : case.part.body.end] if case.part else b""
    return case.one.peer == "mailparser" and b"\r" in body.replace(b"\r\n", b"")


def _empty(case: Case) -> bool:
    ours = case.one.ours
    alone = case.one.peer == "mailparser" and case.one.kind == "a file to us alone"
    return alone and ours is not None and ours.size == 0


def _calendar(case: Case) -> bool:
    listed = case.one.theirs
    kinds = (b"text/calendar", b"message/", b"multipart/digest")
    theirs_alone = case.one.peer == "mailparser" and case.one.kind == "a file to them alone" and listed
    return bool(theirs_alone) and any(part.type.startswith(kinds) for part in case.seen.message.parts)


EXCEPTIONS: "dict[str, Callable[[Case], bool]]" = {
    "the file is the same, and its name decoded in another way: RFC 2231 and 2047 with errors, raw 8-bit": _name,
    "MIME-tools does not see a name in raw 8-bit that has no quotes; the others do, and so do mail clients": _raw_name,
    "line ends: some give texts line ends of their own, and one more or less at the end": _line_ends,
    "blanks at line ends of quoted-printable are no content (RFC 2045, 6.7, rule 3): some keep them": _blanks,
    "a soft line break right before a delimiter is one (RFC 2045, 6.7): MIME-tools keeps the =": _last_soft_break,
    "the stdlib alone does not know an encoding with blanks or a fold around it": _blanks_around_encoding,
    "MIME-tools cuts an unquoted boundary at =, as in ----=_Part, which is everywhere, and then sees no parts, "
    "neither in the original nor in the result": _unquoted_boundary,
    "octets around a bare CR in a file: kept as they came, where mailparser makes line ends of them": _bare_cr,
    "mailparser leaves out a file of no octets, which pfilter neither zips nor links": _empty,
    "mailparser lists a calendar's text once more as a file that it makes, and opens forwarded messages": _calendar,
}
