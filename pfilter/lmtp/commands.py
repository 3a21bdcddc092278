"""What stands behind a verb: paths and parameters (RFC 5321, 4.1.2; RFC 3461, 4). Pure."""

from pfilter.message import xtext
from pfilter.message.addresses import has_controls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def path(text: bytes, keyword: bytes) -> "tuple[bytes, list[bytes]] | None":
    """Return the address and the parameters of `FROM:<address> NAME=value ...`, None where it is none."""
    if text[: len(keyword)].upper() != keyword:
        return None
    text = text[len(keyword) :].lstrip(b" ")
    end = _end_of_path(text)
    if end < 0 or text[end + 1 : end + 2] not in (b"", b" "):
        return None
    address = text[1:end]
    if address.startswith(b"@") and b":" in address:
        address = address.partition(b":")[2]  # a route, to be ignored (RFC 5321, 4.1.1.3)
    if has_controls(address):
        return None
    return address, text[end + 1 :].split()


def _end_of_path(text: bytes) -> int:
    """Return where a path's ">" is, -1 where it is none; in a quoted string it may be a character like others."""
    quoted = escaped = False
    for at, octet in enumerate(text):
        if escaped:
            escaped = False
        elif octet == 92:  # a backslash
            escaped = True
        elif octet == 34:
            quoted = not quoted
        elif octet == 62 and not quoted:
            return at if text.startswith(b"<") else -1
    return -1


def _is_number(value: bytes) -> bool:
    return value.isdigit() and len(value) <= 20  # RFC 1870, 5


def _is_envid(value: bytes) -> bool:
    # Longer than the 100 characters of RFC 3461, 5.4 may be what Postfix took: to refuse it would bounce the message.
    return bool(value) and xtext.decode(value) is not None


def _is_notify(value: bytes) -> bool:
    words = value.upper().split(b",")
    return words == [b"NEVER"] or all(word in (b"SUCCESS", b"FAILURE", b"DELAY") for word in words)


def _is_orcpt(value: bytes) -> bool:
    kind, _, address = value.partition(b";")
    return kind.replace(b"-", b"").isalnum() and bool(address) and xtext.decode(address) is not None


DSN_MAIL = (b"RET", b"ENVID")
MAIL_PARAMETERS: "dict[bytes, Callable[[bytes], bool]]" = {
    b"SIZE": _is_number,
    b"BODY": lambda value: value.upper() in (b"7BIT", b"8BITMIME"),
    b"SMTPUTF8": lambda value: not value,
    b"RET": lambda value: value.upper() in (b"FULL", b"HDRS"),
    b"ENVID": _is_envid,
}
RCPT_PARAMETERS: "dict[bytes, Callable[[bytes], bool]]" = {b"NOTIFY": _is_notify, b"ORCPT": _is_orcpt}


def wrong(parameters: list[bytes], known: "dict[bytes, Callable[[bytes], bool]]") -> bytes:
    """Return what is to be said about parameters that are unknown, wrong or given twice; b"" about others."""
    names = [parameter.partition(b"=")[0].upper() for parameter in parameters]
    for parameter, name in zip(parameters, names, strict=True):
        if name not in known:
            return b"555 5.5.4 unknown parameter"
        if not known[name](parameter.partition(b"=")[2]) or names.count(name) > 1:
            return b"501 5.5.4 bad parameter " + name
    return b""
