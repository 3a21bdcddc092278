"""How the values of the configuration are read: each function takes what TOML has, and gives what stages use.

What can't be read raises ValueError, which says what is allowed; `load` names key and value.
"""

from pfilter.base import idn, sockets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

SIZE_UNITS = {
    "": 1, "b": 1, "k": 1 << 10, "kib": 1 << 10, "m": 1 << 20, "mib": 1 << 20, "g": 1 << 30, "gib": 1 << 30,
    "t": 1 << 40, "tib": 1 << 40, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
}  # fmt: skip
QUANTITY_LIMIT = 1 << 60
DURATION_LIMIT = 10 * 365 * 86400  # seconds; more is a slip of the pen
DURATION_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}


def size(value: object) -> int:
    """Read `800 KiB`, `1.5 MB` or a number of octets."""
    return int(_quantity(value, SIZE_UNITS, 'a size such as "800 KiB", "1.5 MB" or a number of octets', 1))


def duration(value: object) -> int:
    """Read `7d`, `90s`, `1h` or a number of seconds."""
    allowed = 'a time such as "60s", "5m", "12h", "7d" or "2w"'
    found = int(_quantity(value, DURATION_UNITS, allowed, 1))
    if found > DURATION_LIMIT:
        raise ValueError(f"{allowed}, at most ten years")
    return found


def share(value: object) -> float:
    """Read `10%` as 0.1."""
    allowed = 'a share between "0%" and "100%"'
    if not isinstance(value, str) or not value.strip().endswith("%"):
        raise ValueError(allowed)
    found = _quantity(value.strip()[:-1], {"": 1}, allowed, 0) / 100
    if found > 1:
        raise ValueError(allowed)
    return found


def _quantity(value: object, units: dict[str, int], allowed: str, bare_unit: int) -> float:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= QUANTITY_LIMIT and bare_unit:
        return value
    if not isinstance(value, str):
        raise ValueError(allowed)  # noqa: TRY004  # one kind of error: the caller names key and value
    text = value.strip()
    digits = len(text) - len(text.lstrip("0123456789."))
    unit = text[digits:].strip().lower()
    try:
        found = float(text[:digits]) * units[unit]
    except (ValueError, KeyError):
        raise ValueError(allowed) from None
    if found > QUANTITY_LIMIT:
        raise ValueError(f"{allowed}, and less")
    return found


def flag(value: object) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        raise ValueError("true or false")  # noqa: TRY004
    return value


def count(value: object) -> int:
    """Read a positive whole number."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError("a whole number from 1 up")
    return value


def number(value: object) -> int:
    """Read a whole number."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= QUANTITY_LIMIT:
        raise ValueError("a whole number from 0 up")
    return value


def text(value: object) -> str:
    """Read a string."""
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError("a string")
    return value


def strings(value: object) -> tuple[str, ...]:
    """Read a list of strings."""
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise ValueError('a list of strings such as ["a", "b"]')
    return tuple(value)


def one_of(*words: str) -> "Callable[[object], str]":
    """Read one of these words."""

    def read(value: object) -> str:
        if value not in words:
            raise ValueError(" or ".join(f'"{word}"' for word in words))
        return str(value)

    return read


def domains(value: object) -> tuple[str, ...]:
    """Read `example.org`, `.example.org` for subdomains, or `*`, into the form that is compared (see `idn`)."""
    found = tuple(idn.domain_text(item.removeprefix("@")) for item in strings(value))
    if not found or not all(item == "*" or _is_domain(item) for item in found):
        raise ValueError('a list of domains such as ["example.org", ".example.org"], or ["*"]')
    return found


def address_patterns(value: object) -> tuple[str, ...]:
    """Read addresses, `@domain`, `@.domain`, into the form that is compared (see `idn`)."""
    found = tuple(idn.address_text(item) for item in strings(value))
    if not all("@" in item and _is_address_pattern(item) for item in found):
        raise ValueError('addresses, "@domain", or "@.domain" for its subdomains')
    return found


def names_anywhere(value: object) -> tuple[str, ...]:
    """Read the same, and `name@*` for a name at any domain."""
    given = strings(value)
    anywhere = [item for item in given if item.endswith("@*") and len(item) > 2 and not set(item[:-2]) & set('*@" ')]
    try:
        others = address_patterns([item for item in given if item not in anywhere])
    except ValueError as error:
        raise ValueError(f'{error}, or "name@*" for any domain') from None
    return (*(idn.address_text(item) for item in anywhere), *others)


def _is_address_pattern(item: str) -> bool:
    local, _, domain = item.rpartition("@")
    return _is_domain(domain) and "*" not in local and not (local and domain.startswith("."))


def _is_domain(item: str) -> bool:
    """Whether this is `example.org`, or `.example.org`; no wildcards, no dot at the end: they would never match."""
    labels = item.removeprefix(".").split(".")
    return all(labels) and not set(item) & set('*@" ,;:<>()[]\\')


def language_name(value: object) -> str:
    """Read a language as folders of catalogues are called; de-AT is de_AT."""
    found = value.replace("-", "_") if isinstance(value, str) else ""
    if not found.isascii() or not found.replace("_", "").isalnum():
        raise ValueError('a language such as "en" or "pt_BR"')
    return found


def languages(value: object) -> tuple[tuple[str, str], ...]:
    """Read a table of domains and languages into pairs, the domain that says most first."""
    if not isinstance(value, dict):
        raise ValueError('a table such as {"example.de" = "de", ".example.fr" = "fr"}')  # noqa: TRY004
    domains([*value] or ["*"])
    found = [(domains([pattern])[0], language_name(name)) for pattern, name in value.items()]
    return tuple(sorted(found, key=lambda pair: (pair[0] == "*", pair[0].startswith("."), -len(pair[0]), pair[0])))


def timezone(value: object) -> str:
    """Read a name of the tz database, such as Europe/Berlin, or nothing."""
    found = text(value)
    if found:
        from pfilter.base import days

        days.known(found)
    return found


def networks(value: object) -> tuple[str, ...]:
    """Read IP addresses and networks in CIDR form."""
    found = strings(value)
    if found:
        from ipaddress import ip_network

        try:
            for item in found:
                ip_network(item, strict=False)
        except ValueError as error:
            raise ValueError(f'networks such as "192.0.2.0/24" ({error})') from None
    return found


def machines(value: object) -> tuple[str, ...]:
    """Read IP addresses of single machines."""
    found = strings(value)
    if found:
        from ipaddress import ip_address

        try:
            return tuple(str(ip_address(item)) for item in found)
        except ValueError as error:
            raise ValueError(f'addresses such as "127.0.0.1" or "::1" ({error})') from None
    return found


def path(value: object) -> str:
    """Read an absolute path."""
    if not isinstance(value, str) or not value.startswith("/") or "\0" in value:
        raise ValueError("an absolute path")
    return value.rstrip("/") or "/"


def optional_path(value: object) -> str:
    """Read an absolute path, or nothing."""
    return "" if value == "" else path(value)


def base_url(value: object) -> str:
    """Read the public address of the store's downloads folder."""
    allowed = 'the public address of the folder downloads, such as "https://files.example.org/d"'
    if value == "":
        return ""
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        raise ValueError(allowed)
    scheme, separator, rest = value.partition("://")
    if scheme not in ("https", "http") or not separator or not rest.strip("/") or set(rest) & set(" \"'<>?#&\\"):
        raise ValueError(allowed)
    return value.rstrip("/")


def host_and_port(value: object) -> str:
    """Read `host:port`."""
    try:
        if isinstance(value, str) and 0 < sockets.host_and_port(value)[1] < 65536:
            return value
    except ValueError:
        pass
    raise ValueError('host and port such as "127.0.0.1:10026"')


def server(value: object) -> str:
    """Read `host:port`, the path of a Unix socket, or nothing."""
    if value == "":
        return ""
    try:
        return path(value) if isinstance(value, str) and value.startswith("/") else host_and_port(value)
    except ValueError:
        raise ValueError('a path such as "/run/clamav/clamd.ctl", or "127.0.0.1:3310"') from None


def listener(value: object) -> str:
    """Read `host:port` or the path of a Unix socket to listen on."""
    try:
        return path(value) if isinstance(value, str) and value.startswith("/") else host_and_port(value)
    except ValueError:
        raise ValueError('host and port such as "127.0.0.1:8025", or a path such as "/run/pfilter/web"') from None


def optional_address(value: object) -> str:
    """Read one address, or nothing."""
    found = text(value)
    local, at, domain = found.rpartition("@")
    if found and not (at and local and found.isascii() and _is_domain(domain) and not set(local) & set("<> ,")):
        raise ValueError("an address such as postmaster@example.org")
    return found


def word(value: object) -> str:
    """Read a name of letters, digits and hyphens."""
    if not isinstance(value, str) or not value or not all(c.isascii() and (c.isalnum() or c in "-_") for c in value):
        raise ValueError("a name such as us-east-1")
    return value


def bucket_url(value: object) -> str:
    """Read `s3://bucket/prefix`, or nothing."""
    if value == "":
        return ""
    bucket, _, prefix = value.removeprefix("s3://").rstrip("/").partition("/") if isinstance(value, str) else ("",) * 3
    harmless = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
    pieces = [bucket, *(prefix.split("/") if prefix else ())]
    sound = all(piece and set(piece) <= harmless and piece.strip(".") for piece in pieces)
    if not isinstance(value, str) or not value.startswith("s3://") or len(bucket) < 3 or not sound:
        raise ValueError('an address such as "s3://bucket/prefix"')
    return f"s3://{'/'.join(pieces)}"


def endpoint(value: object) -> str:
    """Read scheme, host and port of a server, or nothing."""
    if value == "":
        return ""
    scheme, separator, host = value.rstrip("/").partition("://") if isinstance(value, str) else ("", "", "")
    if scheme not in ("https", "http") or not separator or not host.isascii() or set(host) & set(" \"'<>?#&\\/@"):
        raise ValueError('an address such as "https://s3.example.org:9000"')
    if not host or not isinstance(value, str):
        raise ValueError('an address such as "https://s3.example.org:9000"')
    return value.rstrip("/")


def log_target(value: object) -> str:
    """Read where the log goes."""
    if value not in ("syslog", "stderr") and not (isinstance(value, str) and value.startswith("file:/")):
        raise ValueError('"syslog", "stderr" or "file:/absolute/path"')
    return str(value)


def is_author(value: str) -> bool:
    """Whether this can stand in From: an address, or `Name <address>`, in ASCII."""
    name, bracket, rest = value.partition("<")
    address = rest.removesuffix(">") if bracket else name
    closed = not bracket or rest.endswith(">")
    local, at, domain = address.strip().rpartition("@")
    return bool(local and at and closed and value.isascii() and _is_domain(domain) and not set(local) & set("<> "))
