"""MIME syntax as edits: a part removed, replaced by its zip, turned into a text, added. No policy here."""

from pfilter.base import zipping
from pfilter.base.spool import Spool
from pfilter.message import codec, field_values
from pfilter.message.fields import encoded_words, parameter_text, text_entity
from pfilter.message.model import Message, Part, Range
from pfilter.rewriting.splice import Edit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pfilter.base.scratch_file import ScratchFile


def remove(message: Message, part: Part) -> Edit:
    """Take a part out, with its delimiter. The last one of an unclosed multipart leaves a close delimiter."""
    parent = message.parts[part.parent]
    last = part.number == parent.children[-1]
    if last and not parent.closed:
        close = b"--" + _boundary(parent) + b"--" + message.eol
        return Edit(range=part.span, content=close)
    return Edit(range=part.span, content=b"")


def replace_by_zip(message: Message, part: Part, zipped: Spool, name: str, scratch_file: "ScratchFile") -> list[Edit]:
    """Put a zip of the part's file in its place. Raises OSError."""
    eol = message.eol
    encoded = scratch_file.append(codec.encode_base64(zipped.windows(0, zipped.size), eol))
    if part.body.end < message.size:
        encoded = encoded.cut(encoded.size - len(eol))  # that belongs to the delimiter
    fields = {
        b"content-type": b"Content-Type: " + zipping.MEDIA_TYPE + _name_parameter(name, eol) + eol,
        b"content-transfer-encoding": b"Content-Transfer-Encoding: base64" + eol,
        b"content-disposition": b"Content-Disposition: attachment" + parameter_text("filename", name, eol) + eol,
        b"content-md5": b"",
        b"content-description": b"",  # often the old name
    }
    return [*replace_fields(part, fields), Edit(range=part.body, content=encoded)]


def _name_parameter(name: str, eol: bytes) -> bytes:
    """Return the name parameter of Content-Type: an encoded word, which RFC 2047 forbids and old clients want."""
    if name.isascii():
        return parameter_text("name", name, eol)
    word = encoded_words(name, eol)
    return b";" + eol + b'\tname="' + word + b'"'


def become_text(message: Message, part: Part, text: str) -> list[Edit]:
    """Turn the root into a text/plain of its own, its content gone."""
    eol = message.eol
    fields, body = text_entity(text, eol)
    replaced = {
        **fields,
        b"content-disposition": b"",
        b"content-md5": b"",
        b"content-description": b"",
        b"content-id": b"",
        b"content-location": b"",
    }
    content = Range(start=part.body.start, end=message.size)
    return [*replace_fields(part, replaced), Edit(range=content, content=framed(part, body, eol))]


def add_text_part(message: Message, container: Part, text: str) -> Edit:
    """Put a text/plain in front of the first part of a multipart.

    It ends in a blank line, because readers show the next text directly behind it.
    """
    eol = message.eol
    fields, body = text_entity(text, eol)
    start = message.parts[container.children[0]].span.start
    head = b"--" + _boundary(container) + eol + b"".join(fields.values()) + b"Content-Disposition: inline" + eol
    return Edit(range=Range(start=start, end=start), content=head + eol + body + eol + eol)


def put_text_before(spool: Spool, message: Message, part: Part, text: str) -> list[Edit]:
    """Make a part the second of a multipart/mixed in its place, behind a text/plain. Raises OSError.

    For what multipart/related shows, where another part in front would be shown in its stead. Nothing is rewritten: the
    new multipart is put around the octets of the part. No edits where there is no boundary for it.
    """
    eol = message.eol
    boundary = _new_boundary(spool, message)
    if not boundary:
        return []
    fields, body = text_entity(text, eol)
    delimiter = b"--" + boundary
    # The multipart/related may name what it shows (RFC 2387, 3.2: start); that is now this one.
    known = part.field(b"content-id")
    own = b"Content-ID: " + b" ".join(known.value.split()) + eol if known else b""
    head = own + b'Content-Type: multipart/mixed; boundary="' + boundary + b'"' + eol + eol
    inside = b"".join(fields.values()) + b"Content-Disposition: inline" + eol + eol + body
    before = head + delimiter + eol + inside + delimiter + eol
    after = (b"" if part.body.end < part.span.end else eol) + delimiter + b"--" + eol
    places = (part.header.start, part.span.end)
    return [
        Edit(range=Range(start=place, end=place), content=content)
        for place, content in zip(places, (before, after), strict=True)
    ]


def _new_boundary(spool: Spool, message: Message) -> bytes:
    """Return a boundary that the message does not have, nor a prefix of it as one; b"" where it has all we know."""
    from zlib import crc32

    taken = [_boundary(part) for part in message.parts if part.is_multipart]
    for number in range(10):
        found = b"%08x-pfilter" % crc32(b"%d" % number)
        if not any(found.startswith(other) for other in taken) and spool.find(found, 0, message.size) < 0:
            return found
    return b""


def replace_by_text(message: Message, part: Part, text: str) -> Edit:
    """Put a text/plain in the place of a part."""
    parent = message.parts[part.parent]
    added = add_text_part(message, parent, text)
    left = remove(message, part).content
    assert isinstance(added.content, bytes)
    assert isinstance(left, bytes)
    return Edit(range=part.span, content=added.content + left)


def framed(part: Part, content: bytes, eol: bytes) -> bytes:
    """Return what a part without any body needs around its first octets.

    Its header may lack the empty line at its end; and the only line end before the next delimiter may be that line.
    """
    before = eol if part.header.end == part.body.start else b""
    after = eol if part.parent >= 0 and part.body.end == part.span.end and part.body.size == 0 else b""
    return before + content + after


def relabel_text(part: Part, charset: bytes, encoding: bytes, eol: bytes) -> list[Edit]:
    """Say that a text part now has this charset and transfer encoding; its other parameters stay."""
    kept = [name + b"=" + _parameter_value(name, value) for name, value in part.params if name != b"charset"]
    content_type = (b";" + eol + b"\t").join([b"Content-Type: " + part.type + b"; charset=" + charset, *kept])
    fields = {
        b"content-type": content_type + eol,
        b"content-transfer-encoding": b"Content-Transfer-Encoding: " + encoding + eol,
        b"content-md5": b"",
    }
    return replace_fields(part, fields)


def drop_md5(part: Part) -> list[Edit]:
    """Remove Content-MD5, which an edit makes wrong (RFC 1864)."""
    return replace_fields(part, {b"content-md5": b""})


def replace_fields(part: Part, fields: dict[bytes, bytes]) -> list[Edit]:
    """Replace fields where they stand, b"" removes one; those that are missing go to the end of the header."""
    edits = []
    missing = []
    for name, line in fields.items():
        found = [field for field in part.fields if field.name == name]
        for position, field in enumerate(found):
            edits.append(Edit(range=field.range, content=b"" if position else line))
        if not found and line:
            missing.append(line)
    if missing:
        place = Range(start=part.header.end, end=part.header.end)
        edits.append(Edit(range=place, content=b"".join(missing)))
    return edits


def _parameter_value(name: bytes, value: bytes) -> bytes:
    if name.endswith(b"*") or not value.translate(None, field_values.TOKEN_OCTETS):
        return value or b'""'
    return b'"' + value.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def _boundary(part: Part) -> bytes:
    return part.param(b"boundary")
