"""The configuration: TOML in, Settings out. Every default and limit stands here, once, with its sentence.

A key `[link] part_limit` is the attribute `link_part_limit`; keys of `[policy]` have no prefix. What can't be used
raises ConfigError with key, value and what is allowed.
"""

from pfilter.base.errors import ConfigError
from pfilter.base.frozen import Frozen
from pfilter.config.settings import PRESIGNED_LIMIT, Settings
from pfilter.message import addresses
from pfilter.notices import language

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

REQUIRED = object()

SIZE_UNITS = {
    "": 1, "b": 1, "k": 1 << 10, "kib": 1 << 10, "m": 1 << 20, "mib": 1 << 20, "g": 1 << 30, "gib": 1 << 30,
    "t": 1 << 40, "tib": 1 << 40, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
}  # fmt: skip
QUANTITY_LIMIT = 1 << 60
DURATION_LIMIT = 10 * 365 * 86400  # seconds; more is a slip of the pen
DURATION_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}


class Key(Frozen):
    """One key of the file: how its value is read, its default as written there, and what it is for."""

    section: str
    name: str
    read: "Callable[[Any], Any]"
    default: "Any"
    sentence: str

    @property
    def attribute(self) -> str:
        """The name of its attribute of Settings."""
        return self.name if self.section == "policy" else f"{self.section}_{self.name}"


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
    found = tuple(addresses.of_domains(item.removeprefix("@")) for item in strings(value))
    if not found or not all(item == "*" or _is_domain(item) for item in found):
        raise ValueError('a list of domains such as ["example.org", ".example.org"], or ["*"]')
    return found


def address_patterns(value: object) -> tuple[str, ...]:
    """Read addresses, `@domain`, `@.domain`, into the form that is compared (see `idn`)."""
    found = tuple(addresses.of_addresses(item) for item in strings(value))
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
    return (*(addresses.of_addresses(item) for item in anywhere), *others)


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
    host, _, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError('host and port such as "127.0.0.1:10026"')
    return f"{host}:{port}"


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


KEYS = (
    Key("policy", "own_domains", domains, REQUIRED, "Domains whose senders' mail is filtered; all other mail passes."),
    Key("policy", "exempt_senders", address_patterns, [], "Senders whose mail passes untouched."),
    Key("policy", "exempt_recipients", address_patterns, [], "Mail passes untouched if all recipients match."),
    Key("policy", "exempt_sasl_users", strings, [], "Login names whose mail passes untouched."),
    Key("policy", "exempt_networks", networks, [], "Client networks whose mail passes untouched."),
    Key("policy", "null_sender", one_of("strip", "pass"), "strip", "What happens to attachments of the null sender."),
    Key("policy", "ambiguous", one_of("pass", "defer", "quarantine"), "pass", "Mail that programs disagree about."),
    Key("policy", "mode", one_of("filter", "observe"), "filter", "With observe, all is decided and logged, not done."),
    Key("policy", "deadline", duration, "300s", "Time for one message; then Postfix keeps it and tries again."),
    Key("policy", "trace_header", one_of("off", "name", "version"), "off", "X-Content-Filter on changed messages."),
    Key("reinject", "method", one_of("sendmail", "smtp"), "sendmail", "How results go back to Postfix."),
    Key("reinject", "sendmail", path, "/usr/sbin/sendmail", "Postfix's sendmail command."),
    Key("reinject", "smtp", host_and_port, "127.0.0.1:10026", "The smtpd that takes results."),
    Key("reinject", "timeout", duration, "60s", "Time limit of one reinjection, until Postfix has got the message."),
    Key("reinject", "data_done_timeout", duration, "600s", "Time limit for Postfix's answer after that."),
    Key("reinject", "max_size", size, 0, "Largest result; 0 asks Postfix for message_size_limit."),
    Key("compress", "enabled", flag, True, "Whether attachments are zipped."),
    Key("compress", "min_size", size, "16 KiB", "Smaller attachments are not zipped."),
    Key("compress", "min_gain", share, "10%", "What a zip must save."),
    Key(
        "compress", "skip", strings,
        ["*.xml", "*.edi", "*.ics", "*.vcf", "*.eml", "*.asc", "*.p7?", "*/xml", "application/*+xml",
         "application/edi*", "text/*vcard", "text/directory", "message/*", "application/*pkcs7*"],
        "Names and media types never zipped: robots read them, or they would stop working.",
    ),
    Key("link", "enabled", flag, True, "Whether attachments that are too big become links."),
    Key("link", "part_limit", size, "800 KiB", "A larger attachment, after zipping, becomes a link."),
    Key("link", "bandwidth_limit", size, "1300 KiB", "Largest message size times number of recipients."),
    Key("link", "min_size", size, "20 KiB", "Smaller attachments do not become links because of bandwidth_limit."),
    Key("store", "path", path, "/var/lib/pfilter", "Where downloads, records and kept originals live."),
    Key("store", "base_url", base_url, "", "Public address of the folder downloads; needed for links."),
    Key("store", "keep", duration, "7d", "How long a link works, as readers are told."),
    Key("store", "grace", duration, "7d", "How much longer it really works: mail may wait in queues."),
    Key("store", "min_free", size, "1 GiB", "Free space that must be left after storing, and some inodes."),
    Key("store", "quota", size, 0, "Octets that all stored files together may take; 0: no limit."),
    Key("store", "on_full", one_of("pass", "defer"), "pass", "What happens to mail that finds no room in the store."),
    Key("store", "secret_file", optional_path, "", "The key that links are made with; by default secret in the store."),
    Key("store", "url", bucket_url, "", "Object store for downloads, instead of the folder."),
    Key("store", "endpoint", endpoint, "", "Address of the object store; by default Amazon's for the region."),
    Key("store", "region", word, "us-east-1", "Region of the object store."),
    Key("store", "credentials", optional_path, "", "File with its keys; by default they are in the environment."),
    Key("store", "links", one_of("presigned", "public"), "presigned", "Where links to the object store lead."),
    Key("store", "timeout", duration, "60s", "Time limit of one request to the object store."),
    Key("notice", "templates", optional_path, "", "Folder with templates that replace the built-in ones."),
    Key("notice", "language", language_name, language.SOURCE, "Language of notices, pages and mail to senders."),
    Key("notice", "languages", languages, {}, "Other languages, by the sender's domain."),
    Key("notice", "locale", optional_path, "", "Folder with message catalogues that add languages."),
    Key("notice", "organisation", text, "", "Whose mail server this is, as readers know it."),
    Key("notice", "contact", text, "", "Whom readers may ask: an address, a page, a telephone number."),
    Key("notice", "show_subject", flag, False, "Whether the page of a message shows its subject."),
    Key("notify", "sender", flag, True, "Whether senders are told about links."),
    Key("notify", "per_hour", number, 5, "Mails to one sender in an hour; the rest is reported in one. 0: no limit."),
    Key("notify", "never", names_anywhere, [], "Senders who are not told; robots never are."),
    Key("notify", "admin", optional_address, "", "Who is told about quarantined mail."),
    Key("notify", "admin_interval", duration, "1h", "At most one mail to the administrator in this time."),
    Key("notify", "from", text, "", "From address of that mail; by default postmaster@ the sender's domain."),
    Key("clamav", "socket", server, "", "Where clamd listens; without it nothing is scanned."),
    Key("clamav", "timeout", duration, "120s", "Time limit of all questions to clamd about one message."),
    Key("clamav", "on_error", one_of("defer", "pass"), "defer", "What happens when clamd can't be asked."),
    Key(
        "clamav", "on_unscanned", one_of("pass-unlinked", "pass", "quarantine"), "pass-unlinked",
        "What happens to mail over clamd's limits.",
    ),
    Key("clamav", "on_infected", one_of("quarantine", "reject"), "quarantine", "What happens to mail with a virus."),
    Key("quarantine", "keep", duration, "30d", "How long messages in quarantine and trouble folder are kept."),
    Key("serve", "listen", listener, "127.0.0.1:8025", "Where pfilter serve listens."),
    Key("serve", "certificate", optional_path, "", "Certificate, with its chain; without one serve speaks plain HTTP."),
    Key("serve", "key", optional_path, "", "Its private key, if that is not in the same file."),
    Key("serve", "proxies", machines, ["127.0.0.1"], "Proxies that are trusted in what they say of their clients."),
    Key("log", "to", log_target, "syslog", "Where events go."),
    Key("log", "level", one_of("debug", "info", "warning", "error"), "info", "Events below this level are dropped."),
    Key("log", "format", one_of("json", "logfmt"), "json", "How events are written."),
    Key("limits", "parts", count, 10_000, "A message with more parts passes untouched."),
    Key("limits", "nesting", count, 100, "A message nested deeper passes untouched."),
    Key("limits", "header", size, "4 MiB", "A message with a larger header block passes untouched."),
    Key("limits", "boundary", size, 2048, "A message with a longer boundary passes untouched."),
)  # fmt: skip


def load(file: str) -> Settings:
    """Read a configuration file. Raises ConfigError."""
    import tomllib

    try:
        with open(file, "rb") as stream:
            values = tomllib.load(stream)
    except OSError as error:
        hint = "; write one, or name another with --config" if isinstance(error, FileNotFoundError) else ""
        raise ConfigError(f"{file}: {error.strerror}{hint}") from error
    except ValueError as error:  # TOMLDecodeError, UnicodeDecodeError
        raise ConfigError(f"{file}: not TOML: {error}") from error
    try:
        return from_values(values)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from None


def from_values(values: "dict[str, Any]") -> Settings:
    """Make a Settings of a parsed file. Raises ConfigError."""
    _refuse_unknown(values)
    found: dict[str, Any] = {key.attribute: _read(key, values.get(key.section, {})) for key in KEYS}
    made = Settings(**found)
    _refuse_impossible(made)
    return made


def without_file(store: str = "", url: str = "") -> Settings:
    """Return the defaults for use without a configuration: every sender is ours, links only with store and URL.

    Raises ConfigError.
    """
    values: dict[str, Any] = {"policy": {"own_domains": ["*"]}, "log": {"to": "stderr", "level": "error"}}
    if store and url:
        values["store"] = {"path": store, "base_url": url}
    else:
        values["link"] = {"enabled": False}
        values["policy"]["null_sender"] = "pass"  # there is no place to keep originals
    return from_values(values)


def _read(key: Key, section: "dict[str, Any]") -> object:
    value = section.get(key.name, key.default)
    if value is REQUIRED:
        raise ConfigError(f"[{key.section}] {key.name} is missing: {_allowed(key, '')}")
    try:
        return key.read(value)
    except ValueError as error:
        raise ConfigError(f"[{key.section}] {key.name} = {value!r}: must be {error}") from None


def _allowed(key: Key, value: object) -> str:
    try:
        key.read(value)
    except ValueError as error:
        return str(error)
    return key.sentence


def _refuse_unknown(values: "dict[str, Any]") -> None:
    sections: dict[str, list[str]] = {}
    for key in KEYS:
        sections.setdefault(key.section, []).append(key.name)
    for section, content in values.items():
        if section not in sections:
            everywhere = [key.name for key in KEYS]
            where = next((f"; it belongs in [{key.section}]" for key in KEYS if key.name == section), "")
            # A slip in a section's name, rather than a key of that name in another place.
            slip = _guess(section, list(sections)) if section.rstrip("s") in sections else ""
            guess = slip or where or _guess(section, [*sections, *everywhere])
            raise ConfigError(f"[{section}] is not a section{guess}; sections: {', '.join(sections)}")
        if not isinstance(content, dict):
            raise ConfigError(f"{section} = {content!r}: must be a section, [{section}]")
        for name in content:
            if name not in sections[section]:
                where = next((f"; it belongs in [{key.section}]" for key in KEYS if key.name == name), "")
                guess = _guess(name, sections[section]) or where
                allowed = ", ".join(sections[section])
                raise ConfigError(f"[{section}] {name} = {content[name]!r}: unknown key{guess}; allowed: {allowed}")


def _guess(word: str, known: list[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(word, known, 1)
    return f' (did you mean "{close[0]}"?)' if close else ""


def _is_author(value: str) -> bool:
    """Whether this can stand in From: an address, or `Name <address>`, in ASCII."""
    name, bracket, rest = value.partition("<")
    address = rest.removesuffix(">") if bracket else name
    closed = not bracket or rest.endswith(">")
    local, at, domain = address.strip().rpartition("@")
    return bool(local and at and closed and value.isascii() and _is_domain(domain) and not set(local) & set("<> "))


def _refuse_impossible(made: Settings) -> None:
    presigned = bool(made.store_url) and made.store_links == "presigned"
    if made.link_enabled and not made.store_base_url and not presigned:
        raise ConfigError(
            "[store] base_url is missing: links need the public address of the folder downloads, such as "
            '"https://files.example.org/d"; or set [link] enabled = false'
        )
    if made.store_url:
        _refuse_impossible_bucket(made, presigned=presigned)
    if made.reinject_timeout < 1:
        raise ConfigError("[reinject] timeout must be at least 1s")
    if made.reinject_data_done_timeout < 1:
        raise ConfigError("[reinject] data_done_timeout must be at least 1s")
    if made.deadline <= made.reinject_timeout:
        raise ConfigError(
            f"[policy] deadline = {made.deadline}s: must be longer than [reinject] timeout ({made.reinject_timeout}s)"
        )
    if made.store_keep < 1:
        raise ConfigError("[store] keep must be at least 1s")
    for name, least in (("header", 1 << 14), ("boundary", 70)):
        if getattr(made, f"limits_{name}") < least:
            raise ConfigError(f"[limits] {name} must be at least {least} octets, or ordinary mail passes untouched")
    known = language.available(made.notice_locale)
    for name in language.used(made):
        if name not in known:
            key = "language" if name == made.notice_language else "languages"
            raise ConfigError(f'[notice] {key}: there is no catalogue for "{name}"; there are {", ".join(known)}')
    if made.serve_key and not made.serve_certificate:
        raise ConfigError("[serve] certificate is missing: a key alone is of no use")
    if made.notify_from and not _is_author(made.notify_from):
        raise ConfigError(f'[notify] from = {made.notify_from!r}: must be an address such as "IT <it@example.org>"')


def _refuse_impossible_bucket(made: Settings, *, presigned: bool) -> None:
    promised = made.store_keep + made.store_grace
    if presigned and made.link_enabled and promised > PRESIGNED_LIMIT:
        raise ConfigError(
            f"[store] keep + grace = {promised}s: presigned links work for 7 days at most; make the two together 7d or "
            'less, such as keep = "6d" and grace = "1d", or set links = "public"'
        )
    if made.store_quota:
        raise ConfigError("[store] quota is for the local folder: give the bucket a quota of its own")
    if not 2 <= made.store_timeout < made.deadline:
        raise ConfigError(
            f"[store] timeout = {made.store_timeout}s: must be at least 2s, and shorter than [policy] deadline "
            f"({made.deadline}s)"
        )
