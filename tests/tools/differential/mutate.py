"""A message with something wrong, or unusual, in its structure: each mutation by name, the same in every run."""

import base64
import random
import re
from collections.abc import Callable, Iterator

from pfilter.message.model import Message, Part
from tests.lib import support
from tests.lib.support import scanned

CONTENT_TYPES = {
    "no semicolon": b"application/pdf name=x.pdf",
    "empty parameter": b"application/pdf;;name=x.pdf",
    "parameter without value": b"application/pdf; name",
    "blanks around the slash": b"application / pdf; name=x.pdf",
    "no subtype": b"application/; name=x.pdf",
    "no type": b"/pdf; name=x.pdf",
    "three types": b"application/pdf/x; name=x.pdf",
    "comma": b"application/pdf, name=x.pdf",
    "comment before": b"(c) application/pdf; name=x.pdf",
    "comment inside": b"application(c)/pdf; name=x.pdf",
    "comment behind": b"application/pdf (c;d=e); name=x.pdf",
    "nested comment": b"application/pdf (c (d;) \\) e) ; name=x.pdf",
    "encoded word": b"=?utf-8?q?application/pdf?=; name=x.pdf",
    "blank": b"",
    "only a semicolon": b";",
    "quote that does not end": b'application/pdf; name="x.pdf',
    "quoted type": b'"application/pdf"; name=x.pdf',
    "multipart without boundary": b"multipart/mixed; name=x.pdf",
    "message": b"message/rfc822; name=x.eml",
    "partial": b'message/partial; id="x"; number=1; total=2; name=x.eml',
    "external": b'message/external-body; access-type="URL"; name=x.eml',
    "upper case": b"APPLICATION/PDF; NAME=X.PDF",
    "blanks in a name": b"application/pdf; name=a file.pdf",
    "blank around equals": b'application/pdf; name = "x.pdf"',
    "single quotes": b"application/pdf; name='x.pdf'",
    "name in two": b'application/pdf; name="x.pdf"; name="y.pdf"',
    "control in a name": b'application/pdf; name="x\x01.pdf"',
    "text with a name": b'text/plain; charset="utf-8"; name="x.txt"',
    "wide text": b"text/plain; charset=utf-16; name=x.txt",
    "utf-7 text": b"text/plain; charset=utf-7; name=x.txt",
    "star": b"application/*; name=x.pdf",
    "folded": b"\n\tapplication/pdf;\n\tname=x.pdf",
    "folded inside the type": b"application/\n pdf; name=x.pdf",
    "folded inside a value": b'application/pdf; name="a\n b.pdf"',
    "line not indented": b'application/pdf;\nname="x.pdf"',
    "blank continuation": b"application/pdf;\n \n name=x.pdf",
    "vertical tab": b"application/pdf;\x0bname=x.pdf",
    "no-break space": b"application/pdf;\xa0name=x.pdf",
    "nul": b"application/pdf;\0name=x.pdf",
    "bare cr": b"application/pdf;\r name=x.pdf",
    "long": b"application/pdf; x=" + b"y" * 3000 + b"; name=x.pdf",
    "colon before": b": application/pdf; name=x.pdf",
}
DISPOSITIONS = {
    "upper case": b"ATTACHMENT; FILENAME=X.BIN",
    "semicolon alone": b"attachment;",
    "no semicolon": b'attachment filename="x.bin"',
    "quoted": b'"attachment"; filename=x.bin',
    "leading semicolon": b'; filename="x.bin"',
    "no token": b'filename="x.bin"',
    "token with equals": b"=attachment; filename=x.bin",
    "comma": b"attachment, filename=x.bin",
    "form-data": b'form-data; name="x"',
    "unknown": b'attachement; filename="x.bin"',
    "inline": b'inline; filename="x.bin"',
    "inline, no name": b"inline",
    "blank": b"",
    "comment": b"attachment (c); filename=x.bin (d)",
    "comment before": b"(c) attachment; filename=x.bin",
    "rfc2231": b"attachment; filename*=utf-8''%C3%A9.bin",
    "rfc2231 in pieces": b"attachment; filename*0*=utf-8''%C3%A9; filename*1=b.bin",
    "rfc2231 out of order": b'attachment; filename*1="b.bin"; filename*0="a"',
    "rfc2231 with a hole": b'attachment; filename*0="a"; filename*2="b.bin"',
    "rfc2231 and plain": b"attachment; filename=x.bin; filename*=utf-8''y.bin",
    "rfc2231 malformed": b"attachment; filename*=%ZZ'",
    "rfc2231 without charset": b"attachment; filename*=x.bin",
    "rfc2231 unknown charset": b"attachment; filename*=x-none''%80.bin",
    "rfc2231 many": b"attachment" + b"".join(b";\n filename*%d=x" % n for n in range(300)),
    "rfc2047": b'attachment; filename="=?utf-8?b?w6kuYmlu?="',
    "rfc2047 unquoted": b"attachment; filename==?utf-8?b?w6kuYmlu?=",
    "rfc2047 in two": b'attachment; filename="=?utf-8?q?=C3=A9?=\n =?utf-8?q?b.bin?="',
    "rfc2047 broken": b'attachment; filename="=?utf-8?b?w6kuY"',
    "blanks in a name": b"attachment; filename=a file.bin",
    "semicolon in a name": b"attachment; filename=a;b.bin",
    "semicolon in quotes": b'attachment; filename="a;b.bin"',
    "escaped quote": b'attachment; filename="a\\"b.bin"',
    "quote that does not end": b'attachment; filename="a.bin',
    "text behind quotes": b'attachment; filename="a".bin',
    "empty name": b'attachment; filename=""',
    "no value": b"attachment; filename=",
    "name, not filename": b"attachment; name=x.bin",
    "8-bit": b'attachment; filename="\xe9.bin"',
    "utf-8": b'attachment; filename="\xc3\xa9.bin"',
    "two names": b"attachment; filename=x.bin; filename=y.bin",
    "folded": b'attachment;\n\tfilename="x.bin"',
    "folded before": b'\n attachment; filename="x.bin"',
    "line not indented": b'attachment;\nfilename="x.bin"',
    "bare cr": b'attachment;\r filename="x.bin"',
    "nul": b'attachment;\0 filename="x.bin"',
    "path": b'attachment; filename="../../etc/passwd"',
}
ENCODINGS = {
    "mixed case": b"BaSe64",
    "blanks": b"  base64  ",
    "semicolon": b"base64;",
    "parameter": b"base64; x=y",
    "quoted": b'"base64"',
    "comment": b"base64 (c)",
    "comment before": b"(c) base64",
    "comma": b"base64, 7bit",
    "two words": b"base64 7bit",
    "x": b"x-base64",
    "folded": b"\n base64",
    "blank": b"",
    "identity": b"7bit",
    "hyphen": b"7-bit",
    "eight": b"8bit",
    "binary": b"binary",
    "qp": b"quoted-printable",
    "uu": b"x-uuencode",
    "prefix": b"base64x",
    "dash": b"base-64",
}
BOUNDARY_FORMS = {
    "backslash": lambda b: b'"' + b[:1] + b"\\" + b[1:] + b'"',
    "unquoted": lambda b: b,
    "comment": lambda b: b'"' + b + b'" (c)',
    "comment unquoted": lambda b: b + b"(c)",
    "blank at its end": lambda b: b'"' + b + b' "',
    "blank at its start": lambda b: b'" ' + b + b'"',
    "text behind": lambda b: b'"' + b + b'"x',
    "blank inside, unquoted": lambda b: b + b" x",
    "single quotes": lambda b: b"'" + b + b"'",
    "upper case": lambda b: b'"' + b.swapcase() + b'"',
    "twice": lambda b: b'"' + b + b'"; boundary="other"',
    "twice, other first": lambda b: b'"other"; boundary="' + b + b'"',
    "rfc2231": lambda b: b"\"other\"; boundary*=us-ascii''" + b,
    "rfc2231 in pieces": lambda b: b'"other"; boundary*0="' + b[:1] + b'"; boundary*1="' + b[1:] + b'"',
    "rfc2047": lambda b: b'"=?us-ascii?b?' + base64.b64encode(b) + b'?="',
    "quote inside": lambda b: b + b'"x"',
    "open quote": lambda b: b'"' + b,
    "prefix": lambda b: b'"' + b[: max(1, len(b) - 1)] + b'"',
    "empty": lambda b: b'""',
    "nul": lambda b: b'"' + b + b'\0"',
    "8-bit": lambda b: b'"' + b + b'\xe9"',
    "folded inside": lambda b: b'"' + b[:1] + b"\n " + b[1:] + b'"',
    "semicolon behind": lambda b: b'"' + b + b'";',
    "charset before": lambda b: b'"' + b + b'"; charset=utf-8',
    "blank before equals": lambda b: b'"other"; boundary ="' + b + b'"',
}
DELIMITER_TAILS = (b" ", b"\t", b"\x0b", b"\x0c", b"\0", b"\xa0", b"\r", b"x", b" x", b"--x", b"-", b"--", b" --", b";")
DELIMITER_HEADS = (b" ", b"\t", b"\r", b"\0", b"-", b">", b"\x0b", b"\n", b"x")
PIECES = (b"", b"\n", b"\r", b"\n\n", b"\0", b"--", b";", b'"', b"(", b"\xff", b"=", b" ", b"\n ", b":", b"\t\n")
LINES_BEFORE_HEADER = {
    "empty line": b"\n",
    "From_": b"From a@b Thu Jan  1 00:00:00 1970\n",
    "quoted From_": b">From a@b Thu Jan  1 00:00:00 1970\n",
    "continuation": b" x\n",
    "no field": b"no field\n",
    "byte order mark": b"\xef\xbb\xbf",
    "colon": b": x\n",
    "blank before colon": b"X : y\n",
    "8-bit name": b"X\xe9: y\n",
    "dashes": b"--\n",
}

Mutation = Callable[[bytes, Message, Part, random.Random], "bytes | None"]


def mutations() -> "dict[str, Mutation]":
    """Return all mutations by name."""
    found: dict[str, Mutation] = {}
    for field, values in (
        ("Content-Type", CONTENT_TYPES),
        ("Content-Disposition", DISPOSITIONS),
        ("Content-Transfer-Encoding", ENCODINGS),
    ):
        for name, value in values.items():
            found[f"{field}: {name}"] = _setting(field, value)
        for position in ("before", "behind"):
            found[f"{field}: another {position}"] = _doubling(field, position)
        for name, form in {
            "blank before colon": b"%s : ",
            "tab before colon": b"%s\t: ",
            "underscore": b"X-%s: ",
            "nul": b"%s\0: ",
            "indented": b" %s: ",
            "upper case": None,
        }.items():
            found[f"{field} as a name: {name}"] = _renaming(field, form)
    for name, change in BOUNDARY_FORMS.items():
        found[f"boundary: {name}"] = _rebounding(change)
    for tail in DELIMITER_TAILS:
        for which in ("first", "last", "close"):
            found[f"delimiter: {tail!r} behind the {which}"] = _at_delimiter(which, b"", tail)
    for head in DELIMITER_HEADS:
        for which in ("first", "last", "close"):
            found[f"delimiter: {head!r} before the {which}"] = _at_delimiter(which, head, b"")
    for name, line in LINES_BEFORE_HEADER.items():
        found[f"message starts with: {name}"] = lambda data, *_, line=line: line + data
        found[f"part starts with: {name}"] = _in_part(line)
    return {**found, **_WHOLE}


def mutated(data: bytes, *, only: "Callable[[str], bool]" = lambda name: True) -> "Iterator[tuple[str, bytes]]":
    """Yield all mutations of a message that has a file in it, by name; nothing for one that has none."""
    message = scanned(data)
    part = next((part for part in message.parts if _is_victim(part)), None)
    if message.defects or part is None:
        return
    for name, mutate in mutations().items():
        if only(name):
            changed = mutate(data, message, part, random.Random(name + str(len(data))))
            if changed is not None and changed != data:
                yield name, changed


def _is_victim(part: Part) -> bool:
    from pfilter.message.roles import is_file

    return is_file(part) and not part.defect and part.parent >= 0 and not part.type.startswith(b"message/")


def _eol(data: bytes, value: bytes) -> bytes:
    """Give a value the line ends of a message."""
    first = data[: data.find(b"\n") + 1]
    return value.replace(b"\n", b"\r\n") if first.endswith(b"\r\n") else value


def _setting(field: str, value: bytes) -> Mutation:
    def mutate(data: bytes, message: Message, part: Part, rng: random.Random) -> bytes:
        line = _eol(data, field.encode() + b": " + value + b"\n")
        found = part.field(field.lower().encode())
        start, end = (found.range.start, found.range.end) if found else (part.header.end, part.header.end)
        return data[:start] + line + data[end:]

    return mutate


def _doubling(field: str, position: str) -> Mutation:
    others = {
        "Content-Type": b"text/plain",
        "Content-Disposition": b'inline; filename="other.bin"',
        "Content-Transfer-Encoding": b"7bit",
    }

    def mutate(data: bytes, message: Message, part: Part, rng: random.Random) -> bytes:
        line = _eol(data, field.encode() + b": " + others[field] + b"\n")
        place = part.header.start if position == "before" else part.header.end
        return data[:place] + line + data[place:]

    return mutate


def _renaming(field: str, form: "bytes | None") -> Mutation:
    def mutate(data: bytes, message: Message, part: Part, rng: random.Random) -> "bytes | None":
        found = part.field(field.lower().encode())
        if not found:
            return None
        name = field.upper().encode() + b": " if form is None else form.replace(b"%s", field.encode())
        return data[: found.range.start] + name + found.value.lstrip() + data[found.range.end :]

    return mutate


def _rebounding(change: "Callable[[bytes], bytes]") -> Mutation:
    def mutate(data: bytes, message: Message, part: Part, rng: random.Random) -> "bytes | None":
        parent = message.parts[part.parent]
        found = parent.field(b"content-type")
        if not found:
            return None
        line = b"Content-Type: " + parent.type + b"; boundary=" + change(parent.param(b"boundary")) + b"\n"
        return data[: found.range.start] + _eol(data, line) + data[found.range.end :]

    return mutate


def _delimiters(data: bytes, message: Message, part: Part) -> "list[tuple[int, int]]":
    """Return start and end, without its line end, of the delimiter lines around a part."""
    parent = message.parts[part.parent]
    boundary = re.escape(b"--" + parent.param(b"boundary"))
    inside = data[parent.body.start : parent.span.end]
    found = re.finditer(rb"(?<=\n)" + boundary + rb"(?:--)?(?=[ \t]*\r?(?:\n|\Z))", b"\n" + inside)
    return [(one.start() + parent.body.start - 1, one.end() + parent.body.start - 1) for one in found]


def _at_delimiter(which: str, head: bytes, tail: bytes) -> Mutation:
    def mutate(data: bytes, message: Message, part: Part, rng: random.Random) -> "bytes | None":
        found = _delimiters(data, message, part)
        opening = [one for one in found if not data[one[0] : one[1]].endswith(b"--")]
        closing = [one for one in found if one not in opening]
        places = {"first": opening[:1], "last": opening[-1:], "close": closing[-1:]}[which]
        if not places:
            return None
        start, end = places[0]
        return data[:start] + _eol(data, head) + data[start:end] + tail + data[end:]

    return mutate


def _in_part(line: bytes) -> Mutation:
    def mutate(data: bytes, message: Message, part: Part, rng: random.Random) -> bytes:
        return data[: part.header.start] + _eol(data, line) + data[part.header.start :]

    return mutate


def _body(change: "Callable[[bytes, random.Random], bytes]") -> Mutation:
    def mutate(data: bytes, message: Message, part: Part, rng: random.Random) -> bytes:
        body = data[part.body.start : part.body.end]
        return data[: part.body.start] + change(body, rng) + data[part.body.end :]

    return mutate


def _inserting(piece: bytes) -> Mutation:
    def change(body: bytes, rng: random.Random) -> bytes:
        place = rng.randrange(len(body) + 1)
        return body[:place] + piece + body[place:]

    return _body(change)


def _splice(data: bytes, message: Message, part: Part, rng: random.Random) -> bytes:
    for _ in range(rng.randrange(1, 4)):
        start = rng.randrange(len(data) + 1)
        end = min(len(data), start + rng.choice((0, 1, 2, 10, 80)))
        data = data[:start] + rng.choice((*PIECES, data[start:end] * 2)) + data[end:]
    return data


def _without_empty_line(data: bytes, message: Message, part: Part, rng: random.Random) -> bytes:
    return data[: part.header.end] + data[part.body.start :]


def _without_parents_empty_line(data: bytes, message: Message, part: Part, rng: random.Random) -> bytes:
    parent = message.parts[part.parent]
    return data[: parent.header.end] + data[parent.body.start :]


def _blank_empty_line(data: bytes, message: Message, part: Part, rng: random.Random) -> bytes:
    return data[: part.header.end] + b" " + data[part.header.end :]


def _wrapped(kind: str, encoding: str, boundary: "str | None") -> Mutation:
    def mutate(data: bytes, message: Message, part: Part, rng: random.Random) -> bytes:
        inner = support.lf(data)
        if encoding == "base64":
            inner = base64.encodebytes(inner).rstrip(b"\n")
        named = message.root.param(b"boundary").decode("ascii", "replace")
        outer = boundary.replace("%", named) if boundary else "outermost"
        entity = support.part(inner, kind, encoding=encoding, disposition='attachment; filename="x.eml"')
        whole = support.multipart("mixed", support.part(b"Hello\n"), entity, boundary=outer or "x")
        return support.message(whole)

    return mutate


def _without_delimiter(which: int) -> Mutation:
    def mutate(data: bytes, message: Message, part: Part, rng: random.Random) -> "bytes | None":
        found = _delimiters(data, message, part)
        if len(found) < abs(which):
            return None
        start, end = found[which]
        return data[:start] + data[end:].lstrip(b"\r\n")

    return mutate


def _twice(which: int) -> Mutation:
    def mutate(data: bytes, message: Message, part: Part, rng: random.Random) -> "bytes | None":
        found = _delimiters(data, message, part)
        if not found:
            return None
        start, end = found[which]
        line = data[start:end] + _eol(data, b"\n")
        return data[:start] + line + data[start:]

    return mutate


def _with_root_field(line: bytes) -> Mutation:
    def mutate(data: bytes, message: Message, part: Part, rng: random.Random) -> bytes:
        place = message.root.header.start
        return data[:place] + _eol(data, line) + data[place:]

    return mutate


def _subtype(kind: bytes) -> Mutation:
    def mutate(data: bytes, message: Message, part: Part, rng: random.Random) -> "bytes | None":
        parent = message.parts[part.parent]
        found = parent.field(b"content-type")
        if not found:
            return None
        line = b"Content-Type: " + kind + b'; boundary="' + parent.param(b"boundary") + b'"\n'
        return data[: found.range.start] + _eol(data, line) + data[found.range.end :]

    return mutate


def _mixed_line_ends(data: bytes, message: Message, part: Part, rng: random.Random) -> bytes:
    lines = support.lf(data).split(b"\n")
    return b"".join(line + rng.choice((b"\n", b"\r\n")) for line in lines[:-1]) + lines[-1]


def _in_preamble(text: bytes) -> Mutation:
    def mutate(data: bytes, message: Message, part: Part, rng: random.Random) -> bytes:
        parent = message.parts[part.parent]
        line = text.replace(b"%b", parent.param(b"boundary"))
        return data[: parent.body.start] + _eol(data, line) + data[parent.body.start :]

    return mutate


def _at_end(text: bytes) -> Mutation:
    def mutate(data: bytes, message: Message, part: Part, rng: random.Random) -> bytes:
        parent = message.parts[part.parent]
        line = text.replace(b"%b", parent.param(b"boundary"))
        return data.rstrip(b"\r\n") + _eol(data, b"\n" + line)

    return mutate


INSIDE = (b"!", b"=", b"\0", b"\xff", b"\r", b" ", b"-", b"_", b"\n\n", b"\n--\n", b"=\n", b"=zz", b"\x0b")
ROOT_FIELDS = (
    *(b"Content-Transfer-Encoding: base64\n", b"Content-Transfer-Encoding: 8bit\n", b"Content-Type: text/plain\n"),
    *(b"Content-Disposition: attachment; filename=x.bin\n", b"Content-Disposition: inline\n", b"MIME-Version: 2.0\n"),
    *(b"X: a\n \n b\n", b"X: a\r b\n", b"X: a\0b\n", b"no field\n", b"--x\n", b"X : y\n", b"X: " + b"y" * 2000 + b"\n"),
)
KINDS = (
    *(b"multipart/digest", b"multipart/x-unknown", b"Multipart/MIXED", b"multipart/alternative", b"multipart/related"),
    *(
        b"multipart/parallel",
        b"multipart/form-data",
        b"multipart/mixed(c)",
        b"(c)multipart/mixed",
        b"multipart / mixed",
    ),
    *(b"multipart", b"multipart/", b"text/plain", b"message/rfc822", b"multipart/mixed;", b"multipart/mixed,"),
    *(b"x/multipart", b"multipart/mixed/x"),
)
_WHOLE: "dict[str, Mutation]" = {
    **{f"body: {piece!r} inside": _inserting(piece) for piece in INSIDE},
    "body: text behind": _body(lambda body, _: body + b"\nMore text, no base64!\n"),
    "body: last octet missing": _body(lambda body, _: body.rstrip()[:-1]),
    "body: padding and more": _body(lambda body, _: body.rstrip() + b"\nQQ==\nQUJD\n"),
    "body: padding missing": _body(lambda body, _: body.rstrip().rstrip(b"=")),
    "body: empty": _body(lambda body, _: b""),
    "body: blanks at line ends": _body(lambda body, _: body.replace(b"\n", b"  \n")),
    "body: blank lines": _body(lambda body, _: b"\n\n" + body + b"\n\n"),
    "body: one line": _body(lambda body, _: body.replace(b"\r", b"").replace(b"\n", b"")),
    "body: uuencoded": _body(lambda body, _: b"begin 644 x.bin\n#0V%T\n`\nend\n" + body),
    **{f"spliced {number}": _splice for number in range(40)},
    "header without an empty line": _without_empty_line,
    "parent's header without an empty line": _without_parents_empty_line,
    "blank in the empty line": _blank_empty_line,
    "wrapped as a message": _wrapped("message/rfc822", "", None),
    "wrapped as a message in base64": _wrapped("message/rfc822", "base64", None),
    "wrapped as a message in quoted-printable": _wrapped("message/rfc822", "quoted-printable", None),
    "wrapped with the same boundary": _wrapped("message/rfc822", "", "%"),
    "wrapped with a shorter boundary": _wrapped("message/rfc822", "", "%x"),
    "wrapped as a global message": _wrapped("message/global", "", None),
    "wrapped as news": _wrapped("message/news", "", None),
    "wrapped as text": _wrapped("text/plain", "", None),
    "first delimiter missing": _without_delimiter(0),
    "last delimiter missing": _without_delimiter(-1),
    "first delimiter twice": _twice(0),
    "last delimiter twice": _twice(-1),
    **{f"root: {line.decode().strip()}": _with_root_field(line) for line in ROOT_FIELDS},
    **{f"multipart as {kind.decode()}": _subtype(kind) for kind in KINDS},
    "mixed line ends": _mixed_line_ends,
    "without MIME-Version": lambda data, *_: re.sub(rb"(?im)^mime-version:.*\n", b"", data, count=1),
    "preamble: header": _in_preamble(b"Content-Type: text/plain\n\n"),
    "preamble: delimiter, indented": _in_preamble(b" --%b\n"),
    "preamble: delimiter, quoted": _in_preamble(b"> --%b\n"),
    "preamble: close delimiter": _in_preamble(b"--%b--\n\n"),
    "preamble: delimiter behind a bare CR": _in_preamble(b"x\r--%b\n\nhidden\n"),
    "preamble: begins": _in_preamble(b"This is a message in MIME.\n"),
    "epilogue: delimiter": _at_end(b"--%b\nContent-Type: application/pdf; name=y.pdf\n\nx\n--%b--\n"),
    "epilogue: text": _at_end(b"an epilogue\n"),
    "epilogue: without a line end": _at_end(b"--%b--"),
    "no line end": lambda data, *_: data.rstrip(b"\r\n"),
}  # fmt: skip
