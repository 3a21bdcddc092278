"""Transfer encodings (RFC 2045, 6.7 and 6.8), streaming, both ways.

Decoding is strict: what another program might decode in another way raises Undecodable, and the part is left alone.
White space inside base64 is no error; anything else is.
"""

import binascii
import re

from pfilter.base.spool import Spool
from pfilter.message.model import Range

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BLANKS = b"\r\n\t "
BASE64_LINE = 57  # octets that make a line of 76 (RFC 2045, 6.8)
LARGE_BASE64 = 1 << 19  # octets, of all in a process, from which on pybase64 saves more than its import costs
QP_LINE_LIMIT = 1 << 16  # a line of quoted-printable longer than this is cut where it does no harm
QP_BLANKS_LIMIT = 1 << 20
# Blanks at the end of a line are no content (RFC 2045, 6.7, rule 3), which a2b_qp does not know. The look-behind makes
# the search start once for each run of them.
_QP_TRAILING = re.compile(rb"(?<![ \t])[ \t]+(?=\r?\n|\Z)")
_QP_WRONG = re.compile(rb"=(?![0-9A-Fa-f]{2}|[ \t]*(?:\r?\n|\Z))")

# b2a_qp makes lines of 77 octets where an encoded blank is the last (RFC 2045, 6.7, rule 5: 76).
_QP_HYPHENS = re.compile(rb"=\n--(?=(?P<more>[^\n]?))")
_QP_LONG = re.compile(rb"(?<![^\n])([^\n]{74,75})(=20|=09)(?![^\n])")


class Undecodable(ValueError):  # noqa: N818  # a property of the mail, not an error of ours
    """The part's octets are not what its Content-Transfer-Encoding says."""


_octets = 0  # of base64 decoded


def decode(spool: Spool, body: Range, encoding: bytes) -> "Iterator[bytes]":
    """Yield the decoded octets of a body. Raises Undecodable, OSError."""
    if encoding == b"base64":
        return decode_base64(spool.windows(body.start, body.end))
    chunks = spool.lf_windows(body.start, body.end)
    if encoding == b"quoted-printable":
        return decode_quoted_printable(chunks)
    if encoding in (b"7bit", b"8bit", b"binary"):
        return chunks
    raise Undecodable("unknown transfer encoding")


def decode_base64(chunks: "Iterable[bytes]") -> "Iterator[bytes]":
    """Yield what base64 in chunks of any size stands for (RFC 2045, 6.8). Raises Undecodable."""
    rest = b""
    padded = False
    for chunk in chunks:
        dense = _without_blanks(chunk)
        data = rest + dense if rest else dense
        cut = len(data) & ~3
        rest = data[cut:]
        if padded and data:
            raise Undecodable("base64 goes on after its padding")
        if cut:
            try:
                yield _quads(data[:cut] if rest else data)
            except binascii.Error as error:
                raise Undecodable("base64 with characters that do not belong there, or padding inside") from error
            padded = data[cut - 1] == 0x3D
            if padded and data[cut - 3] == 0x3D:  # which binascii takes for nothing
                raise Undecodable("base64 with more padding than there is")
    if rest:
        raise Undecodable("base64 of a length that is not a multiple of four")


def _quads(data: bytes) -> bytes:
    """Decode base64 without blanks. Raises binascii.Error."""
    global _octets  # noqa: PLW0603  # how much a process has had to do belongs to no message
    _octets += len(data)
    if _octets < LARGE_BASE64:
        return binascii.a2b_base64(data, strict_mode=True)
    from pybase64 import b64decode

    return b64decode(data, validate=True)


def _without_blanks(chunk: bytes) -> bytes:
    dense = chunk.replace(b"\n", b"")  # all the blanks that most base64 has, and far quicker than the rest
    if b"\r" in dense:
        dense = dense.replace(b"\r", b"")
    if b" " in dense or b"\t" in dense:
        return dense.translate(None, BLANKS)
    return dense


def decode_quoted_printable(chunks: "Iterable[bytes]") -> "Iterator[bytes]":
    """Yield what quoted-printable in chunks of any size stands for (RFC 2045, 6.7). Raises Undecodable."""
    rest = b""
    for chunk in chunks:
        data = rest + chunk
        cut = data.rfind(b"\n") + 1
        if not cut and len(data) > QP_LINE_LIMIT:
            tail = data.rfind(b"=", len(data) - 2)
            cut = len(data[: tail if tail >= 0 else len(data)].rstrip(BLANKS))
            if cut and data[cut - 1] == 0x3D:
                cut -= 1
            if not cut and len(data) > QP_BLANKS_LIMIT:
                raise Undecodable("quoted-printable with a line of blanks without end")
        rest = data[cut:]
        if cut:
            yield _decode_lines(data[:cut])
    if rest:
        yield _decode_lines(rest)


def _decode_lines(data: bytes) -> bytes:
    data = _QP_TRAILING.sub(b"", data)
    if _QP_WRONG.search(data):
        raise Undecodable("quoted-printable with an invalid escape")
    return binascii.a2b_qp(data)


def encode_base64(chunks: "Iterable[bytes]", eol: bytes) -> "Iterator[bytes]":
    """Yield base64 in lines of 76 octets, each with its line end."""
    block = BASE64_LINE * 1024
    rest = b""
    for chunk in chunks:
        data = rest + chunk
        cut = len(data) - len(data) % block
        for start in range(0, cut, block):
            yield _base64_lines(data[start : start + block], eol)
        rest = data[cut:]
    if rest:
        yield _base64_lines(rest, eol)


def _base64_lines(data: bytes, eol: bytes) -> bytes:
    text = binascii.b2a_base64(data, newline=False)
    return b"".join([text[start : start + 76] + eol for start in range(0, len(text), 76)])


def encode(encoding: bytes, chunks: "Iterable[bytes]", eol: bytes) -> "Iterator[bytes]":
    """Yield octets in a transfer encoding; base64 ends with a line end, the others as the octets do."""
    if encoding == b"base64":
        return encode_base64(chunks, eol)
    if encoding == b"quoted-printable":
        return encode_quoted_printable(chunks, eol)
    return iter(chunks)


def encoded_base64_size(octets: int, eol: bytes) -> int:
    """Return how many octets encode_base64 makes of so many."""
    text = (octets + 2) // 3 * 4
    return text + (text + 75) // 76 * len(eol)


def encode_quoted_printable(chunks: "Iterable[bytes]", eol: bytes) -> "Iterator[bytes]":
    """Yield quoted-printable of a text in lines of at most 76 octets; all line ends become eol."""
    rest = b""
    broken = False  # whether a soft line break stands before what comes
    for chunk in chunks:
        data = rest + chunk
        cut = data.rfind(b"\n") + 1
        rest = data[cut:]
        if cut:
            yield _encode_lines(data[:cut], eol, broken)
            broken = False
        elif len(rest) > QP_LINE_LIMIT:
            # A line without an end in sight: close what is there with a soft line break.
            yield soft_broken(_encode_lines(rest, eol, broken), eol)
            rest, broken = b"", True
    if rest:
        yield _encode_lines(rest, eol, broken)


def soft_broken(text: bytes, eol: bytes) -> bytes:
    """Close a text with a soft line break, its last line no longer than 76 octets with it."""
    last = len(text) - (text.rfind(b"\n") + 1)
    if last < 76:
        return text + b"=" + eol
    split = len(text) - (3 if text[-3:-2] == b"=" else 1)
    return text[:split] + b"=" + eol + text[split:] + b"=" + eol


def _encode_lines(data: bytes, eol: bytes, broken: bool) -> bytes:
    # b2a_qp makes soft line breaks in the style of the first line end in its input, so that they are made here alike.
    data = data.replace(b"\r\n", b"\n")
    if b"\r" in data:  # no line end, so it must be encoded, which b2a_qp only does where nothing is one
        text = b"\n".join([binascii.b2a_qp(line, istext=False) for line in data.split(b"\n")])
    else:
        text = binascii.b2a_qp(data, quotetabs=False, istext=True, header=False)
    if b"=20" in text or b"=09" in text:
        text = _QP_LONG.sub(rb"\1=\n\2", text)
    if b"--" in text:
        text = _without_delimiters(text, broken)
    return text.replace(b"\n", eol) if eol != b"\n" else text


def _without_delimiters(text: bytes, broken: bool) -> bytes:
    """Let no line that a soft line break begins look like a delimiter: in the sender's text it was none."""
    if broken:
        text = b"=\n" + text
    while b"=\n--" in text:  # a line's length in hyphens at most
        text = _QP_HYPHENS.sub(lambda found: b"=\n=2D=2D" + (b"=\n" if found["more"] else b""), text)
    return text[2:] if broken else text
