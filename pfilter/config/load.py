"""The configuration: TOML in, Settings out.

What can't be used raises ConfigError with key, value and what is allowed.
"""

from pfilter.base import catalogue
from pfilter.base.errors import ConfigError
from pfilter.base.limits import Limits
from pfilter.config.keys import KEYS, REQUIRED, Key
from pfilter.config.readers import is_author
from pfilter.config.settings import PRESIGNED_LIMIT, Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


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
    limits = Limits(**{name: found.pop(f"limits_{name}") for name in Limits._fields})
    made = Settings(**found, limits=limits)
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


def _refuse_impossible(made: Settings) -> None:
    if made.link_enabled and not made.store_base_url and not made.presigned:
        raise ConfigError(
            "[store] base_url is missing: links need the public address of the folder downloads, such as "
            '"https://files.example.org/d"; or set [link] enabled = false'
        )
    if made.store_url:
        _refuse_impossible_bucket(made)
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
        if getattr(made.limits, name) < least:
            raise ConfigError(f"[limits] {name} must be at least {least} octets, or ordinary mail passes untouched")
    known = catalogue.available(made.notice_locale)
    for name in made.languages:
        if name not in known:
            key = "language" if name == made.notice_language else "languages"
            raise ConfigError(f'[notice] {key}: there is no catalogue for "{name}"; there are {", ".join(known)}')
    if made.serve_key and not made.serve_certificate:
        raise ConfigError("[serve] certificate is missing: a key alone is of no use")
    if made.notify_from and not is_author(made.notify_from):
        raise ConfigError(f'[notify] from = {made.notify_from!r}: must be an address such as "IT <it@example.org>"')


def _refuse_impossible_bucket(made: Settings) -> None:
    promised = made.store_keep + made.store_grace
    if made.presigned and made.link_enabled and promised > PRESIGNED_LIMIT:
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
