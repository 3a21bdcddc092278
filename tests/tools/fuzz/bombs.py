"""Inputs that make a careless program take time by their square, each in any size, and what reads them."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pfilter.base import text
from pfilter.base.limits import Limits
from pfilter.base.spool import Spool
from pfilter.message import codec, field_values, filenames, header, references
from pfilter.message.decoded import from_address, header_texts
from pfilter.message.model import Message
from pfilter.message.scan import scan
from tests.lib import support
from tests.lib.support import BytesSpool

UNLIMITED = Limits(parts=1 << 30, header=1 << 30)
NOTE = "Files:\n\n  a.bin (1 kB)"
MIXED = b'Content-Type: multipart/mixed; boundary="b"\n\n'
DEEP = "b" * 1500  # of a boundary, each of a different end


@dataclass(frozen=True)
class Bomb:
    """How to make an input of n pieces, and what to do with it."""

    make: Callable[[int], bytes]
    run: Callable[[bytes], object]
    count: int  # pieces that are enough to see how time grows


def scanned(data: bytes, limits: "Limits | None" = None) -> Message:
    """Scan under the default limits."""
    return scan(BytesSpool(data), limits)


def unlimited(data: bytes) -> Message:
    """Scan as under a configuration without limits for parts and header."""
    return scanned(data, UNLIMITED)


def nested(depth: int, boundary: str = DEEP) -> bytes:
    """Return multiparts inside of each other, with long boundaries that differ at their end."""
    ends = [f"{boundary}{n:03}" for n in range(depth)]
    return "".join(f'Content-Type: multipart/mixed; boundary="{name}"\n\n--{name}\n' for name in ends).encode()


def siblings(count: int) -> bytes:
    """Return many small multiparts, one after the other, deep inside of others."""
    one = b'Content-Type: multipart/mixed; boundary="i"\n\n--i\n\nx\n--i--\n'
    end = f"\n--{DEEP}{89:03}\n".encode()
    return nested(90) + end.join([one] * count)


def alike(depth: int) -> bytes:
    """Return multiparts inside of each other, the outermost with a short boundary, all with another first octet."""
    boundaries = [bytes([65 + n % 26]) * (1 + n // 26) + b"q" * (30 if n else 0) for n in range(depth)]
    return b"".join(b'Content-Type: multipart/mixed; boundary="%s"\n\n--%s\n' % (name, name) for name in boundaries)


def chain(depth: int, end: bytes) -> bytes:
    """Return multiparts inside of each other, the boundary of each one octet longer than that around it."""
    names = [b"a" * n + end for n in range(1, depth + 1)]
    return b"".join(b'Content-Type: multipart/mixed; boundary="%s"\n\n--%s\n' % (name, name) for name in names)


def numbered(count: int, start: bytes) -> bytes:
    """Return lines that start alike and are all different."""
    return b"".join(b"%s%x\n" % (start, n) for n in range(count))


def opened(count: int, between: bytes) -> bytes:
    """Return very many small multiparts in one, with lines in each."""
    one = b'--b\nContent-Type: multipart/mixed; boundary="i%d"\n\n--i%d\n\n%s--i%d--\n'
    return MIXED + b"".join(one % (n, n, between, n) for n in range(count)) + b"--b--\n"


def block(data: bytes) -> object:
    """Read a header block, and the parameters of its fields."""
    found = header.read_block(BytesSpool(data), 0, len(data), 1 << 30, lambda line: False)
    return [field_values.parameters(field.value) for field in found.fields]


def quoted(data: bytes) -> object:
    """Decode quoted-printable in windows."""
    return decoded(data, codec.decode_quoted_printable)


def base64(data: bytes) -> object:
    """Decode base64 in windows."""
    return decoded(data, codec.decode_base64)


def decoded(data: bytes, decode: "Callable[..., Iterable[bytes]]") -> object:
    """Decode in windows, or find that it can't be."""
    try:
        return sum(len(chunk) for chunk in decode(BytesSpool(data).windows(0, len(data))))
    except codec.Undecodable:
        return None


def encoded(data: bytes) -> object:
    """Encode as quoted-printable."""
    return sum(map(len, codec.encode_quoted_printable([data[n : n + 4096] for n in range(0, len(data), 4096)], b"\n")))


def told(kind: str, encoding: str = "7bit", note: str = NOTE) -> "Callable[[bytes], object]":
    """Put a notice into a body."""

    def run(data: bytes) -> object:
        mail = support.part(data, f"text/{kind}; charset=us-ascii", encoding=encoding)
        spool, message = BytesSpool(mail), scanned(mail)
        return support.notice_edits(spool, message.root, f"<p>{note}</p>" if kind == "html" else note, b"\n")

    return run


def relabelled(data: bytes) -> object:
    """Put a notice into a text whose charset can't hold it."""
    spool, message = BytesSpool(data), scanned(data)
    return support.notice_edits(spool, message.root, "日本語", b"\n")


def named(data: bytes) -> str:
    """Find a part's file name."""
    return filenames.file_name(unlimited(b"Content-Disposition: attachment" + data + b"\n\nx").root, 1)


def same_names(data: bytes) -> object:
    """Tell names apart."""
    return filenames.distinct(data.decode("ascii").split("\n"))


def by_pattern(pattern: "re.Pattern[bytes]") -> "Callable[[bytes], object]":
    """Search with a pattern of the package."""
    return lambda data: sum(1 for _ in pattern.finditer(data))


def without_tokens(data: bytes) -> str:
    """Take tokens out of a line for the log."""
    return text.without_tokens(data.decode("latin-1"))


def spooled(data: bytes) -> Spool:
    """Return data in a file in windows of 64 KiB, so that small inputs have many."""
    return BytesSpool(data, 1 << 16)


def small_windows(data: bytes) -> Message:
    """Scan in windows of 64 KiB."""
    return scan(spooled(data), UNLIMITED)


def _words(count: int) -> bytes:
    return b'; filename="' + b" ".join([b"=?utf-8?q?=C3=A9?="] * count) + b'"'


def _continued(count: int, star: bytes = b"") -> bytes:
    return b"".join(b";\n filename*%d%s=x" % (n, star) for n in range(count))


BOMBS: "dict[str, Bomb]" = {
    "parts": Bomb(lambda n: MIXED + b"--b\n\nx\n" * n, scanned, 50_000),
    "parts without a limit": Bomb(lambda n: MIXED + b"--b\n\nx\n" * n, unlimited, 5000),
    "parts in small windows": Bomb(lambda n: MIXED + b"--b\n\nx\n" * n, small_windows, 5000),
    "headers": Bomb(lambda n: b"A: b\n" * n + b"\n", scanned, 50_000),
    "headers of parts": Bomb(lambda n: MIXED + (b"--b\n" + b"Content-A: b\n" * 50 + b"\nx\n") * n, unlimited, 1000),
    "one long header": Bomb(lambda n: b"A: " + b"x" * n + b"\n\n", scanned, 50_000_000),
    "one long header without a limit": Bomb(lambda n: b"A: " + b"x" * n + b"\n\n", unlimited, 1_000_000),
    "one folded header": Bomb(lambda n: b"A: b\n" + b" c\n" * n + b"\n", unlimited, 100_000),
    "header of blanks": Bomb(lambda n: b"A: b\n" + b" \n" * n + b"\n", unlimited, 100_000),
    "colons": Bomb(lambda n: b"A" + b" " * n + b":\n\n", unlimited, 1_000_000),
    "multiparts in each other": Bomb(nested, scanned, 45),
    "multiparts in each other, without end": Bomb(lambda n: nested(n, "b"), scanned, 20_000),
    "messages in each other": Bomb(lambda n: b"Content-Type: message/rfc822\n\n" * n, scanned, 20_000),
    "small multiparts deep inside": Bomb(siblings, unlimited, 2000),
    "lines like delimiters": Bomb(lambda n: MIXED + b"--b\n\n" + b"--bb\n" * n, scanned, 100_000),
    "lines like long delimiters": Bomb(
        lambda n: nested(50) + (b"\n\n" + b"--" + DEEP.encode() + b"\n") * n, scanned, 1000
    ),
    "lines of hyphens": Bomb(lambda n: MIXED + b"--b\n\n" + b"--\n" * n, scanned, 100_000),
    "close delimiters": Bomb(lambda n: MIXED + b"--b\n\nx\n" + b"--b--\n" * n, scanned, 100_000),
    "blanks behind a delimiter": Bomb(lambda n: MIXED + (b"--b" + b" " * 50 + b"\n\n") * n, unlimited, 3000),
    "bare CR before hyphens": Bomb(lambda n: MIXED + b"--b\n\n" + b"\r--" * n + b"\n--b--\n", scanned, 100_000),
    "parameters": Bomb(lambda n: b"Content-Type: a/b" + b";a=b" * n + b"\n\n", unlimited, 50_000),
    "quotes": Bomb(lambda n: b'Content-Type: a/b; a="' + b'\\"' * n + b'"\n\n', unlimited, 100_000),
    "open quotes": Bomb(lambda n: b"Content-Type: a/b" + b'; a="b' * n + b"\n\n", unlimited, 50_000),
    "comments": Bomb(lambda n: b"Content-Type: a/b" + b"(" * n + b")" * n + b";a=b\n\n", unlimited, 100_000),
    "many fields with many parameters": Bomb(
        lambda n: MIXED + (b"--b\nContent-Type: a/b" + b";a=b" * 500 + b"\n\nx\n") * n, scanned, 100
    ),
    "RFC 2231 continuations": Bomb(_continued, named, 5000),
    "RFC 2231 encoded continuations": Bomb(lambda n: _continued(n, b"*"), named, 5000),
    "RFC 2047 words in a name": Bomb(_words, named, 10_000),
    "name of very many characters": Bomb(lambda n: b'; filename="' + b"\xc3\xa9" * n + b'"', named, 500_000),
    "name of dots": Bomb(lambda n: b'; filename="' + b"." * n + b'x"', named, 500_000),
    "the same names": Bomb(lambda n: b"a.txt\n" * n, same_names, 5000),
    "names that look numbered": Bomb(
        lambda n: b"\n".join([b"a-%d.txt" % k for k in range(n)] + [b"a.txt"] * n), same_names, 5000
    ),
    "subject of RFC 2047 words": Bomb(
        lambda n: b"Subject: " + b"\n ".join([b"=?utf-8?q?=C3=A9?="] * n) + b"\n\n", header_texts, 2000
    ),
    "addresses": Bomb(lambda n: b"From: " + b"<" * n + b"\n\n", from_address, 20_000),
    "addresses in comments": Bomb(lambda n: b"To: " + b"(" * n + b"\n\n", header_texts, 2000),
    "Received": Bomb(lambda n: b"Received: from " + b"a (b " * n + b"\n\n", header_texts, 8000),
    "Received, very many": Bomb(lambda n: b"Received: from a by b with c\n" * n + b"\n", header_texts, 1000),
    "quoted-printable: blanks": Bomb(lambda n: (b" " * 900 + b"\n") * n, quoted, 2000),
    "quoted-printable: one line of blanks": Bomb(lambda n: b" " * n, quoted, 500_000),
    "quoted-printable: blanks and text": Bomb(lambda n: b" \tx" * n, quoted, 500_000),
    "quoted-printable: soft line breaks": Bomb(lambda n: b"=\n" * n, quoted, 500_000),
    "quoted-printable: open soft line breaks": Bomb(lambda n: b"=  " * n, quoted, 500_000),
    "quoted-printable: one line": Bomb(lambda n: b"=3D" * n, quoted, 1_000_000),
    "quoted-printable: written": Bomb(lambda n: b" " * n, encoded, 1_000_000),
    "base64: blanks": Bomb(lambda n: b" " * n + b"QUJD", base64, 5_000_000),
    "base64: one character a line": Bomb(lambda n: b"Q\nU\nJ\nD\n" * n, base64, 500_000),
    "HTML: <": Bomb(lambda n: b"<" * n, told("html"), 500_000),
    "HTML: comments that do not end": Bomb(lambda n: b"<!--" * n, told("html"), 200_000),
    "HTML: comments": Bomb(lambda n: b"<!---->" * n, told("html"), 200_000),
    "HTML: </body": Bomb(lambda n: b"</body " * n, told("html"), 200_000),
    "HTML: </body>": Bomb(lambda n: b"</body>" * n, told("html"), 200_000),
    "HTML: </body with quotes": Bomb(lambda n: b"</body \"'" * n, told("html"), 200_000),
    "HTML: attributes": Bomb(lambda n: b"<a b='" * n, told("html"), 200_000),
    "HTML: scripts": Bomb(lambda n: b"<script>" * n, told("html"), 200_000),
    "HTML: scripts that end": Bomb(lambda n: b"<script></script " * n, told("html"), 100_000),
    "HTML: </body> far from the end": Bomb(
        lambda n: b"</body>\n" + (b"x" * 70 + b"=\n") * n, told("html", "quoted-printable"), 20_000
    ),
    "text: base64 in odd lines": Bomb(lambda n: b"Q\nU\nJ\nD\n" * n, told("plain", "base64"), 200_000),
    "text: relabelled with parameters": Bomb(
        lambda n: b"Content-Type: text/plain" + b";a=b" * n + b"\n\nx\n", relabelled, 400
    ),
    "pattern: cid": Bomb(lambda n: b"cid:" * n, by_pattern(references._ANYWHERE), 200_000),
    "pattern: src": Bomb(lambda n: b"src  " * n, by_pattern(references._ATTRIBUTE), 200_000),
    "pattern: src and blanks": Bomb(lambda n: b"src" + b" " * n, by_pattern(references._ATTRIBUTE), 500_000),
    "pattern: src = and blanks": Bomb(lambda n: b"src=" + b" " * n + b">", by_pattern(references._ATTRIBUTE), 500_000),
    "pattern: token": Bomb(lambda n: b"a" * n, without_tokens, 500_000),
    "pattern: tokens": Bomb(lambda n: b"a2b3" * 8 * n, without_tokens, 50_000),
    "pattern: long lines of blanks": Bomb(lambda n: (b"x" * 73 + b"=20") * n, by_pattern(codec._QP_LONG), 50_000),
}

DEEP_SHORT = nested(98, "b") + b"\n"
# What the scanner must take no longer for than a few times what it takes to go through the lines. Each of as many
# octets as are asked for, about.
SCANNER_BOMBS: "dict[str, Callable[[int], bytes]]" = {
    "text": lambda size: MIXED + b"--b\n\n" + (b"x" * 76 + b"\n") * (size // 77),
    "base64": lambda size: MIXED + b"--b\n\n" + (b"QUJD" * 19 + b"\n") * (size // 77),
    "hyphens below 98 multiparts": lambda size: DEEP_SHORT + b"--\n" * (size // 3),
    "hyphens below one": lambda size: MIXED + b"--b\n\n" + b"--\n" * (size // 3),
    "half a boundary": lambda size: nested(98, "b" * 30) + b"\n" + (b"--" + b"b" * 15 + b"\n") * (size // 18),
    "half a boundary, numbered": lambda size: nested(98, "b" * 30) + b"\n" + numbered(size // 22, b"--" + b"b" * 15),
    "all of a long boundary but its end": lambda size: (
        nested(98) + b"\n" + (b"--" + DEEP.encode() + b"\n") * (size // (len(DEEP) + 3))
    ),
    "delimiter and more": lambda size: DEEP_SHORT + b"--b001x\n" * (size // 8),
    "delimiter and more, numbered": lambda size: DEEP_SHORT + numbered(size // 13, b"--b001x"),
    "nearly short boundaries": lambda size: alike(98) + b"\n" + b"--Bq\n" * (size // 5),
    "nearly short boundaries, numbered": lambda size: alike(98) + b"\n" + numbered(size // 9, b"--B"),
    "boundaries that go on from each other": lambda size: (
        chain(98, b"") + b"\n" + numbered(size // 106, b"--" + b"a" * 98)
    ),
    "boundaries that end one octet later each": lambda size: (
        chain(98, b"b") + b"\n" + numbered(size // 106, b"--" + b"a" * 98)
    ),
    "comments of SQL, numbered": lambda size: MIXED + b"--b\n\n" + numbered(size // 46, b"-- " + b"x" * 36),
    "close delimiters": lambda size: MIXED + b"--b\n\nx\n" + b"--b--\n" * (size // 6),
    "blanks": lambda size: MIXED + b"--b\n\n" + b"\n" * size,
    "bare CR and hyphens": lambda size: MIXED + b"--b\n\n" + b"\r--" * (size // 3) + b"\n",
    "bare CR and hyphens below 98": lambda size: DEEP_SHORT + b"\r--" * (size // 3) + b"\n",
    "CR LF and hyphens": lambda size: MIXED.replace(b"\n", b"\r\n") + b"--b\r\n\r\n" + b"--\r\n" * (size // 4),
    "empty parts": lambda size: MIXED + b"--b\n\n" * (size // 5),
    "small multiparts": lambda size: opened(size // 70, b""),
    "small multiparts with hyphens": lambda size: opened(size // 370, b"--\n" * 100),
    "header fields": lambda size: b"A:\n" * (size // 3) + b"\n",
    "header fields of parts": lambda size: MIXED + (b"--b\n" + b"A:\n" * 9000 + b"\n") * (size // 27_005),
    "folded header fields of parts": lambda size: MIXED + (b"--b\nA:\n" + b" c\n" * 9000 + b"\n") * (size // 27_008),
    "messages in each other": lambda size: b"Content-Type: message/rfc822\n\n" * 99 + b"--\n" * (size // 3),
    "hyphens over the ends of windows": lambda size: DEEP_SHORT + (b"--" + b"x" * 1021 + b"\n") * (size >> 10),
}
