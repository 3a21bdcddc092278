"""The language in which somebody is told something: the sender's domain chooses, nothing is guessed."""

from pfilter.base.catalogue import Language, load
from pfilter.config.settings import Settings
from pfilter.message.addresses import domain_of, matches_domain


def of(sender: str, settings: Settings) -> Language:
    """Return the language for mail of an envelope sender. Raises ConfigError."""
    domain = domain_of(sender.encode("utf-8", "surrogateescape"))
    chosen = (name for pattern, name in settings.notice_languages if domain and matches_domain(domain, (pattern,)))
    return load(next(chosen, settings.notice_language), settings.notice_locale)
