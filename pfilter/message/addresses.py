"""Patterns for addresses, domains and networks, as the configuration has them.

An address pattern is an address, `@domain`, `@.domain` for its subdomains, or `name@*` for any domain. Case does not
count, in local parts neither: exemptions are written by people. `config.readers` brings patterns into the form that is
compared (see `idn`) once, so that no message pays for it.
"""

from pfilter.base import idn

CONTROLS = bytes((*range(32), 127))


def has_controls(octets: bytes) -> bool:
    """Whether a control character is among octets: no address has one."""
    return len(octets.translate(None, CONTROLS)) < len(octets)


def domain_of(address: bytes) -> bytes:
    """Return the domain of an address in the form that is compared (see `idn`), b"" where there is none."""
    return idn.domain(address.rpartition(b"@")[2]) if b"@" in address else b""


def matches(address: bytes, patterns: tuple[str, ...]) -> bool:
    """Whether an address (RFC 5321, without angle brackets) matches one of the patterns (see `idn.address_text`)."""
    if not patterns:
        return False
    found = idn.address(address)
    domain = found.rpartition(b"@")[2]
    for pattern in patterns:
        wanted = pattern.encode("utf-8", "surrogateescape")
        if wanted.startswith(b"@."):
            if domain.endswith(wanted[1:]):
                return True
        elif wanted.startswith(b"@"):
            if b"@" in found and domain == wanted[1:]:
                return True
        elif wanted.endswith(b"@*"):
            if found.rpartition(b"@")[:2] == (wanted[:-2], b"@"):
                return True
        elif found == wanted:
            return True
    return False


def matches_domain(domain: bytes, own_domains: tuple[str, ...]) -> bool:
    """Whether a domain (see `domain_of`) is ours: `*`, `example.org`, or `.example.org` for subdomains."""
    for pattern in own_domains:
        wanted = pattern.encode("utf-8", "surrogateescape")
        if wanted == b"*" or domain == wanted or (wanted.startswith(b".") and domain.endswith(wanted)):
            return True
    return False


def in_networks(client: str, networks: tuple[str, ...]) -> bool:
    """Whether an IP address lies in one of the networks (CIDR); what is no address lies in none."""
    if not networks or not client:
        return False
    from ipaddress import ip_address, ip_network

    try:
        address = ip_address(client)
    except ValueError:
        return False
    return any(address in ip_network(network, strict=False) for network in networks)
