"""What is fuzzed: functions that take any octets and assert what must hold for them.

The oracle is everywhere the same: a result or "leave it alone", never an exception; octets that are not edited stay.
"""

import binascii
import os
import quopri
import re
import tempfile
from collections.abc import Callable, Iterator
from email import message_from_bytes
from email.utils import collapse_rfc2231_value
from pathlib import Path

from pfilter.message import addresses, codec, decoded, field_values, fields, filenames, header
from pfilter.message.model import Message
from pfilter.rewriting import splice
from tests.lib import laws, support
from tests.lib.support import BytesSpool, content, scanned
from tests.tools.fuzz import lmtp

NOTE = "Files:\n\n  a.bin (1 kB)\n\nhttps://files.example.org/~d/x/"
WIDE_NOTE = "Dateien für Sie:\n\n  日本語.txt"
HTML_NOTE = '<p>Files: <a href="https://files.example.org/~d/x/">\u65e5.bin</a></p>'
CHARSETS = (
    *("us-ascii", "utf-8", "iso-8859-1", "windows-1252", "iso-2022-jp", "iso-2022-kr", "hz", "utf-7", "utf-8-sig"),
    *("utf-16", "utf-16-le", "utf-32", "shift_jis", "gb18030", "cp037", "big5", "euc-jp", "idna", "punycode"),
    *("unicode_escape", "rot13", "mbcs", "x\0y", "charmap", "cp1006", "johab", "palmos", "undefined"),
)
ENCODINGS = ("7bit", "8bit", "binary", "base64", "quoted-printable", "x-uuencode")
HEAD = b"From: a@example.org\nTo: b@example.net\nMIME-Version: 1.0\n"


def scan(data: bytes) -> None:
    """Any octets are a message, the same in windows of any size, whose ranges nest."""
    laws.ranges_nest(data)
    window = data[0] % 64 + 1 if data else 1
    if len(data) < 4000:
        laws.windows_do_not_matter(data, [window])


def head(data: bytes) -> None:
    """Any octets have a header block and parameters; what is written is read back by us and by the stdlib."""
    found = header.read_block(BytesSpool(data), 0, len(data), 1 << 20, lambda line: line.rstrip() == b"--x")
    assert 0 <= found.range.end <= found.body_start <= len(data)
    position = 0
    for field in found.fields:
        assert position <= field.range.start < field.range.end <= found.range.end
        position = field.range.end
    parsed = field_values.parameters(data)
    assert len(parsed.pairs) <= field_values.PARAMETERS_LIMIT
    field_values.token(data)
    text = "".join(c for c in data.decode("utf-8", "ignore") if c.isprintable()).strip()
    if text:
        line = b"Content-Disposition: attachment" + fields.parameter_text("filename", text, b"\n")
        assert not field_values.parameters(line.partition(b":")[2]).defect
        theirs = message_from_bytes(line + b"\n\n").get_param("filename", header="content-disposition")
        assert theirs is not None
        # Quotes are off by now: collapse_rfc2231_value would take off those of the value itself, too.
        assert (collapse_rfc2231_value(theirs) if isinstance(theirs, tuple) else theirs) == text
        assert b"\r" not in fields.encoded_words(text, b"\n")


def coding(data: bytes) -> None:
    """Both ways, in chunks of any size: the same octets, or Undecodable for all; and the stdlib agrees."""
    size = data[0] + 1 if data else 1
    for decode in (codec.decode_base64, codec.decode_quoted_printable):
        assert _outcome(decode, _cut(data, size)) == _outcome(decode, [data])
    plain = _outcome(codec.decode_base64, [data])
    if plain is not None:
        assert plain == binascii.a2b_base64(data.translate(None, codec.BLANKS), strict_mode=True)
    coded = b"".join(codec.encode_base64(_cut(data, size), b"\r\n"))
    assert _outcome(codec.decode_base64, [coded]) == data
    assert len(coded) == codec.encoded_base64_size(len(data), b"\r\n")
    text = data.replace(b"\r", b"")
    coded = b"".join(codec.encode_quoted_printable(_cut(text, size), b"\n"))
    assert _outcome(codec.decode_quoted_printable, _cut(coded, size)) == text
    assert quopri.decodestring(coded) == text
    assert all(len(line) <= 76 and not line.endswith((b" ", b"\t")) for line in coded.split(b"\n"))


def _cut(data: bytes, size: int) -> "list[bytes]":
    return [data[start : start + size] for start in range(0, len(data), size)]


def _outcome(decode: "Callable[[list[bytes]], Iterator[bytes]]", chunks: "list[bytes]") -> "bytes | None":
    try:
        return b"".join(decode(chunks))
    except codec.Undecodable:
        return None


def bodies(data: bytes) -> None:
    """Put a notice into any body: not at all, or so that it is read once and the rest as it was."""
    choice, octets = data[:4].ljust(4, b"\0"), data[4:]
    charset = CHARSETS[choice[0] % len(CHARSETS)]
    encoding = ENCODINGS[choice[1] % len(ENCODINGS)]
    kind = "html" if choice[2] & 1 else "plain"
    flowed = "; format=flowed" if choice[2] & 2 else ""
    if choice[2] & 4 and encoding in codec_of:
        octets = codec_of[encoding](octets)
    octets = octets.replace(b"\n--x", b"\n__x")
    entity = support.part(octets, f'text/{kind}; charset="{charset}"{flowed}', encoding=encoding)
    mail = HEAD + (support.multipart("mixed", entity, boundary="x") if choice[2] & 8 else entity)
    if choice[2] & 16:
        mail = mail.replace(b"\n", b"\r\n")
    _told(mail, WIDE_NOTE if choice[3] & 1 else NOTE)


codec_of = {
    "base64": lambda data: b"".join(codec.encode_base64([data], b"\n")),
    "quoted-printable": lambda data: b"".join(codec.encode_quoted_printable([data], b"\n")),
}


def _told(mail: bytes, note: str) -> None:
    message, spool = scanned(mail), BytesSpool(mail)
    part = message.parts[-1]
    if message.defects or part.type not in (b"text/plain", b"text/html"):
        return
    note = HTML_NOTE if part.type == b"text/html" else note
    edits = support.notice_edits(spool, part, note, message.eol)
    if edits is None:
        return
    ordered = splice.in_order(edits, len(mail))
    assert all(part.span.start <= one.range.start <= one.range.end <= part.span.end for one in ordered)
    result = content(splice.apply(spool, edits, tempfile.gettempdir))
    after = scanned(result)
    assert len(after.parts) == len(message.parts)
    assert after.defects == ()
    old, new = _text(mail, message), _text(result, after)
    told = note.replace("\u65e5", "&#26085;") if note == HTML_NOTE and "\u65e5" not in new else note
    first, last = told.splitlines()[0], told.splitlines()[-1]
    assert new.count(first) == old.count(first) + 1, (old[-80:], new[-200:])
    assert new.count(last) == old.count(last) + 1
    start = laws.common(old, new)
    stripped, ending = old.rstrip("\n"), new.rstrip("\n")
    assert start + laws.common(stripped[::-1], ending[::-1]) >= len(stripped), (old[-80:], new[-200:])


def _text(mail: bytes, message: Message) -> str:
    part = message.parts[-1]
    octets = b"".join(codec.decode(BytesSpool(mail), part.body, part.encoding))
    text = octets.decode(part.param(b"charset").decode("ascii") or "us-ascii")
    # A CR in front of a line end may be followed by another form of it where the part is encoded anew.
    return re.sub(r"\r*\n|\r", "\n", text)


def naming(data: bytes) -> None:
    """Any parameters give a safe name, any header texts."""
    mail = b"Content-Type: application/pdf" + data[: len(data) // 2].replace(b"\n\n", b"\n ") + b"\n"
    mail += b"Content-Disposition: attachment" + data[len(data) // 2 :].replace(b"\n\n", b"\n ") + b"\n\nx"
    name = filenames.file_name(scanned(mail).root, 7)
    _is_safe(name)
    _is_safe(filenames.safe_name(data.decode("utf-8", "replace"), "fallback"))
    assert filenames.safe_name(name, "other") == name
    for text in decoded.header_texts(data).values():
        assert isinstance(text, str)
    decoded.from_address(data)
    addresses.domain_of(data)
    given = [filenames.safe_name(line.decode("latin-1"), "x") for line in data.split(b"\n")[:50]]
    assert len({one.casefold() for one in filenames.distinct(given)}) == len(given)


def _is_safe(name: str) -> None:
    assert name
    assert len(name.encode("utf-8")) <= filenames.NAME_LIMIT
    assert not set(name) & set('/\\:*?"<>|\0\r\n\u202e\u2066')
    assert not name.startswith((".", "-", " "))
    assert not name.endswith((".", " "))


class Whole:
    """A whole message through the pipeline, everything linked, zipped or taken off."""

    def __init__(self) -> None:
        os.fsync = lambda fd: None  # thousands of messages go into a store that nobody will miss
        self._folder = tempfile.TemporaryDirectory(prefix="pfilter-fuzz-")
        store = Path(self._folder.name)
        self._idle = support.policy(link={"enabled": False}, compress={"enabled": False})
        self._linked = support.link_everything(store)
        self._zipped = support.zip_everything(store)

    def __call__(self, data: bytes) -> None:
        """Edit, and look at what is between the edits, where they lie, and what a reader sees."""
        laws.nothing_to_do_changes_nothing(data, self._idle)
        if scanned(data).defects:
            return
        for policy, sender in ((self._linked, b"s@example.org"), (self._zipped, b"s@example.org"), (self._linked, b"")):
            result = support.process(data, policy, support.ENVELOPE.replace(sender=sender))
            laws.all_but_the_ranges_is_copied(data, result)
            laws.edits_lie_where_they_may(data, policy, result, sender)
            if result.edited:
                _is_sound(data, result.output)


def _is_sound(data: bytes, output: bytes) -> None:
    """Assert that a result is a message that nobody finds ambiguous, with the parts that were not decided upon."""
    after = scanned(output)
    assert after.defects == (), after.defects
    assert len(after.parts) <= len(scanned(data).parts) + 1


def targets() -> "dict[str, Callable[[bytes], None]]":
    """Return all targets by name."""
    whole = Whole()
    return {
        "scan": scan,
        "header": head,
        "codec": coding,
        "body": bodies,
        "names": naming,
        "edit": whole,
        "lmtp": lmtp.reader,
    }
