"""One form for a domain, and for an address, so that two ways to write it compare as one: lower case, A-labels.

A U-label and its A-label (RFC 5890, 2.3.2.1) are one label. They are mapped as Postfix does it (midna_domain(3)):
UTS #46, non-transitional, so that straße.de is not strasse.de. The codec in the standard library is IDNA 2003 and says
that it is; so the mapping is idna's (10 ms), which ASCII does not pay for. This is for comparing only: what is
stored, shown or handed on stays as it was written.
"""

LIMIT = 1024  # octets of a domain that is looked at; the DNS allows 253 in ASCII


def domain(octets: bytes) -> bytes:
    """Return a domain in lower case and A-labels; what can't be converted in lower case alone. Never raises."""
    if octets.isascii() or len(octets) > LIMIT:
        return octets.lower()
    try:
        from idna.core import uts46_remap

        # Nothing maps to ASCII but letters, digits and hyphens: no full-width @ becomes one. Whether a label may be
        # registered is not asked: there are domains of emoji, too.
        labels = uts46_remap(octets.decode("utf-8"), std3_rules=True).split(".")
        return b".".join(
            label.encode("ascii") if label.isascii() else b"xn--" + label.encode("punycode") for label in labels
        )
    except Exception:  # noqa: BLE001  # hostile octets, or a package that is gone: mail goes on
        return octets.lower()


def address(octets: bytes) -> bytes:
    """Return an address (RFC 5321, 6531) in lower case, its domain in A-labels. Never raises."""
    if octets.isascii():
        return octets.lower()
    local, at, rest = octets.rpartition(b"@")
    return _lower(local) + at + domain(rest) if at else _lower(rest)


def domain_text(written: str) -> str:
    """Return a domain, or a pattern for domains, as somebody wrote it, in the form that is compared."""
    return domain(written.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")


def address_text(written: str) -> str:
    """Return an address, or a pattern for addresses, as somebody wrote it, in the form that is compared."""
    return address(written.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")


def _lower(octets: bytes) -> bytes:
    if octets.isascii():
        return octets.lower()
    from unicodedata import normalize

    try:
        return normalize("NFC", octets.decode("utf-8").lower()).encode("utf-8")
    except UnicodeError:
        return octets.lower()
