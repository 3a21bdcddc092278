"""What stands in a header field: unfolded, its token, its parameters (RFC 2045, 5.1). Pure."""

from pfilter.base.frozen import Frozen

BLANKS = b" \t\r"
TOKEN_SPECIALS = b'()<>@,;:\\"/[]?= \t'  # RFC 2045, 5.1
TOKEN_OCTETS = bytes(octet for octet in range(33, 127) if octet not in TOKEN_SPECIALS)
PARAMETERS_LIMIT = 1000  # of one field


class Parameters(Frozen):
    """A value with parameters (RFC 2045, 5.1): `token` in lower case, pairs as the sender wrote them."""

    token: bytes
    pairs: tuple[tuple[bytes, bytes], ...]
    defect: str
    unusual: str = ""  # sound by RFC 2045, but not understood by all


def unfold(value: bytes) -> bytes:
    """Return a field's value without line ends and outer blanks (RFC 5322, 2.2.3)."""
    return value.replace(b"\r\n", b"").replace(b"\n", b"").strip(BLANKS)


def parameters(value: bytes) -> Parameters:
    """Parse `token; name=value; ...` as RFC 2045, 5.1 has it, tolerant of what mailers write in fact.

    Never raises. What parsers read in different ways is said in `defect`.
    """
    value = unfold(value)
    defect = unusual = ""
    pieces, sound = _split(value)
    if not sound:
        defect = "quotes or comments that don't end in a Content-* field"
    if b"\x0b" in value or b"\x0c" in value:
        defect = defect or "vertical tab or form feed in a Content-* field"  # white space to some
    if len(pieces) > PARAMETERS_LIMIT:
        defect = defect or f"more than {PARAMETERS_LIMIT} parameters"
        del pieces[PARAMETERS_LIMIT:]
    token = _without_comments(pieces[0]).strip().lower()
    if b"(" in pieces[0]:
        unusual = "comment"
    pairs: list[tuple[bytes, bytes]] = []
    seen: dict[bytes, bytes] = {}
    for piece in pieces[1:]:
        name_as_is, equals, raw = piece.partition(b"=")
        name = _without_comments(name_as_is).strip().lower()
        if not equals or not name:
            if name:
                defect = defect or "parameter without a value"
            continue
        if name.translate(None, TOKEN_OCTETS):
            defect = defect or "malformed parameter"
        content, clean = _unquote(raw.strip())
        if not clean:
            defect = defect or "text after a quoted parameter"
        unusual = unusual or _unusual(name_as_is, raw.strip(), content)
        if seen.setdefault(name, content) != content:
            defect = defect or f"conflicting parameters {name.decode('ascii', 'replace')}"
        pairs.append((name, content))
    return Parameters(token=token, pairs=tuple(pairs), defect=defect, unusual=unusual)


def _unusual(name: bytes, raw: bytes, content: bytes) -> str:
    """Return in what way a parameter stands that some programs don't understand, or ""."""
    if raw.startswith(b'"'):
        if b"\\" in raw:
            return "backslash"
        return "comment" if b"(" in name or len(raw) > len(content) + 2 else ""
    if b"(" in name or b"(" in raw:
        return "comment"
    if raw.translate(None, b' \t"') != raw:
        return "blank or quote inside a parameter"
    is_cut = name.strip().lower() == b"boundary" and raw.translate(None, TOKEN_OCTETS)  # by Postfix and MIME-tools
    return "special character outside of quotes" if is_cut else ""


def _split(value: bytes) -> tuple[list[bytes], bool]:
    """Split at semicolons outside of quotes and comments."""
    if b'"' not in value and b"(" not in value:
        return value.split(b";"), True
    pieces = []
    start = position = 0
    quoted = False
    depth = 0
    size = len(value)
    while position < size:
        octet = value[position]
        if octet == 0x5C and (quoted or depth):  # backslash
            position += 1
        elif octet == 0x22 and not depth:
            quoted = not quoted
        elif not quoted and octet == 0x28:
            depth += 1
        elif not quoted and octet == 0x29 and depth:
            depth -= 1
        elif octet == 0x3B and not quoted and not depth:
            pieces.append(value[start:position])
            start = position + 1
        position += 1
    pieces.append(value[start:])
    return pieces, not quoted and not depth


def _without_comments(value: bytes) -> bytes:
    """Drop RFC 822 comments."""
    if b"(" not in value:
        return value
    kept = bytearray()
    depth = 0
    skip = False
    for octet in value:
        if skip:
            skip = False
        elif depth and octet == 0x5C:
            skip = True
        elif octet == 0x28:
            depth += 1
        elif octet == 0x29 and depth:
            depth -= 1
        elif not depth:
            kept.append(octet)
    return bytes(kept)


def _unquote(raw: bytes) -> tuple[bytes, bool]:
    """Return a parameter's value without quotes, and whether nothing but a comment stands behind the quotes."""
    if not raw.startswith(b'"'):
        bare = _without_comments(raw).strip()
        return bare, True
    end = 1
    content = bytearray()
    while end < len(raw) and raw[end] != 0x22:
        if raw[end] == 0x5C and end + 1 < len(raw):
            end += 1
        content.append(raw[end])
        end += 1
    return bytes(content), not _without_comments(raw[end + 1 :]).strip()


def token(value: bytes) -> bytes:
    """Return the single token of a field such as Content-Transfer-Encoding, in lower case."""
    return _without_comments(unfold(value)).strip().lower()
