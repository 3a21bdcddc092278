"""xtext, in which values stand in parameters of SMTP (RFC 3461, 4). Pure."""

from pfilter.message.addresses import has_controls


def encode(value: str) -> bytes:
    """Return a value as it stands in a parameter."""
    octets = value.encode("utf-8", "surrogateescape")
    return b"".join(bytes([o]) if 33 <= o <= 126 and o not in b"+=" else b"+%02X" % o for o in octets)


def decode(value: bytes) -> str | None:
    """Return what stands for a value, None where it is none, or has control characters."""
    first, *others = value.split(b"+")
    decoded = first
    for piece in others:
        if len(piece) < 2 or not all(octet in b"0123456789ABCDEFabcdef" for octet in piece[:2]):
            return None
        decoded += bytes.fromhex(piece[:2].decode("ascii")) + piece[2:]
    if has_controls(decoded):
        return None
    return decoded.decode("utf-8", "surrogateescape")
